//! Paging of lists: the parameters `limit` and `offset`, and cursors.
//!
//! A cursor is sealed, bound to one list, and expires. A caller can neither read it nor use it for another list.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::PageSection;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::DataKey;

/// The maximum length of a cursor. A longer parameter is rejected before it is decoded.
const MAX_CURSOR_BYTES: usize = 4096;

/// The reason why the parameters of a list, or a cursor, are invalid.
#[derive(Debug)]
pub enum PagingError {
    /// A parameter is invalid; the message names it.
    Invalid(&'static str),
    /// The position is too long for a cursor: [`open_cursor`] would reject it.
    CursorTooLong,
    Internal(InternalError),
}

impl<E: Into<InternalError>> From<E> for PagingError {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}

/// The query of a list. Unknown parameters are ignored.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListQuery(Vec<(String, String)>);

impl ListQuery {
    /// Decodes the query string of a URL.
    pub(crate) fn parse(query: Option<&str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// Returns the value of a parameter. A repeated parameter is an error with `duplicate_message`.
    pub(crate) fn get(
        &self,
        name: &str,
        duplicate_message: &'static str,
    ) -> Result<Option<&str>, PagingError> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(PagingError::Invalid(duplicate_message)),
            (value, None) => Ok(value),
        }
    }
}

/// The requested page of a list: the parameters `limit` and `offset`.
#[derive(Clone, Debug)]
pub(crate) struct PageQuery {
    pub(crate) limit: u32,
    pub(crate) offset: Option<String>,
}

impl PageQuery {
    /// Reads `limit` and `offset`. A limit above the configured maximum is lowered to the maximum.
    pub(crate) fn parse(query: &ListQuery, section: &PageSection) -> Result<Self, PagingError> {
        Self::parse_with_default(query, section.size, section.max)
    }

    /// Reads the parameters of a list that is an array. Without `limit` its pages have the maximum size, because a client that
    /// knows only the array does not look for a next page.
    pub(crate) fn parse_for_array(query: &ListQuery, section: &PageSection) -> Result<Self, PagingError> {
        Self::parse_with_default(query, section.max, section.max)
    }

    fn parse_with_default(query: &ListQuery, default: u32, max: u32) -> Result<Self, PagingError> {
        const INVALID_LIMIT: &str = "limit must be a positive integer, given once";
        let limit = match query.get("limit", INVALID_LIMIT)? {
            None => default,
            Some(text) => {
                // `u64::from_str` would accept "+1" too. Fewer than 20 digits cannot overflow.
                let digits = !text.is_empty() && text.len() < 20 && text.bytes().all(|b| b.is_ascii_digit());
                let number: u64 = if digits { text.parse().unwrap_or(0) } else { 0 };
                if number == 0 {
                    return Err(PagingError::Invalid(INVALID_LIMIT));
                }
                u32::try_from(number).unwrap_or(u32::MAX)
            }
        };
        let offset = query.get("offset", "offset is given twice")?.map(str::to_owned);
        Ok(Self { limit: limit.min(max), offset })
    }
}

/// The content of a cursor before it is sealed.
#[derive(Serialize, Deserialize)]
struct Cursor {
    /// The position: an offset of the provider, or the id of the last row.
    upstream: String,
    until: Timestamp,
}

/// Seals a position of the list `bound_to` as a cursor with the configured lifetime.
pub(crate) fn seal_position(
    ctx: &RequestContext,
    bound_to: &str,
    position: &str,
) -> Result<String, InternalError> {
    let until = ctx.now().plus(ctx.app().config().page.cursor_ttl.duration());
    seal_cursor(ctx.app().vault().cursor_key(), bound_to, position, until)
}

/// Returns the position in a cursor; `None` if the cursor was altered, belongs to another list or has expired.
pub(crate) fn open_position(ctx: &RequestContext, bound_to: &str, cursor: &str) -> Option<String> {
    open_cursor(ctx.app().vault().cursor_key(), bound_to, cursor, ctx.now())
}

/// Creates the cursor of the page after `position`. It must fit in the parameter of a list.
pub(crate) fn seal_page_cursor(
    ctx: &RequestContext,
    bound_to: &str,
    position: &str,
) -> Result<String, PagingError> {
    let sealed = seal_position(ctx, bound_to, position)?;
    if sealed.len() > MAX_CURSOR_BYTES { Err(PagingError::CursorTooLong) } else { Ok(sealed) }
}

