// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../../src/MintToken.sol";
import {TokenFactory} from "../../src/TokenFactory.sol";
import {Suite} from "./Suite.sol";
import {Vm} from "./Vm.sol";

/// @notice The vocabulary of the tests of deployments: configurations, their addresses, items of `deploy`.
abstract contract DeploySuite is Suite {
    uint256 internal constant EACH = 400_000; // ample gas for one deployment
    uint256 internal constant START = 100 * PRICE; // what `auth` gives to a payer

    function predict(TokenFactory.TokenConfig memory c) internal view returns (address) {
        return factory.predictToken(c);
    }

    function salted(bytes32 salt) internal view returns (TokenFactory.TokenConfig memory c) {
        c = config();
        c.salt = salt;
    }

    /// @notice The authorization of `name` that pays the fee of `c`.
    function feeOf(string memory name, TokenFactory.TokenConfig memory c) internal returns (Auth memory) {
        return auth(name, predict(c), c.fee);
    }

    function order(TokenFactory.TokenConfig memory c, Auth memory a) internal view returns (bytes memory) {
        return abi.encode(c, payment(a));
    }

    function unpaid(TokenFactory.TokenConfig memory c) internal pure returns (bytes memory) {
        return abi.encode(c, nothing());
    }

    function deploy(bytes memory one) internal returns (bytes memory) {
        return factory.deploy(EACH, list(one));
    }

    function deploy(bytes memory one, bytes memory two) internal returns (bytes memory) {
        return factory.deploy(EACH, list(one, two));
    }

    function used(Auth memory a) internal view returns (bool) {
        return usdc.authorizationState(a.from, a.nonce);
    }

    function exists(address target) internal view returns (bool) {
        return target.code.length != 0;
    }

    /// @notice Expects the outcome of one deployment: whether the token exists, who paid, and where the fee is.
    function whole(Auth memory a, bool created) internal view {
        require(exists(a.to) == created, "the token");
        require(used(a) == created, "the authorization");
        same(usdc.balanceOf(a.from), created ? START - a.value : START, "the payer's balance");
        same(usdc.balanceOf(TREASURY), created ? a.value : 0, "the treasury's balance");
        same(usdc.balanceOf(a.to), 0, "the token's balance");
    }

    /// @notice Expects that every way to a token of `c` is refused for `reason`, that `deploy` calls it impossible, and
    /// that its payer keeps the money.
    function refused(TokenFactory.TokenConfig memory c, bytes memory reason) internal {
        Auth memory a = auth("refused", STRANGER, c.fee);
        TokenFactory.Payment memory p = payment(a);
        vm.expectRevert(reason);
        factory.predictToken(c);
        vm.expectRevert(reason);
        factory.deployOne(c, p);
        vm.expectRevert(reason);
        factory.deployOne(c, nothing());
        same(deploy(abi.encode(c, p), abi.encode(c, nothing())), hex"0606", "impossible");
        require(!used(a), "the payer was charged");
    }

    /// @notice The first log of `emitter` with the event `signature_`; reverts if there is none.
    function logOf(Vm.Log[] memory logs, address emitter, string memory signature_)
        internal
        pure
        returns (Vm.Log memory found)
    {
        require(countLogs(logs, emitter, signature_) != 0, string.concat("no log ", signature_));
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == emitter && logs[i].topics[0] == keccak256(bytes(signature_))) return logs[i];
        }
    }

    function countLogs(Vm.Log[] memory logs, address emitter, string memory signature_)
        internal
        pure
        returns (uint256 count)
    {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == emitter && logs[i].topics[0] == keccak256(bytes(signature_))) ++count;
        }
    }

    function word(bytes memory data, uint256 index) internal pure returns (bytes32 value) {
        assembly ("memory-safe") {
            value := mload(add(add(data, 0x20), mul(index, 0x20)))
        }
    }

    function toAddress(bytes32 topic) internal pure returns (address) {
        return address(uint160(uint256(topic)));
    }

    /// @notice A part of `data`, which the caller knows to be long enough.
    function slice(bytes memory data, uint256 from, uint256 length) internal pure returns (bytes memory part) {
        part = new bytes(length);
        assembly ("memory-safe") {
            mcopy(add(part, 0x20), add(add(data, 0x20), from), length)
        }
    }

    /// @notice The first `length` bytes of `data`, or all of it if it is shorter.
    function cut(bytes memory data, uint256 length) internal pure returns (bytes memory) {
        return data.length <= length ? data : slice(data, 0, length);
    }

    function token_(TokenFactory.TokenConfig memory c) internal view returns (MintToken) {
        return MintToken(predict(c));
    }
}
