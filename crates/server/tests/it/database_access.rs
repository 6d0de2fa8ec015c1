//! Tests of the connection from the built program to PostgreSQL: TLS, passwords and poolers. Each test has a PostgreSQL
//! of its own.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

use crate::server_process::decode_output;
use crate::support::{HubProcess, Pgbouncer, PostgresCluster, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pooler_in_transaction_mode_is_rejected_at_start() {
    let cluster = PostgresCluster::start().await;
    let direct = HubProcess::new(Some(&cluster.url())).await;
    direct.initialize().await;
    let bouncer = Pgbouncer::start(&cluster, "transaction").await;
    let site = HubProcess::new(Some(&bouncer.url())).await;

    for command in ["serve", "migrate"] {
        let (code, _, error) = decode_output(&site.run(&[command]));

        assert_eq!(code, Some(2), "{command}: {error}");
        assert!(error.contains("pooler in transaction mode"), "{command}: {error}");
    }
    let (_, checks, _) = decode_output(&site.run(&["doctor"]));
    assert!(checks.contains("pooler in transaction mode"), "{checks}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pooler_in_session_mode_is_accepted_until_its_mode_changes() {
    let cluster = PostgresCluster::start().await;
    let bouncer = Pgbouncer::start(&cluster, "session").await;
    let site = HubProcess::new(Some(&bouncer.url())).await;
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let _hub = site.serve(&[]).await;
    let tokens = site.connect(&acme, "alice").await;
    assert_eq!(site.api().read("/accounts", &tokens.access).await.status, 200);

    bouncer.reload_pool_mode("transaction");
    // New sessions are affected first, so the old ones are closed.
    cluster
        .execute(&[
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
         AND backend_type = 'client backend'",
        ])
        .await;
    let is_detected = async || {
        // Requests use the sessions of the pooler in the meantime. None may fail with 500.
        for _ in 0..5 {
            let read = site.api().read("/accounts", &tokens.access).await;
            assert!([200, 503].contains(&read.status), "{}: {}", read.status, read.body);
        }
        let readiness = site.call_probe("/readyz").await;
        readiness.json()["problem"]
            .as_str()
            .is_some_and(|problem| problem.contains("pooler in transaction mode"))
    };
    wait_until("readiness reports the pooler", is_detected).await;
    let revoke = site.api().revoke(&tokens.access).await;
    assert!([204, 503].contains(&revoke.status), "{}: {}", revoke.status, revoke.body);
}

/// A certificate authority with the files of a server and a client.
struct TestAuthority {
    certificate: String,
    server: (String, String),
    client: (String, String),
}

impl TestAuthority {
    /// Creates an authority and a server certificate for the DNS name `localhost`.
    fn create() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let sign = |names: &[&str], common_name: &str| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut params = CertificateParams::new(names).unwrap();
            params.distinguished_name.push(DnType::CommonName, common_name);
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap();
            (certificate.pem(), key.serialize_pem())
        };
        Self {
            server: sign(&["localhost"], "localhost"),
            client: sign(&[], "hub"),
            certificate: issuer.pem(),
        }
    }
}

/// Starts a cluster that requires TLS, a client certificate, and a password (SCRAM) for the role `hub`.
async fn start_tls_cluster(authority: &TestAuthority) -> PostgresCluster {
    let mut cluster = PostgresCluster::create(&["ssl=on", "ssl_ca_file=ca.pem"]);
    cluster.write_file("ca.pem", &authority.certificate);
    cluster.write_file("server.crt", &authority.server.0);
    cluster.write_file("server.key", &authority.server.1);
    cluster.start_server().await;
    cluster.execute(&["CREATE ROLE hub LOGIN PASSWORD 'first'", "CREATE DATABASE hub OWNER hub"]).await;
    let rules = "hostssl hub hub 127.0.0.1/32 scram-sha-256 clientcert=verify-full\n\
                 host postgres postgres 127.0.0.1/32 trust\n";
    cluster.write_file("pg_hba.conf", rules);
    cluster.execute(&["SELECT pg_reload_conf()"]).await;
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_over_tls_is_verified_and_password_rotates() {
    let authority = TestAuthority::create();
    let cluster = start_tls_cluster(&authority).await;
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (ca, other) =
        (write("ca.pem", &authority.certificate), write("other.pem", &TestAuthority::create().certificate));
    let (cert, key) = (write("client.crt", &authority.client.0), write("client.key", &authority.client.1));
    let password = write("password", "first\n");
    let url = |host: &str, more: &str| {
        let port = cluster.port();
        format!("postgres://hub@{host}:{port}/hub?sslcert={cert}&sslkey={key}&channel_binding=require&{more}")
    };
    let open = async |url: String| {
        let site = HubProcess::new(Some(&url)).await;
        site.add_store_setting(&format!("password_file = \"{password}\""));
        site
    };

    for (case, url, expected) in [
        (
            "another authority",
            url("localhost", &format!("sslmode=verify-full&sslrootcert={other}")),
            "certificate",
        ),
        ("another name", url("127.0.0.1", &format!("sslmode=verify-full&sslrootcert={ca}")), "certificate"),
        ("no fallback", url("localhost", "sslmode=prefer"), "sslmode: expected disable"),
        ("no TLS", url("localhost", "sslmode=disable"), "no encryption"),
    ] {
        let (code, _, error) = decode_output(&open(url).await.run(&["migrate"]));

        assert!(code == Some(2) || code == Some(3), "{case}: {code:?} {error}");
        assert!(error.contains(expected), "{case}: {error}");
    }
    let site = open(url("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={ca}"))).await;
    assert_eq!(decode_output(&site.run(&["migrate"])).0, Some(0), "verify-ca ignores the name");

    let site = open(url("localhost", &format!("sslmode=verify-full&sslrootcert={ca}"))).await;
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let _hub = site.serve(&[]).await;
    let tokens = site.connect(&acme, "alice").await;
    // The password changes while the hub runs, and the sessions with the old one are closed.
    std::fs::write(&password, "second\n").unwrap();
    cluster
        .execute(&[
            "ALTER ROLE hub PASSWORD 'second'",
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'hub'",
        ])
        .await;
    wait_until("the node uses the new password", async || site.call_probe("/readyz").await.status == 200)
        .await;
    assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
    assert!(!site.log().contains("second"), "the log contains the password");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unencrypted_remote_database_is_rejected_unless_allowed() {
    // An address of the documentation network: a connection cannot be opened, but must not be tried either.
    let site = HubProcess::new(Some("postgres://hub@192.0.2.1/hub?sslmode=disable&connect_timeout=1")).await;

    let (code, _, error) = decode_output(&site.run(&["config", "check"]));
    site.add_store_setting("allow_plaintext = true");
    let (allowed, _, _) = decode_output(&site.run(&["config", "check"]));

    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("store.allow_plaintext"), "{error}");
    assert_eq!(allowed, Some(0));
}
