//! Users of the ledger: those of `nats/server.conf`, with passwords of this installation.

use neighbours::{Nats, NatsOptions, NeighbourError};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Error, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Accounts, users and permissions, compiled in: an installation needs no checkout.
const CONFIG: &str = include_str!("../../../nats/server.conf");

/// Provisions, and is a person's access. No service runs as this user.
pub const OPS: &str = "ops";

/// Users, and the variables of `nats/server.conf` that hold their passwords.
const USERS: [(&str, &str); 8] = [
    ("sys", "NATS_SYS_PASSWORD"),
    (OPS, "NATS_OPS_PASSWORD"),
    ("api", "NATS_API_PASSWORD"),
    ("payment-sender", "NATS_PAYMENT_SENDER_PASSWORD"),
    ("confirmer", "NATS_CONFIRMER_PASSWORD"),
    ("mint-projector", "NATS_MINT_PROJECTOR_PASSWORD"),
    ("operator", "NATS_OPERATOR_PASSWORD"),
    ("read-projector", "NATS_READ_PROJECTOR_PASSWORD"),
];

/// Beside the data, for their owner only.
const PASSWORDS_FILE: &str = "passwords";

/// A nats-server in `data_dir` with the accounts of `nats/server.conf`. Passwords are made at the first start and kept
/// beside the data, so that a restart works and two installations have none in common.
///
/// # Errors
/// `Files`: the directory cannot be written to.
pub fn options(data_dir: &Path) -> Result<NatsOptions, NeighbourError> {
    fs::create_dir_all(data_dir).map_err(files("make", data_dir))?;
    let config = data_dir.join("server.conf");
    fs::write(&config, CONFIG).map_err(files("write", &config))?;
    let kept = data_dir.join(PASSWORDS_FILE);
    let passwords = passwords(&kept).map_err(files("write", &kept))?;
    Ok(NatsOptions {
        data_dir: data_dir.to_owned(),
        config: Some(config),
        environment: passwords.into_iter().collect(),
        ..NatsOptions::default()
    })
}

/// Where `user` connects; without a user where the server was started without [`options`].
pub fn url(nats: &Nats, user: &str) -> String {
    let variable = USERS.iter().find(|(name, _)| *name == user).map(|(_, variable)| *variable);
    let kept = nats.log_path().with_file_name(PASSWORDS_FILE);
    match variable.and_then(|variable| read(&kept).remove(variable)) {
        Some(password) => nats.url().replacen("://", &format!("://{user}:{password}@"), 1),
        None => nats.url(),
    }
}

/// Variables and passwords as kept; those that are missing are made.
fn passwords(kept: &Path) -> Result<BTreeMap<String, String>, Error> {
    let mut passwords = read(kept);
    let before = passwords.len();
    for (_, variable) in USERS {
        if !passwords.contains_key(variable) {
            passwords.insert(variable.to_owned(), random());
        }
    }
    if passwords.len() > before {
        let making = kept.with_extension("new");
        let _ = fs::remove_file(&making); // of an interrupted start; its mode would stay otherwise
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&making)?;
        for (variable, password) in &passwords {
            writeln!(file, "{variable}={password}")?;
        }
        file.sync_all()?;
        fs::rename(&making, kept)?;
    }
    Ok(passwords)
}

fn read(kept: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(kept).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// 128 bits. Begins with a letter: nats-server reads what looks like a number as a number.
fn random() -> String {
    format!("p{:032x}", rand::random::<u128>())
}

fn files(action: &'static str, path: &Path) -> impl FnOnce(Error) -> NeighbourError {
    let path = path.to_owned();
    move |source| NeighbourError::Files { server: "nats-server", action, path, source }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn s19_passwords_are_kept_for_their_owner_and_are_nobody_elses() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = options(one.path()).unwrap().environment;
        assert_eq!(options(one.path()).unwrap().environment, first);
        let all: std::collections::BTreeSet<_> = first
            .iter()
            .chain(&options(other.path()).unwrap().environment)
            .map(|(_, password)| password.clone())
            .collect();
        assert_eq!(all.len(), 2 * USERS.len());
        let mode = fs::metadata(one.path().join(PASSWORDS_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn every_user_of_the_configuration_has_a_password() {
        assert_eq!(CONFIG.matches("{ user: ").count(), USERS.len());
        for (user, variable) in USERS {
            assert!(CONFIG.contains(&format!("user: {user}, password: ${variable}")), "{user}");
        }
    }
}
