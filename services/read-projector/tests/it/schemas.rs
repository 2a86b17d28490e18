//! `schemas/` against the code that writes the events: examples cannot drift, and yesterday's decode today.

use chrono::{DateTime, Utc};
use domain::event::{Actor, DamageKind, FailureReason, ParkReason, RefundReason, WaitReason};
use domain::{Event, examples};
use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schemas").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap_or_else(|e| panic!("schemas/{name}: {e}"))
}

fn schema(event_type: &str) -> Value {
    serde_json::from_str(&read(&format!("{event_type}.json"))).unwrap()
}

fn validator(event_type: &str) -> Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema(event_type)).unwrap()
}

fn source(event_type: &str) -> &'static str {
    match event_type.split('.').nth(2).unwrap() {
        "payment" if event_type.contains("requested") => "/paymint/api",
        "key" => "/paymint/api",
        "payment" if event_type.contains("submitted") => "/paymint/payment-sender",
        "mint" if event_type.contains("submitted") => "/paymint/mint-projector",
        "refund" if event_type.contains("requested") => "/paymint/ops",
        "refund" if event_type.contains("submitted") || event_type.contains("deferred") => "/paymint/operator",
        "token" => "/paymint/standalone",
        "ops" if event_type.contains("stopped") => "/paymint/read-projector",
        _ if event_type.contains("redriven") || event_type.contains("released") => "/paymint/ops",
        "order" => "/paymint/payment-sender",
        "ops" if event_type.contains("resumed") => "/paymint/ops",
        "ops" => "/paymint/payment-sender",
        "signer" if !event_type.contains("settled") && !event_type.contains("reverted") => "/paymint/payment-sender",
        _ => "/paymint/confirmer",
    }
}

