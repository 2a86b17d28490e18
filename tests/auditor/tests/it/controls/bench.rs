//! The auditor as a program, on one run that is tampered with.

use crate::controls::load::Journal;
use harness::{LocalChain, Stack, journal};
use serde_json::{Value, json};
use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// N of this run.
pub const CONFIRMATIONS: u64 = 2;

/// A process that rests has fifteen files open, so that three connections kept for later are a fifth.
const GROWN_MAX_PERCENT: u64 = 50;

/// Between two blocks while somebody waits for them.
const BLOCK_TIME: Duration = Duration::from_millis(40);

/// Checks that have something to look at in this run: all but deployments.
const REQUIRED: &str = "A01,A02,A03,A04,A05,A06,A07,A08,A09,A10,A11,A12,A14,A15,A16,A17";

/// One run, and where the auditor finds it.
pub struct Bench {
    dir: PathBuf,
    chain: LocalChain,
    /// What the auditor is told; controls change it for a while.
    pub run: Value,
    pub journal: Journal,
    audits: u32,
    spent: Duration,
}

/// Blocks come while `doing` goes on; the chain stands still before and after, with no block on its way.
pub async fn mining<T>(chain: &LocalChain, doing: impl Future<Output = T>) -> T {
    let done = Cell::new(false);
    let miner = async {
        while !done.get() {
            chain.mine(1).await;
            tokio::time::sleep(BLOCK_TIME).await;
        }
    };
    let doing = async {
        let result = doing.await;
        done.set(true);
        result
    };
    tokio::join!(doing, miner).0
}

/// What the auditor said.
pub struct Said {
    pub code: Option<i32>,
    pub text: String,
    verdicts: Vec<Value>,
}

impl Bench {
    pub fn new(stack: &Stack, genesis: Value, journal: Journal) -> Self {
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
            "settlement": stack.shop.settlement,
            "factory": stack.shop.factory,
            "relayers": journal::relayers(),
            "confirmations": CONFIRMATIONS,
            "genesis": genesis,
            "faults": [{ "name": "kill payment-sender", "atLeast": 1 }],
            "bounds": { "quietMs": 150, "waitS": 20, "terminalWithinS": 60, "grownMaxPercent": GROWN_MAX_PERCENT },
        });
        Self { dir, chain: stack.chain.clone(), run, journal, audits: 0, spent: Duration::ZERO }
    }

    /// Where the logs are that the auditor reads.
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(name)
    }

    /// Runs the program on what stands there now.
    pub async fn audit(&mut self) -> Said {
        self.journal.write(&self.dir.join("journal.jsonl"));
        std::fs::write(self.dir.join("run.json"), self.run.to_string()).unwrap();
        let out = self.dir.join("verdicts.json");
        let _ = std::fs::remove_file(&out);
        let begun = Instant::now();
        let mut program = Command::new(env!("CARGO_BIN_EXE_auditor"));
        let program = program.arg(self.dir.join("run.json")).arg("--out").arg(&out).args(["--require", REQUIRED]);
        let output = self.mining(async { program.output().await.unwrap() }).await;
        self.audits += 1;
        self.spent += begun.elapsed();
        let text = [output.stdout, output.stderr].concat();
        let told: Value = std::fs::read(&out).map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
        let verdicts = told["verdicts"].as_array().cloned().unwrap_or_default();
        Said { code: output.status.code(), text: String::from_utf8_lossy(&text).into_owned(), verdicts }
    }

    /// The untampered run is green. Before every control, so that what a control finds is its own doing.
    pub async fn green(&mut self) {
        let said = self.audit().await;
        assert_eq!(said.code, Some(0), "{}", said.text);
        for verdict in &said.verdicts {
            let applies = verdict["id"] != "A13";
            assert_eq!(verdict["outcome"] == "green" && verdict["checked"] != 0, applies, "{}", said.text);
        }
    }

    /// The auditor finds `word` in the check `id`.
    pub async fn red(&mut self, control: &str, id: &str, word: &str) -> Said {
        let said = self.audit().await;
        assert_eq!(said.code, Some(1), "{control}: {}", said.text);
        let found = said.findings(id);
        assert!(found.iter().any(|finding| finding.contains(word)), "{control}: no {word:?} in {id}: {}", said.text);
        said
    }

    /// See [`mining`].
    pub async fn mining<T>(&self, doing: impl Future<Output = T>) -> T {
        mining(&self.chain, doing).await
    }

    /// How often the program has run, and for how long in all.
    pub fn spent(&self) -> (u32, Duration) {
        (self.audits, self.spent)
    }
}

impl Said {
    /// What is wrong by this check.
    pub fn findings(&self, id: &str) -> Vec<String> {
        let verdict =
            self.verdicts.iter().find(|verdict| verdict["id"] == id).unwrap_or_else(|| panic!("{}", self.text));
        verdict["findings"].as_array().unwrap().iter().map(|finding| finding.as_str().unwrap().to_owned()).collect()
    }

    /// Ids of the checks that are red.
    pub fn red(&self) -> Vec<&str> {
        let red = self.verdicts.iter().filter(|verdict| verdict["outcome"] == "red");
        red.map(|verdict| verdict["id"].as_str().unwrap()).collect()
    }
}
