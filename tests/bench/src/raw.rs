//! Raw limits: what disk, processor and JetStream give on their own, a moment before a phase is measured. On a machine
//! that others use too, a limit that was measured minutes ago says nothing.

use alloy_primitives::B256;
use async_nats::jetstream;
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, TryStreamExt};
use neighbours::{Nats, NatsOptions, Tools};
use runtime::Fatal;
use secp256k1::SecretKey;
use serde::Serialize;
use std::fs::File;
use std::future::IntoFuture;
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::house::scratch;
use crate::sizes::Sizes;

/// The appended and published message: an accepted payment is 1.3 KB in the ledger.
pub static MESSAGE: [u8; 1024] = [b'x'; 1024];
/// Publishes that wait for their ack at once.
const IN_FLIGHT: usize = 512;

/// Operations a second.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Raw {
    /// Append 1 KiB and `fdatasync`, one after the other, on the disk of `target/`.
    pub fdatasync: f64,
    /// `x402::recover` on one core.
    pub recoveries: f64,
    /// 1 KiB into a plain stream of a nats-server that syncs every two minutes, 512 in flight.
    pub lazy_publishes: f64,
}

/// Measures all three, one after the other.
///
/// # Errors
/// The disk, or nats-server.
pub async fn measure(sizes: &Sizes) -> Result<Raw, Fatal> {
    let time = sizes.raw;
    let fdatasync = tokio::task::spawn_blocking(move || fdatasync(time)).await??;
    let recoveries = tokio::task::spawn_blocking(move || recoveries(time)).await??;
    let lazy_publishes = lazy_publishes(time).await?;
    Ok(Raw { fdatasync, recoveries, lazy_publishes })
}

fn fdatasync(time: Duration) -> Result<f64, Fatal> {
    let dir = scratch()?;
    let mut file = File::create(dir.path().join("append"))?;
    let begun = Instant::now();
    let mut count = 0_u32;
    while begun.elapsed() < time {
        file.write_all(&MESSAGE)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

fn recoveries(time: Duration) -> Result<f64, Fatal> {
    let key = SecretKey::from_secret_bytes([7; 32])?;
    let signed = |seed: u8| {
        let digest = B256::repeat_byte(seed);
        (digest, testkit::sign_digest(digest, &key))
    };
    let signatures: Vec<_> = (1..=64).map(signed).collect();
    let begun = Instant::now();
    let mut count = 0_u32;
    while begun.elapsed() < time {
        for (digest, signature) in &signatures {
            black_box(x402::recover(digest, signature).map_err(|e| format!("a good signature is refused: {e:?}"))?);
            count += 1;
        }
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

async fn lazy_publishes(time: Duration) -> Result<f64, Fatal> {
    let dir = scratch()?;
    let options = NatsOptions { data_dir: dir.path().to_owned(), sync_always: false, ..NatsOptions::default() };
    let mut nats = Nats::start(&Tools::locate()?, options).await?;
    let jetstream = jetstream::new(async_nats::connect(nats.url()).await?);
    let plain = jetstream::stream::Config { name: "PLAIN".into(), subjects: vec!["p".into()], ..Default::default() };
    jetstream.create_stream(plain).await?;
    let message = Bytes::from_static(&MESSAGE);
    let mut waiting = FuturesUnordered::new();
    let begun = Instant::now();
    let mut count = 0_u32;
    while begun.elapsed() < time {
        if waiting.len() >= IN_FLIGHT {
            waiting.try_next().await?;
            count += 1;
        }
        waiting.push(jetstream.publish("p", message.clone()).await?.into_future());
    }
    while let Some(ack) = waiting.next().await {
        ack?;
        count += 1;
    }
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    nats.stop().await?;
    Ok(rate)
}
