//! Sources of a service's keys: keystore files, or the environment itself on a development chain. No key, password or
//! URL path is ever printed.

use crate::connect::{Chain, DEVELOPMENT_NODES};
use crate::error::ChainError;
use crate::sign::Key;
use runtime::{ConfigError, Env, Variable};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const PASSWORD_FILE: &str = "KEYSTORE_PASSWORD_FILE";

/// The keys of a service, before they are opened.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// In the environment: for development chains.
    Plain {
        /// The variable, for errors.
        variable: String,
        /// The keys.
        keys: Vec<Key>,
    },
    /// Ethereum V3 keystore files.
    Keystores {
        /// The variable, for errors.
        variable: String,
        /// One key each.
        files: Vec<PathBuf>,
        /// One line per file, or one line for all.
        password_file: PathBuf,
    },
}

impl KeySource {
    /// Reads `<role>_KEYSTORES` with `KEYSTORE_PASSWORD_FILE`, or `<role>_KEYS`. Exactly one of the two must be set.
    ///
    /// # Errors
    /// Names the variable and its shape.
    pub fn from_env(env: &Env, role: &str) -> Result<Self, ConfigError> {
        let (plain, variable) = (format!("{role}_KEYS"), format!("{role}_KEYSTORES"));
        let plain_row = Variable::optional(
            &plain,
            "0x0000000000000000000000000000000000000000000000000000000000000001",
            "Private keys, one lane each. For development chains only: the node must be an anvil or hardhat.",
        )
        .secret()
        .list();
        if env.find::<String>(&plain_row)?.is_none() {
            let files = env.list(
                &Variable::required(
                    &variable,
                    "keys/lane-1.json,keys/lane-2.json",
                    "Ethereum V3 keystore files, one lane each. A development chain may use plain keys instead.",
                )
                .list(),
            )?;
            let password_file = env.get(&Variable::required(
                PASSWORD_FILE,
                "keys/password",
                "File with a line for each keystore, or one for all. Only its owner may read it.",
            ))?;
            return Ok(Self::Keystores { variable, files, password_file });
        }
        if env.is_set(&variable) {
            let why = format!("{plain} is also set, and only one of the two may be set");
            return Err(ConfigError::invalid(&variable, "keys/lane-1.json,keys/lane-2.json", why));
        }
        Ok(Self::Plain { keys: env.list(&plain_row)?, variable: plain })
    }

    /// Number of keys: one lane each.
    pub fn count(&self) -> usize {
        match self {
            Self::Plain { keys, .. } => keys.len(),
            Self::Keystores { files, .. } => files.len(),
        }
    }

    /// Opens the keys. Takes about a second per file, which makes guessing passwords expensive.
    ///
    /// # Errors
    /// `Misconfigured` names the variable and the file. `Transient` if no node tells its version.
    pub async fn open(&self, chain: &Chain) -> Result<Vec<Key>, ChainError> {
        match self {
            Self::Plain { keys, .. } if chain.is_development().await? => Ok(keys.clone()),
            Self::Plain { variable, .. } => Err(ChainError::Misconfigured(format!(
                "{variable} holds plain private keys, and the node behind RPC_URL is no development node ({}): \
                 use {variable}TORES with {PASSWORD_FILE}",
                DEVELOPMENT_NODES.join(" or ")
            ))),
            Self::Keystores { variable, files, password_file } => {
                let (variable, files, password_file) = (variable.clone(), files.clone(), password_file.clone());
                let opened = tokio::task::spawn_blocking(move || {
                    let passwords = passwords(&password_file, files.len())?;
                    let pairs = files.iter().zip(passwords.iter().cycle());
                    pairs.map(|(file, password)| decrypt(&variable, file, password)).collect()
                });
                opened
                    .await
                    .map_err(|e| ChainError::Misconfigured(format!("the keystores could not be opened: {e}")))?
            }
        }
    }
}

/// Reads one password for all files, or one for each in their order.
fn passwords(file: &Path, files: usize) -> Result<Vec<String>, ChainError> {
    let bad = |why: String| ChainError::Misconfigured(format!("{PASSWORD_FILE}: {}: {why}", file.display()));
    private(file).map_err(bad)?;
    let text = fs::read_to_string(file).map_err(|e| bad(e.to_string()))?;
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    match lines.len() {
        0 => Err(bad("it is empty".to_owned())),
        count if count == 1 || count == files => Ok(lines),
        count => Err(bad(format!(
            "{count} lines for {files} keystores; it must hold one password per line and file, or one for all"
        ))),
    }
}

/// Checks that only the owner of a file has access to it.
fn private(file: &Path) -> Result<(), String> {
    let mode = fs::metadata(file).map_err(|e| e.to_string())?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("other users have access (mode {:o}): run `chmod 600` on it", mode & 0o777));
    }
    Ok(())
}

fn decrypt(variable: &str, file: &Path, password: &str) -> Result<Key, ChainError> {
    let bad = |why: String| ChainError::Misconfigured(format!("{variable}: {}: {why}", file.display()));
    private(file).map_err(bad)?;
    fs::File::open(file).map_err(|e| bad(e.to_string()))?;
    Key::decrypt(file, password)
        .map_err(|e| bad(format!("not an Ethereum V3 keystore, or {PASSWORD_FILE} holds a wrong password ({e})")))
}
