//! The schema as the real API server keeps it: every rule and every limit of the spec has an example
//! that it takes and one that it refuses, with words that say what to do.
//!
//! **Invariant:** a rule or limit of the generated schema without a row in the tables below is a
//! failure, and so is a row that no rule asks for.

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

use crate::tenant::{Tenant, merge};
use crate::world::World;
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("every_rule_and_limit_takes_one_example_and_refuses_another", examples_hold),
        suite.shared("the_managed_secret_is_renamed_in_no_form", renames),
        suite.shared("a_credential_that_nobody_has_looked_at_says_so", untouched),
        suite.shared("a_null_is_never_stored", nulls),
        suite.alone("every_rule_and_limit_of_the_schema_has_an_example", async || complete()),
    ]
}

/// One rule or limit of the schema. The changes are merged into a spec that is complete (RFC 7386).
struct Example {
    /// Where the rule stands, and its keyword; a rule is named by its message.
    limit: String,
    accepted: Value,
    refused: Value,
    /// What the refusal must say.
    says: String,
}

const RENAMED: &str = "the managed Secret can't be renamed yet: create a second credential with the \
                       new spec.target.name, move the pods to it, then delete this one";
const REPLACED: &str = "the managed Secret would replace the client Secret: give spec.target.name \
                        another name than spec.credentialsSecretRef.name";
const NO_URL: &str = "set spec.tokenURL to the token endpoint, for example \
                      https://idp.example.com/oauth2/token";
const NO_CLIENT: &str = "set spec.credentialsSecretRef.name to the Secret that holds the client ID \
                         and the client secret";
const TWO_IDS: &str = "the client ID has two sources: remove spec.clientID or \
                       spec.credentialsSecretRef.clientIDKey";
const TWO_RENEWALS: &str =
    "set spec.rotation.renewBefore or spec.rotation.renewBeforePercentage, not both";
const TIMEOUT: &str = "spec.request.timeout must be from 1s to 30s";
const RENEW_BEFORE: &str = "spec.rotation.renewBefore must be from 1s to 8760h";
const LIFETIME: &str = "spec.rotation.defaultLifetime must be from 1s to 8760h";
const TOKEN_KEY: &str = "spec.target.tokenKey can't be expires-at or token-type: these keys hold the \
                         expiry and the type of the token";

/// The rules in CEL, each with its own message.
fn rules() -> Vec<Example> {
    let rule = |path: &str, message: &str, accepted, refused| Example {
        limit: format!("{path} rule: {message}"),
        accepted,
        refused,
        says: message.to_owned(),
    };
    let client = |name: &str| json!({"credentialsSecretRef": {"name": name}});
    let id = |key: &str| json!({"clientID": "me", "credentialsSecretRef": {key: "id"}});
    let target = |name: &str| json!({"target": {"name": name}});
    let timeout = |text: &str| json!({"request": {"timeout": text}});
    let before = |text: &str| json!({"rotation": {"renewBefore": text}});
    let lifetime = |text: &str| json!({"rotation": {"defaultLifetime": text}});
    let key = |text: &str| json!({"target": {"tokenKey": text}});
    let both = json!({"rotation": {"renewBefore": "5m", "renewBeforePercentage": 50}});
    vec![
        rule("", REPLACED, target("crm-token"), target("client")),
        rule("", REPLACED, client("crm-client"), client("crm")),
        rule(".spec", NO_URL, json!({}), json!({"tokenURL": null})),
        rule(".spec", NO_CLIENT, json!({}), json!({"credentialsSecretRef": null})),
        rule(".spec", TWO_IDS, id("clientSecretKey"), id("clientIDKey")),
        rule(".spec.rotation", TWO_RENEWALS, before("5m"), both),
        rule(".spec.request.timeout", TIMEOUT, timeout("1s"), timeout("999ms")),
        rule(".spec.request.timeout", TIMEOUT, timeout("30s"), timeout("30s1ms")),
        rule(".spec.rotation.renewBefore", RENEW_BEFORE, before("1s"), before("999ms")),
        rule(".spec.rotation.renewBefore", RENEW_BEFORE, before("8760h"), before("8760h1s")),
        rule(".spec.rotation.defaultLifetime", LIFETIME, lifetime("1s"), lifetime("0s")),
        rule(".spec.rotation.defaultLifetime", LIFETIME, lifetime("8760h"), lifetime("8761h")),
        rule(".spec.target.tokenKey", TOKEN_KEY, key("access-token"), key("expires-at")),
        rule(".spec.target.tokenKey", TOKEN_KEY, key("token"), key("token-type")),
    ]
}

