//! Refusals of a node, told apart by their words. A code alone says little: -32005 is a quota at one provider, and a range
//! of blocks or a size at another, and providers change codes without notice.
//!
//! Each phrase names its source: the client's file, or a file that collects the answers of providers, with its version.
//! *ponder* is `ponder-sh/ponder: packages/utils/src/getLogsRetryHelper.ts` (00dce051), *erpc* is
//! `erpc/erpc: architecture/evm/error_normalizer.go` (6b74731a). Both were read in November 2026.

use alloy::primitives::Bytes;

/// The kind of a JSON-RPC error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalKind {
    /// A call was executed and failed: the contract's own verdict.
    FailedCall,
    /// A search covers more blocks than the node searches in one request. A shorter one is answered.
    Range,
    /// A search finds more than the node answers, or takes it too long. It says nothing about other blocks.
    Size,
    /// The caller asks more often, or for more, than the provider allows now.
    Quota,
    /// Anything else: nothing is known.
    Other,
}

use RefusalKind::{FailedCall, Other, Quota, Range, Size};

/// Code for a call that was executed and failed. Source: geth `internal/ethapi/errors.go`, which the other clients follow.
/// Nethermind's -32015 is none: proxies give it for a timeout.
const FAILED_CALL: i64 = 3;

/// Phrases in lower case. The first that occurs in a message decides, so phrases about a search stand before those about a
/// quota, which are less specific.
const PHRASES: [(&str, RefusalKind); 63] = [
    // geth core/vm/errors.go (1.16): "execution reverted", and the failures of the machine.
    // besu RpcErrorType.java (06af6b57): "Execution reverted". reth rpc-eth-types error/mod.rs (4106803d).
    ("revert", FailedCall),
    ("out of gas", FailedCall),
    ("invalid opcode", FailedCall),
    ("invalid jump", FailedCall),
    ("stack underflow", FailedCall),
    ("stack limit", FailedCall),
    ("write protection", FailedCall),
    ("max call depth exceeded", FailedCall),
    ("return data out of bounds", FailedCall),
    ("gas uint64 overflow", FailedCall),
    // reth rpc-eth-types error/mod.rs.
    ("out of memory", FailedCall),
    // anvil 1.7.1 and reth: "EVM error: …".
    ("evm error", FailedCall),
    // Nethermind EthRpcModule.TransactionExecutor.cs (83472d37), with the machine's own word as data. Since 0228c7c4 the
    // message is that word (Nethermind.Evm, EvmExceptionType).
    ("vm execution error", FailedCall),
    ("outofgas", FailedCall),
    ("stackunderflow", FailedCall),
    ("stackoverflow", FailedCall),
    ("badinstruction", FailedCall),
    ("jumpdestination", FailedCall),
    ("accessviolation", FailedCall),
    ("staticcallviolation", FailedCall),
    // besu RpcErrorType.java: EXECUTION_HALTED.
    ("transaction processing could not be completed due to an exception", FailedCall),
    // reth crates/rpc/rpc/src/eth/filter.rs: QueryExceedsMaxBlocks. Hyperliquid (ponder).
    ("max block range", Range),
    // geth eth/filters/filter.go (1.17), publicnode and BSC: "exceed maximum block range 50000".
    ("maximum block range", Range),
    // besu RpcErrorType.java: EXCEEDS_RPC_MAX_BLOCK_RANGE, -32005.
    ("maximum rpc range limit", Range),
    // Alchemy: "this block range should work: […]"; Infura and zkSync: "Try with this block range […]" (ponder, erpc).
    ("block range should work", Range),
    ("try with this block range", Range),
    // Ankr and Moonbeam (ponder).
    ("block range is too wide", Range),
    ("blocks distance", Range),
    // Base: "block range too large"; Optimism: "Block range is too large"; Merkle: "eth_getLogs range is too large" (ponder).
    ("range too large", Range),
    ("range is too large", Range),
    // Chainstack (ponder).
    ("block range limit exceeded", Range),
    // QuickNode (-32614), 1RPC, Blast: "eth_getLogs is limited to a 10,000 range" (ponder, erpc).
    ("eth_getlogs is limited", Range),
    // Alchemy's free tier, Aurora: "up to a 10 block range" (ponder).
    ("eth_getlogs requests with up to a", Range),
    // dRPC, code 35: "ranges over 10000 blocks are not supported on freetier".
    ("ranges over", Range),
    // Coinbase: "please limit the query to at most 1000 blocks" (ponder).
    ("limit the query to", Range),
    // Blast: "exceeds the range allowed for your plan" (ponder, erpc).
    ("exceeds the range", Range),
    // Optimism's proxyd backend.go (c367a36), which serves Base. Somnia, Avalanche, Cloudflare, thirdweb (ponder).
    ("block range greater than", Range),
    ("block range exceeds", Range),
    ("requested too many blocks", Range),
    ("max range", Range),
    ("maximum allowed number of requested blocks", Range),
    // erigon rpc/jsonrpc/eth_receipts.go (003a9880).
    ("range exceeds server limit", Range),
    // Infura's documentation of eth_getLogs: -32005, since August 2026 also -32602 and -32600.
    ("query returned more than", Size),
    ("query timeout exceeded", Size),
    // reth filter.rs: QueryExceedsMaxResults. LlamaRPC (ponder).
    ("max results", Size),
    // Alchemy: "Log response size exceeded" (Alchemy's documentation of eth_getLogs).
    ("response size exceeded", Size),
    // 1RPC (ponder).
    ("response size should not", Size),
    // Optimism's proxyd: "backend response too large" (ponder). jsonrpsee, so reth: "Response is too big".
    ("response too large", Size),
    ("response is too big", Size),
    // nitro (ponder).
    ("logs matched by query exceeds limit", Size),
    // Nethermind EthRpcModule.cs, -32005: "Too many logs requested". erigon: "query returns too many logs".
    ("too many logs", Size),
    // Infura since August 2026, -32602: "range 1000000 exceeds limit of 10000" (INFURA/infura, issue 237).
    ("exceeds limit of", Range),
    // Infura, -32005: "daily request count exceeded, request rate limited", "project ID request rate exceeded".
    ("request count exceeded", Quota),
    ("request rate", Quota),
    // Alchemy, code 429 or -32000: "exceeded its compute units per second capacity".
    ("compute units per second", Quota),
    // Alchemy, -32600: "Monthly capacity limit exceeded." proxyd: "backend is over capacity".
    ("capacity limit", Quota),
    ("over capacity", Quota),
    // QuickNode, -32007 and -32012: "100/second request limit reached", "credits limited to 6000/sec".
    ("request limit reached", Quota),
    ("credits limited", Quota),
    // erpc.
    ("too many requests", Quota),
    ("rate limit", Quota),
    ("exceeded the quota", Quota),
    // BSC's public node, -32005, for a range that is too wide (ponder).
    ("limit exceeded", Range),
];

