// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../src/MintToken.sol";
import {Crowd} from "./support/Crowd.sol";

/// @notice Invariants under any sequence of actions, including actions with stolen minter and operator keys.
contract InvariantsTest {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Crowd private crowd;
    MintToken private token;

    function setUp() public {
        crowd = new Crowd();
        token = crowd.tokenUnderTest();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(crowd);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        bytes4[] memory s = new bytes4[](11);
        s[0] = Crowd.pay.selector;
        s[1] = Crowd.payAgain.selector;
        s[2] = Crowd.give.selector;
        s[3] = s[4] = Crowd.mint.selector; // twice as often
        s[5] = s[6] = Crowd.refund.selector;
        s[7] = Crowd.withdraw.selector;
        s[8] = Crowd.createAgain.selector;
        s[9] = Crowd.strangersTry.selector;
        s[10] = Crowd.moveTokens.selector;
        targets[0] = FuzzSelector(address(crowd), s);
    }

    function invariant_money_is_conserved() public view {
        uint256 balance = crowd.moneyOfTheToken();
        require(balance == crowd.received() - token.withdrawn() - token.refunded(), "balance");
        require(token.refunded() == crowd.refunded(), "refunded");
        require(token.withdrawn() == crowd.moneyOfTheCreator(), "withdrawn, to the creator");
        require(crowd.moneyOfTheSettlement() == 0, "the settlement holds nothing");
    }

    function invariant_what_is_minted_was_paid() public view {
        require(token.earned() == uint256(token.unitsMinted()) * token.price(), "earned");
        require(token.earned() <= crowd.moneyOfTheToken() + token.withdrawn(), "solvent");
        require(token.withdrawn() <= token.earned(), "the creator has no more than is earned");
        require(token.refundable() == crowd.moneyOfTheToken() + token.withdrawn() - token.earned(), "refundable");
    }

    function invariant_a_payment_is_minted_or_refunded_at_most_once_and_never_both() public view {
        for (uint256 i = 0; i < crowd.KEYS(); ++i) {
            bytes32 key = crowd.keyAt(i);
            uint256 minted = crowd.timesMinted(key);
            uint256 refunded = crowd.timesRefunded(key);
            require(minted + refunded <= 1, "once");
            require(token.outcome(key) == (minted == 1 ? 1 : refunded == 1 ? 2 : 0), "outcome");
            require(token.hasMinted(key) == (minted == 1), "hasMinted");
        }
    }

    function invariant_the_supply_is_what_was_minted_and_within_the_cap() public view {
        require(token.unitsMinted() == crowd.unitsMinted(), "units");
        require(token.totalSupply() == uint256(token.unitsMinted()) * token.unit(), "supply");
        require(token.unitsMinted() <= token.maxUnits(), "cap");
        require(token.balanceOf(address(0)) == 0 && token.balanceOf(address(token)) == 0, "nothing lost");
    }

    /// Every kind of result must have occurred; otherwise the invariants prove nothing about it.
    function test_the_crowd_meets_every_result() public {
        for (uint256 i = 0; i < 300; ++i) {
            uint256 random = uint256(keccak256(abi.encode("crowd", i)));
            crowd.pay(random);
            if (i % 3 == 0) crowd.mint(random);
            if (i % 10 == 0) crowd.refund(random);
            if (i % 20 == 0) crowd.withdraw(address(uint160(random)));
        }
        uint256[13] memory what = [uint256(0), 1, 2, 3, 4, 5, 6, 10, 14, 15, 20, 21, 30];
        for (uint256 i = 0; i < what.length; ++i) {
            require(crowd.seen(what[i]) > 0, string(abi.encodePacked("never seen: ", bytes1(uint8(65 + i)))));
        }
    }
}
