//! The standing of many payers at the asset, in one call: whether each has the money, and whether the nonce is used.
//!
//! The call has no target: its data is a program, which the node runs and forgets. It asks the asset twice for each bill. So
//! many can wait for their funds, or for the end of their window, at the price of a few calls.

use crate::connect::Chain;
use crate::error::ChainError;
use crate::rpc::Node;
use alloy::eips::BlockId;
use alloy::primitives::{Address, Bytes};
use alloy::rpc::types::TransactionRequest;
use domain::{Bill, BlockRef};

/// Maximum number of bills in one call. The data of a call without a target is at most 49,152 bytes (EIP-3860), and its answer
/// at most 24,576 (EIP-170). Measured: 6,400 gas a bill, with an asset that is no proxy.
pub const BILLS_MAX: usize = 800;

/// The asset's word on a bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BillStanding {
    /// The payer has at least the value. The payer may have other bills.
    pub is_funded: bool,
    /// The nonce is used or cancelled.
    pub is_used: bool,
}

impl Chain {
    /// The standing of each bill after the latest block of one node; `None` where the asset gave no answer. It is a hint: it may
    /// be old, and the next block may change it.
    ///
    /// # Errors
    /// `Transient`, or `Refused` if the node runs no call without a target. Nothing is known.
    ///
    /// # Panics
    /// In debug builds, if there are more than [`BILLS_MAX`].
    pub async fn standings(&self, bills: &[Bill]) -> Result<Vec<Option<BillStanding>>, ChainError> {
        let request = self.standings_request(bills);
        let call = |node: Node| {
            let request = request.clone();
            async move { node.call(&request).await }
        };
        let answer = self.nodes.one("eth_call", call).await?;
        read(&answer, bills.len())
    }

    /// Like [`Chain::standings`], after `block`. Each of several providers answers by itself, and the answer on which two agree
    /// counts. A nonce that is unused after `block` was unused after each of its ancestors.
    ///
    /// # Errors
    /// As there. Also if a node does not have this block, or not in its chain.
    ///
    /// # Panics
    /// As there.
    pub async fn standings_after(
        &self,
        bills: &[Bill],
        block: BlockRef,
    ) -> Result<Vec<Option<BillStanding>>, ChainError> {
        let request = self.standings_request(bills);
        let ask = |node: Node| {
            let request = request.clone();
            async move {
                let answer = node.call_after(&request, BlockId::hash_canonical(block.hash)).await?;
                read(&answer, bills.len()).map(Some)
            }
        };
        let agreed = self.nodes.agreed("eth_call", ask).await?;
        agreed.ok_or_else(|| ChainError::transient("standings", "no answer"))
    }

    fn standings_request(&self, bills: &[Bill]) -> TransactionRequest {
        debug_assert!(bills.len() <= BILLS_MAX, "more than one call is meant for");
        TransactionRequest::default().input(data(self.config.asset.address, bills).into())
    }
}

/// First byte of the bills: the program and the address of the asset stand before them.
const BILLS_AT: u8 = PROGRAM_LEN + 20;
const PROGRAM_LEN: u8 = 157;
/// Positions of the two jump targets.
const LOOP: u8 = 31;
const END: u8 = 146;

