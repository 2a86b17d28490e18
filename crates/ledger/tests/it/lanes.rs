//! Lanes on a real server: buckets, their versions, and keys with one purpose.

use crate::common::thief;
use alloy_primitives::Address;
use domain::event::{Claimed, Lost, OpenTx, Purpose};
use domain::examples::{SIGNER, open_tx, replacement, reversal, settled};
use domain::{Event, LaneId, SignerEvent, lane};
use ledger::{
    AppendError, Batch, Expected, LaneVersion, Ledger, LedgerError, LoadedLane, NewEvent, bucket, encode, subject,
};
use testkit::Broker;

const SETTLE: LaneId = LaneId::new(SIGNER, Purpose::Settle);
const MINT: LaneId = LaneId::new(SIGNER, Purpose::Mint);

/// The first nonce of the second bucket.
fn turn() -> u64 {
    (1..).find(|nonce| bucket(*nonce) == 1).unwrap()
}

fn claim(id: LaneId, loaded: &LoadedLane, nonce: u64) -> Claimed {
    lane::claim(loaded.state.as_ref(), id.purpose, 84532, "test", nonce)
}

fn at(id: LaneId, event: SignerEvent, version: Option<LaneVersion>) -> NewEvent {
    let expected = version.map_or(Expected::Unclaimed, Expected::Lane);
    NewEvent { event: Event::Signer(id, event), expected, trace: None }
}

/// An event as the confirmer writes it: it expects nothing on its own subject.
fn absent(id: LaneId, event: SignerEvent) -> NewEvent {
    NewEvent { event: Event::Signer(id, event), expected: Expected::Absent, trace: None }
}

/// Claims the lane at `nonce`.
async fn claimed(ledger: &Ledger, id: LaneId, nonce: u64) -> LoadedLane {
    let loaded = ledger.load_lane(id).await.unwrap();
    let first = at(id, SignerEvent::Claimed(claim(id, &loaded, nonce)), loaded.version);
    ledger.append(&[first]).await.unwrap();
    ledger.refresh_lane(id, loaded).await.unwrap()
}

/// Signs for the next nonce and refreshes.
async fn sign(ledger: &Ledger, id: LaneId, loaded: LoadedLane) -> LoadedLane {
    ledger.append(&signing(id, &loaded)).await.unwrap();
    ledger.refresh_lane(id, loaded).await.unwrap()
}

/// The batch with which a worker of the lane appends a transaction.
fn signing(id: LaneId, loaded: &LoadedLane) -> Batch {
    let next = loaded.state.as_ref().unwrap().next_nonce;
    let tx = SignerEvent::Signed(OpenTx { purpose: id.purpose, ..open_tx(next) });
    worker(id, loaded, tx)
}

fn worker(id: LaneId, loaded: &LoadedLane, event: SignerEvent) -> Batch {
    if !loaded.is_at_the_end_of_a_bucket() {
        return at(id, event, loaded.version).into();
    }
    let claim = claim(id, loaded, 0);
    let empty = LaneVersion { bucket: bucket(claim.next_nonce), last: 0 };
    Batch::led_by([at(id, SignerEvent::Claimed(claim), loaded.version)]).then([at(id, event, Some(empty))])
}

fn replacing(id: LaneId, loaded: &LoadedLane, nonce: u64) -> Batch {
    worker(id, loaded, SignerEvent::Replaced(1, replacement(nonce)))
}

fn is_refused<T>(result: &Result<T, AppendError>) -> bool {
    matches!(result, Err(AppendError::WrongVersion))
}

#[tokio::test]
async fn of_two_writers_one_opening_a_bucket_and_one_in_the_old_one_one_is_refused() {
    for opens_first in [true, false] {
        let broker = Broker::with_accounts().await;
        let (a, b) = (broker.ledger("payment-sender").await, broker.ledger("payment-sender").await);
        let mut first = claimed(&a, SETTLE, turn() - 2).await;
        first = sign(&a, SETTLE, first).await;
        let stale = b.load_lane(SETTLE).await.unwrap();
        first = sign(&a, SETTLE, first).await;
        let second = b.load_lane(SETTLE).await.unwrap();
        assert!(first.is_at_the_end_of_a_bucket() && second.is_at_the_end_of_a_bucket());
        assert_eq!((&first.state, first.version), (&second.state, second.version));

        // Both have read the same, and one of them writes in the old bucket.
        let (opening, old) = (signing(SETTLE, &first), replacing(SETTLE, &second, turn() - 1));
        let (one, other) = if opens_first { (opening, old) } else { (old, opening) };
        a.append(&one).await.unwrap();
        assert!(is_refused(&b.append(&other).await), "opens first: {opens_first}");
        // A writer that has read less is refused, too.
        assert!(is_refused(&b.append(&replacing(SETTLE, &stale, turn() - 2)).await));
        assert!(is_refused(
            &b.append(&[at(SETTLE, SignerEvent::Claimed(claim(SETTLE, &stale, 0)), stale.version)]).await
        ));

        // The refused writer reads again and continues.
        let (loaded, refreshed) = (b.load_lane(SETTLE).await.unwrap(), b.refresh_lane(SETTLE, second).await.unwrap());
        assert_eq!((&loaded.state, loaded.version), (&refreshed.state, refreshed.version));
        assert!(!loaded.is_at_the_end_of_a_bucket());
        sign(&b, SETTLE, loaded).await;
    }
}

