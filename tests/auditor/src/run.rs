//! The subject of an audit: one JSON file names the run's journal, its servers, its contracts and its faults.

use crate::CannotAudit;
use alloy_primitives::{Address, U256};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One run. Every field is described in the README beside the crate.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Run {
    /// JSON lines of the load generator; relative to this file.
    pub journal: PathBuf,
    /// Directory of the processes' logs; relative to this file.
    pub logs: Option<PathBuf>,
    /// The chain, asked directly.
    pub rpc_url: String,
    /// The ledger, with credentials that may read it.
    pub nats_url: String,
    /// Prefix of the JetStream API for that user.
    #[serde(default = "jetstream_api")]
    pub nats_api: String,
    /// Read in one read-only transaction.
    pub database_url: String,
    /// Where the live read models are.
    #[serde(default = "public")]
    pub schema: String,
    /// Where read models were rebuilt from sequence 1, if somebody did.
    pub rebuilt_schema: Option<String>,
    /// USDC.
    pub asset: Address,
    /// The contract that calls several tokens in one transaction.
    pub hub: Address,
    /// The token factory.
    pub factory: Address,
    /// Every key that sends for Paymint.
    pub relayers: Vec<Address>,
    /// N: a block counts when the head is N - 1 above it.
    pub confirmations: u64,
    /// Balances before the first request.
    pub genesis: Genesis,
    /// When the last fault was healed: no order need have ended sooner after that than `terminal_within_s`.
    pub healed_at: Option<DateTime<Utc>>,
    /// Faults that must have fired.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Numbers that differ from run to run.
    #[serde(default)]
    pub bounds: Bounds,
}

/// Balances at the end of `block`; who is not named had nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Genesis {
    /// The block.
    pub block: u64,
    /// Atomic units of the asset, decimal.
    #[serde(default)]
    pub asset: BTreeMap<Address, Amount>,
    /// Wei of the relayers, decimal.
    #[serde(default)]
    pub wei: BTreeMap<Address, Amount>,
    /// Transactions that the relayers had sent.
    #[serde(default)]
    pub nonces: BTreeMap<Address, u64>,
}

/// A failpoint or fault of the plan.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Its name, such as `F40`, as the journal counts it.
    pub name: String,
    /// How often it must have fired: 20 in a campaign (A17).
    pub at_least: u64,
}

/// Numbers that differ from run to run.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Bounds {
    /// The run is over when ledger and copy have stood still for so long, milliseconds.
    pub quiet_ms: u64,
    /// How long that is waited for, seconds.
    pub wait_s: u64,
    /// From the 202 to the order's end, seconds (P3).
    pub terminal_within_s: i64,
    /// Transactions of ours that may revert, percent (P8).
    pub reverted_max_percent: u64,
    /// Memory, files and tasks that a process may have more after the load than before it, percent.
    pub grown_max_percent: u64,
    /// The verdict on records that nobody ordered and that stay open.
    pub open_records: OpenRecords,
    /// True if an operator's lane is at work. Then a payment that went around its token has not ended while it is
    /// parked.
    pub operator: bool,
}

/// The verdict on a record that is N blocks deep, that no order knows of, and for which nothing was minted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OpenRecords {
    /// Noted.
    #[default]
    Note,
    /// Wrong: its units should have been minted.
    Wrong,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            quiet_ms: 10_000,
            wait_s: 300,
            terminal_within_s: 60,
            reverted_max_percent: 1,
            grown_max_percent: 10,
            open_records: OpenRecords::default(),
            operator: false,
        }
    }
}

/// A decimal string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Amount(pub U256);

impl TryFrom<String> for Amount {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let parsed = digits.then(|| U256::from_str_radix(&text, 10).ok()).flatten();
        parsed.map(Self).ok_or_else(|| format!("an amount is a decimal string, not {text:?}"))
    }
}

impl Run {
    /// Reads the file; its paths are made relative to the file's own directory.
    ///
    /// # Errors
    /// Unreadable, or not as described.
    pub fn read(path: &Path) -> Result<Self, CannotAudit> {
        let fail = |why: String| CannotAudit(format!("{}: {why}", path.display()));
        let bytes = std::fs::read(path).map_err(|e| fail(e.to_string()))?;
        let mut run: Self = serde_json::from_slice(&bytes).map_err(|e| fail(e.to_string()))?;
        let base = path.parent().unwrap_or(Path::new("."));
        run.journal = base.join(&run.journal);
        run.logs = run.logs.map(|logs| base.join(logs));
        Ok(run)
    }

    /// Returns `true` if a block of this height counts, the head being at `head`.
    pub fn is_deep(&self, block: u64, head: u64) -> bool {
        block.saturating_add(self.confirmations) <= head.saturating_add(1)
    }
}

fn jetstream_api() -> String {
    "$JS.API".to_owned()
}

fn public() -> String {
    "public".to_owned()
}
