//! Rules: which requests, which fault, when. Data only; the proxy carries them out.

use alloy::primitives::Address;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::ops::Range;
use std::time::Duration;

/// Every method.
pub const ANY: &str = "*";

/// A fault of a node, or of a proxy before it.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The request never reaches the node; the connection is closed without an answer.
    DropRequest,
    /// The node does as it is asked; then the connection is closed without an answer (F30).
    DropResponse,
    /// The node is asked this much later. Longer than a client waits, it is a time-out after which everything happens.
    Late(Duration),
    /// A status instead of an answer: 429, 503 (F29, F31).
    Status {
        /// HTTP.
        code: u16,
        /// `Retry-After`, seconds.
        retry_after_s: Option<u64>,
    },
    /// A page for people, with status 200 (F31).
    Html,
    /// The answer's first half (F31).
    Truncated,
    /// The answer to another question (F31).
    WrongId,
    /// An answer of so many bytes (F31).
    Oversized(usize),
    /// This result, whatever the node would say: a fee (F51), a chain id (F37).
    Answer(Value),
    /// An error of the protocol, as nodes word it (F32).
    Refuse {
        /// JSON-RPC.
        code: i64,
        /// Its message.
        message: String,
    },
    /// Null where the node has something (F35).
    Null,
    /// The node is so many blocks behind in all that it says of blocks, state, receipts and logs (F34). Transactions
    /// reach it.
    Behind(u64),
    /// Another node answers: the upstream of this number (F35).
    Upstream(usize),
    /// A receipt that lies (F36).
    LyingReceipt(Lie),
    /// Shows the receipts of transactions that did not come through this proxy as those of deposits, which a node of the OP
    /// stack has.
    Deposits,
    /// Some of the logs, at least one, are left out (F49).
    LogGap,
    /// Refuses to search more blocks than this for logs (F49).
    LogRange(u64),
    /// Refuses to search more blocks than this for logs, with the code and the words of some provider.
    LogLimit {
        /// The most blocks.
        blocks: u64,
        /// JSON-RPC.
        code: i64,
        /// Its message.
        message: &'static str,
    },
    /// Refuses to search for logs of this contract, as if they were more than it answers.
    LogsOf(Address),
    /// Has the states of so many blocks, and refuses what needs an older one. Many nodes keep 128.
    StatesKept(u64),
    /// Shows no transaction that is in no block, like the node of a chain whose sequencer has the only pool.
    PrivatePool,
    /// The pool of a common node: no price bump below 10 %, 16 transactions an account, "already known" (F33).
    StrictPool,
    /// Accepts a transaction and forgets it (F43).
    Swallow,
    /// Accepts a transaction, and shows it as pending for as long as the rule stands, but no block gets it: later nonces
    /// wait behind it (F45).
    Withhold,
}

impl Fault {
    /// Geth's words for a used nonce, said of one that is not (F32).
    pub fn nonce_too_low() -> Self {
        Self::Refuse { code: -32_000, message: "nonce too low: next nonce 1000000, tx nonce 0".to_owned() }
    }

    /// A number as result: a fee, a chain id, a nonce.
    pub fn number(hex: &str) -> Self {
        Self::Answer(json!(hex))
    }

    /// Decided when the node has answered; the others are before it is asked.
    pub(super) fn comes_after(&self) -> bool {
        matches!(
            self,
            Self::DropResponse
                | Self::Truncated
                | Self::WrongId
                | Self::Null
                | Self::LyingReceipt(_)
                | Self::Deposits
                | Self::LogGap
                | Self::PrivatePool
        )
    }
}

/// The lie of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Failed what succeeded, and the other way round.
    Status,
    /// The receipt has no logs.
    NoLogs,
    /// In a block that there is not.
    BlockHash,
}

/// When a rule strikes, of the requests that it could strike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// At each.
    #[default]
    Always,
    /// At those of these numbers, from 0.
    Among(Range<u64>),
    /// At so many in a hundred, as the seed says.
    Percent(u8),
}

