//! The limits of the schema itself, for which the API server has its own words: lengths, patterns,
//! ranges, closed lists, what is required, what may be there once.
//!
//! **Invariant:** each example changes one field of a spec that is complete.

use serde_json::{Value, json};

use super::Example;
use super::examples::{method, private_key, service_account, target_forms};

/// One field, and a change that makes a spec in which it has a place.
struct Field {
    /// Below `.spec`, `[]` for the one entry of a list, `{}` for the one value of a map.
    path: &'static str,
    base: Value,
}

fn field(path: &'static str, base: Value) -> Field {
    Field { path, base }
}

/// A field that may stand alone.
fn plain(path: &'static str) -> Field {
    field(path, json!({}))
}

impl Field {
    /// The base with a value at the place of the field.
    fn with(&self, value: Value) -> Value {
        let mut change = self.base.clone();
        *self.place(&mut change) = value;
        change
    }

    fn place<'a>(&self, change: &'a mut Value) -> &'a mut Value {
        let path = self.path.replace("[]", ".0").replace("{}", ".a");
        path.split('.').fold(change, |value, name| match name.parse::<usize>() {
            Ok(index) if value.is_array() => &mut value[index],
            _ => &mut value[name],
        })
    }

    fn limit(&self, keyword: &str, accepted: Value, refused: Value, says: &str) -> Example {
        let limit = format!(".spec.{} {keyword}", self.path);
        let (accepted, refused) = (self.with(accepted), self.with(refused));
        Example { limit, accepted, refused, says: says.to_owned() }
    }

    /// Shortest, longest and pattern of a text: `shortest` has the least length, or is the shortest
    /// that the pattern takes.
    fn text(
        &self,
        (least, shortest): (usize, &str),
        longest: &str,
        wrong: &[&str],
    ) -> Vec<Example> {
        let too_long = format!("{longest}{}", longest.chars().last().unwrap_or('a'));
        let says = format!("may not be more than {}", longest.len());
        let mut all = vec![self.limit("maxLength", json!(longest), json!(too_long), &says)];
        if least > 0 {
            let too_short: String = shortest.chars().take(least - 1).collect();
            let says = format!("should be at least {least} chars long");
            all.push(self.limit("minLength", json!(shortest), json!(too_short), &says));
        }
        let pattern =
            |text: &&str| self.limit("pattern", json!(shortest), json!(text), "should match '");
        all.extend(wrong.iter().map(pattern));
        all
    }

    /// A closed list: each of its values, and one that is not there.
    fn choice(&self, values: &[&str]) -> Vec<Example> {
        let listed: Vec<_> = values.iter().map(|value| format!("{value:?}")).collect();
        let says = format!("supported values: {}", listed.join(", "));
        let example = |value| self.limit("enum", json!(value), json!("Nothing"), &says);
        values.iter().map(example).collect()
    }

    /// The least and the most of a number.
    fn range(&self, least: i64, most: i64) -> Vec<Example> {
        let low = format!("should be greater than or equal to {least}");
        let high = format!("should be less than or equal to {most}");
        vec![
            self.limit("minimum", json!(least), json!(least - 1), &low),
            self.limit("maximum", json!(most), json!(most + 1), &high),
        ]
    }

    /// How many entries a list may have, each made from its number.
    fn entries(&self, most: usize, entry: impl Fn(usize) -> Value) -> Example {
        let many = |count: usize| (0..count).map(&entry).collect();
        let says = format!("must have at most {most} items");
        self.limit("maxItems", many(most), many(most + 1), &says)
    }

    /// A member of this object without which it is refused.
    fn required(&self, name: &str) -> Example {
        let mut refused = self.base.clone();
        if let Value::Object(object) = self.place(&mut refused) {
            object.remove(name);
        }
        Example {
            limit: format!(".spec.{} required {name}", self.path),
            accepted: self.base.clone(),
            refused,
            says: format!("{name}: Required value"),
        }
    }
}

const NAMES: [&str; 5] = ["Client", "-client", "client.", "a/b", "cli_ent"];
const KEYS: [&str; 4] = ["a key", "a/b", "k\u{e9}y", "k\n"];
const POINTERS: [&str; 5] = ["token", "/a/", "//a", "/a~2", "/a~"];

/// Every limit of the spec.
pub fn limits() -> Vec<Example> {
    let no_spec = Example {
        limit: " required spec".to_owned(),
        accepted: json!({}),
        refused: Value::Null,
        says: "spec: Required value".to_owned(),
    };
    let all =
        [vec![no_spec], location(), credentials(), methods(), assertions(), asked(), request()];
    let more = [entries(), response(), tls(), rotation(), target(), forms(), templates()];
    all.into_iter().chain(more).flatten().collect()
}

