//! Example data, one of each kind, for tests, documents, `schemas/` and demos.

use crate::event::{
    Actor, Claimed, DamageKind, Deferral, Event, FailureReason, Lost, Minted, OpenTx, OpsEvent, OrderEvent, OrderHold,
    ParkReason, Parked, ParkedMessage, PaymentFailure, PaymentProof, Purpose, Redrive, RedrivenMessage, RefundReason,
    RefundRequest, Refunded, Resumed, Reversal, Settled, SignerEvent, Stopped, Submission, TokenEvent, WaitReason,
};
use crate::idempotency::{IdempotencyKey, IdempotencyKeySource, KeyBound, KeyEvent};
use crate::ids::{BlockRef, PaymentId, PaymentKey};
use crate::lane::LaneId;
use crate::money::{Quantity, Usdc};
use crate::record::{FoundRecord, RecordEnd, RecordEvent};
use crate::request::{Authorization, PaymentRequest, Purchase, RequestFields, SignatureBytes};
use crate::token::{ITEM_VERSION, TokenTerms};
use alloy_primitives::{Address, B256, Bytes, address, b256};
use chrono::DateTime;

/// The second well-known development account.
pub const PAYER: Address = address!("3c44cdddb6a900fa2b585dd299e03d12fa4293bc");
/// A token.
pub const TOKEN: Address = address!("70997970c51812dc3a010c7d01b50e0d17dc79c8");
/// A lane's key.
pub const SIGNER: Address = address!("90f79bf6eb2c4f870365e785982e1f101e93b906");
/// The lane of that key.
pub const LANE: LaneId = LaneId::new(SIGNER, Purpose::Settle);
/// USDC on Base Sepolia.
pub const ASSET: Address = address!("036cbd53842c5426634e7929541ec2318f3dcf7e");
/// Base Sepolia.
pub const CHAIN_ID: u64 = 84532;

const QUANTITY: Quantity = match Quantity::new(10) {
    Some(quantity) => quantity,
    None => unreachable!(),
};

const STRANGER_QUANTITY: Quantity = match Quantity::new(5) {
    Some(quantity) => quantity,
    None => unreachable!(),
};

/// Ten units at one cent.
pub fn request() -> PaymentRequest {
    let nonce = b256!("07d8e28ef1966a19fd7e94d00d897d6a0409179206396d45745a88a4e0293d42");
    let fields = RequestFields {
        payment_key: PaymentKey::new(CHAIN_ID, ASSET, PAYER, nonce),
        chain_id: CHAIN_ID,
        asset: ASSET,
        authorization: Authorization {
            from: PAYER,
            to: TOKEN,
            value: Usdc(100_000),
            valid_after: 1_799_999_400,
            valid_before: 1_800_000_300,
            nonce,
        },
        signature: SignatureBytes::repeat_byte(0x1b),
        purchase: Purchase::Mint { token: TOKEN, quantity: QUANTITY, unit_price: Usdc(10_000) },
    };
    match PaymentRequest::new(fields) {
        Ok(request) => request,
        Err(why) => unreachable!("the example: {why}"),
    }
}

/// Nonce `nonce` of the example lane.
pub fn submission(nonce: u64) -> Submission {
    Submission { signer: SIGNER, nonce, tx_hash: B256::with_last_byte(nonce.to_le_bytes()[0]) }
}

/// An unfunded payer.
pub fn deferral() -> Deferral {
    Deferral {
        reason: WaitReason::Unfunded,
        detail: "ERC20: transfer amount exceeds balance".to_owned(),
        retry_at: DateTime::UNIX_EPOCH + chrono::Duration::seconds(1_800_000_010),
    }
}

/// Charged by one of our lanes.
pub fn proof() -> PaymentProof {
    PaymentProof {
        tx_hash: B256::repeat_byte(0x11),
        block: block(41),
        recorded_at: 1_800_000_000,
        paid_by: Actor::Paymint,
    }
}

/// Expired.
pub fn failure() -> PaymentFailure {
    PaymentFailure {
        reason: FailureReason::Expired,
        detail: "the window closed before the payment could be settled".to_owned(),
        block: block(99),
        block_time: 1_800_000_301,
        tx_hash: None,
    }
}

/// Charged around the token.
pub fn parked_payment() -> Parked {
    Parked {
        reason: ParkReason::PaidAroundToken,
        detail: "the authorization was submitted to the asset directly".to_owned(),
        tx_hash: Some(B256::repeat_byte(0x44)),
    }
}

/// A proof that no record confirms.
pub fn parked() -> Parked {
    Parked {
        reason: ParkReason::Inconsistent,
        detail: "the token has no record of the payment".to_owned(),
        tx_hash: None,
    }
}

