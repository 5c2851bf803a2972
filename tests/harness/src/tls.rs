//! TLS for the servers that run inside the tests.
//!
//! In: a [`Certificate`]. Out: an acceptor, and a listener for axum.
//! **Invariant:** a client that never ends its handshake keeps no other waiting.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::serve::Listener;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::certificates::Certificate;

const HANDSHAKE_BOUND: Duration = Duration::from_secs(10);

/// Presents the certificate and asks for none.
pub(crate) fn acceptor(certificate: &Certificate) -> anyhow::Result<TlsAcceptor> {
    crate::init();
    let chain = CertificateDer::pem_slice_iter(certificate.chain_pem().as_bytes())
        .collect::<Result<_, _>>()
        .context("failed to read a certificate")?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes())
        .context("failed to read a key")?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("failed to use a certificate")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Gives connections whose handshake is done.
pub(crate) struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    pub(crate) fn new(listener: TcpListener, acceptor: TlsAcceptor) -> Self {
        Self { listener, acceptor, handshakes: JoinSet::new() }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let Ok((stream, address)) = accepted else { continue };
                    let handshake = timeout(HANDSHAKE_BOUND, self.acceptor.accept(stream));
                    self.handshakes.spawn(async move {
                        Some((handshake.await.ok()?.ok()?, address))
                    });
                }
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
