//! Random histories of a lane. The chain drops transactions, reorganises and gets expensive, and another sender uses
//! the key. No nonce is signed for twice, no transaction that can still be mined is given up, and when the disturbances
//! stop every nonce comes to an end.

use alloy_primitives::{B256, U256};
use domain::event::{Lost, OpenTx, Purpose, Settled};
use domain::lane::{self, FeePolicy, Fees, Lane, Look, NonceStatus, Step};
use domain::{SignerEvent, examples};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Depth at which a block is final. Reorgs are shallower, and a nonce that is this deep is settled.
const FINAL_DEPTH: usize = 3;
const GWEI: u128 = 1_000_000_000;

#[derive(Clone, Copy, Debug)]
enum Act {
    Sign,
    Tend,
    Mine,
    Settle,
    /// Another instance claims the lane, and folds from its claim.
    TakeOver,
    /// Another sender uses the account's next nonce.
    Foreign,
    /// The pool loses its transactions.
    Drop,
    Reorganise(usize),
    BaseFee(u128),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        5 => Just(Act::Sign),
        5 => Just(Act::Tend),
        4 => Just(Act::Mine),
        2 => Just(Act::Settle),
        1 => Just(Act::TakeOver),
        1 => Just(Act::Foreign),
        1 => Just(Act::Drop),
        1 => (1..FINAL_DEPTH).prop_map(Act::Reorganise),
        1 => (1_u128..40).prop_map(|gwei| Act::BaseFee(gwei * GWEI)),
    ];
    prop::collection::vec(act, 1..120)
}

/// The user of a nonce.
#[derive(Clone, Copy, Debug, PartialEq)]
enum User {
    Us(B256),
    Somebody,
}

struct World {
    events: Vec<SignerEvent>,
    lane: Lane,
    /// Each block with the nonces that it uses.
    blocks: Vec<Vec<(u64, User)>>,
    /// Nonce and fee cap of each transaction, by hash.
    pool: BTreeMap<B256, (u64, u128)>,
    /// For each transaction hash, the height at which it was first seen waiting.
    waits: BTreeMap<B256, u64>,
    base_fee_wei: u128,
    transactions: u64,
    signed: BTreeSet<u64>,
}

impl World {
    fn new() -> Self {
        let claim = SignerEvent::Claimed(lane::claim(None, Purpose::Settle, 84532, "a", 0));
        let lane = lane::evolve(None, &claim).unwrap().unwrap();
        Self {
            events: vec![claim],
            lane,
            blocks: vec![vec![]; FINAL_DEPTH + 1],
            pool: BTreeMap::new(),
            waits: BTreeMap::new(),
            base_fee_wei: GWEI,
            transactions: 0,
            signed: BTreeSet::new(),
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Sign => self.sign(),
            Act::Tend => {
                let look = self.look();
                lane::tend(&self.lane, &look).into_iter().for_each(|step| self.step(step, &look));
            }
            Act::Mine => self.mine(),
            Act::Settle => self.settle(),
            Act::TakeOver => self.take_over(),
            Act::Foreign => {
                let nonce = self.latest_nonce();
                self.pool.retain(|_, (pooled, _)| *pooled != nonce);
                self.blocks.push(vec![(nonce, User::Somebody)]);
            }
            Act::Drop => self.pool.clear(),
            Act::Reorganise(depth) => {
                self.blocks.truncate(self.blocks.len() - depth);
                self.blocks.extend(vec![vec![]; depth]);
            }
            Act::BaseFee(wei) => self.base_fee_wei = wei,
        }
    }

    fn sign(&mut self) {
        let look = self.look();
        let rests = lane::tend(&self.lane, &look).iter().any(|step| matches!(step, Step::Rest(_) | Step::Skip(_)));
        if rests || self.lane.open.len() >= 8 {
            return;
        }
        let tx = self.transaction(self.lane.next_nonce, self.market());
        assert!(self.signed.insert(tx.nonce), "nonce {} is signed for twice", tx.nonce);
        self.append(SignerEvent::Signed(tx.clone()));
        self.broadcast(&tx);
    }

    fn step(&mut self, step: Step, look: &Look) {
        let block = examples::settled(0).block;
        match step {
            Step::Resend(nonce) => {
                let tx = self.lane.open[&nonce].latest().clone();
                self.broadcast(&tx);
            }
            Step::Replace(nonce, fees) => {
                let (last, n) = (self.lane.open[&nonce].latest().clone(), self.lane.open[&nonce].next_replacement());
                assert!(fees.max_fee_wei * 8 >= last.max_fee_wei * 9);
                assert!(fees.priority_fee_wei * 8 >= last.priority_fee_wei * 9);
                let tx = self.transaction(nonce, fees);
                self.append(SignerEvent::Replaced(n, tx.clone()));
                self.broadcast(&tx);
            }
            Step::Lose(nonce) => {
                let by = self.used(self.final_blocks()).get(&nonce).copied();
                assert_eq!(by, Some(User::Somebody), "nonce {nonce} was given up");
                self.append(SignerEvent::Lost(Lost { nonce, account_nonce: look.final_nonce, block }));
            }
            Step::Skip(to) => {
                let lost = Lost { nonce: self.lane.next_nonce, account_nonce: to, block };
                self.append(SignerEvent::Lost(lost));
            }
            Step::Rest(_) => {}
        }
    }

