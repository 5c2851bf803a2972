//! Every wrong proof ends in a condition that says what Keycloak answered and what to change, and what
//! is corrected is tried again at once.
//!
//! **Invariant:** the right value differs from the wrong one in nothing but what is tested.

use std::sync::Arc;

use libtest_mimic::Trial;
use oauthcc_harness::certificates::Certificate;
use oauthcc_harness::keys::{Key, KeyKind};
use serde_json::json;

use crate::credential::{Credential, private_key_jwt, service_account_token, tls_client_auth};
use crate::world::{ACCOUNT, LIFETIME, World};
use crate::{Outcome, Suite};

const PRIVATE_KEY: &str = "spec.clientAuthentication.privateKeyJWT";
const CERTIFICATE: &str = "spec.tls.clientCertificateSecretRef";

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("a_wrong_secret_is_an_invalid_client_and_a_right_one_is_ready", wrong_secret),
        suite.shared("a_wrong_secret_of_an_assertion_says_what_was_answered", wrong_jwt_secret),
        suite.shared("a_wrong_key_names_the_key_and_a_right_one_is_ready", wrong_key),
        suite.shared("an_assertion_for_another_audience_names_its_field", wrong_audience),
        suite.shared("a_certificate_for_another_subject_names_it", wrong_certificate),
        suite.shared("a_certificate_of_an_unknown_authority_names_it", unknown_authority),
        suite.shared("no_certificate_is_an_invalid_client", no_certificate),
        suite.shared("a_scope_that_is_not_registered_names_the_scopes", wrong_scope),
        suite.shared("a_service_account_without_a_client_is_named", other_account),
        suite.shared("a_service_account_token_for_another_audience_is_named", account_audience),
    ]
}

/// Keycloak says `unauthorized_client`, which is another thing by RFC 6749: the status decides.
async fn wrong_secret(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().basic;
    let credential = Credential::new(&world).await?;
    let with = |secret: &str| json!({"client-id": client.id, "client-secret": secret});
    credential.secret("client", with("nearly")).await?;
    credential.apply(json!({"credentialsSecretRef": {"name": "client"}})).await?;
    let field = "spec.credentialsSecretRef";
    credential.refused("InvalidClient", &["HTTP 401", "unauthorized_client", field]).await?;
    credential.secret("client", with(&client.secret)).await?;
    credential.ready().await
}

/// With 400 the code decides, and Keycloak's is the one that RFC 6749 §5.2 has for a grant that the
/// client may not use.
async fn wrong_jwt_secret(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().secret_jwt;
    let credential = Credential::new(&world).await?;
    let with = |secret: &str| json!({ "client-secret": secret });
    credential.secret("client", with(&client.secret.to_uppercase())).await?;
    credential
        .apply(json!({
            "clientID": client.id,
            "credentialsSecretRef": {"name": "client"},
            "clientAuthentication": {"method": "ClientSecretJWT"},
        }))
        .await?;
    credential.refused("UnauthorizedClient", &["HTTP 400", "unauthorized_client"]).await?;
    credential.secret("client", with(&client.secret)).await?;
    credential.ready().await
}

async fn wrong_key(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().es256;
    let credential = Credential::new(&world).await?;
    credential.key(&Key::generate(client.key.kind())?).await?;
    credential.apply(private_key_jwt(client)).await?;
    credential.refused("InvalidClient", &["HTTP 400", "invalid_client", PRIVATE_KEY]).await?;
    credential.key(&client.key).await?;
    credential.ready().await
}

async fn wrong_audience(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().es256;
    let credential = Credential::new(&world).await?;
    credential.key(&client.key).await?;
    let mut spec = private_key_jwt(client);
    spec["clientAuthentication"]["privateKeyJWT"]["audience"] =
        json!("https://elsewhere.example.com");
    credential.apply(spec).await?;
    credential.refused("InvalidClient", &["HTTP 400", "invalid_client", PRIVATE_KEY]).await?;
    credential.apply(private_key_jwt(client)).await?;
    credential.ready().await
}

async fn wrong_certificate(world: Arc<World>) -> Outcome {
    let clients = world.keycloak.clients();
    let credential = Credential::new(&world).await?;
    credential.certificate(&clients.wrong_certificate).await?;
    credential.apply(tls_client_auth(&clients.certificate.id)).await?;
    credential.refused("InvalidClient", &["HTTP 401", "invalid_client", CERTIFICATE]).await?;
    credential.certificate(&clients.certificate.certificate).await?;
    credential.ready().await
}

/// It fails below HTTP: Keycloak breaks the handshake off.
async fn unknown_authority(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().certificate;
    let key = Key::generate(KeyKind::P256)?;
    let stranger = Certificate::self_signed_client("stranger", &key, LIFETIME * 100)?;
    let credential = Credential::new(&world).await?;
    credential.certificate(&stranger).await?;
    credential.apply(tls_client_auth(&client.id)).await?;
    credential.refused("TLSFailed", &[CERTIFICATE]).await?;
    credential.certificate(&client.certificate).await?;
    credential.ready().await
}

async fn no_certificate(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().certificate;
    let credential = Credential::new(&world).await?;
    let none = json!({"clientID": client.id, "clientAuthentication": {"method": "None"}});
    credential.apply(none).await?;
    let field = "spec.clientAuthentication.method";
    credential.refused("InvalidClient", &["HTTP 401", "invalid_client", field]).await?;
    credential.certificate(&client.certificate).await?;
    credential.apply(tls_client_auth(&client.id)).await?;
    credential.ready().await
}

async fn wrong_scope(world: Arc<World>) -> Outcome {
    let client = &world.keycloak.clients().basic;
    let credential = Credential::new(&world).await?;
    let values = json!({"client-id": client.id, "client-secret": client.secret});
    credential.secret("client", values).await?;
    let reference = json!({"name": "client"});
    let wrong = json!({"credentialsSecretRef": reference, "scopes": ["payments.write"]});
    credential.apply(wrong).await?;
    credential.refused("InvalidScope", &["HTTP 400", "invalid_scope", "spec.scopes"]).await?;
    credential.apply(json!({ "credentialsSecretRef": reference })).await?;
    credential.ready().await
}

async fn other_account(world: Arc<World>) -> Outcome {
    let credential = Credential::within(&world, ACCOUNT.0, "of-nobody");
    credential.service_account("nobody").await?;
    credential.apply(service_account_token("nobody", &world.keycloak.issuer())).await?;
    let field = "spec.clientAuthentication.serviceAccountToken";
    credential.refused("InvalidClient", &["HTTP 401", "invalid_client", field]).await.map(drop)
}

async fn account_audience(world: Arc<World>) -> Outcome {
    let credential = Credential::within(&world, ACCOUNT.0, "for-elsewhere");
    credential.service_account(ACCOUNT.1).await?;
    let elsewhere = service_account_token(ACCOUNT.1, "https://elsewhere.example.com");
    credential.apply(elsewhere).await?;
    let field = "spec.clientAuthentication.serviceAccountToken.audience";
    credential.refused("InvalidClient", &["HTTP 400", "invalid_client", field]).await?;
    credential.apply(service_account_token(ACCOUNT.1, &world.keycloak.issuer())).await?;
    credential.ready().await
}
