//! The FDX API of a bank: customers, accounts, transactions, contact data, payment networks and statements.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use fdx::{Account, Accounts, ErrorCode, PaymentNetworks, Transactions};

use super::access::{ACCOUNT_NOT_FOUND, PAYMENT_CLUSTERS};
use super::fdx_format::{FdxApiError, Parameters};
use super::fdx_version::FdxVersion;
use super::ledger::transaction_date;
use super::state::Bank;
use super::statements;

pub(super) fn routes(version: FdxVersion) -> Router<Bank> {
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

async fn show_customer(
    State(bank): State<Bank>,
    headers: HeaderMap,
    _: Parameters,
) -> Result<Response, FdxApiError> {
    let reader = bank.authorize_reader(&headers, &["customercontact", "customerpersonal"]).await?;
    Ok(bank.fdx_response(&bank.ledger().customer_profile(reader.customer, &reader.grant.accounts)))
}

async fn list_accounts(
    State(bank): State<Bank>,
    headers: HeaderMap,
    query: Parameters,
) -> Result<Response, FdxApiError> {
    let with_details = query.get("resultType") == Some("details");
    let clusters: &[_] =
        if with_details { &["accountdetailed"] } else { &["accountbasic", "accountdetailed"] };
    let reader = bank.authorize_reader(&headers, clusters).await?;
    let mut accounts = bank.ledger().accounts(reader.customer, &reader.grant.accounts);
    if let Some(ids) = query.get("accountIds") {
        let requested: Vec<&str> = ids.split(',').collect();
        accounts.retain(|account| account.id().is_some_and(|id| requested.contains(&id)));
    }
    let to_response = |account| {
        if with_details { bank.filter_by_scope(&reader, account) } else { Account::into_lightweight(account) }
    };
    let accounts = accounts.into_iter().map(to_response).collect();
    let (page, links, accounts) = query.paginate(accounts, "/accounts", Account::id)?;
    Ok(bank.fdx_response(&Accounts { page, links, accounts }))
}

async fn show_account(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, FdxApiError> {
    let reader = bank.authorize_reader(&headers, &["accountdetailed"]).await?;
    reader.ensure_covers(&id)?;
    let accounts = bank.ledger().accounts(reader.customer, &[id]);
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
    let (start, end) = query.date_range()?;
    if bank.ledger().is_closed(&id) {
        return Err(FdxApiError(
            ErrorCode::AccountClosed,
            "The account is closed; its transactions cannot be read",
        ));
    }
    let mut transactions = bank.ledger().transactions(&id);
    transactions.retain(|transaction| {
        let day = transaction_date(transaction);
        start.is_none_or(|start| day >= Some(start)) && end.is_none_or(|end| day <= Some(end))
    });
    let path = format!("/accounts/{id}/transactions");
    let (page, links, transactions) = query.paginate(transactions, &path, fdx::Transaction::id)?;
    Ok(bank.fdx_response(&Transactions { page, links, transactions }))
}

async fn show_contact(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, FdxApiError> {
    let reader = bank.authorize_reader(&headers, &["customercontact"]).await?;
    reader.ensure_covers(&id)?;
    Ok(bank.fdx_response(&bank.ledger().account_contact(&id).ok_or(ACCOUNT_NOT_FOUND)?))
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
    let networks = bank.ledger().payment_networks(&id);
    let (page, links, payment_networks) =
        query.paginate(networks, &path, |network| network.identifier.as_deref())?;
    Ok(bank.fdx_response(&PaymentNetworks { page, links, payment_networks }))
}
