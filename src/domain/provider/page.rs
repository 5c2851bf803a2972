//! Writes `docs/providers.md`. In: the catalogue. Out: Markdown, for each row the YAML to paste and what
//! to put into it.
//!
//! **Invariant:** nothing is said of a row that its data does not say, and every YAML block is complete:
//! a test applies it to a real API server.

use std::fmt::Write;

use crate::domain::consent;
use crate::domain::crd::{ALLOWED_TOKEN_HOSTS, OAuthClientCredentialSpec, TLS_KEYS};
use crate::domain::plan::{self, Location, RequestPlan};
use crate::domain::provider::{NamedValue, Row, Verified, all, expand, not_covered};
use crate::domain::reference::{self, ObjectKind, UsedObject};

/// Where the page is committed.
pub const COMMITTED: &str = "docs/providers.md";

const INTRODUCTION: &str = "\
# Providers

<!-- Generated from src/domain/provider/catalogue.yaml: `UPDATE_GOLDEN=1 cargo test --test generated`. -->

`spec.provider` fills in what a service wants of a token request: its URL, the client authentication, and habits of its own.
Every field that you set in the spec yourself wins over the entry.
`kubectl explain occ.spec.provider` shows the two fields, `name` and `parameters`.

A service that is not here needs no entry: set `spec.tokenURL`, and what else it wants, as [README.md](../README.md) shows.

Each section below holds YAML to paste: the Secret that you fill in, with the annotation by which its owner consents to the host of the token endpoint, and the credential.
Replace `replace-me` and the values that look like examples; where a value changes the host, change the annotation too.
The client ID and the client secret of the vendor's console go into the keys `client-id` and `client-secret`.

## How far to trust an entry

Where an entry comes from stands at its end.
What somebody wrote down without looking it up is named as \"from memory\": try it before you rely on it.
For every entry that is so of the words of the vendor's console, of where a value is found there, and of the link to the documentation, which nobody has followed.
The answers that the tests read were written from the description of each service, not recorded.
";

/// The whole page.
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str(
        "\n## All entries\n\n| name | service | kind | comes from |\n|---|---|---|---|\n",
    );
    for row in all() {
        let name = &row.name;
        let anchor = row.object_name();
        let source = source_in_short(row.verified);
        line(
            &mut page,
            format_args!("| [`{name}`](#{anchor}) | {} | {} | {source} |", row.title, row.category),
        );
    }
    page.push_str("\n## Not covered\n\nNaming one of these in `spec.provider` is answered with `ProviderUnknown` and this reason.\n\n");
    page.push_str("| name | why | instead |\n|---|---|---|\n");
    for entry in not_covered() {
        line(&mut page, format_args!("| `{}` | {} | {} |", entry.name, entry.why, entry.instead));
    }
    for row in all() {
        page.push('\n');
        page.push_str(&section(row));
    }
    page
}

/// What there is to say of one row.
pub fn section(row: &Row) -> String {
    let mut text = format!("## {}\n\n{}.\n", row.name, row.title);
    text.push_str(&parameters(row));
    let _ = write!(text, "\n```yaml\n{}```\n\n", snippet(row));
    let commands = commands(row);
    if !commands.is_empty() {
        let _ = write!(text, "What holds a key comes from files:\n\n```sh\n{commands}```\n\n");
    }
    let console = &row.console;
    line(&mut text, format_args!("- Client ID in the console: {}.", console.client_id));
    line(&mut text, format_args!("- Client secret in the console: {}.", console.client_secret));
    line(&mut text, format_args!("- Lifetime of a token: {}", row.lifetime));
    line(&mut text, format_args!("- The entry sets {}.", sets(row).join(", ")));
    for note in &row.notes {
        line(&mut text, format_args!("- {note}"));
    }
    line(&mut text, format_args!("- {}", source(row.verified)));
    if !row.from_memory.is_empty() {
        line(
            &mut text,
            format_args!("- From memory, not verified: {}.", row.from_memory.join("; ")),
        );
    }
    line(&mut text, format_args!("- Documentation of the vendor: <{}>.", row.documentation));
    text
}

