//! Many ways to fail, each with client secrets and tokens like no other string, and then a look at
//! everything that the operator left behind.
//!
//! **Invariant:** nothing but the client Secret and the managed Secret holds a secret value, raw or
//! encoded; and the same look finds each value where it must be, so its silence says something.

mod forms;
mod methods;
mod provoke;
mod revoke;
pub mod scanner;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::TryStreamExt;
use futures::future::{FutureExt, try_join_all};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, ResourceExt};
use libtest_mimic::Trial;
use oauthcc_harness::authorization_server::Failure;
use oauthcc_harness::wait::wait_for;
use oauthcc_operator::domain::crd::MANAGED_LABEL;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use self::scanner::Scanner;
use crate::metrics;
use crate::tenant::{CLIENT_SECRET, Tenant, merge, token_of};
use crate::world::{OPERATOR, SOON, World};
use crate::{Outcome, Suite};

/// The admission policy that repeats what it refuses.
const ECHO: &str = "echo-of-the-canary";
/// No token of a server is shorter.
const SHORTEST_TOKEN: usize = 20;

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.alone("no_secret_value_is_anywhere_but_in_the_two_secrets", no_leak),
        suite
            .alone("the_scanner_finds_a_value_in_every_form", async || scanner::finds_every_form()),
    ]
}

async fn no_leak() -> Outcome {
    let world = Arc::new(World::start(&["--minimum-request-gap=1s"]).await?);
    let canary = Canary::new(&world)?;
    provoke_and_look(&canary).await.inspect_err(|_| world.keep_logs())
}

async fn provoke_and_look(canary: &Canary) -> Outcome {
    try_join_all(canary.scenarios()).await?;
    try_join_all(canary.methods()).await?;
    canary.every_form().await?;
    canary.values_and_the_token_before().await?;
    canary.revocations().await?;
    canary.outlives_an_outage_of_the_api_server().await?;
    canary.restart().await?;
    try_join_all([canary.comparison().boxed(), canary.drift().boxed()]).await?;
    let mut leaks = canary.what_the_process_shows().await?;
    leaks.extend(canary.what_the_cluster_holds().await?);
    leaks.extend(canary.what_the_audit_log_holds()?);
    leaks.extend(canary.what_was_printed()?);
    ensure!(leaks.is_empty(), "secret values were found:\n{}", leaks.join("\n"));
    canary.finds_each_value_where_it_is().await
}

/// The world, and every value in it that must not be seen.
struct Canary {
    world: Arc<World>,
    scanner: Arc<Scanner>,
    /// What holds the values rightly: Secrets at every version, and what endpoints were told to say.
    rightly: Arc<Mutex<String>>,
    /// Namespace and name of the Secrets that may hold values.
    exempt: Mutex<BTreeSet<(String, String)>>,
    /// What the operators before the present one printed.
    printed: Mutex<String>,
    /// Namespaces and credentials whose spec holds a value that a person wrote there.
    told_in_spec: Mutex<BTreeSet<(String, String)>>,
    /// The IDs of all clients.
    clients: Mutex<Vec<String>>,
    watching: JoinHandle<Outcome>,
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn add(to: &Mutex<String>, text: &str) {
    locked(to).push_str(text);
}

impl Canary {
    fn new(world: &Arc<World>) -> anyhow::Result<Self> {
        let (scanner, rightly) = (Arc::new(Scanner::default()), Arc::<Mutex<String>>::default());
        let kubeconfig = format!("{}.{}.kubeconfig", OPERATOR.0, OPERATOR.1);
        let kubeconfig = std::fs::read_to_string(world.plane.directory().join(kubeconfig))?;
        let read: Value = serde_json::from_str(&kubeconfig)?;
        let own = read.pointer("/users/0/user/token").and_then(Value::as_str);
        scanner.look_for("the operator's own token", own.context("a token")?);
        add(&rightly, &kubeconfig);
        let secrets = Api::<Secret>::all(world.plane.admin_client());
        let (seen, kept) = (Arc::clone(&scanner), Arc::clone(&rightly));
        // Every token that was ever written is looked for, also one that was replaced since.
        let watching = tokio::spawn(async move {
            let events = watcher(secrets, watcher::Config::default()).default_backoff();
            let mut secrets = std::pin::pin!(events.applied_objects());
            loop {
                match secrets.try_next().await {
                    Ok(Some(secret)) => learn(&seen, &kept, &secret)?,
                    Ok(None) => return Ok(()),
                    Err(_) => {} // It begins again, as it does when the API server is away.
                }
            }
        });
        Ok(Self {
            world: Arc::clone(world),
            scanner,
            rightly,
            exempt: Mutex::default(),
            printed: Mutex::default(),
            told_in_spec: Mutex::default(),
            clients: Mutex::default(),
            watching,
        })
    }

