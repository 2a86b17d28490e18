//! Parts of subjects.

use core::fmt::LowerHex;

/// Lower-case hex digits without the prefix `0x`, which adds nothing in a subject.
pub(crate) fn hex(bytes: impl LowerHex) -> String {
    format!("{bytes:x}").trim_start_matches("0x").to_owned()
}

/// Joins `base`, `name` and `numbers` with dots.
pub(crate) fn below(base: &str, name: &str, numbers: &[u64]) -> String {
    let numbers: String = numbers.iter().map(|n| format!(".{n}")).collect();
    format!("{base}.{name}{numbers}")
}
