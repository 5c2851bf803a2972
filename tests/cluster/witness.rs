//! A watch of its own on the managed Secrets of a namespace: what a pod that reads at the worst
//! moment would get.
//!
//! **Invariant:** every version from the start on is looked at, in order, and the authorization
//! server is asked about its token; a version that is missed is a failure, not a gap in the record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use oauthcc_harness::wait::wait_for;
use oauthcc_operator::domain::crd::{
    EXPIRES_AT, EXPIRES_AT_KEY, ISSUED_AT, MANAGED_LABEL, OWNER_UID, REVISION, TOKEN_TYPE_KEY,
};
use oauthcc_operator::domain::schedule::{self, SchedulePolicy};
use tokio::task::JoinHandle;

use crate::tenant::{Tenant, token_of};
use crate::world::World;

/// The longest watch that a server gives without ending it by itself.
const LONGEST_WATCH_SECONDS: u32 = 290;
/// How much later than its `expires-at` a token may end: the second that is cut off, four times.
const MOST_LEEWAY_SECONDS: i64 = 4;

/// A token as it was seen to arrive.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its revision.
    pub revision: i64,
    /// When it was issued, as the Secret says.
    pub issued_at: Timestamp,
    /// When it expires, as the Secret says.
    pub expires_at: Timestamp,
    /// When it is to be renewed.
    pub renewal_at: Timestamp,
    /// When this watch told of it.
    pub told_at: Timestamp,
    /// By how many seconds the server lets it live longer than the Secret says.
    pub leeway: i64,
    /// The token itself.
    pub token: String,
}

type Record = Arc<Mutex<BTreeMap<String, Vec<Seen>>>>;

/// The watch; dropping it ends it.
pub struct Witness {
    record: Record,
    watching: JoinHandle<anyhow::Result<()>>,
}

impl Witness {
    /// Watches from now on. Secrets that are there already are looked at once.
    pub async fn start(tenant: &Tenant) -> anyhow::Result<Self> {
        let labels = format!("{MANAGED_LABEL}=true");
        let listed = tenant.secrets().list(&ListParams::default().labels(&labels)).await?;
        let version = listed.metadata.resource_version.context("a list has a version")?;
        let record = Record::default();
        let observer = Observer { world: Arc::clone(&tenant.world), record: Arc::clone(&record) };
        for secret in &listed.items {
            observer.look(secret).await?;
        }
        let params = WatchParams::default().labels(&labels).timeout(LONGEST_WATCH_SECONDS);
        let events = tenant.secrets().watch(&params, &version).await?.boxed();
        let watching = tokio::spawn(async move {
            let mut events = events;
            while let Some(event) = events.try_next().await? {
                observer.told(event).await?;
            }
            bail!("the watch ended")
        });
        Ok(Self { record, watching })
    }

    /// What was seen of a Secret, the oldest first.
    pub fn seen(&self, secret: &str) -> Vec<Seen> {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.get(secret).cloned().unwrap_or_default()
    }

    /// Waits until each of these Secrets has been seen with this revision; fails as soon as a version
    /// was seen that must not be.
    pub async fn wait_revision(
        &mut self,
        secrets: &[&str],
        revision: i64,
        bound: Duration,
    ) -> anyhow::Result<()> {
        let what = format!("revision {revision} of each of {secrets:?}");
        let arrived = wait_for(&what, bound, async || {
            let now: Vec<_> = secrets
                .iter()
                .map(|name| self.seen(name).last().map_or(0, |seen| seen.revision))
                .collect();
            let there = now.iter().all(|now| *now >= revision);
            if self.watching.is_finished() || there { Ok(()) } else { Err(format!("{now:?}")) }
        });
        arrived.await?;
        if self.watching.is_finished() {
            return (&mut self.watching).await?;
        }
        Ok(())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

struct Observer {
    world: Arc<World>,
    record: Record,
}

impl Observer {
    async fn told(&self, event: WatchEvent<Secret>) -> anyhow::Result<()> {
        match event {
            WatchEvent::Added(secret) | WatchEvent::Modified(secret) => {
                let version = secret.resource_version().unwrap_or_default();
                let name = secret.name_any();
                self.look(&secret).await.with_context(|| format!("{name} at version {version}"))
            }
            WatchEvent::Deleted(secret) => bail!("{} was deleted", secret.name_any()),
            WatchEvent::Bookmark(_) => Ok(()),
            WatchEvent::Error(status) => bail!("the watch failed: {}", status.message),
        }
    }

    /// The token lives, its expiry is its own, and where it replaces another one that one lives too.
    async fn look(&self, secret: &Secret) -> anyhow::Result<()> {
        let seen = self.read(secret).await?;
        let name = secret.name_any();
        let before = {
            let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            record.get(&name).and_then(|all| all.last()).cloned()
        };
        if let Some(before) = before {
            if before.revision == seen.revision {
                ensure!(before.token == seen.token, "another token with the same revision");
                ensure!(before.expires_at == seen.expires_at, "another expiry of the same token");
                return Ok(());
            }
            ensure!(
                seen.revision == before.revision + 1,
                "revision {} follows {}",
                seen.revision,
                before.revision
            );
            ensure!(before.token != seen.token, "the same token with another revision");
            let replaced = self.world.server.introspect(&before.token).await?;
            ensure!(replaced.active, "the token before was dead when it was replaced");
        }
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.entry(name).or_default().push(seen);
        Ok(())
    }

    async fn read(&self, secret: &Secret) -> anyhow::Result<Seen> {
        let told_at = Timestamp::now();
        let data = secret.data.as_ref().context("no data")?;
        let keys: BTreeSet<&str> = data.keys().map(String::as_str).collect();
        let expected = BTreeSet::from(["token", EXPIRES_AT_KEY, TOKEN_TYPE_KEY]);
        ensure!(keys == expected, "the keys are {keys:?}");
        let token = token_of(secret)?;
        let told = self.world.server.introspect(&token).await?;
        ensure!(told.active, "the token is dead");
        let mark =
            |name: &str| secret.annotations().get(name).with_context(|| format!("no {name}"));
        let written = std::str::from_utf8(&data.get(EXPIRES_AT_KEY).context("no expiry")?.0)?;
        ensure!(written == mark(EXPIRES_AT)?, "{written} is not {}", mark(EXPIRES_AT)?);
        let (issued_at, expires_at) = (mark(ISSUED_AT)?.parse()?, written.parse::<Timestamp>()?);
        let ends_at = i64::try_from(told.exp.context("no exp")?)?;
        let leeway = ends_at - expires_at.as_second();
        ensure!((0..=MOST_LEEWAY_SECONDS).contains(&leeway), "it ends {leeway} s after {written}");
        Ok(Seen {
            revision: mark(REVISION)?.parse()?,
            issued_at,
            expires_at,
            renewal_at: schedule::renewal_at(
                &SchedulePolicy::default(),
                None,
                mark(OWNER_UID)?,
                issued_at,
                expires_at,
            ),
            told_at,
            leeway,
            token,
        })
    }
}
