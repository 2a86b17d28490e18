//! The stream by itself, and its copy (A09).

use crate::evidence::Evidence;
use crate::evidence::tables::CopyRow;
use crate::verdict::{Check, Verdict};
use alloy_primitives::B256;
use chrono::{DateTime, SubsecRound, Utc};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A09: 1 to last without a gap, the same stream as was copied, each row of the copy byte for byte, and the chain of
/// hashes computed anew over the stream.
pub fn stream(evidence: &Evidence) -> Verdict {
    let mut check = Check::new("A09", "the stream is whole, its copy is the same, and the chain of hashes holds");
    let (stream, tables) = (&evidence.stream, &evidence.tables);
    check.equal(|| "first sequence".to_owned(), stream.first_seq, 1);
    check.equal(|| "messages, by the server's own count".to_owned(), stream.messages, stream.last_seq);
    let Some(position) = &tables.position else {
        check.that(false, || "the copy has no position".to_owned());
        return check.verdict("");
    };
    let same_stream = micros(stream.created) == position.incarnation;
    check.that(same_stream, || {
        format!(
            "incarnation: the stream was created at {}, copied was that of {}",
            stream.created, position.incarnation
        )
    });
    let found: BTreeMap<u64, _> = stream.found.iter().map(|message| (message.seq, message)).collect();
    let copied: BTreeMap<u64, &CopyRow> = tables.copy.iter().map(|row| (row.seq, row)).collect();
    let mut hash = B256::ZERO;
    for seq in 1..=stream.last_seq {
        let Some(message) = found.get(&seq) else {
            check.that(false, || format!("sequence {seq} is missing in the stream"));
            // What it said stands in the copy; the chain goes on over that.
            hash = copied.get(&seq).map_or(hash, |row| row.hash);
            continue;
        };
        let before = hash;
        let headers = message.headers.as_deref();
        hash = link(before, seq, message.subject.as_bytes(), headers, &message.payload);
        let Some(row) = copied.get(&seq) else {
            check.that(false, || format!("sequence {seq} is missing in the copy"));
            continue;
        };
        let same = row.subject == message.subject.as_bytes()
            && row.headers.as_deref() == headers
            && row.payload == message.payload;
        check.that(same, || format!("sequence {seq} ({}) is another in the copy", message.subject));
        check.that(!same_stream || row.recorded_at == micros(message.time), || {
            format!("sequence {seq} was recorded at {}, says the copy; it was at {}", row.recorded_at, message.time)
        });
        let own = link(before, seq, &row.subject, row.headers.as_deref(), &row.payload);
        check.that(row.hash == own, || format!("the chain of hashes breaks at sequence {seq} of the copy"));
    }
    let extra = copied.keys().filter(|seq| **seq > stream.last_seq).count();
    check.equal(|| "rows of the copy beyond the stream".to_owned(), extra, 0);
    check.equal(|| "position of the copy".to_owned(), position.seq, stream.last_seq);
    check.equal(|| "hash at the position".to_owned(), position.hash, hash);
    check.verdict("the stream is empty")
}

/// The tables keep microseconds.
fn micros(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(6)
}

/// The hash of a row as migrations/0001_ledger.sql defines it: the hash before, the sequence, and subject, headers and
/// payload with the lengths of the first two. Missing headers have the length ffffffff.
fn link(before: B256, seq: u64, subject: &[u8], headers: Option<&[u8]>, payload: &[u8]) -> B256 {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut sha = Sha256::new();
    sha.update(before.as_slice());
    sha.update(seq.to_be_bytes());
    sha.update(length(subject));
    sha.update(subject);
    match headers {
        Some(headers) => {
            sha.update(length(headers));
            sha.update(headers);
        }
        None => sha.update([0xff; 4]),
    }
    sha.update(payload);
    B256::from_slice(&sha.finalize())
}
