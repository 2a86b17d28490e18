//! A proxy for any protocol over TCP, that knows connections and bytes and nothing else.

mod pump;

use pump::Link;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The treatment of connections. By default everything passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// New connections are closed before a byte.
    pub refuse: bool,
    /// Frozen both ways and half-open: nothing arrives, not even an end, and nobody is told. New connections, too.
    pub hold: bool,
    /// From client to server.
    pub up: Wire,
    /// From server to client.
    pub down: Wire,
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// Every byte arrives this much later; as many are under way as the connection carries.
    pub delay: Duration,
    /// Bytes a second; none: no limit.
    pub limit: Option<u32>,
    /// The connection is cut, both ways, when so many more bytes have passed here since this was set.
    pub cut_after: Option<usize>,
}

/// A way to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From client to server.
    Up,
    /// From server to client.
    Down,
}

/// Counters of faults that met something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    /// A new connection was closed.
    Refused,
    /// A connection was ended, by [`TcpProxy::cut`] or after so many bytes.
    Cut,
    /// Bytes, an end, or a new connection had to wait for the release.
    Held,
    /// Bytes had to wait.
    Delayed,
    /// Bytes had to wait for those before them.
    Limited,
}

/// Counters by [`Hit`].
#[derive(Debug, Default)]
struct Tally([AtomicU64; 5]);

impl Tally {
    fn hit(&self, hit: Hit) {
        self.0[hit as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// State for all connections. They are numbered from 0 as they come.
#[derive(Clone, Debug, Default)]
struct Orders {
    all: Faults,
    of: BTreeMap<usize, Faults>,
    /// Connections below this number are ended.
    ended_below: usize,
    ended: BTreeSet<usize>,
}

impl Orders {
    fn of(&self, number: usize) -> &Faults {
        self.of.get(&number).unwrap_or(&self.all)
    }

    fn is_ended(&self, number: usize) -> bool {
        number < self.ended_below || self.ended.contains(&number)
    }
}

/// A proxy on 127.0.0.1. Dropped, it cuts every connection and listens no more.
#[derive(Debug)]
pub struct TcpProxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    tally: Arc<Tally>,
    accepted: Arc<AtomicU64>,
    listening: JoinHandle<()>,
}

impl TcpProxy {
    /// In front of `target`, which need not be there yet: a connection that cannot be forwarded is closed.
    ///
    /// # Errors
    /// No port to be had.
    pub async fn before(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let orders = watch::Sender::new(Orders::default());
        let (tally, accepted) = (Arc::<Tally>::default(), Arc::<AtomicU64>::default());
        let listening = tokio::spawn(listen(listener, target, orders.subscribe(), tally.clone(), accepted.clone()));
        Ok(Self { address, orders, tally, accepted, listening })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far: the next one has this number.
    pub fn connections(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// How often it has hit.
    pub fn hits(&self, hit: Hit) -> u64 {
        self.tally.0[hit as usize].load(Ordering::Relaxed)
    }

    /// For every connection, present and future, but those with faults of their own.
    pub fn set(&self, faults: Faults) {
        self.orders.send_modify(|orders| orders.all = faults);
    }

    /// For one connection alone, which may come yet.
    pub fn set_for(&self, number: usize, faults: Faults) {
        self.orders.send_modify(|orders| {
            orders.of.insert(number, faults);
        });
    }

    /// Takes all faults back. What was held or delayed arrives; what was cut stays cut.
    pub fn heal(&self) {
        self.orders.send_modify(|orders| {
            orders.all = Faults::default();
            orders.of.clear();
        });
    }

    /// Freezes all connections for `time`, then heals.
    pub async fn hold_for(&self, time: Duration) {
        self.set(Faults { hold: true, ..Faults::default() });
        tokio::time::sleep(time).await;
        self.heal();
    }

    /// Ends every present connection, both ways.
    pub fn cut(&self) {
        let below = usize::try_from(self.connections()).unwrap_or(usize::MAX);
        self.orders.send_modify(|orders| orders.ended_below = below);
    }

    /// Ends one connection.
    pub fn cut_one(&self, number: usize) {
        self.orders.send_modify(|orders| {
            orders.ended.insert(number);
        });
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Its connections end with it.
async fn listen(
    listener: TcpListener,
    target: SocketAddr,
    orders: watch::Receiver<Orders>,
    tally: Arc<Tally>,
    accepted: Arc<AtomicU64>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let number = usize::try_from(accepted.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
        if orders.borrow().of(number).refuse {
            tally.hit(Hit::Refused);
            continue;
        }
        connections.spawn(connection(number, client, target, orders.clone(), tally.clone()));
    }
}

async fn connection(
    number: usize,
    client: TcpStream,
    target: SocketAddr,
    orders: watch::Receiver<Orders>,
    tally: Arc<Tally>,
) {
    let link = |direction| Link { number, direction, orders: orders.clone(), tally: tally.clone() };
    let through = async {
        link(Direction::Up).released().await;
        let server = TcpStream::connect(target).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        // Either side's end is the end of both: the halves are dropped.
        tokio::select! {
            ended = link(Direction::Up).carry(from_client, to_server) => ended,
            ended = link(Direction::Down).carry(from_server, to_client) => ended,
        }
    };
    let cut = async {
        // An error means that the proxy is gone.
        let _ = orders.clone().wait_for(|orders| orders.is_ended(number)).await;
        tally.hit(Hit::Cut);
    };
    tokio::select! {
        _ = through => {} // whose connection broke, notices
        () = cut => {}
    }
}
