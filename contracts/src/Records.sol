// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAsset} from "./IAsset.sol";
import {Terms} from "./Terms.sol";
import {TokenFactory} from "./TokenFactory.sol";

/// @title Records: what was paid for, by whom, and what became of it.
/// @dev Books: asset balance = (unitsMinted + open) * price - withdrawn + feeOwed + surplus.
abstract contract Records is Terms {
    /// @notice Called on the implementation, which is not a token.
    error NotAToken();
    /// @notice Called during another call of this token.
    error Reentered();
    /// @notice The asset refused a transfer.
    error TransferFailed(address to, uint256 amount);

    /// @notice The states of a record: there is none; paid, units are due; minted; refunded; given back without having
    /// been recorded.
    uint8 public constant NONE = 0;
    uint8 public constant PAID = 1;
    uint8 public constant MINTED = 2;
    uint8 public constant REFUNDED = 3;
    uint8 public constant GIVEN_BACK = 4;

    // Offsets in a record: payer 160 | units 32 | paidAt 40 | unused 16 | state 8.
    uint256 internal constant PAYER_SHIFT = 96;
    uint256 internal constant UNITS_SHIFT = 64;
    uint256 internal constant PAID_AT_SHIFT = 24;

    /// @notice The asset that pays (USDC).
    address public immutable asset;
    /// @notice The factory that created this token and knows the operators, the treasury and the emergency stop.
    TokenFactory public immutable factory;
    address private immutable _implementation;
    // Not `block.chainid`: after a fork with a new id, the key of a spent nonce would be free again.
    uint256 private immutable _chainId;

    // One slot: a batch reads it once and writes it once.
    uint64 internal _unitsMinted;
    uint64 internal _unitsOpen;
    uint128 internal _withdrawn; // <= unitsMinted * price < 2^128

    uint256 internal _feeOwed; // written only where the treasury could not be paid
    mapping(bytes32 key => uint256) internal _records;
    bool private transient _entered;

    modifier guarded() {
        if (_entered) revert Reentered();
        if (address(this) == _implementation) revert NotAToken();
        _entered = true;
        _;
        _entered = false;
    }

    /// @dev Deployed by the factory as the code that all tokens share.
    constructor(address asset_) {
        asset = asset_;
        factory = TokenFactory(msg.sender);
        _implementation = address(this);
        _chainId = block.chainid;
    }

    /// @notice The key of a payment: `keccak256(abi.encode(chainId, asset, payer, nonce))`, with the id that the chain had
    /// when the factory was deployed.
    function keyOf(address payer, bytes32 nonce) public view returns (bytes32) {
        return _keyOf(asset, payer, nonce);
    }

    /// @notice The record of a payment; all zero if there is none.
    function recordOf(bytes32 key) external view returns (address payer, uint32 units, uint40 paidAt, uint8 state) {
        uint256 record = _records[key];
        return (
            address(uint160(record >> PAYER_SHIFT)),
            uint32(record >> UNITS_SHIFT),
            uint40(record >> PAID_AT_SHIFT),
            uint8(record)
        );
    }

    /// @notice The records of many payments, as words: payer 160 | units 32 | paidAt 40 | 0 | state 8.
    function recordsOf(bytes32[] calldata keys) external view returns (uint256[] memory words) {
        words = new uint256[](keys.length);
        for (uint256 i = 0; i < keys.length; ++i) {
            words[i] = _records[keys[i]];
        }
    }

    /// @notice The state of a payment, see `NONE` to `GIVEN_BACK`.
    function outcome(bytes32 key) external view returns (uint8) {
        return uint8(_records[key]);
    }

    /// @notice Returns true if the payment was minted.
    function hasMinted(bytes32 key) external view returns (bool) {
        return uint8(_records[key]) == MINTED;
    }

    /// @notice Units minted so far.
    function unitsMinted() external view returns (uint64) {
        return _unitsMinted;
    }

    /// @notice Units that are paid for and neither minted nor refunded.
    function open() external view returns (uint64) {
        return _unitsOpen;
    }

    /// @notice The sum paid out to the creator so far, in atomic units of the asset.
    function withdrawn() external view returns (uint256) {
        return _withdrawn;
    }

    /// @notice The deployment fee that still has to go to the treasury.
    function feeOwed() external view returns (uint256) {
        return _feeOwed;
    }

    /// @notice The part of the balance that belongs to no record, to no creator and to no treasury.
    function surplus() public view returns (uint256) {
        uint256 owed = (uint256(_unitsMinted) + _unitsOpen) * price() - _withdrawn + _feeOwed;
        uint256 held = _held();
        return held > owed ? held - owed : 0;
    }

    function _record(address payer, uint256 units, uint256 state) internal view returns (uint256) {
        return uint256(uint160(payer)) << PAYER_SHIFT | units << UNITS_SHIFT | block.timestamp << PAID_AT_SHIFT | state;
    }

    function _keyOf(address asset_, address payer, bytes32 nonce) internal view returns (bytes32 key) {
        uint256 chainId = _chainId;
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(m, chainId)
            mstore(add(m, 0x20), asset_)
            mstore(add(m, 0x40), payer)
            mstore(add(m, 0x60), nonce)
            key := keccak256(m, 0x80)
        }
    }

    function _held() internal view returns (uint256) {
        return IAsset(asset).balanceOf(address(this));
    }

    /// @dev True if the asset says that it moved the money. Does not revert, whatever the asset answers. A call to an address
    /// without code would succeed, and move nothing.
    function _tryTransfer(address to, uint256 amount) internal returns (bool ok) {
        address asset_ = asset;
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, shl(224, 0xa9059cbb)) // transfer(address,uint256)
            mstore(add(data, 0x04), to)
            mstore(add(data, 0x24), amount)
            mstore(0, 0)
            ok := call(gas(), asset_, 0, data, 0x44, 0, 0x20)
            let silent := and(iszero(returndatasize()), gt(extcodesize(asset_), 0))
            ok := and(ok, or(silent, eq(mload(0), 1)))
        }
    }
}
