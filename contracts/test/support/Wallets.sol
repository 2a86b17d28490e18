// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @dev Recovers the signer of the first 65 bytes of a signature; later bytes are ignored.
function signerOf(bytes32 digest, bytes calldata signature) pure returns (address) {
    return ecrecover(digest, uint8(signature[64]), bytes32(signature[0:32]), bytes32(signature[32:64]));
}

/// @notice ERC-1271: accepts what its owner signed, followed by any number of bytes. Calls what its owner asks for.
contract OwnedWallet {
    address public immutable owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        return signerOf(digest, signature) == owner ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }

    function execute(address target, bytes calldata data) external returns (bytes memory answer) {
        require(msg.sender == owner, "not the owner");
        bool done;
        (done, answer) = target.call(data);
        require(done, "the call failed");
    }
}

/// @notice The delegate of an EIP-7702 account: accepts what the account's own key signed.
contract OwnKeyDelegate {
    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        return signerOf(digest, signature) == address(this) ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}

/// @notice ERC-1271: accepts an empty signature for a digest that was approved on chain, as a Safe does.
contract ApprovingWallet {
    mapping(bytes32 digest => bool) public approved;

    function approve(bytes32 digest) external {
        approved[digest] = true;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        return signature.length == 0 && approved[digest] ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}

/// @notice ERC-1271: accepts every signature.
contract TrustingWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return 0x1626ba7e;
    }
}

/// @notice Burns all the gas that it is given, by any call.
contract BurningWallet {
    fallback() external payable {
        while (true) {}
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
    fallback() external payable {
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
