//! Append. The expected version is the only lock. If the outcome is unknown, the append reads back what is stored and
//! compares.

use crate::acknowledgement::{AppendAnswer, classify};
use crate::batch::{Batch, Expected, NewEvent};
use crate::client::REQUEST_TIMEOUT;
use crate::connect::Ledger;
use crate::envelope::{CONTENT_TYPE, encode};
use crate::error::{AppendError, LedgerError};
use crate::lane_subjects::{bucket_filter, key_filter};
use crate::subjects::{order_filter, subject};
use async_nats::HeaderMap;
use chrono::Utc;
use domain::{Event, Recorded};
use runtime::{APPENDS, Backoff, Cause};
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// Messages in one atomic batch. The server's limit is 1,000 (10199).
pub(crate) const BATCH_MAX: usize = 500;

/// A process sends batches of at least this many events one after the other. The server works off a batch in one piece,
/// so appends of other processes are stored only between two batches.
const LARGE: usize = 10;

/// A large batch holds up the next one at most this long. It takes milliseconds, except if its acknowledgement is lost.
pub(crate) const TURN_MAX: Duration = Duration::from_millis(500);

/// Maximum time of an append with everything that it waits for. Then its outcome is reported as unknown, before the api
/// gives the append up (10 s). Three replicas elect a leader within 4 to 9 s, because each of the two that are left stands
/// for election after a random time in this range, and the earlier of them wins.
/// Source: nats-server 2.15, server/raft.go, `minElectionTimeoutDefault` and `maxElectionTimeoutDefault`.
pub(crate) const APPEND_MAX: Duration = Duration::from_secs(9);

/// Pauses between two tries. During an election the server answers immediately that nothing listens.
const PAUSES: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_millis(500) };

/// Conflicts after a try with an unknown outcome, until another writer counts as the first although none is found. A
/// replica that lags may not show yet that the unknown try was stored.
const CONFLICTS_MAX: u32 = 3;

/// A message that is ready to be sent. It is built once, and may be sent several times.
struct Outgoing {
    subject: String,
    headers: HeaderMap,
    payload: bytes::Bytes,
    /// The event, for the comparison after reading back.
    event: Event,
}

/// The tries of an append so far, none of which is known to have stored it.
struct Doubt {
    /// Why the outcome is not known.
    why: Cause,
    /// True if a try ended without an answer that decides about it. The server may store it later.
    is_unknown: bool,
    /// Conflicts after such a try.
    conflicts: u32,
}

impl Ledger {
    /// Appends all of `batch` or nothing, atomically, and returns the sequences of its events. Events that are already
    /// stored with the same content count as stored, so a retry finds its own first try.
    ///
    /// A batch counts as refused only if nothing of it is stored. See [`Batch`] for a server that keeps the beginning
    /// of one.
    ///
    /// If the ledger does not answer, or elects a leader, the append waits for it: nine seconds in all.
    ///
    /// # Errors
    /// See [`AppendError`]. After `Unknown` the only right reaction is the same call again, which is safe.
    pub async fn append(&self, batch: impl Into<Batch>) -> Result<Vec<u64>, AppendError> {
        self.append_until(batch, Instant::now() + APPEND_MAX).await
    }

    /// Like [`Ledger::append`], for a caller that has waited already. The outcome is unknown at `deadline`.
    pub(crate) async fn append_until(
        &self,
        batch: impl Into<Batch>,
        deadline: Instant,
    ) -> Result<Vec<u64>, AppendError> {
        self.store(batch.into(), true, deadline).await
    }

    /// Like [`Ledger::append`], but skips the integrity check. Used only to record that the ledger is damaged, or that an
    /// operator has looked.
    pub(crate) async fn write(&self, batch: impl Into<Batch>) -> Result<Vec<u64>, AppendError> {
        self.store(batch.into(), false, Instant::now() + APPEND_MAX).await
    }

    async fn store(&self, batch: Batch, is_checked: bool, deadline: Instant) -> Result<Vec<u64>, AppendError> {
        let mut doubt = Doubt { why: "no answer in time".into(), is_unknown: false, conflicts: 0 };
        let trying = self.keep_trying(batch.events(), is_checked, &mut doubt);
        let stored = timeout_at(deadline, trying).await.unwrap_or_else(|_| Err(AppendError::Unknown(doubt.why)));
        APPENDS.add(&[match &stored {
            Ok(_) => "stored",
            Err(AppendError::WrongVersion) => "wrong_version",
            Err(AppendError::Unknown(_)) => "unknown",
            Err(AppendError::Refused(_)) => "refused",
            Err(AppendError::Stopped(_)) => "stopped",
        }]);
        let sequences = stored?;
        self.whole.knows(sequences.last().copied().unwrap_or_default());
        Ok(sequences)
    }