/// Ten units.
pub fn minted() -> Minted {
    Minted {
        tx_hash: B256::repeat_byte(0x22),
        block: block(43),
        minted_by: Actor::Paymint,
        to: PAYER,
        quantity: QUANTITY,
    }
}

/// A person's decision.
pub fn refund_request() -> RefundRequest {
    RefundRequest {
        reason: RefundReason::Operator,
        by: "alice".to_owned(),
        detail: "the buyer asked for it before the mint".to_owned(),
    }
}

/// A refund, with nonce 9.
pub fn refunded() -> Refunded {
    Refunded {
        tx_hash: submission(9).tx_hash,
        block: block(41),
        refunded_by: Actor::Paymint,
        to: PAYER,
        amount: Usdc(100_000),
    }
}

/// A signed settlement.
pub fn open_tx(nonce: u64) -> OpenTx {
    OpenTx {
        nonce,
        purpose: Purpose::Settle,
        target: address!("5fbdb2315678afecb367f032d93f642f64180aa3"),
        tx_hash: B256::with_last_byte(nonce.to_le_bytes()[0]),
        raw_tx: Bytes::from_static(&[0x02, 0xf8]),
        gas_limit: 400_000,
        max_fee_wei: 2_000_000_000,
        priority_fee_wei: 1_000_000_000,
        items: vec![PaymentId::of(request().payment_key)],
    }
}

/// A replacement at an eighth more.
pub fn replacement(nonce: u64) -> OpenTx {
    OpenTx {
        tx_hash: B256::repeat_byte(nonce.to_le_bytes()[0]),
        raw_tx: Bytes::from_static(&[0x02, 0xf9]),
        max_fee_wei: 2_250_000_000,
        priority_fee_wei: 1_125_000_000,
        ..open_tx(nonce)
    }
}

/// Nonce `nonce` was used elsewhere.
pub fn lost(nonce: u64) -> Lost {
    Lost { nonce, account_nonce: nonce + 1, block: block(44) }
}

/// Nonce `nonce` is used.
pub fn settled(nonce: u64) -> Settled {
    Settled {
        nonce,
        tx_hash: B256::with_last_byte(nonce.to_le_bytes()[0]),
        block: block(41),
        succeeded: true,
        gas_used: 91_000,
        gas_price_wei: 1_000_000_000,
    }
}

/// The block of nonce `nonce` is gone.
pub fn reversal(nonce: u64) -> Reversal {
    let Submission { signer, nonce, tx_hash } = submission(nonce);
    Reversal { signer, nonce, tx_hash, block: block(41), head: block(52) }
}

/// The proof of payment, of nonce 7 of the example lane and then undone by [`reversal`].
pub fn own_proof() -> PaymentProof {
    PaymentProof { tx_hash: submission(7).tx_hash, ..proof() }
}

/// Our own mint, with nonce 8.
pub fn own_mint() -> Minted {
    Minted { tx_hash: submission(8).tx_hash, block: block(41), ..minted() }
}

/// The demo token.
pub fn terms() -> TokenTerms {
    TokenTerms {
        token: TOKEN,
        chain_id: CHAIN_ID,
        asset: ASSET,
        factory: address!("e7f1725e7734ce288f8367e1bb143e90bb3f0512"),
        item_version: ITEM_VERSION,
        name: "Demo".to_owned(),
        symbol: "DEMO".to_owned(),
        unit: 1_000_000_000_000_000_000,
        max_units: 1_000_000,
        unit_price: Usdc(10_000),
        creator: SIGNER,
        fee: Usdc(0),
        metadata_hash: B256::ZERO,
        salt: B256::repeat_byte(0x33),
        block: block(7),
    }
}

/// The name that the payer's application gives the order.
pub fn key() -> IdempotencyKey {
    IdempotencyKey::new(PAYER, IdempotencyKeySource::Header, "order-7")
}

fn block(number: u64) -> BlockRef {
    BlockRef { number, hash: B256::with_last_byte(number.to_le_bytes()[0]) }
}

/// Five units that a stranger settled without us.
pub fn found_record() -> FoundRecord {
    FoundRecord {
        payment_key: stranger_key(),
        token: TOKEN,
        payer: SIGNER,
        quantity: STRANGER_QUANTITY,
        tx_hash: B256::repeat_byte(0x55),
        block: block(45),
    }
}

/// The end of [`found_record`].
pub fn record_end() -> RecordEnd {
    RecordEnd { token: TOKEN, quantity: STRANGER_QUANTITY, block: block(61) }
}

fn stranger_key() -> PaymentKey {
    PaymentKey::new(CHAIN_ID, ASSET, SIGNER, B256::repeat_byte(0x66))
}

