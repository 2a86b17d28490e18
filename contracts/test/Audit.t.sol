// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Hub} from "../src/Hub.sol";
import {MintToken} from "../src/MintToken.sol";
import {Settling} from "../src/Settling.sol";
import {YesAsset} from "./support/Assets.sol";
import {Batches} from "./support/Batches.sol";
import {Vm} from "./support/Vm.sol";

/// @notice Weaknesses that an audit found in an earlier form of the token and the hub, each with the test of what holds now.
/// Those of the factory are in `AuditFactory.t.sol`.
contract AuditTest is Batches {
    // A payment that is paid must not be reported as sold out.

    function test_a_known_key_says_1_though_the_token_is_sold_out() public {
        token = free(3, "small");
        bytes memory items = joined(many(2));
        vm.prank(STRANGER);
        same(token.settle("ours", ITEM_GAS, items, ""), hex"0000", "a stranger settles our batch and fills the cap");
        same(settle(items), hex"0101", "ours");
    }

    function test_the_last_unit_twice_in_one_batch_is_0_and_1() public {
        token = free(1, "small");
        bytes memory it = item(auth("a", address(token), PRICE));
        same(settle(bytes.concat(it, it)), hex"0001", "results");
    }

    function test_a_credited_and_a_returned_key_say_1_though_the_token_is_sold_out() public {
        token = free(1, "small");
        Auth memory a = auth("a", address(token), PRICE);
        Auth memory b = auth("b", address(token), PRICE);
        submitAround(a);
        submitAround(b);
        credit(a, 1, 0);
        giveBack(b, PRICE);
        same(settle(bytes.concat(item(a), item(b), item(auth("c", address(token), PRICE)))), hex"010103", "results");
    }

    // The balance has to grow by what is recorded.

    function test_nothing_is_recorded_or_minted_if_the_balance_did_not_grow() public {
        bytes32 honest = keyOf(paid("bob", 2));
        Auth memory a = auth("alice", address(token), 3 * PRICE);
        bytes memory it = item(a);
        vm.etch(address(usdc), type(YesAsset).runtimeCode);
        YesAsset(address(usdc)).setPercent(0);
        YesAsset(address(usdc)).give(address(token), 2 * PRICE);
        vm.expectRevert(abi.encodeWithSelector(Settling.BalanceTooSmall.selector, 3 * PRICE, 0));
        token.settle("b", ITEM_GAS, it, "");
        same(token.batchMint(list(keyOf(a), honest)), hex"0500", "only what was paid is minted");
        same(token.balanceOf(ALICE), 0, "alice has paid nothing and has nothing");
    }

    // Decided off chain. The fee leaves the trace of a payment around `settle`, so an operator could return it by
    // mistake. Such a return takes surplus only.

    function test_the_fee_that_made_the_token_can_be_given_back_out_of_surplus_only() public {
        token = MintToken(factory.predictToken(config()));
        Auth memory fee = auth("alice", address(token), FEE);
        (, uint256 how) = factory.deployOne(config(), payment(fee));
        same(how, 0, "paid and created");
        require(paidInAsset(fee) && state(fee) == 0, "the trace: a spent nonce and no record");
        bytes32 open = keyOf(paid("carol", 2));
        mint(keyOf(paid("dora", 3)));
        same(giveBack(fee, FEE), 7, "what records, creator and treasury own is out of reach");
        same(credit(fee, 1, 0), 7, "for a credit, too");

        Auth memory b = auth("bob", address(token), 3 * PRICE);
        submitAround(b);
        same(giveBack(fee, FEE), 0, "a mistake: it is paid out of bob's surplus");
        same(credit(b, 3, 0), 7, "bob waits until the missing money is sent to the token");
        balanced();
        same(usdc.balanceOf(TREASURY), FEE, "the treasury keeps the fee");
        token.withdraw();
        same(usdc.balanceOf(CREATOR), 3 * PRICE, "the creator has the proceeds");
        same(refundBy(OPERATOR, open), 0, "the open record is worth its price");
        usdc.mint(address(token), FEE);
        same(credit(b, 3, 0), 0, "the missing money was sent");
        same(giveBack(fee, 1), 1, "the fee is returned once at most");
        balanced();
    }

    /// Here the fee was paid around the factory, in a transaction before the one that created the token. So leaving out the
    /// creating transaction is not enough.
    function test_a_fee_that_lay_there_before_the_creation_leaves_the_same_trace() public {
        token = MintToken(factory.predictToken(config()));
        Auth memory fee = auth("alice", address(token), FEE);
        submitAround(fee);
        (, uint256 how) = factory.deployOne(config(), nothing());
        same(how, 2, "completed");
        require(paidInAsset(fee) && state(fee) == 0, "the trace");
        same(giveBack(fee, FEE), 7, "nothing is surplus");
        submitAround(auth("bob", address(token), 3 * PRICE));
        same(giveBack(fee, FEE), 0, "a mistake: it is paid out of bob's surplus");
        balanced();
    }

    // Decided off chain. No door may offer units of a token before its creation is final.

    function test_a_buyers_money_before_the_creation_completes_it_and_the_way_out_is_to_send_what_is_missing() public {
        token = MintToken(factory.predictToken(config()));
        Auth memory b = auth("bob", address(token), 3 * PRICE);
        submitAround(b);
        vm.prank(CREATOR);
        (, uint256 how) = factory.deployOne(config(), nothing());
        same(how, 2, "the buyer's money completes the deployment");
        same(usdc.balanceOf(TREASURY), FEE, "and is the fee");
        same(token.surplus(), 3 * PRICE - FEE, "the rest is surplus");
        same(credit(b, 3, 0), 7, "too little for a credit");
        same(giveBack(b, 3 * PRICE), 7, "and for a return");
        usdc.mint(address(token), FEE);
        same(credit(b, 3, 0), 0, "credited after the fee was sent to the token");
        same(mint(keyOf(b)), 0, "minted");
        same(token.balanceOf(BOB), 3 * UNIT, "bob has the units");
        balanced();
    }

    // Nothing of a payer's may be left without a key.

    function test_a_credit_leaves_nothing_of_the_payers_behind() public {
        Auth memory b = auth("bob", address(token), 2 * PRICE + PRICE / 2);
        submitAround(b);
        same(credit(b, 2, PRICE / 2), 0, "credited");
        same(token.surplus(), 0, "nothing is left");
        same(usdc.balanceOf(BOB), 98 * PRICE, "bob paid for two units");
        balanced();
    }

    // What one transfer of a payer can burn is bounded, and not small. The rule for batches is off chain.

    function test_a_payer_who_moves_the_money_away_costs_us_less_than_the_gas_per_item_for_each_item() public {
        Auth memory a = auth("griefer", address(token), PRICE);
        bytes memory items;
        for (uint256 i = 0; i < 100; ++i) {
            a.nonce = bytes32(i + 1);
            items = bytes.concat(items, item(a));
        }
        vm.prank(a.from);
        usdc.transfer(STRANGER, 100 * PRICE);
        uint256 before = gasleft();
        same(settle(items), row(FAILED, 100), "results");
        uint256 each = (before - gasleft()) / 100;
        require(each < ITEM_GAS, "bounded by the gas per item");
        require(each > 10_000, "and not small: few items of one payer may be in one batch");
    }

    // A fork with a new chain id must not make a key free whose nonce is spent.

    function test_a_fork_with_a_new_chain_id_does_not_free_a_key() public {
        Auth memory a = paid("alice", 1);
        bytes32 key = keyOf(a);
        usdc.mint(address(token), 5 * PRICE);
        vm.chainId(block.chainid + 1);
        same(credit(a, 1, 0), 1, "credit");
        same(giveBack(a, PRICE), 1, "giveBack");
        same(settle(item(a)), hex"01", "settle");
        require(token.keyOf(a.from, a.nonce) == key, "the key");
        same(mint(key), 0, "and it is minted under the key that it had");
    }

    // The gas is tested after the input was copied; the sweep is in Hub.t.sol.

    function test_a_segment_whose_input_eats_its_gas_is_not_attempted() public {
        Hub.Segment[] memory s = new Hub.Segment[](1);
        bytes memory long = bytes.concat(abi.encodeCall(token.withdraw, ()), new bytes(150_000));
        s[0] = Hub.Segment(address(token), 300_000, long);
        // 300,000 and a 63rd and the reserve: enough if copying were free.
        bytes memory call_ = abi.encodeCall(hub.run, ("b", s));
        (bool done, bytes memory answer) = address(hub).call{gas: 370_000}(call_);
        require(done, "reported");
        same(abi.decode(answer, (bytes)), hex"05", "not attempted");
        same(hub.run("b", s), hex"00", "with more gas");
    }

    function test_a_long_signature_is_copied_before_the_gas_is_tested() public {
        Auth memory a = auth("alice", address(token), PRICE);
        bytes memory signed = bytes.concat(signature(a, "Transfer"), new bytes(3000));
        same(token.settle("b", ITEM_GAS, itemLong(a, 200_000, 0, 2049), signed), hex"06", "no more than 2,048 bytes");
        same(token.settle("b", ITEM_GAS, itemLong(a, 200_000, 0, 65), signed), hex"00", "65 bytes of them");
    }

    // One record must not be able to revert a whole batchMint.

    function test_no_asset_gets_a_record_that_cannot_be_minted() public {
        bytes32 good = keyOf(paid("good", 1));
        vm.etch(address(usdc), type(YesAsset).runtimeCode);
        YesAsset(address(usdc)).setPercent(100);
        Auth memory zero = Auth(secret("x"), address(0), address(token), PRICE, 0, NOW + 1, "x");
        Auth memory self = Auth(secret("x"), address(token), address(token), PRICE, 0, NOW + 1, "x");
        same(settle(bytes.concat(item(zero), item(self))), hex"0606", "settle");
        same(credit(zero, 1, 0), 6, "credit of the zero address");
        same(credit(self, 1, 0), 6, "credit of the token");
        bytes32[] memory keys = new bytes32[](3);
        (keys[0], keys[1], keys[2]) = (keyOf(zero), good, keyOf(self));
        same(token.batchMint(keys), hex"050005", "the good one is minted");
    }

    // A reader of the events must be able to follow `open` and `surplus`.

    function test_a_credit_a_return_and_a_refund_are_different_events() public {
        Auth memory a = paid("alice", 1);
        Auth memory b = auth("bob", address(token), PRICE);
        Auth memory c = auth("carol", address(token), PRICE);
        submitAround(b);
        submitAround(c);
        vm.recordLogs();
        refundBy(OPERATOR, keyOf(a));
        giveBack(b, PRICE);
        credit(c, 1, 0);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        bytes32[] memory topics = new bytes32[](3);
        uint256 count;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(token)) topics[count++] = logs[i].topics[0];
        }
        require(topics[0] == MintToken.Refunded.selector, "refund");
        require(topics[1] == MintToken.GivenBack.selector, "giveBack");
        require(topics[2] == MintToken.Credited.selector && count == 3, "credit");
        require(topics[0] != topics[1] && topics[1] != topics[2] && topics[0] != topics[2], "all different");
    }

    function test_a_refused_refund_leaves_a_log() public {
        Auth memory a = paid("alice", 1);
        usdc.blacklist(ALICE);
        vm.recordLogs();
        refundBy(OPERATOR, keyOf(a));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        require(logs.length == 1 && logs[0].topics[0] == MintToken.RefundRefused.selector, "event");
    }
}
