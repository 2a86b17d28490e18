//! The system tests: one story per outcome, each on servers of its own. `make test` runs them; by hand:
//! `cargo build --workspace && cargo test -p system-tests`, with a word of its name for one story alone.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

mod bad_among_good;
mod bad_wires;
mod budgets;
mod carried;
mod chain_clock;
mod crash_points;
mod crowd;
mod emergency_stop;
mod flood;
mod forged;
mod gate;
mod hosted_nodes;
mod integrity;
mod lanes;
mod mint_reverts;
mod neighbours_away;
mod only_lock;
mod operator;
mod operators;
mod providers;
mod rebuilt;
mod records;
mod redelivered;
mod redriven;
mod refilled;
mod reorganised;
mod repeated_purchase;
mod same_payment;
mod sold_out;
mod standalone_stays;
mod stolen_key;
mod streams_resume;
mod third_party;
mod two_instances;
mod unreliable_node;
mod waiting;
mod waits;
mod whole_path;
mod without_us;