    /// A namespace whose client secret is a canary between characters that encodings change.
    async fn tenant(&self, what: &str, lifetime: Duration) -> anyhow::Result<Tenant> {
        let mut tenant = Tenant::new(&self.world, lifetime).await?;
        tenant.client_secret = format!("/+ %{}&=:~", self.scanner.canary(what));
        self.world.server.set_secret(&tenant.client_id, &tenant.client_secret).await?;
        locked(&self.clients).push(tenant.client_id.clone());
        self.may_hold(&tenant, CLIENT_SECRET);
        tenant.apply_client_secret(&tenant.client_secret).await?;
        // A watch that begins later never tells of a value that is replaced at once.
        let told = format!("\"namespace\":\"{}\"", tenant.namespace);
        wait_for("the watch of Secrets to tell of the client Secret", SOON, async || {
            ensure!(locked(&self.rightly).contains(&told), "it has not yet");
            Ok(())
        })
        .await?;
        Ok(tenant)
    }

    fn may_hold(&self, tenant: &Tenant, secret: &str) {
        let place = (tenant.namespace.clone(), secret.to_owned());
        locked(&self.exempt).insert(place);
    }

    async fn apply(&self, tenant: &Tenant, name: &str, changes: Value) -> anyhow::Result<()> {
        self.may_hold(tenant, name);
        tenant.apply(name, changes).await
    }

    /// Lets the endpoint answer with a text that holds values.
    async fn answers(&self, tenant: &Tenant, failure: Failure) -> anyhow::Result<()> {
        add(&self.rightly, &format!("{failure:?}\n"));
        self.world.server.fail_with(&tenant.client_id, &failure).await
    }

    /// Ends the operator without warning and starts it again; what it printed is kept.
    async fn restart(&self) -> Outcome {
        let operator = self.world.take_operator()?;
        operator.kill();
        add(&self.printed, &operator.output());
        drop(operator);
        self.world.start_operator().await
    }

    /// Command line, environment, metrics in both formats.
    async fn what_the_process_shows(&self) -> anyhow::Result<Vec<String>> {
        let mut leaks = Vec::new();
        let pid = self.world.operator_pid().context("an operator runs")?;
        for file in ["cmdline", "environ"] {
            let path = format!("/proc/{pid}/{file}");
            let text = std::fs::read(&path).with_context(|| path.clone())?;
            ensure!(!text.is_empty(), "{path} is empty");
            leaks.extend(self.leaks(&path, &String::from_utf8_lossy(&text)));
        }
        for accept in ["text/plain", "application/openmetrics-text"] {
            let (_, text) = metrics::scrape(&self.world, accept).await?;
            ensure!(text.contains("oauthcc_credential_ready"), "no metrics: {text}");
            leaks.extend(self.leaks("/metrics", &text));
        }
        Ok(leaks)
    }

