//! The bearer of the data operations and of revoking, and the body of the latter.

use domain::error::OAuthCode;

use super::super::expect::Expected;
use super::{Bad, Case, Values};
use crate::kit::Raw;

const FORM: &str = "application/x-www-form-urlencoded";

/// Every operation that takes a bearer.
fn operations(values: &Values) -> Vec<Raw> {
    let account = &values.account;
    vec![
        Raw::get("/api/fdx/5/accounts"),
        Raw::get(format!("/api/fdx/5/accounts/{account}")),
        Raw::get(format!("/api/fdx/5/accounts/{account}/transactions")),
        Raw::get("/api/fdx/5/customers/current"),
        Raw::new("DELETE", "/api/v1/revoke"),
        Raw::new("POST", "/api/v1/revoke"),
    ]
}

fn none(operation: usize) -> Expected {
    match operation {
        0..4 => Expected::NoToken,
        _ => Expected::invalid_request("The access token is missing, malformed or expired"),
    }
}

/// Values of the header that name no token.
fn values_of_the_header(values: &Values) -> Vec<Vec<u8>> {
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

pub(super) fn cases(values: &Values) -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, operation) in operations(values).into_iter().enumerate() {
        let mut case = |what: String, raw: Raw, expected: Expected| {
            cases.push(Case::new(format!("bearer of operation {number}: {what}"), raw, expected));
        };
        case("none".into(), operation.clone(), none(number));
        for value in values_of_the_header(values) {
            let what = String::from_utf8_lossy(&value[..value.len().min(60)]).into_owned();
            case(what, operation.clone().header("authorization", value), none(number));
        }
        let twice = operation.clone().bearer(&values.access).bearer(&values.access);
        case("twice".into(), twice, none(number));
        for byte in [0x00_u8, 0x0a, 0x7f] {
            let value = [b"Bearer ", values.access.as_bytes(), &[byte], b"x"].concat();
            let raw = operation.clone().header("authorization", value);
            // A line feed ends the header: what follows is none.
            case(format!("a bare byte {byte:#04x}"), raw, Expected::Wire(400));
        }
        let elsewhere = operation.clone().header("x-access-token", values.access.as_str());
        let cookie = elsewhere.header("cookie", format!("access_token={}", values.access));
        case("in other headers".into(), cookie, none(number));
    }
    cases.extend(revoking(values));
    cases
}

/// What stands beside a good bearer, and must not end its connection.
fn revoking(values: &Values) -> Vec<Case> {
    let differs = || Expected::invalid_request("token differs from the Authorization header");
    let with = |body: String| Raw::post("/api/v1/revoke", FORM, body).bearer(&values.access);
    let mut cases = Vec::new();
    for bad in Bad::ALL.into_iter().filter(|bad| !matches!(bad, Bad::Missing | Bad::Twice)) {
        let body = bad.within(&[("token", &values.access)], "token");
        cases.push(Case::new(format!("revoke: {bad:?} as token"), with(body), differs()));
    }
    for token in [&values.refresh, &values.code, &values.foreign.access, &values.foreign.refresh] {
        cases.push(Case::new("revoke: another token", with(format!("token={token}")), differs()));
    }
    let too_large = Expected::OAuth(413, OAuthCode::InvalidRequest, "The body is too large".into());
    cases.push(Case::new("revoke: 70 kB", with("x".repeat(70_000)), too_large));
    for name in ["client_secret", "code", "refresh_token", "access_token", "token", "code_verifier"] {
        for method in ["DELETE", "POST"] {
            let raw = Raw::new(method, format!("/api/v1/revoke?{name}=x")).bearer(&values.access);
            let sentence = format!("{name} must not stand in the query: send it in the body or a header");
            let expected = Expected::invalid_request(sentence);
            cases.push(Case::new(format!("revoke: {name} in the query"), raw, expected));
        }
    }
    cases
}
