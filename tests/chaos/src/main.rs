//! Load, seeded faults, and the auditor over what is left: `make chaos SEED=1..20 ORDERS=2000 MINUTES=4`.
//!
//! A seed is a plan: every crash point and every fault that can be made here, in an order of its own, while people buy.
//! Then everything is healed, every order must end, and the auditor, which shares no code with the services, says whether
//! anything was lost, doubled or unpaid. Green runs leave a line in `campaign.jsonl`; a red one leaves its folder, too.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)] // a runner that cannot go on says where

mod blow;
mod closing;
mod house;
mod journal;
mod listen;
mod load;
mod manner;
mod plan;
mod report;
mod run;
mod strike;
mod week;

use clap::Parser;
use report::Report;
use run::Ask;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Exit code 0: every seed is green. 1: one is not.
#[derive(Debug, Parser)]
struct Args {
    /// One seed, or several: `7`, `1..20`.
    #[arg(long, default_value = "1", value_parser = seeds)]
    seed: RangeInclusive<u64>,
    /// Purchases of a run, at least.
    #[arg(long, default_value_t = 2_000)]
    orders: usize,
    /// Over which they are spread, and into which the blows must fit; four hold every blow once.
    #[arg(long, default_value_t = 4)]
    minutes: u64,
    /// Deals these blows only, again and again until the minutes are full. For example `"F40,ROWS_COMMITTED
    /// read-projector"`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Folder of everything that a run leaves.
    #[arg(long, default_value = "target/chaos")]
    out: PathBuf,
    /// Runs nothing: prints the table of the campaign that the folder holds.
    #[arg(long)]
    table: bool,
}

fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| "a seed such as 7, or seeds such as 1..20".to_owned());
    match text.split_once("..") {
        Some((first, last)) => Ok(number(first)?..=number(last)?),
        None => number(text).map(|seed| seed..=seed),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let campaign = args.out.join("campaign.jsonl");
    if args.table {
        let lines = fs::read_to_string(&campaign).unwrap_or_default();
        let reports: Vec<Report> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        println!("{}", report::campaign(&reports));
        return ExitCode::SUCCESS;
    }
    let mut reports = Vec::new();
    for seed in args.seed.clone() {
        let folder = args.out.join(format!("seed-{seed}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let time = Duration::from_secs(60 * args.minutes);
        let ask = Ask { seed, orders: args.orders, time, only: args.only.clone() };
        // A runtime of its own for each, so that nothing of a run outlives it.
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let report = runtime.block_on(run::run(&ask, &folder));
        runtime.shutdown_timeout(Duration::from_secs(5));
        println!("{}\n", report.text());
        if report.green {
            fs::remove_dir_all(&folder).unwrap();
        } else {
            println!(
                "what it left is in {}; `make chaos SEED={seed} ORDERS={}` repeats it",
                folder.display(),
                args.orders
            );
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&campaign).unwrap();
        writeln!(file, "{}", serde_json::to_string(&report).unwrap()).unwrap();
        reports.push(report);
    }
    if reports.len() > 1 {
        println!("{}", report::campaign(&reports));
    }
    ExitCode::from(u8::from(reports.iter().any(|report| !report.green)))
}
