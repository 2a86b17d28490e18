//! The words with which nodes refuse a signed transaction. Codes say nothing: each client uses them for something else.
//!
//! Beside each phrase stands a source where it was read: the client, the file and the version or commit. geth 1.17.5 is
//! go-ethereum 02b73d4ea7, reth 2.4.0 is 7b3432d950, besu 26.7.0 is 683880baa6, nitro 3.10.0 is 6dce8d139. op-geth has geth's
//! words.

/// The meaning of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The pool has it already.
    Known,
    /// The nonce is used.
    NonceTooLow,
    /// The offer is too low: below a floor, below the base fee, or no more than what it is to replace.
    Underpriced,
    /// Its gas at its fee costs more than the node allows.
    TooDear,
    /// The account cannot pay.
    Funds,
    /// The node cannot take it now: the pool is full, a nonce before it is missing, or the node is busy.
    Later,
    /// Nothing that a lane does by itself makes it acceptable. An operator must look.
    Impossible,
}

/// Phrases of one meaning.
struct Words {
    meaning: Meaning,
    /// In lower case, each with its source.
    phrases: &'static [(&'static str, &'static str)],
}

/// The meaning of a node's refusal, if its words are known.
pub(crate) fn meaning(message: &str) -> Option<Meaning> {
    let text = message.to_lowercase();
    let found = WORDS.iter().find(|words| words.phrases.iter().any(|(phrase, _)| text.contains(phrase)));
    found.map(|words| words.meaning)
}

