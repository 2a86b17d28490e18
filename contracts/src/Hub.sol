// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Hub: many calls in one transaction, each isolated.
/// @notice Serves several tokens at once. It holds no funds, has no owner, no storage and no role, and must never get one:
/// anybody may call anything through it.
contract Hub {
    /// @notice The result of every segment, in the given order.
    /// @param batchId The caller's name for the batch; not checked, not unique.
    /// @param results One byte per segment, see `run`.
    event Segments(bytes32 indexed batchId, bytes results);

    /// @notice One call.
    /// @param target The contract to call.
    /// @param gas Gas for the call, which is the most that it can burn.
    /// @param data The call's input.
    struct Segment {
        address target;
        uint64 gas;
        bytes data;
    }

    /// @notice Gas kept back for the result of a segment, the event and the return value.
    uint256 public constant RESERVE_GAS = 20_000;

    /// @notice Tries every call once, in order. Anyone may call it.
    /// @dev Nothing that a call returns is copied. One byte per segment: 0 done; 4 reverted; 5 not attempted: gas ran
    /// short; 6 no code there (after a reorganisation a call to nothing would "succeed").
    /// @param batchId The caller's name for the batch, repeated in the event.
    /// @param segments The calls.
    /// @return results One byte per segment.
    function run(bytes32 batchId, Segment[] calldata segments) external returns (bytes memory results) {
        results = new bytes(segments.length);
        for (uint256 i = 0; i < segments.length; ++i) {
            address target = segments[i].target;
            uint256 callGas = segments[i].gas;
            bytes calldata input = segments[i].data;
            assembly ("memory-safe") {
                let code := 6
                if extcodesize(target) {
                    let data := mload(0x40) // scratch space after the free pointer, reused for every segment
                    calldatacopy(data, input.offset, input.length)
                    code := 5
                    // After the copy, which costs gas, too. EIP-150: a call gets 63/64 of what is left.
                    if iszero(lt(gas(), add(add(callGas, div(callGas, 63)), RESERVE_GAS))) {
                        code := shl(2, iszero(call(callGas, target, 0, data, input.length, 0, 0)))
                    }
                }
                mstore8(add(add(results, 0x20), i), code)
            }
        }
        emit Segments(batchId, results);
    }
}