/// A worker that starts where its bucket is full, against one that continues to sign.
#[tokio::test]
async fn of_two_claims_that_open_a_bucket_one_is_refused() {
    let broker = Broker::with_accounts().await;
    let ledger = broker.ledger("payment-sender").await;
    let full = claimed(&ledger, SETTLE, turn() - 1).await;
    let full = sign(&ledger, SETTLE, full).await;
    let opening = [at(SETTLE, SignerEvent::Claimed(claim(SETTLE, &full, 0)), full.version)];
    ledger.append(&opening).await.unwrap();
    let other = Claimed { instance: "other".to_owned(), ..claim(SETTLE, &full, 0) };
    assert!(is_refused(&ledger.append(&[at(SETTLE, SignerEvent::Claimed(other), full.version)]).await));
    assert!(is_refused(&ledger.append(&signing(SETTLE, &full)).await));
    let loaded = ledger.load_lane(SETTLE).await.unwrap();
    assert_eq!(loaded.state.as_ref().unwrap().open.len(), 1, "it is in the bucket before");
    sign(&ledger, SETTLE, loaded).await;
}

#[tokio::test]
async fn a_key_has_one_purpose_whatever_nonce_a_service_believes_in() {
    let broker = Broker::with_accounts().await;
    let (sender, minter) = (broker.ledger("payment-sender").await, broker.ledger("mint-projector").await);
    let (settle, mint) = (sender.load_lane(SETTLE).await.unwrap(), minter.load_lane(MINT).await.unwrap());
    let first =
        |id, loaded: &LoadedLane, nonce| [at(id, SignerEvent::Claimed(claim(id, loaded, nonce)), loaded.version)];
    // One of them has asked a node that lags by several buckets.
    let (mint_first, settle_first) = (first(MINT, &mint, turn() * 5), first(SETTLE, &settle, 3));
    let (a, b) = tokio::join!(minter.append(&mint_first), sender.append(&settle_first));
    assert!(a.is_ok() != b.is_ok() && (is_refused(&a) || is_refused(&b)), "{a:?} {b:?}");
    let winner = if a.is_ok() { Purpose::Mint } else { Purpose::Settle };
    for ledger in [&sender, &minter] {
        assert_eq!(ledger.claimed_for(SIGNER).await.unwrap(), [winner]);
    }
    let lanes = minter.lanes(winner).await.unwrap();
    assert_eq!(lanes.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [LaneId::new(SIGNER, winner)]);
    // The purpose stays, whatever comes later.
    let (id, ledger) = if winner == Purpose::Mint { (MINT, &minter) } else { (SETTLE, &sender) };
    let loaded = ledger.load_lane(id).await.unwrap();
    sign(ledger, id, loaded).await;
    let (other, ledger, loaded) =
        if winner == Purpose::Mint { (SETTLE, &sender, &settle) } else { (MINT, &minter, &mint) };
    assert!(is_refused(&ledger.append(&first(other, loaded, turn() * 9)).await));
    assert!(ledger.load_lane(other).await.unwrap().state.is_none());
}

