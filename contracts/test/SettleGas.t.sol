// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {UsdcDouble} from "../src/dev/UsdcDouble.sol";
import {MintToken} from "../src/MintToken.sol";
import {Records} from "../src/Records.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {Accomplice, AnsweringAsset, LoudAsset, ReenteringAsset} from "./support/Assets.sol";
import {Batches} from "./support/Batches.sol";
import {BurningWallet, ThinkingWallet} from "./support/Wallets.sol";

/// @notice Gas that runs short at any point. Run with the asset itself and with the asset behind a proxy.
abstract contract GasSweeps is Batches {
    function test_with_too_little_gas_it_stops_early_and_keeps_what_was_paid() public {
        Auth[] memory a = many(50);
        bytes memory items = joined(a);
        bytes memory results = token.settle{gas: 1_500_000}("short", ITEM_GAS, items, "");
        uint256 count = prefix(results);
        require(count > 5 && count < 50, "some and not all");
        same(wholeOrNothing(a), count, "what was paid stays paid");
        results = settle(items);
        for (uint256 i = 0; i < 50; ++i) {
            require(results[i] == (i < count ? KEY_KNOWN : OK), "sent again");
        }
        same(wholeOrNothing(a), 50, "all are paid, each once");
    }

    /// Every total of gas in steps, with gas per item around the least that a payment needs.
    function test_at_any_total_of_gas_what_is_paid_is_recorded_and_nothing_else_is() public {
        Auth[] memory a = many(4);
        bytes memory items = joined(a);
        uint256 met;
        for (uint256 each = 45_000; each < 120_000; each += 18_000) {
            for (uint256 total = 50_000; total < 560_000; total += 6_007) {
                uint256 id = vm.snapshotState();
                met |= 1 << attempt(a, items, total, each);
                vm.revertToState(id);
            }
        }
        same(met, 31, "0, 1, 2, 3 and 4 payments were met");
    }

    function attempt(Auth[] memory a, bytes memory items, uint256 total, uint256 each)
        internal
        returns (uint256 count)
    {
        (bool done, bytes memory answer) =
            address(token).call{gas: total}(abi.encodeCall(token.settle, ("b", each, items, "")));
        count = wholeOrNothing(a);
        if (!done) {
            same(count, 0, "undone as a whole");
            return 0;
        }
        answer = abi.decode(answer, (bytes));
        for (uint256 i = 0; i < a.length; ++i) {
            require((answer[i] == OK) == (state(a[i]) == PAID), "0 means paid and nothing else does");
            require(answer[i] == OK || answer[i] == FAILED || answer[i] == NOT_ATTEMPTED, "a code of the table");
            require(i == 0 || answer[i - 1] != NOT_ATTEMPTED || answer[i] == NOT_ATTEMPTED, "nothing after the stop");
        }
    }

    function test_F60_two_hundred_burners_cost_what_their_gas_buys_and_are_reported() public {
        bytes memory burner = item(burning());
        bytes memory items;
        for (uint256 i = 0; i < 200; ++i) {
            items = bytes.concat(items, burner);
        }
        same(token.settle{gas: 200 * 65_000 + 200_000}("burners", 60_000, items, ""), row(FAILED, 200), "results");
    }

    function test_more_gas_per_item_than_there_is_attempts_nothing() public {
        Auth[] memory a = many(2);
        bytes memory items = joined(a);
        same(token.settle("greedy", type(uint256).max, items, ""), hex"0505", "2^256 - 1");
        same(token.settle("greedy", type(uint64).max, items, ""), hex"0505", "2^64 - 1");
        same(wholeOrNothing(a), 0, "nothing is paid");
    }

    function test_a_stranger_with_little_gas_per_item_changes_nothing_and_ours_goes_through() public {
        Auth[] memory a = many(1);
        bytes memory items = joined(a);
        uint256 met;
        for (uint256 each = 0; each < 99_000; each += 1_511) {
            uint256 id = vm.snapshotState();
            vm.prank(STRANGER);
            uint8 code = uint8(token.settle("ours", each, items, "")[0]);
            require(code == 0 || code == 4, "0 or 4");
            met |= 1 << code;
            same(wholeOrNothing(a), code == 0 ? 1 : 0, "0 means paid and nothing else does");
            same(settle(items), code == 0 ? bytes(hex"01") : bytes(hex"00"), "ours, right afterwards");
            vm.revertToState(id);
        }
        same(met, 1 << 0 | 1 << 4, "both were met");
    }

    function test_two_hundred_payments_fit_one_transaction() public {
        token = free(10 * CAP, "large");
        bytes memory items = joined(many(200));
        uint256 before = gasleft();
        same(settle(items), row(OK, 200), "paid");
        require(before - gasleft() + 21_000 + items.length * 16 < 16_777_216, "below the limit of EIP-7825");
    }

    function burning() internal returns (Auth memory a) {
        a = auth("burner", address(token), PRICE);
        a.from = address(new BurningWallet());
        usdc.mint(a.from, PRICE);
    }

    /// The number of leading 0; all later results have to be 5.
    function prefix(bytes memory results) internal pure returns (uint256 count) {
        while (count < results.length && results[count] == OK) {
            ++count;
        }
        for (uint256 i = count; i < results.length; ++i) {
            require(results[i] == NOT_ATTEMPTED, "5 after the stop");
        }
    }
}

