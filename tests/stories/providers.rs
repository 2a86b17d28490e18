//! Several RPC providers, and keys that lie in keystore files.

use alloy::signers::k256::elliptic_curve::rand_core::OsRng;
use alloy::signers::local::PrivateKeySigner;
use harness::{DOLLAR, Service, Stack, StackOptions};
use standalone::accounts::SENDER_KEYS;
use std::os::unix::fs::PermissionsExt;

/// The third provider is away from the beginning to the end. Two names of one node are two providers to whoever asks.
#[tokio::test(flavor = "multi_thread")]
async fn f28_with_one_of_three_providers_away_and_keys_in_keystores_a_purchase_is_minted() {
    let mut stack = Stack::start(StackOptions::empty()).await;
    let node = stack.servers.anvil.rpc_url();
    let providers = ["http://127.0.0.1:1", &node, &node.replace("127.0.0.1", "localhost")].join(",");
    stack.set("RPC_URL", &providers);

    let dir = stack.dir.path().to_owned();
    let keystores = SENDER_KEYS.iter().enumerate().map(|(nth, key)| {
        let (key, name): (PrivateKeySigner, _) = (key.parse().unwrap(), format!("lane-{nth}.json"));
        PrivateKeySigner::encrypt_keystore(&dir, &mut OsRng, key.to_bytes(), "hunter2", Some(&name)).unwrap();
        let file = dir.join(name);
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        file.display().to_string()
    });
    let keystores: Vec<String> = keystores.collect();
    let password = dir.join("password");
    std::fs::write(&password, "hunter2").unwrap();
    stack.set("SENDER_KEYS", "");
    stack.set("SENDER_KEYSTORES", &keystores.join(","));
    stack.set("KEYSTORE_PASSWORD_FILE", &password.display().to_string());

    std::fs::set_permissions(&password, PermissionsExt::from_mode(0o644)).unwrap();
    let said = stack.refusal(Service::PaymentSender, &[]).await;
    assert!(said.contains("other users have access (mode 644): run `chmod 600` on it"), "{said}");
    std::fs::set_permissions(&password, PermissionsExt::from_mode(0o600)).unwrap();

    for service in Service::ALL {
        stack.run(service).await;
    }
    let buyer = stack.buyer(DOLLAR).await;
    let orders = vec![stack.buy(&buyer, 3).await, stack.buy(&buyer, 4).await];
    stack.audit(&orders).await;
    let said = stack.said(Service::Confirmer);
    assert!(said.contains("127.0.0.1:1") && said.contains("the provider rests"), "{said}");
}
