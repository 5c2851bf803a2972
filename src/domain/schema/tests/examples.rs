//! The rules of the schema in CEL, each with specs that it takes and specs that it refuses. Read by the
//! unit tests of the schema and, on the real API server, by `tests/cluster/schema.rs`.
//!
//! **Invariant:** each refused spec breaks its rule and no other, so the message alone says what to do.

use serde_json::{Map, Value, json};

/// A rule and two changes to [`credential`].
pub(crate) struct Rule {
    /// Where it stands, `[]` for the entries of a list.
    pub(crate) path: &'static str,
    pub(crate) message: &'static str,
    pub(crate) accepted: Value,
    pub(crate) refused: Value,
}

/// A credential named `crm` that is complete, with a change merged into its spec (RFC 7386).
pub(crate) fn credential(change: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "oauthcc.dev/v1alpha1",
        "kind": "OAuthClientCredential",
        "metadata": {"name": "crm"},
        "spec": {
            "suspend": true,
            "tokenURL": "https://idp.example.com/oauth2/token",
            "credentialsSecretRef": {"name": "client"},
        },
    });
    merge(&mut object, &json!({ "spec": change }));
    object
}

/// Every schema at any depth with its path, `[]` for the items of a list.
pub(crate) fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Map<String, Value>)) {
    let object = schema.as_object().expect("a schema is an object");
    visit(path, object);
    let fields = object.get("properties").and_then(Value::as_object);
    for (name, field) in fields.into_iter().flatten() {
        walk(&format!("{path}.{name}"), field, visit);
    }
    if let Some(items) = object.get("items") {
        walk(&format!("{path}[]"), items, visit);
    }
    if let Some(values) = object.get("additionalProperties") {
        walk(&format!("{path}{{}}"), values, visit);
    }
}

