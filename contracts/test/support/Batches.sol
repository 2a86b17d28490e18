// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {UsdcDouble} from "../../src/dev/UsdcDouble.sol";
import {TokenFactory} from "../../src/TokenFactory.sol";
import {ProxyLike} from "./Assets.sol";
import {Suite} from "./Suite.sol";

/// @notice Many payments in one batch, and what a batch must leave behind.
abstract contract Batches is Suite {
    uint8 internal constant PAID = 1;

    /// @notice Moves the asset behind a proxy, with a factory and a token of its own.
    function behindProxy() internal {
        usdc = UsdcDouble(address(new ProxyLike(address(usdc))));
        factory = new TokenFactory(address(usdc), address(hub), seats());
        token = free(CAP, "the token");
    }

    /// @notice Payers p0, p1, .. of 1, 2, .. units.
    function many(uint256 count) internal returns (Auth[] memory auths) {
        auths = new Auth[](count);
        for (uint256 i = 0; i < count; ++i) {
            auths[i] = auth(string.concat("p", text(i)), address(token), PRICE * uint64(1 + i % 10));
        }
    }

    function joined(Auth[] memory auths) internal view returns (bytes memory items) {
        items = new bytes(134 * auths.length);
        for (uint256 i = 0; i < auths.length; ++i) {
            bytes memory it = item(auths[i]);
            assembly ("memory-safe") {
                mcopy(add(add(items, 0x20), mul(i, 134)), add(it, 0x20), 134)
            }
        }
    }

    function row(bytes1 code, uint256 count) internal pure returns (bytes memory codes) {
        codes = new bytes(count);
        for (uint256 i = 0; i < count; ++i) {
            codes[i] = code;
        }
    }

    function state(Auth memory a) internal view returns (uint8) {
        return token.outcome(keyOf(a));
    }

    function paidInAsset(Auth memory a) internal view returns (bool) {
        return usdc.authorizationState(a.from, a.nonce);
    }

    /// @notice Requires that every payment is either paid and recorded, or neither, and that the sums agree.
    /// @return count The number of payments that are recorded.
    function wholeOrNothing(Auth[] memory auths) internal view returns (uint256 count) {
        uint256 units;
        for (uint256 i = 0; i < auths.length; ++i) {
            (address payer, uint32 u,, uint8 s) = token.recordOf(keyOf(auths[i]));
            require((s == PAID) == paidInAsset(auths[i]), "paid if and only if recorded");
            if (s != PAID) continue;
            same(payer, auths[i].from, "the payer");
            same(u, auths[i].value / PRICE, "the units");
            units += u;
            ++count;
        }
        same(token.open(), units, "open");
        same(usdc.balanceOf(address(token)), units * PRICE, "the money");
    }
}