    /// Tries until the outcome is known.
    async fn keep_trying(
        &self,
        events: &[NewEvent],
        is_checked: bool,
        doubt: &mut Doubt,
    ) -> Result<Vec<u64>, AppendError> {
        let messages = self.outgoing(events)?;
        let mut tries = 0;
        loop {
            match if is_checked { self.check().await } else { Ok(()) } {
                Ok(()) => {
                    if let Some(decided) = self.try_once(&messages, doubt).await {
                        return decided;
                    }
                }
                Err(AppendError::Unknown(why)) => doubt.why = why,
                Err(stopped) => return Err(stopped),
            }
            tokio::time::sleep(PAUSES.pause(tries)).await;
            tries += 1;
        }
    }

    /// Tries once. Returns `None` if the outcome is not known afterwards.
    async fn try_once(&self, messages: &[Outgoing], doubt: &mut Doubt) -> Option<Result<Vec<u64>, AppendError>> {
        match self.send(messages).await {
            AppendAnswer::Stored(sequences) => Some(Ok(sequences)),
            AppendAnswer::Refused(why) if messages.len() == 1 && !doubt.is_unknown => {
                Some(Err(AppendError::Refused(why)))
            }
            AppendAnswer::Refused(why) => Some(match self.read_back(messages).await {
                Ok(ReadBack::Same(sequences)) => Ok(sequences),
                Ok(ReadBack::Absent) if !doubt.is_unknown => Err(AppendError::Refused(why)),
                // The server may still store an earlier try.
                Ok(ReadBack::Absent | ReadBack::Different | ReadBack::Part) | Err(_) => Err(AppendError::Unknown(why)),
            }),
            answer @ (AppendAnswer::Conflict | AppendAnswer::InFlight) => match self.read_back(messages).await {
                Ok(ReadBack::Same(sequences)) => Some(Ok(sequences)),
                // An earlier try may be the one in flight, and then it is stored as soon as enough replicas are there.
                Ok(ReadBack::Absent | ReadBack::Part)
                    if doubt.is_unknown && matches!(answer, AppendAnswer::InFlight) =>
                {
                    None
                }
                Ok(ReadBack::Absent) if doubt.is_unknown && doubt.conflicts < CONFLICTS_MAX => {
                    doubt.conflicts += 1;
                    None
                }
                // The server has decided about this append and any earlier try of it, so nothing follows. A part is
                // the beginning of a batch of which the server kept no more.
                Ok(ReadBack::Different | ReadBack::Part | ReadBack::Absent) => Some(Err(AppendError::WrongVersion)),
                Err(why) => {
                    doubt.why = why.into();
                    None
                }
            },
            AppendAnswer::Unknown(why) => match self.read_back(messages).await {
                Ok(ReadBack::Same(sequences)) => Some(Ok(sequences)),
                Ok(ReadBack::Different) => Some(Err(AppendError::WrongVersion)),
                Ok(ReadBack::Part | ReadBack::Absent) | Err(_) => {
                    (doubt.why, doubt.is_unknown) = (why, true);
                    None
                }
            },
        }
    }

    fn outgoing(&self, events: &[NewEvent]) -> Result<Vec<Outgoing>, AppendError> {
        let now = Utc::now();
        let batch = Uuid::new_v4().simple().to_string();
        let last = events.len();
        events
            .iter()
            .zip(1_usize..)
            .map(|(new, position)| {
                let payload = encode(&new.event, self.source, new.trace.as_deref(), now)
                    .map_err(|e| AppendError::Refused(e.into()))?;
                let mut headers = HeaderMap::new();
                headers.insert("Content-Type", CONTENT_TYPE);
                expect(&mut headers, new);
                if last > 1 {
                    headers.insert("Nats-Batch-Id", batch.as_str());
                    headers.insert("Nats-Batch-Sequence", position.to_string());
                    if position == last {
                        headers.insert("Nats-Batch-Commit", "1");
                    }
                }
                Ok(Outgoing {
                    subject: subject(&new.event),
                    headers,
                    payload: payload.into(),
                    event: new.event.clone(),
                })
            })
            .collect()
    }

    async fn send(&self, messages: &[Outgoing]) -> AppendAnswer {
        let Some((last, first)) = messages.split_last() else { return AppendAnswer::Stored(vec![]) };
        let turn = if messages.len() < LARGE { None } else { Some(self.large_batch.lock().await) };
        for message in first {
            let sent = self
                .client
                .publish_with_headers(message.subject.clone(), message.headers.clone(), message.payload.clone())
                .await;
            if let Err(e) = sent {
                return AppendAnswer::Unknown(e.into());
            }
        }
        let request =
            self.client.request_with_headers(last.subject.clone(), last.headers.clone(), last.payload.clone());
        let mut answered = pin!(tokio::time::timeout(REQUEST_TIMEOUT, request));
        let in_turn = tokio::time::timeout(TURN_MAX, &mut answered).await;
        drop(turn);
        let answered = match in_turn {
            Ok(answered) => answered,
            // The turn is over, and the outcome is still to come.
            Err(_elapsed) => answered.await,
        };
        match answered {
            Ok(Ok(reply)) => classify(&reply.payload, messages.len()),
            Ok(Err(e)) => AppendAnswer::Unknown(e.into()),
            Err(e) => AppendAnswer::Unknown(e.into()),
        }
    }

