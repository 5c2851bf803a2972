//! Every field of the spec, absent, empty, at its limits, beyond them and back again, as the schema that
//! is installed has them: the operations are made from `crds/`, and done to credentials with live tokens.
//!
//! **Invariant:** a field of the schema to which nothing is done is a failure; after the way back
//! everything is as before, and no token was lost on the way.

mod bases;
mod operations;
mod places;
mod state;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use futures::future::{join_all, try_join_all};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use libtest_mimic::Trial;
use oauthcc_operator::domain::crd::OAuthClientCredential;
use serde_json::Value;

use self::bases::{Base, Credential};
use self::operations::{Expected, Operation, operations};
use self::worker::{Answer, Report};
use crate::canary::scanner::Scanner;
use crate::schema::examples::walk;
use crate::world::{World, tail};
use crate::{Outcome, Suite};

const DEFINITION: &str = "crds/oauthclientcredentials.oauthcc.dev.yaml";
/// How many operations the specification asks for.
const AT_LEAST: usize = 300;
/// How many one credential gets: the gap between two token requests is what takes time.
const EACH: usize = 10;

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![suite.alone("every_field_goes_to_its_limits_and_back_without_a_trace", campaign)]
}

async fn campaign() -> Outcome {
    // A trace of so many looks would be read for minutes.
    let arguments = ["--minimum-request-gap=1s", "--log-level=debug"];
    let world = Arc::new(World::start(&arguments).await?);
    run(&world).await.inspect_err(|_| world.keep_logs())
}

/// The schema of the spec, as it is committed.
fn schema() -> anyhow::Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DEFINITION);
    let text = std::fs::read_to_string(path).context(DEFINITION)?;
    let definition: Value = serde_saphyr::from_str(&text)?;
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    definition.pointer(spec).cloned().context("the definition has a schema of the spec")
}

async fn run(world: &Arc<World>) -> Outcome {
    let (started, pid) = (Instant::now(), world.operator_pid());
    let (schema, scanner) = (schema()?, Scanner::default());
    let canary = scanner.canary("client secrets");
    let start = |base| Credential::start(world, base, &canary);
    let first = try_join_all(Base::ALL.map(start)).await?;
    let all = operations(&schema, &first).await?;
    let made = started.elapsed();
    let workers = workers(world, first, all, &canary).await?;
    let count = workers.len();
    let ready = started.elapsed();
    let work = async |(credential, operations): (Credential, _)| credential.work(operations).await;
    let reports = join_all(workers.into_iter().map(work)).await;
    let (done, wrong, tokens) = joined(reports);
    let times = [made, ready, started.elapsed()];
    print(&done, count, times.map(|time| time.as_secs()));
    ensure!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    ensure!(done.len() >= AT_LEAST, "{} operations", done.len());
    every_field_was_changed(&schema, &done)?;
    ensure!(world.operator_pid() == pid, "the operator has another process");
    nothing_was_leaked(world, &scanner, &tokens).await
}

/// Each base gets as many credentials as its operations need, the one that is there among them.
async fn workers(
    world: &Arc<World>,
    first: Vec<Credential>,
    operations: Vec<(Base, Operation)>,
    canary: &str,
) -> anyhow::Result<Vec<(Credential, Vec<Operation>)>> {
    let of_base = first.into_iter().map(async |credential: Credential| {
        let base = credential.base;
        let own = operations.iter().filter(|(of, _)| *of == base).map(|(_, o)| o.clone());
        let own: Vec<_> = own.collect();
        let count = own.len().div_ceil(EACH).max(1);
        let others = (1..count).map(|_| Credential::start(world, base, canary));
        let others = try_join_all(others).await?;
        // One after the other, so that each gets some of what is taken and some of what is refused.
        let mut shares: Vec<Vec<Operation>> = vec![Vec::new(); count];
        for (number, operation) in own.into_iter().enumerate() {
            shares[number % count].push(operation);
        }
        anyhow::Ok([credential].into_iter().chain(others).zip(shares).collect::<Vec<_>>())
    });
    Ok(try_join_all(of_base).await?.into_iter().flatten().collect())
}

type Joined = (Vec<worker::Done>, Vec<String>, BTreeSet<String>);

fn joined(reports: Vec<Report>) -> Joined {
    let mut all = Joined::default();
    for report in reports {
        all.0.extend(report.done);
        all.1.extend(report.wrong);
        all.2.extend(report.tokens);
    }
    all
}

/// One line for the reader of the test's output, and one for what cost the most.
#[expect(clippy::print_stdout, reason = "the figures are what the test is read for")]
fn print(done: &[worker::Done], credentials: usize, [made, ready, end]: [u64; 3]) {
    let accepted = done.iter().filter(|done| done.answer == Answer::Accepted).count();
    let mut by_requests: BTreeMap<usize, usize> = BTreeMap::new();
    for done in done {
        *by_requests.entry(done.requests).or_default() += 1;
    }
    println!(
        "misoperation: {} operations ({accepted} accepted, {} refused) on {credentials} credentials; \
         made after {made} s, credentials ready after {ready} s, end after {end} s; operations by \
         number of token requests: {by_requests:?}",
        done.len(),
        done.len() - accepted,
    );
}

/// Something was accepted of every field that is no object, unless it may never change.
fn every_field_was_changed(schema: &Value, done: &[worker::Done]) -> Outcome {
    let changed = done.iter().filter(|done| {
        done.answer == Answer::Accepted || done.operation.expected == Expected::OnlyWhenNew
    });
    let changed: BTreeSet<_> = changed.map(|done| done.operation.path.as_str()).collect();
    let tried: BTreeSet<_> = done.iter().map(|done| done.operation.path.as_str()).collect();
    let mut missing = Vec::new();
    walk(".spec", schema, &mut |path, schema| {
        let wanted = if schema.contains_key("properties") { &tried } else { &changed };
        if path != ".spec" && !wanted.contains(path) {
            missing.push(path.to_owned());
        }
    });
    ensure!(missing.is_empty(), "nothing was done to {missing:?}");
    Ok(())
}

/// No panic, and no secret value, in the operator's log, in any event and in any credential.
async fn nothing_was_leaked(
    world: &World,
    scanner: &Scanner,
    tokens: &BTreeSet<String>,
) -> Outcome {
    let printed = world.operator_output();
    ensure!(!printed.contains("panicked"), "a panic: {}", tail(&printed));
    ensure!(printed.contains("\"decided\""), "the log does not tell of decisions");
    let client = world.plane.admin_client();
    let (all, events) = (ListParams::default(), Api::<Event>::all(client.clone()));
    let credentials = Api::<OAuthClientCredential>::all(client);
    let events = serde_json::to_string(&events.list(&all).await?.items)?;
    let credentials = serde_json::to_string(&credentials.list(&all).await?.items)?;
    // A token is a word of its own wherever it stands.
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.~+/=".contains(c);
    let odd = tokens.iter().filter(|token| token.is_empty() || !token.chars().all(is_part)).count();
    ensure!(!tokens.is_empty() && odd == 0, "{odd} of {} tokens are no word", tokens.len());
    for (place, text) in [("log", printed), ("events", events), ("credentials", credentials)] {
        let found = scanner.find(&text);
        ensure!(found.is_empty(), "the {place} hold {found:?}");
        let words = text.split(|c: char| !is_part(c));
        let told = words.filter(|word| tokens.contains(*word)).count();
        ensure!(told == 0, "the {place} hold {told} tokens");
    }
    Ok(())
}