contract SettleGasTest is GasSweeps {
    /// forge-config: default.fuzz.runs = 128
    function testFuzz_whatever_the_gas_what_is_paid_is_recorded(uint256 total, uint256 each) public {
        Auth[] memory a = many(6);
        attempt(a, joined(a), 40_000 + total % 900_000, each % 250_000);
    }

    /// With gas for a payment, the 63/64 rule never turns a good one into a failed one.
    /// forge-config: default.fuzz.runs = 128
    function testFuzz_with_enough_gas_per_item_a_good_payment_is_paid_or_not_attempted(uint256 total, uint256 each)
        public
    {
        Auth[] memory a = many(8);
        total = 80_000 + total % 1_500_000;
        each = ITEM_GAS + each % 500_000;
        bytes memory results = token.settle{gas: total}("fuzz", each, joined(a), "");
        same(wholeOrNothing(a), prefix(results), "paid");
    }

    /// A 64th part of this gas is above the reserve, and the payment needs nearly all of its cap.
    /// forge-config: default.fuzz.runs = 128
    function testFuzz_a_costly_good_payment_is_paid_or_not_attempted(uint256 total, bool long) public {
        total = 4_980_000 + total % 230_000;
        Auth memory a = auth("thinker", address(token), PRICE);
        a.from = address(new ThinkingWallet());
        usdc.mint(a.from, PRICE);
        bytes memory it = long ? itemLong(a, 5_000_000, 0, 65) : item(a);
        bytes memory results = token.settle{gas: total}("fuzz", long ? 1 : 5_000_000, it, new bytes(65));
        require(results[0] == OK || results[0] == NOT_ATTEMPTED, "paid or not attempted");
        same(usdc.balanceOf(address(token)), results[0] == OK ? PRICE : 0, "the money");
    }

    /// Items that burn all of their gas always leave enough to record the good ones and to report.
    /// forge-config: default.fuzz.runs = 128
    function testFuzz_a_batch_is_reported_whatever_the_gas_and_the_wallets(uint256 total, uint256 each, uint256 mix)
        public
    {
        total = 80_000 + total % 3_000_000;
        each %= 600_000;
        bytes memory burner = item(burning());
        bytes memory items;
        for (uint256 i = 0; i < 16; ++i) {
            bool burns = (mix >> i) & 1 == 1;
            items = bytes.concat(items, burns ? burner : item(auth(string.concat("p", text(i)), address(token), PRICE)));
        }
        bytes memory results = token.settle{gas: total}("fuzz", each, items, "");
        uint256 count;
        for (uint256 i = 0; i < 16; ++i) {
            if (results[i] == OK) ++count;
        }
        same(usdc.balanceOf(address(token)), count * PRICE, "0 means paid and nothing else does");
        same(token.open(), count, "open");
    }
}

contract SettleGasBehindProxyTest is GasSweeps {
    function setUp() public override {
        super.setUp();
        behindProxy();
    }
}

