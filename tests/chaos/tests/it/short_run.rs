//! A minute of chaos with every `make test`; the last campaign is in the README.

use std::path::Path;
use std::process::Command;

/// Any seed will do; the same one finds again what it has found.
const SEED: &str = "20261120";

/// Purchases: enough for every blow to meet work.
const ORDERS: &str = "250";

#[test]
fn p1_a_minute_of_crashes_and_faults_loses_doubles_and_gives_away_nothing() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chaos");
    let mut chaos = Command::new(env!("CARGO_BIN_EXE_chaos"));
    let chaos = chaos.args(["--seed", SEED, "--orders", ORDERS, "--minutes", "1", "--out"]).arg(&out);
    let output = chaos.output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
}
