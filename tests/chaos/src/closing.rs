//! The end of a run: everything is healed, everything ends, and the auditor reads it.

use crate::house::{CONFIRMATIONS, House, everyone};
use crate::listen::{Heard, Listener};
use crate::load::Load;
use crate::plan::Plan;
use crate::strike::{REBUILD, unpause};
use crate::week;
use alloy_primitives::U256;
use chrono::{DateTime, Utc};
use harness::journal::{now, relayers};
use harness::{Entry, Service, binary};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::task::JoinHandle;

/// Time in which every order must end; A15 names the others.
const ENDS_WITHIN: Duration = Duration::from_secs(240);

/// Few processes live through a run, and what they keep open or allocated for later differs: a client of two providers has
/// up to 64 connections to them for a minute and a half after it needed them. Four times what a process had when it was
/// warm is found; what grows without end in hours is for longer runs.
const GROWN_MAX_PERCENT: u64 = 300;

/// Transactions of ours that revert: the pause of USDC meets what is signed already.
const REVERTED_MAX_PERCENT: u64 = 10;

/// Checks that have something to look at in every run; A13 has no service yet.
const REQUIRED: &str = "A01,A02,A03,A04,A05,A06,A07,A08,A09,A10,A11,A12,A14,A15,A16,A17";

/// How it ended.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    pub healed_at: DateTime<Utc>,
    /// From then on until every order had ended.
    pub ended_after: Duration,
    /// All clients of event streams together.
    pub heard: Heard,
}

/// Waits until every order that the ledger has is at an end, and projected. False: some never were.
pub async fn until_ended(house: &House) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < ENDS_WITHIN {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let stack = house.stack.lock().await;
        let open = "SELECT count(*) FROM payments WHERE stage NOT IN ('minted', 'failed', 'refunded', 'mint_parked', 'refund_parked')";
        let open = sqlx::query_scalar::<_, i64>(AssertSqlSafe(open.to_owned())).fetch_one(&stack.tables).await;
        if open.is_ok_and(|open| open == 0) && stack.projected("public").await == stack.stream.last_seq().await {
            return true;
        }
    }
    false
}

/// Waits until every record is minted or returned, or is of an order that waits for a person, and the ledger tells the end of
/// each that nobody ordered. Returns false if some never were. Records are found and ended at final blocks, and a
/// transaction of their own waits for half a minute.
async fn until_records_ended(house: &House) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < ENDS_WITHIN {
        if open_records(house).await == Some(false) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    false
}

/// Returns whether there is an open record. `None` if a table could not be read.
async fn open_records(house: &House) -> Option<bool> {
    let stack = house.stack.lock().await;
    let count = async |query: &'static str| sqlx::query_scalar::<_, i64>(query).fetch_one(&stack.tables).await.ok();
    let found = count("SELECT count(*) FROM records WHERE stage = 'found'").await?;
    let parked = count(
        "SELECT coalesce(sum(quantity), 0)::bigint FROM payments WHERE stage IN ('mint_parked', 'refund_parked')",
    );
    let parked = u64::try_from(parked.await?).ok()?;
    let tokens = sqlx::query_as::<_, (String, String)>("SELECT token, units_taken FROM token_rows");
    let (mut open, mut untold) = (U256::ZERO, false);
    for (token, told) in tokens.fetch_all(&stack.tables).await.ok()? {
        let token = token.parse().ok()?;
        let is_open = house.chain.open_units_of(token).await;
        // A record that strangers made and minted is told once it is final.
        untold |= told.parse::<U256>().ok()? < is_open + house.chain.minted_units_of(token).await;
        open += is_open;
    }
    let is_projected = stack.projected("public").await == stack.stream.last_seq().await;
    Some(found > 0 || open != U256::from(parked) || untold || !is_projected)
}

/// Heals everything, waits for every end, lets a week pass, rebuilds the read models beside the live ones, and stops the
/// services.
pub async fn close(house: &House, load: &Load, listeners: Vec<Listener>, supervisor: JoinHandle<()>) -> Closed {
    house.nats.heal();
    house.postgres.heal();
    house.nodes.iter().for_each(|node| node.heal());
    unpause(house).await;
    let (healed_at, healed) = (now(), Instant::now());
    let open = || house.found(format!("orders were open {} s after everything was healed", ENDS_WITHIN.as_secs()));
    load.decides_free_orders().await;
    let have_ended = until_ended(house).await;
    let ended_after = healed.elapsed();
    if have_ended {
        load.settles_unordered().await;
        week::pass(house, load).await;
    }
    if !have_ended || !until_ended(house).await {
        open();
    }
    if !until_records_ended(house).await {
        house.found(format!("records without an order were open {} s after that", ENDS_WITHIN.as_secs()));
    }
    begin_rebuild(house).await;
    supervisor.abort();
    let mut stack = house.stack.lock().await;
    for sample in stack.samples(&everyone(), "after") {
        house.journal.line(&sample);
    }
    drop(stack);
    let mut heard = Heard::default();
    for listener in listeners {
        let Heard { connections, reloads } = listener.close().await;
        heard = Heard { connections: heard.connections + connections, reloads: heard.reloads + reloads };
    }
    leave(house, |service| service != Service::ReadProjector).await;
    // A lane that is handed over while its worker leaves is claimed once more.
    until_ended(house).await;
    end_rebuild(house).await;
    leave(house, |service| service == Service::ReadProjector).await;
    Closed { healed_at, ended_after, heard }
}

