//! Keys and certificates of clients.
//!
//! Out: PEM texts (PKCS#8 and X.509) and the public halves as JWK.
//! **Invariant:** the authority's private key stays in memory.

use anyhow::Context;
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
};

/// The common name of the authority, which is all of its subject.
pub(super) const AUTHORITY_NAME: &str = "oauthcc clients of a test run";

/// A key that signs assertions.
pub(super) struct AssertionKey {
    pub(super) private_pem: String,
    /// The public half, with `kid`, `alg` and `use`.
    pub(super) jwk: serde_json::Value,
}

impl AssertionKey {
    /// RSA with 2048 bits, for RS256.
    pub(super) fn rs256(kid: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
            .context("failed to make an RSA key")?;
        let private_pem = key.serialize_pem();
        let encoding = EncodingKey::from_rsa_pem(private_pem.as_bytes());
        Self::new(private_pem, encoding, Algorithm::RS256, kid)
    }

    /// P-256, for ES256.
    pub(super) fn es256(kid: &str) -> anyhow::Result<Self> {
        let private_pem = KeyPair::generate().context("failed to make an EC key")?.serialize_pem();
        let encoding = EncodingKey::from_ec_pem(private_pem.as_bytes());
        Self::new(private_pem, encoding, Algorithm::ES256, kid)
    }

    fn new(
        private_pem: String,
        encoding: jsonwebtoken::errors::Result<EncodingKey>,
        algorithm: Algorithm,
        kid: &str,
    ) -> anyhow::Result<Self> {
        let encoding = encoding.context("failed to read the key again")?;
        let mut jwk =
            Jwk::from_encoding_key(&encoding, algorithm).context("failed to get the public key")?;
        jwk.common.key_id = Some(kid.to_owned());
        jwk.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Signature);
        let jwk = serde_json::to_value(&jwk).context("failed to write the public key")?;
        Ok(Self { private_pem, jwk })
    }
}

/// An authority for client certificates, which is not that of the server.
pub(super) fn authority() -> anyhow::Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new([]).context("failed to describe an authority")?;
    params.distinguished_name.push(DnType::CommonName, text(AUTHORITY_NAME));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().context("failed to make the authority's key")?;
    CertifiedIssuer::self_signed(params, key).context("failed to sign the authority")
}

/// A client certificate with the subject `CN=COMMON_NAME,O=oauthcc`, and its key.
pub(super) fn client_certificate(
    authority: &CertifiedIssuer<'static, KeyPair>,
    common_name: &str,
) -> anyhow::Result<(String, String)> {
    let mut params = CertificateParams::new([]).context("failed to describe a certificate")?;
    // A new name, because the default one has a first part already; RFC 4514 writes the last part first.
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, text("oauthcc"));
    params.distinguished_name.push(DnType::CommonName, text(common_name));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().context("failed to make a client's key")?;
    let certificate = params.signed_by(&key, authority).context("failed to sign a certificate")?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn text(value: &str) -> DnValue {
    DnValue::Utf8String(value.to_owned())
}
