//! Faults of the FDX API: responses that other banks send and that a hub must understand.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::fault_settings::DataFault;
use super::state::Bank;

/// The maximum size of a response of the bank.
const MAX_BODY_BYTES: usize = 16 << 20;
/// The members of responses that contain a list.
const LISTS: [&str; 4] = ["accounts", "transactions", "paymentNetworks", "statements"];
/// The seconds after which an unavailable bank may be asked again.
const UNAVAILABLE_SECS: i64 = 120;

/// Applies the fault of the FDX API to its responses.
pub(super) async fn apply_data_fault(State(bank): State<Bank>, request: Request, next: Next) -> Response {
    let fault = bank.faults().borrow().data;
    let unavailable = |retry_after: String| {
        (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, retry_after)]).into_response()
    };
    match fault {
        DataFault::Normal | DataFault::IgnoreLimit | DataFault::IgnoreDates => next.run(request).await,
        DataFault::ErrorBody => axum::Json(json!({"code": 500, "message": "Out of order"})).into_response(),
        DataFault::Html => axum::response::Html("<!DOCTYPE html><title>Gateway</title>").into_response(),
        DataFault::Forbidden => StatusCode::FORBIDDEN.into_response(),
        DataFault::Gone => StatusCode::GONE.into_response(),
        DataFault::RetrySeconds => unavailable(UNAVAILABLE_SECS.to_string()),
        DataFault::RetryDate => {
            let at = jiff::Timestamp::from_millisecond(bank.now() + UNAVAILABLE_SECS * 1000);
            unavailable(format_http_date(at.unwrap_or(jiff::Timestamp::UNIX_EPOCH)))
        }
        DataFault::Encoded => {
            let mut response = next.run(request).await;
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("deflate"));
            response
        }
        DataFault::NullPage
        | DataFault::NullList
        | DataFault::MissingList
        | DataFault::OddElements
        | DataFault::LinkOnly
        | DataFault::SamePage => change_body(next.run(request).await, fault).await,
    }
}

/// Formats a time as in the headers `Date` and `Retry-After` (RFC 9110 §5.6.7).
pub(super) fn format_http_date(at: jiff::Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

async fn change_body(response: Response, fault: DataFault) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, MAX_BODY_BYTES).await.unwrap_or_default();
    let changed = serde_json::from_slice::<Value>(&bytes).ok().filter(|_| parts.status == StatusCode::OK);
    let Some(Value::Object(mut page)) = changed else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    change_page(&mut page, fault);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(Value::Object(page).to_string()))
}

fn change_page(page: &mut Map<String, Value>, fault: DataFault) {
    let Some(list) = LISTS.into_iter().find(|list| page.contains_key(*list)) else { return };
    match fault {
        DataFault::NullPage => {
            page.insert("page".into(), Value::Null);
            page.insert("links".into(), Value::Null);
        }
        DataFault::NullList => drop(page.insert(list.into(), Value::Null)),
        DataFault::MissingList => drop(page.remove(list)),
        DataFault::OddElements => {
            if let Some(Value::Array(items)) = page.get_mut(list) {
                items.iter_mut().for_each(change_element);
                items.insert(0, Value::Null);
            }
        }
        DataFault::LinkOnly => {
            if let Some(Value::Object(position)) = page.get_mut("page") {
                position.remove("nextOffset");
                position.remove("nextPageKey");
            }
        }
        DataFault::SamePage => {
            let names = if page["page"].get("nextPageKey").is_some() { "nextPageKey" } else { "nextOffset" };
            page.insert("page".into(), json!({names: "same"}));
        }
        _ => {}
    }
}

/// Replaces the fields of an element that other banks send in another form.
fn change_element(element: &mut Value) {
    let is_wrapped = element.as_object().is_some_and(|members| members.len() == 1);
    let content = match element {
        Value::Object(members) if is_wrapped => members.values_mut().next(),
        element => Some(element),
    };
    if let Some(Value::Object(fields)) = content {
        fields.insert("currency".into(), "CAD".into());
        fields.insert("description".into(), json!({"text": "odd"}));
        fields.insert("lastActivityDate".into(), "2026-01-15T00:00:00Z".into());
    }
}
