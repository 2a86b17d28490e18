// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../src/MintToken.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {Suite} from "./support/Suite.sol";
import {Vm} from "./support/Vm.sol";
import {RefusingRecipient, BurningWallet} from "./support/Wallets.sol";
import {ReenteringAsset} from "./support/Assets.sol";

contract MintTokenTest is Suite {
    uint8 private constant MINTED = 0;
    uint8 private constant ALREADY_MINTED = 1;
    uint8 private constant REFUNDED = 2;
    uint8 private constant OVER_CAP = 3;
    uint8 private constant BAD_RECIPIENT = 4;
    uint8 private constant UNPAID = 5;
    uint8 private constant ZERO_QUANTITY = 6;

    // Minting

    function test_a_paid_quantity_is_minted_to_its_recipient() public {
        payFor(3);
        same(mintOne(ALICE, 3, "a"), MINTED, "result");
        same(token.balanceOf(ALICE), 3 * UNIT, "alice");
        same(token.totalSupply(), 3 * UNIT, "supply");
        same(token.unitsMinted(), 3, "units");
        same(token.earned(), 3 * PRICE, "earned");
        same(token.outcome("a"), 1, "outcome");
        require(token.hasMinted("a") && !token.hasMinted("b"), "hasMinted");
    }

    function test_a_batch_is_reported_in_one_event_after_its_transfers() public {
        payFor(2);
        vm.recordLogs();
        vm.prank(MINTER);
        token.batchMint(list(ALICE, BOB), list(1, 1), list("a", "b"));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        same(logs.length, 3, "logs");
        require(logs[2].topics[0] == keccak256("MintBatch(bytes32[],bytes)") && logs[2].topics.length == 1, "event");
        (bytes32[] memory keys, bytes memory results) = abi.decode(logs[2].data, (bytes32[], bytes));
        require(keys.length == 2 && keys[0] == "a" && keys[1] == "b", "keys");
        same(results, hex"0000", "results");
    }

    function test_resubmitted_identically_nothing_is_minted_twice() public {
        payFor(100);
        address[] memory to = list(ALICE, BOB);
        vm.prank(MINTER);
        same(token.batchMint(to, list(2, 3), list("a", "b")), hex"0000", "first");
        vm.prank(MINTER);
        same(token.batchMint(to, list(2, 3), list("a", "b")), hex"0101", "second");
        same(token.totalSupply(), 5 * UNIT, "supply");
    }

    function test_the_same_payment_twice_in_a_batch_is_minted_once() public {
        payFor(100);
        vm.prank(MINTER);
        same(token.batchMint(list(ALICE, BOB), list(2, 3), list("a", "a")), hex"0001", "results");
        same(token.balanceOf(BOB), 0, "bob");
    }

    function test_one_batch_shows_every_code_and_mints_what_is_good_around_the_bad() public {
        payFor(10);
        mintOne(ALICE, 1, "minted before");
        vm.prank(OPERATOR);
        token.refund(BOB, PRICE, "refunded before");

        address[] memory to = new address[](8);
        uint32[] memory quantities = new uint32[](8);
        bytes32[] memory keys = new bytes32[](8);
        for (uint256 i = 0; i < 8; ++i) {
            (to[i], quantities[i], keys[i]) = (BOB, 1, bytes32(i));
        }
        keys[1] = "minted before";
        keys[2] = "refunded before";
        quantities[3] = uint32(CAP);
        to[4] = address(0);
        quantities[5] = 8; // 1 + 1 + 8 = 10 units, of which 9 are paid
        quantities[6] = 0;
        to[6] = address(0);
        vm.prank(MINTER);
        same(token.batchMint(to, quantities, keys), hex"0001020304050600", "results");
        same(token.balanceOf(BOB), 2 * UNIT, "the first and the last");
        same(token.outcome(bytes32(uint256(5))), 0, "the unpaid one may still be minted or refunded");
    }

    function test_an_empty_batch_mints_nothing() public {
        vm.prank(MINTER);
        same(token.batchMint(new address[](0), new uint32[](0), new bytes32[](0)), hex"", "results");
    }

    function test_lists_of_different_lengths_are_refused() public {
        vm.startPrank(MINTER);
        vm.expectRevert(MintToken.LengthMismatch.selector);
        token.batchMint(list(ALICE), list(1, 1), list("a", "b"));
        vm.expectRevert(MintToken.LengthMismatch.selector);
        token.batchMint(list(ALICE, BOB), list(1), list("a"));
        vm.expectRevert(MintToken.LengthMismatch.selector);
        token.batchMint(list(ALICE, BOB), list(1), list("a", "b"));
    }

    function test_the_zero_address_and_the_token_itself_receive_nothing() public {
        payFor(2);
        vm.prank(MINTER);
        same(token.batchMint(list(address(0), address(token)), list(1, 1), list("a", "b")), hex"0404", "results");
        same(token.outcome("a"), 0, "and the payment stays open");
    }

    function test_F60_a_recipient_that_refuses_or_burns_gas_is_not_called() public {
        payFor(2);
        address[] memory hostile = list(address(new RefusingRecipient()), address(new BurningWallet()));
        vm.prank(MINTER);
        bytes memory results = token.batchMint{gas: 400_000}(hostile, list(1, 1), list("a", "b"));
        same(results, hex"0000", "results");
    }

    // Cap

    function test_the_cap_is_reached_and_not_passed() public {
        payFor(2 * CAP);
        same(mintOne(ALICE, uint32(CAP - 1), "a"), MINTED, "below");
        same(mintOne(ALICE, 2, "b"), OVER_CAP, "over");
        same(mintOne(ALICE, 1, "c"), MINTED, "at");
        same(mintOne(ALICE, 1, "d"), OVER_CAP, "full");
        same(token.totalSupply(), uint256(CAP) * UNIT, "supply");
    }

    function test_an_item_over_the_cap_leaves_room_for_a_smaller_one_in_the_same_batch() public {
        payFor(2 * CAP);
        mintOne(ALICE, uint32(CAP - 1), "a");
        vm.prank(MINTER);
        same(token.batchMint(list(BOB, BOB), list(2, 1), list("b", "c")), hex"0300", "results");
    }

    function test_the_largest_token_that_the_factory_takes_is_minted_to_its_end() public {
        TokenFactory.TokenConfig memory c = config();
        c.unit = type(uint128).max / type(uint32).max;
        c.maxUnits = type(uint32).max;
        c.price = type(uint64).max;
        token = MintToken(factory.createToken("large", c));
        usdc.mint(address(token), uint256(c.price) * c.maxUnits);
        same(mintOne(ALICE, type(uint32).max, "a"), MINTED, "result");
        same(token.totalSupply(), type(uint128).max, "supply");
        token.withdraw();
        same(usdc.balanceOf(CREATOR), uint256(type(uint64).max) * type(uint32).max, "creator");
    }

    function test_the_largest_price_and_cap_do_not_overflow_the_books() public {
        TokenFactory.TokenConfig memory c = config();
        (c.unit, c.maxUnits, c.price) = (1, type(uint64).max, type(uint64).max);
        token = MintToken(factory.createToken("large", c));
        usdc.mint(address(token), 2 ** 200);
        same(mintOne(ALICE, type(uint32).max, "a"), MINTED, "result");
        same(token.earned(), uint256(type(uint32).max) * type(uint64).max, "earned");
    }

    // Solvency: what is minted was paid

    function test_what_was_not_paid_is_not_minted() public {
        same(mintOne(ALICE, 1, "a"), UNPAID, "nothing paid");
        usdc.mint(address(token), PRICE - 1);
        same(mintOne(ALICE, 1, "a"), UNPAID, "one short");
        usdc.mint(address(token), 1);
        same(mintOne(ALICE, 2, "a"), UNPAID, "one is no two");
        same(mintOne(ALICE, 1, "a"), MINTED, "paid");
    }

    function test_an_unpaid_item_is_skipped_and_a_smaller_one_after_it_is_minted() public {
        payFor(3);
        vm.prank(MINTER);
        same(token.batchMint(list(ALICE, BOB), list(4, 3), list("a", "b")), hex"0500", "results");
    }

    function test_what_was_withdrawn_still_counts_as_paid_and_is_not_paid_twice() public {
        payFor(3);
        mintOne(ALICE, 2, "a");
        token.withdraw();
        same(mintOne(ALICE, 1, "b"), MINTED, "the third");
        same(mintOne(ALICE, 1, "c"), UNPAID, "no fourth");
    }

    function test_what_was_refunded_pays_for_nothing() public {
        payFor(2);
        vm.prank(OPERATOR);
        token.refund(ALICE, PRICE, "a");
        same(mintOne(BOB, 2, "b"), UNPAID, "one of two went back");
        same(mintOne(BOB, 1, "b"), MINTED, "the other");
    }

    function testFuzz_S26_a_stolen_minter_key_cannot_mint_more_than_was_paid(uint64 paid, uint32[] memory quantities)
        public
    {
        if (paid > 0) usdc.mint(address(token), paid);
        address[] memory to = new address[](quantities.length);
        bytes32[] memory keys = new bytes32[](quantities.length);
        for (uint256 i = 0; i < quantities.length; ++i) {
            (to[i], keys[i]) = (STRANGER, bytes32(i));
            if (i % 2 == 0) quantities[i] %= 300;
        }
        vm.prank(MINTER);
        token.batchMint(to, quantities, keys);
        require(token.unitsMinted() <= paid / PRICE, "units");
        require(token.unitsMinted() <= CAP, "cap");
        same(token.balanceOf(STRANGER), uint256(token.unitsMinted()) * UNIT, "the thief's");
        token.withdraw();
        same(usdc.balanceOf(CREATOR), uint256(token.unitsMinted()) * PRICE, "and the creator is paid for each");
        same(usdc.balanceOf(STRANGER), 0, "the thief has no money of it");
    }

    function test_S26_a_minter_that_the_owner_removed_mints_no_more() public {
        payFor(1);
        vm.prank(OWNER);
        factory.setMinter(MINTER, false);
        vm.prank(MINTER);
        vm.expectRevert(abi.encodeWithSelector(MintToken.NotMinter.selector, MINTER));
        token.batchMint(list(ALICE), list(1), list("a"));
    }

    function testFuzz_nobody_else_mints(address anybody) public {
        vm.assume(anybody != MINTER);
        vm.prank(anybody);
        vm.expectRevert(abi.encodeWithSelector(MintToken.NotMinter.selector, anybody));
        token.batchMint(list(ALICE), list(1), list("a"));
    }

    // Refunds

    function test_a_payment_without_outcome_is_refunded_once() public {
        payFor(2);
        vm.recordLogs();
        vm.prank(OPERATOR);
        token.refund(ALICE, PRICE, "a");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        require(logs[0].topics[0] == keccak256("Refunded(bytes32,address,uint256)"), "event");
        require(logs[0].topics[1] == "a" && logs[0].topics[2] == bytes32(uint256(uint160(ALICE))), "topics");
        same(abi.decode(logs[0].data, (uint256)), PRICE, "amount");
        same(usdc.balanceOf(ALICE), PRICE, "alice");
        same(token.outcome("a"), 2, "outcome");
        require(!token.hasMinted("a"), "hasMinted");
        same(token.refunded(), PRICE, "refunded");
        vm.prank(OPERATOR);
        vm.expectRevert(abi.encodeWithSelector(MintToken.AlreadyDone.selector, bytes32("a"), 2));
        token.refund(ALICE, PRICE, "a");
    }

    function test_a_refunded_payment_is_never_minted() public {
        payFor(2);
        vm.prank(OPERATOR);
        token.refund(ALICE, PRICE, "a");
        same(mintOne(ALICE, 1, "a"), REFUNDED, "result");
        same(token.totalSupply(), 0, "supply");
    }

    function test_a_minted_payment_is_never_refunded() public {
        payFor(2);
        mintOne(ALICE, 1, "a");
        vm.prank(OPERATOR);
        vm.expectRevert(abi.encodeWithSelector(MintToken.AlreadyDone.selector, bytes32("a"), 1));
        token.refund(ALICE, PRICE, "a");
    }

    function testFuzz_a_stolen_operator_key_cannot_take_what_is_earned(uint8 units, uint8 open, uint256 amount) public {
        if (uint256(units) + open > 0) payFor(uint256(units) + open);
        if (units > 0) mintOne(ALICE, units, "a");
        uint256 available = uint256(open) * PRICE;
        amount %= 2 * available + 2;
        same(token.refundable(), available, "refundable");
        vm.prank(OPERATOR);
        if (amount == 0) {
            vm.expectRevert(MintToken.ZeroAmount.selector);
        } else if (amount > available) {
            vm.expectRevert(abi.encodeWithSelector(MintToken.NotRefundable.selector, amount, available));
        }
        token.refund(STRANGER, amount, "b");
        token.withdraw();
        same(usdc.balanceOf(CREATOR), uint256(units) * PRICE, "the creator has all that is earned");
    }

    function test_an_overpayment_is_refundable_to_the_cent() public {
        usdc.mint(address(token), PRICE + 1);
        mintOne(ALICE, 1, "a");
        same(token.refundable(), 1, "refundable");
        vm.startPrank(OPERATOR);
        vm.expectRevert(abi.encodeWithSelector(MintToken.NotRefundable.selector, 2, 1));
        token.refund(BOB, 2, "b");
        token.refund(BOB, 1, "b");
        same(usdc.balanceOf(address(token)), PRICE, "the earned rest");
    }

    function test_refunds_to_nobody_to_the_token_or_of_nothing_are_refused() public {
        payFor(1);
        vm.startPrank(OPERATOR);
        vm.expectRevert(abi.encodeWithSelector(MintToken.BadRecipient.selector, address(0)));
        token.refund(address(0), 1, "a");
        vm.expectRevert(abi.encodeWithSelector(MintToken.BadRecipient.selector, address(token)));
        token.refund(address(token), 1, "a");
        vm.expectRevert(MintToken.ZeroAmount.selector);
        token.refund(ALICE, 0, "a");
        same(token.outcome("a"), 0, "still open");
    }

    function testFuzz_nobody_else_refunds(address anybody) public {
        vm.assume(anybody != OPERATOR);
        payFor(1);
        vm.prank(anybody);
        vm.expectRevert(abi.encodeWithSelector(MintToken.NotOperator.selector, anybody));
        token.refund(anybody, 1, "a");
    }

    function test_F50_a_refund_to_a_blacklisted_payer_fails_whole_and_the_payment_stays_open() public {
        payFor(1);
        usdc.blacklist(ALICE);
        vm.prank(OPERATOR);
        vm.expectRevert();
        token.refund(ALICE, PRICE, "a");
        same(token.outcome("a"), 0, "outcome");
        same(token.refunded(), 0, "refunded");
    }

    // Withdrawals

    function test_anyone_can_have_the_creator_paid_and_only_the_creator() public {
        payFor(5);
        mintOne(ALICE, 3, "a");
        vm.recordLogs();
        vm.prank(STRANGER);
        token.withdraw();
        Vm.Log[] memory logs = vm.getRecordedLogs();
        require(logs[0].topics[0] == keccak256("Withdrawn(address,uint256)"), "event");
        require(logs[0].topics[1] == bytes32(uint256(uint160(CREATOR))), "creator");
        same(abi.decode(logs[0].data, (uint256)), 3 * PRICE, "amount");
        same(usdc.balanceOf(CREATOR), 3 * PRICE, "creator");
        same(usdc.balanceOf(address(token)), 2 * PRICE, "what is not earned stays");
        same(token.withdrawn(), 3 * PRICE, "withdrawn");
    }

    function test_a_second_withdrawal_pays_only_what_was_earned_since() public {
        payFor(5);
        mintOne(ALICE, 3, "a");
        token.withdraw();
        vm.recordLogs();
        token.withdraw();
        same(vm.getRecordedLogs().length, 0, "nothing due, nothing happens");
        mintOne(ALICE, 1, "b");
        token.withdraw();
        same(usdc.balanceOf(CREATOR), 4 * PRICE, "creator");
    }

    function test_F50_a_withdrawal_to_a_blacklisted_creator_fails_whole_and_can_be_made_later() public {
        payFor(1);
        mintOne(ALICE, 1, "a");
        usdc.blacklist(CREATOR);
        vm.expectRevert();
        token.withdraw();
        same(token.withdrawn(), 0, "withdrawn");
        usdc.unBlacklist(CREATOR);
        token.withdraw();
        same(usdc.balanceOf(CREATOR), PRICE, "creator");
    }

    function test_F50_minting_goes_on_while_the_asset_is_paused() public {
        payFor(1);
        usdc.pause();
        same(mintOne(ALICE, 1, "a"), MINTED, "result");
    }

    function test_if_the_asset_takes_money_away_nothing_more_is_minted_and_nothing_breaks() public {
        payFor(3);
        mintOne(ALICE, 2, "a");
        vm.prank(address(token));
        usdc.transfer(BOB, 2 * PRICE); // as an upgraded asset could
        same(mintOne(ALICE, 1, "b"), UNPAID, "result");
        same(token.refundable(), 0, "refundable");
        vm.expectRevert();
        token.withdraw();
    }

    // Re-entry

    function test_F60_an_asset_that_calls_back_during_a_withdrawal_finds_every_door_locked() public {
        (MintToken t, ReenteringAsset asset) = onReenteringAsset();
        asset.give(address(t), 10 * PRICE);
        vm.prank(MINTER);
        t.batchMint(list(ALICE), list(2), list("a"));
        // The asset holds every role: only the lock is between it and the books.
        bytes[3] memory attempts = attemptsOf();
        for (uint256 i = 0; i < 3; ++i) {
            asset.onTransfer(address(t), attempts[i]);
            vm.prank(MINTER);
            t.batchMint(list(ALICE), list(1), list(bytes32(i)));
            t.withdraw();
            same(asset.answer(), abi.encodeWithSelector(MintToken.Reentered.selector), "locked");
        }
        same(asset.balanceOf(CREATOR), 5 * PRICE, "paid once each");
        same(t.totalSupply(), 5 * UNIT, "supply");
    }

    function test_F60_an_asset_that_calls_back_during_a_refund_finds_every_door_locked() public {
        (MintToken t, ReenteringAsset asset) = onReenteringAsset();
        asset.give(address(t), 10 * PRICE);
        bytes[3] memory attempts = attemptsOf();
        for (uint256 i = 0; i < 3; ++i) {
            asset.onTransfer(address(t), attempts[i]);
            vm.prank(OPERATOR);
            t.refund(BOB, PRICE, bytes32(i));
            same(asset.answer(), abi.encodeWithSelector(MintToken.Reentered.selector), "locked");
        }
        same(asset.balanceOf(BOB), 3 * PRICE, "refunded once each");
        same(t.totalSupply(), 0, "supply");
    }

    function onReenteringAsset() private returns (MintToken t, ReenteringAsset asset) {
        asset = new ReenteringAsset();
        TokenFactory f = new TokenFactory(address(asset), OWNER);
        vm.startPrank(OWNER);
        f.setMinter(MINTER, true);
        f.setMinter(address(asset), true);
        f.setOperator(OPERATOR, true);
        f.setOperator(address(asset), true);
        vm.stopPrank();
        t = MintToken(f.createToken("first", config()));
    }

    function attemptsOf() private view returns (bytes[3] memory attempts) {
        attempts[0] = abi.encodeCall(MintToken.withdraw, ());
        attempts[1] = abi.encodeCall(MintToken.refund, (STRANGER, PRICE, "stolen"));
        attempts[2] = abi.encodeCall(MintToken.batchMint, (list(STRANGER), list(1), list("stolen")));
    }

    // Terms and ERC-20

    function test_the_terms_are_those_of_the_configuration() public view {
        same(token.name(), "Paper Boats", "name");
        same(token.symbol(), "BOAT", "symbol");
        same(token.decimals(), 18, "decimals");
        same(token.unit(), UNIT, "unit");
        same(token.maxUnits(), CAP, "maxUnits");
        same(token.price(), PRICE, "price");
        same(token.asset(), address(usdc), "asset");
        same(token.creator(), CREATOR, "creator");
        same(address(token.factory()), address(factory), "factory");
    }

    function test_the_implementation_is_no_token() public {
        MintToken implementation = MintToken(factory.implementation());
        vm.startPrank(MINTER);
        vm.expectRevert(MintToken.NotAToken.selector);
        implementation.batchMint(list(ALICE), list(1), list("a"));
        vm.stopPrank();
        vm.prank(OPERATOR);
        vm.expectRevert(MintToken.NotAToken.selector);
        implementation.refund(ALICE, 1, "a");
        vm.expectRevert(MintToken.NotAToken.selector);
        implementation.withdraw();
    }

    function test_Permit2_has_no_allowance_that_the_holder_did_not_give() public {
        address permit2 = 0x000000000022D473030F116dDEE9F6B43aC78BA3;
        payFor(1);
        mintOne(ALICE, 1, "a");
        same(token.allowance(ALICE, permit2), 0, "allowance");
        vm.prank(permit2);
        vm.expectRevert();
        token.transferFrom(ALICE, permit2, 1);
        vm.prank(ALICE);
        token.approve(permit2, 5);
        vm.prank(permit2);
        token.transferFrom(ALICE, BOB, 5);
        same(token.balanceOf(BOB), 5, "bob");
    }

    function test_tokens_are_not_sent_to_nobody_or_to_the_token() public {
        payFor(1);
        mintOne(ALICE, 1, "a");
        vm.startPrank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(MintToken.BadRecipient.selector, address(0)));
        token.transfer(address(0), 1);
        vm.expectRevert(abi.encodeWithSelector(MintToken.BadRecipient.selector, address(token)));
        token.transfer(address(token), 1);
        token.approve(ALICE, 1);
        vm.expectRevert(abi.encodeWithSelector(MintToken.BadRecipient.selector, address(token)));
        token.transferFrom(ALICE, address(token), 1);
    }

    function test_tokens_move_by_transfer_and_by_permit() public {
        payFor(1);
        mintOne(ALICE, 1, "a");
        vm.prank(ALICE);
        token.transfer(BOB, 1);
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                ALICE,
                STRANGER,
                uint256(7),
                uint256(0),
                uint256(NOW)
            )
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(keyOf("alice"), keccak256(abi.encodePacked(bytes2(0x1901), token.DOMAIN_SEPARATOR(), structHash)));
        token.permit(ALICE, STRANGER, 7, NOW, v, r, s);
        vm.prank(STRANGER);
        token.transferFrom(ALICE, BOB, 7);
        same(token.balanceOf(BOB), 8, "bob");
    }

    function test_payments_of_one_token_do_not_pay_for_another() public {
        MintToken other = MintToken(factory.createToken("second", config()));
        usdc.mint(address(other), 10 * PRICE);
        same(mintOne(ALICE, 1, "a"), UNPAID, "result");
    }

    // The whole way

    function test_paid_by_signature_then_minted_then_withdrawn() public {
        Auth[] memory auths = fundedMany(3);
        same(settle(signedAll(auths)), hex"000000", "settled");
        for (uint256 i = 0; i < 3; ++i) {
            same(mintOne(auths[i].from, 1, auths[i].nonce), MINTED, "minted");
        }
        same(mintOne(ALICE, 1, "free"), UNPAID, "no fourth");
        token.withdraw();
        same(usdc.balanceOf(CREATOR), 3 * PRICE, "creator");
        same(usdc.balanceOf(address(token)), 0, "token");
    }
}
