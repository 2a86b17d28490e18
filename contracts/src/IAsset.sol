// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title IAsset: what is read from the asset that pays. Payments and transfers call the asset by
/// selector, see `Settling`, `Records` and `TokenFactory`.
interface IAsset {
    /// @notice The balance of an account, in atomic units.
    function balanceOf(address account) external view returns (uint256);
    /// @notice True once an authorization was used or cancelled (EIP-3009).
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
}
