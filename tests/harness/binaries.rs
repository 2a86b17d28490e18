//! The service binaries, beside the test that runs.

use std::path::PathBuf;

/// `target/debug/<name>`, of the same target directory and profile as this program, a test or not.
///
/// # Panics
/// When it was not built: says how to.
pub fn binary(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let dir = this.ancestors().skip(1).find(|dir| !dir.ends_with("deps")).unwrap();
    let path = dir.join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace` before the system tests", path.display());
    path
}
