//! `/docs`: the documents as people read them. Each page is made of the document alone, so a new document has its page.

mod curl;
mod model;
mod piece;
mod schema;

use std::sync::LazyLock;

use askama::Template;

use super::ApiDocument;
use model::Reference;

/// The list of the documents.
#[derive(Template)]
#[template(path = "docs/index.html")]
struct IndexPage {
    documents: &'static [(ApiDocument, Reference)],
    current: &'static str,
}

/// One document.
#[derive(Template)]
#[template(path = "docs/document.html")]
struct DocumentPage {
    documents: &'static [(ApiDocument, Reference)],
    reference: &'static Reference,
    current: &'static str,
    json: &'static str,
}

/// The documents, each read once: every page names them all.
static REFERENCES: LazyLock<[(ApiDocument, Reference); ApiDocument::ALL.len()]> = LazyLock::new(|| {
    ApiDocument::ALL.map(|document| (document, Reference::from_document(&document.generate())))
});

/// The page that lists the documents, as HTML.
pub(super) fn render_index() -> askama::Result<String> {
    IndexPage { documents: &*REFERENCES, current: "" }.render()
}

/// The pages of the documents, in their order, as HTML.
pub(super) fn render_all() -> [askama::Result<String>; ApiDocument::ALL.len()] {
    REFERENCES.each_ref().map(|(document, reference)| {
        let (current, json) = (document.name(), document.path());
        DocumentPage { documents: &*REFERENCES, reference, current, json }.render()
    })
}
