// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../src/MintToken.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {DeploySuite} from "./support/DeploySuite.sol";

/// Code exists at an address if and only if its fee was paid once: at any gas, in any weather and order of events.
contract DeployGasTest is DeploySuite {
    // Gas

    function test_at_any_gas_a_deployment_is_paid_and_created_or_neither() public {
        Auth[2] memory a = [feeOf("alice", salted("one")), feeOf("bob", salted("two"))];
        bytes[] memory items = list(order(salted("one"), a[0]), order(salted("two"), a[1]));
        uint256[3] memory each = [uint256(100_000), 180_000, 300_000];
        bool[8] memory met;
        for (uint256 i = 0; i < 3; ++i) {
            for (uint256 g = 40_000; g < 780_000; g += 7_001) {
                uint256 state = vm.snapshotState();
                bytes memory results = deployAt(g, each[i], items);
                for (uint256 j = 0; j < 2; ++j) {
                    bool created = exists(a[j].to);
                    require(created == used(a[j]), "paid and not created, or the reverse");
                    if (created) same(MintToken(a[j].to).feeOwed(), 0, "the fee reached the treasury");
                    if (results.length == 0) {
                        require(!created, "all of a call that ran out of gas is undone");
                        continue;
                    }
                    require(created == (results[j] == 0), "0 says created, and nothing else does");
                    bool ample = each[i] == 300_000;
                    require(!ample || created || results[j] == 0x05, "ample gas: created or not attempted");
                    met[uint8(results[j])] = true;
                }
                uint256 fees = (exists(a[0].to) ? FEE : 0) + (exists(a[1].to) ? FEE : 0);
                same(usdc.balanceOf(TREASURY), fees, "fees");
                vm.revertToState(state);
            }
        }
        require(met[0] && met[5] && met[7] && !met[6], "the results that were met");
    }

    // The payment, the creation and the fee each run out of gas somewhere; none of that makes a configuration impossible.
    function test_too_little_gas_for_an_item_is_never_reported_as_an_impossible_configuration() public {
        Auth memory a = feeOf("alice", config());
        bytes[] memory items = list(order(config(), a));
        bool[8] memory met;
        bytes1 last;
        for (uint256 each = 1_000; each < 220_000; each += 499) {
            uint256 state = vm.snapshotState();
            last = factory.deploy(each, items)[0];
            require(last == 0 || last == 0x04 || last == 0x07, string.concat(text(each), ": ", text(uint8(last))));
            whole(a, last == 0);
            met[uint8(last)] = true;
            vm.revertToState(state);
        }
        require(met[0] && met[4] && met[7], "the results that were met");
    }

    function test_at_any_gas_a_completion_is_whole_or_undone() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        submitAround(a);
        uint256 done;
        for (uint256 g = 30_000; g < 220_000; g += 499) {
            uint256 state = vm.snapshotState();
            (bool ok,) = address(factory).call{gas: g}(abi.encodeCall(factory.deployOne, (c, nothing())));
            require(ok == exists(a.to), "whole or undone");
            same(usdc.balanceOf(TREASURY), ok ? FEE : 0, "the fee reached the treasury");
            same(usdc.balanceOf(a.to), ok ? 0 : FEE, "or lies at the address");
            if (ok) ++done;
            vm.revertToState(state);
        }
        require(done > 50 && done < 350, "both were met");
    }

    function test_a_payment_with_too_small_a_cap_fails_and_is_good_later() public {
        TokenFactory.TokenConfig memory c = config();
        Auth memory a = feeOf("alice", c);
        TokenFactory.Payment memory p = payment(a);
        uint256[2] memory met;
        for (p.gas = 1; p.gas < 90_000; p.gas += 1_111) {
            uint256 state = vm.snapshotState();
            bytes1 result = deploy(abi.encode(c, p))[0];
            require(result == 0 || result == 0x04, "paid or failed");
            whole(a, result == 0);
            ++met[uint8(result) / 4];
            vm.revertToState(state);
        }
        require(met[0] != 0 && met[1] != 0, "both were met");
    }

    // Fuzz

    /// One changed byte, anywhere in an item, gives the ordered token at the ordered fee, or nothing.
    function testFuzz_an_altered_item_creates_the_ordered_token_or_nothing(uint256 place, uint8 mask) public {
        vm.assume(mask != 0);
        Auth memory a = feeOf("alice", config());
        bytes memory one = order(config(), a);
        one[place % one.length] ^= bytes1(mask);
        bytes1 result = deploy(one)[0];
        whole(a, result == 0);
    }

    /// A configuration that `predictToken` accepts is deployable in any weather, at any time.
    function testFuzz_money_at_a_predicted_address_always_becomes_its_token(
        TokenFactory.TokenConfig memory c,
        uint256 weather
    ) public {
        c.name = string(cut(bytes(c.name), 64));
        c.symbol = string(cut(bytes(c.symbol), 16));
        if (weather & 256 != 0) (c.name, c.symbol) = ("Paper Boats", "BOAT");
        if (weather & 512 != 0) c.unit %= 2 ** 64;
        (bool possible, bytes memory answer) = address(factory).call(abi.encodeCall(factory.predictToken, (c)));
        if (!possible) {
            same(deploy(unpaid(c)), hex"06", "impossible");
            return;
        }
        address payee = abi.decode(answer, (address));
        if (c.fee != 0) usdc.mint(payee, c.fee);
        if (weather & 1 != 0) usdc.pause();
        if (weather & 2 != 0) usdc.blacklist(TREASURY);
        if (weather & 4 != 0) usdc.blacklist(payee);
        if (weather & 8 != 0) require(tries(OWNER, address(factory), abi.encodeCall(factory.setTreasury, (BOB))), "");
        if (weather & 16 != 0) require(tries(GUARDIAN, address(factory), abi.encodeCall(factory.stopSettle, ())), "");
        vm.warp(NOW + (weather >> 16) % 1e9);
        (address made,) = factory.deployOne(c, nothing());
        same(made, payee, "the predicted address");
        same(MintToken(made).creator(), c.creator, "the ordered terms");
        same(usdc.balanceOf(factory.treasury()) + MintToken(made).feeOwed(), c.fee, "one fee");
    }

    // Everybody in any order

    mapping(uint256 result => uint256) private _met; // 10: an owed fee; 11: a swept one

    /// forge-config: default.fuzz.runs = 96
    function testFuzz_a_crowd_of_deployers_and_payers_never_breaks_the_books(uint256 seed) public {
        crowd(seed);
    }

    /// A control of the test above: the crowd reaches every result that a possible configuration can have.
    function test_the_crowd_reaches_every_result() public {
        uint256[8] memory wanted = [uint256(0), 1, 2, 4, 5, 7, 10, 11];
        uint256[12] memory sum;
        for (uint256 seed = 0; seed < 12; ++seed) {
            uint256 state = vm.snapshotState();
            crowd(seed);
            for (uint256 k = 0; k < 12; ++k) {
                sum[k] += _met[k];
            }
            vm.revertToState(state);
        }
        for (uint256 k = 0; k < wanted.length; ++k) {
            require(sum[wanted[k]] != 0, string.concat("not reached: ", text(wanted[k])));
        }
        same(sum[6], 0, "impossible");
    }

    function crowd(uint256 seed) private {
        Auth[6] memory a;
        for (uint256 i = 0; i < 6; ++i) {
            a[i] = feeOf(string.concat("payer", text(i)), product(i));
        }
        uint256 money = usdc.totalSupply();
        for (uint256 i = 0; i < 40; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            step(seed, a);
            books(a);
        }
        same(usdc.totalSupply(), money, "no money from nowhere");
    }

    /// @dev Three tokens for six payers.
    function product(uint256 i) private view returns (TokenFactory.TokenConfig memory c) {
        c = salted(bytes32(i % 3));
        c.fee = FEE + uint64(i % 3);
    }

    function step(uint256 seed, Auth[6] memory a) private {
        uint256 who = (seed >> 8) % 6;
        bool open = !usdc.paused() && !used(a[who]);
        uint256 kind = seed % 10;
        if (kind < 4) {
            uint256 other = (seed >> 24) % 6;
            // Sometimes an item asks for the token of somebody else.
            bytes memory first = order(product(who + ((seed >> 40) % 8 == 0 ? 1 : 0)), a[who]);
            bytes memory second = order(product(other), a[other]);
            uint256 each = 100_000 + (seed >> 64) % 300_000;
            bytes memory results = deployAt(40_000 + (seed >> 96) % 900_000, each, list(first, second));
            for (uint256 i = 0; i < results.length; ++i) {
                ++_met[uint8(results[i])];
            }
        } else if (kind == 4) {
            tries(STRANGER, address(factory), abi.encodeCall(factory.deployOne, (product(who), nothing())));
        } else if (kind == 5) {
            if (open) submitAround(a[who]);
        } else if (kind == 6) {
            if (who % 2 == 0) usdc.blacklist(TREASURY);
            else usdc.unBlacklist(TREASURY);
        } else if (kind == 7) {
            if (who % 2 == 0) usdc.pause();
            else usdc.unpause();
        } else if (kind == 8) {
            if (open && (seed >> 50) % 4 == 0) cancel(a[who]);
        } else if (exists(a[who].to)) {
            bool owed = MintToken(a[who].to).feeOwed() != 0;
            if (tries(STRANGER, a[who].to, abi.encodeCall(MintToken.sweepFee, ())) && owed) ++_met[11];
        }
    }

    function books(Auth[6] memory a) private {
        uint256 fees;
        uint256 held;
        uint256 spent;
        for (uint256 i = 0; i < 6; ++i) {
            spent += START - usdc.balanceOf(a[i].from);
            if (i >= 3) continue; // payer i + 3 pays for the token of payer i
            held += usdc.balanceOf(a[i].to);
            if (!exists(a[i].to)) continue;
            uint256 owed = MintToken(a[i].to).feeOwed();
            if (owed != 0) ++_met[10];
            fees += a[i].value - owed;
            same(usdc.balanceOf(a[i].to), owed + MintToken(a[i].to).surplus(), "the books of a token");
        }
        same(usdc.balanceOf(TREASURY), fees, "one fee for each token that exists");
        same(spent, fees + held, "what was paid is a fee or still there");
    }

    /// @dev The results; empty if the call ran out of gas.
    function deployAt(uint256 gas_, uint256 each, bytes[] memory items) private returns (bytes memory results) {
        (bool ok, bytes memory answer) = address(factory).call{gas: gas_}(abi.encodeCall(factory.deploy, (each, items)));
        if (ok) results = abi.decode(answer, (bytes));
    }
}
