//! A line of life steps in a namespace of its own: what is done, and all that may follow from it.
//!
//! In: an edit as a person makes it, and what is expected. Out: the step is over when status, Secrets,
//! events, token requests and writes are exactly as expected.
//! **Invariant:** the writes of a step are counted to the last, in the audit log, and what a step leaves
//! under way would be counted by the next one or by the quiet window at the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use oauthcc_harness::audit::Mark;
use oauthcc_harness::wait::{holds_for, wait_for};
use serde_json::{Value, json};

use crate::Outcome;
use crate::tenant::{Tenant, token_of};
use crate::world::{SOON, World};

/// Tokens of the life steps live so long: nothing is due in the minutes of the test.
const HOUR: Duration = Duration::from_secs(3600);
/// A garbage collector or a namespace controller may have to learn first.
const COLLECTED: Duration = Duration::from_secs(90);

/// An edit that is to be without effect is given this long to have one.
const LOOKED_AT: Duration = Duration::from_secs(1);

/// The steps that have been taken, over all lines.
#[derive(Default)]
pub struct Steps(Mutex<Vec<String>>);

impl Steps {
    /// One line for each.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn taken(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// Where one line plays.
pub struct Stage {
    /// The namespace and its client.
    pub tenant: Arc<Tenant>,
    /// While true, tries of a refused write go on, and only the first is counted.
    pub retries: bool,
    line: &'static str,
    steps: Arc<Steps>,
    events: BTreeMap<String, Vec<&'static str>>,
    /// The latest token that was seen.
    token: Option<String>,
    requests: usize,
}

/// What a Secret is after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// There is none.
    Absent,
    /// It holds the token that this line saw last under any name.
    Same,
    /// It holds a token that is alive, and that this line has not seen.
    New,
    /// It is as an administrator left it: no token of ours.
    Foreign,
}

/// What follows from a step.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// The conditions of the credential as `wait_conditions` writes them; empty: it is gone.
    pub conditions: &'a str,
    /// The Secrets.
    pub secrets: &'a [(&'a str, Held)],
    /// The reasons of the events that come with this step.
    pub events: &'a [&'static str],
    /// Token requests.
    pub requests: usize,
    /// Patch, create and delete calls of the operator.
    pub writes: &'a [(&'a str, usize)],
}

/// No call that writes.
pub const NOTHING: &[(&str, usize)] = &[];
/// A token is written for the first time, or after something stood in the way of it.
pub const ISSUED: &[(&str, usize)] = &[SECRET, STATUS, EVENT];
/// One write of the managed Secret.
pub const SECRET: (&str, usize) = ("patch secrets", 1);
/// One write of status.
pub const STATUS: (&str, usize) = ("patch oauthclientcredentials/status", 1);
/// A new event.
pub const EVENT: (&str, usize) = ("create events", 1);
/// An event that was told before, once more.
pub const AGAIN: (&str, usize) = ("patch events", 1);
/// One deletion of a Secret.
pub const DELETION: (&str, usize) = ("delete secrets", 1);

impl Stage {
    /// A namespace with a client Secret that consents.
    pub async fn new(
        world: &Arc<World>,
        line: &'static str,
        steps: &Arc<Steps>,
    ) -> anyhow::Result<Self> {
        Ok(Self::of(Tenant::with_client_secret(world, HOUR).await?, line, steps))
    }

    /// A namespace without a client Secret.
    pub async fn bare(
        world: &Arc<World>,
        line: &'static str,
        steps: &Arc<Steps>,
    ) -> anyhow::Result<Self> {
        Ok(Self::of(Tenant::new(world, HOUR).await?, line, steps))
    }

    fn of(tenant: Tenant, line: &'static str, steps: &Arc<Steps>) -> Self {
        let steps = Arc::clone(steps);
        let tenant = Arc::new(tenant);
        Self {
            tenant,
            retries: false,
            line,
            steps,
            events: BTreeMap::new(),
            token: None,
            requests: 0,
        }
    }

    /// One step: an edit of, or around, one credential.
    pub async fn step(
        &mut self,
        what: &str,
        name: &str,
        edit: impl Future<Output = Outcome>,
        expected: Expected<'_>,
    ) -> Outcome {
        let mark = self.tenant.mark().await?;
        let took = async {
            edit.await?;
            self.settles(name, mark, expected).await
        };
        took.await.with_context(|| format!("{}: {what}", self.line))?;
        self.told(what, expected);
        Ok(())
    }

    /// Applies a credential, the usual spec with these changes.
    pub async fn apply(
        &mut self,
        what: &str,
        name: &str,
        changes: Value,
        expected: Expected<'_>,
    ) -> Outcome {
        let tenant = Arc::clone(&self.tenant);
        self.step(what, name, tenant.apply(name, changes), expected).await
    }

    /// Does something with kubectl.
    pub async fn kubectl(
        &mut self,
        what: &str,
        name: &str,
        arguments: &[&str],
        expected: Expected<'_>,
    ) -> Outcome {
        let tenant = Arc::clone(&self.tenant);
        let edit = async {
            let arguments = [&["-n", &tenant.namespace], arguments].concat();
            tenant.world.plane.kubectl(&arguments).await.map(drop)
        };
        self.step(what, name, edit, expected).await
    }

