//! The live picture of the ledger in one process: what is sold, what is under way, the news for those who listen, where
//! a payment stands, and whether another order can be accepted.
//!
//! Knows no HTTP and no answer to a client. Money never depends on this picture: the ledger's versions decide.

mod admission;
mod backlog;
mod bought;
mod bound_keys;
mod catalogue;
mod circuit;
mod feed;
mod follower;
mod gas;
mod hub;
mod line;
mod news;
mod records;
mod story;
mod turns;
mod typical;
mod units;
mod words;

pub use admission::{Admission, Closed, NotAdmitted, NotBound, is_dear_enough};
pub use backlog::{Forecast, QueuePosition};
pub use bought::Bought;
pub use catalogue::{Catalogue, CatalogueError, Sold};
pub use feed::{Feed, position_frame, reset_frame};
pub use follower::Follower;
pub use hub::{Ear, Hub, Missed, Starting, Topic};
pub use line::{Newcomer, whole_seconds};
pub use news::{News, NewsData};
pub use records::{Records, RecordsError};
pub use words::{MintStatus, PaymentStatus};
