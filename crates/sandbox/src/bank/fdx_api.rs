//! The bank's FDX resource server.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use fdx::{Account, Accounts, ErrorBody, ErrorCode, PageLinks, PageMetadata, PaymentNetworks, Transactions};
use jiff::civil;

use super::book::{self, Book, Person};
use super::grants::Grant;
use super::wire::{Parameters, Version};
use super::{Bank, scope, statements};

const PAGE: usize = 100;
const MOST: usize = 500;

pub(super) fn routes(version: Version) -> Router<Bank> {
    let routes = Router::new()
        .route("/customers/current", get(customer))
        .route("/accounts", get(accounts))
        .route("/accounts/{id}", get(account))
        .route("/accounts/{id}/transactions", get(transactions))
        .route("/accounts/{id}/contact", get(contact))
        .route("/accounts/{id}/payment-networks", get(payment_networks))
        .route("/accounts/{id}/statements", get(statements::list))
        .route("/accounts/{id}/statements/{statement}", get(statements::one))
        .route("/accounts/{id}/documents/{statement}", get(statements::document));
    Router::new().nest(version.base(), routes)
}

pub(super) struct Refused(pub(super) ErrorCode, pub(super) &'static str);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(ErrorBody::new(self.0, self.1))).into_response()
    }
}

async fn customer(State(bank): State<Bank>, headers: HeaderMap, _: Parameters) -> Result<Response, Refused> {
    let reader = bank.reader(&headers, &["customercontact", "customerpersonal"]).await?;
    Ok(bank.say(&bank.book().customer(reader.person, &reader.grant.accounts)))
}

async fn accounts(
    State(bank): State<Bank>,
    headers: HeaderMap,
    query: Parameters,
) -> Result<Response, Refused> {
    let details = query.get("resultType") == Some("details");
    let clusters: &[_] = if details { &["accountdetailed"] } else { &["accountbasic", "accountdetailed"] };
    let reader = bank.reader(&headers, clusters).await?;
    let mut accounts = bank.book().accounts(reader.person, &reader.grant.accounts);
    if let Some(ids) = query.get("accountIds") {
        let wanted: Vec<&str> = ids.split(',').collect();
        accounts.retain(|a| a.id().is_some_and(|id| wanted.contains(&id)));
    }
    let shown = |account| if details { bank.shown(&reader, account) } else { Account::lightweight(account) };
    let accounts = accounts.into_iter().map(shown).collect();
    let (page, links, accounts) = page(accounts, &query, "/accounts", Account::id)?;
    Ok(bank.say(&Accounts { page, links, accounts }))
}

async fn account(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let reader = bank.reader(&headers, &["accountdetailed"]).await?;
    reader.covers(&id)?;
    let accounts = bank.book().accounts(reader.person, &[id]);
    let account = accounts.into_iter().next().ok_or(NO_ACCOUNT)?;
    Ok(bank.say(&bank.shown(&reader, account)))
}

async fn transactions(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path(id): Path<String>,
    query: Parameters,
) -> Result<Response, Refused> {
    let reader = bank.reader(&headers, &["transactions"]).await?;
    reader.covers(&id)?;
    let (start, end) = days(&query)?;
    if bank.book().is_closed(&id) {
        return Err(Refused(
            ErrorCode::AccountClosed,
            "The account is closed; it has no transactions to read",
        ));
    }
    let mut all = bank.book().transactions(&id);
    all.retain(|t| {
        let day = book::happened_on(t);
        start.is_none_or(|s| day >= Some(s)) && end.is_none_or(|e| day <= Some(e))
    });
    let path = format!("/accounts/{id}/transactions");
    let (page, links, transactions) = page(all, &query, &path, fdx::Transaction::id)?;
    Ok(bank.say(&Transactions { page, links, transactions }))
}

async fn contact(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let reader = bank.reader(&headers, &["customercontact"]).await?;
    reader.covers(&id)?;
    Ok(bank.say(&bank.book().contact(&id).ok_or(NO_ACCOUNT)?))
}

async fn payment_networks(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path(id): Path<String>,
    query: Parameters,
) -> Result<Response, Refused> {
    let reader = bank.reader(&headers, PAYMENTS).await?;
    reader.covers(&id)?;
    let path = format!("/accounts/{id}/payment-networks");
    let all = bank.book().payment_networks(&id);
    let (page, links, payment_networks) = page(all, &query, &path, |network| network.identifier.as_deref())?;
    Ok(bank.say(&PaymentNetworks { page, links, payment_networks }))
}

