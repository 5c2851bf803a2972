//! Readers across rotations: one that resolves `..data` once, one that does not, one of a single file.
//!
//! **Invariant:** a pair counts only if one version of the Secret held both; the authorization server is
//! asked about a token while the pod reads it, and again when the pod has just left it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures::future::try_join_all;
use libtest_mimic::Trial;
use oauthcc_harness::wait::wait_for;
use oauthcc_operator::domain::crd::RENEW_REQUESTED_AT;
use oauthcc_operator::domain::schedule::span;
use serde_json::{Value, json};

use crate::pod::{PROMPTLY, Pod, Reader, Told, projected, two_keys, whole};
use crate::scene::Scene;
use crate::tenant::Tenant;
use crate::witness::{Seen, Witness};
use crate::world::SOON;
use crate::{Outcome, Suite};

const HALF_MINUTE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);
/// How many credentials rotate, each with a pod of its own.
const CREDENTIALS: usize = 10;
/// How many rotations each pod sees.
const ROTATIONS: usize = 5;
/// A token of half a minute is renewed after 15 s at the latest.
const ROTATION_BOUND: Duration = HALF_MINUTE;

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("a_reader_that_resolves_once_sees_whole_grants_and_live_tokens", resolve_once),
        suite.shared("a_reader_that_resolves_twice_sees_a_pair_of_two_grants", resolve_twice),
        suite.shared("a_document_holds_one_grant", one_document),
    ]
}

async fn resolve_once(scene: Arc<Scene>) -> Outcome {
    let tenant = Tenant::with_client_secret(&scene.world, HALF_MINUTE).await?;
    let mut witness = Witness::start(&tenant).await?;
    let names: Vec<_> = (1..=CREDENTIALS).map(|number| format!("orders-{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for name in &names {
        tenant.apply(name, json!({})).await?;
    }
    let mut pods = Vec::new();
    for (number, name) in names.iter().enumerate() {
        tenant.wait_ready(name).await?;
        let volume = match number {
            0 => two_keys(name),
            1 => projected(name),
            _ => whole(name),
        };
        pods.push(Pod::create(&scene, &tenant, name, Reader::new("resolve-once", volume)).await?);
    }
    let all = try_join_all(
        pods.iter().zip(&names).map(|(pod, name)| follow(&witness, name, &tenant, pod)),
    )
    .await?;
    for name in &names {
        tenant.merge(name, json!({"spec": {"suspend": true}})).await?;
    }
    let revision = i64::try_from(ROTATIONS)? + 1;
    witness.wait_revision(&names, revision, SOON).await?;
    let mut figures = Figures::default();
    for (name, told) in names.iter().zip(&all) {
        let seen = witness.seen(name);
        figures.add(told, versions(told, &seen).context((*name).to_owned())?);
    }
    ensure!(figures.delays.len() == CREDENTIALS * ROTATIONS, "{} rotations", figures.delays.len());
    ensure!(figures.again > 0, "no rotation came between the two files, so nothing is shown");
    figures.print();
    Ok(())
}

/// Follows a reader across the rotations.
async fn follow(
    witness: &Witness,
    secret: &str,
    tenant: &Tenant,
    pod: &Pod,
) -> anyhow::Result<Vec<Told>> {
    let mut told = Vec::new();
    for rotation in 0..=ROTATIONS {
        let bound = if rotation == 0 { PROMPTLY } else { ROTATION_BOUND };
        told = pod.wait_told(rotation + 1, bound).await?;
        let now = &told[rotation];
        lives(tenant, now).await?;
        // Its end would have come while the pod read it.
        if let Some(before) = rotation.checked_sub(1) {
            lives(tenant, &told[before]).await.context("a token that was just read")?;
        }
        let what =
            format!("a version of {secret} that held both what was read as change {rotation}");
        wait_for(&what, SOON, async || version(now, &witness.seen(secret)).is_some()).await?;
    }
    Ok(told)
}

/// The authorization server calls the token alive.
async fn lives(tenant: &Tenant, told: &Told) -> Outcome {
    let token = told.words.first().context("no token")?;
    ensure!(tenant.world.server.introspect(token).await?.active, "the token is dead");
    Ok(())
}

/// The version of the Secret that held both the token and the expiry.
fn version<'a>(told: &Told, seen: &'a [Seen]) -> Option<&'a Seen> {
    let holds =
        |version: &&Seen| told.words == [version.token.clone(), version.expires_at.to_string()];
    seen.iter().find(holds)
}

