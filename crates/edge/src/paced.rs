//! Time limits on a connection, from its first moment.
//!
//! hyper has one timer, for the wait for the headers of a request. It does not distinguish a silent client from one that
//! sends a byte now and then. So the timer that hyper is given looks at the bytes that arrived: [`Paced`] notes them,
//! [`PaceTimer`] decides. hyper asks for a sleep when it begins to wait for headers and drops it when it has them, so a
//! sleep exists exactly while a request is due. The handler limits the time for a body.

use crate::config::EdgeConfig;
use hyper::rt::{Sleep, Timer};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Time of the first byte since hyper began to wait for headers.
#[derive(Clone, Default)]
struct FirstByte(Arc<Mutex<Option<Instant>>>);

impl FirstByte {
    fn with<T>(&self, change: impl FnOnce(&mut Option<Instant>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A socket that notes the time of the first byte, and fails when the client reads nothing for too long.
pub(crate) struct Paced<IO> {
    io: IO,
    first_byte: FirstByte,
    write_timeout: Duration,
    /// Runs while the client does not read.
    stall: Option<Pin<Box<tokio::time::Sleep>>>,
}

/// The timer of one connection. It ignores the deadlines that hyper computes, because its own depend on the client.
pub(crate) struct PaceTimer {
    first_byte: FirstByte,
    first_byte_timeout: Duration,
    headers_timeout: Duration,
    idle_timeout: Duration,
    has_been_asked: AtomicBool,
}

/// One wait for headers.
struct HeadSleep {
    first_byte: FirstByte,
    headers_timeout: Duration,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

/// The socket and the timer to give to hyper.
pub(crate) fn paced<IO>(io: IO, edge: &EdgeConfig) -> (Paced<IO>, PaceTimer) {
    let first_byte = FirstByte::default();
    let timer = PaceTimer {
        first_byte: first_byte.clone(),
        first_byte_timeout: edge.first_byte_timeout,
        headers_timeout: edge.headers_timeout,
        idle_timeout: edge.idle_timeout,
        has_been_asked: AtomicBool::new(false),
    };
    (Paced { io, first_byte, write_timeout: edge.write_timeout, stall: None }, timer)
}

impl Timer for PaceTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        let is_idle = self.has_been_asked.swap(true, Ordering::Relaxed);
        let silence = if is_idle { self.idle_timeout } else { self.first_byte_timeout };
        // The beginning of a head that arrived with the request before counts as silence until its next byte.
        self.first_byte.with(|at| *at = None);
        Box::pin(HeadSleep {
            first_byte: self.first_byte.clone(),
            headers_timeout: self.headers_timeout,
            sleep: Box::pin(tokio::time::sleep(silence)),
        })
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(Duration::ZERO)
    }
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    /// hyper polls this after every read that did not complete the headers.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(at) = self.first_byte.with(|at| *at) {
            let deadline = tokio::time::Instant::from_std(at + self.headers_timeout);
            if self.sleep.deadline() != deadline {
                self.sleep.as_mut().reset(deadline);
            }
        }
        self.sleep.as_mut().poll(cx)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Paced<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.first_byte.with(|at| *at = at.or_else(|| Some(Instant::now())));
        }
        read
    }
}

impl<IO: Unpin> Paced<IO> {
    /// Starts the clock when the client reads nothing, and stops it when it reads something.
    fn watch(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.write_timeout)));
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Paced<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
