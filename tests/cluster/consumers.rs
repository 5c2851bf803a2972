//! The managed Secret as its consumers read it: real programs with its files as a pod has them, against a
//! server that asks the authorization server about every token. `docs/how-to/consumers.md` has the recipes.
//!
//! **Invariant:** no program is told a token by the test: what it shows comes from the files alone; after a
//! rotation only the new token is shown. A program that is not there is skipped with a line.

mod packages;
mod programs;
mod server;
mod volume;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use libtest_mimic::Trial;
use oauthcc_harness::prometheus::{self, Prometheus};
use oauthcc_harness::wait::wait_for;
use serde_json::{Value, json};

use crate::tenant::{Tenant, token_of};
use crate::tools::yaml_blocks;
use crate::world::World;
use crate::{Outcome, Suite};
use programs::{Consumer, are_there, skipped};
use server::{ResourceServer, Scheme};
use volume::Volume;

const HOUR: Duration = Duration::from_secs(3600);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("consumers_curl_sends_each_token_as_header_and_by_netrc", curl),
        suite.shared("consumers_git_clones_by_netrc_by_helper_and_by_header", git),
        suite.shared("consumers_npm_downloads_with_each_token_of_its_npmrc", packages::npm),
        suite.shared("consumers_pip_downloads_by_netrc_and_by_its_index_url", packages::pip),
        suite.shared("consumers_crane_reads_an_image_with_the_docker_config", packages::crane),
        suite.shared("consumers_prometheus_scrapes_with_each_token_and_no_reload", scrape),
        suite.shared("consumers_parse_json_env_and_templates", parse),
        suite.shared("consumers_get_a_secret_from_every_recipe_of_the_docs", recipes),
        suite.shared("consumers_that_look_for_a_label_find_one_that_was_added", labelled),
    ]
}

/// A credential with its Secret as files, and a server that takes its tokens.
struct Delivery {
    tenant: Tenant,
    server: ResourceServer,
    volume: Volume,
    token: String,
    revision: i64,
    /// For what a program writes.
    scratch: PathBuf,
}

impl Delivery {
    /// The target may name the address of the server.
    async fn of(
        world: &Arc<World>,
        items: &'static [(&'static str, &'static str)],
        target: impl FnOnce(&str) -> Value,
    ) -> anyhow::Result<Self> {
        let tenant = Tenant::with_client_secret(world, HOUR).await?;
        let server = ResourceServer::start(world, &tenant.client_id).await?;
        tenant.apply("crm", json!({"target": target(server.address())})).await?;
        tenant.wait_ready("crm").await?;
        let folder = world.plane.directory().join(format!("consumer-{}", tenant.namespace));
        let scratch = folder.join("scratch");
        std::fs::create_dir_all(&scratch)?;
        let volume = Volume::new(folder.join("volume"), items);
        let mut delivery =
            Self { tenant, server, volume, token: String::new(), revision: 1, scratch };
        delivery.show(&delivery.tenant.secrets().get("crm").await?)?;
        Ok(delivery)
    }

    /// Brings a Secret to the files, as the kubelet does a while after its write.
    fn show(&mut self, secret: &Secret) -> anyhow::Result<()> {
        let token = token_of(secret)?;
        ensure!(token != self.token, "the same token again");
        self.volume.write(secret)?;
        self.token = token;
        Ok(())
    }

    /// A new token, in the Secret and in the files.
    async fn rotate(&mut self) -> anyhow::Result<()> {
        self.revision += 1;
        let reason = self.revision.to_string();
        self.tenant.annotate("crm", "oauthcc.dev/renew-requested-at", &reason).await?;
        let secret = self.tenant.wait_revision("crm", self.revision).await?;
        self.show(&secret)
    }

    /// Runs a program whose home is the scratch directory unless the variables say otherwise.
    async fn run(
        &self,
        variables: &[(&str, &str)],
        program: &str,
        arguments: &[&str],
    ) -> anyhow::Result<String> {
        Consumer { directory: &self.scratch, variables }.run(program, arguments).await
    }

    /// That only the token of the files was shown since the last look, in this way.
    fn expect(&self, scheme: &Scheme) -> anyhow::Result<Vec<String>> {
        self.server.expect(scheme, &self.token)
    }
}

/// `Authorization: Basic` with the user name that formats have by default.
fn oauth2() -> Scheme {
    Scheme::Basic("oauth2".to_owned())
}

