//! Reads lists from a provider page by page, and returns them with the hub's own cursors and links.

use fdx::v6::CrossVersion;
use fdx::{
    Accounts, ErrorCode, HateoasLink, PageLinks, PageMetadata, PaymentNetworks, Statements, Transactions,
};

use super::access::DataReader;
use super::error::DataError;
use crate::paging::{self, PageQuery};
use crate::upstream::{ReadError, UpstreamError, fetch};

/// An FDX response that contains one page of a list.
pub(super) trait ListPage: Default + CrossVersion {
    type Item;

    fn from_parts(page: PageMetadata, links: PageLinks, items: Vec<Self::Item>) -> Self;

    fn into_parts(self) -> (PageMetadata, Vec<Self::Item>);
}

macro_rules! impl_list_page {
    ($($page:ident { $items:ident: $item:ty }),+ $(,)?) => {$(
        impl ListPage for $page {
            type Item = $item;

            fn from_parts(page: PageMetadata, links: PageLinks, $items: Vec<$item>) -> Self {
                Self { page, links, $items }
            }

            fn into_parts(self) -> (PageMetadata, Vec<$item>) {
                (self.page, self.$items)
            }
        }
    )+};
}
impl_list_page! {
    Accounts { accounts: fdx::Account },
    Transactions { transactions: fdx::Transaction },
    PaymentNetworks { payment_networks: fdx::PaymentNetwork },
    Statements { statements: fdx::Statement },
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
    /// Reads the requested page of the list, without the items that `keep` rejects.
    pub(super) async fn read<P: ListPage>(&self, keep: impl Fn(&P::Item) -> bool) -> Result<P, DataError> {
        let ctx = self.reader.ctx();
        let bound_to = self.cursor_binding();
        let mut offset = paging::open_page_cursor(ctx, &bound_to, &self.page)?;
        let starts_at_first = offset.is_none();
        let (mut items, mut upstream_total, mut dropped_any) = (Vec::new(), None, false);
        for _ in 0..MAX_REFILL_PAGES {
            let missing = self.page.limit.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
            let (upstream_page, upstream_items) = self.fetch::<P>(missing, offset.as_deref()).await?;
            let received = items.len() + upstream_items.len();
            items.extend(upstream_items.into_iter().filter(|item| keep(item)));
            dropped_any |= items.len() < received;
            upstream_total = upstream_page.total_elements;
            let next_offset = upstream_page.next_offset.filter(|next| !next.is_empty());
            if next_offset.is_some() && next_offset == offset {
                // A recipient that follows the links would never reach the end of the list.
                let description = "The data provider returned the same page offset again";
                return Err(DataError::Fdx(ErrorCode::Internal, description));
            }
            offset = next_offset;
            if offset.is_none() || items.len() >= self.page.limit as usize {
                break;
            }
        }
        let total_elements = if starts_at_first && offset.is_none() {
            Some(items.len() as u64)
        } else {
            // The provider's total includes the items that were removed. It would be wrong, and would reveal that they
            // exist.
            upstream_total.filter(|_| !dropped_any)
        };
        let cursor = offset.map(|offset| paging::seal_page_cursor(ctx, &bound_to, &offset)).transpose()?;
        // There is no link to the previous page: the hub does not store which pages it has served.
        let links = PageLinks { next: cursor.as_deref().map(|cursor| self.next_link(cursor)), prev: None };
        let page = PageMetadata { next_offset: cursor, total_elements, ..PageMetadata::default() };
        Ok(P::from_parts(page, links, items))
    }

    /// Reads one page from the provider. The error "data not found" counts as an empty page.
    async fn fetch<P: ListPage>(
        &self,
        limit: u32,
        offset: Option<&str>,
    ) -> Result<(PageMetadata, Vec<P::Item>), DataError> {
        let limit = limit.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(self.upstream_query);
        query.extend(offset.map(|offset| ("offset", offset)));
        let response = fetch::<P>(self.reader.ctx(), self.reader.access(), self.upstream_path, &query).await;
        match response {
            Ok(page) => Ok(page.into_parts()),
            // Some providers report an empty list as "data not found" (1107).
            Err(ReadError::Upstream(UpstreamError::FdxError(ErrorCode::DataNotFound))) => {
                Ok(P::default().into_parts())
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
