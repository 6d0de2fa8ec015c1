//! Reads lists from a provider page by page, and returns them with the hub's own cursors and links.

use fdx::{CopiedPage, CopyItem, ErrorCode, HateoasLink, PageLinks, PageMetadata, PageWindow};

use super::access::DataReader;
use super::dates::{DATES_NOT_ACCEPTED, DateRange, DateRangeLimits};
use super::error::{DataError, NO_ACCOUNT};
use super::position::{ListDates, ListPosition};
use crate::paging::{self, ListQuery, PageQuery};
use crate::upstream::{ConnectionSource, ReadError, UpstreamError};

/// The text of a response of the FDX API, as JSON.
pub(crate) struct JsonText {
    pub(crate) text: Vec<u8>,
    /// The number of elements that the consent covers and that were left out because the hub cannot read them.
    pub(crate) omitted: usize,
}

impl JsonText {
    /// Creates a response with one page of the list `list`, whose items are separated by commas.
    pub(crate) fn from_page(
        page: &PageMetadata,
        links: &PageLinks,
        list: &str,
        items: &[u8],
        omitted: usize,
    ) -> Self {
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
        Self { text, omitted }
    }

    /// Creates a response with an empty list.
    pub(crate) fn from_empty_list(list: &str) -> Self {
        Self::from_page(&PageMetadata::default(), &PageLinks::default(), list, b"", 0)
    }
}

/// The maximum number of provider pages that are read to fill one page of the recipient.
///
/// Items that the consent does not cover are removed, so a single provider page could leave an empty page for the
/// recipient. The limit bounds the work for a customer with many accounts who shares few of them.
const MAX_REFILL_PAGES: usize = 5;

/// A list on the hub, and the page of it that the recipient requests.
pub(super) struct ListRequest<'a> {
    reader: &'a DataReader,
    page: PageQuery,
    /// The path on the hub.
    path: &'a str,
    /// The query on the hub without `offset`, as the recipient sent it.
    query: Vec<(&'static str, &'a str)>,
}

impl<'a> ListRequest<'a> {
    /// Reads the paging parameters and those with the given names. Each name has a message for a parameter that is given
    /// twice.
    pub(super) fn parse(
        reader: &'a DataReader,
        path: &'a str,
        names: &[(&'static str, &'static str)],
    ) -> Result<Self, DataError> {
        let page = reader.parse_page_query()?;
        let given: &ListQuery = reader.query();
        let mut query = Vec::with_capacity(names.len() + 1);
        for (name, given_twice) in [("limit", "limit is given twice")].iter().chain(names) {
            query.extend(given.get(name, given_twice)?.map(|value| (*name, value)));
        }
        Ok(Self { reader, page, path, query })
    }

    /// Returns the position that the request continues from; the default for the first page.
    pub(super) fn open_position(&self) -> Result<ListPosition, DataError> {
        // Most requests need no cursor, so the text to which it is bound is built only for one.
        if self.page.offset.is_none() {
            return Ok(ListPosition::default());
        }
        let text = paging::open_page_cursor(self.reader.ctx(), &self.cursor_binding(), &self.page)?;
        let position = text.and_then(|text| ListPosition::parse(&text));
        position.ok_or(DataError::invalid("offset is altered, expired or of another list"))
    }

    /// Opens a list with dates at the position that the request continues from, and returns the days that it serves. `range`
    /// are those of the first page. Returns `None` if the provider has none of them.
    pub(super) async fn open_dated(
        self,
        list: &'static str,
        upstream_path: &'a [&'a str],
        range: Option<DateRange>,
        history: DateRangeLimits,
    ) -> Result<Option<(PagedList<'a>, DateRange)>, DataError> {
        let mut position = self.open_position()?;
        let source = ConnectionSource::load(self.reader.ctx(), self.reader.access()).await?;
        let dates = range.map(|served| ListDates {
            served,
            upstream: history.intersect_provider(served, source.history()),
        });
        let Some(ListDates { served, upstream: Some(upstream) }) = position.fix_dates(dates) else {
            return Ok(None);
        };
        let list = PagedList {
            request: self,
            position,
            source,
            list,
            upstream_path,
            upstream_query: &[],
            upstream_dates: Some(upstream),
        };
        Ok(Some((list, served)))
    }

    /// Returns the text that binds a cursor to this list: connection, path and query. The cursor is invalid for any other
    /// list. The dates are those that the recipient requested, so that a cursor stays valid when the day ends.
    fn cursor_binding(&self) -> String {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        format!("{}\n{}\n{query}", self.reader.access().connection_id(), self.path)
    }

    fn next_link(&self, cursor: &str) -> HateoasLink {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.query)
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
}

