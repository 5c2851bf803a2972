//! The managed Secret: what it contains, and what its metadata tells about owner, drift and token.
//! In: metadata of a watch, a token. Out: [`TargetMetadata`], [`Record`], [`ManagedSecret`].
//!
//! **Invariant:** ownership needs two proofs (a UID and our Apply entry), and the token is known
//! here only as a [`Redacted`] value on its way into a write.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::Value;

use crate::domain::crd::{self, FIELD_MANAGER};
use crate::domain::output::Shape;
use crate::domain::redacted::Redacted;
use crate::domain::schedule::whole_second;

/// What is kept of the metadata of a Secret at a target name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetMetadata {
    /// UID of the Secret.
    pub uid: String,
    /// Version, compared as a number (KEP-5504).
    pub resource_version: u64,
    /// UID of the controller owner, where there is one.
    pub controller_uid: Option<String>,
    /// The credential that the owner of this Secret hands it over to, by an annotation.
    pub adopt_by: Option<String>,
    /// Our annotations and labels, by name.
    pub marks: BTreeMap<String, String>,
    /// What the Apply entry of our field manager owns, or `None` without such an entry.
    pub applied: Option<AppliedFields>,
}

/// The fields that our Apply entry in `managedFields` owns: what nobody else has changed since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedFields {
    /// Keys of `data`.
    pub data: BTreeSet<String>,
    /// Names of annotations and labels that are ours.
    pub marks: BTreeSet<String>,
    /// Names of the other labels: those of the template.
    pub labels: BTreeSet<String>,
    /// Names of the other annotations: those of the template.
    pub annotations: BTreeSet<String>,
}

/// What the annotations of a managed Secret say about its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When the token was issued, whole seconds.
    pub issued_at: Timestamp,
    /// When it expires, whole seconds.
    pub expires_at: Timestamp,
    /// How many tokens were written, from 1.
    pub revision: i64,
    /// What it was granted for (`v1:<a>:<b>`), or empty where that is lost.
    pub fingerprint: String,
    /// The versions of the inputs that it was granted with, or empty where they are lost.
    pub inputs_version: String,
    /// The key of `data` that it lies under.
    pub token_key: String,
    /// When the server hinted to renew it.
    pub refresh_at: Option<Timestamp>,
}

/// A managed Secret as it is to be written. `Debug` shows no token.
#[derive(Clone, Debug)]
pub struct ManagedSecret {
    /// The token.
    pub token: Redacted<String>,
    /// Its type, as used in an `Authorization` header.
    pub token_type: String,
    /// What the annotations say.
    pub record: Record,
    /// The values of the response that the spec asks for, by their pointers.
    pub response_values: BTreeMap<String, Redacted<String>>,
    /// The token before, where the spec asks for it and there was one.
    pub previous: Option<PreviousToken>,
}

/// What a managed Secret holds, as one read tells it.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its metadata.
    pub target: TargetMetadata,
    /// Its values, as far as they are text.
    pub texts: BTreeMap<String, Redacted<String>>,
}

/// The token that a rotation replaced.
#[derive(Clone, Debug)]
pub struct PreviousToken {
    /// The token.
    pub token: Redacted<String>,
    /// When it expires.
    pub expires_at: Timestamp,
}

