//! Statements over FDX: the list, and the documents.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fdx::{Date, ErrorCode, HateoasLink, Statement, Statements};

use super::book::MonthlyStatement;
use super::fdx_api::{FdxApiError, paginate, parse_date_range};
use super::fdx_format::Parameters;
use super::{Bank, statement_pdf};

const PDF: &str = "application/pdf";
const STATEMENT_CLUSTERS: &[&str] = &["statements"];
const STATEMENT_NOT_FOUND: FdxApiError =
    FdxApiError(ErrorCode::DataNotFound, "No such statement of this account");

/// `GET /accounts/{id}/statements`.
pub(super) async fn list_statements(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path(id): Path<String>,
    query: Parameters,
) -> Result<Response, FdxApiError> {
    let reader = bank.authorize_reader(&headers, STATEMENT_CLUSTERS).await?;
    reader.ensure_covers(&id)?;
    let (start, end) = parse_date_range(&query)?;
    let mut sheets = bank.book().statements(&id);
    sheets.retain(|sheet| start.is_none_or(|s| sheet.last >= s) && end.is_none_or(|e| sheet.last <= e));
    let words = bank.book().wording();
    let all = sheets
        .into_iter()
        .map(|sheet| to_fdx_statement(bank.0.profile.fdx_version.base_path(), &id, &sheet, words.statement))
        .collect();
    let path = format!("/accounts/{id}/statements");
    let (page, links, statements) =
        paginate(all, &query, &path, |statement: &Statement| statement.statement_id.as_deref())?;
    Ok(bank.fdx_response(&Statements { page, links, statements }))
}

fn to_fdx_statement(base: &str, account: &str, sheet: &MonthlyStatement, title: &str) -> Statement {
    let link = HateoasLink {
        href: Some(format!("{base}/accounts/{account}/statements/{}", sheet.id)),
        action: Some("GET".into()),
        types: Some(vec![PDF.into()]),
        ..HateoasLink::default()
    };
    Statement {
        account_id: Some(account.to_owned()),
        statement_id: Some(sheet.id.clone()),
        statement_date: Some(Date(sheet.last)),
        description: Some(format!("{title} {}", sheet.first.strftime("%Y-%m"))),
        links: Some(vec![link]),
        status: Some(if sheet.is_ready { "AVAILABLE" } else { "PROCESSING" }.into()),
    }
}

/// `GET /accounts/{id}/statements/{statement}`: the document, or where it is.
pub(super) async fn show_statement(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path((id, statement)): Path<(String, String)>,
) -> Result<Response, FdxApiError> {
    let sheet = bank.find_ready_statement(&headers, &id, &statement).await?;
    if bank.0.profile.has_document_endpoint {
        let place =
            format!("{}/accounts/{id}/documents/{}", bank.0.profile.fdx_version.base_path(), sheet.id);
        return Ok((StatusCode::FOUND, [(header::LOCATION, place)]).into_response());
    }
    show_document(State(bank), headers, Path((id, statement))).await
}

/// `GET /accounts/{id}/documents/{statement}`.
pub(super) async fn show_document(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path((id, statement)): Path<(String, String)>,
) -> Result<Response, FdxApiError> {
    let sheet = bank.find_ready_statement(&headers, &id, &statement).await?;
    let named =
        |username: &&str| bank.0.profile.books.find_customer(username).map(super::book::Person::full_name);
    let holders: Vec<String> = sheet.owners.iter().filter_map(named).collect();
    let pdf = statement_pdf::render_pdf(bank.0.profile, &sheet, &holders);
    let pdf = pdf.ok_or(FdxApiError(ErrorCode::Internal, "The document cannot be made"))?;
    Ok(([(header::CONTENT_TYPE, PDF)], pdf).into_response())
}

impl Bank {
    /// A statement that is ready, for whoever asks for a type that there is.
    async fn find_ready_statement(
        &self,
        headers: &HeaderMap,
        id: &str,
        statement: &str,
    ) -> Result<MonthlyStatement, FdxApiError> {
        let reader = self.authorize_reader(headers, STATEMENT_CLUSTERS).await?;
        reader.ensure_covers(id)?;
        let mut sheets = self.book().statements(id).into_iter();
        let sheet = sheets.find(|sheet| sheet.id == statement).ok_or(STATEMENT_NOT_FOUND)?;
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
        if !["*/*", "application/*", PDF].iter().any(|kind| accept.contains(kind)) {
            return Err(FdxApiError(ErrorCode::ContentType, "Statements are PDF"));
        }
        if !sheet.is_ready {
            return Err(FdxApiError(ErrorCode::StatementProcessing, "The statement is ready in a few days"));
        }
        Ok(sheet)
    }
}
