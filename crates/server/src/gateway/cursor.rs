//! Paging cursors: sealed, bound to connection, path and query, and short-lived.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::page::PageQuery;
use crate::ctx::Ctx;

/// Where a list goes on.
#[derive(Serialize, Deserialize)]
struct Cursor {
    upstream: String,
    until: Timestamp,
}

const BAD: DataError = DataError::invalid("offset is altered, expired or of another list");
const MOST: usize = 4096;
/// A cursor that would not be taken back is not given.
const TOO_LONG: DataError =
    DataError::Fdx(fdx::ErrorCode::Internal, "The data provider's pages cannot be followed");

/// The cursor of the page behind the provider's `upstream` offset.
pub(super) fn seal(ctx: &Ctx, bound_to: &str, upstream: &str) -> Result<String, DataError> {
    let until = ctx.now().plus(ctx.app().config().page.cursor_ttl.duration());
    let cursor = Cursor { upstream: upstream.to_owned(), until };
    let plain =
        serde_json::to_vec(&cursor).map_err(|_| crate::fault::Fault::new("a cursor cannot be written"))?;
    let sealed = URL_SAFE_NO_PAD.encode(ctx.app().vault().cursor().seal(bound_to, &plain)?);
    if sealed.len() > MOST { Err(TOO_LONG) } else { Ok(sealed) }
}

/// The provider's offset behind a query's cursor; none for the first page.
pub(super) fn open(ctx: &Ctx, bound_to: &str, query: &PageQuery) -> Result<Option<String>, DataError> {
    let Some(offset) = &query.offset else { return Ok(None) };
    if offset.len() > MOST {
        return Err(BAD);
    }
    let sealed = URL_SAFE_NO_PAD.decode(offset).map_err(|_| BAD)?;
    let plain = ctx.app().vault().cursor().open(bound_to, &sealed).map_err(|_| BAD)?;
    let cursor: Cursor = serde_json::from_slice(plain.expose()).map_err(|_| BAD)?;
    if ctx.now() >= cursor.until {
        return Err(BAD);
    }
    Ok(Some(cursor.upstream))
}
