//! Integrity: every process looks at the ledger again and again. If a look finds damage, the process appends nothing
//! more and records a stop in the ledger. All other processes obey the stop, and so do processes that start later.
//!
//! Only this module decides whether a process may act: [`Ledger::append`] refuses when it must not. Reading continues.

use crate::batch::{Expected, NewEvent};
use crate::client::stream_info;
use crate::connect::Ledger;
use crate::damage::{Damage, Prints, StreamLook, compare, contiguous, judge, print};
use crate::error::{AppendError, LedgerError};
use crate::subjects::STOPS;
use crate::whole::Memory;
use domain::Event;
use domain::event::{DamageKind, OpsEvent, Resumed, Stopped, Stops};
use runtime::{CancellationToken, Health, OldestWork, causes};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Pause between two looks. A look is three or four requests, none of which depends on the size of the ledger.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// A look that takes longer is given up, and says nothing about the ledger. An append may wait for a look.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// The connection to the ledger stands still if no look succeeds for this long. An election of three replicas is over by
/// then.
const SILENT_MAX: Duration = Duration::from_secs(20);

/// Time limit of the look of an append, which is repeated within [`APPEND_MAX`](crate::append::APPEND_MAX). Shorter than
/// that of other looks: while three replicas elect a leader, a look gets no answer, and must begin again soon after.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Number of the newest messages that the next look reads again. 64 messages of Paymint have 128 kB, and a damaged last
/// block takes them with it first.
const WINDOW: usize = 64;

/// Damage that is found by reading must be found a second time after this pause, because a lagging replica is not
/// damage.
const SECOND_LOOK: Duration = Duration::from_secs(1);

impl Ledger {
    /// Looks at the ledger every two seconds until `stop`, and shows a finding as `ledger` in `health`. Does not record
    /// it in the ledger; [`Ledger::guard`] does.
    pub async fn watch(self, health: Health, stop: CancellationToken) {
        self.look_until(health, stop, false).await;
    }

    /// Like [`Ledger::watch`], and records a finding as `ops.stopped.<n>`. Every other process obeys it, and so does
    /// this one when it starts again.
    pub async fn guard(self, health: Health, stop: CancellationToken) {
        self.look_until(health, stop, true).await;
    }

