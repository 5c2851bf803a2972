//! Proves that a ServiceAccount token of a real control plane is taken where it is meant for, and
//! nowhere else, and that bad certificates of servers are bad.
//!
//! **Invariant:** the operator's crate is not needed.

use std::time::Duration;

use anyhow::{Context, Result};
use oauthcc_harness::{
    authorization_server::AuthorizationServer,
    certificates::Flaw,
    control_plane::{ControlPlane, Options},
    faults::CountingHost,
    token_verifier::TokenVerifier,
};
use serde_json::{Value, json};

const AUDIENCE: &str = "https://tokens.example.com";

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_token_is_taken_for_its_one_audience() -> Result<()> {
    let (cluster, server) =
        tokio::try_join!(ControlPlane::start(Options::default()), AuthorizationServer::start())?;
    let namespace = cluster.namespace("verified").await?;
    for name in ["known", "unknown"] {
        cluster.kubectl(&["create", "serviceaccount", name, "-n", &namespace]).await?;
    }
    let verifier = TokenVerifier::start(&server, &cluster, AUDIENCE).await?;
    verifier.register(&namespace, "known", Duration::from_secs(90));
    let client = client(&server)?;
    let mut expected = Vec::new();
    for (name, audiences, refusal) in [
        ("known", vec![AUDIENCE], None),
        ("known", vec![], Some("InvalidAudience")),
        ("known", vec![AUDIENCE, "https://other.example.com"], Some("more than one audience")),
        ("unknown", vec![AUDIENCE], Some("is not registered")),
    ] {
        let token = cluster.service_account_token(&namespace, name, &audiences).await?;
        let (status, body) = ask(&client, &verifier.token_url(), &token).await?;
        if let Some(refusal) = refusal {
            assert_eq!((status, body), (401, json!({"error": "invalid_client"})), "{name}");
            let told = verifier.refusals().pop().context("no refusal")?;
            assert!(told.contains(refusal), "{told}");
            assert!(!told.contains(&token));
        } else {
            assert_eq!(status, 200, "{body} {:?}", verifier.refusals());
            assert_eq!(body["expires_in"], json!(90));
            assert_eq!(body["token_type"], json!("Bearer"));
        }
        expected.push(vec!["grant_type", "client_assertion_type", "client_assertion"]);
    }
    // What kubectl gives is the same.
    let audience = format!("--audience={AUDIENCE}");
    let token = cluster.kubectl(&["create", "token", "known", "-n", &namespace, &audience]).await?;
    assert_eq!(ask(&client, &verifier.token_url(), token.trim()).await?.0, 200);
    let (other, _) = token.trim().rsplit_once('.').context("no JWT")?;
    assert_eq!(ask(&client, &verifier.token_url(), &format!("{other}.AAAA")).await?.0, 401);

    assert_eq!(verifier.requests(), 6);
    assert_eq!(verifier.parameters()[..4], expected);
    assert_eq!(verifier.issued().len(), 2);
    let url = verifier.token_url();
    drop(verifier);
    assert!(ask(&self::client(&server)?, &url, "").await.is_err(), "it has ended");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flaw_in_a_certificate_keeps_requests_away() -> Result<()> {
    let server = AuthorizationServer::start().await?;
    for (flaw, requests) in [
        (Flaw::None, 1),
        (Flaw::Expired, 0),
        (Flaw::NotYetValid, 0),
        (Flaw::WrongHost, 0),
        (Flaw::SelfSigned, 0),
        (Flaw::UnknownAuthority, 0),
    ] {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let host = CountingHost::start_tls(answer, &server.server_certificate(flaw)?).await?;
        let asked = ask(&client(&server)?, &format!("https://{}/token", host.host()), "").await;
        assert_eq!(asked.is_ok(), requests == 1, "{flaw:?} {asked:?}");
        assert_eq!((host.connections(), host.requests().len()), (1, requests), "{flaw:?}");
    }
    Ok(())
}

fn client(server: &AuthorizationServer) -> Result<reqwest::Client> {
    let authority = reqwest::Certificate::from_pem(server.ca_pem().as_bytes())?;
    Ok(reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build()?)
}

async fn ask(client: &reqwest::Client, url: &str, assertion: &str) -> Result<(u16, Value)> {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair(
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        )
        .append_pair("client_assertion", assertion)
        .finish();
    let request = client.post(url).header("content-type", "application/x-www-form-urlencoded");
    let response = request.body(form).send().await?;
    Ok((response.status().as_u16(), serde_json::from_str(&response.text().await?)?))
}
