//! The admission policy of the chart: who may write which spec. It is rendered by the real Helm,
//! installed for one namespace, and met by authors with few rights.
//!
//! **Invariant:** RBAC alone lets each author write every credential of the namespace, so a refusal is
//! the policy's; each names the field and says what to do.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use libtest_mimic::Trial;
use oauthcc_harness::helm;
use oauthcc_harness::wait::wait_for;
use oauthcc_operator::domain::crd::{OAuthClientCredential, RENEW_REQUESTED_AT};
use oauthcc_operator::domain::schema::custom_resource_definition;
use serde_json::{Value, json};

use crate::schema::examples::{credential, walk};
use crate::tenant::{CLIENT_SECRET, Tenant};
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
/// What a spec names in the rows below.
const NAMED: &str = "named";
/// How many different Secrets are checked by name.
const MOST: usize = 8;

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("an_author_names_only_secrets_that_they_may_get", secrets),
        suite.shared("an_author_names_only_hosts_that_are_listed", hosts),
        suite.shared("an_admission_policy_looks_at_nothing_but_a_new_spec", nothing_else),
        suite
            .alone("every_reference_of_the_spec_is_known_to_the_tests_of_the_policy", async || {
                complete()
            }),
    ]
}

/// A field that names an object.
struct Field {
    /// Where its schema stands.
    path: &'static str,
    /// How a refusal begins.
    says: &'static str,
    /// Names [`NAMED`] there.
    change: Value,
}

fn fields() -> Vec<Field> {
    let field = |path, says, change| Field { path, says, change };
    let method = |method: &str, name: &str, value: Value| {
        json!({"clientID": "crm", "credentialsSecretRef": null,
            "clientAuthentication": {"method": method, name: value}})
    };
    let entry =
        json!([{"name": "x-key", "valueFrom": {"secretKeyRef": {"name": NAMED, "key": "a"}}}]);
    vec![
        field(
            ".spec.credentialsSecretRef",
            "spec.credentialsSecretRef.name: you must be allowed to get Secret named",
            json!({"credentialsSecretRef": {"name": NAMED}}),
        ),
        field(
            ".spec.clientAuthentication.privateKeyJWT.keySecretRef",
            "spec.clientAuthentication.privateKeyJWT.keySecretRef.name: you must be allowed to get \
             Secret named",
            method("PrivateKeyJWT", "privateKeyJWT", json!({"keySecretRef": {"name": NAMED}})),
        ),
        field(
            ".spec.clientAuthentication.serviceAccountToken",
            "spec.clientAuthentication.serviceAccountToken.name: you may not make tokens",
            method(
                "ServiceAccountToken",
                "serviceAccountToken",
                json!({"name": NAMED, "audience": "a"}),
            ),
        ),
        field(
            ".spec.tls.clientCertificateSecretRef",
            "spec.tls.clientCertificateSecretRef.name: you must be allowed to get Secret named",
            json!({"tls": {"clientCertificateSecretRef": {"name": NAMED}}}),
        ),
        field(
            ".spec.tls.caBundleRef",
            "spec.tls.caBundleRef.name: you must be allowed to get Secret named",
            json!({"tls": {"caBundleRef": {"kind": "Secret", "name": NAMED}}}),
        ),
        field(
            ".spec.request.parameters[].valueFrom.secretKeyRef",
            "spec.request.parameters: you must be allowed to get Secret named",
            json!({"request": {"parameters": entry}}),
        ),
        field(
            ".spec.request.headers[].valueFrom.secretKeyRef",
            "spec.request.headers: you must be allowed to get Secret named",
            json!({"request": {"headers": entry}}),
        ),
    ]
}

fn complete() -> Outcome {
    let definition = custom_resource_definition();
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec");
    let mut named = BTreeSet::new();
    walk(".spec", schema.context("a schema")?, &mut |path, _| {
        if path.ends_with("Ref") || path.ends_with("serviceAccountToken") {
            named.insert(path.to_owned());
        }
    });
    let known: BTreeSet<_> = fields().iter().map(|field| field.path.to_owned()).collect();
    ensure!(named == known, "the schema has {named:#?}, and the rows are {known:#?}");
    Ok(())
}