/// Loading a lane gives the same as following it, whatever happened to it.
#[tokio::test]
async fn a_lane_that_is_loaded_equals_one_that_was_followed() {
    let broker = Broker::with_accounts().await;
    let (sender, confirmer) = (broker.ledger("payment-sender").await, broker.ledger("confirmer").await);
    let start = turn() - 4;
    let mut followed = claimed(&sender, SETTLE, start).await;
    for _ in 0..3 {
        followed = sign(&sender, SETTLE, followed).await;
    }
    let same = async |followed: LoadedLane, what: &str| {
        let followed = sender.refresh_lane(SETTLE, followed).await.unwrap();
        let loaded = sender.load_lane(SETTLE).await.unwrap();
        assert_eq!((&loaded.state, loaded.version), (&followed.state, followed.version), "{what}");
        followed
    };
    followed = same(followed, "signed").await;
    confirmer.append(&[absent(SETTLE, SignerEvent::Settled(settled(start + 1)))]).await.unwrap();
    followed = same(followed, "the one in the middle is settled").await;
    followed = sign(&sender, SETTLE, followed).await;
    followed = sign(&sender, SETTLE, followed).await;
    followed = same(followed, "the next bucket is open").await;
    assert_eq!(followed.version.unwrap().bucket, 1);
    sender.append(&replacing(SETTLE, &followed, start)).await.unwrap();
    followed = same(followed, "replaced in the bucket before").await;
    confirmer.append(&[absent(SETTLE, SignerEvent::Settled(settled(start)))]).await.unwrap();
    followed = same(followed, "settled in the bucket before, which moves no version").await;
    // The worker replaces another transaction there before it has seen that it was settled.
    confirmer.append(&[absent(SETTLE, SignerEvent::Settled(settled(start + 2)))]).await.unwrap();
    sender.append(&replacing(SETTLE, &followed, start + 2)).await.unwrap();
    followed = same(followed, "replaced after it was settled").await;
    confirmer.append(&[absent(SETTLE, SignerEvent::Reverted(1, reversal(start + 1)))]).await.unwrap();
    followed = same(followed, "taken back in the bucket before").await;
    assert!(followed.state.as_ref().unwrap().open.contains_key(&(start + 1)));
    followed = claimed(&sender, SETTLE, 0).await;
    followed = same(followed, "claimed").await;
    confirmer.append(&[absent(SETTLE, SignerEvent::Resettled(1, settled(start + 1)))]).await.unwrap();
    followed = same(followed, "settled again").await;
    // Another sender has used the key for more than a whole bucket.
    let next = followed.state.as_ref().unwrap().next_nonce;
    let lost = Lost { nonce: next, account_nonce: turn() * 3, block: settled(0).block };
    sender.append(&worker(SETTLE, &followed, SignerEvent::Lost(lost))).await.unwrap();
    followed = same(followed, "nonces are left behind").await;
    assert_eq!(followed.state.as_ref().unwrap().next_nonce, turn() * 3);
    followed = sign(&sender, SETTLE, followed).await;
    followed = same(followed, "signed behind them").await;
    let begins = sender.begins(SETTLE, &[next, turn() * 3]).await.unwrap();
    assert!(matches!(begins.as_slice(), [SignerEvent::Lost(_), SignerEvent::Signed(_)]));
    assert_eq!(sender.next_to_sign(SETTLE).await.unwrap(), Some(turn() * 3 + 1));
    assert!(followed.state.unwrap().open.contains_key(&(turn() * 3)));
}

/// A claim names the version of its own bucket. A reversal in an earlier bucket, appended after the claimer has read,
/// stands before the claim and is not in its snapshot.
#[tokio::test]
async fn a_reversal_that_a_claim_has_missed_is_found_when_the_lane_is_loaded() {
    let broker = Broker::with_accounts().await;
    let (sender, confirmer) = (broker.ledger("payment-sender").await, broker.ledger("confirmer").await);
    let start = turn() - 2;
    let mut worked = claimed(&sender, SETTLE, start).await;
    for _ in 0..3 {
        worked = sign(&sender, SETTLE, worked).await;
    }
    confirmer.append(&[absent(SETTLE, SignerEvent::Settled(settled(start)))]).await.unwrap();
    let read = sender.refresh_lane(SETTLE, worked).await.unwrap();
    assert!(!read.state.as_ref().unwrap().open.contains_key(&start));
    confirmer.append(&[absent(SETTLE, SignerEvent::Reverted(1, reversal(start)))]).await.unwrap();
    let claim = at(SETTLE, SignerEvent::Claimed(claim(SETTLE, &read, 0)), read.version);
    sender.append(&[claim]).await.unwrap();
    let loaded = sender.load_lane(SETTLE).await.unwrap().state.unwrap();
    assert_eq!(loaded.open.keys().copied().collect::<Vec<_>>(), [start, start + 1, start + 2]);
}

/// A lane that a newer build has claimed signs transactions that this build cannot count. A claim that is no event of
/// ours is refused by every worker, so such a lane signs nothing.
#[tokio::test]
async fn the_list_of_lanes_fails_while_a_newer_build_has_claimed_one_and_leaves_out_one_that_nobody_can_work() {
    let broker = Broker::with_accounts().await;
    let (minter, (thief, _)) = (broker.ledger("mint-projector").await, thief(&broker, "mint-projector").await);
    let put = async |lane: LaneId, ty: &str| {
        let claim = Event::Signer(lane, SignerEvent::Claimed(lane::claim(None, lane.purpose, 84532, "test", 7)));
        let payload = String::from_utf8(encode(&claim, "/paymint/test", None, chrono::Utc::now()).unwrap()).unwrap();
        let payload = payload.replace("io.paymint.signer.claimed.v1", ty);
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Content-Type", "application/cloudevents+json");
        thief.request_with_headers(subject(&claim), headers, payload.into()).await.unwrap();
    };
    claimed(&minter, MINT, 0).await;
    put(LaneId::new(Address::repeat_byte(7), Purpose::Mint), "io.example.claimed.v1").await;
    assert_eq!(minter.lanes(Purpose::Mint).await.unwrap(), [(MINT, 0)]);
    put(LaneId::new(Address::repeat_byte(8), Purpose::Mint), "io.paymint.signer.claimed.v2").await;
    let lanes = minter.lanes(Purpose::Mint).await;
    assert!(matches!(&lanes, Err(LedgerError::Newer { kind, .. }) if kind.ends_with("claimed.v2")), "{lanes:?}");
}
