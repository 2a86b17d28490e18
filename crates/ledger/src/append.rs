//! Append. The expected version is the only lock. If the outcome is unknown, the append reads back what is stored and
//! compares.

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
use runtime::{APPENDS, Cause};
use serde_json::Value;
use std::pin::pin;
use std::time::Duration;
use uuid::Uuid;

/// Messages in one atomic batch. The server's limit is 1,000 (10199).
pub(crate) const BATCH_MAX: usize = 500;

/// A process sends batches of at least this many events one after the other. The server works off a batch in one piece,
/// so appends of other processes are stored only between two batches.
const LARGE: usize = 10;

/// A large batch holds up the next one at most this long. It takes milliseconds, except if its acknowledgement is lost.
const TURN_MAX: Duration = Duration::from_millis(500);

/// Attempts before the outcome is reported as unknown. With [`REQUEST_TIMEOUT`] for each they last longer than a leader
/// failover.
const ATTEMPTS: u32 = 3;

/// A message that is ready to be sent. It is built once, and may be sent several times.
struct Outgoing {
    subject: String,
    headers: HeaderMap,
    payload: bytes::Bytes,
    /// The event, for the comparison after reading back.
    event: Event,
}

/// The server's answers, grouped by what to do next. The error codes tell them apart.
enum AppendAnswer {
    Stored(Vec<u64>),
    /// Another writer was first. 10071: wrong last sequence. 10164: wrong last sequence while another append is in
    /// flight. 10077: per subject.
    Conflict,
    /// The events are not stored, and sending them again does not help.
    Refused(Cause),
    /// Any other answer, or none.
    Unknown(Cause),
}

impl Ledger {
    /// Appends all of `batch` or nothing, atomically, and returns the sequences of its events. Events that are already
    /// stored with the same content count as stored, so a retry finds its own first try.
    ///
    /// A batch counts as refused only if nothing of it is stored. See [`Batch`] for a server that keeps the beginning
    /// of one.
    ///
    /// # Errors
    /// See [`AppendError`]. After `Unknown` the only right reaction is the same call again, which is safe.
    pub async fn append(&self, batch: impl Into<Batch>) -> Result<Vec<u64>, AppendError> {
        if let Err(stopped) = self.check().await {
            APPENDS.add(&["stopped"]);
            return Err(stopped);
        }
        self.write(batch.into()).await
    }

    /// Like [`Ledger::append`], but skips the integrity check. Used only to record that the ledger is damaged, or that an
    /// operator has looked.
    pub(crate) async fn write(&self, batch: impl Into<Batch>) -> Result<Vec<u64>, AppendError> {
        let written = self.written(batch.into().events()).await;
        APPENDS.add(&[match &written {
            Ok(_) => "stored",
            Err(AppendError::WrongVersion) => "wrong_version",
            Err(AppendError::Unknown(_)) => "unknown",
            Err(AppendError::Refused(_)) => "refused",
            Err(AppendError::Stopped(_)) => "stopped",
        }]);
        let sequences = written?;
        self.whole.knows(sequences.last().copied().unwrap_or_default());
        Ok(sequences)
    }

