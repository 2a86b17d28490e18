//! The description as it is served, and the page that shows it: from this host alone.

use crate::common::{Instance, Site, described};
use serde_json::Value;
use std::collections::BTreeSet;

/// The page and everything that it names, with what it is.
async fn page(api: &Instance) -> Vec<(String, crate::common::Answer)> {
    let (mut wanted, mut seen, mut loaded) = (vec!["/docs/".to_owned()], BTreeSet::new(), vec![]);
    while let Some(path) = wanted.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let answer = api.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
        let kind = answer.header("content-type").split(';').next().unwrap().to_owned();
        let named = match kind.as_str() {
            "text/html" => [between(&answer.text, "src=\"", '"'), between(&answer.text, "href=\"", '"')].concat(),
            "text/css" => between(&answer.text, "url(", ')'),
            _ if path.ends_with("initializer.js") => between(&answer.text, "\"url\": \"", '"'),
            _ => vec![],
        };
        for url in named {
            let url = url.trim_matches(['"', '\'']);
            if url.starts_with("data:") {
                continue;
            }
            assert!(!url.contains(':') && !url.starts_with("//"), "{path} names another host: {url}");
            wanted.push(match url.strip_prefix('/') {
                Some(_) => url.to_owned(),
                None => format!("/docs/{}", url.trim_start_matches("./")),
            });
        }
        loaded.push((path, answer));
    }
    loaded
}

fn between(text: &str, start: &str, end: char) -> Vec<String> {
    text.split(start).skip(1).map(|rest| rest.split(end).next().unwrap().to_owned()).collect()
}

/// a page that loads a script from elsewhere is a page that somebody else writes.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_loads_everything_from_this_host() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    assert_eq!(api.get("/docs").await.text, api.get("/docs/").await.text, "with or without the slash");
    let loaded = page(&api).await;
    let paths: Vec<_> = loaded.iter().map(|(path, _)| path.as_str()).collect();
    for part in ["/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/swagger-initializer.js", "/openapi.json"]
    {
        assert!(paths.contains(&part), "{part}: {paths:?}");
    }
    for (path, answer) in &loaded {
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';"), "{path}");
        for allowed in policy.split("; ").flat_map(|directive| directive.split(' ').skip(1)) {
            assert!(["'none'", "'self'", "data:"].contains(&allowed), "{path}: {allowed}");
        }
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        if path.ends_with(".html") || path.ends_with('/') {
            assert!(!answer.text.contains("<style") && answer.text.matches("<script").count() == 3, "no inline code");
        }
    }
    let initializer = api.get("/docs/swagger-initializer.js").await.text;
    assert!(initializer.contains("\"validatorUrl\": \"none\""), "else the description goes to swagger.io");
    assert_eq!(api.get("/docs/nothing.js").await.problem(), (404, "route_unknown".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_what_is_committed() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let answer = api.get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(answer.json() == *described::document());
    assert_eq!(answer.json()["openapi"], "3.1.0");
}

/// An example that is not an example of its schema misleads whoever copies it.
#[test]
fn every_example_is_one() {
    let (mut found, document) = (0, described::document());
    let mut check = |content: &Value, at: &str| {
        let many = content["examples"].as_object().into_iter().flatten();
        let examples = many.map(|(_, example)| &example["value"]).chain(content.get("example"));
        for example in examples {
            described::conforms(&content["schema"], example, at);
            found += 1;
        }
    };
    for (path, operations) in document["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            let bodies = operation["responses"].as_object().unwrap().iter();
            let bodies = bodies.map(|(status, body)| (status.as_str(), body));
            for (name, body) in bodies.chain(operation.get("requestBody").map(|body| ("request", body))) {
                for content in body["content"].as_object().into_iter().flatten().map(|(_, content)| content) {
                    check(content, &format!("{path} {name}"));
                }
            }
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for example in schema["examples"].as_array().into_iter().flatten() {
            described::conforms(schema, example, name);
            found += 1;
        }
    }
    assert!(found > 30, "{found}");
}
