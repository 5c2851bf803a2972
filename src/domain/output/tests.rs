//! Each form byte for byte, the limits of templates, and what no target may ask for.
//!
//! **Invariant:** every token here is of letters like no other, so that a message can be searched for it.

use serde_json::{Value, json};

use super::*;
use crate::domain::secret::PreviousToken;

const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.Zm9v_-~+/=.c2ln";

fn spec(target: &Value) -> OAuthClientCredentialSpec {
    let all = json!({"tokenURL": "https://idp.example.com/token", "target": target});
    serde_json::from_value(all).unwrap()
}

fn secret(token: &str) -> ManagedSecret {
    ManagedSecret {
        token: Redacted::new(token.to_owned()),
        token_type: "Bearer".to_owned(),
        record: Record {
            issued_at: "2026-01-31T11:00:00Z".parse().unwrap(),
            expires_at: "2026-01-31T12:00:00Z".parse().unwrap(),
            revision: 7,
            fingerprint: String::new(),
            inputs_version: String::new(),
            token_key: "token".to_owned(),
            refresh_at: None,
        },
        response_values: BTreeMap::new(),
        previous: None,
    }
}

fn data(target: &Value, token: &str) -> Result<BTreeMap<String, String>, String> {
    let content = content(&spec(target), &secret(token)).map_err(|fault| fault.message)?;
    let exposed = content.data.into_iter().map(|(key, value)| (key, value.expose().clone()));
    Ok(exposed.collect())
}

fn written(format: &Value) -> BTreeMap<String, String> {
    data(&json!({"additionalOutputFormats": [format]}), TOKEN).unwrap()
}

