// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../src/MintToken.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {DeploySuite} from "./support/DeploySuite.sol";
import {Vm} from "./support/Vm.sol";

/// The address of a token commits to its whole configuration, and anybody can compute it.
contract DeployAddressTest is DeploySuite {
    string private constant CREATED = "TokenCreated(address,address,uint256,bytes32,bytes32)";

    function test_every_field_of_the_configuration_changes_the_address() public view {
        TokenFactory.TokenConfig[10] memory c;
        for (uint256 i = 0; i < 10; ++i) {
            c[i] = config();
        }
        c[1].name = "Paper Boat";
        c[2].symbol = "BOATS";
        ++c[3].unit;
        ++c[4].maxUnits;
        ++c[5].price;
        c[6].creator = BOB;
        ++c[7].fee;
        c[8].metadataHash = bytes32(uint256(c[8].metadataHash) ^ 1);
        c[9].salt = bytes32(uint256(1));
        for (uint256 i = 0; i < 10; ++i) {
            for (uint256 j = 0; j < i; ++j) {
                require(predict(c[i]) != predict(c[j]), string.concat(text(i), " is like ", text(j)));
            }
        }
    }

    function test_letters_moved_between_name_and_symbol_change_the_address() public view {
        TokenFactory.TokenConfig memory left = config();
        TokenFactory.TokenConfig memory right = config();
        (left.name, left.symbol) = ("AB", "C");
        (right.name, right.symbol) = ("A", "BC");
        require(predict(left) != predict(right), "two tokens");
    }

    function test_the_same_configuration_of_another_factory_has_another_address() public {
        address first = predict(config());
        factory = new TokenFactory(address(usdc), address(hub), seats());
        require(predict(config()) != first, "two tokens");
    }

    function testFuzz_the_address_is_the_one_that_create2_gives_for_the_written_out_code(
        bytes32 salt,
        uint128 unit,
        uint64 price,
        uint64 fee,
        address creator
    ) public {
        TokenFactory.TokenConfig memory c = config();
        (c.salt, c.unit, c.price, c.fee, c.creator) =
        (salt, uint128(1 + unit % 2 ** 110), price == 0 ? 1 : price, fee, creator);
        vm.assume(creator != address(0) && creator != address(usdc) && creator != address(hub));
        vm.assume(creator != address(factory) && creator != factory.implementation());
        address expected = byHand(address(factory), factory.implementation(), c);
        same(predict(c), expected, "predicted");
        if (fee != 0) usdc.mint(expected, fee);
        (address made,) = factory.deployOne(c, nothing());
        same(made, expected, "created");
    }

    // The expected words are viem's `keccak256(encodeAbiParameters(config))` and `getContractAddress` (CREATE2) of factory
    // 0xfa and implementation 0x1e.
    function test_another_library_computes_the_same_hash_and_address() public view {
        TokenFactory.TokenConfig memory c = TokenFactory.TokenConfig({
            name: unicode"Żółw",
            symbol: unicode"🐢",
            unit: 5e18,
            maxUnits: 1000,
            price: 2e6,
            creator: address(0xc1),
            fee: 5000001,
            metadataHash: 0x1111111111111111111111111111111111111111111111111111111111111111,
            salt: 0x2222222222222222222222222222222222222222222222222222222222222222
        });
        require(factory.configHash(c) == 0xd33524012a0c2fd71920c6241e43a37e387334af7d8d428608226a94f7b2eb9f, "hash");
        same(byHand(address(0xfa), address(0x1e), c), 0x91B75C7dae9BFcCeed4D44B6eE534b9Be2a144fA, "address");
        same(predict(c), byHand(address(factory), factory.implementation(), c), "the factory's own");
    }

    function test_the_address_is_the_same_on_any_chain() public {
        address first = predict(config());
        vm.chainId(8453);
        same(predict(config()), first, "address");
    }

    function testFuzz_the_event_and_the_code_of_a_token_tell_its_configuration(
        bytes32 metadataHash,
        bytes32 salt,
        uint64 fee,
        uint64 maxUnits,
        address caller
    ) public {
        vm.assume(maxUnits != 0);
        TokenFactory.TokenConfig memory c = config();
        (c.metadataHash, c.salt, c.fee, c.maxUnits) = (metadataHash, salt, fee, maxUnits);
        address made = predict(c);
        if (fee != 0) usdc.mint(made, fee);
        vm.recordLogs();
        require(tries(caller, address(factory), abi.encodeCall(factory.deployOne, (c, nothing()))), "created");
        Vm.Log memory log = logOf(vm.getRecordedLogs(), address(factory), CREATED);

        TokenFactory.TokenConfig memory told = fromCode(toAddress(log.topics[1]));
        (uint256 toldFee, bytes32 document, bytes32 toldSalt) = abi.decode(log.data, (uint256, bytes32, bytes32));
        (told.fee, told.metadataHash, told.salt) = (uint64(toldFee), document, toldSalt);
        same(abi.encode(told), abi.encode(c), "the configuration");
        same(toAddress(log.topics[2]), c.creator, "the creator is a topic, too");
        same(predict(told), made, "and gives the address");
    }

    function test_a_creation_is_reported_once_whoever_calls() public {
        TokenFactory.TokenConfig memory c = config();
        vm.recordLogs();
        same(deploy(order(c, feeOf("alice", c)), order(c, feeOf("bob", c))), hex"0001", "created once");
        require(tries(STRANGER, address(factory), abi.encodeCall(factory.deployOne, (c, nothing()))), "found");
        same(countLogs(vm.getRecordedLogs(), address(factory), CREATED), 1, "events");
    }

    function testFuzz_a_token_reads_back_its_terms(
        uint8 nameLength,
        uint8 symbolLength,
        uint128 unit,
        uint64 maxUnits,
        uint64 price
    ) public {
        vm.assume(maxUnits != 0 && price != 0);
        unit = 1 + unit % (type(uint128).max / maxUnits);
        TokenFactory.TokenConfig memory c = config();
        (c.unit, c.maxUnits, c.price, c.fee) = (unit, maxUnits, price, 0);
        c.name = letters(1 + nameLength % 64);
        c.symbol = letters(1 + symbolLength % 16);
        (address made,) = factory.deployOne(c, nothing());
        MintToken t = MintToken(made);
        same(
            abi.encode(t.name(), t.symbol(), t.unit(), t.maxUnits(), t.price(), t.creator()),
            abi.encode(c.name, c.symbol, c.unit, c.maxUnits, c.price, c.creator),
            "terms"
        );
    }

    // Impossible configurations: refused before money moves, and never predicted

    function test_a_unit_a_cap_or_a_price_of_zero_is_impossible() public {
        TokenFactory.TokenConfig memory c = config();
        c.unit = 0;
        refused(c, abi.encodeWithSelector(TokenFactory.ZeroUnit.selector));
        c = config();
        c.maxUnits = 0;
        refused(c, abi.encodeWithSelector(TokenFactory.ZeroMaxUnits.selector));
        c = config();
        c.price = 0;
        refused(c, abi.encodeWithSelector(TokenFactory.ZeroPrice.selector));
    }

    function test_a_supply_may_fill_a_uint128_and_not_exceed_it() public {
        TokenFactory.TokenConfig memory c = config();
        (c.unit, c.maxUnits) = (type(uint128).max, 1);
        predict(c);
        (c.unit, c.maxUnits) = (2 ** 64 + 1, type(uint64).max); // the product is 2^128 - 1
        predict(c);
        (c.unit, c.maxUnits) = (2 ** 127, 2);
        refused(c, abi.encodeWithSelector(TokenFactory.SupplyTooLarge.selector, uint256(2 ** 128)));
        (c.unit, c.maxUnits) = (type(uint128).max, type(uint64).max);
        uint256 supply = uint256(c.unit) * c.maxUnits;
        refused(c, abi.encodeWithSelector(TokenFactory.SupplyTooLarge.selector, supply));
    }

    function test_a_creator_who_would_lose_the_earnings_is_impossible() public {
        address[5] memory creators =
            [address(0), address(usdc), address(hub), address(factory), factory.implementation()];
        for (uint256 i = 0; i < creators.length; ++i) {
            TokenFactory.TokenConfig memory c = config();
            c.creator = creators[i];
            refused(c, abi.encodeWithSelector(TokenFactory.BadCreator.selector, creators[i]));
        }
    }

    function test_a_factory_needs_an_asset_with_code_and_no_hub() public {
        vm.expectRevert(abi.encodeWithSelector(TokenFactory.AssetHasNoCode.selector, BOB));
        new TokenFactory(BOB, address(hub), seats());
        factory = new TokenFactory(address(usdc), address(0), seats());
        TokenFactory.TokenConfig memory c = config();
        c.creator = address(hub);
        predict(c); // this factory knows no hub
        same(factory.hub(), address(0), "hub");
        same(factory.asset(), address(usdc), "asset");
        same(address(MintToken(factory.implementation()).factory()), address(factory), "implementation");
    }

    // Helpers

    /// @dev The address without the factory and without a library: ERC-1167 code of 45 bytes, which pushes the length of
    /// the appended arguments, and EIP-1014.
    function byHand(address deployer, address implementation, TokenFactory.TokenConfig memory c)
        private
        pure
        returns (address)
    {
        bytes memory arguments = bytes.concat(
            abi.encodePacked(c.unit, c.maxUnits, c.price, c.creator, uint8(bytes(c.name).length)),
            bytes(c.name),
            bytes(c.symbol)
        );
        bytes memory code = abi.encodePacked(
            hex"61",
            uint16(45 + arguments.length),
            hex"3d81600a3d39f3363d3d373d3d3d363d73",
            implementation,
            hex"5af43d82803e903d91602b57fd5bf3",
            arguments
        );
        bytes32 hash = keccak256(abi.encodePacked(hex"ff", deployer, keccak256(abi.encode(c)), keccak256(code)));
        return address(uint160(uint256(hash)));
    }

    /// @dev The fields of a configuration that are part of the code of its token.
    function fromCode(address made) private view returns (TokenFactory.TokenConfig memory c) {
        bytes memory arguments = slice(made.code, 45, made.code.length - 45);
        bytes32 terms = word(arguments, 0);
        c.unit = uint128(uint256(terms) >> 128);
        c.maxUnits = uint64(uint256(terms) >> 64);
        c.price = uint64(uint256(terms));
        c.creator = address(bytes20(word(arguments, 1)));
        uint256 nameLength = uint8(arguments[52]);
        c.name = string(slice(arguments, 53, nameLength));
        c.symbol = string(slice(arguments, 53 + nameLength, arguments.length - 53 - nameLength));
    }

    function letters(uint256 count) private pure returns (string memory) {
        bytes memory name = new bytes(count);
        for (uint256 i = 0; i < count; ++i) {
            name[i] = bytes1(uint8(65 + (i * 7) % 26));
        }
        return string(name);
    }
}
