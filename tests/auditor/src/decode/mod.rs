//! Reading what others wrote, by our own hand.

pub mod abi;
pub mod call;
pub mod event;
pub mod tx;
pub mod x402;
