//! The seeds of the corpus: known inputs, made from the golden vectors and the example events.
//!
//! `UPDATE_SEEDS=1 cargo test -p properties --test it -- seeds::` writes them again.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::DateTime;
use domain::event::{Claimed, Purpose};
use domain::{Event, OrderEvent, SignerEvent, examples, lane};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Path below `fuzz/corpus`, and content.
type Seeds = BTreeMap<String, Vec<u8>>;

fn read(path: &str) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    serde_json::from_str(&fs::read_to_string(root.join(path)).unwrap()).unwrap()
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).unwrap().as_str().unwrap()
}

/// The mode byte of `properties::payment`, and the JSON if there is base64 to decode, otherwise the value.
fn payment(v1: bool, local: bool, value: &str) -> Vec<u8> {
    let (is_json, rest) = match BASE64_STANDARD.decode(value) {
        Ok(json) => (true, json),
        Err(_) => (false, value.as_bytes().to_vec()),
    };
    let mode = b'0' + u8::from(v1) + 2 * u8::from(is_json) + 4 * u8::from(local);
    [&[mode], &rest[..]].concat()
}

fn payments(seeds: &mut Seeds) {
    for file in ["valid", "invalid"] {
        for case in read(&format!("crates/x402/vectors/{file}.json")).as_array().unwrap() {
            let v1 = text(case, "/headerName") == "X-PAYMENT";
            let local = matches!(text(case, "/requirements/network"), "eip155:31337" | "local");
            let bytes = payment(v1, local, text(case, "/headerValue"));
            seeds.insert(format!("payment/seed-{}", text(case, "/name")), bytes);
        }
    }
    for (name, file, path, local) in [
        ("permit2", "permit2", "/headerValue", true),
        ("erc1271", "smart-wallet", "/erc1271/headerValue", true),
        ("erc6492", "smart-wallet", "/erc6492/headerValue", true),
        ("echo", "payment-identifier", "/stock client/headerValue", false),
        ("identifier", "payment-identifier", "/app that adds an id/headerValue", false),
    ] {
        let value = read(&format!("crates/x402/vectors/{file}.json"));
        let value = text(&value, path);
        seeds.insert(format!("payment/seed-{name}"), payment(false, local, value));
    }
    // Edits of a good payment, in every mode: `p` is place 0, `a` place 1, and so on.
    let bound = text(&read("crates/domain/vectors/bound-nonce.json"), "/cases/0/nonce").to_owned();
    for (name, edits) in [
        ("none", String::new()),
        ("bound-nonce", format!("m\"{bound}\"")),
        ("identifier", "n\"0123456789abcdef\"".into()),
        ("window", "k\"1800000000\"\nl\"1800000006\"".into()),
        ("value", "j\"18446744073709561616\"".into()),
        ("unknown-field", "o,\"memo\":[1e300,null]".into()),
    ] {
        for mode in ["8", "9", "<", "="] {
            seeds.insert(
                format!("payment/seed-edit-{name}-{}", mode.as_bytes()[0] & 7),
                [mode, &edits].concat().into_bytes(),
            );
        }
    }
    // One as it is on the wire, so that base64 is damaged as well.
    let value = read("crates/x402/vectors/payment-identifier.json");
    let value = text(&value, "/app that adds an id/headerValue");
    seeds.insert("payment/seed-as-sent".into(), format!("0{value}").into_bytes());
}

fn message(event: &Event) -> Vec<u8> {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let payload = ledger::encode(event, "/paymint/api", Some(trace), DateTime::UNIX_EPOCH).unwrap();
    [ledger::subject(event).as_bytes(), b"\n", &payload].concat()
}

