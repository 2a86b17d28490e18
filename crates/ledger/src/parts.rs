//! Parts of subjects.

use core::fmt::LowerHex;

/// Lower-case hex digits. `0x` adds nothing in a subject.
pub(crate) fn hex(bytes: impl LowerHex) -> String {
    format!("{bytes:x}").trim_start_matches("0x").to_owned()
}

/// `base.name`, and the numbers behind it.
pub(crate) fn below(base: &str, name: &str, numbers: &[u64]) -> String {
    let numbers: String = numbers.iter().map(|n| format!(".{n}")).collect();
    format!("{base}.{name}{numbers}")
}
