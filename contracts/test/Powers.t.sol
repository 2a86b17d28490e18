// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {TokenFactory} from "../src/TokenFactory.sol";
import {PowersSuite} from "./support/PowersSuite.sol";

/// The powers of each actor, alone and together. `contracts/powers` writes POWERS.md from this file: a comment above a
/// group of tests is a heading, the name of a test is the title of its row, and the letters are its cells. `y`: the actor
/// does it here, to the full sum. `n`: each account of the actor tries every call that could do it, directly and through
/// the hub, and gains nothing.
contract PowersTest is PowersSuite {
    // Records of payers

    function test_settle_a_payment_and_have_it_recorded() public {
        row("yyyy yyy yyy y", 1, settlePayment, unitsOfFrank);
    }

    function settlePayment(address by) private {
        bytes memory items = item(auth("frank", address(token), PRICE));
        act(by, abi.encodeCall(token.settle, ("x", ITEM_GAS, items, "")));
    }

    function unitsOfFrank() private view returns (uint256) {
        (address payer, uint32 units,,) = token.recordOf(token.keyOf(account("frank"), keccak256("frank")));
        return payer == account("frank") ? units : 0;
    }

    function test_mint_an_open_record_to_its_payer() public {
        row("yyyy yyy yyy y", 3 * UNIT, mintAlice, unitsOfAlice);
    }

    function mintAlice(address by) private {
        act(by, abi.encodeCall(token.batchMint, (list(keyOf(alice)))));
    }

    function unitsOfAlice() private view returns (uint256) {
        return token.balanceOf(ALICE);
    }

    function test_mint_a_record_to_somebody_else_than_its_payer() public {
        row("nnnn nnn nnn n", 0, mintElsewhere, unitsOfLoot);
    }

    function mintElsewhere(address by) private {
        bytes memory altered = bytes.concat(bytes20(LOOT), slice(aliceItem, 20, 114));
        act(by, abi.encodeCall(token.settle, ("x", ITEM_GAS, altered, "")));
        act(by, credits(LOOT, alice.nonce, 3, 0));
        act(by, abi.encodeCall(token.batchMint, (list(keyOf(alice), keyOf(carol)))));
        act(by, abi.encodeCall(token.transferFrom, (ALICE, LOOT, UNIT)));
    }

    function test_mint_a_record_twice() public {
        row("nnnn nnn nnn n", 0, mintTwice, unitsTooMany);
    }

    function mintTwice(address by) private {
        act(by, abi.encodeCall(token.batchMint, (list(keyOf(alice), keyOf(alice)))));
        act(by, abi.encodeCall(token.settle, ("x", ITEM_GAS, aliceItem, "")));
        act(by, credits(ALICE, alice.nonce, 3, 0));
        act(by, credits(BOB, bob.nonce, 2, 0));
        act(by, abi.encodeCall(token.batchMint, (list(keyOf(alice), keyOf(bob)))));
    }

    function unitsTooMany() private view returns (uint256) {
        return token.balanceOf(ALICE) + token.balanceOf(BOB) - 5 * UNIT;
    }

    function test_take_the_money_of_a_record_to_an_own_address() public {
        token.withdraw(); // the proceeds are another row
        row("nnnn nnn nnn n", 0, takeRecord, moneyOfLoot);
    }

    function takeRecord(address by) private {
        act(by, abi.encodeCall(token.withdrawTo, (LOOT)));
        act(by, abi.encodeCall(token.takeFee, (LOOT, PRICE)));
        act(by, givesBack(LOOT, alice.nonce, 3 * PRICE));
        act(by, givesBack(LOOT, loot.nonce, 5 * PRICE)); // surplus is 4 units, and another row
        act(by, credits(LOOT, loot.nonce, 1, 4 * PRICE));
        act(by, abi.encodeCall(token.refund, (list(keyOf(alice)))));
    }

    function test_refund_a_record_to_its_payer_before_its_time() public {
        vm.warp(NOW + 7 days - 1);
        row("ynnn nnn yyn y", 3 * PRICE, refundAlice, moneyOfAlice);
    }

    function test_refund_a_record_to_its_payer_after_its_time() public {
        vm.warp(NOW + 7 days);
        row("ynnn nyn yyn y", 3 * PRICE, refundAlice, moneyOfAlice);
    }

    function refundAlice(address by) private {
        act(by, abi.encodeCall(token.refund, (list(keyOf(alice)))));
    }

    function moneyOfAlice() private view returns (uint256) {
        return usdc.balanceOf(ALICE) - (START - 3 * PRICE);
    }

    function test_refund_a_record_of_another_payer_to_that_payer() public {
        vm.warp(NOW + 7 days);
        row("ynnn nnn yyn y", 2 * PRICE, refundCarol, moneyOfCarol);
    }

    function refundCarol(address by) private {
        act(by, abi.encodeCall(token.refund, (list(keyOf(carol)))));
    }

    function moneyOfCarol() private view returns (uint256) {
        return usdc.balanceOf(carol.from) - (START - 2 * PRICE);
    }

    function test_end_a_record_as_money_before_it_is_minted() public {
        vm.warp(NOW + 7 days - 1);
        row("ynnn nnn yyn y", 1, refundAlice, mintsDenied);
    }

    /// @dev 1 if the money of the record went back, so that no units can follow.
    function mintsDenied() private returns (uint256) {
        uint8 result = mint(keyOf(alice));
        require(result == (moneyOfAlice() == 0 ? 0 : 2), "units or money");
        return result == 2 ? 1 : 0;
    }

    function test_leave_a_record_with_neither_way_out() public {
        row("nnnn nnn nnn n", 0, 7 days, spoilRecords, recordsWithoutEnd);
    }

    /// @dev Everything that could spoil a record, but for what ends it as units.
    function spoilRecords(address by) private {
        stopEverything(by);
        act(by, credits(ALICE, alice.nonce, 1, 0));
        act(by, givesBack(ALICE, alice.nonce, 1));
        act(by, abi.encodeCall(token.refund, (list(keyOf(alice), keyOf(carol)))));
    }

    function recordsWithoutEnd() private returns (uint256) {
        return withoutEnd(alice, 3) + withoutEnd(carol, 2);
    }

    /// @dev 0 if the payer has the money, or can have units as well as, since the seven days are over, the money.
    function withoutEnd(Auth memory a, uint256 units) private returns (uint256) {
        if (usdc.balanceOf(a.from) == START) return 0;
        uint256 state = vm.snapshotState();
        bool canMint = mint(keyOf(a)) == 0 && token.balanceOf(a.from) == units * UNIT;
        vm.revertToState(state);
        bool canRefund = refundBy(a.from, keyOf(a)) == 0 && usdc.balanceOf(a.from) == START;
        vm.revertToState(state);
        return canMint && canRefund ? 0 : 1;
    }

    function test_refund_a_record_twice() public {
        vm.warp(NOW + 7 days);
        same(refundBy(ALICE, keyOf(alice)), 0, "control: once");
        row("nnnn nnn nnn n", 0, refundAgain, gainOfAlice);
    }

    function refundAgain(address by) private {
        act(by, abi.encodeCall(token.refund, (list(keyOf(alice), keyOf(alice)))));
        act(by, abi.encodeCall(token.batchMint, (list(keyOf(alice)))));
        act(by, credits(ALICE, alice.nonce, 1, PRICE));
        act(by, givesBack(ALICE, alice.nonce, 3 * PRICE));
        act(by, abi.encodeCall(token.batchMint, (list(keyOf(alice)))));
    }

    function gainOfAlice() private view returns (uint256) {
        return usdc.balanceOf(ALICE) - START + token.balanceOf(ALICE);
    }

    // Surplus: payments that reached the token around `settle`

    function test_take_surplus() public {
        row("ynnn nnn yyn y", 4 * PRICE, takeSurplus, moneyOfLoot);
    }

    function takeSurplus(address by) private {
        act(by, givesBack(LOOT, loot.nonce, 4 * PRICE));
    }

    function test_credit_a_payment_whose_nonce_is_not_spent() public {
        row("nnnn nnn nnn n", 0, creditUnspent, recordOfUnspent);
    }

    function creditUnspent(address by) private {
        act(by, credits(LOOT, "unspent", 1, 0));
        act(by, givesBack(LOOT, "unspent", 1));
    }

    function recordOfUnspent() private view returns (uint256) {
        return token.outcome(token.keyOf(LOOT, "unspent")) + usdc.balanceOf(LOOT);
    }

    function test_credit_or_return_more_than_the_surplus() public {
        row("nnnn nnn nnn n", 0, creditTooMuch, recordOfLoot);
    }

    function creditTooMuch(address by) private {
        act(by, credits(LOOT, loot.nonce, 5, 0));
        act(by, credits(LOOT, loot.nonce, 4, 1));
        act(by, givesBack(LOOT, loot.nonce, 4 * PRICE + 1));
        act(by, givesBack(LOOT, loot.nonce, type(uint128).max));
    }

    function recordOfLoot() private view returns (uint256) {
        return token.outcome(keyOf(loot)) + usdc.balanceOf(LOOT);
    }

    // Proceeds and fees

    function test_take_the_proceeds_of_the_creator() public {
        row("nnny nnn nyn y", 2 * PRICE, takeProceeds, moneyOfLoot);
    }

    function takeProceeds(address by) private {
        act(by, abi.encodeCall(token.withdrawTo, (LOOT)));
        act(by, abi.encodeCall(token.takeFee, (LOOT, 2 * PRICE)));
    }

    function test_pay_the_proceeds_to_the_creator() public {
        row("yyyy yyy yyy y", 2 * PRICE, withdraw, moneyOfCreator);
    }

    function withdraw(address by) private {
        act(by, abi.encodeCall(token.withdraw, ()));
    }

    function moneyOfCreator() private view returns (uint256) {
        return usdc.balanceOf(CREATOR);
    }

    function test_take_a_fee_to_another_address_within_48_hours() public {
        row("nnnn nnn nnn n", 0, 48 hours - 1, takeFee, moneyOfLoot);
    }

    function test_take_fees_to_another_address_after_48_hours_if_the_guardian_does_not_cancel() public {
        row("nnyn nnn yny y", FEE, 48 hours, takeFee, moneyOfLoot);
    }

    function takeFee(address by) private {
        act(by, address(factory), abi.encodeCall(factory.setTreasury, (LOOT)));
        act(by, address(owing), abi.encodeCall(token.takeFee, (LOOT, FEE)));
        act(by, address(owing), givesBack(LOOT, loot.nonce, FEE));
        act(by, address(owing), abi.encodeCall(token.withdrawTo, (LOOT)));
        // To the treasury that is in effect, by anybody; here only once there is another, so that everybody has a try.
        if (factory.treasury() == LOOT) act(by, address(owing), abi.encodeCall(token.sweepFee, ()));
    }

    function test_pay_an_owed_fee_to_the_treasury() public {
        row("yyyy yyy yyy y", FEE, sweep, moneyOfTreasury);
    }

    function sweep(address by) private {
        act(by, address(factory), abi.encodeCall(factory.setTreasury, (LOOT)));
        act(by, address(owing), abi.encodeCall(token.sweepFee, ()));
    }

    function moneyOfTreasury() private view returns (uint256) {
        return usdc.balanceOf(TREASURY);
    }

    // Roles

    function test_appoint_an_operator_in_effect_within_48_hours() public {
        row("nnnn nnn nnn n", 0, 48 hours - 1, appoint, operators);
    }

    function test_appoint_an_operator_in_effect_after_48_hours_if_the_guardian_does_not_remove_it() public {
        row("nnyn nnn yny y", 1, 48 hours, appoint, operators);
    }

    function appoint(address by) private {
        act(by, address(factory), abi.encodeCall(factory.appointOperator, (LOOT)));
    }

    /// @dev 1 for LOOT, and 1 for the loss of the first operator.
    function operators() private view returns (uint256) {
        return (factory.isOperator(LOOT) ? 1 : 0) + (factory.isOperator(OPERATOR) ? 0 : 1);
    }

    function test_become_owner_within_48_hours() public {
        row("nnnn nnn nnn n", 0, 48 hours - 1, becomeOwner, newOwner);
    }

    function test_hand_the_ownership_over_after_48_hours_if_the_guardian_does_not_cancel() public {
        row("nnyn nnn yny y", 1, 48 hours, becomeOwner, newOwner);
    }

    function becomeOwner(address by) private {
        act(by, address(factory), abi.encodeCall(factory.acceptOwnership, ()));
        act(LOOT, address(factory), abi.encodeCall(factory.acceptOwnership, ()));
        act(by, address(factory), abi.encodeCall(factory.offerOwnership, (LOOT)));
    }

    function newOwner() private view returns (uint256) {
        return factory.owner() == OWNER ? 0 : 1;
    }

    function test_cancel_a_pending_treasury_and_a_pending_owner() public {
        require(tries(OWNER, address(factory), abi.encodeCall(factory.setTreasury, (LOOT))), "control: pending");
        require(tries(OWNER, address(factory), abi.encodeCall(factory.offerOwnership, (LOOT))), "control: pending");
        row("nyyn nnn yny y", 2, cancelPending, cancelled);
    }

    function cancelPending(address by) private {
        act(by, address(factory), abi.encodeCall(factory.cancelTreasury, ()));
        act(by, address(factory), abi.encodeCall(factory.cancelOwnership, ()));
    }

    function cancelled() private view returns (uint256) {
        (, uint256 treasurySince) = factory.pendingTreasury();
        (, uint256 ownerSince) = factory.pendingOwner();
        return (treasurySince == 0 ? 1 : 0) + (ownerSince == 0 ? 1 : 0);
    }

    function test_replace_the_guardian_within_48_hours() public {
        row("nnnn nnn nnn n", 0, 48 hours - 1, replaceGuardian, newGuardian);
    }

    function test_replace_the_guardian_after_48_hours() public {
        row("nnyn nnn yny y", 1, 48 hours, replaceGuardian, newGuardian);
    }

    function replaceGuardian(address by) private {
        act(by, address(factory), abi.encodeCall(factory.setGuardian, (LOOT)));
    }

    function newGuardian() private view returns (uint256) {
        return factory.guardian() == GUARDIAN ? 0 : 1;
    }

    function test_remove_an_operator_immediately() public {
        row("nyyn nnn yny y", 1, removeOperator, operators);
    }

    function removeOperator(address by) private {
        act(by, address(factory), abi.encodeCall(factory.removeOperator, (OPERATOR)));
    }

    // Stopping others

    function test_stop_new_payments() public {
        row("nyyn nnn yny y", 1, stop, paymentsStopped);
    }

    function stop(address by) private {
        act(by, address(factory), abi.encodeCall(factory.stopSettle, ()));
    }

    function paymentsStopped() private returns (uint256) {
        bytes1 result = settle(item(auth("frank", address(token), PRICE)))[0];
        require(result == OK || result == STOPPED, "paid or stopped");
        return result == STOPPED ? 1 : 0;
    }

    function test_resume_new_payments() public {
        require(tries(GUARDIAN, address(factory), abi.encodeCall(factory.stopSettle, ())), "control: stopped");
        row("nnyn nnn yny y", 1, resume, paymentsTaken);
    }

    function resume(address by) private {
        act(by, address(factory), abi.encodeCall(factory.resumeSettle, ()));
    }

    function paymentsTaken() private returns (uint256) {
        return 1 - paymentsStopped();
    }

    function test_hold_up_credits_and_give_backs_by_removing_operators() public {
        row("nyyn nnn yny y", 1, 7 days, stopEverything, returnsStopped);
    }

    function returnsStopped() private returns (uint256) {
        return failed(OPERATOR, address(token), givesBack(account("dave"), keccak256("dave"), 1));
    }

    function test_hold_up_credits_and_give_backs_by_the_stop_of_payments() public {
        row("nnnn nnn nnn n", 0, stop, returnsStopped);
    }

    function test_stop_a_withdrawal_or_a_deployment() public {
        row("nnnn nnn nnn n", 0, 7 days, stopEverything, othersStopped);
    }

    function stopEverything(address by) private {
        stop(by);
        removeOperator(by);
        act(by, address(factory), abi.encodeCall(factory.setGuardian, (address(0))));
        act(by, address(factory), abi.encodeCall(factory.setTreasury, (by)));
        act(by, address(factory), abi.encodeCall(factory.offerOwnership, (by)));
        act(by, abi.encodeCall(token.settle, ("x", 0, aliceItem, "")));
        act(by, abi.encodeCall(token.settle, ("x", ITEM_GAS, hex"00", "")));
        act(by, abi.encodeCall(token.batchMint, (new bytes32[](300))));
        act(by, abi.encodeCall(token.takeFee, (by, 0)));
        act(by, credits(address(0), "x", 1, 0));
    }

    function othersStopped() private returns (uint256 stopped) {
        stopped = failed(NOBODY, address(token), abi.encodeCall(token.withdraw, ()));
        stopped += failed(NOBODY, address(owing), abi.encodeCall(token.sweepFee, ()));
        TokenFactory.TokenConfig memory c = salted("later");
        submitAround(feeOf("frank", c));
        stopped += failed(NOBODY, address(factory), abi.encodeCall(factory.deployOne, (c, nothing())));
    }

    function test_make_a_call_of_others_revert() public {
        row("nnnn nnn nnn n", 0, 7 days, stopEverything, callsReverted);
    }

    function callsReverted() private returns (uint256 reverted) {
        Auth memory a = auth("frank", address(token), PRICE);
        bytes memory items = item(a);
        reverted = failed(NOBODY, address(token), abi.encodeCall(token.settle, ("x", ITEM_GAS, items, "")));
        reverted += failed(NOBODY, address(token), abi.encodeCall(token.batchMint, (list(keyOf(a), keyOf(carol)))));
        reverted += failed(NOBODY, address(token), abi.encodeCall(token.refund, (list(keyOf(a)))));
        reverted += failed(NOBODY, address(token), abi.encodeCall(token.recordOf, (keyOf(a))));
        reverted += failed(NOBODY, address(token), abi.encodeCall(token.surplus, ()));
        reverted += failed(carol.from, address(token), abi.encodeCall(token.transfer, (BOB, UNIT)));
    }

    // Tokens

    function test_change_the_terms_of_a_token() public {
        row("nnnn nnn nnn n", 0, changeTerms, termsChanged);
    }

    function changeTerms(address by) private {
        TokenFactory.TokenConfig memory c = config();
        (c.fee, c.salt, c.price, c.creator) = (0, "the token", 1, LOOT);
        act(by, address(factory), abi.encodeCall(factory.deployOne, (c, nothing())));
        act(by, abi.encodeWithSignature("initialize(address)", LOOT));
        act(by, abi.encodeWithSignature("setPrice(uint64)", 1));
        act(by, factory.implementation(), abi.encodeCall(token.withdrawTo, (LOOT)));
    }

    function termsChanged() private view returns (uint256) {
        bytes32 now_ =
            keccak256(abi.encode(token.unit(), token.maxUnits(), token.price(), token.creator(), token.name()));
        return now_ == keccak256(abi.encode(UNIT, CAP, PRICE, CREATOR, "Paper Boats")) ? 0 : 1;
    }

    function test_create_a_token_without_its_fee() public {
        row("nnnn nnn nnn n", 0, createUnpaid, unpaidTokens);
    }

    function createUnpaid(address by) private {
        TokenFactory.TokenConfig memory c = salted("unpaid");
        act(by, address(factory), abi.encodeCall(factory.deployOne, (c, nothing())));
        act(by, address(factory), abi.encodeCall(factory.deploy, (EACH, list(unpaid(c)))));
        TokenFactory.Payment memory p;
        (p.payer, p.nonce, p.validBefore, p.signature) =
        (ALICE, alice.nonce, alice.validBefore, signature(alice, "Transfer"));
        act(by, address(factory), abi.encodeCall(factory.deployOne, (c, p)));
        p.nonce = "new";
        act(by, address(factory), abi.encodeCall(factory.deployOne, (c, p)));
    }

    function unpaidTokens() private view returns (uint256) {
        return exists(predict(salted("unpaid"))) ? 1 : 0;
    }
}
