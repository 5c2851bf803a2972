//! The ways to fail: each in a namespace of its own, with values like no other string.
//!
//! **Invariant:** every value that is handed out here is known to the scanner, and what holds it
//! rightly is kept, so that the test can show that it would have been found.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::{BoxFuture, FutureExt};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use oauthcc_harness::authorization_server::{AuthMethod, Client, Failure};
use oauthcc_harness::wait::wait_for;
use oauthcc_operator::domain::crd::{ALLOWED_TOKEN_HOSTS, MANAGED_LABEL};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::{Canary, ECHO, add, locked};
use crate::Outcome;
use crate::tenant::{CLIENT_SECRET, Tenant, merge};
use crate::world::SOON;

const HOUR: Duration = Duration::from_secs(3600);
const HALF_MINUTE: Duration = Duration::from_secs(30);

impl Canary {
    pub(super) fn scenarios(&self) -> Vec<BoxFuture<'_, Outcome>> {
        vec![
            self.rotation().boxed(),
            self.secret_in_the_body().boxed(),
            self.wrong_secret().boxed(),
            self.unusable_values().boxed(),
            self.foreign_secret().boxed(),
            self.echoes().boxed(),
            self.odd_grants().boxed(),
            self.odd_successes().boxed(),
            self.refused_write().boxed(),
            self.query().boxed(),
        ]
    }

    /// Success and rotation; and a client Secret whose metadata holds its values too.
    async fn rotation(&self) -> Outcome {
        let tenant = self.tenant("the client secret that rotates", HALF_MINUTE).await?;
        let secret = json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": CLIENT_SECRET, "namespace": tenant.namespace,
                "annotations": {ALLOWED_TOKEN_HOSTS: self.world.server.host()}},
            "stringData": {"client-id": tenant.client_id, "client-secret": tenant.client_secret}});
        tenant.delete_secret(CLIENT_SECRET).await?;
        // Plain kubectl keeps the whole object, the values in clear, in an annotation.
        let apply = ["apply", "-f", "-"];
        self.world.plane.kubectl_with_stdin(&apply, &secret.to_string()).await?;
        self.apply(&tenant, "crm", json!({"scopes": ["orders.read"]})).await?;
        tenant.wait_revision("crm", 2).await?;
        tenant.merge("crm", json!({"spec": {"suspend": true}})).await
    }

    async fn secret_in_the_body(&self) -> Outcome {
        let tenant = self.tenant("the client secret in a body", HOUR).await?;
        let mut client = Client::new(&tenant.client_id, &tenant.client_secret);
        client.auth_method = AuthMethod::Post;
        self.world.server.add_client(&client).await?;
        let post = json!({"clientAuthentication": {"method": "ClientSecretPost"}});
        self.apply(&tenant, "crm", post).await?;
        tenant.wait_ready("crm").await
    }

    async fn wrong_secret(&self) -> Outcome {
        let tenant = self.tenant("the right client secret", HOUR).await?;
        tenant.apply_client_secret(&self.scanner.canary("a wrong client secret")).await?;
        self.apply(&tenant, "crm", json!({})).await?;
        tenant.wait_condition("crm", "RequestSucceeded", "False", "InvalidClient").await.map(drop)
    }

    async fn unusable_values(&self) -> Outcome {
        let tenant = self.tenant("a client secret that is replaced", HOUR).await?;
        let (before, after) = (self.scanner.canary("before"), self.scanner.canary("after"));
        tenant.apply_client_secret(&format!("{before}\n{after}")).await?;
        self.apply(&tenant, "crm", json!({})).await?;
        tenant.wait_condition("crm", "ResolvedRefs", "False", "CredentialsInvalid").await?;
        let bytes = [&[0xff, 0xfe], self.scanner.canary("not UTF-8").as_bytes()].concat();
        let data = json!({"client-secret": k8s_openapi::ByteString(bytes)});
        let version = tenant.get("crm").await?.resource_version();
        tenant.merge_secret(CLIENT_SECRET, json!({ "data": data })).await?;
        wait_for("the other fault to be told", SOON, async || {
            let told = tenant.condition("crm", "ResolvedRefs").await?.context("a condition")?;
            ensure!(told.message.contains("UTF-8"), "{} at {version:?}", told.message);
            anyhow::Ok(())
        })
        .await?;
        let other = self.scanner.canary("under another key");
        let data = json!({"data": {"client-secret": null}, "stringData": {"password": other}});
        tenant.merge_secret(CLIENT_SECRET, data).await?;
        tenant
            .wait_condition("crm", "ResolvedRefs", "False", "CredentialsKeyMissing")
            .await
            .map(drop)
    }

    async fn foreign_secret(&self) -> Outcome {
        let tenant = self.tenant("the client secret beside a foreign Secret", HOUR).await?;
        let value = self.scanner.canary("the value of a foreign Secret");
        let secret = json!({"metadata": {"name": "crm"}, "stringData": {"token": value}});
        tenant.apply_secret(secret).await?;
        self.apply(&tenant, "crm", json!({})).await?;
        tenant.wait_condition("crm", "SecretSynced", "False", "SecretNotOwned").await.map(drop)
    }

    /// Answers that repeat what was sent, in every part that an answer has.
    async fn echoes(&self) -> Outcome {
        let tenant = self.tenant("the client secret that is echoed", HOUR).await?;
        let token = self.scanner.canary("a token in a refusal");
        let secret = &tenant.client_secret;
        let sent = format!("Authorization: Basic {}", basic(&tenant));
        let text = format!("{secret} {token} {sent}");
        let body = |error: &str| {
            json!({"error": error, "error_description": text, "error_uri": text, "access_token": token})
                .to_string()
        };
        let plain = |status: u16| Failure::new(status, &text);
        let away = format!(
            "https://elsewhere.example.com/?{}={token}",
            utf8_percent_encode(secret, NON_ALPHANUMERIC)
        );
        for (name, failure, reason) in [
            ("broken", plain(500), "ServerError"),
            ("moved", plain(307).with_header("location", &away), "EndpointRedirects"),
            ("scope", Failure::new(400, &body("invalid_scope")), "InvalidScope"),
            ("code", Failure::new(400, &body(&text)), "InvalidRequest"),
            ("text", plain(400), "InvalidRequest"),
            ("denied", plain(403).with_header("www-authenticate", &text), "AccessDenied"),
            ("busy", plain(503).with_header("x-ratelimit-reset", &token), "ServerError"),
            ("later", plain(429).with_header("retry-after", &text), "RateLimited"),
        ] {
            self.answers(&tenant, failure).await?;
            self.apply(&tenant, name, json!({})).await?;
            tenant.wait_condition(name, "RequestSucceeded", "False", reason).await?;
            tenant.merge(name, json!({"spec": {"suspend": true}})).await?;
        }
        Ok(())
    }

    /// Answers with 200 that can't be used, with values in odd places.
    async fn odd_grants(&self) -> Outcome {
        let tenant = self.tenant("the client secret in an odd answer", HOUR).await?;
        let token = self.scanner.canary("a token in an odd answer");
        let secret = self.scanner.canary("a value in an odd answer");
        for (number, body) in [
            format!(r#"{{"access_token": "{token}", "x": "{secret}""#),
            format!(r#"{{"access_token": ["{token}"], "{secret}": 1}}"#),
            format!(r#"{{"access_token": {{"{token}": "{secret}"}}}}"#),
            format!(r#"{{"access_token": "{token}", "access_token": "{token}"}}"#),
            format!(r#"{{"access_token": "{token}\u0000"}}"#),
            format!(r#"{{"access_token": "{token} {secret}"}}"#),
            format!(r#"{{"access_token": "{token}", "error": {{"code": "{secret}"}}}}"#),
            format!(r#"{{"error": "{secret}", "access_token": "{token}"}}"#),
            format!("access_token={token}%0A{secret}"),
            format!("{token} {secret}"),
        ]
        .into_iter()
        .enumerate()
        {
            self.answers(&tenant, Failure::new(200, &body)).await?;
            let name = format!("odd-{number}");
            self.apply(&tenant, &name, json!({})).await?;
            let reason = "MalformedResponse";
            tenant.wait_condition(&name, "RequestSucceeded", "False", reason).await?;
            tenant.merge(&name, json!({"spec": {"suspend": true}})).await?;
        }
        let body = json!({"access_token": token, "token_type": secret}).to_string();
        self.answers(&tenant, Failure::new(200, &body)).await?;
        self.apply(&tenant, "odd-type", json!({})).await?;
        let reason = "UnsupportedTokenType";
        tenant.wait_condition("odd-type", "RequestSucceeded", "False", reason).await.map(drop)
    }

    /// Answers that are good, and hold values where nobody would look for them.
    async fn odd_successes(&self) -> Outcome {
        let tenant = self.tenant("the client secret in a good answer", HOUR).await?;
        let secret = tenant.client_secret.clone();
        for (number, more) in [
            json!({"expires_in": secret}),
            json!({"scope": secret}),
            json!({"scope": format!("orders.read {secret}")}),
            json!({"scope": ["orders.read", secret]}),
            json!({"scope": format!("orders.read {}", basic(&tenant))}),
            json!({"scope": utf8_percent_encode(&secret, NON_ALPHANUMERIC).to_string()}),
            json!({"refresh_token": self.scanner.canary("a refresh token"), "expires_in": 3600}),
            json!({"id_token": self.scanner.canary("an ID token"), "token_type": "Bearer"}),
            json!({"refresh_in": secret, "expires_on": secret, "error": ""}),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("good-{number}");
            let token = self.scanner.canary(&format!("the token of {name}"));
            let mut body = json!({"access_token": token, "scope": format!("x {token}")});
            merge(&mut body, more);
            self.answers(&tenant, Failure::new(200, &body.to_string())).await?;
            self.apply(&tenant, &name, json!({"scopes": ["orders.read"]})).await?;
            tenant.wait_ready(&name).await?;
            tenant.merge(&name, json!({"spec": {"suspend": true}})).await?;
        }
        Ok(())
    }

    /// An admission policy whose refusal repeats the token.
    async fn refused_write(&self) -> Outcome {
        let tenant = self.tenant("the client secret of a refused write", HOUR).await?;
        let policy = echoing_policy(&tenant.namespace);
        self.world.plane.kubectl_with_stdin(&["apply", "-f", "-"], &policy).await?;
        let token = self.scanner.canary("a token that a policy repeats");
        add(&self.rightly, &token);
        let probe = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"token": token},
            "metadata": {"name": "probe", "labels": {MANAGED_LABEL: "true"}}});
        let params = PatchParams { dry_run: true, ..PatchParams::apply("probe") };
        wait_for("the policy to repeat what it refuses", SOON, async || {
            // The operator asks in this way too.
            match tenant.secrets().patch_metadata("probe", &params, &Patch::Apply(&probe)).await {
                Err(kube::Error::Api(refused)) => {
                    let found = self.scanner.find(&refused.message);
                    ensure!(!found.is_empty(), "{}", refused.message);
                    Ok(())
                }
                answer => bail!("{answer:?}"),
            }
        })
        .await?;
        self.apply(&tenant, "crm", json!({})).await?;
        tenant.wait_condition("crm", "SecretSynced", "False", "SecretWriteFailed").await?;
        let kinds = "validatingadmissionpolicybinding,validatingadmissionpolicy";
        self.world.plane.kubectl(&["delete", kinds, ECHO]).await?;
        tenant.wait_ready("crm").await
    }

    /// A key in the query of the URL: it stays in the spec, where somebody wrote it.
    async fn query(&self) -> Outcome {
        let tenant = self.tenant("the client secret beside a query", HOUR).await?;
        let key = self.scanner.canary("a key in the query");
        add(&self.rightly, &key);
        let place = (tenant.namespace.clone(), "crm".to_owned());
        locked(&self.told_in_spec).insert(place);
        let url = format!("{}?key={key}", self.world.server.token_url());
        self.apply(&tenant, "crm", json!({ "tokenURL": url })).await?;
        tenant.wait_ready("crm").await
    }

    /// The API server goes away, and watches begin again.
    pub(super) async fn outlives_an_outage_of_the_api_server(&self) -> Outcome {
        self.world.plane.kill_api_server();
        wait_for("the operator to notice", SOON, async || {
            self.world.operator_output().contains("failed to watch Secrets")
        })
        .await?;
        self.world.plane.restart_api_server().await?;
        let tenant = self.tenant("the client secret after an outage", HOUR).await?;
        self.apply(&tenant, "crm", json!({})).await?;
        tenant.wait_ready("crm").await?;
        // The test's own watch backs off too: a token that is replaced before it is back is never seen.
        let issued = self.world.server.issued(&tenant.client_id).await?;
        wait_for("the watch of the test to be back", Duration::from_secs(60), async || {
            let seen = self.scanner.digests();
            issued.iter().all(|token| seen.contains(&token.sha256))
        })
        .await
    }

    /// The same values in another version of the client Secret, then other values.
    pub(super) async fn comparison(&self) -> Outcome {
        let mut tenant = self.tenant("the client secret that is compared", HOUR).await?;
        self.apply(&tenant, "crm", json!({})).await?;
        tenant.wait_ready("crm").await?;
        let mark = tenant.mark().await?;
        tenant.merge_secret(CLIENT_SECRET, json!({"stringData": {"note": "of no use"}})).await?;
        tenant.expect_calls(mark, &[("get secrets", 2)]).await?;
        tenant.client_secret = self.scanner.canary("the client secret that follows");
        self.world.server.set_secret(&tenant.client_id, &tenant.client_secret).await?;
        tenant.apply_client_secret(&tenant.client_secret).await?;
        tenant.wait_revision("crm", 2).await.map(drop)
    }

    /// An altered token, a removed label, a deleted Secret.
    pub(super) async fn drift(&self) -> Outcome {
        let tenant = self.tenant("the client secret of a Secret that drifts", HOUR).await?;
        self.apply(&tenant, "crm", json!({})).await?;
        tenant.wait_ready("crm").await?;
        tenant.merge_secret("crm", json!({"stringData": {"token": "edited by hand"}})).await?;
        tenant.wait_revision("crm", 2).await?;
        let unlabelled = json!({"metadata": {"labels": {MANAGED_LABEL: null}}});
        tenant.merge_secret("crm", unlabelled).await?;
        wait_for("the label to be put back", SOON, async || {
            let secret = tenant.secrets().get("crm").await.ok()?;
            secret.labels().contains_key(MANAGED_LABEL).then_some(())
        })
        .await?;
        tenant.delete_secret("crm").await?;
        tenant.wait_revision("crm", 3).await.map(drop)
    }
}

/// What an `Authorization` header holds for this client (RFC 6749 section 2.3.1).
fn basic(tenant: &Tenant) -> String {
    const ESCAPED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let encode = |text| utf8_percent_encode(text, ESCAPED);
    let pair = format!("{}:{}", encode(&tenant.client_id), encode(&tenant.client_secret));
    STANDARD.encode(pair)
}

/// Refuses managed Secrets of a namespace, with words that hold the token.
fn echoing_policy(namespace: &str) -> String {
    let expression = format!("!('{MANAGED_LABEL}' in object.metadata.?labels.orValue({{}}))");
    let message = format!("'{ECHO}: it holds the token ' + object.data['token']");
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": ECHO},
        "spec": {
            "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]}]},
            "validations": [{"expression": expression, "messageExpression": message}],
        },
    });
    let here = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": ECHO},
        "spec": {
            "policyName": ECHO,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": here},
        },
    });
    format!("{policy}\n---\n{binding}\n")
}