async fn secrets(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    let some: Vec<_> = (1..MOST).map(|number| format!("some-{number}")).collect();
    let by_name = [&["client".to_owned(), NAMED.to_owned()], &some[..]].concat();
    let stranger = Author::new(&tenant, "stranger", &json!(["client"])).await?;
    let reader = Author::new(&tenant, "reader", &json!(by_name)).await?;
    let keeper = Author::new(&tenant, "keeper", &json!([])).await?;
    let foreign = credential(&json!({"credentialsSecretRef": {"name": NAMED}}));
    stranger.accepts(&foreign).await.context("without the policy")?;
    install(&tenant, json!({"requireSecretAccess": true})).await?;
    stranger.wait_refused(&foreign).await?;
    for Field { says, change, .. } in fields() {
        let object = credential(&change);
        let message = stranger.refused(&object).await?;
        ensure!(message.starts_with(says), "{says}: {message:?}");
        ensure!(message.contains("ask for"), "it does not say what to do: {message:?}");
        reader.accepts(&object).await?;
        keeper.accepts(&object).await?;
    }
    stranger.accepts(&credential(&json!({}))).await?;
    let public = json!({"tls": {"caBundleRef": {"name": NAMED}}});
    stranger.accepts(&credential(&public)).await.context("a ConfigMap")?;

    // With the Secret of the client these are as many as are checked by name.
    let parameter = |(number, name): (usize, &String)| json!({"name": format!("p{number}"), "valueFrom": {"secretKeyRef": {"name": name, "key": "a"}}});
    let parameters = |names: &[String]| {
        let all: Vec<_> = names.iter().enumerate().map(parameter).collect();
        credential(&json!({"request": {"parameters": all}}))
    };
    reader.accepts(&parameters(&some)).await?;
    let last = [&some[1..], &["unread".to_owned()]].concat();
    let message = reader.refused(&parameters(&last)).await?;
    ensure!(message.contains(" and Secret unread in this namespace"), "{message:?}");
    let more = parameters(&[&some[..], &[NAMED.to_owned()]].concat());
    let message = reader.refused(&more).await?;
    ensure!(message.starts_with("spec: it names more than 8 different Secrets"), "{message:?}");
    keeper.accepts(&more).await?;
    // The most that a spec can name, by the longest names: the policy may cost that much.
    let longest = |from: usize| (from..from + 32).map(|n| format!("{n:0>253}")).collect::<Vec<_>>();
    let entries = |from| longest(from).iter().enumerate().map(parameter).collect::<Vec<_>>();
    let most = json!({
        "request": {"parameters": entries(0), "headers": entries(32)},
        "tls": {"clientCertificateSecretRef": {"name": "a"},
            "caBundleRef": {"kind": "Secret", "name": "b"}},
    });
    keeper.accepts(&credential(&most)).await
}

