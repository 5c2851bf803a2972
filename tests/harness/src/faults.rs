//! Small servers that misbehave.
//!
//! Out: hosts that never answer, hosts that record what they are asked, ports where nobody listens.
//! **Invariant:** loopback only; nothing survives the handle.

use std::{
    io::{ErrorKind, Read},
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use crate::{certificates::Certificate, ports::Port, tls::acceptor};

/// A whole HTTP response, and TLS around it.
type Answer = (String, Option<TlsAcceptor>);

/// A port where connections are refused, reserved until dropped.
pub fn closed_port() -> anyhow::Result<Port> {
    Port::reserve()
}

/// Accepts connections and never says a word: a TLS handshake hangs.
#[derive(Debug)]
pub struct SilentHost(Host);

impl SilentHost {
    /// Starts on a free port.
    pub async fn start() -> anyhow::Result<Self> {
        Host::start(None).await.map(Self)
    }

    /// `localhost:PORT`.
    pub fn host(&self) -> String {
        self.0.name()
    }

    /// How many connections came so far.
    pub fn connections(&self) -> usize {
        self.0.seen().connections
    }

    /// How many connections were open at the same time at most.
    pub fn most_at_once(&self) -> usize {
        self.0.seen().most_at_once
    }
}

/// Records each request and gives one fixed answer, then closes the connection.
#[derive(Debug)]
pub struct CountingHost(Host);

impl CountingHost {
    /// Starts on a free port, without TLS; `answer` is a whole HTTP response, status line and all.
    pub async fn start(answer: &str) -> anyhow::Result<Self> {
        Host::start(Some((answer.to_owned(), None))).await.map(Self)
    }

    /// The same over TLS: only who trusts the certificate sends a request.
    pub async fn start_tls(answer: &str, certificate: &Certificate) -> anyhow::Result<Self> {
        let tls = Some(acceptor(certificate)?);
        Host::start(Some((answer.to_owned(), tls))).await.map(Self)
    }

    /// `localhost:PORT`.
    pub fn host(&self) -> String {
        self.0.name()
    }

    /// How many connections came so far.
    pub fn connections(&self) -> usize {
        self.0.seen().connections
    }

    /// The first bytes of every connection that sent any, at most 64 KiB each.
    pub fn requests(&self) -> Vec<Vec<u8>> {
        self.0.seen().requests
    }
}

#[derive(Debug, Clone, Default)]
struct Seen {
    connections: usize,
    most_at_once: usize,
    requests: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Host {
    port: Port,
    seen: Arc<Mutex<Seen>>,
    accepting: AbortHandle,
}

impl Host {
    async fn start(answer: Option<Answer>) -> anyhow::Result<Self> {
        let port = Port::reserve()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number()))
            .await
            .context("failed to listen")?;
        let seen = Arc::<Mutex<Seen>>::default();
        let accepting = tokio::spawn(accept(listener, answer, Arc::clone(&seen))).abort_handle();
        Ok(Self { port, seen, accepting })
    }

    fn name(&self) -> String {
        format!("localhost:{}", self.port.number())
    }

    fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, answer: Option<Answer>, seen: Arc<Mutex<Seen>>) {
    // Dropped with this task, and all connections with them.
    let mut answering = JoinSet::new();
    let mut silent = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        if let Some((answer, tls)) = answer.clone() {
            seen.lock().unwrap_or_else(PoisonError::into_inner).connections += 1;
            let seen = Arc::clone(&seen);
            answering.spawn(async move {
                let Some(tls) = tls else { return respond(stream, answer, seen).await };
                if let Ok(stream) = tls.accept(stream).await {
                    respond(stream, answer, seen).await;
                }
            });
            continue;
        }
        silent.retain_mut(is_open);
        silent.extend(stream.into_std());
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.connections += 1;
        seen.most_at_once = seen.most_at_once.max(silent.len());
    }
}

/// Asks the kernel, so that a connection that was closed before another one was opened never counts
/// beside it. What came in is read and forgotten: the end comes after it.
fn is_open(stream: &mut std::net::TcpStream) -> bool {
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

async fn respond(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: String,
    seen: Arc<Mutex<Seen>>,
) {
    let mut request = vec![0; 64 * 1024];
    let Ok(length) = stream.read(&mut request).await else {
        return;
    };
    if length == 0 {
        return;
    }
    request.truncate(length);
    seen.lock().unwrap_or_else(PoisonError::into_inner).requests.push(request);
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}
