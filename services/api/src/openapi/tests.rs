//! The committed description is the one that is served, and it lacks nothing.

use crate::error::Problem;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

const COMMITTED: &str = "../../schemas/openapi.json";

fn served() -> Value {
    serde_json::to_value(crate::routes::paths().into_openapi()).unwrap()
}

#[test]
fn the_committed_description_is_the_one_that_is_served() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(COMMITTED);
    let written = format!("{}\n", serde_json::to_string_pretty(&served()).unwrap());
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&file, &written).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap();
    assert!(
        serde_json::from_str::<Value>(&committed).unwrap() == served(),
        "schemas/openapi.json is not what the handlers say; if that is meant: make openapi"
    );
}

/// A problem that no operation answers with is named in the introduction.
#[test]
fn every_code_is_described() {
    let text = served().to_string();
    let lacking: BTreeSet<_> =
        Problem::all().iter().map(|p| p.row().1).filter(|code| !text.contains(&format!("`{code}`"))).collect();
    assert!(lacking.is_empty(), "{lacking:?}");
}

/// Programs decide by the code alone.
#[test]
fn a_code_has_one_status_and_one_title() {
    let rows: BTreeSet<_> = Problem::all().iter().map(|p| (p.row().1, p.row().0.as_u16(), p.row().2)).collect();
    let codes: BTreeSet<_> = rows.iter().map(|row| row.0).collect();
    assert_eq!(codes.len(), rows.len(), "{rows:?}");
}

/// Every schema that is referred to is there, and none is there for nothing.
#[test]
fn every_reference_leads_somewhere() {
    let document = served();
    let text = document.to_string();
    let referred: BTreeSet<_> =
        text.split("\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let there: BTreeSet<_> =
        document["components"]["schemas"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(referred, there);
}
