//! Following: reads the ledger from a sequence on, in order and without an end, by asking for page after page.
//!
//! It does not use a consumer. A user that may create a consumer, even an unnamed one, may change every other one,
//! because the server takes the name from the body of the request. With a stolen password of the api somebody could
//! stop the payments of everybody. A direct get only reads, needs no state on the server, and knows no position but
//! that of its caller.

use crate::connect::Ledger;
use crate::direct::Got;
use crate::error::LedgerError;
use domain::Recorded;
use futures_util::{Stream, stream};
use runtime::causes;
use std::time::Duration;
use tokio::sync::mpsc;

/// Pause before the next look when there are no more events. A new event waits half of it on average. A look costs the
/// server 0.1 ms, also if it finds one event. So while people buy, the events of one pause are read together.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Pause after a look that was not answered. The connection comes back by itself.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// Number of pages that are read ahead while the caller works on earlier ones.
const PAGES_AHEAD: usize = 2;

/// A reader and its position.
struct Reader {
    ledger: Ledger,
    filters: Vec<String>,
    /// The first sequence that was not read yet.
    next: u64,
}

impl Ledger {
    /// Every event from sequence `from` on, in order and without an end. Nothing is left out, so a gap in the sequences
    /// is a hole in the ledger. A ledger that does not answer is waited for. If the stream ends or yields an error, the
    /// caller starts again where it stopped.
    ///
    /// # Errors
    /// [`LedgerError::Transient`]: read again from the next sequence.
    pub async fn read_from(
        &self,
        from: u64,
    ) -> Result<impl Stream<Item = Result<Recorded, LedgerError>> + Send + Unpin + use<>, LedgerError> {
        Ok(self.messages(vec![">".to_owned()], from.max(1)))
    }

    /// Every event that one of `filters` matches, in order and without an end: from the beginning, or only new ones.
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

    /// Every event from sequence `from` on that `filter` matches, in order and without an end. The server is asked for
    /// all messages, and the filter is applied here. For each page of a filter with wildcards the server would count
    /// the remaining messages, and walk every subject that the filter matches (nats-server 2.15.1).
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
    /// Reads page after page until the receiver is dropped.
    async fn read(&mut self, pages: &mpsc::Sender<Vec<Recorded>>) {
        loop {
            let Got { messages: mut page, more } = match self.ledger.page(self.next).await {
                Ok(got) => got,
                Err(error) => {
                    tracing::debug!(error = %causes(&error), next = self.next, "the ledger is asked again");
                    tokio::time::sleep(RETRY_INTERVAL).await;
                    continue;
                }
            };
            // A server that says that there are more, and sends none, is not asked again immediately.
            let pauses = !more || page.is_empty();
            if let Some(last) = page.last() {
                self.next = last.seq + 1;
            }
            page.retain(|recorded| self.filters.iter().any(|filter| matches(filter, &recorded.subject)));
            if !page.is_empty() && pages.send(page).await.is_err() {
                return;
            }
            if pauses {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        }
    }
}

/// Matches a subject like the server: `*` is one token, `>` is one or more tokens at the end.
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
            ("orders.*.*.mint.payment.failed", "orders.0.a.mint.owed.payment.confirmed", false),
            ("orders.*.*.mint.payment", "orders.0.a.mint.payment.failed", false),
            ("orders.*.*.mint.payment.failed.*", "orders.0.a.mint.payment.failed", false),
        ] {
            assert_eq!(matches(filter, subject), expected, "{filter} {subject}");
        }
    }
}
