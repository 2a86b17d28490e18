//! One finished run, as input of the auditor, and the auditor's answers.

use crate::controls::load::Journal;
use auditor::{Evidence, Outcome, Run, Verdict, collect, judge, verdict};
use harness::{LocalChain, Stack, journal};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// The number of confirmations in this run.
pub const CONFIRMATIONS: u64 = 2;

/// Growth limit in percent. An idle process has fifteen files open, so three further connections are a fifth.
const GROWN_MAX_PERCENT: u64 = 50;

/// One run. A control changes the chain for a while, or the evidence in memory.
pub struct Bench {
    dir: PathBuf,
    chain: LocalChain,
    /// The run file of the auditor.
    pub run: Value,
    collected: u32,
    spent: Duration,
}

impl Bench {
    pub fn new(stack: &Stack, genesis: Value, journal: &Journal) -> Self {
        let dir = stack.dir.path().join("audit");
        std::fs::create_dir_all(dir.join("logs")).unwrap();
        for entry in std::fs::read_dir(stack.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "log") {
                std::fs::copy(&path, dir.join("logs").join(path.file_name().unwrap())).unwrap();
            }
        }
        let run = json!({
            "journal": "journal.jsonl",
            "logs": "logs",
            "rpcUrl": stack.servers.anvil.rpc_url(),
            "natsUrl": stack.servers.nats.url(),
            "databaseUrl": stack.servers.postgres.url(),
            "rebuiltSchema": "rebuilt",
            "asset": stack.shop.asset,
            "hub": stack.shop.hub,
            "factory": stack.shop.factory,
            "relayers": journal::relayers(),
            "confirmations": CONFIRMATIONS,
            "genesis": genesis,
            "faults": [{ "name": "kill payment-sender", "atLeast": 1 }],
            "bounds": { "quietMs": 150, "waitS": 20, "terminalWithinS": 60, "grownMaxPercent": GROWN_MAX_PERCENT },
        });
        journal.write(&dir.join("journal.jsonl"));
        Self { dir, chain: stack.chain.clone(), run, collected: 0, spent: Duration::ZERO }
    }

    /// Collects the evidence as it is now.
    pub async fn collect(&mut self) -> Evidence {
        let run = self.dir.join("run.json");
        std::fs::write(&run, self.run.to_string()).unwrap();
        let begun = Instant::now();
        let evidence = self.mining(collect(Run::read(&run).unwrap())).await.unwrap();
        self.collected += 1;
        self.spent += begun.elapsed();
        evidence
    }

    /// Runs the program on the run as it is now. Returns its exit code, its output, and whether its file says green.
    pub async fn program(&self, required: &str) -> (Option<i32>, String, Value) {
        let out = self.dir.join("verdicts.json");
        let mut program = Command::new(env!("CARGO_BIN_EXE_auditor"));
        let program = program.arg(self.dir.join("run.json")).arg("--out").arg(&out).args(["--require", required]);
        let output = self.mining(async { program.output().await.unwrap() }).await;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let told: Value = std::fs::read(&out).map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
        (output.status.code(), text, told["green"].clone())
    }

    /// See [`LocalChain::mining`].
    pub async fn mining<T>(&self, doing: impl Future<Output = T>) -> T {
        self.chain.mining(doing).await
    }

    /// The number of collections of evidence, and their total time.
    pub fn spent(&self) -> (u32, Duration) {
        (self.collected, self.spent)
    }
}

/// Checks that the unchanged run is green, with evidence in every check but that of deployments.
pub fn green(evidence: &Evidence) {
    let verdicts = judge(evidence);
    for verdict in &verdicts {
        let is_green = verdict.outcome == Outcome::Green && verdict.checked != 0;
        assert_eq!(is_green, verdict.id != "A13", "{}", verdict::table(&verdicts));
    }
}

/// Checks that the auditor finds `word` in the check `id`. Returns the checks that are red.
pub fn red(control: &str, evidence: &Evidence, id: &str, word: &str) -> Vec<Verdict> {
    let verdicts = judge(evidence);
    let check = verdicts.iter().find(|verdict| verdict.id == id).unwrap();
    let found = check.findings.iter().any(|finding| finding.contains(word));
    assert!(found && check.outcome == Outcome::Red, "{control}: no {word:?} in {id}: {}", verdict::table(&verdicts));
    verdicts.into_iter().filter(|verdict| verdict.outcome == Outcome::Red).collect()
}
