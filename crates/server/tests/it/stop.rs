//! Tests that the built program stops within a limit, even if a request or a job hangs, and on which signals.

use bowline::cli::BrowserRequest;
use http::Method;
use serde_json::json;

use crate::support::{HubProcess, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reloads_configuration_and_does_not_stop_the_hub() {
    let site = HubProcess::new(None).await;
    let mut hub = site.serve(&[]).await;

    hub.signal("HUP");
    wait_until("the reload is logged", async || site.log().contains("configuration reloaded")).await;
    let response =
        site.browser.send(BrowserRequest::new(Method::GET, &format!("{}/livez", site.probe_url())));
    let status = response.await.unwrap().status;
    hub.signal("TERM");

    assert_eq!(status, 200);
    assert_eq!(hub.wait_for_exit().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_stop_signal_ends_the_hub_with_signal_code() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let site = HubProcess::new(None).await;
        site.initialize().await;
        let acme = site.add_recipient("Acme Budget");
        let mut hub = site.serve(&[]).await;
        let tokens = site.connect(&acme, "alice").await;
        site.inject_faults(json!({"hold": true})).await;
        let mut read = BrowserRequest::new(Method::GET, &format!("{}/api/fdx/5/accounts", site.hub_url));
        read.bearer = Some(tokens.access);

        let stop = async {
            wait_until("the read is running", async || site.count_delayed_responses() > 0).await;
            hub.signal("TERM");
            // The log also contains the stop of the hub that created the store. Without this wait the kernel could merge
            // two equal signals into one.
            wait_until("the stop has begun", async || site.log().matches("stopping").count() == 2).await;
            hub.signal(name);
            hub.wait_for_exit().await
        };
        let (response, ended) = tokio::join!(site.browser.send(read), stop);

        assert_eq!(ended, Some(code), "{name}: {}", site.log());
        assert!(response.is_err(), "the request is aborted");
    }
}

/// The bank takes a minute to respond, and the hub would wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_aborts_hanging_job_which_is_repeated_later() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let settings = [("BOWLINE_UPSTREAM__TIMEOUT", "100s"), ("BOWLINE_SERVER__SHUTDOWN_GRACE", "300ms")];
    let mut hub = site.serve_with(&settings, site.open_log()).await;
    let tokens = site.connect(&acme, "alice").await;

    site.inject_faults(json!({"latency_ms": 60_000})).await;
    assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
    wait_until("the job is running", async || {
        site.sql("SELECT COUNT(*) FROM jobs WHERE lease_until > 0").await == ["1"]
    })
    .await;
    hub.signal("TERM");
    let code = hub.wait_for_exit().await;
    site.inject_faults(json!({"latency_ms": 0})).await;
    site.make_jobs_due().await;
    let hub = site.serve(&[]).await;

    assert_eq!(code, Some(0), "{}", site.log());
    assert!(site.log().contains("background work exceeded the shutdown grace period"), "{}", site.log());
    wait_until("the bank is notified", async || site.count_active_grants().await == 0).await;
    hub.stop();
}
