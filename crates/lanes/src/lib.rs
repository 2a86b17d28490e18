//! Signer lanes: one key, one nonce after the other, over ledger and chain.
//!
//! The only bytes ever broadcast are in the ledger first, with their nonce. Who restarts, or wakes up as a zombie, can
//! only repeat them: `signed.<nonce>` is written once, and every append names the version of the lane it has read.
//! No lock is held across a call to a node, and none is shared between lanes. Of several instances with a key, one works
//! the lane at a time, by a lease: that saves work, and nothing depends on it.

mod item;
mod lane;
mod tend;
mod terms;
mod watch;
mod window;
mod work;

pub use item::Item;
pub use lane::SignerLane;
pub use terms::Terms;
pub use work::{Work, hold};
