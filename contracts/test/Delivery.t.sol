// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../src/MintToken.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {Batches} from "./support/Batches.sol";
import {Vm} from "./support/Vm.sol";
import {BurningWallet, OwnedWallet} from "./support/Wallets.sol";

/// @notice How a record ends: as units or as money back.
contract DeliveryTest is Batches {
    uint8 private constant MINTED = 2;
    uint8 private constant REFUNDED = 3;

    // Minting

    function test_anybody_mints_the_recorded_units_to_the_recorded_payers() public {
        Auth memory a = paid("alice", 2);
        Auth memory b = paid("bob", 3);
        vm.recordLogs();
        vm.prank(STRANGER);
        same(token.batchMint(list(keyOf(a), keyOf(b))), hex"0000", "results");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        same(logs.length, 3, "a transfer each, and the report");
        require(logs[2].topics[0] == keccak256("MintBatch(bytes32[],bytes)") && logs[2].topics.length == 1, "event");
        (bytes32[] memory keys, bytes memory results) = abi.decode(logs[2].data, (bytes32[], bytes));
        require(keys.length == 2 && keys[0] == keyOf(a) && keys[1] == keyOf(b), "keys");
        same(results, hex"0000", "results");
        same(token.balanceOf(ALICE), 2 * UNIT, "alice");
        same(token.balanceOf(BOB), 3 * UNIT, "bob");
        same(token.balanceOf(STRANGER), 0, "nothing for the caller");
        same(token.totalSupply(), 5 * UNIT, "supply");
        require(token.unitsMinted() == 5 && token.open() == 0, "counts");
        (address payer, uint32 units, uint40 paidAt, uint8 s) = token.recordOf(keyOf(a));
        require(payer == ALICE && units == 2 && paidAt == NOW && s == MINTED, "the record");
        require(token.hasMinted(keyOf(a)) && token.outcome(keyOf(b)) == MINTED, "outcome");
        balanced();
    }

    function test_one_list_shows_every_result_and_mints_what_is_good_around_the_bad() public {
        Auth memory minted = paid("alice", 1);
        Auth memory refunded = paid("bob", 1);
        Auth memory returned = auth("carol", address(token), PRICE);
        submitAround(returned);
        giveBack(returned, PRICE);
        mint(keyOf(minted));
        refundBy(OPERATOR, keyOf(refunded));
        bytes32[] memory keys = new bytes32[](7);
        keys[0] = keyOf(paid("dora", 1));
        keys[1] = keyOf(minted);
        keys[2] = keyOf(refunded);
        keys[3] = keyOf(returned);
        keys[4] = "no such record";
        keys[5] = keys[0];
        keys[6] = keyOf(paid("emil", 2));
        same(token.batchMint(keys), hex"00010202050100", "results");
        same(token.unitsMinted(), 4, "each once");
        same(token.batchMint(keys), hex"01010202050101", "nothing is left");
        balanced();
    }

    function test_an_empty_list_mints_and_refunds_nothing() public {
        same(token.batchMint(new bytes32[](0)), hex"", "batchMint");
        same(token.refund(new bytes32[](0)), hex"", "refund");
    }

    function test_F50_minting_needs_nothing_of_the_asset_and_does_not_call_the_payer() public {
        Auth memory a = paid("alice", 1);
        Auth memory b = paid("bob", 1);
        usdc.blacklist(ALICE);
        usdc.pause();
        vm.etch(BOB, type(BurningWallet).runtimeCode);
        same(token.batchMint{gas: 300_000}(list(keyOf(a), keyOf(b))), hex"0000", "results");
    }

    function test_the_largest_token_is_minted_to_its_end() public {
        TokenFactory.TokenConfig memory c = config();
        (c.fee, c.price, c.maxUnits) = (0, type(uint64).max, type(uint32).max);
        c.unit = type(uint128).max / type(uint32).max;
        (address made,) = factory.deployOne(c, nothing());
        token = MintToken(made);
        Auth memory a = auth("alice", made, type(uint64).max);
        usdc.mint(ALICE, type(uint64).max);
        same(settle(item(a)), hex"00", "one unit at the largest price");
        same(mint(keyOf(a)), 0, "minted");
        same(token.balanceOf(ALICE), c.unit, "the largest unit");
        token.withdraw();
        same(usdc.balanceOf(CREATOR), type(uint64).max, "earned");
    }

    // Refunds

    function test_the_seven_days_begin_with_the_payment_and_end_to_the_second() public {
        vm.warp(NOW + 3 days);
        Auth memory a = paid("alice", 1);
        address[6] memory others = [BOB, STRANGER, CREATOR, OWNER, GUARDIAN, TREASURY];
        vm.warp(NOW + 10 days - 1);
        same(refundBy(ALICE, keyOf(a)), 7, "one second early");
        vm.warp(NOW + 10 days);
        for (uint256 i = 0; i < 6; ++i) {
            same(refundBy(others[i], keyOf(a)), 7, "not the caller's");
        }
        same(refundBy(ALICE, keyOf(a)), 0, "the payer's");
    }

    function test_an_operator_refunds_any_time_and_the_money_goes_to_the_payer() public {
        Auth memory a = paid("alice", 3);
        vm.recordLogs();
        same(refundBy(OPERATOR, keyOf(a)), 0, "in the same second");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        require(logs[1].topics[0] == keccak256("Refunded(bytes32,address,uint256)"), "event");
        require(logs[1].topics[1] == keyOf(a) && address(uint160(uint256(logs[1].topics[2]))) == ALICE, "topics");
        same(abi.decode(logs[1].data, (uint256)), 3 * PRICE, "the exact price");
        same(usdc.balanceOf(ALICE), 100 * PRICE, "the payer has everything back");
        same(usdc.balanceOf(OPERATOR), 0, "nothing for the caller");
        (address payer, uint32 units, uint40 paidAt, uint8 s) = token.recordOf(keyOf(a));
        require(payer == ALICE && units == 3 && paidAt == NOW && s == REFUNDED, "the record");
        same(token.open(), 0, "open");
        balanced();
    }

    function test_one_list_shows_every_result_of_a_refund() public {
        Auth memory blacklisted = paid("alice", 1);
        Auth memory minted = paid("bob", 1);
        bytes32[] memory keys = new bytes32[](6);
        keys[0] = keyOf(paid("carol", 2));
        keys[1] = keyOf(minted);
        keys[2] = keys[0];
        keys[3] = keyOf(blacklisted);
        keys[4] = "no such record";
        keys[5] = keyOf(paid("dora", 1));
        mint(keys[1]);
        usdc.blacklist(ALICE);
        same(token.refund(keys), hex"070107070507", "a stranger refunds nothing");
        vm.prank(OPERATOR);
        same(token.refund(keys), hex"000102040500", "an operator");
        same(token.open(), 1, "the blacklisted payer's record stands");
        balanced();
    }

    function test_a_payer_refunds_its_own_records_of_a_list_only() public {
        Auth memory a = paid("alice", 1);
        Auth memory b = paid("bob", 1);
        vm.warp(NOW + 7 days);
        vm.prank(ALICE);
        same(token.refund(list(keyOf(b), keyOf(a))), hex"0700", "results");
    }

    function test_F50_a_blacklisted_payer_fails_alone_and_is_refunded_or_minted_later() public {
        Auth memory a = paid("alice", 1);
        Auth memory b = paid("bob", 1);
        usdc.blacklist(ALICE);
        vm.recordLogs();
        vm.prank(OPERATOR);
        same(token.refund(list(keyOf(a), keyOf(b))), hex"0400", "alone");
        Vm.Log memory log = vm.getRecordedLogs()[0];
        require(log.topics[0] == keccak256("RefundRefused(bytes32,address,uint256)"), "event");
        require(log.topics[1] == keyOf(a) && address(uint160(uint256(log.topics[2]))) == ALICE, "topics");
        same(abi.decode(log.data, (uint256)), PRICE, "amount");
        (address payer, uint32 units, uint40 paidAt, uint8 s) = token.recordOf(keyOf(a));
        require(payer == ALICE && units == 1 && paidAt == NOW && s == PAID, "the record stands");
        uint256 id = vm.snapshotState();
        usdc.unBlacklist(ALICE);
        same(refundBy(OPERATOR, keyOf(a)), 0, "refunded later");
        same(usdc.balanceOf(ALICE), 100 * PRICE, "whole");
        vm.revertToState(id);
        same(mint(keyOf(a)), 0, "or minted");
        balanced();
    }

    function test_F50_while_the_asset_is_paused_every_refund_is_refused_and_every_record_stands() public {
        Auth memory a = paid("alice", 1);
        Auth memory b = paid("bob", 1);
        usdc.pause();
        vm.prank(OPERATOR);
        same(token.refund(list(keyOf(a), keyOf(b))), hex"0404", "paused");
        usdc.unpause();
        vm.prank(OPERATOR);
        same(token.refund(list(keyOf(a), keyOf(b))), hex"0000", "later");
    }

    function test_a_wallet_that_paid_refunds_itself() public {
        OwnedWallet wallet = new OwnedWallet(ALICE);
        Auth memory a = auth("alice", address(token), PRICE);
        a.from = address(wallet);
        usdc.mint(a.from, PRICE);
        same(settle(item(a)), hex"00", "paid");
        vm.warp(NOW + 7 days);
        vm.prank(ALICE);
        wallet.execute(address(token), abi.encodeCall(token.refund, (list(keyOf(a)))));
        same(usdc.balanceOf(a.from), PRICE, "whole");
    }

    function test_a_refund_frees_the_cap() public {
        token = free(5, "small");
        Auth memory a = paid("alice", 4);
        Auth memory b = auth("bob", address(token), 2 * PRICE);
        same(settle(item(b)), hex"03", "sold out");
        require(!paidInAsset(b), "not charged");
        refundBy(OPERATOR, keyOf(a));
        same(settle(item(b)), hex"00", "there is room again");
    }

    function test_at_any_total_of_gas_a_refund_pays_exactly_once_or_leaves_the_record() public {
        Auth memory a = paid("alice", 1);
        uint256 met;
        bytes memory call_ = abi.encodeCall(token.refund, (list(keyOf(a))));
        for (uint256 total = 2_000; total < 60_000; total += 149) {
            uint256 id = vm.snapshotState();
            vm.prank(OPERATOR);
            (bool done, bytes memory answer) = address(token).call{gas: total}(call_);
            bool back = usdc.balanceOf(ALICE) == 100 * PRICE;
            require((state(a) == REFUNDED) == back && (back || state(a) == PAID), "money back means refunded");
            same(token.open(), back ? 0 : 1, "open");
            require(done || !back, "undone as a whole");
            if (done) require((uint8(abi.decode(answer, (bytes))[0]) == 0) == back, "and reported");
            met |= back ? 1 : 2;
            vm.revertToState(id);
        }
        same(met, 3, "both were met");
    }

    // Races of a mint and a refund

    function test_the_refund_first_then_the_mint_in_flight_mints_nothing() public {
        Auth memory a = paid("alice", 3);
        vm.warp(NOW + 7 days);
        same(refundBy(ALICE, keyOf(a)), 0, "refunded");
        same(mint(keyOf(a)), 2, "the mint says so");
        same(token.totalSupply(), 0, "no units");
        same(usdc.balanceOf(ALICE), 100 * PRICE, "the money");
    }

    function test_the_mint_first_then_the_refund_in_flight_pays_nothing() public {
        Auth memory a = paid("alice", 3);
        vm.warp(NOW + 8 days);
        same(mint(keyOf(a)), 0, "minted by a stranger, ahead of the payer's refund");
        same(refundBy(ALICE, keyOf(a)), 1, "the refund says so");
        same(refundBy(OPERATOR, keyOf(a)), 1, "an operator's, too");
        same(token.balanceOf(ALICE), 3 * UNIT, "the units");
        same(usdc.balanceOf(ALICE), 97 * PRICE, "no money");
    }

    function testFuzz_S26_calls_of_strangers_move_nothing_but_units_to_their_payer(address anybody) public {
        vm.assume(anybody != ALICE && anybody != OPERATOR && anybody != CREATOR && anybody != address(factory));
        vm.assume(uint160(anybody) > 0xffff && anybody != address(vm));
        bytes32 key = keyOf(paid("alice", 1));
        bytes32[] memory unknown = new bytes32[](20);
        vm.startPrank(anybody);
        token.batchMint(unknown);
        token.refund(unknown);
        same(token.refund(list(key)), hex"07", "not the caller's");
        token.settle("ours", ITEM_GAS, new bytes(134 * 20), "");
        token.withdraw();
        token.sweepFee();
        require(!raw(abi.encodeCall(token.withdrawTo, (anybody))), "withdrawTo");
        require(!raw(abi.encodeCall(token.takeFee, (anybody, PRICE))), "takeFee");
        same(token.outcome(key), PAID, "the record stands");
        same(token.batchMint(list(key)), hex"00", "minted");
        vm.stopPrank();
        same(token.balanceOf(ALICE), UNIT, "to the payer");
        same(usdc.balanceOf(address(token)), PRICE, "no money moved");
    }

    function raw(bytes memory data) private returns (bool done) {
        (done,) = address(token).call(data);
    }
}
