//! Reads the records of payments at one moment, and has them judged and written down.

use crate::early::EarlyRecords;
use crate::judgement::Reading;
use crate::writing::{RecordWriter, Traced, recorded};
use chain::token::{RECORDS_MAX, Record, RecordTrace};
use chain::{Address, Chain, ChainError};
use domain::{FoundRecord, PaymentKey};
use runtime::Undone;
use std::collections::{BTreeMap, BTreeSet};

/// One look at records.
pub struct RecordLook<'a> {
    pub chain: &'a Chain,
    pub writer: &'a RecordWriter,
    /// Records that no final block showed when they were read.
    pub early: &'a mut EarlyRecords,
    /// The moment of this look.
    pub reading: Reading,
}

impl RecordLook<'_> {
    /// Returns whether more records of this token can be found now.
    pub fn has_room(&self, token: Address) -> bool {
        self.writer.pool.room(token) > 0 && self.early.has_room(token)
    }

    /// Has the records of these traces written down. Returns the tokens of which not all was, because their budget is used up
    /// or because of an error.
    pub async fn judge(&mut self, traces: Vec<RecordTrace>) -> BTreeMap<Address, Option<Undone>> {
        let mut by_token: BTreeMap<Address, BTreeMap<PaymentKey, RecordTrace>> = BTreeMap::new();
        for trace in traces {
            by_token.entry(trace.token).or_default().entry(trace.key).or_insert(trace);
        }
        let mut held_up = BTreeMap::new();
        for (token, traces) in by_token {
            let traces: Vec<RecordTrace> = traces.into_values().collect();
            match self.judge_some(token, &traces).await {
                Ok(true) => {}
                Ok(false) => _ = held_up.insert(token, None),
                Err(error) => _ = held_up.insert(token, Some(error)),
            }
        }
        held_up
    }

    /// Returns false if the budget of the token is not enough for all.
    async fn judge_some(&mut self, token: Address, traces: &[RecordTrace]) -> Result<bool, Undone> {
        let mut records = self.read(token, traces).await?;
        records.retain(|traced| !self.early.has(traced));
        self.write(token, &records, self.reading).await
    }

    /// Judges the records that were read after a block that is final now.
    ///
    /// # Errors
    /// The last error of a token. The others are judged.
    pub async fn ripen(&mut self) -> Result<(), Undone> {
        let last = self.reading.last.block.number;
        let ripe = self.early.ripe(last, |token| self.writer.pool.room(token) > 0);
        let (mut asked, mut trouble) = (None, Ok(()));
        for ((at, token), records) in ripe {
            let is_final = match asked {
                Some((block, is_final)) if block == at => is_final,
                _ => self.chain.block_at(at.number).await?.is_some_and(|found| found.block == at),
            };
            asked = Some((at, is_final));
            let judged = if is_final {
                self.write(token, &records, Reading { at, ..self.reading }).await
            } else {
                self.read_again(token, &records).await
            };
            trouble = judged.map(|_| ()).and(trouble);
        }
        trouble
    }

    /// Judges records anew, because the block after which they were read fell out of the chain.
    async fn read_again(&mut self, token: Address, records: &[Traced]) -> Result<bool, Undone> {
        let traces: Vec<RecordTrace> = records.iter().map(|(trace, _)| *trace).collect();
        let again = self.read(token, &traces).await?;
        let there: BTreeSet<PaymentKey> = again.iter().map(|(trace, _)| trace.key).collect();
        let gone = records.iter().filter(|(trace, _)| !there.contains(&trace.key));
        self.early.remove(&gone.copied().collect::<Vec<_>>());
        self.write(token, &again, self.reading).await
    }

    /// Judges the records that wait to be minted, and have ended.
    ///
    /// # Errors
    /// The last error of a token. The others are judged.
    pub async fn end(&mut self) -> Result<(), Undone> {
        let waiting: Vec<RecordTrace> = self.writer.pool.waiting().iter().map(trace).collect();
        let mut trouble = Ok(());
        for of_token in waiting.chunk_by(|one, next| one.token == next.token) {
            trouble = self.end_some(of_token).await.and(trouble);
        }
        trouble
    }

    async fn end_some(&mut self, traces: &[RecordTrace]) -> Result<(), Undone> {
        let Some(RecordTrace { token, .. }) = traces.first() else { return Ok(()) };
        let mut ended = self.read(*token, traces).await?;
        ended.retain(|(_, record)| !matches!(record, Record::Paid(_)));
        self.write(*token, &ended, self.reading).await.map(|_| ())
    }

    /// The records of these traces of one token, at the moment of this look.
    async fn read(&self, token: Address, traces: &[RecordTrace]) -> Result<Vec<Traced>, ChainError> {
        let mut records = Vec::with_capacity(traces.len());
        for some in traces.chunks(RECORDS_MAX) {
            let keys: Vec<PaymentKey> = some.iter().map(|trace| trace.key).collect();
            records.extend(self.chain.records(token, &keys, self.reading.at).await?);
        }
        Ok(recorded(traces, records))
    }

    /// Has these records of one token written down, and keeps those that are early. Returns false if the budget of the token
    /// is not enough for all. Then nothing that is kept is lost.
    async fn write(&mut self, token: Address, records: &[Traced], reading: Reading) -> Result<bool, Undone> {
        for some in records.chunks(RECORDS_MAX) {
            let left = self.writer.write(token, some, &reading).await?;
            let judged: Vec<Traced> = some.iter().copied().filter(|traced| !left.unpaid.contains(traced)).collect();
            self.early.remove(&judged);
            for (traced, is_known) in left.early {
                self.early.put(traced, reading.at, is_known);
            }
            if !left.unpaid.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn trace(record: &FoundRecord) -> RecordTrace {
    RecordTrace { token: record.token, key: record.payment_key, tx_hash: record.tx_hash, block: record.block }
}
