//! Keys come from keystore files; plain ones only where the node is a development node. No error shows a secret.

use crate::common::{Local, config};
use alloy::signers::k256::elliptic_curve::rand_core::OsRng;
use alloy::signers::local::PrivateKeySigner;
use chain::{Chain, ChainError, KeySource};
use runtime::Env;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const KEYS: [&str; 2] = [
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
];

/// A keystore of the `nth` key.
fn keystore(dir: &Path, nth: usize, password: &str) -> String {
    let key: PrivateKeySigner = KEYS[nth].parse().unwrap();
    let name = format!("lane-{nth}.json");
    PrivateKeySigner::encrypt_keystore(dir, &mut OsRng, key.to_bytes(), password, Some(&name)).unwrap();
    let file = dir.join(name);
    fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    file.display().to_string()
}

fn password_file(dir: &Path, text: &str, mode: u32) -> String {
    let file = dir.join("password");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
    file.display().to_string()
}

async fn open(chain: &Chain, files: &[&str], password_file: &str) -> Result<Vec<String>, String> {
    let env = Env::of([("SENDER_KEYSTORES", files.join(",").as_str()), ("KEYSTORE_PASSWORD_FILE", password_file)]);
    let source = KeySource::from_env(&env, "SENDER").unwrap();
    assert_eq!(source.count(), files.len());
    match source.open(chain).await {
        Ok(keys) => Ok(keys.iter().map(|key| key.address().to_string()).collect()),
        Err(ChainError::Misconfigured(text)) => Err(text),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn keystores_open_with_one_password_or_one_each_and_every_refusal_says_what_to_change() {
    let local = Local::start().await;
    let chain = Chain::connect(config(&[&local.anvil.rpc_url()], &[])).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (keystore(dir.path(), 0, "hunter2"), keystore(dir.path(), 1, "hunter2"));
    let addresses = KEYS.map(|key| key.parse::<PrivateKeySigner>().unwrap().address().to_string());

    let same = password_file(dir.path(), "hunter2\n", 0o600);
    assert_eq!(open(&chain, &[&one, &two], &same).await.unwrap(), addresses);

    let other = keystore(dir.path(), 1, "correct horse ");
    let each = password_file(dir.path(), "hunter2\r\ncorrect horse \n", 0o400);
    assert_eq!(open(&chain, &[&one, &other], &each).await.unwrap(), addresses);

    fs::remove_file(dir.path().join("password")).unwrap();
    let garbage = dir.path().join("garbage.json");
    fs::write(&garbage, KEYS[0]).unwrap();
    fs::set_permissions(&garbage, PermissionsExt::from_mode(0o600)).unwrap();
    let garbage = garbage.display().to_string();
    let shared = dir.path().join("shared.json");
    fs::copy(&one, &shared).unwrap();
    fs::set_permissions(&shared, PermissionsExt::from_mode(0o640)).unwrap();
    let shared = shared.display().to_string();
    let cases: [(&[&str], &str, u32, &str); 9] = [
        (&[&one], "hunter3", 0o600, "KEYSTORE_PASSWORD_FILE holds a wrong password"),
        (&[&garbage], "hunter2", 0o600, "SENDER_KEYSTORES: "),
        (&["/nowhere/lane.json"], "hunter2", 0o600, "SENDER_KEYSTORES: /nowhere/lane.json: No such file"),
        (&[&one], "hunter2", 0o644, "other users have access (mode 644): run `chmod 600` on it"),
        (&[&one], "hunter2", 0o602, "other users have access (mode 602)"),
        (&[&one], "hunter2", 0o640, "other users have access (mode 640)"),
        (&[&shared], "hunter2", 0o600, "shared.json: other users have access (mode 640): run `chmod 600` on it"),
        (&[&one], "", 0o600, "it is empty"),
        (&[&one], "hunter2\nhunter3\n", 0o600, "2 lines for 1 keystores"),
    ];
    for (files, password, mode, expected) in cases {
        let file = password_file(dir.path(), password, mode);
        let said = open(&chain, files, &file).await.unwrap_err();
        assert!(said.contains(expected), "{expected}: {said}");
        assert!(!said.contains("hunter") && KEYS.iter().all(|key| !said.contains(key)), "{said}");
    }
    let said = open(&chain, &[&one], "/nowhere/password").await.unwrap_err();
    assert!(said.contains("KEYSTORE_PASSWORD_FILE: /nowhere/password: No such file"), "{said}");
}

#[tokio::test]
async fn plain_keys_are_for_development_nodes_alone() {
    let local = Local::start().await;
    let [proxy, other] = local.proxies().await;
    let source = KeySource::from_env(&Env::of([("MINTER_KEYS", KEYS.join(","))]), "MINTER").unwrap();
    assert!(KEYS.iter().all(|key| !format!("{source:?}").contains(key)), "{source:?}");
    let chain = crate::common::connect(&[&proxy, &other]).await;
    assert_eq!(source.open(&chain).await.unwrap().len(), 2);

    proxy.change("web3_clientVersion", |answer| answer["result"] = json!("Anvil/v9"));
    assert_eq!(source.open(&chain).await.unwrap().len(), 2, "whatever the case");
    proxy.change("web3_clientVersion", |answer| answer["result"] = json!("HardhatNetwork/2.26.0/@ethereumjs/vm"));
    assert_eq!(source.open(&chain).await.unwrap().len(), 2);

    proxy.change("web3_clientVersion", |answer| answer["result"] = json!("Geth/v1.16.4"));
    let said = source.open(&chain).await.unwrap_err().to_string();
    let sentence = "MINTER_KEYS holds plain private keys, and the node behind RPC_URL is no development node (anvil or \
                    hardhat): use MINTER_KEYSTORES with KEYSTORE_PASSWORD_FILE";
    assert_eq!(said, sentence);

    let refuses = br#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32601,"message":"the method is not available"}}"#;
    proxy.answer(200, None, refuses);
    assert_eq!(source.open(&chain).await.unwrap_err().to_string(), sentence, "who does not say is none");

    proxy.answer(503, None, b"");
    assert_eq!(source.open(&chain).await.unwrap().len(), 2, "the one that answers is an anvil");
    other.answer(503, None, b"");
    crate::common::transient(source.open(&chain).await);
}

#[test]
fn exactly_one_of_the_two_variables_is_set() {
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[], "SENDER_KEYSTORES is not set"),
        (&[("SENDER_KEYS", KEYS[0]), ("SENDER_KEYSTORES", "a.json")], "SENDER_KEYS is also set"),
        (&[("SENDER_KEYSTORES", "a.json")], "KEYSTORE_PASSWORD_FILE is not set"),
        (&[("SENDER_KEYS", "59c6995e998f97a5")], "SENDER_KEYS cannot be read"),
    ];
    for (variables, expected) in cases {
        let said = KeySource::from_env(&Env::of(variables.iter().copied()), "SENDER").unwrap_err().to_string();
        assert!(said.contains(expected) && !said.contains(&KEYS[0][..16]), "{said}");
    }
}
