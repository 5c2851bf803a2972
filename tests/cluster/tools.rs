//! What a person meets with kubectl: the columns, `wait`, `explain`, the samples and the YAML of the
//! documentation, the rights of the operator, and a second apply of the manifests.
//!
//! **Invariant:** it is the real kubectl against the real server, and every YAML block that a user may
//! copy is applied as it stands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use libtest_mimic::Trial;
use oauthcc_harness::wait::wait_for;
use oauthcc_operator::domain::crd::OAuthClientCredential;
use serde_json::{Value, json};

use crate::tenant::Tenant;
use crate::world::{OPERATOR, SOON, World};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("kubectl_waits_for_a_credential_and_lists_it_in_columns", waits_and_lists),
        suite.shared("kubectl_explains_every_field", explains),
        suite.shared("kubectl_applies_every_sample_and_every_block_of_the_docs", applies_the_docs),
        suite.shared("the_operator_has_the_rights_of_the_chart_and_no_others", rights),
        suite.shared("who_may_edit_a_namespace_may_edit_its_credentials", people),
        suite.shared("the_status_is_a_subresource_of_its_own", status_is_its_own),
        suite.shared("the_manifests_apply_again_without_a_change", applies_again),
    ]
}

async fn waits_and_lists(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let in_namespace = ["-n", &tenant.namespace];
    tenant.apply("crm", json!({})).await?;
    tenant.apply("lost", json!({"credentialsSecretRef": {"name": "nowhere"}})).await?;
    let ready = ["wait", "--for=condition=Ready", "--timeout=20s", "occ/crm"];
    world.plane.kubectl(&[&ready[..], &in_namespace].concat()).await?;
    tenant.wait_condition("lost", "Ready", "False", "CredentialsNotFound").await?;
    let never = ["wait", "--for=condition=Ready", "--timeout=1s", "occ/lost"];
    let waited = world.plane.kubectl_output(&[&never[..], &in_namespace].concat(), "").await?;
    ensure!(waited.status.code() == Some(1), "it waited for {:?}", waited.status);

    let status = tenant.get("crm").await?.status.context("a status")?;
    let token = status.token.context("a token")?;
    let expires = token.expiration_time.0.to_string();
    let table = rows(&world.plane.kubectl(&["get", "occ", "-A"]).await?)?;
    let header = ["NAMESPACE", "NAME", "READY", "REASON", "SECRET", "EXPIRES", "ROTATED", "AGE"];
    ensure!(table.columns == header, "the columns are {:?}", table.columns);
    let row = table.row(&tenant.namespace, "crm")?;
    let told = ["READY", "REASON", "SECRET", "EXPIRES"].map(|column| row[column].as_str());
    ensure!(told == ["True", "TokenValid", "crm", &expires], "{row:?}");
    let age = &row["ROTATED"];
    ensure!(age.ends_with('s') || age.ends_with('m'), "ROTATED is {age}, not an age");
    let row = table.row(&tenant.namespace, "lost")?;
    let told = ["READY", "REASON", "SECRET", "EXPIRES"].map(|column| row[column].as_str());
    ensure!(told == ["False", "CredentialsNotFound", "", ""], "{row:?}");

    let table = rows(&world.plane.kubectl(&["get", "occ", "-A", "-o", "wide"]).await?)?;
    let more = ["ENDPOINT", "NEXT", "REVISION", "MESSAGE"];
    ensure!(table.columns == [&header[..], &more].concat(), "wide: {:?}", table.columns);
    let row = table.row(&tenant.namespace, "crm")?;
    let told = more.map(|column| row[column].as_str());
    let (url, renewal) = (world.server.token_url(), token.renewal_time.0.to_string());
    let message = format!("The token in Secret crm expires at {expires}.");
    ensure!(told == [url.as_str(), &renewal, "1", &message], "{row:?}");

    let by_category = [&["get", "oauthcc", "-o", "name"][..], &in_namespace].concat();
    let names = world.plane.kubectl(&by_category).await?;
    let name = "oauthclientcredential.oauthcc.dev/";
    ensure!(names == format!("{name}crm\n{name}lost\n"), "{names}");
    Ok(())
}

/// What `kubectl get` prints.
struct Table {
    columns: Vec<String>,
    rows: Vec<BTreeMap<String, String>>,
}

