//! Reads lists from a provider page by page, and returns them with the hub's own cursors and links.

use fdx::v6::Form;
use fdx::{CopiedPage, CopyItem, ErrorCode, HateoasLink, PageLinks, PageMetadata};

use super::access::DataReader;
use super::error::DataError;
use crate::paging::{self, PageQuery};
use crate::upstream::{ReadError, UpstreamError, fetch_with};

/// The text of a response of the FDX API, as JSON.
pub(crate) struct JsonText(pub(crate) Vec<u8>);

impl JsonText {
    /// Creates a response with one page of the list `list`, whose items are separated by commas.
    pub(crate) fn from_page(page: &PageMetadata, links: &PageLinks, list: &str, items: &[u8]) -> Self {
        // The capacity is sufficient for a page without a link.
        let mut text = Vec::with_capacity(items.len() + list.len() + 96);
        // Writing to a vector and serializing these types cannot fail.
        text.extend_from_slice(b"{\"page\":");
        let _ = serde_json::to_writer(&mut text, page);
        text.extend_from_slice(b",\"links\":");
        let _ = serde_json::to_writer(&mut text, links);
        text.extend_from_slice(b",\"");
        text.extend_from_slice(list.as_bytes());
        text.extend_from_slice(b"\":[");
        text.extend_from_slice(items);
        text.extend_from_slice(b"]}");
        Self(text)
    }
}

/// The maximum number of provider pages that are read to fill one page of the recipient.
///
/// Items that the consent does not cover are removed, so a single provider page could leave an empty page for the
/// recipient. The limit bounds the work for a customer with many accounts who shares few of them.
const MAX_REFILL_PAGES: usize = 5;

/// A list at a provider, and the page of it that the recipient requests.
pub(super) struct PagedList<'a> {
    pub(super) reader: &'a DataReader,
    pub(super) page: PageQuery,
    /// The name of the list in the response, and the form of its elements in FDX 6.x.
    pub(super) list: (&'static str, &'static Form),
    /// The path on the hub, used in links and cursors.
    pub(super) path: &'a str,
    /// The query on the hub without `limit` and `offset`, used in links and cursors.
    pub(super) query: &'a [(&'a str, &'a str)],
    /// The path segments at the provider, below its base URL.
    pub(super) upstream_path: &'a [&'a str],
    /// The query at the provider without `limit` and `offset`.
    pub(super) upstream_query: &'a [(&'a str, &'a str)],
}

impl PagedList<'_> {
    /// Reads the requested page of the list. `items` copies the items that are part of the response.
    pub(super) async fn read(&self, items: &mut impl CopyItem) -> Result<JsonText, DataError> {
        let ctx = self.reader.ctx();
        // Most requests need no cursor, so the text to which it is bound is built only for one.
        let mut offset = match self.page.offset {
            Some(_) => paging::open_page_cursor(ctx, &self.cursor_binding(), &self.page)?,
            None => None,
        };
        let starts_at_first = offset.is_none();
        let (mut copied, mut count, mut upstream_total, mut dropped_any) = (Vec::new(), 0, None, false);
        for _ in 0..MAX_REFILL_PAGES {
            let missing = self.page.limit.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
            let upstream_page = self.fetch(missing, offset.as_deref(), items, &mut copied).await?;
            count += upstream_page.copied;
            dropped_any |= upstream_page.copied < upstream_page.received;
            upstream_total = upstream_page.page.total_elements;
            let next_offset = upstream_page.page.next_offset.filter(|next| !next.is_empty());
            if next_offset.is_some() && next_offset == offset {
                // A recipient that follows the links would never reach the end of the list.
                let description = "The data provider returned the same page offset again";
                return Err(DataError::Fdx(ErrorCode::Internal, description));
            }
            offset = next_offset;
            if offset.is_none() || count >= self.page.limit as usize {
                break;
            }
        }
        let total_elements = if starts_at_first && offset.is_none() {
            Some(count as u64)
        } else {
            // The provider's total includes the items that were removed. It would be wrong, and would reveal that they
            // exist.
            upstream_total.filter(|_| !dropped_any)
        };
        let cursor = offset
            .map(|offset| paging::seal_page_cursor(ctx, &self.cursor_binding(), &offset))
            .transpose()?;
        // There is no link to the previous page: the hub does not store which pages it has served.
        let links = PageLinks { next: cursor.as_deref().map(|cursor| self.next_link(cursor)), prev: None };
        let page = PageMetadata { next_offset: cursor, total_elements, ..PageMetadata::default() };
        Ok(JsonText::from_page(&page, &links, self.list.0, &copied))
    }

    /// Reads one page from the provider and appends its items to `copied`. The error "data not found" counts as an empty
    /// page.
    async fn fetch(
        &self,
        limit: u32,
        offset: Option<&str>,
        items: &mut impl CopyItem,
        copied: &mut Vec<u8>,
    ) -> Result<CopiedPage, DataError> {
        let limit = limit.to_string();
        let mut query = Vec::with_capacity(self.upstream_query.len() + 2);
        query.push(("limit", limit.as_str()));
        query.extend(self.upstream_query);
        query.extend(offset.map(|offset| ("offset", offset)));
        let (ctx, access) = (self.reader.ctx(), self.reader.access());
        let (list, element) = self.list;
        let copy = |text: &[u8]| fdx::copy_page(text, list, items, copied);
        let form = Form::Page(list, element);
        match fetch_with(ctx, access, self.upstream_path, &query, form, copy).await {
            Ok(page) => Ok(page),
            // Some providers report an empty list as "data not found" (1107).
            Err(ReadError::Upstream(UpstreamError::FdxError(ErrorCode::DataNotFound))) => {
                Ok(CopiedPage::default())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the text that binds a cursor to this list: connection, path and query. The cursor is invalid for any
    /// other list.
    fn cursor_binding(&self) -> String {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(self.own_query()).finish();
        format!("{}\n{}\n{query}", self.reader.access().connection_id(), self.path)
    }

    fn next_link(&self, cursor: &str) -> HateoasLink {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(self.own_query())
            .append_pair("offset", cursor)
            .finish();
        let href = format!("{}{}?{query}", self.reader.ctx().app().public_url(), self.path);
        HateoasLink {
            href: Some(href),
            action: Some("GET".into()),
            description: Some("The next page".into()),
            ..HateoasLink::default()
        }
    }

    /// Returns the query parameters of the hub's own URL of the list, including `limit` but not `offset`.
    fn own_query(&self) -> impl Iterator<Item = (&str, String)> {
        let limit = [("limit", self.page.limit.to_string())];
        limit.into_iter().chain(self.query.iter().map(|(name, value)| (*name, (*value).to_owned())))
    }
}
