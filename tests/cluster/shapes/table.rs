//! The shapes: what a Secret that is not ours may look like. Data only.
//!
//! In an object these words stand for what is known when it is made: `$UID` for the UID of the
//! credential whose target it is, `$OTHER_UID` for that of a living credential with another target,
//! `$MAP_UID` for that of a living ConfigMap, `$NAMESPACE_UID` for that of the namespace.
//!
//! **Invariant:** no shape has both proofs of ownership (the credential's UID, and an Apply entry of our
//! field manager), and none names its own credential in `oauthcc.dev/adopt-by`: those are not foreign.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::tenant::merge;

/// Our field manager.
const OURS: &str = "oauthcc-operator";
/// A UID that nothing has.
pub const DEAD: &str = "00000000-dead-4000-8000-000000000000";
/// Keeps an object from going.
const HELD: &str = "example.com/held";
/// The most that the data of a Secret may hold.
const MEBIBYTE: usize = 1 << 20;

/// A Secret at the name of a target.
pub struct Shape {
    /// Its name, and that of the credential.
    pub name: &'static str,
    /// How it comes to be.
    pub made: Made,
    /// What is merged into a plain Secret, or into the copy.
    pub object: Value,
    /// What happens to it before anybody looks.
    pub then: Then,
    /// What becomes of it when the credential is deleted.
    pub after: After,
}

