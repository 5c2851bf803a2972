//! Assertions: what is signed, byte for byte, and that others can verify it.
//!
//! **Invariant:** where a signature is random, its header and claims are compared and it is verified
//! by another implementation of JWS than ours.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::vectors::{
    EDDSA, EDDSA_GIVEN, EDDSA_ISSUER, HS256, HS256_ISSUER, HS384, HS512, RFC7515_A1,
    RFC7515_A1_SECRET, RFC7515_A2_SIGNATURE, RFC7515_PAYLOAD, RFC8037_A4, RS256, RS256_KID,
    ed25519_pkcs8, from_base64url, pem, rsa_pkcs1, rsa_public,
};
use super::*;
use crate::domain::crd::{HmacAlgorithm, SigningAlgorithm};
use crate::domain::oauth::{assertion, key::SigningKey};

const ISSUER: &str = "https://idp.example.com/realms/shop";
/// Of `Entropy([7; 16])`.
const JTI: &str = "BwcHBwcHBwcHBwcHBwcHBw";

/// The settings of `PrivateKeyJWT` with `more` beside the key.
fn private_key(more: &Value) -> Value {
    let mut settings = json!({"keySecretRef": {"name": "k"}});
    for (name, value) in more.as_object().unwrap() {
        settings[name] = value.clone();
    }
    json!({"clientAuthentication": {"method": "PrivateKeyJWT", "privateKeyJWT": settings}})
}

fn hmac(algorithm: &str) -> Value {
    json!({"clientAuthentication": {
        "method": "ClientSecretJWT", "clientSecretJWT": {"algorithm": algorithm},
    }})
}

fn with(mut over: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        over[name] = value.clone();
    }
    over
}

fn claims(id: &str, audience: &str) -> String {
    format!(
        r#"{{"iss":"{id}","sub":"{id}","aud":"{audience}","jti":"{JTI}","iat":1772366400,"nbf":1772366400,"exp":1772366460}}"#
    )
}