/// These services are asked to leave, and do (C29).
async fn leave(house: &House, who: impl Fn(Service) -> bool) {
    let mut stack = house.stack.lock().await;
    for instance in everyone().into_iter().filter(|instance| who(instance.0)) {
        let (status, took) = stack.terminate(instance).await;
        if !status.success() || took > Duration::from_secs(10) {
            house.found(format!("C29: {instance} ended with {status} after {} ms", took.as_millis()));
        }
    }
}

/// A10: the read models from sequence 1, beside the live ones.
async fn begin_rebuild(house: &House) {
    house.stack.lock().await.spawn(REBUILD, &[("DATABASE_SCHEMA", "rebuilt")]);
}

/// Waits until the rebuilt read models hold every event. Nobody may write any more.
async fn end_rebuild(house: &House) {
    let mut stack = house.stack.lock().await;
    let begun = Instant::now();
    while stack.projected("rebuilt").await != stack.stream.last_seq().await {
        if begun.elapsed() > ENDS_WITHIN {
            house.found("a rebuild of the read models did not come to its end".to_owned());
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stack.kill(REBUILD);
}

/// Facts for the auditor beside the servers' addresses.
pub struct Run<'a> {
    pub genesis: Value,
    pub plan: &'a Plan,
    pub folder: &'a Path,
    pub healed_at: DateTime<Utc>,
}

/// The auditor's verdict.
pub struct Verdict {
    pub green: bool,
    pub text: String,
    /// Ids that are red.
    pub red: Vec<String>,
}

/// Runs the auditor, a program of its own, over what is left.
pub async fn audit(house: &House, run: Run<'_>) -> Verdict {
    let stack = house.stack.lock().await;
    let logs = run.folder.join("logs");
    std::fs::create_dir_all(&logs).unwrap();
    for entry in std::fs::read_dir(stack.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            std::fs::copy(&path, logs.join(path.file_name().unwrap())).unwrap();
        }
    }
    let faults: Vec<Value> =
        run.plan.steps().map(|step| json!({ "name": step.blow.to_string(), "atLeast": 1 })).collect();
    let told = json!({
        "journal": "journal.jsonl",
        "logs": "logs",
        "rpcUrl": stack.servers.anvil.rpc_url(),
        "natsUrl": stack.servers.nats.url(),
        "natsApi": "$JS.API",
        "databaseUrl": stack.servers.postgres.url(),
        "rebuiltSchema": "rebuilt",
        "asset": stack.shop.asset,
        "hub": stack.shop.hub,
        "factory": stack.shop.factory,
        "relayers": relayers(),
        "confirmations": CONFIRMATIONS,
        "genesis": run.genesis,
        "healedAt": run.healed_at,
        "faults": faults,
        "bounds": {
            "quietMs": 2_000, "waitS": 60, "terminalWithinS": 60,
            "revertedMaxPercent": REVERTED_MAX_PERCENT, "grownMaxPercent": GROWN_MAX_PERCENT, "operator": true,
            "openRecords": "wrong",
        },
    });
    let (file, out) = (run.folder.join("run.json"), run.folder.join("verdicts.json"));
    std::fs::write(&file, format!("{told:#}\n")).unwrap();
    let mut program = Command::new(binary("auditor"));
    let output = program.arg(&file).arg("--out").arg(&out).args(["--require", REQUIRED]).output().await.unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let said: Value = std::fs::read(&out).map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
    let red = said["verdicts"].as_array().into_iter().flatten().filter(|verdict| verdict["outcome"] == "red");
    let red = red.map(|verdict| verdict["id"].as_str().unwrap().to_owned()).collect();
    Verdict { green: output.status.success(), text, red }
}

/// The ledger is lost, and refilled from its copy by the program that a person would use: every event is what it was.
pub async fn lose_and_refill(house: &House, before: &[Entry]) {
    let mut stack = house.stack.lock().await;
    stack.lose_ledger().await;
    let said = match stack.ops(&["refill"]).await {
        Ok(said) => said,
        Err(said) => return house.found(format!("P2: the ledger was not refilled: {said}")),
    };
    said.lines().filter(|line| line.contains("the ledger is open")).for_each(|line| println!("{line}"));
    let after = stack.stream.all().await;
    let same = |(a, b): (&Entry, &Entry)| (a.seq, &a.subject, &a.body) == (b.seq, &b.subject, &b.body);
    if after.len() != before.len() || !before.iter().zip(&after).all(same) {
        house.found(format!("P2: of {} events {} came back, or others: {said}", before.len(), after.len()));
    }
}

/// Every event, also as lines of `ledger.jsonl` in the folder.
pub async fn ledger(house: &House, folder: &Path) -> Vec<Entry> {
    let entries = house.stack.lock().await.stream.all().await;
    let line = |entry: &Entry| format!("{} {} {} {}\n", entry.seq, entry.time, entry.subject, entry.body);
    std::fs::write(folder.join("ledger.txt"), entries.iter().map(line).collect::<String>()).unwrap();
    entries
}
