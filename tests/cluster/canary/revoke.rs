//! Tokens on their way to a revocation endpoint, which takes them, or refuses them and repeats what it knows.
//!
//! **Invariant:** what is looked for is the very token that was sent, and it was sent.

use std::time::Duration;

use anyhow::ensure;
use oauthcc_harness::certificates::Flaw;
use oauthcc_harness::faults::CountingHost;
use oauthcc_harness::wait::wait_for;
use oauthcc_operator::domain::crd::ALLOWED_TOKEN_HOSTS;
use serde_json::json;

use super::{Canary, add};
use crate::Outcome;
use crate::tenant::{CLIENT_SECRET, Tenant};
use crate::world::SOON;

const HOUR: Duration = Duration::from_secs(3600);

impl Canary {
    pub(super) async fn revocations(&self) -> Outcome {
        let tenant = self.tenant("the client secret that revokes", HOUR).await?;
        let answer = format!(
            "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n\
             {{\"error\":\"{secret}\",\"error_description\":\"{secret}\"}}",
            secret = tenant.client_secret
        );
        add(&self.rightly, &answer);
        let certificate = self.world.server.server_certificate(Flaw::None)?;
        let echo = CountingHost::start_tls(&answer, &certificate).await?;
        let hosts = format!("{},{}", self.world.server.host(), echo.host());
        let consent = json!({"metadata": {"annotations": {ALLOWED_TOKEN_HOSTS: hosts}}});
        tenant.merge_secret(CLIENT_SECRET, consent).await?;
        let real = format!("https://{}/token/revocation", self.world.server.host());
        let refused = format!("https://{}/revoke", echo.host());
        for (name, url, event) in
            [("taken", real, "TokenRevoked"), ("refused", refused, "RevocationFailed")]
        {
            let revocation = json!({"revocation": {"onDelete": true, "url": url}});
            self.apply(&tenant, name, revocation).await?;
            tenant.wait_ready(name).await?;
            let token = tenant.token(name).await?;
            tenant.delete(name).await?;
            told(&tenant, name, event).await?;
            let sent = echo.requests().iter().any(|request| {
                let text = String::from_utf8_lossy(request);
                text.contains(&format!("token={token}"))
            });
            ensure!(sent == (name == "refused"), "{name}: sent to the echo: {sent}");
        }
        Ok(())
    }
}

async fn told(tenant: &Tenant, name: &str, event: &str) -> Outcome {
    let what = format!("{event} on {}/{name}", tenant.namespace);
    wait_for(&what, SOON, async || {
        let reasons = tenant.event_reasons(name).await?;
        ensure!(reasons.iter().any(|reason| reason == event), "{reasons:?}");
        anyhow::Ok(())
    })
    .await
}
