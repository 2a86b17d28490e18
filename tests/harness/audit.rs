//! The end of a story: waits until everything is quiet, then lets the auditor judge what is left.
//!
//! The judge is the crate `auditor`, which shares no code with the product. This module tells it what the story knows: the
//! requests that were sent, the accounts at the beginning, and how each order has to end.

use crate::journal::{self, relayers};
use crate::order::{Order, Outcome};
use crate::process::Service;
use crate::schemas;
use crate::stack::{Instance, Stack};
use crate::stream::Entry;
use auditor::evidence::journal::{Journal, Request};
use auditor::evidence::tables::{Models, Row};
use auditor::run::{Bounds, Run};
use auditor::{Evidence, Outcome as Colour, judge, read};
use chrono::Utc;
use sqlx::AssertSqlSafe;
use std::collections::BTreeSet;
use testkit::eventually;

/// Consumers that must have acknowledged every message before the audit.
const CONSUMERS: [&str; 4] = ["payment-sender", "confirmer", "mint-projector", "operator"];

impl Stack {
    /// Waits until every order has ended and everything is quiet, then audits.
    ///
    /// # Panics
    /// With every finding of the auditor.
    pub async fn audit(&self, orders: &[Order]) {
        self.audit_but(orders, &[]).await;
    }

    /// Like [`Stack::audit`], for a story in which something is wrong on purpose: each of `wrong`, the id of a check and
    /// words of its finding, must be found, and nothing else.
    ///
    /// # Panics
    /// With every finding that was not expected, and every expected one that is missing.
    pub async fn audit_but(&self, orders: &[Order], wrong: &[(&str, &str)]) {
        self.until_quiet(orders).await;
        let mut found = self.findings(orders).await;
        let mut missing = Vec::new();
        for (id, words) in wrong {
            let expected = |(of, finding): &mut (String, String)| of == id && finding.contains(words);
            if found.extract_if(.., expected).count() == 0 {
                missing.push(format!("{id}: {words}"));
            }
        }
        let found: Vec<String> = found.iter().map(|(id, finding)| format!("{id}: {finding}")).collect();
        assert!(found.is_empty(), "the auditor found:\n- {}", found.join("\n- "));
        assert!(missing.is_empty(), "the auditor did not find:\n- {}", missing.join("\n- "));
    }

    /// Every finding: the id of the check, and a sentence.
    async fn findings(&self, orders: &[Order]) -> Vec<(String, String)> {
        let evidence = self.evidence(orders, None).await;
        let red = judge(&evidence).into_iter().filter(|verdict| verdict.outcome == Colour::Red);
        let mut found: Vec<(String, String)> =
            red.flat_map(|verdict| verdict.findings.into_iter().map(move |why| (verdict.id.to_owned(), why))).collect();
        for order in orders {
            let open = format!("{} has not ended", order.id);
            let is_open = |(id, why): &mut (String, String)| id == "A15" && why.starts_with(&open);
            let waits = found.extract_if(.., is_open).count() == 1;
            let should = matches!(order.outcome, Outcome::Waiting(_));
            if waits != should {
                found.push(("story".to_owned(), format!("{open}: {waits}, expected {should}")));
            }
            found.extend(otherwise(&evidence.tables.live, order).map(|why| ("story".to_owned(), why)));
        }
        found.extend(schemas::faults(&evidence.stream.found).map(|why| ("schema".to_owned(), why)));
        found
    }

    /// The evidence for the auditor: everything as it is now, and the requests of this story.
    async fn evidence(&self, orders: &[Order], rebuilt_schema: Option<&str>) -> Evidence {
        let run = Run {
            journal: "in memory".into(),
            logs: None,
            rpc_url: self.servers.anvil.rpc_url(),
            nats_url: self.servers.nats.url(),
            nats_api: "$JS.API".to_owned(),
            database_url: self.servers.postgres.url(),
            schema: "public".to_owned(),
            rebuilt_schema: rebuilt_schema.map(ToOwned::to_owned),
            asset: self.shop.asset,
            hub: self.shop.hub,
            factory: self.shop.factory,
            relayers: relayers(),
            confirmations: self.confirmations,
            genesis: self.genesis.clone(),
            healed_at: None,
            faults: Vec::new(),
            // Stories do not test how fast orders end. None of our transactions may revert.
            bounds: Bounds {
                terminal_within_s: 3_600,
                reverted_max_percent: 0,
                open_records: self.open_records,
                ..Bounds::default()
            },
        };
        let lines: String = self.sent.lock().unwrap().iter().map(|line| format!("{line}\n")).collect();
        let mut journal = Journal::parse(&lines).unwrap();
        // A request that another client sent is known from the story's order only.
        let known: BTreeSet<_> = journal.requests.iter().filter_map(|request| request.answered_id).collect();
        let elsewhere = orders.iter().filter(|order| !known.contains(&order.uuid()));
        journal.requests.extend(elsewhere.map(request));
        read(run, journal).await.unwrap()
    }

