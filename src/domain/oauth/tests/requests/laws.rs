//! Laws over arbitrary input: what is written reads back as it was meant.
//!
//! **Invariant:** it is read by other code than wrote it.

use proptest::collection::{btree_map, vec};
use proptest::option;

use super::*;

type Pairs = Vec<(String, String)>;

/// Anything that a Secret may hold, signs that separate more often than others.
fn value() -> impl Strategy<Value = String> {
    let sign = prop_oneof![
        Just('&'),
        Just('='),
        Just('+'),
        Just('%'),
        Just('"'),
        Just('\\'),
        Just(' '),
        Just('\n'),
        Just('\0'),
        Just(':'),
        Just('#'),
        Just('?'),
        Just('ü'),
        any::<char>(),
    ];
    vec(sign, 1..12).prop_map(String::from_iter)
}

fn scope() -> impl Strategy<Value = String> {
    "[\\x21\\x23-\\x5B\\x5D-\\x7E]{1,12}"
}

fn is_free(name: &str) -> bool {
    use crate::domain::crd::{RESERVED_HEADER_PREFIXES, RESERVED_HEADERS, RESERVED_PARAMETERS};
    let name = name.to_ascii_lowercase();
    let reserved = [&RESERVED_PARAMETERS[..], &RESERVED_HEADERS].concat();
    !reserved.contains(&name.as_str())
        && !RESERVED_HEADER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        && !["accept", "user-agent"].contains(&name.as_str())
}

/// What a case asks for.
#[derive(Debug, Clone)]
struct Asked {
    method: &'static str,
    format: &'static str,
    raw: bool,
    id: String,
    secret: String,
    scopes: Vec<String>,
    audience: Option<String>,
    /// By name: the value, whether it is a secret, whether it goes to the query.
    parameters: Vec<(String, (String, bool, bool))>,
    headers: Vec<(String, (String, bool))>,
}

const METHODS: [&str; 5] =
    ["ClientSecretBasic", "ClientSecretPost", "ClientSecretJWT", "TLSClientAuth", "None"];

prop_compose! {
    fn asked()(
        method in proptest::sample::select(&METHODS[..]),
        format in proptest::sample::select(&["Form", "JSON", "Query"][..]),
        raw in any::<bool>(),
        id in value(),
        secret in value(),
        scopes in vec(scope(), 0..3),
        audience in option::of(value()),
        parameters in btree_map("[\\x21-\\x7E]{1,8}", (value(), any::<bool>(), any::<bool>()), 0..4),
        headers in btree_map("[a-z0-9!#$%&'*+.^_`|~-]{1,8}", ("[\\x21-\\x7E]([\\x20-\\x7E]{0,8}[\\x21-\\x7E])?", any::<bool>()), 0..4),
    ) -> Asked {
        let puts_secrets = ["ClientSecretPost", "ClientSecretJWT"].contains(&method);
        let format = if puts_secrets && format == "Query" { "Form" } else { format };
        let secret_allowed = format != "Query";
        let parameters = parameters.into_iter().filter(|(name, _)| is_free(name));
        let parameters = parameters.map(|(name, (value, is_secret, in_query))| {
            let is_secret = is_secret && secret_allowed && !in_query;
            (name, (value, is_secret, in_query))
        });
        let headers = headers.into_iter().filter(|(name, _)| is_free(name)).collect();
        Asked {
            raw: raw && !id.contains(':'),
            parameters: parameters.collect(),
            method, format, id, secret, scopes, audience, headers,
        }
    }
}

impl Asked {
    fn request(&self) -> TokenRequest {
        let from = json!({"secretKeyRef": {"name": "s", "key": "k"}});
        let mut values = values(&self.id, &self.secret);
        let mut parameters = Vec::new();
        for (n, (name, (value, is_secret, in_query))) in self.parameters.iter().enumerate() {
            let place = if *in_query { "Query" } else { "Body" };
            parameters.push(if *is_secret {
                values.parameters.insert(n, Redacted::new(value.clone()));
                json!({"name": name, "valueFrom": from, "in": place})
            } else {
                json!({"name": name, "value": value, "in": place})
            });
        }
        let mut headers = Vec::new();
        for (n, (name, (value, is_secret))) in self.headers.iter().enumerate() {
            headers.push(if *is_secret {
                values.headers.insert(n, Redacted::new(value.clone()));
                json!({"name": name, "valueFrom": from})
            } else {
                json!({"name": name, "value": value})
            });
        }
        let encoding = if self.raw { "Raw" } else { "FormURLEncoded" };
        // Of a Secret nothing may stand in a query, also no client ID.
        let literal = self.format == "Query" && self.method != "ClientSecretBasic";
        let plan = plan_with(&json!({
            "clientID": literal.then_some(&self.id),
            "tokenURL": format!("{TOKEN_URL}?own=%7e+"),
            "scopes": self.scopes, "audience": self.audience,
            "tls": {"clientCertificateSecretRef": {"name": "c"}},
            "clientAuthentication": {"method": self.method, "clientSecretBasic": {"encoding": encoding}},
            "request": {"bodyFormat": self.format, "parameters": parameters, "headers": headers},
        }));
        ask(&plan, &values).unwrap_or_else(|fault| panic!("{fault:?}"))
    }

