// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {LibClone} from "solady/src/utils/LibClone.sol";

/// @title Terms: what a token was created with and what never changes.
/// @dev Immutable arguments of a clone, part of its code.
abstract contract Terms {
    // Offsets of the immutable arguments, which `TokenFactory` packs: unit 16, maxUnits 8, price 8, creator 20, length of
    // the name 1, name, symbol.
    uint256 private constant TERMS_AT = 0;
    uint256 private constant CREATOR_AT = 32;
    uint256 private constant NAME_LENGTH_AT = 52;
    uint256 private constant NAME_AT = 53;

    /// @notice Token base units (10^-18) in one unit.
    function unit() public view returns (uint128) {
        return uint128(_terms() >> 128);
    }

    /// @notice The largest number of units that can ever exist.
    function maxUnits() public view returns (uint64) {
        return uint64(_terms() >> 64);
    }

    /// @notice Atomic units of the asset for one unit.
    function price() public view returns (uint64) {
        return uint64(_terms());
    }

    /// @notice The earner.
    function creator() public view returns (address) {
        return address(bytes20(_argument(CREATOR_AT)));
    }

    /// @dev The ERC-20 name.
    function _name() internal view returns (string memory) {
        return string(LibClone.argsOnClone(address(this), NAME_AT, NAME_AT + _nameLength()));
    }

    /// @dev The ERC-20 symbol.
    function _symbol() internal view returns (string memory) {
        return string(LibClone.argsOnClone(address(this), NAME_AT + _nameLength()));
    }

    /// @dev unit 128 | maxUnits 64 | price 64
    function _terms() internal view returns (uint256) {
        return uint256(_argument(TERMS_AT));
    }

    function _nameLength() private view returns (uint256) {
        return uint8(_argument(NAME_LENGTH_AT)[0]);
    }

    /// @dev The word at `offset` of the immutable arguments.
    function _argument(uint256 offset) private view returns (bytes32) {
        return LibClone.argLoad(LibClone.argsOnClone(address(this), offset, offset + 32), 0);
    }
}
