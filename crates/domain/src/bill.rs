//! A sum that is to be charged.

use crate::{PaymentRequest, Usdc};
use alloy_primitives::{Address, B256};

/// The sum that an authorization would move, and its nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bill {
    /// The account that pays.
    pub payer: Address,
    /// The sum.
    pub value: Usdc,
    /// Nonce of the authorization.
    pub nonce: B256,
}

impl Bill {
    /// The bill of a payment.
    pub fn of(request: &PaymentRequest) -> Self {
        let authorization = &request.authorization;
        Self { payer: authorization.from, value: authorization.value, nonce: authorization.nonce }
    }
}
