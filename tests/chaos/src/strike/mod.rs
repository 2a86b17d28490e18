//! The blows of the plan, dealt one after the other, each until it has really struck.

mod chain;
mod neighbours;
mod node;
mod processes;
mod words;

pub use chain::unpause;
pub use processes::REBUILD;

use crate::blow::Blow;
use crate::house::House;
use crate::plan::Step;
use chrono::{DateTime, Utc};
use harness::journal::now;
use std::time::{Duration, Instant};

/// Time in which a blow must strike.
const STRUCK_WITHIN: Duration = Duration::from_secs(25);

/// When a blow fell, and when everything was as it should be again.
#[derive(Clone, Copy, Debug)]
pub struct Dealt {
    pub blow: Blow,
    pub at: DateTime<Utc>,
    pub healed: DateTime<Utc>,
}

/// Deals a track's steps in turn.
pub async fn deal(house: &House, steps: &[Step], begun: Instant) -> Vec<Dealt> {
    let mut dealt = Vec::new();
    for step in steps {
        tokio::time::sleep(step.pause).await;
        let at = now();
        println!("{:>6.1} s  {}", begun.elapsed().as_secs_f32(), step.blow);
        house.journal.note(&format!("{} begins", step.blow));
        strike(house, step).await;
        house.journal.note(&format!("{} is over", step.blow));
        dealt.push(Dealt { blow: step.blow, at, healed: now() });
    }
    dealt
}

async fn strike(house: &House, step: &Step) {
    let before = house.journal.count(&step.blow.to_string());
    let struck = match step.blow {
        Blow::Crash(service, point) => processes::crash(house, step, service, point).await,
        Blow::C26Rebuild => processes::rebuild(house, step).await,
        Blow::C27Streams => processes::streams(house, step).await,
        Blow::C29Terminate => processes::terminate(house, step).await,
        Blow::C30Everything => processes::everything(house, step).await,
        Blow::F52Zombie(service) => processes::zombie(house, step, service).await,
        Blow::F53Rolling => processes::rolling(house, step).await,
        Blow::F55Starved => processes::starved(step).await,
        Blow::Nats(fault) => neighbours::nats(house, step, fault).await,
        Blow::Postgres(fault) => neighbours::postgres(house, step, fault).await,
        Blow::Node(fault) => node::strike(house, step, fault).await,
        Blow::Chain(fault) => chain::strike(house, step, fault).await,
    };
    house.journal.fired(&step.blow.to_string(), struck);
    if house.journal.count(&step.blow.to_string()) == before {
        println!("          {} has struck nothing", step.blow);
    }
}

/// Looks until it is so, or [`STRUCK_WITHIN`] is over.
async fn until(mut look: impl AsyncFnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < STRUCK_WITHIN {
        if look().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}
