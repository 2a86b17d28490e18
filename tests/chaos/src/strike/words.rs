//! Words of nodes for a transaction that they do not take, and for a state that they do not have. Sources: the tables of
//! `crates/chain`.

/// A JSON-RPC error: its code and its message.
pub type Refusal = (i64, &'static str);

/// Refusals of transactions, a list for each client: too cheap, known, used, no money, too dear, full.
pub const SENDS: [&[Refusal]; 7] = [
    // geth
    &[
        (-32_000, "replacement transaction underpriced"),
        (-32_000, "transaction underpriced"),
        (-32_000, "already known"),
        (-32_000, "nonce too low: next nonce 1000000, tx nonce 0"),
        (-32_000, "insufficient funds for gas * price + value: balance 0, tx cost 1, overshot 1"),
        (-32_000, "tx fee (1.30 ether) exceeds the configured cap (1.00 ether)"),
        (-32_000, "txpool is full"),
    ],
    // bor
    &[
        (-32_000, "transaction gas price below minimum: gas tip cap 1, minimum needed 25000000000"),
        (-32_000, "already known"),
        (-32_000, "tx fee (2.00 ether) exceeds the configured cap (1.00 ether)"),
        (-32_000, "txpool is full"),
    ],
    // reth
    &[
        (-32_003, "transaction priority fee below minimum required priority fee 7"),
        (-32_003, "max fee per gas less than block base fee"),
        (-32_000, "nonce too low: next nonce 1000000, tx nonce 0"),
        (-32_003, "insufficient funds for gas * price + value: have 0 want 1"),
        (-32_000, "tx fee (1300000000000000000 wei) exceeds the configured cap (1000000000000000000 wei)"),
        (-32_003, "txpool is full"),
        (-32_009, "Server is busy, try again later"),
    ],
    // erigon
    &[
        (-32_000, "FEE_TOO_LOW: fee too low"),
        (-32_000, "INTERNAL_ERROR: could not replace existing tx"),
        (-32_000, "ALREADY_EXISTS: already known"),
        (-32_000, "INTERNAL_ERROR: nonce too low"),
        (-32_000, "INTERNAL_ERROR: insufficient funds"),
        (-32_000, "INTERNAL_ERROR: pending sub-pool is full"),
    ],
    // nethermind
    &[
        (-32_010, "FeeTooLow, EffectivePriorityFeePerGas too low 1 < 2, BaseFee: 1"),
        (-32_010, "ReplacementNotAllowed"),
        (-32_010, "AlreadyKnown"),
        (-32_010, "OldNonce, Current nonce: 5, nonce of rejected tx: 4"),
        (-32_010, "InsufficientFunds, Account balance: 0, cumulative cost: 1"),
        (-32_010, "Syncing"),
    ],
    // besu
    &[
        (-32_009, "Gas price below configured minimum gas price"),
        (-32_000, "Known transaction"),
        (-32_001, "Nonce too low"),
        (-32_004, "Upfront cost exceeds account balance"),
        (-32_000, "Transaction fee cap exceeded"),
        (-32_006, "Nonce too high"),
    ],
    // nitro
    &[
        (-32_000, "max fee per gas less than block base fee: address 0x00, maxFeePerGas: 1, baseFee: 7"),
        (-32_000, "nonce too low: address 0x00, tx: 1 state: 2"),
        (-32_000, "insufficient funds for gas * price + value: address 0x00 have 0 want 1"),
        (-32_000, "sequencer pending tx pool full, please try again"),
        (-32_000, "sequencer temporarily not available"),
    ],
];

/// Refusals of calls, which are no word of a contract.
pub const CALLS: [Refusal; 2] =
    [(-32_000, "header not found"), (-32_000, "missing trie node 00 (path ) state 0x00 is not available")];

/// Methods that need a state.
pub const OF_STATE: [&str; 3] = ["eth_call", "eth_getBalance", "eth_getTransactionCount"];