impl Table {
    fn row(&self, namespace: &str, name: &str) -> anyhow::Result<&BTreeMap<String, String>> {
        let wanted = |row: &&BTreeMap<_, _>| row["NAMESPACE"] == namespace && row["NAME"] == name;
        self.rows.iter().find(wanted).with_context(|| format!("no row of {namespace}/{name}"))
    }
}

/// Reads a table by where its header's words begin, since a cell may be empty.
fn rows(text: &str) -> anyhow::Result<Table> {
    let mut lines = text.lines();
    let header = lines.next().context("no header")?;
    let columns: Vec<String> = header.split_whitespace().map(str::to_owned).collect();
    let starts: Vec<usize> = columns
        .iter()
        .scan(0, |from, column| {
            let start = *from + header.get(*from..)?.find(column.as_str())?;
            *from = start + column.len();
            Some(start)
        })
        .collect();
    let ends = starts.iter().skip(1).copied().chain([usize::MAX]);
    let spans: Vec<_> = columns.iter().cloned().zip(starts.iter().copied().zip(ends)).collect();
    let cell = |line: &str, (start, end): (usize, usize)| {
        line.chars().skip(start).take(end - start).collect::<String>().trim().to_owned()
    };
    let row = |line| spans.iter().map(|(name, span)| (name.clone(), cell(line, *span))).collect();
    Ok(Table { rows: lines.map(row).collect(), columns })
}

async fn explains(world: Arc<World>) -> Outcome {
    // Also reads anew what the server has: kubectl keeps what it saw before the definition was there.
    let resources = ["api-resources", "--api-group=oauthcc.dev", "--no-headers", "-o", "wide"];
    let resources = world.plane.kubectl(&resources).await?;
    let words: Vec<_> = resources.split_whitespace().collect();
    let names = ["oauthclientcredentials", "occ", "oauthcc.dev/v1alpha1", "true"];
    ensure!(words.starts_with(&names) && words.ends_with(&["oauthcc"]), "{resources}");
    let definition = oauthcc_operator::domain::schema::custom_resource_definition();
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema");
    let mut objects = vec!["occ".to_owned()];
    let mut fields = 0;
    collect_objects("occ", schema.context("a schema")?, &mut objects, &mut fields);
    ensure!(objects.iter().any(|path| path == "occ.spec.rotation"), "{objects:?}");
    // The server publishes a new schema a moment after the definition is established.
    wait_for("kubectl explain occ", SOON, async || world.plane.kubectl(&["explain", "occ"]).await)
        .await?;
    for path in &objects {
        let text = world.plane.kubectl(&["explain", path]).await?;
        let bare = ["<no description>", "<empty>"].iter().any(|mark| text.contains(mark));
        ensure!(text.contains("DESCRIPTION:") && !bare, "kubectl explain {path}:\n{text}");
    }
    let spec = world.plane.kubectl(&["explain", "occ.spec"]).await?;
    for word in ["tokenURL", "credentialsSecretRef", "rotation", "token endpoint (RFC 6749"] {
        ensure!(spec.contains(word), "kubectl explain occ.spec lacks {word}:\n{spec}");
    }
    let all = world.plane.kubectl(&["explain", "occ", "--recursive"]).await?;
    let listed = all.lines().filter(|line| line.contains("\t<")).count();
    ensure!(listed >= fields, "{fields} fields, and {listed} lines:\n{all}");
    Ok(())
}

/// The paths of everything that has fields, and how many fields there are.
fn collect_objects(path: &str, schema: &Value, objects: &mut Vec<String>, fields: &mut usize) {
    let schema = schema.get("items").unwrap_or(schema);
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, field) in properties.into_iter().flatten() {
        *fields += 1;
        let path = format!("{path}.{name}");
        if field.get("items").unwrap_or(field).get("properties").is_some() {
            objects.push(path.clone());
        }
        collect_objects(&path, field, objects, fields);
    }
}

/// What the placeholders of `demo/` stand for, in these tests.
const PLACEHOLDERS: [(&str, &str); 3] = [
    ("${TOKEN_URL}", "https://idp.example.com/oauth2/token"),
    ("${TOKEN_HOST}", "idp.example.com"),
    ("${CLIENT_SECRET}", "example"),
];