impl When {
    /// The fate of request `nth`: the same for the same seed and rule.
    pub(super) fn strikes(&self, seed: u64, rule: u64, nth: u64) -> bool {
        match self {
            Self::Always => true,
            Self::Among(range) => range.contains(&nth),
            Self::Percent(percent) => draw(seed, rule, nth).random_range(0..100_u8) < *percent,
        }
    }
}

/// The random source for this request.
pub(super) fn draw(seed: u64, rule: u64, nth: u64) -> StdRng {
    let mut bytes = [0; 32];
    for (place, word) in bytes.chunks_exact_mut(8).zip([seed, rule, nth]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    StdRng::from_seed(bytes)
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The JSON-RPC method, or [`ANY`].
    pub method: &'static str,
    /// The fault.
    pub fault: Fault,
    /// The time of the fault.
    pub when: When,
}

impl Rule {
    /// Always.
    pub fn on(method: &'static str, fault: Fault) -> Self {
        Self { method, fault, when: When::Always }
    }

    /// The first `count` times.
    pub fn first(self, count: u64) -> Self {
        self.among(0..count)
    }

    /// At those of these numbers, from 0.
    pub fn among(self, range: Range<u64>) -> Self {
        Self { when: When::Among(range), ..self }
    }

    /// At so many in a hundred.
    pub fn percent(self, percent: u8) -> Self {
        Self { when: When::Percent(percent), ..self }
    }

    pub(super) fn is_for(&self, method: &str) -> bool {
        self.method == ANY || self.method == method
    }
}

/// A rule that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(pub(super) u64);

/// A rule and its counters.
#[derive(Debug)]
struct Standing {
    id: RuleId,
    rule: Rule,
    met: u64,
    hits: u64,
    stands: bool,
}

/// All rules, in the order in which they are asked. Those that were lifted keep their counters.
#[derive(Debug, Default)]
pub(super) struct Rules {
    seed: u64,
    standing: Vec<Standing>,
}

impl Rules {
    pub(super) fn of(seed: u64) -> Self {
        Self { seed, standing: Vec::new() }
    }

    pub(super) fn set(&mut self, rule: Rule) -> RuleId {
        let id = RuleId(u64::try_from(self.standing.len()).unwrap_or(u64::MAX));
        self.standing.push(Standing { id, rule, met: 0, hits: 0, stands: true });
        id
    }

    pub(super) fn lift(&mut self, id: Option<RuleId>) {
        for standing in &mut self.standing {
            standing.stands &= id.is_some_and(|id| standing.id != id);
        }
    }

    pub(super) fn for_method(&self, method: &str) -> Vec<(RuleId, Fault)> {
        let standing = self.standing.iter().filter(|standing| standing.stands && standing.rule.is_for(method));
        standing.map(|standing| (standing.id, standing.rule.fault.clone())).collect()
    }

    pub(super) fn is_standing(&self, fault: &Fault) -> bool {
        self.standing.iter().any(|standing| standing.stands && standing.rule.fault == *fault)
    }

    /// Decides whether the rule strikes at this request, and counts the request if it could. `None` if it does not.
    /// Otherwise the random source, for faults that need one.
    pub(super) fn strike(&mut self, id: RuleId) -> Option<StdRng> {
        let seed = self.seed;
        let standing = self.standing.iter_mut().find(|standing| standing.id == id && standing.stands)?;
        let nth = standing.met;
        standing.met += 1;
        standing.rule.when.strikes(seed, id.0, nth).then(|| draw(seed, !id.0, nth))
    }

    pub(super) fn hit(&mut self, id: RuleId) {
        for standing in self.standing.iter_mut().filter(|standing| standing.id == id) {
            standing.hits += 1;
        }
    }

    pub(super) fn hits(&self, id: RuleId) -> u64 {
        self.standing.iter().find(|standing| standing.id == id).map_or(0, |standing| standing.hits)
    }
}
