//! Builds the tests as `cargo test` does, then runs the executables side by side, the longest first.
//!
//! Arguments go to `cargo test` up to `--`, and to every executable from there on. The output of an executable is printed
//! as a whole when it has ended, with cargo's own lines around it. The exit code is 101 if a test failed, as cargo's is.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod built;
mod times;

use built::Executable;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use times::Times;

/// Number of executables that run at the same time. While one of three waits for a server, the others use two cores.
const SIDE_BY_SIDE: usize = 3;

/// Number of tests of one executable that run at the same time, unless `RUST_TEST_THREADS` says otherwise. The default
/// of one per core is meant for tests that compute, and most of these wait.
const THREADS: &str = "4";

fn main() -> ExitCode {
    let mut cargo: Vec<String> = std::env::args().skip(1).collect();
    let own = cargo.iter().position(|argument| argument == "--").map(|at| cargo.split_off(at)).unwrap_or_default();
    match built::build(&cargo) {
        Ok(executables) => run(executables, own.get(1..).unwrap_or_default()),
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(101)
        }
    }
}

/// Runs all executables, also after one has failed.
fn run(mut executables: Vec<Executable>, arguments: &[String]) -> ExitCode {
    let mut times = Times::read();
    // An executable without a known duration may take long. The last one in the list is taken first.
    executables.sort_by_key(|executable| times.of(&executable.name).unwrap_or(Duration::MAX));
    let begun = Instant::now();
    let waiting = Mutex::new(executables);
    let (told, heard) = channel();
    let mut failed = Vec::new();
    std::thread::scope(|threads| {
        for _ in 0..SIDE_BY_SIDE {
            let (told, waiting) = (told.clone(), &waiting);
            threads.spawn(move || {
                while let Some(executable) = waiting.lock().ok().and_then(|mut waiting| waiting.pop()) {
                    let begun = Instant::now();
                    let ended = executable.run(arguments, THREADS);
                    let _ = told.send((executable, ended, begun.elapsed()));
                }
            });
        }
        drop(told);
        for (executable, ended, took) in heard {
            println!("     Running {}", executable.title);
            match ended {
                Ok((true, said)) => print!("{said}"),
                Ok((false, said)) => {
                    print!("{said}");
                    failed.push(executable.title);
                }
                Err(why) => failed.push(format!("{}: {why}", executable.title)),
            }
            times.set(executable.name, took);
        }
    });
    times.write();
    println!("{}    in all {:.0} s", times.table(), begun.elapsed().as_secs_f64());
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {} executables failed:", failed.len());
    for title in failed {
        eprintln!("    {title}");
    }
    ExitCode::from(101)
}
