//! Clients by trust and identity: who is believed and who we are on a connection. In: PEM. Out: a
//! client whose pool holds connections of exactly that trust and that identity.
//!
//! **Invariant:** two requests share a connection only if they ask for the same CA bundle, the same
//! client certificate and the same key; and no byte of a key reaches an error.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{
    Certificate, Client, ClientBuilder, Identity, NoProxy, Proxy, header::HeaderValue, redirect,
    retry, tls,
};
use rustls::{
    RootCertStore,
    crypto::{self, CryptoProvider},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use zeroize::Zeroizing;

use crate::{
    domain::{
        oauth::{ClientCertificate, Transport},
        plan::Fault,
        proxy,
        reason::Reason,
    },
    endpoint::{
        CONNECT_TIMEOUT, EndpointError, EndpointSettings, POOL_IDLE_TIMEOUT, USER_AGENT,
        recent::Recent,
        resolver::{GuardedResolver, Lookup},
    },
};

/// How many clients are kept beside the plain one. Building one reads the system's certificates,
/// which takes about 13 ms.
const MAX_CLIENTS: usize = 64;

/// How long a client is kept that nobody asks for: it holds a private key, and the Secret of that may
/// be gone. Its connections are closed after 2 s anyway.
const CLIENT_IDLE: Duration = Duration::from_secs(60);

/// A transport as a digest of its parts, to compare by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TransportKey([u8; 32]);

/// The clients that were built.
pub(super) struct Transports {
    settings: Arc<EndpointSettings>,
    lookup: Lookup,
    plain: Client,
    built: Mutex<Recent<TransportKey, Built>>,
}

/// A client, and when it was asked for last.
#[derive(Clone)]
struct Built {
    client: Client,
    used: Arc<Mutex<Instant>>,
}

impl Built {
    fn last_used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn use_now(&self) -> Client {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.client.clone()
    }
}

impl Transports {
    pub(super) fn new(
        settings: Arc<EndpointSettings>,
        lookup: Lookup,
    ) -> Result<Self, EndpointError> {
        let plain = builder(&settings, &lookup)?
            .build()
            .map_err(|source| EndpointError::Client { source: source.without_url() })?;
        Ok(Self { settings, lookup, plain, built: Mutex::new(Recent::new(MAX_CLIENTS)) })
    }

    /// The client of a transport. Built under the lock, so that a burst builds it once.
    pub(super) fn client(&self, transport: &Transport, key: TransportKey) -> Result<Client, Fault> {
        if transport.ca_bundle.is_none() && transport.client_certificate.is_none() {
            return Ok(self.plain.clone());
        }
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = built.get(&key) {
            return Ok(known.use_now());
        }
        let client = self.build(transport)?;
        let used = Arc::new(Mutex::new(Instant::now()));
        built.keep(key, Built { client: client.clone(), used });
        Ok(client)
    }

    /// Lets go of the clients that nobody has asked for lately, and of the keys in them.
    pub(super) fn drop_idle(&self) {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        built.retain(|known| known.last_used().elapsed() < CLIENT_IDLE);
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.built.lock().unwrap_or_else(PoisonError::into_inner).values().count()
    }

    fn build(&self, transport: &Transport) -> Result<Client, Fault> {
        let unusable = || {
            if transport.client_certificate.is_some() {
                key_fault("can't be used for TLS")
            } else {
                bundle_fault("can't be used for TLS")
            }
        };
        let mut builder = builder(&self.settings, &self.lookup).map_err(|_| unusable())?;
        if let Some(bundle) = &transport.ca_bundle {
            builder = builder.tls_certs_merge(authorities(bundle.expose())?);
        }
        if let Some(own) = &transport.client_certificate {
            builder = builder.identity(identity(own)?);
        }
        // What the builder says could quote a certificate, and what can be said is said above.
        builder.build().map_err(|_| unusable())
    }
}

impl TransportKey {
    /// SHA-256 over the parts, each with its length, an absent one unlike an empty one.
    pub(super) fn of(transport: &Transport) -> Self {
        let own = transport.client_certificate.as_ref();
        let parts = [
            transport.ca_bundle.as_ref(),
            own.map(|certificate| &certificate.chain),
            own.map(|certificate| &certificate.key),
        ];
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            let length = part.map_or(u64::MAX, |part| part.expose().len() as u64);
            context.update(&length.to_be_bytes());
            context.update(part.map_or(&[], |part| part.expose().as_slice()));
        }
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self(key)
    }
}

