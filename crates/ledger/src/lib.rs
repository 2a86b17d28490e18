//! The ledger: one JetStream stream that holds every event. Nothing in Paymint is true before it is stored here.
//!
//! Owns: subjects, the CloudEvents envelope, append with an expected version, group commit, reading and folding,
//! durable consumers, the start-up gate, the integrity check, provisioning from `nats/`, and refilling from a copy.

mod acknowledgement;
mod address;
mod answer;
mod append;
mod batch;
mod bookmark;
mod client;
mod connect;
mod consume;
mod damage;
mod definitions;
mod direct;
mod envelope;
mod error;
mod fold;
mod follow;
mod gate;
mod group_commit;
mod integrity;
mod lane;
mod lane_subjects;
mod lease;
mod monitor;
mod parked;
mod parts;
mod provision;
mod read;
mod refill;
mod replies;
mod serve;
mod subjects;
mod view;
mod whole;

pub use answer::{ACK_WAIT, Answer, Outcome, hand_back, retry};
pub use batch::{Batch, Expected, Led, NewEvent, Unsealed};
pub use bookmark::Bookmark;
pub use connect::{Lag, Ledger, LedgerConfig};
pub use consume::{Delivery, Inbox, Newest};
pub use damage::Damage;
pub use envelope::{decode, decode_copied, encode, more_belongs};
pub use error::{AppendError, ConnectError, Impossible, LedgerError, RefillError, read_or_impossible};
pub use fold::Loaded;
pub use group_commit::GroupCommit;
pub use lane::{LaneVersion, LoadedLane, Nonce};
pub use lane_subjects::bucket;
pub use lease::{Held, Lease, RENEW_INTERVAL};
pub use monitor::Storage;
pub use parked::{GivenUp, HeldOrder, parked};
pub use provision::provision;
pub use refill::{Added, Refill};
pub use subjects::{STREAM, event_type, subject};
