//! Postgres: the second copy of the ledger and the read models. Every line of SQL is here and in `migrations/`.
//!
//! Owns: tables, transactions, the hash chain of the copy, positions moved by compare-and-set, and [`project`], the pure
//! fold from an event to a row.
//! Refuses to know: NATS, chains, HTTP, and what may happen to an order. It decides nothing: [`domain::order::evolve`]
//! says whether an event fits its past, and one that does not is set aside.
//!
//! Nothing that money depends on is read from here. The tables can be dropped and built again from sequence 1.

mod apply;
mod batch;
mod columns;
mod connect;
mod error;
mod fold;
mod ledger;
mod load;
mod open;
mod order_copy;
mod payment;
mod position;
mod project;
mod queue;
mod reads;
mod record;
mod tally;
mod token;
mod units;
mod waiting;

pub use apply::Applied;
pub use batch::{BatchStatus, MintBatch};
pub use connect::{CONNECTIONS, Store};
pub use error::StoreError;
pub use fold::{SetAside, SetAsideKind};
pub use ledger::{CHAIN_START, LedgerRow, chain_hash};
pub use load::TokenLoad;
pub use open::{OpenOrder, Standing};
pub use payment::PaymentView;
pub use position::{Position, READ_MODELS};
pub use project::{Stamp, project, project_history};
pub use queue::{Overview, Rates, StageTotal, WaitingTotals};
pub use reads::ReadModelRow;
pub use record::RecordView;
pub use token::TokenView;
pub use units::UnitsHold;
pub use waiting::{WaitStage, WaitingOrder};
