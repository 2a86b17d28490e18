//! Following: what the ledger holds from a sequence on, in order, for ever, by asking for the next page.
//!
//! Not by a consumer. Whoever may create one, even an unnamed one, may change every other: the server takes the name
//! from the body of the request. A stolen password of the api could so stop the payments of everybody. Direct get only
//! reads, needs no state on the server, and knows no position but the asker's.

use crate::connect::Ledger;
use crate::envelope::Recorded;
use crate::error::LedgerError;
use futures_util::{Stream, stream};
use runtime::causes;
use std::time::Duration;
use tokio::sync::mpsc;

/// Between two looks at a ledger without news. News wait half of it on average; a look costs the server 0.1 ms.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// After a look that was not answered. The connection comes back by itself.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// Pages that are read while their reader is busy with others: reading and applying take about the same time.
const PAGES_AHEAD: usize = 2;

/// Where a reader stands.
struct Reader {
    ledger: Ledger,
    filters: Vec<String>,
    /// The first sequence that was not read.
    next: u64,
}

impl Ledger {
    /// The whole ledger from sequence `from`, in order, for ever: nothing is left out, so a gap is a hole in the ledger.
    /// Ends only with an error, after which the caller starts again where it stopped; a ledger that does not answer is
    /// no error but a wait.
    ///
    /// # Errors
    /// [`LedgerError::Transient`]: read again from the next sequence.
    pub async fn read_from(
        &self,
        from: u64,
    ) -> Result<impl Stream<Item = Result<Recorded, LedgerError>> + Send + Unpin + use<>, LedgerError> {
        Ok(self.messages(vec![">".to_owned()], from.max(1)))
    }

    /// What `filters` match, in order, for ever: from the beginning, or only what is new.
    ///
    /// # Errors
    /// As [`Ledger::read_from`].
    pub async fn follow(
        &self,
        filters: Vec<String>,
        only_new: bool,
    ) -> Result<impl Stream<Item = Result<Recorded, LedgerError>> + Send + Unpin + use<>, LedgerError> {
        let from = if only_new { self.state().await?.1 + 1 } else { 1 };
        Ok(self.messages(filters, from))
    }

    /// What `filter` matches from sequence `from` on, in order, permanently. The server is asked for all messages, and
    /// the filter is applied here: for each page of a filter with wildcards the server would count what is left, and walk
    /// every subject that the filter matches (nats-server 2.15.1).
    pub fn follow_from(
        &self,
        filter: &str,
        from: u64,
    ) -> impl Stream<Item = Result<Recorded, LedgerError>> + Send + Unpin + use<> {
        self.messages(vec![filter.to_owned()], from.max(1))
    }

    fn messages(
        &self,
        filters: Vec<String>,
        next: u64,
    ) -> impl Stream<Item = Result<Recorded, LedgerError>> + Send + Unpin + use<> {
        let (pages, read) = mpsc::channel(PAGES_AHEAD);
        let mut reader = Reader { ledger: self.clone(), filters, next };
        tokio::spawn(async move {
            tokio::select! {
                () = reader.read(&pages) => {}
                () = pages.closed() => {}
            }
        });
        Box::pin(stream::unfold((read, Vec::new().into_iter()), |(mut read, mut page)| async move {
            loop {
                if let Some(recorded) = page.next() {
                    return Some((Ok(recorded), (read, page)));
                }
                page = Vec::into_iter(read.recv().await?);
            }
        }))
    }
}

impl Reader {
    /// Reads page after page until nobody takes them.
    async fn read(&mut self, pages: &mpsc::Sender<Vec<Recorded>>) {
        loop {
            let mut page = match self.ledger.page(self.next).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::debug!(error = %causes(&error), next = self.next, "the ledger is asked again");
                    tokio::time::sleep(RETRY_INTERVAL).await;
                    continue;
                }
            };
            match page.last() {
                Some(last) => self.next = last.seq + 1,
                None => tokio::time::sleep(LOOK_INTERVAL).await,
            }
            page.retain(|recorded| self.filters.iter().any(|filter| matches(filter, &recorded.subject)));
            if !page.is_empty() && pages.send(page).await.is_err() {
                return;
            }
        }
    }
}

/// As the server matches a subject: `*` is one token, `>` one or more at the end.
fn matches(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in filter.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            (_, None) => return false,
            (wanted, Some(token)) if wanted != "*" && wanted != token => return false,
            _ => {}
        }
    }
    tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_on_the_server() {
        for (filter, subject, expected) in [
            (">", "orders.0.a", true),
            ("orders.>", "orders.0.a.mint.payment.requested", true),
            ("orders.>", "orders", false),
            ("orders.*.*.mint.payment.failed", "orders.0.a.mint.payment.failed", true),
            ("orders.*.*.mint.payment.failed", "orders.0.a.mint.payment.confirmed", false),
            ("orders.*.*.mint.payment", "orders.0.a.mint.payment.failed", false),
            ("orders.*.*.mint.payment.failed.*", "orders.0.a.mint.payment.failed", false),
        ] {
            assert_eq!(matches(filter, subject), expected, "{filter} {subject}");
        }
    }
}