/// How an object comes to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// A POST by this field manager, recorded as `Update`.
    Posted(&'static str),
    /// A server-side apply by this field manager.
    Applied(&'static str),
    /// A server-side apply by this field manager, of what is merged; the rest was posted by `kubectl`.
    PostedAndApplied(&'static str),
    /// A POST of what the credential with another target has, by this field manager.
    Copied(&'static str),
    /// The same, and what the copy says of field managers goes along.
    CopiedWithManagers(&'static str),
    /// By another living credential with the same target.
    ByRival,
}

/// What happens to an object before anybody looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Rests,
    /// Somebody deletes it, and a finalizer holds it.
    Deleted,
    /// The garbage collector deletes it, and a finalizer holds it.
    Collected,
    /// The token controller fills it in.
    FilledIn,
    /// Nobody is recorded as having written it.
    Unrecorded,
}

/// What becomes of an object when the credential is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing at all.
    Stays,
    /// Kubernetes deletes it: the credential was its only owner.
    Collected,
    /// Kubernetes deletes it as soon as its finalizer goes.
    Terminating,
    /// Kubernetes takes the credential from its owners: it has another one.
    Disowned,
}

impl Shape {
    fn made(self, made: Made) -> Self {
        Self { made, ..self }
    }

    fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    fn after(self, after: After) -> Self {
        Self { after, ..self }
    }
}

/// All of them.
pub fn shapes() -> Vec<Shape> {
    [data(), types(), managers(), marks(), copies(), hand_overs(), owners(), ends(), rivals()]
        .into_iter()
        .flatten()
        .collect()
}

/// A Secret that somebody made with `kubectl create`, with a change.
fn shape(name: &'static str, object: Value) -> Shape {
    let made = Made::Posted("kubectl-create");
    Shape { name, made, object, then: Then::Rests, after: After::Stays }
}

fn data() -> Vec<Shape> {
    let keys: Map<String, Value> =
        (0..500).map(|number| (format!("key-{number}"), json!("dmFsdWU="))).collect();
    let full = STANDARD.encode(vec![7; MEBIBYTE]);
    let ours = json!({"token": "dGhlaXJz", "expires-at": "bmV2ZXI=", "token-type": "QmVhcmVy"});
    vec![
        shape("plain", json!({})),
        shape("no-data", json!({"data": null})),
        shape("empty-token", json!({"data": {"token": ""}})),
        shape("largest", json!({"data": {"token": full, "unrelated": null}})),
        shape("many-keys", json!({"data": keys})),
        shape("our-keys", json!({"data": ours})),
        shape("no-text", json!({"data": {"token": "/wD+AQ=="}})),
        shape("immutable", json!({"immutable": true})),
        shape("immutable-with-our-marks", {
            let mut object = marked("$UID");
            merge(&mut object, json!({"immutable": true, "data": ours}));
            object
        }),
    ]
}

fn types() -> Vec<Shape> {
    let of = |name, kind: &str, data: Value| shape(name, json!({"type": kind, "data": data}));
    let empty = STANDARD.encode("{}");
    vec![
        of("tls", "kubernetes.io/tls", json!({"tls.crt": "eA==", "tls.key": "eA=="})),
        of("docker-config", "kubernetes.io/dockerconfigjson", json!({".dockerconfigjson": empty})),
        of("old-docker-config", "kubernetes.io/dockercfg", json!({".dockercfg": empty})),
        of("basic-auth", "kubernetes.io/basic-auth", json!({"username": "dQ==", "password": ""})),
        of("ssh-auth", "kubernetes.io/ssh-auth", json!({"ssh-privatekey": "eA=="})),
        of("bootstrap-token", "bootstrap.kubernetes.io/token", json!({"token-id": "YWJjZGVm"})),
        of("release-of-helm", "helm.sh/release.v1", json!({"release": "eA=="})),
        of("custom-type", "example.com/custom", json!({})),
        shape(
            "service-account-token",
            json!({
                "type": "kubernetes.io/service-account-token",
                "metadata": {"annotations": {"kubernetes.io/service-account.name": "default"}},
                "data": null,
            }),
        )
        .then(Then::FilledIn),
    ]
}

fn managers() -> Vec<Shape> {
    let applied = |name, manager, object| shape(name, object).made(Made::Applied(manager));
    let labels = |labels: Value| json!({"metadata": {"labels": labels}});
    let annotations = |annotations: Value| json!({"metadata": {"annotations": annotations}});
    vec![
        applied("applied", "kubectl", json!({})),
        shape(
            "applied-by-the-client",
            annotations(json!({"kubectl.kubernetes.io/last-applied-configuration": "{}"})),
        )
        .made(Made::Posted("kubectl-client-side-apply")),
        applied("applied-by-helm", "helm", {
            let mut object = labels(json!({"app.kubernetes.io/managed-by": "Helm"}));
            merge(&mut object, annotations(json!({"meta.helm.sh/release-name": "shop"})));
            object
        }),
        applied(
            "applied-by-argo-cd",
            "argocd-controller",
            annotations(json!({"argocd.argoproj.io/tracking-id": "shop:/Secret:shop/crm"})),
        ),
        applied(
            "applied-by-flux",
            "kustomize-controller",
            labels(json!({"kustomize.toolkit.fluxcd.io/name": "shop"})),
        ),
        applied(
            "applied-by-external-secrets",
            "externalsecrets.external-secrets.io/crm",
            labels(json!({"reconcile.external-secrets.io/managed": "true"})),
        ),
        shape("posted-by-terraform", json!({})).made(Made::Posted("Terraform")),
        shape("recorded-as-nobodys", json!({})).then(Then::Unrecorded),
        // Our name, and not our entry: an Update, or an Apply that names no credential.
        shape("posted-in-our-name", json!({})).made(Made::Posted(OURS)),
        shape("posted-in-our-name-with-our-marks", marked("$UID")).made(Made::Posted(OURS)),
        applied("applied-in-our-name", OURS, json!({})),
        shape("partly-applied-in-our-name", labels(json!({"oauthcc.dev/managed": "true"})))
            .made(Made::PostedAndApplied(OURS)),
        // Almost our name.
        applied("applied-in-a-longer-name", "oauthcc-operator-2", marked("$UID")),
        applied("applied-in-capitals", "OAUTHCC-OPERATOR", marked("$UID")),
    ]
}

/// All our marks, with this UID as the owner's.
fn marked(uid: &str) -> Value {
    json!({"metadata": {
        "labels": {"oauthcc.dev/managed": "true", "app.kubernetes.io/managed-by": OURS},
        "annotations": {
            "oauthcc.dev/owner-uid": uid,
            "oauthcc.dev/issued-at": "2026-01-01T00:00:00Z",
            "oauthcc.dev/expires-at": "2099-01-01T00:00:00Z",
            "oauthcc.dev/revision": "7",
            "oauthcc.dev/request-fingerprint": "v1:0:0",
            "oauthcc.dev/inputs-version": "0",
            "oauthcc.dev/token-key": "token",
        },
    }})
}

fn marks() -> Vec<Shape> {
    let label = |name, label: &str, value: &str| {
        shape(name, json!({"metadata": {"labels": {label: value}}}))
    };
    let owner = |name, uid: &str| {
        shape(name, json!({"metadata": {"annotations": {"oauthcc.dev/owner-uid": uid}}}))
    };
    vec![
        label("our-label", "oauthcc.dev/managed", "true"),
        label("our-name-as-a-label", "app.kubernetes.io/managed-by", OURS),
        label("owner-as-a-label", "oauthcc.dev/owner-uid", "$UID"),
        owner("our-annotation", "$UID"),
        owner("annotation-of-another", "$OTHER_UID"),
        owner("annotation-of-a-dead-namesake", DEAD),
        owner("annotation-of-nobody", ""),
        owner("annotation-of-no-uid", "our-annotation"),
        shape("our-marks", marked("$UID")),
        shape("our-marks-applied", marked("$UID")).made(Made::Applied("kubectl")),
        shape("marks-of-another-applied-in-our-name", marked("$OTHER_UID"))
            .made(Made::Applied(OURS)),
        shape("marks-of-a-dead-namesake-applied-in-our-name", marked(DEAD))
            .made(Made::Applied(OURS)),
        shape(
            "a-client-secret",
            json!({"metadata": {"annotations": {"oauthcc.dev/allowed-token-hosts": "idp.example.com"}}}),
        ),
    ]
}

/// Copies of another credential's managed Secret, by those who copy Secrets or restore them.
fn copies() -> Vec<Shape> {
    let copy = |name, manager, mark: &str, value: &str| {
        let object = json!({"metadata": {"annotations": {mark: value}}});
        shape(name, object).made(Made::Copied(manager))
    };
    let plain = json!({});
    vec![
        copy(
            "copy-of-reflector",
            "ES.Kubernetes.Reflector",
            "reflector.v1.k8s.emberstack.com/reflects",
            "shop/other",
        ),
        copy(
            "copy-of-replicator",
            "kubernetes-replicator",
            "replicator.v1.mittwald.de/replicated-from-version",
            "1",
        ),
        copy("copy-of-kubed", "kubed", "kubed.appscode.com/origin", "{}"),
        shape(
            "copy-of-kyverno",
            json!({"metadata": {"labels": {"generate.kyverno.io/clone-source": ""}}}),
        )
        .made(Made::Copied("kyverno")),
        shape(
            "restored-by-velero",
            json!({"metadata": {"labels": {"velero.io/restore-name": "monday"}}}),
        )
        .made(Made::Copied("velero-server")),
        shape("copied-by-hand", plain.clone()).made(Made::Copied("kubectl-create")),
        shape("copied-in-our-name", plain.clone()).made(Made::Copied(OURS)),
        shape("copied-with-its-managers", plain).made(Made::CopiedWithManagers("kubectl-create")),
    ]
}

fn hand_overs() -> Vec<Shape> {
    let to = |name, to: &str| {
        shape(name, json!({"metadata": {"annotations": {"oauthcc.dev/adopt-by": to}}}))
    };
    vec![
        to("handed-to-another", "other"),
        to("handed-to-nobody-that-lives", "no-such-credential"),
        to("handed-to-no-name", ""),
        to("handed-to-a-uid", "$UID"),
        to("handed-to-a-path", "shop/handed-to-a-path"),
        to("handed-to-two", "handed-to-two,other"),
        to("handed-to-all", "*"),
        shape(
            "handed-by-a-label",
            json!({"metadata": {"labels": {"oauthcc.dev/adopt-by": "handed-by-a-label"}}}),
        ),
    ]
}

/// One owner reference.
fn owner(kind: &str, name: &str, uid: &str, controller: bool) -> Value {
    let version = match kind {
        "OAuthClientCredential" => "oauthcc.dev/v1alpha1",
        "SealedSecret" => "bitnami.com/v1alpha1",
        _ => "v1",
    };
    json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": controller})
}

fn owned(owners: &[Value]) -> Value {
    json!({"metadata": {"ownerReferences": owners}})
}

fn owners() -> Vec<Shape> {
    let credential = |name, uid, controller| owner("OAuthClientCredential", name, uid, controller);
    let other = |controller| credential("other", "$OTHER_UID", controller);
    let map = |controller| owner("ConfigMap", "map", "$MAP_UID", controller);
    let held = |owners: &[Value]| {
        let mut object = owned(owners);
        merge(&mut object, json!({"metadata": {"finalizers": [HELD]}}));
        object
    };
    let ours = |name, controller| shape(name, owned(&[credential(name, "$UID", controller)]));
    vec![
        shape("owned-by-a-map", owned(&[map(false)])),
        shape("controlled-by-a-map", owned(&[map(true)])),
        shape("owned-by-the-namespace", {
            owned(&[owner("Namespace", "$NAMESPACE", "$NAMESPACE_UID", false)])
        }),
        shape("controlled-by-an-unknown-kind", {
            owned(&[owner("SealedSecret", "crm", DEAD, true)])
        }),
        shape("owned-by-another-credential", owned(&[other(false)])),
        shape("controlled-by-another-credential", owned(&[other(true)])),
        shape("owned-by-another-and-applied-in-our-name", owned(&[other(false)]))
            .made(Made::Applied(OURS)),
        shape("owned-by-two", owned(&[other(false), map(true)])),
        shape("owned-by-a-dead-map", held(&[owner("ConfigMap", "gone", DEAD, true)]))
            .then(Then::Collected),
        shape("owned-by-a-dead-namesake", {
            held(&[credential("owned-by-a-dead-namesake", DEAD, true)])
        })
        .then(Then::Collected),
        // Our owner reference without our Apply entry: what Kubernetes itself collects.
        ours("owned-by-ours", false).after(After::Collected),
        ours("controlled-by-ours", true).after(After::Collected),
        ours("controlled-by-ours-and-applied", true)
            .made(Made::Applied("kubectl"))
            .after(After::Collected),
        shape("controlled-by-ours-with-our-marks", {
            let mut object = marked("$UID");
            let owner = credential("controlled-by-ours-with-our-marks", "$UID", true);
            merge(&mut object, owned(&[owner]));
            object
        })
        .after(After::Collected),
        shape("owned-by-ours-and-a-map", {
            owned(&[credential("owned-by-ours-and-a-map", "$UID", true), map(false)])
        })
        .after(After::Disowned),
        shape("owned-by-ours-and-held", {
            held(&[credential("owned-by-ours-and-held", "$UID", false)])
        })
        .after(After::Terminating),
    ]
}

fn ends() -> Vec<Shape> {
    let held = json!({"metadata": {"finalizers": [HELD]}});
    vec![
        shape("held", held.clone()),
        shape("being-deleted", held.clone()).then(Then::Deleted),
        shape("being-deleted-with-our-marks", {
            let mut object = marked("$UID");
            merge(&mut object, held);
            object
        })
        .then(Then::Deleted),
    ]
}

fn rivals() -> Vec<Shape> {
    vec![
        shape("of-a-rival", json!({})).made(Made::ByRival),
        shape("of-a-rival-labelled", json!({"metadata": {"labels": {"team": "sales"}}}))
            .made(Made::ByRival),
    ]
}
