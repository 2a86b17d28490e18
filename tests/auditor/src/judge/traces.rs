//! Traces of the run: no secret in a log, and no growth that stayed (A16).

use crate::evidence::Evidence;
use crate::evidence::journal::Phase;
use crate::verdict::{Check, Verdict};
use alloy_primitives::{Address, hex, keccak256};
use secp256k1::SecretKey;
use std::collections::{BTreeSet, HashSet};

/// A header in a log is its payment: this much of it is recognised, cut off at either end or not.
const HEADER_PART: usize = 64;

/// A16: no relayer's key, payment header or signature stands in a log; memory, files and tasks have come back down.
pub fn hygiene(evidence: &Evidence) -> Verdict {
    let mut check = Check::new("A16", "no secret in a log, and nothing that grew has stayed");
    logs(evidence, &mut check);
    resources(evidence, &mut check);
    check.verdict("no logs and no samples were given")
}

fn logs(evidence: &Evidence, check: &mut Check) {
    if evidence.logs.is_empty() {
        return check.note("no logs were given");
    }
    let requests = || evidence.journal.requests.iter();
    let headers = requests().filter_map(|request| middle(&request.payment.as_ref()?.value));
    let headers: HashSet<&str> = headers.collect();
    let signatures =
        requests().filter_map(|request| request.sent.as_ref()).map(|sent| hex::encode(&sent.signature[..64]));
    let signatures: HashSet<String> = signatures.collect();
    for log in &evidence.logs {
        let lower = log.text.to_lowercase();
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
        let header = windows(&log.text, is_base64, HEADER_PART).any(|part| headers.contains(part));
        check.that(!header, || format!("{} has a payment header", log.name));
        let signature = windows(&lower, |c| c.is_ascii_hexdigit(), 128).any(|part| signatures.contains(part));
        check.that(!signature, || format!("{} has a payer's signature", log.name));
        for relayer in keys(&lower).filter(|account| evidence.run.relayers.contains(account)) {
            check.that(false, || format!("{} has the key of {relayer}", log.name));
        }
    }
}

/// The middle of a header: the ends are alike in all.
fn middle(value: &str) -> Option<&str> {
    let from = value.len().checked_sub(HEADER_PART)? / 2;
    value.get(from..from.checked_add(HEADER_PART)?)
}

/// Every part of this length of every word.
fn windows(text: &str, is_word: impl Fn(char) -> bool, length: usize) -> impl Iterator<Item = &str> {
    let words = text.split(move |c| !is_word(c)).filter(move |word| word.len() >= length);
    words.flat_map(move |word| (0..=word.len() - length).filter_map(move |at| word.get(at..at + length)))
}

/// Accounts of all words of 64 hex digits: most are hashes, and of nobody whom we know.
fn keys(lower: &str) -> impl Iterator<Item = Address> {
    let words: BTreeSet<&str> = lower
        .split(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| word.strip_prefix("0x").unwrap_or(word))
        .filter(|word| word.len() == 64)
        .collect();
    words.into_iter().filter_map(move |word| {
        let bytes: [u8; 32] = hex::decode(word).ok()?.try_into().ok()?;
        let public = SecretKey::from_secret_bytes(bytes).ok()?.public_key().serialize_uncompressed();
        Some(Address::from_slice(&keccak256(&public[1..])[12..]))
    })
}

fn resources(evidence: &Evidence, check: &mut Check) {
    let samples = &evidence.journal.samples;
    let processes: BTreeSet<&str> = samples.iter().map(|sample| sample.process.as_str()).collect();
    if processes.is_empty() {
        check.note("no samples of resources were given");
    }
    let limit = evidence.run.bounds.grown_max_percent;
    for process in processes {
        let of = |phase| samples.iter().rfind(|sample| sample.process == process && sample.phase == phase);
        let (Some(before), Some(after)) = (of(Phase::Baseline), of(Phase::After)) else {
            check.that(false, || format!("{process}: one sample of baseline and one of after are needed"));
            continue;
        };
        for (what, before, after) in [
            ("bytes of memory", before.rss_bytes, after.rss_bytes),
            ("open files", before.fds, after.fds),
            ("tasks", before.tasks, after.tasks),
        ] {
            check.that(after.saturating_mul(100) <= before.saturating_mul(limit.saturating_add(100)), || {
                format!("{process} has {after} {what}, it began with {before}")
            });
        }
    }
}
