//! Integration tests of this crate in one executable: a module per subject.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
mod direct;
mod follow;
mod found;
mod inbox;
mod integrity;
mod lanes;
mod lease;
mod parked;
mod permissions;
mod replicas;
mod share;
mod standing;
mod vitals;