    /// Creates an object as `kubectl create -f -` does.
    pub async fn create(
        &mut self,
        what: &str,
        name: &str,
        object: Value,
        expected: Expected<'_>,
    ) -> Outcome {
        let tenant = Arc::clone(&self.tenant);
        let edit = async {
            let arguments = ["-n", &tenant.namespace, "create", "-f", "-"];
            tenant.world.plane.kubectl_with_stdin(&arguments, &object.to_string()).await.map(drop)
        };
        self.step(what, name, edit, expected).await
    }

    /// Asks for a new token, as a step.
    pub async fn renew(
        &mut self,
        what: &str,
        name: &str,
        value: &str,
        expected: Expected<'_>,
    ) -> Outcome {
        let annotation = format!("oauthcc.dev/renew-requested-at={value}");
        self.kubectl(what, name, &["annotate", "--overwrite", "occ", name, &annotation], expected)
            .await
    }

    /// Events of a namesake that is gone stay for an hour, so they are deleted before it is created again.
    pub async fn forget_events(&mut self, name: &str) -> Outcome {
        let api = Api::<Event>::namespaced(
            self.tenant.world.plane.admin_client(),
            &self.tenant.namespace,
        );
        api.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        self.events.remove(name);
        Ok(())
    }

    /// The calls that write since the quiet window began; none are expected.
    pub async fn writes(&self, since: Mark) -> anyhow::Result<Vec<(String, usize)>> {
        let calls = self.tenant.world.calls(since, &self.tenant.namespace).await?;
        let writes = ["patch ", "create ", "delete ", "update "];
        Ok(calls
            .into_iter()
            .filter(|(call, _)| writes.iter().any(|verb| call.starts_with(verb)))
            .collect())
    }

    fn told(&self, what: &str, expected: Expected<'_>) {
        let Expected { requests, writes, .. } = expected;
        let writes: Vec<_> = writes.iter().map(|(call, count)| format!("{count} {call}")).collect();
        let writes = if writes.is_empty() { "none".to_owned() } else { writes.join(", ") };
        self.steps
            .taken(format!("{}: {what}: {requests} token requests, writes: {writes}", self.line));
    }

    async fn settles(&mut self, name: &str, mark: Mark, expected: Expected<'_>) -> Outcome {
        let Expected { conditions, secrets, events, requests, writes } = expected;
        if conditions.is_empty() {
            self.gone(name).await?;
        } else {
            self.tenant.wait_conditions(name, conditions).await?;
        }
        for (secret, held) in secrets {
            self.holds(secret, *held).await?;
        }
        self.requests += requests;
        self.tenant.wait_token_requests(self.requests).await?;
        if !conditions.is_empty() {
            let all = self.events.entry(name.to_owned()).or_default();
            all.extend(events);
            all.sort_unstable();
            let all = all.clone();
            self.tenant.expect_events(name, &all).await?;
        }
        let mut writes: Vec<_> =
            writes.iter().map(|(call, count)| ((*call).to_owned(), *count)).collect();
        writes.sort();
        wait_for(&format!("the writes {writes:?}"), SOON, async || {
            let mut made = self.writes(mark).await?;
            if self.retries {
                let tries = made.iter_mut().filter(|(call, _)| call == SECRET.0);
                let first = writes.iter().find(|(call, _)| call == SECRET.0).map_or(0, |(_, n)| *n);
                tries.for_each(|(_, count)| *count = (*count).min(first));
            }
            ensure!(made == writes, "{made:?}");
            Ok(())
        })
        .await?;
        if writes.is_empty() {
            // An event may still be on its way to the operator.
            holds_for("nothing is written", LOOKED_AT, async || {
                let made = self.writes(mark).await?;
                ensure!(made.is_empty(), "{made:?}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    async fn gone(&self, name: &str) -> Outcome {
        wait_for(&format!("credential {name} to be gone"), SOON, async || {
            ensure!(self.tenant.credentials().get_opt(name).await?.is_none(), "it is there");
            Ok(())
        })
        .await
    }

    async fn holds(&mut self, secret: &str, held: Held) -> Outcome {
        let what = format!("Secret {secret} to be {held:?}");
        let seen = self.token.clone();
        let token = wait_for(&what, COLLECTED, async || {
            let found = self.tenant.secrets().get_opt(secret).await?;
            let token = found
                .as_ref()
                .filter(|found| found.annotations().contains_key("oauthcc.dev/owner-uid"));
            let token = token.map(token_of).transpose()?;
            let as_expected = match held {
                Held::Absent => found.is_none(),
                Held::Foreign => found.is_some(),
                Held::Same => token.is_some() && token == seen,
                Held::New => token.is_some() && token != seen,
            };
            ensure!(
                as_expected,
                "it is not: there: {}, ours: {}",
                found.is_some(),
                token.is_some()
            );
            if let (Held::New, Some(token)) = (held, &token) {
                let lives = self.tenant.world.server.introspect(token).await?.active;
                ensure!(lives, "its token is not alive");
            }
            Ok(token)
        })
        .await?;
        if let (Held::New, Some(token)) = (held, token) {
            self.token = Some(token);
        }
        Ok(())
    }
}

/// What a step expects, in the order in which a person would tell it.
pub const fn expect<'a>(
    conditions: &'a str,
    secrets: &'a [(&'a str, Held)],
    events: &'a [&'static str],
    requests: usize,
    writes: &'a [(&'a str, usize)],
) -> Expected<'a> {
    Expected { conditions, secrets, events, requests, writes }
}

/// The edit that changes nothing but the target.
pub fn target(target: &Value) -> Value {
    json!({ "target": target })
}
