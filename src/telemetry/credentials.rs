//! What the metrics say of the credentials that exist. In: the stores of the watches, at scrape
//! time. Out: one count by readiness, and where it is wanted a few series per credential.
//!
//! **Invariant:** it keeps nothing between two scrapes, so a series vanishes with its object, and no
//! text of a message or of an endpoint becomes a label.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::runtime::reflector::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::domain::crd::{OAuthClientCredential, TokenStatus};
use crate::domain::reason::Reason;

/// The label of a status or reason that is not there, or that another version wrote.
const UNKNOWN: &str = "Unknown";

/// Reads the stores when Prometheus asks, so a series vanishes with its object.
#[derive(Debug)]
pub(super) struct Credentials {
    /// One per watched namespace, or one for all.
    pub(super) stores: Vec<Store<OAuthClientCredential>>,
    /// Whether series may carry the name of a credential.
    pub(super) per_credential: bool,
}

type NameLabels<'a> = [(&'static str, &'a str); 2];

impl Collector for Credentials {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let credentials: Vec<_> = self.stores.iter().flat_map(Store::state).collect();
        count_by_ready(&mut encoder, &credentials)?;
        if !self.per_credential || credentials.is_empty() {
            return Ok(());
        }
        ready_by_name(&mut encoder, &credentials)?;
        let issue = ("oauthcc_token_issue_timestamp_seconds", "When the token was issued");
        time_by_name(&mut encoder, &credentials, issue, |token| &token.issue_time)?;
        let renewal = ("oauthcc_token_renewal_timestamp_seconds", "When the token is renewed");
        time_by_name(&mut encoder, &credentials, renewal, |token| &token.renewal_time)?;
        let expiration = ("oauthcc_token_expiration_timestamp_seconds", "When the token expires");
        time_by_name(&mut encoder, &credentials, expiration, |token| &token.expiration_time)
    }
}

type Snapshot = [Arc<OAuthClientCredential>];

fn count_by_ready(encoder: &mut DescriptorEncoder<'_>, credentials: &Snapshot) -> fmt::Result {
    let help = "Credentials by the status of their condition Ready";
    let mut family =
        encoder.encode_descriptor("oauthcc_credentials", help, None, MetricType::Gauge)?;
    for word in ["True", "False", UNKNOWN] {
        let count = credentials.iter().filter(|credential| ready(credential).0 == word).count();
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        ConstGauge::new(count).encode(family.encode_family(&[("ready", word)])?)?;
    }
    Ok(())
}

