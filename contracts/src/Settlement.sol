// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Settlement: many signed USDC payments in one transaction.
/// @notice Submits a batch of EIP-3009 authorizations to one asset. Each is tried by itself, with its own gas, so a bad
/// one costs its own gas and nothing else.
/// @dev Anyone may call it: the payers' signatures fix amount, payer and payee. It holds no funds, has
/// no owner and no storage, so neither re-entry nor a hostile caller can take anything.
/// The caller chooses `batchId` and `gasPerItem`. Therefore trust a `Batch` event only in the receipt of a transaction
/// that you sent.
contract Settlement {
    /// @notice The asset has no code: calls to it would "succeed" and pay nobody.
    error AssetHasNoCode(address asset);
    /// @notice `items` is empty or not a whole number of items.
    error MalformedItems(uint256 length);
    /// @notice More than `MAX_ITEMS` in one batch.
    error TooManyItems(uint256 count);

    /// @notice The result of every item, in the given order.
    /// @param batchId The caller's name for the batch; not checked, not unique.
    /// @param results One byte per item: 0 paid, 4 payment failed, 5 not attempted.
    event Batch(bytes32 indexed batchId, bytes results);

    /// @notice Bytes of one item: from 20, to 20, value 8, validAfter 5, validBefore 5, nonce 32, r 32, vs 32.
    uint256 public constant ITEM_LENGTH = 154;

    /// @notice Maximum number of items in one batch: 200 stay below the 16,777,216 gas limit of a transaction
    /// (EIP-7825).
    uint256 public constant MAX_ITEMS = 200;

    /// @notice Gas reserved to finish the batch: the first (cold) access to the asset, the event, the return value.
    uint256 public constant RESERVE_GAS = 30_000;

    /// @notice The EIP-3009 asset (USDC) that is paid in.
    address public immutable asset;

    /// @param asset_ The EIP-3009 asset, which must already be deployed.
    constructor(address asset_) {
        if (asset_.code.length == 0) revert AssetHasNoCode(asset_);
        asset = asset_;
    }

    /// @notice Tries every payment once, in order, and reports in one `Batch` event.
    /// @dev `transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)` is
    /// called with at most `gasPerItem`; its return data is not copied. EIP-150 gives a call at most 63/64 of the
    /// remaining gas: an item is attempted only if it can get all of `gasPerItem`. Otherwise it and all later items
    /// stay at 5. Earlier payments stay paid, and sending the same items again is safe: paid ones then fail as used
    /// (4). A 4 means that the call failed, not that the authorization is unpaid: somebody else may have submitted it,
    /// it may be cancelled, or `gasPerItem` may have been too low. The asset's logs decide.
    /// @param batchId The caller's name for the batch, repeated in the event.
    /// @param gasPerItem Gas for one authorization, which is the most that a hostile payer can burn.
    /// @param items Packed items of `ITEM_LENGTH` bytes. `vs` is EIP-2098: `s`, with yParity (v - 27) in its top bit.
    /// @return results One byte per item: 0 paid, 4 payment failed, 5 not attempted.
    function settleBatch(bytes32 batchId, uint256 gasPerItem, bytes calldata items)
        external
        returns (bytes memory results)
    {
        uint256 count = items.length / ITEM_LENGTH;
        if (count == 0 || items.length % ITEM_LENGTH != 0) revert MalformedItems(items.length);
        if (count > MAX_ITEMS) revert TooManyItems(count);

        // No block holds 2^64 gas: clamping keeps the sum below from overflowing, and no item is attempted.
        uint256 callGas = gasPerItem > type(uint64).max ? type(uint64).max : gasPerItem;
        uint256 gasNeeded = callGas + callGas / 63 + RESERVE_GAS;

        results = new bytes(count);
        address asset_ = asset;
        assembly ("memory-safe") {
            let out := add(results, 0x20)
            // Every item starts as "not attempted".
            for { let i := 0 } lt(i, count) { i := add(i, 0x20) } {
                mstore(add(out, i), 0x0505050505050505050505050505050505050505050505050505050505050505)
            }

            let data := mload(0x40) // scratch space after the free pointer: 4 + 9 * 32 bytes, reused for every item
            mstore(data, shl(224, 0xe3ee160e))
            let item := items.offset
            for { let i := 0 } lt(i, count) { i := add(i, 1) } {
                if lt(gas(), gasNeeded) { break }
                let vs := calldataload(add(item, 122))
                mstore(add(data, 0x04), shr(96, calldataload(item))) // from
                mstore(add(data, 0x24), shr(96, calldataload(add(item, 20)))) // to
                mstore(add(data, 0x44), shr(192, calldataload(add(item, 40)))) // value
                mstore(add(data, 0x64), shr(216, calldataload(add(item, 48)))) // validAfter
                mstore(add(data, 0x84), shr(216, calldataload(add(item, 53)))) // validBefore
                mstore(add(data, 0xa4), calldataload(add(item, 58))) // nonce
                mstore(add(data, 0xc4), add(27, shr(255, vs))) // v
                mstore(add(data, 0xe4), calldataload(add(item, 90))) // r
                mstore(add(data, 0x104), shr(1, shl(1, vs))) // s
                // No output area: return data of any size is not copied.
                mstore8(add(out, i), shl(2, iszero(call(callGas, asset_, 0, data, 0x124, 0, 0)))) // 0 or 4
                item := add(item, ITEM_LENGTH)
            }
        }
        emit Batch(batchId, results);
    }
}
