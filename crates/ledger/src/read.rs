//! Reading: the last message per subject, and the messages from a sequence on.
//!
//! No public function here reads with a filter from an old position. For a filter with wildcards the server searches
//! block after block up to the end, under the lock that appends need. With millions of events that stops all appends
//! for seconds. Reading by subject uses the server's subject tree ([`Ledger::last_per_subject`]); reading by sequence
//! uses no filter.

use crate::connect::Ledger;
use crate::direct::{Fetched, Get, Got};
use crate::error::LedgerError;
use domain::Recorded;

/// Maximum number of filters in one request. The server stores nothing while it answers a request, so many orders are asked
/// for in many small requests, and appends are stored between them. An order has about five events.
const FILTERS_MAX: usize = 5;

/// Maximum number of messages in one page, for the same reason.
const PAGE_MAX: usize = 32;

impl Ledger {
    /// The last message of every subject that one of `filters` matches, in order of sequence. A subject is written
    /// once, so for the filter of an order or a nonce this is its whole history. The cost depends on the number of
    /// matches, not on the size of the ledger.
    pub(crate) async fn last_per_subject(&self, filters: &[String]) -> Result<Vec<Recorded>, LedgerError> {
        self.last_per_subject_from(0, filters).await
    }

    /// Like [`Ledger::last_per_subject`], but only messages from sequence `from` on.
    pub(crate) async fn last_per_subject_from(
        &self,
        from: u64,
        filters: &[String],
    ) -> Result<Vec<Recorded>, LedgerError> {
        match self.found(from, filters).await? {
            (found, too_many) if too_many.is_empty() => Ok(found),
            (_, too_many) => {
                let (what, source) = (too_many.join(" and "), "too many subjects match".into());
                Err(LedgerError::Corrupt { what, source })
            }
        }
    }

    /// Like [`Ledger::last_per_subject_from`]. Also returns the filters without an answer: each matches more subjects
    /// than the server returns for one request, counted without `from`.
    pub(crate) async fn found(
        &self,
        from: u64,
        filters: &[String],
    ) -> Result<(Vec<Recorded>, Vec<String>), LedgerError> {
        let (mut found, mut too_many) = (Vec::new(), Vec::new());
        let mut asked: Vec<&[String]> = filters.chunks(FILTERS_MAX).rev().collect();
        while let Some(some) = asked.pop() {
            match (self.last_of(from, some).await?, some) {
                (Some(messages), _) => found.extend(messages),
                (None, [filter]) => too_many.push(filter.clone()),
                (None, some) => {
                    let (first, second) = some.split_at(some.len() / 2);
                    asked.extend([second, first]);
                }
            }
        }
        found.sort_by_key(|recorded| recorded.seq);
        // A filter that is named twice may be answered twice, in two requests.
        found.dedup_by_key(|recorded| recorded.seq);
        Ok((found, too_many))
    }

    /// Sends one group of filters. Returns `None` if they match more subjects than the server returns for one request.
    async fn last_of(&self, from: u64, filters: &[String]) -> Result<Option<Vec<Recorded>>, LedgerError> {
        let mut found: Vec<Recorded> = Vec::new();
        loop {
            let from = found.last().map_or(from, |last| last.seq + 1);
            let get = Get::Last { from, filters: filters.to_vec() };
            match self.direct_get(&get).await? {
                Fetched::TooMany => return Ok(None),
                Fetched::Got(Got { messages, more: false }) => {
                    found.extend(messages);
                    return Ok(Some(found));
                }
                Fetched::Got(Got { messages, .. }) if messages.is_empty() => {
                    return Err(LedgerError::transient("direct get", "an answer without an end"));
                }
                Fetched::Got(Got { messages, .. }) => found.extend(messages),
            }
        }
    }

    /// The message with this subject.
    pub(crate) async fn last(&self, subject: &str) -> Result<Option<Recorded>, LedgerError> {
        Ok(self.last_per_subject(&[subject.to_owned()]).await?.pop())
    }

