//! A certificate authority made for one run.
//!
//! Out: PEM texts for servers on `localhost` and 127.0.0.1, and a key for signing tokens.
//! **Invariant:** the authority's private key stays in memory.

use std::{fmt::Write, path::PathBuf};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, DnValue, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};

use crate::work_directory::WorkDirectory;

/// The files of one server certificate.
#[derive(Debug)]
pub(crate) struct ServerFiles {
    pub(crate) authority_pem: String,
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Makes an authority and a server certificate signed by it, as files in `directory`.
pub(crate) fn write_server_files(directory: &WorkDirectory) -> anyhow::Result<ServerFiles> {
    let authority = authority().context("failed to make a certificate authority")?;
    let key = KeyPair::generate().context("failed to make a server key")?;
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut server = CertificateParams::new(names).context("failed to name the server")?;
    server.distinguished_name.push(DnType::CommonName, text("localhost"));
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let certificate = server.signed_by(&key, &authority).context("failed to sign")?;
    Ok(ServerFiles {
        authority: directory.write("ca.crt", &authority.pem())?,
        authority_pem: authority.pem(),
        certificate: directory.write("server.crt", &certificate.pem())?,
        key: directory.write("server.key", &key.serialize_pem())?,
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
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .ok()
        .context("failed to get random bytes")?;
    let mut secret = String::new();
    for byte in bytes {
        write!(secret, "{byte:02x}").context("failed to write the secret")?;
    }
    Ok(secret)
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new([])?;
    params.distinguished_name.push(DnType::CommonName, text("oauthcc test run"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn text(value: &str) -> DnValue {
    DnValue::Utf8String(value.to_owned())
}
