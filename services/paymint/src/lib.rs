//! paymint: one program over the libraries of all services. It holds no rule of its own.
//!
//! Without features it runs one service at a time. The feature `dev` adds whole installations on one machine: `run`,
//! `demo`, and `setup` for a development chain.

#[cfg(feature = "dev")]
mod installation;
mod service;

#[cfg(feature = "dev")]
pub use installation::{Run, demo, run, setup};
pub use service::Service;