async fn curl(world: Arc<World>) -> Outcome {
    if !are_there("curl -H @file and --netrc-file", &["curl"]) {
        return Ok(());
    }
    let mut crm = Delivery::of(&world, &[], |_| {
        json!({"additionalOutputFormats": [
            {"key": "header", "type": "AuthorizationHeader"},
            {"key": ".netrc", "type": "Netrc", "netrc": {"machine": "127.0.0.1"}},
        ]})
    })
    .await?;
    crm.server.put("/orders", "text/plain", "42 orders");
    let url = crm.server.url("/orders");
    let header = format!("@{}", crm.volume.file("header"));
    let netrc = crm.volume.file(".netrc");
    for rotated in [false, true] {
        if rotated {
            crm.rotate().await?;
        }
        for (way, scheme) in
            [(["-H", &header], Scheme::Bearer), (["--netrc-file", &netrc], oauth2())]
        {
            let arguments = [&["-q", "-sS", "--fail", "--max-time", "20"][..], &way, &[&url]];
            let got = crm.run(&[], "curl", &arguments.concat()).await?;
            ensure!(got == "42 orders", "curl {way:?} got {got}");
            ensure!(crm.expect(&scheme)? == ["/orders"], "one request each");
        }
    }
    ensure!(crm.server.refused().is_empty(), "{:?}", crm.server.refused());
    Ok(())
}

async fn git(world: Arc<World>) -> Outcome {
    if !are_there("git by .netrc, credential helper and http.extraHeader", &["git"]) {
        return Ok(());
    }
    let mut crm = Delivery::of(&world, &[], |address| {
        let section = format!("[http \"http://{address}/\"]\n");
        json!({
            "type": "kubernetes.io/basic-auth",
            "additionalOutputFormats": [
                {"key": "password", "type": "BasicAuth"},
                {"key": ".netrc", "type": "Netrc", "netrc": {"machine": "127.0.0.1"}},
            ],
            "template": {"data": {
                "gitconfig": section + "\textraHeader = Authorization: Bearer {{ token }}\n",
            }},
        })
    })
    .await?;
    let home = crm.scratch.display().to_string();
    let volume = crm.volume.path().display().to_string();
    let variables =
        |home| [("HOME", home), ("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_TERMINAL_PROMPT", "0")];
    let make = "git init -q work && cd work && \
        git -c user.name=crm -c user.email=crm@example.com commit -q --allow-empty -m first && \
        git clone -q --bare . ../crm.git && git -C ../crm.git update-server-info";
    crm.run(&variables(&home), "sh", &["-c", make]).await?;
    crm.server.put_all("/crm.git", &crm.scratch.join("crm.git"))?;
    let url = crm.server.url("/crm.git");
    let helper = format!(
        "credential.helper=!f() {{ test \"$1\" = get && echo \"username=$(cat {volume}/username)\" \
         && echo \"password=$(cat {volume}/password)\"; }}; f"
    );
    let include = format!("include.path={volume}/gitconfig");
    let ways: [(&str, &str, &[&str], Scheme); 3] = [
        ("netrc", &volume, &[], oauth2()),
        ("helper", &home, &["-c", &helper], oauth2()),
        ("header", &home, &["-c", &include], Scheme::Bearer),
    ];
    for rotated in [false, true] {
        if rotated {
            crm.rotate().await?;
        }
        for (way, home, options, scheme) in &ways {
            let folder = format!("{way}-{rotated}");
            let arguments = [options, &["clone", "-q", &url, &folder][..]].concat();
            crm.run(&variables(home), "git", &arguments).await.context(*way)?;
            let log = ["-C", &folder, "log", "--format=%s"];
            let log = crm.run(&variables(home), "git", &log).await?;
            ensure!(log == "first\n", "{way}: cloned {log:?}");
            let paths = crm.expect(scheme).with_context(|| format!("{way}, {rotated}"))?;
            ensure!(paths.contains(&"/crm.git/info/refs".to_owned()), "{way}: {paths:?}");
        }
    }
    ensure!(crm.server.refused().is_empty(), "{:?}", crm.server.refused());
    Ok(())
}

