//! Searches final blocks for records that no order stands for, writes them down, and leaves them to the lanes. Nobody can
//! so hold a token's supply with payments that were settled without us.
//!
//! Knows nothing that the chain and the ledger do not know. A process that goes on duty begins at the bookmark, or at the
//! creation of each token.

use crate::judgement::{Facts, Judgement};
use crate::pool::FoundPool;
use chain::token::{RECORDS_MAX, Record, RecordTrace, TRACED_TOKENS_MAX};
use chain::{Address, Chain, Head};
use domain::{BlockRef, Event, FoundRecord, PaymentId, PaymentKey, RecordEvent, TokenEvent, TokenTerms};
use ledger::{AppendError, Batch, Bookmark, Expected, Ledger, NewEvent};
use runtime::{CancellationToken, Health, SharedSettings, Undone, causes};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Pause between two looks, as a multiple of the pause before a mint is tried again: 10 s.
const PAUSE: u32 = 5;
/// Pause while there are more final blocks to search.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// Blocks that are searched in one request, at most. Providers limit the range, and a node the size of its answer, so a
/// search that fails is tried with fewer.
const PAGE_MAX: u64 = 1_000;
/// Pause between two reads of all registrations.
const TOKENS_INTERVAL: Duration = Duration::from_secs(30);
/// Pause between two bookmarks.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// Name of this part in `/readyz`.
const PART: &str = "records without an order";

/// The resources of the search.
#[derive(Clone)]
pub struct Finder {
    pub ledger: Ledger,
    pub chain: Chain,
    pub settings: SharedSettings,
    pub health: Health,
    /// Records that are to be minted.
    pub pool: FoundPool,
}

/// How far the search is.
#[derive(Debug)]
struct Progress {
    /// For each token the next block to search.
    next: BTreeMap<Address, u64>,
    /// The last registration that was read.
    registered: u64,
    tokens_read: Option<Instant>,
    /// Blocks in the next request.
    page: u64,
    start: Option<Bookmark>,
    kept: (Instant, Bookmark),
}

impl Finder {
    /// Looks again and again until `off`.
    pub async fn run(&self, off: CancellationToken) {
        self.pool.clear();
        let kept = (Instant::now(), Bookmark::default());
        let mut progress =
            Progress { next: BTreeMap::new(), registered: 0, tokens_read: None, page: PAGE_MAX, start: None, kept };
        while !off.is_cancelled() {
            runtime::turn("mint-projector.finder");
            let mut pause = self.settings.now().mint_retry.saturating_mul(PAUSE);
            self.ledger.until_whole(&off).await;
            let looked = tokio::select! {
                looked = self.look(&mut progress) => looked,
                () = off.cancelled() => break,
            };
            match looked {
                Ok(is_done) => {
                    self.health.good(PART);
                    pause = if is_done { pause } else { BUSY_PAUSE };
                }
                // Another instance was faster, and the next look sees what it wrote.
                Err(Undone::Stale) => pause = BUSY_PAUSE,
                Err(error) => {
                    progress.page = (progress.page / 2).max(1);
                    self.health.bad(PART, causes(&error).to_string());
                    tracing::warn!(error = %causes(&error), "the search for records without an order pauses");
                }
            }
            tokio::select! { () = off.cancelled() => {}, () = tokio::time::sleep(pause) => {} }
        }
        // Off duty, nothing is in the way of this process.
        self.health.good(PART);
    }

