//! Options of a story's stack.

use crate::process::Service;
use standalone::accounts::SENDER_KEYS;
use std::time::Duration;

/// Options of a stack. Fill the rest with `..StackOptions::default()`.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// Interval of blocks, until a story halts the chain.
    pub block_time: Duration,
    /// The number of confirmations.
    pub confirmations: u64,
    /// Services that are started immediately. A story starts the others itself.
    pub services: Vec<Service>,
    /// Variables for every service, in addition to those of the standalone installation.
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

    /// One settlement lane that is not started yet, so that everything that is accepted before it starts is one batch.
    /// Payments may be valid for as short a time as a story needs.
    pub fn one_lane_later() -> Self {
        let services = vec![Service::Api, Service::Confirmer, Service::MintProjector, Service::ReadProjector];
        let options = Self { services, ..Self::default() };
        // On a busy machine the messages of one batch come some tenths of a second apart.
        options.with("SENDER_KEYS", SENDER_KEYS[0]).with("MIN_WINDOW_S", 1).with("SENDER_LINGER_MS", 500)
    }

    /// With one more variable for every service.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.env.push((name, value.to_string()));
        self
    }
}
