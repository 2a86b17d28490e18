//! `compose.yaml`, `.env.example` and `Dockerfile` agree with each other and with the services' configuration parsers.
//! Whether Compose accepts the file, its own parser says: `tools/compose --env-file .env.example config -q`.

use runtime::Env;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use yaml_serde::Value;

/// Variables that every program reads before its configuration.
const TELEMETRY: [&str; 2] = ["RUST_LOG", "LOG_FORMAT"];

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn file(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The assignments of `.env.example`.
fn example() -> BTreeMap<String, String> {
    let text = file(".env.example");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| line.split_once('=').unwrap()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The variables that `text` refers to, with their defaults; `None` for one that must be set.
fn references(text: &str) -> Vec<(String, Option<String>)> {
    let parts = text.split("${").skip(1).map(|rest| rest.split_once('}').unwrap().0);
    parts
        .map(|reference| match reference.split_once(":-") {
            Some((name, default)) => (name.to_owned(), Some(default.to_owned())),
            None => (reference.split_once(":?").unwrap().0.to_owned(), None),
        })
        .collect()
}

/// `text` as Compose fills it from `.env.example`.
fn filled(text: &str) -> String {
    let example = example();
    let mut parts = text.split("${");
    let mut result = parts.next().unwrap().to_owned();
    for part in parts {
        let (reference, rest) = part.split_once('}').unwrap();
        let (name, default) = references(&format!("${{{reference}}}")).pop().unwrap();
        result.push_str(example.get(&name).or(default.as_ref()).unwrap());
        result.push_str(rest);
    }
    result
}

/// The file with its merge keys applied, references not filled.
fn raw() -> Value {
    let mut value: Value = yaml_serde::from_str(&file("compose.yaml")).unwrap();
    value.apply_merge().unwrap();
    value
}

fn services() -> BTreeMap<String, Value> {
    let services = raw()["services"].as_mapping().unwrap().clone();
    services.into_iter().map(|(name, service)| (name.as_str().unwrap().to_owned(), service)).collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_sequence().map(|all| all.iter().map(|one| one.as_str().unwrap().to_owned()).collect()).unwrap_or_default()
}

/// The environment of a service, filled.
fn environment(service: &Value) -> BTreeMap<String, String> {
    let Some(variables) = service["environment"].as_mapping() else { return BTreeMap::new() };
    let text = |value: &Value| match value {
        Value::String(text) => filled(text),
        other => yaml_serde::to_string(other).unwrap().trim().to_owned(),
    };
    variables.iter().map(|(name, value)| (name.as_str().unwrap().to_owned(), text(value))).collect()
}

/// The value of `--name=value` in a service's command.
fn flag(service: &Value, name: &str) -> Option<String> {
    let prefix = format!("--{name}=");
    texts(&service["command"]).iter().find_map(|argument| argument.strip_prefix(&prefix).map(filled))
}

/// The ports on which a service of this file listens.
fn offered(name: &str, service: &Value) -> BTreeSet<String> {
    let flags = ["port", "http_port"].iter().filter_map(|port| flag(service, port));
    let variables = environment(service);
    let addresses = ["API_ADDR", "HEALTH_ADDR"].iter().filter_map(|variable| variables.get(*variable));
    let addresses = addresses.map(|address| address.rsplit_once(':').unwrap().1.to_owned());
    // PostgreSQL's port is its own default.
    flags.chain(addresses).chain((name == "postgres").then(|| "5432".to_owned())).collect()
}

/// Host and port of a URL, without user, password and path.
fn authority(url: &str) -> (String, String) {
    let rest = url.split_once("://").unwrap().1;
    let rest = rest.split(['/', '?']).next().unwrap();
    let (host, port) = rest.rsplit('@').next().unwrap().rsplit_once(':').unwrap();
    (host.to_owned(), port.to_owned())
}

fn parse(service: &str, env: &Env) -> bool {
    match service {
        "api" => api::Config::from_env(env).map(drop).unwrap(),
        "payment-sender" => payment_sender::Config::from_env(env).map(drop).unwrap(),
        "confirmer" => confirmer::Config::from_env(env).map(drop).unwrap(),
        "mint-projector" => mint_projector::Config::from_env(env).map(drop).unwrap(),
        "operator" => operator::Config::from_env(env).map(drop).unwrap(),
        "read-projector" => read_projector::Config::from_env(env).map(drop).unwrap(),
        "setup" => ops::Setup::from_env(env).map(drop).unwrap(),
        "ops" => {
            ops::Setup::from_env(env).map(drop).unwrap();
            ledger::LedgerConfig::from_env(env).map(drop).unwrap();
        }
        #[cfg(feature = "dev")]
        "setup-chain" => standalone::Places::from_env(env).map(drop).unwrap(),
        _ => return false,
    }
    true
}

#[test]
fn each_service_reads_exactly_the_variables_that_the_file_gives_it() {
    let mut parsed = BTreeSet::new();
    for (name, service) in services() {
        let mut variables = environment(&service);
        for variable in TELEMETRY {
            variables.remove(variable);
        }
        let env = Env::of(variables.clone());
        if parse(&name, &env) {
            let known: BTreeSet<String> = env.describe().into_iter().map(|variable| variable.name).collect();
            for variable in variables.keys() {
                assert!(known.contains(variable), "{name} does not read {variable}");
            }
            parsed.insert(name);
        }
    }
    let all = ["api", "payment-sender", "confirmer", "mint-projector", "operator", "read-projector", "setup", "ops"];
    for name in all {
        assert!(parsed.contains(name), "{name} is not in compose.yaml");
    }
}

#[test]
fn the_example_sets_every_variable_that_must_be_set_and_no_other() {
    let (example, text) = (example(), file("compose.yaml"));
    let known: BTreeMap<_, _> = references(&text).into_iter().collect();
    for (name, default) in &known {
        assert!(default.is_some() || example.contains_key(name), "{name} must be set and is not in .env.example");
    }
    for name in example.keys() {
        assert!(known.contains_key(name) || name == "COMPOSE_PROFILES", "{name} is not in compose.yaml");
    }
}

#[test]
fn no_secret_stands_in_the_file() {
    for (name, service) in services() {
        let Some(variables) = service["environment"].as_mapping() else { continue };
        for (variable, value) in variables {
            let (variable, value) = (variable.as_str().unwrap(), value.as_str().unwrap_or_default());
            let secret = ["PASSWORD", "KEYS", "TOKEN", "SECRET"].iter().any(|word| variable.contains(word));
            assert!(!secret || value.starts_with("${"), "{name}: {variable}");
            if let Some((user, _)) = value.split_once("://").and_then(|(_, rest)| rest.split_once('@')) {
                assert!(user.split_once(':').unwrap().1.starts_with("${"), "{name}: {variable}");
            }
        }
    }
    let text = file("compose.yaml");
    let hex = text.split(|c: char| !c.is_ascii_hexdigit()).find(|word| word.len() >= 32);
    assert_eq!(hex, None);
    assert!(file(".gitignore").lines().any(|line| line == "/.env"));
    assert!(file(".dockerignore").lines().any(|line| line == ".env"));
}

#[test]
fn every_address_that_a_service_names_is_offered_by_another() {
    let services = services();
    let mut named = 0;
    for (name, service) in &services {
        for (variable, value) in environment(service) {
            let inside = variable != "PUBLIC_URL" && value.contains("://");
            for url in value.split(',').filter(|_| inside) {
                let (host, port) = authority(url);
                let other = services.get(&host).unwrap_or_else(|| panic!("{name}: {variable} names {host}"));
                assert!(offered(&host, other).contains(&port), "{name}: {variable} names port {port} of {host}");
                named += 1;
            }
        }
        for (other, _) in service["depends_on"].as_mapping().into_iter().flatten() {
            assert!(services.contains_key(other.as_str().unwrap()), "{name} depends on {other:?}");
        }
        for port in texts(&service["ports"]) {
            let port = filled(&port);
            let target = port.rsplit_once(':').unwrap().1;
            assert!(offered(name, service).contains(target), "{name} publishes {port}");
        }
    }
    assert!(named >= 15, "only {named} addresses were found");
}

#[test]
fn every_service_that_stays_up_has_a_health_check_at_an_address_of_its_own() {
    for (name, service) in services() {
        let stays = service["restart"].as_str() == Some("unless-stopped");
        let test = texts(&service["healthcheck"]["test"]);
        assert_eq!(stays, !test.is_empty(), "{name}");
        if let Some(url) = test.iter().find(|argument| argument.contains("://")) {
            let (host, port) = authority(url);
            assert!(host == "127.0.0.1" && offered(&name, &service).contains(&port), "{name}: {url}");
        }
        if test.get(1).is_some_and(|program| program == "ops") {
            assert_eq!(test[2], "ready");
            assert!(test[3].ends_with("/readyz"), "{name}");
        }
        for (other, condition) in service["depends_on"].as_mapping().into_iter().flatten() {
            let other = &services()[other.as_str().unwrap()];
            let healthy = condition["condition"].as_str() == Some("service_healthy");
            assert_eq!(healthy, !other["healthcheck"].is_null(), "{name} waits for what never comes");
        }
    }
}

#[test]
fn every_path_exists_here_or_on_a_volume() {
    let volumes: BTreeSet<String> =
        raw()["volumes"].as_mapping().unwrap().keys().map(|name| name.as_str().unwrap().to_owned()).collect();
    let mut used = BTreeSet::new();
    for (name, service) in services() {
        let mut mounted = Vec::new();
        for volume in texts(&service["volumes"]) {
            let mut parts = volume.split(':');
            let (source, target) = (parts.next().unwrap(), parts.next().unwrap().to_owned());
            if source.starts_with('.') {
                assert!(root().join(source).exists(), "{name}: {source}");
            } else {
                assert!(volumes.contains(source), "{name}: {source}");
                used.insert(source.to_owned());
            }
            mounted.push(target);
        }
        for path in ["config", "store_dir", "state"].iter().filter_map(|path| flag(&service, path)) {
            assert!(mounted.iter().any(|target| path.starts_with(target.as_str())), "{name}: {path}");
        }
    }
    assert_eq!(used, volumes);
}

#[test]
fn every_image_is_built_by_the_dockerfile_and_holds_the_programs_that_are_started() {
    let dockerfile = file("Dockerfile");
    let mut built = BTreeMap::new();
    for service in services().values() {
        if let Some(target) = service["build"]["target"].as_str() {
            assert!(dockerfile.contains(&format!(" AS {target}\n")), "{target}");
            built.insert(service["image"].as_str().unwrap().to_owned(), target.to_owned());
        }
    }
    for (name, service) in services() {
        let image = service["image"].as_str().unwrap();
        assert!(!filled(image).ends_with("latest") && image.contains(':'), "{name}: {image}");
        if let Some(target) = built.get(image) {
            let program = &texts(&service["entrypoint"])[0];
            let built = match target.as_str() {
                "services" => format!(" {program} "),
                _ => format!("release/{program} "),
            };
            assert!(dockerfile.contains(&built), "{name} starts {program}, which {target} does not hold");
        }
    }
    let last = dockerfile.rfind("\nFROM ").unwrap();
    assert!(dockerfile[last..].contains(" AS services"), "the image without a target is the one for production");
    assert!(dockerfile.contains("USER nonroot"));
}

#[test]
fn every_user_of_the_ledger_is_known_to_nats_with_the_same_password() {
    let config = file("nats/server.conf");
    let mut users = 0;
    for (name, service) in services() {
        let Some(url) = service["environment"]["NATS_URL"].as_str() else { continue };
        let (user, password) = url.split_once("://").unwrap().1.split_once('@').unwrap().0.split_once(':').unwrap();
        let (variable, _) = references(password).pop().unwrap();
        assert!(config.contains(&format!("user: {user}, password: ${variable}")), "{name}: {user}");
        assert!(services()["nats"]["environment"][variable.as_str()].is_string(), "{variable}");
        let own = !matches!(name.as_str(), "setup" | "setup-chain");
        assert_eq!(user == name, own, "{name} connects as {user}");
        users += 1;
    }
    assert_eq!(users, 9);
}

#[cfg(feature = "dev")]
#[test]
fn the_example_describes_the_development_chain() {
    use standalone::accounts::{MINTER_KEYS, OPERATOR_KEYS, OWNER, SENDER_KEYS};
    let example = example();
    assert_eq!(example["HUB_ADDRESS"], OWNER.create(0).to_string());
    assert_eq!(example["ASSET_ADDRESS"], dev_chain::BASE_SEPOLIA_USDC.to_string());
    assert_eq!(example["CHAIN_ID"], standalone::servers::CHAIN_ID.to_string());
    assert_eq!(example["SENDER_KEYS"], SENDER_KEYS.join(","));
    assert_eq!(example["MINTER_KEYS"], MINTER_KEYS.join(","));
    assert_eq!(example["OPERATOR_KEYS"], OPERATOR_KEYS.join(","));
}
