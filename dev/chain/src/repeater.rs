//! A contract that fills blocks, as anybody can: it repeats one call until its gas is used up.

use alloy::primitives::{Address, B256, Bytes, U256, address, bytes};
use alloy::sol_types::SolCall;
use chain::abi::{MintToken, UsdcDouble};

/// Call data of one payment in a `settle`.
const ITEM_BYTES: usize = 134;

/// The address at which tests put [`REPEATER_CODE`].
pub const REPEATER: Address = address!("00000000000000000000000000000000C0FFEE01");

/// Copies its input behind the first word into memory. While it has 100,000 gas, calls the address of the first word with that.
pub const REPEATER_CODE: Bytes =
    bytes!("6020360360206000375b5a620186a0116028576000600060203603600060006000355af1506009565b00");

/// The inputs with which the repeater makes transfers of nothing to `token`, and settlements of nothing. Each leaves a log, and
/// costs some thousand gas.
pub fn repeated_in_vain(asset: Address, token: Address) -> [Bytes; 2] {
    let transfer = UsdcDouble::transferCall { to: token, value: U256::ZERO };
    let items = vec![0; ITEM_BYTES].into();
    let settle = MintToken::settleCall { batchId: B256::ZERO, gasPerItem: U256::ZERO, items, signatures: Bytes::new() };
    [repeated(asset, &transfer.abi_encode()), repeated(token, &settle.abi_encode())]
}

fn repeated(target: Address, call: &[u8]) -> Bytes {
    [target.into_word().as_slice(), call].concat().into()
}