/// Memory: 0x00 an answer; 0x3c `balanceOf` and its payer; 0x60 the value; 0xbc `authorizationState`, its payer and its nonce;
/// 0x100 the result, which is one zero byte (EIP-3541 forbids another one) and a byte for each bill: 1 funded, 2 used,
/// 4 both are known.
#[rustfmt::skip]
const PROGRAM: [u8; PROGRAM_LEN as usize] = [
    0x60, 20, 0x60, PROGRAM_LEN, 0x60, 12, 0x39,                           // the asset, out of the code
    0x60, 0, 0x51,                                                         // [asset]
    0x63, 0x70, 0xa0, 0x82, 0x31, 0x60, 0x20, 0x52,                        // the selector of balanceOf
    0x63, 0xe9, 0x4a, 0x01, 0x02, 0x60, 0xa0, 0x52,                        // the selector of authorizationState
    0x61, 0x01, 0x01, 0x60, BILLS_AT,                                      // [asset, out, bill]
    0x5b, 0x38, 0x81, 0x10, 0x15, 0x60, END, 0x57,                         // loop: while the bill is in the code
    0x60, 20, 0x81, 0x60, 0x4c, 0x39, 0x60, 20, 0x81, 0x60, 0xcc, 0x39,    // its payer, twice
    0x60, 8, 0x81, 0x60, 20, 0x01, 0x60, 0x78, 0x39,                       // its value
    0x60, 32, 0x81, 0x60, 28, 0x01, 0x60, 0xe0, 0x39,                      // its nonce
    0x60, 32, 0x60, 0, 0x60, 0x24, 0x60, 0x3c, 0x86, 0x5a, 0xfa,           // balanceOf, a static call with all gas
    0x60, 31, 0x3d, 0x11, 0x16,                                            // [.., known]: it returned a word
    0x60, 0x60, 0x51, 0x60, 0, 0x51, 0x10, 0x15, 0x81, 0x16,               // [.., known, funded]
    0x60, 32, 0x60, 0, 0x60, 0x44, 0x60, 0xbc, 0x88, 0x5a, 0xfa,           // authorizationState
    0x60, 31, 0x3d, 0x11, 0x16,                                            // [.., known, funded, known too]
    0x60, 0, 0x51, 0x15, 0x15, 0x81, 0x16,                                 // [.., used]
    0x60, 2, 0x02, 0x83, 0x82, 0x16, 0x60, 4, 0x02, 0x17,                  // 2 x used, and 4 if both are known
    0x90, 0x50, 0x17, 0x90, 0x50,                                          // [asset, out, bill, flags]
    0x82, 0x53,                                                            // into the result
    0x60, 60, 0x01, 0x90, 0x60, 1, 0x01, 0x90, 0x60, LOOP, 0x56,           // the next bill
    0x5b, 0x50, 0x61, 0x01, 0x00, 0x90, 0x03, 0x61, 0x01, 0x00, 0xf3,      // end: return the result
];

/// The program, the asset, and for each bill the payer 20, value 8, nonce 32.
fn data(asset: Address, bills: &[Bill]) -> Bytes {
    let mut data = Vec::with_capacity(usize::from(BILLS_AT) + 60 * bills.len());
    data.extend_from_slice(&PROGRAM);
    data.extend_from_slice(asset.as_slice());
    for bill in bills {
        data.extend_from_slice(bill.payer.as_slice());
        data.extend_from_slice(&bill.value.0.to_be_bytes());
        data.extend_from_slice(bill.nonce.as_slice());
    }
    data.into()
}

fn read(answer: &[u8], bills: usize) -> Result<Vec<Option<BillStanding>>, ChainError> {
    match answer {
        [0, flags @ ..] if flags.len() == bills && flags.iter().all(|flags| *flags < 8) => Ok(flags
            .iter()
            .map(|flags| {
                (flags & 4 != 0).then_some(BillStanding { is_funded: flags & 1 != 0, is_used: flags & 2 != 0 })
            })
            .collect()),
        _ => Err(ChainError::transient("standings", format!("{} bytes for {bills} bills", answer.len()))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy::primitives::B256;
    use domain::Usdc;

    #[test]
    fn the_program_jumps_to_its_targets_and_the_largest_call_has_the_allowed_size() {
        const JUMPDEST: u8 = 0x5b;
        assert_eq!([LOOP, END].map(|target| PROGRAM[usize::from(target)]), [JUMPDEST; 2]);
        let bill = Bill { payer: Address::ZERO, value: Usdc(1), nonce: B256::ZERO };
        assert!(data(Address::ZERO, &[bill; BILLS_MAX]).len() <= 49_152, "EIP-3860");
        const { assert!(BILLS_MAX < 24_576, "EIP-170") };
    }

    #[test]
    fn an_answer_of_another_shape_is_no_answer() {
        let known = |is_funded, is_used| Some(BillStanding { is_funded, is_used });
        assert_eq!(
            read(&[0, 4, 5, 6, 7, 3], 5).unwrap(),
            [known(false, false), known(true, false), known(false, true), known(true, true), None]
        );
        for (answer, bills) in [(&[][..], 0), (&[1, 4], 1), (&[0, 4], 2), (&[0, 4], 0), (&[0, 8], 1)] {
            assert!(read(answer, bills).is_err(), "{answer:?}");
        }
    }
}
