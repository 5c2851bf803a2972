//! The token in every form that a consumer may read, and a template that fails with the token alone; then
//! what lies beside it: values of the response and the token before.
//!
//! **Invariant:** the managed Secret holds all of them, which it may; nothing else does.

use std::time::Duration;

use anyhow::ensure;
use oauthcc_harness::authorization_server::Failure;
use oauthcc_operator::domain::crd::RENEW_REQUESTED_AT;
use serde_json::{Value, json};

use super::Canary;
use crate::Outcome;

const HOUR: Duration = Duration::from_secs(3600);

impl Canary {
    pub(super) async fn every_form(&self) -> Outcome {
        let tenant = self.tenant("the client secret of a token in every form", HOUR).await?;
        let target = json!({
            "additionalOutputFormats": [
                {"key": "raw", "type": "Raw"},
                {"key": "header", "type": "AuthorizationHeader"},
                {"key": "password", "type": "BasicAuth"},
                {"key": ".netrc", "type": "Netrc", "netrc": {"machine": "git.example.com"}},
                {"key": ".dockerconfigjson", "type": "DockerConfigJSON",
                    "dockerConfigJSON": {"registries": ["registry.example.com"]}},
                {"key": "token.json", "type": "JSON"},
                {"key": ".env", "type": "Env", "env": {"name": "API_TOKEN"}},
            ],
            "template": {
                "metadata": {"labels": {"team": "sales"}, "annotations": {"note": "{{ token }}"}},
                "data": {"a": "{{ token }}", "b": "{{ token | b64encode }}{{ token | tojson }}"},
            },
        });
        self.apply(&tenant, "crm", json!({ "target": target })).await?;
        tenant.wait_ready("crm").await?;
        let note = tenant.secrets().get("crm").await?.metadata.annotations.unwrap_or_default();
        ensure!(note["note"] == "{{ token }}", "annotations are no templates");
        // Repaired, edited, broken, and broken in a way that only the token shows.
        tenant.merge_secret("crm", json!({"data": {"header": null}})).await?;
        tenant.expect_events("crm", &["SecretDriftRepaired", "TokenIssued"]).await?;
        let template =
            |text: &str| json!({"spec": {"target": {"template": {"data": {"a": text}}}}});
        tenant.merge("crm", template("{{ token")).await?;
        tenant.wait_condition("crm", "SecretSynced", "False", "TemplateInvalid").await?;
        let long = format!(
            "{{% for a in '{}' %}}{}{{% endfor %}}",
            "a".repeat(400),
            "{{ token }}".repeat(5)
        );
        tenant.merge("crm", template(&long)).await?;
        tenant.wait_condition("crm", "SecretSynced", "False", "TemplateInvalid").await?;
        tenant.merge("crm", template("{{ token | urlencode }}")).await?;
        tenant.wait_condition("crm", "SecretSynced", "True", "SecretSynced").await?;
        ensure!(tenant.token_requests().await? == 1, "one token request");
        Ok(())
    }

    /// Granted, refused for a value that can't be written, and for one that is missing; rotated, repaired,
    /// replaced.
    pub(super) async fn values_and_the_token_before(&self) -> Outcome {
        let tenant = self.tenant("the client secret of a token with values", HOUR).await?;
        let value = self.scanner.canary("a value of the response");
        let refresh_token = self.scanner.canary("a refresh token beside a value");
        let tokens = ["first", "second", "third"]
            .map(|which| self.scanner.canary(&format!("the {which} token with a value")));
        let answer = |token: &str, url: Value| {
            let body = json!({"access_token": token, "expires_in": 3600, "url": url,
                "refresh_token": refresh_token, "id": {"url": value}});
            Failure::new(200, &body.to_string())
        };
        self.answers(&tenant, answer(&tokens[0], json!(value))).await?;
        let entry = json!({"key": "url", "type": "Response", "response": {"pointer": "/url"}});
        let target = json!({"previousTokenKey": "old", "additionalOutputFormats": [entry]});
        self.apply(&tenant, "crm", json!({ "target": target })).await?;
        tenant.wait_ready("crm").await?;
        for (number, wrong) in
            [json!(format!("{value}\n")), json!([value]), json!({"url": value}), Value::Null]
                .into_iter()
                .enumerate()
        {
            self.answers(&tenant, answer(&tokens[1], wrong)).await?;
            let before = tenant.token_requests().await?;
            tenant.annotate("crm", RENEW_REQUESTED_AT, &format!("wrong-{number}")).await?;
            tenant.wait_token_requests(before + 1).await?;
            let failed = ("RequestSucceeded", "MalformedResponse");
            tenant.wait_condition("crm", failed.0, "False", failed.1).await?;
        }
        self.answers(&tenant, answer(&tokens[1], json!(value))).await?;
        tenant.annotate("crm", RENEW_REQUESTED_AT, "right").await?;
        let rotated = tenant.wait_revision("crm", 2).await?.data.unwrap_or_default();
        ensure!(rotated["old"].0 == tokens[0].as_bytes(), "the token before");
        ensure!(rotated["url"].0 == value.as_bytes(), "the value");
        tenant.wait_condition("crm", "RequestSucceeded", "True", "RequestSucceeded").await?;
        let label = json!({"metadata": {"labels": {"oauthcc.dev/managed": null}}});
        tenant.merge_secret("crm", label).await?;
        let events = ["RenewRequested", "SecretDriftRepaired", "TokenIssued", "TokenRequestFailed"];
        tenant.expect_events("crm", &events).await?;
        self.answers(&tenant, answer(&tokens[2], json!(value))).await?;
        tenant.merge_secret("crm", json!({"data": {"url": null}})).await?;
        let replaced = tenant.wait_revision("crm", 3).await?.data.unwrap_or_default();
        ensure!(replaced["old"].0 == tokens[1].as_bytes(), "the token before");
        ensure!(replaced["url"].0 == value.as_bytes(), "the value");
        Ok(())
    }
}