#[test]
fn assertions_are_written_byte_for_byte() {
    let rsa = pem("RSA PRIVATE KEY", &rsa_pkcs1());
    let ed25519 = pem("PRIVATE KEY", &ed25519_pkcs8());
    let issuer = json!({"tokenURL": null, "issuer": ISSUER});
    let issuer_with_slash = json!({"tokenURL": null, "issuer": format!("{ISSUER}/")});
    let query = format!("{TOKEN_URL}?api-version=1");
    for (name, over, given, header, audience, signature) in [
        ("HS256", hmac("HS256"), &[][..], r#"{"alg":"HS256","typ":"JWT"}"#, TOKEN_URL, HS256),
        ("HS384", hmac("HS384"), &[], r#"{"alg":"HS384","typ":"JWT"}"#, TOKEN_URL, HS384),
        ("HS512", hmac("HS512"), &[], r#"{"alg":"HS512","typ":"JWT"}"#, TOKEN_URL, HS512),
        (
            "HS256 is the default",
            json!({"clientAuthentication": {"method": "ClientSecretJWT"}}),
            &[],
            r#"{"alg":"HS256","typ":"JWT"}"#,
            TOKEN_URL,
            HS256,
        ),
        (
            "the secret is UTF-8, the issuer keeps its slash",
            with(hmac("HS256"), &issuer_with_slash),
            &[("secret", "pässwörd €")],
            r#"{"alg":"HS256","typ":"JWT"}"#,
            "https://idp.example.com/realms/shop/",
            HS256_ISSUER,
        ),
        (
            "RS256 fits an RSA key",
            private_key(&json!({})),
            &[("key", &rsa)],
            r#"{"alg":"RS256","typ":"JWT"}"#,
            TOKEN_URL,
            RS256,
        ),
        (
            "a key ID with quotes, and the query belongs to the URL",
            with(
                private_key(&json!({"keyID": "a1 \"x\"", "algorithm": "RS256"})),
                &json!({"tokenURL": query}),
            ),
            &[("key", &rsa)],
            r#"{"alg":"RS256","typ":"JWT","kid":"a1 \"x\""}"#,
            &query,
            RS256_KID,
        ),
        (
            "EdDSA fits an Ed25519 key",
            private_key(&json!({})),
            &[("key", &ed25519)],
            r#"{"alg":"EdDSA","typ":"JWT"}"#,
            TOKEN_URL,
            EDDSA,
        ),
        (
            "the issuer where there is one",
            with(private_key(&json!({"keyID": "k", "algorithm": "EdDSA"})), &issuer),
            &[("key", &ed25519), ("id", "üser")],
            r#"{"alg":"EdDSA","typ":"JWT","kid":"k"}"#,
            ISSUER,
            EDDSA_ISSUER,
        ),
        (
            "what the spec says wins over the issuer",
            with(private_key(&json!({"audience": "urn:idp"})), &issuer),
            &[("key", &ed25519)],
            r#"{"alg":"EdDSA","typ":"JWT"}"#,
            "urn:idp",
            EDDSA_GIVEN,
        ),
    ] {
        let id = given.iter().find(|(what, _)| *what == "id").map_or("app", |(_, id)| id);
        let encoded = url_encoded(id);
        let (header, claims) =
            (URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims(id, audience)));
        let plan = plan_with(&over);
        let url = if over["tokenURL"] == json!(query) { &query } else { TOKEN_URL };
        let body = format!(
            "grant_type=client_credentials&client_id={encoded}\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
             &client_assertion={header}.{claims}.{signature}"
        );
        check(name, &plan, given, &form_post(url, &body));
    }
}

fn url_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[test]
fn the_vectors_of_the_specifications_are_met() {
    // RFC 7515 A.1.1: the header has line ends, which no header of ours has.
    let input = format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{RFC7515_PAYLOAD}");
    let secret = from_base64url(RFC7515_A1_SECRET);
    let tag = assertion::mac(HmacAlgorithm::HS256, &secret, input.as_bytes());
    assert_eq!(URL_SAFE_NO_PAD.encode(tag.as_ref()), RFC7515_A1);
    for (label, der, algorithm, input, expected) in [
        (
            "RSA PRIVATE KEY", // RFC 7515 A.2.1
            rsa_pkcs1(),
            SigningAlgorithm::RS256,
            format!("eyJhbGciOiJSUzI1NiJ9.{RFC7515_PAYLOAD}"),
            RFC7515_A2_SIGNATURE,
        ),
        (
            "PRIVATE KEY", // RFC 8037 A.4
            ed25519_pkcs8(),
            SigningAlgorithm::EdDsa,
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned(),
            RFC8037_A4,
        ),
    ] {
        let key = SigningKey::from_pem(pem(label, &der).as_bytes()).unwrap();
        let signature = key.sign(algorithm, input.as_bytes()).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(signature), expected, "{algorithm:?}");
    }
}

/// The assertion of a request.
fn sent_assertion(over: &Value, key: &str) -> String {
    let request = ask(&plan_with(over), &read(&[("key", key)])).unwrap();
    let body = request.body.as_ref().unwrap().expose();
    let sent = url::form_urlencoded::parse(body.as_bytes());
    sent.into_owned().find(|(name, _)| name == "client_assertion").unwrap().1
}

fn verified(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Value {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.set_audience(&[TOKEN_URL]);
    jsonwebtoken::decode::<Value>(token, key, &validation).unwrap().claims
}

#[test]
fn random_signatures_are_verified_by_others() {
    let (n, e) = rsa_public();
    let rsa = DecodingKey::from_rsa_components(n, e).unwrap();
    let rsa_pem = pem("RSA PRIVATE KEY", &rsa_pkcs1());
    let elliptic = |algorithm| {
        let key = EcdsaKeyPair::generate(algorithm).unwrap();
        let point = key.public_key().as_ref()[1..].to_vec();
        let (x, y) = point.split_at(point.len() / 2);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let pem = pem("PRIVATE KEY", key.to_pkcs8v1().unwrap().as_ref());
        (pem, DecodingKey::from_ec_components(&x, &y).unwrap())
    };
    let (p256_pem, p256) = elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let (p384_pem, p384) = elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING);
    for (more, pem, key, algorithm, word) in [
        (json!({}), &rsa_pem, &rsa, Algorithm::RS256, "RS256"),
        (json!({"algorithm": "PS256"}), &rsa_pem, &rsa, Algorithm::PS256, "PS256"),
        (json!({}), &p256_pem, &p256, Algorithm::ES256, "ES256"),
        (json!({"algorithm": "ES256"}), &p256_pem, &p256, Algorithm::ES256, "ES256"),
        (json!({}), &p384_pem, &p384, Algorithm::ES384, "ES384"),
        (json!({"algorithm": "ES384"}), &p384_pem, &p384, Algorithm::ES384, "ES384"),
    ] {
        let over = private_key(&more);
        let token = sent_assertion(&over, pem);
        let expected: Value = serde_json::from_str(&claims("app", TOKEN_URL)).unwrap();
        assert_eq!(verified(&token, key, algorithm), expected, "{word}");
        let header = from_base64url(token.split('.').next().unwrap());
        assert_eq!(header, format!(r#"{{"alg":"{word}","typ":"JWT"}}"#).into_bytes());
        // Fixed length (RFC 7518 §3.4), and random where it may be.
        let signature = from_base64url(token.split('.').nth(2).unwrap());
        let length = [("RS256", 256), ("PS256", 256), ("ES256", 64), ("ES384", 96)];
        assert!(length.contains(&(word, signature.len())), "{word}");
        assert_eq!(sent_assertion(&over, pem) == token, word == "RS256", "{word}");
    }
}

#[test]
fn every_attempt_has_its_own_jti() {
    let plan = plan_with(&hmac("HS256"));
    let body = |entropy| {
        let url = Url::parse(TOKEN_URL).unwrap();
        let request = token_request(&plan, url, &read(&[]), now(), Entropy(entropy)).unwrap();
        request.body.unwrap().expose().clone()
    };
    assert_eq!(body([1; 16]), body([1; 16]));
    assert_ne!(body([1; 16]), body([2; 16]));
}
