//! The bank's FDX resource server.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use fdx::{Account, Accounts, ErrorBody, ErrorCode, PageLinks, PageMetadata, PaymentNetworks, Transactions};
use jiff::civil;

use super::book::{self, Book, Person};
use super::fdx_format::{Parameters, Version};
use super::grants::CustomerGrant;
use super::{Bank, scope, statements};

const DEFAULT_PAGE_SIZE: usize = 100;
const MAX_PAGE_SIZE: usize = 500;

pub(super) fn routes(version: Version) -> Router<Bank> {
    let routes = Router::new()
        .route("/customers/current", get(show_customer))
        .route("/accounts", get(list_accounts))
        .route("/accounts/{id}", get(show_account))
        .route("/accounts/{id}/transactions", get(list_transactions))
        .route("/accounts/{id}/contact", get(show_contact))
        .route("/accounts/{id}/payment-networks", get(list_payment_networks))
        .route("/accounts/{id}/statements", get(statements::list_statements))
        .route("/accounts/{id}/statements/{statement}", get(statements::show_statement))
        .route("/accounts/{id}/documents/{statement}", get(statements::show_document));
    Router::new().nest(version.base_path(), routes)
}

pub(super) struct FdxApiError(pub(super) ErrorCode, pub(super) &'static str);

impl IntoResponse for FdxApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(ErrorBody::new(self.0, self.1))).into_response()
    }
}

async fn show_customer(
    State(bank): State<Bank>,
    headers: HeaderMap,
    _: Parameters,
) -> Result<Response, FdxApiError> {
    let reader = bank.authorize_reader(&headers, &["customercontact", "customerpersonal"]).await?;
    Ok(bank.fdx_response(&bank.book().customer_profile(reader.person, &reader.grant.accounts)))
}

async fn list_accounts(
    State(bank): State<Bank>,
    headers: HeaderMap,
    query: Parameters,
) -> Result<Response, FdxApiError> {
    let details = query.get("resultType") == Some("details");
    let clusters: &[_] = if details { &["accountdetailed"] } else { &["accountbasic", "accountdetailed"] };
    let reader = bank.authorize_reader(&headers, clusters).await?;
    let mut accounts = bank.book().accounts(reader.person, &reader.grant.accounts);
    if let Some(ids) = query.get("accountIds") {
        let wanted: Vec<&str> = ids.split(',').collect();
        accounts.retain(|a| a.id().is_some_and(|id| wanted.contains(&id)));
    }
    let to_response = |account| {
        if details { bank.filter_by_scope(&reader, account) } else { Account::into_lightweight(account) }
    };
    let accounts = accounts.into_iter().map(to_response).collect();
    let (page, links, accounts) = paginate(accounts, &query, "/accounts", Account::id)?;
    Ok(bank.fdx_response(&Accounts { page, links, accounts }))
}

