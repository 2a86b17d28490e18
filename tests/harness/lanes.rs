//! Lanes with small buckets, so that a story passes through several of them. In production a lane needs days for one.

use alloy_primitives::Address;

/// The variable that test builds read, and its value: the number of nonces in a bucket.
pub(crate) const LANE_BUCKET: (&str, &str) = ("PAYMINT_LANE_BUCKET", "8");

/// Makes this process use the same buckets as the services that it starts. To be called before any other use of the
/// ledger.
pub fn small_buckets() {
    runtime::set_test_setting(LANE_BUCKET.0, LANE_BUCKET.1);
}

/// The subject of an event of a settling lane, for example `replaced.7.1` of nonce 7.
pub fn lane_subject(signer: Address, nonce: u64, rest: &str) -> String {
    let signer = format!("{signer:x}");
    format!("signers.{}.{}.settle.{rest}", signer.trim_start_matches("0x"), ledger::bucket(nonce))
}
