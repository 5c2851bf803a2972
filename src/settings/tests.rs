//! Every flag: its default, its values, and what is refused.

use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    run: RunArguments,
}

fn settings(arguments: &[&str]) -> Result<Settings, clap::Error> {
    let line = Line::try_parse_from(["run"].iter().chain(arguments))?;
    Settings::from_arguments(line.run)
}

fn file(name: &str, content: &[u8]) -> String {
    let path = std::env::temp_dir().join(format!("oauthcc-{}-{name}", std::process::id()));
    std::fs::write(&path, content).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn without_flags_the_documented_defaults_hold() {
    let settings = settings(&[]).unwrap();
    assert!(settings.consent.required && settings.consent.cluster_wide.is_none());
    assert!(!settings.allow_insecure_endpoints && settings.addresses.allowed.is_empty());
    assert!(settings.trust_bundle.is_none() && settings.per_credential_metrics);
    assert!(settings.proxy.is_none());
    assert_eq!(settings.schedule, SchedulePolicy::default());
    assert_eq!((settings.endpoint_concurrency, settings.api_concurrency), (8, 24));
    assert_eq!(settings.api_timeout, Duration::from_secs(10));
    let every: Vec<SocketAddr> =
        vec!["[::]:8080".parse().unwrap(), "0.0.0.0:8080".parse().unwrap()];
    assert_eq!(settings.bind_addresses, every);
    assert_eq!((settings.log_format, settings.log_level.as_str()), (LogFormat::Auto, "info"));
}

#[test]
fn every_flag_is_heard() {
    let settings = settings(&[
        "--endpoint-consent=optional",
        "--allowed-token-hosts=idp.example.com,login.example.com:8443",
        "--allow-insecure-endpoints",
        "--allow-endpoint-addresses=127.0.0.0/8,::1",
        "--proxy=http://me:s3cr3t@proxy.example.com:3128",
        "--no-proxy=.svc.cluster.local,10.0.0.0/8",
        "--propagation-floor=1m30s",
        "--minimum-request-gap=1s",
        "--jitter-percentage=0",
        "--endpoint-concurrency=1",
        "--api-concurrency=1000",
        "--api-timeout=1500ms",
        "--per-credential-metrics=false",
        "--bind-address=127.0.0.1:0",
        "--log-format=json",
        "--log-level=warn,oauthcc_operator::reconcile=debug",
    ]);
    let settings = settings.unwrap();
    assert!(!settings.consent.required && settings.allow_insecure_endpoints);
    assert_eq!(settings.consent.cluster_wide.as_ref().unwrap().len(), 2);
    assert_eq!(settings.addresses.allowed.len(), 2);
    let proxy = settings.proxy.as_ref().unwrap();
    assert_eq!(proxy.url.as_str(), "http://proxy.example.com:3128/");
    assert_eq!(proxy.bypass_list(), ".svc.cluster.local,10.0.0.0/8");
    assert!(proxy.authorization.is_some() && !format!("{settings:?}").contains("s3cr3t"));
    assert_eq!(settings.schedule.propagation_floor, Duration::from_secs(90));
    assert_eq!(settings.schedule.minimum_request_gap, Duration::from_secs(1));
    assert_eq!(settings.schedule.jitter_percentage, 0);
    assert_eq!((settings.endpoint_concurrency, settings.api_concurrency), (1, 1000));
    assert_eq!(settings.api_timeout, Duration::from_millis(1500));
    assert!(!settings.per_credential_metrics);
    assert_eq!(settings.bind_addresses, ["127.0.0.1:0".parse().unwrap()]);
    assert!(settings.log_format.is_json(true) && settings.log_level.starts_with("warn,"));
}

#[test]
fn a_bad_value_is_named_with_its_flag_and_what_is_accepted() {
    for (flag, value, accepted) in [
        ("--endpoint-consent", "off", "required, optional"),
        ("--allowed-token-hosts", "https://idp.example.com", "host:port"),
        ("--allowed-token-hosts", "a.example.com,*.example.com", "no scheme, path, wildcard"),
        ("--allowed-token-hosts", "", "leave the flag out"),
        ("--allow-insecure-endpoints", "yes", "true, false"),
        ("--allow-endpoint-addresses", "10.0.0.0/33", "an address or a network"),
        ("--allow-endpoint-addresses", "localhost", "169.254.169.254/32"),
        ("--proxy", "proxy.example.com:3128", "http://, a host and a port"),
        ("--proxy", "socks5://proxy.example.com:1080", "http://, a host and a port"),
        ("--proxy", "", "http://, a host and a port"),
        ("--no-proxy", "*.example.com", "no port, no wildcard"),
        ("--no-proxy", "idp.example.com:8443", "no port, no wildcard"),
        ("--no-proxy", "", "a host name in lower case"),
        ("--no-proxy", "example.com", "only together with --proxy"),
        ("--propagation-floor", "120", "0s to 24h"),
        ("--propagation-floor", "25h", "0s to 24h"),
        ("--propagation-floor", "", "0s to 24h"),
        ("--propagation-floor", "5s-9s", "0s to 24h"),
        ("--minimum-request-gap", "0s", "1s to 1h"),
        ("--minimum-request-gap", "999999999999999999999h", "1s to 1h"),
        ("--jitter-percentage", "51", "from 0 to 50"),
        ("--jitter-percentage", "-1", "from 0 to 50"),
        ("--endpoint-concurrency", "0", "from 1 to 1000"),
        ("--api-concurrency", "1001", "from 1 to 1000"),
        ("--api-timeout", "61s", "1s to 60s"),
        ("--api-timeout", "ten", "1s to 60s"),
        ("--per-credential-metrics", "1", "true, false"),
        ("--bind-address", "localhost:8080", "127.0.0.1:8080"),
        ("--bind-address", ":65536", "a port"),
        ("--log-format", "xml", "auto, json, text"),
        ("--log-level", "inof", "off, error, warn"),
        ("--log-level", "kube[request]=trace", "target=level"),
        ("--trust-bundle", "/nowhere/ca.pem", "a readable PEM file"),
    ] {
        let error = settings(&[&format!("{flag}={value}")]).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.exit_code(), 2, "{flag}={value}");
        // Of a list, the entry that is wrong is shown; of a proxy nothing, as it may hold a password.
        let shown = if flag == "--proxy" { "" } else { value.rsplit(',').next().unwrap() };
        for part in [flag, shown, accepted] {
            assert!(text.contains(part), "{flag}={value} does not say {part}: {text}");
        }
    }
}