/// @notice Assets that answer with too much, or that call back.
contract HostileAssetTest is Batches {
    function test_F60_what_the_asset_returns_is_never_copied() public {
        bytes memory items = joined(many(60));
        vm.etch(address(usdc), type(LoudAsset).runtimeCode);
        // An item costs about 150,000 by itself. Copying its 256 kB would cost 24,000 more, and there is not as much.
        same(token.settle{gas: 60 * 155_000 + 300_000}("loud", 200_000, items, ""), row(FAILED, 60), "results");
    }

    function test_a_transfer_counts_as_made_only_if_the_answer_is_true_or_nothing() public {
        Auth memory a = paid("alice", 1);
        vm.etch(address(usdc), type(AnsweringAsset).runtimeCode);
        AnsweringAsset asset = AnsweringAsset(address(usdc));
        bytes[4] memory refusals = [abi.encode(false), abi.encode(2), abi.encode(type(uint256).max), bytes(hex"00")];
        for (uint256 i = 0; i < 4; ++i) {
            asset.setAnswer(refusals[i]);
            same(refundBy(OPERATOR, keyOf(a)), 4, "refused");
            same(state(a), PAID, "the record stands");
        }
        uint256 id = vm.snapshotState();
        asset.setAnswer(abi.encode(true, 7));
        same(refundBy(OPERATOR, keyOf(a)), 0, "true");
        vm.revertToState(id);
        asset.setAnswer("");
        same(refundBy(OPERATOR, keyOf(a)), 0, "no answer, as of an asset that reverts instead");
    }

    function test_F60_an_asset_that_calls_back_finds_every_door_locked() public {
        ReenteringAsset asset = new ReenteringAsset();
        Accomplice accomplice = new Accomplice();
        Auth memory a = onAsset(asset, accomplice);
        bytes[] memory doors = doorsOf(a);
        asset.callBack(accomplice, address(token), doors, abi.encodeWithSelector(Records.Reentered.selector));

        same(settle(item(a)), hex"00", "settle");
        same(asset.tried(), doors.length, "during the payment");
        same(mint(keyOf(a)), 0, "minted, without a call of the asset");
        token.withdraw();
        same(asset.tried(), 2 * doors.length, "during a withdrawal");
        a.nonce = "refund";
        same(settle(item(a)), hex"00", "settle");
        same(refundBy(OPERATOR, keyOf(a)), 0, "refund");
        same(asset.tried(), 4 * doors.length, "during a refund");
        asset.give(address(token), 3 * PRICE);
        a.nonce = "credit";
        same(credit(a, 1, PRICE), 0, "credit with change");
        a.nonce = "giveBack";
        same(giveBack(a, PRICE), 0, "giveBack");
        asset.refuse(address(0));
        token.sweepFee();
        same(asset.tried(), 7 * doors.length, "during change, a return and the fee");

        same(asset.entered(), 0, "the lock answered every time");
        same(asset.balanceOf(address(accomplice)), PRICE, "the creator is paid once");
        same(asset.balanceOf(TREASURY), FEE, "the treasury is paid once");
        same(token.totalSupply(), UNIT, "supply");
        same(asset.balanceOf(address(token)), (uint256(token.open())) * PRICE, "books");
        same(token.open(), 1, "the credit is open");
    }

    /// A token of an asset that calls back. The accomplice is creator and operator: only the lock stops it.
    function onAsset(ReenteringAsset asset, Accomplice accomplice) private returns (Auth memory a) {
        factory = new TokenFactory(address(asset), address(hub), seats());
        vm.prank(OWNER);
        factory.appointOperator(address(accomplice));
        vm.warp(NOW + 48 hours);
        TokenFactory.TokenConfig memory c = config();
        c.creator = address(accomplice);
        token = MintToken(factory.predictToken(c));
        asset.give(address(token), FEE);
        asset.refuse(TREASURY);
        factory.deployOne(c, nothing());
        same(token.feeOwed(), FEE, "the fee waits");
        a = auth("alice", address(token), PRICE);
        asset.give(a.from, 10 * PRICE);
        usdc = UsdcDouble(address(asset)); // for the digests and the keys
    }

    function doorsOf(Auth memory a) private view returns (bytes[] memory doors) {
        doors = new bytes[](9);
        doors[0] = abi.encodeCall(token.settle, ("b", ITEM_GAS, item(a), ""));
        doors[1] = abi.encodeCall(token.batchMint, (list(keyOf(a))));
        doors[2] = abi.encodeCall(token.refund, (list(keyOf(a))));
        doors[3] = abi.encodeCall(token.credit, (new MintToken.Credit[](0)));
        doors[4] = abi.encodeCall(token.giveBack, (new MintToken.GiveBack[](0)));
        doors[5] = abi.encodeCall(token.withdraw, ());
        doors[6] = abi.encodeCall(token.withdrawTo, (STRANGER));
        doors[7] = abi.encodeCall(token.takeFee, (STRANGER, 1));
        doors[8] = abi.encodeCall(token.sweepFee, ());
    }
}
