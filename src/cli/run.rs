//! `oauthcc run`: the operator until SIGTERM. In: settings. Out: an exit, in order.
//!
//! **Invariant:** it joins the rooms and nothing else; the order of the start is that of
//! `ARCHITECTURE.md`, and after SIGTERM nothing new is asked of any endpoint.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use futures::{StreamExt, stream};
use kube::runtime::Controller;
use kube::runtime::controller::Error as ControllerError;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::cluster::Cluster;
use crate::cluster::call::Calls;
use crate::cluster::index::{Index, Name};
use crate::cluster::memory::Memory;
use crate::cluster::watch::{self, Sinks};
use crate::domain::crd::FIELD_MANAGER;
use crate::domain::jwt;
use crate::domain::observation::Policy;
use crate::domain::redacted::Redacted;
use crate::endpoint::{Endpoint, EndpointSettings};
use crate::governor::Governor;
use crate::reconcile::{self, Context};
use crate::serve::{self, Heartbeat, Probes, Readiness};
use crate::settings::Settings;
use crate::telemetry::{self, Metrics};

/// How long requests in flight at SIGTERM may take to end; the process is gone within 10 s, the
/// second that open connections to the probes are given included.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(8);
/// How often the wall clock is compared with the monotonic one, and the heart beats.
const TICK: Duration = Duration::from_secs(5);
/// A jump of the wall clock that wakes every credential.
const CLOCK_JUMP: Duration = Duration::from_secs(5);

/// Runs the operator.
///
/// # Errors
/// What keeps it from starting, with what to do.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let json = settings.log_format.is_json(std::io::stderr().is_terminal());
    telemetry::init_logs(json, &settings.log_level)?;
    telemetry::log_panics();
    let listener = serve::bind(&settings.bind_addresses).await?;
    let stop = stop_on_signals()?;
    let client = client().await?;
    let (wake, mut woken) = unbounded_channel();
    let index = Arc::new(Index::default());
    let memory = Arc::new(Memory::default());
    let governor = Arc::new(Governor::new(settings.endpoint_concurrency, wake.clone()));
    let readiness = Arc::new(Readiness::default());
    let sinks = Sinks {
        index: Arc::clone(&index),
        memory: Arc::clone(&memory),
        wake: wake.clone(),
        complain: Arc::new(|what, error| tracing::warn!(error = telemetry::chain(error), "{what}")),
        synced: ready_once(&readiness),
        gone: Arc::new({
            let governor = Arc::clone(&governor);
            move |namespace, name| governor.withdraw(namespace, name)
        }),
    };
    let watches = watch::watches(&client, &sinks);
    let metrics = Arc::new(Metrics::new(
        env!("CARGO_PKG_VERSION"),
        vec![watches.store.clone()],
        settings.per_credential_metrics,
    ));
    let probes =
        Probes { heartbeat: Arc::new(Heartbeat::new()), readiness, metrics: Arc::clone(&metrics) };
    let served = tokio::spawn(serve::serve(listener, probes.clone(), stop.clone()));
    let references = tokio::spawn(watches.references);
    let context = Context {
        cluster: cluster(&settings, client, &index, &memory)?,
        endpoint: endpoint(&settings)?,
        governor,
        metrics,
        stop: stop.clone(),
    };
    let idle = context.endpoint.clone();
    let controller = Controller::for_stream(watches.credentials, watches.store)
        .reconcile_on(stream::poll_fn(move |cx| woken.poll_recv(cx)).map(watch::object_ref))
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(reconcile::reconcile, reconcile::error_policy, Arc::new(context));
    let on_tick = |jumped| {
        idle.drop_idle();
        if jumped {
            wake_all(&index, &wake);
        }
    };
    drive(controller, &probes.heartbeat, &stop, on_tick).await;
    references.abort();
    drop(timeout(Duration::from_secs(1), served).await);
    tracing::info!("stopped");
    Ok(())
}

