//! Blows against the chain itself.

use super::until;
use crate::blow::ChainFault;
use crate::house::{CONFIRMATIONS, House};
use crate::plan::Step;
use alloy::sol_types::SolCall;
use alloy_primitives::{Address, Bytes, hex};
use chain::abi::UsdcDouble;
use harness::journal::relayers;
use serde_json::{Value, json};
use standalone::accounts::OWNER;
use std::time::Duration;

/// A base fee that nothing of ours in the pool offers, 120 gwei; a replacement may (200).
const SPIKE: &str = "0x1bf08eb000";

/// One gwei.
const CALM: &str = "0x3b9aca00";

/// Time in which a transaction that fell out of the chain returns, if ever.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// Two blocks, so that what USDC says of itself is what the new chain makes of it.
const SETTLES: Duration = Duration::from_secs(2);

pub async fn strike(house: &House, step: &Step, fault: ChainFault) -> u64 {
    match fault {
        ChainFault::F38Reorg => reorganise(house, step, 1 + step.roll(CONFIRMATIONS - 1)).await,
        // Finality is 16 blocks away, and what is final is never taken back.
        ChainFault::F40DeepReorg => reorganise(house, step, CONFIRMATIONS + 1 + step.roll(6)).await,
        ChainFault::F42FeeSpike => {
            spike(house).await;
            tokio::time::sleep(step.lasts).await;
            1
        }
        ChainFault::F44StolenKey => {
            let lane = any_lane(step);
            let foreign = json!([{ "from": lane, "to": Address::repeat_byte(0x77), "gas": "0x5208" }]);
            let sent = until(async || house.ask("eth_sendTransaction", foreign.clone()).await.is_ok()).await;
            u64::from(sent)
        }
        ChainFault::F46Halt => {
            halt(house, true).await;
            tokio::time::sleep(step.lasts).await;
            halt(house, false).await;
            1
        }
        ChainFault::F47TimeJump => {
            let seconds = 30 + step.roll(60);
            let jumped = house.ask("evm_increaseTime", json!([seconds])).await.is_ok();
            u64::from(jumped && house.ask("evm_mine", json!([])).await.is_ok())
        }
        ChainFault::F48NoGasMoney => {
            let lane = any_lane(step);
            // Halted while it changes, so that no gas is paid in between and the books stay exact.
            halt(house, true).await;
            let before = house.ask("eth_getBalance", json!([lane, "latest"])).await.unwrap();
            house.ask("anvil_setBalance", json!([lane, "0x0"])).await.unwrap();
            halt(house, false).await;
            tokio::time::sleep(step.lasts).await;
            halt(house, true).await;
            house.ask("anvil_setBalance", json!([lane, before])).await.unwrap();
            halt(house, false).await;
            1
        }
        ChainFault::F50Paused => {
            set_paused(house, true).await;
            tokio::time::sleep(step.lasts).await;
            unpause(house).await;
            1
        }
    }
}

/// The account of one of our lanes.
fn any_lane(step: &Step) -> Address {
    let all = relayers();
    let nth = step.roll(all.len().try_into().unwrap());
    all[usize::try_from(nth).unwrap()]
}

/// The next block's base fee jumps.
pub async fn spike(house: &House) {
    let _ = house.ask("anvil_setNextBlockBaseFeePerGas", json!([SPIKE])).await;
}

/// The next block's base fee is low: it takes a minute to come down by itself.
pub async fn calm(house: &House) {
    let _ = house.ask("anvil_setNextBlockBaseFeePerGas", json!([CALM])).await;
}

/// Blocks vanish; what was in them is in the pool again, as real nodes do it.
async fn reorganise(house: &House, step: &Step, depth: u64) -> u64 {
    house.reorganises(BACK_WITHIN);
    // While blocks come by interval anvil can lose the state of one that stays (1.7.1).
    halt(house, true).await;
    let done = house.nodes[usize::try_from(step.roll(2)).unwrap()].reorg(depth).await;
    halt(house, false).await;
    // What the owner of USDC did in those blocks did not go through the proxy, and is gone.
    tokio::time::sleep(SETTLES).await;
    unpause(house).await;
    match done {
        Ok(_) => depth,
        Err(why) => {
            println!("          no reorganisation: {why}");
            0
        }
    }
}

async fn halt(house: &House, halted: bool) {
    house.ask("evm_setIntervalMining", json!([u64::from(!halted)])).await.unwrap();
}

/// USDC works again, whatever became of the transaction that said so.
pub async fn unpause(house: &House) {
    set_paused(house, false).await;
}

async fn set_paused(house: &House, paused: bool) {
    let input: Bytes = match paused {
        true => UsdcDouble::pauseCall {}.abi_encode().into(),
        false => UsdcDouble::unpauseCall {}.abi_encode().into(),
    };
    let asset = house.token.asset;
    let question = json!([{ "to": asset, "input": Bytes::from(UsdcDouble::pausedCall {}.abi_encode()) }, "latest"]);
    let order = json!([{ "from": OWNER, "to": asset, "input": input, "gas": "0xf4240" }]);
    let mut looks = 0_u32;
    until(async || {
        let now = house.ask("eth_call", question.clone()).await;
        let is_paused = |answer: &Value| answer.as_str().and_then(|text| hex::decode(text).ok())?.last().copied();
        if now.as_ref().ok().and_then(is_paused) == Some(u8::from(paused)) {
            return true;
        }
        if looks.is_multiple_of(60) {
            let _ = house.ask("eth_sendTransaction", order.clone()).await;
        }
        looks += 1;
        false
    })
    .await;
}
