//! Subjects of lanes: `signers.<address>.<bucket>.<purpose>[.<queue>].<event>…`.
//!
//! A bucket holds all events of [`bucket_size`] nonces, also those that come much later. A claim is in the bucket of
//! its next nonce. The version of a lane is the last sequence of the bucket that was opened last. So the work of the
//! server for checking a version is bounded, after a million transactions as after ten. A filter over all of a lane
//! would cost about 20 milliseconds for each append after 100,000 transactions.
//!
//! The purpose stands behind the bucket, so that each service can be granted its own purpose, and so that events of
//! another purpose change no version.

use crate::parts::{below, hex, queued};
use alloy_primitives::Address;
use domain::SignerEvent;
use domain::event::{EventType, Purpose};
use domain::lane::LaneId;
use std::sync::OnceLock;

/// Number of nonces in one bucket. It is not a setting, because subjects are permanent. A full bucket has some 10,000
/// subjects, which the server walks in less than a millisecond.
const BUCKET: u64 = 4096;

/// Variable that test builds read instead, because system tests pass through many buckets in minutes.
const BUCKET_VARIABLE: &str = "PAYMINT_LANE_BUCKET";

/// Number of nonces in one bucket, in this process. All processes of an installation agree, because the number is part
/// of the layout that the stream names and the start-up gate compares.
pub(crate) fn bucket_size() -> u64 {
    static SIZE: OnceLock<u64> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let wanted = runtime::test_setting(BUCKET_VARIABLE).and_then(|text| text.parse().ok());
        wanted.filter(|size| (2..=BUCKET).contains(size)).unwrap_or(BUCKET)
    })
}

/// Name of the ledger's layout in this process. `layout` is the name in the definition.
pub(crate) fn layout(layout: &str) -> String {
    match bucket_size() {
        BUCKET => layout.to_owned(),
        other => format!("{layout}, {other} nonces in a bucket"),
    }
}

/// The bucket of a nonce.
pub fn bucket(nonce: u64) -> u64 {
    nonce / bucket_size()
}

/// The subject of an event of `lane`.
pub(crate) fn subject(lane: LaneId, event: &SignerEvent) -> String {
    let numbers = event.numbers();
    let nonce = match event {
        SignerEvent::Claimed(claim) => claim.next_nonce,
        _ => numbers.first().copied().unwrap_or_default(),
    };
    below(&queued(&prefix(lane, bucket(nonce)), event.row()), event.name().trim_start_matches("signer."), &numbers)
}

/// Filter of all events in one bucket of a lane. Every writer of the lane sends this filter, byte for byte.
pub(crate) fn bucket_filter(lane: LaneId, bucket: u64) -> String {
    format!("{}.>", prefix(lane, bucket))
}

/// Filter of all events of a key, for any purpose. The first claim expects that it matches nothing. So if two services
/// claim a key for two purposes, the ledger refuses one, whatever nonce each starts at.
pub(crate) fn key_filter(signer: Address) -> String {
    format!("signers.{}.>", hex(signer))
}

/// Filter of all events of a lane. Only to be used from a recent position, behind which there are few events.
pub(crate) fn lane_filter(lane: LaneId) -> String {
    format!("signers.{}.*.{}.>", hex(lane.signer), lane.purpose.name())
}

/// Filter of all claims of a lane. There is one for each bucket and for each start of a process.
pub(crate) fn claims_filter(lane: LaneId) -> String {
    format!("signers.{}.*.{}.claimed.*", hex(lane.signer), lane.purpose.name())
}

/// Filter of the first claim of a key for this purpose. It matches at most one event.
pub(crate) fn first_claim_filter(signer: Address, purpose: Purpose) -> String {
    format!("signers.{}.*.{}.claimed.1", hex(signer), purpose.name())
}

/// Filter of the first claim of every lane of this purpose.
pub(crate) fn first_claims_filter(purpose: Purpose) -> String {
    format!("signers.*.*.{}.claimed.1", purpose.name())
}