    /// One look: the ends of what is found, and one page of blocks for each group of tokens that are equally far. Returns
    /// true if every token is searched up to the final block, except those whose budget is used up.
    async fn look(&self, progress: &mut Progress) -> Result<bool, Undone> {
        self.read_tokens(progress).await?;
        let last = self.chain.final_head().await?;
        // A token that gives no usable answer holds up no other. The look fails at its end.
        let mut trouble = self.end(last.block).await.err();
        let mut groups: BTreeMap<u64, Vec<Address>> = BTreeMap::new();
        for (token, next) in progress.next.iter().filter(|(_, next)| **next <= last.block.number) {
            if self.pool.can_pay(*token) {
                groups.entry(*next).or_default().push(*token);
            }
        }
        let mut is_done = true;
        for (next, tokens) in groups {
            let end = next.saturating_add(progress.page - 1).min(last.block.number);
            is_done &= end == last.block.number;
            for some in tokens.chunks(TRACED_TOKENS_MAX) {
                let (waits, failed) = self.search(some, next, end, last).await?;
                trouble = failed.or(trouble);
                for token in some.iter().filter(|token| !waits.contains(*token)) {
                    progress.next.insert(*token, end.saturating_add(1));
                }
            }
        }
        progress.page = progress.page.saturating_mul(2).min(PAGE_MAX);
        self.keep(progress).await;
        trouble.map_or(Ok(is_done), Err)
    }

    /// Adds the tokens that were registered since. One that the bookmark knows is searched from there on.
    async fn read_tokens(&self, progress: &mut Progress) -> Result<(), Undone> {
        if progress.tokens_read.is_some_and(|at| at.elapsed() < TOKENS_INTERVAL) {
            return Ok(());
        }
        let start = match progress.start {
            Some(start) => start,
            None => self.ledger.bookmark().await?.unwrap_or_default(),
        };
        progress.start = Some(start);
        let (chain_id, asset) = (self.chain.config().chain_id, self.chain.config().asset.address);
        for recorded in self.ledger.registrations().await? {
            progress.registered = progress.registered.max(recorded.seq);
            let Ok(Event::Token(_, TokenEvent::Registered(terms))) = &recorded.event else { continue };
            let TokenTerms { token, block: created, .. } = **terms;
            if (terms.chain_id, terms.asset) == (chain_id, asset) {
                let known = if recorded.seq <= start.registered { start.block.saturating_add(1) } else { 0 };
                progress.next.entry(token).or_insert(known.max(created.number));
            }
        }
        progress.tokens_read = Some(Instant::now());
        Ok(())
    }

    /// Writes down which of the found records have ended by the final block `at`.
    async fn end(&self, at: BlockRef) -> Result<(), Undone> {
        let (traces, mut trouble): (Vec<RecordTrace>, _) = (self.pool.waiting().iter().map(trace).collect(), Ok(()));
        for of_token in traces.chunk_by(|one, next| one.token == next.token) {
            for some in of_token.chunks(RECORDS_MAX) {
                trouble = self.end_some(some, at).await.and(trouble);
            }
        }
        trouble
    }

    async fn end_some(&self, traces: &[RecordTrace], at: BlockRef) -> Result<(), Undone> {
        let Some(RecordTrace { token, .. }) = traces.first() else { return Ok(()) };
        let keys: Vec<PaymentKey> = traces.iter().map(|trace| trace.key).collect();
        let records = self.chain.records(*token, &keys, at).await?;
        let ended = traces.iter().zip(records).filter(|(_, record)| !matches!(record, Record::Paid(_)));
        let ended: Vec<RecordTrace> = ended.map(|(trace, _)| *trace).collect();
        self.write(&ended, at).await.map(|_| ())
    }

