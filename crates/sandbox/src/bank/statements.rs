//! Statements over FDX: the list, and the documents.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fdx::{Date, ErrorCode, HateoasLink, Statement, Statements};

use super::book::Sheet;
use super::fdx_api::{Refused, days, page};
use super::wire::Parameters;
use super::{Bank, paper};

const PDF: &str = "application/pdf";
const SCOPE: &[&str] = &["statements"];
const NO_STATEMENT: Refused = Refused(ErrorCode::DataNotFound, "No such statement of this account");

/// `GET /accounts/{id}/statements`.
pub(super) async fn list(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path(id): Path<String>,
    query: Parameters,
) -> Result<Response, Refused> {
    let reader = bank.reader(&headers, SCOPE).await?;
    reader.covers(&id)?;
    let (start, end) = days(&query)?;
    let mut sheets = bank.book().statements(&id);
    sheets.retain(|sheet| start.is_none_or(|s| sheet.last >= s) && end.is_none_or(|e| sheet.last <= e));
    let words = bank.book().words();
    let all =
        sheets.into_iter().map(|sheet| shown(bank.0.look.fdx.base(), &id, &sheet, words.statement)).collect();
    let path = format!("/accounts/{id}/statements");
    let (page, links, statements) =
        page(all, &query, &path, |statement: &Statement| statement.statement_id.as_deref())?;
    Ok(bank.say(&Statements { page, links, statements }))
}

fn shown(base: &str, account: &str, sheet: &Sheet, title: &str) -> Statement {
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
        status: Some(if sheet.is_made { "AVAILABLE" } else { "PROCESSING" }.into()),
    }
}

/// `GET /accounts/{id}/statements/{statement}`: the document, or where it is.
pub(super) async fn one(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path((id, statement)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let sheet = bank.sheet(&headers, &id, &statement).await?;
    if bank.0.look.files_apart {
        let place = format!("{}/accounts/{id}/documents/{}", bank.0.look.fdx.base(), sheet.id);
        return Ok((StatusCode::FOUND, [(header::LOCATION, place)]).into_response());
    }
    document(State(bank), headers, Path((id, statement))).await
}

/// `GET /accounts/{id}/documents/{statement}`.
pub(super) async fn document(
    State(bank): State<Bank>,
    headers: HeaderMap,
    Path((id, statement)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let sheet = bank.sheet(&headers, &id, &statement).await?;
    let named = |username: &&str| bank.0.look.books.person(username).map(super::book::Person::whole_name);
    let holders: Vec<String> = sheet.owners.iter().filter_map(named).collect();
    let pdf = paper::pdf(bank.0.look, &sheet, &holders);
    let pdf = pdf.ok_or(Refused(ErrorCode::Internal, "The document cannot be made"))?;
    Ok(([(header::CONTENT_TYPE, PDF)], pdf).into_response())
}

impl Bank {
    /// A statement that is ready, for whoever asks for a type that there is.
    async fn sheet(&self, headers: &HeaderMap, id: &str, statement: &str) -> Result<Sheet, Refused> {
        let reader = self.reader(headers, SCOPE).await?;
        reader.covers(id)?;
        let mut sheets = self.book().statements(id).into_iter();
        let sheet = sheets.find(|sheet| sheet.id == statement).ok_or(NO_STATEMENT)?;
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
        if !["*/*", "application/*", PDF].iter().any(|kind| accept.contains(kind)) {
            return Err(Refused(ErrorCode::ContentType, "Statements are PDF"));
        }
        if !sheet.is_made {
            return Err(Refused(ErrorCode::StatementProcessing, "The statement is ready in a few days"));
        }
        Ok(sheet)
    }
}
