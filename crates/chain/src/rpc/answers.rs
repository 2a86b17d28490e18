//! The answers of a node, reduced to the used parts.

use alloy::primitives::{Address, B256, U64, U128};
use alloy::rpc::types::Log;
use domain::BlockRef;
use serde::Deserialize;

/// The used part of a block header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Height and hash.
    pub block: BlockRef,
    /// Hash of the block before it.
    pub parent: B256,
    /// Unix seconds.
    pub time: u64,
    /// Wei per gas.
    pub base_fee_wei: u128,
}

/// Knowledge of the nodes about a transaction. `Unknown` decides nothing: another node may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Neither in a block nor in the pool.
    Unknown,
    /// In the pool.
    Pooled,
    /// In a block, which a reorg may still remove.
    Mined,
}

/// A transaction in a block. It counts once [`Chain::is_confirmed`] returns `true` for the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// The transaction.
    pub tx_hash: B256,
    /// The block.
    pub block: BlockRef,
    /// `false` if it reverted as a whole.
    pub succeeded: bool,
    /// Gas used.
    pub gas_used: u64,
    /// Wei per gas.
    pub gas_price_wei: u128,
    /// Its sender.
    pub from: Address,
    pub(crate) logs: Vec<Log>,
}

/// The used part of a receipt. The library's type knows Ethereum's types of transactions only. On a chain of the OP stack
/// anybody can send a deposit (0x7e) from the chain below, which may call the asset or a token.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receipt {
    pub transaction_hash: B256,
    block_hash: Option<B256>,
    block_number: Option<U64>,
    status: U64,
    gas_used: U64,
    /// Missing or zero for a transaction that pays no gas, such as a deposit.
    #[serde(default)]
    effective_gas_price: U128,
    from: Address,
    logs: Vec<Log>,
}

/// Converts a receipt. A receipt without a block is pending, whatever the node's answer is called.
pub(crate) fn included(receipt: Receipt) -> Option<Included> {
    let block = BlockRef { number: receipt.block_number?.to(), hash: receipt.block_hash? };
    Some(Included {
        tx_hash: receipt.transaction_hash,
        block,
        succeeded: receipt.status == U64::ONE,
        gas_used: receipt.gas_used.to(),
        gas_price_wei: receipt.effective_gas_price.to(),
        from: receipt.from,
        // Some nodes send the block's time with each log and others do not, so agreement ignores it.
        logs: receipt.logs.into_iter().map(|log| Log { block_timestamp: None, ..log }).collect(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy::primitives::{address, b256};

    /// The first transaction of Base's block 52,158,111, as `mainnet.base.org` told it in October 2026, without `logsBloom`.
    const DEPOSIT: &str = r#"{
        "blobGasUsed": "0x4154",
        "blockHash": "0x64d3010c7c0709e760500250dc4177f2479571a79fdcfc48eb73cda64c7332bd",
        "blockNumber": "0x31bde9f",
        "contractAddress": null,
        "cumulativeGasUsed": "0xb48a",
        "daFootprintGasScalar": "0x94",
        "depositNonce": "0x31bdea2",
        "depositReceiptVersion": "0x1",
        "effectiveGasPrice": "0x0",
        "from": "0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001",
        "gasUsed": "0xb48a",
        "l1BaseFeeScalar": "0x8dd",
        "l1BlobBaseFee": "0x8b9262",
        "l1BlobBaseFeeScalar": "0x101c12",
        "l1Fee": "0x0",
        "l1GasPrice": "0xbe3256b",
        "l1GasUsed": "0x71d",
        "logs": [],
        "status": "0x1",
        "to": "0x4200000000000000000000000000000000000015",
        "transactionHash": "0x233ace96f255608781596edfe1520000bd25b69b122cc101be3abb6689a85322",
        "transactionIndex": "0x0",
        "type": "0x7e"
    }"#;

    fn read(receipt: &str) -> Option<Included> {
        included(serde_json::from_str(receipt).unwrap())
    }

    #[test]
    fn a_receipt_of_a_deposit_of_the_op_stack_is_read() {
        let block = BlockRef {
            number: 52_158_111,
            hash: b256!("64d3010c7c0709e760500250dc4177f2479571a79fdcfc48eb73cda64c7332bd"),
        };
        let expected = Included {
            tx_hash: b256!("233ace96f255608781596edfe1520000bd25b69b122cc101be3abb6689a85322"),
            block,
            succeeded: true,
            gas_used: 46_218,
            gas_price_wei: 0,
            from: address!("deaddeaddeaddeaddeaddeaddeaddeaddead0001"),
            logs: Vec::new(),
        };
        assert_eq!(read(DEPOSIT), Some(expected.clone()));
        let without_a_price = DEPOSIT.replace("effectiveGasPrice", "aPrice");
        assert_eq!(read(&without_a_price), Some(expected.clone()));
        let failed = DEPOSIT.replace(r#""status": "0x1""#, r#""status": "0x0""#);
        assert_eq!(read(&failed), Some(Included { succeeded: false, ..expected }));
    }

    #[test]
    fn a_receipt_without_a_block_is_none_and_one_without_a_status_is_no_answer() {
        let hash = "\"0x64d3010c7c0709e760500250dc4177f2479571a79fdcfc48eb73cda64c7332bd\"";
        assert_eq!(read(&DEPOSIT.replace(hash, "null")), None);
        assert!(serde_json::from_str::<Receipt>(&DEPOSIT.replace("status", "root")).is_err());
    }
}