    /// Waits until every order has ended, every message is acknowledged, every transaction is settled, every event is
    /// projected, and no event was added meanwhile.
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
            let ended = async || waiting_records(&self.stream.all().await).is_empty().then_some(());
            eventually("every record that was found has ended", ended).await;
            let projected = async || (self.projected("public").await == self.stream.last_seq().await).then_some(());
            eventually("every event is projected", projected).await;
        }
    }

    /// Messages of a consumer that are not acknowledged.
    pub async fn unanswered(&self, consumer: &str) -> u64 {
        let info = self.stream.consumer(consumer).await;
        info["num_pending"].as_u64().unwrap() + info["num_ack_pending"].as_u64().unwrap()
    }

    /// Sequence up to which the read models of `schema` are built; 0 if there are none.
    pub async fn projected(&self, schema: &str) -> u64 {
        let query = format!("SELECT seq FROM {schema}.projections");
        let seq = sqlx::query_scalar::<_, i64>(AssertSqlSafe(query)).fetch_optional(&self.tables).await;
        seq.ok().flatten().map_or(0, |seq| u64::try_from(seq).unwrap())
    }

    /// Builds the read models from sequence 1 beside the live ones, and lets the auditor compare them row by row (A10).
    /// Returns the live ones.
    ///
    /// # Panics
    /// When they differ.
    pub async fn rebuilt_read_models_equal_the_live_ones(&mut self, orders: &[Order]) -> Models {
        self.until_quiet(orders).await;
        let rebuild = Instance(Service::ReadProjector, 1);
        self.run_with(rebuild, &[("DATABASE_SCHEMA", "rebuilt")]).await;
        let done = async || (self.projected("rebuilt").await == self.stream.last_seq().await).then_some(());
        eventually("the rebuild has read everything", done).await;
        self.kill(rebuild);
        let evidence = self.evidence(orders, Some("rebuilt")).await;
        let verdicts = judge(&evidence);
        let models = verdicts.iter().find(|verdict| verdict.id == "A10").unwrap();
        assert_eq!(models.outcome, Colour::Green, "{:?}", models.findings);
        evidence.tables.live
    }
}

/// The reason why an order did not end as the story says, according to its row.
fn otherwise(live: &Models, order: &Order) -> Option<String> {
    let text = |row: &Row, column: &str| row.get(column).cloned().flatten().unwrap_or_default();
    let id = order.id.to_string();
    let Some(row) = live["payment_rows"].iter().find(|row| text(row, "id") == id) else {
        return Some(format!("{id} has no row"));
    };
    let (stage, reason) = match order.outcome {
        Outcome::Minted => ("minted", ""),
        Outcome::Failed(reason) => ("failed", reason),
        Outcome::PaymentParked(reason) => ("payment_parked", reason),
        Outcome::Refunded => ("refunded", ""),
        Outcome::Parked(reason) => ("mint_parked", reason),
        Outcome::Waiting(reason) => ("deferred", reason),
    };
    let is = (text(row, "stage"), text(row, "reason"));
    if is != (stage.to_owned(), reason.to_owned()) {
        return Some(format!("{id} ends as {is:?}, expected {:?}", order.outcome));
    }
    let others = [("paid_by", order.paid_by_third_party), ("minted_by", order.minted_by_third_party)];
    others.into_iter().find_map(|(column, other)| {
        let (is, should) = (text(row, column), if other { "third_party" } else { "paymint" });
        (!is.is_empty() && is != should).then(|| format!("{id} has {column} {is}, expected {should}"))
    })
}

/// The request that an order came from, if the story did not send it itself.
fn request(order: &Order) -> Request {
    Request {
        line: 0,
        at: Utc::now(),
        token: Some(order.token),
        quantity: Some(order.quantity.into()),
        payment: None,
        sent: Some(order.sent.clone()),
        idempotency_key: None,
        answered_at: Some(journal::now()),
        status: Some(202),
        answered_id: Some(order.uuid()),
    }
}

/// Records without an order that were found and have not ended.
fn waiting_records(entries: &[Entry]) -> BTreeSet<String> {
    let mut waiting = BTreeSet::new();
    for entry in entries {
        match entry.subject.split('.').collect::<Vec<_>>().as_slice() {
            ["records", _, id, "found"] => _ = waiting.insert((*id).to_owned()),
            ["records", _, id, _] => _ = waiting.remove(*id),
            _ => {}
        }
    }
    waiting
}

/// Nonces that were signed for and whose last event does not say that they are used, by us or by others.
fn open_transactions(entries: &[Entry]) -> BTreeSet<(String, String)> {
    let mut open = BTreeSet::new();
    for entry in entries {
        let parts: Vec<&str> = entry.subject.split('.').collect();
        let (signer, name, nonce) = match parts.as_slice() {
            ["signers", signer, _, _, "mined", name, nonce, ..] => (signer, name, nonce),
            ["signers", signer, _, "settle" | "mint" | "operate", name, nonce, ..] => (signer, name, nonce),
            ["signers", ..] => panic!("{} is no subject of a lane", entry.subject),
            _ => continue,
        };
        let nonce = ((*signer).to_owned(), (*nonce).to_owned());
        match *name {
            "signed" | "reverted" => open.insert(nonce),
            "settled" | "resettled" | "lost" => open.remove(&nonce),
            "claimed" | "replaced" => false,
            _ => panic!("{} is no event of a lane", entry.subject),
        };
    }
    open
}
