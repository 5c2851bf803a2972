//! One credential to which operations are done, one after the other, each followed by the way back.
//!
//! In: operations. Out: what the API server said, what it cost, and everything that was not as it should be.
//!
//! **Invariant:** what is refused leaves the whole object as it was; what is accepted is settled before
//! the way back begins, and the way back ends in the state before.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use kube::Api;
use kube::ResourceExt;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams, ValidationDirective};
use oauthcc_harness::wait::wait_for;
use oauthcc_operator::domain::crd::OAuthClientCredential;
use oauthcc_operator::domain::reason::Reason;
use serde_json::{Value, json};

use super::bases::{Credential, NAME, digest_of};
use super::operations::{Expected, Operation};
use super::places::edited;
use super::state::{Held, State};
use crate::Outcome;
use crate::tenant::merge;

/// A way there or back may have to wait for the minimum gap between two requests.
const SETTLED: Duration = Duration::from_secs(30);
/// One for the change, one for the way back, and one that is tried again in between.
const MOST_REQUESTS: usize = 3;
/// A token with less is renewed while the change stands.
const SHORT_LIVED: Duration = Duration::from_secs(60);
/// How often a change is sent that met a write of the operator.
const TRIES: usize = 5;

/// What the API server said of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Accepted,
    Refused,
}

/// What was done, and what came of it.
pub struct Done {
    pub operation: Operation,
    pub answer: Answer,
    pub requests: usize,
}

/// What was seen while a change stood.
#[derive(Default)]
struct Stood {
    /// The spec asked for the token where the answer has none.
    found_no_token: bool,
    /// The spec told of a shorter lifetime than the token has.
    is_short_lived: bool,
}

/// What a worker tells in the end.
#[derive(Default)]
pub struct Report {
    pub done: Vec<Done>,
    /// What was not as it should be.
    pub wrong: Vec<String>,
    /// Every token that was seen.
    pub tokens: BTreeSet<String>,
}

impl Credential {
    fn api(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<OAuthClientCredential>(&());
        Api::namespaced_with(self.tenant.client.clone(), &self.tenant.namespace, &resource)
    }

    /// Whether the API server would take a spec.
    pub async fn takes(&self, spec: &Value) -> anyhow::Result<bool> {
        Ok(self.replace(spec, true).await? == Answer::Accepted)
    }

    /// Whether the API server would take a spec in a new object.
    pub async fn would_be(&self, spec: &Value) -> anyhow::Result<bool> {
        let object = json!({
            "apiVersion": "oauthcc.dev/v1alpha1", "kind": "OAuthClientCredential",
            "metadata": {"name": format!("{NAME}-new")}, "spec": spec,
        });
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let answer = self.api().create(&params, &serde_json::from_value(object)?).await;
        Ok(answered(answer)? == Answer::Accepted)
    }

    /// Replaces the spec as an old client would: what the schema does not know is dropped.
    async fn replace(&self, spec: &Value, dry_run: bool) -> anyhow::Result<Answer> {
        let params = PostParams { dry_run, field_manager: Some("kubectl-replace".to_owned()) };
        let api = self.api();
        for _ in 0..TRIES {
            let mut object = api.get(NAME).await?;
            object.data["spec"] = spec.clone();
            match api.replace(NAME, &params, &object).await {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                answer => return answered(answer),
            }
        }
        bail!("{TRIES} tries met a write of the operator")
    }

    async fn do_to(&self, operation: &Operation) -> anyhow::Result<Answer> {
        let spec = edited(&self.spec, &operation.edits);
        if operation.expected != Expected::RefusedIfStrict {
            return self.replace(&spec, false).await;
        }
        let params = PatchParams {
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::default()
        };
        answered(self.api().patch(NAME, &params, &Patch::Merge(json!({"spec": spec}))).await)
    }

    /// Does operations until one leaves the credential in another state than before.
    pub async fn work(&self, operations: Vec<Operation>) -> Report {
        let mut report = Report::default();
        let before = match self.state().await {
            Ok((before, _)) => before,
            Err(error) => {
                report.wrong.push(format!("{:?}: {error:#}", self.base));
                return report;
            }
        };
        for operation in operations {
            let result = self.perform(&operation, &before, &mut report).await;
            if let Err(error) = result {
                let Operation { path, what, .. } = &operation;
                let namespace = &self.tenant.namespace;
                report
                    .wrong
                    .push(format!("{:?} in {namespace}, {path}, {what}: {error:#}", self.base));
                // The next one needs the state before too.
                if let Err(error) = self.go_back(&before).await {
                    report
                        .wrong
                        .push(format!("{:?} in {namespace} is given up: {error:#}", self.base));
                    return report;
                }
            }
        }
        report
    }

