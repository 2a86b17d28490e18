// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Batches} from "./support/Batches.sol";
import {
    ApprovingWallet,
    BurningWallet,
    LoudWallet,
    MuteWallet,
    OwnedWallet,
    OwnKeyDelegate,
    TrustingWallet,
    WritingWallet
} from "./support/Wallets.sol";

contract SignaturesTest is Batches {
    uint64 private constant LONG_GAS = 200_000;

    // Accounts with code that pay

    function test_a_long_signature_of_a_wallet_is_taken_among_ordinary_ones() public {
        Auth memory a = auth("a", address(token), PRICE);
        Auth memory w = ofWallet("w");
        Auth memory b = auth("b", address(token), 3 * PRICE);
        bytes memory signed = bytes.concat(signature(w, "Transfer"), new bytes(777));
        bytes memory items = bytes.concat(item(a), itemLong(w, LONG_GAS, 3, uint96(signed.length)), item(b));
        same(token.settle("b", ITEM_GAS, items, bytes.concat(hex"aabbcc", signed, hex"dd")), hex"000000", "all paid");
        (address payer, uint32 units,, uint8 s) = token.recordOf(keyOf(w));
        require(payer == w.from && units == 1 && s == PAID, "recorded for the wallet");
        same(mint(keyOf(w)), 0, "minted");
        same(token.balanceOf(w.from), UNIT, "to the wallet");
    }

    function test_two_wallets_of_one_batch_each_need_their_own_signature() public {
        Auth memory v = ofWallet("v");
        Auth memory w = ofWallet("w");
        bytes memory first = bytes.concat(signature(v, "Transfer"), new bytes(31));
        bytes memory second = bytes.concat(signature(w, "Transfer"), new bytes(1));
        bytes memory items = bytes.concat(itemLong(v, LONG_GAS, 96, 66), itemLong(w, LONG_GAS, 0, 96));
        same(token.settle("b", ITEM_GAS, items, bytes.concat(first, second)), hex"0404", "each other's");
        items = bytes.concat(itemLong(v, LONG_GAS, 0, 96), itemLong(w, LONG_GAS, 96, 66));
        same(token.settle("b", ITEM_GAS, items, bytes.concat(first, second)), hex"0000", "their own");
    }

    function test_D12_an_ordinary_item_serves_a_wallet_with_65_bytes_and_a_delegated_account() public {
        Auth memory w = ofWallet("w");
        Auth memory d = delegated("d", address(new OwnKeyDelegate()));
        same(settle(bytes.concat(item(w), item(d))), hex"0000", "both paid");
        require(d.from.code.length == 23, "delegated by EIP-7702");
        same(state(w), PAID, "ERC-1271");
        same(state(d), PAID, "EIP-7702");
    }

    function test_a_delegated_account_pays_by_a_long_item() public {
        Auth memory d = delegated("d", address(new OwnKeyDelegate()));
        same(token.settle("b", ITEM_GAS, itemLong(d, LONG_GAS, 0, 65), signature(d, "Transfer")), hex"00", "paid");
    }

    function test_D12_a_delegated_account_without_ERC1271_fails_alone_though_its_key_signed() public {
        Auth memory d = delegated("d", address(new MuteWallet()));
        bytes memory items = bytes.concat(itemLong(d, LONG_GAS, 0, 65), item(d), item(auth("a", address(token), PRICE)));
        same(token.settle("b", ITEM_GAS, items, signature(d, "Transfer")), hex"040400", "results");
    }

    function test_an_ordinary_account_may_pay_by_a_long_item() public {
        Auth memory a = auth("a", address(token), PRICE);
        same(token.settle("b", ITEM_GAS, itemLong(a, LONG_GAS, 0, 65), signature(a, "Transfer")), hex"00", "paid");
        same(settle(item(a)), hex"01", "one key for both forms");
    }

    function test_a_wallet_that_approves_on_chain_pays_with_an_empty_signature() public {
        ApprovingWallet wallet = new ApprovingWallet();
        Auth memory w = auth("w", address(token), PRICE);
        w.from = address(wallet);
        usdc.mint(w.from, PRICE);
        same(settle(itemLong(w, LONG_GAS, 0, 0)), hex"04", "before it approves");
        wallet.approve(digest(w, "Transfer"));
        same(settle(itemLong(w, LONG_GAS, 0, 0)), hex"00", "after it approved");
    }

    function test_a_wallet_can_sign_to_be_received_at_any_length() public {
        Auth memory w = ofWallet("w");
        bytes memory it = itemLong(w, LONG_GAS, 0, 100);
        bytes memory transfer = bytes.concat(signature(w, "Transfer"), new bytes(35));
        bytes memory receive_ = bytes.concat(signature(w, "Receive"), new bytes(35));
        same(token.settle("b", ITEM_GAS, it, receive_), hex"04", "one is none of the other");
        it[28] |= 0x80;
        same(token.settle("b", ITEM_GAS, it, transfer), hex"04", "nor the reverse");
        same(token.settle("b", ITEM_GAS, it, receive_), hex"00", "paid");
    }

    // Pointers and lengths

    function test_a_pointer_outside_fails_alone_before_money_moves() public {
        Auth memory w = ofWallet("w");
        Auth memory a = auth("a", address(token), PRICE);
        uint96 max = type(uint96).max;
        bytes memory items = bytes.concat(
            itemLong(w, LONG_GAS, 1, 65),
            itemLong(w, LONG_GAS, 66, 0),
            itemLong(w, LONG_GAS, max, 65),
            itemLong(w, LONG_GAS, 0, max),
            itemLong(w, LONG_GAS, max, max)
        );
        items = bytes.concat(items, itemLong(a, LONG_GAS, 65, 0), item(a));
        bytes memory results = token.settle("b", ITEM_GAS, items, signature(w, "Transfer"));
        same(results, hex"06060606060400", "outside, an empty signature of an ordinary account, a neighbour");
        same(usdc.balanceOf(address(token)), PRICE, "one is paid");
    }

    function test_a_signature_has_2048_bytes_at_most() public {
        Auth memory w = ofWallet("w");
        bytes memory signed = bytes.concat(signature(w, "Transfer"), new bytes(3000));
        same(token.settle("b", ITEM_GAS, itemLong(w, LONG_GAS, 0, 2049), signed), hex"06", "2,049");
        require(!paidInAsset(w), "not charged");
        same(token.settle("b", ITEM_GAS, itemLong(w, LONG_GAS, 0, 2048), signed), hex"00", "2,048");
    }

    function testFuzz_a_signature_of_any_length_reaches_the_wallet_as_it_is(uint256 length, uint96 offset) public {
        length = 65 + length % (2048 - 65);
        offset %= 500;
        Auth memory w = ofWallet("w");
        WitnessWallet wallet = new WitnessWallet();
        w.from = address(wallet);
        usdc.mint(w.from, PRICE);
        bytes memory signed = new bytes(length);
        for (uint256 i = 0; i < length; i += 31) {
            signed[i] = bytes1(uint8(i + 1));
        }
        wallet.expect(keccak256(signed));
        bytes memory all = bytes.concat(new bytes(offset), signed, hex"ffff");
        same(token.settle("b", ITEM_GAS, itemLong(w, LONG_GAS, offset, uint96(length)), all), hex"00", "paid");
    }

    // The gas of a long item

    function test_a_long_item_has_its_own_gas_whatever_the_gas_per_item() public {
        Auth memory a = auth("a", address(token), PRICE);
        bytes memory signed = signature(a, "Transfer");
        same(token.settle("b", ITEM_GAS, itemLong(a, 30_000, 0, 65), signed), hex"04", "too little of its own");
        same(token.settle("b", 1, itemLong(a, LONG_GAS, 0, 65), signed), hex"00", "enough of its own");
    }

    function test_a_long_item_that_needs_more_gas_than_there_is_waits_and_the_others_go_on() public {
        Auth memory w = ofWallet("w");
        Auth memory a = auth("a", address(token), PRICE);
        bytes memory signed = signature(w, "Transfer");
        bytes memory items = bytes.concat(itemLong(w, 10_000_000, 0, 65), item(a));
        same(token.settle{gas: 600_000}("b", ITEM_GAS, items, signed), hex"0500", "waits");
        same(token.settle("b", ITEM_GAS, items, signed), hex"0001", "later");
        a.nonce = "greedy";
        bytes memory greedy = itemLong(a, type(uint64).max, 0, 65);
        same(token.settle("b", ITEM_GAS, greedy, signature(a, "Transfer")), hex"05", "2^64 - 1");
    }

    // Hostile wallets

    function test_F60_a_hostile_wallet_burns_its_cap_and_nothing_else_wherever_it_stands() public {
        address[2] memory hostile = [address(new BurningWallet()), address(new LoudWallet())];
        Auth[] memory good = many(5);
        for (uint256 i = 0; i < 24; ++i) {
            uint256 id = vm.snapshotState();
            oneHostile(good, hostile[i % 2], i / 2 % 2 == 1, i / 4);
            vm.revertToState(id);
        }
    }

    function oneHostile(Auth[] memory good, address hostile, bool long, uint256 place) private {
        Auth memory h = auth("h", address(token), PRICE);
        h.from = hostile;
        usdc.mint(h.from, PRICE);
        bytes memory items;
        for (uint256 i = 0; i < 6; ++i) {
            bytes memory bad = long ? itemLong(h, LONG_GAS, 0, 65) : item(h);
            items = bytes.concat(items, i == place ? bad : item(good[i < place ? i : i - 1]));
        }
        bytes memory signed = signature(h, "Transfer");
        uint256 before = gasleft();
        bytes memory results = token.settle("b", ITEM_GAS, items, signed);
        require(before - gasleft() < 5 * 75_000 + 60_000 + (long ? LONG_GAS : ITEM_GAS), "bounded");
        bytes memory expected = row(OK, 6);
        expected[place] = FAILED;
        same(results, expected, "alone");
        same(wholeOrNothing(good), 5, "the others are paid");
    }

    function test_F60_a_wallet_that_writes_while_it_is_asked_fails_alone() public {
        WritingWallet wallet = new WritingWallet();
        Auth memory w = auth("w", address(token), PRICE);
        w.from = address(wallet);
        usdc.mint(w.from, PRICE);
        bytes memory items = bytes.concat(item(w), itemLong(w, LONG_GAS, 0, 65), item(auth("a", address(token), PRICE)));
        same(token.settle("b", ITEM_GAS, items, new bytes(65)), hex"040400", "results");
        same(wallet.asked(), 0, "nothing is written");
    }

    function test_a_wallet_that_accepts_everything_is_charged_by_anybody_but_its_units_are_its_own() public {
        Auth memory w = auth("w", address(token), PRICE);
        w.from = address(new TrustingWallet());
        usdc.mint(w.from, PRICE);
        vm.prank(STRANGER);
        same(token.settle("b", ITEM_GAS, itemLong(w, LONG_GAS, 0, 0), ""), hex"00", "its own rule");
        same(mint(keyOf(w)), 0, "minted");
        same(token.balanceOf(w.from), UNIT, "to the wallet");
    }

    /// One byte of an item or of its signature is altered: the payment is made as it was signed, or not at all.
    function testFuzz_an_altered_long_item_pays_what_was_signed_or_nothing(uint256 place, uint8 mask, bool inItem)
        public
    {
        vm.assume(mask != 0);
        Auth memory w = ofWallet("w");
        bytes memory signed = bytes.concat(signature(w, "Transfer"), new bytes(35));
        bytes memory it = itemLong(w, LONG_GAS, 0, 100);
        if (inItem) it[place % 134] ^= bytes1(mask);
        else signed[place % 100] ^= bytes1(mask);
        bool asSigned = token.settle("b", ITEM_GAS, it, signed)[0] == OK;
        (address payer, uint32 units,, uint8 s) = token.recordOf(keyOf(w));
        if (asSigned) require(payer == w.from && units == 1 && s == PAID, "as signed");
        else same(s, 0, "no record");
        same(usdc.balanceOf(address(token)), asSigned ? PRICE : 0, "the token");
        same(usdc.balanceOf(w.from), (asSigned ? 9 : 10) * PRICE, "the wallet");
    }

    // Helpers

    function ofWallet(string memory owner) private returns (Auth memory a) {
        a = auth(owner, address(token), PRICE);
        a.from = address(new OwnedWallet(account(owner)));
        usdc.mint(a.from, 10 * PRICE);
    }

    /// @notice An ordinary account that delegates to `implementation`. The delegation is attached to the next call.
    function delegated(string memory name, address implementation) private returns (Auth memory d) {
        d = auth(name, address(token), PRICE);
        vm.signAndAttachDelegation(implementation, d.key);
        (bool done,) = address(usdc).call(abi.encodeCall(usdc.balanceOf, (d.from)));
        require(done && d.from.code.length == 23, "delegated");
    }
}

/// @notice ERC-1271: accepts only one signature, by the hash of all of its bytes.
contract WitnessWallet {
    bytes32 private _expected;

    function expect(bytes32 hash) external {
        _expected = hash;
    }

    function isValidSignature(bytes32, bytes calldata signed) external view returns (bytes4) {
        return keccak256(signed) == _expected ? bytes4(0x1626ba7e) : bytes4(0);
    }
}