/// The manifests to paste: each object that holds something secret, then the credential. Keys and
/// certificates are not among them: their files are no text to fill in, see [`commands`].
pub fn snippet(row: &Row) -> String {
    let spec = row.example_spec();
    let Ok(plan) = plan::plan(&spec) else { return String::new() };
    let host = host(&plan);
    let mut text = String::new();
    for object in used(&plan).iter().filter(|object| !is_made_of_files(object)) {
        text.push_str(&manifest(object, &host));
        text.push_str("---\n");
    }
    let name = row.object_name();
    let _ = write!(
        text,
        "apiVersion: oauthcc.dev/v1alpha1\nkind: OAuthClientCredential\nmetadata:\n  name: {name}\nspec:\n{}",
        spec_yaml(&spec)
    );
    text
}

/// The commands that make the Secrets of keys and certificates; empty where none is needed.
pub fn commands(row: &Row) -> String {
    let Ok(plan) = plan::plan(&row.example_spec()) else { return String::new() };
    let host = host(&plan);
    let made_of_files = used(&plan).into_iter().filter(is_made_of_files);
    made_of_files.fold(String::new(), |mut text, object| {
        let name = object.object.name;
        let (chain, key) = TLS_KEYS;
        let _ = if object.keys.iter().any(|used| used == chain) {
            writeln!(text, "kubectl create secret tls {name} --cert={chain} --key={key}")
        } else {
            writeln!(text, "kubectl create secret generic {name} --from-file={key}")
        };
        let _ = writeln!(text, "kubectl annotate secret {name} {ALLOWED_TOKEN_HOSTS}={host}");
        text
    })
}

fn used(plan: &RequestPlan) -> Vec<UsedObject> {
    reference::used_objects(&reference::references(plan))
}

fn is_made_of_files(object: &UsedObject) -> bool {
    object.keys.iter().any(|key| key == TLS_KEYS.0 || key == TLS_KEYS.1)
}

/// The host that the owner of a Secret consents to.
fn host(plan: &RequestPlan) -> String {
    let (Location::TokenUrl(url) | Location::Issuer(url)) = &plan.location;
    consent::token_endpoint(url, false)
        .map(|endpoint| endpoint.host.to_string())
        .unwrap_or_default()
}

fn manifest(object: &UsedObject, host: &str) -> String {
    let mut keys = object.keys.clone();
    keys.sort();
    let secret = object.object.kind == ObjectKind::Secret;
    let mut text = format!(
        "apiVersion: v1\nkind: {}\nmetadata:\n  name: {}\n",
        object.object.kind.as_str(),
        object.object.name
    );
    if object.needs_consent {
        let _ = write!(text, "  annotations:\n    {ALLOWED_TOKEN_HOSTS}: {host}\n");
    }
    if secret {
        text.push_str("type: Opaque\nstringData:\n");
        for key in keys {
            let _ = writeln!(text, "  {key}: replace-me");
        }
    }
    text
}

/// The spec, two spaces in, without the one field that is written although it has its default.
fn spec_yaml(spec: &OAuthClientCredentialSpec) -> String {
    let written = serde_saphyr::to_string(spec).unwrap_or_default();
    let lines = written.lines().filter(|line| *line != "suspend: false" && *line != "---");
    lines.fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "  {line}");
        text
    })
}

/// The table of the named values.
fn parameters(row: &Row) -> String {
    if row.parameters.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n| value | what it is | where it is found | accepted | without it |\n|---|---|---|---|---|\n",
    );
    for named in &row.parameters {
        let NamedValue { name, description, found_at, .. } = named;
        let form = expand::form(row, named);
        let form = if named.values.is_empty() { form } else { format!("one of {form}") };
        let without = match &named.default {
            Some(default) => format!("`{default}`"),
            None if named.optional => "not sent".to_owned(),
            None => "required".to_owned(),
        };
        line(
            &mut text,
            format_args!("| `{name}` | {description} | {found_at} | {form} | {without} |"),
        );
    }
    text
}

