// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../src/MintToken.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {DeploySuite} from "./support/DeploySuite.sol";
import {Vm} from "./support/Vm.sol";

/// A deployment is paid and created in one call, or neither; whoever pays and whoever calls.
contract DeployTest is DeploySuite {
    // The ordinary way

    function test_one_call_takes_the_fee_and_creates_the_ordered_token() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        same(deploy(order(c, a)), hex"00", "paid here and created");
        whole(a, true);
        token = MintToken(a.to);
        same(
            abi.encode(token.name(), token.symbol(), token.unit(), token.maxUnits(), token.price(), token.creator()),
            abi.encode(c.name, c.symbol, c.unit, c.maxUnits, c.price, c.creator),
            "the ordered terms"
        );
        same(token.asset(), address(usdc), "asset");
        same(address(token.factory()), address(factory), "factory");
        same(token.totalSupply() + token.open() + token.feeOwed() + token.surplus(), 0, "a fresh token");
    }

    function test_deployOne_returns_the_predicted_address_and_that_it_was_paid_here() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        (address made, uint256 how) = factory.deployOne(c, payment(a));
        same(made, a.to, "address");
        same(how, 0, "paid here and created");
        whole(a, true);
    }

    function test_a_payment_that_fails_creates_nothing_and_may_be_tried_again() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        vm.prank(ALICE);
        usdc.transfer(BOB, START);
        TokenFactory.Payment memory p = payment(a);
        vm.expectRevert(abi.encodeWithSelector(TokenFactory.PaymentFailed.selector, a.to));
        factory.deployOne(c, p);
        same(deploy(order(c, a)), hex"04", "no money");
        require(!exists(a.to) && !used(a), "neither paid nor created");
        vm.prank(BOB);
        usdc.transfer(ALICE, START);
        same(deploy(order(c, a)), hex"00", "paid later");
        whole(a, true);
    }

    function test_the_same_item_again_is_not_charged() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        same(deploy(order(c, a), order(c, a)), hex"0001", "twice in one batch");
        same(deploy(order(c, a)), hex"01", "in another call");
        a.nonce = "signed again after a timeout";
        same(deploy(order(c, a)), hex"01", "another signature");
        require(!used(a), "the second authorization is unused");
        (address made, uint256 how) = factory.deployOne(c, payment(a));
        same(made, a.to, "the token that is there");
        same(how, 1, "found");
        same(usdc.balanceOf(ALICE), START - FEE, "charged once");
        same(usdc.balanceOf(TREASURY), FEE, "one fee");
    }

    function test_a_free_deployment_needs_no_payment_and_takes_none() public {
        TokenFactory.TokenConfig memory c = config();
        c.fee = 0;
        Auth memory a = feeOf("alice", c);
        same(deploy(order(c, a), unpaid(c)), hex"0201", "created without a payment");
        require(exists(a.to) && !used(a), "the payment of nothing was not submitted");
        same(usdc.balanceOf(TREASURY), 0, "no fee");
        require(predict(config()) != a.to, "the same token with a fee has another address");
    }

    // One batch with every result that `deploy` has; the last call adds 5.
    function test_deploy_reports_each_of_its_results() public {
        bytes[] memory items = new bytes[](7);
        Auth memory used_ = feeOf("alice", salted("paid"));
        items[0] = order(salted("paid"), used_);
        items[1] = order(salted("paid"), used_);
        submitAround(feeOf("bob", salted("lies there")));
        items[2] = unpaid(salted("lies there"));
        items[3] = unpaid(salted("unpaid"));
        items[4] = order(salted("altered"), used_);
        TokenFactory.TokenConfig memory impossible = config();
        impossible.price = 0;
        items[5] = unpaid(impossible);
        items[6] = hex"deadbeef";
        vm.recordLogs();
        bytes memory results = factory.deploy(EACH, items);
        same(results, hex"00010203040607", "one of each");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        same(logOf(logs, address(factory), "Deployments(bytes)").data, abi.encode(results), "the event");
        same(countLogs(logs, address(factory), "TokenCreated(address,address,uint256,bytes32,bytes32)"), 2, "tokens");

        same(factory.deploy(2_000, list(items[3])), hex"07", "too little gas for the item");
        same(factory.deploy(gasleft(), list(items[3])), hex"05", "more gas than there is");
        same(factory.deploy(type(uint256).max, list(items[3])), hex"05", "more gas than a block can hold");
    }

    function test_an_empty_batch_does_nothing() public {
        same(factory.deploy(EACH, new bytes[](0)), "", "no results");
    }

    // Somebody submitted the authorization to the asset before the deployment

    function test_anybody_completes_a_deployment_whose_fee_lies_at_the_address() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        submitAround(a);
        require(!exists(a.to), "paid, and no token yet");
        address[5] memory callers = [ALICE, BOB, STRANGER, CREATOR, OWNER];
        uint256 start = vm.snapshotState();
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.prank(callers[i]);
            (address made, uint256 how) = factory.deployOne(c, nothing());
            same(how, 2, "completed");
            same(made, a.to, "the ordered address");
            whole(a, true);
            vm.revertToState(start);
        }
        same(deploy(order(c, a)), hex"02", "the payer's own item completes it, too");
        whole(a, true);
    }

    // Each bit is one thing that may be wrong: the roles are gone, the treasury, the token or the payer is blacklisted,
    // the asset is paused, new payments are stopped. Ten years pass in any case.
    function test_a_payer_gets_the_token_whatever_became_of_the_operator_and_the_asset() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        submitAround(a);
        for (uint256 weather = 0; weather < 64; ++weather) {
            uint256 state = vm.snapshotState();
            vm.startPrank(OWNER);
            if (weather & 1 != 0) {
                factory.removeOperator(OPERATOR);
                factory.setGuardian(address(0));
                factory.offerOwnership(address(0xdead));
            }
            if (weather & 2 != 0) usdc.blacklist(TREASURY);
            if (weather & 4 != 0) usdc.blacklist(a.to);
            if (weather & 8 != 0) usdc.blacklist(ALICE);
            if (weather & 16 != 0) usdc.pause();
            if (weather & 32 != 0) factory.stopSettle();
            vm.stopPrank();
            vm.warp(NOW + 3650 days);
            vm.prank(ALICE);
            (, uint256 how) = factory.deployOne(c, nothing());
            same(how, 2, "completed by the payer");
            bool waits = weather & (2 | 4 | 16) != 0;
            same(MintToken(a.to).feeOwed(), waits ? FEE : 0, "the fee that waits");
            same(usdc.balanceOf(TREASURY), waits ? 0 : FEE, "the fee that is paid");
            vm.revertToState(state);
        }
    }

    function test_no_token_exists_as_long_as_its_fee_is_not_there() public {
        TokenFactory.TokenConfig memory c = config();
        address payee = predict(c);
        vm.expectRevert(abi.encodeWithSelector(TokenFactory.Unpaid.selector, payee, FEE, 0));
        factory.deployOne(c, nothing());
        usdc.mint(payee, FEE - 1);
        vm.expectRevert(abi.encodeWithSelector(TokenFactory.Unpaid.selector, payee, FEE, FEE - 1));
        factory.deployOne(c, nothing());
        same(deploy(unpaid(c)), hex"03", "one atomic unit is missing");
        usdc.mint(payee, 1);
        same(deploy(unpaid(c)), hex"02", "now it is there");
    }

    function test_money_beyond_the_fee_stays_as_surplus() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        usdc.mint(a.to, 7);
        same(deploy(order(c, a)), hex"00", "too little for the fee: it is pulled in full");
        same(MintToken(a.to).surplus(), 7, "surplus");
        same(usdc.balanceOf(TREASURY), FEE, "the fee and no more");
        c.salt = "more than the fee";
        usdc.mint(predict(c), FEE + 9);
        same(deploy(order(c, feeOf("bob", c))), hex"02", "enough: nothing is pulled");
        same(token_(c).surplus(), 9, "surplus");
        same(usdc.balanceOf(TREASURY), 2 * FEE, "one fee each");
    }

    // Two payers

    function test_a_stranger_who_pays_makes_a_present() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory gift = feeOf("stranger", c);
        Auth memory a = feeOf("alice", c);
        require(tries(STRANGER, address(factory), abi.encodeCall(factory.deployOne, (c, payment(gift)))), "a present");
        same(deploy(order(c, a)), hex"01", "found");
        require(!used(a), "alice keeps her authorization");
        same(usdc.balanceOf(ALICE), START, "and her money");
        same(MintToken(a.to).creator(), CREATOR, "the earner is the ordered one");
    }

    function test_the_second_of_two_payers_is_not_charged() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        Auth memory b = feeOf("bob", c);
        same(deploy(order(c, a), order(c, b)), hex"0001", "one batch");
        same(deploy(order(c, b)), hex"01", "another call");
        require(used(a) && !used(b), "only alice paid");
        same(usdc.balanceOf(BOB), START, "bob's money");
    }

    function test_a_payer_is_not_charged_if_the_money_of_another_lies_there() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        Auth memory b = feeOf("bob", c);
        submitAround(a);
        same(deploy(order(c, b), order(c, a)), hex"0201", "alice's money, bob's item");
        require(!used(b), "bob keeps his authorization");
        same(usdc.balanceOf(BOB), START, "and his money");
        same(MintToken(a.to).surplus(), 0, "nothing is left over");
    }

    function test_a_second_fee_is_surplus_and_goes_back_once() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        Auth memory b = feeOf("bob", c);
        submitAround(a);
        submitAround(b);
        same(deploy(order(c, a), order(c, b)), hex"0201", "one token");
        token = MintToken(a.to);
        same(token.surplus(), FEE, "the second fee");
        same(usdc.balanceOf(TREASURY), FEE, "the first fee");
        same(giveBack(b, uint128(FEE) + 1), 7, "more than there is");
        same(giveBack(b, uint128(FEE)), 0, "returned");
        same(usdc.balanceOf(BOB), START, "bob has all his money");
        same(giveBack(b, 1), 1, "once");
        same(giveBack(a, 1), 7, "the first fee is not here");
        balanced();
    }

    // The fee

    function test_an_offer_stays_good_at_its_fee_after_the_offers_changed() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        TokenFactory.TokenConfig memory dearer = config();
        TokenFactory.TokenConfig memory cheaper = config();
        (dearer.fee, cheaper.fee) = (2 * FEE, 1);
        same(deploy(order(dearer, a), order(cheaper, a)), hex"0404", "the signature fits no other fee");
        require(!exists(predict(dearer)) && !exists(predict(cheaper)) && !used(a), "nothing happened");
        vm.warp(NOW + 29 days);
        same(deploy(order(c, a)), hex"00", "it fits its own");
        whole(a, true);
    }

    function testFuzz_the_treasury_receives_exactly_the_fee_of_the_configuration(uint64 fee) public {
        TokenFactory.TokenConfig memory c = config();
        c.fee = fee;
        Auth memory a = feeOf("alice", c);
        if (fee > START) usdc.mint(ALICE, fee - START);
        uint256 before = usdc.balanceOf(ALICE);
        (, uint256 how) = factory.deployOne(c, payment(a));
        same(how, fee == 0 ? 2 : 0, "how");
        same(usdc.balanceOf(TREASURY), fee, "the fee");
        same(usdc.balanceOf(ALICE), before - fee, "the payer");
    }

    // No function of any role changes a price, and the receiver of the fee is the treasury that is in effect.
    function test_no_role_can_change_the_fee_or_name_another_receiver_in_time() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        vm.startPrank(OWNER);
        factory.setTreasury(BOB);
        factory.appointOperator(BOB);
        factory.setGuardian(BOB);
        factory.stopSettle();
        vm.stopPrank();
        vm.warp(NOW + 48 hours - 1);
        same(predict(c), a.to, "the address did not move");
        uint256 state = vm.snapshotState();
        same(deploy(order(c, a)), hex"00", "created");
        whole(a, true); // the fee is with the old treasury
        vm.revertToState(state);
        vm.warp(NOW + 48 hours);
        same(deploy(order(c, a)), hex"00", "created");
        same(usdc.balanceOf(BOB), FEE, "the fee is with the new treasury");
    }

    // A live authorization of a fee, after the token exists

    function test_a_late_fee_buys_no_units_unless_it_is_a_whole_number_of_them() public {
        TokenFactory.TokenConfig memory c = config();
        deploy(order(c, feeOf("alice", c)));
        token = token_(c);
        Auth memory b = feeOf("bob", c);
        same(settle(item(b)), hex"06", "refused before money moves");
        require(!used(b), "not charged");
        c.fee = 3 * PRICE; // what offers avoid
        deploy(order(c, feeOf("dave", c)));
        token = token_(c);
        same(settle(item(feeOf("carol", c))), hex"00", "three units for a payer who ordered a deployment");
    }
}
