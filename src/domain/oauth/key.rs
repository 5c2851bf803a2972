//! The private key of `PrivateKeyJWT`. In: PEM from a Secret, and perhaps its certificate. Out:
//! signatures, or what is wrong with the key and what to do.
//!
//! **Invariant:** no fault holds a byte of the key or text of a library's; and a key is never used
//! with an algorithm that is not its own (RFC 8725 §3.1).

use aws_lc_rs::{
    digest::{self, SHA256, SHA384},
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
        RsaEncoding,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls_pki_types::{
    CertificateDer,
    pem::{PemObject, SectionKind},
};
use zeroize::Zeroizing;

use crate::domain::{
    crd::SigningAlgorithm,
    oauth::der::{self, KeyKind},
    plan::Fault,
    reason::Reason,
};

/// The lengths of RSA keys that are signed with, in bits: the least of RFC 7518 §3.3, the most of
/// the library.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A private key, of a kind that assertions can be signed with.
#[derive(Debug)]
pub(super) enum SigningKey {
    /// RSA of 2048 bits or more.
    Rsa(rsa::KeyPair),
    /// The curve P-256.
    P256(EcdsaKeyPair),
    /// The curve P-384.
    P384(EcdsaKeyPair),
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
}

/// What is wrong with a key or its certificate, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyFault {
    #[error("holds no private key: store it as PEM (PKCS#8, PKCS#1 or SEC1)")]
    Absent,
    #[error("holds more than one private key: leave one")]
    Several,
    #[error("holds an encrypted private key: store it without a passphrase (openssl pkey)")]
    Encrypted,
    #[error("holds a private key that can't be read: store it as PEM (PKCS#8, PKCS#1 or SEC1)")]
    Unreadable,
    #[error("holds an RSA key of {0} bits: use one of 2048 to 8192 bits")]
    RsaLength(usize),
    #[error(
        "holds a key of type id-RSASSA-PSS, which is not supported: use a plain RSA key, which can \
         sign with algorithm PS256 too"
    )]
    RsaPss,
    #[error("holds a key on the curve P-521, which is not supported: use P-256 or P-384")]
    P521,
    #[error("holds a key that is none of RSA, P-256, P-384 and Ed25519: use one of these")]
    Other,
    #[error(
        "holds a key that does not fit spec.clientAuthentication.privateKeyJWT.algorithm: set that to \
         {0}, or remove it"
    )]
    Algorithm(&'static str),
    #[error("holds a key that can't sign: replace it")]
    Unusable,
    #[error(
        "has no certificate that can be read under spec.clientAuthentication.privateKeyJWT.\
         certificateKey: store it there as PEM"
    )]
    CertificateUnreadable,
    #[error(
        "has a certificate of another key under spec.clientAuthentication.privateKeyJWT.\
         certificateKey: store the two that belong together"
    )]
    CertificateOfAnotherKey,
}

impl From<KeyFault> for Fault {
    fn from(fault: KeyFault) -> Self {
        let message =
            format!("the Secret of spec.clientAuthentication.privateKeyJWT.keySecretRef {fault}");
        Self { reason: Reason::ClientKeyInvalid, message }
    }
}

