//! Certificate authorities made for one run, and certificates good and bad.
//!
//! Out: PEM texts for servers on `localhost` and 127.0.0.1 and for clients, and a key for signing tokens.
//! **Invariant:** an authority's private key stays in memory.

use std::{
    fmt::Write,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use serde_json::{Value, json};

use crate::{
    keys::{Key, KeyKind, pem},
    work_directory::WorkDirectory,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate with its private key.
#[derive(Debug, Clone)]
pub struct Certificate {
    subject: String,
    der: Vec<u8>,
    issuers: String,
    key: Key,
}

impl Certificate {
    /// The certificate, and after it those of the authorities that lead to it.
    pub fn chain_pem(&self) -> String {
        pem("CERTIFICATE", &self.der) + &self.issuers
    }

    /// The authority that signed it, to be trusted by whoever wants to; empty where it signed itself.
    pub fn authority_pem(&self) -> &str {
        &self.issuers
    }

    /// The private key as PKCS#8.
    pub fn key_pem(&self) -> String {
        self.key.pem()
    }

    /// The key pair.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The subject as RFC 4514 writes it: `CN=` and the name, and then the organization if it has one.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The base64url of the certificate's SHA-256, as in the header `x5t#S256` (RFC 7515 §4.1.8).
    pub fn thumbprint(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.der))
    }

    /// The public key as a JWK with the certificate as `x5c` (RFC 7517 §4.7).
    pub fn jwk(&self) -> Value {
        self.key.jwk_with([("x5c", json!([BASE64_STANDARD.encode(&self.der)]))])
    }

    /// A client certificate signed by itself, valid from yesterday until `lifetime` from now.
    pub fn self_signed_client(name: &str, key: &Key, lifetime: Duration) -> anyhow::Result<Self> {
        make(client(lifetime)?, name.into(), key, None)
    }

    /// A server certificate signed by itself, for `localhost` and 127.0.0.1.
    pub fn self_signed_server() -> anyhow::Result<Self> {
        make(server(&LOOPBACK)?, LOOPBACK[0].into(), &Key::generate(KeyKind::P256)?, None)
    }
}

/// Whom a certificate is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    organization: Option<&'a str>,
    name: &'a str,
}

impl<'a> Subject<'a> {
    /// A member of an organization: a subject of two parts, whose order matters to who compares them.
    pub(crate) fn of(organization: &'a str, name: &'a str) -> Self {
        Self { organization: Some(organization), name }
    }

    fn distinguished_name(self) -> DistinguishedName {
        let mut written = DistinguishedName::new();
        if let Some(organization) = self.organization {
            written.push(DnType::OrganizationName, text(organization));
        }
        written.push(DnType::CommonName, text(self.name));
        written
    }

    /// As RFC 4514 §2.1 has it: the last part first. The names here need no escapes.
    fn text(self) -> String {
        let organization = self.organization.map(|organization| format!(",O={organization}"));
        format!("CN={}{}", self.name, organization.unwrap_or_default())
    }
}

impl<'a> From<&'a str> for Subject<'a> {
    fn from(name: &'a str) -> Self {
        Self { organization: None, name }
    }
}

/// What is wrong with the certificate of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// It ended an hour ago.
    Expired,
    /// It is good from tomorrow on.
    NotYetValid,
    /// It names another host.
    WrongHost,
    /// It is signed by itself.
    SelfSigned,
    /// It is signed by an authority that nobody trusts.
    UnknownAuthority,
}

/// A certificate authority of this run.
#[derive(Debug)]
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new([]).context("failed to name an authority")?;
        params.distinguished_name = Subject::from(name).distinguished_name();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("failed to make an authority's key")?;
        let issuer = CertifiedIssuer::self_signed(params, key);
        Ok(Self(issuer.context("failed to make a certificate authority")?))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a server on `localhost` and 127.0.0.1, with a flaw.
    pub(crate) fn server(&self, flaw: Flaw) -> anyhow::Result<Certificate> {
        let mut params = server(&LOOPBACK)?;
        let now = SystemTime::now();
        match flaw {
            Flaw::None => {}
            Flaw::Expired => params.not_after = (now - DAY / 24).into(),
            Flaw::NotYetValid => params.not_before = (now + DAY).into(),
            Flaw::WrongHost => params = server(&["other.example.com"])?,
            Flaw::SelfSigned => return Certificate::self_signed_server(),
            Flaw::UnknownAuthority => {
                return Self::new("oauthcc stranger")?.server(Flaw::None);
            }
        }
        make(params, LOOPBACK[0].into(), &Key::generate(KeyKind::P256)?, Some(self))
    }

    /// A client certificate, valid from yesterday until `lifetime` from now.
    pub(crate) fn client<'a>(
        &self,
        subject: impl Into<Subject<'a>>,
        key: &Key,
        lifetime: Duration,
    ) -> anyhow::Result<Certificate> {
        make(client(lifetime)?, subject.into(), key, Some(self))
    }
}

/// The files of one server certificate.
#[derive(Debug)]
pub(crate) struct ServerFiles {
    pub(crate) signer: Authority,
    pub(crate) authority_pem: String,
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Makes an authority and a server certificate signed by it, as files in `directory`.
pub(crate) fn write_server_files(directory: &WorkDirectory) -> anyhow::Result<ServerFiles> {
    let signer = Authority::new("oauthcc test run")?;
    let certificate = signer.server(Flaw::None)?;
    let authority_pem = signer.pem();
    Ok(ServerFiles {
        authority: directory.write("ca.crt", &authority_pem)?,
        certificate: directory.write("server.crt", &pem("CERTIFICATE", &certificate.der))?,
        key: directory.write("server.key", &certificate.key_pem())?,
        authority_pem,
        signer,
    })
}

/// A new key pair as PEM: private and public.
pub(crate) fn signing_key() -> anyhow::Result<(String, String)> {
    let key = KeyPair::generate().context("failed to make a signing key")?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

/// A random value for a secret of this run.
pub(crate) fn random_secret() -> anyhow::Result<String> {
    let mut bytes = [0; 24];
    aws_lc_rs::rand::fill(&mut bytes).context("failed to get random bytes")?;
    hexadecimal(&bytes)
}

/// Bytes in lower case.
pub(crate) fn hexadecimal(bytes: &[u8]) -> anyhow::Result<String> {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").context("failed to write bytes")?;
    }
    Ok(text)
}

const LOOPBACK: [&str; 2] = ["localhost", "127.0.0.1"];

fn server(names: &[&str]) -> anyhow::Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).context("failed to name the server")?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn client(lifetime: Duration) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new([]).context("failed to name the client")?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + lifetime).into();
    Ok(params)
}

/// Signs with the authority, or with the key itself where there is none.
fn make(
    mut params: CertificateParams,
    subject: Subject<'_>,
    key: &Key,
    authority: Option<&Authority>,
) -> anyhow::Result<Certificate> {
    params.distinguished_name = subject.distinguished_name();
    let pair = KeyPair::from_pem(&key.pem()).context("failed to read a key")?;
    let made = match authority {
        Some(authority) => {
            params.use_authority_key_identifier_extension = true;
            params.signed_by(&pair, &authority.0)
        }
        None => params.self_signed(&pair),
    };
    Ok(Certificate {
        subject: subject.text(),
        der: made.context("failed to sign a certificate")?.der().to_vec(),
        issuers: authority.map(Authority::pem).unwrap_or_default(),
        key: key.clone(),
    })
}

fn text(value: &str) -> DnValue {
    DnValue::Utf8String(value.to_owned())
}
