//! TEMPORARY: compares with the domain and the store.
use super::fold;
use crate::books::Books;
use crate::decode::event::{Aggregate, Data, Event};
use crate::legal::{KINDS, Path};
use crate::world::{Pay, World};
use alloy_primitives::B256;
use domain::event::*;
use domain::order::{Command, decide, evolve};
use domain::{Order, OrderEvent, examples};
use std::collections::BTreeMap;
use store::{PaymentView, Stamp, project};

struct Rng(u64);
impl Rng {
    fn next(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(n).unwrap()).unwrap()
    }
}

fn def(r: &mut Rng) -> Deferral {
    let reasons = [WaitReason::Unfunded, WaitReason::Blacklisted, WaitReason::Unexplained, WaitReason::SoldOut];
    Deferral { reason: reasons[r.next(4)], detail: format!("d{}\0", r.next(9)), ..examples::deferral() }
}
fn parked(r: &mut Rng) -> Parked {
    let reasons = [ParkReason::PaidAroundToken, ParkReason::Inconsistent, ParkReason::Unexplained];
    let tx_hash = [None, Some(B256::repeat_byte(7))][r.next(2)];
    Parked { reason: reasons[r.next(3)], detail: format!("0xP{}", r.next(9)), tx_hash }
}
fn events(r: &mut Rng, o: &Order) -> Vec<OrderEvent> {
    use OrderEvent::*;
    let (p, m, b) = (o.payment.counts(), o.mint.counts(), o.refund.counts());
    let sub = |r: &mut Rng| examples::submission(u64::try_from(r.next(3)).unwrap() + 7);
    let rev = |r: &mut Rng| examples::reversal(u64::try_from(r.next(3)).unwrap() + 7);
    let proof = |r: &mut Rng| PaymentProof {
        tx_hash: examples::submission(7 + u64::try_from(r.next(3)).unwrap()).tx_hash,
        ..examples::proof()
    };
    let minted = |r: &mut Rng| Minted {
        tx_hash: examples::submission(7 + u64::try_from(r.next(3)).unwrap()).tx_hash,
        ..examples::minted()
    };
    let back = |r: &mut Rng| Refunded {
        tx_hash: examples::submission(7 + u64::try_from(r.next(3)).unwrap()).tx_hash,
        refunded_by: [Actor::Paymint, Actor::ThirdParty][r.next(2)],
        ..examples::refunded()
    };
    let req = |r: &mut Rng| RefundRequest {
        reason: [RefundReason::Operator, RefundReason::SoldOut][r.next(2)],
        by: "0xA\0lice".to_owned(),
        detail: format!("0xW{}", r.next(9)),
    };
    vec![
        PaymentSubmitted(p.submitted + 1, sub(r)),
        PaymentDeferred(p.deferred + 1, def(r)),
        PaymentParked(p.parked + 1, parked(r)),
        PaymentConfirmed(proof(r)),
        PaymentReverted(p.reverted + 1, rev(r)),
        PaymentRestored(p.reverted, proof(r)),
        PaymentFailed(examples::failure()),
        MintSubmitted(m.submitted + 1, sub(r)),
        MintDeferred(m.deferred + 1, def(r)),
        MintParked(m.parked + 1, parked(r)),
        MintConfirmed(minted(r)),
        MintReverted(m.reverted + 1, rev(r)),
        MintRestored(m.reverted, minted(r)),
        RefundRequested(req(r)),
        RefundSubmitted(b.submitted + 1, sub(r)),
        RefundDeferred(b.deferred + 1, def(r)),
        RefundParked(b.parked + 1, parked(r)),
        RefundConfirmed(back(r)),
        RefundReverted(b.reverted + 1, rev(r)),
        RefundRestored(b.reverted, back(r)),
    ]
}

fn ours(seq: u64, event: &OrderEvent) -> Event {
    let kind = KINDS.iter().find(|kind| kind.name == event.name()).unwrap();
    let of = Aggregate::Order(uuid::Uuid::nil());
    Event {
        seq,
        subject: String::new(),
        kind,
        of,
        numbers: event.number().map(u64::from).into_iter().collect(),
        data: Data(event.data().unwrap()),
        time: Default::default(),
    }
}

