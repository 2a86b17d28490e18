//! A contract that fills blocks, as anybody can: it repeats one call until its gas is used up.

use alloy::primitives::{Address, Bytes, address, bytes};

/// The address at which tests put [`REPEATER_CODE`].
pub const REPEATER: Address = address!("00000000000000000000000000000000C0FFEE01");

/// Copies its input behind the first word into memory. While it has 100,000 gas, calls the address of the first word with that.
pub const REPEATER_CODE: Bytes =
    bytes!("6020360360206000375b5a620186a0116028576000600060203603600060006000355af1506009565b00");

/// The input with which the repeater repeats `call` to `target`.
pub fn repeated(target: Address, call: &[u8]) -> Bytes {
    [target.into_word().as_slice(), call].concat().into()
}
