//! Key pairs for assertions and certificates.
//!
//! Out: a private key in every form that users bring (PKCS#8, PKCS#1, SEC1), its public key as a JWK.
//! **Invariant:** a key is made for the one who asks, and written nowhere.

use anyhow::Context;
use aws_lc_rs::{
    encoding::{AsDer, EcPrivateKeyRfc5915Der},
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, RsaKeyPair,
    },
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Map, Value, json};

/// What a key signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA of 2048 bits: RS256 and PS256.
    Rsa,
    /// P-256: ES256.
    P256,
    /// P-384: ES384.
    P384,
    /// Ed25519: `EdDSA`.
    Ed25519,
}

/// A key pair.
#[derive(Debug, Clone)]
pub struct Key {
    kind: KeyKind,
    pkcs8: Vec<u8>,
    traditional: Option<Vec<u8>>,
    public: Map<String, Value>,
}

impl Key {
    /// A new key pair.
    pub fn generate(kind: KeyKind) -> anyhow::Result<Self> {
        let made = match kind {
            KeyKind::Rsa => rsa(),
            KeyKind::P256 | KeyKind::P384 => elliptic(kind),
            KeyKind::Ed25519 => ed25519(),
        };
        made.with_context(|| format!("failed to make a {kind:?} key"))
    }

    /// What it signs with.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The private key as PKCS#8 (`PRIVATE KEY`), version 1, as OpenSSL writes it.
    pub fn pem(&self) -> String {
        pem("PRIVATE KEY", &self.pkcs8)
    }

    /// The private key as PKCS#1 (`RSA PRIVATE KEY`) or SEC1 (`EC PRIVATE KEY`); Ed25519 has no such form.
    pub fn traditional_pem(&self) -> Option<String> {
        let label = if self.kind == KeyKind::Rsa { "RSA PRIVATE KEY" } else { "EC PRIVATE KEY" };
        Some(pem(label, self.traditional.as_ref()?))
    }

    /// The public key as a JWK (RFC 7517), with a `kid` where one is given.
    pub fn jwk(&self, kid: Option<&str>) -> Value {
        self.jwk_with(kid.map(|kid| ("kid", json!(kid))))
    }

    /// The public key as a JWK with more members.
    pub(crate) fn jwk_with(
        &self,
        members: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Value {
        let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
        Value::Object(self.public.clone().into_iter().chain(members).collect())
    }
}

/// A PEM text (RFC 7468).
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for (position, character) in BASE64_STANDARD.encode(der).chars().enumerate() {
        if position > 0 && position % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text + "\n-----END " + label + "-----\n"
}

fn rsa() -> anyhow::Result<Key> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).context("no RSA key")?;
    let pkcs8 = pair.as_der().context("no PKCS#8")?.as_ref().to_vec();
    let traditional = private_key_octets(&pkcs8).context("no PKCS#1 inside PKCS#8")?.to_vec();
    let (n, e) = rsa_numbers(pair.public_key().as_ref()).context("no numbers in PKCS#1")?;
    let public = object([("kty", json!("RSA")), ("n", encoded(n)), ("e", encoded(e))]);
    Ok(Key { kind: KeyKind::Rsa, pkcs8, traditional: Some(traditional), public })
}

fn elliptic(kind: KeyKind) -> anyhow::Result<Key> {
    let (curve, algorithm) = if kind == KeyKind::P384 {
        ("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING)
    } else {
        ("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING)
    };
    let pair = EcdsaKeyPair::generate(algorithm).context("no EC key")?;
    let pkcs8 = pair.to_pkcs8v1().context("no PKCS#8")?.as_ref().to_vec();
    let sec1: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().context("no SEC1")?;
    // An uncompressed point: 4, x, y (SEC 1 §2.3.3).
    let (_, point) = pair.public_key().as_ref().split_first().context("no public key")?;
    let (x, y) = point.split_at_checked(point.len() / 2).context("half a public key")?;
    let public =
        object([("kty", json!("EC")), ("crv", json!(curve)), ("x", encoded(x)), ("y", encoded(y))]);
    Ok(Key { kind, pkcs8, traditional: Some(sec1.as_ref().to_vec()), public })
}

fn ed25519() -> anyhow::Result<Key> {
    let pair = Ed25519KeyPair::generate().context("no Ed25519 key")?;
    // Version 2, which holds the public key too, is refused by OpenSSL and so by Node.
    let pkcs8 = pair.to_pkcs8v1().context("no PKCS#8")?.as_ref().to_vec();
    let x = encoded(pair.public_key().as_ref());
    let public = object([("kty", json!("OKP")), ("crv", json!("Ed25519")), ("x", x)]);
    Ok(Key { kind: KeyKind::Ed25519, pkcs8, traditional: None, public })
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn encoded(bytes: &[u8]) -> Value {
    json!(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// Modulus and exponent of a public key (RFC 8017 §A.1.1), without the zero that says not negative.
fn rsa_numbers(public: &[u8]) -> Option<(&[u8], &[u8])> {
    let (inside, _) = element(public)?;
    let (n, rest) = element(inside)?;
    let (e, _) = element(rest)?;
    Some((n.strip_prefix(&[0]).unwrap_or(n), e))
}

/// What PKCS#8 wraps (RFC 5208 §5): version, algorithm, and the key in its older form.
fn private_key_octets(pkcs8: &[u8]) -> Option<&[u8]> {
    let (inside, _) = element(pkcs8)?;
    let (_version, rest) = element(inside)?;
    let (_algorithm, rest) = element(rest)?;
    Some(element(rest)?.0)
}

/// The content of the first DER element, and what follows it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if let Some(count) = length.checked_sub(0x80) {
        let (bytes, after) = rest.split_at_checked(count)?;
        length = bytes.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        rest = after;
    }
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_private_key_is_read_as_the_same_key() {
        for kind in [KeyKind::Rsa, KeyKind::P256, KeyKind::P384, KeyKind::Ed25519] {
            let key = Key::generate(kind).unwrap();
            let read = |pem: &str| rcgen::KeyPair::from_pem(pem).unwrap().public_key_pem();
            let public = read(&key.pem());
            assert_eq!(key.traditional_pem().is_none(), kind == KeyKind::Ed25519);
            assert!(key.traditional_pem().is_none_or(|older| read(&older) == public), "{kind:?}");
            assert_eq!(key.jwk(Some("one"))["kid"], "one");
            assert_eq!(key.jwk(None).get("kid"), None);
        }
    }
}
