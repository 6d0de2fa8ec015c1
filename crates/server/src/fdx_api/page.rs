//! Pages of a list: `limit`, `offset`, links, and a page that the consent has thinned is filled up.

use fdx::v6::CrossVersion;
use fdx::{Accounts, HateoasLink, PageLinks, PageMetadata, PaymentNetworks, Statements, Transactions};

use super::access::DataReader;
use super::cursor;
use super::error::DataError;
use crate::upstream::{self, ReadError, fetch};

/// The query of a list: each parameter at most once, unknown ones ignored.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListQuery(Vec<(String, String)>);

impl ListQuery {
    /// From the raw query.
    pub(crate) fn parse(raw: Option<&str>) -> Self {
        Self(form_urlencoded::parse(raw.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// A parameter. One that is given twice is refused.
    pub(crate) fn get(&self, name: &str, duplicate_message: &'static str) -> Result<Option<&str>, DataError> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(DataError::invalid(duplicate_message)),
            (value, None) => Ok(value),
        }
    }
}

/// `limit` and `offset`.
#[derive(Clone, Debug)]
pub(crate) struct PageQuery {
    pub(crate) limit: u32,
    pub(crate) offset: Option<String>,
}

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

impl PageQuery {
    /// Reads `limit` and `offset`; a limit over the maximum is served as the maximum.
    pub(crate) fn parse(query: &ListQuery, section: &crate::config::PageSection) -> Result<Self, DataError> {
        const LIMIT: &str = "limit must be a positive integer, given once";
        let limit = match query.get("limit", LIMIT)? {
            None => section.size,
            Some(text) => {
                let digits = !text.is_empty() && text.len() < 20 && text.bytes().all(|b| b.is_ascii_digit());
                let number: u64 = if digits { text.parse().unwrap_or(0) } else { 0 };
                if number == 0 {
                    return Err(DataError::invalid(LIMIT));
                }
                u32::try_from(number).unwrap_or(u32::MAX)
            }
        };
        let offset = query.get("offset", "offset is given twice")?.map(str::to_owned);
        Ok(Self { limit: limit.min(section.max), offset })
    }
}

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
        let mut offset = cursor::open(ctx, &bound_to, self.page)?;
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
        let next = offset.map(|upstream| cursor::seal(ctx, &bound_to, &upstream)).transpose()?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn page_query_accepts_or_rejects_any_query(raw in prop_oneof![".*", "(limit|offset|[a-z]{1,4})=[0-9+%a-f.-]{0,25}(&limit=[0-9]{1,3})?"]) {
            let section = crate::config::Config::load(None, std::iter::empty(), &[]).unwrap().page;
            if let Ok(page) = PageQuery::parse(&ListQuery::parse(Some(&raw)), &section) {
                prop_assert!((1..=section.max).contains(&page.limit), "{}", page.limit);
            }
        }
    }

    #[test]
    fn page_limit_must_be_positive_and_is_capped() {
        let section = crate::config::Config::load(None, std::iter::empty(), &[]).unwrap().page;
        let limit =
            |raw: &str| PageQuery::parse(&ListQuery::parse(Some(raw)), &section).map(|p| p.limit).ok();
        assert_eq!((limit(""), limit("limit=7"), limit("limit=9999")), (Some(50), Some(7), Some(500)));
        for bad in
            ["limit=0", "limit=-1", "limit=x", "limit=", "limit=1&limit=2", "limit=1.5", "offset=a&offset=b"]
        {
            assert_eq!(limit(bad), None, "{bad}");
        }
        assert_eq!(limit("limit=1&colour=red&colour=blue"), Some(1), "unknown parameters are ignored");
    }
}
