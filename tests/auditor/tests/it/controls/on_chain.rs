//! Wrongs done to the chain. The services do not run meanwhile, and a snapshot undoes each of them.

use crate::controls::bench::{Bench, red};
use crate::controls::load::Load;
use crate::controls::strangers;
use crate::controls::tamper::Tamper;
use alloy_primitives::U256;
use harness::{Bill, Payment, Stack};
use standalone::accounts::{MINTERS, OPERATORS, OWNER};

/// Name of a wrong, the check that must find it, and its words.
const WRONGS: [(&str, &str, &str); 26] = [
    ("a mint that nobody paid for", "A01", "no pair pays for it"),
    ("one transfer for two nonces", "A01", "without a transfer of its own"),
    ("an authorization cancelled, then minted", "A01", "was cancelled in"),
    ("a payment from the payer to itself", "A01", "paid itself in"),
    ("a nonce paid elsewhere", "A01", "was paid elsewhere"),
    ("a mint to somebody else", "A01", "has the units"),
    ("a mint of more units than were paid for", "A01", "was paid for 2 units, which cost"),
    ("a confirmed payment without a record", "A02", "has no record of it"),
    ("money that left a payer without a pair", "A02", "its pairs say that it paid"),
    ("money that no payment brought", "A03", "beside what the pairs brought"),
    ("money that left a token", "A03", "what has left"),
    ("a refund without money", "A03", "as a refund, and no transfer did it"),
    ("a refund of another amount", "A03", "was paid for 2 units, which cost"),
    ("a return without money", "A03", "as a payment that is given back, and no transfer did it"),
    ("a credit without a payment", "A03", "credited to"),
    ("surplus that was paid out to somebody else", "A03", "given back to"),
    ("a record that nobody knows of", "A03", "open units of"),
    ("units that were minted and refunded", "A04", "and refunded in"),
    ("a token that has sold more than it may", "A04", "has sold"),
    ("a token with other decimals", "A04", "base units of a unit"),
    ("an order that is parked, and credited", "A05", "and has no units"),
    ("a refunded order whose record is open", "A05", "refunded, says the ledger, and the record says"),
    ("a charge of our own that nobody ordered", "A07", "was charged by our own"),
    ("a refund by our own operator that nobody asked for", "A07", "was refunded by our own"),
    ("failed, then charged late", "A08", "charged all the same"),
    ("a relayer's transaction that is not ours", "A12", "sent by somebody else"),
];

pub async fn controls(stack: &Stack, load: &Load, bench: &mut Bench) {
    for (control, id, words) in WRONGS {
        let snapshot = Tamper { stack, bench }.remember().await;
        wrong(control, load, &Tamper { stack, bench }).await;
        red(control, &bench.collect().await, id, words);
        Tamper { stack, bench }.undo(snapshot).await;
    }
}

