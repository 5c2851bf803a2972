//! `/metrics` as a scraper reads it: both text formats, the names, and what becomes of the series of
//! a credential that is deleted.
//!
//! **Invariant:** a line that the format does not know, a sample outside its family and a series that
//! is there twice are failures, in whatever the operator serves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use libtest_mimic::Trial;
use oauthcc_harness::wait::wait_for;
use serde_json::json;

use crate::tenant::Tenant;
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
const OPEN_METRICS: &str = "application/openmetrics-text";

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("metrics_are_well_formed_in_both_formats_and_have_their_names", formats),
        suite.shared("the_series_of_a_credential_go_with_it", series_vanish),
        suite.alone("the_reader_of_metrics_refuses_what_is_malformed", async || reader_refuses()),
    ]
}

/// What behaviour §7 names and this version has: family as the plain text format has it, and type.
const FAMILIES: [(&str, &str); 13] = [
    ("controller_runtime_reconcile_errors_total", "counter"),
    ("controller_runtime_reconcile_time_seconds", "histogram"),
    ("controller_runtime_reconcile_total", "counter"),
    ("oauthcc_build_info", "gauge"),
    ("oauthcc_credential_ready", "gauge"),
    ("oauthcc_credentials", "gauge"),
    ("oauthcc_secret_writes_total", "counter"),
    ("oauthcc_token_expiration_timestamp_seconds", "gauge"),
    ("oauthcc_token_issue_timestamp_seconds", "gauge"),
    ("oauthcc_token_renewal_timestamp_seconds", "gauge"),
    ("oauthcc_token_request_duration_seconds", "histogram"),
    ("oauthcc_token_requests_total", "counter"),
    ("oauthcc_token_rotation_lateness_seconds", "histogram"),
];

async fn formats(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    let (kind, text) = scrape(&world, "*/*").await?;
    ensure!(kind.starts_with("text/plain; version=0.0.4"), "the content type is {kind}");
    let plain = read(&text, false).with_context(|| text.clone())?;
    for (name, kind) in FAMILIES {
        let found = plain.get(name).map_or("", |family| family.kind.as_str());
        ensure!(found == kind, "{name} is {found:?}, not {kind:?}");
    }
    let known: BTreeSet<_> = FAMILIES.iter().map(|(name, _)| *name).collect();
    let more: Vec<_> = plain.keys().filter(|name| !known.contains(name.as_str())).collect();
    ensure!(more.is_empty(), "families that are in no list: {more:?}");

    // What Prometheus sends.
    let accept = format!("{OPEN_METRICS};version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2");
    let (kind, text) = scrape(&world, &accept).await?;
    ensure!(kind.starts_with(OPEN_METRICS), "the content type is {kind}");
    let open = read(&text, true).with_context(|| text.clone())?;
    ensure!(open.len() == plain.len(), "{:?} and {:?}", open.keys(), plain.keys());
    let host = format!("host=\"{}\"", world.server.host());
    for name in ["oauthcc_token_requests", "oauthcc_token_request_duration_seconds"] {
        let series = &open.get(name).with_context(|| format!("no {name}"))?.series;
        ensure!(series.iter().any(|series| series.contains(&host)), "{series:?}");
    }
    Ok(())
}

async fn series_vanish(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.apply("lost", json!({"credentialsSecretRef": {"name": "nowhere"}})).await?;
    tenant.wait_ready("crm").await?;
    tenant.wait_condition("lost", "Ready", "False", "CredentialsNotFound").await?;
    let of = |name: &str| format!("namespace=\"{}\",name=\"{name}\"", tenant.namespace);
    let labels = of("crm");
    let token = tenant.get("crm").await?.status.and_then(|status| status.token);
    let token = token.context("a token")?;
    let expected = [
        format!("oauthcc_credential_ready{{{labels},reason=\"TokenValid\"}} 1"),
        format!(
            "oauthcc_token_issue_timestamp_seconds{{{labels}}} {}",
            token.issue_time.0.as_second()
        ),
        format!(
            "oauthcc_token_renewal_timestamp_seconds{{{labels}}} {}",
            token.renewal_time.0.as_second()
        ),
        format!(
            "oauthcc_token_expiration_timestamp_seconds{{{labels}}} {}",
            token.expiration_time.0.as_second()
        ),
        format!("oauthcc_credential_ready{{{},reason=\"CredentialsNotFound\"}} 0", of("lost")),
    ];
    let here = format!("namespace=\"{}\"", tenant.namespace);
    let told = async || -> anyhow::Result<BTreeSet<String>> {
        let (_, text) = scrape(&world, "*/*").await?;
        Ok(text.lines().filter(|line| line.contains(&here)).map(str::to_owned).collect())
    };
    wait_for("the series of both credentials", SOON, async || {
        let found = told().await?;
        ensure!(found == expected.iter().cloned().collect(), "{found:#?}");
        Ok(())
    })
    .await?;
    tenant.delete("crm").await?;
    tenant.delete("lost").await?;
    wait_for("the series to vanish with their credentials", SOON, async || {
        let found = told().await?;
        ensure!(found.is_empty(), "{found:#?}");
        Ok(())
    })
    .await
}

