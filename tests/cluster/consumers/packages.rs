//! Managers of packages and images: npm, pip, and a client of image registries.
//!
//! **Invariant:** each is told where to ask and where its file is, and nothing else; what is handed out is
//! made here, so no registry of the world is asked.

use std::sync::Arc;

use anyhow::ensure;
use serde_json::json;

use super::programs::{self, are_there};
use super::server::Scheme;
use super::{Delivery, oauth2};
use crate::Outcome;
use crate::world::World;

pub async fn npm(world: Arc<World>) -> Outcome {
    if !are_there("npm with _authToken of .npmrc", &["npm", "tar"]) {
        return Ok(());
    }
    let mut crm = Delivery::of(&world, &[], |address| {
        let npmrc = format!("registry=http://{address}/\n//{address}/:_authToken=");
        json!({"template": {"data": {".npmrc": npmrc + "{{ token }}\n"}}})
    })
    .await?;
    let package = crm.scratch.join("package");
    std::fs::create_dir_all(&package)?;
    let about = json!({"name": "crm-client", "version": "1.0.0"});
    std::fs::write(package.join("package.json"), about.to_string())?;
    crm.run(&[], "tar", &["-czf", "crm.tgz", "package"]).await?;
    let archive = "/crm-client/-/crm-client-1.0.0.tgz";
    crm.server.put(
        archive,
        "application/octet-stream",
        std::fs::read(crm.scratch.join("crm.tgz"))?,
    );
    let mut version = about.clone();
    version["dist"] = json!({"tarball": crm.server.url(archive)});
    let document = json!({
        "name": "crm-client", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version},
    });
    crm.server.put("/crm-client", "application/json", document.to_string());
    let (home, npmrc) = (crm.scratch.display().to_string(), crm.volume.file(".npmrc"));
    for rotated in [false, true] {
        if rotated {
            crm.rotate().await?;
        }
        // A cache of its own each time, so that everything is asked for again.
        let cache = format!("{home}/cache-{rotated}");
        let variables = [
            ("HOME", home.as_str()),
            ("NPM_CONFIG_USERCONFIG", &npmrc),
            ("NPM_CONFIG_CACHE", &cache),
            ("NPM_CONFIG_UPDATE_NOTIFIER", "false"),
        ];
        let packed = crm.run(&variables, "npm", &["pack", "--silent", "crm-client"]).await?;
        ensure!(packed.trim() == "crm-client-1.0.0.tgz", "npm pack printed {packed}");
        // It may ask for the document more than once.
        let mut paths = crm.expect(&Scheme::Bearer)?;
        paths.dedup();
        ensure!(paths == ["/crm-client", archive], "npm asked for {paths:?}");
    }
    ensure!(crm.server.refused().is_empty(), "{:?}", crm.server.refused());
    Ok(())
}

/// Makes a wheel of nothing.
const WHEEL: &str = "
import zipfile
with zipfile.ZipFile('crm_client-1.0-py3-none-any.whl', 'w') as wheel:
    about = 'crm_client-1.0.dist-info/'
    wheel.writestr(about + 'METADATA', 'Metadata-Version: 2.1\\nName: crm-client\\nVersion: 1.0\\n')
    wheel.writestr(about + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(about + 'RECORD', '')
";

pub async fn pip(world: Arc<World>) -> Outcome {
    if !are_there("pip with .netrc and pip.conf", &["python3", "pip3"]) {
        return Ok(());
    }
    let mut crm = Delivery::of(&world, &[], |address| {
        let index = "{{ token | urlencode }}".to_owned() + &format!("@{address}/simple/");
        json!({
            "additionalOutputFormats": [
                {"key": ".netrc", "type": "Netrc", "netrc": {"machine": "127.0.0.1"}},
            ],
            "template": {"data": {
                "pip.conf": format!("[global]\nindex-url = http://oauth2:{index}\n"),
            }},
        })
    })
    .await?;
    let wheel = "crm_client-1.0-py3-none-any.whl";
    crm.run(&[], "python3", &["-c", WHEEL]).await?;
    let archive = format!("/files/{wheel}");
    crm.server.put(&archive, "application/zip", std::fs::read(crm.scratch.join(wheel))?);
    let page = format!("<!DOCTYPE html><a href=\"{archive}\">{wheel}</a>");
    crm.server.put("/simple/crm-client/", "text/html", page);
    let (netrc, conf) = (crm.volume.file(".netrc"), crm.volume.file("pip.conf"));
    let index = crm.server.url("/simple/");
    // The user's own settings for pip are left out as far as each way lets them be.
    let by_netrc = ["--isolated", "--index-url", &index];
    for (way, variable, rotated) in [
        (&by_netrc[..], ("NETRC", &netrc), false),
        (&[], ("PIP_CONFIG_FILE", &conf), false),
        (&by_netrc, ("NETRC", &netrc), true),
        (&[], ("PIP_CONFIG_FILE", &conf), true),
    ] {
        if rotated && crm.revision == 1 {
            crm.rotate().await?;
        }
        let folder = format!("{}-{rotated}", variable.0);
        let usual =
            ["download", "-q", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"];
        let rest = ["-d", &folder, "crm-client"];
        let arguments = [&usual[..], way, &rest].concat();
        crm.run(&[(variable.0, variable.1)], "pip3", &arguments).await?;
        ensure!(crm.scratch.join(&folder).join(wheel).is_file(), "{folder} has no {wheel}");
        let paths = crm.expect(&oauth2())?;
        ensure!(paths == ["/simple/crm-client/", &archive], "pip asked for {paths:?}");
    }
    ensure!(crm.server.refused().is_empty(), "{:?}", crm.server.refused());
    Ok(())
}

pub async fn crane(world: Arc<World>) -> Outcome {
    let program = programs::crane().await?.display().to_string();
    // The file of an `imagePullSecrets` by the name that a client looks for.
    let items = &[(".dockerconfigjson", "config.json")];
    let mut crm = Delivery::of(&world, items, |address| {
        json!({
            "type": "kubernetes.io/dockerconfigjson",
            "additionalOutputFormats": [{
                "key": ".dockerconfigjson", "type": "DockerConfigJSON",
                "dockerConfigJSON": {"registries": ["other.example.com", address]},
            }],
        })
    })
    .await?;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": kind, "layers": []}).to_string();
    crm.server.put("/v2/", "application/json", "{}");
    crm.server.put("/v2/crm/app/manifests/1", kind, manifest.clone());
    let image = format!("{}/crm/app:1", crm.server.address());
    let config = crm.volume.path().display().to_string();
    for rotated in [false, true] {
        if rotated {
            crm.rotate().await?;
        }
        let variables = [("DOCKER_CONFIG", config.as_str())];
        let got = crm.run(&variables, &program, &["manifest", &image]).await?;
        ensure!(got.trim() == manifest, "crane got {got}");
        let paths = crm.expect(&oauth2())?;
        ensure!(paths.contains(&"/v2/crm/app/manifests/1".to_owned()), "crane asked for {paths:?}");
    }
    ensure!(crm.server.refused().is_empty(), "{:?}", crm.server.refused());
    Ok(())
}
