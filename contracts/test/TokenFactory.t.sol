// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../src/MintToken.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {Suite} from "./support/Suite.sol";
import {Vm} from "./support/Vm.sol";

contract TokenFactoryTest is Suite {
    // Creation

    function test_a_token_is_created_where_it_was_predicted_and_reported_once() public {
        TokenFactory.TokenConfig memory c = config();
        address predicted = factory.predictToken("a", c);
        vm.recordLogs();
        vm.prank(STRANGER);
        address created = factory.createToken("a", c);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        same(created, predicted, "address");
        same(logs.length, 1, "logs");
        require(
            logs[0].topics[0]
                == keccak256(
                    "TokenCreated(address,address,bytes32,bytes32,(string,string,uint128,uint64,uint64,address))"
                ),
            "event"
        );
        same(address(uint160(uint256(logs[0].topics[1]))), created, "token");
        same(address(uint160(uint256(logs[0].topics[2]))), CREATOR, "creator");
        require(logs[0].topics[3] == "a", "payment key");
        (bytes32 hash, TokenFactory.TokenConfig memory reported) =
            abi.decode(logs[0].data, (bytes32, TokenFactory.TokenConfig));
        require(hash == factory.configHash(c), "hash");
        same(abi.encode(reported), abi.encode(c), "config");
    }

    function test_a_second_attempt_by_anyone_finds_the_same_token_and_reports_nothing() public {
        address first = factory.createToken("a", config());
        payFor(1);
        vm.recordLogs();
        vm.prank(STRANGER);
        same(factory.createToken("a", config()), first, "address");
        same(vm.getRecordedLogs().length, 0, "logs");
    }

    function test_the_first_of_two_creators_wins_nothing_over_the_second() public {
        vm.prank(STRANGER);
        address early = factory.createToken("a", config());
        same(MintToken(early).creator(), CREATOR, "the creator is the configuration's");
    }

    function test_money_sent_to_an_address_before_its_token_exists_pays_there() public {
        address predicted = factory.predictToken("a", config());
        usdc.mint(predicted, PRICE);
        token = MintToken(factory.createToken("a", config()));
        same(mintOne(ALICE, 1, "p"), 0, "result");
    }

    function test_every_field_of_the_configuration_and_the_payment_key_make_another_address() public view {
        address[8] memory found;
        found[0] = factory.predictToken("a", config());
        found[1] = factory.predictToken("b", config());
        TokenFactory.TokenConfig memory c = config();
        c.name = "Paper Boat";
        found[2] = factory.predictToken("a", c);
        c = config();
        c.symbol = "BOATS";
        found[3] = factory.predictToken("a", c);
        c = config();
        ++c.unit;
        found[4] = factory.predictToken("a", c);
        c = config();
        ++c.maxUnits;
        found[5] = factory.predictToken("a", c);
        c = config();
        ++c.price;
        found[6] = factory.predictToken("a", c);
        c = config();
        c.creator = BOB;
        found[7] = factory.predictToken("a", c);
        for (uint256 i = 0; i < 8; ++i) {
            for (uint256 j = 0; j < i; ++j) {
                require(found[i] != found[j], "distinct");
            }
        }
    }

    function test_letters_moved_between_name_and_symbol_make_another_token() public view {
        TokenFactory.TokenConfig memory left = config();
        TokenFactory.TokenConfig memory right = config();
        (left.name, left.symbol) = ("AB", "C");
        (right.name, right.symbol) = ("A", "BC");
        require(factory.predictToken("a", left) != factory.predictToken("a", right), "distinct");
    }

    function testFuzz_a_token_reads_back_what_it_was_configured_with(
        bytes32 paymentKey,
        bytes memory name,
        bytes memory symbol,
        uint64 unit,
        uint64 maxUnits,
        uint64 price,
        address creator
    ) public {
        vm.assume(name.length > 0 && symbol.length > 0);
        vm.assume(unit > 0 && maxUnits > 0 && price > 0);
        vm.assume(creator != address(0) && creator != address(usdc));
        TokenFactory.TokenConfig memory c =
            TokenFactory.TokenConfig(string(cut(name, 64)), string(cut(symbol, 16)), unit, maxUnits, price, creator);
        MintToken t = MintToken(factory.createToken(paymentKey, c));
        same(address(t), factory.predictToken(paymentKey, c), "address");
        same(bytes(t.name()), bytes(c.name), "name");
        same(bytes(t.symbol()), bytes(c.symbol), "symbol");
        same(t.unit(), unit, "unit");
        same(t.maxUnits(), maxUnits, "maxUnits");
        same(t.price(), price, "price");
        same(t.asset(), address(usdc), "asset");
        same(t.creator(), creator, "creator");
        same(t.totalSupply(), 0, "supply");
    }

    function test_the_configuration_hash_is_the_plain_encoding_of_configuration_and_asset_on_any_chain() public {
        TokenFactory.TokenConfig memory c = config();
        bytes32 hash = factory.configHash(c);
        require(hash == keccak256(abi.encode(c, address(usdc))), "encoding");
        vm.chainId(8453);
        require(factory.configHash(c) == hash, "chain");
    }

    /// The expected words are alloy's: `keccak256((config, asset).abi_encode_params())` and
    /// `keccak256((paymentKey, configHash).abi_encode())`, with `TokenConfig` from the committed artifact.
    function test_the_configuration_hash_and_the_salt_are_those_that_alloy_computes() public {
        address base = 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913;
        vm.etch(base, address(usdc).code);
        TokenFactory.TokenConfig memory c = config();
        c.creator = address(0xc1);
        bytes32 hash = new TokenFactory(base, OWNER).configHash(c);
        require(hash == 0xf35febda50cffd0bb57801d0f531fe3c351b6c9cf04afa13af95eeae53b905bd, "hash");
        require(
            keccak256(abi.encode(bytes32(uint256(0x11) * (type(uint256).max / 0xff)), hash))
                == 0xde48762bca1fa9eaa6d1510f171f747ddf8658e32125e4c237888e43d0eb98af,
            "salt"
        );
    }

    function test_the_salt_commits_to_payment_key_and_configuration() public view {
        bytes32 salt = keccak256(abi.encode(bytes32("a"), factory.configHash(config())));
        bytes memory arguments =
            abi.encodePacked(UNIT, CAP, PRICE, address(usdc), CREATOR, uint8(11), "Paper Boats", "BOAT");
        // ERC-1167 with appended arguments, as the bytes that CREATE2 hashes.
        bytes memory code = abi.encodePacked(
            hex"61",
            uint16(45 + arguments.length),
            hex"3d81600a3d39f3363d3d373d3d3d363d73",
            factory.implementation(),
            hex"5af43d82803e903d91602b57fd5bf3",
            arguments
        );
        bytes32 expected = keccak256(abi.encodePacked(hex"ff", address(factory), salt, keccak256(code)));
        same(factory.predictToken("a", config()), address(uint160(uint256(expected))), "address");
    }

    // Refused configurations: neither created nor predicted

    function test_a_unit_of_nothing_is_refused() public {
        TokenFactory.TokenConfig memory c = config();
        c.unit = 0;
        refused(c, abi.encodeWithSelector(TokenFactory.ZeroUnit.selector));
    }

    function test_a_cap_of_nothing_is_refused() public {
        TokenFactory.TokenConfig memory c = config();
        c.maxUnits = 0;
        refused(c, abi.encodeWithSelector(TokenFactory.ZeroMaxUnits.selector));
    }

    function test_a_price_of_nothing_is_refused() public {
        TokenFactory.TokenConfig memory c = config();
        c.price = 0;
        refused(c, abi.encodeWithSelector(TokenFactory.ZeroPrice.selector));
    }

    function testFuzz_a_supply_beyond_uint128_is_refused(uint128 unit, uint64 maxUnits) public {
        vm.assume(unit > 0 && maxUnits > 0);
        TokenFactory.TokenConfig memory c = config();
        (c.unit, c.maxUnits) = (unit, maxUnits);
        uint256 supply = uint256(unit) * maxUnits;
        if (supply > type(uint128).max) {
            refused(c, abi.encodeWithSelector(TokenFactory.SupplyTooLarge.selector, supply));
        } else {
            factory.createToken("a", c);
        }
    }

    function test_the_supply_may_be_all_of_uint128_and_not_one_more() public {
        TokenFactory.TokenConfig memory c = config();
        (c.unit, c.maxUnits) = (type(uint128).max, 1);
        factory.createToken("a", c);
        (c.unit, c.maxUnits) = (2 ** 127, 2);
        refused(c, abi.encodeWithSelector(TokenFactory.SupplyTooLarge.selector, uint256(2 ** 128)));
    }

    function test_a_creator_who_is_nobody_or_the_asset_is_refused() public {
        TokenFactory.TokenConfig memory c = config();
        c.creator = address(0);
        refused(c, abi.encodeWithSelector(TokenFactory.BadCreator.selector, address(0)));
        c.creator = address(usdc);
        refused(c, abi.encodeWithSelector(TokenFactory.BadCreator.selector, address(usdc)));
    }

    function test_names_of_1_to_64_bytes_and_symbols_of_1_to_16_are_taken_and_no_others() public {
        TokenFactory.TokenConfig memory c = config();
        c.name = "";
        refused(c, abi.encodeWithSelector(TokenFactory.BadNameLength.selector, 0));
        c.name = string(new bytes(65));
        refused(c, abi.encodeWithSelector(TokenFactory.BadNameLength.selector, 65));
        c.name = string(new bytes(64));
        c.symbol = "";
        refused(c, abi.encodeWithSelector(TokenFactory.BadSymbolLength.selector, 0));
        c.symbol = string(new bytes(17));
        refused(c, abi.encodeWithSelector(TokenFactory.BadSymbolLength.selector, 17));
        c.symbol = string(new bytes(16));
        factory.createToken("a", c);
    }

    // Roles

    function test_only_the_owner_appoints() public {
        vm.startPrank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(TokenFactory.NotOwner.selector, STRANGER));
        factory.setMinter(STRANGER, true);
        vm.expectRevert(abi.encodeWithSelector(TokenFactory.NotOwner.selector, STRANGER));
        factory.setOperator(STRANGER, true);
        vm.expectRevert(abi.encodeWithSelector(TokenFactory.NotOwner.selector, STRANGER));
        factory.transferOwnership(STRANGER);
    }

    function test_appointments_are_reported_and_can_be_taken_back() public {
        vm.startPrank(OWNER);
        vm.recordLogs();
        factory.setMinter(BOB, true);
        factory.setOperator(BOB, true);
        require(factory.isMinter(BOB) && factory.isOperator(BOB), "appointed");
        factory.setMinter(BOB, false);
        factory.setOperator(BOB, false);
        require(!factory.isMinter(BOB) && !factory.isOperator(BOB), "taken back");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        same(logs.length, 4, "logs");
        require(logs[0].topics[0] == keccak256("MinterSet(address,bool)"), "minter");
        require(logs[1].topics[0] == keccak256("OperatorSet(address,bool)"), "operator");
        require(abi.decode(logs[0].data, (bool)) && !abi.decode(logs[2].data, (bool)), "allowed");
    }

    function test_a_minter_is_no_operator_and_an_operator_is_no_minter() public view {
        require(factory.isMinter(MINTER) && !factory.isOperator(MINTER), "minter");
        require(factory.isOperator(OPERATOR) && !factory.isMinter(OPERATOR), "operator");
        require(!factory.isMinter(OWNER) && !factory.isOperator(OWNER), "the owner is neither by itself");
    }

    function test_the_ownership_moves_only_when_it_is_accepted() public {
        vm.prank(OWNER);
        factory.transferOwnership(BOB);
        same(factory.owner(), OWNER, "not yet");
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(TokenFactory.NotPendingOwner.selector, STRANGER));
        factory.acceptOwnership();
        vm.prank(BOB);
        factory.acceptOwnership();
        same(factory.owner(), BOB, "now");
        same(factory.pendingOwner(), address(0), "no offer is left");
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(TokenFactory.NotOwner.selector, OWNER));
        factory.setMinter(OWNER, true);
    }

    function test_an_offer_of_the_ownership_can_be_taken_back() public {
        vm.startPrank(OWNER);
        factory.transferOwnership(BOB);
        factory.transferOwnership(address(0));
        vm.stopPrank();
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(TokenFactory.NotPendingOwner.selector, BOB));
        factory.acceptOwnership();
    }

    function test_nobody_is_appointed_by_mistake() public {
        vm.startPrank(OWNER);
        vm.expectRevert(TokenFactory.ZeroAddress.selector);
        factory.setMinter(address(0), true);
        vm.expectRevert(TokenFactory.ZeroAddress.selector);
        factory.setOperator(address(0), true);
        vm.stopPrank();
        vm.expectRevert(TokenFactory.ZeroAddress.selector);
        new TokenFactory(address(usdc), address(0));
        vm.expectRevert(abi.encodeWithSelector(TokenFactory.AssetHasNoCode.selector, BOB));
        new TokenFactory(BOB, OWNER);
    }

    // Helpers

    function refused(TokenFactory.TokenConfig memory c, bytes memory reason) private {
        vm.expectRevert(reason);
        factory.createToken("a", c);
        vm.expectRevert(reason);
        factory.predictToken("a", c);
    }

    function cut(bytes memory data, uint256 length) private pure returns (bytes memory) {
        if (data.length > length) {
            assembly {
                mstore(data, length)
            }
        }
        return data;
    }
}