/// Returns the position in the cursor of the query; `None` if the query has no cursor and requests the first page.
pub(crate) fn open_page_cursor(
    ctx: &RequestContext,
    bound_to: &str,
    query: &PageQuery,
) -> Result<Option<String>, PagingError> {
    const INVALID_CURSOR: PagingError = PagingError::Invalid("offset is altered, expired or of another list");
    let Some(offset) = &query.offset else { return Ok(None) };
    open_position(ctx, bound_to, offset).map(Some).ok_or(INVALID_CURSOR)
}

/// Seals a position of the list `bound_to` as a cursor that is valid until `until`.
pub fn seal_cursor(
    key: &DataKey,
    bound_to: &str,
    position: &str,
    until: Timestamp,
) -> Result<String, InternalError> {
    let cursor = Cursor { upstream: position.to_owned(), until };
    let plain =
        serde_json::to_vec(&cursor).map_err(|_| InternalError::new("a cursor cannot be serialized"))?;
    Ok(URL_SAFE_NO_PAD.encode(key.seal(bound_to, &plain)?))
}

/// Returns the position in a cursor; `None` if the cursor was altered, belongs to another list or has expired.
pub fn open_cursor(key: &DataKey, bound_to: &str, cursor: &str, now: Timestamp) -> Option<String> {
    if cursor.len() > MAX_CURSOR_BYTES {
        return None;
    }
    let sealed = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    // Only the hub can have sealed the content, so its lifetime can be trusted.
    let plain = key.open(bound_to, &sealed).ok()?;
    let cursor: Cursor = serde_json::from_slice(plain.expose()).ok()?;
    (now < cursor.until).then_some(cursor.upstream)
}

/// Truncates rows to one page, and returns the last row of the page if another page follows.
///
/// Callers read one row more than the limit: only that row shows that another page follows.
pub fn truncate_page<T>(rows: &mut Vec<T>, limit: u32) -> Option<&T> {
    let limit = limit as usize;
    let more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().filter(|_| more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Secret;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn key() -> DataKey {
        DataKey::new(Secret::new([1; 32]))
    }

    proptest! {
        #[test]
        fn arbitrary_page_query_is_parsed_or_rejected(raw in prop_oneof![".*", "(limit|offset|[a-z]{1,4})=[0-9+%a-f.-]{0,25}(&limit=[0-9]{1,3})?"]) {
            let section = crate::config::Config::load(None, std::iter::empty(), &[]).unwrap().page;
            if let Ok(page) = PageQuery::parse(&ListQuery::parse(Some(&raw)), &section) {
                prop_assert!((1..=section.max).contains(&page.limit), "{}", page.limit);
            }
        }

        #[test]
        fn cursor_opens_only_for_its_list_before_expiry(upstream: String, list: String, other: String) {
            let cursor = seal_cursor(&key(), &list, &upstream, NOW).unwrap();
            let before = Timestamp::from_millis(999);
            let fits = cursor.len() <= MAX_CURSOR_BYTES;
            prop_assert_eq!(open_cursor(&key(), &list, &cursor, before), fits.then_some(upstream));
            prop_assert_eq!(open_cursor(&key(), &list, &cursor, NOW), None);
            prop_assert!(other == list || open_cursor(&key(), &other, &cursor, before).is_none());
        }

        #[test]
        fn unsealed_cursor_is_rejected(text: String, bytes: Vec<u8>, list: String) {
            for cursor in [text, URL_SAFE_NO_PAD.encode(&bytes)] {
                prop_assert_eq!(open_cursor(&key(), &list, &cursor, NOW), None);
            }
        }

        #[test]
        fn sealed_value_without_cursor_is_rejected(plain: Vec<u8>) {
            let cursor = URL_SAFE_NO_PAD.encode(key().seal("list", &plain).unwrap());
            prop_assert_eq!(open_cursor(&key(), "list", &cursor, NOW), None);
        }

        #[test]
        fn altered_cursor_is_rejected(at: prop::sample::Index, by in "[A-Za-z0-9_=.-]") {
            let cursor = seal_cursor(&key(), "list", "next", NOW).unwrap();
            let at = at.index(cursor.len());
            let altered = format!("{}{by}{}", &cursor[..at], &cursor[at + 1..]);
            prop_assume!(altered != cursor);
            prop_assert_eq!(open_cursor(&key(), "list", &altered, Timestamp::EPOCH), None);
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
