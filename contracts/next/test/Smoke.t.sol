// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Suite} from "./support/Suite.sol";

contract SmokeTest is Suite {
    function test_paid_minted_earned() public {
        Auth memory a = paid("alice", 3);
        same(token.open(), 3, "open");
        same(mint(keyOf(a)), 0, "minted");
        same(token.balanceOf(ALICE), 3 * UNIT, "units");
        token.withdraw();
        same(usdc.balanceOf(CREATOR), 3 * PRICE, "earned");
        balanced();
    }
}
