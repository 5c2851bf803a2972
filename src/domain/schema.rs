//! The schema as it is installed. In: the types of `domain/crd.rs`. Out: the
//! `CustomResourceDefinition` as JSON, tidied of what the derives get wrong or leave out.
//!
//! **Invariant:** it only narrows and describes; it adds no field, and no default but the one of
//! `status`, so `domain/crd.rs` stays the one place where the shape is written.

use kube::core::CustomResourceExt;
use serde_json::{Map, Value, json};

use crate::domain::crd::OAuthClientCredential;

/// Where the schema of the only version lies in the definition.
const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

/// Longest text of a time that a client may write: RFC 3339 with nanoseconds and offset is 35.
const TIME_LENGTH: u16 = 64;

/// The numeric and time formats that the API server checks; it ignores every other one.
const KNOWN_FORMATS: [&str; 4] = ["int32", "int64", "double", "date-time"];

/// The `CustomResourceDefinition` of the resource, ready to be applied.
pub fn custom_resource_definition() -> Value {
    let mut definition = json!(OAuthClientCredential::crd());
    if let Some(schema) = definition.pointer_mut(SCHEMA) {
        tidy(schema);
        if let Some(Value::Object(status)) = schema.pointer_mut("/properties/status") {
            status.insert("default".to_owned(), json!({"observedGeneration": -1}));
        }
        if let Some(condition) =
            schema.pointer_mut("/properties/status/properties/conditions/items/properties")
        {
            limit_condition(condition);
        }
        describe_spec(schema);
    }
    definition
}

/// What the derives write and the API server does not want, at every depth.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(schema) => {
            tidy_one(schema);
            schema.values_mut().for_each(tidy);
        }
        Value::Array(values) => values.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn tidy_one(schema: &mut Map<String, Value>) {
    // An `Option` becomes nullable, and a null would then be stored; without it, a create drops it
    // and a server-side apply refuses it.
    if schema.get("nullable") == Some(&Value::Bool(true)) {
        schema.remove("nullable");
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let unknown = |format: &str| !KNOWN_FORMATS.contains(&format);
    if schema.get("format").and_then(Value::as_str).is_some_and(unknown) {
        schema.remove("format");
    }
    if schema.get("format").and_then(Value::as_str) == Some("date-time") {
        schema.insert("maxLength".to_owned(), json!(TIME_LENGTH));
    }
    for bound in ["minimum", "maximum"] {
        whole(schema.get_mut(bound));
    }
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = one_line(text);
    }
}

/// Bounds come as floating-point numbers; a person reads `99`, not `99.0`.
fn whole(bound: Option<&mut Value>) {
    let Some(bound) = bound else { return };
    let digits = bound.as_f64().filter(|number| number.fract() == 0.0).map(|n| format!("{n:.0}"));
    if let Some(number) = digits.and_then(|digits| digits.parse::<i64>().ok()) {
        *bound = json!(number);
    }
}

/// Line breaks inside a paragraph follow the width of the source; only those between paragraphs stay.
fn one_line(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>());
    paragraphs.map(|words| words.join(" ")).collect::<Vec<_>>().join("\n\n")
}

/// The limits of `metav1.Condition` in the Kubernetes API reference, which k8s-openapi leaves out.
fn limit_condition(properties: &mut Value) {
    let limits = json!({
        "type": {
            "maxLength": 316,
            "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        },
        "status": {"enum": ["True", "False", "Unknown"]},
        "reason": {
            "minLength": 1,
            "maxLength": 1024,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        },
        "message": {"maxLength": 32768},
        "observedGeneration": {"minimum": 0},
    });
    let (Value::Object(limits), Value::Object(properties)) = (limits, properties) else {
        return;
    };
    for (name, limit) in limits {
        if let (Value::Object(limit), Some(Value::Object(field))) =
            (limit, properties.get_mut(&name))
        {
            field.extend(limit);
        }
    }
}

/// The spec is described as the resource is, which tells a reader of `kubectl explain` nothing new.
fn describe_spec(schema: &mut Value) {
    let text =
        "What is wanted: which endpoint to ask, who asks, for what, and where the token goes.";
    if let Some(Value::Object(spec)) = schema.pointer_mut("/properties/spec") {
        spec.insert("description".to_owned(), json!(text));
    }
}

#[cfg(test)]
mod tests;
