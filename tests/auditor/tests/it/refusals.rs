//! A run that cannot be audited ends with exit code 2: it is neither green nor red.

use neighbours::{Nats, Tools};
use serde_json::{Value, json};
use standalone::users;
use std::path::Path;
use std::process::Command;

/// A run at servers that do not exist.
fn run() -> Value {
    let nobody = "0x0000000000000000000000000000000000000001";
    json!({
        "journal": "journal.jsonl", "rpcUrl": "http://127.0.0.1:1", "natsUrl": "nats://127.0.0.1:1",
        "databaseUrl": "postgres://127.0.0.1:1/paymint", "asset": nobody, "hub": nobody, "factory": nobody,
        "relayers": [], "confirmations": 1, "genesis": { "block": 0 },
    })
}

#[test]
fn what_cannot_be_audited_is_neither_green_nor_red() {
    let dir = tempfile::tempdir().unwrap();
    for (journal, run, word) in [
        ("", json!({ "journal": "journal.jsonl" }), "missing field"),
        (
            "",
            {
                let mut run = run();
                run["unknown"] = json!(1);
                run
            },
            "unknown field",
        ),
        (
            "",
            {
                let mut run = run();
                run["journal"] = json!("nowhere");
                run
            },
            "nowhere",
        ),
        (
            "",
            {
                let mut run = run();
                run["genesis"]["asset"] = json!({ "0x0000000000000000000000000000000000000001": "1e6" });
                run
            },
            "decimal",
        ),
        (
            "",
            {
                let mut run = run();
                run["bounds"] = json!({ "openRecords": "perhaps" });
                run
            },
            "unknown variant",
        ),
        ("{\"kind\":\"request\"}\n", run(), "line 1"),
        ("\n{\"kind\":\"fired\",\"name\":\"F40\",\"count\":1}\n{\"kind\":\"rumour\"}\n", run(), "line 3"),
        ("", run(), "NATS"),
    ] {
        std::fs::write(dir.path().join("journal.jsonl"), journal).unwrap();
        std::fs::write(dir.path().join("run.json"), run.to_string()).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_auditor")).arg(dir.path().join("run.json")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{word}: {said}");
        assert!(said.contains("could not audit") && said.contains(word), "{word}: {said}");
    }
}

/// Exit code and words of the auditor for this run, whose journal is empty.
fn audit(dir: &Path, run: &Value) -> (Option<i32>, String) {
    std::fs::write(dir.join("journal.jsonl"), "").unwrap();
    std::fs::write(dir.join("run.json"), run.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_auditor")).arg(dir.join("run.json")).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// There is no PostgreSQL in this test: whoever gets to ask it has read the ledger before.
#[tokio::test]
async fn the_ledger_is_read_as_the_user_in_the_url_and_the_password_is_never_said() {
    harness::small_buckets();
    let dir = tempfile::tempdir().unwrap();
    let options = users::options(&dir.path().join("nats")).unwrap();
    let nats = Nats::start(&Tools::locate().unwrap(), options).await.unwrap();
    let ops = users::url(&nats, users::OPS);
    ledger::provision(&ops).await.unwrap();
    let reader = users::url(&nats, "read-projector");
    let password = ops.split([':', '@']).nth(2).unwrap();
    for (url, api, word) in [
        (ops.clone(), "$JS.API", "PostgreSQL"),
        (reader.clone(), "LEDGER.API", "PostgreSQL"),
        (reader, "$JS.API", "STREAM.INFO"),
        (nats.url(), "$JS.API", "NATS: "),
        (ops.replace("//ops:", "//api:"), "LEDGER.API", "NATS: "),
    ] {
        let mut run = run();
        (run["natsUrl"], run["natsApi"]) = (json!(url), json!(api));
        let (code, said) = audit(dir.path(), &run);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(word) && !said.contains(password), "{word}: {said}");
    }
}

/// The auditor shares no crate with the product: it could not find a shared defect.
#[test]
fn no_crate_of_this_workspace_is_linked() {
    let read = |path: &str| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let workspace = read("../../Cargo.toml");
    let ours: Vec<&str> =
        workspace.lines().filter_map(|line| line.split_once(" = { path = ").map(|(name, _)| name)).collect();
    assert!(ours.contains(&"domain") && ours.contains(&"system-tests"), "{ours:?}");
    let own = read("Cargo.toml");
    let linked = own.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let names: Vec<&str> =
        linked.lines().filter_map(|line| line.split(['.', ' ']).next()).filter(|name| !name.is_empty()).collect();
    assert!(names.contains(&"sqlx"), "{names:?}");
    let shared: Vec<&&str> = names.iter().filter(|name| ours.contains(name)).collect();
    assert!(shared.is_empty(), "{shared:?}");
}
