// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Hub} from "../src/Hub.sol";
import {MintToken} from "../src/MintToken.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {Suite} from "./support/Suite.sol";
import {Vm} from "./support/Vm.sol";
import {BurningWallet, LoudWallet} from "./support/Wallets.sol";

/// @notice Notes how much gas it was given.
contract GasMeter {
    uint256 public given;

    fallback() external {
        given = gasleft();
    }
}

contract HubTest is Suite {
    function test_every_segment_is_reported_in_one_event() public {
        (Hub.Segment[] memory s,) = segments("t", 3);
        s[1].target = BOB;
        vm.recordLogs();
        hub.run("ours", s);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        Vm.Log memory last = logs[logs.length - 1];
        same(last.emitter, address(hub), "the last log");
        require(last.topics[0] == keccak256("Segments(bytes32,bytes)") && last.topics[1] == "ours", "topics");
        same(abi.decode(last.data, (bytes)), hex"000600", "results");
    }

    function test_a_bad_segment_fails_alone_wherever_it_stands() public {
        for (uint256 place = 0; place < 4; ++place) {
            for (uint256 kind = 0; kind < 6; ++kind) {
                badSegmentAt(kind, place);
            }
        }
    }

    function badSegmentAt(uint256 kind, uint256 place) private {
        (Hub.Segment[] memory s, Auth[] memory a) = segments(string.concat(text(kind), "/", text(place)), 4);
        bytes1 code;
        (s[place], code) = badSegment(kind, s[place].target);
        bytes memory expected = new bytes(4);
        expected[place] = code;
        same(hub.run("b", s), expected, string.concat("kind ", text(kind)));
        for (uint256 i = 0; i < 4; ++i) {
            same(MintToken(a[i].to).outcome(keyOf(a[i])), i == place ? 0 : 1, "the others are paid");
        }
    }

    function badSegment(uint256 kind, address target) private returns (Hub.Segment memory, bytes1 code) {
        bytes memory malformed = abi.encodeCall(token.settle, ("b", ITEM_GAS, hex"12", ""));
        if (kind == 0) return (Hub.Segment(target, 500_000, malformed), 0x04); // reverts
        if (kind == 1) return (Hub.Segment(address(new BurningWallet()), 500_000, ""), 0x04);
        if (kind == 2) return (Hub.Segment(STRANGER, 500_000, malformed), 0x06); // no code
        if (kind == 3) return (Hub.Segment(target, type(uint64).max, malformed), 0x05);
        if (kind == 4) return (Hub.Segment(address(0), type(uint64).max, ""), 0x06);
        return (Hub.Segment(target, 500_000, hex"ffffffff"), 0x04); // no such function
    }

    function test_a_target_without_code_is_told_from_one_that_does_nothing() public {
        Hub.Segment[] memory s = new Hub.Segment[](2);
        s[0] = Hub.Segment(factory.predictToken(config()), 100_000, abi.encodeCall(MintToken.withdraw, ()));
        s[1] = Hub.Segment(address(token), 100_000, abi.encodeCall(MintToken.withdraw, ()));
        same(hub.run("b", s), hex"0600", "results");
    }

    function test_a_loud_segment_costs_its_own_gas_and_nothing_is_copied() public {
        Hub.Segment[] memory s = new Hub.Segment[](10);
        address loud = address(new LoudWallet());
        for (uint256 i = 0; i < 10; ++i) {
            s[i] = Hub.Segment(loud, 2_100_000, "");
        }
        // Copying one megabyte costs 94,000, and the memory for it 2,100,000.
        same(hub.run{gas: 21_800_000}("b", s), new bytes(10), "results");
    }

    function test_a_batch_of_no_segments_does_nothing() public {
        same(hub.run("b", new Hub.Segment[](0)), hex"", "results");
    }

    /// The gas is tested after the input was copied, so a segment gets what was asked for, or 5.
    function test_a_segment_gets_its_gas_or_is_not_attempted() public {
        GasMeter meter = new GasMeter();
        Hub.Segment[] memory s = new Hub.Segment[](1);
        s[0] = Hub.Segment(address(meter), 300_000, new bytes(150_000));
        bytes memory call_ = abi.encodeCall(hub.run, ("b", s));
        uint256 met;
        for (uint256 total = 330_000; total < 900_000; total += 6_001) {
            uint256 id = vm.snapshotState();
            (bool done, bytes memory answer) = address(hub).call{gas: total}(call_);
            if (done) {
                uint8 code = uint8(abi.decode(answer, (bytes))[0]);
                met |= 1 << code;
                if (code == 5) same(meter.given(), 0, "not attempted");
                else require(code == 0 && meter.given() > 299_000, "all of its gas");
            }
            vm.revertToState(id);
        }
        same(met, 1 << 0 | 1 << 5, "both were met");
    }

    function test_at_any_total_of_gas_what_is_paid_is_recorded_and_reported() public {
        (Hub.Segment[] memory s, Auth[] memory a) = segments("g", 3);
        for (uint256 i = 0; i < 3; ++i) {
            s[i].gas = 250_000;
        }
        bytes memory call_ = abi.encodeCall(Hub.run, ("b", s));
        uint256 met;
        for (uint256 total = 40_000; total < 900_000; total += 7_001) {
            uint256 id = vm.snapshotState();
            met |= 1 << attempt(total, call_, a);
            vm.revertToState(id);
        }
        same(met, 15, "0, 1, 2 and 3 payments were met");
    }

    function attempt(uint256 total, bytes memory call_, Auth[] memory a) private returns (uint256 count) {
        (bool done, bytes memory answer) = address(hub).call{gas: total}(call_);
        if (done) answer = abi.decode(answer, (bytes));
        for (uint256 i = 0; i < a.length; ++i) {
            bool charged = usdc.authorizationState(a[i].from, a[i].nonce);
            require(charged == (MintToken(a[i].to).outcome(keyOf(a[i])) == 1), "paid if and only if recorded");
            if (charged) ++count;
            if (charged) require(done && answer[i] == 0, "and reported");
        }
    }

    function test_the_hub_gives_its_callers_no_rights() public {
        Auth memory a = paid("alice", 1);
        mint(keyOf(paid("bob", 1)));
        usdc.mint(address(token), PRICE);
        vm.warp(NOW + 8 days);
        Hub.Segment[] memory s = new Hub.Segment[](8);
        bytes[8] memory calls = [
            abi.encodeCall(MintToken.refund, (list(keyOf(a)))),
            abi.encodeCall(MintToken.credit, (new MintToken.Credit[](0))),
            abi.encodeCall(MintToken.giveBack, (new MintToken.GiveBack[](0))),
            abi.encodeCall(MintToken.withdrawTo, (STRANGER)),
            abi.encodeCall(MintToken.takeFee, (STRANGER, PRICE)),
            abi.encodeCall(factory.appointOperator, (STRANGER)),
            abi.encodeCall(factory.removeOperator, (OPERATOR)),
            abi.encodeCall(factory.stopSettle, ())
        ];
        for (uint256 i = 0; i < 8; ++i) {
            s[i] = Hub.Segment(i < 5 ? address(token) : address(factory), 500_000, calls[i]);
        }
        address[5] memory callers = [OPERATOR, OWNER, GUARDIAN, CREATOR, ALICE];
        for (uint256 i = 0; i < 5; ++i) {
            vm.prank(callers[i]);
            same(hub.run("b", s), hex"0004040404040404", "a refund answers 7 for its key, the others revert");
        }
        same(token.outcome(keyOf(a)), 1, "still paid");
        same(usdc.balanceOf(ALICE), 99 * PRICE, "nothing is refunded");
    }

    /// The hub allows it. A service never settles a token in the transaction that creates it (README, `What stays outside`).
    function test_a_segment_sees_what_the_earlier_ones_have_made() public {
        Auth memory d = auth("deployer", factory.predictToken(config()), FEE);
        Auth memory a = auth("alice", address(token), PRICE);
        Auth memory b = auth("bob", d.to, PRICE);
        Hub.Segment[] memory s = new Hub.Segment[](4);
        bytes memory order = abi.encode(config(), payment(d));
        s[0] = Hub.Segment(address(factory), 900_000, abi.encodeCall(TokenFactory.deploy, (400_000, list(order))));
        s[1] = Hub.Segment(address(token), 500_000, abi.encodeCall(token.settle, ("b", ITEM_GAS, item(a), "")));
        s[2] = Hub.Segment(d.to, 500_000, abi.encodeCall(token.settle, ("b", ITEM_GAS, item(b), "")));
        s[3] = Hub.Segment(address(token), 500_000, abi.encodeCall(MintToken.batchMint, (list(keyOf(a)))));
        same(hub.run("b", s), hex"00000000", "the code of the new token is looked for in its turn");
        same(token.balanceOf(ALICE), UNIT, "alice");
        same(MintToken(d.to).outcome(keyOf(b)), 1, "bob");
        same(usdc.balanceOf(TREASURY), FEE, "the fee");
    }

    function segments(string memory tag, uint256 count) private returns (Hub.Segment[] memory s, Auth[] memory a) {
        s = new Hub.Segment[](count);
        a = new Auth[](count);
        for (uint256 i = 0; i < count; ++i) {
            MintToken t = free(CAP, keccak256(abi.encode(tag, i)));
            a[i] = auth(string.concat(tag, text(i)), address(t), PRICE);
            bytes memory data = abi.encodeCall(token.settle, ("b", ITEM_GAS, item(a[i]), ""));
            s[i] = Hub.Segment(address(t), 500_000, data);
        }
    }
}