    /// Every object of every kind, its `managedFields` included.
    async fn what_the_cluster_holds(&self) -> anyhow::Result<Vec<String>> {
        let list = ["api-resources", "--verbs=list", "-o", "name"];
        let kinds = self.world.plane.kubectl(&list).await?;
        let kinds = kinds.split_whitespace().collect::<Vec<_>>().join(",");
        let get = ["get", &kinds, "-A", "-o", "json", "--show-managed-fields"];
        let all: Value = serde_json::from_str(&self.world.plane.kubectl(&get).await?)?;
        let (mut leaks, mut seen) = (Vec::new(), BTreeSet::new());
        let items = all.get("items").and_then(Value::as_array);
        for object in items.context("a list")? {
            let text =
                |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let (kind, namespace) = (text("/kind"), text("/metadata/namespace"));
            let place = (namespace.to_owned(), text("/metadata/name").to_owned());
            seen.insert(kind.to_owned());
            if kind == "Secret" && locked(&self.exempt).contains(&place) {
                continue;
            }
            let what = format!("{kind} {namespace}/{}", place.1);
            let mut object = object.clone();
            if kind == "OAuthClientCredential" && locked(&self.told_in_spec).contains(&place) {
                merge(&mut object, json!({"spec": null}));
            }
            leaks.extend(self.leaks(&what, &object.to_string()));
        }
        for kind in ["Event", "OAuthClientCredential", "Secret", "Namespace", "ClusterRole"] {
            ensure!(seen.contains(kind), "no {kind} among {seen:?}");
        }
        Ok(leaks)
    }

    fn what_the_audit_log_holds(&self) -> anyhow::Result<Vec<String>> {
        let log = std::fs::read_to_string(self.world.plane.directory().join("audit.log"))?;
        ensure!(log.contains(OPERATOR.1), "no call of the operator");
        Ok(self.leaks_by_line("the audit log", &log))
    }

    fn what_was_printed(&self) -> anyhow::Result<Vec<String>> {
        let printed = format!("{}{}", locked(&self.printed), self.world.operator_output());
        ensure!(printed.contains("\"level\":\"TRACE\""), "the operator does not trace");
        let mut leaks = self.leaks_by_line("the operator's log", &printed);
        // Assertions and tokens of ServiceAccounts are made for one request: nobody knows their value, but
        // every JWT begins like this.
        let jwt = printed.lines().zip(1..).find(|(line, _)| line.contains("eyJ"));
        leaks.extend(jwt.map(|(_, number)| format!("the operator's log:{number}: a JWT")));
        Ok(leaks)
    }

    /// The leaks of a long text, with the number of each line that has one.
    fn leaks_by_line(&self, place: &str, text: &str) -> Vec<String> {
        if self.scanner.find(text).is_empty() {
            return Vec::new();
        }
        let lines = text.lines().zip(1..);
        lines.flat_map(|(line, number)| self.leaks(&format!("{place}:{number}"), line)).collect()
    }

    /// The name of each value that a text holds, never the value.
    fn leaks(&self, place: &str, text: &str) -> Vec<String> {
        self.scanner.find(text).iter().map(|found| format!("{place}: {found}")).collect()
    }

    /// Each value is found in what holds it rightly, in base64 where that is a Secret; and every
    /// token that was issued is looked for.
    async fn finds_each_value_where_it_is(&self) -> Outcome {
        let found = self.scanner.find(&locked(&self.rightly));
        for name in self.scanner.names() {
            let there = |form| found.iter().any(|f| f.starts_with(&format!("{name}, {form}")));
            ensure!(there("raw") || there("base64"), "{name} is found nowhere");
            ensure!(!name.starts_with("token ") || there("base64"), "{name} is in no Secret");
        }
        let looked_for = self.scanner.digests();
        let clients = locked(&self.clients).clone();
        for client in clients {
            let issued = self.world.server.issued(&client).await?;
            let missed = issued.iter().find(|token| !looked_for.contains(&token.sha256));
            ensure!(missed.is_none(), "a token of {client} is not looked for: {missed:?}");
        }
        Ok(())
    }
}

/// Remembers a version of a Secret, and looks for the token in it from now on.
fn learn(scanner: &Scanner, rightly: &Mutex<String>, secret: &Secret) -> Outcome {
    add(rightly, &serde_json::to_string(secret)?);
    if !secret.labels().contains_key(MANAGED_LABEL) {
        return Ok(());
    }
    let token = token_of(secret)?;
    // What a test writes by hand is short, and no secret.
    if token.len() > SHORTEST_TOKEN {
        let namespace = secret.namespace().unwrap_or_default();
        let version = secret.resource_version().unwrap_or_default();
        scanner.look_for(&format!("token {namespace}/{} {version}", secret.name_any()), &token);
    }
    Ok(())
}
