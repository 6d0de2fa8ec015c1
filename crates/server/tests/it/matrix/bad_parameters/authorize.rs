//! Cases for every parameter of `GET /api/v1/authorize` with invalid values.

use domain::error::OAuthCode;

use super::super::expectations::{ExpectedResponse, UNKNOWN_CLIENT, UNKNOWN_REDIRECT};
use super::{BadValue, CHALLENGE, InputCase, InputValues, expected_unknown_scope};
use crate::support::RawRequest;

const PATH: &str = "/api/v1/authorize";
const SCOPE: &str = "ACCOUNT_BASIC TRANSACTIONS";
const LONG_STATE: &str = "state must have at most 1500 bytes";
const PARAMETERS: [&str; 13] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "provider_id",
    "code_challenge",
    "code_challenge_method",
    "ui_locales",
    "lang",
    "language",
    "correlation_id",
    "colour",
];

fn valid_parameters(values: &InputValues) -> Vec<(&str, &str)> {
    vec![
        ("client_id", &values.client_id),
        ("redirect_uri", &values.redirect_uri),
        ("response_type", "code"),
        ("scope", SCOPE),
        ("state", "s-1"),
        ("provider_id", "1000"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("ui_locales", "en"),
        ("correlation_id", "c-1"),
    ]
}

fn expected_invalid_request(description: impl Into<std::borrow::Cow<'static, str>>) -> ExpectedResponse {
    ExpectedResponse::RedirectError(OAuthCode::InvalidRequest, description.into())
}

/// Returns the expected response to an authorization request in which one parameter has a bad value.
fn expected_response(name: &'static str, bad: BadValue) -> ExpectedResponse {
    use BadValue::{
        Blank, Control, Crlf, Empty, Latin1, Long, Missing, Nul, Overlong, Repeated, Surrogate, Utf16,
    };
    match (name, bad) {
        ("client_id", _) => ExpectedResponse::Page(400, UNKNOWN_CLIENT),
        ("redirect_uri", _) => ExpectedResponse::Page(400, UNKNOWN_REDIRECT),
        ("ui_locales" | "lang" | "language" | "correlation_id" | "colour", _) => {
            ExpectedResponse::RedirectToConsent
        }
        (_, Repeated) => expected_invalid_request(format!("{name} is given twice")),
        ("provider_id", Missing | Empty) => ExpectedResponse::Page(200, "Choose your bank"),
        ("provider_id", _) => expected_invalid_request("provider_id must be a positive integer"),
        ("code_challenge_method", _) => expected_invalid_request("code_challenge_method must be S256"),
        (_, Missing | Empty) => expected_invalid_request(format!("{name} is missing")),
        ("response_type", _) => ExpectedResponse::RedirectError(
            OAuthCode::UnsupportedResponseType,
            "response_type must be code".into(),
        ),
        ("scope", Blank) => ExpectedResponse::RedirectError(
            OAuthCode::InvalidScope,
            "scope must include ACCOUNT_BASIC".into(),
        ),
        ("scope", bad) => match expected_unknown_scope(&bad.decode(SCOPE), "unknown") {
            ExpectedResponse::OAuth(_, code, sentence) => ExpectedResponse::RedirectError(code, sentence),
            other => other,
        },
        ("state", Nul | Control | Crlf | Latin1 | Overlong | Surrogate | Utf16) => {
            expected_invalid_request("state must be printable text")
        }
        ("state", Long) => expected_invalid_request(LONG_STATE),
        ("state", _) => ExpectedResponse::RedirectToConsent,
        ("code_challenge", _) => {
            expected_invalid_request("code_challenge must be 43 characters of base64url")
        }
        (name, bad) => panic!("no expectation is listed for {bad:?} as {name}"),
    }
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
pub(super) fn build_authorize_cases(values: &InputValues) -> Vec<InputCase> {
    let good = valid_parameters(values);
    let mut cases = Vec::new();
    for name in PARAMETERS {
        for bad in BadValue::ALL {
            let raw = RawRequest::get(format!("{PATH}?{}", bad.build_query(&good, name)));
            cases.push(InputCase::new(
                format!("authorize: {bad:?} as {name}"),
                raw,
                expected_response(name, bad),
            ));
        }
    }
    let with = |name: &str, value: &str| {
        let rest = BadValue::Missing.build_query(&good, name);
        RawRequest::get(
            [PATH.as_bytes(), b"?", rest.as_bytes(), b"&", name.as_bytes(), b"=", value.as_bytes()].concat(),
        )
    };
    let unknown = "scope ACCOUNT_BASIC,TRANSACTIONS is unknown";
    for (name, value, expected) in [
        ("client_id", &*values.foreign.client_id, ExpectedResponse::Page(400, UNKNOWN_REDIRECT)),
        ("redirect_uri", &*values.foreign.redirect_uri, ExpectedResponse::Page(400, UNKNOWN_REDIRECT)),
        ("redirect_uri", "javascript:alert(1)", ExpectedResponse::Page(400, UNKNOWN_REDIRECT)),
        ("redirect_uri", "//evil.example.org", ExpectedResponse::Page(400, UNKNOWN_REDIRECT)),
        ("provider_id", "9999", expected_invalid_request("provider_id names no provider of this hub")),
        (
            "provider_id",
            "99999999999999999999",
            expected_invalid_request("provider_id must be a positive integer"),
        ),
        ("provider_id", "-1", expected_invalid_request("provider_id must be a positive integer")),
        ("provider_id", "01000", expected_invalid_request("provider_id must be a positive integer")),
        ("provider_id", "1e3", expected_invalid_request("provider_id must be a positive integer")),
        (
            "provider_id",
            "%D9%A1%D9%A0%D9%A0%D9%A0",
            expected_invalid_request("provider_id must be a positive integer"),
        ),
        (
            "provider_id",
            "3000",
            ExpectedResponse::RedirectError(
                OAuthCode::UnauthorizedClient,
                "This client has no active registration with the provider".into(),
            ),
        ),
        (
            "scope",
            "ACCOUNT_BASIC,TRANSACTIONS",
            ExpectedResponse::RedirectError(OAuthCode::InvalidScope, unknown.into()),
        ),
        (
            "scope",
            "TRANSACTIONS",
            ExpectedResponse::RedirectError(
                OAuthCode::InvalidScope,
                "scope must include ACCOUNT_BASIC".into(),
            ),
        ),
        ("state", "a\\b", ExpectedResponse::RedirectToConsent),
    ] {
        cases.push(InputCase::new(format!("authorize: {value} as {name}"), with(name, value), expected));
    }
    for (bytes, expected) in
        [(1500, ExpectedResponse::RedirectToConsent), (1501, expected_invalid_request(LONG_STATE))]
    {
        let raw = with("state", &"s".repeat(bytes));
        cases.push(InputCase::new(format!("authorize: a state of {bytes} bytes"), raw, expected));
    }
    let beyond = [
        ("client_id", &*values.foreign.client_id),
        ("redirect_uri", &*values.foreign.redirect_uri),
        ("response_type", "code"),
        ("scope", "ACCOUNT_BASIC INVESTMENTS"),
        ("state", "s-1"),
        ("provider_id", "1000"),
    ];
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(beyond).finish();
    let out_of_scope = ExpectedResponse::RedirectError(
        OAuthCode::InvalidScope,
        "scope INVESTMENTS is not allowed for this client".into(),
    );
    cases.push(InputCase::new(
        "authorize: beyond the client's",
        RawRequest::get(format!("{PATH}?{query}")),
        out_of_scope,
    ));
    cases.push(InputCase::new(
        "authorize: nothing at all",
        RawRequest::get(PATH),
        ExpectedResponse::Page(400, UNKNOWN_CLIENT),
    ));
    for junk in ["?", "?&&&", "?=", "?=x&=y", "?%00=%00", "?client_id[]=x", "?a=b?c=d#e"] {
        let raw = RawRequest::get(format!("{PATH}{junk}"));
        cases.push(InputCase::new(
            format!("authorize: {junk}"),
            raw,
            ExpectedResponse::Page(400, UNKNOWN_CLIENT),
        ));
    }
    for byte in [0x00_u8, 0x09, 0x20, 0x7f, 0xe9] {
        let target = [PATH.as_bytes(), b"?state=a", &[byte], b"b"].concat();
        let wire = ExpectedResponse::RejectedByHttpServer(400);
        cases.push(InputCase::new(
            format!("authorize: a bare byte {byte:#04x}"),
            RawRequest::get(target),
            wire,
        ));
    }
    cases
}