/// Merges a change into a value (RFC 7386).
pub(crate) fn merge(into: &mut Value, change: &Value) {
    let Value::Object(changes) = change else {
        *into = change.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (name, change) in changes {
        if let Value::Object(into) = into {
            if change.is_null() {
                into.remove(name);
            } else {
                merge(into.entry(name.as_str()).or_insert(Value::Null), change);
            }
        }
    }
}

/// The rule that only an update can break has its examples in the tests that read these.
pub(crate) const RENAMED: &str = "the managed Secret can't be renamed yet: create a second credential \
    with the new spec.target.name, move the pods to it, then delete this one";

/// The other rule of this kind.
pub(crate) const RETYPED: &str = "the type of the managed Secret can't be changed yet: create a second \
    credential with the new spec.target.type and another spec.target.name, move the pods to it, then \
    delete this one";

/// Every other rule.
pub(crate) fn rules() -> Vec<Rule> {
    let asking = [where_to_ask(), who_asks(), methods(), in_the_query()];
    let all = asking.into_iter().chain([entries(), reserved_names(), targets(), times()]);
    all.chain([
        forms(),
        form_keys(),
        secret_types(),
        templates(),
        reserved_metadata(),
        revocation(),
    ])
    .flatten()
    .collect()
}

fn rule(path: &'static str, message: &'static str, accepted: Value, refused: Value) -> Rule {
    Rule { path, message, accepted, refused }
}

fn where_to_ask() -> Vec<Rule> {
    let one = |accepted, refused| {
        let message = "say where to ask: spec.tokenURL (the token endpoint, for example \
                       https://idp.example.com/oauth2/token), spec.provider, both of them, or \
                       spec.issuer alone";
        rule(".spec", message, accepted, refused)
    };
    let issuer = "https://idp.example.com";
    let zoom = json!({"name": "Zoom"});
    vec![
        one(json!({}), json!({"tokenURL": null})),
        one(json!({"tokenURL": null, "issuer": issuer}), json!({"issuer": issuer})),
        one(
            json!({"tokenURL": null, "provider": zoom}),
            json!({"tokenURL": null, "issuer": issuer, "provider": zoom}),
        ),
        one(json!({"provider": zoom}), json!({"issuer": issuer, "provider": zoom})),
        rule(
            ".spec.provider.parameters",
            "each name in spec.provider.parameters must have 1 to 64 characters",
            json!({"provider": {"name": "Zoom", "parameters": {"n".repeat(64): "42", "a": "b"}}}),
            json!({"provider": {"name": "Zoom", "parameters": {"n".repeat(65): "42", "a": "b"}}}),
        ),
    ]
}

fn who_asks() -> Vec<Rule> {
    let secret = |accepted, refused| {
        let message = "set spec.credentialsSecretRef.name to the Secret that holds the client ID and \
                       the client secret";
        rule(".spec", message, accepted, refused)
    };
    let id = |accepted, refused| {
        let message = "set spec.clientID, or spec.credentialsSecretRef.name to the Secret that holds the client ID";
        rule(".spec", message, accepted, refused)
    };
    let two = |accepted, refused| {
        let message = "the client ID has two sources: remove spec.clientID or \
                       spec.credentialsSecretRef.clientIDKey";
        rule(".spec", message, accepted, refused)
    };
    let alone = |mut change: Value| {
        merge(&mut change, &json!({"clientID": "me"}));
        without_credentials(change)
    };
    let provider = json!({"provider": {"name": "Zoom"}});
    let keys = |key: &str| json!({"clientID": "me", "credentialsSecretRef": {key: "id"}});
    vec![
        secret(json!({}), without_credentials(json!({}))),
        secret(alone(method("None")), alone(json!({}))),
        secret(alone(private_key("k")), alone(method("ClientSecretBasic"))),
        secret(alone(certificate("k")), alone(method("ClientSecretPost"))),
        secret(without_credentials(service_account()), alone(method("ClientSecretJWT"))),
        // The catalogue may know a method that needs no client secret; one that is written down wins.
        secret(without_credentials(provider.clone()), {
            let mut change = method("ClientSecretPost");
            merge(&mut change, &provider);
            without_credentials(change)
        }),
        id(method("None"), without_credentials(method("None"))),
        id(private_key("k"), without_credentials(private_key("k"))),
        id(certificate("k"), without_credentials(certificate("k"))),
        two(keys("clientSecretKey"), keys("clientIDKey")),
    ]
}

fn methods() -> Vec<Rule> {
    let member =
        |message, accepted, refused| rule(".spec.clientAuthentication", message, accepted, refused);
    let with = |method: Value, member: Value| {
        let mut change = json!({"clientAuthentication": member});
        merge(&mut change, &json!({"clientAuthentication": {"method": method}}));
        change
    };
    let basic = json!({"clientSecretBasic": {"encoding": "Raw"}});
    let basic_only = "spec.clientAuthentication.clientSecretBasic has no effect with another method: \
                      remove it, or set method: ClientSecretBasic";
    let hmac = json!({"clientSecretJWT": {"algorithm": "HS512"}});
    let hmac_only = "spec.clientAuthentication.clientSecretJWT needs method: ClientSecretJWT";
    let key = json!({"privateKeyJWT": {"keySecretRef": {"name": "k"}}});
    let key_both = "set spec.clientAuthentication.privateKeyJWT.keySecretRef with method: \
                    PrivateKeyJWT, and only with it";
    let account = json!({"serviceAccountToken": {"name": "crm", "audience": "https://idp"}});
    let account_both = "set spec.clientAuthentication.serviceAccountToken with method: \
                        ServiceAccountToken, and only with it";
    let tls = "method TLSClientAuth needs spec.tls.clientCertificateSecretRef.name: the Secret of type \
               kubernetes.io/tls with the client certificate";
    let unset = Value::Null;
    vec![
        member(basic_only, with(unset.clone(), basic.clone()), with(json!("None"), basic.clone())),
        member(
            basic_only,
            with(json!("ClientSecretBasic"), basic.clone()),
            with(json!("ClientSecretPost"), basic),
        ),
        member(
            hmac_only,
            with(json!("ClientSecretJWT"), hmac.clone()),
            with(unset.clone(), hmac.clone()),
        ),
        member(hmac_only, method("ClientSecretJWT"), with(json!("ClientSecretPost"), hmac)),
        member(
            key_both,
            with(json!("PrivateKeyJWT"), key.clone()),
            with(unset.clone(), key.clone()),
        ),
        member(key_both, private_key("k"), method("PrivateKeyJWT")),
        member(key_both, method("None"), with(json!("None"), key)),
        member(
            account_both,
            with(json!("ServiceAccountToken"), account.clone()),
            with(unset, account.clone()),
        ),
        member(account_both, service_account(), method("ServiceAccountToken")),
        member(account_both, method("None"), with(json!("None"), account)),
        rule(".spec", tls, certificate("k"), method("TLSClientAuth")),
        rule(".spec", tls, certificate("k"), {
            let mut change = method("TLSClientAuth");
            merge(&mut change, &json!({"tls": {"caBundleRef": {"name": "ca"}}}));
            change
        }),
    ]
}

fn in_the_query() -> Vec<Rule> {
    let assertion = "spec.request.bodyFormat: Query would put a secret or an assertion into the URL, \
                     where proxies log it: use method ClientSecretBasic, TLSClientAuth or None, or \
                     bodyFormat Form or JSON";
    let value = "spec.request.bodyFormat: Query would put a value of a Secret into the URL, where \
                 proxies log it: remove valueFrom from spec.request.parameters, or use bodyFormat Form \
                 or JSON";
    let entry = "a value of a Secret may not stand in the query, where proxies log it: remove in: \
                 Query from this entry of spec.request.parameters";
    let format = |format: &str, mut change: Value| {
        merge(&mut change, &json!({"request": {"bodyFormat": format}}));
        change
    };
    let query = |change| format("Query", change);
    let known = |mut change: Value| {
        merge(&mut change, &json!({"credentialsSecretRef": null, "clientID": "app"}));
        change
    };
    let all = |accepted, refused| rule(".spec", assertion, query(accepted), query(refused));
    let secret_entry = json!({"name": "password", "valueFrom": secret_key("p")});
    let with = |place: &str, value: Value| {
        let mut entry = json!({"name": "p", "in": place});
        merge(&mut entry, &value);
        parameters(&json!([entry]))
    };
    let from = json!({"valueFrom": secret_key("p")});
    vec![
        all(json!({}), method("ClientSecretPost")),
        all(method("ClientSecretBasic"), method("ClientSecretJWT")),
        all(known(certificate("k")), private_key("k")),
        all(known(method("None")), service_account()),
        rule(
            ".spec",
            assertion,
            format("JSON", method("ClientSecretPost")),
            query(method("ClientSecretPost")),
        ),
        rule(
            ".spec",
            "spec.request.bodyFormat: Query would put a value of the Secret of \
             spec.credentialsSecretRef into the URL, where proxies log it: write the client ID into \
             spec.clientID",
            query(json!({"credentialsSecretRef": null, "clientID": "app",
                "clientAuthentication": {"method": "None"}})),
            query(json!({"clientAuthentication": {"method": "None"}})),
        ),
        rule(
            ".spec",
            value,
            format("Form", parameters(&json!([secret_entry]))),
            query(parameters(&json!([secret_entry]))),
        ),
        rule(
            ".spec",
            value,
            query(parameters(&json!([{"name": "p", "value": "v"}]))),
            query(parameters(&json!([{"name": "p", "value": "v"}, secret_entry]))),
        ),
        rule(".spec.request.parameters[]", entry, with("Body", from.clone()), with("Query", from)),
    ]
}

fn entries() -> Vec<Rule> {
    let parameter = |message, accepted: Value, refused: Value| {
        let path = ".spec.request.parameters[]";
        rule(path, message, parameters(&json!([accepted])), parameters(&json!([refused])))
    };
    let header = |message, accepted: Value, refused: Value| {
        let path = ".spec.request.headers[]";
        rule(path, message, headers(&json!([accepted])), headers(&json!([refused])))
    };
    let plain = |name: &str| json!({"name": name, "value": "v"});
    let from = json!({"name": "p", "valueFrom": secret_key("p")});
    let none = json!({"name": "p"});
    let both = json!({"name": "p", "value": "v", "valueFrom": secret_key("p")});
    let one_of = "set either value or valueFrom in each entry of spec.request.parameters";
    let one_of_header = "set either value or valueFrom in each entry of spec.request.headers";
    let two = "two entries of spec.request.parameters have the same name: a parameter is sent once \
               (RFC 6749 section 3.2)";
    let two_headers = "two entries of spec.request.headers have the same name: names of headers are \
                       compared without case (RFC 9110 section 5.1)";
    vec![
        parameter(one_of, plain("p"), none.clone()),
        parameter(one_of, from.clone(), both.clone()),
        header(one_of_header, plain("p"), none),
        header(one_of_header, from, both),
        header(one_of_header, json!({"name": "Accept", "value": ""}), json!({"name": "Accept"})),
        rule(
            ".spec.request.parameters",
            two,
            parameters(&json!([plain("p"), plain("P")])),
            parameters(&json!([plain("p"), plain("q"), plain("p")])),
        ),
        rule(
            ".spec.request.headers",
            two_headers,
            headers(&json!([plain("X-A"), plain("X-B")])),
            headers(&json!([plain("X-A"), plain("x-a")])),
        ),
    ]
}

fn reserved_names() -> Vec<Rule> {
    let field = "this name of spec.request.parameters has a field of its own: spec.request.grantType, \
                 spec.clientID, spec.clientAuthentication, spec.scopes, spec.audience or \
                 spec.resourceIndicators";
    let reserved = "this header of spec.request.headers is written by the operator or belongs to the \
                    connection: remove it; spec.clientAuthentication writes Authorization";
    let plain = |name: &str| json!([{"name": name, "value": "v"}]);
    let mut all = Vec::new();
    for (near, name) in [
        ("grant-type", "grant_type"),
        ("client", "client_id"),
        ("secret", "client_secret"),
        ("assertion", "client_assertion"),
        ("client_assertion_types", "client_assertion_type"),
        ("scopes", "scope"),
        ("audiences", "audience"),
        ("resources", "resource"),
        ("Scope_", "Scope"),
        ("CLIENT-SECRET", "CLIENT_SECRET"),
    ] {
        let path = ".spec.request.parameters[]";
        all.push(rule(path, field, parameters(&plain(near)), parameters(&plain(name))));
    }
    for (near, name) in [
        ("X-Authorization", "Authorization"),
        ("X-Host", "Host"),
        ("Cookies", "Cookie"),
        ("Connections", "Connection"),
        ("Transfer", "Transfer-Encoding"),
        ("TEE", "TE"),
        ("Upgrade-Insecure-Requests", "Upgrade"),
        ("Proxy", "Proxy-Authorization"),
        ("Content", "Content-Type"),
        ("X-Content-Length", "content-length"),
    ] {
        let path = ".spec.request.headers[]";
        all.push(rule(path, reserved, headers(&plain(near)), headers(&plain(name))));
    }
    all
}

fn targets() -> Vec<Rule> {
    let client = "the managed Secret would replace the client Secret: give spec.target.name another \
                  name than spec.credentialsSecretRef.name";
    let other = "the managed Secret would replace a Secret that the spec refers to: give \
                 spec.target.name a name of its own";
    let key = "spec.target.tokenKey can't be expires-at or token-type: these keys hold the expiry and \
               the type of the token";
    let target = |name: &str| json!({"target": {"name": name}});
    let credentials = |name: &str| json!({"credentialsSecretRef": {"name": name}});
    let bundle = |kind: &str| json!({"tls": {"caBundleRef": {"kind": kind, "name": "crm"}}});
    let token_key = |key: &str| json!({"target": {"tokenKey": key}});
    let entry = |name| json!([{"name": "p", "valueFrom": secret_key(name)}]);
    let renamed = |mut change: Value| {
        merge(&mut change, &json!({"target": {"name": "k"}}));
        change
    };
    vec![
        rule("", client, target("crm-token"), target("client")),
        rule("", client, credentials("crm-client"), credentials("crm")),
        rule("", other, private_key("k"), private_key("crm")),
        rule("", other, renamed(private_key("crm")), renamed(private_key("k"))),
        rule("", other, certificate("k"), certificate("crm")),
        rule("", other, bundle("ConfigMap"), bundle("Secret")),
        rule("", other, json!({"tls": {"caBundleRef": {"name": "crm"}}}), bundle("Secret")),
        rule("", other, parameters(&entry("k")), parameters(&entry("crm"))),
        rule("", other, headers(&entry("k")), headers(&entry("crm"))),
        rule(".spec.target.tokenKey", key, token_key("access-token"), token_key("expires-at")),
        rule(".spec.target.tokenKey", key, token_key("token"), token_key("token-type")),
    ]
}

/// A target with these entries of `additionalOutputFormats`.
pub(crate) fn target_forms(entries: &Value) -> Value {
    json!({"target": {"additionalOutputFormats": entries}})
}

fn forms() -> Vec<Rule> {
    let one = |message, accepted: Value, refused: Value| {
        let path = ".spec.target.additionalOutputFormats[]";
        rule(path, message, target_forms(&json!([accepted])), target_forms(&json!([refused])))
    };
    let expiry = "a key of spec.target.additionalOutputFormats can't be expires-at or token-type: these \
                  hold the expiry and the type of the token";
    let basic = "type BasicAuth writes the keys username and password: set key: password";
    let basic_only = "basicAuth has no effect with another type: remove it from this entry of \
                      spec.target.additionalOutputFormats, or set type: BasicAuth";
    let netrc = "set netrc.machine in the entry of spec.target.additionalOutputFormats with type: Netrc, \
                 and only with it";
    let docker = "set dockerConfigJSON.registries in the entry of spec.target.additionalOutputFormats \
                  with type: DockerConfigJSON, and only with it";
    let env = "set env.name in the entry of spec.target.additionalOutputFormats with type: Env, and only \
               with it";
    let raw = |key: &str| json!({"key": key, "type": "Raw"});
    let of = |kind: &str| json!({"key": "k", "type": kind});
    let with = |kind: &str, member: &str, value: Value| {
        let mut entry = json!({"key": "k", "type": kind});
        merge(&mut entry, &json!({ member: value }));
        entry
    };
    let (machine, name) = (json!({"machine": "git.example.com"}), json!({"name": "API_TOKEN"}));
    let registries = json!({"registries": ["registry.example.com"]});
    let username = json!({"key": "password", "type": "BasicAuth", "basicAuth": {"username": "me"}});
    vec![
        one(expiry, raw("expires"), raw("expires-at")),
        one(expiry, raw("type"), raw("token-type")),
        one(basic, json!({"key": "password", "type": "BasicAuth"}), of("BasicAuth")),
        one(basic_only, username, with("Raw", "basicAuth", json!({"username": "me"}))),
        one(netrc, with("Netrc", "netrc", machine.clone()), of("Netrc")),
        one(netrc, of("JSON"), with("JSON", "netrc", machine)),
        one(
            docker,
            with("DockerConfigJSON", "dockerConfigJSON", registries.clone()),
            of("DockerConfigJSON"),
        ),
        one(docker, of("Raw"), with("Raw", "dockerConfigJSON", registries)),
        one(env, with("Env", "env", name.clone()), of("Env")),
        one(env, of("AuthorizationHeader"), with("AuthorizationHeader", "env", name)),
    ]
}

fn form_keys() -> Vec<Rule> {
    let token = "a key of spec.target.additionalOutputFormats is the key of the token: give it another \
                 key, or set spec.target.tokenKey";
    let username = "type BasicAuth writes the key username too: give what else is written there another \
                    key";
    let with = |entries: Value, target: Value| {
        let mut change = target_forms(&entries);
        merge(&mut change, &json!({ "target": target }));
        change
    };
    let raw = |key: &str| json!([{"key": key, "type": "Raw"}]);
    let basic = json!({"key": "password", "type": "BasicAuth"});
    let and = |key: &str| json!([basic, {"key": key, "type": "Raw"}]);
    let own = |key: &str| json!({ "tokenKey": key });
    let template = |key: &str| json!({"template": {"data": {key: "text"}}});
    let one = |message, accepted, refused| rule(".spec.target", message, accepted, refused);
    vec![
        one(token, with(raw("token"), own("t")), target_forms(&raw("token"))),
        one(token, with(raw("a"), own("t")), with(raw("a"), own("a"))),
        one(token, target_forms(&json!([basic])), with(json!([basic]), own("password"))),
        one(username, target_forms(&and("user")), target_forms(&and("username"))),
        one(username, with(json!([basic]), own("t")), with(json!([basic]), own("username"))),
        one(
            username,
            with(json!([basic]), template("user")),
            with(json!([basic]), template("username")),
        ),
        one(username, with(raw("username"), own("t")), target_forms(&and("username"))),
    ]
}

fn secret_types() -> Vec<Rule> {
    let basic = "a Secret of type kubernetes.io/basic-auth needs an entry of \
                 spec.target.additionalOutputFormats with key: password and type: BasicAuth";
    let docker = "a Secret of type kubernetes.io/dockerconfigjson needs an entry of \
                  spec.target.additionalOutputFormats with key: .dockerconfigjson and type: \
                  DockerConfigJSON";
    let with = |kind: &str, entries: Value| {
        let mut change = target_forms(&entries);
        merge(&mut change, &json!({"target": {"type": kind}}));
        change
    };
    let config = |key: &str| {
        let registries = json!({"registries": ["registry.example.com"]});
        json!([{"key": key, "type": "DockerConfigJSON", "dockerConfigJSON": registries}])
    };
    let (basic_type, docker_type) = ("kubernetes.io/basic-auth", "kubernetes.io/dockerconfigjson");
    let entry = json!([{"key": "password", "type": "BasicAuth"}]);
    let raw = json!([{"key": "password", "type": "Raw"}]);
    let one = |message, accepted, refused| rule(".spec.target", message, accepted, refused);
    vec![
        one(basic, with(basic_type, entry.clone()), with(basic_type, raw)),
        one(basic, with("Opaque", json!([])), json!({"target": {"type": basic_type}})),
        one(
            docker,
            with(docker_type, config(".dockerconfigjson")),
            with(docker_type, config("config.json")),
        ),
        one(docker, with("Opaque", config("a")), json!({"target": {"type": docker_type}})),
        one(docker, with(basic_type, entry.clone()), with(docker_type, entry)),
    ]
}

fn templates() -> Vec<Rule> {
    let spelled = "a key of spec.target.template.data must have 1 to 253 characters and can't be \
                   expires-at or token-type: these hold the expiry and the type of the token";
    let taken = "a key of spec.target.template.data is written already: give it another key than \
                 spec.target.tokenKey and those of spec.target.additionalOutputFormats";
    let data = |key: &str| json!({"target": {"template": {"data": {key: "{{ token }}"}}}});
    let with = |key: &str, target: Value| {
        let mut change = data(key);
        merge(&mut change, &json!({ "target": target }));
        change
    };
    let key = |accepted: &str, refused: &str| {
        rule(".spec.target.template.data", spelled, data(accepted), data(refused))
    };
    let one = |accepted, refused| rule(".spec.target", taken, accepted, refused);
    let raw = json!({"additionalOutputFormats": [{"key": "a", "type": "Raw"}]});
    vec![
        key("expires", "expires-at"),
        key("type", "token-type"),
        key("a", ""),
        key(&"a".repeat(253), &"a".repeat(254)),
        one(data("config"), data("token")),
        one(with("token", json!({"tokenKey": "t"})), with("t", json!({"tokenKey": "t"}))),
        one(with("b", raw.clone()), with("a", raw)),
    ]
}

/// Labels and annotations that no template may set; each is tried as both.
pub(crate) const RESERVED_METADATA: [&str; 36] = [
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/instance",
    "kubernetes.io/service-account.name",
    "kubernetes.io/metadata.name",
    "kubectl.kubernetes.io/last-applied-configuration",
    "k8s.io/x",
    "clusterctl.cluster.x-k8s.io/move",
    "cluster.x-k8s.io/cluster-name",
    "x-k8s.io/x",
    "oauthcc.dev/owner-uid",
    "oauthcc.dev/allowed-token-hosts",
    "oauthcc.dev/managed",
    "oauthcc.dev/adopt-by",
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
    "clustersecret.io/synced",
    "external-secrets.io/x",
    "apps.open-cluster-management.io/deployables",
];

fn reserved_metadata() -> Vec<Rule> {
    let one = |path, message, kind: &str, name: &str| {
        let change =
            |name: &str| json!({"target": {"template": {"metadata": {kind: {name: "x"}}}}});
        rule(path, message, change(&format!("near-{name}")), change(name))
    };
    let label = "a label of spec.target.template.metadata is reserved: no label of kubernetes.io, k8s.io, \
                 oauthcc.dev, or of a controller that copies or deletes Secrets may be set";
    let annotation = "an annotation of spec.target.template.metadata is reserved: no annotation of \
                      kubernetes.io, k8s.io, oauthcc.dev, or of a controller that copies or deletes \
                      Secrets may be set";
    let labels = ".spec.target.template.metadata.labels";
    let annotations = ".spec.target.template.metadata.annotations";
    let as_both = |name| {
        [one(labels, label, "labels", name), one(annotations, annotation, "annotations", name)]
    };
    RESERVED_METADATA.into_iter().flat_map(as_both).collect()
}

fn revocation() -> Vec<Rule> {
    let on = json!({"revocation": {"onDelete": true}});
    let with_url =
        json!({"revocation": {"onDelete": true, "url": "https://idp.example.com/revoke"}});
    let of = |issuer: Value, change: &Value| {
        let mut spec = json!({"tokenURL": null, "issuer": issuer});
        merge(&mut spec, change);
        spec
    };
    let url = "set spec.revocation.url to the revocation endpoint (RFC 7009): only the metadata of \
               spec.issuer could name it otherwise";
    let retain = "spec.target.deletionPolicy: Retain would keep a token that \
                  spec.revocation.onDelete revokes: remove one of them";
    let with_policy = |policy: &str| {
        let mut spec = json!({"target": {"deletionPolicy": policy}});
        merge(&mut spec, &with_url);
        spec
    };
    vec![
        rule(".spec", url, with_url.clone(), on.clone()),
        rule(".spec", url, of(json!("https://idp.example.com"), &on), on.clone()),
        rule(".spec", url, json!({"revocation": {"onDelete": false}}), on),
        rule(".spec", retain, with_policy("Delete"), with_policy("Retain")),
    ]
}

fn times() -> Vec<Rule> {
    let timeout = |accepted: &str, refused: &str| {
        let change = |text: &str| json!({"request": {"timeout": text}});
        let message = "spec.request.timeout must be from 1s to 30s";
        rule(".spec.request.timeout", message, change(accepted), change(refused))
    };
    let before = |text: &str| json!({"rotation": {"renewBefore": text}});
    let renew = |accepted, refused| {
        let message = "spec.rotation.renewBefore must be from 1s to 8760h";
        rule(".spec.rotation.renewBefore", message, before(accepted), before(refused))
    };
    let lifetime = |accepted: &str, refused: &str| {
        let change = |text: &str| json!({"rotation": {"defaultLifetime": text}});
        let message = "spec.rotation.defaultLifetime must be from 1s to 8760h";
        rule(".spec.rotation.defaultLifetime", message, change(accepted), change(refused))
    };
    let two = "set spec.rotation.renewBefore or spec.rotation.renewBeforePercentage, not both";
    let both = json!({"rotation": {"renewBefore": "5m", "renewBeforePercentage": 50}});
    vec![
        timeout("1s", "999ms"),
        timeout("30s", "30s1ms"),
        renew("1s", "999ms"),
        renew("8760h", "8760h1s"),
        lifetime("1s", "0s"),
        lifetime("8760h", "8761h"),
        rule(".spec.rotation", two, before("5m"), both),
    ]
}

fn without_credentials(mut change: Value) -> Value {
    // A merge of null would remove the null itself.
    if let Value::Object(change) = &mut change {
        change.insert("credentialsSecretRef".to_owned(), Value::Null);
    }
    change
}

pub(crate) fn method(name: &str) -> Value {
    json!({"clientAuthentication": {"method": name}})
}

/// Method `PrivateKeyJWT` with its key in this Secret.
pub(crate) fn private_key(secret: &str) -> Value {
    json!({"clientAuthentication": {
        "method": "PrivateKeyJWT",
        "privateKeyJWT": {"keySecretRef": {"name": secret}},
    }})
}

/// Method `TLSClientAuth` with its certificate in this Secret.
fn certificate(secret: &str) -> Value {
    json!({
        "clientAuthentication": {"method": "TLSClientAuth"},
        "tls": {"clientCertificateSecretRef": {"name": secret}},
    })
}

pub(crate) fn service_account() -> Value {
    json!({"clientAuthentication": {
        "method": "ServiceAccountToken",
        "serviceAccountToken": {"name": "crm", "audience": "https://idp.example.com"},
    }})
}

fn secret_key(secret: &str) -> Value {
    json!({"secretKeyRef": {"name": secret, "key": "k"}})
}

fn parameters(entries: &Value) -> Value {
    json!({"request": {"parameters": entries}})
}

fn headers(entries: &Value) -> Value {
    json!({"request": {"headers": entries}})
}
