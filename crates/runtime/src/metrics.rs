//! Counters of this process, as Prometheus text. They hold no secret and no payment, so they need no token.

use metrics::{Label, counter, describe_counter};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// A family of counters. One row of the table below is one metric.
#[derive(Debug)]
pub struct Counter {
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
}

/// Turns of a loop, by its name. A test that must show that something does not happen waits for three more turns.
pub static TURNS: Counter =
    Counter { name: "paymint_loop_turns_total", labels: &["loop"], help: "Turns of a loop, by its name." };
/// Appends to the ledger, by outcome.
pub static APPENDS: Counter =
    Counter { name: "paymint_ledger_appends_total", labels: &["outcome"], help: "Appends to the ledger, by outcome." };
/// Messages of durable consumers, by consumer and answer.
pub static MESSAGES: Counter = Counter {
    name: "paymint_consumer_messages_total",
    labels: &["consumer", "answer"],
    help: "Messages of durable consumers, by consumer and answer.",
};
/// Orders that were not admitted, by the code of the refusal.
pub static REFUSALS: Counter = Counter {
    name: "paymint_admission_refusals_total",
    labels: &["reason"],
    help: "Orders that were not admitted, by the code of the refusal.",
};

impl Counter {
    /// Counts one more. `values` has one value for each label.
    pub fn add(&self, values: &[&'static str]) {
        let labels: Vec<Label> =
            self.labels.iter().zip(values).map(|(name, value)| Label::new(*name, *value)).collect();
        counter!(self.name, labels).increment(1);
    }
}

/// Counts a turn of the loop `name`.
pub fn turn(name: &'static str) {
    TURNS.add(&[name]);
}

/// Starts to count. Earlier counts are lost; a second call changes nothing.
pub(crate) fn install() {
    RECORDER.get_or_init(|| {
        let handle = PrometheusBuilder::new().install_recorder().ok()?;
        for family in [&TURNS, &APPENDS, &MESSAGES, &REFUSALS] {
            describe_counter!(family.name, family.help);
        }
        Some(handle)
    });
}

/// All counters as Prometheus text; empty before the process started to count.
pub fn metrics_text() -> String {
    RECORDER.get().and_then(Option::as_ref).map(PrometheusHandle::render).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_rendered_with_its_labels_and_its_help() {
        install();
        turn("test.loop");
        turn("test.loop");
        MESSAGES.add(&["minter", "done"]);
        let text = metrics_text();
        assert!(text.contains("# HELP paymint_loop_turns_total Turns of a loop, by its name."), "{text}");
        assert!(text.contains("paymint_loop_turns_total{loop=\"test.loop\"} 2"), "{text}");
        assert!(text.contains("paymint_consumer_messages_total{consumer=\"minter\",answer=\"done\"} 1"), "{text}");
    }
}