async fn applies_the_docs(world: Arc<World>) -> Outcome {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let namespace = world.plane.namespace("docs").await?;
    let shop = top.join("demo/namespace.yaml").display().to_string();
    world.plane.kubectl(&["apply", "-f", &shop]).await?;
    let mut manifests = Vec::new();
    for folder in ["docs/samples", "demo"] {
        for file in files(&top.join(folder), "yaml")? {
            let text = std::fs::read_to_string(&file)?;
            manifests.push((file.display().to_string(), text));
        }
    }
    let samples = manifests.len();
    let mut pages = files(&top.join("docs"), "md")?;
    pages.extend(["README.md", "ARCHITECTURE.md", "demo/README.md"].map(|page| top.join(page)));
    for page in pages {
        let text = std::fs::read_to_string(&page)?;
        for (line, block) in yaml_blocks(&text) {
            manifests.push((format!("{}:{line}", page.display()), block));
        }
    }
    ensure!(samples >= 8 && manifests.len() > samples, "too few: {}", manifests.len());
    let dry_run = ["apply", "--dry-run=server", "-f", "-"];
    for (place, mut text) in manifests {
        for (placeholder, value) in PLACEHOLDERS {
            text = text.replace(placeholder, value);
        }
        let own = if text.contains("namespace: shop") { "shop" } else { &namespace };
        let arguments = [&dry_run[..], &["-n", own]].concat();
        let output = world.plane.kubectl_output(&arguments, &text).await?;
        // A warning counts too: an unknown field is one.
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && said.is_empty(), "{place}: {said}");
    }
    Ok(())
}

