// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../src/MintToken.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {Suite} from "./support/Suite.sol";

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

/// @notice Cases that only a mutation of `contracts/next/mutate` asked for.
contract MutantsTest is Suite {
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

    /// @dev The prototype of these contracts took the selector from the item; `approve` then emptied the token.
    function testFuzz_no_item_calls_another_function_of_the_asset(bytes32 r, bytes32 vs, bytes32 nonce, uint32 high, uint8 fields)
        public
    {
        NotingAsset noting = new NotingAsset();
        factory = new TokenFactory(address(noting), address(hub), seats());
        token = free(CAP, "noting");
        Auth memory a = Auth(0, STRANGER, address(token), PRICE, uint40(fields), NOW, nonce);
        bytes memory ordinary = abi.encodePacked(a.from, a.value, a.validAfter, a.validBefore, a.nonce, r, vs);
        bytes memory long = itemLong(a, uint64(high) << 32 | 100_000, 0, 65);
        bytes memory approval = itemLong(a, uint64(0x095ea7b3) << 32 | 100_000, 0, 65);
        bytes memory signatures = abi.encodePacked(r, vs, bytes1(fields));
        token.settle("batch", ITEM_GAS, ordinary, signatures);
        token.settle("batch", ITEM_GAS, long, signatures);
        token.settle("batch", ITEM_GAS, approval, signatures);
        require(!noting.strange(), "another function, or another payee");
    }

    /// @notice A free token of the configuration of the tests, but for price and cap.
    function tokenOf(uint64 price, uint64 cap) private returns (MintToken) {
        TokenFactory.TokenConfig memory c = config();
        (c.fee, c.price, c.maxUnits, c.unit) = (0, price, cap, 1);
        (address made,) = factory.deployOne(c, nothing());
        return MintToken(made);
    }
}