fn location() -> Vec<Example> {
    let url = |length: usize| format!("https://{}", "a".repeat(length - 8));
    let wrong = ["ftp://a.example.com", "https://a b"];
    let mut all = plain("tokenURL").text((10, "http://a.b"), &url(2048), &wrong);
    let wrong = ["ftp://a.example.com", "https://a b", "https://a.b/?c", "https://a.b/#c"];
    let issuer = field("issuer", json!({"tokenURL": null}));
    all.extend(issuer.text((10, "http://a.b"), &url(2048), &wrong));
    let wrong = ["ftp://a.example.com", "https://a b"];
    all.extend(plain("revocation.url").text((10, "http://a.b"), &url(2048), &wrong));
    let zoom = json!({"provider": {"name": "Zoom", "parameters": {"a": "b"}}});
    all.push(field("provider", zoom.clone()).required("name"));
    let names = ["Zoom US", "zoom-us", "zo\u{f6}m"];
    all.extend(field("provider.name", zoom.clone()).text((1, "z"), &"z".repeat(64), &names));
    let value = field("provider.parameters{}", zoom.clone());
    all.extend(value.text((1, "v"), &"v".repeat(512), &["v\u{e9}", "v\n"]));
    let many = |count: usize| -> Value {
        (0..count).map(|number| (format!("p{number}"), json!("v"))).collect()
    };
    let parameters = field("provider.parameters", zoom);
    let says = "must have at most 16 items";
    all.push(parameters.limit("maxProperties", many(16), many(17), says));
    all
}

fn credentials() -> Vec<Example> {
    let longest = "a".repeat(253);
    let mut all = vec![Example {
        limit: ".spec.credentialsSecretRef required name".to_owned(),
        accepted: json!({"credentialsSecretRef": {"name": "crm-client"}}),
        refused: json!({"credentialsSecretRef": {"name": null}}),
        says: "spec.credentialsSecretRef.name: Required value".to_owned(),
    }];
    all.extend(plain("clientID").text((1, "i"), &"i".repeat(1024), &["i\u{e9}", "i\nd"]));
    all.extend(plain("credentialsSecretRef.name").text((1, "c"), &longest, &NAMES));
    for key in ["credentialsSecretRef.clientIDKey", "credentialsSecretRef.clientSecretKey"] {
        all.extend(plain(key).text((1, "k"), &longest, &KEYS));
    }
    all
}

fn methods() -> Vec<Example> {
    let says = "supported values: \"ClientSecretBasic\", \"ClientSecretPost\", \
                \"ClientSecretJWT\", \"PrivateKeyJWT\", \"TLSClientAuth\", \
                \"ServiceAccountToken\", \"None\"";
    let methods = plain("clientAuthentication.method");
    let mut all: Vec<_> = ["ClientSecretBasic", "ClientSecretPost", "ClientSecretJWT", "None"]
        .map(|method| methods.limit("enum", json!(method), json!("Basic"), says))
        .into();
    let encoding = plain("clientAuthentication.clientSecretBasic.encoding");
    all.extend(encoding.choice(&["FormURLEncoded", "Raw"]));
    let hmac = "clientAuthentication.clientSecretJWT.algorithm";
    all.extend(field(hmac, method("ClientSecretJWT")).choice(&["HS256", "HS384", "HS512"]));
    all
}

fn assertions() -> Vec<Example> {
    let longest = "a".repeat(253);
    let key = |path| field(path, private_key("k"));
    let account = |path| field(path, service_account());
    let mut all = vec![
        key("clientAuthentication.privateKeyJWT").required("keySecretRef"),
        key("clientAuthentication.privateKeyJWT.keySecretRef").required("name"),
        account("clientAuthentication.serviceAccountToken").required("name"),
        account("clientAuthentication.serviceAccountToken").required("audience"),
    ];
    let algorithms = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];
    all.extend(key("clientAuthentication.privateKeyJWT.algorithm").choice(&algorithms));
    let name = key("clientAuthentication.privateKeyJWT.keySecretRef.name");
    all.extend(name.text((1, "c"), &longest, &NAMES));
    for path in [
        "clientAuthentication.privateKeyJWT.keySecretRef.key",
        "clientAuthentication.privateKeyJWT.certificateKey",
    ] {
        all.extend(key(path).text((1, "k"), &longest, &KEYS));
    }
    let wrong = ["k\u{e9}y", "k\n"];
    let key_id = key("clientAuthentication.privateKeyJWT.keyID");
    all.extend(key_id.text((1, "k"), &"k".repeat(512), &wrong));
    let audience = "a".repeat(2048);
    let wrong = ["a b", "\u{e9}", "a\n"];
    for field in [
        key("clientAuthentication.privateKeyJWT.audience"),
        account("clientAuthentication.serviceAccountToken.audience"),
    ] {
        all.extend(field.text((1, "a"), &audience, &wrong));
    }
    let name = account("clientAuthentication.serviceAccountToken.name");
    all.extend(name.text((1, "c"), &longest, &NAMES));
    let lifetime = account("clientAuthentication.serviceAccountToken.expirationSeconds");
    all.extend(lifetime.range(600, 86400));
    all
}

