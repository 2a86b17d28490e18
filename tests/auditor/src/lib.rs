//! Judges a finished run: whether anything was lost, doubled or unpaid.
//!
//! Shares no code with what it audits. [`collect`] reads chain, stream, tables, journal and logs once into an
//! [`Evidence`], and [`judge`] is a pure function of that value with one verdict for each A-id of docs/CATALOGUE.md.
//! Tests change an `Evidence` in memory, or build parts of one themselves, and judge it again.
#![allow(missing_docs)] // the fields of the evidence are named as in the README and in migrations/

mod books;
mod decode;
pub mod evidence;
mod judge;
mod legal;
pub mod run;
pub mod verdict;
#[cfg(test)]
mod world;

use std::fmt;

pub use decode::x402::Sent;
pub use evidence::{Evidence, collect, read};
pub use judge::judge;
pub use run::Run;
pub use verdict::{Outcome, Verdict};

/// An error that prevented an audit. It says nothing about the run.
#[derive(Debug)]
pub struct CannotAudit(pub String);

impl fmt::Display for CannotAudit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CannotAudit {}
