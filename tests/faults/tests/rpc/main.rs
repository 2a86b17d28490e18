//! Every fault of a node, before a real anvil, and that it is counted when it hits.
#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod answers;
mod chain;
mod pool;
mod setting;
