//! Beside a stock x402 system, x402-express 1.2.0, on the same machine in the same run: `tools/peer/`.
//!
//! Its 202 means settled, ours means accepted; so ours is measured twice, to the 202 and to the mint. Both get the same
//! requests a client would send after its 402, signed beforehand, over the same number of connections.

use dev_chain::DevChain;
use domain::{TokenTerms, Usdc, examples};
use neighbours::{Anvil, AnvilOptions, Mining, Tools};
use runtime::Fatal;
use serde_json::json;
use standalone::accounts::{OWNER, SENDER_KEYS};
use standalone::servers::CHAIN_ID;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::cpu::Snapshot;
use crate::disk::Probe;
use crate::e2e::{BLOCK_TIME, SERVICES};
use crate::ends::until_ended;
use crate::history::History;
use crate::house::{House, scratch, target_dir};
use crate::limits::Limits;
use crate::load::{Load, Outcome, Pace, fire};
use crate::offer::{self, Offer};
use crate::payers::Payers;
use crate::process::{tail, tether};
use crate::report::{Report, Row};
use crate::sizes::Sizes;

/// Payments under way, one on each connection, each of a payer of its own.
const CONNECTIONS: usize = 50;
/// The price on both sides, atomic USDC.
const CENT: Usdc = Usdc(10_000);
/// Unmeasured payments: the just-in-time compiler has seen the path.
const WARM_UP: usize = 500;
/// Payments to the api alone.
const ALONE: usize = 5_000;
/// Block time of the stock system's chain. Each of its payments waits for a block, so blocks come as fast as it asks
/// for receipts. A block per transaction (anvil's default) is no faster, and can leave a transaction queued permanently
/// with 50 under way.
const PEER_BLOCK_TIME: Duration = Duration::from_millis(20);
/// Recent states that its chain keeps: a call for the latest block may be late by some of these.
const PEER_STATES: u32 = 64;
/// The program listens within this.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// All payments are answered within this, or some never will be.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// Where it is in this checkout.
const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/peer");

/// Measures theirs, then ours: neither runs beside the other.
///
/// # Errors
/// npm cannot install it, or something does not start.
pub async fn run(sizes: &Sizes, report: &mut Report) -> Result<(), Fatal> {
    println!("beside x402-express 1.2.0: {CONNECTIONS} payments under way");
    install().await?;
    let theirs = theirs(sizes.peer, report).await?;
    let ours = ours(sizes.e2e, report).await?;
    let name = |figure: &str| format!("beside x402-express, {CONNECTIONS} connections: {figure}");
    report.row(Row::new(name("theirs, paid to their 202 (settled)"), theirs, "/s"));
    for (what, rate, times) in [
        ("ours, paid to our 202 (accepted), the api alone", ours.alone, 10.0),
        ("ours, paid to our 202 (accepted), all services work", ours.accepted, 10.0),
        ("ours, paid to minted", ours.minted, 3.0),
    ] {
        report.row(Row::new(name(what), rate, "/s").at_least(times * theirs).of(theirs, "theirs"));
    }
    report.note(format!(
        "beside x402-express: their 202 means settled, ours means accepted, hence ours to the 202 and to the mint. Theirs: x402-express 1.2.0 \
         with the facilitator of x402 1.2.0 over loopback HTTP in one Node process, viem's nonce manager and a receipt \
         poll of 20 ms (as it comes, most of its payments fail at this number under way), blocks every {} ms. Ours: \
         all five services, blocks every {} ms",
        PEER_BLOCK_TIME.as_millis(),
        BLOCK_TIME.as_millis()
    ));
    Ok(())
}

/// Fetches the packages as they are pinned; nothing to do the second time.
async fn install() -> Result<(), Fatal> {
    let script = Path::new(PEER).join("install");
    let status = Command::new(&script).stdin(Stdio::null()).status().await;
    match status.map_err(|e| format!("{}: {e}", script.display()))? {
        status if status.success() => Ok(()),
        status => Err(format!("{} ended with {status}", script.display()).into()),
    }
}

/// Payments a second that it answers with 202, by which time they are settled.
async fn theirs(count: usize, report: &mut Report) -> Result<f64, Fatal> {
    let mut peer = Peer::start().await?;
    let warm_up = peer.pay(WARM_UP).await?;
    let cpu = Snapshot::take()?;
    let outcome = peer.pay(count).await?;
    let usage = cpu.since()?;
    let failed = warm_up.failed + outcome.failed;
    if failed > 0 {
        let shown = [warm_up.failures, outcome.failures.clone()].concat().join(" | ");
        report.note(format!(
            "beside x402-express: {failed} of their payments failed, see {}: {shown}",
            peer.log.display()
        ));
    }
    let used: Vec<String> = usage.by_name.iter().map(|(name, seconds)| format!("{name} {seconds:.1} s")).collect();
    report.note(format!(
        "beside x402-express: theirs, processors {:.0} % busy, {:.0} % by others: {}",
        usage.busy_share * 100.0,
        usage.others_share * 100.0,
        used.join(", ")
    ));
    let latencies = [0.5, 0.9, 0.99, 1.0].map(|share| outcome.percentile_ms(share));
    report.detail("theirs", json!({ "latenciesMs": latencies, "failed": failed, "processors": usage }))?;
    peer.end().await?;
    Ok(outcome.rate())
}

