//! Signer lanes: one key, one nonce after the other, over ledger and chain.
//!
//! Only bytes that are in the ledger with their nonce are ever broadcast. A process that restarts, or that resumes
//! after a long pause, can only repeat them: `signed.<nonce>` is written once, and every append names the version of
//! the lane that the process has read.
//!
//! No lock is held across a call to a node, and lanes share none. If several instances have one key, a lease lets one of
//! them work the lane at a time. The lease saves work, and no correctness depends on it.

mod item;
mod lane;
mod tend;
mod terms;
mod unmined;
mod watch;
mod window;
mod work;

pub use item::Item;
pub use lane::SignerLane;
pub use terms::TermsCache;
pub use work::{Work, hold};
