//! `/livez`, `/readyz` and `/metrics`. In: a heartbeat, a readiness and the metrics. Out: HTTP.
//!
//! **Invariant:** it only reads; a probe costs no call to the API server, and no path answers with
//! anything of a credential but what the metrics say.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::prometheus_text;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Metrics;

/// The reconcile loop is taken for dead when its heart has not beaten for this long.
pub const DEAD_AFTER: Duration = Duration::from_secs(30);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Says that the reconcile loop still turns; beaten by a timer inside it.
#[derive(Debug)]
pub struct Heartbeat {
    started: Instant,
    /// Milliseconds on the monotonic clock from `started` to the last beat.
    beat: AtomicU64,
}

impl Heartbeat {
    /// A heart that beats now for the first time.
    pub fn new() -> Self {
        Self { started: Instant::now(), beat: AtomicU64::new(0) }
    }

    /// Beats.
    pub fn beat(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat.store(now, Ordering::Relaxed);
    }

    /// The time since the last beat.
    pub fn age(&self) -> Duration {
        let beat = Duration::from_millis(self.beat.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(beat)
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::new()
    }
}

/// Says that every watch has finished its first list; once set, it stays set.
#[derive(Debug, Default)]
pub struct Readiness(AtomicBool);

impl Readiness {
    /// The watches have synced.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the watches have synced.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the paths read.
#[derive(Clone, Debug)]
pub struct Probes {
    /// Of the reconcile loop.
    pub heartbeat: Arc<Heartbeat>,
    /// Of the watches.
    pub readiness: Arc<Readiness>,
    /// The one registry.
    pub metrics: Arc<Metrics>,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// None of the addresses of `--bind-address` could be bound.
    #[error("failed to listen at {}", list(addresses))]
    Bind {
        /// The addresses that were tried.
        addresses: Vec<SocketAddr>,
        /// What the system says of the last one.
        source: io::Error,
    },
    /// The listener failed.
    #[error("failed to serve probes and metrics")]
    Serve {
        /// What the system says.
        source: io::Error,
    },
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// Listens at the first of the addresses that can be bound.
///
/// # Errors
///
/// [`ServeError::Bind`]; the process should end then.
pub async fn bind(addresses: &[SocketAddr]) -> Result<TcpListener, ServeError> {
    let bound = TcpListener::bind(addresses).await;
    bound.map_err(|source| ServeError::Bind { addresses: addresses.to_vec(), source })
}

/// Serves until `stop`, then lets answers that are under way end.
///
/// # Errors
///
/// [`ServeError::Serve`].
pub async fn serve(
    listener: TcpListener,
    probes: Probes,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let served =
        axum::serve(listener, router(probes)).with_graceful_shutdown(stop.cancelled_owned());
    served.await.map_err(|source| ServeError::Serve { source })
}

fn router(probes: Probes) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(probes)
}

async fn livez(State(probes): State<Probes>) -> Response {
    let age = probes.heartbeat.age();
    if age < DEAD_AFTER {
        return "ok\n".into_response();
    }
    let text = format!("the reconcile loop has not turned for {} s\n", age.as_secs());
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn readyz(State(probes): State<Probes>) -> Response {
    if probes.readiness.is_set() {
        return "ok\n".into_response();
    }
    let text = "the watches have not finished their first list\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// `OpenMetrics` for who names it, as Prometheus does, else the text format that everything reads.
async fn metrics(State(probes): State<Probes>, headers: HeaderMap) -> Response {
    let mut accepted =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (content_type, encoded) = if accepted.any(prefers_open_metrics) {
        (OPEN_METRICS, probes.metrics.open_metrics())
    } else {
        (prometheus_text::CONTENT_TYPE, probes.metrics.prometheus_text())
    };
    match encoded {
        Ok(body) => ([(header::CONTENT_TYPE, content_type)], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Whether the header gives `OpenMetrics` at least the weight of any plain text (RFC 9110 §12.5.1).
fn prefers_open_metrics(accept: &str) -> bool {
    let (mut open, mut plain) = (0.0_f32, 0.0_f32);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        match kind.as_str() {
            "application/openmetrics-text" => open = open.max(weight),
            "text/plain" | "text/*" => plain = plain.max(weight),
            _ => {}
        }
    }
    open > 0.0 && open >= plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::advance;

    fn probes() -> Probes {
        Probes {
            heartbeat: Arc::new(Heartbeat::new()),
            readiness: Arc::new(Readiness::default()),
            metrics: Arc::new(Metrics::new("1.2.3", Vec::new(), true)),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_lives_for_thirty_seconds_after_the_last_beat() {
        let probes = probes();
        advance(Duration::from_secs(29)).await;
        assert_eq!(livez(State(probes.clone())).await.status(), 200);
        advance(Duration::from_secs(1)).await;
        assert_eq!(livez(State(probes.clone())).await.status(), 503);
        probes.heartbeat.beat();
        assert_eq!(livez(State(probes)).await.status(), 200);
    }

    #[tokio::test]
    async fn it_is_ready_once_the_watches_have_synced() {
        let probes = probes();
        assert_eq!(readyz(State(probes.clone())).await.status(), 503);
        probes.readiness.set();
        assert_eq!(readyz(State(probes)).await.status(), 200);
    }

    #[test]
    fn the_format_follows_the_accept_header() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.2";
        for (accept, expected) in [
            (prometheus, true),
            ("application/openmetrics-text; version=1.0.0", true),
            ("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.1", false),
            ("application/openmetrics-text;q=0", false),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(prefers_open_metrics(accept), expected, "{accept}");
        }
    }

    async fn fetch(address: SocketAddr, path: &str, accept: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_serves_until_it_is_told_to_stop() {
        let listener = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, probes(), stop.clone()));
        assert!(fetch(address, "/livez", "*/*").await.starts_with("HTTP/1.1 200"));
        assert!(fetch(address, "/readyz", "*/*").await.starts_with("HTTP/1.1 503"));
        assert!(fetch(address, "/else", "*/*").await.starts_with("HTTP/1.1 404"));
        let plain = fetch(address, "/metrics", "*/*").await;
        assert!(plain.contains("text/plain; version=0.0.4") && !plain.contains("# EOF"), "{plain}");
        let open = fetch(address, "/metrics", "application/openmetrics-text").await;
        assert!(open.contains(OPEN_METRICS) && open.ends_with("# EOF\n"), "{open}");
        stop.cancel();
        task.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let first = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(&[address]).await.unwrap_err();
        assert_eq!(error.to_string(), format!("failed to listen at {address}"));
    }
}
