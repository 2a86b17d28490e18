//! Options of a story's stack.

use crate::process::Service;
use standalone::accounts::SENDER_KEYS;
use std::time::Duration;

/// Fill the rest with `..StackOptions::default()`.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// A block comes this often, until a story halts the chain.
    pub block_time: Duration,
    /// N.
    pub confirmations: u64,
    /// Started at once; the others when the story says so.
    pub services: Vec<Service>,
    /// Variables for every service, over those of the standalone installation.
    pub env: Vec<(&'static str, String)>,
}

impl Default for StackOptions {
    fn default() -> Self {
        Self {
            block_time: Duration::from_millis(200),
            confirmations: 1,
            services: Service::ALL.to_vec(),
            env: Vec::new(),
        }
    }
}

impl StackOptions {
    /// No service runs at first.
    pub fn empty() -> Self {
        Self { services: Vec::new(), ..Self::default() }
    }

    /// One lane that settles, not started yet, so that what is accepted before it starts is one batch; and payments may
    /// be valid for as short a time as a story needs.
    pub fn one_lane_later() -> Self {
        let services = vec![Service::Api, Service::Confirmer, Service::MintProjector, Service::ReadProjector];
        let options = Self { services, ..Self::default() };
        options.with("SENDER_KEYS", SENDER_KEYS[0]).with("MIN_WINDOW_S", 1)
    }

    /// With one more variable for every service.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.env.push((name, value.to_string()));
        self
    }
}
