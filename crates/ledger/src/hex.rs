//! Hex digits as subjects have them.

use core::fmt::LowerHex;

/// Lower-case hex digits. `0x` adds nothing in a subject.
pub(crate) fn hex(bytes: impl LowerHex) -> String {
    format!("{bytes:x}").trim_start_matches("0x").to_owned()
}
