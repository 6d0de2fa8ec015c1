//! The customer's accounts: `GET /accounts` and `GET /accounts/{accountId}`.

use domain::scope::DataOperation;
use fdx::{DropReport, ErrorCode, FilteredItem};

use super::access::{ConfirmedResponse, DataReader, FdxRequest};
use super::error::{DataError, NO_ACCOUNT};
use super::filter::AccountRules;
use super::page::{JsonText, ListRequest, PagedList};
use crate::paging::{ListQuery, PagingError};
use crate::upstream::{ConnectionSource, ReadError};

const ACCOUNTS_PATH: &str = "/api/fdx/5/accounts";
/// The parameters of the list, with the message for one that is given twice.
const PARAMETERS: [(&str, &str); 2] =
    [("resultType", "resultType is given twice"), ("accountIds", "accountIds is given twice")];
const MAX_ACCOUNT_IDS: usize = 100;

/// Reads a page of the accounts that the consent covers.
pub(super) async fn list(request: FdxRequest) -> Result<ConfirmedResponse<JsonText>, DataError> {
    // The operation that the token must allow depends on `resultType`. An invalid value is reported only after the
    // access check, like any other invalid parameter.
    let details = matches!(get_result_type(&request.query), Ok(Some("details")));
    let operation = if details { DataOperation::AccountListDetailed } else { DataOperation::AccountList };
    let reader = DataReader::authorize(request, operation).await?;
    let accounts = read(&reader, details).await?;
    reader.confirm(accounts).await
}

async fn read(reader: &DataReader, details: bool) -> Result<JsonText, DataError> {
    let query = reader.query();
    if !matches!(get_result_type(query)?, None | Some("lightweight" | "details")) {
        return Err(DataError::invalid("resultType must be lightweight or details"));
    }
    let request = ListRequest::parse(reader, ACCOUNTS_PATH, &PARAMETERS)?;
    let requested_ids = query.get("accountIds", "accountIds is given twice")?;
    let ids = requested_ids.map(|requested| visible_account_ids(reader, requested)).transpose()?;
    // Without a valid id nothing is requested: a provider might treat an empty `accountIds` as a request for all
    // accounts.
    if ids.as_ref().is_some_and(Vec::is_empty) {
        return Ok(JsonText::from_empty_list("accounts"));
    }
    let upstream_ids = ids.as_ref().map(|ids| ids.join(","));
    let result_type = ("resultType", if details { "details" } else { "lightweight" });
    let upstream_query: Vec<(&str, &str)> =
        [Some(result_type), upstream_ids.as_deref().map(|ids| ("accountIds", ids))]
            .into_iter()
            .flatten()
            .collect();
    let list = PagedList {
        position: request.open_position()?,
        request,
        source: ConnectionSource::load(reader.ctx(), reader.access()).await?,
        list: "accounts",
        upstream_path: &["accounts"],
        upstream_query: &upstream_query,
        upstream_dates: None,
    };
    // The hub does not rely on the provider to filter. It compares every account with the consent and the requested
    // ids.
    let sealer = reader.ctx().app().opaque_ids().for_recipient(reader.access());
    let show = |id: &str, must_be_requested: bool| {
        let is_requested = |ids: &Vec<String>| ids.iter().any(|requested| requested == id);
        let is_shown = !must_be_requested || ids.as_ref().is_none_or(is_requested);
        if is_shown && reader.access().covers(id) { sealer.seal(id) } else { None }
    };
    let rules = AccountRules {
        clusters: reader.access().clusters(),
        details,
        show_account: &|id: &str| show(id, true),
        show_parent: &|id: &str| show(id, false),
    };
    list.read(&mut FilteredItem::account(rules)).await
}

fn get_result_type(query: &ListQuery) -> Result<Option<&str>, PagingError> {
    query.get("resultType", "resultType is given twice")
}

/// Returns the provider's ids for a comma-separated list of opaque account ids. Ids that are invalid or outside of the
/// consent are left out, so that the response does not reveal whether such accounts exist.
fn visible_account_ids(reader: &DataReader, requested: &str) -> Result<Vec<String>, DataError> {
    if requested.split(',').count() > MAX_ACCOUNT_IDS {
        return Err(DataError::invalid("accountIds must name at most 100 accounts"));
    }
    let ids = requested.split(',').filter_map(|opaque_id| provider_account_id(reader, opaque_id.trim()));
    Ok(ids.collect())
}

/// Reads one account, without the fields that the consent does not cover.
pub(super) async fn get_account(
    request: FdxRequest,
    opaque_id: &str,
) -> Result<ConfirmedResponse<JsonText>, DataError> {
    let reader = DataReader::authorize(request, DataOperation::Account).await?;
    let id = provider_account_id(&reader, opaque_id).ok_or(NO_ACCOUNT)?;
    let mut text = Vec::new();
    let is_copied = copy_account(&reader, &id, &mut text).await;
    if !is_copied.map_err(|error| DataError::from_read_error(error, NO_ACCOUNT))? {
        // The consent was checked for the requested account only.
        return Err(DataError::Fdx(ErrorCode::Internal, "The data provider returned a different account"));
    }
    reader.confirm(JsonText { text, omitted: 0 }).await
}

/// Reads an account that the consent covers, and copies it to `out`. Returns false if the provider sent another one.
async fn copy_account(reader: &DataReader, id: &str, out: &mut Vec<u8>) -> Result<bool, ReadError> {
    let sealer = reader.ctx().app().opaque_ids().for_recipient(reader.access());
    let seal_covered = |id: &str| if reader.access().covers(id) { sealer.seal(id) } else { None };
    let rules = AccountRules {
        clusters: reader.access().clusters(),
        details: true,
        show_account: &|sent: &str| if sent == id { seal_covered(sent) } else { None },
        show_parent: &seal_covered,
    };
    let mut item = FilteredItem::account(rules);
    let source = ConnectionSource::load(reader.ctx(), reader.access()).await?;
    let copy =
        |text: &[u8], version, report: &mut DropReport| fdx::copy_item(text, version, &mut item, out, report);
    source.read(&["accounts", id], &[], copy).await
}

/// Returns the provider's id of an account; `None` if the opaque id is invalid or the consent does not cover it.
pub(super) fn provider_account_id(reader: &DataReader, opaque_id: &str) -> Option<String> {
    let id = reader.ctx().app().opaque_ids().open(reader.access(), opaque_id)?;
    // Opaque ids are bound to the recipient and the provider, not to the connection: this one may come from the
    // connection of another customer.
    reader.access().covers(&id).then_some(id)
}
