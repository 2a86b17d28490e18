//! Parts of subjects.

use core::fmt::LowerHex;
use domain::event::EventRow;

/// Lower-case hex digits without the prefix `0x`, which adds nothing in a subject.
pub(crate) fn hex(bytes: impl LowerHex) -> String {
    format!("{bytes:x}").trim_start_matches("0x").to_owned()
}

/// `base`, and behind it the queue of the events of this row, if they have one.
pub(crate) fn queued(base: &str, row: EventRow) -> String {
    row.queue.map_or_else(|| base.to_owned(), |queue| format!("{base}.{queue}"))
}

/// Joins `base`, `name` and `numbers` with dots.
pub(crate) fn below(base: &str, name: &str, numbers: &[u64]) -> String {
    let numbers: String = numbers.iter().map(|n| format!(".{n}")).collect();
    format!("{base}.{name}{numbers}")
}