/// Each example event alone, and an order and a lane from their beginning.
fn logs(seeds: &mut Seeds) {
    let all = examples::all();
    for event in &all {
        let name = ledger::event_type(event).replace("io.paymint.", "");
        seeds.insert(format!("log/seed-{name}"), message(event));
    }
    let request = Event::Order(examples::request().id(), OrderEvent::PaymentRequested(Box::new(examples::request())));
    let good = String::from_utf8(message(&request)).unwrap();
    for (name, from, to) in [
        ("no-json", "{", "{,"),
        ("old-specversion", "\"1.0\"", "\"0.3\""),
        ("unknown-version", "requested.v1", "requested.v99"),
        ("other-subject", "payment.requested\n", "owed.payment.confirmed\n"),
        ("number-for-money", "\"100000\"", "100000"),
        ("unknown-field", "\"chainId\"", "\"x\":1,\"chainId\""),
    ] {
        assert!(good.contains(from), "{name}");
        seeds.insert(format!("log/seed-bad-{name}"), good.replacen(from, to, 1).into_bytes());
    }
    let story = |keep: fn(&Event) -> bool| -> Vec<u8> {
        let messages: Vec<Vec<u8>> = all.iter().filter(|event| keep(event)).map(message).collect();
        messages.join(&b"\n\n"[..])
    };
    // These once overflowed: the largest numbers of an order, of a nonce and of a claim, which have no successor.
    let id = examples::request().id();
    let last = Event::Order(id, OrderEvent::PaymentDeferred(u32::MAX, examples::deferral()));
    seeds.insert("log/seed-last-number".into(), [message(&request), message(&last)].join(&b"\n\n"[..]));
    let claim = lane::claim(None, Purpose::Settle, examples::CHAIN_ID, "rogue", u64::MAX);
    let claim = SignerEvent::Claimed(Claimed { epoch: u32::MAX, ..claim });
    let rogue = [claim, SignerEvent::Signed(examples::open_tx(u64::MAX))];
    let rogue = rogue.map(|event| message(&Event::Signer(examples::LANE, event)));
    seeds.insert("log/seed-last-nonce".into(), rogue.join(&b"\n\n"[..]));
    seeds.insert("log/seed-order".into(), story(|event| matches!(event, Event::Order(..))));
    seeds.insert("log/seed-lane".into(), story(|event| matches!(event, Event::Signer(..))));
}

fn names(seeds: &mut Seeds) {
    for (number, case) in read("crates/domain/vectors/bound-nonce.json")["cases"].as_array().unwrap().iter().enumerate()
    {
        let hex = |field: &str| alloy_primitives::hex::decode(text(case, field)).unwrap();
        let chain_id: u64 = text(case, "/chainId").parse().unwrap();
        let quantity = u32::try_from(case["quantity"].as_u64().unwrap()).unwrap();
        let parts = [hex("/nonce"), chain_id.to_be_bytes().into(), hex("/token"), quantity.to_be_bytes().into()];
        seeds.insert(format!("names/seed-nonce-{number}"), [parts.concat(), hex("/salt")].concat());
    }
    let id = examples::request().id().0;
    for (name, text) in [
        ("id", id.hyphenated().to_string()),
        ("id-simple", id.simple().to_string()),
        ("id-braced", id.braced().to_string()),
        ("id-urn", id.urn().to_string()),
        ("amount", "10000".into()),
        ("amount-most", u64::MAX.to_string()),
        ("amount-zero", "0".into()),
        ("amount-leading-zero", "010000".into()),
        ("key", "order_0123456789abcdef".into()),
    ] {
        seeds.insert(format!("names/seed-{name}"), text.into_bytes());
    }
}

fn bodies(seeds: &mut Seeds) {
    for (name, body) in [
        ("one", r#"{"quantity":1}"#),
        ("most", " {\n\"quantity\" : 4294967295 } "),
        ("more-keys", r#"{"quantity":5,"note":"\u00e9"}"#),
        ("empty", ""),
        ("array", "[10]"),
        ("form", "quantity=10"),
        ("twice", r#"{"quantity":1,"quantity":2}"#),
        ("escaped-twice", r#"{"quantity":1,"quantit\u0079":2}"#),
        ("none", "{}"),
        ("zero", r#"{"quantity":0}"#),
        ("float", r#"{"quantity":1.0}"#),
        ("exponent", r#"{"quantity":1e18}"#),
        ("text", r#"{"quantity":"10"}"#),
        ("too-many", r#"{"quantity":4294967296}"#),
    ] {
        seeds.insert(format!("body/seed-{name}"), body.as_bytes().to_vec());
    }
}

#[test]
fn the_committed_seeds_are_those_of_the_vectors_and_examples() {
    let mut seeds = Seeds::new();
    payments(&mut seeds);
    bodies(&mut seeds);
    logs(&mut seeds);
    names(&mut seeds);
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    if std::env::var_os("UPDATE_SEEDS").is_some() {
        for (path, bytes) in &seeds {
            let path = corpus.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    for (path, bytes) in &seeds {
        let committed = fs::read(corpus.join(path)).unwrap_or_else(|e| panic!("{path}: {e}; see fuzz/README.md"));
        assert!(committed == *bytes, "{path} is not what its vector says; see fuzz/README.md");
    }
}
