//! What a success may look like, rule by rule: where the token lies, of which type it is, and
//! which scopes it has.
//!
//! **Invariant:** one row, one rule; what the row does not name is as usual.

use super::*;

const NO_TOKEN: (Reason, Class, Next) = (Reason::MalformedResponse, Class::Contract, GAP);
const WRONG_TYPE: (Reason, Class, Next) = (Reason::UnsupportedTokenType, Class::Contract, GAP);
const PAGE: (Reason, Class, Next) = (Reason::ServerError, Class::Transient, SOON);
const HOUR: Ends = Ends::In(3600);
const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];
const HTML: &[(&str, &str)] = &[("content-type", "text/html; charset=utf-8")];
const SECONDS: ExpiresInUnit = ExpiresInUnit::Seconds;
const MILLISECONDS: ExpiresInUnit = ExpiresInUnit::Milliseconds;

pub(super) const CASES: &[Case] = &[
    // Where the token lies.
    granted("pointer: below the top", r#"{"data":{"token":"t0k3n"},"expires_in":3600}"#, HOUR).at(
        "/data/token",
        "/expires_in",
        SECONDS,
    ),
    granted("pointer: four levels", r#"{"a":{"b":{"c":{"d":"t0k3n"}}}}"#, Ends::Unknown).at(
        "/a/b/c/d",
        "/expires_in",
        SECONDS,
    ),
    granted(
        "pointer: in an array",
        r#"{"tokens":[{"v":"x"},{"v":"t0k3n","ttl":60}]}"#,
        Ends::In(60),
    )
    .at("/tokens/1/v", "/tokens/1/ttl", SECONDS),
    granted("pointer: an array's own member", r#"{"tokens":["x","t0k3n"]}"#, Ends::Unknown).at(
        "/tokens/1",
        "/expires_in",
        SECONDS,
    ),
    granted("pointer: a number names a member too", r#"{"a":{"0":"t0k3n"}}"#, Ends::Unknown).at(
        "/a/0",
        "/expires_in",
        SECONDS,
    ),
    granted("pointer: a slash is ~1", r#"{"a/b":{"c":"t0k3n"}}"#, Ends::Unknown).at(
        "/a~1b/c",
        "/expires_in",
        SECONDS,
    ),
    granted("pointer: a tilde is ~0", r#"{"a~b":"t0k3n"}"#, Ends::Unknown).at(
        "/a~0b",
        "/expires_in",
        SECONDS,
    ),
    granted("pointer: ~01 is ~1, not a slash", r#"{"~1":"t0k3n"}"#, Ends::Unknown).at(
        "/~01",
        "/expires_in",
        SECONDS,
    ),
    granted("pointer: an empty name", r#"{"":{"":"t0k3n"}}"#, Ends::Unknown).at(
        "//",
        "/expires_in",
        SECONDS,
    ),
    granted("pointer: an escaped name", r#"{"d\u0061ta":{"t":"t0k3n"}}"#, Ends::Unknown).at(
        "/data/t",
        "/expires_in",
        SECONDS,
    ),
    granted(
        "pointer: token and lifetime through one object",
        r#"{"r":{"l":3600,"t":"t0k3n","m":{"x":1}}}"#,
        HOUR,
    )
    .at("/r/t", "/r/l", SECONDS),
    granted(
        "pointer: the lifetime below the token's place",
        r#"{"t":"t0k3n","m":{"l":3600}}"#,
        HOUR,
    )
    .at("/t", "/m/l", SECONDS),
    refused("pointer: two digits are not one", 200, r#"{"tokens":["x","t0k3n"]}"#, NO_TOKEN).at(
        "/tokens/01",
        "/expires_in",
        SECONDS,
    ),
    refused("pointer: beyond the array", 200, r#"{"tokens":["t0k3n"]}"#, NO_TOKEN).at(
        "/tokens/1",
        "/expires_in",
        SECONDS,
    ),
    refused("pointer: through a string", 200, r#"{"data":"t0k3n"}"#, NO_TOKEN).at(
        "/data/token",
        "/expires_in",
        SECONDS,
    ),
    refused("pointer: through null", 200, r#"{"data":null}"#, NO_TOKEN).at(
        "/data/token",
        "/expires_in",
        SECONDS,
    ),
    refused("pointer: at an object", 200, r#"{"data":{"token":{"t":"t0k3n"}}}"#, NO_TOKEN).at(
        "/data/token",
        "/expires_in",
        SECONDS,
    ),
    refused(
        "pointer: the usual place is not looked at",
        200,
        r#"{"access_token":"t0k3n"}"#,
        NO_TOKEN,
    )
    .at("/data/token", "/expires_in", SECONDS),
    refused(
        "pointer: without a slash it leads nowhere",
        200,
        r#"{"access_token":"t0k3n"}"#,
        NO_TOKEN,
    )
    .at("access_token", "/expires_in", SECONDS),
    refused("pointer: the whole answer is no token", 200, r#"{"access_token":"t0k3n"}"#, NO_TOKEN)
        .at("", "", SECONDS),
    refused("duplicate: the token below the top", 200, r#"{"d":{"t":"a","t":"t0k3n"}}"#, NO_TOKEN)
        .at("/d/t", "/expires_in", SECONDS),
    refused(
        "duplicate: what holds the token",
        200,
        r#"{"d":{"t":"a"},"d":{"t":"t0k3n"}}"#,
        NO_TOKEN,
    )
    .at("/d/t", "/expires_in", SECONDS),
    refused("duplicate: what held no token", 200, r#"{"d":1,"d":{"t":"t0k3n"}}"#, NO_TOKEN).at(
        "/d/t",
        "/expires_in",
        SECONDS,
    ),
    refused("duplicate: in an array's object", 200, r#"{"d":[{"t":"a","t":"b"}]}"#, NO_TOKEN).at(
        "/d/0/t",
        "/expires_in",
        SECONDS,
    ),
    granted(
        "duplicate: the same name elsewhere",
        r#"{"t":{"t":"x"},"d":{"t":"t0k3n"},"u":[{"t":1}]}"#,
        Ends::Unknown,
    )
    .at("/d/t", "/expires_in", SECONDS),
    granted(
        "duplicate: the last lifetime counts",
        r#"{"access_token":"t0k3n","expires_in":1,"expires_in":3600}"#,
        HOUR,
    ),
    granted("form", "access_token=t0k3n&token_type=bearer&expires_in=3600&scope=a+b", HOUR)
        .headers(FORM)
        .scopes(&["a", "b"]),
    granted("form: sent as plain text", "access_token=t0k3n&expires_in=3600", HOUR)
        .headers(&[("content-type", "text/plain")]),
    granted("form: by pointer", "token=t0k3n&ttl=3600000&access_token=x", HOUR).headers(FORM).at(
        "/token",
        "/ttl",
        MILLISECONDS,
    ),
    granted("form: escaped names, by pointer", "a%2Fb=t0k3n&%7E=60", Ends::In(60))
        .headers(FORM)
        .at("/a~1b", "/~0", SECONDS),
    refused("form: it has no depth", 200, "data=t0k3n&token=t0k3n", NO_TOKEN).headers(FORM).at(
        "/data/token",
        "/expires_in",
        SECONDS,
    ),
    refused("form: the token twice, by pointer", 200, "token=t0k3n&token=t0k3n", NO_TOKEN)
        .headers(FORM)
        .at("/token", "/expires_in", SECONDS),
    granted("JSON sent as a page", r#"{"access_token":"t0k3n","expires_in":3600}"#, HOUR)
        .headers(HTML),
    granted("JSON without a content type", r#"{"access_token":"t0k3n","expires_in":3600}"#, HOUR)
        .headers(&[]),
    granted(
        "JSON after a byte order mark",
        "\u{feff}{\"access_token\":\"t0k3n\",\"expires_in\":3600}",
        HOUR,
    ),
    granted("JSON sent as a form", r#"{"access_token":"t0k3n","expires_in":3600}"#, HOUR)
        .headers(FORM),
    refused("a page", 200, "<!doctype html><title>Sign in</title>", PAGE).headers(HTML),
    refused("a page sent as JSON", 200, "<html></html>", PAGE),
    refused("an empty 200", 200, "", NO_TOKEN),
    refused("an empty 204", 204, "", NO_TOKEN).headers(&[]),
    refused("an array", 200, r#"[{"access_token":"t0k3n"}]"#, NO_TOKEN),
    refused("an empty object", 200, "{}", NO_TOKEN),
    refused("half an object", 200, r#"{"access_token":"t0k3n""#, NO_TOKEN),
    granted("203", r#"{"access_token":"t0k3n","expires_in":3600}"#, HOUR).status(203),
    granted(
        "an empty error is none",
        r#"{"access_token":"t0k3n","expires_in":3600,"error":""}"#,
        HOUR,
    ),
    refused(
        "an error beside the token",
        200,
        r#"{"access_token":"t0k3n","error":"denied"}"#,
        NO_TOKEN,
    ),
    refused(
        "an error beside the token, of the list",
        200,
        r#"{"access_token":"t0k3n","error":"invalid_scope"}"#,
        (Reason::InvalidScope, Class::Configuration, MINUTE),
    )
    .code("invalid_scope"),
    refused(
        "an error below the top is none of ours, but the token lacks",
        200,
        r#"{"data":{"error":"invalid_scope"}}"#,
        NO_TOKEN,
    ),
    refused("a token with a line end", 200, r#"{"access_token":"t0k3n\n"}"#, NO_TOKEN),
    refused("a token with a zero byte", 200, r#"{"access_token":"t0k3n\u0000"}"#, NO_TOKEN),
    refused("a token with a space", 200, r#"{"access_token":"t0k 3n"}"#, NO_TOKEN),
    refused("a token that is a number", 200, r#"{"access_token":12345}"#, NO_TOKEN),
    refused("an empty token", 200, r#"{"access_token":"","expires_in":3600}"#, NO_TOKEN),
    refused("a token of null", 200, r#"{"access_token":null,"expires_in":3600}"#, NO_TOKEN),
    // Of which type it is.
    granted(
        "type: bearer",
        r#"{"access_token":"t0k3n","token_type":"bearer","expires_in":3600}"#,
        HOUR,
    ),
    granted(
        "type: BEARER",
        r#"{"access_token":"t0k3n","token_type":"BEARER","expires_in":3600}"#,
        HOUR,
    ),
    granted("type: missing", r#"{"access_token":"t0k3n","expires_in":3600}"#, HOUR),
    granted("type: null", r#"{"access_token":"t0k3n","token_type":null,"expires_in":3600}"#, HOUR),
    granted(
        "type: bearertoken",
        r#"{"access_token":"t0k3n","token_type":"bearertoken","expires_in":3600}"#,
        HOUR,
    ),
    refused("type: dpop", 200, r#"{"access_token":"t0k3n","token_type":"dpop"}"#, WRONG_TYPE),
    refused("type: mac", 200, r#"{"access_token":"t0k3n","token_type":"mac"}"#, WRONG_TYPE),
    refused("type: N_A", 200, r#"{"access_token":"t0k3n","token_type":"N_A"}"#, WRONG_TYPE),
    refused("type: unknown", 200, r#"{"access_token":"t0k3n","token_type":"pop"}"#, WRONG_TYPE),
    refused("type: a number", 200, r#"{"access_token":"t0k3n","token_type":1}"#, WRONG_TYPE),
    refused(
        "type: beside a token below the top",
        200,
        r#"{"token_type":"Bearer","d":{"t":"t0k3n","token_type":"DPoP"}}"#,
        WRONG_TYPE,
    )
    .at("/d/t", "/expires_in", SECONDS),
    refused(
        "type: at the top, the token below",
        200,
        r#"{"token_type":"DPoP","d":{"t":"t0k3n"}}"#,
        WRONG_TYPE,
    )
    .at("/d/t", "/expires_in", SECONDS),
    // Which scopes it has.
    granted("scopes: commas", r#"{"access_token":"t0k3n","scope":"a,b"}"#, Ends::Unknown)
        .scopes(&["a", "b"]),
    granted(
        "scopes: commas and spaces",
        r#"{"access_token":"t0k3n","scope":"a, b"}"#,
        Ends::Unknown,
    )
    .scopes(&["a", "b"]),
    granted("scopes: none", r#"{"access_token":"t0k3n","scope":""}"#, Ends::Unknown).scopes(&[]),
    granted(
        "scopes: null",
        r#"{"access_token":"t0k3n","scope":null,"scopes":["a"]}"#,
        Ends::Unknown,
    )
    .scopes(&["a"]),
    granted(
        "scopes: an object says nothing",
        r#"{"access_token":"t0k3n","scope":{"a":1}}"#,
        Ends::Unknown,
    ),
    granted(
        "scopes: beside a token below the top",
        r#"{"scope":"x","d":{"t":"t0k3n","scopes":["a"]}}"#,
        Ends::Unknown,
    )
    .at("/d/t", "/expires_in", SECONDS)
    .scopes(&["a"]),
];
