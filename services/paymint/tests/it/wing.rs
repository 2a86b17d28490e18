//! The development wing: nothing of `dev/` is linked into a program that runs in production.

use std::process::Command;

/// The programs of an installation, with the features that a release build gives them.
const PROGRAMS: [&str; 8] =
    ["api", "payment-sender", "confirmer", "mint-projector", "operator", "read-projector", "ops", "paymint"];

/// The crates of `dev/` that `package` links.
fn dev_crates(package: &str, features: &[&str]) -> Vec<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["tree", "--offline", "--locked", "--edges", "normal,build", "--prefix", "none", "--package", package]);
    let output = cargo.args(features).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.lines().count() > 50, "{package}: this is no tree: {tree}");
    let wing = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dev");
    let wing = std::fs::canonicalize(wing).unwrap().to_str().unwrap().to_owned();
    tree.lines().filter(|line| line.contains(&wing)).map(str::to_owned).collect()
}

#[test]
fn no_program_of_an_installation_links_the_development_wing() {
    for package in PROGRAMS {
        assert_eq!(dev_crates(package, &[]), Vec::<String>::new(), "of {package}");
    }
    assert!(!dev_crates("paymint", &["--features", "dev"]).is_empty(), "the feature dev links the wing");
}
