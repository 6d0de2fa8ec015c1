//! `/docs`: the documents as people read them. Each page is made of the document alone, so a new document has its page.

mod curl;
mod model;
mod piece;
mod schema;

use askama::Template;

use super::Document;
use model::Reference;

/// The list of the documents.
#[derive(Template)]
#[template(path = "docs/index.html")]
struct IndexPage {
    documents: Vec<(Document, Reference)>,
    current: &'static str,
}

/// One document.
#[derive(Template)]
#[template(path = "docs/document.html")]
struct DocumentPage {
    documents: Vec<(Document, Reference)>,
    reference: Reference,
    current: &'static str,
    json: &'static str,
}

fn references() -> Vec<(Document, Reference)> {
    Document::ALL.into_iter().map(|document| (document, Reference::of(&document.generate()))).collect()
}

/// The page that lists the documents, as HTML.
pub(super) fn index() -> askama::Result<String> {
    IndexPage { documents: references(), current: "" }.render()
}

/// The page of a document, as HTML.
pub(super) fn of(document: Document) -> askama::Result<String> {
    let reference = Reference::of(&document.generate());
    let (current, json) = (document.name(), document.path());
    DocumentPage { documents: references(), reference, current, json }.render()
}
