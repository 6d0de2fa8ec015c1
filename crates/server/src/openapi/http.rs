//! `/openapi/…`: the documents; `/docs`: their pages.

use std::sync::LazyLock;

use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;

use super::{ApiDocument, page};
use crate::http::{ApiSurface, Route, Segment};
use crate::pages::{NoticeKind, render_notice, serve_asset, serve_cached_page};

/// The documents, each made once.
static DOCUMENT_TEXTS: LazyLock<[Bytes; ApiDocument::ALL.len()]> =
    LazyLock::new(|| ApiDocument::ALL.map(|document| document.to_json_text().into()));

/// The pages, each made once.
static PAGES: LazyLock<[askama::Result<Bytes>; ApiDocument::ALL.len()]> =
    LazyLock::new(|| page::render_all().map(|html| html.map(Bytes::from)));
static INDEX: LazyLock<askama::Result<Bytes>> = LazyLock::new(|| page::render_index().map(Bytes::from));

/// The routes of the documents and their pages.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = document_routes();
    let page = |path, handler| Route::new(ApiSurface::Page, Method::GET, path, handler);
    routes.push(page("/docs", get(async || render_page(&INDEX))));
    routes.push(page("/docs/{document}", get(show_reference_page)));
    routes.push(page("/static/docs.css", get(serve_stylesheet)));
    routes
}

fn document_routes() -> Vec<Route> {
    let row = |(nth, path): (usize, &'static str)| {
        let handler =
            get(move || async move { serve_asset("application/json", DOCUMENT_TEXTS[nth].clone()) });
        Route::new(ApiSurface::Page, Method::GET, path, handler)
    };
    ApiDocument::ALL.map(ApiDocument::path).into_iter().enumerate().map(row).collect()
}

async fn show_reference_page(Segment(name): Segment) -> Response {
    match ApiDocument::ALL.iter().position(|document| document.name() == name) {
        Some(nth) => render_page(&PAGES[nth]),
        None => render_notice(StatusCode::NOT_FOUND, NoticeKind::NotFound),
    }
}

fn render_page(page: &askama::Result<Bytes>) -> Response {
    match page {
        Ok(html) => serve_cached_page(html.clone()),
        Err(error) => {
            tracing::error!(%error, "a page of the documents cannot be made");
            render_notice(StatusCode::INTERNAL_SERVER_ERROR, NoticeKind::InternalError)
        }
    }
}

async fn serve_stylesheet() -> Response {
    serve_asset("text/css; charset=utf-8", include_str!("../../static/docs.css"))
}
