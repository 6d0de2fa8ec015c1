//! Paging cursors: sealed, bound to connection, path and query, and short-lived.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::page::PageQuery;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::DataKey;

/// Where a list goes on.
#[derive(Serialize, Deserialize)]
struct Cursor {
    upstream: String,
    until: Timestamp,
}

const INVALID_CURSOR: DataError = DataError::invalid("offset is altered, expired or of another list");
const MAX_CURSOR_BYTES: usize = 4096;
/// A cursor that would not be taken back is not given.
const CURSOR_TOO_LONG: DataError =
    DataError::Fdx(fdx::ErrorCode::Internal, "The data provider's pages cannot be followed");

/// The cursor of the page behind the provider's `upstream` offset.
pub(crate) fn seal(ctx: &RequestContext, bound_to: &str, upstream: &str) -> Result<String, DataError> {
    let until = ctx.now().plus(ctx.app().config().page.cursor_ttl.duration());
    let sealed = seal_with_key(ctx.app().vault().cursor_key(), bound_to, upstream, until)
        .map_err(DataError::Internal)?;
    if sealed.len() > MAX_CURSOR_BYTES { Err(CURSOR_TOO_LONG) } else { Ok(sealed) }
}

/// A cursor for one list, for a time.
pub fn seal_with_key(
    key: &DataKey,
    bound_to: &str,
    upstream: &str,
    until: Timestamp,
) -> Result<String, InternalError> {
    let cursor = Cursor { upstream: upstream.to_owned(), until };
    let plain = serde_json::to_vec(&cursor).map_err(|_| InternalError::new("a cursor cannot be written"))?;
    Ok(URL_SAFE_NO_PAD.encode(key.seal(bound_to, &plain)?))
}

/// The provider's offset behind a query's cursor; none for the first page.
pub(crate) fn open(
    ctx: &RequestContext,
    bound_to: &str,
    query: &PageQuery,
) -> Result<Option<String>, DataError> {
    let Some(offset) = &query.offset else { return Ok(None) };
    open_with_key(ctx.app().vault().cursor_key(), bound_to, offset, ctx.now()).map(Some).ok_or(INVALID_CURSOR)
}

/// Cuts rows, of which one more was read than a page has: the last that is left, if there is more behind it.
pub fn truncate_page<T>(rows: &mut Vec<T>, limit: u32) -> Option<&T> {
    let limit = limit as usize;
    let more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().filter(|_| more)
}

/// What a cursor was sealed for; none if it is altered, of another list, or too old.
pub fn open_with_key(key: &DataKey, bound_to: &str, cursor: &str, now: Timestamp) -> Option<String> {
    if cursor.len() > MAX_CURSOR_BYTES {
        return None;
    }
    let sealed = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let plain = key.open(bound_to, &sealed).ok()?;
    let cursor: Cursor = serde_json::from_slice(plain.expose()).ok()?;
    (now < cursor.until).then_some(cursor.upstream)
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
        fn cursor_opens_only_for_its_list_before_expiry(upstream: String, list: String, other: String) {
            let cursor = seal_with_key(&key(), &list, &upstream, NOW).unwrap();
            let before = Timestamp::from_millis(999);
            let fits = cursor.len() <= MAX_CURSOR_BYTES;
            prop_assert_eq!(open_with_key(&key(), &list, &cursor, before), fits.then_some(upstream));
            prop_assert_eq!(open_with_key(&key(), &list, &cursor, NOW), None);
            prop_assert!(other == list || open_with_key(&key(), &other, &cursor, before).is_none());
        }

        #[test]
        fn unsealed_cursor_is_rejected(text: String, bytes: Vec<u8>, list: String) {
            for cursor in [text, URL_SAFE_NO_PAD.encode(&bytes)] {
                prop_assert_eq!(open_with_key(&key(), &list, &cursor, NOW), None);
            }
        }

        #[test]
        fn sealed_value_without_cursor_is_rejected(plain: Vec<u8>) {
            let cursor = URL_SAFE_NO_PAD.encode(key().seal("list", &plain).unwrap());
            prop_assert_eq!(open_with_key(&key(), "list", &cursor, NOW), None);
        }

        #[test]
        fn altered_cursor_is_rejected(at: prop::sample::Index, by in "[A-Za-z0-9_=.-]") {
            let cursor = seal_with_key(&key(), "list", "next", NOW).unwrap();
            let at = at.index(cursor.len());
            let altered = format!("{}{by}{}", &cursor[..at], &cursor[at + 1..]);
            prop_assume!(altered != cursor);
            prop_assert_eq!(open_with_key(&key(), "list", &altered, Timestamp::EPOCH), None);
        }
    }
}
