//! The API server's audit log, as counts of calls.
//!
//! In: the log file (level Metadata). Out: the calls since a mark, filtered.
//! **Invariant:** a call is counted once, however many stages of it are logged (a watch is logged
//! when it starts and when it ends), and belongs to the time of its first line.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use serde::Deserialize;

const BARRIER_BOUND: Duration = Duration::from_secs(10);

/// A position in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(usize);

/// One request that the API server answered or, a watch, began to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Who asked, for example `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// Kubernetes' verb, for example `list` or `patch`.
    pub verb: String,
    /// The API group; empty for the core group and for paths that are no resource.
    pub group: String,
    /// The plural resource; empty for paths that are no resource.
    pub resource: String,
    /// The subresource, often empty.
    pub subresource: String,
    /// The namespace, empty for cluster-wide calls.
    pub namespace: String,
    /// The object's name, empty for collections.
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
    /// The path and query of the request.
    pub uri: String,
}

impl Call {
    /// `get secrets`, `patch oauthclientcredentials/status`, or `get /readyz` for a bare path.
    pub fn summary(&self) -> String {
        let Self { verb, resource, subresource, .. } = self;
        if resource.is_empty() {
            let path = self.uri.split('?').next().unwrap_or_default();
            format!("{verb} {path}")
        } else if subresource.is_empty() {
            format!("{verb} {resource}")
        } else {
            format!("{verb} {resource}/{subresource}")
        }
    }
}

/// Which calls to count; the default counts all.
#[derive(Debug, Clone, Default)]
pub struct CallFilter {
    user: Option<String>,
    namespace: Option<String>,
}

impl CallFilter {
    /// Only calls of this user.
    #[must_use]
    pub fn by_user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// Only calls of this ServiceAccount.
    #[must_use]
    pub fn by_service_account(self, namespace: &str, name: &str) -> Self {
        self.by_user(&format!("system:serviceaccount:{namespace}:{name}"))
    }

    /// Only calls for objects in this namespace, cluster-wide calls left out.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    fn matches(&self, call: &Call) -> bool {
        self.user.as_ref().is_none_or(|user| *user == call.user)
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == call.namespace)
    }
}

/// Reads the audit log of one control plane; clones share what is read.
#[derive(Debug, Clone)]
pub struct Audit(Arc<Shared>);

impl Audit {
    pub(crate) fn new(log: PathBuf, barrier: Barrier) -> Self {
        Self(Arc::new(Shared { log, barrier, read: Mutex::default() }))
    }

    /// The position after all calls answered so far.
    pub async fn mark(&self) -> anyhow::Result<Mark> {
        self.catch_up().await?;
        Ok(Mark(self.0.read_on()?.calls.len()))
    }

    /// The calls since `mark` that `filter` lets through, in order.
    pub async fn calls_since(&self, mark: Mark, filter: &CallFilter) -> anyhow::Result<Vec<Call>> {
        self.catch_up().await?;
        let read = self.0.read_on()?;
        Ok(read.calls.iter().skip(mark.0).filter(|call| filter.matches(call)).cloned().collect())
    }

    /// How often each kind of call came since `mark`, keyed as [`Call::summary`] says.
    pub async fn count_since(
        &self,
        mark: Mark,
        filter: &CallFilter,
    ) -> anyhow::Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        for call in self.calls_since(mark, filter).await? {
            *counts.entry(call.summary()).or_default() += 1;
        }
        Ok(counts)
    }

    /// The server writes a call's line after its answer, so a last call may be missing for a
    /// moment: a call of our own is made, and its line awaited.
    async fn catch_up(&self) -> anyhow::Result<()> {
        let barrier = &self.0.barrier;
        if !barrier.answering.load(Ordering::Relaxed) {
            return Ok(());
        }
        let uri = barrier.pass().await?;
        crate::wait::wait_for("the audit log to catch up", BARRIER_BOUND, async || {
            self.0.read_on().is_ok_and(|mut read| read.barriers.remove(&uri))
        })
        .await
    }
}

/// Makes a recognizable call as the admin.
#[derive(Debug)]
pub(crate) struct Barrier {
    pub(crate) client: reqwest::Client,
    pub(crate) url: String,
    pub(crate) token: String,
    /// False while the API server is stopped.
    pub(crate) answering: Arc<AtomicBool>,
    pub(crate) passed: AtomicUsize,
}

const BARRIER_PATH: &str = "/version?audit-barrier=";

impl Barrier {
    async fn pass(&self) -> anyhow::Result<String> {
        let number = self.passed.fetch_add(1, Ordering::Relaxed);
        let uri = format!("{BARRIER_PATH}{number}");
        self.client
            .get(format!("{}{uri}", self.url))
            .bearer_auth(&self.token)
            .send()
            .await
            .context("failed to call the API server for the audit log")?;
        Ok(uri)
    }
}

#[derive(Debug)]
struct Shared {
    log: PathBuf,
    barrier: Barrier,
    read: Mutex<ReadSoFar>,
}

#[derive(Debug, Default)]
struct ReadSoFar {
    offset: u64,
    ids: HashSet<String>,
    calls: Vec<Call>,
    barriers: HashSet<String>,
}

impl Shared {
    /// Reads the lines written since the last time.
    fn read_on(&self) -> anyhow::Result<std::sync::MutexGuard<'_, ReadSoFar>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = File::open(&self.log).context("failed to open the audit log")?;
        file.seek(SeekFrom::Start(read.offset)).context("failed to seek in the audit log")?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).context("failed to read the audit log")?;
        // A line that is being written is left for the next time.
        let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(read);
        };
        text.truncate(end + 1);
        read.offset += text.len() as u64;
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let event = serde_json::from_slice(line).context("failed to parse an audit event")?;
            read.add(event);
        }
        Ok(read)
    }
}

impl ReadSoFar {
    fn add(&mut self, event: Event) {
        if !self.ids.insert(event.audit_id) {
            return;
        }
        if event.request_uri.starts_with(BARRIER_PATH) {
            self.barriers.insert(event.request_uri);
            return;
        }
        let object = event.object_ref.unwrap_or_default();
        self.calls.push(Call {
            user: event.user.username,
            verb: event.verb,
            group: object.api_group,
            resource: object.resource,
            subresource: object.subresource,
            namespace: object.namespace,
            name: object.name,
            code: event.response_status.unwrap_or_default().code,
            uri: event.request_uri,
        });
    }
}

/// The part of `audit.k8s.io/v1 Event` that is read here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    object_ref: Option<ObjectReference>,
    response_status: Option<ResponseStatus>,
}

#[derive(Debug, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectReference {
    resource: String,
    namespace: String,
    name: String,
    api_group: String,
    subresource: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}
