//! Test executables, as cargo builds and names them.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One test executable.
#[derive(Debug)]
pub struct Executable {
    /// Package and target, such as `api it`: the same after every build.
    pub name: String,
    /// The title that cargo prints for it.
    pub title: String,
    path: PathBuf,
    /// The directory of its package, where cargo runs it.
    dir: PathBuf,
}

impl Executable {
    /// Runs it to its end with `threads` tests at a time. Returns whether it succeeded, and its output.
    ///
    /// # Errors
    /// The executable could not be started.
    pub fn run(&self, arguments: &[String], threads: &str) -> Result<(bool, String), String> {
        let mut command = Command::new(&self.path);
        // libtest shows the output of failed tests on standard output. Output that a test prints by itself follows it.
        let command = command.args(arguments).current_dir(&self.dir).env("CARGO_MANIFEST_DIR", &self.dir);
        if std::env::var_os("RUST_TEST_THREADS").is_none() {
            command.env("RUST_TEST_THREADS", threads);
        }
        let output = command.stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }
}

/// Builds the test executables: `cargo test --no-run` with these arguments.
///
/// # Errors
/// The build failed. Cargo has printed the reason.
pub fn build(arguments: &[String]) -> Result<Vec<Executable>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // `cargo run` describes the runner's own package in the environment. The build script of `ring` reads that too and
    // would run again: everything above it would be compiled twice in each `make test`.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command.arg("test").args(arguments).args(["--no-run", "--message-format=json-render-diagnostics"]);
    let output = command.stderr(Stdio::inherit()).output().map_err(|e| format!("cargo: {e}"))?;
    if !output.status.success() {
        return Err("error: the tests were not built".to_owned());
    }
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(messages.lines().filter_map(|line| executable(&serde_json::from_str(line).ok()?)).collect())
}

/// The test executable that a message of cargo is about.
fn executable(message: &Value) -> Option<Executable> {
    let is_test = message["reason"] == "compiler-artifact" && message["profile"]["test"] == true;
    let path = PathBuf::from(message["executable"].as_str().filter(|_| is_test)?);
    let dir = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
    let source = Path::new(message["target"]["src_path"].as_str()?);
    let package = dir.file_name()?.to_str()?;
    let title = format!("{package}: {} ({})", source.strip_prefix(&dir).unwrap_or(source).display(), path.display());
    let target = message["target"]["name"].as_str()?;
    let kind = if message["target"]["kind"][0] == "test" { target } else { "unit tests" };
    Some(Executable { name: format!("{package} {kind}"), title, path, dir })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_message_about_a_test_executable_is_one_and_others_are_not() {
        let message = json!({
            "reason": "compiler-artifact", "executable": "/w/target/debug/deps/it-0a", "profile": { "test": true },
            "manifest_path": "/w/services/api/Cargo.toml",
            "target": { "name": "it", "kind": ["test"], "src_path": "/w/services/api/tests/it/main.rs" },
        });
        let found = executable(&message).unwrap();
        assert_eq!((found.name.as_str(), found.dir.to_str()), ("api it", Some("/w/services/api")));
        assert_eq!(found.title, "api: tests/it/main.rs (/w/target/debug/deps/it-0a)");
        for (pointer, value) in [("/executable", json!(null)), ("/profile/test", json!(false))] {
            let mut other = message.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            assert!(executable(&other).is_none());
        }
    }

    #[test]
    fn what_an_executable_says_and_how_it_ends_is_told() {
        let run = |script: &str| {
            let shell =
                Executable { name: String::new(), title: String::new(), path: "/bin/sh".into(), dir: "/".into() };
            shell.run(&["-c".to_owned(), script.to_owned()], "1")
        };
        assert_eq!(run("pwd; echo oh >&2"), Ok((true, "/\noh\n".to_owned())));
        assert_eq!(run("exit 101"), Ok((false, String::new())));
    }
}
