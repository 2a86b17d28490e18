//! Facts that follow from the evidence by arithmetic and that several judges use: orders, pairs, mints, tokens.

mod chain;
mod fate;

pub use chain::{Created, Entry, Mint, Pair, Place};
pub use fate::{Fate, record};

use crate::decode::event::{Aggregate, Event, read};
use crate::decode::x402::{payment_id, payment_key};
use crate::evidence::Evidence;
use crate::evidence::chain::{Log, Tx};
use crate::evidence::journal::Journal;
use crate::evidence::stream::StreamEvidence;
use crate::legal::{Path, State};
use crate::run::Run;
use alloy_primitives::{Address, B256, U256};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Names from ledger and journal that the chain is asked about.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Accounts whose balances are read.
    pub payers: BTreeSet<Address>,
    pub tokens: BTreeSet<Address>,
    /// Payments whose records are read.
    pub keys: BTreeSet<B256>,
}

/// Everybody who signed anything, every token that is sold, and every payment that was ordered.
pub fn known(run: &Run, stream: &StreamEvidence, journal: &Journal) -> Known {
    let mut found = Known::default();
    found.payers.extend(run.genesis.asset.keys());
    found.payers.extend(journal.requests.iter().filter_map(|request| request.sent.as_ref()).map(|sent| sent.from));
    for event in stream.found.iter().filter_map(|message| read(message).ok()) {
        match (&event.of, event.kind.name) {
            (Aggregate::Token(token), _) => {
                found.tokens.insert(*token);
            }
            (Aggregate::Order(_), "payment.requested") => {
                found.payers.extend(event.data.get::<Address>("authorization.from"));
                found.keys.extend(event.data.get::<B256>("paymentKey"));
            }
            _ => {}
        }
    }
    let tokens = found.tokens.clone();
    found.payers.retain(|payer| !tokens.contains(payer));
    found
}

/// The ordered purchase, as the ledger has it.
#[derive(Clone, Debug)]
pub struct Ordered {
    pub key: B256,
    pub from: Address,
    pub to: Address,
    pub value: U256,
    pub valid_after: U256,
    pub valid_before: U256,
    pub nonce: B256,
    pub signature: Vec<u8>,
    pub token: Address,
    pub quantity: U256,
    pub unit_price: U256,
}

/// One order and all of its events.
#[derive(Clone, Debug, Default)]
pub struct Order {
    pub ordered: Option<Ordered>,
    /// By sequence.
    pub events: Vec<Event>,
    /// Where they led.
    pub path: Path,
    /// The first that may not be.
    pub wrong: Option<String>,
}

impl Order {
    /// Its event of this name, the last where there are several.
    pub fn event(&self, name: &str) -> Option<&Event> {
        self.events.iter().rev().find(|event| event.kind.name == name)
    }

    /// The proof that it is charged: the last, unless that was taken back.
    pub fn charged(&self) -> Option<&Event> {
        self.standing(["payment.confirmed", "payment.restored"], "payment.reverted")
    }

    /// The proof that it is minted, paid or not: the last, unless that was taken back.
    pub fn minted(&self) -> Option<&Event> {
        self.standing(["mint.confirmed", "mint.restored"], "mint.reverted")
    }

    /// The proof that the payer has the money back: the last, unless that was taken back.
    pub fn refunded(&self) -> Option<&Event> {
        self.standing(["refund.confirmed", "refund.restored"], "refund.reverted")
    }

    fn standing(&self, proves: [&str; 2], takes_back: &str) -> Option<&Event> {
        let speaks = |event: &&Event| event.kind.name == takes_back || proves.contains(&event.kind.name);
        self.events.iter().rev().find(speaks).filter(|event| event.kind.name != takes_back)
    }
}

/// Terms of a token as registered.
#[derive(Clone, Debug)]
pub struct Terms {
    pub unit: U256,
    pub max_units: U256,
    pub unit_price: U256,
}

/// Everything that is derived.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Every event that can be read, by sequence.
    pub events: Vec<Event>,
    /// Sequence, subject and fault of every message that cannot.
    pub unreadable: Vec<(u64, String, String)>,
    pub orders: BTreeMap<Uuid, Order>,
    /// Events of each record without an order, by sequence.
    pub unordered: BTreeMap<Uuid, Vec<Event>>,
    /// Where the order was after its event of this sequence; none after one that may not be.
    pub states: BTreeMap<u64, State>,
    /// By payment key.
    pub by_key: BTreeMap<B256, Uuid>,
    pub tokens: BTreeMap<Address, Terms>,
    /// Pairs that moved money, by payment key.
    pub pairs: BTreeMap<B256, Vec<Pair>>,
    /// Pairs that moved nothing: from an account to itself.
    pub to_self: BTreeMap<B256, Pair>,
    /// Authorizations that were cancelled, by payment key.
    pub cancelled: BTreeMap<B256, Log>,
    /// Authorizations that were used without a transfer of their own, by payment key.
    pub used_alone: BTreeMap<B256, Log>,
    /// Settlements of a token, by transaction.
    pub settlements: BTreeMap<(Address, B256), Vec<Place>>,
    pub mints: Vec<Mint>,
    /// The first mint of each key, as an index.
    pub minted: BTreeMap<(Address, B256), usize>,
    /// Refunds, credits and returns of a token, by payment key.
    pub refunds: BTreeMap<(Address, B256), Vec<Entry>>,
    pub credits: BTreeMap<(Address, B256), Vec<Entry>>,
    pub returns: BTreeMap<(Address, B256), Vec<Entry>>,
    /// Tokens by the factory's own word.
    pub created: BTreeMap<Address, Created>,
    /// Every treasury that the factory has named.
    pub treasuries: BTreeSet<Address>,
    /// Transactions of the chain, as indices, by hash.
    pub txs: BTreeMap<B256, usize>,
    /// Purchases of the journal, as indices, by payment key.
    pub asked: BTreeMap<B256, Vec<usize>>,
    /// When the first 202 was answered, by the id that it named.
    pub accepted_at: BTreeMap<Uuid, DateTime<Utc>>,
}

