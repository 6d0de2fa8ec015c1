//! Pages of lists that are arrays, as Flinks documents them. The URL of the next page is in a header of the response.

use store::query::SearchPage;

use super::error::PartnerApiError;
use crate::context::RequestContext;
use crate::paging::{ListQuery, PageQuery, open_page_cursor, seal_page_cursor, truncate_page};

/// A page of a list.
#[derive(Debug)]
pub(super) struct ArrayPage<T> {
    pub(super) items: Vec<T>,
    /// The URL of the next page; `None` on the last page.
    pub(super) next: Option<String>,
}

/// The requested page of a list.
pub(super) struct ArrayPageRequest<'a> {
    path: &'a str,
    /// The client and the list. A cursor is valid only for both.
    bound_to: String,
    limit: u32,
    /// The sort key of the last element of the previous page.
    pub(super) after: Option<String>,
}

impl<'a> ArrayPageRequest<'a> {
    /// Parses the parameters `limit` and `offset` of the list at `path`, which `client_id` requests.
    pub(super) fn parse(
        ctx: &RequestContext,
        client_id: &str,
        path: &'a str,
        query: &ListQuery,
    ) -> Result<Self, PartnerApiError> {
        let page = PageQuery::parse_for_array(query, &ctx.app().config().page)?;
        let bound_to = format!("{client_id}\n{path}");
        let after = open_page_cursor(ctx, &bound_to, &page)?;
        Ok(Self { path, bound_to, limit: page.limit, after })
    }

    /// Returns the number of rows to read: one more than the size of the page. The extra row shows that another page
    /// follows.
    pub(super) const fn row_limit(&self) -> u32 {
        self.limit.saturating_add(1)
    }

    /// Builds the page from at most `row_limit` rows. `key` returns the sort key of a row for the cursor.
    pub(super) fn build_page<T>(
        &self,
        ctx: &RequestContext,
        found: SearchPage<T>,
        key: impl Fn(&T) -> String,
    ) -> Result<ArrayPage<T>, PartnerApiError> {
        let SearchPage { rows: mut items, window_end, .. } = found;
        let last = truncate_page(&mut items, self.limit).or(window_end.as_ref()).map(key);
        let cursor = last.map(|last| seal_page_cursor(ctx, &self.bound_to, &last)).transpose()?;
        let (url, path, limit) = (ctx.app().public_url(), self.path, self.limit);
        let next = cursor.map(|cursor| format!("{url}{path}?limit={limit}&offset={cursor}"));
        Ok(ArrayPage { items, next })
    }
}
