//! As much of DER (X.690) as tells kinds of private keys apart and finds the public key of a
//! certificate. In: bytes. Out: slices of them.
//!
//! **Invariant:** nothing is copied and nothing is judged: whether a key is sound is the crypto
//! library's to say. What can't be read is absent.

use rustls_pki_types::pem::SectionKind;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`: the curve in SEC1, the version in a certificate.
const CONTEXT_0: u8 = 0xa0;

/// 1.2.840.113549.1.1.1 (RFC 8017 A.1).
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
/// 1.2.840.113549.1.1.10 (RFC 8017 A.2.3).
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
/// 1.2.840.10045.2.1 (RFC 5480 §2.1.1).
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// 1.3.101.112 (RFC 8410 §3).
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// 1.2.840.10045.3.1.7 (RFC 5480 §2.1.1.1), as the next two.
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// 1.3.132.0.34.
const P384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
/// 1.3.132.0.35.
const P521: &[u8] = &[0x2b, 0x81, 4, 0, 0x23];

/// What a private key is, as far as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// RSA, with the length of its modulus in bits.
    Rsa(usize),
    /// RSA that its issuer has bound to RSASSA-PSS.
    RsaPss,
    /// The curve P-256.
    P256,
    /// The curve P-384.
    P384,
    /// The curve P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// Another one.
    Other,
}

/// Bytes with one element after the other.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// The elements within the one that `bytes` begins with.
    fn of_sequence(bytes: &'a [u8]) -> Option<Self> {
        Elements(bytes).take(SEQUENCE).map(Self)
    }

    /// The content of the next element, if it has this tag; else nothing is taken.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let rest = self.0.strip_prefix(&[tag])?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if !(1..=4).contains(&bytes.len()) {
                return None;
            }
            length = bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
            rest = after;
        }
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some(content)
    }
}

/// What the private key of a PEM section is; `None` where it can't be read.
pub(super) fn key_kind(section: SectionKind, der: &[u8]) -> Option<KeyKind> {
    if section == SectionKind::PrivateKey {
        pkcs8(der)
    } else if section == SectionKind::RsaPrivateKey {
        pkcs1(der)
    } else {
        sec1(der)
    }
}

/// `PrivateKeyInfo` (RFC 5958 §2).
fn pkcs8(der: &[u8]) -> Option<KeyKind> {
    let mut info = Elements::of_sequence(der)?;
    info.take(INTEGER)?;
    let mut algorithm = Elements(info.take(SEQUENCE)?);
    match algorithm.take(OBJECT_IDENTIFIER)? {
        RSA_ENCRYPTION => pkcs1(info.take(OCTET_STRING)?),
        RSASSA_PSS => Some(KeyKind::RsaPss),
        EC_PUBLIC_KEY => algorithm.take(OBJECT_IDENTIFIER).map(curve),
        ED25519 => Some(KeyKind::Ed25519),
        _ => Some(KeyKind::Other),
    }
}

/// `RSAPrivateKey` (RFC 8017 A.1.2).
fn pkcs1(der: &[u8]) -> Option<KeyKind> {
    let mut key = Elements::of_sequence(der)?;
    key.take(INTEGER)?;
    let modulus = key.take(INTEGER)?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let first = modulus.get(zeros)?;
    Some(KeyKind::Rsa((modulus.len() - zeros) * 8 - first.leading_zeros() as usize))
}

/// `ECPrivateKey` (RFC 5915 §3).
fn sec1(der: &[u8]) -> Option<KeyKind> {
    let mut key = Elements::of_sequence(der)?;
    key.take(INTEGER)?;
    key.take(OCTET_STRING)?;
    let mut parameters = Elements(key.take(CONTEXT_0)?);
    parameters.take(OBJECT_IDENTIFIER).map(curve)
}

fn curve(identifier: &[u8]) -> KeyKind {
    match identifier {
        P256 => KeyKind::P256,
        P384 => KeyKind::P384,
        P521 => KeyKind::P521,
        _ => KeyKind::Other,
    }
}

/// The `subjectPublicKey` of a certificate (RFC 5280 §4.1), without its algorithm. Of any version:
/// X.509 v1 is what older tools still sign.
pub(super) fn certified_key(certificate: &[u8]) -> Option<&[u8]> {
    let mut certificate = Elements::of_sequence(certificate)?;
    let mut signed = Elements(certificate.take(SEQUENCE)?);
    let _version = signed.take(CONTEXT_0);
    signed.take(INTEGER)?;
    // Signature algorithm, issuer, validity, subject.
    for _ in 0..4 {
        signed.take(SEQUENCE)?;
    }
    let mut info = Elements(signed.take(SEQUENCE)?);
    info.take(SEQUENCE)?;
    // The first byte counts unused bits: none, in whole bytes.
    info.take(BIT_STRING)?.strip_prefix(&[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_whole_or_not_at_all() {
        fn check(bytes: &[u8], content: Option<&[u8]>) {
            assert_eq!(Elements(bytes).take(INTEGER), content, "{bytes:?}");
        }
        check(&[2, 1, 7, 9], Some(&[7]));
        check(&[2, 0], Some(&[]));
        check(&[2, 0x81, 1, 7], Some(&[7]));
        check(&[2, 0x82, 0, 1, 7], Some(&[7]));
        for bad in [
            &[][..],
            &[2],
            &[2, 2, 7],
            &[3, 1, 7],
            &[2, 0x80, 7],
            &[2, 0x81],
            &[2, 0x85, 0, 0, 0, 0, 1, 7],
            &[2, 0x84, 0xff, 0xff, 0xff, 0xff, 7],
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn the_length_of_a_modulus_does_not_count_leading_zeros() {
        for (modulus, bits) in [(&[1][..], 1), (&[0, 0x80], 8), (&[0x01, 0xff], 9)] {
            let length = u8::try_from(modulus.len()).unwrap();
            let key = [&[SEQUENCE, length + 5, INTEGER, 1, 0, INTEGER, length], modulus].concat();
            assert_eq!(pkcs1(&key), Some(KeyKind::Rsa(bits)));
        }
        assert_eq!(pkcs1(&[SEQUENCE, 6, INTEGER, 1, 0, INTEGER, 1, 0]), None);
    }
}
