//! Integration tests of this crate in one executable: a module per subject.
#![allow(clippy::unwrap_used, missing_docs)]

mod agreement;
mod common;
mod dev;
mod evidence;
mod keystores;
mod operate;
mod providers;
mod secrets;
mod standing;
mod tls;
mod token;
mod trace;
