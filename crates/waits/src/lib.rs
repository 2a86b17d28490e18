//! Work that is ready, taken fairly, and work that waits, carried by time and not by a consumer's slot.
//!
//! Owns: the fair queue over tokens and payers, the index of waiting orders by due time, the pace at which they are
//! looked at again, and the rebuilding of the index from the rows of PostgreSQL.
//! Refuses to know: what an order may do next. An order that comes due is judged by the fold of its events, exactly
//! like a message. The index decides nothing and may be lost at any time.

mod carrier;
mod duty;
mod fair;
mod index;
mod job;
mod pace;
mod queue;

pub use carrier::{Carrier, Due, Limits, Waiting};
pub use duty::{Duty, OnDuty};
pub use fair::FairQueue;
pub use index::{Index, Party};
pub use job::{By, Job};
pub use pace::{Pace, Races};
pub use queue::Queue;
pub use store::WaitStage;
