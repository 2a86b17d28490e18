//! A service that could not keep what it promises does not start, and says what to change.

use harness::{Service, Stack, StackOptions};
use neighbours::{Nats, NatsOptions, Tools};
use serde_json::json;

/// Services that talk to a node.
const ON_CHAIN: [Service; 4] = [Service::PaymentSender, Service::Confirmer, Service::MintProjector, Service::Operator];

#[tokio::test(flavor = "multi_thread")]
async fn without_sync_always_or_with_a_drifted_stream_nobody_starts() {
    let mut stack = Stack::start(StackOptions::empty()).await;
    let lazy = NatsOptions { data_dir: stack.dir.path().join("lazy"), sync_always: false, ..NatsOptions::default() };
    let lazy = Nats::start(&Tools::locate().unwrap(), lazy).await.unwrap();
    ledger::provision(&lazy.url()).await.unwrap();
    let (url, monitor_url) = (lazy.url(), lazy.monitor_url());
    for service in Service::ALL {
        let said = stack.refusal(service, &[("NATS_URL", &url), ("NATS_MONITOR_URL", &monitor_url)]).await;
        assert!(said.contains("set `sync_interval: always` in its jetstream block"), "{service:?}: {said}");
    }

    let before = stack.stream.last_seq().await;
    let mut config = stack.stream.info().await["config"].clone();
    config["max_msg_size"] = json!(1024);
    let answer = stack.stream.ask("STREAM.UPDATE.LEDGER", config).await;
    assert_eq!(answer["config"]["max_msg_size"], 1024, "{answer}");
    for service in Service::ALL {
        let said = stack.refusal(service, &[]).await;
        let sentence = "the stream LEDGER differs from its definition in nats/: max_msg_size is 1024, not 65536";
        assert!(said.contains(sentence), "{service:?}: {said}");
    }
    assert_eq!(stack.stream.last_seq().await, before, "nobody wrote");
}

/// D5: one that counts deliveries would lose messages.
#[tokio::test(flavor = "multi_thread")]
async fn d5_with_a_drifted_consumer_its_service_does_not_start() {
    let mut stack = Stack::start(StackOptions::empty()).await;
    let before = stack.stream.last_seq().await;
    for (service, consumer) in ON_CHAIN.map(|service| (service, service.name())) {
        let mut config = stack.stream.consumer(consumer).await["config"].clone();
        config["max_deliver"] = json!(2);
        let body = json!({ "stream_name": "LEDGER", "config": config, "action": "update" });
        let answer = stack.stream.ask(&format!("CONSUMER.CREATE.LEDGER.{consumer}"), body).await;
        assert_eq!(answer["config"]["max_deliver"], 2, "{answer}");
        let said = stack.refusal(service, &[]).await;
        let sentence =
            format!("the consumer {consumer} differs from its definition in nats/: max_deliver is 2, not -1");
        assert!(said.contains(&sentence), "{service:?}: {said}");
    }
    let nothing_signed = stack.stream.last_seq().await - before;
    assert!(nothing_signed <= 5, "lanes may have been claimed, nothing else happened");
}

#[tokio::test(flavor = "multi_thread")]
async fn f37_on_another_chain_or_with_another_signing_domain_no_lane_starts() {
    let mut stack = Stack::start(StackOptions::empty()).await;
    let before = stack.stream.last_seq().await;
    for service in ON_CHAIN {
        let said = stack.refusal(service, &[("CHAIN_ID", "8453")]).await;
        assert!(said.contains("CHAIN_ID is 8453, but RPC_URL leads to chain 84532"), "{service:?}: {said}");
        let said = stack.refusal(service, &[("ASSET_NAME", "USD Coin")]).await;
        let sentence = "does not have the EIP-712 domain \"USD Coin\" version \"2\"";
        assert!(said.contains("ASSET_ADDRESS, ASSET_NAME, ASSET_VERSION") && said.contains(sentence), "{said}");
        let said = stack.refusal(service, &[("ASSET_VERSION", "1")]).await;
        assert!(said.contains("does not have the EIP-712 domain \"USDC\" version \"1\""), "{service:?}: {said}");
    }
    assert_eq!(stack.stream.last_seq().await, before, "nobody wrote");
}
