//! Counts the memory allocations of requests, so that a change that adds some is noticed.
//!
//! The allocator of this test binary counts the allocations of one thread. The hub runs on this thread and the provider
//! on another one.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod hub;
mod stub_provider;

use axum::body::Body;
use http::Request;
use hub::{Hub, token_request};

// The maximum numbers of allocations of one request. The connection of the client is not included; the calls to the
// store and to the provider are. `docs/decisions/0021` has the numbers before they were reduced.
const MAX_CLIENT_CREDENTIALS: u64 = 52;
// The rows of a refresh token and of its connection are converted from their compact form in the access map.
const MAX_REFRESH: u64 = 70;
const MAX_ACCESS_CHECK: u64 = 43;
// Includes the text to which the token at the provider is bound.
const MAX_DATA_READ: u64 = 161;

/// Returns the number of allocations of a request. The request is sent several times before, so that what is allocated
/// only once exists.
fn count_allocations(hub: &Hub, build: impl Fn() -> Request<Body>, status: u16) -> u64 {
    const REQUESTS: u64 = 64;
    let send_all = || {
        hub.runtime.block_on(async {
            for _ in 0..REQUESTS {
                hub.send(build(), status).await;
            }
        });
    };
    send_all();
    let building = allocation_counter::measure(|| (0..REQUESTS).for_each(|_| drop(build())));
    let sending = allocation_counter::measure(send_all);
    (sending.count_total - building.count_total) / REQUESTS
}

#[test]
fn client_credentials_request_allocates_within_limit() {
    let hub = Hub::start();

    let count = count_allocations(&hub, || token_request("grant_type=client_credentials"), 200);

    assert!(count <= MAX_CLIENT_CREDENTIALS, "{count} allocations");
}

#[test]
fn refresh_request_allocates_within_limit() {
    let hub = Hub::start();
    let fields = format!("grant_type=refresh_token&refresh_token={}", hub.refresh_token);

    let count = count_allocations(&hub, || token_request(&fields), 200);

    assert!(count <= MAX_REFRESH, "{count} allocations");
}

#[test]
fn rejected_data_request_allocates_within_limit() {
    let hub = Hub::start();

    // The account is unknown, so the hub responds right after the access check.
    let count = count_allocations(&hub, || hub.data_request("/accounts/acc_x"), 404);

    assert!(count <= MAX_ACCESS_CHECK, "{count} allocations");
}

#[test]
fn data_read_allocates_within_limit() {
    let hub = Hub::start();

    let count = count_allocations(&hub, || hub.data_request("/accounts"), 200);

    assert!(count <= MAX_DATA_READ, "{count} allocations");
}