/// Shortest revert data: the selector of an error.
const SELECTOR_BYTES: usize = 4;

/// The kind of an error with this code and message. `data`: revert data, if there is any.
pub(crate) fn refusal_kind(code: i64, message: &str, data: Option<&Bytes>) -> RefusalKind {
    if code == FAILED_CALL || data.is_some_and(|data| data.len() >= SELECTOR_BYTES) {
        return FailedCall;
    }
    let text = message.to_lowercase();
    PHRASES.iter().find(|(phrase, _)| text.contains(phrase)).map_or(Other, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers as nodes and providers give them.
    #[test]
    fn a_failed_call_a_range_a_size_and_a_quota_are_told_apart_whatever_the_code_is() {
        let selector = &Bytes::from_static(&[0x08, 0xc3, 0x79, 0xa0]);
        let cases: [(i64, &str, Option<&Bytes>, RefusalKind); 46] = [
            (3, "execution reverted: FiatTokenV2: invalid signature", Some(selector), FailedCall),
            (3, "", None, FailedCall),
            (-32000, "Execution reverted", None, FailedCall),
            (-32000, "out of gas", None, FailedCall),
            (-32000, "Transaction processing could not be completed due to an exception", None, FailedCall),
            (-32015, "VM execution error.", None, FailedCall),
            (-32000, "an own wording of a node", Some(selector), FailedCall),
            (-32603, "EVM error: InvalidFEOpcode", None, FailedCall),
            (-32000, "OutOfGas", None, FailedCall),
            (-32000, "InvalidJumpDestination", None, FailedCall),
            (-32602, "range 1000000 exceeds limit of 10000", None, Range),
            (-32602, "query block range exceeds server limit, narrow your filter: 1000", None, Range),
            (-32602, "block range greater than 10000 max", None, Range),
            (-32005, "limit exceeded", None, Range),
            (-32000, "logs matched by query exceeds limit of 10000", None, Size),
            (-32005, "Too many logs requested. Max logs per response is 20000.", None, Size),
            (-32600, "Monthly capacity limit exceeded.", None, Quota),
            (-31999, "rate limit exceeded", None, Quota),
            (-32015, "gateway timeout", None, Other),
            (-32602, "block range extends beyond current head block", None, Other),
            (-32602, "query exceeds max block range 100000", None, Range),
            (-32701, "exceed maximum block range: 50000", None, Range),
            (-32005, "Requested range exceeds maximum RPC range limit", None, Range),
            (
                -32600,
                "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. Based on your \
                 parameters, this block range should work: [0x1, 0xa].",
                None,
                Range,
            ),
            (-32614, "eth_getLogs is limited to a 10,000 range", None, Range),
            (35, "ranges over 10000 blocks are not supported on freetier", None, Range),
            (-32600, "block range is too wide", None, Range),
            (-32005, "please limit the query to at most 1000 blocks", None, Range),
            (-32000, "Block range limit exceeded. See more details at https://docs.chainstack.com", None, Range),
            (-32005, "query returned more than 10000 results. Try with this block range [0x1, 0x2].", None, Range),
            (-32005, "query returned more than 10000 results", None, Size),
            (-32602, "query exceeds max results 20000, retry with the range 1-2", None, Size),
            (-32602, "Log response size exceeded.", None, Size),
            (-32005, "query timeout exceeded", None, Size),
            (-32020, "backend response too large", None, Size),
            (-32005, "daily request count exceeded, request rate limited", None, Quota),
            (-32005, "project ID request rate exceeded", None, Quota),
            (429, "Your app has exceeded its compute units per second capacity.", None, Quota),
            (-32029, "Too Many Requests", None, Quota),
            (-32005, "limit", None, Other),
            (-32000, "header not found", None, Other),
            (-32000, "missing trie node 8b3e… (path )", None, Other),
            (-32002, "No state available for block 0x8b3e", None, Other),
            (-32000, "execution aborted (timeout = 5s)", None, Other),
            (-32601, "the method eth_call does not exist/is not available", None, Other),
            (4444, "pruned history unavailable", None, Other),
        ];
        for (code, message, data, kind) in cases {
            assert_eq!(refusal_kind(code, message, data), kind, "{code} {message}");
        }
    }

    #[test]
    fn every_phrase_is_in_lower_case() {
        for (phrase, _) in PHRASES {
            assert_eq!(phrase, phrase.to_lowercase());
        }
    }
}
