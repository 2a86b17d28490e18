//! neighbours: starts and stops the servers that Paymint stands beside (nats-server, PostgreSQL, anvil) as child
//! processes, for the standalone installation and for tests.
//!
//! It owns processes, ports, data directories and logs. It refuses to know what is inside: no stream, table or
//! contract is named here.
//!
//! What holds for every server:
//! - `start` returns when the server answers, or fails with the end of its log; nothing is left running then.
//! - No server survives this process: it is ended when dropped, and by the kernel when this process is killed
//!   (Linux; elsewhere only when dropped).
//! - A server is in a process group of its own: Ctrl-C reaches this process alone, which stops them in its own order.
//! - A data directory has one server at a time, across processes, held by a file lock that the server itself keeps.

mod anvil;
mod cluster;
mod error;
mod nats;
mod port;
mod postgres;
mod probe;
mod process;
mod spawner;
mod tools;
mod tree;

pub use anvil::{Anvil, AnvilOptions, FINAL, Mining};
pub use error::{NeighbourError, Result};
pub use nats::{Nats, NatsOptions};
pub use postgres::{Postgres, PostgresOptions};
pub use spawner::spawn;
pub use tools::Tools;
