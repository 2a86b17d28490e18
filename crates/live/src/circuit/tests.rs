use super::run::{PER_SECOND, RUN};
use super::*;
use domain::event::Deferral;
use domain::{PaymentKey, examples};

const SHOP: Door = Door { token: Address::repeat_byte(0x70), factory: Some(Address::repeat_byte(0xfa)) };
/// Another token of the same factory.
const SISTER: Door = Door { token: Address::repeat_byte(0x71), ..SHOP };
/// A token of another factory.
const OTHER: Door = Door { token: Address::repeat_byte(0x72), factory: Some(Address::repeat_byte(0xfb)) };

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(seconds)
}

fn payer(n: u64) -> Address {
    Address::left_padding_from(&n.to_be_bytes())
}

/// The only order of the payer.
fn order(n: u64) -> (PaymentId, Address) {
    (PaymentId::of(PaymentKey(alloy_primitives::U256::from(n).into())), payer(n))
}

/// The breaker, and the sequence of its last event.
#[derive(Default)]
struct Story {
    circuit: Circuit,
    seq: u64,
}

impl Story {
    fn tell(&mut self, door: Door, n: u64, seconds: i64, event: &OrderEvent, settling_since: Option<u64>) {
        self.seq += 1;
        let (id, payer) = order(n);
        let step = BreakerStep { event, id, payer, door, seq: self.seq, at: at(seconds), settling_since };
        self.circuit.apply(&step);
    }

    /// The payment of payer `n` waits.
    fn waits(&mut self, door: Door, n: u64, seconds: i64, reason: WaitReason) {
        let event = OrderEvent::PaymentDeferred(1, Deferral { reason, ..examples::deferral() });
        self.tell(door, n, seconds, &event, None);
    }

    /// A payment is put in a transaction, and its sequence.
    fn submitted(&mut self, door: Door, n: u64, seconds: i64) -> u64 {
        self.tell(door, n, seconds, &OrderEvent::PaymentSubmitted(1, examples::submission(7)), None);
        self.seq
    }

    fn confirmed(&mut self, door: Door, n: u64, seconds: i64, settling_since: u64) {
        let event = OrderEvent::PaymentConfirmed(examples::proof());
        self.tell(door, n, seconds, &event, Some(settling_since));
    }

    /// Failures of the payers `who`, one of each, in seconds of their own from `seconds` on.
    fn fail(&mut self, door: Door, who: std::ops::Range<u64>, seconds: i64, reason: WaitReason) {
        for (n, second) in who.zip(seconds..) {
            self.waits(door, n, second, reason);
        }
    }

    /// The reasons at the three doors for which no offer is made.
    fn refuses(&self, seconds: i64) -> [Option<Trouble>; 3] {
        [SHOP, SISTER, OTHER].map(|door| self.circuit.refuses(door, at(seconds)))
    }

    fn check(&mut self, door: Door, n: u64, seconds: i64) -> Result<(), Trouble> {
        self.circuit.check(door, order(n), at(seconds))
    }
}

const PAUSED: Option<Trouble> = Some(Trouble::AssetPaused);
const STOPPED: Option<Trouble> = Some(Trouble::SettlementStopped);
const RUN_AT: Option<Trouble> = Some(Trouble::RunOfFailures);

#[test]
fn f50_a_paused_asset_closes_every_door_a_stop_those_of_its_factory_and_a_run_its_own() {
    let mut story = Story::default();
    story.waits(SHOP, 1, 0, WaitReason::AssetPaused);
    assert_eq!((story.refuses(1), story.circuit.trouble(at(1))), ([PAUSED; 3], PAUSED));
    let mut story = Story::default();
    story.waits(SHOP, 1, 0, WaitReason::SettlementStopped);
    assert_eq!((story.refuses(1), story.circuit.trouble(at(1))), ([STOPPED, STOPPED, None], None));
    let mut story = Story::default();
    story.fail(SHOP, 0..20, 0, WaitReason::Unexplained);
    assert_eq!((story.refuses(20), story.circuit.trouble(at(20))), ([RUN_AT, None, None], None));
    story.waits(SHOP, 90, 20, WaitReason::SettlementStopped);
    assert_eq!(story.refuses(20), [STOPPED, STOPPED, None], "a stop is graver than a run");
    story.waits(OTHER, 91, 20, WaitReason::AssetPaused);
    assert_eq!(story.refuses(20), [PAUSED; 3]);
    let unknown = Door { factory: None, ..SHOP };
    let mut story = Story::default();
    story.waits(unknown, 1, 0, WaitReason::SettlementStopped);
    assert_eq!((story.circuit.refuses(unknown, at(1)), story.refuses(1)), (STOPPED, [None; 3]));
}