/// The limits of the schema itself, for which the API server has its own words.
fn limits() -> Vec<Example> {
    let mut all = vec![
        limit("", "required spec", json!({}), Value::Null, "spec: Required value"),
        limit(
            ".spec.clientAuthentication.method",
            "enum",
            json!({"clientAuthentication": {"method": "ClientSecretPost"}}),
            json!({"clientAuthentication": {"method": "PrivateKeyJWT"}}),
            "supported values: \"ClientSecretBasic\", \"ClientSecretPost\"",
        ),
        limit(
            ".spec.credentialsSecretRef",
            "required name",
            json!({"credentialsSecretRef": {"name": "crm-client"}}),
            json!({"credentialsSecretRef": {"name": null}}),
            "spec.credentialsSecretRef.name: Required value",
        ),
        limit(
            ".spec.rotation.renewBeforePercentage",
            "minimum",
            json!({"rotation": {"renewBeforePercentage": 1}}),
            json!({"rotation": {"renewBeforePercentage": 0}}),
            "should be greater than or equal to 1",
        ),
        limit(
            ".spec.rotation.renewBeforePercentage",
            "maximum",
            json!({"rotation": {"renewBeforePercentage": 99}}),
            json!({"rotation": {"renewBeforePercentage": 100}}),
            "should be less than or equal to 99",
        ),
    ];
    all.extend(scopes());
    let url = |length: usize| format!("https://{}", "a".repeat(length - 8));
    all.extend(text(
        "tokenURL",
        (10, "http://a.b"),
        &url(2048),
        &["ftp://a.example.com", "https://a b"],
    ));
    all.extend(text("clientID", (1, "i"), &"i".repeat(1024), &["i\u{e9}", "i\nd"]));
    all.extend(text("audience", (1, "a"), &"a".repeat(2048), &[]));
    let label = "a".repeat(253);
    let names = ["Client", "-client", "client.", "a/b", "cli_ent"];
    all.extend(text("credentialsSecretRef.name", (1, "c"), &label, &names));
    all.extend(text("target.name", (1, "t"), &label, &names));
    for key in [
        "credentialsSecretRef.clientIDKey",
        "credentialsSecretRef.clientSecretKey",
        "target.tokenKey",
    ] {
        all.extend(text(key, (1, "k"), &label, &["a key", "a/b", "k\u{e9}y"]));
    }
    let wrong = ["", "5", "-1s", "1d", "1.5h", "s", "100000s", "1s1s1s1s1s"];
    for duration in ["request.timeout", "rotation.renewBefore", "rotation.defaultLifetime"] {
        all.extend(text(duration, (0, "10s"), "00002s00002s00002s00002s", &wrong));
    }
    all
}

fn scopes() -> Vec<Example> {
    let many = |count: usize| -> Value {
        json!({"scopes": (0..count).map(|number| format!("s{number}")).collect::<Vec<_>>()})
    };
    let one = |scope: &str| json!({"scopes": [scope]});
    let (longest, too_long) = (one(&"s".repeat(512)), one(&"s".repeat(513)));
    let mut all = vec![
        limit(".spec.scopes", "maxItems", many(64), many(65), "must have at most 64 items"),
        limit(".spec.scopes", "set", many(2), json!({"scopes": ["a", "a"]}), "Duplicate value"),
        limit(".spec.scopes[]", "minLength", one("s"), one(""), "should be at least 1 chars long"),
        limit(".spec.scopes[]", "maxLength", longest, too_long, "may not be more than 512"),
    ];
    for wrong in ["two words", "a\"b", "a\\b", "\u{e9}"] {
        all.push(limit(".spec.scopes[]", "pattern", one("a!#[]~"), one(wrong), "should match '"));
    }
    all
}

fn limit(path: &str, keyword: &str, accepted: Value, refused: Value, says: &str) -> Example {
    Example { limit: format!("{path} {keyword}"), accepted, refused, says: says.to_owned() }
}

