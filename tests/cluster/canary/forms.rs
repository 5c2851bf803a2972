//! The token in every form that a consumer may read, and a template that fails with the token alone.
//!
//! **Invariant:** the managed Secret holds all of them, which it may; nothing else does.

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

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
}
