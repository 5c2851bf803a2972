//! The other ways to prove who asks, right and wrong: keys, assertions, certificates, values in headers
//! and parameters, a token of a ServiceAccount.
//!
//! **Invariant:** of every key a line of its own is looked for, and of what is made for one request
//! (assertions, tokens of ServiceAccounts) the shape, since nobody knows the value.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::{BoxFuture, FutureExt};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{Patch, PatchParams};
use oauthcc_harness::authorization_server::{AuthMethod, Client, Failure};
use oauthcc_harness::certificates::Certificate;
use oauthcc_harness::keys::{Key, KeyKind};
use oauthcc_harness::token_verifier::TokenVerifier;
use oauthcc_operator::domain::crd::ALLOWED_TOKEN_HOSTS;
use serde_json::{Value, json};

use super::Canary;
use crate::Outcome;
use crate::tenant::Tenant;

const HOUR: Duration = Duration::from_secs(3600);
const AUDIENCE: &str = "https://idp.example.com";

impl Canary {
    pub(super) fn methods(&self) -> Vec<BoxFuture<'_, Outcome>> {
        vec![
            self.secret_jwt().boxed(),
            self.private_key().boxed(),
            self.unusable_key().boxed(),
            self.certificate().boxed(),
            self.header_and_parameter().boxed(),
            self.discovery().boxed(),
            self.service_account().boxed(),
        ]
    }

    /// A key whose private half is looked for.
    fn key(&self, what: &str, kind: KeyKind) -> anyhow::Result<Key> {
        let key = Key::generate(kind)?;
        let pem = key.pem();
        // The first line begins as every key of its kind does.
        let line = pem.lines().nth(2).context("a second line of the key")?;
        self.scanner.look_for(what, line);
        Ok(key)
    }

    async fn secret(&self, tenant: &Tenant, name: &str, host: &str, values: Value) -> Outcome {
        self.may_hold(tenant, name);
        tenant
            .apply_secret(json!({
                "metadata": {"name": name, "annotations": {ALLOWED_TOKEN_HOSTS: host}},
                "stringData": values,
            }))
            .await
    }

    async fn register(&self, tenant: &Tenant, method: AuthMethod) -> Outcome {
        let client = Client::new(&tenant.client_id, &tenant.client_secret).with_method(method);
        self.world.server.add_client(&client).await
    }

    async fn secret_jwt(&self) -> Outcome {
        let tenant = self.tenant("the client secret that signs", HOUR).await?;
        self.register(&tenant, AuthMethod::SecretJwt { algorithm: "HS256" }).await?;
        let jwt = json!({"clientAuthentication": {"method": "ClientSecretJWT"}});
        self.apply(&tenant, "crm", jwt.clone()).await?;
        tenant.wait_ready("crm").await?;
        self.answers(&tenant, Failure::new(500, &tenant.client_secret)).await?;
        self.apply(&tenant, "broken", jwt).await?;
        tenant.wait_condition("broken", "RequestSucceeded", "False", "ServerError").await.map(drop)
    }

    async fn private_key(&self) -> Outcome {
        let tenant = self.tenant("the client secret beside a key", HOUR).await?;
        let right = self.key("the right key", KeyKind::P256)?;
        let wrong = self.key("the wrong key", KeyKind::Rsa)?;
        self.register(&tenant, AuthMethod::PrivateKeyJwt { jwks: vec![right.jwk(None)] }).await?;
        let host = self.world.server.host();
        self.secret(&tenant, "right", &host, json!({"tls.key": right.pem()})).await?;
        self.secret(&tenant, "wrong", &host, json!({"tls.key": wrong.pem()})).await?;
        let signed_with = |name: &str| {
            json!({"clientAuthentication": {"method": "PrivateKeyJWT",
                "privateKeyJWT": {"keySecretRef": {"name": name}}}})
        };
        self.apply(&tenant, "good", signed_with("right")).await?;
        tenant.wait_ready("good").await?;
        self.apply(&tenant, "bad", signed_with("wrong")).await?;
        tenant.wait_condition("bad", "RequestSucceeded", "False", "InvalidClient").await.map(drop)
    }

    /// Keys that can't be read, in every way that a parser could repeat them.
    async fn unusable_key(&self) -> Outcome {
        let tenant = self.tenant("the client secret beside a broken key", HOUR).await?;
        let host = self.world.server.host();
        let value = self.scanner.canary("a value that is no key");
        let key = self.key("a key that is cut", KeyKind::Rsa)?;
        let cut = key.pem().lines().take(4).collect::<Vec<_>>().join("\n");
        for (name, text) in [
            ("text", value.clone()),
            ("block", format!("-----BEGIN PRIVATE KEY-----\n{value}\n-----END PRIVATE KEY-----\n")),
            ("cut", cut),
        ] {
            self.secret(&tenant, &format!("{name}-key"), &host, json!({"tls.key": text})).await?;
            let spec = json!({"clientAuthentication": {"method": "PrivateKeyJWT",
                "privateKeyJWT": {"keySecretRef": {"name": format!("{name}-key")}}}});
            self.apply(&tenant, name, spec).await?;
            tenant.wait_condition(name, "ResolvedRefs", "False", "ClientKeyInvalid").await?;
        }
        Ok(())
    }

    async fn certificate(&self) -> Outcome {
        let tenant = self.tenant("the client secret beside a certificate", HOUR).await?;
        let host = self.world.server.host();
        let key = self.key("the key of a certificate", KeyKind::P256)?;
        let other = self.key("the key of another certificate", KeyKind::P256)?;
        let certificate = self.world.server.client_certificate("canary", &key, HOUR)?;
        let subject = certificate.subject().to_owned();
        self.register(&tenant, AuthMethod::TlsClientAuth { subject }).await?;
        let stranger = Certificate::self_signed_client("canary", &other, HOUR)?;
        for (name, chain, key) in [
            ("right", certificate.chain_pem(), certificate.key_pem()),
            ("stranger", stranger.chain_pem(), stranger.key_pem()),
            ("mixed", certificate.chain_pem(), stranger.key_pem()),
        ] {
            let values = json!({"tls.crt": chain, "tls.key": key});
            self.secret(&tenant, &format!("{name}-mtls"), &host, values).await?;
            let spec = json!({"clientAuthentication": {"method": "TLSClientAuth"},
                "tls": {"clientCertificateSecretRef": {"name": format!("{name}-mtls")}}});
            self.apply(&tenant, name, spec).await?;
        }
        tenant.wait_ready("right").await?;
        let refused = ("RequestSucceeded", "InvalidClient");
        tenant.wait_condition("stranger", refused.0, "False", refused.1).await?;
        tenant.wait_condition("mixed", "ResolvedRefs", "False", "ClientKeyInvalid").await.map(drop)
    }

    /// Values of headers and parameters, and an endpoint that repeats them.
    async fn header_and_parameter(&self) -> Outcome {
        let tenant = self.tenant("the client secret beside a header", HOUR).await?;
        let (header, parameter) =
            (self.scanner.canary("the value of a header"), self.scanner.canary("a parameter"));
        let values = json!({"header": header, "parameter": parameter});
        self.secret(&tenant, "values", &self.world.server.host(), values).await?;
        let from = |key: &str| json!({"secretKeyRef": {"name": "values", "key": key}});
        let spec = json!({"request": {
            "headers": [{"name": "X-Application-Key", "valueFrom": from("header")}],
            "parameters": [{"name": "child_secret", "valueFrom": from("parameter")}],
        }});
        self.apply(&tenant, "crm", spec.clone()).await?;
        tenant.wait_ready("crm").await?;
        let token = self.scanner.canary("a token beside an echo");
        let body = json!({"access_token": token, "scope": format!("x {header} {parameter}")});
        self.answers(&tenant, Failure::new(200, &body.to_string())).await?;
        self.apply(&tenant, "echo", spec.clone()).await?;
        tenant.wait_ready("echo").await?;
        self.answers(&tenant, Failure::new(400, &format!("{header} {parameter}"))).await?;
        self.apply(&tenant, "refused", spec).await?;
        let reason = "InvalidRequest";
        tenant.wait_condition("refused", "RequestSucceeded", "False", reason).await.map(drop)
    }

    async fn discovery(&self) -> Outcome {
        let tenant = self.tenant("the client secret behind an issuer", HOUR).await?;
        let issuer = self.world.server.issuer();
        self.apply(&tenant, "crm", json!({"tokenURL": null, "issuer": issuer})).await?;
        tenant.wait_ready("crm").await?;
        let nowhere = format!("{issuer}/nowhere");
        self.apply(&tenant, "nowhere", json!({"tokenURL": null, "issuer": nowhere})).await?;
        let reason = "DiscoveryInvalid";
        tenant.wait_condition("nowhere", "RequestSucceeded", "False", reason).await.map(drop)
    }

    /// One account that is known and one that is not.
    async fn service_account(&self) -> Outcome {
        let tenant = self.tenant("the client secret beside an account", HOUR).await?;
        let world = &self.world;
        let verifier = TokenVerifier::start(&world.server, &world.plane, AUDIENCE).await?;
        let api: Api<ServiceAccount> =
            Api::namespaced(world.plane.admin_client(), &tenant.namespace);
        verifier.register(&tenant.namespace, "known", HOUR);
        for name in ["known", "unknown"] {
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata":
                {"name": name, "annotations": {ALLOWED_TOKEN_HOSTS: verifier.host()}}});
            api.patch(name, &PatchParams::apply("kubectl"), &Patch::Apply(&account)).await?;
            let spec = json!({
                "tokenURL": verifier.token_url(), "credentialsSecretRef": null,
                "clientAuthentication": {"method": "ServiceAccountToken",
                    "serviceAccountToken": {"name": name, "audience": AUDIENCE}},
            });
            self.apply(&tenant, name, spec).await?;
        }
        tenant.wait_ready("known").await?;
        let reason = "InvalidClient";
        tenant.wait_condition("unknown", "RequestSucceeded", "False", reason).await?;
        ensure!(verifier.issued().len() == 1, "one token");
        Ok(())
    }
}
