// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {UsdcDouble} from "../src/dev/UsdcDouble.sol";
import {Suite} from "./support/Suite.sol";
import {Vm} from "./support/Vm.sol";
import {TrustingWallet, MuteWallet} from "./support/Wallets.sol";

/// @notice The rules and strings of FiatTokenV2_2, that the Rust side classifies failures by.
contract UsdcDoubleTest is Suite {
    string private constant USED = "FiatTokenV2: authorization is used or canceled";
    string private constant EXPIRED = "FiatTokenV2: authorization is expired";
    string private constant NOT_YET = "FiatTokenV2: authorization is not yet valid";
    string private constant BAD_SIGNATURE = "FiatTokenV2: invalid signature";
    string private constant BLACKLISTED = "Blacklistable: account is blacklisted";
    string private constant PAUSED = "Pausable: paused";

    function test_a_used_authorization_says_so() public {
        Auth memory a = auth("alice", address(token), PRICE);
        submitAround(a);
        refused(a, USED);
    }

    function test_a_cancelled_authorization_says_so() public {
        Auth memory a = auth("alice", address(token), PRICE);
        cancel(a);
        require(usdc.authorizationState(a.from, a.nonce), "state");
        refused(a, USED);
    }

    function test_the_window_is_strict_on_both_sides() public {
        Auth memory a = auth("alice", address(token), PRICE);
        a.validAfter = NOW;
        refused(a, NOT_YET);
        vm.warp(NOW + 1);
        a.validBefore = NOW + 1;
        refused(a, EXPIRED);
        a.validBefore = NOW + 2;
        submitAround(a);
    }

    function test_a_signature_of_somebody_else_says_so() public {
        Auth memory a = auth("alice", address(token), PRICE);
        a.key = secret("bob");
        refused(a, BAD_SIGNATURE);
    }

    function test_too_little_money_says_so_and_leaves_the_authorization_open() public {
        Auth memory a = auth("alice", address(token), PRICE);
        a.value = 100 * PRICE + 1;
        refused(a, "ERC20: transfer amount exceeds balance");
        require(!usdc.authorizationState(a.from, a.nonce), "state");
        usdc.mint(ALICE, 1);
        submitAround(a);
    }

    function test_a_blacklisted_payer_or_payee_says_so_until_free_again() public {
        Auth memory a = auth("alice", address(token), PRICE);
        usdc.blacklist(ALICE);
        refused(a, BLACKLISTED);
        same(usdc.balanceOf(ALICE), 100 * PRICE, "the balance shows");
        usdc.unBlacklist(ALICE);
        usdc.blacklist(a.to);
        refused(a, BLACKLISTED);
        usdc.unBlacklist(a.to);
        submitAround(a);
        same(usdc.balanceOf(ALICE), 99 * PRICE, "the balance is whole");
    }

    function test_while_paused_it_says_so_and_nothing_moves() public {
        Auth memory a = auth("alice", address(token), PRICE);
        usdc.pause();
        refused(a, PAUSED);
        (uint8 v, bytes32 r, bytes32 s) = signedCancel(a);
        vm.expectRevert(bytes(PAUSED));
        usdc.cancelAuthorization(a.from, a.nonce, v, r, s);
        vm.expectRevert(bytes(PAUSED));
        usdc.transfer(BOB, 0);
        vm.expectRevert(bytes(PAUSED));
        usdc.approve(BOB, 1);
        vm.expectRevert(bytes(PAUSED));
        usdc.mint(BOB, 1);
        usdc.unpause();
        submitAround(a);
    }

    function test_the_checks_come_in_the_order_of_FiatTokenV2_2() public {
        Auth memory a = auth("alice", address(token), PRICE);
        a.validBefore = NOW;
        a.key = secret("bob");
        a.value = type(uint64).max;
        cancel(auth("alice", address(token), PRICE));
        usdc.blacklist(ALICE);
        usdc.pause();
        refused(a, PAUSED);
        usdc.unpause();
        refused(a, BLACKLISTED);
        usdc.unBlacklist(ALICE);
        refused(a, EXPIRED);
        a.validBefore = NOW + 1;
        refused(a, USED);
        a.nonce = "fresh";
        refused(a, BAD_SIGNATURE);
        a.key = secret("alice");
        refused(a, "ERC20: transfer amount exceeds balance");
    }

    function test_a_high_s_is_refused_even_where_it_recovers_to_the_payer() public {
        Auth memory a = auth("alice", address(token), PRICE);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(a.key, digest(a, "Transfer"));
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        bytes32 high = bytes32(order - uint256(s));
        v = v == 27 ? 28 : 27;
        same(ecrecover(digest(a, "Transfer"), v, r, high), ALICE, "it does recover");
        vm.expectRevert("ECRecover: invalid signature 's' value");
        transferAs(a, v, r, high);
    }

    function testFuzz_a_v_other_than_27_and_28_is_refused(uint8 v) public {
        vm.assume(v != 27 && v != 28);
        Auth memory a = auth("alice", address(token), PRICE);
        (, bytes32 r, bytes32 s) = vm.sign(a.key, digest(a, "Transfer"));
        vm.expectRevert("ECRecover: invalid signature 'v' value");
        transferAs(a, v, r, s);
    }

    function test_a_signature_that_recovers_to_nobody_is_refused_also_for_the_zero_address() public {
        Auth memory a = auth("alice", address(token), PRICE);
        a.from = address(0);
        vm.expectRevert("ECRecover: invalid signature");
        transferAs(a, 27, 0, bytes32(uint256(1)));
    }

    function test_a_signature_of_another_length_is_refused() public {
        Auth memory a = auth("alice", address(token), PRICE);
        for (uint256 length = 0; length < 130; ++length) {
            if (length == 65) continue;
            vm.expectRevert("ECRecover: invalid signature length");
            transferAs(a, new bytes(length));
        }
    }

    function test_both_overloads_pay_alike() public {
        Auth memory first = auth("alice", address(token), PRICE);
        Auth memory second = auth("bob", address(token), PRICE);
        submitAround(first);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(second.key, digest(second, "Transfer"));
        transferAs(second, abi.encodePacked(r, s, v));
        same(usdc.balanceOf(address(token)), 2 * PRICE, "token");
    }

    function test_D9_a_payment_logs_AuthorizationUsed_and_next_its_Transfer_and_nothing_else() public {
        vm.recordLogs();
        Auth memory a = auth("alice", address(token), PRICE);
        vm.getRecordedLogs();
        submitAround(a);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        same(logs.length, 2, "logs");
        require(logs[0].topics[0] == keccak256("AuthorizationUsed(address,bytes32)"), "used");
        require(logs[1].topics[0] == keccak256("Transfer(address,address,uint256)"), "transfer");
    }

    function test_only_the_payee_receives_with_authorization() public {
        Auth memory a = auth("alice", address(token), PRICE);
        a.to = BOB;
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(a.key, digest(a, "Receive"));
        vm.prank(STRANGER);
        vm.expectRevert("FiatTokenV2: caller must be the payee");
        usdc.receiveWithAuthorization(a.from, BOB, a.value, a.validAfter, a.validBefore, a.nonce, v, r, s);
        vm.prank(BOB);
        usdc.receiveWithAuthorization(a.from, BOB, a.value, a.validAfter, a.validBefore, a.nonce, v, r, s);
        same(usdc.balanceOf(BOB), PRICE, "bob");
        a.nonce = "second";
        (v, r, s) = vm.sign(a.key, digest(a, "Receive"));
        vm.prank(BOB);
        usdc.receiveWithAuthorization(
            a.from, BOB, a.value, a.validAfter, a.validBefore, a.nonce, abi.encodePacked(r, s, v)
        );
        same(usdc.balanceOf(BOB), 2 * PRICE, "bob");
    }

    function test_only_the_payer_cancels_and_only_once() public {
        Auth memory a = auth("alice", address(token), PRICE);
        Auth memory forged = a;
        forged.key = secret("bob");
        (uint8 v, bytes32 r, bytes32 s) = signedCancel(forged);
        vm.expectRevert(bytes(BAD_SIGNATURE));
        usdc.cancelAuthorization(a.from, a.nonce, v, r, s);
        a.key = secret("alice");
        (v, r, s) = signedCancel(a);
        vm.recordLogs();
        usdc.cancelAuthorization(a.from, a.nonce, abi.encodePacked(r, s, v));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        same(logs.length, 1, "logs");
        require(logs[0].topics[0] == keccak256("AuthorizationCanceled(address,bytes32)"), "event");
        vm.expectRevert(bytes(USED));
        usdc.cancelAuthorization(a.from, a.nonce, v, r, s);
    }

    // Accounts with code

    function test_D12_an_account_with_code_is_asked_itself_whatever_the_length_of_the_signature() public {
        Auth memory a = auth("alice", address(token), PRICE);
        a.from = address(new TrustingWallet());
        usdc.mint(a.from, PRICE);
        transferAs(a, hex"01");
        same(usdc.balanceOf(address(token)), PRICE, "token");
    }

    function test_D12_an_EIP7702_account_is_asked_itself_and_a_good_signature_does_not_help() public {
        Auth memory a = auth("alice", address(token), PRICE);
        vm.etch(ALICE, abi.encodePacked(hex"ef0100", address(new MuteWallet())));
        refused(a, BAD_SIGNATURE);
    }

    // Placed, not deployed

    function test_its_code_works_at_any_address_on_any_chain_without_a_constructor() public {
        address base = 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913;
        vm.etch(base, address(usdc).code);
        usdc = UsdcDouble(base);
        vm.chainId(8453);
        Auth memory a = auth("alice", address(token), PRICE);
        submitAround(a);
        same(usdc.balanceOf(address(token)), PRICE, "token");
        same(usdc.name(), "USDC", "name");
        same(usdc.symbol(), "USDC", "symbol");
        same(usdc.version(), "2", "version");
        same(usdc.decimals(), 6, "decimals");
        require(!usdc.paused(), "paused");
        vm.chainId(84532);
        a.nonce = "second";
        submitAround(a);
    }

    function test_the_domain_follows_the_chain() public {
        Auth memory a = auth("alice", address(token), PRICE);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(a.key, digest(a, "Transfer"));
        vm.chainId(8453);
        vm.expectRevert(bytes(BAD_SIGNATURE));
        transferAs(a, v, r, s);
    }

    // ERC-20

    function test_money_moves_by_transfer_and_allowance() public {
        usdc.mint(ALICE, 10);
        vm.prank(ALICE);
        usdc.transfer(BOB, 3);
        vm.prank(ALICE);
        usdc.approve(STRANGER, 5);
        vm.startPrank(STRANGER);
        usdc.transferFrom(ALICE, BOB, 4);
        vm.expectRevert("ERC20: transfer amount exceeds allowance");
        usdc.transferFrom(ALICE, BOB, 2);
        vm.expectRevert("ERC20: transfer to the zero address");
        usdc.transferFrom(ALICE, address(0), 1);
        same(usdc.balanceOf(ALICE), 3, "alice");
        same(usdc.balanceOf(BOB), 7, "bob");
        same(usdc.totalSupply(), 10, "supply");
    }

    function test_a_transfer_to_oneself_changes_nothing() public {
        usdc.mint(ALICE, 10);
        vm.prank(ALICE);
        usdc.transfer(ALICE, 7);
        same(usdc.balanceOf(ALICE), 10, "alice");
    }

    function testFuzz_the_balance_and_the_blacklist_share_a_word_without_mixing(uint128 amount, bool listed) public {
        vm.assume(amount > 0);
        usdc.mint(ALICE, amount);
        if (listed) usdc.blacklist(ALICE);
        same(usdc.balanceOf(ALICE), amount, "balance");
        require(usdc.isBlacklisted(ALICE) == listed, "listed");
    }

    // Helpers

    function refused(Auth memory a, string memory reason) private {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(a.key, digest(a, "Transfer"));
        vm.expectRevert(bytes(reason));
        transferAs(a, v, r, s);
        vm.expectRevert(bytes(reason));
        transferAs(a, abi.encodePacked(r, s, v));
    }

    function transferAs(Auth memory a, uint8 v, bytes32 r, bytes32 s) private {
        usdc.transferWithAuthorization(a.from, a.to, a.value, a.validAfter, a.validBefore, a.nonce, v, r, s);
    }

    function transferAs(Auth memory a, bytes memory signed) private {
        usdc.transferWithAuthorization(a.from, a.to, a.value, a.validAfter, a.validBefore, a.nonce, signed);
    }
}
