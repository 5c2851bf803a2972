//! Reads claims of a JWT that the cluster itself made. In: a token. Out: who made it and for whom.
//!
//! **Invariant:** nothing is verified here, so nothing may be trusted that another party could have
//! written; what can't be read is absent.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    #[serde(default)]
    aud: Audiences,
}

/// One audience or several (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

impl Default for Audiences {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

/// The `iss` claim (RFC 7519 §4.1.1).
pub fn issuer(token: &str) -> Option<String> {
    claims(token)?.iss
}

/// The `aud` claim (RFC 7519 §4.1.3).
pub fn audiences(token: &str) -> Vec<String> {
    match claims(token).map(|claims| claims.aud) {
        Some(Audiences::One(audience)) => vec![audience],
        Some(Audiences::Several(audiences)) => audiences,
        None => Vec::new(),
    }
}

fn claims(token: &str) -> Option<Claims> {
    let claims = Zeroizing::new(URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?);
    serde_json::from_slice(&claims).ok()
}

#[cfg(test)]
mod tests {
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