/// What the entry stands in for, as fields of the spec, then its habits.
fn sets(row: &Row) -> Vec<String> {
    let request = &row.request;
    let quoted = |texts: &[String]| texts.join("`, `");
    let mut sets = Vec::new();
    let mut add = |name: &str, value: &str| sets.push(format!("{name} `{value}`"));
    if let Some(url) = &row.token_url {
        add("`tokenURL`", url);
    }
    add("the method", row.method.as_str());
    if let Some(encoding) = row.encoding {
        add("the encoding", &format!("{encoding:?}"));
    }
    match request.grant_type.as_deref() {
        Some("") => sets.push("no grant type".to_owned()),
        Some(grant) => add("the grant type", grant),
        None => {}
    }
    let mut add = |name: &str, value: &str| sets.push(format!("{name} `{value}`"));
    if let Some(format) = request.body_format {
        let format = serde_json::to_value(format).unwrap_or_default();
        add("the body format", format.as_str().unwrap_or_default());
    }
    if let Some(separator) = &request.scope_separator {
        add("the scope separator", separator);
    }
    if !request.scopes.is_empty() {
        add("the scopes", &quoted(&request.scopes));
    }
    if let Some(audience) = &request.audience {
        add("the audience", audience);
    }
    if !request.resource_indicators.is_empty() {
        add("the resource indicators", &quoted(&request.resource_indicators));
    }
    for parameter in &request.parameters {
        add("the parameter", &format!("{}={}", parameter.name, parameter.value));
    }
    for header in &request.headers {
        add("the header", &format!("{}: {}", header.name, header.value));
    }
    sets.extend(answers(row));
    sets.extend(habits(row));
    sets
}

/// What the entry says of the answer.
fn answers(row: &Row) -> Vec<String> {
    let response = &row.response;
    let pointers = [
        ("the token pointer", response.token_pointer.clone()),
        ("the lifetime pointer", response.expires_in_pointer.clone()),
        ("the unit of the lifetime", response.expires_in_unit.map(|unit| format!("{unit:?}"))),
    ];
    let set = pointers.into_iter().filter_map(|(name, value)| Some((name, value?)));
    set.map(|(name, value)| format!("{name} `{value}`")).collect()
}

/// What no field of the resource can say.
fn habits(row: &Row) -> Vec<String> {
    let habits = &row.habits;
    let said = [
        (
            habits.basic_scheme != "Basic",
            format!("the word `{}` instead of `Basic`", habits.basic_scheme),
        ),
        (habits.double_base64, "base64 of ID and of secret before they are joined".to_owned()),
        (
            habits.client_id_name != "client_id",
            format!("the names `{}` and `{}`", habits.client_id_name, habits.client_secret_name),
        ),
        (habits.get, "the HTTP method `GET`".to_owned()),
        (habits.secret_in_query, "the secret in the query".to_owned()),
    ];
    said.into_iter().filter(|(set, _)| *set).map(|(_, text)| text).collect()
}

const fn source(verified: Verified) -> &'static str {
    match verified {
        Verified::Documentation => "Comes from the vendor's documentation.",
        Verified::Source => "Comes from the source code of the server or of a client.",
        Verified::Measured => "Comes from a running server.",
        Verified::Integration => {
            "Comes from a catalogue of integrations that runs in production, not from the vendor."
        }
        Verified::Memory => "**From memory, not verified**: try it before you rely on it.",
    }
}

const fn source_in_short(verified: Verified) -> &'static str {
    match verified {
        Verified::Documentation => "documentation",
        Verified::Source => "source code",
        Verified::Measured => "a running server",
        Verified::Integration => "an integration",
        Verified::Memory => "**memory**",
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a `String` can't fail.
    let _ = text.write_fmt(arguments);
    text.push('\n');
}
