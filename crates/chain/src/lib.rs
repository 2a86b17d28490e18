//! The chain: signing, broadcast, fees, receipts and logs. Each foreign answer is translated once into an enum of ours.
//!
//! Only this crate uses an RPC provider, and in it only the module `rpc`. It does not know the ledger, queues, or what
//! an order may do.
//! The client library's nonce filler and receipt watchers are not used: they leak nonces, hang and ignore reorgs.

pub mod abi;
mod account;
mod asset;
mod authorization;
mod broadcast;
mod code;
mod connect;
mod data_fee;
mod error;
mod evidence;
mod fees;
mod head;
mod keys;
mod receipt;
mod refusals;
mod rpc;
mod search;
mod sign;
mod standing;
pub mod token;
mod words;

pub use alloy::primitives::{Address, B256, Bytes, U256};
pub use asset::Asset;
pub use broadcast::{Broadcast, classify};
pub use connect::{Chain, ChainConfig};
pub use domain::lane::Fees;
pub use error::ChainError;
pub use evidence::Evidence;
pub use keys::KeySource;
pub use receipt::Inclusion;
pub use rpc::{Head, Included, Presence, RpcUrl};
pub use sign::{Call, Key};
pub use standing::{BILLS_MAX, BillStanding};
