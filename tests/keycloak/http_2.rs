//! The version of HTTP that the operator speaks, as Keycloak's access log tells it.
//!
//! **Invariant:** the log is believed only because it also tells of a request by HTTP/1.1.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;
use oauthcc_harness::keycloak::LoggedRequest;
use oauthcc_harness::wait::wait_for;
use reqwest::{Certificate, Client};
use serde_json::json;

use crate::credential::Credential;
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const CONTROL: &str = "speaks-http-1";

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![suite.shared("the_operator_speaks_http_2_for_metadata_and_tokens", http_2)]
}

/// What the operator has asked Keycloak so far.
pub fn operator_requests(world: &World) -> anyhow::Result<Vec<LoggedRequest>> {
    let mut requests = world.keycloak.requests()?;
    requests.retain(|request| request.user_agent.starts_with("oauthcc-operator/"));
    Ok(requests)
}

async fn http_2(world: Arc<World>) -> Outcome {
    let metadata = format!("{}/.well-known/openid-configuration", world.keycloak.issuer());
    let authority = Certificate::from_pem(world.keycloak.ca_pem().as_bytes())?;
    let control = Client::builder().no_proxy().tls_certs_only([authority]).http1_only();
    let control = control.user_agent(CONTROL).timeout(SOON).build()?;
    control.get(&metadata).send().await?.error_for_status()?;
    wait_for("the request by HTTP/1.1 in the access log", SOON, async || {
        let requests = world.keycloak.requests()?;
        let found = requests.iter().find(|request| request.user_agent == CONTROL);
        ensure!(found.is_some_and(|request| request.protocol == "HTTP/1.1"), "{found:?}");
        anyhow::Ok(())
    })
    .await?;
    let client = &world.keycloak.clients().basic;
    let credential = Credential::new(&world).await?;
    let values = json!({"client-id": client.id, "client-secret": client.secret});
    credential.secret("client", values).await?;
    credential
        .apply(json!({
            "issuer": world.keycloak.issuer(),
            "credentialsSecretRef": {"name": "client"},
        }))
        .await?;
    credential.rotates(&client.id).await?;
    wait_for("both requests of the operator in the access log", SOON, async || {
        let requests = operator_requests(&world)?;
        for (method, end) in [("GET", "/openid-configuration"), ("POST", "/token")] {
            let answered = requests.iter().any(|request| {
                request.method == method && request.path.ends_with(end) && request.status == 200
            });
            ensure!(answered, "no {method} {end} among {requests:?}");
        }
        let other = requests.iter().find(|request| request.protocol != "HTTP/2");
        ensure!(other.is_none(), "the operator sent {other:?}");
        anyhow::Ok(())
    })
    .await
}