/// The message that the ledger would hold, with a time that stays.
fn message(event: &Event) -> Value {
    let now = DateTime::<Utc>::from_timestamp(1_799_999_700, 123_000_000).unwrap();
    let bytes = ledger::encode(event, source(&ledger::event_type(event)), Some(TRACE), now).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn every_event_has_a_schema_and_an_example_that_is_what_the_code_writes() {
    for event in examples::all() {
        let event_type = ledger::event_type(&event);
        let written = format!("{}\n", serde_json::to_string_pretty(&message(&event)).unwrap());
        let name = format!("{event_type}.example.json");
        if std::env::var_os("UPDATE_EXAMPLES").is_some() {
            std::fs::write(file(&name), &written).unwrap();
        }
        let why = "if that is meant: UPDATE_EXAMPLES=1 cargo test -p read-projector --test it -- schemas::";
        assert_eq!(read(&name), written, "schemas/{name} is not what the code writes; {why}");
        let example: Value = serde_json::from_str(&written).unwrap();
        let errors: Vec<_> = validator(&event_type).iter_errors(&example).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
}

#[test]
fn the_committed_examples_decode_today() {
    let content_type = Some("application/cloudevents+json");
    for event in examples::all() {
        let example = read(&format!("{}.example.json", ledger::event_type(&event)));
        let (decoded, trace) = ledger::decode(&ledger::subject(&event), content_type, example.as_bytes()).unwrap();
        assert_eq!((decoded, trace.as_deref()), (event, Some(TRACE)));
    }
}

/// Every property of every example in turn: left out, of another type, and beside one that nobody knows.
#[test]
fn an_example_with_a_wrong_field_fails() {
    for event in examples::all() {
        let event_type = ledger::event_type(&event);
        let (schema, validator) = (schema(&event_type), validator(&event_type));
        let example = message(&event);
        let mut tried = 0;
        for at in ["", "/data"] {
            for (field, value) in example.pointer(at).unwrap().as_object().unwrap() {
                let mut wrong = example.clone();
                let object = wrong.pointer_mut(at).unwrap().as_object_mut().unwrap();
                object.insert(field.clone(), if value.is_string() { json!(7) } else { json!("seven") });
                assert!(!validator.is_valid(&wrong), "{event_type}: {at}/{field} of another type");
                let object = wrong.pointer_mut(at).unwrap().as_object_mut().unwrap();
                object.remove(field);
                let optional = field == "traceparent" || (event_type.contains("parked") && field == "txHash");
                assert_eq!(validator.is_valid(&wrong), optional, "{event_type}: {at}/{field} left out");
                tried += 1;
            }
        }
        let mut wrong = example.clone();
        wrong["data"]["surprise"] = json!(1);
        assert!(!validator.is_valid(&wrong), "{event_type}: a field that nobody knows");
        let mut extended = example.clone();
        extended["region"] = json!("eu");
        assert!(validator.is_valid(&extended), "{event_type}: an extension attribute is welcome");
        assert!(tried > 9 && schema["title"] == event_type.as_str());
    }
}

/// B58, B65, B66: spellings that serde would let through or a careless publisher would choose.
#[test]
fn another_spelling_of_a_value_fails() {
    let example = message(&examples::all()[2]);
    let validator = validator("io.paymint.payment.requested.v1");
    let cases = [
        ("/type", json!("io.paymint.payment.confirmed.v1")),
        ("/id", json!("orders.3.*.mint.payment.requested")),
        ("/time", json!("2027-13-15T08:00:00Z")),
        ("/time", json!("99999-01-15T08:00:00Z")),
        ("/data/authorization/value", json!("0100000")),
        ("/data/authorization/value", json!(100_000)),
        ("/data/authorization/from", json!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")),
        ("/data/authorization/nonce", json!("0x07")),
        ("/data/purchase/quantity", json!(0)),
        ("/data/purchase/quantity", json!(1.5)),
        ("/data/purchase/kind", json!("gift")),
    ];
    for (field, value) in cases {
        let mut wrong = example.clone();
        *wrong.pointer_mut(field).unwrap() = value.clone();
        assert!(!validator.is_valid(&wrong), "{field} = {value}");
    }
}

/// A new variant must be added here, and so in the schemas.
#[test]
fn every_reason_is_in_its_schema() {
    let codes = |event_type: &str, pointer: &str| -> BTreeSet<String> {
        let schema = schema(event_type);
        let codes = schema.pointer(pointer).unwrap().as_array().unwrap().clone();
        codes.into_iter().map(|code| code.as_str().unwrap().to_owned()).collect()
    };
    macro_rules! spelled {
        ($kind:ident: $($variant:ident),+) => {{
            let exhaustive = |reason: $kind| match reason { $($kind::$variant => reason),+ };
            let all = [$($kind::$variant),+].map(exhaustive);
            all.iter().map(|r| serde_json::to_value(r).unwrap().as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
        }};
    }
    let waits = spelled!(WaitReason: Unfunded, AuthorizationUsedOrCancelled, AuthorizationExpired,
        AuthorizationNotYetValid, SignatureRefused, Blacklisted, AssetPaused, NotAttempted, SoldOut, SettlementStopped,
        PayerBudget, Unpaid, Unexplained);
    for event in ["io.paymint.payment.deferred.v1", "io.paymint.mint.deferred.v1", "io.paymint.refund.deferred.v1"] {
        assert_eq!(codes(event, "/$defs/waitReason/enum"), waits);
    }
    let failures = spelled!(FailureReason: Expired, UnfundedUntilExpired, SoldOut, Cancelled, UsedElsewhere);
    assert_eq!(codes("io.paymint.payment.failed.v1", "/properties/data/properties/reason/enum"), failures);
    let parks = spelled!(ParkReason: PaidAroundToken, Inconsistent, Unexplained);
    for event in ["io.paymint.payment.parked.v1", "io.paymint.mint.parked.v1", "io.paymint.refund.parked.v1"] {
        assert_eq!(codes(event, "/properties/data/properties/reason/enum"), parks);
    }
    let refunds = spelled!(RefundReason: Operator, SoldOut);
    assert_eq!(codes("io.paymint.refund.requested.v1", "/properties/data/properties/reason/enum"), refunds);
    let damages = spelled!(DamageKind: Recreated, Truncated, Hole, Altered, ClockBackwards);
    assert_eq!(codes("io.paymint.ops.stopped.v1", "/properties/data/properties/damage/enum"), damages);
    let actors = spelled!(Actor: Paymint, ThirdParty);
    let by = [
        ("payment.confirmed", "paidBy"),
        ("payment.restored", "paidBy"),
        ("mint.confirmed", "mintedBy"),
        ("mint.restored", "mintedBy"),
        ("refund.confirmed", "refundedBy"),
        ("refund.restored", "refundedBy"),
    ];
    for (event, field) in by {
        let pointer = format!("/properties/data/properties/{field}/enum");
        assert_eq!(codes(&format!("io.paymint.{event}.v1"), &pointer), actors);
    }
}

#[test]
fn the_index_names_every_schema_and_nothing_else_lies_there() {
    let index = read("README.md");
    let types: BTreeSet<_> = examples::all().iter().map(ledger::event_type).collect();
    let expected: BTreeSet<_> = types.iter().flat_map(|t| [format!("{t}.json"), format!("{t}.example.json")]).collect();
    let found: BTreeSet<_> = std::fs::read_dir(file(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("io.paymint."))
        .collect();
    assert_eq!(found, expected);
    for name in expected {
        assert!(index.contains(&format!("({name})")), "schemas/README.md does not link {name}");
    }
}
