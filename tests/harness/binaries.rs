//! The service binaries, beside the test that runs.

use std::path::PathBuf;

/// `target/debug/<name>`, of the same target directory and profile as this test.
///
/// # Panics
/// When it was not built: says how to.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let dir = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = dir.join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace` before the system tests", path.display());
    path
}
