//! `paymint run`: an installation that keeps everything, names what is in its way, and leaves nothing behind.

use alloy_primitives::{Address, U256};
use harness::{Buyer, LocalChain, Paymint, Process, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// A stop is done within this.
const STOP_BOUND: Duration = Duration::from_secs(10);

const KEYS: [&str; 8] = ["api", "asset", "chainId", "demoKey", "nats", "postgres", "rpc", "tokens"];

#[tokio::test(flavor = "multi_thread")]
async fn run_twice_on_one_data_directory_it_keeps_chain_balances_and_orders() {
    let paymint = Paymint::new().await;
    let (mut process, first) = paymint.start().await;
    let keys: Vec<&str> = first.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, KEYS, "of endpoints.json");
    assert_eq!(first["chainId"], 84_532);
    let ready = reqwest::get(format!("{}/readyz", text(&first, "api"))).await.unwrap();
    assert_eq!(ready.status(), 200, "endpoints.json appears when everything is ready");
    let bought = buy(&first, 10).await;
    assert!(stop(&paymint, &mut process, Signal::SIGTERM).await.success());

    let (mut process, second) = paymint.start().await;
    assert_eq!(first, second, "the same addresses, token and key");
    assert_eq!(status(&second, &bought).await["state"], "minted");
    assert_eq!(units(&second).await, 10);
    buy(&second, 5).await;
    assert_eq!(units(&second).await, 15);
    assert!(stop(&paymint, &mut process, Signal::SIGINT).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named_with_its_variable_and_nothing_is_left_running() {
    let variables = [
        "PAYMINT_API_PORT",
        "PAYMINT_CHAIN_PORT",
        "PAYMINT_NATS_PORT",
        "PAYMINT_NATS_MONITOR_PORT",
        "PAYMINT_POSTGRES_PORT",
    ];
    let paymint = Paymint::new().await;
    for (port, variable) in paymint.ports.clone().into_iter().zip(variables) {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let mut process = paymint.spawn();
        let status = process.ended().await;
        let said = process.said();
        assert!(!status.success() && status.code().is_some(), "{variable}: {status}");
        assert!(said.contains(variable) && said.contains(&port.to_string()), "{variable}: {said}");
        assert_eq!(paymint.processes(), Vec::<String>::new(), "{variable}");
        assert!(!paymint.data().join("endpoints.json").exists(), "{variable}");
        drop(taken);
    }
    // What was in the way is gone, and so it starts.
    let (mut process, _) = paymint.start().await;
    stop(&paymint, &mut process, Signal::SIGTERM).await;
}

/// A stop in the middle of a start is a stop.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_while_it_starts_it_leaves_nothing_running() {
    let paymint = Paymint::new().await;
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut process = paymint.spawn();
        let servers = async || (paymint.processes().len() > 1).then_some(());
        eventually("its first server runs", servers).await;
        stop(&paymint, &mut process, signal).await;
    }
}

/// Also when the start itself hangs, on a chain that never answers.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_while_a_server_hangs_at_its_start_it_leaves_nothing_running() {
    let paymint = Paymint::new().await.with_a_chain_that_hangs();
    let mut process = paymint.spawn();
    let servers = async || (paymint.processes().len() > 3).then_some(());
    eventually("its servers run", servers).await;
    stop(&paymint, &mut process, Signal::SIGTERM).await;
}

/// The demo, as a stranger sees it: five steps in order, the balance from the chain, then the way back of a payment and a
/// refusal, and exit code 0.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_a_purchase_until_its_units_and_what_comes_of_two_payments_for_what_is_sold_out() {
    let paymint = Paymint::new().await;
    let mut process = paymint.demo();
    let status = process.ended().await;
    let said = process.said();
    assert!(status.success(), "{status}: {said}");
    let bought = ["payment.requested", "payment.submitted", "payment.confirmed", "mint.submitted", "mint.confirmed"];
    let shown = ["holds 10 DEMO", "around the token", "payment.requested", "payment.parked", "refund.requested"];
    let returned = ["refund.confirmed", "given it back", "422 sold_out", "nothing charged"];
    let mut rest = said.as_str();
    for step in [&bought[..], &shown, &returned].concat() {
        let Some((_, behind)) = rest.split_once(step) else { panic!("{step} does not follow: {said}") };
        rest = behind;
    }
    assert_eq!(paymint.processes(), Vec::<String>::new());
}

async fn stop(paymint: &Paymint, process: &mut Process, signal: Signal) -> ExitStatus {
    let begun = Instant::now();
    process.signal(signal);
    let status = process.ended().await;
    assert!(begun.elapsed() < STOP_BOUND, "{signal} took {:?}", begun.elapsed());
    assert!(status.code().is_some(), "{signal}: it ended with {status}: {}", process.said());
    assert_eq!(paymint.processes(), Vec::<String>::new(), "{signal} left something running");
    status
}

/// The id of a purchase with the demo key, once it is minted.
async fn buy(endpoints: &Value, quantity: u32) -> String {
    let url = format!("{}/api/mint/{}", text(endpoints, "api"), endpoints["tokens"][0].as_str().unwrap());
    let answer = harness::buy_with(harness::Client::V2, &url, text(endpoints, "demoKey"), quantity).await;
    let id = answer.id().to_string();
    let minted = async || Some(status(endpoints, &id).await).filter(|shown| shown["state"] == "minted");
    eventually("the units are minted", minted).await;
    id
}

async fn status(endpoints: &Value, id: &str) -> Value {
    let url = format!("{}/api/payment/{id}", text(endpoints, "api"));
    serde_json::from_str(&reqwest::get(url).await.unwrap().text().await.unwrap()).unwrap()
}

/// Units of the demo token that the demo key's owner holds, by the chain's word.
async fn units(endpoints: &Value) -> u64 {
    let token: Address = endpoints["tokens"][0].as_str().unwrap().parse().unwrap();
    let payer = Buyer::with_key(text(endpoints, "demoKey")).address;
    let balance = LocalChain::at(text(endpoints, "rpc")).tokens_of(token, payer).await;
    (balance / U256::from(10).pow(U256::from(18))).to()
}

fn text<'a>(endpoints: &'a Value, name: &str) -> &'a str {
    endpoints[name].as_str().unwrap_or_else(|| panic!("no {name}: {endpoints}"))
}
