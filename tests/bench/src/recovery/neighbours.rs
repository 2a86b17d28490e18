//! A server away for a while: how long after its return until everybody works again, and until all that was accepted
//! before has ended (P3).

use chrono::Utc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::Fatal;
use std::time::Duration;
use tokio::time::sleep;

use super::watch::Sign;
use super::{Stage, seconds};
use crate::report::{Report, Row};

/// From the server's first answer to the first event of every kind, seconds.
const RESUMED_TARGET_S: f64 = 5.0;
/// From there to the end of all that was accepted before, and the backlog divided by the capacity on top, seconds.
const ENDED_TARGET_S: f64 = 60.0;
/// A blip, and long enough for every client to have given up and to wait between its tries.
const AWAY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
/// After what was accepted before has ended, so has what was put off.
const CALM: Duration = Duration::from_secs(7);

/// The neighbour that becomes unavailable, and how.
#[derive(Clone, Copy, Debug)]
enum Neighbour {
    /// Killed, and started again on its data.
    Nats,
    /// PostgreSQL is killed.
    Postgres,
    /// Stopped as it stands, and woken: a chain in memory does not survive a kill.
    Node,
}

/// Test for a kind of event.
type IsOf = fn(Sign) -> bool;

/// The kinds of work, in the order of an order's way.
const KINDS: [(&str, IsOf); 4] = [
    ("accepted", |sign| sign == Sign::Accepted),
    ("signed", |sign| matches!(sign, Sign::Signed(..))),
    ("settled", |sign| sign == Sign::Settled),
    ("minted", |sign| sign == Sign::Minted),
];

/// Takes each neighbour away for each time.
pub async fn run(stage: &mut Stage, capacity: f64, report: &mut Report) -> Result<(), Fatal> {
    let all = [(Neighbour::Nats, "nats-server killed"), (Neighbour::Postgres, "PostgreSQL killed")];
    for (neighbour, what) in all.into_iter().chain([(Neighbour::Node, "node frozen")]) {
        for away in AWAY {
            let name = format!("recovery: {what} for {} s", away.as_secs());
            stage.without(neighbour, away, (&name, capacity), report).await?;
            sleep(CALM).await;
            stage.services.check()?;
        }
    }
    Ok(())
}

impl Stage {
    async fn without(
        &mut self,
        neighbour: Neighbour,
        away: Duration,
        (name, capacity): (&str, f64),
        report: &mut Report,
    ) -> Result<(), Fatal> {
        self.leave(neighbour)?;
        sleep(away).await;
        self.come_back(neighbour).await?;
        let back = Utc::now();
        let position = self.position().await?;
        let moved = self.position_beyond(position).await?;
        let mut firsts = vec![("position", seconds(back, moved))];
        for (kind, is) in KINDS {
            let first = self.watch.until(kind, |watch| watch.first(0, back, is)).await?;
            firsts.push((kind, seconds(back, first)));
        }
        let worst = firsts.iter().map(|(_, took)| *took).fold(0.0, f64::max);
        let each: Vec<String> = firsts.iter().map(|(kind, took)| format!("{kind} {took:.2}")).collect();
        let row = Row::new(format!("{name}: all work again"), worst, "s").at_most(RESUMED_TARGET_S);
        report.row(row.saying(each.join(", ")));

        let ended = self.watch.until("the end of the backlog", |watch| watch.under_way(back).1).await?;
        let backlog = self.watch.under_way(back).0;
        let target = ENDED_TARGET_S + backlog as f64 / capacity;
        let row = Row::new(format!("{name}: what was accepted has ended"), seconds(back, ended), "s").at_most(target);
        report.row(row.saying(format!("{backlog} orders; 60 s + orders / capacity")));
        Ok(())
    }

    fn leave(&mut self, neighbour: Neighbour) -> Result<(), Fatal> {
        match neighbour {
            Neighbour::Nats => self.house.servers.nats.kill(),
            Neighbour::Postgres => self.house.servers.postgres.kill(),
            Neighbour::Node => self.signal_node(Signal::SIGSTOP)?,
        }
        Ok(())
    }

    /// Brings the neighbour back, and returns when it answers.
    async fn come_back(&mut self, neighbour: Neighbour) -> Result<(), Fatal> {
        match neighbour {
            Neighbour::Nats => self.house.servers.nats.restart().await?,
            Neighbour::Postgres => self.house.servers.postgres.restart().await?,
            Neighbour::Node => self.signal_node(Signal::SIGCONT)?,
        }
        Ok(())
    }

    fn signal_node(&mut self, signal: Signal) -> Result<(), Fatal> {
        let pid = self.house.servers.anvil.pid().ok_or("the node has ended")?;
        Ok(kill(Pid::from_raw(pid.cast_signed()), signal)?)
    }
}