impl SigningKey {
    /// The one private key of a PEM text; what else stands there does not matter.
    ///
    /// # Errors
    /// No key, several, or one that can't be used.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, KeyFault> {
        let (section, der) = private_key(pem)?;
        let unreadable = |_| KeyFault::Unreadable;
        let elliptic = |algorithm: &'static EcdsaSigningAlgorithm| {
            EcdsaKeyPair::from_private_key_der(algorithm, &der).map_err(unreadable)
        };
        match der::key_kind(section, &der).ok_or(KeyFault::Unreadable)? {
            KeyKind::Rsa(bits) if !RSA_BITS.contains(&bits) => Err(KeyFault::RsaLength(bits)),
            KeyKind::Rsa(_) if section == SectionKind::RsaPrivateKey => {
                rsa::KeyPair::from_der(&der).map(Self::Rsa).map_err(unreadable)
            }
            KeyKind::Rsa(_) => rsa::KeyPair::from_pkcs8(&der).map(Self::Rsa).map_err(unreadable),
            KeyKind::P256 => elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Self::P256),
            KeyKind::P384 => elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING).map(Self::P384),
            KeyKind::Ed25519 => {
                Ed25519KeyPair::from_pkcs8(&der).map(Self::Ed25519).map_err(unreadable)
            }
            KeyKind::RsaPss => Err(KeyFault::RsaPss),
            KeyKind::P521 => Err(KeyFault::P521),
            KeyKind::Other => Err(KeyFault::Other),
        }
    }

    /// The algorithm to sign with: the one that is asked for if it fits, else the key's own.
    ///
    /// # Errors
    /// An algorithm of another kind of key.
    pub(super) fn algorithm(
        &self,
        asked: Option<SigningAlgorithm>,
    ) -> Result<SigningAlgorithm, KeyFault> {
        use SigningAlgorithm::{ES256, ES384, EdDsa, PS256, RS256};
        match (self, asked) {
            (Self::Rsa(_), None | Some(RS256)) => Ok(RS256),
            (Self::Rsa(_), Some(PS256)) => Ok(PS256),
            (Self::P256(_), None | Some(ES256)) => Ok(ES256),
            (Self::P384(_), None | Some(ES384)) => Ok(ES384),
            (Self::Ed25519(_), None | Some(EdDsa)) => Ok(EdDsa),
            (Self::Rsa(_), Some(_)) => Err(KeyFault::Algorithm("RS256 or PS256")),
            (Self::P256(_), Some(_)) => Err(KeyFault::Algorithm("ES256")),
            (Self::P384(_), Some(_)) => Err(KeyFault::Algorithm("ES384")),
            (Self::Ed25519(_), Some(_)) => Err(KeyFault::Algorithm("EdDSA")),
        }
    }

    /// The signature as JWS wants it (RFC 7518 §3.3 to §3.5, RFC 8037 §3.1); `algorithm` is one
    /// that [`Self::algorithm`] gave.
    ///
    /// # Errors
    /// The library refuses the key after all.
    pub(super) fn sign(
        &self,
        algorithm: SigningAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, KeyFault> {
        // Of a digest that is made here, signing needs no source of randomness to be handed in.
        let signature = match self {
            Self::Rsa(key) => {
                let padding: &'static dyn RsaEncoding = match algorithm {
                    SigningAlgorithm::PS256 => &RSA_PSS_SHA256,
                    SigningAlgorithm::RS256
                    | SigningAlgorithm::ES256
                    | SigningAlgorithm::ES384
                    | SigningAlgorithm::EdDsa => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(padding, &digest::digest(&SHA256, message), &mut signature)
                    .map(|()| signature)
            }
            Self::P256(key) => key
                .sign_digest(&digest::digest(&SHA256, message))
                .map(|signature| signature.as_ref().to_vec()),
            Self::P384(key) => key
                .sign_digest(&digest::digest(&SHA384, message))
                .map(|signature| signature.as_ref().to_vec()),
            Self::Ed25519(key) => {
                key.try_sign(message).map(|signature| signature.as_ref().to_vec())
            }
        };
        signature.map_err(|_| KeyFault::Unusable)
    }

    /// The `x5t#S256` of the first certificate of a PEM text (RFC 7515 §4.1.8), which must be this
    /// key's: an assertion with the thumbprint of another one is refused without a reason.
    ///
    /// # Errors
    /// No certificate, or one of another key.
    pub(super) fn thumbprint(&self, certificate: &[u8]) -> Result<String, KeyFault> {
        let certificate = CertificateDer::from_pem_slice(certificate)
            .map_err(|_| KeyFault::CertificateUnreadable)?;
        let certified = der::certified_key(&certificate).ok_or(KeyFault::CertificateUnreadable)?;
        if certified != self.public_key() {
            return Err(KeyFault::CertificateOfAnotherKey);
        }
        Ok(URL_SAFE_NO_PAD.encode(digest::digest(&SHA256, &certificate)))
    }

    /// As it stands in the `subjectPublicKey` of a certificate.
    fn public_key(&self) -> &[u8] {
        match self {
            Self::Rsa(key) => key.public_key().as_ref(),
            Self::P256(key) | Self::P384(key) => key.public_key().as_ref(),
            Self::Ed25519(key) => key.public_key().as_ref(),
        }
    }
}

fn private_key(pem: &[u8]) -> Result<(SectionKind, Zeroizing<Vec<u8>>), KeyFault> {
    if pem.split(|byte| *byte == b'\n').any(says_encrypted) {
        return Err(KeyFault::Encrypted);
    }
    let mut found = None;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        // The error may hold a line of the text.
        let (kind, der) = section.map_err(|_| KeyFault::Unreadable)?;
        let der = Zeroizing::new(der);
        let is_private = matches!(
            kind,
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey
        );
        if is_private && found.replace((kind, der)).is_some() {
            return Err(KeyFault::Several);
        }
    }
    found.ok_or(KeyFault::Absent)
}

/// The label of PKCS#8 (RFC 7468 §11), and the header that older tools write (RFC 1421 §4.6.1.1).
fn says_encrypted(line: &[u8]) -> bool {
    line.starts_with(b"-----BEGIN ENCRYPTED ")
        || line.starts_with(b"Proc-Type:") && line.windows(9).any(|word| word == b"ENCRYPTED")
}