#[test]
fn every_form_is_these_bytes() {
    let pair = "b2F1dGgyOmV5SmhiR2NpT2lKU1V6STFOaUo5LlptOXZfLX4rLz0uYzJsbg==";
    let docker = |registries: &[&str]| {
        let one = |registry: &&str| {
            format!(r#""{registry}":{{"username":"oauth2","password":"{TOKEN}","auth":"{pair}"}}"#)
        };
        let all: Vec<_> = registries.iter().map(one).collect();
        format!(r#"{{"auths":{{{}}}}}"#, all.join(","))
    };
    let json = format!(
        r#"{{"token":"{TOKEN}","tokenType":"Bearer","issuedAt":"2026-01-31T11:00:00Z","expiresAt":"2026-01-31T12:00:00Z","expiresAtEpoch":1769860800,"revision":7}}"#
    );
    for (format, expected) in [
        (json!({"type": "Raw"}), TOKEN.to_owned()),
        (json!({"type": "AuthorizationHeader"}), format!("Authorization: Bearer {TOKEN}")),
        (
            json!({"type": "Netrc", "netrc": {"machine": "git.example.com"}}),
            format!("machine git.example.com login oauth2 password {TOKEN}"),
        ),
        (
            json!({"type": "Netrc", "netrc": {"machine": "git.example.com", "login": "bot"}}),
            format!("machine git.example.com login bot password {TOKEN}"),
        ),
        (
            json!({"type": "DockerConfigJSON", "dockerConfigJSON": {"registries": ["b.io", "a.io:5000"]}}),
            docker(&["a.io:5000", "b.io"]),
        ),
        (json!({"type": "JSON"}), json),
        (json!({"type": "Env", "env": {"name": "API_TOKEN"}}), format!("API_TOKEN={TOKEN}\n")),
    ] {
        let mut entry = format.clone();
        entry["key"] = json!("out");
        let written = written(&entry);
        assert_eq!(written["out"], expected, "{format}");
        assert_eq!(written.len(), 4, "{format}");
        assert_eq!(written["token"], TOKEN, "{format}");
        assert_eq!(written["expires-at"], "2026-01-31T12:00:00Z");
    }
}

#[test]
fn basic_auth_is_a_user_name_and_a_password() {
    for (settings, name) in [(json!({}), "oauth2"), (json!({"username": "x"}), "x")] {
        let entry = json!({"key": "password", "type": "BasicAuth", "basicAuth": settings});
        let written = written(&entry);
        assert_eq!((written["username"].as_str(), written["password"].as_str()), (name, TOKEN));
    }
    assert_eq!(written(&json!({"key": "password", "type": "BasicAuth"}))["username"], "oauth2");
}

#[test]
fn a_token_that_a_line_can_t_hold_is_refused_and_not_repeated() {
    for (format, token) in [
        (json!({"key": "n", "type": "Netrc", "netrc": {"machine": "m"}}), "quo\"ted"),
        (json!({"key": "n", "type": "Netrc", "netrc": {"machine": "m"}}), "#quoted"),
        (json!({"key": "n", "type": "Netrc", "netrc": {"machine": "m"}}), "quo\\ted"),
        (json!({"key": "e", "type": "Env", "env": {"name": "E"}}), "$(quoted)"),
        (json!({"key": "e", "type": "Env", "env": {"name": "E"}}), "`quoted`"),
        (json!({"key": "e", "type": "Env", "env": {"name": "E"}}), "1|quoted"),
        (json!({"key": "e", "type": "Env", "env": {"name": "E"}}), "'quoted'"),
        (json!({"key": "e", "type": "Env", "env": {"name": "E"}}), "quoted;a"),
    ] {
        let target = json!({"additionalOutputFormats": [format]});
        let message = data(&target, token).unwrap_err();
        assert!(message.contains("type Raw") && !message.contains("quo"), "{message}");
    }
    // In JSON everything is escaped.
    let target = json!({"additionalOutputFormats": [{"key": "j", "type": "JSON"}, {"key": ".d",
        "type": "DockerConfigJSON", "dockerConfigJSON": {"registries": ["r"]}}]});
    let odd = "\"},\\u0000'$(x)";
    let written = data(&target, odd).unwrap();
    let read = |key: &str| serde_json::from_str::<Value>(&written[key]).unwrap();
    assert_eq!(read("j")["token"], odd);
    assert_eq!(read(".d")["auths"]["r"]["password"], odd);
}

fn rendered(text: &str) -> Result<String, String> {
    let target = json!({"template": {"data": {"out": text}}});
    assert_eq!(
        fault(&spec(&target)).map(|fault| fault.message).is_some(),
        data(&target, TOKEN).is_err(),
        "{text}: with the stand-in as with the token"
    );
    data(&target, TOKEN).map(|mut written| written.remove("out").unwrap())
}

#[test]
fn a_template_has_six_values_and_six_filters() {
    for (text, expected) in [
        ("plain\n", "plain\n"),
        ("token={{ token }}\n", &format!("token={TOKEN}\n")),
        ("{{ tokenType }} {{ revision }}", "Bearer 7"),
        (
            "{{ issuedAt }}/{{ expiresAt }}/{{ expiresAtEpoch }}",
            "2026-01-31T11:00:00Z/2026-01-31T12:00:00Z/1769860800",
        ),
        ("{{ 'a b/c' | urlencode }}", "a%20b%2Fc"),
        ("{{ 'a<b' | b64encode }}", "YTxi"),
        ("{{ 'a\"b' | tojson }}", r#""a\"b""#),
        ("{{ 'aB' | upper }}{{ 'aB' | lower }}{{ ' a ' | trim }}", "ABaba"),
        ("{{ 'http' ~ '://' }}<&'\"", "http://<&'\""),
        ("{% if revision > 1 %}yes{% endif %}", "yes"),
        ("{# a remark #}x", "x"),
    ] {
        assert_eq!(rendered(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn a_template_that_reaches_for_more_is_refused_with_its_line_and_no_value() {
    for (text, says) in [
        ("a\n{{ nothing }}", "a value that there is not"),
        ("{{ token.value }}", "a value that there is not"),
        ("{{ debug() }}", "a function, method or test"),
        ("{{ range(3) }}", "a function, method or test"),
        ("{{ dict(a=1) }}", "a function, method or test"),
        ("{{ namespace() }}", "a function, method or test"),
        ("{{ lookup('v1', 'Secret', 'ns', 'name') }}", "a function, method or test"),
        ("{{ token is defined }}", "a function, method or test"),
        ("{{ token.upper() }}", "a function, method or test"),
        ("{{ token | replace('a', 'b') }}", "a filter that there is not"),
        ("{{ token | pprint }}", "a filter that there is not"),
        ("{{ token | safe }}", "a filter that there is not"),
        ("{{ token", "a syntax error"),
        ("{% include 'other' %}", "a syntax error"),
        ("{% import 'other' as o %}", "a syntax error"),
        ("{% extends 'other' %}", "a syntax error"),
        ("{% macro m() %}{% endmacro %}", "a syntax error"),
        ("{% if %}", "a syntax error"),
        ("{{ 1 / 0 }}", "an operation that can't be done"),
        ("{{ token + 1 }}", "an operation that can't be done"),
    ] {
        let message = rendered(text).expect_err(text);
        assert!(message.starts_with("spec.target.template.data.out: "), "{message}");
        assert!(message.contains(says), "{text}: {message}");
        assert!(
            message.ends_with(&format!("(line {})", text.lines().count())),
            "{text}: {message}"
        );
        assert!(!message.contains("eyJ"), "{message}");
    }
}

#[test]
fn a_bomb_is_stopped() {
    let nested = "{% for a in [1,2,3,4,5,6,7,8,9,0] %}".repeat(9) + "x" + &"{% endfor %}".repeat(9);
    let letters = "a".repeat(4000);
    let many = format!("{{% for a in '{letters}' %}}{{{{ token }}}}{{% endfor %}}");
    let long = format!("{{% set s = '{letters}' %}}{}", "{{ s }}".repeat(17));
    let doubled = "{% set s = 'aaaaaaaaaaaaaaaa' %}".to_owned()
        + &"{% set s = s ~ s %}".repeat(40)
        + "{{ s }}";
    let encoded = "{{ token".to_owned() + &" | b64encode".repeat(60) + " }}";
    for bomb in [
        nested.as_str(),
        &many,
        &long,
        &doubled,
        &encoded,
        "{{ 'a' * 1000000000 }}",
        "{{ [0] * 1000000000 }}",
        "{{ ('a' * 100000) * 100000 }}",
        "{% for a in 'ab' * 1000000 %}{{ a }}{% endfor %}",
    ] {
        let target = json!({"template": {"data": {"out": bomb}}});
        let refused = fault(&spec(&target)).expect(bomb).message;
        let known = ["too much work", "more than 65536 bytes", "can't be done", "longer than"];
        assert!(known.iter().any(|word| refused.contains(word)), "{bomb:.60}: {refused}");
    }
    assert!(rendered(&"a".repeat(8192)).is_ok());
    let message = rendered(&"a".repeat(8193)).unwrap_err();
    assert!(message.contains("longer than 8192 bytes"), "{message}");
}

#[test]
fn templates_that_no_secret_can_hold_are_refused_before_a_token_is_asked_for() {
    let long = "{% set s = '".to_owned() + &"a".repeat(4096) + "' %}" + &"{{ s }}".repeat(16);
    let target = |count: usize| {
        let data: BTreeMap<_, _> = (0..count).map(|n| (format!("out-{n}"), long.clone())).collect();
        json!({"template": {"data": data}})
    };
    assert_eq!(fault(&spec(&target(15))), None);
    let refused = fault(&spec(&target(16))).unwrap();
    assert_eq!(refused.reason, Reason::SecretWriteFailed);
    assert!(refused.message.contains("larger than 1 MiB"), "{}", refused.message);
}

/// The stand-in is short: a template may fit with it, and not with the token.
#[test]
fn a_text_that_is_too_long_with_this_token_alone_is_refused_where_it_is_written() {
    let target = json!({"template": {"data": {"out": "{{ token }}".repeat(10)}}});
    assert_eq!(fault(&spec(&target)).map(|fault| fault.message), None);
    let message = data(&target, &"t".repeat(16 * 1024)).unwrap_err();
    assert!(message.contains("more than 65536 bytes"), "{message}");
}

fn reserved() -> Vec<String> {
    let known = [
        "app.kubernetes.io/managed-by",
        "app.kubernetes.io/instance",
        "kubernetes.io/service-account.name",
        "kubernetes.io/metadata.name",
        "kubectl.kubernetes.io/last-applied-configuration",
        "node.kubernetes.io/x",
        "k8s.io/x",
        "applyset.k8s.io/part-of",
        "clusterctl.cluster.x-k8s.io/move",
        "oauthcc.dev/owner-uid",
        "oauthcc.dev/allowed-token-hosts",
        "oauthcc.dev/managed",
        "oauthcc.dev/adopt-by",
        "sub.oauthcc.dev/x",
        "reflector.v1.k8s.emberstack.com/reflection-allowed",
        "reflector.v1.k8s.emberstack.com/reflection-auto-enabled",
        "reflector.v1.k8s.emberstack.com/reflects",
        "replicator.v1.mittwald.de/replicate-to",
        "replicator.v1.mittwald.de/replication-allowed",
        "replicator.v1.mittwald.de/replicate-from",
        "secret-generator.v1.mittwald.de/autogenerate",
        "v1.kubernetes-replicator.olli.com/replicate-to",
        "sealedsecrets.bitnami.com/managed",
        "sealedsecrets.bitnami.com/sealed-secrets-key",
        "argocd.argoproj.io/secret-type",
        "argocd.argoproj.io/instance",
        "kubed.appscode.com/sync",
        "config-syncer.appscode.com/sync",
        "kustomize.toolkit.fluxcd.io/name",
        "helm.toolkit.fluxcd.io/name",
        "meta.helm.sh/release-name",
        "helm.sh/resource-policy",
        "generate.kyverno.io/clone-source",
        "management.cattle.io/project-scoped-secret",
        "field.cattle.io/projectId",
        "clustersecret.io/synced",
        "external-secrets.io/x",
        "apps.open-cluster-management.io/deployables",
        "KUBERNETES.IO/x",
    ];
    known.map(str::to_owned).into()
}

#[test]
fn a_reserved_label_or_annotation_is_refused() {
    assert!(reserved().len() >= 30);
    for name in reserved() {
        for kind in ["labels", "annotations"] {
            let target = json!({"template": {"metadata": {kind: {&name: "x"}}}});
            let refused = fault(&spec(&target)).expect(&name);
            assert_eq!(refused.reason, Reason::TemplateInvalid);
            assert!(refused.message.contains("is reserved"), "{name}: {}", refused.message);
        }
    }
    for name in ["team", "example.com/team", "notkubernetes.io/x", "reloader.stakater.com/match"] {
        let target =
            json!({"template": {"metadata": {"labels": {name: "x"}, "annotations": {name: "x"}}}});
        assert_eq!(fault(&spec(&target)).map(|fault| fault.message), None, "{name}");
    }
}

#[test]
fn what_kubernetes_or_the_schema_refuse_is_refused_here_too() {
    let long = "a".repeat(254);
    let raw = |key: &str| json!({"additionalOutputFormats": [{"key": key, "type": "Raw"}]});
    let label =
        |name: &str, value: &str| json!({"template": {"metadata": {"labels": {name: value}}}});
    let entry = |entry: Value| json!({"additionalOutputFormats": [entry]});
    let basic = json!({"key": "password", "type": "BasicAuth"});
    for target in [
        entry(json!({"key": "a", "type": "Response"})),
        entry(json!({"key": "a", "type": "Raw", "response": {"pointer": "/a"}})),
        raw("token"),
        raw("expires-at"),
        raw("token-type"),
        raw("a/b"),
        raw(""),
        raw(".."),
        raw(&long),
        json!({"tokenKey": "a", "additionalOutputFormats": [{"key": "a", "type": "Raw"}]}),
        json!({"additionalOutputFormats": [{"key": "a", "type": "Raw"}, {"key": "a", "type": "JSON"}]}),
        json!({"additionalOutputFormats": [basic, {"key": "username", "type": "Raw"}]}),
        json!({"tokenKey": "username", "additionalOutputFormats": [basic]}),
        json!({"additionalOutputFormats": [basic], "template": {"data": {"username": ""}}}),
        json!({"template": {"data": {"token": "x"}}}),
        json!({"template": {"data": {"a b": "x"}}}),
        json!({"additionalOutputFormats": [{"key": "a", "type": "Raw"}], "template": {"data": {"a": ""}}}),
        entry(json!({"key": "a", "type": "BasicAuth"})),
        entry(json!({"key": "a", "type": "Netrc"})),
        entry(json!({"key": "a", "type": "DockerConfigJSON"})),
        entry(json!({"key": "a", "type": "Env"})),
        entry(json!({"key": "a", "type": "Raw", "env": {"name": "A"}})),
        entry(json!({"key": "a", "type": "Netrc", "netrc": {"machine": "m\nmachine evil"}})),
        entry(json!({"key": "a", "type": "Netrc", "netrc": {"machine": "m", "login": "a b"}})),
        entry(json!({"key": "a", "type": "Env", "env": {"name": "A\nB"}})),
        json!({"type": "kubernetes.io/basic-auth"}),
        json!({"type": "kubernetes.io/dockerconfigjson"}),
        label("", "x"),
        label("a/b/c", "x"),
        label("-a", "x"),
        label("Example.com/a", "x"),
        label("a", "a b"),
        label("a", "-a"),
        label("a", &"a".repeat(64)),
        label(&"a".repeat(64), "x"),
    ] {
        let refused = fault(&spec(&target)).unwrap_or_else(|| panic!("{target} is taken"));
        assert_eq!(refused.reason, Reason::TemplateInvalid, "{target}");
    }
}

/// An upgrade must not write every Secret anew: these digests stand in clusters.
#[test]
fn the_version_is_of_what_is_asked_for_and_of_nothing_else() {
    let of = |target: Value| Shape::of(&spec(&target), "token").version;
    assert_eq!(of(json!({})), None);
    assert_eq!(of(json!({"name": "a", "tokenKey": "b", "template": {}})), None);
    let (one, two) = (json!({"key": "a", "type": "Raw"}), json!({"key": "b", "type": "JSON"}));
    let version = of(json!({"additionalOutputFormats": [one, two]}));
    assert_eq!(version.as_deref(), Some("v1:9cc7ca70762689d13980027edb4af487"));
    assert_eq!(of(json!({"additionalOutputFormats": [two, one]})), version);
    assert_ne!(of(json!({"additionalOutputFormats": [one]})), version);
    let template = |text: &str| of(json!({"template": {"data": {"a": text}}}));
    assert_ne!(template("a"), template("b"));
    let shape = Shape { version, ..Shape::default() };
    assert!(shape.fits(shape.version.as_deref()) && shape.fits(Some("v2:x")));
    assert!(!shape.fits(None) && !shape.fits(Some("v1:x")));
    assert!(Shape::default().fits(None) && !Shape::default().fits(Some("v2:x")));
}

fn response(key: &str, pointer: &str) -> Value {
    json!({"key": key, "type": "Response", "response": {"pointer": pointer}})
}

fn with_values(values: &[(&str, &str)]) -> ManagedSecret {
    let all = values.iter();
    let all =
        all.map(|(pointer, value)| ((*pointer).to_owned(), Redacted::new((*value).to_owned())));
    ManagedSecret { response_values: all.collect(), ..secret(TOKEN) }
}

fn exposed(content: &Content, key: &str) -> Option<String> {
    content.data.get(key).map(|value| value.expose().clone())
}

#[test]
fn values_of_the_response_lie_under_their_keys_and_an_annotation_names_their_pointers() {
    let entries = json!([response("url", "/instance_url"), response("again", "/instance_url"),
        response("id", "/data/id"), {"key": "raw", "type": "Raw"}]);
    let spec = spec(&json!({ "additionalOutputFormats": entries }));
    let written = content(
        &spec,
        &with_values(&[("/instance_url", "https://a"), ("/data/id", ""), ("/x", "x")]),
    );
    let written = written.unwrap();
    for (key, value) in [("url", "https://a"), ("again", "https://a"), ("id", ""), ("raw", TOKEN)] {
        assert_eq!(exposed(&written, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(written.data.len(), 7);
    let mark = r#"{"again":"/instance_url","id":"/data/id","url":"/instance_url"}"#;
    assert_eq!(written.annotations[RESPONSE_VALUES], mark);
    let shape = Shape::of(&spec, "token");
    assert_eq!(shape.response_values().as_deref(), Some(mark));
    assert_eq!(written.annotations.get(OUTPUT_VERSION), shape.version.as_ref());
    assert!(shape.keys.iter().eq(written.data.keys()));
    // What came without a value is written without it, and says so.
    let less = content(&spec, &with_values(&[("/data/id", "7")])).unwrap();
    assert_eq!((exposed(&less, "id").as_deref(), exposed(&less, "url")), (Some("7"), None));
    assert_eq!(less.annotations[RESPONSE_VALUES], r#"{"id":"/data/id"}"#);
    assert_eq!(less.annotations.get(OUTPUT_VERSION), None);
    let none = content(&spec, &secret(TOKEN)).unwrap();
    assert_eq!(none.annotations.get(RESPONSE_VALUES), None);
}

#[test]
fn the_token_before_lies_beside_its_expiry() {
    let plain = json!({"additionalOutputFormats": [{"key": "raw", "type": "Raw"}]});
    let mut target = plain.clone();
    target["previousTokenKey"] = json!("old");
    let previous = PreviousToken {
        token: Redacted::new("before".to_owned()),
        expires_at: "2026-01-31T11:30:00Z".parse().unwrap(),
    };
    let after = ManagedSecret { previous: Some(previous), ..secret(TOKEN) };
    let written = content(&spec(&target), &after).unwrap();
    assert_eq!(exposed(&written, "old").as_deref(), Some("before"));
    assert_eq!(exposed(&written, "old-expires-at").as_deref(), Some("2026-01-31T11:30:00Z"));
    let first = content(&spec(&target), &secret(TOKEN)).unwrap();
    assert_eq!(first.data.len(), 4, "before the first rotation there is none");
    assert_eq!(content(&spec(&plain), &after).unwrap().data.len(), 4, "nobody asks for it");
    let shape = Shape::of(&spec(&target), "token");
    for all in [&written.data, &first.data] {
        let keys: BTreeSet<_> = all.keys().cloned().collect();
        assert!(shape.has_keys(&keys) && shape.knows(&keys));
        for key in &shape.previous {
            let mut one = keys.clone();
            if !one.remove(key) {
                one.insert(key.clone());
            }
            assert!(!shape.has_keys(&one) && shape.knows(&one), "one of two: {one:?}");
        }
    }
    let keys: BTreeSet<_> = written.data.keys().cloned().collect();
    let plain = Shape::of(&spec(&plain), "token");
    assert!(!plain.has_keys(&keys) && !plain.knows(&keys));
    // It is none of the forms: asking for it is no reason to write.
    assert_eq!(plain.version, shape.version);
}

#[test]
fn a_pointer_that_can_t_be_or_leads_to_a_refresh_token_is_refused() {
    let of =
        |pointer: &str| fault(&spec(&json!({"additionalOutputFormats": [response("a", pointer)]})));
    for pointer in
        ["/a", "/a/0", "/~0~1", "/refresh_token_expires_in", "/refresh_tokens", "/a b", "/é"]
    {
        assert_eq!(of(pointer), None, "{pointer}");
    }
    for pointer in ["", "a", "/", "/a/", "//a", "/~", "/~2", "/a~/b", "#/a"] {
        let refused = of(pointer).expect(pointer);
        assert!(refused.message.contains("is no JSON pointer"), "{pointer}: {}", refused.message);
    }
    for pointer in
        ["/refresh_token", "/data/refresh_token", "/refresh_token/0", "/a/refresh_token/b"]
    {
        let refused = of(pointer).expect(pointer);
        assert_eq!(refused.reason, Reason::TemplateInvalid);
        assert!(refused.message.contains("points at a refresh token"), "{}", refused.message);
    }
}

#[test]
fn no_key_is_written_twice_beside_the_token_before() {
    let with = |mut target: Value, key: &str| {
        target["previousTokenKey"] = json!(key);
        fault(&spec(&target))
    };
    let raw = |key: &str| json!({"additionalOutputFormats": [{"key": key, "type": "Raw"}]});
    let basic = json!({"additionalOutputFormats": [{"key": "password", "type": "BasicAuth"}]});
    let template = |key: &str| json!({"template": {"data": {key: "x"}}});
    for (target, key) in [
        (json!({}), "token"),
        (json!({}), "expires-at"),
        (json!({}), "token-type"),
        (json!({}), "a b"),
        (json!({}), &"k".repeat(243)),
        (json!({"tokenKey": "a-expires-at"}), "a"),
        (raw("a"), "a"),
        (raw("a-expires-at"), "a"),
        (basic, "username"),
        (template("a"), "a"),
        (template("a-expires-at"), "a"),
    ] {
        let refused = with(target.clone(), key).unwrap_or_else(|| panic!("{target} {key}"));
        assert!(refused.message.contains("spec.target.previousTokenKey"), "{}", refused.message);
    }
    assert_eq!(with(json!({"tokenKey": "t"}), "token"), None);
    assert_eq!(with(raw("a"), &"k".repeat(242)), None);
}