/// The versions that a reader told of: one after the other, none left out, each left before its end.
fn versions<'a>(told: &[Told], seen: &'a [Seen]) -> anyhow::Result<Vec<&'a Seen>> {
    let found = told.iter().map(|told| {
        version(told, seen).with_context(|| format!("a pair of two grants at {}", told.at))
    });
    let found: Vec<_> = found.collect::<anyhow::Result<_>>()?;
    for (pair, told) in found.windows(2).zip(&told[1..]) {
        let (old, new) = (pair[0], pair[1]);
        ensure!(new.revision == old.revision + 1, "{} follows {}", new.revision, old.revision);
        let end = old.expires_at;
        ensure!(told.at < end, "revision {} was read until {}, after {end}", old.revision, told.at);
    }
    Ok(found)
}

/// What was measured.
#[derive(Default)]
struct Figures {
    reads: u64,
    again: u64,
    delays: Vec<Duration>,
}

impl Figures {
    fn add(&mut self, told: &[Told], versions: Vec<&Seen>) {
        let last = told.last().map_or((0, 0), |last| (last.reads, last.again));
        self.reads += last.0;
        self.again += last.1;
        let changes = told.iter().zip(versions).skip(1);
        self.delays.extend(changes.map(|(told, version)| span(version.told_at, told.at)));
    }

    #[expect(clippy::print_stdout, reason = "measured figures are what this test is read for")]
    fn print(mut self) {
        self.delays.sort();
        let at = |index: usize| self.delays.get(index).copied().unwrap_or_default();
        let count = self.delays.len();
        println!(
            "{count} rotations in {CREDENTIALS} pods, read {} times: {} times a file was gone \
             between the two and the reader began again; a new token was read {:.1?} to {:.1?}, \
             median {:.1?}, after it was written",
            self.reads,
            self.again,
            at(0),
            at(count.saturating_sub(1)),
            at(count / 2),
        );
    }
}

/// The control: the same reader by two paths. Were it fine as well, the test above would show nothing.
async fn resolve_twice(scene: Arc<Scene>) -> Outcome {
    let tenant = Tenant::with_client_secret(&scene.world, HOUR).await?;
    let mut witness = Witness::start(&tenant).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    let reader = Reader::new("resolve-twice", whole("crm"));
    let pod = Pod::create(&scene, &tenant, "crm", reader).await?;
    pod.wait_told(1, PROMPTLY).await?;
    // Now and then a rotation comes before the first file, and not between the two.
    for revision in 2..=3 {
        tenant.annotate("crm", RENEW_REQUESTED_AT, &revision.to_string()).await?;
        witness.wait_revision(&["crm"], revision, SOON).await?;
        let seen = witness.seen("crm");
        let what = format!("revision {revision} in pod {}/crm", tenant.namespace);
        let told = wait_for(&what, PROMPTLY, async || {
            let told = pod.told()?;
            let last = told.last().and_then(|last| version(last, &seen)).context("no version")?;
            ensure!(last.revision == revision, "revision {}", last.revision);
            Ok(told)
        })
        .await?;
        let of_two = |told: &&Told| version(told, &seen).is_none();
        if let Some(mixed) = told.iter().find(of_two) {
            let (new, old) = (&seen[seen.len() - 1], &seen[seen.len() - 2]);
            ensure!(
                mixed.words == [old.token.clone(), new.expires_at.to_string()],
                "it read what neither version held"
            );
            return Ok(());
        }
    }
    bail!("it read whole grants only")
}

async fn one_document(scene: Arc<Scene>) -> Outcome {
    let tenant = Tenant::with_client_secret(&scene.world, HOUR).await?;
    let formats = json!([{"key": "token.json", "type": "JSON"}]);
    tenant.apply("crm", json!({"target": {"additionalOutputFormats": formats}})).await?;
    tenant.wait_ready("crm").await?;
    let pod =
        Pod::create(&scene, &tenant, "crm", Reader::new("one-document", whole("crm"))).await?;
    for revision in 1..=2 {
        if revision > 1 {
            tenant.annotate("crm", RENEW_REQUESTED_AT, "now").await?;
        }
        let secret = tenant.wait_revision("crm", revision).await?;
        let told = pod.wait_told(usize::try_from(revision)?, PROMPTLY).await?;
        let document = told.last().and_then(|told| told.words.first()).context("a document")?;
        let document: Value = serde_json::from_str(document)?;
        let data = secret.data.context("data")?;
        for (key, member) in [("token", "token"), ("expires-at", "expiresAt")] {
            let held = std::str::from_utf8(&data.get(key).context("a key")?.0)?;
            ensure!(document[member] == held, "{member} of the document is not that of the Secret");
        }
        ensure!(document["revision"] == revision, "it is of revision {}", document["revision"]);
    }
    Ok(())
}