/// A request that a service has given up.
pub fn order_hold() -> OrderHold {
    OrderHold {
        consumer: "payment-sender".to_owned(),
        sequence: 12,
        detail: "not sent: the signature is not by the payer".to_owned(),
    }
}

/// A person who has removed the cause.
pub fn redrive() -> Redrive {
    Redrive { by: "alice".to_owned(), detail: "the token is registered now".to_owned() }
}

/// A tail that was lost.
pub fn stopped() -> Stopped {
    Stopped {
        damage: DamageKind::Truncated,
        incarnation: DateTime::from_timestamp(1_799_900_000, 0).unwrap_or_default(),
        sequence: 900,
        detail: "the ledger ends at sequence 900, but sequence 950 was read from it or acknowledged: events are lost"
            .to_owned(),
    }
}

/// A person who has looked.
pub fn resumed() -> Resumed {
    Resumed { by: "ops".to_owned(), detail: "the store of the day was restored; the audit is green".to_owned() }
}

/// One event of every type, in a possible order.
pub fn all() -> Vec<Event> {
    let id = request().id();
    let order = |event| Event::Order(id, event);
    let signer = |event| Event::Signer(LANE, event);
    let record = |event| Event::Record(PaymentId::of(stranger_key()), event);
    vec![
        Event::Token(TOKEN, TokenEvent::Registered(Box::new(terms()))),
        signer(SignerEvent::Claimed(Claimed {
            epoch: 1,
            purpose: Purpose::Settle,
            chain_id: CHAIN_ID,
            instance: "payment-sender@host".to_owned(),
            next_nonce: 7,
            open: vec![5, 6],
        })),
        order(OrderEvent::PaymentRequested(Box::new(request()))),
        Event::Key(key(), KeyEvent::Bound(KeyBound { payment_id: id })),
        order(OrderEvent::OrderHeld(1, order_hold())),
        order(OrderEvent::OrderReleased(1, redrive())),
        order(OrderEvent::PaymentDeferred(1, deferral())),
        signer(SignerEvent::Signed(open_tx(7))),
        order(OrderEvent::PaymentSubmitted(1, submission(7))),
        signer(SignerEvent::Replaced(1, replacement(7))),
        signer(SignerEvent::Settled(settled(7))),
        signer(SignerEvent::Lost(lost(8))),
        order(OrderEvent::PaymentConfirmed(proof())),
        order(OrderEvent::PaymentReverted(1, reversal(7))),
        signer(SignerEvent::Reverted(1, reversal(7))),
        signer(SignerEvent::Resettled(1, settled(7))),
        order(OrderEvent::PaymentRestored(1, own_proof())),
        order(OrderEvent::PaymentFailed(failure())),
        order(OrderEvent::PaymentParked(1, parked_payment())),
        order(OrderEvent::MintDeferred(1, deferral())),
        order(OrderEvent::MintSubmitted(1, submission(8))),
        order(OrderEvent::MintParked(1, parked())),
        order(OrderEvent::MintRedriven(1, redrive())),
        order(OrderEvent::MintConfirmed(minted())),
        order(OrderEvent::MintReverted(1, reversal(8))),
        order(OrderEvent::MintRestored(1, own_mint())),
        order(OrderEvent::RefundRequested(refund_request())),
        order(OrderEvent::RefundDeferred(1, Deferral { reason: WaitReason::Blacklisted, ..deferral() })),
        order(OrderEvent::RefundSubmitted(1, submission(9))),
        order(OrderEvent::RefundParked(1, Parked { reason: ParkReason::Unexplained, ..parked() })),
        order(OrderEvent::RefundRedriven(1, redrive())),
        order(OrderEvent::RefundConfirmed(refunded())),
        order(OrderEvent::RefundReverted(1, reversal(9))),
        order(OrderEvent::RefundRestored(1, refunded())),
        record(RecordEvent::Found(found_record())),
        record(RecordEvent::Minted(record_end())),
        record(RecordEvent::Returned(record_end())),
        Event::Ops(OpsEvent::Stopped(1, stopped())),
        Event::Ops(OpsEvent::Resumed(1, resumed())),
        Event::Ops(OpsEvent::Parked(ParkedMessage {
            consumer: "payment-sender".to_owned(),
            sequence: 12,
            subject: format!("orders.{}.{id}.mint.payment.requested", id.shard()),
            reason: "not a CloudEvent".to_owned(),
            redrives: 0,
        })),
        Event::Ops(OpsEvent::Redriven(
            1,
            RedrivenMessage {
                consumer: "payment-sender".to_owned(),
                sequence: 12,
                by: "alice".to_owned(),
                detail: "the token is registered now".to_owned(),
            },
        )),
    ]
}
