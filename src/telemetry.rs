//! What can be seen from outside: one log line per decision, and one registry of metrics. In: what
//! happened, as closed words and numbers. Out: lines on standard error and the text of `/metrics`.
//!
//! **Invariant:** no secret value, URL, header or body reaches a line or a label, and no setting can
//! make the libraries below print one ([`fence`]). Labels come from closed sets; host is capped.

mod credentials;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::reflector::Store;
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::domain::crd::OAuthClientCredential;
use crate::domain::reason::Reason;
use crate::telemetry::credentials::Credentials;

/// Name of the controller in the labels of controller-runtime.
const CONTROLLER: &str = "oauthclientcredential";
/// Hosts with series of their own; the specs of tenants name hosts, so the number must have an end.
const MOST_HOSTS: usize = 200;
/// The label of every further host.
const OTHER_HOSTS: &str = "other";

/// Why the log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is no list of levels and `target=level`.
    #[error("the log level {filter:?} can't be read")]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The log was started before.
    #[error("the log is already set up")]
    Twice {
        /// What tracing says.
        source: tracing_subscriber::util::TryInitError,
    },
}

/// Starts the log on standard error; `filter` is a level, or comma-separated `target=level`.
///
/// # Errors
///
/// See [`LogError`].
pub fn init_logs(json: bool, filter: &str) -> Result<(), LogError> {
    let asked: Targets =
        filter.parse().map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let subscriber = lines(json, asked, io::stderr);
    subscriber.try_init().map_err(|source| LogError::Twice { source })
}

/// Logs where a panic happened and not what it said: the text of a library may quote a value.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a bug: the process panicked here");
    }));
}

/// The log as it is written to `writer`.
fn lines<W>(json: bool, asked: Targets, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = if json {
        layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        layer.boxed()
    };
    tracing_subscriber::registry().with(layer.with_filter(asked.and(fence())))
}

/// What no setting opens: a second filter beside the one that was asked for, so that no directive,
/// however specific, overrides it. Prefixes: `hyper` covers `hyper_util`.
///
/// `kube_client::client` is off: at WARN it prints a whole response, a Secret for instance, that
/// does not deserialize. The other libraries see request and response bytes and header values; what
/// they print below WARN is not reviewed with each upgrade, and above it only says that a connection
/// failed, without bytes.
fn fence() -> Targets {
    let capped = ["h2", "hyper", "reqwest", "rustls", "tower"];
    Targets::new()
        .with_default(LevelFilter::TRACE)
        .with_target("kube_client::client", LevelFilter::OFF)
        .with_targets(capped.map(|target| (target, LevelFilter::WARN)))
}

/// What is told of one decision.
#[derive(Clone, Debug)]
pub struct DecisionLine<'a> {
    /// Namespace of the credential.
    pub namespace: &'a str,
    /// Name of the credential.
    pub name: &'a str,
    /// The decision, a word of a closed list (`Request`, `Write`, `Keep`).
    pub decision: &'a str,
    /// What made a request necessary.
    pub trigger: Option<&'a str>,
    /// The reason of Ready, or what stands in the way.
    pub reason: Option<Reason>,
    /// When the credential is looked at next.
    pub next: Option<Timestamp>,
    /// Whether anything was requested, written or refused; else the line is at debug.
    pub happened: bool,
}

/// Writes one line for one decision.
pub fn decision(line: &DecisionLine<'_>) {
    let reason = line.reason.map(Reason::as_str);
    let next = line.next.map(tracing::field::display);
    let DecisionLine { namespace, name, decision, trigger, .. } = *line;
    if line.happened {
        tracing::info!(namespace, name, decision, trigger, reason, next, "decided");
    } else {
        tracing::debug!(namespace, name, decision, trigger, reason, next, "decided");
    }
}

/// A finalizer that is not wanted any more is still there, which keeps its credential from nothing else.
pub fn finalizer_kept(error: &dyn std::error::Error) {
    tracing::warn!(error = chain(error), "a finalizer is not wanted any more and stays for now");
}

/// An error with its causes on one line. Errors of the rooms never hold a secret value, and those of
/// the Kubernetes client no object.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    host: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HostLabels {
    host: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    controller: &'static str,
    result: &'static str,
}

/// How a reconcile ended, in the words of controller-runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    /// Done; nothing but an event brings it back.
    Success,
    /// Done; it comes back by itself at a set time.
    RequeueAfter,
    /// It failed.
    Error,
}

impl ReconcileResult {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::RequeueAfter => "requeue_after",
            Self::Error => "error",
        }
    }
}

