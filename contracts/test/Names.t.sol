// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MintToken} from "../src/MintToken.sol";
import {Names} from "../src/Names.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {DeploySuite} from "./support/DeploySuite.sol";

/// Names and symbols are well-formed UTF-8 without control characters, and nothing else.
contract NamesTest is DeploySuite {
    // Bytes around every limit of RFC 3629.
    bytes private constant LIMITS = hex"001f20417e7f808f909fa0bfc0c1c2dfe0e1ecedeeeff0f1f3f4f5f7f8fbfeff";

    function check(string calldata name, string calldata symbol) external pure {
        Names.check(name, symbol);
    }

    // Code points

    function testFuzz_a_code_point_is_accepted_unless_it_is_a_control_or_a_surrogate(uint256 seed) public view {
        uint256 point = seed % 0x110000;
        accepts(utf8(point), allowed(point));
        accepts(bytes.concat("a", utf8(point), utf8(seed >> 32 & 0xffff | 0x10000), "z"), allowed(point));
    }

    function test_every_code_point_of_one_and_two_bytes_is_judged_rightly() public view {
        for (uint256 point = 0; point < 0x800; ++point) {
            accepts(utf8(point), allowed(point));
        }
    }

    function test_the_code_points_beside_every_limit_are_judged_rightly() public view {
        uint24[16] memory points = [
            0x7ff,
            0x800,
            0xfff,
            0x1000,
            0xcfff,
            0xd000,
            0xd7ff,
            0xd800,
            0xdbff,
            0xdc00,
            0xdfff,
            0xe000,
            0xffff,
            0x10000,
            0x10ffff,
            0xfffff
        ];
        for (uint256 i = 0; i < points.length; ++i) {
            bool surrogate = points[i] >= 0xd800 && points[i] <= 0xdfff;
            accepts(utf8(points[i]), !surrogate);
        }
    }

    // Everything else. Each row: bytes that are refused; good text may stand before and after them.
    function test_what_is_no_code_point_is_refused_at_its_first_byte() public view {
        string[3] memory before = ["", "Paper ", unicode"Żółw🐢"];
        bytes[30] memory bad = malformed();
        for (uint256 i = 0; i < bad.length; ++i) {
            for (uint256 j = 0; j < 3; ++j) {
                bytes memory start = bytes(before[j]);
                refuses(bytes.concat(start, bad[i]), start.length);
                refuses(bytes.concat(start, bad[i], "a"), start.length);
                refuses(bytes.concat(start, bad[i], bad[(i + 1) % 30]), start.length);
            }
        }
    }

    function malformed() private pure returns (bytes[30] memory) {
        return [
            // C0 controls, delete, C1 controls
            bytes(hex"00"),
            hex"09",
            hex"0a",
            hex"1b",
            hex"1f",
            hex"7f",
            hex"c280",
            hex"c285",
            hex"c29f",
            // continuation bytes alone
            hex"80",
            hex"9f",
            hex"bf",
            // overlong forms of /, of U+007F, U+07FF and U+FFFF
            hex"c0af",
            hex"c1bf",
            hex"e080af",
            hex"e09fbf",
            hex"f08080af",
            hex"f08fbfbf",
            // surrogates, alone and as a pair
            hex"eda080",
            hex"edbfbf",
            hex"eda081edb080",
            // above U+10FFFF, and bytes that never occur
            hex"f4908080",
            hex"f5808080",
            hex"f888808080",
            hex"fe",
            hex"ff",
            // cut sequences
            hex"c3",
            hex"e282",
            hex"f09f90",
            hex"f09f"
        ];
    }

    function test_a_symbol_is_judged_like_a_name() public {
        TokenFactory.TokenConfig memory c = config();
        c.symbol = string(bytes(hex"4142ff"));
        refused(c, abi.encodeWithSelector(Names.BadText.selector, 2));
        c.name = string(bytes(hex"e282")); // the name is looked at first
        refused(c, abi.encodeWithSelector(Names.BadText.selector, 0));
        c = config();
        c.symbol = unicode"🐢";
        predict(c);
    }

    // A name that ends within a sequence does not borrow the rest from the symbol, which follows it in the code.
    function test_a_sequence_does_not_reach_from_the_name_into_the_symbol() public {
        TokenFactory.TokenConfig memory c = config();
        (c.name, c.symbol) = (string(bytes(hex"61e2")), string(bytes(hex"82ac")));
        refused(c, abi.encodeWithSelector(Names.BadText.selector, 1));
    }

    function test_all_pairs_of_a_first_and_a_second_byte_are_judged_rightly() public view {
        uint256 memory_;
        assembly ("memory-safe") {
            memory_ := mload(0x40)
        }
        for (uint256 pair = 0x8000; pair < 0x10000; ++pair) {
            judged(
                abi.encodePacked(
                    uint16(pair), pair < 0xe000 ? bytes("") : pair < 0xf000 ? bytes(hex"80") : bytes(hex"8080")
                )
            );
            assembly ("memory-safe") {
                mstore(0x40, memory_) // nothing of a round is kept
            }
        }
    }

    // A byte above 0x7f is no code point here, because plain text or the end follows it.
    function test_a_byte_at_any_place_of_a_long_name_is_judged_rightly() public view {
        bytes memory values = LIMITS;
        uint8[5] memory lengths = [1, 31, 32, 33, 64];
        uint256 memory_;
        assembly ("memory-safe") {
            memory_ := mload(0x40)
        }
        for (uint256 i = 0; i < lengths.length; ++i) {
            for (uint256 round = 0; round < lengths[i] * values.length; ++round) {
                (uint256 place, bytes1 value) = (round / values.length, values[round % values.length]);
                bytes memory name = filled(lengths[i]);
                name[place] = value;
                if (value > 0x1f && value < 0x7f) same(reasonFor(name), "", "plain");
                else refuses(name, place);
                assembly ("memory-safe") {
                    mstore(0x40, memory_) // nothing of a round is kept
                }
            }
        }
    }

    // Lengths

    function test_names_of_1_to_64_and_symbols_of_1_to_16_bytes_are_accepted() public {
        TokenFactory.TokenConfig memory c = config();
        for (uint256 length = 0; length <= 70; ++length) {
            c.name = string(filled(length));
            if (length >= 1 && length <= 64) predict(c);
            else refused(c, abi.encodeWithSelector(Names.BadNameLength.selector, length));
        }
        c = config();
        for (uint256 length = 0; length <= 20; ++length) {
            c.symbol = string(filled(length));
            if (length >= 1 && length <= 16) predict(c);
            else refused(c, abi.encodeWithSelector(Names.BadSymbolLength.selector, length));
        }
    }

    function test_a_length_counts_bytes_and_not_characters() public {
        TokenFactory.TokenConfig memory c = config();
        c.symbol = unicode"🐢🐢🐢🐢";
        predict(c);
        c.symbol = unicode"🐢🐢🐢🐢a";
        refused(c, abi.encodeWithSelector(Names.BadSymbolLength.selector, 17));
        c = config();
        c.name = unicode"🐢🐢🐢🐢🐢🐢🐢🐢🐢🐢🐢🐢🐢🐢🐢🐢";
        predict(c);
        c.name = string.concat(c.name, "a");
        refused(c, abi.encodeWithSelector(Names.BadNameLength.selector, 65));
    }

    function test_a_token_says_its_name_byte_for_byte() public {
        string[4] memory names = [unicode"Żółw", unicode"🐢🐢🐢🐢", unicode"עברית", "a"];
        for (uint256 i = 0; i < names.length; ++i) {
            TokenFactory.TokenConfig memory c = config();
            (c.name, c.symbol, c.fee) = (names[i], names[3 - i], 0);
            (address made,) = factory.deployOne(c, nothing());
            same(MintToken(made).name(), c.name, "name");
            same(MintToken(made).symbol(), c.symbol, "symbol");
        }
    }

    // Random bytes

    function testFuzz_any_bytes_are_judged_like_a_decoder_judges_them(bytes memory raw) public view {
        judged(bytes.concat("a", cut(raw, 63)));
        judged(bytes.concat("a", fromLimits(cut(raw, 63))));
    }

    function testFuzz_what_is_predicted_is_deployable_and_what_is_refused_is_not(bytes memory a, bytes memory b)
        public
    {
        TokenFactory.TokenConfig memory c = config();
        c.fee = 0;
        (c.name, c.symbol) = (string(sometimes(a, 66)), string(sometimes(b, 18)));
        (bool predicted, bytes memory why) = address(factory).call(abi.encodeCall(factory.predictToken, (c)));
        (bool made, bytes memory answer) = address(factory).call(abi.encodeCall(factory.deployOne, (c, nothing())));
        require(predicted == made, "one accepts what the other refuses");
        if (made) same(toAddress(word(why, 0)), toAddress(word(answer, 0)), "address");
        else same(answer, why, "reason");
        same(deploy(unpaid(c)), made ? bytes(hex"01") : bytes(hex"06"), "result");
    }

    // Helpers

    /// @dev Mostly good text of bytes at the limits; every fourth time any bytes.
    function sometimes(bytes memory raw, uint256 length) private pure returns (bytes memory) {
        raw = cut(raw, length);
        uint256 kind = uint256(keccak256(raw)) % 4;
        if (kind == 0) return raw;
        if (kind == 1) return fromLimits(cut(raw, 3));
        return filled(raw.length);
    }

    function accepts(bytes memory name, bool yes) private view {
        if (yes) this.check(string(name), "A");
        else refuses(name, name.length < 5 ? 0 : 1);
    }

    function refuses(bytes memory name, uint256 index) private view {
        bytes memory reason = reasonFor(name);
        same(reason, abi.encodeWithSelector(Names.BadText.selector, index), hex_(name));
    }

    /// @dev Expects of `check` what `firstBad` says.
    function judged(bytes memory name) private view {
        uint256 index = firstBad(name);
        bytes memory expected = index == name.length ? bytes("") : abi.encodeWithSelector(Names.BadText.selector, index);
        bytes memory reason = reasonFor(name);
        if (keccak256(reason) != keccak256(expected)) same(reason, expected, hex_(name));
    }

    /// @dev The revert of `check`; empty if there is none.
    function reasonFor(bytes memory name) private view returns (bytes memory) {
        try this.check(string(name), "A") {
            return "";
        } catch (bytes memory reason) {
            return reason;
        }
    }

    /// @dev A decoder of another make: takes the length from the first byte, decodes, and encodes again. Returns the
    /// index of the first byte that is no allowed code point.
    function firstBad(bytes memory raw) private pure returns (uint256 i) {
        while (i < raw.length) {
            uint256 first = uint8(raw[i]);
            uint256 length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
            if (i + length > raw.length) return i;
            uint256 point = length == 1 ? first : first & (0x7f >> length);
            for (uint256 j = 1; j < length; ++j) {
                point = point << 6 | uint8(raw[i + j]) & 0x3f;
            }
            if (point > 0x10ffff || !allowed(point)) return i;
            if (keccak256(utf8(point)) != keccak256(slice(raw, i, length))) return i;
            i += length;
        }
    }

    function allowed(uint256 point) private pure returns (bool) {
        return point > 0x1f && !(point > 0x7e && point < 0xa0) && !(point > 0xd7ff && point < 0xe000);
    }

    function utf8(uint256 point) private pure returns (bytes memory) {
        if (point < 0x80) return abi.encodePacked(uint8(point));
        if (point < 0x800) return abi.encodePacked(uint8(0xc0 | point >> 6), tail(point));
        if (point < 0x10000) return abi.encodePacked(uint8(0xe0 | point >> 12), tail(point >> 6), tail(point));
        return abi.encodePacked(uint8(0xf0 | point >> 18), tail(point >> 12), tail(point >> 6), tail(point));
    }

    function tail(uint256 point) private pure returns (uint8) {
        return uint8(0x80 | point & 0x3f);
    }

    function fromLimits(bytes memory raw) private pure returns (bytes memory out) {
        bytes memory limits = LIMITS;
        out = new bytes(raw.length);
        for (uint256 i = 0; i < raw.length; ++i) {
            out[i] = limits[uint8(raw[i]) % limits.length];
        }
    }

    function filled(uint256 length) private pure returns (bytes memory out) {
        out = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            out[i] = "x";
        }
    }
}