fn ready_by_name(encoder: &mut DescriptorEncoder<'_>, credentials: &Snapshot) -> fmt::Result {
    let help = "1 while the credential is Ready, else 0, with the reason of now";
    let kind = MetricType::Gauge;
    let mut family = encoder.encode_descriptor("oauthcc_credential_ready", help, None, kind)?;
    for credential in credentials {
        let (status, reason) = ready(credential);
        let [namespace, name] = names(credential);
        let labels = [namespace, name, ("reason", reason)];
        ConstGauge::new(i64::from(status == "True")).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn time_by_name(
    encoder: &mut DescriptorEncoder<'_>,
    credentials: &Snapshot,
    (name, help): (&str, &str),
    time: fn(&TokenStatus) -> &Time,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for credential in credentials {
        let token = credential.status.as_ref().and_then(|status| status.token.as_ref());
        if let Some(token) = token {
            let seconds = ConstGauge::new(time(token).0.as_second());
            seconds.encode(family.encode_family(&names(credential))?)?;
        }
    }
    Ok(())
}

fn names(credential: &OAuthClientCredential) -> NameLabels<'_> {
    let namespace = credential.metadata.namespace.as_deref().unwrap_or_default();
    let name = credential.metadata.name.as_deref().unwrap_or_default();
    [("namespace", namespace), ("name", name)]
}

/// Status and reason of Ready, in words of the closed lists.
fn ready(credential: &OAuthClientCredential) -> (&'static str, &'static str) {
    let conditions = credential.status.as_ref().map(|status| status.conditions.as_slice());
    let found = conditions.unwrap_or_default().iter().find(|condition| condition.type_ == "Ready");
    let Some(Condition { status, reason, .. }) = found else {
        return (UNKNOWN, UNKNOWN);
    };
    let status = ["True", "False"].into_iter().find(|word| word == status).unwrap_or(UNKNOWN);
    (status, Reason::parse(reason).map_or(UNKNOWN, Reason::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::crd::{OAuthClientCredentialSpec, OAuthClientCredentialStatus};
    use crate::telemetry::Metrics;
    use jiff::Timestamp;
    use kube::runtime::{reflector, watcher};

    fn time(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn credential(name: &str, ready: Option<(&str, &str)>) -> OAuthClientCredential {
        let mut credential = OAuthClientCredential::new(name, OAuthClientCredentialSpec::default());
        credential.metadata.namespace = Some("shop".into());
        credential.status = ready.map(|(status, reason)| OAuthClientCredentialStatus {
            token: Some(TokenStatus {
                issue_time: time(100),
                renewal_time: time(200),
                expiration_time: time(300),
                scopes: Vec::new(),
                revision: 1,
            }),
            conditions: vec![Condition {
                type_: "Ready".into(),
                status: status.into(),
                reason: reason.into(),
                message: "text of a person".into(),
                last_transition_time: time(1),
                observed_generation: None,
            }],
            ..OAuthClientCredentialStatus::default()
        });
        credential
    }

    fn metrics(per_credential: bool) -> (Metrics, reflector::store::Writer<OAuthClientCredential>) {
        let (store, mut writer) = reflector::store();
        let credentials = [
            credential("good", Some(("True", "TokenValid"))),
            credential("bad", Some(("False", "InvalidClient"))),
            credential("odd", Some(("Unknown", "OfAnotherVersion"))),
            credential("new", None),
        ];
        for credential in credentials {
            writer.apply_watcher_event(&watcher::Event::Apply(credential));
        }
        (Metrics::new("1.2.3", vec![store], per_credential), writer)
    }

    #[test]
    fn a_series_shows_what_the_store_holds_and_vanishes_with_its_object() {
        let (metrics, mut writer) = metrics(true);
        let text = metrics.prometheus_text().unwrap();
        for line in [
            "oauthcc_credentials{ready=\"True\"} 1",
            "oauthcc_credentials{ready=\"False\"} 1",
            "oauthcc_credentials{ready=\"Unknown\"} 2",
            "oauthcc_credential_ready{namespace=\"shop\",name=\"good\",reason=\"TokenValid\"} 1",
            "oauthcc_credential_ready{namespace=\"shop\",name=\"bad\",reason=\"InvalidClient\"} 0",
            "oauthcc_credential_ready{namespace=\"shop\",name=\"odd\",reason=\"Unknown\"} 0",
            "oauthcc_token_issue_timestamp_seconds{namespace=\"shop\",name=\"good\"} 100",
            "oauthcc_token_renewal_timestamp_seconds{namespace=\"shop\",name=\"good\"} 200",
            "oauthcc_token_expiration_timestamp_seconds{namespace=\"shop\",name=\"good\"} 300",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("text of a person"));
        let gone = credential("good", None);
        writer.apply_watcher_event(&watcher::Event::Delete(gone));
        assert!(!metrics.prometheus_text().unwrap().contains("\"good\""));
    }

    #[test]
    fn without_per_credential_metrics_no_series_carries_a_name() {
        let (metrics, _writer) = metrics(false);
        let text = metrics.prometheus_text().unwrap();
        assert!(text.contains("oauthcc_credentials{ready=\"True\"} 1"));
        assert!(!text.contains("name="), "{text}");
    }
}
