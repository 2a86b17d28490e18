//! paymint-bench: how fast, how large and how dear, beside the raw limits of the same run.
//!
//! Every phase starts servers of its own (nats-server with durable acks, PostgreSQL, anvil) and the services as their own
//! processes, so that memory and processor time are known per service. Figures of a busy machine mean little alone: the
//! ratios to the raw limits, and the share of the processors that others took, are printed beside them.
//!
//! Exit 0 when everything ran and every invariant holds; a target that is missed is reported, not hidden, and is no
//! failure of the bench. Non-zero when a request failed, or when accepted, minted and the chain's own word differ.
#![allow(
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench prints rates; no money is computed here"
)]

mod abuse;
mod armed;
mod capacity;
mod client;
mod cpu;
mod disk;
mod e2e;
mod ends;
mod gas;
mod history;
mod house;
mod intake;
mod limits;
mod load;
mod offer;
mod payers;
mod process;
mod raw;
mod reads;
mod recovery;
mod report;
mod sizes;

use clap::{Parser, ValueEnum};
use report::Report;
use runtime::Fatal;
use sizes::Sizes;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "paymint-bench", about = "Speed, memory and gas of Paymint, beside the raw limits of the same run")]
struct Arguments {
    /// The parts to measure.
    #[arg(value_enum, default_values_t = [What::All])]
    what: Vec<What>,
    /// A tenth of the work: to see that it runs, not to quote.
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Everything that a payer meets at the door: the next four.
    Intake,
    /// Part of intake: from the POST to the 202 or to a refusal, without settlement services.
    Door,
    /// Part of intake: cost and delay of event streams.
    Events,
    /// Part of intake: twice the load that can be settled, with all services.
    Overload,
    /// Part of intake: comparison with x402-express on the same machine.
    Peer,
    /// From the POST to the confirmed mint, all services on.
    E2e,
    /// Honest load beside five attacks: a flood of free orders, burned gas, refused orders, a creator who buys from himself,
    /// and a crowd at another token. Ten minutes, not part of all.
    Abuse,
    /// How soon work goes on after a process or a server was away, and how much of it while processes are killed.
    Recovery,
    /// Appends beside reads, on a ledger of a million events, which is written at the first run and kept. Not part of all.
    Reads,
    /// Gas of settlements and mints, from receipts.
    Gas,
    /// All of it but reads and abuse.
    All,
}

fn main() -> Result<ExitCode, Fatal> {
    if let Some(program) = process::tethered() {
        return Err(program.become_it());
    }
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stop = runtime::stop_on_signal()?;
        tokio::select! {
            done = measure(&arguments) => done,
            () = stop.cancelled() => Err("stopped".into()),
        }
    })
}

async fn measure(arguments: &Arguments) -> Result<ExitCode, Fatal> {
    let sizes = if arguments.quick { Sizes::QUICK } else { Sizes::FULL };
    let is_named = |what| arguments.what.contains(&what);
    let wants = |what| is_named(What::All) || is_named(what);
    process::raise_file_limit()?;
    let mut report = Report::begin(arguments.quick)?;
    if wants(What::Gas) {
        gas::run(&mut report).await?;
    }
    if wants(What::Intake) {
        intake::run(&sizes, &mut report).await?;
    } else {
        if is_named(What::Door) {
            intake::door::run(&sizes, &mut report).await?;
        }
        if is_named(What::Events) {
            intake::events::run(&sizes, &mut report).await?;
        }
        if is_named(What::Overload) {
            intake::overload::run(&sizes, &mut report).await?;
        }
        if is_named(What::Peer) {
            intake::peer::run(&sizes, &mut report).await?;
        }
    }
    if is_named(What::Reads) {
        reads::run(&sizes, &mut report).await?;
    }
    if is_named(What::Abuse) {
        abuse::run(&sizes, &mut report).await?;
    }
    if wants(What::E2e) {
        e2e::run(&sizes, &mut report).await?;
    }
    if wants(What::Recovery) {
        recovery::run(&sizes, &mut report).await?;
    }
    report.print();
    let file = report.write()?;
    println!("\nwritten to {}", file.display());
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
