// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../src/MintToken.sol";
import {Records} from "../src/Records.sol";
import {Batches} from "./support/Batches.sol";
import {Vm} from "./support/Vm.sol";

/// @notice Earnings of the creator, movements of units, and views.
contract EarningTest is Batches {
    // Withdrawals

    function test_anybody_has_the_creator_paid_what_is_minted_and_no_more() public {
        mint(keyOf(paid("alice", 3)));
        paid("bob", 2);
        usdc.mint(address(token), 7);
        vm.recordLogs();
        vm.prank(STRANGER);
        token.withdraw();
        Vm.Log memory log = vm.getRecordedLogs()[0];
        require(log.topics[0] == keccak256("Withdrawn(address,address,uint256)"), "event");
        same(address(uint160(uint256(log.topics[1]))), CREATOR, "creator");
        same(address(uint160(uint256(log.topics[2]))), CREATOR, "to");
        same(abi.decode(log.data, (uint256)), 3 * PRICE, "amount");
        same(usdc.balanceOf(CREATOR), 3 * PRICE, "the creator");
        same(usdc.balanceOf(address(token)), 2 * PRICE + 7, "what is open and what is surplus stays");
        same(token.withdrawn(), 3 * PRICE, "withdrawn");
        vm.recordLogs();
        token.withdraw();
        same(vm.getRecordedLogs().length, 0, "without a sum due it does nothing");
        balanced();
    }

    function test_a_second_withdrawal_pays_what_was_minted_since() public {
        mint(keyOf(paid("alice", 3)));
        token.withdraw();
        mint(keyOf(paid("bob", 2)));
        token.withdraw();
        same(usdc.balanceOf(CREATOR), 5 * PRICE, "the creator");
    }

    function test_F50_a_withdrawal_to_a_blacklisted_creator_fails_whole_and_can_be_made_elsewhere() public {
        mint(keyOf(paid("alice", 1)));
        usdc.blacklist(CREATOR);
        vm.expectRevert(abi.encodeWithSelector(Records.TransferFailed.selector, CREATOR, PRICE));
        token.withdraw();
        same(token.withdrawn(), 0, "withdrawn");
        vm.prank(CREATOR);
        token.withdrawTo(BOB);
        same(usdc.balanceOf(BOB), PRICE, "elsewhere");
        usdc.unBlacklist(CREATOR);
        token.withdraw();
        same(usdc.balanceOf(CREATOR), 0, "once");
    }

    function test_a_withdrawal_from_an_asset_without_code_does_not_count() public {
        mint(keyOf(paid("alice", 1)));
        bytes memory code = address(usdc).code;
        vm.etch(address(usdc), "");
        vm.expectRevert(abi.encodeWithSelector(Records.TransferFailed.selector, CREATOR, PRICE));
        token.withdraw();
        vm.etch(address(usdc), code);
        token.withdraw();
        same(usdc.balanceOf(CREATOR), PRICE, "once it is back");
    }

    function test_only_the_creator_chooses_where_the_proceeds_go() public {
        mint(keyOf(paid("alice", 1)));
        address[5] memory others = [OWNER, GUARDIAN, OPERATOR, TREASURY, ALICE];
        for (uint256 i = 0; i < 5; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(MintToken.NotCreator.selector, others[i]));
            token.withdrawTo(others[i]);
        }
        vm.startPrank(CREATOR);
        vm.expectRevert(abi.encodeWithSelector(MintToken.BadRecipient.selector, address(0)));
        token.withdrawTo(address(0));
        vm.expectRevert(abi.encodeWithSelector(MintToken.BadRecipient.selector, address(token)));
        token.withdrawTo(address(token));
        vm.stopPrank();
        same(token.withdrawn(), 0, "nothing is withdrawn");
    }

    function test_if_the_asset_takes_money_away_nothing_but_a_payment_breaks() public {
        Auth memory a = paid("alice", 1);
        mint(keyOf(paid("bob", 2)));
        vm.prank(address(token));
        usdc.transfer(STRANGER, 3 * PRICE); // as an upgraded asset could
        same(token.surplus(), 0, "surplus");
        same(refundBy(OPERATOR, keyOf(a)), 4, "no money for a refund");
        same(mint(keyOf(a)), 0, "the units are delivered");
        same(settle(item(auth("carol", address(token), PRICE))), hex"00", "new payments are taken");
        vm.expectRevert(abi.encodeWithSelector(Records.TransferFailed.selector, CREATOR, 3 * PRICE));
        token.withdraw();
    }

    // ERC-20

    function test_the_terms_are_those_of_the_configuration() public view {
        same(token.name(), "Paper Boats", "name");
        same(token.symbol(), "BOAT", "symbol");
        same(token.decimals(), 18, "decimals");
        same(token.unit(), UNIT, "unit");
        same(token.maxUnits(), CAP, "maxUnits");
        same(token.price(), PRICE, "price");
        same(token.creator(), CREATOR, "creator");
        same(token.asset(), address(usdc), "asset");
        same(address(token.factory()), address(factory), "factory");
    }

    function test_units_are_not_sent_to_the_zero_address_or_to_the_token() public {
        mint(keyOf(paid("alice", 1)));
        vm.startPrank(ALICE);
        token.approve(ALICE, 2);
        vm.expectRevert(abi.encodeWithSelector(MintToken.BadRecipient.selector, address(0)));
        token.transfer(address(0), 1);
        vm.expectRevert(abi.encodeWithSelector(MintToken.BadRecipient.selector, address(token)));
        token.transfer(address(token), 1);
        vm.expectRevert(abi.encodeWithSelector(MintToken.BadRecipient.selector, address(0)));
        token.transferFrom(ALICE, address(0), 1);
        vm.expectRevert(abi.encodeWithSelector(MintToken.BadRecipient.selector, address(token)));
        token.transferFrom(ALICE, address(token), 1);
    }

    function test_Permit2_has_no_allowance_that_the_holder_did_not_give() public {
        address permit2 = 0x000000000022D473030F116dDEE9F6B43aC78BA3;
        mint(keyOf(paid("alice", 1)));
        same(token.allowance(ALICE, permit2), 0, "allowance");
        vm.prank(permit2);
        vm.expectRevert();
        token.transferFrom(ALICE, permit2, 1);
        vm.prank(ALICE);
        token.approve(permit2, 5);
        vm.prank(permit2);
        token.transferFrom(ALICE, BOB, 5);
        same(token.balanceOf(BOB), 5, "bob");
    }

    function test_units_move_by_transfer_and_by_permit() public {
        mint(keyOf(paid("alice", 1)));
        vm.prank(ALICE);
        token.transfer(BOB, 1);
        bytes32 permit = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                ALICE,
                STRANGER,
                uint256(7),
                uint256(0),
                uint256(NOW)
            )
        );
        bytes32 hash = keccak256(abi.encodePacked(bytes2(0x1901), token.DOMAIN_SEPARATOR(), permit));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret("alice"), hash);
        token.permit(ALICE, STRANGER, 7, NOW, v, r, s);
        vm.prank(STRANGER);
        token.transferFrom(ALICE, BOB, 7);
        same(token.balanceOf(BOB), 8, "bob");
        same(token.balanceOf(ALICE), UNIT - 8, "alice");
    }

    // Views

    function testFuzz_a_key_is_the_hash_of_chain_asset_payer_and_nonce(address payer, bytes32 nonce, uint32 id) public {
        bytes32 key = keccak256(abi.encode(block.chainid, address(usdc), payer, nonce));
        require(token.keyOf(payer, nonce) == key, "the key");
        vm.chainId(1 + uint256(id));
        require(token.keyOf(payer, nonce) == key, "after a fork with a new chain id");
    }

    function test_a_record_is_one_word_of_payer_units_time_and_state() public {
        vm.warp(NOW + 12_345);
        bytes32 a = keyOf(paid("alice", 3));
        bytes32 b = keyOf(paid("bob", 4));
        Auth memory returned = auth("carol", address(token), 1);
        submitAround(returned);
        giveBack(returned, 1);
        mint(a);
        refundBy(OPERATOR, b);
        bytes32[] memory keys = new bytes32[](4);
        (keys[0], keys[1], keys[2], keys[3]) = (a, b, keyOf(returned), "none");
        uint256[] memory words = token.recordsOf(keys);
        require(words[0] == word(ALICE, 3, 2), "minted");
        require(words[1] == word(BOB, 4, 3), "refunded");
        require(words[2] == word(returned.from, 0, 4), "given back");
        require(words[3] == 0 && words.length == 4, "no record");
        (address payer, uint32 units, uint40 paidAt, uint8 s) = token.recordOf("none");
        require(payer == address(0) && units == 0 && paidAt == 0 && s == 0, "no record is all zero");
        require(token.hasMinted(a) && !token.hasMinted(b) && !token.hasMinted("none"), "hasMinted");
        require(token.outcome(b) == 3 && token.outcome(keys[2]) == 4 && token.outcome("none") == 0, "outcome");
    }

    function word(address payer, uint256 units, uint256 s) private view returns (uint256) {
        return (uint256(uint160(payer)) << 96) + (units << 64) + (block.timestamp << 24) + s;
    }

    function test_the_records_of_a_token_are_its_own() public {
        bytes32 key = keyOf(paid("alice", 1));
        MintToken first = token;
        token = free(CAP, "second");
        same(token.outcome(key), 0, "no record of the other token");
        same(mint(key), 5, "nothing to mint");
        same(refundBy(OPERATOR, key), 5, "nothing to refund");
        same(first.open(), 1, "the other token's record is open");
    }

    // The code that all tokens share

    function test_the_implementation_is_no_token() public {
        MintToken code = MintToken(factory.implementation());
        bytes[7] memory calls = [
            abi.encodeCall(token.settle, ("b", ITEM_GAS, new bytes(134), "")),
            abi.encodeCall(token.batchMint, (new bytes32[](0))),
            abi.encodeCall(token.refund, (new bytes32[](0))),
            abi.encodeCall(token.credit, (new MintToken.Credit[](0))),
            abi.encodeCall(token.giveBack, (new MintToken.GiveBack[](0))),
            abi.encodeCall(token.takeFee, (STRANGER, 0)),
            abi.encodeCall(token.sweepFee, ())
        ];
        for (uint256 i = 0; i < 7; ++i) {
            (bool done, bytes memory answer) = address(code).call(calls[i]);
            require(!done, "refused");
            same(answer, abi.encodeWithSelector(Records.NotAToken.selector), "no token");
        }
        require(!tries(STRANGER, address(code), abi.encodeCall(token.withdraw, ())), "withdraw");
    }
}
