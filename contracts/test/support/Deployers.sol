// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {TokenFactory} from "../../src/TokenFactory.sol";

bytes4 constant ERC1271 = 0x1626ba7e;

/// @notice A payer whose code accepts the signature of its owner, whatever follows it.
contract OwnedPayer {
    address private immutable _owner;

    constructor(address owner) {
        _owner = owner;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view virtual returns (bytes4) {
        return _signed(hash, signature, _owner) ? ERC1271 : bytes4(0);
    }

    function _signed(bytes32 hash, bytes calldata signature, address by) internal pure returns (bool) {
        return ecrecover(hash, uint8(signature[64]), bytes32(signature[0:32]), bytes32(signature[32:64])) == by;
    }
}

/// @notice The code of an EIP-7702 account whose own key signs.
contract DelegatePayer is OwnedPayer(address(0)) {
    function isValidSignature(bytes32 hash, bytes calldata signature) external view override returns (bytes4) {
        return _signed(hash, signature, address(this)) ? ERC1271 : bytes4(0);
    }
}

/// @notice A payer that approves hashes on chain, like a Safe: only the empty signature is good.
contract ApprovingPayer {
    mapping(bytes32 hash => bool) private _approved;

    function approve(bytes32 hash) external {
        _approved[hash] = true;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        return signature.length == 0 && _approved[hash] ? ERC1271 : bytes4(0);
    }
}

/// @notice A payer that burns all gas that it is given.
contract BurningPayer {
    fallback() external {
        while (true) {}
    }
}

/// @notice A payer that answers with a megabyte.
contract LoudPayer {
    fallback() external {
        assembly ("memory-safe") {
            mstore(0, shl(224, 0x1626ba7e))
            return(0, 1000000)
        }
    }
}

/// @notice A payer that makes a call while it is asked about a signature, and accepts only if the call went well.
contract CallingPayer {
    address private _target;
    bytes private _data;

    function set(address target, bytes calldata data) external {
        (_target, _data) = (target, data);
    }

    function isValidSignature(bytes32, bytes calldata) external returns (bytes4) {
        (bool ok,) = _target.call(_data);
        return ok ? ERC1271 : bytes4(0);
    }
}

/// @notice An asset that refuses every call for a reason of its own.
contract RefusingAsset {
    fallback() external {
        revert("later");
    }
}

/// @notice A wrong asset: it can take a payment without moving money, call somebody meanwhile, refuse or lie about
/// transfers, and it keeps the gas that it was given.
contract WrongAsset {
    mapping(address account => uint256) public balanceOf;
    uint256 public gasSeen;
    uint256 public calls; // of `_target` that went well
    bool private _idle;
    bool private _lies;
    address private _target;
    bytes private _data;

    function becomeIdle() external {
        _idle = true;
    }

    function lieAboutTransfers() external {
        _lies = true;
    }

    function callBack(address target, bytes calldata data) external {
        (_target, _data) = (target, data);
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function authorizationState(address, bytes32) external pure returns (bool) {
        return true;
    }

    function transferWithAuthorization(address, address to, uint256 value, uint256, uint256, bytes32, bytes calldata)
        external
    {
        gasSeen = gasleft();
        if (!_idle) balanceOf[to] += value;
        _call();
    }

    function transfer(address to, uint256 value) external returns (bool) {
        if (_lies) return false;
        balanceOf[msg.sender] -= value;
        balanceOf[to] += value;
        _call();
        return true;
    }

    function _call() private {
        if (_target == address(0)) return;
        (bool ok,) = _target.call(_data);
        if (ok) ++calls;
    }
}