    async fn look_until(self, health: Health, stop: CancellationToken, writes: bool) {
        let mut answered = Instant::now();
        while !stop.is_cancelled() {
            runtime::turn("ledger.integrity");
            let looked = async {
                let mut silent = None;
                match self.look().await {
                    Ok(()) => answered = Instant::now(),
                    Err(error) => {
                        tracing::debug!(error = %causes(&error), "the look at the ledger failed: it is not known if the ledger is damaged");
                        let (what, words) = ("a look at the ledger".to_owned(), causes(&error).to_string());
                        silent = Some(OldestWork { what, age: answered.elapsed(), words, limit: SILENT_MAX });
                    }
                }
                health.oldest("ledger connection", silent);
                if writes && let Err(error) = self.write_down().await {
                    tracing::error!(error = %causes(&error), "the stop of payouts could not be recorded");
                }
                match self.stopped() {
                    Some(why) => health.bad("ledger", &*why),
                    None => health.good("ledger"),
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            };
            tokio::select! { () = looked => {}, () = stop.cancelled() => {} }
        }
    }

    /// The reason why nothing is appended any more; `None` while appends are accepted. Costs no request.
    pub fn stopped(&self) -> Option<Arc<str>> {
        self.whole.stopped.borrow().clone()
    }

    /// Waits until appends are accepted, or until `stop`.
    pub async fn until_whole(&self, stop: &CancellationToken) {
        let mut stopped = self.whole.stopped.subscribe();
        let whole = async { stopped.wait_for(Option::is_none).await.is_ok() };
        tokio::select! { _ = whole => {}, () = stop.cancelled() => {} }
    }

    /// The damage that this process has found, by its own looks or by [`Ledger::report`]. Costs no request.
    pub fn damage(&self) -> Option<&Damage> {
        self.whole.found.get()
    }

    /// Records in memory that this process has found damage: nothing is appended from now on. If [`Ledger::guard`]
    /// runs, its next look records the damage in the ledger.
    pub fn report(&self, damage: Damage) {
        let why = damage.to_string();
        if self.whole.found.set(damage).is_ok() {
            tracing::error!(why, "the ledger is damaged");
            self.publish(&Stops::default());
        }
    }

    /// Ends the current stop, after an operator has looked. Returns its number, or `None` if payouts are not stopped. A
    /// process that has found damage itself stays stopped until it is started again.
    ///
    /// # Errors
    /// As [`Ledger::append`].
    pub async fn resume(&self, resumed: Resumed) -> Result<Option<u32>, AppendError> {
        let stops = self.stops().await.map_err(|e| AppendError::Unknown(e.into()))?;
        let Some((n, _)) = stops.standing() else { return Ok(None) };
        let event = Event::Ops(OpsEvent::Resumed(*n, resumed));
        self.write(NewEvent { event, expected: Expected::Absent, trace: None }).await?;
        Ok(Some(*n))
    }

    /// Looks at the ledger at the start, so that a current stop is known. If the look fails, the first append looks
    /// again.
    pub(crate) async fn first_look(&self) {
        if let Err(error) = self.look().await {
            tracing::warn!(error = %causes(&error), "the look at the ledger failed: the first append looks again");
        }
    }

    /// Looks once.
    ///
    /// # Errors
    /// `Transient`: the look learned nothing, which is not counted as damage.
    async fn look(&self) -> Result<(), LedgerError> {
        let mut memory = self.whole.memory.lock().await;
        let slow = |e| LedgerError::transient("a look at the ledger", e);
        tokio::time::timeout(LOOK_TIMEOUT, self.look_with(&mut memory)).await.map_err(slow)?
    }

    /// Checks before an append that the ledger may be appended to. Usually this reads one number. After a reconnect it
    /// looks at the ledger first, because the server may have lost events in the meantime. Without a connection it also
    /// looks, because an append would be sent to whatever server answers next.
    pub(crate) async fn check(&self) -> Result<(), AppendError> {
        if !self.is_looked_at() {
            let mut memory = self.whole.memory.lock().await;
            // Another task may have looked while this one waited.
            if !self.is_looked_at() {
                let looked = tokio::time::timeout(CHECK_TIMEOUT, self.look_with(&mut memory)).await;
                looked
                    .map_err(|e| LedgerError::transient("a look at the ledger", e))
                    .and_then(|looked| looked)
                    .map_err(|e| AppendError::Unknown(e.into()))?;
            }
        }
        self.stopped().map_or(Ok(()), |why| Err(AppendError::Stopped(why.to_string())))
    }

    /// True while the connection of the last look is still up.
    fn is_looked_at(&self) -> bool {
        self.is_connected() && self.whole.connects.load(Ordering::Relaxed) == self.connects()
    }

    fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    async fn look_with(&self, memory: &mut Memory) -> Result<(), LedgerError> {
        let connects = self.connects();
        self.see(memory).await?;
        self.whole.connects.store(connects, Ordering::Relaxed);
        self.publish(&memory.stops);
        Ok(())
    }

    async fn see(&self, memory: &mut Memory) -> Result<(), LedgerError> {
        // Taken before the request: events that are read or acknowledged while the server answers may be missing in its
        // answer.
        let known = self.whole.known();
        let info =
            stream_info(&self.client, self.api).await.map_err(|e| LedgerError::transient("state of the stream", e))?;
        let seen = StreamLook::from(&info);
        // Reported before anything is read, because a damaged ledger may not be readable.
        if let Err(damage) = judge(&memory.before, known, &seen) {
            self.report(damage);
        }
        memory.stops = self.stops().await?;
        if self.damage().is_some() {
            return Ok(());
        }
        let mut read = self.reread(memory, &seen).await?;
        if read.is_err() {
            tokio::time::sleep(SECOND_LOOK).await;
            read = self.reread(memory, &seen).await?;
        }
        match read {
            Ok(()) => {
                self.whole.knows(seen.last);
                memory.before = seen;
            }
            Err(damage) => self.report(damage),
        }
        Ok(())
    }

    /// Checks that the messages of the last look are still there unchanged, and that the newest messages are there
    /// without a gap. The newest ones are remembered for the next look.
    async fn reread(&self, memory: &mut Memory, seen: &StreamLook) -> Result<Result<(), Damage>, LedgerError> {
        let newest = seen.last.saturating_sub(WINDOW as u64) + 1;
        let oldest = memory.window.first_key_value().map(|(seq, _)| *seq);
        let mut found = self.prints(oldest.unwrap_or(newest)).await?;
        let mut verdict = compare(&memory.window, &found);
        if verdict.is_ok() {
            if oldest.is_some_and(|oldest| oldest != newest) {
                found = self.prints(newest).await?;
            }
            verdict = contiguous(&found, newest, seen.last);
        }
        if verdict.is_ok() {
            memory.window = found;
        }
        Ok(verdict)
    }

    /// Publishes the reason why appends are refused. A finding of this process has precedence over a stop by another
    /// one, and remains when that stop ends.
    fn publish(&self, stops: &Stops) {
        let why: Option<Arc<str>> = match (self.damage(), stops.standing()) {
            (Some(damage), _) => Some(damage.to_string().into()),
            (None, Some((n, why))) => Some(format!("stopped by ops.stopped.{n}: {}", why.detail).into()),
            (None, None) => None,
        };
        self.whole.stopped.send_if_modified(|stopped| {
            if *stopped == why {
                return false;
            }
            match &why {
                Some(why) => tracing::error!(%why, "payouts stop"),
                None => tracing::info!("payouts go on"),
            }
            *stopped = why;
            true
        });
    }

    /// Records this process's finding in the ledger once, unless payouts are stopped already. A process that was not
    /// restarted therefore does not contradict an operator who resumes payouts.
    async fn write_down(&self) -> Result<(), AppendError> {
        let mut memory = self.whole.memory.lock().await;
        let Some(damage) = self.damage().filter(|_| !memory.written) else { return Ok(()) };
        if memory.stops.standing().is_none() {
            let info = stream_info(&self.client, self.api).await.map_err(|e| AppendError::Unknown(e.into()))?;
            let stopped = damage.stopped(info.created, info.state.last_seq);
            let event = Event::Ops(OpsEvent::Stopped(memory.stops.next(), stopped));
            match self.write(NewEvent { event, expected: Expected::Absent, trace: None }).await {
                // Another process was faster, and payouts are stopped by its event.
                Ok(_) | Err(AppendError::WrongVersion) => {}
                Err(other) => return Err(other),
            }
        }
        memory.written = true;
        Ok(())
    }

    /// All stops and resumes so far. They are few and found by their subjects, so reading them costs as much as reading
    /// one order.
    async fn stops(&self) -> Result<Stops, LedgerError> {
        let said = self.last_per_subject(&STOPS.map(str::to_owned)).await?;
        Ok(said.iter().fold(Stops::default(), |stops, recorded| match &recorded.event {
            Ok(Event::Ops(event)) => stops.evolve(event),
            // An unreadable stop is still meant as a stop. An unreadable resume resumes nothing.
            _ if recorded.subject.starts_with("ops.stopped.") => {
                let n = recorded.subject.rsplit('.').next().and_then(|n| n.parse().ok()).unwrap_or(u32::MAX);
                let detail = format!("{} cannot be read", recorded.subject);
                let (damage, incarnation) = (DamageKind::Altered, recorded.recorded_at);
                stops.evolve(&OpsEvent::Stopped(n, Stopped { damage, incarnation, sequence: recorded.seq, detail }))
            }
            _ => stops,
        }))
    }

    async fn prints(&self, from: u64) -> Result<Prints, LedgerError> {
        let page = self.few(from, WINDOW).await?;
        Ok(page.iter().map(|recorded| (recorded.seq, print(recorded))).collect())
    }
}
