//! The file: that it reads, and that every row keeps the rules of a row.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::domain::provider::expand::{Piece, pieces, split};
use crate::domain::schema::custom_resource_definition;

/// Every template of a row.
fn templates(row: &Row) -> Vec<&str> {
    let request = &row.request;
    let lists = request.scopes.iter().chain(&request.resource_indicators);
    let single = row.token_url.iter().chain(&request.audience);
    let further = request.parameters.iter().map(|parameter| &parameter.value);
    let headers = request.headers.iter().map(|header| &header.value);
    lists.chain(single).chain(further).chain(headers).map(String::as_str).collect()
}

fn names_in(template: &str) -> Vec<&str> {
    let name = |piece| match piece {
        Piece::Value(name) => Some(name),
        Piece::Text(_) => None,
    };
    pieces(template).into_iter().filter_map(name).collect()
}

#[test]
fn the_file_reads() {
    let catalogue = catalogue::read(catalogue::TEXT).unwrap();
    assert_eq!(catalogue.providers.len(), all().len());
    assert!(all().len() > 60 && not_covered().len() > 10);
}

#[test]
fn a_file_with_a_member_that_nobody_knows_does_not_read() {
    let text = catalogue::TEXT.replacen("    title:", "    titel:", 1);
    assert!(catalogue::read(&text).is_err());
    let text = catalogue::TEXT.replacen("    habits:\n", "    habits:\n      sing: true\n", 1);
    assert!(catalogue::read(&text).is_err());
}

#[test]
fn names_are_unique_sorted_and_of_the_schema() {
    let lower = |name: &String| name.to_ascii_lowercase();
    let rows: Vec<String> = all().iter().map(|row| lower(&row.name)).collect();
    assert!(rows.is_sorted_by(|a, b| a < b), "{rows:?}");
    let missing: Vec<String> = not_covered().iter().map(|entry| lower(&entry.name)).collect();
    assert!(missing.is_sorted_by(|a, b| a < b), "{missing:?}");
    let aliases = all().iter().flat_map(|row| &row.aliases).map(lower);
    let every: Vec<String> = rows.iter().cloned().chain(missing).chain(aliases).collect();
    assert_eq!(every.iter().collect::<BTreeSet<_>>().len(), every.len(), "a name is there twice");
    for row in all() {
        let name = &row.name;
        assert!(name.starts_with(|c: char| c.is_ascii_uppercase()), "{name}");
        assert!(
            name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{name}"
        );
    }
}

#[test]
fn every_placeholder_is_a_named_value_and_every_named_value_is_used() {
    let mut faults = Vec::new();
    for row in all() {
        let used: BTreeSet<&str> = templates(row).into_iter().flat_map(names_in).collect();
        let named: BTreeSet<&str> = row.parameters.iter().map(|named| &*named.name).collect();
        if used != named || named.len() != row.parameters.len() {
            faults.push(format!("{}: used {used:?}, named {named:?}", row.name));
        }
        for text in templates(row) {
            let plain = pieces(text).iter().all(|piece| match piece {
                Piece::Text(text) => !text.contains(['{', '}']),
                Piece::Value(name) => name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            });
            if !plain {
                faults.push(format!("{}: {text} is no template", row.name));
            }
        }
    }
    none(&faults);
}

#[test]
fn every_url_is_https_and_no_value_can_change_what_its_host_ends_with() {
    let mut faults = Vec::new();
    for row in all() {
        let Some(url) = &row.token_url else { continue };
        let (host, path) = split(url);
        let parts = pieces(host);
        let fixed = match parts.last() {
            Some(Piece::Text(end)) => {
                // A value before it must be labels of its own.
                parts.len() == 1
                    || end.starts_with('.') && end.trim_start_matches('.').contains('.')
            }
            // The whole host, or a closed list.
            Some(Piece::Value(name)) => {
                parts.len() == 1 || !row.parameter(name).unwrap().values.is_empty()
            }
            None => false,
        };
        if !url.starts_with("https://") || !path.starts_with('/') || !fixed {
            faults.push(format!("{}: {url}", row.name));
        }
        if url.contains(['@', '#', '\\', ' ']) || host.contains(':') {
            faults.push(format!("{}: {url}", row.name));
        }
    }
    none(&faults);
}

#[test]
fn every_named_value_has_a_form_that_its_own_words_fit() {
    let mut faults = Vec::new();
    for row in all() {
        for named in &row.parameters {
            let words = [&named.example].into_iter().chain(&named.default).chain(&named.values);
            for word in words.filter(|word| !expand::fits(row, named, word)) {
                faults.push(format!("{}: {} can't be {word}", row.name, named.name));
            }
            let told = [&named.description, &named.found_at];
            if told.iter().any(|text| text.is_empty() || text.contains('|')) {
                faults.push(format!("{}: {} is not described", row.name, named.name));
            }
            // What is left out with an optional value is a parameter or a header.
            let request = &row.request;
            let fixed = request.scopes.iter().chain(&request.resource_indicators);
            let fixed = fixed.chain(&request.audience).chain(&row.token_url);
            let mut fixed = fixed.flat_map(|template| names_in(template));
            if named.optional && (named.default.is_some() || fixed.any(|name| name == named.name)) {
                faults.push(format!("{}: {} can't be optional", row.name, named.name));
            }
        }
    }
    none(&faults);
}

