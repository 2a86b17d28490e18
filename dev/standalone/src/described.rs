//! The variables of every service: `.env.example` beside each, and the table of the README. Both are generated from what
//! the services read, and each example is parsed by its service.

use runtime::{ConfigError, Env, Unset, Variable, env_example};
use std::path::{Path, PathBuf};

/// Around the table of the README.
const MARKS: (&str, &str) = ("<!-- begin: environment -->\n", "<!-- end: environment -->");
/// First lines of every example.
const HEAD: &str =
    "# Every variable of this service. Written by `make env`; RUST_LOG and LOG_FORMAT=json set the logs.\n\n";

type Service = (&'static str, fn(&Env) -> Result<(), ConfigError>);

const SERVICES: [Service; 6] = [
    ("api", |env| api::Config::from_env(env).map(drop)),
    ("payment-sender", |env| payment_sender::Config::from_env(env).map(drop)),
    ("confirmer", |env| confirmer::Config::from_env(env).map(drop)),
    ("mint-projector", |env| mint_projector::Config::from_env(env).map(drop)),
    ("operator", |env| operator::Config::from_env(env).map(drop)),
    ("read-projector", |env| read_projector::Config::from_env(env).map(drop)),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn rows((name, read): Service) -> Vec<Variable> {
    let env = Env::examples();
    read(&env).unwrap_or_else(|e| panic!("{name} does not accept its own examples: {e}"));
    env.describe()
}

/// Writes the file with `UPDATE_ENV`, and otherwise fails where it differs.
fn same(file: &Path, text: &str) {
    if std::env::var_os("UPDATE_ENV").is_some() {
        std::fs::write(file, text).unwrap();
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(committed == text, "{} is not what the services read; if that is meant: make env", file.display());
}

#[test]
fn each_example_has_every_variable_of_its_service_and_is_accepted_by_it() {
    for service in SERVICES {
        let (name, read) = service;
        let (file, text) =
            (root().join("services").join(name).join(".env.example"), HEAD.to_owned() + &env_example(&rows(service)));
        same(&file, &text);
        let uncommented: Vec<_> = text.lines().filter_map(|line| line.strip_prefix('#').or(Some(line))).collect();
        assert_eq!(read(&Env::from_file_text(&text)), Ok(()), "{name}");
        // Every default and example, also of what may be left out; plain keys exclude keystores.
        let all = uncommented.iter().filter(|line| !line.contains("_KEYS=") && !line.starts_with(' '));
        assert_eq!(read(&Env::from_file_text(&all.copied().collect::<Vec<_>>().join("\n"))), Ok(()), "{name}");
    }
}

#[test]
fn the_table_of_the_readme_is_what_the_services_read() {
    // Variables in the order of their first service, with all services that read them.
    let mut readers: Vec<(Variable, Vec<&str>)> = Vec::new();
    for service in SERVICES {
        for row in rows(service) {
            match readers.iter_mut().find(|(known, _)| known.name == row.name && known.unset == row.unset) {
                Some((_, names)) => names.push(service.0),
                None => readers.push((row, vec![service.0])),
            }
        }
    }
    let mut groups: Vec<(Vec<&str>, Vec<Variable>)> = Vec::new();
    for (row, names) in readers {
        match groups.iter_mut().find(|(known, _)| *known == names) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((names, vec![row])),
        }
    }
    let mut table = "| service | must be set | may be set (default) |\n|---|---|---|\n".to_owned();
    for (names, rows) in groups {
        let names = if names.len() == SERVICES.len() { "all".to_owned() } else { names.join(", ") };
        let cell = |required: bool| {
            let rows = rows.iter().filter(|row| (row.unset == Unset::Refused) == required);
            let one = |row: &Variable| match &row.unset {
                Unset::Value(value) => format!("`{}` ({value})", row.name),
                Unset::Refused | Unset::Nothing => format!("`{}`", row.name),
            };
            rows.map(one).collect::<Vec<_>>().join(", ")
        };
        table += &format!("| {names} | {} | {} |\n", cell(true), cell(false));
    }
    let file = root().join("README.md");
    let readme = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = readme.split_once(MARKS.0).unwrap();
    let (_, after) = rest.split_once(MARKS.1).unwrap();
    same(&file, &[before, MARKS.0, &table, MARKS.1, after].concat());
}
