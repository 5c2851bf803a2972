//! The schema as the real API server keeps it: every rule and every limit of the spec has an example
//! that it takes and one that it refuses, with words that say what to do. The rules in CEL have theirs
//! where the unit tests of the schema read them too, the limits in `schema/limits.rs`.
//!
//! **Invariant:** a rule or limit of the generated schema without a row in the tables below is a
//! failure, and so is a row that no rule asks for.

#[path = "../../src/domain/schema/tests/examples.rs"]
pub mod examples;
mod limits;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use libtest_mimic::Trial;
use oauthcc_operator::domain::crd::OAuthClientCredential;
use oauthcc_operator::domain::schema::custom_resource_definition;
use serde_json::{Map, Value, json};

use crate::tenant::Tenant;
use crate::world::World;
use crate::{Outcome, Suite};
use examples::{RENAMED, RETYPED, credential, merge, walk};

const HOUR: Duration = Duration::from_secs(3600);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("every_rule_and_limit_takes_one_example_and_refuses_another", examples_hold),
        suite.shared("the_managed_secret_is_renamed_in_no_form", renames),
        suite.shared("a_credential_that_nobody_has_looked_at_says_so", untouched),
        suite.shared("a_null_is_never_stored", nulls),
        suite.shared("no_object_of_a_spec_can_name_another_namespace", namespaces),
        suite.alone("every_rule_and_limit_of_the_schema_has_an_example", async || complete()),
    ]
}

/// One rule or limit of the schema, and two changes to [`credential`].
struct Example {
    /// Where the rule stands, and its keyword; a rule is named by its message.
    limit: String,
    accepted: Value,
    refused: Value,
    /// What the refusal must say.
    says: String,
}

/// The rules in CEL, each with its own message.
fn rules() -> impl Iterator<Item = Example> {
    examples::rules().into_iter().map(|rule| Example {
        limit: format!("{} rule: {}", rule.path, rule.message),
        accepted: rule.accepted,
        refused: rule.refused,
        says: rule.message.to_owned(),
    })
}

fn all_examples() -> impl Iterator<Item = Example> {
    rules().chain(limits::limits())
}

const KEYWORDS: [&str; 9] = [
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "maxProperties",
    "enum",
];

/// The names of the rules and limits of one schema, as [`Example::limit`] has them.
fn named(path: &str, schema: &Map<String, Value>) -> Vec<String> {
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    let rules = rules.into_iter().flatten().map(|rule| {
        format!("rule: {}", rule.get("message").and_then(Value::as_str).unwrap_or("no message"))
    });
    let required = schema.get("required").and_then(Value::as_array);
    let required = required.into_iter().flatten().filter_map(Value::as_str);
    let kind = schema.get("x-kubernetes-list-type").and_then(Value::as_str);
    let unique = kind.filter(|kind| ["set", "map"].contains(kind));
    let plain = KEYWORDS.into_iter().filter(|keyword| schema.contains_key(*keyword));
    rules
        .chain(required.map(|name| format!("required {name}")))
        .chain(unique.map(str::to_owned))
        .chain(plain.map(str::to_owned))
        .map(|limit| format!("{path} {limit}"))
        .collect()
}

fn complete() -> Outcome {
    let definition = custom_resource_definition();
    let schema = definition
        .pointer("/spec/versions/0/schema/openAPIV3Schema")
        .context("the definition has a schema")?;
    let mut wanted = BTreeSet::new();
    walk("", schema, &mut |path, schema| {
        // The status is written by the operator alone; but for its rules, if it had any.
        let status = path.starts_with(".status");
        let named = named(path, schema).into_iter();
        wanted.extend(named.filter(|limit| !status || limit.contains(" rule: ")));
    });
    let mut given: BTreeSet<String> = all_examples().map(|example| example.limit).collect();
    // They need an older object: see `renames`.
    given.extend([RENAMED, RETYPED].map(|message| format!(" rule: {message}")));
    let without: Vec<_> = wanted.difference(&given).collect();
    ensure!(without.is_empty(), "no example of {without:#?}");
    let gone: Vec<_> = given.difference(&wanted).collect();
    ensure!(gone.is_empty(), "examples of what the schema does not have: {gone:#?}");
    ensure!(wanted.iter().any(|limit| limit.contains(" rule: ")), "the walk finds no rule");
    Ok(())
}

