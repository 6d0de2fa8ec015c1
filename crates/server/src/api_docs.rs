//! The HTML reference of an API. It is generated only from the OpenAPI document, so that it always matches the
//! document.

mod curl;
mod model;
mod piece;
mod schema;

use askama::Template;
use serde_json::Value;

use model::Reference;

/// An OpenAPI document with the content of its HTML page.
pub(crate) struct ApiReference {
    /// The name in the URL path of the HTML page.
    name: &'static str,
    /// The URL path of the JSON document.
    json_path: &'static str,
    content: Reference,
}

impl ApiReference {
    pub(crate) fn new(name: &'static str, json_path: &'static str, document: &Value) -> Self {
        Self { name, json_path, content: Reference::from_document(document) }
    }
}

/// The HTML page that lists the API documents.
#[derive(Template)]
#[template(path = "docs/index.html")]
struct IndexPage<'a> {
    documents: &'a [ApiReference],
    /// The name of the document whose link is highlighted: empty, because this page shows none.
    current: &'static str,
}

/// The HTML page of one API document, with links to all documents.
#[derive(Template)]
#[template(path = "docs/document.html")]
struct DocumentPage<'a> {
    documents: &'a [ApiReference],
    reference: &'a Reference,
    current: &'static str,
    json_path: &'static str,
}

/// Renders the HTML page that lists the API documents.
pub(crate) fn render_index(documents: &[ApiReference]) -> askama::Result<String> {
    IndexPage { documents, current: "" }.render()
}

/// Renders the HTML page of the document `shown`, with links to all documents.
pub(crate) fn render_reference(documents: &[ApiReference], shown: &ApiReference) -> askama::Result<String> {
    let ApiReference { name, json_path, content } = shown;
    DocumentPage { documents, reference: content, current: name, json_path }.render()
}