#[test]
fn f50_a_closed_door_lets_one_payment_of_its_token_through_in_ten_seconds() {
    let mut story = Story::default();
    story.waits(SHOP, 1, 0, WaitReason::AssetPaused);
    assert_eq!((story.check(SHOP, 2, 9), story.refuses(9)), (Err(Trouble::AssetPaused), [PAUSED; 3]));
    assert_eq!((story.refuses(10), story.refuses(10)), ([None; 3], [None; 3]), "offers are made");
    assert_eq!(story.check(SHOP, 2, 10), Ok(()), "one is let through");
    assert_eq!(story.refuses(10), [PAUSED, None, None], "and no other of this token");
    assert_eq!(story.check(OTHER, 3, 10), Ok(()), "each token has its own");
    story.waits(SHOP, 2, 11, WaitReason::AssetPaused);
    assert_eq!((story.refuses(19), story.refuses(20)), ([PAUSED, None, PAUSED], [None; 3]));
}

#[test]
fn only_a_confirmed_payment_that_was_submitted_after_the_last_sign_opens_a_door() {
    for reason in [WaitReason::AssetPaused, WaitReason::SettlementStopped] {
        let mut story = Story::default();
        let early = story.submitted(SHOP, 1, 0);
        story.waits(SHOP, 2, 1, reason);
        story.confirmed(SHOP, 1, 2, early);
        let closed = story.refuses(3);
        assert!(closed[0].is_some() && closed[1].is_some(), "it was charged before the trouble began");
        let late = story.submitted(SISTER, 3, 3);
        assert_eq!(story.refuses(3), closed, "a simulation that passes shows little");
        story.confirmed(SISTER, 3, 4, late);
        assert_eq!(story.refuses(4), [None; 3]);
    }
    let mut story = Story::default();
    story.fail(SHOP, 0..20, 0, WaitReason::Unexplained);
    let late = story.submitted(SISTER, 50, 20);
    story.confirmed(SISTER, 50, 20, late);
    assert_eq!(story.refuses(20), [RUN_AT, None, None], "another token shows nothing about this one");
    let late = story.submitted(SHOP, 51, 20);
    story.confirmed(SHOP, 51, 20, late);
    assert_eq!(story.refuses(20), [None; 3]);
}

/// Every earlier order has expired, or the process has just read the last events of the ledger.
#[test]
fn without_any_further_event_each_door_is_open_after_25_seconds() {
    let mut story = Story::default();
    story.waits(SHOP, 1, 0, WaitReason::AssetPaused);
    story.waits(SHOP, 2, 0, WaitReason::SettlementStopped);
    story.fail(OTHER, 10..30, -19, WaitReason::Unexplained);
    for n in 100..103 {
        let _taken = (story.check(SHOP, n, 24), story.check(SISTER, n, 24), story.check(OTHER, n, 24));
    }
    assert_eq!(story.refuses(24), [PAUSED; 3], "the payments that are let through are somebody's who cannot pay");
    assert_eq!((story.refuses(25), story.circuit.trouble(at(25))), ([None; 3], None));
    let everybody = (200..400).all(|n| story.check(SHOP, n, 25).is_ok() && story.check(OTHER, n, 25).is_ok());
    assert!(everybody, "not one in ten seconds, but all");
}

#[test]
fn a_pause_that_lasts_keeps_the_doors_closed_while_payments_show_it() {
    let mut story = Story::default();
    story.waits(SHOP, 1, 0, WaitReason::AssetPaused);
    let mut let_through = 0;
    for second in 1..=600 {
        let n = u64::try_from(second).unwrap() + 1;
        if story.check(SHOP, n, second).is_ok() {
            let_through += 1;
            story.waits(SHOP, n, second + 1, WaitReason::AssetPaused);
        }
    }
    assert_eq!(let_through, 60);
}