#[test]
fn a_trust_bundle_without_a_usable_certificate_is_refused() {
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (content, problem) in [
        ("", "it holds no certificate"),
        ("no PEM at all", "it holds no certificate"),
        (key, "it holds no certificate"),
        (broken, "a certificate can't be read"),
        ("-----BEGIN CERTIFICATE-----\n!\n", "a PEM block can't be read"),
    ] {
        let path = file("bad.pem", content.as_bytes());
        let text = settings(&["--trust-bundle", &path]).unwrap_err().to_string();
        assert!(text.contains(problem) && text.contains(&path), "{content:?}: {text}");
    }
}

#[test]
fn a_trust_bundle_is_read_once_as_it_is() {
    let certificate = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
    let pem = certificate.cert.pem();
    let path = file("good.pem", pem.as_bytes());
    let settings = settings(&["--trust-bundle", &path]).unwrap();
    assert_eq!(settings.trust_bundle.as_deref(), Some(pem.as_bytes()));
}

#[test]
fn a_port_alone_is_every_address() {
    for text in ["8080", ":8080"] {
        assert_eq!(bind_address(text).unwrap().0.len(), 2);
    }
    assert_eq!(bind_address("[::1]:9").unwrap().0, ["[::1]:9".parse().unwrap()]);
}

#[test]
fn a_log_is_json_unless_a_person_reads_it() {
    let shapes = [LogFormat::Auto, LogFormat::Json, LogFormat::Text];
    assert_eq!(shapes.map(|shape| shape.is_json(true)), [false, true, false]);
    assert_eq!(shapes.map(|shape| shape.is_json(false)), [true, true, false]);
}

#[test]
fn the_password_of_a_proxy_is_in_no_message() {
    for written in [
        "http://me:s3cr3t@proxy.example.com:99999",
        "socks5://me:s3cr3t@proxy.example.com",
        "me:s3cr3t@proxy.example.com",
        "http://me:s3@cr3t@proxy.example.com/path",
        "http://me:s3cr3t%40proxy.example.com:3128",
        "http://me:s3cr3t",
        "s3cr3t",
    ] {
        let text = settings(&[&format!("--proxy={written}")]).unwrap_err().to_string();
        assert!(text.contains("--proxy") && text.contains("http://, a host and a port"), "{text}");
        assert!(!text.contains("s3") && !text.contains("cr3t"), "{text}");
    }
}
