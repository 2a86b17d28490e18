// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Records} from "./Records.sol";

/// @title Settling: signed payments to the token, submitted and recorded in the same call frame.
abstract contract Settling is Records {
    /// @notice `items` is empty or not a whole number of items.
    error MalformedItems(uint256 length);
    /// @notice More than `MAX_ITEMS` in one batch.
    error TooManyItems(uint256 count);
    /// @notice The asset reported payments of `recorded`, and the balance grew by `grown` only. Nothing was recorded.
    error BalanceTooSmall(uint256 recorded, uint256 grown);

    /// @notice The result of every item of a `settle`, in the given order.
    /// @param batchId The caller's name for the batch; not checked, not unique.
    /// @param results One byte per item, see `settle`.
    event Batch(bytes32 indexed batchId, bytes results);

    /// @notice Bytes of one item of `settle`: from 20, value 8, validAfter 5, validBefore 5, nonce 32, r 32, vs 32.
    uint256 public constant ITEM_LENGTH = 134;
    /// @notice Maximum number of items of one `settle`: 200 stay below the 16,777,216 gas limit of a transaction
    /// (EIP-7825).
    uint256 public constant MAX_ITEMS = 200;
    /// @notice Longest signature in `signatures`.
    uint256 public constant MAX_SIGNATURE_LENGTH = 2048;
    /// @notice Gas kept back for the record, the counts, the event and the return value. Too little would be no danger:
    /// the whole call would be undone, payments and all.
    uint256 public constant RESERVE_GAS = 60_000;

    // Results. The tables are at the functions.
    uint256 internal constant DONE = 0;
    uint256 internal constant KEY_KNOWN = 1;
    uint256 internal constant SOLD_OUT = 3;
    uint256 internal constant FAILED = 4;
    uint256 internal constant NOT_ATTEMPTED = 5;
    uint256 internal constant IMPOSSIBLE = 6;
    uint256 internal constant STOPPED = 7;

    /// @dev Values that a `settle` reads once. `_pay` reads them by offset.
    struct Run {
        uint256 callGas; // 0x00
        address asset; // 0x20
        uint256 signatures; // 0x40, calldata offset
        uint256 signaturesLength; // 0x60
        uint256 maxUnits;
        uint256 price;
        uint256 taken; // minted + open
    }

    /// @notice Submits signed payments to this token and records each that succeeds. Anyone may call it.
    /// @dev One byte per item, the first that applies. All but the last two are decided before the asset is called.
    /// (1) 7 new payments are stopped; every item.
    /// (2) 5 not attempted: gas ran short; this and all later items.
    /// (3) 6 no whole number of units, or no payer.
    /// (4) 1 the key is known: read `recordOf`.
    /// (5) 3 sold out.
    /// (6) 6 the pointer of a long item is bad; 5 there is too little gas for its own; this item only.
    /// (7) 4 the asset refused, or the gas was too little, or the payment was made or cancelled before.
    /// (8) 0 paid and recorded.
    ///
    /// An item is `ITEM_LENGTH` bytes. `vs` is EIP-2098: `s`, with yParity (v - 27) in its top bit. The top bit of
    /// `validAfter` says that the payer signed ReceiveWithAuthorization, which only this token can submit. If `vs` is 0,
    /// which no signature has, `r` points into `signatures`: gas 64 | offset 96 | length 96, the asset's overload with
    /// `bytes` is called, and `gas` takes the place of `gasPerItem`. That is for accounts with code (ERC-1271).
    ///
    /// Reverts as a whole if `items` is malformed, or if the balance grew by less than what was recorded.
    /// @param batchId The caller's name for the batch, repeated in the event.
    /// @param gasPerItem Gas for one payment, which is the most that a hostile payer can burn.
    /// @param items Packed items.
    /// @param signatures Where items with long signatures point to.
    /// @return results One byte per item.
    function settle(bytes32 batchId, uint256 gasPerItem, bytes calldata items, bytes calldata signatures)
        external
        guarded
        returns (bytes memory results)
    {
        uint256 count = items.length / ITEM_LENGTH;
        if (count == 0 || items.length % ITEM_LENGTH != 0) revert MalformedItems(items.length);
        if (count > MAX_ITEMS) revert TooManyItems(count);

        if (factory.settleStopped()) {
            results = _filled(count, STOPPED);
        } else {
            results = _filled(count, NOT_ATTEMPTED);
            _settleAll(_runOf(gasPerItem, signatures), items, results);
        }
        emit Batch(batchId, results);
    }

    function _runOf(uint256 gasPerItem, bytes calldata signatures) private view returns (Run memory run) {
        uint256 terms = _terms();
        // No block holds 2^64 gas: clamping keeps later sums from overflowing, and no item is attempted.
        run.callGas = gasPerItem > type(uint64).max ? type(uint64).max : gasPerItem;
        run.asset = asset;
        uint256 offset;
        assembly ("memory-safe") {
            offset := signatures.offset
        }
        run.signatures = offset;
        run.signaturesLength = signatures.length;
        run.maxUnits = uint64(terms >> 64);
        run.price = uint64(terms);
        run.taken = uint256(_unitsMinted) + _unitsOpen;
    }

    function _settleAll(Run memory run, bytes calldata items, bytes memory results) private {
        uint256 held = _held();
        uint256 takenBefore = run.taken;
        uint256 need = run.callGas + run.callGas / 63 + RESERVE_GAS; // EIP-150: a call gets 63/64 of what is left
        uint256 item;
        assembly ("memory-safe") {
            item := items.offset
        }
        for (uint256 i = 0; i < results.length; ++i) {
            if (gasleft() < need) break;
            uint256 code = _settleOne(run, item);
            assembly ("memory-safe") {
                mstore8(add(add(results, 0x20), i), code)
                item := add(item, ITEM_LENGTH)
            }
        }
        uint256 units = run.taken - takenBefore;
        if (units == 0) return;
        _unitsOpen += uint64(units); // minted + open <= maxUnits
        uint256 grown = _held() - held; // nothing leaves the token under the lock
        if (grown < units * run.price) revert BalanceTooSmall(units * run.price, grown);
    }

    function _settleOne(Run memory run, uint256 item) private returns (uint256) {
        address payer;
        uint256 value;
        bytes32 nonce;
        assembly ("memory-safe") {
            payer := shr(96, calldataload(item))
            value := shr(192, calldataload(add(item, 20)))
            nonce := calldataload(add(item, 38))
        }
        uint256 units;
        unchecked {
            // units * price <= value < 2^64, and taken <= maxUnits < 2^64.
            units = value / run.price; // the factory refuses a price of zero
            if (units == 0 || units * run.price != value || units > type(uint32).max) return IMPOSSIBLE;
            if (payer == address(0) || payer == address(this)) return IMPOSSIBLE; // could never be minted
        }
        bytes32 key = _keyOf(run.asset, payer, nonce);
        if (_records[key] != 0) return KEY_KNOWN; // before the cap: what is paid is never reported as sold out
        unchecked {
            if (run.taken + units > run.maxUnits) return SOLD_OUT;
        }

        uint256 code = _pay(run, item);
        if (code != DONE) return code;
        unchecked {
            run.taken += units;
        }
        _records[key] = _record(payer, units, PAID);
        return DONE;
    }

    /// @dev Calls one of four functions of the asset, whose selectors are constants; nothing that it returns is copied.
    function _pay(Run memory run, uint256 item) private returns (uint256 code) {
        assembly ("memory-safe") {
            let data := mload(0x40) // scratch space after the free pointer
            let validAfter := shr(216, calldataload(add(item, 28)))
            let received := shr(39, validAfter)
            let r := calldataload(add(item, 70))
            let vs := calldataload(add(item, 102))
            mstore(add(data, 0x24), address())
            mstore(add(data, 0x44), shr(192, calldataload(add(item, 20)))) // value
            mstore(add(data, 0x64), and(validAfter, 0x7fffffffff))
            mstore(add(data, 0x84), shr(216, calldataload(add(item, 33)))) // validBefore
            mstore(add(data, 0xa4), calldataload(add(item, 38))) // nonce
            let callGas := mload(run)
            let selector
            let size
            switch vs
            case 0 {
                callGas := shr(192, r)
                let offset := and(shr(96, r), 0xffffffffffffffffffffffff)
                let length := and(r, 0xffffffffffffffffffffffff)
                if or(gt(length, MAX_SIGNATURE_LENGTH), gt(add(offset, length), mload(add(run, 0x60)))) {
                    code := IMPOSSIBLE
                }
                if iszero(code) {
                    // transferWithAuthorization / receiveWithAuthorization
                    //     (address,address,uint256,uint256,uint256,bytes32,bytes)
                    selector := 0xcf092995
                    if received { selector := 0x88b7ab63 }
                    mstore(add(data, 0xc4), 0xe0)
                    mstore(add(data, 0xe4), length)
                    calldatacopy(add(data, 0x104), add(mload(add(run, 0x40)), offset), length)
                    mstore(add(add(data, 0x104), length), 0)
                    size := add(0x104, and(add(length, 31), not(31)))
                    if lt(gas(), add(add(callGas, div(callGas, 63)), RESERVE_GAS)) { code := NOT_ATTEMPTED }
                }
            }
            default {
                // transferWithAuthorization / receiveWithAuthorization
                //     (address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)
                selector := 0xe3ee160e
                if received { selector := 0xef55bec6 }
                mstore(add(data, 0xc4), add(27, shr(255, vs)))
                mstore(add(data, 0xe4), r)
                mstore(add(data, 0x104), shr(1, shl(1, vs)))
                size := 0x124
            }
            if iszero(code) {
                mstore(data, shl(224, selector))
                mstore(add(data, 0x04), shr(96, calldataload(item))) // shares the selector's word
                if iszero(call(callGas, mload(add(run, 0x20)), 0, data, size, 0, 0)) { code := FAILED }
            }
        }
    }

    function _filled(uint256 count, uint256 code) private pure returns (bytes memory results) {
        results = new bytes(count);
        assembly ("memory-safe") {
            let word := mul(code, 0x0101010101010101010101010101010101010101010101010101010101010101)
            for { let i := 0 } lt(i, count) { i := add(i, 0x20) } { mstore(add(add(results, 0x20), i), word) }
        }
    }
}
