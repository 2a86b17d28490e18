//! Integrity: every process looks at the ledger again and again. Once it is not what it was, this process appends nothing
//! more, and says so durably, so that everybody else stops too, and whoever starts later.
//!
//! What a process acts on is decided here and nowhere else: [`Ledger::append`] refuses. Reading goes on.

use crate::batch::{Expected, NewEvent};
use crate::client::stream_info;
use crate::connect::Ledger;
use crate::damage::{Damage, Prints, StreamLook, compare, contiguous, judge, print};
use crate::error::{AppendError, LedgerError};
use crate::subjects::STOPS;
use crate::whole::Memory;
use domain::Event;
use domain::event::{DamageKind, OpsEvent, Resumed, Stopped, Stops};
use runtime::{CancellationToken, Health, causes};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Between two looks. A look is three or four requests, none of which depends on how much the ledger holds.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// A look that takes longer says nothing. An append may wait for it.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Of the newest messages so many are read again by the next look: 128 kB of ours, and what a damaged last block takes
/// with it first.
const WINDOW: usize = 64;

/// What is found by reading must be found twice, this far apart: a replica that lags is no damage.
const SECOND_LOOK: Duration = Duration::from_secs(1);

impl Ledger {
    /// Looks at the ledger every two seconds until `stop`, and names what is wrong with it as `ledger` in `health`.
    /// Does not write that down: see [`Ledger::guard`].
    pub async fn watch(self, health: Health, stop: CancellationToken) {
        self.look_until(health, stop, false).await;
    }

    /// The same, and what is found is written down as `ops.stopped.<n>`: every other process obeys it, and this one does
    /// when it starts again.
    pub async fn guard(self, health: Health, stop: CancellationToken) {
        self.look_until(health, stop, true).await;
    }

    async fn look_until(self, health: Health, stop: CancellationToken, writes: bool) {
        while !stop.is_cancelled() {
            runtime::turn("ledger.integrity");
            let looked = async {
                if let Err(error) = self.look().await {
                    tracing::debug!(error = %causes(&error), "whether the ledger is whole is not known now");
                }
                if writes && let Err(error) = self.write_down().await {
                    tracing::error!(error = %causes(&error), "that payouts stop is not written down");
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

    /// Why nothing is appended any more; none while all is well. Costs no request.
    pub fn stopped(&self) -> Option<Arc<str>> {
        self.whole.stopped.borrow().clone()
    }

    /// Waits until appends are taken, or until `stop`.
    pub async fn until_whole(&self, stop: &CancellationToken) {
        let mut stopped = self.whole.stopped.subscribe();
        let whole = async { stopped.wait_for(Option::is_none).await.is_ok() };
        tokio::select! { _ = whole => {}, () = stop.cancelled() => {} }
    }

    /// What this process has found of damage, by its own looks or by [`Ledger::report`]. Costs no request.
    pub fn damage(&self) -> Option<&Damage> {
        self.whole.found.get()
    }

    /// Somebody in this process has found damage: nothing is appended from now on. Where the process keeps guard, the next
    /// look writes it down.
    pub fn report(&self, damage: Damage) {
        let why = damage.to_string();
        if self.whole.found.set(damage).is_ok() {
            tracing::error!(why, "the ledger is damaged");
            self.publish(&Stops::default());
        }
    }

    /// A person has looked: ends the stop that stands in the ledger, and answers with its number; none where none stands.
    /// Processes that have found damage themselves stay stopped until they are started again.
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

    /// So that a stop that stands is known from the start. Where it fails, the first append looks again.
    pub(crate) async fn first_look(&self) {
        if let Err(error) = self.look().await {
            tracing::warn!(error = %causes(&error), "the ledger is looked at again before the first append");
        }
    }

    /// Looks once.
    ///
    /// # Errors
    /// `Transient`: nothing was learnt, and nothing is held against the ledger.
    async fn look(&self) -> Result<(), LedgerError> {
        let mut memory = self.whole.memory.lock().await;
        let slow = |e| LedgerError::transient("a look at the ledger", e);
        tokio::time::timeout(LOOK_TIMEOUT, self.look_with(&mut memory)).await.map_err(slow)?
    }

    /// Before an append: a connection that is lost may come back to a ledger that lost something meanwhile, so that is
    /// looked at first; what is sent without a connection would be sent to whatever it comes back to. Else this is the
    /// read of a number.
    pub(crate) async fn check(&self) -> Result<(), AppendError> {
        if !self.is_looked_at() {
            let mut memory = self.whole.memory.lock().await;
            // Whoever waited finds that somebody has looked.
            if !self.is_looked_at() {
                let looked = self.look_with(&mut memory).await;
                looked.map_err(|e| AppendError::Unknown(e.into()))?;
            }
        }
        self.stopped().map_or(Ok(()), |why| Err(AppendError::Stopped(why.to_string())))
    }

    /// Whether the connection stands that the last look was made on.
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
        // What is read or acknowledged while the server answers may stand behind its answer.
        let known = self.whole.known();
        let info =
            stream_info(&self.client, self.api).await.map_err(|e| LedgerError::transient("state of the stream", e))?;
        let seen = StreamLook::from(&info);
        // At once: what is damaged may not be readable.
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

    /// The messages that the last look read are there as they were; so are, without a gap, the newest, which are
    /// remembered in their place.
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

    /// What was found here goes before what others have said, and does not pass with it.
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

    /// Once for what this process has found, unless a stop stands already: a person who resumes is not contradicted by
    /// who has not been restarted.
    async fn write_down(&self) -> Result<(), AppendError> {
        let mut memory = self.whole.memory.lock().await;
        let Some(damage) = self.damage().filter(|_| !memory.written) else { return Ok(()) };
        if memory.stops.standing().is_none() {
            let info = stream_info(&self.client, self.api).await.map_err(|e| AppendError::Unknown(e.into()))?;
            let stopped = damage.stopped(info.created, info.state.last_seq);
            let event = Event::Ops(OpsEvent::Stopped(memory.stops.next(), stopped));
            match self.write(NewEvent { event, expected: Expected::Absent, trace: None }).await {
                // Somebody else was faster: payouts stop all the same.
                Ok(_) | Err(AppendError::WrongVersion) => {}
                Err(other) => return Err(other),
            }
        }
        memory.written = true;
        Ok(())
    }

    /// Stops and resumes so far. Few, and found by their subjects: it costs what one order costs.
    async fn stops(&self) -> Result<Stops, LedgerError> {
        let said = self.last_per_subject(&STOPS.map(str::to_owned)).await?;
        Ok(said.iter().fold(Stops::default(), |stops, recorded| match &recorded.event {
            Ok(Event::Ops(event)) => stops.evolve(event),
            // Whoever wrote it meant to stop. A resume that cannot be read resumes nothing.
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