    /// Compares the stored messages of these subjects with the messages that were to be appended.
    async fn read_back(&self, messages: &[Outgoing]) -> Result<ReadBack, LedgerError> {
        let subjects: Vec<String> = messages.iter().map(|message| message.subject.clone()).collect();
        Ok(compare(messages, &self.last_per_subject(&subjects).await?))
    }
}

/// The messages that are stored under the subjects of an append.
#[derive(Debug, PartialEq, Eq)]
enum ReadBack {
    /// All of it, with these sequences.
    Same(Vec<u64>),
    /// At least one subject has another content, so another writer was first.
    Different,
    /// Some of it, and nothing else. It may be stored at this moment, because the subjects of a large batch are read in
    /// several requests. Or the server kept only the beginning.
    Part,
    /// Nothing.
    Absent,
}

fn compare(messages: &[Outgoing], stored: &[Recorded]) -> ReadBack {
    let mut sequences = Vec::with_capacity(messages.len());
    for message in messages {
        let Some(recorded) = stored.iter().find(|recorded| recorded.subject == message.subject) else { continue };
        if !recorded.event.as_ref().is_ok_and(|event| same_content(event, &message.event)) {
            return ReadBack::Different;
        }
        sequences.push(recorded.seq);
    }
    match sequences.len() {
        0 => ReadBack::Absent,
        some if some < messages.len() => ReadBack::Part,
        _ => ReadBack::Same(sequences),
    }
}

/// Adds the expectation headers. Every writer of an order or lane must send the byte-identical filter: with three
/// replicas, a mix of `>` and `*` let two contradicting events in.
fn expect(headers: &mut HeaderMap, new: &NewEvent) {
    let mut last = |version: u64, filter: String| {
        headers.insert("Nats-Expected-Last-Subject-Sequence", version.to_string());
        headers.insert("Nats-Expected-Last-Subject-Sequence-Subject", filter);
    };
    match (new.expected, &new.event) {
        (Expected::Version(version), Event::Order(id, _) | Event::Record(id, _)) => last(version, order_filter(*id)),
        (Expected::Version(version), event) => last(version, subject(event)),
        (Expected::Lane(version), Event::Signer(lane, _)) => last(version.last, bucket_filter(*lane, version.bucket)),
        (Expected::Unclaimed, Event::Signer(lane, _)) => last(0, key_filter(lane.signer)),
        (Expected::Absent | Expected::Lane(_) | Expected::Unclaimed, event) => last(0, subject(event)),
    }
}

/// True if type and data are equal. Author and time do not matter.
fn same_content(stored: &Event, wanted: &Event) -> bool {
    subject(stored) == subject(wanted) && matches!((stored.data(), wanted.data()), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{SignerEvent, StoredMessage, examples};

    fn outgoing(event: &Event) -> Outgoing {
        let payload = bytes::Bytes::new();
        Outgoing { subject: subject(event), headers: HeaderMap::new(), payload, event: event.clone() }
    }

    fn stored(seq: u64, event: &Event, subject: String) -> Recorded {
        let payload = bytes::Bytes::new();
        let message = StoredMessage { seq, subject, headers: None, payload, recorded_at: Utc::now() };
        Recorded { message, event: Ok(event.clone()), trace: None }
    }

    /// The subjects of a large batch are read in several requests. If it is stored between two of them, a part is missing,
    /// and that must not count as refused.
    #[test]
    fn a_part_of_an_append_is_told_from_an_append_of_somebody_else() {
        let [mine, also_mine, others] =
            [1, 2, 3].map(|nonce| Event::Signer(examples::LANE, SignerEvent::Settled(examples::settled(nonce))));
        let messages = [outgoing(&mine), outgoing(&also_mine)];
        let own = |seq, event: &Event| stored(seq, event, subject(event));
        let taken = || stored(9, &others, subject(&also_mine));
        let cases = [
            (vec![], ReadBack::Absent),
            (vec![own(7, &mine), own(8, &also_mine)], ReadBack::Same(vec![7, 8])),
            (vec![own(7, &mine)], ReadBack::Part),
            (vec![own(8, &also_mine)], ReadBack::Part),
            (vec![taken()], ReadBack::Different),
            (vec![own(7, &mine), taken()], ReadBack::Different),
        ];
        for (found, expected) in cases {
            assert_eq!(compare(&messages, &found), expected);
        }
    }
}