    fn settle(&mut self) {
        let used = self.used(self.final_blocks());
        for nonce in self.lane.open.keys().copied().collect::<Vec<_>>() {
            if let Some(User::Us(tx_hash)) = used.get(&nonce) {
                self.append(SignerEvent::Settled(Settled { tx_hash: *tx_hash, ..examples::settled(nonce) }));
            }
        }
    }

    fn take_over(&mut self) {
        let claim = lane::claim(Some(&self.lane), Purpose::Settle, 84532, "b", 0);
        let mut open = Vec::new();
        for attempts in self.lane.open.values() {
            let oldest_first: Vec<OpenTx> = attempts.attempts().cloned().collect();
            open.extend(oldest_first.into_iter().rev());
        }
        self.append(SignerEvent::Claimed(claim.clone()));
        assert_eq!(lane::resume(&claim, open), self.lane);
        self.waits.clear();
    }

    fn mine(&mut self) {
        let mut next = self.latest_nonce();
        let mut block = vec![];
        let mineable = |pool: &BTreeMap<B256, (u64, u128)>, next, base_fee| {
            pool.iter().find(|(_, (nonce, fee))| *nonce == next && *fee >= base_fee).map(|(hash, _)| *hash)
        };
        while let Some(hash) = mineable(&self.pool, next, self.base_fee_wei) {
            self.pool.remove(&hash);
            block.push((next, User::Us(hash)));
            next += 1;
        }
        self.blocks.push(block);
    }

    fn look(&mut self) -> Look {
        let (latest, height) = (self.used(self.blocks.len()), self.blocks.len() as u64);
        let mut seen = BTreeMap::new();
        for (nonce, open) in &self.lane.open {
            let hash = open.latest().tx_hash;
            let is_mined = open.attempts().any(|tx| latest.get(nonce) == Some(&User::Us(tx.tx_hash)));
            let since = *self.waits.entry(hash).or_insert(height);
            let of = match self.pool.contains_key(&hash) {
                _ if is_mined => NonceStatus::Mined,
                true => NonceStatus::Pooled(height - since),
                false => NonceStatus::Unknown,
            };
            seen.insert(*nonce, of);
        }
        Look {
            base_fee_wei: self.base_fee_wei,
            market: self.market(),
            policy: FeePolicy::of_chain(84_532),
            nonce: latest.len() as u64,
            final_nonce: self.used(self.final_blocks()).len() as u64,
            balance_wei: u128::MAX,
            data_fee_wei: 0,
            is_short_of_funds: false,
            seen,
        }
    }

    fn append(&mut self, event: SignerEvent) {
        self.lane = lane::evolve(Some(self.lane.clone()), &event).unwrap().unwrap();
        self.events.push(event);
    }

    fn transaction(&mut self, nonce: u64, fees: Fees) -> OpenTx {
        self.transactions += 1;
        let Fees { max_fee_wei, priority_fee_wei } = fees;
        let tx_hash = B256::from(U256::from(self.transactions));
        OpenTx { tx_hash, max_fee_wei, priority_fee_wei, ..examples::open_tx(nonce) }
    }

    /// Behaves like a node: keeps nothing for a used nonce, and one transaction for each other.
    fn broadcast(&mut self, tx: &OpenTx) {
        if tx.nonce >= self.latest_nonce() {
            self.pool.retain(|_, (nonce, _)| *nonce != tx.nonce);
            self.pool.insert(tx.tx_hash, (tx.nonce, tx.max_fee_wei));
        }
    }

    fn market(&self) -> Fees {
        Fees { max_fee_wei: 2 * self.base_fee_wei + 1_000_000, priority_fee_wei: 1_000_000 }
    }

    fn used(&self, blocks: usize) -> BTreeMap<u64, User> {
        self.blocks[..blocks].iter().flatten().copied().collect()
    }

    fn latest_nonce(&self) -> u64 {
        self.used(self.blocks.len()).len() as u64
    }

    fn final_blocks(&self) -> usize {
        self.blocks.len() - FINAL_DEPTH
    }
}

proptest! {
    #[test]
    fn f38_f42_f43_f44_f45_every_nonce_is_signed_once_and_comes_to_an_end(acts in acts()) {
        let mut world = World::new();
        acts.into_iter().for_each(|act| world.act(act));
        world.base_fee_wei = GWEI;
        for _ in 0..50 {
            [Act::Tend, Act::Mine, Act::Settle].into_iter().for_each(|act| world.act(act));
        }
        prop_assert!(world.lane.open.is_empty(), "still open: {:?}", world.lane.open.keys());
        let whole = world.events.iter().fold(None, |lane, event| lane::evolve(lane, event).unwrap());
        prop_assert_eq!(whole, Some(world.lane));
    }
}