/// Shortest, longest and pattern of one text: `shortest` has the least length, where there is one.
fn text(
    field: &str,
    (least, shortest): (usize, &str),
    longest: &str,
    wrong: &[&str],
) -> Vec<Example> {
    let change =
        |text: &str| field.rsplit('.').fold(json!(text), |inner, name| json!({ name: inner }));
    let path = format!(".spec.{field}");
    let too_long = format!("{longest}{}", longest.chars().last().unwrap_or('a'));
    let says = format!("may not be more than {}", longest.len());
    let mut all = vec![limit(&path, "maxLength", change(longest), change(&too_long), &says)];
    if least > 0 {
        let mut too_short = shortest.to_owned();
        too_short.pop();
        let says = format!("should be at least {least} chars long");
        all.push(limit(&path, "minLength", change(shortest), change(&too_short), &says));
    }
    let patterns = wrong
        .iter()
        .map(|text| limit(&path, "pattern", change(shortest), change(text), "should match '"));
    all.extend(patterns);
    all
}

fn examples() -> impl Iterator<Item = Example> {
    rules().into_iter().chain(limits())
}

/// Every schema at any depth with its path, `[]` for the items of a list.
fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Map<String, Value>)) {
    let Some(object) = schema.as_object() else { return };
    visit(path, object);
    let fields = object.get("properties").and_then(Value::as_object);
    for (name, field) in fields.into_iter().flatten() {
        walk(&format!("{path}.{name}"), field, visit);
    }
    if let Some(items) = object.get("items") {
        walk(&format!("{path}[]"), items, visit);
    }
}

const KEYWORDS: [&str; 7] =
    ["pattern", "minLength", "maxLength", "minimum", "maximum", "maxItems", "enum"];

/// The names of the rules and limits of one schema, as [`Example::limit`] has them.
fn named(path: &str, schema: &Map<String, Value>) -> Vec<String> {
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    let rules = rules.into_iter().flatten().map(|rule| {
        format!("rule: {}", rule.get("message").and_then(Value::as_str).unwrap_or("no message"))
    });
    let required = schema.get("required").and_then(Value::as_array);
    let required = required.into_iter().flatten().filter_map(Value::as_str);
    let set = schema.get("x-kubernetes-list-type").is_some_and(|kind| kind == "set");
    let plain = KEYWORDS.into_iter().filter(|keyword| schema.contains_key(*keyword));
    rules
        .chain(required.map(|name| format!("required {name}")))
        .chain(set.then(|| "set".to_owned()))
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
    let mut given: BTreeSet<String> = examples().map(|example| example.limit).collect();
    given.insert(format!(" rule: {RENAMED}")); // It needs an older object: see `renames`.
    let without: Vec<_> = wanted.difference(&given).collect();
    ensure!(without.is_empty(), "no example of {without:#?}");
    let gone: Vec<_> = given.difference(&wanted).collect();
    ensure!(gone.is_empty(), "examples of what the schema does not have: {gone:#?}");
    ensure!(wanted.iter().any(|limit| limit.contains(" rule: ")), "the walk finds no rule");
    Ok(())
}

/// A credential named `crm` that is complete, with a change merged into its spec.
fn credential(change: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "oauthcc.dev/v1alpha1",
        "kind": "OAuthClientCredential",
        "metadata": {"name": "crm"},
        "spec": {
            "suspend": true,
            "tokenURL": "https://idp.example.com/oauth2/token",
            "credentialsSecretRef": {"name": "client"},
        },
    });
    merge(&mut object, json!({ "spec": change }));
    object
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
    for Example { limit, accepted, refused, says } in examples() {
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
        merge(&mut object, json!({"metadata": {"name": name}}));
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
    ] {
        let answer = change(name, target.clone()).await?;
        ensure!(answer.is_ok(), "the target of {name} may not become {target}: {answer:?}");
    }
    Ok(())
}

async fn untouched(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    let expected = json!({"observedGeneration": -1});
    // A status that comes along is not taken: it would claim what nobody has seen.
    let mut claimed = credential(&json!({}));
    merge(&mut claimed, json!({"status": {"observedGeneration": 1}}));
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
