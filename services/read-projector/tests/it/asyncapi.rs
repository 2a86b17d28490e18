//! `schemas/asyncapi.yaml` against the code that writes the events, the server's permissions and the consumers.

use domain::examples;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The official JSON Schema of AsyncAPI 3.0.0: `schemas/3.0.0-without-$id.json` of npm's @asyncapi/specs 6.11.1,
/// unchanged, under the Apache License 2.0. Its text is a copy, so that this test needs no network.
const OFFICIAL: &str = include_str!("asyncapi-3.0.0.schema.json");

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn document() -> Value {
    yaml_serde::from_str(&read("schemas/asyncapi.yaml")).unwrap()
}

/// The target of `$ref`, inside the document.
fn resolve<'a>(document: &'a Value, reference: &Value) -> &'a Value {
    let pointer = reference["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
    document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not there"))
}

struct Channel<'a> {
    name: &'a str,
    /// The address with a `*` for each parameter: what NATS calls it.
    wildcard: String,
    /// Anchored pattern of a subject.
    pattern: Value,
    message: &'a Value,
}

fn channels(document: &Value) -> Vec<Channel<'_>> {
    let channels = document["channels"].as_object().unwrap();
    channels.iter().map(|(name, channel)| read_channel(document, name, channel)).collect()
}

fn read_channel<'a>(document: &'a Value, name: &'a str, channel: &'a Value) -> Channel<'a> {
    let parameters = channel["parameters"].as_object().unwrap();
    let (mut wildcards, mut patterns, mut used) = (vec![], vec![], BTreeSet::new());
    for token in channel["address"].as_str().unwrap().split('.') {
        match token.strip_prefix('{').and_then(|token| token.strip_suffix('}')) {
            Some(parameter) => {
                used.insert(parameter.to_owned());
                let described = resolve(document, &parameters[parameter]);
                wildcards.push("*");
                patterns.push(format!("({})", described["x-pattern"].as_str().unwrap()));
            }
            None => {
                wildcards.push(token);
                patterns.push(token.to_owned());
            }
        }
    }
    assert_eq!(used, parameters.keys().cloned().collect(), "{name}: the parameters are those of the address");
    let messages = channel["messages"].as_object().unwrap();
    assert_eq!(messages.len(), 1, "{name}: one type of event on a subject");
    Channel {
        name,
        wildcard: wildcards.join("."),
        pattern: json!({ "pattern": format!("^{}$", patterns.join("\\.")) }),
        message: resolve(document, messages.values().next().unwrap()),
    }
}

#[test]
fn the_document_is_asyncapi() {
    let official = jsonschema::validator_for(&serde_json::from_str(OFFICIAL).unwrap()).unwrap();
    let document = document();
    let errors: Vec<_> = official.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let mut wrong = document.clone();
    wrong["channels"]["paymentRequested"]["adress"] = json!("a typo");
    assert!(!official.is_valid(&wrong));
}

#[test]
fn every_event_has_one_channel_and_every_channel_an_event() {
    let document = document();
    let channels = channels(&document);
    let mut met = BTreeSet::new();
    for event in examples::all() {
        let (subject, event_type) = (ledger::subject(&event), ledger::event_type(&event));
        let fits = |channel: &&Channel<'_>| jsonschema::is_valid(&channel.pattern, &json!(subject));
        let found: Vec<_> = channels.iter().filter(fits).collect();
        let [channel] = found.as_slice() else {
            let names: Vec<_> = found.iter().map(|channel| channel.name).collect();
            panic!(
                "{event_type}: one channel of schemas/asyncapi.yaml must have the address of {subject}, not {names:?}"
            )
        };
        met.insert(channel.name);
        assert_eq!(channel.message["name"], event_type);
        assert_eq!(channel.message["payload"]["schema"]["$ref"], format!("./{event_type}.json"));
        assert_eq!(channel.message["examples"][0]["payload"]["$ref"], format!("./{event_type}.example.json"));
    }
    let described: BTreeSet<_> = channels.iter().map(|channel| channel.name).collect();
    assert_eq!(met, described, "a channel without an event");
}

#[test]
fn every_schema_is_referenced_once_and_is_there() {
    let text = read("schemas/asyncapi.yaml");
    let mut referenced: Vec<_> = text.split("$ref: ./").skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
    referenced.sort_unstable();
    let names = std::fs::read_dir(repository("schemas")).unwrap();
    let mut there: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    there.retain(|name| name.starts_with("io.paymint."));
    there.sort_unstable();
    assert_eq!(referenced, there);
}