    /// Searches the blocks from `first` to `end`. Returns the tokens of which not all was written down, because their budget
    /// is used up or they gave no usable answer, and the last such error.
    async fn search(
        &self,
        tokens: &[Address],
        first: u64,
        end: u64,
        last: Head,
    ) -> Result<(BTreeSet<Address>, Option<Undone>), Undone> {
        let mut by_token: BTreeMap<Address, BTreeMap<PaymentKey, RecordTrace>> = BTreeMap::new();
        for trace in self.chain.traces(tokens, first..=end, last.block).await? {
            by_token.entry(trace.token).or_default().entry(trace.key).or_insert(trace);
        }
        let (mut waits, mut trouble) = (BTreeSet::new(), None);
        for (token, traces) in by_token {
            let traces: Vec<RecordTrace> = traces.into_values().collect();
            for some in traces.chunks(RECORDS_MAX) {
                match self.write(some, last.block).await {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) => trouble = Some(error),
                }
                waits.insert(token);
                break;
            }
        }
        Ok((waits, trouble))
    }

    /// Judges the records of these traces of one token after the final block `at`, and writes down what is missing. Returns
    /// false if the budget of the token was used up before.
    async fn write(&self, traces: &[RecordTrace], at: BlockRef) -> Result<bool, Undone> {
        let Some(RecordTrace { token, .. }) = traces.first().copied() else { return Ok(true) };
        let keys: Vec<PaymentKey> = traces.iter().map(|trace| trace.key).collect();
        let records = self.chain.records(token, &keys, at).await?;
        let ids: Vec<PaymentId> = keys.iter().copied().map(PaymentId::of).collect();
        let orders = self.ledger.unfailed(&ids).await?;
        let stages = self.ledger.found_records(&ids).await?;
        let (mut founds, mut ends, mut open, mut has_paid) = (Vec::new(), Vec::new(), Vec::new(), true);
        for ((trace, record), id) in traces.iter().zip(records).zip(ids) {
            let facts = Facts {
                trace,
                record,
                order: orders.get(&id).and_then(Option::as_ref),
                stage: stages.get(&id).copied(),
            };
            let judged = facts.judge(at);
            let is_new = matches!(judged.events.first(), Some(RecordEvent::Found(_)));
            if is_new && !self.pool.pay(token) {
                has_paid = false;
                break;
            }
            let Judgement { events, open: still } = judged;
            for event in events {
                // An order that is requested at this moment would stand for the record.
                let is_free = is_new && !orders.contains_key(&id);
                let expected = if is_free { Expected::Version(0) } else { Expected::Absent };
                let list = if matches!(event, RecordEvent::Found(_)) { &mut founds } else { &mut ends };
                list.push(NewEvent { event: Event::Record(id, event), expected, trace: None });
            }
            open.push((id, still));
        }
        self.append(founds, ends).await?;
        for (id, still) in open {
            match still {
                Some(record) => self.pool.put(record),
                None => self.pool.remove(token, id),
            }
        }
        Ok(has_paid)
    }

    async fn append(&self, founds: Vec<NewEvent>, ends: Vec<NewEvent>) -> Result<(), Undone> {
        if founds.is_empty() && ends.is_empty() {
            return Ok(());
        }
        let (found, ended) = (founds.len(), ends.len());
        match self.ledger.append(Batch::led_by(founds).then(ends)).await {
            Ok(_) => {
                tracing::info!(found, ended, "records without an order");
                Ok(())
            }
            Err(AppendError::WrongVersion) => Err(Undone::Stale),
            Err(other) => Err(other.into()),
        }
    }

    /// Moves the bookmark, now and then. It stays behind every record that is not minted.
    async fn keep(&self, progress: &mut Progress) {
        let Some(searched) = progress.next.values().min().map(|next| next.saturating_sub(1)) else { return };
        let oldest = self.pool.waiting().iter().map(|record| record.block.number.saturating_sub(1)).min();
        let block = oldest.map_or(searched, |oldest| oldest.min(searched));
        let bookmark = Bookmark { block, registered: progress.registered };
        let (at, kept) = progress.kept;
        if bookmark == kept || (kept != Bookmark::default() && at.elapsed() < BOOKMARK_INTERVAL) {
            return;
        }
        progress.kept = (Instant::now(), bookmark);
        if let Err(error) = self.ledger.keep_bookmark(bookmark).await {
            tracing::warn!(error = %causes(&error), "the bookmark of the search for records is not moved");
        }
    }
}

fn trace(record: &FoundRecord) -> RecordTrace {
    RecordTrace { token: record.token, key: record.payment_key, tx_hash: record.tx_hash, block: record.block }
}
