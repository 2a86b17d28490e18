//! A run in memory, for tests: one token that does what contracts/src says, and a ledger that tells of it. Logs and
//! calls are encoded by the contracts' own ABI. Fields are open, so that a test can do a wrong.

mod ledger;
mod operator;

use crate::Sent;
use crate::decode::x402::{payment_id, payment_key};
use crate::evidence::Evidence;
use crate::evidence::chain::{Block, ChainEvidence, Log, Tx};
use crate::evidence::journal::Journal;
use crate::evidence::stream::StreamEvidence;
use crate::evidence::tables::Tables;
use crate::evidence::tokens::{Record, RecordState, TokenState};
use crate::run::Run;
use alloy::sol;
use alloy::sol_types::{SolCall, SolEvent};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use chrono::DateTime;
use serde_json::{Value, json};
use uuid::Uuid;

pub use operator::{credit_input, give_back_input, refund_input};

sol!(Hub, "../../contracts/artifacts/Hub.json");
sol!(MintToken, "../../contracts/artifacts/MintToken.json");
sol!(TokenFactory, "../../contracts/artifacts/TokenFactory.json");
sol!(UsdcDouble, "../../contracts/artifacts/UsdcDouble.json");

pub const ASSET: Address = Address::repeat_byte(0xa0);
pub const HUB: Address = Address::repeat_byte(0xa1);
pub const FACTORY: Address = Address::repeat_byte(0xa2);
pub const TOKEN: Address = Address::repeat_byte(0xa3);
pub const TREASURY: Address = Address::repeat_byte(0xa4);
pub const CREATOR: Address = Address::repeat_byte(0xa5);
/// One of our own accounts.
pub const LANE: Address = Address::repeat_byte(0xa6);
pub const STRANGER: Address = Address::repeat_byte(0xa7);
pub const CHAIN_ID: u64 = 31_337;
pub const PRICE: u64 = 10_000;
pub const FEE: u64 = 500;
const UNIT: u64 = 1_000_000_000_000_000_000;
/// Money of each payer before the first request.
const MONEY: u64 = 1_000_000;
/// Time of block 0, Unix seconds. A block is made each second.
const BEGIN: u64 = 1_800_000_000;

/// A signed payment to the token.
#[derive(Clone, Debug)]
pub struct Pay {
    pub payer: Address,
    pub nonce: B256,
    pub value: u64,
}

impl Pay {
    /// The payment of the payer with this number, for so many units.
    pub fn new(n: u8, units: u64) -> Self {
        Self { payer: Address::repeat_byte(n), nonce: B256::repeat_byte(n), value: units * PRICE }
    }

    pub fn key(&self) -> B256 {
        payment_key(CHAIN_ID, ASSET, self.payer, self.nonce)
    }

    pub fn id(&self) -> Uuid {
        payment_id(self.key())
    }

    pub fn units(&self) -> U256 {
        U256::from(self.value / PRICE)
    }
}

/// The run.
#[derive(Clone)]
pub struct World {
    pub evidence: Evidence,
}

impl World {
    /// A run in which the token was created, and its fee paid, and nothing else has happened.
    pub fn new() -> Self {
        let genesis: Value = (1..40).map(|n| (Address::repeat_byte(n).to_string(), json!(MONEY.to_string()))).collect();
        let run = json!({
            "journal": "", "rpcUrl": "", "natsUrl": "", "databaseUrl": "", "asset": ASSET, "hub": HUB, "factory": FACTORY,
            "relayers": [LANE], "confirmations": 2, "genesis": { "block": 0, "asset": genesis },
        });
        let run: Run = serde_json::from_value(run).unwrap();
        let chain = ChainEvidence {
            id: CHAIN_ID,
            head: 0,
            finalized: 0,
            blocks: Vec::new(),
            txs: Vec::new(),
            logs: Vec::new(),
            asset_decimals: U256::from(6),
            asset: run.genesis.asset.iter().map(|(account, amount)| (*account, amount.0)).collect(),
            wei: Default::default(),
            nonces: Default::default(),
            tokens: Default::default(),
        };
        let stream =
            StreamEvidence { created: DateTime::UNIX_EPOCH, first_seq: 1, last_seq: 0, messages: 0, found: Vec::new() };
        let tables = Tables { copy: Vec::new(), position: None, live: Default::default(), rebuilt: None };
        let evidence = Evidence { run, journal: Journal::default(), chain, stream, tables, logs: Vec::new() };
        let mut world = Self { evidence };
        world.block();
        world.deploy();
        world.register();
        world
    }

