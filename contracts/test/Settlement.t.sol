// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Settlement} from "../src/Settlement.sol";
import {Suite} from "./support/Suite.sol";
import {Vm} from "./support/Vm.sol";
import {
    TrustingWallet,
    BurningWallet,
    ThinkingWallet,
    LoudWallet,
    WritingWallet,
    MuteWallet
} from "./support/Wallets.sol";
import {LoudAsset} from "./support/Assets.sol";

contract SettlementTest is Suite {
    bytes32 private constant AUTHORIZATION_USED = keccak256("AuthorizationUsed(address,bytes32)");
    bytes32 private constant AUTHORIZATION_CANCELED = keccak256("AuthorizationCanceled(address,bytes32)");
    bytes32 private constant TRANSFER = keccak256("Transfer(address,address,uint256)");
    bytes32 private constant BATCH = keccak256("Batch(bytes32,bytes)");

    // It pays

    function test_every_payment_of_a_batch_is_paid_and_reported_once() public {
        Auth[] memory auths = fundedMany(3);
        auths[1].to = BOB;
        auths[2].value = 7;
        vm.recordLogs();
        same(settle(signedAll(auths)), hex"000000", "results");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        same(usdc.balanceOf(address(token)), PRICE + 7, "the token");
        same(usdc.balanceOf(BOB), PRICE, "bob");
        same(usdc.balanceOf(address(settlement)), 0, "the settlement holds nothing");
        same(logs.length, 7, "logs");
        same(logs[6].emitter, address(settlement), "the report is the last log");
        require(logs[6].topics[0] == BATCH && logs[6].topics[1] == "batch", "the report names the batch");
        same(abi.decode(logs[6].data, (bytes)), hex"000000", "the report");
    }

    function test_D9_a_paid_item_leaves_AuthorizationUsed_and_the_adjacent_Transfer() public {
        Auth memory auth = funded("alice");
        vm.recordLogs();
        settle(signed(auth));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        require(logs[0].topics[0] == AUTHORIZATION_USED && logs[1].topics[0] == TRANSFER, "order");
        require(logs[0].topics[2] == auth.nonce, "nonce");
        same(address(uint160(uint256(logs[1].topics[1]))), auth.from, "payer");
        same(address(uint160(uint256(logs[1].topics[2]))), auth.to, "payee");
        same(abi.decode(logs[1].data, (uint256)), auth.value, "value");
    }

    function testFuzz_whatever_was_signed_is_what_is_paid(
        uint64 value,
        uint40 early,
        uint40 late,
        bytes32 nonce,
        uint256 key
    ) public {
        Auth memory auth;
        auth.key = 1 + key % (2 ** 250);
        auth.from = vm.addr(auth.key);
        auth.to = BOB;
        auth.value = value;
        auth.validAfter = early % NOW;
        auth.validBefore = NOW + 1 + late % (type(uint40).max - NOW - 1);
        auth.nonce = nonce;
        if (value > 0) usdc.mint(auth.from, value);
        same(settle(signed(auth)), hex"00", "result");
        same(usdc.balanceOf(BOB), value, "bob");
        same(usdc.balanceOf(auth.from), 0, "the payer");
    }

    function test_anyone_may_submit_a_batch() public {
        bytes memory items = signed(funded("alice"));
        vm.prank(STRANGER);
        same(settlement.settleBatch("theirs", ITEM_GAS, items), hex"00", "result");
    }

    // One fails alone: everybody before and after it is paid

    function test_D10_an_authorization_that_a_third_party_submitted_first_fails_alone_and_is_paid() public {
        Auth[] memory auths = fundedMany(3);
        submitDirectly(auths[1]);
        same(settle(signedAll(auths)), hex"000400", "results");
        same(usdc.balanceOf(address(token)), 3 * PRICE, "all three are paid, once");
    }

    function test_D10_a_batch_that_a_third_party_copied_and_sent_first_fails_whole_and_is_paid() public {
        bytes memory items = signedAll(fundedMany(3));
        vm.prank(STRANGER);
        settlement.settleBatch("theirs", ITEM_GAS, items);
        same(settle(items), hex"040404", "results");
        same(usdc.balanceOf(address(token)), 3 * PRICE, "paid once");
    }

    function test_D9_an_authorization_that_its_payer_cancelled_fails_alone_and_is_not_paid_though_its_state_is_true()
        public
    {
        Auth[] memory auths = fundedMany(3);
        (uint8 v, bytes32 r, bytes32 s) = signedCancel(auths[1]);
        vm.recordLogs();
        usdc.cancelAuthorization(auths[1].from, auths[1].nonce, v, r, s);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        same(logs.length, 1, "no transfer");
        require(logs[0].topics[0] == AUTHORIZATION_CANCELED, "cancelled");
        same(settle(signedAll(auths)), hex"000400", "results");
        require(usdc.authorizationState(auths[1].from, auths[1].nonce), "the state says used");
        same(usdc.balanceOf(address(token)), 2 * PRICE, "the token");
    }

    function test_D9_of_two_transfers_signed_with_one_nonce_the_first_is_paid() public {
        Auth[] memory auths = new Auth[](2);
        auths[0] = funded("alice");
        auths[1] = funded("alice");
        auths[1].to = BOB;
        same(settle(signedAll(auths)), hex"0004", "results");
        same(usdc.balanceOf(BOB), 0, "the second");
    }

    function test_the_same_authorization_twice_in_a_batch_is_paid_once() public {
        bytes memory item = signed(funded("alice"));
        same(settle(bytes.concat(item, item, signed(funded("bob")))), hex"000400", "results");
        same(usdc.balanceOf(address(token)), 2 * PRICE, "the token");
    }

    function test_F50_a_blacklisted_payer_fails_alone() public {
        Auth[] memory auths = fundedMany(3);
        usdc.blacklist(auths[1].from);
        same(settle(signedAll(auths)), hex"000400", "results");
    }

    function test_F50_a_blacklisted_payee_fails_only_what_is_paid_to_it() public {
        Auth[] memory auths = fundedMany(3);
        auths[1].to = BOB;
        usdc.blacklist(BOB);
        same(settle(signedAll(auths)), hex"000400", "results");
    }

    function test_F50_while_the_asset_is_paused_all_fail_and_the_same_batch_succeeds_afterwards() public {
        bytes memory items = signedAll(fundedMany(20));
        usdc.pause();
        same(settle(items), hex"0404040404040404040404040404040404040404", "paused");
        usdc.unpause();
        same(settle(items), hex"0000000000000000000000000000000000000000", "later");
    }

    function test_a_payer_who_moved_the_money_away_fails_alone() public {
        Auth[] memory auths = fundedMany(3);
        vm.prank(auths[1].from);
        usdc.transfer(BOB, 9 * PRICE + 1);
        same(settle(signedAll(auths)), hex"000400", "results");
        require(!usdc.authorizationState(auths[1].from, auths[1].nonce), "and may still pay later");
    }

    function test_a_signature_of_somebody_else_fails_alone() public {
        Auth[] memory auths = fundedMany(3);
        auths[1].key = keyOf("stranger");
        same(settle(signedAll(auths)), hex"000400", "results");
    }

    function test_an_expired_authorization_fails_alone() public {
        Auth[] memory auths = fundedMany(3);
        auths[1].validBefore = NOW;
        same(settle(signedAll(auths)), hex"000400", "results");
    }

    function test_an_authorization_that_is_not_yet_valid_fails_alone() public {
        Auth[] memory auths = fundedMany(3);
        auths[1].validAfter = NOW;
        same(settle(signedAll(auths)), hex"000400", "results");
    }

    /// Every signed field counts: payer, payee, value, window, nonce, signature.
    function testFuzz_an_altered_item_fails_alone(uint256 where) public {
        Auth[] memory auths = fundedMany(3);
        bytes memory altered = signed(auths[1]);
        where %= 154 * 8;
        altered[where / 8] ^= bytes1(uint8(1 << (where % 8)));
        same(settle(bytes.concat(signed(auths[0]), altered, signed(auths[2]))), hex"000400", "results");
        same(usdc.balanceOf(address(token)), 2 * PRICE, "the token");
    }

    function test_a_signature_for_another_chain_or_another_asset_fails_alone() public {
        Auth[] memory auths = fundedMany(3);
        uint256 chain = block.chainid;
        vm.chainId(8453);
        bytes memory elsewhere = signed(auths[1]);
        vm.chainId(chain);
        same(settle(bytes.concat(signed(auths[0]), elsewhere, signed(auths[2]))), hex"000400", "results");
    }

    function test_an_authorization_to_receive_is_none_to_transfer() public {
        Auth memory auth = funded("alice");
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(
            auth.key,
            typedDigest(
                keccak256(
                    abi.encode(
                        usdc.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(),
                        auth.from,
                        auth.to,
                        uint256(auth.value),
                        uint256(auth.validAfter),
                        uint256(auth.validBefore),
                        auth.nonce
                    )
                )
            )
        );
        same(settle(bytes.concat(packed(auth, v, r, s), signed(funded("bob")))), hex"0400", "results");
    }

    function test_the_largest_s_that_an_item_can_carry_is_refused_as_high() public {
        Auth memory auth = funded("alice");
        (uint8 v, bytes32 r,) = vm.sign(auth.key, digestOf(auth));
        bytes memory high = packed(auth, v, r, bytes32(type(uint256).max >> 1));
        same(settle(bytes.concat(high, signed(funded("bob")))), hex"0400", "results");
    }

    function test_a_payment_to_the_zero_address_fails_alone() public {
        Auth[] memory auths = fundedMany(2);
        auths[0].to = address(0);
        same(settle(signedAll(auths)), hex"0400", "results");
    }

    // Payers with code

    function test_a_contract_wallet_pays_by_ERC1271() public {
        Auth memory auth = walletAuth(address(new TrustingWallet()));
        same(settle(bytes.concat(signed(auth), signed(funded("bob")))), hex"0000", "results");
    }

    function test_D12_an_EIP7702_payer_whose_delegate_lacks_ERC1271_fails_alone_though_the_signature_is_good() public {
        Auth[] memory auths = fundedMany(3);
        vm.etch(auths[1].from, abi.encodePacked(hex"ef0100", address(new MuteWallet())));
        same(settle(signedAll(auths)), hex"000400", "results");
    }

    function test_D12_an_EIP7702_payer_whose_delegate_knows_ERC1271_pays() public {
        Auth memory auth = funded("alice");
        vm.etch(auth.from, abi.encodePacked(hex"ef0100", address(new TrustingWallet())));
        same(settle(signed(auth)), hex"00", "result");
    }

    function test_F60_a_wallet_that_burns_gas_loses_its_own_share_and_the_other_ten_pay() public {
        assertBounded(address(new BurningWallet()));
    }

    function test_F60_a_wallet_that_returns_a_megabyte_loses_its_own_share_and_the_other_ten_pay() public {
        assertBounded(address(new LoudWallet()));
    }

    function test_F60_a_wallet_that_writes_while_asked_fails_alone() public {
        WritingWallet wallet = new WritingWallet();
        same(settle(bytes.concat(signed(walletAuth(address(wallet))), signed(funded("bob")))), hex"0400", "results");
        same(wallet.asked(), 0, "nothing written");
    }

    function test_F60_two_hundred_burners_cost_what_their_gas_buys_and_the_batch_is_reported() public {
        bytes memory burner = signed(walletAuth(address(new BurningWallet())));
        bytes memory items;
        for (uint256 i = 0; i < 200; ++i) {
            items = bytes.concat(items, burner);
        }
        bytes memory results = settlement.settleBatch{gas: 200 * 60_600 + 100_000}("burners", 60_000, items);
        for (uint256 i = 0; i < 200; ++i) {
            same(uint8(results[i]), 4, "result");
        }
    }

    function test_F60_what_the_asset_returns_is_never_copied() public {
        Settlement loud = new Settlement(address(new LoudAsset()));
        bytes memory items = signedAll(fundedMany(100));
        // An item costs 150,000 by itself; copying its 256 kB would cost 24,000 more each, and there is not as much.
        bytes memory results = loud.settleBatch{gas: 15_400_000}("loud", 200_000, items);
        for (uint256 i = 0; i < results.length; ++i) {
            same(uint8(results[i]), 4, "result");
        }
    }

    // Gas

    function test_with_too_little_gas_it_stops_early_marks_the_rest_5_and_keeps_what_was_paid() public {
        bytes memory items = signedAll(fundedMany(50));
        bytes memory results = settlement.settleBatch{gas: 1_500_000}("short", ITEM_GAS, items);
        uint256 paid = countedPrefix(results);
        require(paid > 5 && paid < 50, "some and not all");
        same(usdc.balanceOf(address(token)), paid * PRICE, "what was paid stays paid");
        // Resubmitted identically: the paid ones fail as used, the rest are paid.
        results = settle(items);
        for (uint256 i = 0; i < 50; ++i) {
            same(uint8(results[i]), i < paid ? 4 : 0, "second time");
        }
        same(usdc.balanceOf(address(token)), 50 * PRICE, "all are paid");
    }

    /// The 63/64 rule never turns a good payment into a failed one: attempted means with all of `gasPerItem`.
    function testFuzz_a_good_payment_is_paid_or_not_attempted_whatever_the_gas(uint256 gas_, uint256 perItem) public {
        gas_ = 60_000 + gas_ % 1_500_000;
        perItem = 80_000 + perItem % 500_000;
        bytes memory items = signedAll(fundedMany(8));
        (bool ok, bytes memory answer) =
            address(settlement).call{gas: gas_}(abi.encodeCall(Settlement.settleBatch, ("fuzz", perItem, items)));
        if (!ok) {
            same(usdc.balanceOf(address(token)), 0, "nothing");
            require(gas_ < 100_000, "only where nothing can be done");
            return;
        }
        same(usdc.balanceOf(address(token)), countedPrefix(abi.decode(answer, (bytes))) * PRICE, "the token");
    }

    /// Like the test above, with a 64th part above the reserve and a payment that needs nearly all of `gasPerItem`.
    function testFuzz_a_costly_good_payment_is_paid_or_not_attempted_whatever_the_gas(uint256 gas_) public {
        gas_ = 4_980_000 + gas_ % 160_000;
        bytes memory item = signed(walletAuth(address(new ThinkingWallet())));
        bytes memory results = settlement.settleBatch{gas: gas_}("fuzz", 5_000_000, item);
        same(usdc.balanceOf(address(token)), countedPrefix(results) * PRICE, "the token");
    }

    /// If every item burns all its gas, the rest is still enough to report.
    function test_the_reserve_reports_a_batch_that_burnt_all_the_rest() public {
        bytes memory items = signedAll(fundedMany(200));
        for (uint256 gas_ = 70_000; gas_ < 110_000; gas_ += 211) {
            bytes memory results = settlement.settleBatch{gas: gas_}("sweep", 5_000, items);
            same(results.length, 200, "reported");
        }
    }

    /// Items that burn all their gas always leave enough to report.
    function testFuzz_a_batch_is_reported_whatever_the_gas_and_the_wallets(uint256 gas_, uint256 perItem, uint256 mix)
        public
    {
        gas_ = 60_000 + gas_ % 3_000_000;
        perItem %= 600_000;
        bytes memory burner = signed(walletAuth(address(new BurningWallet())));
        bytes memory items;
        for (uint256 i = 0; i < 20; ++i) {
            items =
                bytes.concat(items, (mix >> i) & 1 == 1 ? burner : signed(funded(string.concat("payer", toString(i)))));
        }
        (bool ok, bytes memory answer) =
            address(settlement).call{gas: gas_}(abi.encodeCall(Settlement.settleBatch, ("fuzz", perItem, items)));
        require(ok || gas_ < 100_000, "reported");
        if (!ok) return;
        bytes memory results = abi.decode(answer, (bytes));
        uint256 paid;
        bool stopped;
        for (uint256 i = 0; i < 20; ++i) {
            uint8 code = uint8(results[i]);
            require(code == 0 || code == 4 || code == 5, "a known code");
            require(!stopped || code == 5, "nothing after the stop");
            stopped = code == 5;
            if (code == 0) ++paid;
        }
        same(usdc.balanceOf(address(token)), paid * PRICE, "0 means paid and nothing else does");
    }

    function test_more_gas_per_item_than_there_is_attempts_nothing() public {
        bytes memory items = signedAll(fundedMany(2));
        same(settlement.settleBatch("greedy", type(uint256).max, items), hex"0505", "results");
        same(settlement.settleBatch("greedy", type(uint64).max, items), hex"0505", "results");
        same(usdc.balanceOf(address(token)), 0, "the token");
    }

    function test_starved_of_gas_per_item_a_good_payment_fails_and_may_be_sent_again() public {
        bytes memory items = signed(funded("alice"));
        same(settlement.settleBatch("starved", 20_000, items), hex"04", "starved");
        same(settle(items), hex"00", "fed");
    }

    function test_resubmitted_identically_nothing_is_paid_twice() public {
        bytes memory items = signedAll(fundedMany(3));
        same(settle(items), hex"000000", "first");
        same(settle(items), hex"040404", "second");
        same(usdc.balanceOf(address(token)), 3 * PRICE, "the token");
    }

    // Shape

    function test_two_hundred_payments_fit_one_transaction() public {
        bytes memory items = signedAll(fundedMany(200));
        uint256 before = gasleft();
        bytes memory results = settle(items);
        require(before - gasleft() < 16_777_216 - 21_000 - items.length * 16, "under EIP-7825's cap");
        same(countedPrefix(results), 200, "paid");
    }

    function test_more_than_two_hundred_are_refused() public {
        vm.expectRevert(abi.encodeWithSelector(Settlement.TooManyItems.selector, 201));
        settlement.settleBatch("many", ITEM_GAS, new bytes(201 * 154));
    }

    function testFuzz_items_of_a_wrong_length_are_refused(uint256 length) public {
        length %= 31_000;
        if (length % 154 == 0 && length != 0) ++length;
        vm.expectRevert(abi.encodeWithSelector(Settlement.MalformedItems.selector, length));
        settlement.settleBatch("odd", ITEM_GAS, new bytes(length));
    }

    function testFuzz_noise_pays_nobody_and_is_reported(bytes32 seed, uint256 count) public {
        count = 1 + count % 5;
        bytes memory items = new bytes(count * 154);
        for (uint256 i = 0; i < items.length; ++i) {
            items[i] = keccak256(abi.encode(seed, i))[0];
        }
        uint256 supply = usdc.balanceOf(address(token));
        bytes memory results = settle(items);
        for (uint256 i = 0; i < count; ++i) {
            same(uint8(results[i]), 4, "result");
        }
        same(usdc.balanceOf(address(token)), supply, "the token");
    }

    function test_an_asset_without_code_is_refused_for_its_calls_would_succeed() public {
        vm.expectRevert(abi.encodeWithSelector(Settlement.AssetHasNoCode.selector, BOB));
        new Settlement(BOB);
    }

    // Helpers

    function walletAuth(address wallet) private returns (Auth memory auth) {
        auth = funded(string.concat("owner of a wallet"));
        auth.from = wallet;
        usdc.mint(wallet, 10 * PRICE);
    }

    /// Eleven items, the hostile one first.
    function assertBounded(address wallet) private {
        bytes memory items = bytes.concat(signed(walletAuth(wallet)), signedAll(fundedMany(10)));
        uint256 before = gasleft();
        same(settle(items), hex"0400000000000000000000", "results");
        require(before - gasleft() < 11 * ITEM_GAS, "bounded");
    }

    /// The number of leading zeros. All later results must be 5.
    function countedPrefix(bytes memory results) private pure returns (uint256 paid) {
        while (paid < results.length && results[paid] == 0) {
            ++paid;
        }
        for (uint256 i = paid; i < results.length; ++i) {
            same(uint8(results[i]), 5, "after the stop");
        }
    }
}
