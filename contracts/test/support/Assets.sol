// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice An asset whose every payment fails with 256 kB of revert data.
contract LoudAsset {
    fallback() external {
        assembly {
            revert(0, 256000)
        }
    }
}

/// @notice An asset that calls back the caller of a transfer, as ERC-777 did.
contract ReenteringAsset {
    mapping(address => uint256) public balanceOf;
    address public target;
    bytes public call_;
    bytes public answer;

    function give(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function onTransfer(address target_, bytes calldata call__) external {
        target = target_;
        call_ = call__;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        (, answer) = target.call(call_); // before the money moves, when the books are most easily fooled
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}
