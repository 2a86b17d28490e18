//! The development chain, on an anvil as the demo starts it.

use crate::common::ACCOUNT;
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::SolCall;
use chain::abi::{MintToken, TokenFactory};
use dev_chain::{BASE_SEPOLIA_USDC, DevChain, NewToken};
use domain::Usdc;
use neighbours::{Anvil, AnvilOptions, Mining, Tools};
use serde_json::{Value, json};
use std::time::Duration;

/// In so many reads anvil 1.7.1 refuses a few.
const READS: usize = 200;

/// An anvil with the USDC double.
async fn start(block_time: Mining) -> (tempfile::TempDir, Anvil, DevChain) {
    let dir = tempfile::tempdir().unwrap();
    let options = AnvilOptions { data_dir: dir.path().into(), block_time, ..AnvilOptions::default() };
    let anvil = Anvil::start(&Tools::locate().unwrap(), options).await.unwrap();
    let dev = DevChain::connect(&anvil.rpc_url()).await.unwrap();
    dev.etch_usdc(BASE_SEPOLIA_USDC).await.unwrap();
    (dir, anvil, dev)
}

async fn word(dev: &DevChain, contract: Address, input: Vec<u8>) -> U256 {
    let call = json!([{ "to": contract, "input": Bytes::from(input) }, "latest"]);
    let answer: Bytes = dev.rpc().ask("eth_call", call).await.unwrap();
    U256::from_be_slice(&answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_while_a_block_is_mined_is_answered() {
    let (_dir, _anvil, dev) = start(Mining::Manual).await;
    let mine = || async {
        loop {
            let _: Value = dev.rpc().ask("evm_mine", ()).await.unwrap();
        }
    };
    let read = || async {
        for _ in 0..READS {
            dev.usdc_balance(BASE_SEPOLIA_USDC, ACCOUNT).await.unwrap();
        }
    };
    tokio::select! {
        () = mine() => {}
        () = mine() => {}
        _ = async { tokio::join!(read(), read(), read()) } => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_created_once_for_its_fee_and_has_the_terms_that_are_returned() {
    let (_dir, _anvil, dev) = start(Mining::Interval(Duration::from_millis(50))).await;
    let hub = dev.hub(ACCOUNT, 0).await.unwrap();
    let factory = dev.factory(ACCOUNT, 1, BASE_SEPOLIA_USDC, hub, ACCOUNT).await.unwrap();
    let new = NewToken {
        name: "Demo".to_owned(),
        symbol: "DEMO".to_owned(),
        unit: 10,
        max_units: 5,
        unit_price: Usdc(3),
        creator: Address::repeat_byte(7),
        fee: Usdc(11),
        metadata_hash: B256::repeat_byte(1),
        salt: B256::ZERO,
    };
    let create = async |new: &NewToken| dev.create_token(ACCOUNT, factory, BASE_SEPOLIA_USDC, new.clone()).await;
    let terms = create(&new).await.unwrap();
    assert_eq!(create(&new).await.unwrap(), terms, "it exists, and is found");
    let other = create(&NewToken { salt: B256::repeat_byte(2), ..new }).await.unwrap();
    assert_ne!(other.token, terms.token);
    assert!(other.block.number > terms.block.number);

    let treasury = dev.usdc_balance(BASE_SEPOLIA_USDC, ACCOUNT).await.unwrap();
    assert_eq!(treasury, U256::from(2 * terms.fee.0), "each token's fee, once");
    let account = |address: Address| U256::from_be_slice(address.as_slice());
    let of_token = async |input: Vec<u8>| word(&dev, terms.token, input).await;
    assert_eq!(of_token(MintToken::unitCall {}.abi_encode()).await, U256::from(terms.unit));
    assert_eq!(of_token(MintToken::maxUnitsCall {}.abi_encode()).await, U256::from(terms.max_units));
    assert_eq!(of_token(MintToken::priceCall {}.abi_encode()).await, U256::from(terms.unit_price.0));
    assert_eq!(of_token(MintToken::creatorCall {}.abi_encode()).await, account(terms.creator));
    assert_eq!(of_token(MintToken::factoryCall {}.abi_encode()).await, account(terms.factory));
    assert_eq!(of_token(MintToken::assetCall {}.abi_encode()).await, account(terms.asset));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_payments_are_stopped_and_taken_again_as_the_owner_says() {
    let (_dir, _anvil, dev) = start(Mining::Interval(Duration::from_millis(50))).await;
    let hub = dev.hub(ACCOUNT, 0).await.unwrap();
    let factory = dev.factory(ACCOUNT, 1, BASE_SEPOLIA_USDC, hub, ACCOUNT).await.unwrap();
    let is_stopped = async || word(&dev, factory, TokenFactory::settleStoppedCall {}.abi_encode()).await == U256::ONE;
    assert!(!is_stopped().await);
    dev.stop_settlement(ACCOUNT, factory).await.unwrap();
    assert!(is_stopped().await);
    dev.resume_settlement(ACCOUNT, factory).await.unwrap();
    assert!(!is_stopped().await);
}
