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
mod tests {
    use super::*;
    use kube::core::cel::Validator;

    fn schema() -> Value {
        custom_resource_definition().pointer(SCHEMA).unwrap().clone()
    }

    /// Every schema at any depth, with its path.
    fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Map<String, Value>)) {
        let object = schema.as_object().unwrap();
        visit(path, object);
        let fields = object.get("properties").and_then(Value::as_object);
        for (name, field) in fields.into_iter().flatten() {
            walk(&format!("{path}.{name}"), field, visit);
        }
        if let Some(items) = object.get("items") {
            walk(&format!("{path}[]"), items, visit);
        }
        if let Some(values) = object.get("additionalProperties") {
            walk(&format!("{path}{{}}"), values, visit);
        }
    }

    /// The paths of the schemas that `broken` finds fault with.
    fn faults(broken: impl Fn(&Map<String, Value>) -> bool) -> Vec<String> {
        let mut faults = Vec::new();
        walk("", &schema(), &mut |path, schema| {
            if broken(schema) {
                faults.push(path.to_owned());
            }
        });
        faults
    }

    fn is(schema: &Map<String, Value>, kind: &str) -> bool {
        schema.get("type").and_then(Value::as_str) == Some(kind)
    }

    #[test]
    fn it_fits_into_the_annotation_of_a_plain_kubectl_apply() {
        let bytes = custom_resource_definition().to_string().len();
        assert!(bytes < 256 * 1024, "{bytes} bytes");
    }

    #[test]
    fn nothing_is_nullable_and_every_schema_has_a_type() {
        assert_eq!(faults(|schema| schema.contains_key("nullable")), Vec::<String>::new());
        assert_eq!(faults(|schema| !schema.contains_key("type")), Vec::<String>::new());
        assert!(!schema().to_string().contains("null"));
    }

    #[test]
    fn every_text_has_a_limit_or_a_closed_list() {
        let broken = faults(|schema| {
            let open = !schema.contains_key("maxLength") && !schema.contains_key("enum");
            is(schema, "string") && open
        });
        assert_eq!(broken, Vec::<String>::new());
    }

    #[test]
    fn every_list_has_a_limit_and_says_how_it_merges() {
        let broken = faults(|schema| {
            let complete =
                schema.contains_key("maxItems") && schema.contains_key("x-kubernetes-list-type");
            is(schema, "array") && !complete
        });
        assert_eq!(broken, Vec::<String>::new());
    }

    #[test]
    fn every_map_of_free_keys_has_a_limit() {
        let broken = faults(|schema| {
            schema.contains_key("additionalProperties") && !schema.contains_key("maxProperties")
        });
        assert_eq!(broken, Vec::<String>::new());
    }

    #[test]
    fn every_field_is_described_on_one_line() {
        let mut broken = Vec::new();
        walk("", &schema(), &mut |path, schema| {
            let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
            if (text.is_empty() && !path.ends_with("[]")) || text.contains("  ") {
                broken.push(path.to_owned());
            }
        });
        assert_eq!(broken, Vec::<String>::new());
    }

    #[test]
    fn only_suspend_and_status_have_a_default() {
        assert_eq!(faults(|schema| schema.contains_key("default")), [".spec.suspend", ".status"]);
        let schema = schema();
        assert_eq!(
            schema.pointer("/properties/status/default"),
            Some(&json!({"observedGeneration": -1}))
        );
        assert_eq!(
            schema.pointer("/properties/spec/properties/suspend/default"),
            Some(&json!(false))
        );
    }

    #[test]
    fn every_format_is_one_that_the_api_server_knows() {
        let broken = faults(|schema| {
            let format = schema.get("format").and_then(Value::as_str);
            format.is_some_and(|format| !KNOWN_FORMATS.contains(&format))
        });
        assert_eq!(broken, Vec::<String>::new());
    }

    #[test]
    fn no_field_names_another_namespace() {
        let mut names = Vec::new();
        walk("", &schema(), &mut |path, _| {
            names.push(path.to_lowercase());
        });
        assert!(!names.iter().any(|name| name.contains("namespace")), "{names:?}");
    }

    #[test]
    fn tidying_drops_null_and_unknown_formats_and_keeps_the_rest() {
        let mut value = json!({"properties": {
            "a": {"nullable": true, "enum": ["x", null], "type": "string"},
            "b": {"format": "uint32", "type": "integer", "minimum": 0.0},
            "c": {"format": "int64", "type": "integer"},
        }});
        tidy(&mut value);
        let expected = json!({"properties": {
            "a": {"enum": ["x"], "type": "string"},
            "b": {"type": "integer", "minimum": 0},
            "c": {"format": "int64", "type": "integer"},
        }});
        assert_eq!(value, expected);
    }

    /// A credential named `crm` that every rule accepts, with `change` merged into its spec.
    fn credential(change: &Value) -> Value {
        let mut object = json!({
            "apiVersion": "oauthcc.dev/v1alpha1",
            "kind": "OAuthClientCredential",
            "metadata": {"name": "crm", "namespace": "shop"},
            "spec": {
                "tokenURL": "https://idp.example.com/oauth2/token",
                "credentialsSecretRef": {"name": "crm-client"},
            },
        });
        merge(&mut object["spec"], change);
        object
    }

    /// A JSON merge patch: a null removes.
    fn merge(into: &mut Value, change: &Value) {
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                into.as_object_mut().unwrap().remove(name);
            } else {
                into[name] = value.clone();
            }
        }
    }

    fn refusals(object: &Value, old: Option<&Value>) -> Vec<String> {
        let outcome = Validator::new().validate(&schema(), object, old);
        let errors = outcome.err().map(kube::core::cel::ValidationErrors::into_vec);
        errors.into_iter().flatten().map(|error| error.message).collect()
    }

    #[test]
    fn every_rule_accepts_one_example_and_refuses_another() {
        let cases = [
            (json!({}), json!({"tokenURL": null}), "set spec.tokenURL to"),
            (
                json!({}),
                json!({"credentialsSecretRef": null}),
                "set spec.credentialsSecretRef.name",
            ),
            (
                json!({"clientID": "me"}),
                json!({"clientID": "me", "credentialsSecretRef": {"name": "c", "clientIDKey": "k"}}),
                "the client ID has two sources",
            ),
            (
                json!({"target": {"name": "crm-token"}}),
                json!({"target": {"name": "crm-client"}}),
                "would replace the client Secret",
            ),
            (
                json!({"credentialsSecretRef": {"name": "crm"}, "target": {"name": "crm-token"}}),
                json!({"credentialsSecretRef": {"name": "crm"}}),
                "would replace the client Secret",
            ),
            (
                json!({"request": {"timeout": "1s"}}),
                json!({"request": {"timeout": "30s1ms"}}),
                "spec.request.timeout must be",
            ),
            (
                json!({"rotation": {"renewBefore": "1h30m"}}),
                json!({"rotation": {"renewBefore": "999ms"}}),
                "spec.rotation.renewBefore must be",
            ),
            (
                json!({"rotation": {"defaultLifetime": "8760h"}}),
                json!({"rotation": {"defaultLifetime": "8761h"}}),
                "spec.rotation.defaultLifetime must be",
            ),
            (
                json!({"rotation": {"renewBeforePercentage": 50}}),
                json!({"rotation": {"renewBeforePercentage": 50, "renewBefore": "5m"}}),
                "not both",
            ),
            (
                json!({"target": {"tokenKey": "access-token"}}),
                json!({"target": {"tokenKey": "expires-at"}}),
                "spec.target.tokenKey can't be",
            ),
        ];
        for (accepted, refused, message) in cases {
            assert_eq!(refusals(&credential(&accepted), None), Vec::<String>::new(), "{accepted}");
            let found = refusals(&credential(&refused), None);
            assert_eq!(found.len(), 1, "{refused}: {found:?}");
            assert!(found[0].contains(message), "{refused}: {found:?}");
        }
    }

    #[test]
    fn the_managed_secret_is_not_renamed_but_its_default_name_may_be_written_out() {
        let old = credential(&json!({}));
        let written_out = credential(&json!({"target": {"name": "crm"}}));
        let renamed = credential(&json!({"target": {"name": "other"}}));
        assert_eq!(refusals(&written_out, Some(&old)), Vec::<String>::new());
        let found = refusals(&renamed, Some(&old));
        assert!(found.len() == 1 && found[0].contains("can't be renamed yet"), "{found:?}");
    }

    #[test]
    fn the_table_of_examples_has_every_rule() {
        let mut rules = 0;
        walk("", &schema(), &mut |_, schema| {
            let found = schema.get("x-kubernetes-validations").and_then(Value::as_array);
            rules += found.map_or(0, Vec::len);
        });
        assert_eq!(rules, 10, "a rule without an example: add it to the two tests above");
    }
}
