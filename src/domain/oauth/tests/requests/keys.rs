//! Private keys in every form in which they come, and what is said of those that can't be used.
//!
//! **Invariant:** no message holds a byte of a key.

use aws_lc_rs::{
    digest,
    encoding::AsDer,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
    },
};
use rcgen::{CertificateParams, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};

use super::vectors::{RFC7515_A3, der, ed25519_pkcs8, from_base64url, integer, pem, rsa_pkcs1};
use super::*;
use crate::domain::crd::SigningAlgorithm;
use crate::domain::oauth::key::{KeyFault, SigningKey};

/// `PrivateKeyInfo` (RFC 5958) around a key, with the last number of 1.2.840.113549.1.1.
fn rsa_pkcs8(kind: u8, key: &[u8]) -> Vec<u8> {
    let identifier = der(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, kind]);
    let algorithm = der(0x30, &[identifier, der(5, &[])].concat());
    der(0x30, &[integer(&[0]), algorithm, der(4, key)].concat())
}

/// Of RFC 7515 A.3, as SEC1 (RFC 5915 §3).
fn p256_sec1() -> Vec<u8> {
    let [d, x, y] = RFC7515_A3.map(from_base64url);
    let curve = der(0xa0, &der(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]));
    let public = der(0xa1, &der(3, &[&[0, 4][..], &x, &y].concat()));
    der(0x30, &[integer(&[1]), der(4, &d), curve, public].concat())
}

fn generated(algorithm: &'static EcdsaSigningAlgorithm) -> [String; 2] {
    let key = EcdsaKeyPair::generate(algorithm).unwrap();
    let sec1 = key.private_key().as_der().unwrap();
    [pem("PRIVATE KEY", key.to_pkcs8v1().unwrap().as_ref()), pem("EC PRIVATE KEY", sec1.as_ref())]
}

fn rsa() -> String {
    pem("RSA PRIVATE KEY", &rsa_pkcs1())
}

#[test]
fn a_key_is_read_in_every_form_and_signs_with_its_algorithm() {
    let [p256, p256_sec1_generated] = generated(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let [p384, p384_sec1] = generated(&ECDSA_P384_SHA384_FIXED_SIGNING);
    let p256_sec1 = pem("EC PRIVATE KEY", &p256_sec1());
    let ed25519 = pem("PRIVATE KEY", &ed25519_pkcs8());
    let with_public = Ed25519KeyPair::generate().unwrap().to_pkcs8().unwrap();
    let parameters = pem("EC PARAMETERS", &der(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]));
    let certificate = pem("CERTIFICATE", &[0x30, 0]);
    for (name, text, algorithm) in [
        ("RSA, PKCS#1", rsa(), SigningAlgorithm::RS256),
        ("RSA, PKCS#8", pem("PRIVATE KEY", &rsa_pkcs8(1, &rsa_pkcs1())), SigningAlgorithm::RS256),
        ("P-256, PKCS#8", p256, SigningAlgorithm::ES256),
        ("P-256, SEC1 of RFC 7515", p256_sec1.clone(), SigningAlgorithm::ES256),
        ("P-256, SEC1", p256_sec1_generated, SigningAlgorithm::ES256),
        ("P-384, PKCS#8", p384, SigningAlgorithm::ES384),
        ("P-384, SEC1", p384_sec1, SigningAlgorithm::ES384),
        ("Ed25519, version 1", ed25519.clone(), SigningAlgorithm::EdDsa),
        ("Ed25519, version 2", pem("PRIVATE KEY", with_public.as_ref()), SigningAlgorithm::EdDsa),
        ("line ends of Windows", rsa().replace('\n', "\r\n"), SigningAlgorithm::RS256),
        ("after its parameters", format!("{parameters}{p256_sec1}"), SigningAlgorithm::ES256),
        (
            "between certificates",
            format!("{certificate}{ed25519}{certificate}"),
            SigningAlgorithm::EdDsa,
        ),
        ("after text", format!("Bag Attributes\n  key: x\n\n{}", rsa()), SigningAlgorithm::RS256),
    ] {
        let key = SigningKey::from_pem(text.as_bytes());
        let key = key.unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(key.algorithm(None), Ok(algorithm), "{name}");
        assert_eq!(key.algorithm(Some(algorithm)), Ok(algorithm), "{name}");
        assert!(key.sign(algorithm, b"message").is_ok(), "{name}");
    }
}