async fn scrape(world: Arc<World>) -> Outcome {
    let program = match prometheus::program().await? {
        Ok(program) => program,
        Err(why) => {
            skipped("Prometheus with credentials_file", &why);
            return Ok(());
        }
    };
    let mut crm = Delivery::of(&world, &[], |_| json!({})).await?;
    crm.server.put("/metrics", "text/plain; version=0.0.4", "crm_orders 42\n");
    let configuration = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{
            "job_name": "crm",
            "authorization": {"credentials_file": crm.volume.file("token")},
            "static_configs": [{"targets": [crm.server.address()]}],
        }],
    });
    let prometheus = Prometheus::start(&program, &configuration.to_string()).await?;
    let scraped = async |crm: &Delivery| {
        wait_for("two scrapes with the token of the file", Duration::from_secs(30), async || {
            let taken = crm.server.taken();
            let last: Vec<_> = taken.iter().rev().take(2).collect();
            ensure!(last.len() == 2, "{} scrapes", taken.len());
            ensure!(last.iter().all(|one| one.token == crm.token), "another token");
            ensure!(last.iter().all(|one| one.scheme == Scheme::Bearer), "{:?}", last[0].scheme);
            Ok(())
        })
        .await
    };
    scraped(&crm).await?;
    crm.rotate().await?;
    crm.server.take();
    scraped(&crm).await?;
    // The scrape that was under way when the files changed may show the old token, and no later one.
    let taken = crm.server.take();
    let late = taken.iter().skip(1).filter(|one| one.token != crm.token).count();
    ensure!(late == 0, "{late} of {} scrapes show the old token", taken.len());
    let value = wait_for("the sample", Duration::from_secs(30), async || {
        prometheus.value("crm_orders").await?.context("none yet")
    });
    let value: String = value.await?;
    ensure!(value == "42", "Prometheus has {value}");
    ensure!(crm.server.refused().is_empty(), "{:?}", crm.server.refused());
    Ok(())
}

/// Prints what the files say, read by Node: the expiry twice, once from each member that has it.
const READ_BY_NODE: &str = "
const read = (name) => JSON.parse(require('fs').readFileSync(process.argv[1] + '/' + name));
const { token, tokenType, issuedAt, expiresAt, expiresAtEpoch, revision } = read('token.json');
const settings = read('settings.json');
console.log([token, tokenType, Date.parse(expiresAt) / 1000, expiresAtEpoch,
    Date.parse(issuedAt) < Date.parse(expiresAt), revision, settings.token, settings.validUntil].join(' '));
";
/// The same by Python.
const READ_BY_PYTHON: &str = "
import datetime, json, sys
with open(sys.argv[1] + '/token.json') as one, open(sys.argv[1] + '/settings.json') as two:
    told, settings = json.load(one), json.load(two)
epoch = lambda name: int(datetime.datetime.strptime(told[name], '%Y-%m-%dT%H:%M:%S%z').timestamp())
before = str(epoch('issuedAt') < epoch('expiresAt')).lower()
print(told['token'], told['tokenType'], epoch('expiresAt'), told['expiresAtEpoch'], before,
    told['revision'], settings['token'], settings['validUntil'])
";

async fn parse(world: Arc<World>) -> Outcome {
    let settings = r#"{"token": {{ token | tojson }}, "validUntil": {{ expiresAtEpoch }}}"#;
    let mut crm = Delivery::of(&world, &[], |_| {
        json!({
            "additionalOutputFormats": [
                {"key": "token.json", "type": "JSON"},
                {"key": "token.env", "type": "Env", "env": {"name": "API_TOKEN"}},
            ],
            "template": {"data": {"settings.json": settings}},
        })
    })
    .await?;
    let volume = crm.volume.path().display().to_string();
    let python = are_there("JSON read by Python", &["python3"]);
    for rotated in [false, true] {
        if rotated {
            crm.rotate().await?;
        }
        let token = &crm.token;
        let secret = crm.tenant.secrets().get("crm").await?;
        let expires = secret.annotations().get("oauthcc.dev/expires-at").context("an expiry")?;
        let epoch = expires.parse::<jiff::Timestamp>()?.as_second();
        let expected =
            format!("{token} Bearer {epoch} {epoch} true {} {token} {epoch}\n", crm.revision);
        let got = crm.run(&[], "node", &["-e", READ_BY_NODE, "--", &volume]).await?;
        ensure!(got == expected, "Node reads something else");
        if python {
            let got = crm.run(&[], "python3", &["-c", READ_BY_PYTHON, &volume]).await?;
            ensure!(got == expected, "Python reads something else");
        }
        let sourced = r#"set -eu; . "$1/token.env"; printf %s "$API_TOKEN""#;
        let got = crm.run(&[], "sh", &["-c", sourced, "sh", &volume]).await?;
        ensure!(got == *token, "the shell reads something else");
    }
    Ok(())
}