    /// The last one of all messages that a filter with wildcards matches. `None` does not prove that there is none,
    /// because the server says the same if it cannot load the message.
    pub(crate) async fn last_match(&self, filter: &str) -> Result<Option<Recorded>, LedgerError> {
        match self.direct_get(&Get::LastMatch(filter.to_owned())).await? {
            Fetched::Got(mut got) => Ok(got.messages.pop()),
            Fetched::TooMany => Err(LedgerError::transient("direct get", "a single message is too many")),
        }
    }

    /// Every message from sequence `from` on that `filter` matches, in order of sequence. `from` must be recent,
    /// because the server searches everything behind it.
    ///
    /// Asks for one message at a time. For a page the server also counts the messages behind it, and for that it walks
    /// all subjects that `filter` matches, also the old ones: 55 milliseconds for a lane with a million transactions,
    /// instead of 0.1, under the lock that appends need.
    pub(crate) async fn news(&self, filter: &str, mut from: u64) -> Result<Vec<Recorded>, LedgerError> {
        let mut found: Vec<Recorded> = Vec::new();
        loop {
            let get = Get::NextOne { from, filter: filter.to_owned() };
            let Fetched::Got(Got { mut messages, .. }) = self.direct_get(&get).await? else {
                return Err(LedgerError::transient("direct get", "a single message is too many"));
            };
            let Some(next) = messages.pop() else { return Ok(found) };
            from = next.seq + 1;
            found.push(next);
        }
    }

    /// The next messages from sequence `from` on, as many as one page holds, and whether there are more. Empty if there
    /// are none yet.
    pub(crate) async fn page(&self, from: u64) -> Result<Got, LedgerError> {
        self.next(from, PAGE_MAX).await
    }

    /// At most `count` messages from sequence `from` on.
    pub(crate) async fn few(&self, from: u64, count: usize) -> Result<Vec<Recorded>, LedgerError> {
        let mut found: Vec<Recorded> = Vec::new();
        while found.len() < count {
            let next = found.last().map_or(from, |last| last.seq + 1);
            let Got { messages, more } = self.next(next, PAGE_MAX.min(count - found.len())).await?;
            found.extend(messages);
            if !more {
                break;
            }
        }
        Ok(found)
    }

    /// The stored messages from sequence `from` to `to`, both included. All of them are in memory, so the caller must
    /// bound the range.
    ///
    /// # Errors
    /// [`LedgerError::Transient`]: no complete answer.
    pub async fn between(&self, from: u64, to: u64) -> Result<Vec<Recorded>, LedgerError> {
        let mut found: Vec<Recorded> = Vec::new();
        let mut next = from;
        while next <= to {
            let page = self.page(next).await?.messages;
            let Some(last) = page.last().map(|last| last.seq) else { break };
            next = last + 1;
            found.extend(page.into_iter().filter(|recorded| recorded.seq <= to));
        }
        Ok(found)
    }

    /// The message with sequence `seq`. Returns `None` if there is none.
    ///
    /// # Errors
    /// [`LedgerError::Transient`]: no answer.
    pub async fn at(&self, seq: u64) -> Result<Option<Recorded>, LedgerError> {
        match self.direct_get(&Get::At(seq)).await? {
            Fetched::Got(mut got) => Ok(got.messages.pop().filter(|recorded| recorded.seq == seq)),
            Fetched::TooMany => Err(LedgerError::transient("direct get", "a single message is too many")),
        }
    }

    async fn next(&self, from: u64, count: usize) -> Result<Got, LedgerError> {
        let get = Get::Next { from, count };
        match self.direct_get(&get).await? {
            Fetched::Got(got) => Ok(got),
            Fetched::TooMany => Err(LedgerError::transient("direct get", "a page is too many")),
        }
    }
}