/// Ours, payments a second.
struct Ours {
    /// To the 202, the settlement services off.
    alone: f64,
    /// To the 202, while all services work.
    accepted: f64,
    /// To the mint.
    minted: f64,
}

/// Measures our own side. The first payments meet the api alone, and warm it up for the others.
async fn ours(count: usize, report: &mut Report) -> Result<Ours, Fatal> {
    let house = House::start("peer-ours", BLOCK_TIME).await?;
    let payers = Payers::new("ours", CONNECTIONS)?;
    payers.fund(&house.chain, house.shop.asset).await?;
    let [api, others @ ..] = SERVICES;
    let door = house.services(&[api], Limits::NONE).await?;
    let offer = Offer::ask(house.api, house.shop.token.token).await?;
    let load = |count| -> Result<Load, Fatal> {
        let shots = offer.paid(&payers.sign(&house.shop.token, 0, count)?);
        Ok(Load::once(shots, CONNECTIONS, Pace::Saturated))
    };
    let mut judge = |what: &str, outcome: &Outcome| {
        if let Some(fault) = outcome.fault() {
            report.violation(format!("beside x402-express, ours, {what}: {fault}"));
        }
    };
    let warm_up = fire(house.api, load(WARM_UP)?).await?;
    judge("warm-up", &warm_up);
    let alone = fire(house.api, load(ALONE)?).await?;
    judge("the api alone", &alone);
    let mut others = house.services(&others, Limits::NONE).await?;
    let before = warm_up.hits.len() + alone.hits.len();
    until_ended(&house, &mut others, async { Ok((before, ())) }).await?;

    let (cpu, probe) = (Snapshot::take()?, Probe::start()?);
    let paying = fire(house.api, load(count)?);
    let paying = async { paying.await.map(|outcome| (before + outcome.hits.len(), outcome)) };
    let all = until_ended(&house, &mut others, paying).await?;
    judge("all services", &all);
    report.usage("beside x402-express, ours", &cpu.since()?, probe.end().await?, count);
    let history = History::read(&house.ledger, house.last_seq().await?).await?;
    others.stop().await?;
    door.stop().await?;
    house.end().await;
    Ok(Ours { alone: alone.rate(), accepted: all.rate(), minted: history.rate_of_last(count) })
}

/// The stock system, running on a chain of its own.
struct Peer {
    address: SocketAddr,
    payers: Payers,
    chain: Anvil,
    program: Child,
    log: PathBuf,
    _dir: TempDir,
}

impl Peer {
    async fn start() -> Result<Self, Fatal> {
        let dir = scratch()?;
        let options = AnvilOptions {
            data_dir: dir.path().join("chain"),
            block_time: Mining::Interval(PEER_BLOCK_TIME),
            states_kept: Some(PEER_STATES),
            ..AnvilOptions::default()
        };
        let chain = Anvil::start(&Tools::locate()?, options).await?;
        let node = DevChain::connect(&chain.rpc_url()).await?;
        let asset = dev_chain::BASE_SEPOLIA_USDC;
        node.etch_usdc(asset).await?;
        let payers = Payers::new("peer", CONNECTIONS)?;
        payers.fund(&node, asset).await?;

        let logs = target_dir()?.join("bench-logs/peer");
        std::fs::create_dir_all(&logs)?;
        let log = logs.join("server.log");
        std::fs::File::create(&log)?;
        let mut command = tether(Path::new("node"), &log)?;
        command
            .arg(Path::new(PEER).join("server.mjs"))
            .env("NODE_ENV", "production")
            .env("RPC_URL", chain.rpc_url())
            .env("FACILITATOR_KEY", SENDER_KEYS[0])
            .env("PAY_TO", OWNER.to_string())
            .stdout(Stdio::piped());
        let mut program = command.spawn()?;
        let stdout = program.stdout.take().ok_or("the peer has no output")?;
        let mut line = String::new();
        let said = timeout(START_TIMEOUT, BufReader::new(stdout).read_line(&mut line)).await;
        if !matches!(said, Ok(Ok(1..))) {
            return Err(format!("the peer does not listen: {}", tail(&log)).into());
        }
        let said: serde_json::Value = serde_json::from_str(&line)?;
        let port = said["port"].as_u64().and_then(|port| u16::try_from(port).ok()).ok_or("the peer has no port")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self { address, payers, chain, program, log, _dir: dir })
    }

    /// Pays `count` times. What is not answered in time is a failure: its connection is broken off.
    async fn pay(&mut self, count: usize) -> Result<Outcome, Fatal> {
        let asset = dev_chain::BASE_SEPOLIA_USDC;
        let sale = TokenTerms { token: OWNER, chain_id: CHAIN_ID, asset, unit_price: CENT, ..examples::terms() };
        let payments = self.payers.sign(&sale, 0, count)?;
        let shots = payments.iter().map(|payment| offer::v1(self.address, "/mint", payment, "settled")).collect();
        let mut paying = std::pin::pin!(fire(self.address, Load::once(shots, CONNECTIONS, Pace::Saturated)));
        match timeout(ANSWER_TIMEOUT, &mut paying).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.program.kill().await?;
                paying.await
            }
        }
    }

    async fn end(mut self) -> Result<(), Fatal> {
        self.program.kill().await?;
        self.chain.stop().await?;
        Ok(())
    }
}
