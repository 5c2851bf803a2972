//! The cluster's own identity as the client: a token of a ServiceAccount, made for one request, and an
//! endpoint that verifies it by the cluster's own keys. No client secret exists.
//!
//! **Invariant:** the operator's rights are those of `charts/install.yaml`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{Patch, PatchParams};
use libtest_mimic::Trial;
use oauthcc_harness::token_verifier::TokenVerifier;
use oauthcc_operator::domain::crd::ALLOWED_TOKEN_HOSTS;
use serde_json::{Value, json};

use crate::tenant::Tenant;
use crate::world::World;
use crate::{Outcome, Suite};

const AUDIENCE: &str = "https://idp.example.com";
const SHORT: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("a_service_account_is_the_client_and_its_token_rotates", rotates),
        suite.shared("a_service_account_that_appears_or_consents_wakes_its_credential", wakes),
        suite.shared("no_token_is_made_for_an_audience_of_the_api_server", api_audience),
    ]
}

struct Workload {
    tenant: Tenant,
    verifier: TokenVerifier,
}

impl Workload {
    async fn new(world: &Arc<World>) -> anyhow::Result<Self> {
        let tenant = Tenant::new(world, HOUR).await?;
        let verifier = TokenVerifier::start(&world.server, &world.plane, AUDIENCE).await?;
        Ok(Self { tenant, verifier })
    }

    async fn apply_account(&self, annotations: Value) -> Outcome {
        let client = self.tenant.world.plane.admin_client();
        let api: Api<ServiceAccount> = Api::namespaced(client, &self.tenant.namespace);
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "crm", "annotations": annotations},
        });
        api.patch("crm", &PatchParams::apply("kubectl").force(), &Patch::Apply(&account)).await?;
        Ok(())
    }

    async fn apply(&self, audience: &str) -> Outcome {
        self.tenant
            .apply(
                "crm",
                json!({
                    "tokenURL": self.verifier.token_url(),
                    "credentialsSecretRef": null,
                    "clientAuthentication": {
                        "method": "ServiceAccountToken",
                        "serviceAccountToken": {"name": "crm", "audience": audience},
                    },
                }),
            )
            .await
    }
}

async fn rotates(world: Arc<World>) -> Outcome {
    let workload = Workload::new(&world).await?;
    let Workload { tenant, verifier } = &workload;
    verifier.register(&tenant.namespace, "crm", SHORT);
    workload.apply_account(json!({ALLOWED_TOKEN_HOSTS: verifier.host()})).await?;
    workload.apply(AUDIENCE).await?;
    tenant.wait_ready("crm").await?;
    let mark = tenant.mark().await?;
    tenant.wait_revision("crm", 2).await?;
    tenant
        .expect_calls(
            mark,
            &[
                ("create serviceaccounts/token", 1),
                ("patch oauthclientcredentials/status", 1),
                ("patch secrets", 1),
            ],
        )
        .await?;
    ensure!(verifier.refusals().is_empty(), "{:?}", verifier.refusals());
    ensure!(verifier.issued().len() == verifier.requests(), "a request got no token");
    let sent = ["grant_type", "client_assertion_type", "client_assertion"];
    for parameters in verifier.parameters() {
        ensure!(parameters == sent, "{parameters:?}");
    }
    tenant.wait_ready("crm").await
}

async fn wakes(world: Arc<World>) -> Outcome {
    let workload = Workload::new(&world).await?;
    let Workload { tenant, verifier } = &workload;
    workload.apply(AUDIENCE).await?;
    let reason = "ServiceAccountTokenRefused";
    let told = tenant.wait_condition("crm", "ResolvedRefs", "False", reason).await?;
    ensure!(told.message.contains("ServiceAccount crm"), "{}", told.message);
    workload.apply_account(json!({})).await?;
    tenant.wait_condition("crm", "ResolvedRefs", "False", "EndpointNotAllowed").await?;
    ensure!(verifier.requests() == 0, "it was asked without consent");
    workload.apply_account(json!({ALLOWED_TOKEN_HOSTS: verifier.host()})).await?;
    // The endpoint does not know the account yet.
    let told = tenant.wait_condition("crm", "Ready", "False", "InvalidClient").await?;
    ensure!(told.message.contains("serviceAccountToken"), "{}", told.message);
    verifier.register(&tenant.namespace, "crm", HOUR);
    tenant.annotate("crm", "oauthcc.dev/renew-requested-at", "registered").await?;
    tenant.wait_ready("crm").await
}

async fn api_audience(world: Arc<World>) -> Outcome {
    let workload = Workload::new(&world).await?;
    let Workload { tenant, verifier } = &workload;
    workload.apply_account(json!({ALLOWED_TOKEN_HOSTS: verifier.host()})).await?;
    for audience in ["https://kubernetes.default.svc", world.plane.url()] {
        workload.apply(audience).await?;
        let reason = "ServiceAccountTokenRefused";
        let told = tenant.wait_condition("crm", "ResolvedRefs", "False", reason).await?;
        ensure!(told.message.contains(audience), "{}", told.message);
    }
    ensure!(verifier.requests() == 0, "a token for the API server left the cluster");
    Ok(())
}
