//! Files that are generated and committed. In: what the binary prints, and the schema. Out: a failure
//! where the committed file differs; with `UPDATE_GOLDEN=1` the file is written anew instead.
//!
//! **Invariant:** without that variable nothing is written.
#![expect(clippy::unwrap_used, clippy::panic, reason = "an integration test is a test module")]

use std::fmt::Write;
use std::path::Path;

use oauthcc_operator::cli::crd;
use oauthcc_operator::domain::provider::page;
use oauthcc_operator::domain::schema::custom_resource_definition;
use serde_json::Value;

/// Fails where `path`, relative to the crate, is not `expected`, unless it may be written anew.
fn compare(path: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    if committed == expected {
        return;
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, expected).unwrap();
        return;
    }
    let differ = |(ours, theirs): &(&str, &str)| ours != theirs;
    let same = committed.lines().zip(expected.lines()).take_while(|pair| !differ(pair)).count();
    panic!(
        "{path} differs from line {} on: run `UPDATE_GOLDEN=1 cargo test --test generated`",
        same + 1
    );
}

#[test]
fn the_committed_crd_is_what_the_binary_prints() {
    compare(crd::COMMITTED, &crd::yaml().unwrap());
}

#[test]
fn the_printed_crd_reads_back_as_the_definition() {
    let read: Value = serde_saphyr::from_str(&crd::yaml().unwrap()).unwrap();
    assert_eq!(read, custom_resource_definition());
}

/// The page with every field, as the schema describes it.
const REFERENCE: &str = "docs/reference/resource.md";

const INTRODUCTION: &str = "\
# Every field of `OAuthClientCredential`

Generated from the schema by `UPDATE_GOLDEN=1 cargo test --test generated`; `kubectl explain occ.spec` shows the same.
`[]` stands for each entry of a list.
No field names a namespace: what a credential names lies in its own.
No field holds a secret: a client secret, a key and a secret parameter are named, with the Secret that they lie in.
[`docs/samples/`](../samples/) and the pages in [`docs/how-to/`](../how-to/) show the fields at work.
";

const REFUSED: &str = "
## What is refused

Beside what the tables say, the API server refuses these.

| where | what it says |
|---|---|
";

#[test]
fn the_committed_reference_has_every_field_of_the_schema() {
    let definition = custom_resource_definition();
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    let mut page = INTRODUCTION.to_owned();
    for (part, heading) in [("spec", "The spec"), ("status", "The status")] {
        let part_schema = &schema["properties"][part];
        let text = part_schema["description"].as_str().unwrap();
        write!(page, "\n## {heading}\n\n{text}\n\n").unwrap();
        page.push_str("| field | accepted | what it is |\n|---|---|---|\n");
        fields(part, part_schema, &mut page);
    }
    page.push_str(REFUSED);
    refusals("", schema, &mut page);
    compare(REFERENCE, &page);
}

/// A row for each field of an object, and of what lies below it.
fn fields(path: &str, schema: &Value, page: &mut String) {
    let required: Vec<_> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let must = if required.contains(&name.as_str()) { "; required" } else { "" };
        let default = match field.get("default") {
            Some(default) => format!("; `{default}` where it is absent"),
            None => String::new(),
        };
        let text = cell(field["description"].as_str().unwrap());
        let accepted = accepted(field);
        writeln!(page, "| `{path}` | {accepted}{must}{default} | {text} |").unwrap();
        fields(&path, field, page);
        fields(&format!("{path}[]"), &field["items"], page);
    }
}

/// What a field takes, in words.
fn accepted(schema: &Value) -> String {
    if let Some(values) = schema["enum"].as_array() {
        let values = values.iter().map(|value| format!("`{}`", value.as_str().unwrap()));
        return values.collect::<Vec<_>>().join(", ");
    }
    let (least, most) = (&schema["minLength"], &schema["maxLength"]);
    match schema["type"].as_str().unwrap() {
        "boolean" => "`true`, `false`".to_owned(),
        "integer" => match (&schema["minimum"], &schema["maximum"]) {
            (Value::Null, _) => "a whole number".to_owned(),
            (least, Value::Null) => format!("a whole number, {least} or more"),
            (least, most) => format!("a whole number, {least} to {most}"),
        },
        "string" if schema["format"] == "date-time" => "a time (RFC 3339)".to_owned(),
        "string" if schema["pattern"].as_str().is_some_and(|text| text.contains("(h|m|s|ms)")) => {
            "a duration as in Go, such as `10s` or `1h30m`".to_owned()
        }
        "string" if least.is_null() => format!("text, up to {most} characters"),
        "string" => format!("text, {least} to {most} characters"),
        "array" => {
            let once = match schema.pointer("/x-kubernetes-list-map-keys/0").and_then(Value::as_str)
            {
                Some(key) => format!(", each `{key}` once"),
                None if schema["x-kubernetes-list-type"] == "set" => ", each once".to_owned(),
                None => String::new(),
            };
            let items = accepted(&schema["items"]);
            format!("a list, up to {} entries{once}: {items}", schema["maxItems"])
        }
        "object" if schema["additionalProperties"].is_object() => {
            let values = accepted(&schema["additionalProperties"]);
            format!("a map, up to {} names: {values}", schema["maxProperties"])
        }
        "object" => "an object".to_owned(),
        other => panic!("no words for {other}"),
    }
}

/// A row for each rule in CEL, with its message.
fn refusals(path: &str, schema: &Value, page: &mut String) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let own = rule["fieldPath"].as_str().unwrap_or(path).trim_start_matches('.');
        let text = cell(rule["message"].as_str().unwrap());
        writeln!(page, "| `{own}` | {text} |").unwrap();
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        refusals(&format!("{path}.{name}"), field, page);
    }
    if schema["items"].is_object() {
        refusals(&format!("{path}[]"), &schema["items"], page);
    }
}

/// Text inside a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[test]
fn the_committed_page_of_providers_is_what_the_catalogue_says() {
    compare(page::COMMITTED, &page::page());
}