/// The credentials of a namespace, whatever their shape.
fn untyped(tenant: &Tenant) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<OAuthClientCredential>(&());
    Api::namespaced_with(tenant.world.plane.admin_client(), &tenant.namespace, &resource)
}

async fn dry_run(tenant: &Tenant, object: &Value) -> anyhow::Result<Result<DynamicObject, String>> {
    let params = PostParams { dry_run: true, ..PostParams::default() };
    answered(untyped(tenant).create(&params, &serde_json::from_value(object.clone())?).await)
}

/// The object, or what the API server says against it (422).
fn answered<T>(answer: kube::Result<T>) -> anyhow::Result<Result<T, String>> {
    match answer {
        Ok(object) => Ok(Ok(object)),
        Err(kube::Error::Api(status)) if status.code == 422 => Ok(Err(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

async fn examples_hold(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    let mut wrong = Vec::new();
    for Example { limit, accepted, refused, says } in all_examples() {
        if let Err(message) = dry_run(&tenant, &credential(&accepted)).await? {
            wrong.push(format!("{limit}: {accepted} is refused: {message}"));
        }
        match dry_run(&tenant, &credential(&refused)).await? {
            Ok(_) => wrong.push(format!("{limit}: {refused} is accepted")),
            Err(message) if !message.contains(&says) => {
                wrong.push(format!("{limit}: {refused} is refused, not with {says:?}: {message}"));
            }
            Err(_) => {}
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn renames(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    let api = untyped(&tenant);
    for (name, target) in [("plain", json!({})), ("named", json!({"name": "token"}))] {
        let mut object = credential(&json!({"target": target}));
        merge(&mut object, &json!({"metadata": {"name": name}}));
        api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    }
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let change = async |name: &str, target: Value| {
        let patch = Patch::Merge(json!({"spec": {"target": target}}));
        answered(api.patch(name, &params, &patch).await)
    };
    for (name, target) in [
        ("plain", json!({"name": "other"})),
        ("named", json!({"name": null})),
        ("named", Value::Null),
        ("named", json!({"name": "other"})),
        ("named", json!({"name": "named"})),
    ] {
        match change(name, target.clone()).await? {
            Ok(_) => bail!("the target of {name} may become {target}"),
            Err(message) => ensure!(message.contains(RENAMED), "{name}, {target}: {message}"),
        }
    }
    for (name, target) in [
        ("plain", json!({"name": "plain"})),
        ("plain", json!({"tokenKey": "access-token"})),
        ("plain", Value::Null),
        ("named", json!({"name": "token", "tokenKey": "access-token"})),
        ("plain", json!({"type": "Opaque"})),
    ] {
        let answer = change(name, target.clone()).await?;
        ensure!(answer.is_ok(), "the target of {name} may not become {target}: {answer:?}");
    }
    let forms = json!([{"key": "password", "type": "BasicAuth"}]);
    let basic = json!({"type": "kubernetes.io/basic-auth", "additionalOutputFormats": forms});
    match change("plain", basic).await? {
        Ok(_) => bail!("the type may change"),
        Err(message) => ensure!(message.contains(RETYPED), "{message}"),
    }
    Ok(())
}

async fn untouched(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    let expected = json!({"observedGeneration": -1});
    // A status that comes along is not taken: it would claim what nobody has seen.
    let mut claimed = credential(&json!({}));
    merge(&mut claimed, &json!({"status": {"observedGeneration": 1}}));
    for object in [credential(&json!({})), claimed] {
        let created = dry_run(&tenant, &object).await?;
        let created = created.map_err(anyhow::Error::msg)?;
        let status = created.data.get("status");
        ensure!(status == Some(&expected), "right after create the status is {status:?}");
        let suspended = created.data.pointer("/spec/suspend");
        ensure!(suspended == Some(&json!(true)), "suspend is {suspended:?}");
    }
    let created = dry_run(&tenant, &credential(&json!({"suspend": null}))).await?;
    let created = created.map_err(anyhow::Error::msg)?;
    ensure!(created.data.pointer("/spec/suspend") == Some(&json!(false)), "suspend has a default");
    Ok(())
}

async fn nulls(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    let params = PatchParams { dry_run: true, ..PatchParams::apply("kubectl") };
    for field in ["clientID", "clientAuthentication", "audience", "request", "target"] {
        let mut object = credential(&json!({}));
        let spec = object.get_mut("spec").and_then(Value::as_object_mut).context("a spec")?;
        spec.insert(field.to_owned(), Value::Null);
        let created = dry_run(&tenant, &object).await?.map_err(anyhow::Error::msg)?;
        let stored = created.data.get("spec").and_then(|spec| spec.get(field));
        ensure!(stored.is_none(), "{field} is stored as {stored:?}");
        let applied = untyped(&tenant).patch("crm", &params, &Patch::Apply(&object)).await;
        match answered(applied)? {
            Ok(_) => bail!("an apply with {field}: null is accepted"),
            Err(message) => ensure!(message.contains("must be of type"), "{field}: {message}"),
        }
    }
    Ok(())
}

/// Specs that have every object of the schema between them: of the members of a method one at a time.
fn complete_specs() -> Vec<Value> {
    let from = json!({"secretKeyRef": {"name": "other", "key": "k"}});
    let usual = json!({
        "clientAuthentication": {"clientSecretBasic": {"encoding": "Raw"}},
        "provider": {"name": "Zoom", "parameters": {"accountID": "42"}},
        "request": {
            "parameters": [{"name": "p", "valueFrom": from}],
            "headers": [{"name": "h", "valueFrom": from}],
        },
        "response": {"tokenPointer": "/token"},
        "tls": {"caBundleRef": {"name": "ca"}, "clientCertificateSecretRef": {"name": "mine"}},
        "rotation": {"renewBefore": "5m"},
        "target": {"tokenKey": "t"},
    });
    let mut hmac = examples::method("ClientSecretJWT");
    merge(&mut hmac, &json!({"clientAuthentication": {"clientSecretJWT": {"algorithm": "HS256"}}}));
    let mut forms = examples::target_forms(&json!([
        {"key": "n", "type": "Netrc", "netrc": {"machine": "m"}},
        {"key": "d", "type": "DockerConfigJSON", "dockerConfigJSON": {"registries": ["r"]}},
        {"key": "password", "type": "BasicAuth", "basicAuth": {"username": "u"}},
        {"key": "e", "type": "Env", "env": {"name": "E"}},
    ]));
    let template = json!({"metadata": {"labels": {"team": "sales"}}, "data": {"k": "{{ token }}"}});
    merge(&mut forms, &json!({"target": {"template": template}}));
    vec![usual, hmac, forms, examples::private_key("k"), examples::service_account()]
}

/// Writes `namespace` into every object of a value that has fields, and tells which these are.
fn intrude(path: &str, schema: &Value, value: &mut Value, seen: &mut BTreeSet<String>) {
    if let (Some(items), Value::Array(values)) = (schema.get("items"), &mut *value) {
        for value in values {
            intrude(&format!("{path}[]"), items, value, seen);
        }
    }
    let (Some(fields), Value::Object(values)) =
        (schema.get("properties").and_then(Value::as_object), value)
    else {
        return;
    };
    for (name, value) in values.iter_mut() {
        if let Some(schema) = fields.get(name) {
            intrude(&format!("{path}.{name}"), schema, value, seen);
        }
    }
    values.insert("namespace".to_owned(), json!("other"));
    seen.insert(path.to_owned());
}

async fn namespaces(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    let definition = custom_resource_definition();
    let schema = definition
        .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec")
        .context("the spec has a schema")?;
    let mut objects = BTreeSet::new();
    walk(".spec", schema, &mut |path, schema| {
        if schema.contains_key("properties") {
            objects.insert(path.to_owned());
        }
    });
    let mut seen = BTreeSet::new();
    for change in complete_specs() {
        let plain = credential(&change);
        let mut intruding = plain.clone();
        let spec = intruding.get_mut("spec").context("a spec")?;
        intrude(".spec", schema, spec, &mut seen);
        let created = dry_run(&tenant, &intruding).await?.map_err(anyhow::Error::msg)?;
        let (stored, sent) = (created.data.get("spec"), plain.get("spec"));
        ensure!(stored == sent, "{intruding} is stored as {stored:?}");
    }
    let without: Vec<_> = objects.difference(&seen).collect();
    ensure!(without.is_empty(), "not tried: {without:?}");
    ensure!(seen.len() > 15, "the walk finds no object: {seen:?}");
    Ok(())
}