fn columns(v: &PaymentView) -> BTreeMap<&'static str, Option<String>> {
    let h = |h: &Option<B256>| h.map(|h| format!("{h:#x}"));
    let n = |n: Option<u64>| n.map(|n| n.to_string());
    let a = |a: Option<alloy_primitives::Address>| a.map(|a| format!("{a:#x}"));
    let j = |v: serde_json::Value| v.as_str().map(str::to_owned);
    let s = |s: domain::order::LegState| j(serde_json::to_value(s).unwrap());
    let by = |x: Option<Actor>| x.and_then(|x| j(serde_json::to_value(x).unwrap()));
    let t = |t: &Option<chrono::DateTime<chrono::Utc>>| t.map(super::time);
    let c = |n: u32| Some(n.to_string());
    BTreeMap::from([
        ("stage", Some(v.stage.name().to_owned())),
        ("payment_state", s(v.payment_state)),
        ("mint_state", s(v.mint_state)),
        ("refund_state", s(v.refund_state)),
        ("payment_attempts", c(v.payment_attempts)),
        ("payment_deferrals", c(v.payment_deferrals)),
        ("payment_parkings", c(v.payment_parkings)),
        ("payment_reversions", c(v.payment_reversions)),
        ("mint_attempts", c(v.mint_attempts)),
        ("mint_deferrals", c(v.mint_deferrals)),
        ("mint_parkings", c(v.mint_parkings)),
        ("mint_reversions", c(v.mint_reversions)),
        ("refund_attempts", c(v.refund_attempts)),
        ("refund_deferrals", c(v.refund_deferrals)),
        ("refund_parkings", c(v.refund_parkings)),
        ("refund_reversions", c(v.refund_reversions)),
        ("reason", v.reason.clone()),
        ("detail", v.detail.clone()),
        ("parked_tx_hash", h(&v.parked_tx_hash)),
        ("retry_at", t(&v.retry_at)),
        ("settle_signer", a(v.settle_signer)),
        ("settle_nonce", n(v.settle_nonce)),
        ("settle_tx_hash", h(&v.settle_tx_hash)),
        ("settle_block_number", n(v.settle_block_number)),
        ("settle_block_hash", h(&v.settle_block_hash)),
        ("settle_recorded_at", n(v.settle_recorded_at)),
        ("paid_by", by(v.paid_by)),
        ("failed_block_number", n(v.failed_block_number)),
        ("failed_block_hash", h(&v.failed_block_hash)),
        ("failed_tx_hash", h(&v.failed_tx_hash)),
        ("mint_signer", a(v.mint_signer)),
        ("mint_nonce", n(v.mint_nonce)),
        ("mint_tx_hash", h(&v.mint_tx_hash)),
        ("mint_block_number", n(v.mint_block_number)),
        ("mint_block_hash", h(&v.mint_block_hash)),
        ("minted_by", by(v.minted_by)),
        ("refund_reason", v.refund_reason.and_then(|x| j(serde_json::to_value(x).unwrap()))),
        ("refund_by", v.refund_by.clone()),
        ("refund_detail", v.refund_detail.clone()),
        ("refund_signer", a(v.refund_signer)),
        ("refund_nonce", n(v.refund_nonce)),
        ("refund_tx_hash", h(&v.refund_tx_hash)),
        ("refund_block_number", n(v.refund_block_number)),
        ("refund_block_hash", h(&v.refund_block_hash)),
        ("refunded_by", by(v.refunded_by)),
        ("refund_amount", v.refund_amount.map(|x| x.0.to_string())),
        ("paid_at", t(&v.paid_at)),
        ("minted_at", t(&v.minted_at)),
        ("refunded_at", t(&v.refunded_at)),
        ("paid_seq", n(v.paid_seq)),
        ("last_seq", n(Some(v.last_seq))),
        ("updated_at", Some(super::time(v.updated_at))),
    ])
}

#[test]
fn cross() {
    let mut r = Rng(0x1234_5678_9abc_def1);
    let (mut seen, mut steps) = (BTreeMap::<String, u32>::new(), 0_u32);
    for _ in 0..4000 {
        let id = examples::request().id();
        let mut order = Order::requested(examples::request());
        let requested = OrderEvent::PaymentRequested(Box::new(examples::request()));
        let mut path = Path::default();
        path.step(&ours(2, &requested)).unwrap();
        let mut world = World::new();
        let pay = Pay::new(1, 10);
        world.order(&pay);
        let at = |seq: u64| chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(seq.cast_signed());
        let mut view = project(None, id, &requested, Stamp { seq: 2, recorded_at: at(2) }).unwrap();
        for seq in 3..3 + 18 {
            let all = events(&mut r, &order);
            let mut good = Vec::new();
            for event in &all {
                let theirs = evolve(Some(order.clone()), event);
                let mine = path.clone().step(&ours(seq, event));
                assert_eq!(
                    theirs.is_ok(),
                    mine.is_ok(),
                    "{} after {}{}",
                    event.name(),
                    path.state.stage(),
                    path.state.beside()
                );
                if theirs.is_ok() {
                    good.push(event.clone());
                }
            }
            if good.is_empty() {
                break;
            }
            let event = good[r.next(good.len())].clone();
            steps += 1;
            order = evolve(Some(order), &event).unwrap().unwrap();
            path.step(&ours(seq, &event)).unwrap();
            assert_eq!(order.stage().name(), path.state.stage());
            *seen.entry(format!("{}{}", path.state.stage(), path.state.beside())).or_default() += 1;
            let name = event.number().map_or(event.name().to_owned(), |n| format!("{}.{n}", event.name()));
            world.say(&pay, &name, &event.data().unwrap());
            view = project(Some(&view), id, &event, Stamp { seq, recorded_at: at(seq) }).unwrap();
        }
        let (rows, strange) = fold(&Books::of(&world.evidence), |event| event.time);
        assert!(strange.is_empty() && rows["set_aside"].is_empty());
        let row = &rows["payment_rows"][0];
        let history: Vec<_> =
            world.evidence.stream.found.iter().map(|m| m.subject.rsplit(".mint.").next().unwrap().to_owned()).collect();
        for (column, value) in columns(&view) {
            assert_eq!(row[column], value, "{column} after {history:?}");
        }
        let token = &rows["token_rows"][0];
        use domain::order::LegState::{Done, Failed};
        let (p, m, b) = (view.payment_state, view.mint_state, view.refund_state);
        let units = |yes: bool| Some(if yes { "10" } else { "0" }.to_owned());
        assert_eq!(token["units_taken"], units(p != Failed && b != Done), "{history:?}");
        assert_eq!(token["units_paid"], units(p == Done && b != Done), "{history:?}");
        assert_eq!(token["units_minted"], units(m == Done), "{history:?}");
    }
    let _ = decide(None, Command::Request(Box::new(examples::request())));
    eprintln!("{steps} steps: {seen:?}");
}
