//! Money outside the ordinary way: refunds, and payments around the token that are credited or given back. Our own lane
//! may do it, or another operator.

use super::{MintToken, PRICE, Pay, TOKEN, World, log};
use crate::evidence::chain::Log;
use crate::evidence::tokens::RecordState;
use alloy::sol_types::SolCall;
use alloy_primitives::{Address, B256, U256};

/// Call data that refunds this payment.
pub fn refund_input(pay: &Pay) -> Vec<u8> {
    MintToken::refundCall { keys: vec![pay.key()] }.abi_encode()
}

/// Call data that credits this payment with so many units.
pub fn credit_input(pay: &Pay, units: u64) -> Vec<u8> {
    let (payer, nonce, change) = (pay.payer, pay.nonce, u128::from(pay.value - units * PRICE));
    let credit = MintToken::Credit { payer, nonce, units: units.try_into().unwrap(), change };
    MintToken::creditCall { credits: vec![credit] }.abi_encode()
}

/// Call data that gives this payment back.
pub fn give_back_input(pay: &Pay) -> Vec<u8> {
    let back = MintToken::GiveBack { payer: pay.payer, nonce: pay.nonce, amount: pay.value.into() };
    MintToken::giveBackCall { returns_: vec![back] }.abi_encode()
}

impl World {
    /// Calls the token in vain: what the call is to do was done before.
    pub fn find(&mut self, from: Address, input: Vec<u8>) -> B256 {
        self.tx(from, TOKEN, input, Vec::new())
    }

    /// Refunds what is open. With `to` nobody, no money moves.
    pub fn refund(&mut self, from: Address, pay: &Pay, to: Option<Address>) -> B256 {
        self.record(pay).state = RecordState::Refunded;
        let units = pay.units();
        self.token().open = self.token().open.saturating_sub(units);
        let refunded = MintToken::Refunded { key: pay.key(), payer: pay.payer, amount: units * U256::from(PRICE) };
        let mut logs: Vec<Log> = to.map(|to| self.transfer(TOKEN, to, pay.value)).into_iter().collect();
        logs.push(log(TOKEN, &refunded));
        self.tx(from, TOKEN, refund_input(pay), logs)
    }

    /// Records what went around, as so many units; the rest goes back.
    pub fn credit(&mut self, from: Address, pay: &Pay, units: u64) -> B256 {
        let change = pay.value - units * PRICE;
        self.write(pay, U256::from(units), RecordState::Open);
        self.take_surplus(pay.value);
        let (key, payer) = (pay.key(), pay.payer);
        let credited = MintToken::Credited { key, payer, units: U256::from(units), change: U256::from(change) };
        let mut logs = Vec::new();
        if change != 0 {
            logs.push(self.transfer(TOKEN, payer, change));
        }
        logs.push(log(TOKEN, &credited));
        self.tx(from, TOKEN, credit_input(pay, units), logs)
    }

    /// Returns what went around. With `to` nobody, no money moves.
    pub fn give_back(&mut self, from: Address, pay: &Pay, to: Option<Address>) -> B256 {
        self.write(pay, U256::ZERO, RecordState::GivenBack);
        self.take_surplus(pay.value);
        let given = MintToken::GivenBack { key: pay.key(), payer: pay.payer, amount: U256::from(pay.value) };
        let mut logs: Vec<Log> = to.map(|to| self.transfer(TOKEN, to, pay.value)).into_iter().collect();
        logs.push(log(TOKEN, &given));
        self.tx(from, TOKEN, give_back_input(pay), logs)
    }

    fn take_surplus(&mut self, value: u64) {
        let token = self.token();
        token.surplus = token.surplus.saturating_sub(U256::from(value));
    }
}
