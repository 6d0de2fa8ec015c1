//! Converts responses of the admin API to results and errors of commands.

use std::fmt::Write;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use serde_json::Value;

use super::super::error::CliError;
use super::super::output::escape_terminal;

/// The status and body of a response.
pub(super) type RawResponse = (u16, String);

const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;

pub(super) async fn read_response(response: Response<Body>) -> Result<RawResponse, CliError> {
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), MAX_RESPONSE_BYTES).await;
    let body =
        body.map_err(|error| CliError::Unreachable(format!("the response was interrupted: {error}")))?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Returns the body of a successful response, or the error that its problem details (RFC 9457) describe.
pub(super) fn parse_response((status, text): &RawResponse) -> Result<Value, CliError> {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    match StatusCode::from_u16(*status) {
        Ok(StatusCode::OK | StatusCode::CREATED) if body.is_object() => Ok(body),
        Ok(StatusCode::NO_CONTENT) => Ok(Value::Null),
        Ok(StatusCode::NOT_FOUND | StatusCode::CONFLICT) => Err(CliError::Failed(describe_problem(&body))),
        Ok(StatusCode::INTERNAL_SERVER_ERROR) => {
            Err(CliError::Internal(anyhow::Error::msg(describe_problem(&body))))
        }
        Ok(status) if status.is_client_error() => Err(CliError::Usage(describe_problem(&body))),
        _ => Err(CliError::Unreachable(format!("{status}: {}", describe_problem(&body)))),
    }
}

/// Returns the `detail` of problem details (RFC 9457) and, for a rejected request for registrations, the error of each
/// pair of recipient and provider.
fn describe_problem(problem: &Value) -> String {
    let mut detail =
        problem["detail"].as_str().unwrap_or("the response does not come from a Bowline hub").to_owned();
    for pair in problem["pairs"].as_array().into_iter().flatten() {
        let _ = write!(
            detail,
            "; {} with {}: {}",
            pair["client_id"].as_str().unwrap_or_default(),
            pair["provider_id"],
            pair["detail"].as_str().unwrap_or_default()
        );
    }
    // Another program may listen at the address, so its text is untrusted like any other.
    escape_terminal(&detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(status: u16, text: &str) -> Result<Value, CliError> {
        parse_response(&(status, text.to_owned()))
    }

    #[test]
    fn response_status_determines_exit_code() {
        let exit_code = |status, text: &str| parse(status, text).map_err(|error| error.exit_code()).err();

        assert_eq!([exit_code(200, "{}"), exit_code(201, "{}"), exit_code(204, "")], [None; 3]);
        let expected = [
            (400, 2),
            (401, 2),
            (403, 2),
            (404, 1),
            (409, 1),
            (413, 2),
            (415, 2),
            (500, 70),
            (503, 3),
            (502, 3),
        ];
        for (status, code) in expected {
            assert_eq!(exit_code(status, r#"{"detail":"why"}"#), Some(code), "{status}");
        }
        assert_eq!(exit_code(200, "<html>"), Some(3), "a page of another program");
    }

    #[test]
    fn problem_detail_and_pairs_are_reported() {
        let pairs = r#"{"detail":"none","pairs":[{"client_id":"dc-1","provider_id":7,"detail":"why"}]}"#;
        let field = r#"{"detail":"name: expected a text"}"#;

        assert_eq!(parse(409, pairs).unwrap_err().to_string(), "none; dc-1 with 7: why");
        assert_eq!(parse(400, field).unwrap_err().to_string(), "name: expected a text");
    }
}