/// Filter of all reversals of nonces of a lane.
pub(crate) fn reversals_filter(lane: LaneId) -> String {
    format!("signers.{}.*.{}.reverted.*.*", hex(lane.signer), lane.purpose.name())
}

/// Like [`reversals_filter`], for one bucket.
pub(crate) fn reversals_in(lane: LaneId, bucket: u64) -> String {
    format!("{}.reverted.*.*", prefix(lane, bucket))
}

/// Filter of all signatures in one bucket of a lane.
pub(crate) fn signatures_filter(lane: LaneId, bucket: u64) -> String {
    format!("{}.signed.*", prefix(lane, bucket))
}

/// Subject of the one signature for a nonce.
pub(crate) fn signed(lane: LaneId, nonce: u64) -> String {
    format!("{}.signed.{nonce}", prefix(lane, bucket(nonce)))
}

/// Filter of all replacements of the signature for a nonce.
pub(crate) fn replaced_filter(lane: LaneId, nonce: u64) -> String {
    format!("{}.replaced.{nonce}.*", prefix(lane, bucket(nonce)))
}

/// Subject of the event that a transaction of ours used a nonce.
pub(crate) fn settled_subject(lane: LaneId, nonce: u64) -> String {
    format!("{}.mined.settled.{nonce}", prefix(lane, bucket(nonce)))
}

/// Subject of the event that a transaction of another sender used a nonce.
pub(crate) fn lost_subject(lane: LaneId, nonce: u64) -> String {
    format!("{}.lost.{nonce}", prefix(lane, bucket(nonce)))
}

/// Filters of the events after a nonce was settled: taken back and settled again, any number of times.
pub(crate) fn after_settled_filters(lane: LaneId, nonce: u64) -> [String; 2] {
    ["reverted", "mined.resettled"].map(|name| format!("{}.{name}.{nonce}.*", prefix(lane, bucket(nonce))))
}

fn prefix(lane: LaneId, bucket: u64) -> String {
    format!("signers.{}.{bucket}.{}", hex(lane.signer), lane.purpose.name())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::examples::{LANE, lost, open_tx, replacement, reversal, settled};

    #[test]
    fn every_event_of_a_nonce_is_in_its_bucket_and_no_other_purpose_is() {
        let nonce = bucket_size() * 3 - 1;
        let claim = |next_nonce| domain::lane::claim(None, LANE.purpose, 1, "a", next_nonce);
        for (event, bucket) in [
            (SignerEvent::Claimed(claim(nonce)), 2),
            (SignerEvent::Claimed(claim(nonce + 1)), 3),
            (SignerEvent::Signed(open_tx(nonce)), 2),
            (SignerEvent::Signed(open_tx(nonce + 1)), 3),
            (SignerEvent::Replaced(1, replacement(nonce)), 2),
            (SignerEvent::Lost(lost(nonce)), 2),
            (SignerEvent::Settled(settled(nonce)), 2),
            (SignerEvent::Reverted(1, reversal(nonce)), 2),
            (SignerEvent::Resettled(1, settled(nonce)), 2),
        ] {
            let subject = subject(LANE, &event);
            match event {
                SignerEvent::Settled(_) => assert_eq!(subject, settled_subject(LANE, nonce)),
                SignerEvent::Resettled(..) | SignerEvent::Reverted(..) => {
                    let filters = after_settled_filters(LANE, nonce);
                    assert!(
                        filters.iter().any(|filter| subject.starts_with(filter.trim_end_matches('*'))),
                        "{subject}"
                    );
                }
                _ => {}
            }
            let filter = bucket_filter(LANE, bucket);
            assert!(subject.starts_with(filter.trim_end_matches('>')), "{subject} is not in {filter}");
            assert!(filter.ends_with(&format!(".{bucket}.settle.>")));
        }
    }
}