    fn deploy(&mut self) {
        let state = TokenState {
            unit: U256::from(UNIT),
            max_units: U256::from(100),
            price: U256::from(PRICE),
            asset: U256::from_be_slice(ASSET.as_slice()),
            ..TokenState::default()
        };
        self.evidence.chain.tokens.insert(TOKEN, state);
        let deployer = Pay { value: FEE, ..Pay::new(39, 1) };
        let named = TokenFactory::TreasurySet { treasury: TREASURY, since: U256::ZERO };
        let created = TokenFactory::TokenCreated {
            token: TOKEN,
            creator: CREATOR,
            fee: U256::from(FEE),
            metadataHash: B256::ZERO,
            salt: B256::ZERO,
        };
        let mut logs = vec![log(FACTORY, &named)];
        logs.extend(self.pair(&deployer, TOKEN));
        logs.push(self.transfer(TOKEN, TREASURY, FEE));
        logs.push(log(FACTORY, &created));
        self.tx(STRANGER, FACTORY, Vec::new(), logs);
    }

    /// An empty block.
    pub fn block(&mut self) {
        let chain = &mut self.evidence.chain;
        let number = u64::try_from(chain.blocks.len()).unwrap();
        chain.blocks.push(Block { hash: keccak256(number.to_be_bytes()), time: BEGIN + number });
        chain.head = number;
    }

    /// Makes every block so far deep and final.
    pub fn rest(&mut self) {
        self.block();
        self.block();
        self.evidence.chain.finalized = self.evidence.chain.head;
    }

    /// A block with one transaction, whose logs are given. Returns its hash.
    pub fn tx(&mut self, from: Address, to: Address, input: Vec<u8>, logs: Vec<Log>) -> B256 {
        self.block();
        let chain = &mut self.evidence.chain;
        let hash = keccak256([&b"tx"[..], &chain.head.to_be_bytes()].concat());
        chain.txs.push(Tx {
            hash,
            block: chain.head,
            from,
            to: Some(to),
            nonce: 0,
            value: U256::ZERO,
            input: input.into(),
            succeeded: true,
            cost_wei: U256::ZERO,
        });
        chain.logs.extend((0..).zip(logs).map(|(index, log)| Log { block: chain.head, tx: hash, index, ..log }));
        hash
    }

    pub fn transfer(&mut self, from: Address, to: Address, value: u64) -> Log {
        let value = U256::from(value);
        let balances = &mut self.evidence.chain.asset;
        let had = balances.entry(from).or_default();
        *had = had.saturating_sub(value);
        *balances.entry(to).or_default() += value;
        log(ASSET, &UsdcDouble::Transfer { from, to, value })
    }

    /// The logs of a payment to this account.
    pub fn pair(&mut self, pay: &Pay, to: Address) -> [Log; 2] {
        let used = UsdcDouble::AuthorizationUsed { authorizer: pay.payer, nonce: pay.nonce };
        [log(ASSET, &used), self.transfer(pay.payer, to, pay.value)]
    }

    pub fn token(&mut self) -> &mut TokenState {
        self.evidence.chain.tokens.get_mut(&TOKEN).unwrap()
    }

    pub fn record(&mut self, pay: &Pay) -> &mut Record {
        self.token().records.get_mut(&pay.key()).unwrap()
    }

    fn write(&mut self, pay: &Pay, units: U256, state: RecordState) {
        let paid_at = BEGIN + self.evidence.chain.head + 1;
        self.token().records.insert(pay.key(), Record { payer: pay.payer, units, paid_at, state });
        if state == RecordState::Open {
            self.token().open += units;
        }
    }

    /// Settles what the token does not know yet, directly.
    pub fn settle(&mut self, from: Address, pays: &[Pay]) -> B256 {
        let logs = self.settled(pays);
        self.tx(from, TOKEN, settle_input(pays), logs)
    }