async fn hosts(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    let stranger = Author::new(&tenant, "stranger", &json!(["none"])).await?;
    let listed = ["idp.example.com", "login.example.com:8443", "[2001:db8::1]", "[::1]:8443"];
    let elsewhere = credential(&json!({"tokenURL": "https://evil.example.com/token"}));
    stranger.accepts(&elsewhere).await.context("without the policy")?;
    let values = json!({"requireSecretAccess": false, "allowedTokenHosts": listed});
    install(&tenant, values).await?;
    stranger.wait_refused(&elsewhere).await?;
    for url in [
        "https://idp.example.com/token",
        "https://IDP.Example.com:443/token?tenant=a",
        "http://idp.example.com:443/token",
        "https://login.example.com:8443",
        "https://[2001:DB8::1]/token",
        "https://[::1]:8443/token",
    ] {
        stranger.accepts(&credential(&json!({"tokenURL": url}))).await.context(url)?;
    }
    for url in [
        "http://idp.example.com/token",
        "https://idp.example.com:8443/token",
        "https://login.example.com/token",
        "https://idp.example.com.evil.example.com/token",
        "https://idp.example.com@evil.example.com/token",
        "https://evil.example.com/https://idp.example.com/token",
        "https://evil.example.com?idp.example.com",
        "https://evil.example.com#@idp.example.com/",
        "https://evil.example.com\\@idp.example.com/",
        "https://[::1]/token",
    ] {
        let message = stranger.refused(&credential(&json!({"tokenURL": url}))).await?;
        let says = "spec.tokenURL: its host is none of those that are allowed here";
        ensure!(message.starts_with(says), "{url}: {message:?}");
        ensure!(listed.iter().all(|host| message.contains(host)), "{url}: {message:?}");
    }
    let revoking = |revocation: Value| {
        credential(&json!({"tokenURL": "https://idp.example.com/t", "revocation": revocation}))
    };
    let revoked_at = |url: &str| revoking(json!({"onDelete": true, "url": url}));
    stranger.accepts(&revoked_at("https://idp.example.com/revoke")).await?;
    stranger.accepts(&revoking(json!({"onDelete": false}))).await?;
    let message = stranger.refused(&revoked_at("https://evil.example.com/revoke")).await?;
    ensure!(message.starts_with("spec.revocation.url: its host is none of those"), "{message:?}");
    let issuer = |issuer: &str| credential(&json!({"tokenURL": null, "issuer": issuer}));
    stranger.accepts(&issuer("https://idp.example.com/realms/a")).await?;
    let message = stranger.refused(&issuer("https://evil.example.com/realms/a")).await?;
    ensure!(message.starts_with("spec.issuer: its host is none of those"), "{message:?}");
    let provider = json!({"tokenURL": null,
        "provider": {"name": "Auth0", "parameters": {"domain": "evil.example.com"}}});
    let message = stranger.refused(&credential(&provider)).await?;
    ensure!(message.starts_with("spec.provider: only listed hosts"), "{message:?}");
    ensure!(message.contains("spec.tokenURL"), "it does not say what to do: {message:?}");
    let with_url =
        json!({"provider": {"name": "Auth0", "parameters": {"domain": "a.example.com"}}});
    stranger.accepts(&credential(&with_url)).await
}

/// Labels, annotations, status and deletion pass whoever writes them.
async fn nothing_else(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let stranger = Author::new(&tenant, "stranger", &json!(["none"])).await?;
    let reader = Author::new(&tenant, "reader", &json!([CLIENT_SECRET])).await?;
    let listed = json!({"requireSecretAccess": true, "allowedTokenHosts": [world.server.host()]});
    install(&tenant, listed).await?;
    let object = credential(&json!({"suspend": false, "tokenURL": world.server.token_url(),
        "credentialsSecretRef": {"name": CLIENT_SECRET}}));
    stranger.wait_refused(&object).await?;
    let created = serde_json::from_value(object.clone())?;
    reader.credentials.create(&PostParams::default(), &created).await?;
    tenant.wait_ready("crm").await?;

    let metadata = json!({"metadata": {"labels": {"team": "sales"},
        "annotations": {RENEW_REQUESTED_AT: "now"}}});
    stranger.merge(&metadata).await?;
    tenant.wait_revision("crm", 2).await?;
    let handled = wait_for("the status to tell of the request", SOON, async || {
        let status = tenant.status("crm").await?;
        status.last_handled_renew_request.context("none was handled")
    })
    .await?;
    ensure!(handled == "now", "{handled:?} was handled");
    stranger.merge(&json!({"spec": object["spec"]})).await.context("the same spec")?;
    for change in [json!({"scopes": ["orders.read"]}), json!({"suspend": true})] {
        let answer = stranger.merge(&json!({"spec": change})).await;
        let message = Author::denied(answer)?.context("a new spec is accepted")?;
        ensure!(message.starts_with("spec.credentialsSecretRef.name: "), "{message:?}");
    }
    reader.merge(&json!({"spec": {"scopes": ["orders.read"]}})).await?;
    tenant.wait_revision("crm", 3).await?;
    stranger.credentials.delete("crm", &DeleteParams::default()).await?;
    let what = "the managed Secret to go with its credential";
    wait_for(what, SOON, async || {
        let left = tenant.secrets().get_opt("crm").await?;
        ensure!(left.is_none(), "it is there");
        Ok(())
    })
    .await
}

