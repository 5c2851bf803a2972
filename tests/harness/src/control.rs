//! Talks to the control interface of the authorization server.
//!
//! **Invariant:** plain HTTP to loopback, JSON both ways; a refused command is an error.

use anyhow::{Context, ensure};
use serde::de::DeserializeOwned;
use serde_json::Value;

#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) client: reqwest::Client,
    pub(crate) url: String,
}

impl Control {
    pub(crate) async fn send(&self, command: &str, argument: &Value) -> anyhow::Result<()> {
        self.ask::<Value>(command, argument).await.map(drop)
    }

    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        command: &str,
        argument: &Value,
    ) -> anyhow::Result<T> {
        let response = self
            .client
            .post(format!("{}/{command}", self.url))
            .body(argument.to_string())
            .send()
            .await
            .with_context(|| format!("failed to send {command} to the authorization server"))?;
        let status = response.status();
        let text = response.text().await.context("failed to read the answer")?;
        ensure!(status.is_success(), "authorization server refused {command}: {text}");
        serde_json::from_str(&text)
            .with_context(|| format!("failed to parse the answer to {command}"))
    }
}
