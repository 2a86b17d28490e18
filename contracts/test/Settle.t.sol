// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../src/MintToken.sol";
import {Settling} from "../src/Settling.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {YesAsset} from "./support/Assets.sol";
import {Batches} from "./support/Batches.sol";
import {Vm} from "./support/Vm.sol";

contract SettleTest is Batches {
    // It pays and records

    function test_D9_every_payment_is_paid_recorded_and_reported_once() public {
        Auth[] memory a = many(3);
        bytes memory items = joined(a);
        vm.recordLogs();
        vm.prank(STRANGER);
        same(token.settle("ours", ITEM_GAS, items, ""), hex"000000", "results");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        same(logs.length, 7, "a pair of logs per payment, and the report");
        for (uint256 i = 0; i < 3; ++i) {
            require(logs[2 * i].topics[0] == keccak256("AuthorizationUsed(address,bytes32)"), "used");
            require(logs[2 * i].topics[2] == a[i].nonce, "nonce");
            require(logs[2 * i + 1].topics[0] == keccak256("Transfer(address,address,uint256)"), "transfer");
            same(address(uint160(uint256(logs[2 * i + 1].topics[2]))), address(token), "payee");
            (address payer, uint32 units, uint40 paidAt, uint8 s) = token.recordOf(keyOf(a[i]));
            same(payer, a[i].from, "payer");
            require(units == i + 1 && paidAt == NOW && s == PAID, "the record");
            same(usdc.balanceOf(payer), 100 * PRICE - a[i].value, "the payer has paid the value");
        }
        same(logs[6].emitter, address(token), "the report is the last log");
        require(logs[6].topics[0] == keccak256("Batch(bytes32,bytes)") && logs[6].topics[1] == "ours", "the report");
        same(abi.decode(logs[6].data, (bytes)), hex"000000", "reported results");
        same(token.open(), 6, "open");
        same(token.unitsMinted(), 0, "nothing is minted");
        same(token.surplus(), 0, "surplus");
        balanced();
    }

    function testFuzz_what_was_signed_is_what_is_paid(uint64 units, uint40 early, uint40 late, bytes32 nonce) public {
        Auth memory a = auth("alice", address(token), PRICE * (1 + units % CAP));
        a.validAfter = early % NOW;
        a.validBefore = NOW + 1 + late % (type(uint40).max - NOW - 1);
        a.nonce = nonce;
        usdc.mint(ALICE, CAP * PRICE);
        same(settle(item(a)), hex"00", "result");
        same(usdc.balanceOf(address(token)), a.value, "the money");
        (, uint32 recorded,, uint8 s) = token.recordOf(keyOf(a));
        require(recorded == 1 + units % CAP && s == PAID, "the record");
    }

    // The results, in the order in which they are decided

    function test_the_results_are_decided_in_the_order_of_the_table() public {
        token = free(2, "small");
        Auth memory known = paid("known", 2);
        same(settle(item(known)), hex"01", "a known key comes before sold out");
        Auth memory other = auth("other", address(token), PRICE);
        other.key = secret("stranger");
        same(settle(item(other)), hex"03", "sold out comes before the signature");
        same(settle(itemLong(other, 0, 7, 7)), hex"03", "sold out comes before a bad pointer");
        same(settle(itemLong(known, 0, 7, 7)), hex"01", "a known key comes before a bad pointer");
        Auth memory odd = auth("known", address(token), 2 * PRICE + 1);
        same(settle(item(odd)), hex"06", "no whole units comes before a known key");
        bytes memory items = bytes.concat(item(odd), item(known), item(other));
        same(token.settle("b", 1e18, items, ""), hex"050505", "too little gas comes before all of these");
        vm.prank(GUARDIAN);
        factory.stopSettle();
        same(token.settle("b", 1e18, items, ""), hex"070707", "stopped comes first");
    }

    /// A bad item of every kind at the first, middle and last place: its neighbours are paid.
    function test_a_bad_item_is_reported_alone_wherever_it_stands() public {
        for (uint256 kind = 0; kind < 17; ++kind) {
            for (uint256 place = 0; place < 5; place += 2) {
                uint256 id = vm.snapshotState();
                badItemAt(kind, place);
                vm.revertToState(id);
            }
        }
    }

    function badItemAt(uint256 kind, uint256 place) private {
        Auth[] memory good = many(4);
        (bytes memory bad, bytes1 code) = spoiled(kind);
        bytes memory items;
        for (uint256 i = 0; i < 5; ++i) {
            items = bytes.concat(items, i == place ? bad : item(good[i < place ? i : i - 1]));
        }
        bytes memory expected = row(OK, 5);
        expected[place] = code;
        uint256 held = usdc.balanceOf(address(token));
        same(settle(items), expected, string.concat("kind ", text(kind)));
        same(usdc.balanceOf(address(token)) - held, 10 * PRICE, "the neighbours' money and no more");
        for (uint256 i = 0; i < 4; ++i) {
            same(state(good[i]), PAID, "the neighbours are recorded");
        }
    }

    function spoiled(uint256 kind) private returns (bytes memory it, bytes1 code) {
        Auth memory a = auth("bad", address(token), PRICE);
        if (kind == 8) a.value = PRICE + 1;
        if (kind == 12) a.value = (CAP + 1) * PRICE;
        if (kind == 3) a.validBefore = NOW;
        if (kind == 4) a.validAfter = NOW;
        if (kind == 7) a.to = BOB;
        if (kind == 2) a.key = secret("stranger");
        if (kind == 11) vm.chainId(block.chainid + 1);
        it = kind == 14 ? itemLong(a, 90_000, 0, 1) : item(a);
        if (kind == 11) vm.chainId(block.chainid - 1);
        code = FAILED;
        if (kind == 0) {
            vm.prank(a.from);
            usdc.transfer(BOB, 99 * PRICE + 1);
        } else if (kind == 1) {
            usdc.blacklist(a.from);
        } else if (kind == 5) {
            cancel(a);
        } else if (kind == 6) {
            submitAround(a);
        } else if (kind == 9) {
            settle(it);
            code = KEY_KNOWN;
        } else if (kind == 12) {
            code = SOLD_OUT;
        } else if (kind == 13) {
            it[28] |= 0x80; // says receive; a transfer was signed
        } else if (kind == 15) {
            for (uint256 i = 103; i < 134; ++i) {
                it[i] = 0xff; // an `s` above half of the order
            }
        } else if (kind == 16) {
            it = new bytes(134);
        } else if (kind == 10) {
            for (uint256 i = 0; i < 20; ++i) {
                it[i] = 0; // no payer
            }
        }
        if (kind == 8 || kind == 10 || kind == 14 || kind == 16) code = IMPOSSIBLE;
    }

    function testFuzz_an_item_with_one_bit_altered_pays_nothing(uint256 bit) public {
        Auth[] memory a = many(3);
        bytes memory items = joined(a);
        bit %= 134 * 8;
        items[134 + bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        bytes memory results = settle(items);
        require(results[0] == OK && results[2] == OK, "the neighbours");
        require(results[1] == FAILED || results[1] == IMPOSSIBLE || results[1] == SOLD_OUT, "the altered one");
        same(state(a[1]), 0, "no record");
        require(!paidInAsset(a[1]), "not paid");
        same(token.open(), 4, "open");
        balanced();
    }

    function testFuzz_noise_pays_nothing_and_is_reported(bytes32 seed, uint256 count) public {
        count = 1 + count % 5;
        bytes memory items = new bytes(count * 134);
        for (uint256 i = 0; i < items.length; ++i) {
            items[i] = keccak256(abi.encode(seed, i))[0];
        }
        bytes memory results = settle(items);
        for (uint256 i = 0; i < count; ++i) {
            require(results[i] == FAILED || results[i] == IMPOSSIBLE || results[i] == SOLD_OUT, "result");
        }
        same(token.open() + usdc.balanceOf(address(token)), 0, "nothing is recorded or paid");
    }

    // Values

    function test_values_of_no_whole_units_are_refused_before_money_moves() public {
        uint64[5] memory values = [0, 1, PRICE - 1, PRICE + 1, type(uint64).max];
        for (uint256 i = 0; i < 5; ++i) {
            Auth memory a = auth("alice", address(token), values[i]);
            usdc.mint(ALICE, type(uint64).max);
            same(settle(item(a)), hex"06", "refused");
            require(!paidInAsset(a), "not charged");
        }
    }

    function test_more_units_than_a_record_can_hold_are_refused_before_money_moves() public {
        TokenFactory.TokenConfig memory c = config();
        (c.fee, c.price, c.unit, c.maxUnits) = (0, 1, 1e18, 2 ** 40);
        (address made,) = factory.deployOne(c, nothing());
        token = MintToken(made);
        Auth memory a = auth("alice", made, 2 ** 32);
        usdc.mint(ALICE, 2 ** 33);
        same(settle(item(a)), hex"06", "2^32 units");
        a.value = 2 ** 32 - 1;
        same(settle(item(a)), hex"00", "2^32 - 1 units");
        same(token.open(), 2 ** 32 - 1, "open");
        same(mint(keyOf(a)), 0, "minted");
        same(token.balanceOf(ALICE), (2 ** 32 - 1) * 1e18, "units");
    }

    function test_the_cap_is_reached_and_not_passed_and_counts_open_units() public {
        token = free(5, "small");
        Auth memory big = auth("big", address(token), 3 * PRICE);
        Auth memory small = auth("small", address(token), 2 * PRICE);
        paid("first", 3);
        same(settle(bytes.concat(item(big), item(small))), hex"0300", "a smaller one after it still fits");
        require(!paidInAsset(big), "not charged");
        mint(keyOf(small));
        same(settle(item(big)), hex"03", "minted units count, too");
    }

    // Keys

    function test_the_same_item_twice_is_paid_once() public {
        bytes memory it = item(auth("alice", address(token), PRICE));
        same(settle(bytes.concat(it, it)), hex"0001", "in one batch");
        same(settle(it), hex"01", "and in the next");
        same(usdc.balanceOf(ALICE), 99 * PRICE, "charged once");
    }

    function test_D10_a_stranger_who_settles_first_makes_ours_a_row_of_1() public {
        Auth[] memory a = many(3);
        bytes memory items = joined(a);
        vm.prank(STRANGER);
        same(token.settle("ours", ITEM_GAS, items, ""), hex"000000", "a stranger's, under our name");
        same(settle(items), hex"010101", "the records are known");
        same(wholeOrNothing(a), 3, "each paid once");
    }

    function test_after_the_end_of_a_payment_its_key_is_refused_without_a_charge() public {
        Auth memory refunded = paid("alice", 1);
        Auth memory minted = paid("bob", 1);
        refundBy(OPERATOR, keyOf(refunded));
        mint(keyOf(minted));
        refunded.value = 5 * PRICE;
        same(settle(bytes.concat(item(refunded), item(minted))), hex"0101", "for another value, too");
        same(usdc.balanceOf(ALICE), 100 * PRICE, "alice");
        same(usdc.balanceOf(BOB), 99 * PRICE, "bob");
    }

    function test_D9_one_nonce_signed_for_two_tokens_pays_one() public {
        MintToken first = token;
        token = free(CAP, "second");
        Auth memory a = auth("alice", address(token), PRICE);
        Auth memory b = auth("alice", address(first), PRICE);
        same(settle(item(a)), hex"00", "the second token");
        same(first.settle("b", ITEM_GAS, item(b), ""), hex"04", "not the first");
        same(first.outcome(keyOf(b)), 0, "no record");
    }

    // ReceiveWithAuthorization

    function test_a_payment_signed_to_be_received_cannot_be_taken_around_the_token() public {
        Auth memory a = auth("alice", address(token), PRICE);
        bytes memory signed = signature(a, "Receive");
        vm.prank(STRANGER);
        vm.expectRevert(bytes("FiatTokenV2: caller must be the payee"));
        usdc.receiveWithAuthorization(a.from, a.to, a.value, a.validAfter, a.validBefore, a.nonce, signed);
        same(settle(itemReceive(a)), hex"00", "the token receives it");
        same(settle(item(a)), hex"01", "one key for both forms");
    }

    function test_a_signature_to_receive_is_none_to_transfer_and_the_reverse() public {
        bytes memory one = item(auth("alice", address(token), PRICE));
        bytes memory two = itemReceive(auth("bob", address(token), PRICE));
        one[28] ^= 0x80;
        two[28] ^= 0x80;
        same(settle(bytes.concat(one, two)), hex"0404", "results");
    }

    // The whole call

    function testFuzz_items_of_a_wrong_length_are_refused(uint256 length) public {
        length %= 30_000;
        if (length % 134 == 0 && length != 0) ++length;
        vm.expectRevert(abi.encodeWithSelector(Settling.MalformedItems.selector, length));
        token.settle("odd", ITEM_GAS, new bytes(length), "");
    }

    function test_more_than_two_hundred_items_are_refused() public {
        same(token.settle("many", ITEM_GAS, new bytes(200 * 134), ""), row(IMPOSSIBLE, 200), "two hundred");
        vm.expectRevert(abi.encodeWithSelector(Settling.TooManyItems.selector, 201));
        token.settle("many", ITEM_GAS, new bytes(201 * 134), "");
    }

    function test_an_asset_that_says_yes_and_moves_too_little_gets_no_record() public {
        Auth[] memory a = many(2);
        bytes memory items = joined(a);
        vm.etch(address(usdc), type(YesAsset).runtimeCode);
        YesAsset yes = YesAsset(address(usdc));
        yes.setPercent(0);
        vm.expectRevert(abi.encodeWithSelector(Settling.BalanceTooSmall.selector, 3 * PRICE, 0));
        token.settle("b", ITEM_GAS, items, "");
        yes.setPercent(99);
        vm.expectRevert(abi.encodeWithSelector(Settling.BalanceTooSmall.selector, 3 * PRICE, 3 * PRICE * 99 / 100));
        token.settle("b", ITEM_GAS, items, "");
        same(state(a[0]) + state(a[1]) + token.open(), 0, "nothing is recorded");
        yes.setPercent(100);
        same(settle(items), hex"0000", "an asset that moves the value");
    }

    function test_an_asset_that_takes_money_from_the_token_gets_no_record() public {
        paid("alice", 3);
        Auth memory b = auth("bob", address(token), PRICE);
        bytes memory it = item(b);
        vm.etch(address(usdc), type(YesAsset).runtimeCode);
        YesAsset(address(usdc)).setPercent(100);
        YesAsset(address(usdc)).give(address(token), 3 * PRICE);
        YesAsset(address(usdc)).setTaken(2 * PRICE);
        require(!tries(STRANGER, address(token), abi.encodeCall(token.settle, ("b", ITEM_GAS, it, ""))), "reverts");
        same(state(b), 0, "no record");
        same(token.open(), 3, "open");
    }

    function test_a_payment_of_the_zero_address_or_of_the_token_itself_is_impossible_whatever_the_asset_says() public {
        vm.etch(address(usdc), type(YesAsset).runtimeCode);
        YesAsset(address(usdc)).setPercent(100);
        Auth memory a = Auth(secret("x"), address(0), address(token), PRICE, 0, NOW + 1, "x");
        Auth memory b = Auth(secret("x"), address(token), address(token), PRICE, 0, NOW + 1, "x");
        same(settle(bytes.concat(item(a), item(b))), hex"0606", "results");
    }

    function test_F50_while_the_asset_is_paused_or_refuses_the_token_a_batch_fails_and_succeeds_afterwards() public {
        bytes memory items = joined(many(3));
        usdc.pause();
        same(settle(items), hex"040404", "paused");
        usdc.unpause();
        usdc.blacklist(address(token));
        same(settle(items), hex"040404", "the token is blacklisted");
        usdc.unBlacklist(address(token));
        same(settle(items), hex"000000", "the same batch");
    }

    // The emergency stop

    function test_while_settling_is_stopped_no_payer_is_charged_and_everything_else_goes_on() public {
        Auth memory minted = paid("alice", 1);
        Auth memory byOperator = paid("bob", 1);
        Auth memory byPayer = paid("carol", 1);
        Auth memory credited = auth("dora", address(token), PRICE);
        Auth memory returned = auth("emil", address(token), PRICE + 1);
        submitAround(credited);
        submitAround(returned);
        Auth memory late = auth("late", address(token), PRICE);
        vm.prank(GUARDIAN);
        factory.stopSettle();

        same(settle(bytes.concat(item(late), item(minted), new bytes(134))), hex"070707", "every item is refused");
        require(!paidInAsset(late), "and not charged");
        vm.expectRevert(abi.encodeWithSelector(Settling.MalformedItems.selector, 1));
        token.settle("b", ITEM_GAS, hex"00", "");

        same(mint(keyOf(minted)), 0, "batchMint");
        same(refundBy(OPERATOR, keyOf(byOperator)), 0, "refund by an operator");
        vm.warp(NOW + 7 days);
        same(refundBy(byPayer.from, keyOf(byPayer)), 0, "refund by the payer");
        same(credit(credited, 1, 0), 0, "credit");
        same(mint(keyOf(credited)), 0, "and the mint of it");
        same(giveBack(returned, PRICE + 1), 0, "giveBack");
        token.withdraw();
        same(usdc.balanceOf(CREATOR), 2 * PRICE, "withdraw");
        deploysAndSweeps();

        vm.prank(OWNER);
        factory.resumeSettle();
        same(settle(item(late)), hex"00", "later");
    }

    function deploysAndSweeps() private {
        address made = factory.predictToken(config());
        Auth memory fee = auth("deployer", made, FEE);
        TokenFactory.Payment memory p = payment(fee);
        usdc.blacklist(TREASURY);
        (, uint256 how) = factory.deployOne(config(), p);
        same(how, 0, "deployOne");
        same(MintToken(made).feeOwed(), FEE, "the fee waits");
        usdc.unBlacklist(TREASURY);
        MintToken(made).sweepFee();
        same(usdc.balanceOf(TREASURY), FEE, "sweepFee");
        same(MintToken(made).settle("b", ITEM_GAS, new bytes(134), ""), hex"07", "a new token is stopped, too");
    }
}
