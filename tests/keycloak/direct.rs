//! Proves with plain requests what makes a token of this Keycloak a proof: it takes each client in one
//! way, by one algorithm, and no assertion twice.
//!
//! **Invariant:** the operator has no part in it.

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use libtest_mimic::Trial;

use crate::request::{Request, signed};
use crate::world::World;
use crate::{Outcome, Suite};

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("keycloak_refuses_a_secret_that_is_sent_the_other_way", other_way),
        suite.shared("keycloak_refuses_an_assertion_of_another_algorithm", other_algorithm),
        suite.shared("keycloak_refuses_an_assertion_that_was_used", used_assertion),
    ]
}

async fn other_way(world: Arc<World>) -> Outcome {
    let clients = world.keycloak.clients();
    let refused = Some("unauthorized_client");
    Request::basic(&clients.post).answered(&world, 401, refused).await?;
    Request::post(&clients.basic).answered(&world, 401, refused).await
}

/// By the right key all the same.
async fn other_algorithm(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().rs256;
    let assertion = signed(client, Algorithm::PS256, &world.keycloak.issuer())?;
    Request::assertion(assertion).answered(&world, 400, Some("invalid_client")).await
}

/// So each rotation of the operator proves a new `jti`.
async fn used_assertion(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().es256;
    let assertion = signed(client, Algorithm::ES256, &world.keycloak.issuer())?;
    Request::assertion(assertion.clone()).answered(&world, 200, None).await?;
    Request::assertion(assertion).answered(&world, 400, Some("invalid_client")).await
}
