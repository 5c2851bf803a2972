//! Every way to prove a client brings a token.

use std::sync::Arc;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use oauthcc_harness::keycloak::{KeyClient, SCOPES};
use reqwest::Version;
use serde_json::Value;

use crate::proof::{Request, signed_by_key, signed_by_secret};
use crate::world::World;
use crate::{Outcome, Suite};

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.test("basic_with_an_awkward_secret_brings_a_token", basic),
        suite.test("post_with_an_awkward_secret_brings_a_token", post),
        suite.test("a_scope_that_is_asked_for_is_granted", scope),
        suite.test("client_secret_jwt_brings_a_token", secret_jwt),
        suite.test("private_key_jwt_with_rs256_brings_a_token", rs256),
        suite.test("private_key_jwt_with_es256_brings_a_token", es256),
        suite.test("a_client_certificate_brings_a_token", certificate),
        suite.test("a_service_account_token_brings_a_token_again_and_again", service_account),
        suite.test("http_2_is_negotiated", http_2),
    ]
}

async fn basic(world: Arc<World>) -> Outcome {
    let answer = Request::basic(&world.keycloak.clients().basic).send(&world).await?;
    answer.expect_token(&world).await
}

async fn post(world: Arc<World>) -> Outcome {
    let answer = Request::post(&world.keycloak.clients().post).send(&world).await?;
    answer.expect_token(&world).await
}

async fn scope(world: Arc<World>) -> Outcome {
    let request = Request::basic(&world.keycloak.clients().basic);
    let answer = request.field("scope", SCOPES.join(" ")).send(&world).await?;
    answer.expect_token(&world).await?;
    let granted = answer.body.get("scope").and_then(Value::as_str).unwrap_or_default();
    let mut granted: Vec<_> = granted.split(' ').collect();
    granted.sort_unstable();
    ensure!(granted == SCOPES, "granted is {granted:?}");
    Ok(())
}

async fn secret_jwt(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().secret_jwt;
    let assertion = signed_by_secret(client, &world.keycloak.issuer())?;
    Request::assertion(assertion).send(&world).await?.expect_token(&world).await
}

async fn rs256(world: Arc<World>) -> Outcome {
    key(&world, &world.keycloak.clients().rs256).await
}

async fn es256(world: Arc<World>) -> Outcome {
    key(&world, &world.keycloak.clients().es256).await
}

/// With the issuer as audience and with the token endpoint, each of which servers ask for.
async fn key(world: &World, client: &KeyClient) -> Outcome {
    for audience in [world.keycloak.issuer(), world.keycloak.token_url()] {
        let assertion = signed_by_key(client, &audience)?;
        let request = Request::assertion(assertion).field("client_id", client.id.clone());
        let answer = request.send(world).await?;
        answer.expect_token(world).await.with_context(|| format!("the audience is {audience}"))?;
    }
    Ok(())
}

async fn certificate(world: Arc<World>) -> Outcome {
    let answer = Request::certificate(&world.keycloak.clients().certificate).send(&world).await?;
    answer.expect_token(&world).await
}

/// With one token all the time, as a kubelet would have it; the client's id may be said or not.
async fn service_account(world: Arc<World>) -> Outcome {
    let token = world.account_token(&world.keycloak.issuer()).await?;
    let account = world.keycloak.clients().service_account.as_ref();
    let id = &account.context("the cluster has a client")?.id;
    let bare = || Request::assertion(token.clone());
    for request in [bare(), bare(), bare().field("client_id", id.clone())] {
        request.send(&world).await?.expect_token(&world).await?;
    }
    Ok(())
}

async fn http_2(world: Arc<World>) -> Outcome {
    let answer = Request::basic(&world.keycloak.clients().basic).send(&world).await?;
    ensure!(answer.version == Version::HTTP_2, "the version is {:?}", answer.version);
    Ok(())
}
