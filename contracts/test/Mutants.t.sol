// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Hub} from "../src/Hub.sol";
import {MintToken} from "../src/MintToken.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {DeploySuite} from "./support/DeploySuite.sol";
import {ThinkingWallet} from "./support/Wallets.sol";

/// @notice An asset that pays whatever is asked and notes calls of other functions than those of EIP-3009.
contract NotingAsset {
    /// @notice True if another function was called, or one of EIP-3009 for another payee than the caller.
    bool public strange;
    mapping(address account => uint256) public balanceOf;

    fallback() external {
        bytes4 s = msg.sig;
        address to = address(uint160(uint256(bytes32(msg.data[36:68]))));
        if (s != 0xe3ee160e && s != 0xef55bec6 && s != 0xcf092995 && s != 0x88b7ab63 || to != msg.sender) strange = true;
        balanceOf[msg.sender] += uint256(bytes32(msg.data[68:100]));
    }
}

/// @notice Keeps the gas that the last call was given.
contract GivenGas {
    uint256 public given;

    fallback() external {
        given = gasleft();
    }
}

/// @notice Cases that only a mutation of `contracts/mutate` asked for.
contract MutantsTest is DeploySuite {
    function test_the_creator_is_paid_once_also_beyond_2_to_the_64() public {
        token = tokenOf(type(uint64).max, 1000);
        string[3] memory names = ["alice", "bob", "carol"];
        for (uint256 i = 0; i < names.length; ++i) {
            Auth memory a = auth(names[i], address(token), type(uint64).max);
            usdc.mint(a.from, type(uint64).max);
            same(settle(item(a)), hex"00", "one unit at the largest price");
            same(mint(keyOf(a)), 0, "minted");
            token.withdraw();
            same(token.withdrawn(), (i + 1) * type(uint64).max, "withdrawn");
            same(usdc.balanceOf(CREATOR), (i + 1) * type(uint64).max, "earned");
        }
        token.withdraw();
        same(usdc.balanceOf(CREATOR), 3 * uint256(type(uint64).max), "nothing is due");
    }

    function test_units_are_counted_beyond_2_to_the_32() public {
        token = tokenOf(1, type(uint64).max);
        uint64 most = type(uint32).max;
        Auth memory a = auth("alice", address(token), most);
        Auth memory b = auth("bob", address(token), most);
        usdc.mint(ALICE, most);
        usdc.mint(BOB, most);
        same(settle(bytes.concat(item(a), item(b))), hex"0000", "the most that a record can hold, twice");
        same(token.open(), 2 * uint256(most), "open");
        Auth memory c = auth("carol", address(token), most);
        usdc.mint(c.from, most);
        submitAround(c);
        same(credit(c, uint32(most), 0), 0, "credited");
        same(token.open(), 3 * uint256(most), "open with the credit");
        for (uint256 i = 1; i < 4; ++i) {
            same(mint(keyOf(i == 1 ? a : i == 2 ? b : c)), 0, "minted");
            same(token.unitsMinted(), i * most, "units minted");
            same(token.open(), (3 - i) * most, "open after the mint");
        }
        token.withdraw();
        same(usdc.balanceOf(CREATOR), 3 * uint256(most), "earned");
    }

    /// @dev An earlier form of these contracts took the selector from the item; `approve` then emptied the token.
    function testFuzz_no_item_calls_another_function_of_the_asset(
        bytes32 r,
        bytes32 vs,
        bytes32 nonce,
        uint32 high,
        uint40 fields
    ) public {
        NotingAsset noting = new NotingAsset();
        factory = new TokenFactory(address(noting), address(hub), seats());
        token = free(CAP, "noting");
        Auth memory a = Auth(0, STRANGER, address(token), PRICE, fields, NOW, nonce);
        bytes memory signatures = abi.encodePacked(r, vs, bytes1(uint8(fields)));
        uint32[2] memory selectors = [high, 0x095ea7b3];
        for (uint256 i = 0; i < 2; ++i) {
            a.nonce = keccak256(abi.encode(nonce, i));
            token.settle("batch", ITEM_GAS, itemLong(a, uint64(selectors[i]) << 32 | 100_000, 0, 65), signatures);
        }
        a.nonce = nonce;
        token.settle("batch", ITEM_GAS, itemOf(a, abi.encodePacked(fields, high, uint8(fields)), r, vs), signatures);
        require(!noting.strange(), "another function, or another payee");
    }

    /// @param times Both times as they are packed, ten bytes of any value.
    function itemOf(Auth memory a, bytes memory times, bytes32 r, bytes32 vs) private pure returns (bytes memory) {
        return abi.encodePacked(a.from, a.value, times, a.nonce, r, vs);
    }

    /// A 64th part of this gas is above the reserve, and the deployment needs nearly all of it.
    function test_a_costly_good_deployment_is_made_or_not_attempted() public {
        Auth memory a = feeOf("alice", config());
        a.from = address(new ThinkingWallet());
        usdc.mint(a.from, FEE);
        bytes[] memory items = list(order(config(), a));
        (uint256 low, uint256 each) = (4_900_000, 6_000_000);
        while (each - low > 1) {
            uint256 middle = (low + each) / 2;
            if (resultOf(30_000_000, middle, items) == OK) each = middle;
            else low = middle;
        }
        bool[8] memory met;
        for (uint256 total = each; total < each + 200_000; total += 3_001) {
            bytes1 result = resultOf(total, each, items);
            require(result == OK || result == NOT_ATTEMPTED, string.concat(text(total), ": ", text(uint8(result))));
            met[uint8(result)] = true;
        }
        require(met[0] && met[5], "the results that were met");
    }

    /// A 64th part of this gas is above the reserve.
    function test_a_large_segment_gets_its_gas_or_is_not_attempted() public {
        GivenGas target = new GivenGas();
        Hub.Segment[] memory segments = new Hub.Segment[](1);
        segments[0] = Hub.Segment(address(target), 5_000_000, "");
        bool[8] memory met;
        for (uint256 total = 5_000_000; total < 5_200_000; total += 3_001) {
            uint256 state = vm.snapshotState();
            uint8 result = uint8(hub.run{gas: total}("batch", segments)[0]);
            require(result == 5 ? target.given() == 0 : result == 0 && target.given() > 4_999_000, text(total));
            met[result] = true;
            vm.revertToState(state);
        }
        require(met[0] && met[5], "the results that were met");
    }

    /// @notice The result of a `deploy` of one item, whose effects are undone.
    function resultOf(uint256 total, uint256 each, bytes[] memory items) private returns (bytes1 result) {
        uint256 state = vm.snapshotState();
        result = factory.deploy{gas: total}(each, items)[0];
        vm.revertToState(state);
    }

    /// @notice A free token of the configuration of the tests, but for price and cap.
    function tokenOf(uint64 price, uint64 cap) private returns (MintToken) {
        TokenFactory.TokenConfig memory c = config();
        (c.fee, c.price, c.maxUnits, c.unit) = (0, price, cap, 1);
        (address made,) = factory.deployOne(c, nothing());
        return MintToken(made);
    }
}