/// The files of a folder and those below it.
fn files(folder: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The fenced blocks of YAML with the number of their first line.
pub fn yaml_blocks(page: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in page.lines().enumerate() {
        match &mut open {
            None if ["```yaml", "```yml"].contains(&line.trim()) => {
                open = Some((number + 2, String::new()));
            }
            None => {}
            Some(_) if line.trim() == "```" => blocks.extend(open.take()),
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    blocks
}

/// What the chart gives the operator beyond what every ServiceAccount may: resource and verbs.
const RIGHTS: [&str; 7] = [
    "configmaps [get list watch]",
    "events.events.k8s.io [create patch]",
    "oauthclientcredentials.oauthcc.dev [get list watch patch]",
    "oauthclientcredentials.oauthcc.dev/status [patch]",
    "secrets [get list watch create patch delete]",
    "serviceaccounts [get list watch]",
    "serviceaccounts/token [create]",
];

async fn rights(world: Arc<World>) -> Outcome {
    let namespace = world.plane.namespace("rights").await?;
    let accounts = Api::<ServiceAccount>::namespaced(world.plane.admin_client(), &namespace);
    let account = json!({"metadata": {"name": "nobody"}});
    accounts.create(&PostParams::default(), &serde_json::from_value(account)?).await?;
    for place in [&namespace, OPERATOR.0, "kube-system"] {
        let everybody = may(&world, place, (&namespace, "nobody")).await?;
        let operator = may(&world, place, OPERATOR).await?;
        let own: Vec<_> = operator.iter().filter(|right| !everybody.contains(right)).collect();
        ensure!(own == RIGHTS.iter().collect::<Vec<_>>(), "in {place} it may {own:#?}");
        ensure!(everybody.iter().all(|right| operator.contains(right)), "{everybody:#?}");
    }
    Ok(())
}

/// The lines of `kubectl auth can-i --list`, sorted: resource or path, names, verbs.
async fn may(
    world: &World,
    namespace: &str,
    (home, account): (&str, &str),
) -> anyhow::Result<Vec<String>> {
    let user = format!("--as=system:serviceaccount:{home}:{account}");
    let groups = ["system:serviceaccounts", "system:authenticated"];
    let groups = groups.map(|group| format!("--as-group={group}"));
    let mut arguments = vec!["auth", "can-i", "--list", "--no-headers", "-n", namespace, &user];
    arguments.extend(groups.iter().map(String::as_str));
    let own_group = format!("--as-group=system:serviceaccounts:{home}");
    arguments.push(&own_group);
    let text = world.plane.kubectl(&arguments).await?;
    // Names and paths that a rule does not limit are printed as `[]`.
    let plain = text.lines().map(|line| line.replace(" [] ", " "));
    let words = |line: String| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rights: Vec<_> = plain.map(|line| words(line).replace(" [] ", " ")).collect();
    rights.sort();
    Ok(rights)
}

async fn people(world: Arc<World>) -> Outcome {
    let namespace = world.plane.namespace("people").await?;
    for role in ["view", "edit", "admin"] {
        let (user, clusterrole) = (format!("--user={role}er"), format!("--clusterrole={role}"));
        let bind = ["create", "rolebinding", role, &clusterrole, &user, "-n", &namespace];
        world.plane.kubectl(&bind).await?;
        let user = format!("--as={role}er");
        for (verb, object, allowed) in [
            ("get", "occ", true),
            ("watch", "occ", true),
            ("create", "occ", role != "view"),
            ("patch", "occ", role != "view"),
            ("delete", "occ", role != "view"),
            ("patch", "occ/status", false),
            ("update", "occ/status", false),
        ] {
            let (object, part) = object.split_once('/').unwrap_or((object, ""));
            let part = format!("--subresource={part}");
            let asked = ["auth", "can-i", verb, object, &part, &user, "-n", &namespace];
            // A new binding, and the roles that the aggregation has just filled, take a moment.
            let what = format!("{role} to be told whether it may {verb} {object} {part}");
            wait_for(&what, SOON, async || {
                let answer = world.plane.kubectl_output(&asked, "").await?;
                let yes = answer.stdout == b"yes\n";
                ensure!(yes == allowed, "{}", String::from_utf8_lossy(&answer.stdout));
                anyhow::Ok(())
            })
            .await?;
        }
    }
    Ok(())
}

async fn status_is_its_own(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    tenant.apply("crm", json!({"suspend": true})).await?;
    tenant.wait_condition("crm", "Ready", "False", "Suspended").await?;
    let claim = json!({"status": {"endpoint": "https://elsewhere.example.com/token"}});
    tenant.merge("crm", claim).await?;
    let endpoint = tenant.get("crm").await?.status.and_then(|status| status.endpoint);
    ensure!(endpoint.is_none(), "a patch of the credential changed its status: {endpoint:?}");
    let patch = Patch::Merge(json!({"spec": {"suspend": false}, "status": {"failedAttempts": 7}}));
    let api: Api<OAuthClientCredential> = tenant.credentials();
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let patched = api.patch_status("crm", &params, &patch).await?;
    ensure!(patched.spec.suspend, "a patch of the status changed the spec");
    let failed = patched.status.and_then(|status| status.failed_attempts);
    ensure!(failed == Some(7), "the status holds {failed:?}");
    let user = format!("--as=system:serviceaccount:{}:{}", OPERATOR.0, OPERATOR.1);
    for (verb, object) in [("delete", "occ"), ("update", "occ"), ("update", "secrets")] {
        let asked = ["auth", "can-i", verb, object, "-n", &tenant.namespace, &user];
        let answer = world.plane.kubectl_output(&asked, "").await?;
        ensure!(answer.stdout == b"no\n", "the operator may {verb} {object}");
    }
    Ok(())
}

/// A plain `kubectl apply` keeps all of an object in an annotation, whose limit is 256 KiB.
const MOST_ANNOTATION_BYTES: usize = 256 * 1024;

async fn applies_again(world: Arc<World>) -> Outcome {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/install.yaml");
    let manifest = manifest.display().to_string();
    let text = world.plane.kubectl(&["apply", "-f", &manifest]).await?;
    let changed: Vec<_> = text.lines().filter(|line| !line.ends_with(" unchanged")).collect();
    ensure!(changed.is_empty() && text.lines().count() >= 6, "{text}");
    let crds = Api::<CustomResourceDefinition>::all(world.plane.admin_client());
    let crd = crds.get("oauthclientcredentials.oauthcc.dev").await?;
    let annotations = crd.metadata.annotations.unwrap_or_default();
    let Some(kept) = annotations.get("kubectl.kubernetes.io/last-applied-configuration") else {
        bail!("the definition was not applied by a plain kubectl apply: {annotations:?}");
    };
    ensure!(kept.len() < MOST_ANNOTATION_BYTES, "the definition has {} bytes", kept.len());
    // The way that README.md names to remove the operator and keep the credentials.
    let keep = ["delete", "-f", &manifest, "-l", "app.kubernetes.io/component!=crd"];
    let deleted = [&keep[..], &["--dry-run=server", "-o", "name"]].concat();
    let deleted = world.plane.kubectl(&deleted).await?;
    ensure!(deleted.contains("deployment.apps/oauthcc-operator"), "{deleted}");
    ensure!(!deleted.contains("customresourcedefinition"), "{deleted}");
    let settled = crd.status.and_then(|status| status.conditions).unwrap_or_default();
    let bad = settled.iter().find(|condition| condition.type_ == "NonStructuralSchema");
    ensure!(bad.is_none(), "{bad:?}");
    Ok(())
}