const PAYMENTS: &[&str] = &["paymentnetworks", "accountpayments", "paymentsupport"];
const NO_ACCOUNT: Refused = Refused(ErrorCode::AccountNotFound, "No such account in this grant");

/// Whoever presents a live access token.
pub(super) struct Reader {
    grant: Grant,
    person: &'static Person,
}

impl Reader {
    pub(super) fn covers(&self, id: &str) -> Result<(), Refused> {
        self.grant.accounts.iter().any(|a| a == id).then_some(()).ok_or(NO_ACCOUNT)
    }
}

impl Bank {
    /// Checks the token, then keeps the answer back while the lever says so.
    pub(super) async fn reader(&self, headers: &HeaderMap, any_of: &[&str]) -> Result<Reader, Refused> {
        const REFUSED: Refused =
            Refused(ErrorCode::NotAuthorized, "The access token is unknown, expired or ended");
        let grant = self.bearer(headers).ok_or(REFUSED)?;
        if !scope::covers(&grant.scope, any_of) {
            return Err(Refused(ErrorCode::NotAuthorized, "The scope does not cover this"));
        }
        let person = self.0.look.books.person(&grant.username).ok_or(REFUSED)?;
        if self.0.levers.borrow().hold {
            let mut levers = self.0.levers.subscribe();
            let _ = levers.wait_for(|levers| !levers.hold).await;
        }
        Ok(Reader { grant, person })
    }

    pub(super) fn book(&self) -> Book<'_> {
        let now = jiff::Timestamp::from_millisecond(self.now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Book {
            books: self.0.look.books,
            seed: &self.0.settings.seed,
            today: now.to_zoned(jiff::tz::TimeZone::UTC).date(),
            memo: &self.0.memo,
        }
    }

    /// An account's details. A strict bank leaves out what the scope does not name.
    fn shown(&self, reader: &Reader, mut account: Account) -> Account {
        if self.0.look.strict {
            if !scope::covers(&reader.grant.scope, PAYMENTS) {
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
pub(super) fn days(query: &Parameters) -> Result<(Option<civil::Date>, Option<civil::Date>), Refused> {
    let (start, end) = (date(query, "startTime")?, date(query, "endTime")?);
    if start.zip(end).is_some_and(|(start, end)| start > end) {
        return Err(Refused(ErrorCode::InvalidRange, "startTime must not be after endTime"));
    }
    if start.is_some() != end.is_some() && !query.takes_one_day() {
        return Err(Refused(ErrorCode::InvalidRange, "Both dates, or neither"));
    }
    Ok((start, end))
}

fn date(query: &Parameters, name: &str) -> Result<Option<civil::Date>, Refused> {
    let date = query.get(name).map(str::parse::<civil::Date>).transpose();
    date.map_err(|_| Refused(ErrorCode::InvalidDate, "Dates are YYYY-MM-DD"))
}

/// Cuts a page out of a list; the cursor is the id of the last item before it.
pub(super) fn page<T>(
    mut all: Vec<T>,
    query: &Parameters,
    path: &str,
    id: fn(&T) -> Option<&str>,
) -> Result<(PageMetadata, PageLinks, Vec<T>), Refused> {
    const BAD_PAGE: Refused = Refused(ErrorCode::InvalidInput, "limit or offset is not usable");
    let limit = query.get("limit").map_or(Ok(PAGE), str::parse).map_err(|_| BAD_PAGE)?;
    let total = all.len();
    if let Some(after) = query.get("offset") {
        let last = all.iter().position(|item| id(item) == Some(after)).ok_or(BAD_PAGE)?;
        all.drain(..=last);
    }
    let more = all.len() > limit.clamp(1, MOST);
    all.truncate(limit.clamp(1, MOST));
    let next = all.last().filter(|_| more).and_then(id).map(str::to_owned);
    let href = next.as_ref().map(|cursor| query.link(path, cursor));
    let page =
        PageMetadata { next_offset: next, total_elements: Some(total as u64), ..PageMetadata::default() };
    Ok((page, PageLinks { next: href, prev: None }, all))
}