#[test]
fn every_row_says_where_it_comes_from_and_what_is_from_memory() {
    let mut faults = Vec::new();
    for row in all() {
        let console = &row.console;
        let told = [&row.title, &row.category, &console.client_id, &console.client_secret];
        if told.iter().any(|text| text.is_empty() || text.contains('|')) {
            faults.push(format!("{}: something is not said", row.name));
        }
        if !row.documentation.starts_with("https://") || row.documentation.contains([' ', '{']) {
            faults.push(format!("{}: {}", row.name, row.documentation));
        }
        let sentences = row.notes.iter().chain([&row.lifetime]);
        for text in sentences.filter(|text| !text.ends_with('.')) {
            faults.push(format!("{}: \"{text}\" is no sentence", row.name));
        }
        for text in row.from_memory.iter().filter(|text| text.ends_with('.')) {
            faults.push(format!("{}: \"{text}\" is a sentence", row.name));
        }
        let section = page::section(row);
        let marked = section.contains("From memory, not verified");
        let needed = row.verified == Verified::Memory || !row.from_memory.is_empty();
        if marked != needed {
            faults.push(format!("{}: its page does not say what is from memory", row.name));
        }
        if (row.caveat() != "") != (row.verified == Verified::Memory) {
            faults.push(format!("{}: its messages do not say that it is from memory", row.name));
        }
    }
    none(&faults);
}

/// The names of the properties of a part of the schema of the spec.
fn fields(path: &str) -> BTreeSet<String> {
    let definition = custom_resource_definition();
    let root = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let found = definition.pointer(&format!("{root}{path}/properties"));
    let names = found.and_then(Value::as_object).map(|object| object.keys().cloned());
    names.into_iter().flatten().collect()
}

/// The habits in the table of `ARCHITECTURE.md`.
fn documented_habits() -> BTreeSet<String> {
    let page = include_str!("../../../../ARCHITECTURE.md");
    let section = page.split("## Catalogue-only habits\n").nth(1).unwrap();
    let rows =
        section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn every_habit_is_a_field_of_the_resource_or_one_that_the_map_lists() {
    let habits = json!(Habits::default());
    let known: BTreeSet<String> = habits.as_object().unwrap().keys().cloned().collect();
    assert_eq!(known, documented_habits());
    let file: Value = serde_saphyr::from_str(catalogue::TEXT).unwrap();
    let request = fields("/properties/request").into_iter().chain(fields("")).collect();
    let response = fields("/properties/response");
    assert!(response.contains("tokenPointer"), "{response:?}");
    let mut used = BTreeSet::new();
    let mut faults = Vec::new();
    for row in file["providers"].as_array().unwrap() {
        for (part, known) in [("request", &request), ("response", &response), ("habits", &known)] {
            let keys = row.get(part).and_then(Value::as_object).map(serde_json::Map::keys);
            for key in keys.into_iter().flatten() {
                used.insert(key.clone());
                if !known.contains(key) {
                    faults.push(format!("{}: {part}.{key}", row["name"]));
                }
            }
        }
    }
    none(&faults);
    let idle: Vec<_> = known.difference(&used).collect();
    assert!(idle.is_empty(), "no row has {idle:?}");
}

#[test]
fn no_member_of_an_example_is_lost_on_the_way_into_the_resource() {
    let file: Value = serde_saphyr::from_str(catalogue::TEXT).unwrap();
    for (row, written) in all().iter().zip(file["providers"].as_array().unwrap()) {
        for (part, read) in
            [("/example/spec", json!(row.example.spec)), ("/response", json!(row.response))]
        {
            let mut read = read;
            let written = written.pointer(part).cloned().unwrap_or_else(|| json!({}));
            if written.get("suspend").is_none() {
                read.as_object_mut().unwrap().remove("suspend");
            }
            assert_eq!(read, written, "{} {part}", row.name);
        }
    }
}

#[test]
fn every_snippet_is_whole() {
    let mut faults = Vec::new();
    for row in all() {
        let snippet = page::snippet(row);
        let documents: Vec<Value> =
            snippet.split("---\n").map(|text| serde_saphyr::from_str(text).unwrap()).collect();
        let credential = documents.last().unwrap();
        if credential["kind"] != "OAuthClientCredential"
            || credential["spec"]["provider"]["name"] != json!(row.name)
        {
            faults.push(format!("{}: {credential}", row.name));
        }
        let host = "/metadata/annotations/oauthcc.dev~1allowed-token-hosts";
        for secret in &documents[..documents.len() - 1] {
            let host = secret.pointer(host).and_then(Value::as_str).unwrap_or_default();
            let keys = secret["stringData"].as_object();
            if host.is_empty() || keys.is_none_or(serde_json::Map::is_empty) {
                faults.push(format!("{}: {secret}", row.name));
            }
        }
        let commands = page::commands(row);
        if documents.len() < 2 && commands.is_empty() {
            faults.push(format!("{}: no Secret", row.name));
        }
        let certificate = credential.pointer("/spec/tls/clientCertificateSecretRef").is_some();
        if certificate != commands.contains("--key=tls.key") {
            faults.push(format!("{}: {commands}", row.name));
        }
    }
    none(&faults);
}

#[test]
fn every_snippet_passes_the_rules_of_the_schema() {
    use kube::core::cel::Validator;
    let definition = custom_resource_definition();
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    let mut faults = Vec::new();
    for row in all() {
        let snippet = page::snippet(row);
        let credential = snippet.split("---\n").last().unwrap();
        let credential: Value = serde_saphyr::from_str(credential).unwrap();
        if let Err(errors) = Validator::new().validate(schema, &credential, None) {
            let found = errors.into_vec().into_iter().map(|error| error.message);
            faults.extend(found.map(|message| format!("{}: {message}", row.name)));
        }
    }
    none(&faults);
}
