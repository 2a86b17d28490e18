//! What must hold for any bytes that come in. Each function is one fuzz target: it panics when a promise is broken, and
//! else says whether the bytes were taken or refused. `tests/it/replay.rs` runs the committed corpus through them with
//! stable `cargo test`; `fuzz/libfuzzer` looks for bytes that break one.
//!
//! An assertion here is a promise to somebody outside; which one stands beside it.
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

/// How an input ended, where no promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It means something, and is what it says.
    Taken,
    /// It was refused by name.
    Refused,
}

/// A fuzz target: bytes in, outcome out.
pub type Target = fn(&[u8]) -> Outcome;

/// Every target under its name: also that of its corpus, and of its program in `fuzz/libfuzzer`.
pub const TARGETS: [(&str, Target); 4] = [("payment", payment), ("body", body), ("log", log), ("names", names)];