fn asked() -> Vec<Example> {
    let list = |items: &[&str]| json!(items);
    let mut all = plain("audience").text((1, "a"), &"a".repeat(2048), &[]);
    all.push(plain("scopes").entries(64, |number| json!(format!("s{number}"))));
    all.push(plain("scopes").limit("set", list(&["a", "b"]), list(&["a", "a"]), "Duplicate value"));
    let scope = field("scopes[]", json!({"scopes": [""]}));
    all.extend(scope.text((1, "s"), &"s".repeat(512), &["two words", "a\"b", "a\\b", "\u{e9}"]));
    let resources = plain("resourceIndicators");
    all.push(resources.entries(32, |number| json!(format!("urn:{number}"))));
    let twice = list(&["urn:a", "urn:a"]);
    all.push(resources.limit("set", list(&["urn:a", "urn:b"]), twice, "Duplicate value"));
    let resource = field("resourceIndicators[]", json!({"resourceIndicators": [""]}));
    let longest = format!("a:{}", "b".repeat(2046));
    let wrong = ["/orders", "orders", "https://a b", "https://a/#b", "1a:b", "a:", "a:\u{e9}"];
    all.extend(resource.text((1, "a:b"), &longest, &wrong));
    all
}

fn request() -> Vec<Example> {
    let mut all = plain("request.bodyFormat").choice(&["Form", "JSON", "Query"]);
    all.extend(plain("request.grantType").text((0, ""), &"g".repeat(256), &["a b", "\u{e9}"]));
    all.extend(plain("request.scopeSeparator").text((1, " "), ", , ", &["\u{e9}", "\n"]));
    all.extend(duration("request.timeout"));
    all
}

