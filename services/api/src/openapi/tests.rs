//! Tests that the committed description is the one that is served, and that it lacks nothing.

use crate::error::Problem;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const COMMITTED: &str = "../../schemas/openapi.json";
const GUIDE: &str = "../../docs/API.md";
/// Markers around the table of errors.
const TABLE: (&str, &str) = ("<!-- errors -->", "<!-- end of errors -->");

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

/// A client may read a field without asking if it is there.
#[test]
fn an_answer_in_which_all_fields_are_present_says_so() {
    let document = served();
    for name in super::WHOLE {
        let answer = &document["components"]["schemas"][name];
        let fields: BTreeSet<_> = answer["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let required = answer["required"].as_array().unwrap().iter().map(|field| field.as_str().unwrap());
        assert_eq!(required.collect::<BTreeSet<_>>(), fields, "{name}");
    }
}

/// A problem that no operation answers with is named in the introduction.
#[test]
fn every_code_is_described() {
    let text = served().to_string();
    let lacking: BTreeSet<_> =
        Problem::all().iter().map(|p| p.row().1).filter(|code| !text.contains(&format!("`{code}`"))).collect();
    assert!(lacking.is_empty(), "{lacking:?}");
}

/// Clients decide by the code alone.
#[test]
fn a_code_has_one_status_and_one_title() {
    let rows: BTreeSet<_> = Problem::all().iter().map(|p| (p.row().1, p.row().0.as_u16(), p.row().2)).collect();
    let codes: BTreeSet<_> = rows.iter().map(|row| row.0).collect();
    assert_eq!(codes.len(), rows.len(), "{rows:?}");
}

/// Every schema that is referenced exists, and every schema is referenced.
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

/// docs/API.md: all columns but the last come from the code. The last one says what to do and is written by hand.
#[test]
fn the_table_of_errors_is_what_the_code_answers() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(GUIDE);
    let guide = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = guide.split_once(TABLE.0).unwrap();
    let (table, after) = rest.split_once(TABLE.1).unwrap();
    let by_hand: BTreeMap<_, _> = table.lines().filter_map(by_hand).collect();

    let mut rows: BTreeMap<(u16, &str), (&str, Vec<String>)> = BTreeMap::new();
    for problem in Problem::all() {
        let (status, code, title) = problem.row();
        rows.entry((status.as_u16(), code)).or_insert((title, vec![])).1.push(problem.detail());
    }
    let mut written = "\n\n| status | code | title | when | what to do |\n|---|---|---|---|---|\n".to_owned();
    for ((status, code), (title, when)) in rows {
        let what_to_do = by_hand.get(code).copied().unwrap_or_default();
        written += &format!("| {status} | `{code}` | {title} | {} | {what_to_do} |\n", when.join("; or: "));
    }
    written += "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&file, [before, TABLE.0, &written, TABLE.1, after].concat()).unwrap();
    } else {
        let why = "the errors of docs/API.md are not those of the code; if that is meant: make openapi";
        assert!(table == written, "{why}");
    }
    assert!(!written.contains("|  |"), "somebody must say what to do: docs/API.md, section 8");
}

/// The code and the last column of a row.
fn by_hand(row: &str) -> Option<(&str, &str)> {
    let cells: Vec<_> = row.trim_matches('|').split(" | ").map(|cell| cell.trim_matches([' ', '`'])).collect();
    Some((*cells.get(1)?, row.trim_end_matches('|').rsplit(" | ").next()?.trim()))
}

#[test]
fn the_guide_explains_every_path() {
    let guide = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(GUIDE)).unwrap();
    for (path, operations) in served()["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            assert!(guide.contains(&format!("**`{method} {path}`**")), "docs/API.md does not explain {method} {path}");
        }
    }
}