    /// Settles through the hub, beside a call of something else.
    pub fn settle_through_hub(&mut self, from: Address, pays: &[Pay]) -> B256 {
        let logs = self.settled(pays);
        let segment = |target, data: Vec<u8>| Hub::Segment { target, gas: 1, data: data.into() };
        let segments = vec![segment(STRANGER, vec![1, 2, 3, 4]), segment(TOKEN, settle_input(pays))];
        self.tx(from, HUB, Hub::runCall { batchId: B256::ZERO, segments }.abi_encode(), logs)
    }

    fn settled(&mut self, pays: &[Pay]) -> Vec<Log> {
        let mut logs = Vec::new();
        for pay in pays {
            if !self.token().records.contains_key(&pay.key()) {
                logs.extend(self.pair(pay, TOKEN));
                self.write(pay, pay.units(), RecordState::Open);
            }
        }
        logs.push(log(TOKEN, &MintToken::Batch { batchId: B256::ZERO, results: Bytes::from(vec![0; pays.len()]) }));
        logs
    }

    /// Pays the token without it.
    pub fn around(&mut self, pay: &Pay) -> B256 {
        let logs = self.pair(pay, TOKEN).to_vec();
        self.token().surplus += U256::from(pay.value);
        self.tx(STRANGER, ASSET, Vec::new(), logs)
    }

    pub fn cancel(&mut self, pay: &Pay) -> B256 {
        let cancelled = UsdcDouble::AuthorizationCanceled { authorizer: pay.payer, nonce: pay.nonce };
        self.tx(STRANGER, ASSET, Vec::new(), vec![log(ASSET, &cancelled)])
    }

    /// Mints what is open, to whom the record says.
    pub fn mint(&mut self, from: Address, pays: &[Pay]) -> B256 {
        let (mut logs, mut results) = (Vec::new(), Vec::new());
        for pay in pays {
            let token = self.token();
            let Some(record) = token.records.get_mut(&pay.key()).filter(|record| record.state == RecordState::Open)
            else {
                results.push(1);
                continue;
            };
            record.state = RecordState::Minted;
            let (to, units) = (record.payer, record.units);
            let amount = units * token.unit;
            token.open = token.open.saturating_sub(units);
            token.units_minted += units;
            token.supply += amount;
            *token.balances.entry(to).or_default() += amount;
            logs.push(log(TOKEN, &MintToken::Transfer { from: Address::ZERO, to, amount }));
            results.push(0);
        }
        let keys: Vec<B256> = pays.iter().map(Pay::key).collect();
        logs.push(log(TOKEN, &MintToken::MintBatch { keys: keys.clone(), results: results.into() }));
        self.tx(from, TOKEN, MintToken::batchMintCall { keys }.abi_encode(), logs)
    }

    /// Pays the creator for so many units.
    pub fn withdraw(&mut self, units: u64) -> B256 {
        let amount = units * PRICE;
        let withdrawn = MintToken::Withdrawn { creator: CREATOR, to: CREATOR, amount: U256::from(amount) };
        let logs = vec![log(TOKEN, &withdrawn), self.transfer(TOKEN, CREATOR, amount)];
        self.tx(STRANGER, TOKEN, Vec::new(), logs)
    }
}

impl Pay {
    fn sent(&self) -> Sent {
        Sent {
            from: self.payer,
            to: TOKEN,
            value: U256::from(self.value),
            valid_after: U256::ZERO,
            valid_before: U256::from(BEGIN + 900),
            nonce: self.nonce,
            signature: vec![27; 65],
            identifier: None,
        }
    }
}

/// A log without its place.
pub fn log(address: Address, event: &impl SolEvent) -> Log {
    let data = event.encode_log_data();
    Log { address, topics: data.topics().to_vec(), data: data.data, block: 0, tx: B256::ZERO, index: 0 }
}

fn settle_input(pays: &[Pay]) -> Vec<u8> {
    let item =
        |pay: &Pay| [pay.payer.as_slice(), &pay.value.to_be_bytes(), &[0; 10], pay.nonce.as_slice(), &[1; 64]].concat();
    let items: Vec<u8> = pays.iter().flat_map(item).collect();
    MintToken::settleCall {
        batchId: B256::ZERO,
        gasPerItem: U256::from(100_000),
        items: items.into(),
        signatures: Bytes::new(),
    }
    .abi_encode()
}