/// A consumer that finds its Secret by a label that no credential may ask for, such as Argo CD: whoever may
/// label the Secret does it once, and the operator leaves it through rotations and repairs.
async fn labelled(world: Arc<World>) -> Outcome {
    let mut crm = Delivery::of(&world, &[], |_| {
        json!({
            "additionalOutputFormats": [{"key": "password", "type": "BasicAuth"}],
            "template": {"data": {"type": "git", "url": "https://git.example.com/shop"}},
        })
    })
    .await?;
    let label = "argocd.argoproj.io/secret-type=repository";
    let namespace = crm.tenant.namespace.clone();
    world.plane.kubectl(&["label", "secret", "crm", label, "-n", &namespace]).await?;
    crm.rotate().await?;
    crm.tenant.merge_secret("crm", json!({"data": {"url": null}})).await?;
    wait_for("the repair", crate::world::SOON, async || {
        let list = ["get", "secrets", "-l", label, "-n", &namespace, "-o", "json"];
        let list: Value = serde_json::from_str(&world.plane.kubectl(&list).await?)?;
        let found: Secret = serde_json::from_value(list["items"][0].clone())?;
        let data = found.data.clone().unwrap_or_default();
        let text = |key: &str| data.get(key).map(|value| String::from_utf8_lossy(&value.0));
        ensure!(text("url").as_deref() == Some("https://git.example.com/shop"), "the URL");
        ensure!(text("type").as_deref() == Some("git"), "the type");
        ensure!(text("username").as_deref() == Some("oauth2"), "the user name");
        ensure!(text("password").as_deref() == Some(crm.token.as_str()), "the new token");
        Ok(())
    })
    .await
}

/// The credentials of the pages, as they stand but for where and by whom the token is asked for.
async fn recipes(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/how-to");
    let mut targets = Vec::new();
    for page in ["consumers.md", "consumers-in-the-cluster.md", "output-formats.md"] {
        let text = std::fs::read_to_string(folder.join(page))?;
        for (line, block) in yaml_blocks(&text) {
            let object: Value = serde_saphyr::from_str(&block)?;
            if object["kind"] == "OAuthClientCredential" {
                let name = object["metadata"]["name"].as_str().context("a name")?.to_owned();
                let mut target = object["spec"].get("target").cloned().unwrap_or_default();
                let forms = target.pointer_mut("/additionalOutputFormats");
                for form in forms.and_then(Value::as_array_mut).into_iter().flatten() {
                    // The provider of the recipe answers with more than this authorization server does.
                    if let Some(pointer) = form.pointer_mut("/response/pointer") {
                        *pointer = json!("/token_type");
                    }
                }
                tenant.apply(&name, json!({ "target": target })).await?;
                targets.push((format!("{page}:{line}"), name, target));
            }
        }
    }
    ensure!(targets.len() >= 14, "only {} credentials are found", targets.len());
    for (place, name, target) in &targets {
        tenant.wait_ready(name).await.with_context(|| place.clone())?;
        let secret = tenant.secrets().get(name).await?;
        let token = token_of(&secret)?;
        let data = secret.data.unwrap_or_default();
        let templates = target.pointer("/template/data").and_then(Value::as_object);
        for (key, template) in templates.into_iter().flatten() {
            let text = data.get(key).with_context(|| format!("{place}: no key {key}"))?;
            let text = String::from_utf8(text.0.clone())?;
            let template = template.as_str().context("a template is a text")?;
            let left = ["{{", "}}"].iter().any(|mark| text.contains(mark));
            ensure!(!left, "{place}: {key} is not filled in");
            ensure!(text.contains(&token) == template.contains("token"), "{place}: {key}");
        }
        let forms = target.get("additionalOutputFormats").and_then(Value::as_array);
        for key in forms.into_iter().flatten().filter_map(|form| form["key"].as_str()) {
            ensure!(data.contains_key(key), "{place}: no key {key}");
        }
        let kind = target.get("type").and_then(Value::as_str).unwrap_or("Opaque");
        ensure!(secret.type_.as_deref() == Some(kind), "{place}: {:?}", secret.type_);
        if let Some(sds) = data.get("sds.yaml") {
            let sds: Value = serde_saphyr::from_str(std::str::from_utf8(&sds.0)?)?;
            let header = sds.pointer("/resources/0/generic_secret/secret/inline_string");
            ensure!(header == Some(&json!(format!("Bearer {token}"))), "{place}: the header");
        }
    }
    Ok(())
}