impl TargetMetadata {
    /// Reads what matters from the metadata of a Secret, `managedFields` included.
    pub fn read(metadata: &ObjectMeta) -> Self {
        let owners = metadata.owner_references.as_deref().unwrap_or_default();
        let controller = owners.iter().find(|owner| owner.controller == Some(true));
        let annotations = metadata.annotations.iter().flatten();
        let marks = annotations.chain(metadata.labels.iter().flatten());
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: resource_version(metadata),
            controller_uid: controller.map(|owner| owner.uid.clone()),
            adopt_by: metadata.annotations.as_ref().and_then(|all| all.get(crd::ADOPT_BY)).cloned(),
            marks: marks
                .filter(|(name, _)| is_our_mark(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            applied: metadata
                .managed_fields
                .iter()
                .flatten()
                .find(|entry| is_our_apply(entry))
                .map(AppliedFields::read),
        }
    }

    /// The UID of the credential that this Secret says it belongs to, by annotation or owner.
    pub fn claimed_by(&self, uid: &str) -> bool {
        self.marks.get(crd::OWNER_UID).is_some_and(|owner| owner == uid)
            || self.controller_uid.as_deref() == Some(uid)
    }

    /// The two-part test of ownership: it names the credential, and we have applied it.
    pub fn is_owned_by(&self, uid: &str) -> bool {
        self.claimed_by(uid) && self.applied.is_some()
    }

    /// What the annotations say, or `None` where one that is needed is gone, altered or unreadable.
    pub fn record(&self) -> Option<Record> {
        let instant = |name| self.mark(name)?.parse().ok();
        Some(Record {
            issued_at: instant(crd::ISSUED_AT)?,
            expires_at: instant(crd::EXPIRES_AT)?,
            revision: self.mark(crd::REVISION)?.parse().ok().filter(|revision| *revision > 0)?,
            fingerprint: self.mark(crd::REQUEST_FINGERPRINT)?.to_owned(),
            inputs_version: self.mark(crd::INPUTS_VERSION)?.to_owned(),
            token_key: self.mark(crd::TOKEN_KEY)?.to_owned(),
            refresh_at: instant(crd::REFRESH_AT),
        })
    }

    /// What can be told without Memory where some annotations are gone: the rest, with the rules of
    /// behaviour §1 (issued now, revision 1, fingerprint and inputs unknown, the token key of the
    /// spec). `expires_at` is the annotation's, else the one that the data holds.
    pub fn recovered_record(
        &self,
        data_expires_at: Option<Timestamp>,
        token_key: &str,
        now: Timestamp,
    ) -> Option<Record> {
        let instant = |name| self.mark(name)?.parse().ok();
        let text = |name| self.mark(name).unwrap_or_default().to_owned();
        Some(Record {
            issued_at: instant(crd::ISSUED_AT).unwrap_or_else(|| whole_second(now)),
            expires_at: instant(crd::EXPIRES_AT).or(data_expires_at)?,
            revision: self.mark(crd::REVISION).and_then(|text| text.parse().ok()).unwrap_or(1),
            fingerprint: text(crd::REQUEST_FINGERPRINT),
            inputs_version: text(crd::INPUTS_VERSION),
            token_key: self.mark(crd::TOKEN_KEY).unwrap_or(token_key).to_owned(),
            refresh_at: instant(crd::REFRESH_AT),
        })
    }

    /// Whether the bytes under `key` are the ones that we wrote.
    pub fn holds_our(&self, key: &str) -> bool {
        self.applied.as_ref().is_some_and(|applied| applied.data.contains(key))
    }

    /// Whether anything but the token differs from what we would write for `record`.
    pub fn has_drifted(&self, uid: &str, shape: &Shape, record: &Record) -> bool {
        let Some(applied) = &self.applied else { return true };
        let asked_for = shape.has_keys(&applied.data)
            && applied.labels == shape.labels
            && applied.annotations == shape.annotations
            && shape.fits(self.output_version())
            && shape.response_values().as_deref() == self.mark(crd::RESPONSE_VALUES);
        let marks_as_written = labels()
            .into_iter()
            .map(|(name, value)| (name, value.to_owned()))
            .chain(annotations(uid, record))
            .all(|(name, value)| self.mark(name) == Some(value.as_str()));
        let is_controller = self.controller_uid.as_deref() == Some(uid);
        !asked_for || !marks_as_written || is_controller != shape.owner_reference
    }

    /// What the forms and templates were when it was written.
    pub fn output_version(&self) -> Option<&str> {
        self.mark(crd::OUTPUT_VERSION)
    }

    /// Whether a value of the response that is asked for is not there as we wrote it, or is the value of
    /// another pointer: only a grant brings it.
    pub fn lacks_response_values(&self, shape: &Shape) -> bool {
        let written: BTreeMap<String, String> = self
            .mark(crd::RESPONSE_VALUES)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let mut asked = shape.response.iter();
        asked.any(|(key, pointer)| written.get(key) != Some(pointer) || !self.holds_our(key))
    }

    /// One of our marks, but only as long as nobody else has changed it.
    fn mark(&self, name: &str) -> Option<&str> {
        let unaltered = self.applied.as_ref().is_some_and(|applied| applied.marks.contains(name));
        self.marks.get(name).filter(|_| unaltered).map(String::as_str)
    }
}

impl AppliedFields {
    fn read(entry: &ManagedFieldsEntry) -> Self {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        let names = |pointer: &str| -> BTreeSet<String> {
            let members = fields.and_then(|f| f.pointer(pointer)).and_then(Value::as_object);
            let names = members.into_iter().flat_map(|members| members.keys());
            names.filter_map(|name| name.strip_prefix("f:")).map(str::to_owned).collect()
        };
        let ours = |name: &String| is_our_mark(name);
        let (mut marks, annotations): (BTreeSet<_>, _) =
            names("/f:metadata/f:annotations").into_iter().partition(ours);
        let (of_labels, labels): (BTreeSet<_>, _) =
            names("/f:metadata/f:labels").into_iter().partition(ours);
        marks.extend(of_labels);
        Self { data: names("/f:data"), marks, labels, annotations }
    }
}

impl Held {
    /// The text under a key, where it is as we wrote it.
    pub fn ours(&self, key: &str) -> Option<&Redacted<String>> {
        self.texts.get(key).filter(|_| self.target.holds_our(key))
    }