/// Every metric of the process. Share it by [`std::sync::Arc`].
pub struct Metrics {
    registry: Registry,
    hosts: Mutex<HashSet<String>>,
    requests: Family<RequestLabels, Counter>,
    request_duration: Family<HostLabels, Histogram, fn() -> Histogram>,
    lateness: Histogram,
    writes: Family<OutcomeLabels, Counter>,
    reconciles: Family<ResultLabels, Counter>,
    reconcile_errors: Family<ControllerLabels, Counter>,
    reconcile_time: Family<ControllerLabels, Histogram, fn() -> Histogram>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Registers everything. `stores` are read at scrape time, one per watched namespace or one for
    /// all; with `per_credential` false no series carries the name of a credential.
    pub fn new(
        version: &'static str,
        stores: Vec<Store<OAuthClientCredential>>,
        per_credential: bool,
    ) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            hosts: Mutex::new(HashSet::new()),
            requests: Family::default(),
            request_duration: Family::new_with_constructor(seconds_of_a_request),
            lateness: seconds_of_lateness(),
            writes: Family::default(),
            reconciles: Family::default(),
            reconcile_errors: Family::default(),
            reconcile_time: Family::new_with_constructor(seconds_of_a_reconcile),
        };
        metrics.register(version);
        let credentials = Credentials { stores, per_credential };
        metrics.registry.register_collector(Box::new(credentials));
        // A family without a label set prints nothing, and a rate over nothing is no zero.
        let labels = ControllerLabels { controller: CONTROLLER };
        drop(metrics.reconcile_errors.get_or_create(&labels));
        metrics
    }

    /// The library adds `_total` to counters and `_info` to infos.
    fn register(&mut self, version: &'static str) {
        let Self { registry, .. } = self;
        registry.register("oauthcc_build", "The running build", Info::new([("version", version)]));
        registry.register(
            "oauthcc_token_requests",
            "Token requests that ended, by host of the token endpoint and outcome",
            self.requests.clone(),
        );
        registry.register(
            "oauthcc_token_request_duration_seconds",
            "Time from sending a token request to its answer or failure",
            self.request_duration.clone(),
        );
        registry.register(
            "oauthcc_token_rotation_lateness_seconds",
            "Time from when a renewal was due to when its token was written",
            self.lateness.clone(),
        );
        registry.register(
            "oauthcc_secret_writes",
            "Writes of managed Secrets, by outcome",
            self.writes.clone(),
        );
        registry.register(
            "controller_runtime_reconcile",
            "Reconciles by controller and result",
            self.reconciles.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_errors",
            "Reconciles that failed, by controller",
            self.reconcile_errors.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "Time of a reconcile, its token request included, by controller",
            self.reconcile_time.clone(),
        );
    }

    /// A token request ended: `outcome` is the word of a [`Reason`], `took` its time on the clock.
    /// `host` must have consent: specs alone could name any.
    pub fn request_answered(&self, host: &str, outcome: &'static str, took: Duration) {
        let host = self.host_label(host);
        self.requests.get_or_create(&RequestLabels { host: host.clone(), outcome }).inc();
        self.request_duration.get_or_create(&HostLabels { host }).observe(took.as_secs_f64());
    }

    /// A write of a managed Secret ended: `outcome` is the word of a [`Reason`], `SecretSynced` where
    /// it went well.
    pub fn secret_written(&self, outcome: &'static str) {
        self.writes.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// A renewed token was written this long after its renewal was due.
    pub fn rotation_lateness(&self, late: Duration) {
        self.lateness.observe(late.as_secs_f64());
    }

    /// A reconcile ended.
    pub fn reconciled(&self, result: ReconcileResult, took: Duration) {
        let labels = ControllerLabels { controller: CONTROLLER };
        if result == ReconcileResult::Error {
            self.reconcile_errors.get_or_create(&labels).inc();
        }
        self.reconcile_time.get_or_create(&labels).observe(took.as_secs_f64());
        let labels = ResultLabels { controller: CONTROLLER, result: result.as_str() };
        self.reconciles.get_or_create(&labels).inc();
    }

    /// All metrics in the `OpenMetrics` text format.
    ///
    /// # Errors
    ///
    /// Only what formatting into memory can fail with.
    pub fn open_metrics(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }

    /// All metrics in the Prometheus text format 0.0.4.
    ///
    /// # Errors
    ///
    /// Only what formatting into memory can fail with.
    pub fn prometheus_text(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        prometheus_text::encode(&mut out, &self.registry)?;
        Ok(out)
    }

    fn host_label(&self, host: &str) -> String {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.contains(host) {
            return host.to_owned();
        }
        if hosts.len() < MOST_HOSTS {
            hosts.insert(host.to_owned());
            return host.to_owned();
        }
        OTHER_HOSTS.to_owned()
    }
}