    /// What is asked for and who asks, but for an assertion, in order: apart in the query, and else.
    fn pairs(&self) -> (Pairs, Pairs) {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut with_the_others = vec![pair("grant_type", "client_credentials")];
        if !self.scopes.is_empty() {
            with_the_others.push(pair("scope", &self.scopes.join(" ")));
        }
        with_the_others.extend(self.audience.iter().map(|audience| pair("audience", audience)));
        let mut apart = Vec::new();
        for (name, (value, _, in_query)) in &self.parameters {
            let place =
                if *in_query && self.format != "Query" { &mut apart } else { &mut with_the_others };
            place.push(pair(name, value));
        }
        if self.method != "ClientSecretBasic" {
            with_the_others.push(pair("client_id", &self.id));
        }
        if self.method == "ClientSecretPost" {
            with_the_others.push(pair("client_secret", &self.secret));
        }
        (apart, with_the_others)
    }
}

fn form_read(text: &str) -> Pairs {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

/// What the request holds, its own query taken off: in the query, and in the body.
fn pairs_read(request: &TokenRequest, format: &str) -> (Pairs, Pairs) {
    let query = request.url.query().unwrap().strip_prefix("own=%7e+").unwrap();
    assert!(query.is_empty() || query.starts_with('&'));
    let body = request.body.as_ref().unwrap().expose();
    let body = match format {
        "JSON" => {
            let object: serde_json::Map<String, Value> = serde_json::from_str(body).unwrap();
            let text = |value: Value| value.as_str().unwrap().to_owned();
            object.into_iter().map(|(name, value)| (name, text(value))).collect()
        }
        _ => form_read(body),
    };
    (form_read(query.trim_start_matches('&')), body)
}

proptest! {
    #[test]
    fn what_is_written_reads_back_as_it_was_meant(asked in asked()) {
        let request = asked.request();
        let (mut apart, mut expected) = asked.pairs();
        let (query, mut body) = pairs_read(&request, asked.format);
        if asked.format == "Query" {
            std::mem::swap(&mut apart, &mut expected);
        }
        body.retain(|(name, _)| !name.starts_with("client_assertion"));
        if asked.format == "JSON" {
            // An object has no order.
            body.sort();
            expected.sort();
        }
        prop_assert_eq!(query, apart);
        prop_assert_eq!(body, expected);
    }

    #[test]
    fn no_input_makes_another_header(asked in asked()) {
        let request = asked.request();
        let mut expected = vec!["accept"];
        expected.extend((asked.format != "Query").then_some("content-type"));
        expected.extend((asked.method == "ClientSecretBasic").then_some("authorization"));
        let ours = expected.len();
        expected.extend(asked.headers.iter().map(|(name, _)| name.as_str()));
        let names: Vec<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
        prop_assert_eq!(names, expected);
        for ((_, written), (_, (value, _))) in request.headers[ours..].iter().zip(&asked.headers) {
            prop_assert_eq!(written.expose(), value);
        }
        for (_, value) in &request.headers {
            prop_assert!(value.expose().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
    }

    #[test]
    fn each_request_has_exactly_one_authentication(asked in asked()) {
        let request = asked.request();
        let (query, body) = pairs_read(&request, asked.format);
        let count = |wanted: &str| {
            query.iter().chain(&body).filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).count()
        };
        let found = [
            request.headers.iter().filter(|(name, _)| name == "authorization").count(),
            count("client_secret"),
            count("client_assertion"),
        ];
        let basic = usize::from(asked.method == "ClientSecretBasic");
        let expected = [
            basic,
            usize::from(asked.method == "ClientSecretPost"),
            usize::from(asked.method == "ClientSecretJWT"),
        ];
        prop_assert_eq!(found, expected);
        prop_assert_eq!(count("client_assertion_type"), expected[2]);
        prop_assert_eq!(count("client_id"), 1 - basic);
        prop_assert_eq!(count("grant_type"), 1);
    }

    #[test]
    fn basic_reads_back_as_id_and_secret(asked in asked()) {
        let asked = Asked { method: "ClientSecretBasic", ..asked };
        let request = asked.request();
        let header = request.header("authorization").unwrap().strip_prefix("Basic ").unwrap();
        let pair = String::from_utf8(STANDARD.decode(header).unwrap()).unwrap();
        let (id, secret) = pair.split_once(':').unwrap();
        let decoded = |text: &str| if asked.raw { text.to_owned() } else { percent_decoded(text) };
        prop_assert_eq!(decoded(id), asked.id);
        prop_assert_eq!(decoded(secret), asked.secret);
    }

    #[test]
    fn everything_secret_is_remembered(asked in asked()) {
        let request = asked.request();
        let uses_secret = asked.method.starts_with("ClientSecret");
        let secrets = asked.parameters.iter().filter(|(_, (_, is_secret, _))| *is_secret);
        let secrets = secrets.map(|(_, (value, ..))| value);
        let headers = asked.headers.iter().filter(|(_, (_, is_secret))| *is_secret);
        let all = secrets.chain(headers.map(|(_, (value, _))| value)).chain(uses_secret.then_some(&asked.secret));
        for secret in all {
            prop_assert!(request.sent.iter().any(|sent| sent.expose() == secret));
        }
        prop_assert!(request.sent.iter().all(|sent| !sent.expose().is_empty()));
        let shown = format!("{request:?}");
        prop_assert!(asked.secret.len() < 4 || !shown.contains(&asked.secret));
    }
}