/// The operations, as (service, subject wildcard, consumer).
fn operations(document: &Value, action: &str) -> BTreeSet<(String, String, Option<String>)> {
    let channels = channels(document);
    let mut found = BTreeSet::new();
    for (name, operation) in document["operations"].as_object().unwrap() {
        let service = operation["tags"][0]["name"].as_str().unwrap();
        let channel = operation["channel"]["$ref"].as_str().unwrap().strip_prefix("#/channels/").unwrap();
        let said = operation["action"].as_str().unwrap();
        assert_eq!(*name, format!("{service}.{said}s.{channel}"), "an operation is named after what it says");
        let wildcard = &channels.iter().find(|known| known.name == channel).unwrap().wildcard;
        if said == action {
            let consumer = operation["x-consumer"].as_str().map(str::to_owned);
            let subject = of_its_purpose(service, wildcard);
            assert!(found.insert((service.to_owned(), subject, consumer)), "{name} is there twice");
        }
    }
    found
}

/// A service that works lanes is granted those of its own purpose.
fn of_its_purpose(service: &str, wildcard: &str) -> String {
    let purpose = match service {
        "payment-sender" => "settle",
        "mint-projector" => "mint",
        "operator" => "operate",
        _ => "*",
    };
    wildcard.replace("signers.*.*.*.", &format!("signers.*.*.{purpose}."))
}

/// `nats/server.conf` exports to each account what its service may write; what nobody is exported to is for ops.
#[test]
fn s19_services_send_what_the_server_lets_them() {
    let document = document();
    let configuration = read("nats/server.conf");
    let mut allowed = BTreeSet::new();
    for line in configuration.lines() {
        let Some((subject, rest)) = line.trim().strip_prefix("{ service: \"").and_then(|rest| rest.split_once('"'))
        else {
            continue;
        };
        // Neither requests to JetStream nor leases are events.
        let is_event = !subject.starts_with("$JS.") && !subject.starts_with("leases.");
        let Some((_, accounts)) = rest.split_once("accounts: [").filter(|_| is_event) else { continue };
        for account in accounts.split(']').next().unwrap().split(", ") {
            allowed.insert((account.to_lowercase().replace('_', "-"), subject.to_owned(), None));
        }
    }
    let of_any_purpose = |subject: &str| {
        ["settle", "mint", "operate"].iter().fold(subject.to_owned(), |subject, purpose| {
            subject.replace(&format!("signers.*.*.{purpose}."), "signers.*.*.*.")
        })
    };
    let exported: BTreeSet<_> = allowed.iter().map(|(_, subject, _)| of_any_purpose(subject)).collect();
    for channel in channels(&document) {
        if !exported.contains(&channel.wildcard) {
            allowed.insert(("ops".to_owned(), channel.wildcard, None));
        }
    }
    assert!(exported.len() > 10, "{exported:?}");
    assert_eq!(operations(&document, "send"), allowed);
}

#[test]
fn services_receive_what_their_consumers_deliver() {
    let document = document();
    let mut delivered = BTreeSet::new();
    for entry in std::fs::read_dir(repository("nats/consumers")).unwrap() {
        let consumer: Value = serde_json::from_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
        let name = consumer["durable_name"].as_str().unwrap();
        let (name, is_redriven) = (name.trim_end_matches("-redriven"), name.ends_with("-redriven"));
        let variants = ["-deferred", "-watch"];
        let service = variants.iter().find_map(|variant| name.strip_suffix(variant)).unwrap_or(name);
        let filter = consumer["filter_subject"].as_str().unwrap();
        if is_redriven {
            assert_eq!(filter, format!("ops.redriven.{name}.>"));
            let all = "ops.redriven.*.*.*".to_owned();
            delivered.insert((service.to_owned(), all, Some(format!("{service}-redriven"))));
            continue;
        }
        let of_filter = |wildcard: &str| match filter.strip_suffix('>') {
            Some(beginning) => wildcard.starts_with(beginning),
            None => wildcard == filter,
        };
        for channel in channels(&document).into_iter().filter(|channel| of_filter(&channel.wildcard)) {
            delivered.insert((service.to_owned(), channel.wildcard, Some(name.to_owned())));
        }
    }
    assert_eq!(operations(&document, "receive"), delivered);
}