/// Turns the reconcile loop: the heart beats in the same task, so a loop that hangs is noticed.
async fn drive<T, E: std::error::Error + 'static>(
    controller: impl futures::Stream<Item = Result<T, ControllerError<reconcile::Error, E>>>,
    heartbeat: &Heartbeat,
    stop: &CancellationToken,
    on_tick: impl Fn(bool),
) {
    let mut results = std::pin::pin!(controller);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut clocks = (SystemTime::now(), Instant::now());
    let given_up = async {
        stop.cancelled().await;
        tokio::time::sleep(SHUTDOWN_LIMIT).await;
    };
    tokio::pin!(given_up);
    loop {
        tokio::select! {
            result = results.next() => match result {
                Some(Ok(_)) => {}
                Some(Err(error)) => complain_about(&error),
                None => return,
            },
            _ = tick.tick() => {
                heartbeat.beat();
                on_tick(clock_jumped(&mut clocks));
            }
            () = &mut given_up => {
                tracing::warn!("requests in flight did not end in time and are given up");
                return;
            }
        }
    }
}

/// Timers run on the monotonic clock, which stands still while a machine sleeps, and decisions on
/// the wall clock: where the two part, every credential is looked at.
fn clock_jumped(clocks: &mut (SystemTime, Instant)) -> bool {
    let (wall, steady) = *clocks;
    *clocks = (SystemTime::now(), Instant::now());
    let steady = steady.elapsed();
    let jump = match wall.elapsed() {
        Ok(passed) => passed.abs_diff(steady),
        Err(backwards) => backwards.duration() + steady,
    };
    jump > CLOCK_JUMP
}

fn wake_all(index: &Index, wake: &UnboundedSender<Name>) {
    for credential in index.credentials() {
        drop(wake.send(credential));
    }
}

fn complain_about<E: std::error::Error + 'static>(error: &ControllerError<reconcile::Error, E>) {
    // Deleted between event and look.
    if !matches!(error, ControllerError::ObjectNotFound(_)) {
        tracing::warn!(error = telemetry::chain(error), "a look at a credential failed");
    }
}

fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let cancelled = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping: requests in flight end first");
        cancelled.cancel();
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        #[expect(clippy::exit, reason = "a second signal ends the process at once")]
        std::process::exit(130);
    });
    Ok(stop)
}

/// The client of every call: no retries of its own, since `Calls` bounds tries and time.
async fn client() -> anyhow::Result<Client> {
    let mut config = Config::infer().await.context(
        "failed to find a cluster: run in a pod with a ServiceAccount, or set KUBECONFIG",
    )?;
    config.default_retry = false;
    Client::try_from(config).context("failed to build a client from the kubeconfig")
}

fn cluster(
    settings: &Settings,
    client: Client,
    index: &Arc<Index>,
    memory: &Arc<Memory>,
) -> anyhow::Result<Cluster> {
    let mut key = vec![0; 32];
    aws_lc_rs::rand::fill(&mut key).ok().context("failed to draw a random key")?;
    let reporter =
        Reporter { controller: FIELD_MANAGER.to_owned(), instance: std::env::var("HOSTNAME").ok() };
    Ok(Cluster {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        calls: Calls::new(settings.api_concurrency, settings.api_timeout),
        index: Arc::clone(index),
        memory: Arc::clone(memory),
        policy: Arc::new(Policy {
            schedule: settings.schedule.clone(),
            consent: settings.consent.clone(),
            addresses: settings.addresses.clone(),
            allow_insecure: settings.allow_insecure_endpoints,
            api_audiences: own_audiences(),
        }),
        values_key: Redacted::new(key),
    })
}

/// The audiences of the operator's own token, which are the API server's; none outside a pod.
fn own_audiences() -> Vec<String> {
    const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    let token = std::fs::read_to_string(TOKEN_FILE).map(Zeroizing::new);
    let Ok(token) = token else { return Vec::new() };
    jwt::audiences(&token).into_iter().chain(jwt::issuer(&token)).collect()
}

fn endpoint(settings: &Settings) -> anyhow::Result<Endpoint> {
    Ok(Endpoint::new(EndpointSettings {
        trust_bundle: settings.trust_bundle.clone(),
        addresses: settings.addresses.clone(),
        allow_insecure: settings.allow_insecure_endpoints,
        proxy: settings.proxy.clone(),
    })?)
}

/// Not by waiting for the store: kube's `wait_until_ready` wakes one waiter only, the Controller.
fn ready_once(readiness: &Arc<Readiness>) -> Arc<dyn Fn() + Send + Sync> {
    let readiness = Arc::clone(readiness);
    Arc::new(move || {
        if !readiness.is_set() {
            readiness.set();
            tracing::info!("every watch has finished its first list");
        }
    })
}
