//! Rules of money and orders, without any knowledge of the outside world.
//!
//! Owns ids, amounts, events, the stored message, and the deciders: what may happen next to an [`order`] and to a
//! signer's [`lane`]. It knows no async, clocks, I/O, logs, SQL, subject names or RPC providers. Time is an argument.
//!
//! A stream of events folds with [`order::evolve`] or [`lane::evolve`]; the `decide` beside it judges a command.

mod bill;
pub mod event;
pub mod examples;
pub mod idempotency;
pub mod ids;
pub mod lane;
pub mod message;
pub mod money;
pub mod nonce;
pub mod order;
pub mod record;
pub mod request;
pub mod token;

pub use bill::Bill;
pub use event::{Event, OpsEvent, OrderEvent, SignerEvent, TokenEvent};
pub use idempotency::{IdempotencyKey, IdempotencyKeySource, KeyBound, KeyEvent};
pub use ids::{BlockRef, PaymentId, PaymentKey};
pub use lane::{Lane, LaneId};
pub use message::{Recorded, StoredMessage, Undecodable};
pub use money::{Quantity, Usdc};
pub use order::{Order, Stage};
pub use record::{FoundRecord, RecordEnd, RecordEvent, RecordStage};
pub use request::{Authorization, PaymentRequest, Purchase, RequestFields, SignatureBytes};
pub use token::{ITEM_VERSION, TokenTerms};
