//! How much of everything is done.

use std::time::Duration;

/// One set of sizes.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// How long each raw limit is measured.
    pub raw: Duration,
    /// Payments one after the other.
    pub one: usize,
    /// Payments over 64 connections.
    pub sixty_four: usize,
    /// Payments over 1,000 connections, each of which sends the next one as soon as it is answered.
    pub thousand: usize,
    /// Payments over 1,000 connections at [`Sizes::rate`].
    pub paced: usize,
    /// Requests of each kind of refusal, over 1,000 connections.
    pub refusals: usize,
    /// Event streams that nothing happens on.
    pub idle: usize,
    /// Event streams that something happens on.
    pub watched: usize,
    /// How long capacity is measured, and half of it offered.
    pub calm: Duration,
    /// How long twice the capacity is offered.
    pub overload: Duration,
    /// How long honest payers are watched without an attack, and with each.
    pub abused: Duration,
    /// Orders of empty accounts.
    pub flood: usize,
    /// Orders of one token beside the honest ones.
    pub crowd: usize,
    /// Payments to the stock system.
    pub peer: usize,
    /// Payments from the POST to the mint.
    pub e2e: usize,
    /// Kills of each service.
    pub kills: usize,
    /// How long processes are killed one after the other, and how long they are not, to compare.
    pub rolling: Duration,
    /// Events of the ledger beside whose reads others append.
    pub past: u64,
    /// Events of the short ledger, with which the one of `past` is compared.
    pub short_past: u64,
    /// Transactions of the lane with a long past.
    pub nonces: u64,
    /// Payers among whom they are divided.
    pub payers: usize,
}

impl Sizes {
    /// Paced arrivals a second: above the target of 1,000, so that noise does not decide whether it is met.
    pub const RATE: f64 = 1_100.0;

    /// To quote.
    pub const FULL: Self = Self {
        raw: Duration::from_secs(3),
        one: 1_000,
        sixty_four: 10_000,
        thousand: 15_000,
        paced: 16_500,
        refusals: 100_000,
        idle: 2_000,
        watched: 1_000,
        calm: Duration::from_secs(30),
        overload: Duration::from_secs(120),
        abused: Duration::from_secs(30),
        flood: 20_000,
        crowd: 10_000,
        peer: 2_000,
        e2e: 20_000,
        kills: 5,
        rolling: Duration::from_secs(60),
        past: 1_000_000,
        short_past: 50_000,
        nonces: 1_000_000,
        payers: 1_000,
    };

    /// To see that it runs.
    pub const QUICK: Self = Self {
        raw: Duration::from_millis(500),
        one: 100,
        sixty_four: 1_000,
        thousand: 2_000,
        paced: 2_200,
        refusals: 10_000,
        idle: 200,
        watched: 100,
        calm: Duration::from_secs(10),
        overload: Duration::from_secs(20),
        abused: Duration::from_secs(10),
        flood: 2_000,
        crowd: 1_000,
        peer: 300,
        e2e: 500,
        kills: 2,
        rolling: Duration::from_secs(15),
        past: 50_000,
        short_past: 10_000,
        nonces: 50_000,
        payers: 100,
    };
}
