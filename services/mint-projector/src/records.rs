//! Reads the records of payments at one moment, and has them judged and written down.

use crate::early::EarlyRecords;
use crate::judgement::Reading;
use crate::writing::{RecordWriter, Traced, recorded};
use chain::token::{RECORDS_MAX, Record, RecordTrace};
use chain::{Address, Chain, ChainError};
use domain::{BlockRef, FoundRecord, PaymentKey};
use runtime::Undone;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Records are read at one moment for this long. A node that keeps 128 states of a chain with four blocks a second forgets a
/// state after half a minute.
const READING_AGE_MAX: Duration = Duration::from_secs(10);

/// One look at records.
pub struct RecordLook<'a> {
    chain: &'a Chain,
    writer: &'a RecordWriter,
    /// Records that were not final when they were read.
    early: &'a mut EarlyRecords,
    /// The last block whose payments this look judges.
    pub searched: BlockRef,
    reading: Reading,
    read_at: Instant,
}

impl<'a> RecordLook<'a> {
    /// Begins a look.
    pub async fn begin(
        chain: &'a Chain,
        writer: &'a RecordWriter,
        early: &'a mut EarlyRecords,
    ) -> Result<Self, ChainError> {
        let reading = reading(chain).await?;
        Ok(Self { chain, writer, early, searched: reading.searched(), reading, read_at: Instant::now() })
    }

    /// Goes on with the present moment, before a node forgets the state of the one before.
    async fn refresh(&mut self) -> Result<(), ChainError> {
        if self.read_at.elapsed() < READING_AGE_MAX {
            return Ok(());
        }
        let reading = reading(self.chain).await?;
        // Otherwise the records of the payments that are being judged would not be there.
        if reading.searched().number < self.searched.number {
            return Err(ChainError::transient("eth_getBlockByNumber", "the chain is shorter than it was".to_owned()));
        }
        (self.reading, self.read_at) = (reading, Instant::now());
        Ok(())
    }

    /// Returns whether more records of this token can be found now.
    pub fn has_room(&self, token: Address) -> bool {
        self.writer.pool.room(token) > 0 && self.early.has_room(token)
    }

    /// Has the records of these traces written down. Returns the tokens of which not all was, because their budget is used up
    /// or because of an error.
    ///
    /// # Errors
    /// Nothing was judged: the node does not answer.
    pub async fn judge(&mut self, traces: Vec<RecordTrace>) -> Result<BTreeMap<Address, Option<Undone>>, ChainError> {
        self.refresh().await?;
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
        Ok(held_up)
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
    /// The last error of a block or token. The others are judged.
    pub async fn ripen(&mut self) -> Result<(), Undone> {
        let mut trouble = Ok(());
        for (at, by_token) in self.early.ripe(self.searched.number) {
            let is_final = match self.chain.block_at(at.number).await {
                Ok(found) => found.is_some_and(|found| found.block == at),
                Err(error) => {
                    trouble = Err(error.into());
                    continue;
                }
            };
            for (token, early) in by_token {
                let can_pay = self.writer.pool.room(token) > 0;
                let payable = early.into_iter().filter(|early| can_pay || early.is_known);
                let records: Vec<Traced> = payable.map(|early| early.traced).collect();
                let judged = if is_final {
                    self.write(token, &records, Reading { at, ..self.reading }).await
                } else {
                    self.read_again(token, &records).await
                };
                trouble = judged.map(|_| ()).and(trouble);
            }
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
    /// is not enough for all. Of those that were kept here, the unpaid ones stay.
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

/// The present moment. The final block is asked for first, so that what is older was made in the chain that leads to it.
async fn reading(chain: &Chain) -> Result<Reading, ChainError> {
    let last = chain.final_head().await?;
    let at = chain.confirmed(chain.head().await?).await?.block;
    Ok(Reading { at, last })
}

fn trace(record: &FoundRecord) -> RecordTrace {
    RecordTrace { token: record.token, key: record.payment_key, tx_hash: record.tx_hash, block: record.block }
}
