//! Cases for invalid bearer tokens of data operations and revocation, and for the body of revocation.

use domain::error::OAuthCode;

use super::super::expectations::ExpectedResponse;
use super::{BadValue, InputCase, InputValues};
use crate::support::RawRequest;

const FORM: &str = "application/x-www-form-urlencoded";

/// Returns a request for every operation that requires a bearer token.
fn build_operations(values: &InputValues) -> Vec<RawRequest> {
    let account = &values.account;
    vec![
        RawRequest::get("/api/fdx/5/accounts"),
        RawRequest::get(format!("/api/fdx/5/accounts/{account}")),
        RawRequest::get(format!("/api/fdx/5/accounts/{account}/transactions")),
        RawRequest::get("/api/fdx/5/customers/current"),
        RawRequest::new("DELETE", "/api/v1/revoke"),
        RawRequest::new("POST", "/api/v1/revoke"),
    ]
}

fn expected_without_token(operation: usize) -> ExpectedResponse {
    match operation {
        0..4 => ExpectedResponse::InvalidToken,
        _ => ExpectedResponse::invalid_request("The access token is missing, malformed or expired"),
    }
}

/// Returns values of the `Authorization` header that contain no valid token.
fn build_invalid_headers(values: &InputValues) -> Vec<Vec<u8>> {
    let access = values.access.as_str();
    let (head, rest) = access.split_once('.').unwrap_or((access, ""));
    let mut all: Vec<Vec<u8>> = [
        String::new(),
        "Bearer".into(),
        "Bearer ".into(),
        access.to_owned(),
        format!("Basic {access}"),
        format!("Bearer\t{access}"),
        format!("Bearer:{access}"),
        format!("Bearer {access} x"),
        format!("Bearer {access},Bearer {access}"),
        format!("Bearer \"{access}\""),
        format!("Bearer {access}="),
        format!("Bearer {access}%00"),
        format!("Bearer {access}\u{e9}"),
        format!("Bearer {}", &access[..access.len().saturating_sub(1)]),
        format!("Bearer {}.{rest}", head.to_lowercase()),
        format!("Bearer {rest}"),
        format!("Bearer {}", "x".repeat(20_000)),
        format!("Bearer {}", values.refresh),
        format!("Bearer {}", values.code),
        "Bearer ../../etc/passwd".into(),
        "Bearer ' OR '1'='1".into(),
        "Bearer <script>alert(1)</script>".into(),
        "Bearer null".into(),
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect();
    all.push([b"Bearer ", access.as_bytes(), b"\xff\xfe"].concat());
    all
}

pub(super) fn build_bearer_cases(values: &InputValues) -> Vec<InputCase> {
    let mut cases = Vec::new();
    for (number, operation) in build_operations(values).into_iter().enumerate() {
        let mut case = |what: String, raw: RawRequest, expected: ExpectedResponse| {
            cases.push(InputCase::new(format!("bearer of operation {number}: {what}"), raw, expected));
        };
        case("none".into(), operation.clone(), expected_without_token(number));
        for value in build_invalid_headers(values) {
            let what = String::from_utf8_lossy(&value[..value.len().min(60)]).into_owned();
            case(what, operation.clone().header("authorization", value), expected_without_token(number));
        }
        let repeated = operation.clone().bearer(&values.access).bearer(&values.access);
        case("twice".into(), repeated, expected_without_token(number));
        for byte in [0x00_u8, 0x0a, 0x7f] {
            let value = [b"Bearer ", values.access.as_bytes(), &[byte], b"x"].concat();
            let raw = operation.clone().header("authorization", value);
            // A line feed ends the header, so the rest is no header.
            case(format!("a bare byte {byte:#04x}"), raw, ExpectedResponse::RejectedByHttpServer(400));
        }
        let elsewhere = operation.clone().header("x-access-token", values.access.as_str());
        let cookie = elsewhere.header("cookie", format!("access_token={}", values.access));
        case("in other headers".into(), cookie, expected_without_token(number));
    }
    cases.extend(build_revoke_cases(values));
    cases
}

/// Builds the cases for revocations with a valid bearer token and an invalid addition, which must not end the
/// connection.
fn build_revoke_cases(values: &InputValues) -> Vec<InputCase> {
    let differs = || ExpectedResponse::invalid_request("token differs from the Authorization header");
    let with = |body: String| RawRequest::post("/api/v1/revoke", FORM, body).bearer(&values.access);
    let mut cases = Vec::new();
    for bad in BadValue::ALL.into_iter().filter(|bad| !matches!(bad, BadValue::Missing | BadValue::Repeated))
    {
        let body = bad.build_query(&[("token", &values.access)], "token");
        cases.push(InputCase::new(format!("revoke: {bad:?} as token"), with(body), differs()));
    }
    for token in [&values.code, &values.foreign.access, &values.foreign.refresh] {
        cases.push(InputCase::new("revoke: another token", with(format!("token={token}")), differs()));
    }
    let too_large = ExpectedResponse::OAuth(413, OAuthCode::InvalidRequest, "The body is too large".into());
    cases.push(InputCase::new("revoke: 70 kB", with("x".repeat(70_000)), too_large));
    for name in ["client_secret", "code", "refresh_token", "access_token", "token", "code_verifier"] {
        for method in ["DELETE", "POST"] {
            let raw = RawRequest::new(method, format!("/api/v1/revoke?{name}=x")).bearer(&values.access);
            let description = format!("{name} must not be sent in the query: use the body or a header");
            let expected = ExpectedResponse::invalid_request(description);
            cases.push(InputCase::new(format!("revoke: {name} in the query"), raw, expected));
        }
    }
    cases
}
