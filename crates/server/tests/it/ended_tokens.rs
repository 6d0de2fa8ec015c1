//! Tests of the tokens and the accounts of an ended connection. The tokens are in the store until a background task deletes them, the
//! sealed accounts permanently.

use crate::support::{HubProcess, create_durable_database, wait_until};

/// Restarts a hub that was killed directly after the response to a revoke, so that its store still contains the tokens.
async fn check_remaining_tokens_are_useless(site: HubProcess) {
    let acme = site.add_recipient("Acme Budget");
    let hub = site.serve(&[]).await;
    let tokens = site.connect(&acme, "alice").await;
    let sealed = site.sql("SELECT 1 FROM connections WHERE accounts_key IS NOT NULL").await;
    assert_eq!(sealed, ["1"], "the accounts of an active connection have a key");
    // The background task runs every five seconds, so it has not deleted the tokens of this end in most of the attempts.
    assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
    drop(hub); // SIGKILL

    let remaining = site.sql("SELECT 1 FROM refresh_tokens").await.len();
    let keys = "SELECT 1 FROM connections
        WHERE access_key IS NOT NULL OR refresh_key IS NOT NULL OR accounts_key IS NOT NULL";
    let keys = site.sql(keys).await;
    let accounts = site.sql("SELECT account_count FROM connection_terms WHERE accounts IS NOT NULL").await;
    let job_keys = site.sql("SELECT 1 FROM jobs WHERE data_key IS NOT NULL AND state = 'pending'").await;
    let done = site.sql("SELECT 1 FROM jobs WHERE state = 'done'").await;
    let _hub = site.serve(&[]).await;
    let refreshed = site.api().refresh(&acme, &tokens.refresh).await;
    let read = site.api().read("/accounts", &tokens.access).await;

    assert!(keys.is_empty(), "the commit has deleted the keys of {remaining} tokens and of the accounts");
    assert_eq!(accounts, ["1"], "the number of accounts stays readable");
    assert_eq!(job_keys.len() + done.len(), 1, "only the job can open the token");
    assert_eq!((refreshed.status, &refreshed.json()["error"]), (400, &"invalid_grant".into()));
    assert_eq!((read.status, &read.json()["code"]), (401, &602.into()));
    for table in ["refresh_tokens", "upstream_credentials", "ended_connections"] {
        let rows = format!("SELECT 1 FROM {table}");
        wait_until(&format!("{table} is empty"), async || site.sql(&rows).await.is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_left_by_an_end_are_useless_sqlite() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    check_remaining_tokens_are_useless(site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_left_by_an_end_are_useless_postgres() {
    let site = HubProcess::new(Some(&create_durable_database().await)).await;
    site.initialize().await;
    check_remaining_tokens_are_useless(site).await;
}