    /// The values of the response, by their pointers; as many as are as we wrote them.
    pub fn response_values(&self, shape: &Shape) -> BTreeMap<String, Redacted<String>> {
        let asked = shape.response.iter();
        asked
            .filter_map(|(key, pointer)| Some((pointer.clone(), self.ours(key)?.clone())))
            .collect()
    }

    /// The token before, where it and its expiry are as we wrote them.
    pub fn previous(&self, (key, expiry_key): &(String, String)) -> Option<PreviousToken> {
        let expires_at = self.ours(expiry_key)?.expose().parse().ok()?;
        Some(PreviousToken { token: self.ours(key)?.clone(), expires_at })
    }

    /// The token before, once `token` is written in the place of the one with this record: that one, or
    /// where it is the same token, the one before that.
    pub fn replaced_by(
        &self,
        token: &Redacted<String>,
        record: &Record,
        keys: &(String, String),
    ) -> Option<PreviousToken> {
        let held = self.ours(&record.token_key)?;
        if held.expose() == token.expose() {
            return self.previous(keys);
        }
        Some(PreviousToken { token: held.clone(), expires_at: record.expires_at })
    }
}

impl ManagedSecret {
    /// The keys of every managed Secret and their values; forms and templates are in `domain/output.rs`.
    pub fn data(&self) -> BTreeMap<String, Redacted<String>> {
        BTreeMap::from([
            (self.record.token_key.clone(), self.token.clone()),
            (crd::EXPIRES_AT_KEY.to_owned(), Redacted::new(self.record.expires_at.to_string())),
            (crd::TOKEN_TYPE_KEY.to_owned(), Redacted::new(self.token_type.clone())),
        ])
    }
}

/// The labels of every managed Secret.
pub fn labels() -> [(&'static str, &'static str); 2] {
    [(crd::MANAGED_LABEL, "true"), (crd::MANAGED_BY_LABEL, FIELD_MANAGER)]
}

/// The annotations of a managed Secret with this record.
pub fn annotations(uid: &str, record: &Record) -> BTreeMap<&'static str, String> {
    let mut annotations = BTreeMap::from([
        (crd::OWNER_UID, uid.to_owned()),
        (crd::ISSUED_AT, record.issued_at.to_string()),
        (crd::EXPIRES_AT, record.expires_at.to_string()),
        (crd::REVISION, record.revision.to_string()),
        (crd::REQUEST_FINGERPRINT, record.fingerprint.clone()),
        (crd::INPUTS_VERSION, record.inputs_version.clone()),
        (crd::TOKEN_KEY, record.token_key.clone()),
    ]);
    if let Some(at) = record.refresh_at {
        annotations.insert(crd::REFRESH_AT, at.to_string());
    }
    annotations
}

/// The version of an object as a number; 0 where it has none.
pub fn resource_version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn is_our_mark(name: &str) -> bool {
    name.starts_with("oauthcc.dev/") || name == crd::MANAGED_BY_LABEL
}

