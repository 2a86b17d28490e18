// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Names: which names and symbols a token may have.
/// @notice Well-formed UTF-8 (RFC 3629) without control characters, so that every client can decode and print them. What
/// misleads a reader (look-alikes, bidirectional marks) is for the door to refuse: no rule here can be changed later.
library Names {
    /// @notice The name is not 1 to 64 bytes long.
    error BadNameLength(uint256 length);
    /// @notice The symbol is not 1 to 16 bytes long.
    error BadSymbolLength(uint256 length);
    /// @notice No UTF-8, or a control character (U+0000 to U+001F, U+007F to U+009F), at this byte.
    error BadText(uint256 index);

    uint256 internal constant MAX_NAME_LENGTH = 64;
    uint256 internal constant MAX_SYMBOL_LENGTH = 16;

    // One of these in each byte of a word.
    uint256 private constant ONES = 0x0101010101010101010101010101010101010101010101010101010101010101;
    uint256 private constant SPACES = 0x20 * ONES;
    uint256 private constant HIGH_BITS = 0x80 * ONES;

    function check(string calldata name, string calldata symbol) internal pure {
        uint256 length = bytes(name).length;
        if (length == 0 || length > MAX_NAME_LENGTH) revert BadNameLength(length);
        length = bytes(symbol).length;
        if (length == 0 || length > MAX_SYMBOL_LENGTH) revert BadSymbolLength(length);
        _checkText(bytes(name));
        _checkText(bytes(symbol));
    }

    function _checkText(bytes calldata text) private pure {
        if (_isPlain(text)) return;
        uint256 i = 0;
        unchecked {
            while (i < text.length) {
                uint256 first = uint8(text[i]);
                if (first >= 0x20 && first < 0x7f) {
                    ++i;
                    continue;
                }
                uint256 length = _sequence(text, i, first);
                if (length == 0) revert BadText(i);
                i += length;
            }
        }
    }

    /// @dev True if every byte is printable ASCII, 0x20 to 0x7e; looked at 32 at a time, which saves most names 10,000 gas.
    function _isPlain(bytes calldata text) private pure returns (bool) {
        unchecked {
            for (uint256 i = 0; i < text.length; i += 32) {
                uint256 word;
                assembly ("memory-safe") {
                    word := calldataload(add(text.offset, i))
                }
                uint256 left = text.length - i;
                if (left < 32) {
                    uint256 behind = type(uint256).max >> (8 * left);
                    word = (word & ~behind) | (SPACES & behind);
                }
                // The high bit of a byte: 0x80 and more have it; 0x7f gets it by the sum, less than 0x20 by the difference.
                if ((word | (word + ONES) | (word - SPACES)) & HIGH_BITS != 0) return false;
            }
        }
        return true;
    }

    /// @dev The length of the well-formed sequence of two to four bytes at `i`, 0 if it is none or a control character.
    /// The ranges of the second byte keep out what a shorter sequence can say, surrogates, and what is above U+10FFFF.
    function _sequence(bytes calldata text, uint256 i, uint256 first) private pure returns (uint256 length) {
        unchecked {
            uint256 low = 0x80;
            uint256 high = 0xbf;
            if (first >= 0xc2 && first <= 0xdf) {
                length = 2;
                if (first == 0xc2) low = 0xa0; // U+0080 to U+009F are control characters
            } else if (first >= 0xe0 && first <= 0xef) {
                length = 3;
                if (first == 0xe0) low = 0xa0;
                if (first == 0xed) high = 0x9f;
            } else if (first >= 0xf0 && first <= 0xf4) {
                length = 4;
                if (first == 0xf0) low = 0x90;
                if (first == 0xf4) high = 0x8f;
            } else {
                return 0;
            }
            if (i + length > text.length) return 0;
            uint256 second = uint8(text[i + 1]);
            if (second < low || second > high) return 0;
            for (uint256 j = i + 2; j < i + length; ++j) {
                if (uint8(text[j]) & 0xc0 != 0x80) return 0;
            }
        }
    }
}
