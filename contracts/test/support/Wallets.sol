// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice ERC-1271: takes every signature.
contract TrustingWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return 0x1626ba7e;
    }
}

/// @notice ERC-1271: burns all the gas that it is given.
contract BurningWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        while (true) {}
        return 0x1626ba7e;
    }
}

/// @notice ERC-1271: takes every signature, after 4,900,000 gas of thought.
contract ThinkingWallet {
    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        uint256 start = gasleft();
        while (start - gasleft() < 4_900_000) {}
        return 0x1626ba7e;
    }
}

/// @notice ERC-1271: says yes in one megabyte.
contract LoudWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        assembly {
            mstore(0, shl(224, 0x1626ba7e))
            return(0, 1000000)
        }
    }
}

/// @notice ERC-1271: tries to write while it is asked.
contract WritingWallet {
    uint256 public asked;

    function isValidSignature(bytes32, bytes calldata) external returns (bytes4) {
        ++asked;
        return 0x1626ba7e;
    }
}

/// @notice A wallet, or the delegate of an EIP-7702 account, that knows nothing of ERC-1271.
contract MuteWallet {
    receive() external payable {}
}

/// @notice Refuses everything: whatever calls it, reverts.
contract RefusingRecipient {
    fallback() external payable {
        revert("no");
    }
}
