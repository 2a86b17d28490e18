//! The development chain, on an anvil as the demo starts it.

use dev_chain::{BASE_SEPOLIA_USDC, DevChain};
use neighbours::{Anvil, AnvilOptions, Mining, Tools};
use serde_json::Value;

/// In so many reads anvil 1.7.1 refuses a few.
const READS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_read_while_a_block_is_mined_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let options = AnvilOptions { data_dir: dir.path().into(), block_time: Mining::Manual, ..AnvilOptions::default() };
    let anvil = Anvil::start(&Tools::locate().unwrap(), options).await.unwrap();
    let dev = DevChain::connect(&anvil.rpc_url()).await.unwrap();
    dev.etch_usdc(BASE_SEPOLIA_USDC).await.unwrap();
    let mine = || async {
        loop {
            let _: Value = dev.rpc().ask("evm_mine", ()).await.unwrap();
        }
    };
    let read = || async {
        for _ in 0..READS {
            dev.usdc_balance(BASE_SEPOLIA_USDC, super::common::ACCOUNT).await.unwrap();
        }
    };
    tokio::select! {
        () = mine() => {}
        () = mine() => {}
        _ = async { tokio::join!(read(), read(), read()) } => {}
    }
}