/// What all clients have in common. A request is sent once: no redirect, and no retry but the one
/// that can't be switched off, hyper's, of a request whose pooled connection was found closed before
/// a byte of it was written.
fn builder(settings: &EndpointSettings, lookup: &Lookup) -> Result<ClientBuilder, EndpointError> {
    let proxy_name = settings.proxy.as_ref().and_then(proxy::Proxy::host_name);
    let resolver = GuardedResolver::new(&settings.addresses, lookup, proxy_name);
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .referer(false)
        .https_only(!settings.allow_insecure)
        .tls_version_min(tls::Version::TLS_1_2)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .user_agent(USER_AGENT)
        .dns_resolver(resolver);
    if let Some(proxy) = &settings.proxy {
        builder = builder.proxy(client_proxy(proxy)?);
    }
    if let Some(pem) = &settings.trust_bundle {
        let bundle = Certificate::from_pem_bundle(pem)
            .map_err(|source| EndpointError::TrustBundle { source: source.without_url() })?;
        if bundle.is_empty() {
            return Err(EndpointError::TrustBundleEmpty);
        }
        builder = builder.tls_certs_merge(bundle);
    }
    Ok(builder)
}

/// The password goes by its own header, since a URL that the client can't read is a proxy that it
/// quietly leaves out.
fn client_proxy(proxy: &proxy::Proxy) -> Result<Proxy, EndpointError> {
    let mut built = Proxy::all(proxy.url.as_str())
        .map_err(|source| EndpointError::Proxy { source: source.without_url() })?
        .no_proxy(NoProxy::from_string(&proxy.bypass_list()));
    if let Some(authorization) = &proxy.authorization {
        let header = HeaderValue::from_str(authorization.expose());
        let mut header = header.map_err(|_| EndpointError::ProxyAuthorization)?;
        header.set_sensitive(true);
        built = built.custom_http_auth(header);
    }
    Ok(built)
}

/// The certificates of a bundle; each must be usable, as for `--trust-bundle`.
fn authorities(pem: &[u8]) -> Result<Vec<Certificate>, Fault> {
    let mut roots = RootCertStore::empty();
    let mut authorities = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|_| bundle_fault("has a PEM block that can't be read"))?;
        let unreadable = || bundle_fault("has a certificate that can't be read");
        authorities.push(Certificate::from_der(&certificate).map_err(|_| unreadable())?);
        roots.add(certificate).map_err(|_| unreadable())?;
    }
    if authorities.is_empty() {
        return Err(bundle_fault("holds no certificate"));
    }
    Ok(authorities)
}

/// The chain and its key, checked against each other. They are written out anew, since the client
/// reads no PEM that holds anything else, and people keep requests and parameters beside them.
fn identity(own: &ClientCertificate) -> Result<Identity, Fault> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(own.chain.expose())
        .collect::<Result<_, _>>()
        .map_err(|_| certificate_fault("has a PEM block that can't be read"))?;
    if chain.is_empty() {
        return Err(certificate_fault("holds no certificate"));
    }
    for certificate in &chain {
        ParsedCertificate::try_from(certificate)
            .map_err(|_| certificate_fault("has a certificate that can't be read"))?;
    }
    let key = private_key(own.key.expose())?;
    let default = CryptoProvider::get_default().cloned();
    let provider = default.unwrap_or_else(|| Arc::new(crypto::aws_lc_rs::default_provider()));
    CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider).map_err(|error| {
        key_fault(if matches!(error, rustls::Error::InconsistentKeys(_)) {
            "is not the key of the certificate in tls.crt"
        } else {
            "is of a kind that TLS can't use: make an RSA, ECDSA or Ed25519 key"
        })
    })?;
    let mut pem = Zeroizing::new(String::new());
    for certificate in &chain {
        block(&mut pem, "CERTIFICATE", certificate);
    }
    block(&mut pem, label(&key), key.secret_der());
    Identity::from_pem(pem.as_bytes()).map_err(|_| key_fault("can't be used for TLS"))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "rustls adds variants as it likes")]
const fn label(key: &PrivateKeyDer<'_>) -> &'static str {
    match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let encrypted = pem.windows(9).any(|word| word == b"ENCRYPTED");
        key_fault(if encrypted {
            "is encrypted: store it without a passphrase"
        } else {
            "holds no private key that can be read: store it as PEM"
        })
    })
}

fn block(pem: &mut String, label: &str, der: &[u8]) {
    for (part, text) in [("-----BEGIN ", label), ("-----\n", "")] {
        pem.push_str(part);
        pem.push_str(text);
    }
    STANDARD.encode_string(der, pem);
    for text in ["\n-----END ", label, "-----\n"] {
        pem.push_str(text);
    }
}

fn bundle_fault(problem: &str) -> Fault {
    Fault {
        reason: Reason::CABundleNotFound,
        message: format!(
            "the bundle of spec.tls.caBundleRef {problem}: store the authority's certificates there as \
             PEM"
        ),
    }
}

fn certificate_fault(problem: &str) -> Fault {
    Fault {
        reason: Reason::CertificateNotFound,
        message: format!(
            "tls.crt in the Secret of spec.tls.clientCertificateSecretRef {problem}: store the \
             certificate and its chain there as PEM"
        ),
    }
}

fn key_fault(problem: &str) -> Fault {
    Fault {
        reason: Reason::ClientKeyInvalid,
        message: format!("tls.key in the Secret of spec.tls.clientCertificateSecretRef {problem}"),
    }
}
