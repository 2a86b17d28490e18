//! Reading: the last message per subject, and what follows a sequence.
//!
//! Nothing here lets a caller walk the ledger with a filter. For a filter with wildcards the server searches block after
//! block up to the end, under the lock that appends need; with millions of events that stops everybody for seconds. What
//! is found by subject goes through the server's subject tree ([`Ledger::last_per_subject`]); what is read by sequence is
//! read without a filter.

use crate::connect::Ledger;
use crate::direct::{Fetched, Get, Got};
use crate::envelope::Recorded;
use crate::error::LedgerError;

/// Filters in one request: an order has about ten subjects, and the server answers with 1,024 at most.
const FILTERS_MAX: usize = 50;

/// Messages in one page.
const PAGE_MAX: usize = 512;

impl Ledger {
    /// The last message of every subject that one of `filters` matches, by sequence. Since a subject is written once,
    /// this is the whole history of an order or of a nonce. Costs what the filters match, however large the ledger is.
    pub(crate) async fn last_per_subject(&self, filters: &[String]) -> Result<Vec<Recorded>, LedgerError> {
        self.last_per_subject_from(0, filters).await
    }

    /// As [`Ledger::last_per_subject`], of what was written from sequence `from` on.
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

    /// As [`Ledger::last_per_subject_from`], and the filters for which there is no answer: each matches more subjects than
    /// the server gives for one request, counted without `from`.
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

    /// Returns `None` if more subjects match than the server gives for one request.
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

    /// The message under one subject.
    pub(crate) async fn last(&self, subject: &str) -> Result<Option<Recorded>, LedgerError> {
        Ok(self.last_per_subject(&[subject.to_owned()]).await?.pop())
    }

    /// The last of all messages that a filter with wildcards matches. `None` is no proof that there is none: the server
    /// says the same of a message that it cannot load.
    pub(crate) async fn last_match(&self, filter: &str) -> Result<Option<Recorded>, LedgerError> {
        match self.direct_get(&Get::LastMatch(filter.to_owned())).await? {
            Fetched::Got(mut got) => Ok(got.messages.pop()),
            Fetched::TooMany => Err(LedgerError::transient("direct get", "a single message is too many")),
        }
    }

    /// What `filter` matches from sequence `from` on, by sequence. `from` must be recent: the server searches everything
    /// behind it.
    pub(crate) async fn news(&self, filter: &str, mut from: u64) -> Result<Vec<Recorded>, LedgerError> {
        let mut found: Vec<Recorded> = Vec::new();
        loop {
            let Got { messages, more } = self.next(from, filter, PAGE_MAX).await?;
            found.extend(messages);
            match found.last() {
                Some(last) if more => from = last.seq + 1,
                _ => return Ok(found),
            }
        }
    }

    /// The next messages from sequence `from` on, as many as a page holds; empty if there are none yet.
    pub(crate) async fn page(&self, from: u64) -> Result<Vec<Recorded>, LedgerError> {
        Ok(self.next(from, ">", PAGE_MAX).await?.messages)
    }

    /// The messages from sequence `from` on, at most `count`.
    pub(crate) async fn few(&self, from: u64, count: usize) -> Result<Vec<Recorded>, LedgerError> {
        let mut found: Vec<Recorded> = Vec::new();
        while found.len() < count {
            let next = found.last().map_or(from, |last| last.seq + 1);
            let Got { messages, more } = self.next(next, ">", count - found.len()).await?;
            found.extend(messages);
            if !more {
                break;
            }
        }
        Ok(found)
    }

    /// The messages from sequence `from` to `to`, both included, as far as they are there. The caller bounds the range:
    /// all of it is in memory.
    ///
    /// # Errors
    /// [`LedgerError::Transient`] without a complete answer.
    pub async fn between(&self, from: u64, to: u64) -> Result<Vec<Recorded>, LedgerError> {
        let mut found: Vec<Recorded> = Vec::new();
        let mut next = from;
        while next <= to {
            let page = self.page(next).await?;
            let Some(last) = page.last().map(|last| last.seq) else { break };
            next = last + 1;
            found.extend(page.into_iter().filter(|recorded| recorded.seq <= to));
        }
        Ok(found)
    }

    /// The message at `seq`, if there is one.
    ///
    /// # Errors
    /// [`LedgerError::Transient`] without an answer.
    pub async fn at(&self, seq: u64) -> Result<Option<Recorded>, LedgerError> {
        match self.direct_get(&Get::At(seq)).await? {
            Fetched::Got(mut got) => Ok(got.messages.pop().filter(|recorded| recorded.seq == seq)),
            Fetched::TooMany => Err(LedgerError::transient("direct get", "a single message is too many")),
        }
    }

    async fn next(&self, from: u64, filter: &str, count: usize) -> Result<Got, LedgerError> {
        let get = Get::Next { from, filter: filter.to_owned(), count };
        match self.direct_get(&get).await? {
            Fetched::Got(got) => Ok(got),
            Fetched::TooMany => Err(LedgerError::transient("direct get", "a page is too many")),
        }
    }
}