#[test]
fn an_algorithm_of_another_kind_of_key_is_refused() {
    use SigningAlgorithm::{ES256, ES384, EdDsa, PS256, RS256};
    let [p256, _] = generated(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let [p384, _] = generated(&ECDSA_P384_SHA384_FIXED_SIGNING);
    for (text, fits) in [
        (rsa(), &[RS256, PS256][..]),
        (p256, &[ES256]),
        (p384, &[ES384]),
        (pem("PRIVATE KEY", &ed25519_pkcs8()), &[EdDsa]),
    ] {
        let key = SigningKey::from_pem(text.as_bytes()).unwrap();
        for algorithm in [RS256, PS256, ES256, ES384, EdDsa] {
            let found = key.algorithm(Some(algorithm));
            assert_eq!(found.is_ok(), fits.contains(&algorithm), "{fits:?} {algorithm:?}");
        }
    }
}

#[test]
fn a_key_that_can_not_be_used_is_named_with_a_cure() {
    let short = |bits: usize| {
        let modulus = [&[0xc0][..], &vec![1; bits / 8 - 1]].concat();
        der(0x30, &[integer(&[0]), integer(&modulus), integer(&[3])].concat())
    };
    let [p521, p521_sec1] = generated(&ECDSA_P521_SHA512_FIXED_SIGNING);
    let x25519 = der(
        0x30,
        &[integer(&[0]), der(0x30, &der(6, &[0x2b, 0x65, 0x6e])), der(4, &[4, 0])].concat(),
    );
    let rsa = rsa();
    let half = &rsa[..rsa.len() / 2];
    let mut damaged = rsa_pkcs1();
    damaged[300] ^= 1;
    let encrypted = pem("ENCRYPTED PRIVATE KEY", &[0x30, 0]);
    let header = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n";
    for (name, text, fault) in [
        ("empty", String::new(), KeyFault::Absent),
        ("text", "s3cr3t".to_owned(), KeyFault::Absent),
        ("a certificate alone", pem("CERTIFICATE", &[0x30, 0]), KeyFault::Absent),
        ("a public key alone", pem("PUBLIC KEY", &[0x30, 0]), KeyFault::Absent),
        ("an OpenSSH key", pem("OPENSSH PRIVATE KEY", b"openssh-key-v1"), KeyFault::Absent),
        ("two keys", format!("{rsa}{rsa}"), KeyFault::Several),
        ("encrypted PKCS#8", encrypted, KeyFault::Encrypted),
        ("encrypted PKCS#1", rsa.replacen('\n', &format!("\n{header}"), 1), KeyFault::Encrypted),
        (
            "encrypted, with line ends of Windows",
            rsa.replacen('\n', &format!("\n{header}"), 1).replace('\n', "\r\n"),
            KeyFault::Encrypted,
        ),
        ("cut off", half.to_owned(), KeyFault::Unreadable),
        ("no base64", rsa.replace('M', "!"), KeyFault::Unreadable),
        ("no DER", pem("PRIVATE KEY", b"s3cr3t"), KeyFault::Unreadable),
        ("another label", pem("PRIVATE KEY", &rsa_pkcs1()), KeyFault::Unreadable),
        ("damaged", pem("RSA PRIVATE KEY", &damaged), KeyFault::Unreadable),
        ("RSA 1024", pem("RSA PRIVATE KEY", &short(1024)), KeyFault::RsaLength(1024)),
        (
            "RSA 2040, PKCS#8",
            pem("PRIVATE KEY", &rsa_pkcs8(1, &short(2040))),
            KeyFault::RsaLength(2040),
        ),
        ("RSA 16384", pem("RSA PRIVATE KEY", &short(16384)), KeyFault::RsaLength(16384)),
        ("id-RSASSA-PSS", pem("PRIVATE KEY", &rsa_pkcs8(10, &rsa_pkcs1())), KeyFault::RsaPss),
        ("P-521, PKCS#8", p521, KeyFault::P521),
        ("P-521, SEC1", p521_sec1, KeyFault::P521),
        ("X25519", pem("PRIVATE KEY", &x25519), KeyFault::Other),
    ] {
        let found = SigningKey::from_pem(text.as_bytes()).err();
        assert_eq!(found, Some(fault), "{name}");
        let Fault { reason, message } = Fault::from(fault);
        assert_eq!(reason, Reason::ClientKeyInvalid);
        assert!(message.contains("spec.clientAuthentication.privateKeyJWT.keySecretRef"));
        assert!(message.contains(": ") && !message.contains("s3cr3t"), "{message}");
    }
}

#[test]
fn the_thumbprint_is_that_of_the_first_certificate() {
    for (algorithm, label) in [
        (&PKCS_ECDSA_P256_SHA256, "PRIVATE KEY"),
        (&PKCS_ED25519, "PRIVATE KEY"),
        (&PKCS_RSA_SHA256, "PRIVATE KEY"),
    ] {
        let own = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = CertificateParams::new(vec!["client.example.com".to_owned()]).unwrap();
        let certificate = params.self_signed(&own).unwrap();
        let other = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let key_pem = pem(label, &own.serialize_der());
        let key = SigningKey::from_pem(key_pem.as_bytes()).unwrap();
        let (own, other) = (pem("CERTIFICATE", certificate.der()), pem("CERTIFICATE", other.der()));
        let digest = digest::digest(&digest::SHA256, certificate.der());
        let thumbprint = Ok(URL_SAFE_NO_PAD.encode(digest));
        for (name, text, expected) in [
            ("its own", own.clone(), thumbprint.clone()),
            ("its own and its authority's", format!("{own}{other}"), thumbprint.clone()),
            ("after the key", format!("{key_pem}{own}"), thumbprint),
            ("another one", other.clone(), Err(KeyFault::CertificateOfAnotherKey)),
            (
                "its own as the second",
                format!("{other}{own}"),
                Err(KeyFault::CertificateOfAnotherKey),
            ),
            ("none", key_pem.clone(), Err(KeyFault::CertificateUnreadable)),
            ("garbage", pem("CERTIFICATE", b"x"), Err(KeyFault::CertificateUnreadable)),
        ] {
            assert_eq!(key.thumbprint(text.as_bytes()), expected, "{algorithm:?} {name}");
        }
    }
}

/// X.509 v1 has no version and no extensions.
#[test]
fn an_old_certificate_is_read_too() {
    let key = rcgen::KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let empty = der(0x30, &[]);
    let public = der(3, &[&[0], key.public_key_raw()].concat());
    let info = der(0x30, &[der(0x30, &der(6, &[0x2b, 0x65, 0x70])), public].concat());
    let signed = [integer(&[1]), empty.repeat(4), info].concat();
    let certificate = der(0x30, &[der(0x30, &signed), empty, der(3, &[0])].concat());
    let key = SigningKey::from_pem(pem("PRIVATE KEY", &key.serialize_der()).as_bytes()).unwrap();
    assert!(key.thumbprint(pem("CERTIFICATE", &certificate).as_bytes()).is_ok());
}

#[test]
fn the_thumbprint_stands_in_the_header() {
    let own = rcgen::KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["client.example.com".to_owned()]).unwrap();
    let certificate = params.self_signed(&own).unwrap();
    let plan =
        plan_with(&json!({"clientAuthentication": {"method": "PrivateKeyJWT", "privateKeyJWT": {
            "keySecretRef": {"name": "k"}, "certificateKey": "tls.crt", "keyID": "a",
        }}}));
    let mut values = read(&[("key", &pem("PRIVATE KEY", &own.serialize_der()))]);
    let text = pem("CERTIFICATE", certificate.der());
    values.signing_certificate = Some(Redacted::new(text.into_bytes()));
    let request = ask(&plan, &values).unwrap();
    let assertion = request.sent.iter().find(|sent| sent.expose().contains('.')).unwrap();
    let header = from_base64url(assertion.expose().split('.').next().unwrap());
    let digest = digest::digest(&digest::SHA256, certificate.der());
    let expected = format!(
        r#"{{"alg":"ES256","typ":"JWT","kid":"a","x5t#S256":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(digest)
    );
    assert_eq!(String::from_utf8(header).unwrap(), expected);
}
