//! Reads claims of a JWT, whoever made it. In: a token. Out: who made it, for whom, until when.
//!
//! **Invariant:** nothing is verified here, so a claim is a hint, but in a token that the cluster has
//! just made; what can't be read is absent.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, de::DeserializeOwned};
use zeroize::Zeroizing;

/// Base64url as JWTs have it (RFC 7515 §2), and as some issuers pad it.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Deserialize)]
struct MadeBy {
    iss: String,
}

#[derive(Deserialize)]
struct MadeFor {
    aud: Audiences,
}

#[derive(Deserialize)]
struct GoodUntil {
    exp: f64,
}

/// One audience or several (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

/// The `iss` claim (RFC 7519 §4.1.1).
pub fn issuer(token: &str) -> Option<String> {
    claims::<MadeBy>(token).map(|claims| claims.iss)
}

/// The `aud` claim (RFC 7519 §4.1.3).
pub fn audiences(token: &str) -> Vec<String> {
    match claims::<MadeFor>(token).map(|claims| claims.aud) {
        Some(Audiences::One(audience)) => vec![audience],
        Some(Audiences::Several(audiences)) => audiences,
        None => Vec::new(),
    }
}

/// The `exp` claim (RFC 7519 §4.1.4), in seconds since 1970.
pub fn expiry(token: &str) -> Option<f64> {
    claims::<GoodUntil>(token).map(|claims| claims.exp)
}

/// The claims of a signed JWT; an encrypted one has five parts and tells nothing.
fn claims<T: DeserializeOwned>(token: &str) -> Option<T> {
    let mut parts = token.split('.');
    let (_header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let claims = Zeroizing::new(BASE64URL.decode(claims).ok()?);
    serde_json::from_slice(&claims).ok()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn issuer_and_audiences_are_read_or_absent() {
        let one = token(r#"{"iss":"https://c","aud":"a"}"#);
        assert_eq!((issuer(&one), audiences(&one)), (Some("https://c".into()), vec!["a".into()]));
        let several = token(r#"{"aud":["a","b"]}"#);
        assert_eq!((issuer(&several), audiences(&several).len()), (None, 2));
        for none in ["", "a", "a.b.c", "a.!.c", &token("[]"), &token(r#"{"aud":1}"#)] {
            assert_eq!((issuer(none), audiences(none).len()), (None, 0), "{none}");
        }
    }
}
