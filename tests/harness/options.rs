//! What a story may ask of its stack.

use crate::process::Service;
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

    /// With one more variable for every service.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.env.push((name, value.to_string()));
        self
    }
}
