// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice Imitates Circle's FiatTokenProxy (an AdminUpgradeabilityProxy of zos): what a proxy adds to every call.
contract ProxyLike {
    bytes32 private constant IMPLEMENTATION_SLOT = 0x7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3;
    bytes32 private constant ADMIN_SLOT = 0x10d6a54a4754c8869d6886b5f5d7fbfa5b4522237ea5c60d11bc4e7a1ff9390b;

    constructor(address implementation) {
        assembly {
            sstore(IMPLEMENTATION_SLOT, implementation)
            sstore(ADMIN_SLOT, 1)
        }
    }

    fallback() external payable {
        address admin;
        assembly {
            admin := sload(ADMIN_SLOT)
        }
        require(msg.sender != admin, "the admin cannot call the implementation");
        assembly {
            calldatacopy(0, 0, calldatasize())
            let done := delegatecall(gas(), sload(IMPLEMENTATION_SLOT), 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            switch done
            case 0 { revert(0, returndatasize()) }
            default { return(0, returndatasize()) }
        }
    }
}

/// @notice An asset that was upgraded to answer yes to every payment and to move only a part of it, or nothing.
contract YesAsset {
    mapping(address account => uint256) public balanceOf;
    /// @notice The part that is moved, in percent.
    uint256 public percent;
    /// @notice The sum that every payment takes away from its payee.
    uint256 public taken;

    function setPercent(uint256 percent_) external {
        percent = percent_;
    }

    function setTaken(uint256 taken_) external {
        taken = taken_;
    }

    function give(address account, uint256 amount) external {
        balanceOf[account] += amount;
    }

    function authorizationState(address, bytes32) external pure returns (bool) {
        return true;
    }

    /// @dev The four functions of EIP-3009 have the payee and the value at the same place.
    fallback() external {
        address to = address(uint160(uint256(bytes32(msg.data[36:68]))));
        balanceOf[to] += uint256(bytes32(msg.data[68:100])) * percent / 100;
        balanceOf[to] -= taken;
    }
}

/// @notice An asset whose every payment fails with 256 kB of revert data.
contract LoudAsset {
    function balanceOf(address) external pure returns (uint256) {
        return 0;
    }

    fallback() external {
        assembly {
            revert(0, 256000)
        }
    }
}

/// @notice An asset whose `transfer` moves nothing and answers what it was told to answer.
contract AnsweringAsset {
    bytes public answer;

    function setAnswer(bytes calldata answer_) external {
        answer = answer_;
    }

    function balanceOf(address) external pure returns (uint256) {
        return 1e18;
    }

    function authorizationState(address, bytes32) external pure returns (bool) {
        return true;
    }

    function transfer(address, uint256) external view {
        bytes memory a = answer;
        assembly {
            return(add(a, 0x20), mload(a))
        }
    }

    fallback() external {}
}

/// @notice Has every role that the asset could use: it is creator and operator, and it calls what the asset asks for.
contract Accomplice {
    function relay(address target, bytes calldata data) external returns (bool done, bytes memory answer) {
        return target.call(data);
    }
}

/// @notice An asset that calls back during every payment and every transfer, as ERC-777 did.
contract ReenteringAsset {
    mapping(address account => uint256) public balanceOf;
    /// @notice Number of calls back, and how many of them were not answered by the lock.
    uint256 public tried;
    uint256 public entered;
    /// @notice This account can receive nothing.
    address public refused;

    Accomplice private _accomplice;
    address private _target;
    bytes[] private _calls;
    bytes32 private _locked;

    function give(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function refuse(address account) external {
        refused = account;
    }

    /// @param locked The answer of a locked contract.
    function callBack(Accomplice accomplice, address target, bytes[] calldata calls, bytes calldata locked) external {
        (_accomplice, _target, _locked) = (accomplice, target, keccak256(locked));
        for (uint256 i = 0; i < calls.length; ++i) {
            _calls.push(calls[i]);
        }
    }

    function authorizationState(address, bytes32) external pure returns (bool) {
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        if (to == refused) return false;
        _move(msg.sender, to, amount);
        return true;
    }

    /// @dev The four functions of EIP-3009 have the payer, the payee and the value at the same places.
    fallback() external {
        (address from, address to, uint256 value) = abi.decode(msg.data[4:100], (address, address, uint256));
        _move(from, to, value);
    }

    /// @dev Calls back before the money moves, when the books are most easily fooled.
    function _move(address from, address to, uint256 amount) private {
        for (uint256 i = 0; i < _calls.length; ++i) {
            (bool done, bytes memory answer) = _accomplice.relay(_target, _calls[i]);
            ++tried;
            if (done || keccak256(answer) != _locked) ++entered;
        }
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}