async fn show_account(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, FdxApiError> {
    let reader = bank.authorize_reader(&headers, &["accountdetailed"]).await?;
    reader.ensure_covers(&id)?;
    let accounts = bank.book().accounts(reader.person, &[id]);
    let account = accounts.into_iter().next().ok_or(ACCOUNT_NOT_FOUND)?;
    Ok(bank.fdx_response(&bank.filter_by_scope(&reader, account)))
}

async fn list_transactions(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path(id): Path<String>,
    query: Parameters,
) -> Result<Response, FdxApiError> {
    let reader = bank.authorize_reader(&headers, &["transactions"]).await?;
    reader.ensure_covers(&id)?;
    let (start, end) = parse_date_range(&query)?;
    if bank.book().is_closed(&id) {
        return Err(FdxApiError(
            ErrorCode::AccountClosed,
            "The account is closed; it has no transactions to read",
        ));
    }
    let mut all = bank.book().transactions(&id);
    all.retain(|t| {
        let day = book::transaction_date(t);
        start.is_none_or(|s| day >= Some(s)) && end.is_none_or(|e| day <= Some(e))
    });
    let path = format!("/accounts/{id}/transactions");
    let (page, links, transactions) = paginate(all, &query, &path, fdx::Transaction::id)?;
    Ok(bank.fdx_response(&Transactions { page, links, transactions }))
}

async fn show_contact(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, FdxApiError> {
    let reader = bank.authorize_reader(&headers, &["customercontact"]).await?;
    reader.ensure_covers(&id)?;
    Ok(bank.fdx_response(&bank.book().account_contact(&id).ok_or(ACCOUNT_NOT_FOUND)?))
}

async fn list_payment_networks(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path(id): Path<String>,
    query: Parameters,
) -> Result<Response, FdxApiError> {
    let reader = bank.authorize_reader(&headers, PAYMENT_CLUSTERS).await?;
    reader.ensure_covers(&id)?;
    let path = format!("/accounts/{id}/payment-networks");
    let all = bank.book().payment_networks(&id);
    let (page, links, payment_networks) =
        paginate(all, &query, &path, |network| network.identifier.as_deref())?;
    Ok(bank.fdx_response(&PaymentNetworks { page, links, payment_networks }))
}

const PAYMENT_CLUSTERS: &[&str] = &["paymentnetworks", "accountpayments", "paymentsupport"];
const ACCOUNT_NOT_FOUND: FdxApiError =
    FdxApiError(ErrorCode::AccountNotFound, "No such account in this grant");

/// Whoever presents a live access token.
pub(super) struct AuthorizedReader {
    grant: CustomerGrant,
    person: &'static Person,
}

impl AuthorizedReader {
    pub(super) fn ensure_covers(&self, id: &str) -> Result<(), FdxApiError> {
        self.grant.accounts.iter().any(|a| a == id).then_some(()).ok_or(ACCOUNT_NOT_FOUND)
    }
}

impl Bank {
    /// Checks the token, then keeps the answer back while the lever says so.
    pub(super) async fn authorize_reader(
        &self,
        headers: &HeaderMap,
        any_of: &[&str],
    ) -> Result<AuthorizedReader, FdxApiError> {
        const INVALID_TOKEN: FdxApiError =
            FdxApiError(ErrorCode::NotAuthorized, "The access token is unknown, expired or ended");
        let grant = self.authenticate_bearer(headers).ok_or(INVALID_TOKEN)?;
        if !scope::covers(&grant.scope, any_of) {
            return Err(FdxApiError(ErrorCode::NotAuthorized, "The scope does not cover this"));
        }
        let person = self.0.profile.books.find_customer(&grant.username).ok_or(INVALID_TOKEN)?;
        if self.0.faults.borrow().hold {
            let mut levers = self.0.faults.subscribe();
            let _ = levers.wait_for(|levers| !levers.hold).await;
        }
        Ok(AuthorizedReader { grant, person })
    }

    pub(super) fn book(&self) -> Book<'_> {
        let now = jiff::Timestamp::from_millisecond(self.now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Book {
            books: self.0.profile.books,
            seed: &self.0.settings.seed,
            today: now.to_zoned(jiff::tz::TimeZone::UTC).date(),
            cache: &self.0.posting_cache,
        }
    }

    /// An account's details. A strict bank leaves out what the scope does not name.
    fn filter_by_scope(&self, reader: &AuthorizedReader, mut account: Account) -> Account {
        if self.0.profile.filters_by_scope {
            if !scope::covers(&reader.grant.scope, PAYMENT_CLUSTERS) {
                account.remove_payment_details();
            }
            if !scope::covers(&reader.grant.scope, &["investments"]) {
                account.remove_holdings();
            }
        }
        account
    }
}

/// The days that a list is asked for.
pub(super) fn parse_date_range(
    query: &Parameters,
) -> Result<(Option<civil::Date>, Option<civil::Date>), FdxApiError> {
    let (start, end) = (parse_date(query, "startTime")?, parse_date(query, "endTime")?);
    if start.zip(end).is_some_and(|(start, end)| start > end) {
        return Err(FdxApiError(ErrorCode::InvalidRange, "startTime must not be after endTime"));
    }
    if start.is_some() != end.is_some() && !query.allows_open_date_range() {
        return Err(FdxApiError(ErrorCode::InvalidRange, "Both dates, or neither"));
    }
    Ok((start, end))
}

fn parse_date(query: &Parameters, name: &str) -> Result<Option<civil::Date>, FdxApiError> {
    let date = query.get(name).map(str::parse::<civil::Date>).transpose();
    date.map_err(|_| FdxApiError(ErrorCode::InvalidDate, "Dates are YYYY-MM-DD"))
}

/// Cuts a page out of a list; the cursor is the id of the last item before it.
pub(super) fn paginate<T>(
    mut all: Vec<T>,
    query: &Parameters,
    path: &str,
    id: fn(&T) -> Option<&str>,
) -> Result<(PageMetadata, PageLinks, Vec<T>), FdxApiError> {
    const INVALID_PAGE: FdxApiError = FdxApiError(ErrorCode::InvalidInput, "limit or offset is not usable");
    let limit = query.get("limit").map_or(Ok(DEFAULT_PAGE_SIZE), str::parse).map_err(|_| INVALID_PAGE)?;
    let total = all.len();
    if let Some(after) = query.get("offset") {
        let last = all.iter().position(|item| id(item) == Some(after)).ok_or(INVALID_PAGE)?;
        all.drain(..=last);
    }
    let more = all.len() > limit.clamp(1, MAX_PAGE_SIZE);
    all.truncate(limit.clamp(1, MAX_PAGE_SIZE));
    let next = all.last().filter(|_| more).and_then(id).map(str::to_owned);
    let href = next.as_ref().map(|cursor| query.link(path, cursor));
    let page =
        PageMetadata { next_offset: next, total_elements: Some(total as u64), ..PageMetadata::default() };
    Ok((page, PageLinks { next: href, prev: None }, all))
}
