//! ops: what a person does to an installation, as commands that may be killed at any line and called again.
//!
//! It connects as the user `ops` of `nats/server.conf`, which no service does. It holds no key of the chain.

mod ready;
mod refill;
mod setup;

pub use ready::ready;
pub use refill::{NotRefilled, Refilled, refill};
pub use setup::Setup;

use domain::event::Resumed;
use ledger::{Ledger, LedgerConfig};
use runtime::Fatal;

/// CloudEvents source of what is written here.
pub const SOURCE: &str = "/paymint/ops";

/// What a person may say with a resume, in characters (`schemas/io.paymint.ops.resumed.v1.json`).
const DETAIL_CHARS: usize = 200;

/// Ends the stop that stands in the ledger, and answers with its number; none where none stands.
///
/// # Errors
/// A reason that is longer than its schema allows; else as [`Ledger::connect`] and [`Ledger::resume`].
pub async fn resume(config: &LedgerConfig, by: &str, detail: &str) -> Result<Option<u32>, Fatal> {
    if detail.chars().count() > DETAIL_CHARS {
        return Err(format!("--detail has more than {DETAIL_CHARS} characters").into());
    }
    let ledger = Ledger::connect(config, SOURCE).await?;
    Ok(ledger.resume(Resumed { by: by.to_owned(), detail: detail.to_owned() }).await?)
}
