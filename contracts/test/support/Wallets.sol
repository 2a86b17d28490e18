// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice ERC-1271: accepts every signature.
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

/// @notice ERC-1271: accepts every signature after using 4,900,000 gas.
contract ThinkingWallet {
    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        uint256 start = gasleft();
        while (start - gasleft() < 4_900_000) {}
        return 0x1626ba7e;
    }
}

/// @notice ERC-1271: accepts with one megabyte of return data.
contract LoudWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        assembly {
            mstore(0, shl(224, 0x1626ba7e))
            return(0, 1000000)
        }
    }
}

/// @notice ERC-1271: tries to write storage while it is asked.
contract WritingWallet {
    uint256 public asked;

    function isValidSignature(bytes32, bytes calldata) external returns (bytes4) {
        ++asked;
        return 0x1626ba7e;
    }
}

/// @notice A wallet, or the delegate of an EIP-7702 account, without ERC-1271.
contract MuteWallet {
    receive() external payable {}
}

/// @notice Reverts on every call.
contract RefusingRecipient {
    fallback() external payable {
        revert("no");
    }
}
