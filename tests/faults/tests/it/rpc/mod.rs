//! Every fault of a node, before a real anvil, and that it is counted when it hits.

mod answers;
mod chain;
mod pool;
mod setting;
