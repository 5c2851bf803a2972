//! Starts every component once and uses each handle, so that a failure of the harness is not
//! looked for in the operator.
//!
//! **Invariant:** the operator's crate is not needed; a shell script stands for its process.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::{
    Api, Client, Config,
    api::{ListParams, ObjectMeta, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use oauthcc_harness::{
    audit::CallFilter,
    authorization_server::{self, AuthMethod, AuthorizationServer, Failure},
    control_plane::{ControlPlane, Options},
    faults::{CountingHost, SilentHost, closed_port},
    operator::{Operator, OperatorOptions},
    wait::wait_for,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn control_plane_serves_accounts_counts_their_calls_and_can_fail() -> Result<()> {
    let cluster = ControlPlane::start(Options::default()).await?;
    let directory = cluster.directory().to_owned();
    let namespace = cluster.namespace("smoke").await?;
    assert_ne!(namespace, cluster.namespace("smoke").await?);

    calls_of_an_account_are_counted_once(&cluster, &namespace).await?;
    let listed = cluster.kubectl(&["get", "namespace", &namespace, "-o", "name"]).await?;
    assert_eq!(listed, format!("namespace/{namespace}\n"));
    let manifest = format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: made, namespace: {namespace}}}}}"
    );
    cluster.kubectl_with_stdin(&["apply", "-f", "-"], &manifest).await?;
    assert!(cluster.kubectl(&["get", "nothing"]).await.is_err());
    a_quota_is_enforced(&cluster, &namespace).await?;

    cluster.stop_api_server()?;
    let admin = cluster.admin_client();
    let silent = tokio::time::timeout(Duration::from_millis(300), admin.apiserver_version());
    assert!(silent.await.is_err(), "a halted server must not answer");
    cluster.continue_api_server().await?;
    cluster.kill_api_server();
    assert!(admin.apiserver_version().await.is_err());
    cluster.restart_api_server().await?;
    cluster.kubectl(&["get", "configmap", "made", "-n", &namespace]).await?;
    cluster.audit().mark().await?;

    drop(cluster);
    assert!(!directory.exists(), "{} must be removed", directory.display());
    Ok(())
}

async fn calls_of_an_account_are_counted_once(cluster: &ControlPlane, at: &str) -> Result<()> {
    let account = ServiceAccount {
        metadata: ObjectMeta { name: Some("caller".into()), ..ObjectMeta::default() },
        ..ServiceAccount::default()
    };
    Api::<ServiceAccount>::namespaced(cluster.admin_client(), at)
        .create(&PostParams::default(), &account)
        .await?;
    let kubeconfig = cluster.kubeconfig_for_service_account(at, "caller").await?;
    let config = Config::from_custom_kubeconfig(
        Kubeconfig::read_from(kubeconfig)?,
        &KubeConfigOptions::default(),
    )
    .await?;
    let secrets = Api::<Secret>::namespaced(Client::try_from(config)?, at);

    let audit = cluster.audit();
    let mark = audit.mark().await?;
    assert!(secrets.list(&ListParams::default()).await.is_err(), "it has no role");
    assert!(secrets.get("one").await.is_err());
    assert!(secrets.get("two").await.is_err());
    let filter = CallFilter::default().by_service_account(at, "caller").in_namespace(at);
    let counts = audit.count_since(mark, &filter).await?;
    let expected = BTreeMap::from([("get secrets".to_owned(), 2), ("list secrets".to_owned(), 1)]);
    assert_eq!(counts, expected);
    let calls = audit.calls_since(mark, &filter).await?;
    assert!(calls.iter().all(|call| call.code == 403), "{calls:?}");
    assert!(audit.calls_since(audit.mark().await?, &filter).await?.is_empty());
    Ok(())
}

async fn a_quota_is_enforced(cluster: &ControlPlane, at: &str) -> Result<()> {
    cluster.kubectl(&["create", "quota", "none", "--hard=secrets=0", "-n", at]).await?;
    let denied = async || {
        let create = ["create", "secret", "generic", "over", "-n", at, "--dry-run=server"];
        let output = cluster.kubectl_output(&create, "").await.map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if text.contains("exceeded quota") { Ok(()) } else { Err(text) }
    };
    wait_for("the quota to deny a Secret", SOON, denied).await
}

