//! Every wrong proof is refused, and how.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;
use oauthcc_harness::keycloak::SecretClient;
use rcgen::KeyPair;

use crate::proof::{Request, signed_by_key, signed_by_secret};
use crate::world::World;
use crate::{Outcome, Suite};

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.test("a_wrong_secret_is_unauthorized_client", wrong_secret),
        suite.test("a_secret_sent_the_other_way_is_refused", other_way),
        suite.test("a_scope_that_is_not_registered_is_invalid_scope", unknown_scope),
        suite.test("an_assertion_of_another_key_is_refused", wrong_key),
        suite.test("an_assertion_of_another_algorithm_is_refused", wrong_algorithm),
        suite.test("an_assertion_signed_with_another_secret_is_refused", wrong_jwt_secret),
        suite.test("an_assertion_for_another_audience_is_refused", wrong_audience),
        suite.test("a_used_assertion_is_refused", used_assertion),
        suite.test("no_certificate_and_another_certificate_are_refused", wrong_certificate),
        suite.test("a_service_account_without_a_client_is_refused", other_account),
        suite.test("a_service_account_token_for_another_audience_is_refused", account_audience),
    ]
}

async fn refused(world: &World, request: Request<'_>, status: u16, error: &str) -> Outcome {
    let answer = request.send(world).await?;
    let expected = answer.status == status && answer.error() == error;
    ensure!(expected, "expected {status} {error}, got {answer:?}");
    Ok(())
}

async fn wrong_secret(world: Arc<World>) -> Outcome {
    let clients = world.keycloak.clients();
    let wrong =
        |client: &SecretClient| SecretClient { id: client.id.clone(), secret: "nearly".to_owned() };
    let (basic, post) = (wrong(&clients.basic), wrong(&clients.post));
    refused(&world, Request::basic(&basic), 401, "unauthorized_client").await?;
    refused(&world, Request::post(&post), 401, "unauthorized_client").await
}

async fn other_way(world: Arc<World>) -> Outcome {
    let clients = world.keycloak.clients();
    refused(&world, Request::basic(&clients.post), 401, "unauthorized_client").await?;
    refused(&world, Request::post(&clients.basic), 401, "unauthorized_client").await
}

async fn unknown_scope(world: Arc<World>) -> Outcome {
    let request = Request::basic(&world.keycloak.clients().basic);
    let request = request.field("scope", "payments.write".to_owned());
    refused(&world, request, 400, "invalid_scope").await
}

async fn wrong_key(world: Arc<World>) -> Outcome {
    let mut wrong = world.keycloak.clients().es256.clone();
    wrong.private_key_pem = KeyPair::generate()?.serialize_pem();
    let request = Request::assertion(signed_by_key(&wrong, &world.keycloak.issuer())?);
    refused(&world, request, 400, "invalid_client").await
}

async fn wrong_algorithm(world: Arc<World>) -> Outcome {
    let clients = world.keycloak.clients();
    let mut wrong = clients.es256.clone();
    wrong.id.clone_from(&clients.rs256.id);
    let request = Request::assertion(signed_by_key(&wrong, &world.keycloak.issuer())?);
    refused(&world, request, 400, "invalid_client").await
}

async fn wrong_jwt_secret(world: Arc<World>) -> Outcome {
    let mut wrong = world.keycloak.clients().secret_jwt.clone();
    wrong.secret = wrong.secret.to_uppercase();
    let request = Request::assertion(signed_by_secret(&wrong, &world.keycloak.issuer())?);
    refused(&world, request, 400, "unauthorized_client").await
}

async fn wrong_audience(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().es256;
    let request = Request::assertion(signed_by_key(client, "https://elsewhere.example.com")?);
    refused(&world, request, 400, "invalid_client").await
}

async fn used_assertion(world: Arc<World>) -> Outcome {
    let assertion = signed_by_key(&world.keycloak.clients().es256, &world.keycloak.issuer())?;
    Request::assertion(assertion.clone()).send(&world).await?.expect_token(&world).await?;
    refused(&world, Request::assertion(assertion), 400, "invalid_client").await
}

async fn wrong_certificate(world: Arc<World>) -> Outcome {
    let clients = world.keycloak.clients();
    let request = Request::certificate(&clients.wrong_certificate);
    refused(&world, request, 401, "invalid_client").await?;
    let request = Request::default().field("client_id", clients.certificate.id.clone());
    refused(&world, request, 401, "invalid_client").await
}

async fn other_account(world: Arc<World>) -> Outcome {
    let token = world.token("other", &world.keycloak.issuer()).await?;
    refused(&world, Request::assertion(token), 401, "invalid_client").await
}

async fn account_audience(world: Arc<World>) -> Outcome {
    let token = world.account_token("https://elsewhere.example.com").await?;
    refused(&world, Request::assertion(token), 400, "invalid_client").await
}
