//! Pages of a list at a provider: links, and a page that the consent has thinned is filled up.

use fdx::v6::CrossVersion;
use fdx::{Accounts, HateoasLink, PageLinks, PageMetadata, PaymentNetworks, Statements, Transactions};

use super::access::DataReader;
use super::error::DataError;
use crate::paging::{self, PageQuery};
use crate::upstream::{self, ReadError, fetch};

/// One answer of a provider.
pub(super) struct UpstreamPage<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
    pub(super) total: Option<u64>,
}

/// A page of the standard, whatever it lists.
pub(super) trait ListPage: Default + CrossVersion {
    type Item;

    fn parts(self) -> (PageMetadata, Vec<Self::Item>);
}

macro_rules! impl_list_page {
    ($($page:ident { $items:ident: $item:ty }),+ $(,)?) => {$(
        impl ListPage for $page {
            type Item = $item;

            fn parts(self) -> (PageMetadata, Vec<$item>) {
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

/// Asks the provider for a page of a list.
pub(super) async fn fetch_page<P: ListPage>(
    reader: &DataReader,
    path: &[&str],
    query: &[(&str, &str)],
    limit: u32,
    offset: Option<&str>,
) -> Result<UpstreamPage<P::Item>, DataError> {
    let limit = limit.to_string();
    let mut full_query = vec![("limit", limit.as_str())];
    full_query.extend(query);
    full_query.extend(offset.map(|offset| ("offset", offset)));
    let response = empty_if_not_found(fetch::<P>(reader.ctx(), reader.access(), path, &full_query).await)?;
    let (page, items) = response.parts();
    Ok(UpstreamPage { items, next: page.next_offset, total: page.total_elements })
}

/// A list that a provider says it has nothing for (1107) is an empty list.
fn empty_if_not_found<T: Default>(result: Result<T, ReadError>) -> Result<T, ReadError> {
    match result {
        Err(ReadError::Upstream(upstream::UpstreamError::FdxError(fdx::ErrorCode::DataNotFound))) => {
            Ok(T::default())
        }
        other => other,
    }
}

/// A list that is read page by page.
pub(super) struct PagedList<'a> {
    pub(super) reader: &'a DataReader,
    pub(super) page: &'a PageQuery,
    /// The path, as the recipient sees it.
    pub(super) path: &'a str,
    /// The query without `offset`, as it is repeated in links and bound to cursors.
    pub(super) query: Vec<(&'a str, String)>,
}

/// How many pages of a provider one page may be filled from.
const MAX_REFILL_PAGES: usize = 5;

impl PagedList<'_> {
    /// Reads the page: `fetch` asks the provider, `keep` leaves out what the consent does not cover.
    pub(super) async fn read<T, F>(
        &self,
        fetch: impl Fn(u32, Option<String>) -> F,
        keep: impl Fn(&T) -> bool,
    ) -> Result<(PageMetadata, PageLinks, Vec<T>), DataError>
    where
        F: Future<Output = Result<UpstreamPage<T>, DataError>>,
    {
        let ctx = self.reader.ctx();
        let bound_to = self.cursor_binding();
        let mut offset = paging::open_page_cursor(ctx, &bound_to, self.page)?;
        let first = offset.is_none();
        let (mut items, mut total, mut dropped) = (Vec::new(), None, false);
        for _ in 0..MAX_REFILL_PAGES {
            let have = u32::try_from(items.len()).unwrap_or(u32::MAX);
            let response = fetch(self.page.limit.saturating_sub(have).max(1), offset.clone()).await?;
            let before = response.items.len() + items.len();
            items.extend(response.items.into_iter().filter(|item| keep(item)));
            dropped |= items.len() < before;
            total = response.total;
            let next = response.next.filter(|next| !next.is_empty());
            if next.is_some() && next == offset {
                return Err(DataError::Fdx(
                    fdx::ErrorCode::Internal,
                    "The data provider's pages run in a circle",
                ));
            }
            offset = next;
            if offset.is_none() || items.len() >= self.page.limit as usize {
                break;
            }
        }
        let exact =
            if first && offset.is_none() { Some(items.len() as u64) } else { total.filter(|_| !dropped) };
        let next = offset.map(|upstream| paging::seal_page_cursor(ctx, &bound_to, &upstream)).transpose()?;
        let links = PageLinks { next: next.as_deref().map(|cursor| self.next_link(cursor)), prev: None };
        Ok((
            PageMetadata { next_offset: next, total_elements: exact, ..PageMetadata::default() },
            links,
            items,
        ))
    }

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
