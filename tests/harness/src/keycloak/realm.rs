//! The realm as Keycloak imports it at its start.
//!
//! **Invariant:** every client may do the client-credentials grant and nothing else.

use anyhow::Context;
use serde_json::{Value, json};

use super::{
    Options,
    clients::{CLUSTER_ALIAS, Clients, SecretClient, secret_registration},
};

/// The realm's name, part of every URL.
pub(super) const NAME: &str = "oauthcc";

/// The scopes that a client gets when it asks for them; any other is answered `invalid_scope`.
pub const SCOPES: [&str; 2] = ["orders.read", "orders.write"];

/// The realm with its clients, and the cluster as an identity provider.
pub(super) fn realm(
    options: &Options,
    clients: &Clients,
    introspector: &SecretClient,
) -> anyhow::Result<Value> {
    let lifetime = options.token_lifetime.as_secs().to_string();
    let mut introspector = secret_registration(introspector, "client_secret_basic");
    // Else Keycloak calls a token inactive for all but its audience.
    set(
        &mut introspector,
        &["attributes", "allow.token.introspection.without.audience.check"],
        "true",
    )?;
    let mut registered = clients.registrations()?;
    registered.push(introspector);
    for client in &mut registered {
        set(client, &["serviceAccountsEnabled"], true)?;
        set(client, &["publicClient"], false)?;
        set(client, &["standardFlowEnabled"], false)?;
        set(client, &["optionalClientScopes"], SCOPES.as_slice())?;
        set(client, &["attributes", "access.token.lifespan"], lifetime.as_str())?;
    }
    let scopes = SCOPES.map(|name| {
        json!({
            "name": name,
            "protocol": "openid-connect",
            "attributes": {"include.in.token.scope": "true"},
        })
    });
    let providers = options.cluster.iter().map(|cluster| {
        json!({
            "alias": CLUSTER_ALIAS,
            "providerId": "kubernetes",
            "enabled": true,
            "config": {"issuer": cluster.issuer},
        })
    });
    Ok(json!({
        "realm": NAME,
        "enabled": true,
        "sslRequired": "all",
        "clientScopes": scopes,
        "clients": registered,
        "identityProviders": providers.collect::<Vec<_>>(),
    }))
}

/// Sets a field of an object, or of an object in it that is there.
fn set(object: &mut Value, path: &[&str], value: impl Into<Value>) -> anyhow::Result<()> {
    let (field, above) = path.split_last().context("a field has a name")?;
    let object = above.iter().try_fold(object, |object, name| object.get_mut(name));
    let fields = object.and_then(Value::as_object_mut).context("a client lacks an object")?;
    fields.insert((*field).to_owned(), value.into());
    Ok(())
}
