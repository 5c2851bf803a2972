//! The status: what the operator reports.
//!
//! **Invariant:** no secret value and no text of an endpoint's; the managed Secret is the record, and
//! this a copy for people and tools.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What the operator reports. The managed Secret is the record; this is a copy for people and tools.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OAuthClientCredentialStatus {
    /// The generation of the spec that this status speaks of; -1 before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The token endpoint as used, without query.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub endpoint: Option<String>,
    /// The managed Secret (servicebinding.io).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// Names of Secrets that the target was named after before and that could not be deleted yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub left_behind: Vec<String>,
    /// The token in the managed Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenStatus>,
    /// Attempts that failed in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub failed_attempts: Option<i32>,
    /// When the latest attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure_time: Option<Time>,
    /// The inputs of the latest failed attempt, as a digest of versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_failure_inputs: Option<String>,
    /// When the endpoint is asked next; absent while something other than time is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
    /// The value of `oauthcc.dev/renew-requested-at` that was acted on last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_handled_renew_request: Option<String>,
    /// `Ready`, `ResolvedRefs`, `RequestSucceeded` and `SecretSynced`; `Reconciling` and `Stalled` only while they are True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// The managed Secret (servicebinding.io).
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// Name of the managed Secret.
    #[schemars(length(max = 253))]
    pub name: String,
}

/// The token in the managed Secret.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenStatus {
    /// When it was issued: the moment before the request was sent.
    pub issue_time: Time,
    /// When it expires.
    pub expiration_time: Time,
    /// When it is renewed.
    pub renewal_time: Time,
    /// The scopes as granted; absent means as asked (RFC 6749 §5.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub scopes: Vec<String>,
    /// How many tokens were written, this one included.
    pub revision: i64,
}
