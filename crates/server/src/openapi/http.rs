//! `/openapi/…`: the documents; `/docs`: their pages.

use std::sync::LazyLock;

use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;

use super::{Document, page};
use crate::pages::{Notice, asset, message, published};
use crate::web::{Face, Route, Segment};

/// The documents, each made once.
static TEXTS: LazyLock<[Bytes; Document::ALL.len()]> =
    LazyLock::new(|| Document::ALL.map(|document| document.text().into()));

/// The pages, each made once.
static PAGES: LazyLock<[askama::Result<Bytes>; Document::ALL.len()]> =
    LazyLock::new(|| page::all().map(|html| html.map(Bytes::from)));
static INDEX: LazyLock<askama::Result<Bytes>> = LazyLock::new(|| page::index().map(Bytes::from));

/// The routes of the documents and their pages.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = documents();
    let page = |path, handler| Route::new(Face::Page, Method::GET, path, handler);
    routes.push(page("/docs", get(async || shown(&INDEX))));
    routes.push(page("/docs/{document}", get(of)));
    routes.push(page("/static/docs.css", get(css)));
    routes
}

fn documents() -> Vec<Route> {
    let row = |(nth, path): (usize, &'static str)| {
        let handler = get(move || async move { asset("application/json", TEXTS[nth].clone()) });
        Route::new(Face::Page, Method::GET, path, handler)
    };
    Document::ALL.map(Document::path).into_iter().enumerate().map(row).collect()
}

async fn of(Segment(name): Segment) -> Response {
    match Document::ALL.iter().position(|document| document.name() == name) {
        Some(nth) => shown(&PAGES[nth]),
        None => message(StatusCode::NOT_FOUND, Notice::NotFound),
    }
}

fn shown(page: &askama::Result<Bytes>) -> Response {
    match page {
        Ok(html) => published(html.clone()),
        Err(error) => {
            tracing::error!(%error, "a page of the documents cannot be made");
            message(StatusCode::INTERNAL_SERVER_ERROR, Notice::Fault)
        }
    }
}

async fn css() -> Response {
    asset("text/css; charset=utf-8", include_str!("../../static/docs.css"))
}