/// Content type and text of `/metrics`.
pub async fn scrape(world: &World, accept: &str) -> anyhow::Result<(String, String)> {
    let url = format!("http://{}/metrics", world.operator_address());
    let client = reqwest::Client::builder().no_proxy().timeout(SOON).build()?;
    let answer = client.get(url).header("accept", accept).send().await?.error_for_status()?;
    let kind = answer.headers().get("content-type").context("a content type")?;
    let kind = kind.to_str()?.to_owned();
    Ok((kind, answer.text().await?))
}

#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    series: BTreeSet<String>,
}

/// Reads a whole exposition: 0.0.4 or, if `open`, `OpenMetrics` 1.0.
fn read(text: &str, open: bool) -> anyhow::Result<BTreeMap<String, Family>> {
    let body = match (open, text.strip_suffix("# EOF\n")) {
        (true, None) => bail!("it does not end with # EOF"),
        (true, Some(body)) => body,
        (false, _) => text,
    };
    ensure!(body.ends_with('\n'), "the last line has no end");
    let mut families = BTreeMap::<String, Family>::new();
    let mut current = String::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let parts = comment
                .split_once(' ')
                .and_then(|(word, rest)| Some((word, rest.split_once(' ')?)));
            let (word, (name, rest)) = parts.with_context(|| format!("bad comment: {line}"))?;
            ensure!(is_name(name) && !rest.is_empty(), "bad comment: {line}");
            if name != current {
                ensure!(!families.contains_key(name), "{name} is there twice");
                name.clone_into(&mut current);
            }
            let family = families.entry(name.to_owned()).or_default();
            let text = match word {
                "TYPE" => &mut family.kind,
                "HELP" => &mut family.help,
                _ => bail!("bad comment: {line}"),
            };
            ensure!(text.is_empty(), "{word} of {name} is there twice");
            rest.clone_into(text);
        } else {
            let family = families.get_mut(&current).context("a sample before any family")?;
            sample(line, &current, family, open).with_context(|| format!("bad line: {line}"))?;
        }
    }
    let bare = families.iter().find(|(_, family)| family.kind.is_empty() || family.help.is_empty());
    ensure!(bare.is_none(), "without type or help: {bare:?}");
    Ok(families)
}

/// `name{label="value",...} number`, the name that of its family and an ending of its type.
fn sample(line: &str, name: &str, family: &mut Family, open: bool) -> anyhow::Result<()> {
    let (series, value) = line.rsplit_once(' ').context("no value")?;
    let number: f64 = value.parse().context("the value is no number")?;
    let (full, labels) = match series.split_once('{') {
        Some((full, labels)) => (full, labels.strip_suffix('}').context("no end of labels")?),
        None => (series, ""),
    };
    let ending = full.strip_prefix(name).context("of another family")?;
    let endings: &[&str] = match (family.kind.as_str(), open) {
        ("counter", true) => &["_total"],
        ("counter" | "gauge", _) => &[""],
        ("info", true) => &["_info"],
        ("histogram", _) => &["_bucket", "_sum", "_count"],
        (kind, _) => bail!("a type {kind:?}"),
    };
    ensure!(endings.contains(&ending), "{full} is no sample of a {}", family.kind);
    ensure!(family.kind != "counter" || number >= 0.0, "a negative counter");
    let mut rest = labels;
    while !rest.is_empty() {
        let (label, more) = rest.split_once("=\"").context("a label without a value")?;
        ensure!(is_name(label), "the label {label:?}");
        let end = more.find('"').context("a value without an end")?;
        let after = more.get(end + 1..).unwrap_or_default();
        rest = after.strip_prefix(',').unwrap_or(after);
        ensure!(after.is_empty() || after.len() > rest.len(), "no comma between labels");
    }
    ensure!(family.series.insert(series.to_owned()), "{series} is there twice");
    Ok(())
}

fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(word)
}

fn reader_refuses() -> Outcome {
    let good = "# HELP a_total b\n# TYPE a_total counter\na_total{x=\"y\",z=\"\"} 1\na_total 2\n";
    read(good, false)?;
    for bad in [
        "a_total 1\n",
        "# HELP a b\n# TYPE a gauge\na 1",
        "# HELP a b\n# TYPE a gauge\na one\n",
        "# HELP a b\n# TYPE a gauge\nb 1\n",
        "# HELP a b\n# TYPE a gauge\na 1\na 1\n",
        "# HELP a b\n# TYPE a gauge\na{x=y} 1\n",
        "# HELP a b\n# TYPE a gauge\na{x=\"y\"z=\"\"} 1\n",
        "# HELP a b\n# TYPE a gauge\n\na 1\n",
        "# HELP a b\n# TYPE a histogram\na 1\n",
        "# HELP a b\na 1\n",
        "# TYPE a gauge\na 1\n",
    ] {
        ensure!(read(bad, false).is_err(), "it reads {bad:?}");
    }
    ensure!(read(good, true).is_err(), "it reads text without an end as OpenMetrics");
    let open = "# HELP a b\n# TYPE a counter\na_total 1\n# EOF\n";
    ensure!(read(open, true).is_ok() && read(open, false).is_err(), "the formats differ");
    Ok(())
}
