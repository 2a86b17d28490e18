//! The auditor: what proves that nothing was lost, doubled or unpaid.
//!
//! It reads the chain's logs, the raw stream and the tables itself and holds them against each other and against what
//! the story knows of its orders. Of the services' crates it uses ids and the contracts' ABI only.
//! Ids A01 to A12 are those of docs/CATALOGUE.md.

mod ledger;
mod money;
mod tables;

use crate::order::Order;
use crate::process::Service;
use crate::stack::{Instance, Stack};
use crate::stream::Entry;
use crate::watch::eventually;
use serde_json::Value;
use std::collections::BTreeSet;

pub use tables::{Row, rows};

/// Consumers whose every message must have been answered before the books are closed.
const CONSUMERS: [&str; 3] = ["payment-sender", "confirmer", "mint-projector"];

impl Stack {
    /// Waits until every order has ended and everything is quiet, then opens the books.
    ///
    /// # Panics
    /// With every violation that was found.
    pub async fn audit(&self, orders: &[Order]) {
        self.until_quiet(orders).await;
        let found = self.violations(orders).await;
        assert!(found.is_empty(), "the auditor found:\n- {}", found.join("\n- "));
    }

    /// What is wrong, one sentence each.
    pub async fn violations(&self, orders: &[Order]) -> Vec<String> {
        let entries = self.stream.all().await;
        let mut found = Vec::new();
        ledger::check(&entries, orders, &mut found);
        money::check(self, &entries, orders, &mut found).await;
        tables::check(self, &entries, &mut found).await;
        found
    }

    /// Every order has ended, every message is answered, every transaction is settled, every event is projected, and
    /// nothing was written meanwhile.
    pub async fn until_quiet(&self, orders: &[Order]) {
        self.until_ended(orders).await;
        let mut last = None;
        loop {
            let now = self.stream.last_seq().await;
            if last == Some(now) {
                return;
            }
            last = Some(now);
            for name in CONSUMERS {
                let answered = async || (self.unanswered(name).await == 0).then_some(());
                eventually(&format!("every message of {name} is answered"), answered).await;
            }
            let settled = async || open_transactions(&self.stream.all().await).is_empty().then_some(());
            eventually("every signed transaction is settled", settled).await;
            let projected = async || (self.projected("public").await == self.stream.last_seq().await).then_some(());
            eventually("every event is projected", projected).await;
        }
    }

    /// Messages of a consumer that are not acknowledged.
    pub async fn unanswered(&self, consumer: &str) -> u64 {
        let info = self.stream.consumer(consumer).await;
        info["num_pending"].as_u64().unwrap() + info["num_ack_pending"].as_u64().unwrap()
    }

    /// Builds the read models from sequence 1 beside the live ones, and compares them row by row (A10).
    ///
    /// # Panics
    /// When they differ.
    pub async fn rebuilt_read_models_equal_the_live_ones(&mut self, orders: &[Order]) -> Vec<Row> {
        self.until_quiet(orders).await;
        let rebuild = Instance(Service::ReadProjector, 1);
        self.run_with(rebuild, &[("DATABASE_SCHEMA", "rebuilt")]).await;
        let done = async || (self.projected("rebuilt").await == self.stream.last_seq().await).then_some(());
        eventually("the rebuild has read everything", done).await;
        self.kill(rebuild);
        let (live, rebuilt) = (rows(self, "public").await, rows(self, "rebuilt").await);
        for (live, rebuilt) in live.iter().zip(&rebuilt) {
            assert_eq!(live, rebuilt);
        }
        assert_eq!(live.len(), rebuilt.len());
        live
    }
}

/// Nonces that were signed for, and of which the last word is not that they are used, by us or others.
fn open_transactions(entries: &[Entry]) -> BTreeSet<(String, String)> {
    let mut open = BTreeSet::new();
    for entry in entries {
        let parts: Vec<&str> = entry.subject.split('.').collect();
        let ["signers", signer, _, _, name, nonce, ..] = parts.as_slice() else { continue };
        let nonce = ((*signer).to_owned(), (*nonce).to_owned());
        match *name {
            "signed" | "reverted" => open.insert(nonce),
            "settled" | "resettled" | "lost" => open.remove(&nonce),
            _ => false,
        };
    }
    open
}

/// Compares, and says what is wrong.
fn expect<T: PartialEq + std::fmt::Debug>(found: &mut Vec<String>, what: &str, is: T, should: T) {
    if is != should {
        found.push(format!("{what}: {is:?}, not {should:?}"));
    }
}

/// A member as text.
fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}
