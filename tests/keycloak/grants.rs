//! Every way to prove a client, each by a credential that becomes Ready and whose token rotates.
//!
//! **Invariant:** each client is registered for one way only, so a token proves that this way was used.

use std::sync::Arc;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use oauthcc_harness::keycloak::{KeyClient, SCOPES};
use serde_json::{Value, json};

use crate::credential::{Credential, private_key_jwt, service_account_token, tls_client_auth};
use crate::world::{ACCOUNT, World};
use crate::{Outcome, Suite};

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("basic_with_odd_characters_gets_a_token_and_rotates", basic),
        suite.shared("post_with_odd_characters_gets_the_scopes_and_rotates", post),
        suite.shared("client_secret_jwt_gets_a_token_and_rotates", secret_jwt),
        suite.shared("private_key_jwt_with_rs256_gets_a_token_and_rotates", rs256),
        suite.shared("private_key_jwt_with_es256_gets_a_token_and_rotates", es256),
        suite.shared("private_key_jwt_by_the_issuer_gets_a_token_and_rotates", issuer),
        suite.shared("tls_client_auth_gets_a_token_and_rotates", certificate),
        suite.shared("tls_client_auth_by_the_issuer_gets_a_token_and_rotates", mtls_alias),
        suite.shared("a_service_account_token_gets_a_token_and_rotates", service_account),
        suite.shared("a_service_account_token_with_a_client_id_does_too", service_account_with_id),
    ]
}

/// The issuer instead of the token endpoint.
fn by_issuer(world: &World, mut spec: Value) -> Value {
    spec["issuer"] = json!(world.keycloak.issuer());
    spec
}

async fn basic(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().basic;
    let credential = Credential::new(&world).await?;
    let values = json!({"client-id": client.id, "client-secret": client.secret});
    credential.secret("client", values).await?;
    credential.apply(json!({"credentialsSecretRef": {"name": "client"}})).await?;
    credential.rotates(&client.id).await.map(drop)
}

async fn post(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().post;
    let credential = Credential::new(&world).await?;
    credential.secret("client", json!({"client-secret": client.secret})).await?;
    credential
        .apply(json!({
            "clientID": client.id,
            "credentialsSecretRef": {"name": "client"},
            "clientAuthentication": {"method": "ClientSecretPost"},
            "scopes": SCOPES,
        }))
        .await?;
    let scope = credential.rotates(&client.id).await?.scope.unwrap_or_default();
    let mut granted: Vec<_> = scope.split(' ').collect();
    granted.sort_unstable();
    ensure!(granted == SCOPES, "granted is {granted:?}");
    Ok(())
}

async fn secret_jwt(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().secret_jwt;
    let credential = Credential::new(&world).await?;
    credential.secret("client", json!({"client-secret": client.secret})).await?;
    credential
        .apply(json!({
            "clientID": client.id,
            "credentialsSecretRef": {"name": "client"},
            "clientAuthentication": {"method": "ClientSecretJWT"},
        }))
        .await?;
    credential.rotates(&client.id).await.map(drop)
}

async fn rs256(world: Arc<World>) -> Outcome {
    key(&world, &world.keycloak.clients().rs256).await
}

async fn es256(world: Arc<World>) -> Outcome {
    key(&world, &world.keycloak.clients().es256).await
}

/// The audience of the assertion is the token endpoint.
async fn key(world: &Arc<World>, client: &KeyClient) -> Outcome {
    let credential = Credential::new(world).await?;
    credential.key(&client.key).await?;
    credential.apply(private_key_jwt(client)).await?;
    credential.rotates(&client.id).await.map(drop)
}

/// The audience of the assertion is the issuer, and the metadata names the token endpoint.
async fn issuer(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().es256;
    let credential = Credential::new(&world).await?;
    credential.key(&client.key).await?;
    credential.apply(by_issuer(&world, private_key_jwt(client))).await?;
    credential.rotates(&client.id).await?;
    let endpoint = credential.endpoint().await?;
    ensure!(endpoint == Some(world.keycloak.token_url()), "asked was {endpoint:?}");
    Ok(())
}

async fn certificate(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().certificate;
    let credential = Credential::new(&world).await?;
    credential.certificate(&client.certificate).await?;
    credential.apply(tls_client_auth(&client.id)).await?;
    credential.rotates(&client.id).await.map(drop)
}

/// Keycloak's metadata names an endpoint for mutual TLS (RFC 8705 §5), here the token endpoint itself.
async fn mtls_alias(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().certificate;
    let credential = Credential::new(&world).await?;
    credential.certificate(&client.certificate).await?;
    credential.apply(by_issuer(&world, tls_client_auth(&client.id))).await?;
    credential.rotates(&client.id).await.map(drop)
}

/// No secret exists: the cluster's own keys prove who asks.
async fn service_account(world: Arc<World>) -> Outcome {
    let spec = service_account_token(ACCOUNT.1, &world.keycloak.issuer());
    account(&world, "orders", spec).await
}

/// The client's id may be said beside the token, though Keycloak finds the client by the token.
async fn service_account_with_id(world: Arc<World>) -> Outcome {
    let mut spec = service_account_token(ACCOUNT.1, &world.keycloak.issuer());
    spec["clientID"] = json!(account_client(&world)?);
    account(&world, "orders-by-id", spec).await
}

async fn account(world: &Arc<World>, name: &str, spec: Value) -> Outcome {
    let credential = Credential::within(world, ACCOUNT.0, name);
    credential.service_account(ACCOUNT.1).await?;
    credential.apply(spec).await?;
    credential.rotates(account_client(world)?).await.map(drop)
}

fn account_client(world: &World) -> anyhow::Result<&str> {
    let client = world.keycloak.clients().service_account.as_ref();
    Ok(&client.context("the cluster has a client")?.id)
}
