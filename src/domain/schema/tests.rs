//! The schema as a whole, and every rule of it on an evaluator of CEL that needs no cluster.
//!
//! **Invariant:** a rule without an example is a failure.

mod examples;

use std::collections::BTreeSet;

use kube::core::cel::Validator;

use super::*;
use crate::domain::crd::{
    RESERVED_DOMAINS, RESERVED_HEADER_PREFIXES, RESERVED_HEADERS, RESERVED_PARAMETERS,
};
use crate::domain::output;
use crate::domain::plan::plan;
use examples::{RENAMED, RETYPED, credential, rules, target_forms, walk};

fn schema() -> Value {
    custom_resource_definition().pointer(SCHEMA).unwrap().clone()
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
        let unnamed = path.ends_with("[]") || path.ends_with("{}");
        if (text.is_empty() && !unnamed) || text.contains("  ") {
            broken.push(path.to_owned());
        }
    });
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn every_choice_says_what_holds_where_it_is_absent() {
    let broken = faults(|schema| {
        let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        schema.contains_key("enum") && !text.contains("where it is absent")
    });
    // Written by the operator, and always there.
    assert_eq!(broken, [".status.conditions[].status"]);
}

#[test]
fn only_two_switches_and_status_have_a_default() {
    let found = faults(|schema| schema.contains_key("default"));
    assert_eq!(found, [".spec.revocation.onDelete", ".spec.suspend", ".status"]);
    let schema = schema();
    assert_eq!(
        schema.pointer("/properties/status/default"),
        Some(&json!({"observedGeneration": -1}))
    );
    assert_eq!(schema.pointer("/properties/spec/properties/suspend/default"), Some(&json!(false)));
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

fn refusals(object: &Value, old: Option<&Value>) -> Vec<String> {
    let outcome = Validator::new().validate(&schema(), object, old);
    let errors = outcome.err().map(kube::core::cel::ValidationErrors::into_vec);
    errors.into_iter().flatten().map(|error| error.message).collect()
}

#[test]
fn every_rule_accepts_its_examples_and_refuses_the_others_with_its_message_alone() {
    for rule in rules() {
        let found = refusals(&credential(&rule.accepted), None);
        assert_eq!(found, Vec::<String>::new(), "{}", rule.accepted);
        let found = refusals(&credential(&rule.refused), None);
        assert_eq!(found, [rule.message], "{}", rule.refused);
    }
}

#[test]
fn the_managed_secret_is_not_renamed_but_its_default_name_may_be_written_out() {
    let old = credential(&json!({}));
    let written_out = credential(&json!({"target": {"name": "crm"}}));
    let renamed = credential(&json!({"target": {"name": "other"}}));
    assert_eq!(refusals(&written_out, Some(&old)), Vec::<String>::new());
    assert_eq!(refusals(&renamed, Some(&old)), [RENAMED]);
}

#[test]
fn the_type_of_the_managed_secret_stays_but_its_default_may_be_written_out() {
    let form = json!([{"key": "password", "type": "BasicAuth"}]);
    let of = |kind: &str| {
        let mut object = credential(&target_forms(&form));
        object["spec"]["target"]["type"] = json!(kind);
        object
    };
    let (plain, basic) = (credential(&target_forms(&form)), of("kubernetes.io/basic-auth"));
    for old in [&plain, &credential(&json!({}))] {
        assert_eq!(refusals(&of("Opaque"), Some(old)), Vec::<String>::new());
        assert_eq!(refusals(&basic, Some(old)), [RETYPED]);
    }
    assert_eq!(refusals(&plain, Some(&basic)), [RETYPED]);
    assert_eq!(refusals(&basic, Some(&basic)), Vec::<String>::new());
}

/// What a schema can't look at (a prefix of any length) is left to the controller, from the same list.
#[test]
fn reserved_domains_are_those_of_the_rules() {
    let text = schema().to_string();
    for domain in RESERVED_DOMAINS {
        assert_eq!(text.matches(&format!("'{domain}/'")).count(), 2, "{domain}");
    }
}

/// The same once more, where a stored object is older than a rule.
#[test]
fn the_controller_refuses_the_targets_that_the_rules_refuse() {
    let mut shown = 0;
    for rule in rules() {
        let of_forms =
            [".additionalOutputFormats", ".template"].map(|part| format!(".spec.target{part}"));
        if rule.path == ".spec.target" || of_forms.iter().any(|path| rule.path.starts_with(path)) {
            let fault = |change: &Value| {
                output::fault(&serde_json::from_value(credential(change)["spec"].take()).unwrap())
            };
            assert!(fault(&rule.refused).is_some(), "{}", rule.refused);
            let taken = fault(&rule.accepted);
            // The near misses of the schema are subdomains, which the controller alone looks at.
            let subdomain = rule.accepted.to_string().contains("near-");
            assert!(taken.is_none() || subdomain, "{}: {taken:?}", rule.accepted);
            shown += 1;
        }
    }
    assert!(shown > 90, "the search finds no rule");
}

#[test]
fn every_rule_has_an_example_and_every_example_a_rule() {
    let mut known = BTreeSet::new();
    walk("", &schema(), &mut |path, schema| {
        let found = schema.get("x-kubernetes-validations").and_then(Value::as_array);
        for rule in found.into_iter().flatten() {
            known.insert((path.to_owned(), rule["message"].as_str().unwrap().to_owned()));
        }
    });
    let shown = rules().into_iter().map(|rule| (rule.path.to_owned(), rule.message.to_owned()));
    let updates = [RENAMED, RETYPED].map(|message| (String::new(), message.to_owned()));
    assert_eq!(shown.chain(updates).collect::<BTreeSet<_>>(), known);
}

/// The controller refuses what the schema refuses (`domain/plan.rs`), from the same lists.
#[test]
fn reserved_names_are_those_of_the_rules() {
    let text = schema().to_string();
    for name in RESERVED_PARAMETERS.iter().chain(&RESERVED_HEADERS) {
        assert!(text.contains(&format!("'{name}'")), "{name}");
    }
    for prefix in RESERVED_HEADER_PREFIXES {
        assert!(text.contains(&format!("startsWith('{prefix}')")), "{prefix}");
    }
}

/// A stored object may be older than a rule: then the controller sees to it that no secret stands in a
/// query, that nothing is written twice, and that nothing is missing. Fields of which one has no effect
/// are left to the schema alone.
#[test]
fn the_controller_refuses_what_the_rules_refuse() {
    let mut shown = 0;
    for rule in rules() {
        let entry = rule.path.starts_with(".spec.request.") && rule.path != ".spec.request.timeout";
        let begins = |text| rule.message.starts_with(text);
        let missing = begins("set spec.credentialsSecretRef") || begins("set spec.clientID,");
        let in_the_query = rule.message.contains("where proxies log it");
        if entry || missing || in_the_query || begins("method TLSClientAuth needs") {
            let planned = |change: &Value| {
                plan(&serde_json::from_value(credential(change)["spec"].take()).unwrap())
            };
            assert!(planned(&rule.refused).is_err(), "{}", rule.refused);
            let unknown = rule.accepted.get("provider").is_some();
            assert!(unknown || planned(&rule.accepted).is_ok(), "{}", rule.accepted);
            shown += 1;
        }
    }
    assert!(shown > 30, "the search finds no rule");
}