#[test]
fn what_payers_bring_about_without_money_closes_no_door() {
    for (reason, closes) in [
        (WaitReason::Unfunded, false),
        (WaitReason::SoldOut, false),
        (WaitReason::SignatureRefused, false),
        (WaitReason::PayerBudget, false),
        (WaitReason::AuthorizationExpired, false),
        (WaitReason::AuthorizationNotYetValid, false),
        (WaitReason::AuthorizationUsedOrCancelled, false),
        (WaitReason::Unexplained, true),
        (WaitReason::NotAttempted, true),
        (WaitReason::Blacklisted, true),
    ] {
        let mut story = Story::default();
        story.fail(SHOP, 1..20, 0, reason);
        assert_eq!(story.refuses(19), [None; 3], "{reason:?}");
        story.waits(SHOP, 20, 19, reason);
        assert_eq!(story.refuses(19)[0].is_some(), closes, "{reason:?}");
        story.fail(SHOP, 1_000..21_000, 20, reason);
        assert_eq!(story.refuses(20_020)[0].is_some(), closes, "{reason:?}");
    }
}

#[test]
fn a_run_is_of_twenty_payers_within_a_minute_without_one_that_is_charged() {
    let mut story = Story::default();
    for second in 0..1_000 {
        story.waits(SHOP, u64::try_from(second % 19).unwrap(), second, WaitReason::Unexplained);
    }
    assert_eq!(story.refuses(1_000), [None; 3], "nineteen payers, again and again");
    let mut story = Story::default();
    for n in 0..1_000_u32 {
        story.waits(SHOP, u64::from(n), i64::from(n) * 4, WaitReason::Unexplained);
    }
    assert_eq!(story.refuses(4_000), [None; 3], "fifteen in a minute");
    let mut story = Story::default();
    for n in 0..1_000_u64 {
        let second = i64::try_from(n).unwrap();
        story.waits(SHOP, n, second, WaitReason::Unexplained);
        if n % 19 == 0 {
            story.confirmed(SHOP, 5_000, second, 1);
        }
    }
    assert_eq!(story.refuses(1_000), [None; 3], "others are charged meanwhile");
    let mut story = Story::default();
    for n in 0..99 {
        story.waits(SHOP, n, 0, WaitReason::NotAttempted);
    }
    assert_eq!(story.refuses(0), [None; 3], "one transaction that ran out of gas");
}

/// Accounts with code can fail without a known reason. Each of them counts once in an hour.
#[test]
fn an_outsider_closes_one_token_for_25_seconds_at_the_price_of_twenty_new_accounts() {
    let mut story = Story::default();
    story.fail(SHOP, 0..20, 0, WaitReason::Unexplained);
    assert_eq!(story.refuses(20), [RUN_AT, None, None]);
    // The accounts go on, and take what is let through, as far as that is given to them.
    for second in 20..600 {
        for n in 0..20 {
            if story.check(SHOP, n, second).is_ok() {
                story.waits(SHOP, n, second, WaitReason::Unexplained);
            }
        }
        assert_eq!(story.refuses(second)[1..], [None; 2], "other tokens");
        assert_eq!(story.refuses(second)[0].is_some(), second < 29, "an honest payer is let through, and then all are");
    }
    assert!(RUN.div_ceil(PER_SECOND) >= 5, "and not within one block");
}

#[test]
fn a_payer_who_failed_before_is_not_let_through_a_closed_door_and_one_who_shows_nothing_makes_room() {
    let mut story = Story::default();
    story.waits(OTHER, 5, -100, WaitReason::Unfunded);
    story.waits(SHOP, 1, 0, WaitReason::AssetPaused);
    assert_eq!(story.check(SHOP, 5, 10), Err(Trouble::AssetPaused), "unfunded elsewhere");
    assert_eq!((story.refuses(10)[0], story.check(SHOP, 6, 10)), (None, Ok(())), "and it took nothing away");
    assert_eq!(story.check(SHOP, 7, 11), Err(Trouble::AssetPaused));
    story.waits(SHOP, 6, 11, WaitReason::Unfunded);
    assert_eq!((story.refuses(11)[0], story.check(SHOP, 7, 11)), (None, Ok(())), "an empty account shows nothing");
    story.circuit.free(SHOP.token, order(7).0);
    assert_eq!(story.refuses(11)[0], None, "it was not written");
    let late = story.submitted(OTHER, 5, 12);
    story.confirmed(OTHER, 5, 12, late);
    story.waits(SHOP, 1, 13, WaitReason::AssetPaused);
    assert_eq!(story.check(SHOP, 5, 23), Ok(()), "its payment was charged meanwhile");
}
