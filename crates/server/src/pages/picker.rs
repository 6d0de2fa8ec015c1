//! The page to pick a provider: it sends the same request again, with the one that was picked.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::{PageTexts, render_flow_page};
use crate::oauth::Picker;

#[derive(Template)]
#[template(path = "picker.html")]
struct PickerPage {
    text: PageTexts,
    picker: Picker,
}

/// The page.
pub fn render_picker(picker: Picker, https: bool) -> Response {
    render_flow_page(StatusCode::OK, &PickerPage { text: PageTexts::new(picker.language), picker }, https)
}
