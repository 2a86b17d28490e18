//! The waits that are told beside a crowd, on a clock of their own.

use super::*;
use waits::FairQueue;

/// Orders of one transaction, the time between two settlements, and the time from a transaction to its confirmation.
const BATCH: usize = 100;
const BATCH_MS: i64 = 1_000;
const CONFIRM_MS: i64 = 3_000;

/// A step of the clock.
const STEP_MS: i64 = 100;

/// A wait that was told.
struct Told {
    n: u64,
    at_ms: i64,
    wait_s: u32,
}

/// Two lanes behind a backlog. One sends a transaction with [`BATCH`] payments each second, and one has a transaction with mints
/// of one token in each step.
struct Lanes {
    story: Story,
    bought: HashMap<u64, Bought>,
    settle: FairQueue<Address, Address, u64>,
    mint: FairQueue<Address, Address, u64>,
    /// Orders in transactions, each with the time at which that is confirmed.
    settling: VecDeque<(i64, u64)>,
    minting: VecDeque<(i64, u64)>,
    minted: HashMap<u64, i64>,
    told: Vec<Told>,
}

impl Lanes {
    fn new() -> Self {
        let (settle, mint) = (FairQueue::default(), FairQueue::default());
        let (settling, minting) = (VecDeque::new(), VecDeque::new());
        let (bought, minted) = (HashMap::new(), HashMap::new());
        Self { story: Story::new(50), bought, settle, mint, settling, minting, minted, told: Vec::new() }
    }

    /// An order arrives. Its payer asks how long it will take if `asks`.
    fn arrive(&mut self, ms: i64, token: u64, payer: u64, asks: bool) {
        let n = self.bought.len() as u64 + 1;
        let account = |n: u64| Address::left_padding_from(&n.to_be_bytes());
        let bought = Bought { payer: account(payer), token: account(token), quantity: Quantity::new(1).unwrap() };
        self.bought.insert(n, bought);
        self.story.backlog.reserve(id(n), bought, unpaid(usize::MAX), at(ms)).unwrap();
        self.story.tell(ms, n, &requested());
        self.settle.push(bought.token, bought.payer, u64::MAX, n);
        if asks {
            self.ask(ms, n);
        }
    }

    fn ask(&mut self, ms: i64, n: u64) {
        let place = self.story.backlog.place(id(n), Stage::Requested, at(ms));
        self.told.extend(place.map(|place| Told { n, at_ms: ms, wait_s: place.wait_s }));
    }

    fn pass(&mut self, ms: i64) {
        while let Some((_, n)) = self.settling.pop_front_if(|(at, _)| *at <= ms) {
            self.story.tell(ms, n, &confirmed());
            let bought = self.bought[&n];
            self.mint.push(bought.token, bought.payer, u64::MAX, n);
        }
        while let Some((_, n)) = self.minting.pop_front_if(|(at, _)| *at <= ms) {
            self.story.tell(ms, n, &minted());
            self.minted.insert(n, ms);
        }
        let settled = if ms % BATCH_MS == 0 { self.settle.take(BATCH, 20, 0) } else { Vec::new() };
        for n in settled {
            self.story.tell(ms, n, &submitted());
            self.settling.push_back((ms + CONFIRM_MS, n));
        }
        let token = self.mint.turns().next();
        for n in token.map(|token| self.mint.take_of(token, BATCH)).unwrap_or_default() {
            self.story.tell(ms, n, &minting());
            self.minting.push_back((ms + CONFIRM_MS, n));
        }
    }
}

#[test]
fn told_waits_hold_within_a_factor_of_two_behind_a_crowd_and_beside_it() {
    let mut lanes = Lanes::new();
    let (mut ms, mut asked) = (0, 0);
    // What is not known yet is learnt from those before.
    (0..400).for_each(|payer| lanes.arrive(0, 1, payer, false));
    while ms < 60_000 || lanes.minted.len() < lanes.bought.len() {
        if ms == 30_000 {
            (0..3_000).for_each(|nth| lanes.arrive(ms, 1, nth % 300, nth % 7 == 0));
        }
        // Others buy one unit of a token of their own now and then.
        if (30_000..60_000).contains(&ms) && ms % 700 == 0 {
            asked += 1;
            lanes.arrive(ms, 2 + asked % 5, 10_000 + asked, true);
        }
        if ms % 5_000 == 4_000 {
            (1..lanes.bought.len() as u64).step_by(13).for_each(|n| lanes.ask(ms, n));
        }
        lanes.pass(ms);
        ms += STEP_MS;
        if ms < 30_000 {
            lanes.told.clear();
        }
    }
    assert!(lanes.told.len() > 1_000 && asked > 40, "{} {asked}", lanes.told.len());
    for Told { n, at_ms, wait_s } in &lanes.told {
        let (took_ms, told_ms) = (lanes.minted[n] - at_ms, i64::from(*wait_s) * 1_000);
        // A wait is rounded up to whole seconds.
        assert!(told_ms - 1_000 <= 2 * took_ms, "order {n} at {at_ms}: told {told_ms}, took {took_ms}");
        assert!(took_ms <= 2 * told_ms, "order {n} at {at_ms}: told {told_ms}, took {took_ms}");
    }
    let longest = |is_crowd: bool| {
        let of = |told: &&Told| {
            (lanes.bought[&told.n].payer < Address::left_padding_from(&10_000_u64.to_be_bytes())) == is_crowd
        };
        lanes.told.iter().filter(of).map(|told| told.wait_s).max().unwrap()
    };
    assert!(longest(true) >= 20 && longest(false) <= 12, "{} {}", longest(true), longest(false));
}