/// A list at a provider, and the position from which it is read.
pub(super) struct PagedList<'a> {
    pub(super) request: ListRequest<'a>,
    pub(super) position: ListPosition,
    pub(super) source: ConnectionSource<'a>,
    /// The name of the list in the response.
    pub(super) list: &'static str,
    /// The path segments at the provider, below its base URL.
    pub(super) upstream_path: &'a [&'a str],
    /// The query at the provider without the paging and date parameters.
    pub(super) upstream_query: &'a [(&'a str, &'a str)],
    /// The days that are requested from the provider; `None` for lists without dates.
    pub(super) upstream_dates: Option<DateRange>,
}

impl PagedList<'_> {
    /// Reads the requested page of the list. `items` copies the items that are part of the response.
    pub(super) async fn read(mut self, items: &mut impl CopyItem) -> Result<JsonText, DataError> {
        let limit = self.request.page.limit as usize;
        let (mut copied, mut count, mut omitted, mut total) = (Vec::new(), 0, 0, None);
        let mut has_more = true;
        for _ in 0..MAX_REFILL_PAGES {
            let page = self.fetch(limit - count, items, &mut copied).await?;
            count += page.copied;
            omitted += page.omitted;
            // The total would be wrong, and would reveal that the items exist.
            self.position.has_left_out |= page.left_out > 0;
            total = page.total.filter(|_| !self.position.has_left_out);
            if page.consumed < page.received {
                // The provider sent more than was requested. The rest of its page is part of the next one.
                self.position.skip = page.consumed;
                break;
            }
            has_more = page.next.is_some();
            if page.next.is_some_and(|next| !self.position.advance(next)) {
                // A recipient that follows the links would never reach the end of the list.
                let description = "The data provider returned the same page offset again";
                return Err(DataError::Fdx(ErrorCode::Internal, description));
            }
            if !has_more || count >= limit {
                break;
            }
        }
        let cursor = if has_more { Some(self.seal_position()?) } else { None };
        // There is no link to the previous page: the hub does not store which pages it has served.
        let links =
            PageLinks { next: cursor.as_deref().map(|cursor| self.request.next_link(cursor)), prev: None };
        let page = PageMetadata { next_offset: cursor, total_elements: total, ..PageMetadata::default() };
        Ok(JsonText::from_page(&page, &links, self.list, &copied, omitted))
    }

    fn seal_position(&self) -> Result<String, DataError> {
        let text = self.position.to_text()?;
        Ok(paging::seal_page_cursor(self.request.reader.ctx(), &self.request.cursor_binding(), &text)?)
    }

    /// Reads one page from the provider and appends its items to `copied`. The error "data not found" counts as an empty
    /// page.
    async fn fetch(
        &self,
        limit: usize,
        items: &mut impl CopyItem,
        copied: &mut Vec<u8>,
    ) -> Result<CopiedPage, DataError> {
        let limit = self.source.page_size().map_or(limit, |most| limit.min(most));
        let limit_text = limit.to_string();
        let dates = self.upstream_dates.map(|range| (range.start.to_string(), range.end.to_string()));
        let date_parameters = self.source.date_parameters();
        let mut query = Vec::with_capacity(self.upstream_query.len() + 4);
        query.push(("limit", limit_text.as_str()));
        query.extend(self.upstream_query);
        if let Some((start, end)) = &dates {
            query.extend(date_parameters.names().into_iter().zip([start.as_str(), end.as_str()]));
        }
        query.extend(self.position.parameter());
        let window = PageWindow { list: self.list, skip: self.position.skip, limit };
        let read = self.source.read(self.upstream_path, &query, |text, version, report| {
            fdx::copy_page(text, version, window, items, copied, report)
        });
        match read.await {
            // Some providers report an empty list as "data not found" (1107).
            Err(ReadError::Upstream(UpstreamError::FdxError(ErrorCode::DataNotFound))) => {
                Ok(CopiedPage::default())
            }
            // Without an FDX code, 404 does not prove that the list is empty. Below an account, the account is unknown.
            Err(ReadError::Upstream(UpstreamError::NotFound)) if self.upstream_path.len() > 1 => {
                Err(NO_ACCOUNT)
            }
            // The recipient chose the dates.
            Err(ReadError::Upstream(UpstreamError::FdxError(
                code @ (ErrorCode::InvalidDate | ErrorCode::InvalidRange),
            ))) if self.upstream_dates.is_some() => Err(DataError::Fdx(code, DATES_NOT_ACCEPTED)),
            result => {
                let page = result?;
                if let Some(link) = page.link_dates.filter(|_| dates.is_some()) {
                    self.source.note_link_dates(date_parameters, link);
                }
                Ok(page)
            }
        }
    }
}
