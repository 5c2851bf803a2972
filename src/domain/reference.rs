//! Which objects of the cluster a request uses, and what for. In: a plan. Out: references, in an
//! order that never changes, since digests are made of it.
//!
//! **Invariant:** every object that is read for a request stands here once per key, so that watches,
//! consent, versions and reads go by one list.

use crate::domain::crd::{CaBundleKind, DEFAULT_CA_BUNDLE_KEY, DEFAULT_PRIVATE_KEY, TLS_KEYS};
use crate::domain::plan::RequestPlan;
use crate::domain::reason::Reason;

/// The kinds of objects that a spec can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
    /// A ServiceAccount.
    ServiceAccount,
}

impl ObjectKind {
    /// The kind as Kubernetes writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::ServiceAccount => "ServiceAccount",
        }
    }

    /// The resource as RBAC names it.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::ConfigMap => "configmaps",
            Self::ServiceAccount => "serviceaccounts",
        }
    }
}

/// An object in the credential's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Object {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
}

/// What a value is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// The client secret.
    ClientSecret,
    /// The client ID.
    ClientId,
    /// The private key that signs assertions.
    SigningKey,
    /// The certificate of that key.
    SigningCertificate,
    /// The n-th entry of the plan's parameters.
    Parameter(usize),
    /// The n-th entry of the plan's headers.
    Header(usize),
    /// The chain of the client certificate.
    ClientCertificate,
    /// The private key of the client certificate.
    ClientCertificateKey,
    /// Certificate authorities.
    CaBundle,
    /// A ServiceAccount that a token is asked for.
    ServiceAccount,
}

/// One value that a request uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where it lies.
    pub object: Object,
    /// Under which key; `None` for a ServiceAccount.
    pub key: Option<String>,
    /// What for.
    pub used_as: Use,
}

/// One object and all that is used of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedObject {
    /// The object.
    pub object: Object,
    /// The keys that are read, in the order of the references.
    pub keys: Vec<String>,
    /// What the first of its references is used for.
    pub used_as: Use,
    /// Whether anything of it is sent or signed with, which its owner must consent to (design D2).
    pub needs_consent: bool,
}

impl Use {
    /// The field that names the object.
    pub const fn field(self) -> &'static str {
        match self {
            Self::ClientSecret | Self::ClientId => "spec.credentialsSecretRef",
            Self::SigningKey => "spec.clientAuthentication.privateKeyJWT.keySecretRef",
            Self::SigningCertificate => "spec.clientAuthentication.privateKeyJWT.certificateKey",
            Self::Parameter(_) => "spec.request.parameters",
            Self::Header(_) => "spec.request.headers",
            Self::ClientCertificate | Self::ClientCertificateKey => {
                "spec.tls.clientCertificateSecretRef"
            }
            Self::CaBundle => "spec.tls.caBundleRef",
            Self::ServiceAccount => "spec.clientAuthentication.serviceAccountToken",
        }
    }

    /// The reason where the object does not exist.
    pub const fn absent(self) -> Reason {
        match self {
            Self::ClientSecret
            | Self::ClientId
            | Self::SigningKey
            | Self::SigningCertificate
            | Self::Parameter(_)
            | Self::Header(_) => Reason::CredentialsNotFound,
            Self::ClientCertificate | Self::ClientCertificateKey => Reason::CertificateNotFound,
            Self::CaBundle => Reason::CABundleNotFound,
            Self::ServiceAccount => Reason::ServiceAccountTokenRefused,
        }
    }

    /// The reason where the object lacks the key.
    pub const fn key_missing(self) -> Reason {
        match self {
            Self::ClientSecret
            | Self::ClientId
            | Self::SigningKey
            | Self::SigningCertificate
            | Self::Parameter(_)
            | Self::Header(_) => Reason::CredentialsKeyMissing,
            Self::ClientCertificate
            | Self::ClientCertificateKey
            | Self::CaBundle
            | Self::ServiceAccount => self.absent(),
        }
    }

    /// Whether the value is sent or signed with.
    const fn needs_consent(self) -> bool {
        !matches!(self, Self::CaBundle)
    }
}

/// Every value that a request of this plan uses.
pub fn references(plan: &RequestPlan) -> Vec<Reference> {
    let mut all = Vec::new();
    let mut add = |kind, name: &str, key: Option<&str>, used_as| {
        let object = Object { kind, name: name.to_owned() };
        all.push(Reference { object, key: key.map(str::to_owned), used_as });
    };
    let secret = ObjectKind::Secret;
    if let Some(credentials) = &plan.credentials {
        if plan.method.needs_client_secret() {
            let key = credentials.client_secret_key();
            add(secret, &credentials.name, Some(key), Use::ClientSecret);
        }
        if plan.reads_client_id() {
            add(secret, &credentials.name, Some(credentials.client_id_key()), Use::ClientId);
        }
    }
    if let Some(signing) = &plan.private_key_jwt {
        let named = &signing.key_secret_ref;
        let key = named.key.as_deref().unwrap_or(DEFAULT_PRIVATE_KEY);
        add(secret, &named.name, Some(key), Use::SigningKey);
        if let Some(key) = &signing.certificate_key {
            add(secret, &named.name, Some(key), Use::SigningCertificate);
        }
    }
    for (n, parameter) in plan.parameters.iter().enumerate() {
        if let Some(from) = &parameter.value_from {
            let from = &from.secret_key_ref;
            add(secret, &from.name, Some(&from.key), Use::Parameter(n));
        }
    }
    for (n, header) in plan.headers.iter().enumerate() {
        if let Some(from) = &header.value_from {
            let from = &from.secret_key_ref;
            add(secret, &from.name, Some(&from.key), Use::Header(n));
        }
    }
    if let Some(certificate) = &plan.tls.client_certificate_secret_ref {
        add(secret, &certificate.name, Some(TLS_KEYS.0), Use::ClientCertificate);
        add(secret, &certificate.name, Some(TLS_KEYS.1), Use::ClientCertificateKey);
    }
    if let Some(bundle) = &plan.tls.ca_bundle_ref {
        let kind = match bundle.kind.unwrap_or_default() {
            CaBundleKind::ConfigMap => ObjectKind::ConfigMap,
            CaBundleKind::Secret => secret,
        };
        let key = bundle.key.as_deref().unwrap_or(DEFAULT_CA_BUNDLE_KEY);
        add(kind, &bundle.name, Some(key), Use::CaBundle);
    }
    if let Some(account) = &plan.service_account_token {
        add(ObjectKind::ServiceAccount, &account.name, None, Use::ServiceAccount);
    }
    all
}

/// The objects of the references, each once, in the order in which they are first named.
pub fn used_objects(references: &[Reference]) -> Vec<UsedObject> {
    let mut objects: Vec<UsedObject> = Vec::new();
    for Reference { object, key, used_as } in references {
        let known = objects.iter_mut().find(|used| used.object == *object);
        let Some(used) = known else {
            objects.push(UsedObject {
                object: object.clone(),
                keys: key.iter().cloned().collect(),
                used_as: *used_as,
                needs_consent: used_as.needs_consent(),
            });
            continue;
        };
        used.keys
            .extend(key.iter().filter(|key| !used.keys.contains(key)).cloned().collect::<Vec<_>>());
        used.needs_consent |= used_as.needs_consent();
    }
    objects
}

#[cfg(test)]
mod tests;
