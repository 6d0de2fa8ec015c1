//! The frame of every page for customers: its language, and the link to the other one.

use domain::rule::authorize::Language;

use super::text::PageTexts;
use crate::http::PageLocale;

/// The parts that all pages have in common.
pub struct PageFrame {
    pub texts: PageTexts,
    pub other_language: Language,
    pub other_language_link: String,
}

impl PageFrame {
    /// Creates the frame of a page.
    pub fn new(locale: &PageLocale) -> Self {
        Self {
            texts: PageTexts::new(locale.language()),
            other_language: locale.language().other(),
            other_language_link: locale.other_language_link(),
        }
    }
}