fn is_our_apply(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER)
        && entry.operation.as_deref() == Some("Apply")
        && entry.subresource.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record() -> Record {
        Record {
            issued_at: Timestamp::from_second(1000).unwrap(),
            expires_at: Timestamp::from_second(4600).unwrap(),
            revision: 3,
            fingerprint: "v1:a:b".into(),
            inputs_version: "c".into(),
            token_key: "token".into(),
            refresh_at: None,
        }
    }

    fn shape(token_key: &str) -> Shape {
        Shape::of(&crd::OAuthClientCredentialSpec::default(), token_key)
    }

    fn written() -> TargetMetadata {
        let record = record();
        let mut fields = json!({"f:data": {}, "f:metadata": {"f:annotations": {}, "f:labels": {}}});
        for key in ["token", "expires-at", "token-type"] {
            fields["f:data"][format!("f:{key}")] = json!({});
        }
        for (name, _) in annotations("u", &record) {
            fields["f:metadata"]["f:annotations"][format!("f:{name}")] = json!({});
        }
        for (name, _) in labels() {
            fields["f:metadata"]["f:labels"][format!("f:{name}")] = json!({});
        }
        let annotations: BTreeMap<_, _> = annotations("u", &record);
        let labels: BTreeMap<_, _> = labels().into();
        let metadata = serde_json::from_value(json!({
            "uid": "secret", "resourceVersion": "7",
            "annotations": annotations, "labels": labels,
            "ownerReferences": [{"apiVersion": "oauthcc.dev/v1alpha1", "kind": "OAuthClientCredential",
                "name": "n", "uid": "u", "controller": true}],
            "managedFields": [
                {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:data": {"f:x": {}}}},
                {"manager": "oauthcc-operator", "operation": "Apply", "fieldsV1": fields}],
        }));
        TargetMetadata::read(&metadata.unwrap())
    }

    #[test]
    fn what_we_wrote_reads_back_and_has_not_drifted() {
        let target = written();
        assert_eq!(target.record(), Some(record()));
        assert!(target.is_owned_by("u") && !target.is_owned_by("v"));
        assert!(target.holds_our("token") && !target.holds_our("x"));
        assert!(!target.has_drifted("u", &shape("token"), &record()));
    }

    #[test]
    fn each_change_by_somebody_else_is_drift() {
        type Change = fn(&mut TargetMetadata);
        let cases: [(&str, Change); 6] = [
            ("label gone", |t| drop(t.marks.remove(crd::MANAGED_LABEL))),
            ("annotation gone", |t| drop(t.marks.remove(crd::EXPIRES_AT))),
            ("annotation altered", |t| {
                t.applied.as_mut().unwrap().marks.remove(crd::EXPIRES_AT);
            }),
            ("owner gone", |t| t.controller_uid = None),
            ("expiry altered", |t| {
                t.applied.as_mut().unwrap().data.remove(crd::EXPIRES_AT_KEY);
            }),
            ("a key of an older spec", |t| {
                t.applied.as_mut().unwrap().data.insert("old".into());
            }),
        ];
        for (what, change) in cases {
            let mut target = written();
            change(&mut target);
            assert!(target.has_drifted("u", &shape("token"), &record()), "{what}");
            assert!(target.is_owned_by("u"), "{what}");
        }
        assert!(written().has_drifted("u", &shape("other-key"), &record()));
    }

    #[test]
    fn one_proof_of_ownership_is_not_enough() {
        let mut target = written();
        target.applied = None;
        assert!(!target.is_owned_by("u"), "named, but never applied by us");
        let mut target = written();
        target.marks.clear();
        assert!(target.is_owned_by("u"), "the owner reference is left");
        target.controller_uid = None;
        assert!(!target.is_owned_by("u"), "applied by us, but it names nobody");
    }

    #[test]
    fn lost_annotations_are_recovered_from_the_data() {
        let mut target = written();
        target.marks.clear();
        let now = Timestamp::from_millisecond(2_000_700).unwrap();
        assert_eq!(target.recovered_record(None, "token", now), None);
        let recovered = target.recovered_record(Some(record().expires_at), "token", now).unwrap();
        assert_eq!((recovered.revision, recovered.issued_at.as_millisecond()), (1, 2_000_000));
        assert_eq!((recovered.fingerprint.as_str(), recovered.inputs_version.as_str()), ("", ""));
    }

    fn asking(target: &Value) -> Shape {
        let spec = serde_json::from_value(json!({"tokenURL": "https://a", "target": target}));
        Shape::of(&spec.unwrap(), "token")
    }

    #[test]
    fn a_value_of_another_pointer_or_that_somebody_changed_is_missing() {
        let entry = |key: &str, pointer: &str| {
            let response = json!({ "pointer": pointer });
            json!({"key": key, "type": "Response", "response": response})
        };
        let of = |entries: Value| asking(&json!({ "additionalOutputFormats": entries }));
        let mut target = written();
        target.marks.insert(crd::RESPONSE_VALUES.into(), r#"{"url":"/u","id":"/i"}"#.into());
        let applied = target.applied.as_mut().unwrap();
        applied.marks.insert(crd::RESPONSE_VALUES.into());
        applied.data.extend(["url".to_owned(), "id".to_owned()]);
        let both = of(json!([entry("url", "/u"), entry("id", "/i")]));
        assert!(!target.lacks_response_values(&both));
        assert!(!target.lacks_response_values(&of(json!([entry("id", "/i")]))));
        assert!(!target.lacks_response_values(&of(json!([]))));
        for asked in [entry("url", "/i"), entry("new", "/u"), entry("token", "/u")] {
            assert!(target.lacks_response_values(&of(json!([asked]))), "{asked}");
        }
        for text in ["", "{}", "[]", "no JSON", r#"{"url":7,"id":"/i"}"#] {
            let mut altered = target.clone();
            altered.marks.insert(crd::RESPONSE_VALUES.into(), text.into());
            assert!(altered.lacks_response_values(&both), "{text}");
        }
        let mut gone = target.clone();
        gone.applied.as_mut().unwrap().data.remove("id");
        assert!(gone.lacks_response_values(&both));
        let mut theirs = target.clone();
        theirs.applied.as_mut().unwrap().marks.remove(crd::RESPONSE_VALUES);
        assert!(theirs.lacks_response_values(&both));
        assert!(written().lacks_response_values(&both));
    }

    fn text(value: &str) -> Redacted<String> {
        Redacted::new(value.to_owned())
    }

    /// The Secret after a first rotation: each value is the name of its key.
    fn rotated(without: Option<&str>) -> Held {
        let mut target = written();
        let data = &mut target.applied.as_mut().unwrap().data;
        data.extend(["old".to_owned(), "old-expires-at".to_owned()]);
        if let Some(key) = without {
            data.remove(key);
        }
        let expiry = ("old-expires-at".to_owned(), text("1970-01-01T00:30:00Z"));
        let texts =
            [("token".to_owned(), text("held")), ("old".to_owned(), text("before")), expiry];
        Held { target, texts: texts.into() }
    }

    #[test]
    fn a_rotation_keeps_the_token_that_it_replaces_and_anything_else_the_one_before() {
        let keys = ("old".to_owned(), "old-expires-at".to_owned());
        let kept = |held: &Held, token: &str| {
            let kept = held.replaced_by(&text(token), &record(), &keys);
            kept.map(|kept| (kept.token.expose().clone(), kept.expires_at.as_second()))
        };
        let (of_held, of_before) = (("held".to_owned(), 4600), ("before".to_owned(), 1800));
        assert_eq!(kept(&rotated(None), "new"), Some(of_held.clone()));
        assert_eq!(kept(&rotated(None), "held"), Some(of_before), "the same token again");
        // What somebody changed is not handed on.
        assert_eq!(kept(&rotated(Some("token")), "new"), None);
        for key in ["old", "old-expires-at"] {
            assert_eq!(kept(&rotated(Some(key)), "held"), None, "{key}");
            assert_eq!(kept(&rotated(Some(key)), "new"), Some(of_held.clone()), "{key}");
        }
        let mut unreadable = rotated(None);
        unreadable.texts.insert("old-expires-at".into(), text("soon"));
        assert_eq!(kept(&unreadable, "held"), None);
        let renamed = ("other".to_owned(), "other-expires-at".to_owned());
        assert!(rotated(None).previous(&renamed).is_none());
    }

    #[test]
    fn the_token_before_and_its_expiry_are_there_both_or_drifted() {
        let with = asking(&json!({"previousTokenKey": "old"}));
        let has_drifted =
            |held: &Held, shape: &Shape| held.target.has_drifted("u", shape, &record());
        assert!(!written().has_drifted("u", &with, &record()), "before the first rotation");
        assert!(!has_drifted(&rotated(None), &with));
        for key in ["old", "old-expires-at"] {
            assert!(has_drifted(&rotated(Some(key)), &with), "{key}");
        }
        assert!(has_drifted(&rotated(None), &shape("token")), "nobody asks for it any more");
        assert!(has_drifted(&rotated(None), &asking(&json!({"previousTokenKey": "other"}))));
    }

    #[test]
    fn debug_of_a_managed_secret_shows_no_token() {
        let secret = ManagedSecret {
            token: Redacted::new("s3cr3t".into()),
            token_type: "Bearer".into(),
            record: record(),
            response_values: BTreeMap::from([("url".into(), Redacted::new("s3cr3t".into()))]),
            previous: Some(PreviousToken {
                token: Redacted::new("s3cr3t".into()),
                expires_at: Timestamp::UNIX_EPOCH,
            }),
        };
        assert!(!format!("{secret:?} {:?}", secret.data()).contains("s3cr3t"));
    }
}