fn seconds_of_a_request() -> Histogram {
    Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

fn seconds_of_a_reconcile() -> Histogram {
    Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0])
}

fn seconds_of_lateness() -> Histogram {
    Histogram::new([0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut captured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            captured.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool, filter: &str, what: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = lines(json, filter.parse().unwrap(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, what);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn no_filter_opens_what_may_print_secrets() {
        let asked = "trace,kube_client=trace,kube_client::client=trace,\
                     kube_client::client::builder=trace,hyper_util=trace,hyper=trace,h2=trace,\
                     rustls=trace,reqwest::connect=trace,tower=trace";
        let text = logged(false, asked, || {
            tracing::warn!(target: "kube_client::client", "a whole s3cr3t");
            tracing::error!(target: "kube_client::client::builder", "a s3cr3t");
            tracing::info!(target: "hyper_util::client", "a s3cr3t");
            tracing::info!(target: "hyper::proto", "a s3cr3t");
            tracing::debug!(target: "h2::codec", "a s3cr3t");
            tracing::trace!(target: "rustls::client", "a s3cr3t");
            tracing::debug!(target: "reqwest::connect", "a s3cr3t");
            tracing::debug!(target: "tower::buffer", "a s3cr3t");
            tracing::trace!(target: "kube_client::config", "kept");
        });
        assert!(text.contains("kept") && !text.contains("s3cr3t"), "{text}");
    }

    #[test]
    fn a_decision_is_one_line_and_keeping_is_told_at_debug_alone() {
        let line = DecisionLine {
            namespace: "shop",
            name: "crm",
            decision: "Request",
            trigger: Some("Renewing"),
            reason: Some(Reason::TokenValid),
            next: Some(Timestamp::UNIX_EPOCH),
            happened: true,
        };
        let keep =
            DecisionLine { decision: "Keep", trigger: None, happened: false, ..line.clone() };
        let text = logged(true, "info", || {
            decision(&line);
            decision(&keep);
        });
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["level"], "INFO");
        let fields = ["namespace", "name", "decision", "trigger", "reason", "next"];
        let told = fields.map(|field| value[field].as_str().unwrap());
        let expected = ["shop", "crm", "Request", "Renewing", "TokenValid", "1970-01-01T00:00:00Z"];
        assert_eq!(told, expected);
        let text = logged(true, "debug", || decision(&keep));
        assert!(text.contains("\"Keep\"") && !text.contains("trigger"), "{text}");
    }

    fn metrics() -> Metrics {
        Metrics::new("1.2.3", Vec::new(), true)
    }

    #[test]
    fn every_metric_has_its_name() {
        let metrics = metrics();
        metrics.request_answered("idp", "RequestSucceeded", Duration::from_millis(70));
        metrics.secret_written("SecretSynced");
        metrics.rotation_lateness(Duration::from_secs(2));
        metrics.reconciled(ReconcileResult::RequeueAfter, Duration::from_millis(3));
        metrics.reconciled(ReconcileResult::Error, Duration::from_millis(3));
        let text = metrics.prometheus_text().unwrap();
        for line in [
            "oauthcc_build_info{version=\"1.2.3\"} 1",
            "oauthcc_token_requests_total{host=\"idp\",outcome=\"RequestSucceeded\"} 1",
            "oauthcc_token_request_duration_seconds_bucket{host=\"idp\",le=\"0.1\"} 1",
            "oauthcc_token_rotation_lateness_seconds_sum 2.0",
            "oauthcc_secret_writes_total{outcome=\"SecretSynced\"} 1",
            "controller_runtime_reconcile_total{controller=\"oauthclientcredential\",result=\"requeue_after\"} 1",
            "controller_runtime_reconcile_errors_total{controller=\"oauthclientcredential\"} 1",
            "controller_runtime_reconcile_time_seconds_count{controller=\"oauthclientcredential\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(metrics.open_metrics().unwrap().ends_with("# EOF\n"));
    }

    #[test]
    fn the_number_of_hosts_has_an_end() {
        let metrics = metrics();
        for index in 0..=MOST_HOSTS {
            metrics.request_answered(&format!("h{index}"), "ServerError", Duration::ZERO);
        }
        metrics.request_answered("h0", "ServerError", Duration::ZERO);
        let text = metrics.prometheus_text().unwrap();
        let total = |host: &str| format!("oauthcc_token_requests_total{{host=\"{host}\"");
        assert!(text.contains(&total("h199")) && !text.contains(&total("h200")));
        assert!(text.contains(&total("other")));
    }
}
