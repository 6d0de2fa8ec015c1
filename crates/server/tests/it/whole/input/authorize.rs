//! `GET /api/v1/authorize`.

use domain::error::OAuthCode;

use super::super::expect::{Expected, UNKNOWN_CLIENT, UNKNOWN_REDIRECT};
use super::{Bad, CHALLENGE, Case, Values, unknown_word};
use crate::kit::Raw;

const PATH: &str = "/api/v1/authorize";
const SCOPE: &str = "ACCOUNT_BASIC TRANSACTIONS";
const LONG_STATE: &str = "state must have at most 4096 bytes";
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

fn good(values: &Values) -> Vec<(&str, &str)> {
    vec![
        ("client_id", &values.client_id),
        ("redirect_uri", &values.redirect_uri),
        ("response_type", "code"),
        ("scope", SCOPE),
        ("state", "s-1"),
        ("provider_id", "1000"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("ui_locales", "fr"),
        ("correlation_id", "c-1"),
    ]
}

fn invalid(sentence: impl Into<std::borrow::Cow<'static, str>>) -> Expected {
    Expected::Back(OAuthCode::InvalidRequest, sentence.into())
}

/// What each parameter with each bad value is told.
fn expected(name: &'static str, bad: Bad) -> Expected {
    use Bad::{Blank, Control, Crlf, Empty, Latin1, Long, Missing, Nul, Overlong, Surrogate, Twice, Utf16};
    match (name, bad) {
        ("client_id", _) => Expected::Page(400, UNKNOWN_CLIENT),
        ("redirect_uri", _) => Expected::Page(400, UNKNOWN_REDIRECT),
        ("ui_locales" | "lang" | "language" | "correlation_id" | "colour", _) => Expected::Onward,
        (_, Twice) => invalid(format!("{name} is given twice")),
        ("provider_id", Missing | Empty) => Expected::Page(200, "Choisissez votre banque"),
        ("provider_id", _) => invalid("provider_id must be a positive integer"),
        ("code_challenge_method", _) => invalid("code_challenge_method must be S256"),
        (_, Missing | Empty) => invalid(format!("{name} is missing")),
        ("response_type", _) => {
            Expected::Back(OAuthCode::UnsupportedResponseType, "response_type must be code".into())
        }
        ("scope", Blank) => {
            Expected::Back(OAuthCode::InvalidScope, "scope must include ACCOUNT_BASIC".into())
        }
        ("scope", bad) => match unknown_word(&bad.decoded(SCOPE), "unknown") {
            Expected::OAuth(_, code, sentence) => Expected::Back(code, sentence),
            other => other,
        },
        ("state", Nul | Control | Crlf | Latin1 | Overlong | Surrogate | Utf16) => {
            invalid("state must be printable text")
        }
        ("state", Long) => invalid(LONG_STATE),
        ("state", _) => Expected::Onward,
        ("code_challenge", _) => invalid("code_challenge must be 43 characters of base64url"),
        (name, bad) => panic!("nobody has thought of {bad:?} as {name}"),
    }
}

pub(super) fn cases(values: &Values) -> Vec<Case> {
    let good = good(values);
    let mut cases = Vec::new();
    for name in PARAMETERS {
        for bad in Bad::ALL {
            let raw = Raw::get(format!("{PATH}?{}", bad.within(&good, name)));
            cases.push(Case::new(format!("authorize: {bad:?} as {name}"), raw, expected(name, bad)));
        }
    }
    let with = |name: &str, value: &str| {
        let rest = Bad::Missing.within(&good, name);
        Raw::get(
            [PATH.as_bytes(), b"?", rest.as_bytes(), b"&", name.as_bytes(), b"=", value.as_bytes()].concat(),
        )
    };
    let unknown = "scope ACCOUNT_BASIC,TRANSACTIONS is unknown";
    for (name, value, expected) in [
        ("client_id", &*values.foreign.client_id, Expected::Page(400, UNKNOWN_REDIRECT)),
        ("redirect_uri", &*values.foreign.redirect_uri, Expected::Page(400, UNKNOWN_REDIRECT)),
        ("redirect_uri", "javascript:alert(1)", Expected::Page(400, UNKNOWN_REDIRECT)),
        ("redirect_uri", "//evil.example.org", Expected::Page(400, UNKNOWN_REDIRECT)),
        ("provider_id", "9999", invalid("provider_id names no provider of this hub")),
        ("provider_id", "99999999999999999999", invalid("provider_id must be a positive integer")),
        ("provider_id", "-1", invalid("provider_id must be a positive integer")),
        ("provider_id", "01000", invalid("provider_id must be a positive integer")),
        ("provider_id", "1e3", invalid("provider_id must be a positive integer")),
        ("provider_id", "%D9%A1%D9%A0%D9%A0%D9%A0", invalid("provider_id must be a positive integer")),
        (
            "provider_id",
            "3000",
            Expected::Back(
                OAuthCode::UnauthorizedClient,
                "This client has no active registration with the provider".into(),
            ),
        ),
        ("scope", "ACCOUNT_BASIC,TRANSACTIONS", Expected::Back(OAuthCode::InvalidScope, unknown.into())),
        (
            "scope",
            "TRANSACTIONS",
            Expected::Back(OAuthCode::InvalidScope, "scope must include ACCOUNT_BASIC".into()),
        ),
        ("state", "a\\b", Expected::Onward),
    ] {
        cases.push(Case::new(format!("authorize: {value} as {name}"), with(name, value), expected));
    }
    for (bytes, expected) in [(4096, Expected::Onward), (4097, invalid(LONG_STATE))] {
        let raw = with("state", &"s".repeat(bytes));
        cases.push(Case::new(format!("authorize: a state of {bytes} bytes"), raw, expected));
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
    let told =
        Expected::Back(OAuthCode::InvalidScope, "scope INVESTMENTS is not allowed for this client".into());
    cases.push(Case::new("authorize: beyond the client's", Raw::get(format!("{PATH}?{query}")), told));
    cases.push(Case::new("authorize: nothing at all", Raw::get(PATH), Expected::Page(400, UNKNOWN_CLIENT)));
    for junk in ["?", "?&&&", "?=", "?=x&=y", "?%00=%00", "?client_id[]=x", "?a=b?c=d#e"] {
        let raw = Raw::get(format!("{PATH}{junk}"));
        cases.push(Case::new(format!("authorize: {junk}"), raw, Expected::Page(400, UNKNOWN_CLIENT)));
    }
    for byte in [0x00_u8, 0x09, 0x20, 0x7f, 0xe9] {
        let target = [PATH.as_bytes(), b"?state=a", &[byte], b"b"].concat();
        let wire = Expected::Wire(400);
        cases.push(Case::new(format!("authorize: a bare byte {byte:#04x}"), Raw::get(target), wire));
    }
    cases
}