fn entries() -> Vec<Example> {
    let entry = json!({"name": "n", "value": "v"});
    let from = json!({"name": "n", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    let both = json!({"request": {"parameters": [entry], "headers": [entry]}});
    let both_from = json!({"request": {"parameters": [from], "headers": [from]}});
    let numbered = |number: usize| json!({"name": format!("n{number}"), "value": "v"});
    let longest = "a".repeat(253);
    let value = "v".repeat(4096);
    let mut all = vec![
        plain("request.parameters").entries(32, numbered),
        plain("request.headers").entries(32, numbered),
        plain("request.headers").limit(
            "map",
            json!([{"name": "a", "value": "v"}, {"name": "b", "value": "v"}]),
            json!([{"name": "a", "value": "v"}, {"name": "a", "value": "w"}]),
            "Duplicate value",
        ),
        field("request.parameters[]", both.clone()).required("name"),
        field("request.headers[]", both.clone()).required("name"),
    ];
    let name = field("request.parameters[].name", both.clone());
    all.extend(name.text((1, "n"), &"n".repeat(128), &["a b", "\u{e9}", "a\n"]));
    let name = field("request.headers[].name", both.clone());
    let wrong = ["a b", "a:", "(a)", "\u{e9}", "a\n"];
    all.extend(name.text((1, "~"), &"n".repeat(128), &wrong));
    all.extend(field("request.parameters[].value", both.clone()).text((1, "v"), &value, &[]));
    let wrong = [" v", "v ", "v\n", "a\r\nb: c", "\u{e9}"];
    all.extend(field("request.headers[].value", both.clone()).text((0, ""), &value, &wrong));
    all.extend(field("request.parameters[].in", both).choice(&["Body", "Query"]));
    for path in ["request.parameters[].valueFrom", "request.headers[].valueFrom"] {
        all.push(field(path, both_from.clone()).required("secretKeyRef"));
    }
    for path in
        ["request.parameters[].valueFrom.secretKeyRef", "request.headers[].valueFrom.secretKeyRef"]
    {
        all.extend(["name", "key"].map(|name| field(path, both_from.clone()).required(name)));
    }
    for path in [
        "request.parameters[].valueFrom.secretKeyRef.name",
        "request.headers[].valueFrom.secretKeyRef.name",
    ] {
        all.extend(field(path, both_from.clone()).text((1, "c"), &longest, &NAMES));
    }
    for path in [
        "request.parameters[].valueFrom.secretKeyRef.key",
        "request.headers[].valueFrom.secretKeyRef.key",
    ] {
        all.extend(field(path, both_from.clone()).text((1, "k"), &longest, &KEYS));
    }
    all
}

fn response() -> Vec<Example> {
    let units = ["Seconds", "Milliseconds", "Timestamp"];
    let mut all = plain("response.expiresInUnit").choice(&units);
    let longest = format!("/{}", "a".repeat(255));
    for pointer in ["response.tokenPointer", "response.expiresInPointer"] {
        all.extend(plain(pointer).text((2, "/a"), &longest, &POINTERS));
    }
    all
}

fn tls() -> Vec<Example> {
    let longest = "a".repeat(253);
    let base = json!({"tls": {
        "caBundleRef": {"name": "ca"},
        "clientCertificateSecretRef": {"name": "mine"},
    }});
    let mut all = vec![
        field("tls.caBundleRef", base.clone()).required("name"),
        field("tls.clientCertificateSecretRef", base.clone()).required("name"),
    ];
    all.extend(field("tls.caBundleRef.kind", base.clone()).choice(&["ConfigMap", "Secret"]));
    all.extend(field("tls.caBundleRef.key", base.clone()).text((1, "k"), &longest, &KEYS));
    for path in ["tls.caBundleRef.name", "tls.clientCertificateSecretRef.name"] {
        all.extend(field(path, base.clone()).text((1, "c"), &longest, &NAMES));
    }
    all
}

fn rotation() -> Vec<Example> {
    let mut all = plain("rotation.renewBeforePercentage").range(1, 99);
    all.extend(duration("rotation.renewBefore"));
    all.extend(duration("rotation.defaultLifetime"));
    all
}

fn duration(path: &'static str) -> Vec<Example> {
    let wrong = ["", "5", "-1s", "1d", "1.5h", "s", "100000s", "1s1s1s1s1s"];
    plain(path).text((0, "10s"), "00002s00002s00002s00002s", &wrong)
}

fn target() -> Vec<Example> {
    let longest = "a".repeat(253);
    let mut all = plain("target.name").text((1, "t"), &longest, &NAMES);
    all.extend(plain("target.tokenKey").text((1, "k"), &longest, &KEYS));
    all.extend(plain("target.previousTokenKey").text((1, "k"), &"k".repeat(242), &KEYS));
    all.extend(plain("target.deletionPolicy").choice(&["Delete", "Retain"]));
    let url = format!("https://{}", "a".repeat(2040));
    let wrong = ["ftp://a.example.com", "https://a b"];
    all.extend(plain("revocation.url").text((10, "http://a.b"), &url, &wrong));
    all
}

/// One entry of each type that has a member.
fn entry(kind: &str) -> Value {
    let mut entry = json!({"key": "k", "type": kind});
    match kind {
        "Netrc" => entry["netrc"] = json!({"machine": "m", "login": "l"}),
        "DockerConfigJSON" => {
            entry["dockerConfigJSON"] = json!({"registries": ["r"], "username": "u"});
        }
        "BasicAuth" => {
            entry["key"] = json!("password");
            entry["basicAuth"] = json!({"username": "u"});
        }
        "Env" => entry["env"] = json!({"name": "E"}),
        "Response" => entry["response"] = json!({"pointer": "/a"}),
        _ => {}
    }
    entry
}

fn forms() -> Vec<Example> {
    let of = |path, kind| field(path, target_forms(&json!([entry(kind)])));
    let list = "target.additionalOutputFormats";
    let numbered = |number: usize| json!({"key": format!("k{number}"), "type": "Raw"});
    let two =
        |one: &str, two: &str| json!([{"key": one, "type": "Raw"}, {"key": two, "type": "JSON"}]);
    let both = target_forms(&json!([entry("BasicAuth"), {
        "key": ".dockerconfigjson", "type": "DockerConfigJSON",
        "dockerConfigJSON": {"registries": ["r"]},
    }]));
    let types = ["Opaque", "kubernetes.io/basic-auth", "kubernetes.io/dockerconfigjson"];
    let mut all = field("target.type", both).choice(&types);
    all.push(plain(list).entries(16, numbered));
    all.push(plain(list).limit("map", two("a", "b"), two("a", "a"), "Duplicate value"));
    all.extend(
        ["key", "type"].map(|name| of("target.additionalOutputFormats[]", "Raw").required(name)),
    );
    let key = of("target.additionalOutputFormats[].key", "Raw");
    all.extend(key.text((1, "k"), &"k".repeat(253), &KEYS));
    let kinds = [
        "Raw",
        "AuthorizationHeader",
        "BasicAuth",
        "Netrc",
        "DockerConfigJSON",
        "JSON",
        "Env",
        "Response",
    ];
    let says = format!("supported values: {}", kinds.map(|kind| format!("{kind:?}")).join(", "));
    all.extend(kinds.map(|kind| Example {
        limit: ".spec.target.additionalOutputFormats[].type enum".to_owned(),
        accepted: target_forms(&json!([entry(kind)])),
        refused: target_forms(&json!([{"key": "k", "type": "XML"}])),
        says: says.clone(),
    }));
    all.extend(members());
    all
}

fn members() -> Vec<Example> {
    let of = |path, kind| field(path, target_forms(&json!([entry(kind)])));
    let mut all = vec![
        of("target.additionalOutputFormats[].netrc", "Netrc").required("machine"),
        of("target.additionalOutputFormats[].env", "Env").required("name"),
        of("target.additionalOutputFormats[].response", "Response").required("pointer"),
        of("target.additionalOutputFormats[].dockerConfigJSON", "DockerConfigJSON")
            .required("registries"),
    ];
    let machine = of("target.additionalOutputFormats[].netrc.machine", "Netrc");
    let wrong = ["https://m", "m login x", "m\n", "\u{e9}"];
    all.extend(machine.text((1, "m"), &"m".repeat(253), &wrong));
    let login = of("target.additionalOutputFormats[].netrc.login", "Netrc");
    all.extend(login.text((1, "l"), &"l".repeat(256), &["a b", "a\n", "\"a\"", "\u{e9}"]));
    let registries = "target.additionalOutputFormats[].dockerConfigJSON.registries";
    let list = of(registries, "DockerConfigJSON");
    all.push(list.entries(16, |number| json!(format!("r{number}"))));
    let says = "should have at least 1 items";
    all.push(list.limit("minItems", json!(["r"]), json!([]), says));
    all.push(list.limit("set", json!(["a", "b"]), json!(["a", "a"]), "Duplicate value"));
    let registry =
        of("target.additionalOutputFormats[].dockerConfigJSON.registries[]", "DockerConfigJSON");
    all.extend(registry.text((1, "r"), &"r".repeat(253), &["a b", "a\n", "\"a\"", "\u{e9}"]));
    for (path, kind) in [
        ("target.additionalOutputFormats[].dockerConfigJSON.username", "DockerConfigJSON"),
        ("target.additionalOutputFormats[].basicAuth.username", "BasicAuth"),
    ] {
        let wrong = ["a b", "a:b", "a\n", "\u{e9}"];
        all.extend(of(path, kind).text((1, "u"), &"u".repeat(256), &wrong));
    }
    let pointer = of("target.additionalOutputFormats[].response.pointer", "Response");
    let longest = format!("/{}", "a".repeat(255));
    all.extend(pointer.text((2, "/a"), &longest, &POINTERS));
    let name = of("target.additionalOutputFormats[].env.name", "Env");
    all.extend(name.text((1, "_"), &"E".repeat(128), &["1A", "A-B", "A B", "A=B", "A\n"]));
    all
}

fn templates() -> Vec<Example> {
    let base = json!({"target": {"template": {
        "metadata": {"labels": {"a": "x"}, "annotations": {"a": "x"}},
        "data": {"a": "x"},
    }}});
    let many = |count: usize| -> Value {
        (0..count).map(|number| (format!("k{number}"), json!("v"))).collect()
    };
    let most = |path, most| {
        let says = format!("must have at most {most} items");
        field(path, base.clone()).limit("maxProperties", many(most), many(most + 1), &says)
    };
    let mut all = vec![
        most("target.template.data", 16),
        most("target.template.metadata.labels", 32),
        most("target.template.metadata.annotations", 32),
    ];
    let text = field("target.template.data{}", base.clone());
    all.extend(text.text((0, ""), &"t".repeat(8192), &[]));
    let label = field("target.template.metadata.labels{}", base.clone());
    let wrong = ["-a", "a-", "a b", "a/b", "\u{e9}", "a\n"];
    all.extend(label.text((0, ""), &"a".repeat(63), &wrong));
    let annotation = field("target.template.metadata.annotations{}", base.clone());
    all.extend(annotation.text((0, ""), &"a".repeat(4096), &[]));
    all
}
