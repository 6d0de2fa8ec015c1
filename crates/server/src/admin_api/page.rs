//! Paging of the lists in the admin API: the parameters `limit` and `after`, and the members `items` and `next`.

use schemars::JsonSchema;
use serde::Serialize;
use store::query::SearchPage;

use super::error::AdminError;
use super::params::Params;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::paging::{open_position, seal_position, truncate_page};

/// A page of a list, with the cursor of the next page.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct AdminPage<T> {
    /// The matching objects. The list may be shorter than `limit`, or empty, although more follow.
    pub items: Vec<T>,
    /// The value of `after` for the next page; `null` on the last page. A search examines a limited number of objects for
    /// each page, so a page may be empty although `next` is present: continue until `next` is `null`.
    pub next: Option<String>,
    /// The number of objects that are left out, because another program has changed their rows in the database. The log contains
    /// their ids.
    pub unverified: usize,
}

/// The requested page of a list: its size, and the position after which it starts.
pub(super) struct PageRequest {
    limit: u32,
    /// The name of the list and its filters. A cursor is valid only for the same list with the same filters.
    bound_to: String,
    after: Option<String>,
}

impl PageRequest {
    /// Parses the parameters `limit` and `after`. `list` is the name of the list. Returns an error for a cursor that
    /// has expired, was altered or belongs to another list.
    pub(super) fn from_params(ctx: &RequestContext, list: &str, params: &Params) -> Result<Self, AdminError> {
        let section = &ctx.app().config().page;
        let positive = |text: &str| text.parse::<u32>().ok().filter(|n| *n > 0 && !text.starts_with('+'));
        let limit = params.parse("limit", "expected a positive integer", positive)?.unwrap_or(section.size);
        let bound_to = format!("admin\n{list}\n{}", params.filter_key());
        let open = |text: &str| open_position(ctx, &bound_to, text);
        let expected = "expected `next` of the same list, not altered and not expired";
        let after = params.parse("after", expected, open)?;
        Ok(Self { limit: limit.min(section.max), bound_to, after })
    }

    /// Returns the number of rows to read: one more than the size of the page. The extra row shows that another page
    /// follows.
    pub(super) const fn row_limit(&self) -> u32 {
        self.limit.saturating_add(1)
    }

    /// Parses the sort key of the last row of the previous page. Returns `None` for the first page.
    pub(super) fn parse_after<T>(&self, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, AdminError> {
        // The hub created the cursor itself, so a malformed key is an internal error, not an error of the caller.
        let malformed = || AdminError::from(InternalError::new("a cursor of this hub has a malformed key"));
        self.after.as_deref().map(|text| parse(text).ok_or_else(malformed)).transpose()
    }

    /// Builds the page from at most `row_limit` rows. `key` returns the sort key of a row for the cursor.
    ///
    /// The next page follows the last row of a full page, and otherwise the last row that the search examined.
    pub(super) fn build_page<T, V>(
        &self,
        ctx: &RequestContext,
        found: SearchPage<T>,
        key: impl Fn(&T) -> String,
        to_item: impl Fn(T) -> V,
    ) -> Result<AdminPage<V>, AdminError> {
        let seal = |row: &T| seal_position(ctx, &self.bound_to, &key(row));
        let SearchPage { mut rows, unverified, window_end } = found;
        let next = truncate_page(&mut rows, self.limit).or(window_end.as_ref()).map(seal).transpose()?;
        Ok(AdminPage { items: rows.into_iter().map(to_item).collect(), next, unverified })
    }
}
