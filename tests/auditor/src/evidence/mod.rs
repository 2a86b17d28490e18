//! The evidence of a run: one value, collected once. The judges look at nothing else.

pub mod chain;
pub mod journal;
pub mod logs;
pub mod quiet;
mod rpc;
pub mod stream;
pub mod tables;
pub mod tokens;

use crate::CannotAudit;
use crate::books;
use crate::run::Run;
use chain::ChainEvidence;
use journal::Journal;
use logs::LogFile;
use rpc::Rpc;
use stream::{Ledger, StreamEvidence};
use tables::{Database, Tables};

/// Everything that the judges know.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The subject of the audit.
    pub run: Run,
    /// The journal of the load generator.
    pub journal: Journal,
    /// Blocks, transactions and logs, and what accounts and tokens have at the head.
    pub chain: ChainEvidence,
    /// Every stored message.
    pub stream: StreamEvidence,
    /// The copy and the read models.
    pub tables: Tables,
    /// The logs of the processes.
    pub logs: Vec<LogFile>,
}

/// Waits until the run is over, then reads everything.
///
/// # Errors
/// Anything that cannot be read, or a run that did not come to rest in time: then nothing is said about the run.
pub async fn collect(run: Run) -> Result<Evidence, CannotAudit> {
    let journal = Journal::read(&run.journal)?;
    let logs = run.logs.as_deref().map_or_else(|| Ok(Vec::new()), logs::read)?;
    let (rpc, ledger, mut database) = connect(&run).await?;
    quiet::wait(&run, &rpc, &ledger, &mut database).await?;
    rest(run, journal, logs, (rpc, ledger, database)).await
}

/// Reads everything as it is now, for a caller that knows that the run is over. The journal comes from memory, and no log
/// is read.
///
/// # Errors
/// Anything that cannot be read.
pub async fn read(run: Run, journal: Journal) -> Result<Evidence, CannotAudit> {
    let servers = connect(&run).await?;
    rest(run, journal, Vec::new(), servers).await
}

type Servers = (Rpc, Ledger, Database);

async fn connect(run: &Run) -> Result<Servers, CannotAudit> {
    let ledger = Ledger::connect(&run.nats_url, &run.nats_api).await?;
    Ok((Rpc::new(&run.rpc_url), ledger, Database::connect(&run.database_url).await?))
}

async fn rest(
    run: Run,
    journal: Journal,
    logs: Vec<LogFile>,
    (rpc, ledger, mut database): Servers,
) -> Result<Evidence, CannotAudit> {
    let stream = ledger.read_all().await?;
    let tables = database.read(&run).await?;
    let known = books::known(&run, &stream, &journal);
    let chain = chain::read(&run, &rpc, known).await?;
    Ok(Evidence { run, journal, chain, stream, tables, logs })
}
