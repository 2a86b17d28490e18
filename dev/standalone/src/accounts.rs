//! The well-known accounts of the development mnemonic (`test test test … junk`). Worth nothing anywhere but here.

use alloy_primitives::{Address, address};

/// Deploys the contracts, has every seat of the factory but the operator's, creates the demo token and earns from it.
pub const OWNER: Address = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");

/// Lanes of payment-sender.
pub const SENDER_KEYS: [&str; 2] = [
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
];

/// Lanes of mint-projector.
pub const MINTER_KEYS: [&str; 2] = [
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
];

/// Addresses of [`MINTER_KEYS`]. They need no role, because anybody may mint what is paid for.
pub const MINTERS: [Address; 2] =
    [address!("90F79bf6EB2c4f870365E785982E1f101E93b906"), address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65")];

/// The lane of operator.
pub const OPERATOR_KEYS: [&str; 1] = ["0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e"];

/// Addresses of [`OPERATOR_KEYS`]. The factory of the development chain is deployed with the first as its operator.
pub const OPERATORS: [Address; 1] = [address!("976EA74026E726554dB657fA54763abd0C3a0aa9")];

/// The demo's payer.
pub const PAYER_KEY: &str = "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba";

/// Address of [`PAYER_KEY`].
pub const PAYER: Address = address!("9965507D1a55bcC2695C58ba16FB37d819B0A4dc");

/// The payer in the demo whose signature somebody submits around the token. Anvil signs for it.
pub const PUSHED: Address = address!("14dC79964da2C08b23698B3D3cc7Ca32193d9955");

/// Somebody in the demo who uses the contracts without the shop. Anvil signs for it.
pub const STRANGER: Address = address!("23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f");
