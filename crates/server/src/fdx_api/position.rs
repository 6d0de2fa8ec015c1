//! The position in a provider's list from which the next page continues. It is the content of a cursor.

use std::hash::{DefaultHasher, Hash, Hasher};

use fdx::{NextPage, PageParameter};
use serde::{Deserialize, Serialize};

use super::dates::DateRange;
use crate::error::InternalError;

/// The number of earlier pages that are compared with the next one. It bounds the size of a cursor.
const MAX_VISITED: usize = 32;

/// The days that a list covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ListDates {
    /// The days whose items are served.
    #[serde(rename = "s")]
    pub(super) served: DateRange,
    /// The days that are requested from the provider; `None` if its history has none of the served ones.
    #[serde(rename = "u")]
    pub(super) upstream: Option<DateRange>,
}

/// The position in a provider's list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ListPosition {
    /// The offset of the provider's page; `None` for the first page.
    #[serde(rename = "o", skip_serializing_if = "Option::is_none")]
    offset: Option<String>,
    /// True if the offset is sent as `pageKey`.
    #[serde(rename = "k", default)]
    is_page_key: bool,
    /// The number of items of the provider's page that were already read.
    #[serde(rename = "s", default)]
    pub(super) skip: usize,
    /// True if an item of the list was left out, so that the provider's total is wrong.
    #[serde(rename = "l", default)]
    pub(super) has_left_out: bool,
    /// The days that the first page covers.
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    dates: Option<ListDates>,
    /// Digests of the offsets of the last pages.
    #[serde(rename = "v", default)]
    visited: Vec<u32>,
}

impl ListPosition {
    /// Parses the content of a cursor.
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn to_text(&self) -> Result<String, InternalError> {
        serde_json::to_string(self).map_err(|_| InternalError::new("a position cannot be serialized"))
    }

    /// Returns the days that all pages of the list cover; `None` if there are none. The first page sets them: the days that
    /// a recipient may read move when a day ends, and the provider's offsets may belong to the first ones.
    pub(super) fn fix_dates(&mut self, first_page: Option<ListDates>) -> Option<ListDates> {
        self.dates = self.dates.or(first_page);
        self.dates
    }

    /// Returns the query parameter with the offset.
    pub(super) fn parameter(&self) -> Option<(&'static str, &str)> {
        let parameter = if self.is_page_key { PageParameter::PageKey } else { PageParameter::Offset };
        self.offset.as_deref().map(|offset| (parameter.name(), offset))
    }

    /// Moves to the next page. Returns false if the page was visited before.
    pub(super) fn advance(&mut self, next: NextPage) -> bool {
        let digest = digest(&next.value);
        if self.visited.contains(&digest) {
            return false;
        }
        if self.visited.len() >= MAX_VISITED {
            self.visited.remove(0);
        }
        self.visited.push(digest);
        self.is_page_key = next.parameter == PageParameter::PageKey;
        self.offset = Some(next.value);
        self.skip = 0;
        true
    }
}

/// Returns a short digest of an offset. Equal digests of different offsets are improbable within one list.
fn digest(offset: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    offset.hash(&mut hasher);
    (hasher.finish() >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(value: &str) -> NextPage {
        NextPage { parameter: PageParameter::Offset, value: value.to_owned() }
    }

    #[test]
    fn cycle_of_pages_is_detected_across_cursors() {
        let mut position = ListPosition::default();

        for (offset, is_new) in [("A", true), ("B", true), ("C", true), ("A", false), ("C", false)] {
            position = ListPosition::parse(&position.to_text().unwrap()).unwrap();
            assert_eq!(position.advance(next(offset)), is_new, "{offset}");
        }
    }

    #[test]
    fn position_of_long_list_fits_into_cursor() {
        let mut position = ListPosition::default();

        for page in 0..1_000 {
            assert!(position.advance(next(&page.to_string())));
        }

        assert_eq!(position.visited.len(), MAX_VISITED);
        assert!(position.to_text().unwrap().len() < 500);
    }

    #[test]
    fn first_page_fixes_dates_of_all_pages() {
        let day = |day| jiff::civil::date(2026, 1, day);
        let dates = |start, end| {
            let range = DateRange { start: day(start), end: day(end) };
            Some(ListDates { served: range, upstream: Some(range) })
        };
        let mut position = ListPosition::default();

        let first = position.fix_dates(dates(1, 2));
        let mut later = ListPosition::parse(&position.to_text().unwrap()).unwrap();

        assert_eq!((first, later.fix_dates(dates(2, 3)), later.fix_dates(None)), (dates(1, 2), first, first));
    }
}
