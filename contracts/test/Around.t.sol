// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../src/MintToken.sol";
import {Batches} from "./support/Batches.sol";
import {Vm} from "./support/Vm.sol";

/// @notice Payments that reached the token around `settle`: an operator records or returns them, out of surplus only.
contract AroundTest is Batches {
    uint8 private constant GIVEN_BACK = 4;

    // credit

    function test_D10_a_payment_around_settle_is_credited_once_and_minted() public {
        Auth memory a = around("alice", 2 * PRICE);
        same(token.surplus(), 2 * PRICE, "surplus");
        same(settle(item(a)), hex"04", "the payment was made before");
        vm.recordLogs();
        same(credit(a, 2, 0), 0, "credited");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        same(logs.length, 1, "one log");
        require(logs[0].topics[0] == keccak256("Credited(bytes32,address,uint256,uint256)"), "event");
        require(logs[0].topics[1] == keyOf(a) && address(uint160(uint256(logs[0].topics[2]))) == ALICE, "topics");
        same(logs[0].data, abi.encode(2, 0), "units and change");
        (address payer, uint32 units, uint40 paidAt, uint8 s) = token.recordOf(keyOf(a));
        require(payer == ALICE && units == 2 && paidAt == NOW && s == PAID, "the record");
        same(token.surplus(), 0, "no surplus is left");
        same(settle(item(a)), hex"01", "a late settle knows the key");
        same(credit(a, 2, 0), 1, "once");
        same(giveBack(a, 1), 1, "and not given back, too");
        same(mint(keyOf(a)), 0, "minted");
        same(token.balanceOf(ALICE), 2 * UNIT, "units");
        balanced();
    }

    function test_change_goes_back_with_the_credit() public {
        Auth memory a = around("alice", 2 * PRICE + PRICE / 2);
        vm.recordLogs();
        same(credit(a, 2, PRICE / 2), 0, "credited");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        same(logs[logs.length - 1].data, abi.encode(2, PRICE / 2), "units and change");
        same(usdc.balanceOf(ALICE), 98 * PRICE, "charged for two units");
        same(token.open(), 2, "open");
        same(token.surplus(), 0, "nothing is left behind");
        balanced();
    }

    function test_one_list_of_credits_shows_every_result() public {
        token = free(10, "small");
        Auth memory known = paid("known", 1);
        Auth memory good = around("good", PRICE);
        Auth memory spare = around("spare", 12 * PRICE);
        Auth memory blacklisted = around("blacklisted", 2 * PRICE);
        Auth memory unspent = auth("unspent", address(token), PRICE);
        usdc.blacklist(blacklisted.from);
        MintToken.Credit[] memory c = new MintToken.Credit[](10);
        c[0] = MintToken.Credit(known.from, known.nonce, 1, 0);
        c[1] = MintToken.Credit(spare.from, spare.nonce, 10, 0);
        c[2] = MintToken.Credit(blacklisted.from, blacklisted.nonce, 1, PRICE);
        c[3] = MintToken.Credit(unspent.from, unspent.nonce, 1, 0);
        c[4] = MintToken.Credit(spare.from, spare.nonce, 0, PRICE);
        c[5] = MintToken.Credit(address(0), spare.nonce, 1, 0);
        c[6] = MintToken.Credit(address(token), spare.nonce, 1, 0);
        c[7] = MintToken.Credit(spare.from, spare.nonce, 1, uint128(14 * PRICE + 1));
        c[8] = MintToken.Credit(good.from, good.nonce, 1, 0);
        c[9] = c[8];
        vm.prank(OPERATOR);
        same(token.credit(c), hex"01030405060606070001", "results");
        same(token.outcome(keyOf(blacklisted)), 0, "nothing was recorded for the blacklisted payer");
        same(token.open(), 2, "open");
        same(token.surplus(), 14 * PRICE, "surplus");
        balanced();
        c[2].change = 0;
        vm.prank(OPERATOR);
        same(token.credit(c), hex"01030005060606070101", "without change a blacklisted payer is credited");
    }

    function testFuzz_a_credit_is_never_beyond_the_surplus(uint64 money, uint32 units, uint128 change) public {
        Auth memory a = around("alice", 0);
        token = free(type(uint32).max, "wide");
        if (money > 0) usdc.mint(address(token), money);
        units = 1 + units % 1_000_000;
        change %= uint128(money) + PRICE;
        uint8 code = credit(a, units, change);
        same(code, units * PRICE + uint256(change) <= money ? 0 : 7, "result");
        same(token.open(), code == 0 ? units : 0, "open");
        balanced();
    }

    function test_the_largest_numbers_do_not_overflow() public {
        Auth memory a = around("alice", 0);
        same(credit(a, type(uint32).max, type(uint128).max), 7, "beyond the surplus");
        same(giveBack(a, type(uint128).max), 7, "beyond the surplus");
    }

    function test_a_credit_is_refunded_seven_days_after_itself() public {
        Auth memory a = around("alice", PRICE);
        vm.warp(NOW + 5 days);
        same(credit(a, 1, 0), 0, "credited");
        vm.warp(NOW + 12 days - 1);
        same(refundBy(ALICE, keyOf(a)), 7, "not yet");
        vm.warp(NOW + 12 days);
        same(refundBy(ALICE, keyOf(a)), 0, "refunded");
        same(usdc.balanceOf(ALICE), 100 * PRICE, "whole");
    }

    // giveBack

    function test_a_payment_that_buys_nothing_is_given_back_once() public {
        Auth memory a = around("alice", PRICE + 1);
        vm.recordLogs();
        same(giveBack(a, PRICE + 1), 0, "given back");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        Vm.Log memory log = logs[logs.length - 1];
        require(log.topics[0] == keccak256("GivenBack(bytes32,address,uint256)"), "event");
        require(log.topics[1] == keyOf(a) && address(uint160(uint256(log.topics[2]))) == ALICE, "topics");
        same(abi.decode(log.data, (uint256)), PRICE + 1, "amount");
        same(usdc.balanceOf(ALICE), 100 * PRICE, "whole");
        same(state(a), GIVEN_BACK, "the record");
        usdc.mint(address(token), 9 * PRICE);
        same(giveBack(a, PRICE), 1, "once");
        same(credit(a, 1, 0), 1, "and not credited, too");
        a.value = PRICE;
        same(settle(item(a)), hex"01", "and not settled");
        same(mint(keyOf(a)), 2, "and not minted");
        same(refundBy(OPERATOR, keyOf(a)), 2, "and not refunded");
        same(token.surplus(), 9 * PRICE, "the money of others is untouched");
    }

    function test_one_list_of_returns_shows_every_result() public {
        Auth memory known = paid("known", 1);
        Auth memory good = around("good", PRICE);
        Auth memory blacklisted = around("blacklisted", PRICE);
        Auth memory unspent = auth("unspent", address(token), PRICE);
        usdc.blacklist(blacklisted.from);
        MintToken.GiveBack[] memory g = new MintToken.GiveBack[](9);
        g[0] = MintToken.GiveBack(known.from, known.nonce, PRICE);
        g[1] = MintToken.GiveBack(blacklisted.from, blacklisted.nonce, PRICE);
        g[2] = MintToken.GiveBack(unspent.from, unspent.nonce, PRICE);
        g[3] = MintToken.GiveBack(good.from, good.nonce, 0);
        g[4] = MintToken.GiveBack(address(0), good.nonce, 1);
        g[5] = MintToken.GiveBack(address(token), good.nonce, 1);
        g[6] = MintToken.GiveBack(good.from, good.nonce, 2 * PRICE + 1);
        g[7] = MintToken.GiveBack(good.from, good.nonce, PRICE);
        g[8] = g[7];
        vm.prank(OPERATOR);
        same(token.giveBack(g), hex"010405060606070001", "results");
        same(state(blacklisted), 0, "nothing was recorded for the blacklisted payer");
        same(token.surplus(), PRICE, "the blacklisted payer's money waits");
        usdc.unBlacklist(blacklisted.from);
        same(giveBack(blacklisted, PRICE), 0, "later");
        balanced();
    }

    function test_sold_out_and_paid_around_settle_is_given_back() public {
        token = free(1, "one");
        paid("alice", 1);
        Auth memory b = around("bob", PRICE);
        same(credit(b, 1, 0), 3, "no credit over the cap");
        same(giveBack(b, PRICE), 0, "given back");
        same(usdc.balanceOf(BOB), 100 * PRICE, "whole");
    }

    /// The way out of a return, or a credit, of less than was paid: the rest needs another key, and a spent nonce of the
    /// payer that paid nothing gives one.
    function test_the_rest_of_a_payment_goes_back_under_a_nonce_of_value_zero() public {
        Auth memory a = around("alice", 3 * PRICE);
        same(giveBack(a, PRICE), 0, "too little");
        same(giveBack(a, 2 * PRICE), 1, "the key has ended");
        Auth memory zero = auth("alice", address(token), 0);
        zero.nonce = "zero";
        same(giveBack(zero, 2 * PRICE), 5, "not spent yet");
        submitAround(zero);
        uint256 state = vm.snapshotState();
        same(giveBack(zero, 2 * PRICE), 0, "the rest");
        same(token.surplus(), 0, "nothing is left");
        vm.revertToState(state);
        same(credit(zero, 2, 0), 0, "or units for it");
        same(mint(keyOf(zero)), 0, "minted");
        same(token.balanceOf(ALICE), 2 * UNIT, "units");
        balanced();
    }

    function test_minted_units_count_against_the_cap_of_a_credit() public {
        token = free(2, "two");
        same(mint(keyOf(paid("alice", 2))), 0, "sold out, and all minted");
        same(credit(around("bob", PRICE), 1, 0), 3, "no credit over the cap");
        same(token.unitsMinted() + token.open(), 2, "units");
    }

    // What neither can do

    function test_neither_runs_ahead_of_a_settle_in_flight() public {
        Auth memory a = auth("alice", address(token), PRICE);
        usdc.mint(address(token), 5 * PRICE);
        same(credit(a, 1, 0), 5, "the nonce is not spent");
        same(giveBack(a, PRICE), 5, "the nonce is not spent");
        same(settle(item(a)), hex"00", "settled");
        same(credit(a, 1, 0), 1, "the key is known");
    }

    function test_D9_a_cancelled_nonce_takes_surplus_only() public {
        bytes32 key = keyOf(paid("alice", 5));
        mint(keyOf(paid("bob", 2)));
        Auth memory thief = auth("thief", address(token), PRICE);
        cancel(thief);
        same(credit(thief, 1, 0), 7, "there is no surplus");
        same(giveBack(thief, 1), 7, "there is no surplus");
        Auth memory victim = around("carol", 2 * PRICE);
        same(credit(thief, 3, 0), 7, "no more than the surplus");
        same(credit(thief, 2, 0), 0, "a mistaken credit takes what went around settle");
        same(credit(victim, 2, 0), 7, "and the payer of it is not credited any more");
        same(mint(key), 0, "alice has her units");
        token.withdraw();
        same(usdc.balanceOf(CREATOR), 7 * PRICE, "the creator has the proceeds");
        same(refundBy(OPERATOR, keyOf(thief)), 0, "the mistaken credit can be undone only into its payer's money");
        same(usdc.balanceOf(address(token)), 0, "solvent to the last unit");
    }

    function testFuzz_S26_a_stolen_operator_key_takes_surplus_only(uint32 units, uint128 change, uint128 amount) public {
        Auth memory a = paid("alice", 5);
        mint(keyOf(paid("bob", 2)));
        around("carol", 3 * PRICE + 7);
        Auth memory thief = around("thief", 0);
        credit(thief, units % 6, change % (4 * PRICE));
        thief.nonce = "second";
        submitAround(thief);
        giveBack(thief, amount % (4 * PRICE));
        balanced();
        uint256 id = vm.snapshotState();
        same(refundBy(OPERATOR, keyOf(a)), 0, "alice's money is there");
        token.withdraw();
        same(usdc.balanceOf(CREATOR), 2 * PRICE, "the creator's, too");
        vm.revertToState(id);
        same(mint(keyOf(a)), 0, "or alice's units");
        token.withdraw();
        require(usdc.balanceOf(CREATOR) == 7 * PRICE, "and the creator's proceeds");
    }

    function test_an_owed_fee_is_no_surplus() public {
        usdc.blacklist(TREASURY);
        token = MintToken(factory.predictToken(config()));
        factory.deployOne(config(), payment(auth("deployer", address(token), FEE)));
        same(token.feeOwed(), FEE, "owed");
        same(token.surplus(), 0, "no surplus");
        Auth memory thief = around("thief", 0);
        same(giveBack(thief, 1), 7, "giveBack");
        same(credit(thief, 1, 0), 7, "credit");
    }

    function test_only_operators_credit_and_give_back() public {
        Auth memory a = around("alice", PRICE);
        MintToken.Credit[] memory c = new MintToken.Credit[](1);
        c[0] = MintToken.Credit(a.from, a.nonce, 1, 0);
        MintToken.GiveBack[] memory g = new MintToken.GiveBack[](1);
        g[0] = MintToken.GiveBack(a.from, a.nonce, PRICE);
        address[7] memory others = [OWNER, GUARDIAN, TREASURY, CREATOR, STRANGER, ALICE, address(factory)];
        for (uint256 i = 0; i < 7; ++i) {
            vm.startPrank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(MintToken.NotOperator.selector, others[i]));
            token.credit(c);
            vm.expectRevert(abi.encodeWithSelector(MintToken.NotOperator.selector, others[i]));
            token.giveBack(g);
            vm.stopPrank();
        }
        vm.prank(GUARDIAN);
        factory.removeOperator(OPERATOR);
        vm.prank(OPERATOR);
        vm.expectRevert(abi.encodeWithSelector(MintToken.NotOperator.selector, OPERATOR));
        token.credit(c);
        same(state(a), 0, "no record");
    }

    /// @notice A payment that somebody else submitted to the asset.
    function around(string memory name, uint64 value) private returns (Auth memory a) {
        a = auth(name, address(token), value);
        submitAround(a);
    }
}
