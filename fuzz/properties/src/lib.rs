//! Properties that must hold for any input bytes. Each function is one fuzz target: it panics if a property is
//! violated, and otherwise reports whether the bytes were accepted or refused. `tests/it/replay.rs` runs the committed
//! corpus through them with stable `cargo test`; `fuzz/libfuzzer` searches for bytes that violate one.
//!
//! An assertion here is a promise to somebody outside, which is named beside it.
#![allow(clippy::unwrap_used, reason = "a panic is how a property fails")]

mod body;
mod edits;
mod log;
mod names;
mod payment;
mod spelling;

pub use body::body;
pub use log::log;
pub use names::names;
pub use payment::payment;

/// The result for an input that violated no property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Accepted, with the stated meaning.
    Taken,
    /// Refused with a named reason.
    Refused,
}

/// A fuzz target: bytes in, outcome out.
pub type Target = fn(&[u8]) -> Outcome;

/// All targets by name. The name is also that of the corpus folder and of the program in `fuzz/libfuzzer`.
pub const TARGETS: [(&str, Target); 4] = [("payment", payment), ("body", body), ("log", log), ("names", names)];
