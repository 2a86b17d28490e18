//! Where the pinned servers are: what `make tools` has put into `tools/.local`.

use crate::{NeighbourError, Result};
use std::{
    env,
    path::{Path, PathBuf},
};

/// Names the directory of the fetched tools, instead of the nearest `tools/.local`.
const TOOLS_VARIABLE: &str = "PAYMINT_TOOLS";
/// Names the `bin` directory of a PostgreSQL of one's own, instead of the fetched one.
const POSTGRES_VARIABLE: &str = "PAYMINT_POSTGRES_BIN";

/// The fetched servers and clients. Every program that is named here was there when it was located.
#[derive(Clone, Debug)]
pub struct Tools {
    root: PathBuf,
    postgres_bin: PathBuf,
}

impl Tools {
    /// Finds the tools: `PAYMINT_TOOLS`, else the nearest `tools/.local` at or above the current directory, the
    /// package that cargo runs, or this program.
    /// # Errors
    /// `NoTools`, which names `make tools` and the variable.
    pub fn locate() -> Result<Self> {
        let root = match env::var_os(TOOLS_VARIABLE) {
            Some(named) => PathBuf::from(named),
            None => {
                nearest().ok_or(NeighbourError::NoTools { missing: "tools/.local".into(), variable: TOOLS_VARIABLE })?
            }
        };
        Self::at(&root, env::var_os(POSTGRES_VARIABLE).map(PathBuf::from))
    }

    fn at(root: &Path, postgres_bin: Option<PathBuf>) -> Result<Self> {
        let there = |path: PathBuf, variable| match path.canonicalize() {
            Ok(path) => Ok(path),
            Err(_) => Err(NeighbourError::NoTools { missing: path, variable }),
        };
        let root = there(root.to_owned(), TOOLS_VARIABLE)?;
        there(root.join("bin/nats-server"), TOOLS_VARIABLE)?;
        there(root.join("bin/anvil"), TOOLS_VARIABLE)?;
        let variable = if postgres_bin.is_some() { POSTGRES_VARIABLE } else { TOOLS_VARIABLE };
        let postgres_bin = there(postgres_bin.unwrap_or_else(|| root.join("postgres/bin")), variable)?;
        there(postgres_bin.join("initdb"), variable)?;
        there(postgres_bin.join("postgres"), variable)?;
        Ok(Self { root, postgres_bin })
    }

    /// The directory that `make tools` fills.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The nats-server program.
    pub fn nats_server(&self) -> PathBuf {
        self.root.join("bin/nats-server")
    }

    /// The anvil program.
    pub fn anvil(&self) -> PathBuf {
        self.root.join("bin/anvil")
    }

    /// The directory of `postgres` and `initdb`.
    pub fn postgres_bin(&self) -> &Path {
        &self.postgres_bin
    }

    /// The installed npm packages (clients, solc, Solidity sources).
    pub fn node_modules(&self) -> PathBuf {
        self.root.join("node_modules")
    }
}

fn nearest() -> Option<PathBuf> {
    let starts =
        [env::current_dir().ok(), env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from), env::current_exe().ok()];
    starts
        .iter()
        .flatten()
        .flat_map(|start| start.ancestors())
        .map(|above| above.join("tools/.local"))
        .find(|candidate| candidate.join("bin/nats-server").exists())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on says where
mod tests {
    use super::*;

    #[test]
    fn missing_tools_are_named_with_the_way_to_get_them() {
        let error = Tools::at(Path::new("/nowhere/at/all"), None).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
        assert!(error.contains("make tools") && error.contains(TOOLS_VARIABLE), "{error}");
    }

    #[test]
    fn a_postgres_of_ones_own_is_named_by_its_own_variable() {
        let tools = Tools::locate().unwrap();
        let error = Tools::at(tools.root(), Some("/no/postgres".into())).unwrap_err().to_string();
        assert!(error.contains(POSTGRES_VARIABLE), "{error}");
    }
}
