//! One direction of one connection.

use super::{Direction, Hit, Orders, Tally, Wire};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// Chunks that are delayed or held; then the sender feels it.
const UNDER_WAY: usize = 256;

/// A limited connection writes fifty times a second.
const TICKS: u32 = 50;

/// Bytes, and when they may arrive; no bytes are the end.
type Chunk = (Instant, Vec<u8>);

/// A connection's direction, and what is said of it.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) number: usize,
    pub(super) direction: Direction,
    pub(super) orders: watch::Receiver<Orders>,
    pub(super) tally: Arc<Tally>,
}

impl Link {
    /// Hands on what comes until its end, or a cut.
    pub(super) async fn carry(self, from: OwnedReadHalf, to: OwnedWriteHalf) -> io::Result<()> {
        let (queue, chunks) = mpsc::channel(UNDER_WAY);
        tokio::try_join!(self.clone().read(from, queue), self.write(chunks, to)).map(|_| ())
    }

    fn wire(&self) -> Wire {
        let orders = self.orders.borrow();
        let faults = orders.of(self.number);
        match self.direction {
            Direction::Up => faults.up,
            Direction::Down => faults.down,
        }
    }

    /// Returns when the connection is not held, or no more.
    pub(super) async fn released(&mut self) {
        let number = self.number;
        if self.orders.borrow().of(number).hold {
            self.tally.hit(Hit::Held);
            // An error means that the proxy is gone, and this with it.
            let _ = self.orders.wait_for(|orders| !orders.of(number).hold).await;
        }
    }

    async fn read(self, mut from: OwnedReadHalf, queue: mpsc::Sender<Chunk>) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            // A connection that broke has ended. That, too, takes its time, and is not told while it is held.
            let read = from.read(&mut buffer).await.unwrap_or(0);
            let delay = self.wire().delay;
            if !delay.is_zero() && read > 0 {
                self.tally.hit(Hit::Delayed);
            }
            let chunk = (Instant::now() + delay, buffer[..read].to_vec());
            if queue.send(chunk).await.is_err() || read == 0 {
                return Ok(());
            }
        }
    }

    async fn write(mut self, mut chunks: mpsc::Receiver<Chunk>, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut counted = (Wire::default(), 0);
        while let Some((due, bytes)) = chunks.recv().await {
            tokio::time::sleep_until(due).await;
            self.released().await;
            self.pass(&bytes, &mut to, &mut counted).await?;
        }
        Ok(())
    }

    /// `counted` is what was said last, and how many bytes have passed since.
    async fn pass(&self, mut bytes: &[u8], to: &mut OwnedWriteHalf, counted: &mut (Wire, usize)) -> io::Result<()> {
        while !bytes.is_empty() {
            let wire = self.wire();
            if wire != counted.0 {
                *counted = (wire, 0);
            }
            let mut piece = bytes.len();
            if let Some(rate) = wire.limit {
                piece = piece.min(usize::try_from((rate / TICKS).max(1)).unwrap_or(usize::MAX));
                self.tally.hit(Hit::Limited);
                let share = u32::try_from(piece).unwrap_or(u32::MAX);
                tokio::time::sleep(Duration::from_secs(1) * share / rate.max(1)).await;
            }
            if let Some(most) = wire.cut_after {
                piece = piece.min(most.saturating_sub(counted.1));
            }
            let (now, later) = bytes.split_at(piece);
            to.write_all(now).await?;
            counted.1 += piece;
            if wire.cut_after.is_some_and(|most| counted.1 >= most) {
                self.tally.hit(Hit::Cut);
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            bytes = later;
        }
        Ok(())
    }
}