    async fn written(&self, events: &[NewEvent]) -> Result<Vec<u64>, AppendError> {
        let messages = self.outgoing(events)?;
        let mut doubt = Cause::from("nothing to append");
        for attempt in 0..ATTEMPTS {
            match self.send(&messages).await {
                AppendAnswer::Stored(sequences) => return Ok(sequences),
                AppendAnswer::Refused(why) if messages.len() == 1 => return Err(AppendError::Refused(why)),
                AppendAnswer::Refused(why) => match self.read_back(&messages).await {
                    Ok(ReadBack::Same(sequences)) => return Ok(sequences),
                    Ok(ReadBack::Absent) => return Err(AppendError::Refused(why)),
                    Ok(ReadBack::Different | ReadBack::Part) | Err(_) => return Err(AppendError::Unknown(why)),
                },
                AppendAnswer::Conflict => match self.read_back(&messages).await {
                    Ok(ReadBack::Same(sequences)) => return Ok(sequences),
                    // The server has decided about this append and any earlier try of it, so nothing follows. A part is
                    // the beginning of a batch of which the server kept no more.
                    Ok(ReadBack::Different | ReadBack::Part | ReadBack::Absent) => {
                        return Err(AppendError::WrongVersion);
                    }
                    Err(why) => doubt = why.into(),
                },
                AppendAnswer::Unknown(why) => match self.read_back(&messages).await {
                    Ok(ReadBack::Same(sequences)) => return Ok(sequences),
                    Ok(ReadBack::Different) => return Err(AppendError::WrongVersion),
                    Ok(ReadBack::Part | ReadBack::Absent) | Err(_) => doubt = why,
                },
            }
            tokio::time::sleep(Duration::from_millis(50 << attempt)).await;
        }
        Err(AppendError::Unknown(doubt))
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

/// Reads a publish acknowledgement. `count` messages were sent; a batch's ack names the last sequence.
fn classify(payload: &[u8], count: usize) -> AppendAnswer {
    let Ok(answer) = serde_json::from_slice::<Value>(payload) else {
        return AppendAnswer::Unknown("the acknowledgement is not JSON".into());
    };
    let description = answer.pointer("/error/description").and_then(Value::as_str).unwrap_or_default();
    match answer.pointer("/error/err_code").and_then(Value::as_u64) {
        None if answer.get("error").is_some() => AppendAnswer::Unknown(answer.to_string().into()),
        None => match (answer.get("seq").and_then(Value::as_u64), u64::try_from(count)) {
            (Some(last), Ok(count)) if last >= count => AppendAnswer::Stored((last - count + 1..=last).collect()),
            _ => AppendAnswer::Unknown(format!("an acknowledgement without a sequence: {answer}").into()),
        },
        Some(10071 | 10164) => AppendAnswer::Conflict,
        Some(10077) if description.contains("per subject") => AppendAnswer::Conflict,
        // 10054: message too large. 10077: stream full. The other codes are mistakes of our own.
        Some(code @ (10054 | 10077 | 10111 | 10166 | 10174 | 10188 | 10193 | 10199 | 10201)) => {
            AppendAnswer::Refused(format!("{description} ({code})").into())
        }
        Some(code) => AppendAnswer::Unknown(format!("{description} ({code})").into()),
    }
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

    #[test]
    fn the_servers_answers_are_told_apart() {
        let cases = [
            (r#"{"stream":"LEDGER","seq":7}"#, 1, "stored"),
            (r#"{"stream":"LEDGER","seq":7,"batch":"x","count":3}"#, 3, "stored"),
            (r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 5"}}"#, 1, "conflict"),
            (r#"{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}"#, 2, "conflict"),
            (
                r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages per subject exceeded"}}"#,
                1,
                "conflict",
            ),
            (r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}"#, 1, "refused"),
            (
                r#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}"#,
                1,
                "refused",
            ),
            (r#"{"error":{"code":400,"err_code":10176,"description":"batch publish is incomplete"}}"#, 2, "unknown"),
            (
                r#"{"error":{"code":503,"err_code":10008,"description":"jetstream system temporarily unavailable"}}"#,
                1,
                "unknown",
            ),
            ("", 1, "unknown"),
            ("{}", 1, "unknown"),
        ];
        for (payload, count, expected) in cases {
            let found = match classify(payload.as_bytes(), count) {
                AppendAnswer::Stored(sequences) => {
                    assert_eq!(sequences.len(), count);
                    "stored"
                }
                AppendAnswer::Conflict => "conflict",
                AppendAnswer::Refused(_) => "refused",
                AppendAnswer::Unknown(_) => "unknown",
            };
            assert_eq!(found, expected, "{payload}");
        }
    }
}
