//! Accounts that have code. USDC asks the code of such a payer if a signature is good, and the code may answer differently on
//! chain than in a simulation.

use crate::connect::Chain;
use crate::error::ChainError;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, Bytes, hex};
use alloy::rpc::types::TransactionRequest;
use std::collections::HashSet;

/// Number of accounts that one call asks about. Words of 32 bytes, they stay below the 49,152 bytes of EIP-3860.
const ACCOUNTS_MAX: usize = 1_000;

/// Creation code that returns a byte for each word behind it: 1 if the account of that word has code, else 0.
///
/// It keeps the number of the word, i, on the stack. Until CODESIZE is reached it copies word i (CODECOPY), takes the size of
/// the account's code (EXTCODESIZE), and stores the byte at 32 + i (MSTORE8). Then it returns i bytes from 32 on.
const SIZES: [u8; 41] = hex!(
    "5f 5b 80 6005 1b 6029 01 80 38 11 6013 57 50 6020 f3 5b 6020 90 5f 39 5f 51 3b 15 15 81 6020 01 53 6001 01 6001 56"
);

impl Chain {
    /// Those of `accounts` that have code after the latest block, in one call of one node for each 1,000.
    ///
    /// # Errors
    /// `Transient` or `Refused`: nothing is known.
    pub async fn with_code(&self, accounts: &[Address]) -> Result<HashSet<Address>, ChainError> {
        let mut with_code = HashSet::new();
        for accounts in accounts.chunks(ACCOUNTS_MAX) {
            let words = accounts.iter().flat_map(|account| account.into_word().0);
            let input: Vec<u8> = SIZES.into_iter().chain(words).collect();
            let request = TransactionRequest::default().with_deploy_code(input);
            let call = |node: crate::rpc::Node| {
                let request = request.clone();
                async move { node.call(&request).await }
            };
            let flags: Bytes = self.nodes.one("eth_call", call).await?;
            if flags.len() != accounts.len() {
                return Err(ChainError::transient("code", "the number of answers differs from the number of accounts"));
            }
            with_code.extend(accounts.iter().zip(&flags).filter(|(_, flag)| **flag != 0).map(|(account, _)| *account));
        }
        Ok(with_code)
    }
}
