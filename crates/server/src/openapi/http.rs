//! `/openapi/…`: the documents.

use std::sync::LazyLock;

use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;

use super::Document;
use crate::web::{Face, Route};

/// The documents, each made once.
static TEXTS: LazyLock<[Bytes; Document::ALL.len()]> =
    LazyLock::new(|| Document::ALL.map(|document| document.text().into()));

/// The routes of the documents.
pub(crate) fn routes() -> Vec<Route> {
    let row = |(nth, path): (usize, &'static str)| {
        let handler = get(move || async move { document(TEXTS[nth].clone()) });
        Route::new(Face::Page, Method::GET, path, handler)
    };
    Document::ALL.map(Document::path).into_iter().enumerate().map(row).collect()
}

fn document(text: Bytes) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "max-age=3600")];
    (headers, text).into_response()
}
