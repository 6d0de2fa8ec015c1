//! The page to pick a provider: it sends the same request again, with the one that was picked.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::{Text, flow_page};
use crate::authz::Picker;

#[derive(Template)]
#[template(path = "picker.html")]
struct Page {
    text: Text,
    picker: Picker,
}

/// The page.
pub fn picker(picker: Picker, https: bool) -> Response {
    flow_page(StatusCode::OK, &Page { text: Text::new(picker.language), picker }, https)
}