    async fn perform(&self, operation: &Operation, before: &State, report: &mut Report) -> Outcome {
        let started = Instant::now();
        let (requests, issued) = (self.requests().await?, self.issued().await?);
        let object = self.api().get(NAME).await?;
        let held = self.held().await?;
        report.tokens.insert(held.token.clone());
        let answer = self.do_to(operation).await?;
        let is_right = match operation.expected {
            Expected::Either => true,
            Expected::Accepted | Expected::Dropped => answer == Answer::Accepted,
            Expected::Refused | Expected::RefusedIfStrict | Expected::OnlyWhenNew => {
                answer == Answer::Refused
            }
        };
        ensure!(is_right, "it is {answer:?}");
        let generation = object.metadata.generation;
        let now = self.api().get(NAME).await?;
        let mut stood = Stood::default();
        // The default of a field may be what was there.
        let same = now.data["spec"] == object.data["spec"];
        if same || answer == Answer::Refused || operation.expected == Expected::Dropped {
            ensure!(written(&now)? == written(&object)?, "the object has changed all the same");
        } else {
            ensure!(now.metadata.generation > generation, "the change is not there");
            stood = self.wait_settled().await?;
            let meanwhile = self.held().await.context("while it stood")?;
            self.is_a_token(&meanwhile).await.context("while it stood")?;
            stood.is_short_lived = meanwhile.lifetime()? < SHORT_LIVED;
            report.tokens.insert(meanwhile.token);
            self.go_back(before).await?;
        }
        let made = self.requests().await? - requests;
        let after = self.held().await?;
        self.is_a_token(&after).await?;
        let given = self.issued().await?;
        ensure!(self.is_alive(&after.token).await? != Some(false), "the token is dead");
        let is_last = given.last() == Some(&digest_of(&after.token));
        if given.len() == issued.len() || stood.found_no_token {
            ensure!(is_last || after.token == held.token, "another token without a grant");
        } else {
            ensure!(is_last, "the token that was granted last is lost");
        }
        // Such a token is renewed as often as the minimum gap of a second lets it.
        let renewals = usize::try_from(started.elapsed().as_secs())?;
        let most = MOST_REQUESTS + if stood.is_short_lived { renewals } else { 0 };
        ensure!(made <= most, "{made} token requests");
        report.tokens.insert(after.token);
        report.done.push(Done { operation: operation.clone(), answer, requests: made });
        Ok(())
    }

    /// What is held was given out by the authorization server, whatever the spec says now.
    async fn is_a_token(&self, held: &Held) -> Outcome {
        let issued = self.issued().await?;
        ensure!(issued.contains(&digest_of(&held.token)), "what is held is no token");
        Ok(())
    }

    async fn go_back(&self, before: &State) -> Outcome {
        let answer = self.replace(&self.spec, false).await?;
        ensure!(answer == Answer::Accepted, "the way back is refused");
        wait_for("the state before", SETTLED, async || {
            let (now, settled) = self.state().await?;
            ensure!(settled, "it is not settled: {:?}", now.status);
            now.same_as(before)
        })
        .await
    }

    /// The status speaks of this spec, in words of the closed list, and no first answer is awaited.
    async fn wait_settled(&self) -> anyhow::Result<Stood> {
        wait_for("the status to settle", SETTLED, async || {
            let credential = self.tenant.get(NAME).await?;
            let generation = credential.metadata.generation;
            let status = credential.status.context("a status")?;
            ensure!(status.observed_generation == generation, "it is of an older generation");
            ensure!(status.conditions.len() >= 4, "{:?}", status.conditions);
            for told in &status.conditions {
                ensure!(told.observed_generation == generation, "{} is older", told.type_);
                ensure!(Reason::parse(&told.reason).is_some(), "{} is no reason", told.reason);
                let waits = told.type_ == "Reconciling" && told.reason == "Issuing";
                ensure!(!waits, "a first answer is awaited");
            }
            let mut told = status.conditions.iter();
            let found_no_token = told.any(|told| told.reason == "MalformedResponse");
            Ok(Stood { found_no_token, is_short_lived: false })
        })
        .await
    }

    /// The managed Secret; there is exactly one.
    async fn held(&self) -> anyhow::Result<Held> {
        let uid = self.tenant.get(NAME).await?.uid().context("a UID")?;
        wait_for("the managed Secret", SETTLED, async || {
            let all = self.tenant.secrets().list(&kube::api::ListParams::default()).await?;
            Held::among(all.items, &uid)
        })
        .await
    }

    /// How things stand, and whether the status speaks of the present spec.
    async fn state(&self) -> anyhow::Result<(State, bool)> {
        let credential = self.tenant.get(NAME).await?;
        let status = credential.status.as_ref();
        let settled = status
            .is_some_and(|status| status.observed_generation == credential.metadata.generation);
        Ok((State::of(&credential, &self.held().await?)?, settled))
    }
}

/// What people write of an object, its generation included; the operator may write status at any time.
fn written(object: &DynamicObject) -> anyhow::Result<Value> {
    let mut written = serde_json::to_value(object)?;
    let metadata = json!({"resourceVersion": null, "managedFields": null});
    merge(&mut written, json!({"status": null, "metadata": metadata}));
    Ok(written)
}

/// What the API server says of a change: an answer of 4xx is a refusal, any other error is none.
fn answered(answer: kube::Result<DynamicObject>) -> anyhow::Result<Answer> {
    match answer {
        Ok(_) => Ok(Answer::Accepted),
        Err(kube::Error::Api(status)) if (400..500).contains(&status.code) => {
            ensure!([400, 422].contains(&status.code), "{status}");
            Ok(Answer::Refused)
        }
        Err(error) => Err(error.into()),
    }
}
