//! Proves over a finished run that nothing was lost, doubled or unpaid.
//!
//! Exit code 0: nothing is red; 1: something is; 2: it could not audit, which says nothing about the run.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use auditor::{CannotAudit, Outcome, Run, collect, judge, verdict};
use clap::Parser;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Audits a finished run: exit code 0 when nothing is red, 1 when something is, 2 when it could not audit.
#[derive(Debug, Parser)]
struct Args {
    /// The JSON file that names the run's journal, servers and contracts: see tests/auditor/README.md.
    run: PathBuf,
    /// Writes the verdicts there as JSON, too.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Checks that must have had something to look at, such as `A14,A16,A17`.
    #[arg(long, value_delimiter = ',')]
    require: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match audit(&Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("could not audit: {why}");
            ExitCode::from(2)
        }
    }
}

/// True if no verdict is red.
async fn audit(args: &Args) -> Result<bool, CannotAudit> {
    let evidence = collect(Run::read(&args.run)?).await?;
    let mut verdicts = judge(&evidence);
    for id in &args.require {
        let Some(at) = verdicts.iter().position(|verdict| verdict.id == id) else {
            return Err(CannotAudit(format!("--require: there is no check {id}")));
        };
        verdicts[at] = verdicts[at].clone().required();
    }
    let green = verdicts.iter().all(|verdict| verdict.outcome != Outcome::Red);
    println!(
        "{} requests, {} events, {} blocks to {}",
        evidence.journal.requests.len(),
        evidence.stream.found.len(),
        evidence.chain.blocks.len(),
        evidence.chain.head
    );
    print!("{}", verdict::table(&verdicts));
    println!("{}", if green { "GREEN" } else { "RED" });
    if let Some(out) = &args.out {
        let head = evidence.chain.head;
        let told = json!({ "green": green, "head": head, "lastSeq": evidence.stream.last_seq, "verdicts": verdicts });
        std::fs::write(out, format!("{told:#}\n")).map_err(|e| CannotAudit(format!("{}: {e}", out.display())))?;
    }
    Ok(green)
}
