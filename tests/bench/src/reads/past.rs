//! Ledgers with a long past: written once, kept in `target/bench-ledgers`, and copied for each run.
//!
//! The name of a kept ledger holds a hash of everything that its bytes depend on: the definitions in `nats/`, the
//! subjects, and the envelope. A change of any of them makes a new one, and removes the old one.

use alloy_primitives::keccak256;
use async_nats::jetstream::{self, consumer};
use async_nats::{ConnectOptions, ServerAddr};
use chrono::DateTime;
use domain::{Event, examples};
use futures_util::{StreamExt, TryStreamExt};
use ledger::{Batch, Expected, Lag, Ledger, LedgerConfig, NewEvent, STREAM};
use neighbours::{Nats, Tools};
use runtime::Fatal;
use standalone::users;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::house::target_dir;

/// CloudEvents source of the past.
pub const SOURCE: &str = "/paymint/bench";
/// Changes when the generators of this module or its neighbours write other events, and with the consumers.
const EDITION: &str = "3";
/// Events in one append.
const BATCH: usize = 500;
/// Messages that are acknowledged together. A consumer of `nats/` allows at least 256.
const ACKS: usize = 200;
/// The definition that says how events are stored.
const DEFINITION: &str = include_str!("../../../../nats/streams/LEDGER.json");

/// The directory of a nats-server whose ledger holds `events`, and whose consumers have seen all of them. It is written
/// now, unless an earlier run has done that.
///
/// # Errors
/// The disk is full, or the ledger refuses an event.
pub async fn kept(name: &str, events: impl Iterator<Item = Event>) -> Result<PathBuf, Fatal> {
    let all = target_dir()?.join("bench-ledgers");
    let dir = all.join(format!("{name}-{}", format()?));
    let (data, complete) = (dir.join("nats"), dir.join("complete"));
    if complete.exists() {
        return Ok(data);
    }
    fs::create_dir_all(&all)?;
    for entry in fs::read_dir(&all)?.flatten() {
        if entry.file_name().to_str().is_some_and(|other| other.starts_with(&format!("{name}-"))) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    println!("  writing the ledger {name}, once: it is kept in {}", dir.display());
    let begun = Instant::now();
    let (mut nats, ledger) = start(&data).await?;
    // One after the other: the order of events is the order of batches.
    for batch in Batches(events.peekable()) {
        ledger.append(batch).await?;
    }
    println!("  events written: {:.0} s", begun.elapsed().as_secs_f64());
    acknowledge(&nats, &ledger).await?;
    let (_, last) = ledger.state().await?;
    nats.stop().await?;
    File::create(&complete)?;
    println!("  {last} events, acknowledged: {:.0} s", begun.elapsed().as_secs_f64());
    Ok(data)
}

/// Starts a nats-server on `data`, with the definitions of `nats/`.
///
/// # Errors
/// It does not start.
pub async fn start(data: &Path) -> Result<(Nats, Ledger), Fatal> {
    let nats = Nats::start(&Tools::locate()?, users::options(data)?).await?;
    let url = users::url(&nats, users::OPS);
    ledger::provision(&url).await?;
    let ledger = Ledger::connect(&LedgerConfig { url, monitor_url: nats.monitor_url() }, SOURCE).await?;
    Ok((nats, ledger))
}

/// Hash of everything that the stored bytes depend on.
fn format() -> Result<String, Fatal> {
    let mut text = format!("{EDITION}{DEFINITION}").into_bytes();
    for event in examples::all() {
        text.extend(ledger::subject(&event).into_bytes());
        text.extend(ledger::encode(&event, SOURCE, None, DateTime::UNIX_EPOCH)?);
    }
    text.extend(ledger::bucket(u64::MAX).to_le_bytes());
    Ok(keccak256(text).to_string().chars().skip(2).take(16).collect())
}

/// Events in appends of [`BATCH`].
struct Batches<I: Iterator<Item = Event>>(std::iter::Peekable<I>);

impl<I: Iterator<Item = Event>> Iterator for Batches<I> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        self.0.peek()?;
        let new = |event| NewEvent { event, expected: Expected::Absent, trace: None };
        Some(Batch::unordered(self.0.by_ref().take(BATCH).map(new)))
    }
}

/// Acknowledges every message of every consumer, because the work of the past is done.
async fn acknowledge(nats: &Nats, ledger: &Ledger) -> Result<(), Fatal> {
    let ops: ServerAddr = users::url(nats, users::OPS).parse()?;
    let (user, password) = ops.username().zip(ops.password()).ok_or("the ledger has no user ops")?;
    let options = ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
    let client = options.custom_inbox_prefix(format!("_INBOX_{user}")).connect(nats.url()).await?;
    let stream = jetstream::new(client).get_stream_no_info(STREAM).await?;
    let names: Vec<String> = stream.consumer_names().try_collect().await?;
    for name in &names {
        let consumer: consumer::PullConsumer = stream.get_consumer(name).await?;
        while ledger.lag(name).await? != Lag::default() {
            let mut some = consumer.fetch().max_messages(ACKS).messages().await?;
            while let Some(message) = some.next().await {
                message?.double_ack().await?;
            }
        }
    }
    Ok(())
}

/// Copies a directory with everything in it.
///
/// # Errors
/// The disk is full.
pub fn copy(from: &Path, to: &Path) -> Result<(), Fatal> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Writes the files of a directory to the disk and drops them from memory, so that the next reader finds them cold.
///
/// # Errors
/// The disk is full.
pub fn forget(dir: &Path) -> Result<(), Fatal> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget(&entry.path())?;
        } else if entry.file_type()?.is_file() {
            let file = File::open(entry.path())?;
            file.sync_all()?;
            #[cfg(target_os = "linux")]
            nix::fcntl::posix_fadvise(&file, 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        }
    }
    Ok(())
}