/// Installs the policy of the chart for the tenant's namespace, and waits until the API server has
/// checked its types.
async fn install(tenant: &Tenant, mut values: Value) -> Outcome {
    let namespace = &tenant.namespace;
    values["enabled"] = json!(true);
    values["namespaceSelector"] =
        json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/oauthcc-operator");
    let template = "templates/admission-policy.yaml";
    let values = json!({"admissionPolicy": values});
    let manifests = helm::render(&chart, template, namespace, &values).await?;
    let plane = &tenant.world.plane;
    plane.kubectl_with_stdin(&["apply", "-f", "-"], &manifests).await?;
    let policies = Api::<ValidatingAdmissionPolicy>::all(plane.admin_client());
    let name = format!("{namespace}-oauthcc-operator-authors");
    let checked = wait_for("the types of the policy to be checked", SOON, async || {
        let status = policies.get(&name).await?.status;
        status.and_then(|status| status.type_checking).context("they are not yet")
    })
    .await?;
    let warnings = checked.expression_warnings.unwrap_or_default();
    ensure!(warnings.is_empty(), "{warnings:#?}");
    Ok(())
}

/// A user who may write every credential of a namespace, and get some of its Secrets.
struct Author {
    name: &'static str,
    credentials: Api<DynamicObject>,
}

impl Author {
    /// They may get the Secrets, and make tokens of the ServiceAccounts, of these names; of all where
    /// none is given.
    async fn new(tenant: &Tenant, name: &'static str, names: &Value) -> anyhow::Result<Self> {
        let namespace = &tenant.namespace;
        let rbac = "rbac.authorization.k8s.io";
        let object = |kind: &str| {
            json!({"apiVersion": format!("{rbac}/v1"), "kind": kind,
                "metadata": {"name": name, "namespace": namespace}})
        };
        let may = |group, resource, verbs: Value, names: &Value| {
            json!({"apiGroups": [group], "resources": [resource], "verbs": verbs,
                "resourceNames": names})
        };
        let (mut role, mut binding) = (object("Role"), object("RoleBinding"));
        role["rules"] = json!([
            may("oauthcc.dev", "oauthclientcredentials", json!(["*"]), &json!([])),
            may("", "secrets", json!(["get"]), names),
            may("", "serviceaccounts/token", json!(["create"]), names),
        ]);
        binding["roleRef"] = json!({"apiGroup": rbac, "kind": "Role", "name": name});
        binding["subjects"] = json!([{"apiGroup": rbac, "kind": "User", "name": name}]);
        let all = json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]});
        let plane = &tenant.world.plane;
        plane.kubectl_with_stdin(&["apply", "-f", "-"], &all.to_string()).await?;

        let kubeconfig = Kubeconfig::read_from(plane.admin_kubeconfig())?;
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        config.auth_info.impersonate = Some(name.to_owned());
        let resource = ApiResource::erase::<OAuthClientCredential>(&());
        let client = Client::try_from(config)?;
        let author = Self { name, credentials: Api::namespaced_with(client, namespace, &resource) };
        author.wait_for_rights().await?;
        Ok(author)
    }

    /// A new binding takes a moment.
    async fn wait_for_rights(&self) -> Outcome {
        let what = format!("the rights of {}", self.name);
        wait_for(&what, SOON, async || {
            self.credentials.list(&ListParams::default()).await.map(drop)
        })
        .await
    }

    async fn create_dry(&self, object: &Value) -> anyhow::Result<Option<String>> {
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let object = serde_json::from_value(object.clone())?;
        Self::denied(self.credentials.create(&params, &object).await)
    }

    async fn merge(&self, patch: &Value) -> kube::Result<DynamicObject> {
        self.credentials.patch("crm", &PatchParams::default(), &Patch::Merge(patch)).await
    }

    /// What the policy says; `None` where it lets pass. Another refusal is an error.
    fn denied(answer: kube::Result<DynamicObject>) -> anyhow::Result<Option<String>> {
        match answer {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                let Some((_, message)) = status.message.split_once(" denied request: ") else {
                    bail!("it is not the policy that refuses: {}", status.message)
                };
                Ok(Some(message.to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn accepts(&self, object: &Value) -> Outcome {
        let denied = self.create_dry(object).await?;
        ensure!(denied.is_none(), "{} is refused {object}: {denied:?}", self.name);
        Ok(())
    }

    async fn refused(&self, object: &Value) -> anyhow::Result<String> {
        self.create_dry(object).await?.with_context(|| format!("{} may write {object}", self.name))
    }

    /// Waits until the policy is in force.
    async fn wait_refused(&self, object: &Value) -> Outcome {
        let what = format!("the policy to refuse {}", self.name);
        wait_for(&what, SOON, async || self.refused(object).await).await.map(drop)
    }
}
