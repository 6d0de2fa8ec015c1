//! A stub of a data provider. It accepts every request immediately, so that the hub hardly waits for it.

use anyhow::Context;
use axum::Router;
use axum::routing::{get, post};
use tokio::net::TcpListener;

use crate::error::BenchmarkError;

const ACCOUNTS: &str = r#"{"page":{"totalElements":2},"links":{},"accounts":[
{"depositAccount":{"accountId":"a1","accountCategory":"DEPOSIT_ACCOUNT","accountType":"CHECKING","accountNumberDisplay":"****1234","productName":"Everyday","nickname":"Everyday","status":"OPEN","currency":{"currencyCode":"CAD"}}},
{"locAccount":{"accountId":"a2","accountCategory":"LOC_ACCOUNT","accountType":"CREDITCARD","accountNumberDisplay":"****9876","productName":"Card","nickname":"Card","status":"OPEN","currency":{"currencyCode":"CAD"}}}]}"#;

/// Starts the stub provider and returns its origin.
pub(crate) async fn start_stub_provider() -> Result<String, BenchmarkError> {
    let accounts = || async { ([(http::header::CONTENT_TYPE, "application/json")], ACCOUNTS) };
    let router = Router::new()
        .route("/fdx/v5/accounts", get(accounts))
        .route("/revoke", post(|| async { http::StatusCode::OK }));
    Ok(format!("http://{}", serve_on_free_port(router).await?))
}

/// Serves a router on a free port until the process ends, and returns its address.
pub(crate) async fn serve_on_free_port(router: Router) -> Result<std::net::SocketAddr, BenchmarkError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen on 127.0.0.1")?;
    let address = listener.local_addr().context("a listener has no address")?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}