#[tokio::test(flavor = "multi_thread")]
async fn authorization_server_issues_counts_holds_fails_and_returns() -> Result<()> {
    let server = AuthorizationServer::start().await?;
    // The colon shows that a percent-encoded id is counted under its own name.
    let client = authorization_server::Client {
        lifetime: Duration::from_secs(90),
        ..authorization_server::Client::new("team:orders", "first")
    };
    server.add_client(&client).await?;
    let asker = Asker::new(&server)?;

    let (status, token) = asker.ask("first", "orders.read").await?;
    assert_eq!(status, 200);
    let seen = server.introspect(&token).await?;
    assert!(seen.active);
    assert_eq!(seen.client_id.as_deref(), Some("team:orders"));
    assert_eq!(seen.scope.as_deref(), Some("orders.read"));
    assert_eq!(seen.exp.zip(seen.iat).map(|(exp, iat)| exp - iat), Some(90));
    let issued = server.issued("team:orders").await?;
    assert_eq!(issued.len(), 1);
    assert_eq!(issued[0].sha256.len(), 64);

    assert_eq!(asker.ask("first", "payments.write").await?, (400, "invalid_scope".into()));
    server.set_secret("team:orders", "second").await?;
    assert_eq!(asker.ask("first", "orders.read").await?, (401, "invalid_client".into()));
    assert_eq!(asker.ask("second", "orders.read").await?.0, 200);
    server.fail_with("team:orders", &Failure::new(503, r#"{"error":"busy"}"#)).await?;
    assert_eq!(asker.ask("second", "orders.read").await?, (503, "busy".into()));
    server.clear_failure("team:orders").await?;
    assert_eq!(server.token_requests("team:orders").await?, 5);
    assert_eq!(server.issued("team:orders").await?.len(), 2);

    a_held_answer_arrives_when_released(&server, &asker).await?;
    server.stop().await?;
    assert!(asker.ask("second", "orders.read").await.is_err());
    server.restart().await?;
    assert_eq!(asker.ask("second", "orders.read").await?.0, 200);
    assert!(server.introspect(&token).await?.active, "tokens outlive the stop");
    server.remove_client("team:orders").await?;
    assert_eq!(asker.ask("second", "orders.read").await?, (401, "invalid_client".into()));

    let posting = authorization_server::Client {
        auth_method: AuthMethod::Post,
        ..authorization_server::Client::new("poster", "third")
    };
    server.add_client(&posting).await?;
    assert_eq!(asker.ask_by_post("poster", "third").await?.0, 200);
    assert_eq!(server.token_requests("poster").await?, 1);
    Ok(())
}

async fn a_held_answer_arrives_when_released(
    server: &AuthorizationServer,
    asker: &Asker,
) -> Result<()> {
    server.hold("team:orders").await?;
    let pending = tokio::spawn(asker.clone().ask_owned("second", "orders.read"));
    let held = async |count| {
        let look = async || server.held("team:orders").await.is_ok_and(|held| held == count);
        wait_for("the number of answers held", SOON, look).await
    };
    held(1).await?;
    assert!(!pending.is_finished());
    server.release("team:orders").await?;
    assert_eq!(pending.await??.0, 200);
    held(0).await
}

/// Asks for tokens as `team:orders`.
#[derive(Clone)]
struct Asker {
    client: reqwest::Client,
    url: String,
}

impl Asker {
    fn new(server: &AuthorizationServer) -> Result<Self> {
        let authority = reqwest::Certificate::from_pem(server.ca_pem().as_bytes())?;
        let client = reqwest::Client::builder().tls_certs_only([authority]).build()?;
        Ok(Self { client, url: server.token_url() })
    }

    /// The status, and the token or the error code.
    async fn ask(&self, secret: &str, scope: &str) -> Result<(u16, String)> {
        let form = format!("grant_type=client_credentials&scope={scope}");
        let request = self.client.post(&self.url).basic_auth("team%3Aorders", Some(secret));
        Self::send(request, form).await
    }

    async fn ask_owned(self, secret: &'static str, scope: &'static str) -> Result<(u16, String)> {
        self.ask(secret, scope).await
    }

    async fn ask_by_post(&self, id: &str, secret: &str) -> Result<(u16, String)> {
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
        Self::send(self.client.post(&self.url), form).await
    }

    async fn send(request: reqwest::RequestBuilder, form: String) -> Result<(u16, String)> {
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let response = request.body(form).send().await?;
        let status = response.status().as_u16();
        let answer: serde_json::Value = serde_json::from_str(&response.text().await?)?;
        let text = answer.get("access_token").or_else(|| answer.get("error"));
        let text = text.and_then(serde_json::Value::as_str).context("neither token nor error")?;
        Ok((status, text.to_owned()))
    }
}

#[tokio::test]
async fn an_operator_process_is_started_read_terminated_and_its_early_end_is_told() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let script =
        "#!/bin/sh\ntrap 'echo bye; exit 7' TERM\necho \"$@\"; env\nwhile :; do sleep 0.05; done\n";
    let options = operator_options(directory.path(), script)?;
    let operator = Operator::start(&options)?;
    let expected = format!("run --bind-address {} --one", operator.address());
    wait_for("the output", SOON, async || operator.output().contains("COLOUR=red")).await?;
    assert!(operator.output().contains(&expected), "{}", operator.output());
    assert!(!operator.output().contains("CARGO"), "{}", operator.output());
    let ended = operator.terminate(SOON).await?;
    assert_eq!(ended.status.code(), Some(7));
    assert!(operator.output().ends_with("bye\n"));
    assert!(!operator.is_running());

    let failing = operator_options(directory.path(), "#!/bin/sh\necho no such flag >&2; exit 2\n")?;
    let error = Operator::start(&failing)?.wait_ready(SOON).await.expect_err("it ends at once");
    assert!(format!("{error:#}").contains("no such flag"), "{error:#}");
    Ok(())
}

fn operator_options(directory: &Path, script: &str) -> Result<OperatorOptions> {
    let program = directory.join(format!("program-{}", script.len()));
    std::fs::write(&program, script)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    Ok(OperatorOptions {
        program,
        kubeconfig: directory.join("kubeconfig"),
        arguments: vec!["--one".to_owned()],
        environment: vec![("COLOUR".to_owned(), "red".to_owned())],
        log: None,
    })
}

#[tokio::test]
async fn faulty_hosts_stay_silent_record_and_refuse() -> Result<()> {
    let silent = SilentHost::start().await?;
    let mut stream = tokio::net::TcpStream::connect(silent.host()).await?;
    stream.write_all(b"hello").await?;
    let answer = tokio::time::timeout(Duration::from_millis(100), stream.read_u8()).await;
    assert!(answer.is_err(), "it must stay silent");
    assert_eq!(silent.connections(), 1);

    let counting = CountingHost::start("HTTP/1.1 204 No Content\r\n\r\n").await?;
    let mut stream = tokio::net::TcpStream::connect(counting.host()).await?;
    stream.write_all(b"GET /").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    assert!(answer.contains("204"));
    assert_eq!((counting.connections(), counting.requests()), (1, vec![b"GET /".to_vec()]));

    let closed = closed_port()?;
    assert!(tokio::net::TcpStream::connect(closed.address()).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_wait_that_ends_in_vain_says_for_what_and_what_was_seen() {
    let wait = wait_for("rain", Duration::from_millis(60), async || Err::<(), _>("sunny"));
    let error = wait.await.expect_err("it never rains").to_string();
    assert!(error.contains("for rain") && error.contains("sunny"), "{error}");
    let hanging = wait_for("an answer", Duration::from_millis(60), std::future::pending::<bool>);
    assert!(hanging.await.is_err());
}
