//! Work that is ready, taken fairly, and work that waits: for its time, or for room. What waits holds no slot of a consumer.
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
mod news;
mod pace;
mod queue;
mod watched;

pub use carrier::{Carrier, Due, Limits};
pub use duty::{Duty, OnDuty};
pub use fair::FairQueue;
pub use index::{Index, Party, Waiting};
pub use job::{By, Job};
pub use news::bills;
pub use pace::{Pace, Races};
pub use queue::{Queue, READY_MAX};
pub use store::WaitStage;
pub use watched::{NewsWatch, Watched};