/// In the order in which they are searched for. A phrase of an earlier row may hold one of a later row.
const WORDS: [Words; 7] = [
    Words {
        meaning: Meaning::TooDear,
        phrases: &[
            (
                "exceeds the configured cap",
                "geth 1.17.5 internal/ethapi/api.go; reth 2.4.0 validate/eth.rs; erigon 3.4",
            ),
            ("fee cap exceeded", "besu 26.7.0 RpcErrorType.java"),
        ],
    },
    Words {
        meaning: Meaning::Impossible,
        phrases: &[
            ("delegated accounts", "geth 1.17.5 core/txpool/errors.go; reth 2.4.0"),
            ("authority already reserved", "geth 1.17.5 legacypool.go; reth 2.4.0"),
            ("delegation", "nethermind 030cbd1bc4 AcceptTxResult.cs"),
            ("delegator", "nethermind 07870f1eb5 AcceptTxResult.cs"),
            ("exceeds block gas limit", "geth 1.17.5 core/txpool/errors.go; reth 2.4.0; besu 26.7.0"),
            ("gas limit too high", "geth 1.17.5 core/error.go; reth 2.4.0"),
            ("gas limit is too high", "erigon 3.4 txpoolcfg.go"),
            ("gaslimitexceeded", "nethermind 07870f1eb5 AcceptTxResult.cs"),
            ("gas limit cap", "besu 26.7.0 RpcErrorType.java"),
            ("max transaction gas limit", "reth 2.4.0 rpc-eth-types/src/error/mod.rs"),
            ("per-transaction gas limit", "op-geth 1ae742cec8 core/txpool/errors.go"),
            ("intrinsic gas", "geth 1.17.5 core/error.go; reth 2.4.0; besu 26.7.0; nitro 3.10.0"),
            ("floor data gas", "geth 1.17.5 core/error.go (EIP-7623)"),
            ("oversized data", "geth 1.17.5 core/txpool/errors.go; reth 2.4.0; erigon 3.4; nitro 3.10.0"),
            ("higher than max fee per gas", "geth 1.17.5 core/error.go"),
        ],
    },
    Words {
        meaning: Meaning::Known,
        phrases: &[
            ("already known", "geth 1.17.5 core/txpool/errors.go; reth 2.4.0; erigon 3.4; nethermind 030cbd1bc4"),
            ("alreadyknown", "nethermind 07870f1eb5 AcceptTxResult.cs"),
            ("already imported", "anvil 1.7.1 eth/error/mod.rs; reth 2.4.0 pool error"),
            ("known transaction", "besu 26.7.0 RpcErrorType.java"),
            ("existing txn with same hash", "erigon 3.4 txpoolcfg.go"),
            ("existing tx with same hash", "erigon 2.60 txpoolcfg.go"),
            ("already in mempool", "erpc 2f9eceff error_normalizer.go"),
        ],
    },
    Words {
        meaning: Meaning::NonceTooLow,
        phrases: &[
            (
                "nonce too low",
                "geth 1.17.5 core/error.go; reth 2.4.0; erigon 3.4; besu 26.7.0; nitro 3.10.0; anvil 1.7.1",
            ),
            ("nonce is too low", "hosted providers"),
            ("lower than the current nonce", "hosted providers"),
            ("oldnonce", "nethermind 07870f1eb5 AcceptTxResult.cs"),
            ("ownnoncealreadyused", "nethermind 07870f1eb5 AcceptTxResult.cs"),
            ("nonce has already been used", "erpc 2f9eceff error_normalizer.go"),
        ],
    },
    Words {
        meaning: Meaning::Underpriced,
        phrases: &[
            ("underpriced", "geth 1.17.5 core/txpool/errors.go; reth 2.4.0; erigon 3.4; besu 26.7.0; anvil 1.7.1"),
            ("below minimum", "geth 1.17.5 and bor 2.2.11 core/txpool/errors.go; reth 2.4.0"),
            ("less than block base fee", "geth 1.17.5 core/error.go; reth 2.4.0; nitro 3.10.0"),
            ("lower than the base fee", "erigon 3.4 send_transaction.go"),
            ("gas price below", "besu 26.7.0 RpcErrorType.java"),
            ("fee too low", "erigon 3.4 txpoolcfg.go"),
            ("feetoolow", "nethermind 07870f1eb5 AcceptTxResult.cs"),
            ("below chain minimum", "base 98a8db8de txpool builder/rpc.rs"),
            ("replacementnotallowed", "nethermind 07870f1eb5 AcceptTxResult.cs"),
            ("could not replace existing", "erigon 3.4 txpoolcfg.go"),
            ("price to replace existing", "reth 2.4.0 transaction-pool/src/error.rs"),
            ("tries to replace pending", "geth 1.17.5 legacypool.go"),
            ("replaced by transaction with higher tip", "erigon 3.4 txpoolcfg.go"),
            ("had higher priority", "erpc 2f9eceff error_normalizer.go (monad)"),
        ],
    },
    Words {
        meaning: Meaning::Funds,
        phrases: &[
            (
                "insufficient funds",
                "geth 1.17.5 core/error.go; reth 2.4.0; erigon 3.4; nethermind 030cbd1bc4; nitro 3.10.0",
            ),
            ("insufficientfunds", "nethermind 07870f1eb5 AcceptTxResult.cs"),
            ("insufficient balance", "hosted providers"),
            ("upfront cost exceeds", "besu 26.7.0 RpcErrorType.java"),
            ("overdraws from account", "base 98a8db8de txpool builder/rpc.rs"),
        ],
    },
    Words {
        meaning: Meaning::Later,
        phrases: &[
            ("pool is full", "geth 1.17.5 legacypool.go; reth 2.4.0; erigon 3.4 (\"sub-pool is full\")"),
            ("pool full", "nitro before 3, chainlink-evm 0569f34c09"),
            ("queue full", "nitro before 3, chainlink-evm 0569f34c09"),
            ("discarded outright", "base 98a8db8de txpool builder/rpc.rs"),
            ("account limit exceeded", "geth 1.17.5 core/txpool/errors.go"),
            ("spammer", "erigon 3.4 txpoolcfg.go: sixteen of an account"),
            ("nonce too high", "geth 1.17.5 core/error.go; reth 2.4.0; besu 26.7.0; nitro 3.10.0"),
            ("noncegap", "nethermind 07870f1eb5 AcceptTxResult.cs"),
            ("nonce too far", "nethermind 030cbd1bc4 AcceptTxResult.cs"),
            ("noncetoofar", "nethermind 07870f1eb5 AcceptTxResult.cs"),
            ("too distant from current sender nonce", "besu 26.7.0 RpcErrorType.java"),
            ("with a lower nonce exists", "besu 26.7.0 RpcErrorType.java"),
            ("temporarily not available", "nitro 3.10.0 sequencer.go"),
            ("not accepting transactions", "nitro 3.10.0 sequencer.go"),
            ("forwarding targets", "nitro 3.10.0 forwarder.go"),
            ("deadline exceeded", "nitro 3.10.0 sequencer.go"),
            ("sync", "nethermind 030cbd1bc4 AcceptTxResult.cs; besu 26.7.0 RpcErrorType.java"),
            ("over capacity", "proxyd 4.30.0 backend.go"),
            ("currently healthy", "proxyd 4.30.0 backend.go"),
            ("backend offline", "proxyd 4.30.0 backend.go"),
            ("timeout", "hosted providers"),
            ("timed out", "hosted providers"),
            ("too many requests", "hosted providers"),
            ("rate limit", "hosted providers"),
            ("try again", "jsonrpsee 0.26.0 types/src/error.rs"),
        ],
    },
];