async fn wrong(control: &str, load: &Load, hand: &Tamper<'_>) {
    let (stack, idle) = (hand.stack, &load.idle);
    let token = &stack.shop.token;
    let [unsent, other] = [idle.pay(token, 1), idle.pay(token, 1)];
    let key = |payment: &Payment| payment.key().0;
    let nonce = |payment: &Payment| payment.transfer.authorization.nonce;
    let payer = U256::MAX << 96_usize;
    match control {
        "a mint that nobody paid for" => mint_forged(hand, &unsent).await,
        "one transfer for two nonces" => {
            hand.one_transfer_for_two(idle.address, [nonce(&unsent), nonce(&other)], token.unit_price.0).await;
            mint_forged(hand, &unsent).await;
        }
        "an authorization cancelled, then minted" => {
            cancel(hand, load, &unsent).await;
            mint_forged(hand, &unsent).await;
        }
        "a payment from the payer to itself" => {
            let to_self = idle.sign(Bill { pay_to: idle.address, ..Bill::of(token, 1) });
            hand.submit(&to_self).await;
            mint_forged(hand, &to_self).await;
        }
        "a nonce paid elsewhere" => {
            let elsewhere = idle.sign(Bill { pay_to: OWNER, ..Bill::of(token, 1) });
            hand.submit(&elsewhere).await;
            mint_forged(hand, &elsewhere).await;
        }
        "a mint to somebody else" => {
            hand.settle(&unsent).await;
            let somebody = U256::from_be_slice(OWNER.as_slice()) << 96_usize;
            hand.rewrite(key(&unsent), |word| word & !payer | somebody).await;
            hand.mint(&[key(&unsent)]).await;
        }
        "a mint of more units than were paid for" => {
            hand.settle(&unsent).await;
            hand.rewrite(key(&unsent), |word| word + (U256::ONE << 64_usize)).await;
            hand.open_one_more().await;
            hand.mint(&[key(&unsent)]).await;
        }
        "a confirmed payment without a record" => hand.rewrite(load.first.key.0, |_| U256::ZERO).await,
        "money that left a payer without a pair" => hand.spend(idle.address).await,
        "money that no payment brought" => hand.gift(token.token).await,
        "money that left a token" => hand.spend(token.token).await,
        "a refund without money" => {
            hand.settle(&unsent).await;
            hand.without_money(strangers::refund(stack, &unsent)).await;
        }
        "a refund of another amount" => {
            hand.settle(&unsent).await;
            hand.rewrite(key(&unsent), |word| word + (U256::ONE << 64_usize)).await;
            hand.open_one_more().await;
            strangers::refund(stack, &unsent).await;
        }
        "a return without money" => {
            hand.submit(&unsent).await;
            hand.without_money(strangers::give_back(stack, &unsent)).await;
        }
        "a credit without a payment" => {
            hand.submit(&other).await;
            cancel(hand, load, &unsent).await;
            strangers::credit(stack, &unsent).await;
        }
        "surplus that was paid out to somebody else" => {
            hand.submit(&unsent).await;
            strangers::give_back(stack, &load.cancelled).await;
        }
        "a record that nobody knows of" => hand.forge(idle.address, key(&unsent)).await,
        "units that were minted and refunded" => {
            hand.settle(&unsent).await;
            hand.mint(&[key(&unsent)]).await;
            hand.rewrite(key(&unsent), |word| word - U256::ONE).await;
            hand.open_one_more().await;
            strangers::refund(stack, &unsent).await;
        }
        "a token that has sold more than it may" => hand.other_limit().await,
        "a token with other decimals" => hand.other_decimals().await,
        "an order that is parked, and credited" => strangers::credit(stack, &load.around).await,
        "a refunded order whose record is open" => {
            hand.rewrite(load.touched.returned.key.0, |word| word - U256::from(2)).await;
        }
        "a charge of our own that nobody ordered" => hand.settle_as(MINTERS[1], &unsent).await,
        "a refund by our own operator that nobody asked for" => {
            hand.settle(&unsent).await;
            hand.transact(OPERATORS[0], token.token, unsent.refund_call().to_vec()).await;
        }
        "failed, then charged late" => {
            hand.forget(load.cancelled.transfer.authorization.from, nonce(&load.cancelled)).await;
            hand.submit(&load.cancelled).await;
        }
        "a relayer's transaction that is not ours" => hand.foreign(MINTERS[1]).await,
        other => unreachable!("{other}"),
    }
}

/// The token mints what it was never paid for, because a record says so that nobody made.
async fn mint_forged(hand: &Tamper<'_>, payment: &Payment) {
    hand.forge(payment.transfer.authorization.from, payment.key().0).await;
    hand.mint(&[payment.key().0]).await;
}

async fn cancel(hand: &Tamper<'_>, load: &Load, payment: &Payment) {
    let (token, nonce) = (&hand.stack.shop.token, payment.transfer.authorization.nonce);
    hand.transact(OWNER, token.asset, load.idle.cancellation(token, nonce).to_vec()).await;
}
