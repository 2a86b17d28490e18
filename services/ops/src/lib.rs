//! ops: an operator's commands for an installation. Each may be killed at any line and called again.
//!
//! It connects as the user `ops` of `nats/server.conf`, which no service does. It holds no key of the chain.

mod parked;
mod ready;
mod refill;
mod refund;
mod said;
mod setup;

pub use parked::{NotRedriven, ParkedItem, ParkedName, RedriveAsked, parked_list, parked_show, redrive};
pub use ready::ready;
pub use refill::{NotRefilled, Refilled, refill};
pub use refund::{NotAsked, RefundAsked, refund};
pub use setup::Setup;

use domain::event::Resumed;
use ledger::{Ledger, LedgerConfig};
use runtime::Fatal;

/// CloudEvents source of the events that `ops` writes.
pub const SOURCE: &str = "/paymint/ops";

/// Maximum length of the reason of a resume, in characters (`schemas/io.paymint.ops.resumed.v1.json`).
const DETAIL_CHARS: usize = 200;

/// Ends the present stop, and returns its number. `None` if there is no stop.
///
/// # Errors
/// A reason that is longer than its schema allows. Otherwise as [`Ledger::connect`] and [`Ledger::resume`].
pub async fn resume(config: &LedgerConfig, by: &str, detail: &str) -> Result<Option<u32>, Fatal> {
    if detail.chars().count() > DETAIL_CHARS {
        return Err(format!("--detail has more than {DETAIL_CHARS} characters").into());
    }
    let ledger = Ledger::connect(config, SOURCE).await?;
    Ok(ledger.resume(Resumed { by: by.to_owned(), detail: detail.to_owned() }).await?)
}
