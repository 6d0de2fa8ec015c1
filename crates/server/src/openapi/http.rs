//! HTTP handlers for the OpenAPI documents (`/openapi/*.json`) and the HTML reference below `/docs`.

use std::sync::OnceLock;

use axum::http::{Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;

use super::ApiDocument;
use crate::api_docs::{self, ApiReference};
use crate::http::{PageLocale, Route, Segment};
use crate::pages::{NoticeKind, render_notice, serve_asset, serve_cached_page};

/// A function that generates a document. The caller passes it, because this module must not import the router, which
/// has the routes.
type DocumentGenerator = fn(ApiDocument) -> Value;

const DOCUMENTS: usize = ApiDocument::ALL.len();

/// The JSON texts and the HTML pages of all OpenAPI documents.
struct RenderedDocuments {
    texts: [Bytes; DOCUMENTS],
    index: askama::Result<Bytes>,
    pages: [askama::Result<Bytes>; DOCUMENTS],
}

impl RenderedDocuments {
    /// Returns the rendered documents. The first call renders them, and later calls return the same ones.
    fn load(generate: DocumentGenerator) -> &'static Self {
        // Rendering at start would more than double the start time of the hub. One result is sufficient, because the
        // routes never change.
        static RENDERED: OnceLock<RenderedDocuments> = OnceLock::new();
        RENDERED.get_or_init(|| {
            let documents = ApiDocument::ALL.map(|document| (document, generate(document)));
            let references = documents
                .each_ref()
                .map(|(document, json)| ApiReference::new(document.name(), document.path(), json));
            let render = |reference| api_docs::render_reference(&references, reference).map(Bytes::from);
            Self {
                texts: documents.map(|(_, json)| format!("{json:#}").into()),
                index: api_docs::render_index(&references).map(Bytes::from),
                pages: references.each_ref().map(render),
            }
        })
    }
}

/// Returns the routes of the documents, the HTML pages and their stylesheet.
pub(crate) fn routes(generate: DocumentGenerator) -> Vec<Route> {
    let mut routes: Vec<Route> = ApiDocument::ALL
        .into_iter()
        .enumerate()
        .map(|(index, document)| {
            let serve_document = move || async move {
                serve_asset("application/json", RenderedDocuments::load(generate).texts[index].clone())
            };
            Route::page(Method::GET, document.path(), serve_document)
        })
        .collect();
    let show_index = move |locale: PageLocale| async move {
        render_page(&RenderedDocuments::load(generate).index, &locale)
    };
    let show_reference = move |Segment(name): Segment, locale: PageLocale| async move {
        show_reference(RenderedDocuments::load(generate), &name, &locale)
    };
    routes.push(Route::page(Method::GET, "/docs", show_index));
    routes.push(Route::page(Method::GET, "/docs/{document}", show_reference));
    routes.push(Route::page(Method::GET, "/static/docs.css", serve_stylesheet));
    routes
}

fn show_reference(rendered: &RenderedDocuments, name: &str, locale: &PageLocale) -> Response {
    match ApiDocument::ALL.iter().position(|document| document.name() == name) {
        Some(index) => render_page(&rendered.pages[index], locale),
        None => render_notice(StatusCode::NOT_FOUND, NoticeKind::NotFound, locale),
    }
}

fn render_page(page: &askama::Result<Bytes>, locale: &PageLocale) -> Response {
    match page {
        Ok(html) => serve_cached_page(html.clone()),
        Err(error) => {
            tracing::error!(%error, "a page of the API reference cannot be rendered");
            render_notice(StatusCode::INTERNAL_SERVER_ERROR, NoticeKind::InternalError, locale)
        }
    }
}

async fn serve_stylesheet() -> Response {
    serve_asset("text/css; charset=utf-8", include_str!("../../static/docs.css"))
}
