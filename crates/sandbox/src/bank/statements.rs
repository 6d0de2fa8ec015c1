//! Serves statements over FDX: the list of an account's statements, and their PDF documents.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fdx::{Date, ErrorCode, HateoasLink, Statement, Statements};

use super::fdx_format::{FdxApiError, Parameters};
use super::ledger::{BankCustomer, MonthlyStatement};
use super::state::Bank;
use super::statement_pdf;

const PDF: &str = "application/pdf";
const STATEMENT_CLUSTERS: &[&str] = &["statements"];
const STATEMENT_NOT_FOUND: FdxApiError =
    FdxApiError(ErrorCode::DataNotFound, "The account has no such statement");

/// Handles `GET /accounts/{id}/statements`, which lists the statements of an account.
pub(super) async fn list_statements(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path(id): Path<String>,
    query: Parameters,
) -> Result<Response, FdxApiError> {
    let reader = bank.authorize_reader(&headers, STATEMENT_CLUSTERS).await?;
    reader.ensure_covers(&id)?;
    let (start, end) = query.date_range()?;
    let mut statements = bank.ledger().statements(&id);
    statements.retain(|statement| {
        start.is_none_or(|start| statement.last_day >= start)
            && end.is_none_or(|end| statement.last_day <= end)
    });
    let (base_path, title) = (bank.profile().fdx_version.base_path(), bank.ledger().wording().title);
    let statements = statements.into_iter().map(|s| to_fdx_statement(base_path, &id, &s, title)).collect();
    let path = format!("/accounts/{id}/statements");
    let (page, links, statements) =
        query.paginate(statements, &path, |statement: &Statement| statement.statement_id.as_deref())?;
    Ok(bank.fdx_response(&Statements { page, links, statements }))
}

fn to_fdx_statement(base_path: &str, account: &str, statement: &MonthlyStatement, title: &str) -> Statement {
    let link = HateoasLink {
        href: Some(format!("{base_path}/accounts/{account}/statements/{}", statement.id)),
        action: Some("GET".into()),
        types: Some(vec![PDF.into()]),
        ..HateoasLink::default()
    };
    Statement {
        account_id: Some(account.to_owned()),
        statement_id: Some(statement.id.clone()),
        statement_date: Some(Date(statement.last_day)),
        description: Some(format!("{title} {}", statement.first_day.strftime("%Y-%m"))),
        links: Some(vec![link]),
        status: Some(if statement.is_ready { "AVAILABLE" } else { "PROCESSING" }.into()),
    }
}

/// Handles `GET /accounts/{id}/statements/{statement}`: returns the document, or redirects to it at a bank with a
/// separate document endpoint.
pub(super) async fn show_statement(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path((id, statement_id)): Path<(String, String)>,
) -> Result<Response, FdxApiError> {
    let statement = bank.find_ready_statement(&headers, &id, &statement_id).await?;
    if bank.profile().has_document_endpoint {
        let base_path = bank.profile().fdx_version.base_path();
        let location = format!("{base_path}/accounts/{id}/documents/{}", statement.id);
        return Ok((StatusCode::FOUND, [(header::LOCATION, location)]).into_response());
    }
    show_document(State(bank), headers, Path((id, statement_id))).await
}

/// Handles `GET /accounts/{id}/documents/{statement}`, which returns a statement as PDF.
pub(super) async fn show_document(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path((id, statement_id)): Path<(String, String)>,
) -> Result<Response, FdxApiError> {
    let statement = bank.find_ready_statement(&headers, &id, &statement_id).await?;
    let full_name =
        |username: &&str| bank.profile().catalog.find_customer(username).map(BankCustomer::full_name);
    let holders: Vec<String> = statement.owners.iter().filter_map(full_name).collect();
    let pdf = statement_pdf::render_pdf(bank.profile(), &statement, &holders);
    Ok(([(header::CONTENT_TYPE, PDF)], pdf).into_response())
}

impl Bank {
    /// Returns a statement that is ready, after checking the access token and the accepted content types.
    async fn find_ready_statement(
        &self,
        headers: &HeaderMap,
        id: &str,
        statement_id: &str,
    ) -> Result<MonthlyStatement, FdxApiError> {
        let reader = self.authorize_reader(headers, STATEMENT_CLUSTERS).await?;
        reader.ensure_covers(id)?;
        let mut statements = self.ledger().statements(id).into_iter();
        let statement =
            statements.find(|statement| statement.id == statement_id).ok_or(STATEMENT_NOT_FOUND)?;
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
        if !["*/*", "application/*", PDF].iter().any(|media_type| accept.contains(media_type)) {
            return Err(FdxApiError(ErrorCode::ContentType, "Statements are available as PDF only"));
        }
        if !statement.is_ready {
            return Err(FdxApiError(
                ErrorCode::StatementProcessing,
                "The statement will be ready in a few days",
            ));
        }
        Ok(statement)
    }
}