impl Books {
    pub fn of(evidence: &Evidence) -> Self {
        let mut books = Self::default();
        books.enter_journal(evidence);
        for message in &evidence.stream.found {
            match read(message) {
                Ok(event) => books.enter(event),
                Err(why) => books.unreadable.push((message.seq, message.subject.clone(), why)),
            }
        }
        books.enter_chain(evidence);
        books
    }

    fn enter_journal(&mut self, evidence: &Evidence) {
        for (at, request) in evidence.journal.requests.iter().enumerate().filter(|(_, asks)| asks.token.is_some()) {
            if let Some(sent) = &request.sent {
                let key = payment_key(evidence.chain.id, evidence.run.asset, sent.from, sent.nonce);
                self.asked.entry(key).or_default().push(at);
            }
            if let (Some(202), Some(id)) = (request.status, request.answered_id) {
                let at = request.answered_at.unwrap_or(request.at);
                self.accepted_at.entry(id).and_modify(|first| *first = at.min(*first)).or_insert(at);
            }
        }
    }

    fn enter(&mut self, event: Event) {
        self.events.push(event.clone());
        match &event.of {
            Aggregate::Order(id) => {
                let order = self.orders.entry(*id).or_default();
                if event.kind.name == "payment.requested" {
                    order.ordered = ordered(&event);
                    self.by_key.extend(order.ordered.as_ref().map(|ordered| (ordered.key, *id)));
                }
                match order.path.step(&event) {
                    Ok(state) => {
                        self.states.insert(event.seq, state);
                    }
                    Err(why) => {
                        order.wrong.get_or_insert(why);
                    }
                }
                order.events.push(event);
            }
            Aggregate::Token(token) => {
                let terms = ["unit", "maxUnits", "unitPrice"].map(|name| event.data.decimal(name));
                if let [Some(unit), Some(max_units), Some(unit_price)] = terms {
                    self.tokens.insert(*token, Terms { unit, max_units, unit_price });
                }
            }
            Aggregate::Record(id) => self.unordered.entry(*id).or_default().push(event),
            Aggregate::Signer(_) | Aggregate::Key(..) | Aggregate::Ops(_) => {}
        }
    }

    /// Pairs in favour of a token, with their keys.
    pub fn paid_to_tokens<'a>(&'a self, evidence: &'a Evidence) -> impl Iterator<Item = (&'a B256, &'a Pair)> {
        let of_tokens = |pair: &&Pair| evidence.chain.tokens.contains_key(&pair.to);
        self.pairs.iter().flat_map(move |(key, pairs)| pairs.iter().filter(of_tokens).map(move |pair| (key, pair)))
    }

    /// The transaction of this hash, if it is on the chain.
    pub fn tx<'a>(&self, evidence: &'a Evidence, hash: B256) -> Option<&'a Tx> {
        evidence.chain.txs.get(*self.txs.get(&hash)?)
    }

    /// Returns `true` if the transaction is one of ours.
    pub fn is_ours(&self, evidence: &Evidence, hash: B256) -> bool {
        self.tx(evidence, hash).is_some_and(|tx| evidence.run.relayers.contains(&tx.from))
    }

    /// The order that a payment to this token is for. It is none if the payment is of another value: a payer can sign
    /// several payments with one nonce, and these have one key.
    pub fn order_of(&self, token: Address, key: B256) -> Option<(Uuid, &Order)> {
        let id = self.by_key.get(&key)?;
        let order = self.orders.get(id)?;
        let ordered = order.ordered.as_ref().filter(|ordered| ordered.token == token)?;
        let is_its_own = self.pair_to(token, key).map_or(true, |pair| pair.value == ordered.value);
        is_its_own.then_some((*id, order))
    }

    /// Returns whether the ledger says before sequence `seq` that this payment has a record without an order.
    pub fn is_found_before(&self, key: B256, seq: u64) -> bool {
        let events = self.unordered.get(&payment_id(key)).into_iter().flatten();
        events.filter(|event| event.seq < seq).any(|event| event.kind.name == "found")
    }

    /// Pairs that are proof of payment of this order: its authorization, to the letter.
    pub fn paid(&self, ordered: &Ordered) -> usize {
        let pairs = self.pairs.get(&ordered.key).map_or(&[][..], Vec::as_slice);
        pairs.iter().filter(|pair| (pair.to, pair.value) == (ordered.to, ordered.value)).count()
    }
}

fn ordered(event: &Event) -> Option<Ordered> {
    let data = &event.data;
    Some(Ordered {
        key: data.get("paymentKey")?,
        from: data.get("authorization.from")?,
        to: data.get("authorization.to")?,
        value: data.decimal("authorization.value")?,
        valid_after: data.decimal("authorization.validAfter")?,
        valid_before: data.decimal("authorization.validBefore")?,
        nonce: data.get("authorization.nonce")?,
        signature: data.bytes("signature")?.to_vec(),
        token: data.get("purchase.token")?,
        quantity: U256::from(data.get::<u64>("purchase.quantity")?),
        unit_price: data.decimal("purchase.unitPrice")?,
    })
}
