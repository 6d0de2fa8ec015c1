//! Tests of every parameter of every operation with every bad value: the response is as documented, and nothing
//! changes.

mod admin;
mod authorize;
mod bearer;
mod data;
mod manage;
mod manage_lists;
mod pages;
mod token;

use domain::error::OAuthCode;

use super::expectations::ExpectedResponse;
use super::load_connection_state;
use crate::support::{ConnectionTokens, RawRequest, TestHub, on_both};

pub(super) use pages::{build_callback_cases, build_consent_cases};

on_both!(each_bad_parameter_value_returns_documented_error);

/// A way to derive an invalid parameter value from a valid one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadValue {
    Missing,
    Repeated,
    Empty,
    Blank,
    Long,
    Nul,
    Control,
    Crlf,
    Latin1,
    Overlong,
    Surrogate,
    Utf16,
    BarePercent,
    InvalidHex,
    Markup,
    Traversal,
    PathParameter,
    Quote,
}

impl BadValue {
    pub(super) const ALL: [Self; 18] = [
        Self::Missing,
        Self::Repeated,
        Self::Empty,
        Self::Blank,
        Self::Long,
        Self::Nul,
        Self::Control,
        Self::Crlf,
        Self::Latin1,
        Self::Overlong,
        Self::Surrogate,
        Self::Utf16,
        Self::BarePercent,
        Self::InvalidHex,
        Self::Markup,
        Self::Traversal,
        Self::PathParameter,
        Self::Quote,
    ];

    /// Returns the suffix to append to the valid value; `None` if the value is replaced.
    const fn suffix(self) -> Option<&'static str> {
        Some(match self {
            Self::Nul => "%00",
            Self::Control => "%07",
            Self::Crlf => "%0D%0ASet-Cookie:%20stolen=1",
            Self::Latin1 => "%E9",
            Self::Overlong => "%C0%AE",
            Self::Surrogate => "%ED%A0%80",
            Self::BarePercent => "%",
            Self::InvalidHex => "%zz",
            Self::Traversal => "%2F..%2F%2e%2e",
            Self::PathParameter => ";x=1",
            Self::Quote => "%27%22%5C",
            Self::Missing
            | Self::Repeated
            | Self::Empty
            | Self::Blank
            | Self::Long
            | Self::Utf16
            | Self::Markup => return None,
        })
    }

    /// Returns the bad value for the valid value `good`, percent-encoded.
    pub(super) fn encode(self, good: &str) -> String {
        let encoded_good: String = form_urlencoded::byte_serialize(good.as_bytes()).collect();
        match (self, self.suffix()) {
            (_, Some(suffix)) => format!("{encoded_good}{suffix}"),
            (Self::Blank, _) => "%20".into(),
            (Self::Long, _) => "x".repeat(8_000),
            (Self::Utf16, _) => {
                good.bytes().fold("%FE%FF".into(), |all, byte| format!("{all}%00%{byte:02X}"))
            }
            (Self::Markup, _) => "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E".into(),
            _ => encoded_good,
        }
    }

    /// Returns the bad value for the valid value `good`, as the hub sees it after form decoding.
    pub(super) fn decode(self, good: &str) -> String {
        let pair = format!("x={}", self.encode(good));
        form_urlencoded::parse(pair.as_bytes()).next().unwrap().1.into_owned()
    }

    /// Returns `name=value` with the bad value, repeated as often as the parameter is sent.
    fn to_pairs(self, name: &str, good: &str) -> Vec<String> {
        let pair = |value: &str| format!("{name}={value}");
        match self {
            Self::Missing => Vec::new(),
            Self::Empty => vec![pair("")],
            Self::Repeated => vec![pair(&self.encode(good)), pair(&self.encode(good))],
            _ => vec![pair(&self.encode(good))],
        }
    }

    /// Builds a query or form with one invalid parameter.
    pub(super) fn build_query(self, good: &[(&str, &str)], name: &str) -> String {
        let encode_pair = |(name, value): &(&str, &str)| {
            format!("{name}={}", form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>())
        };
        let mut pairs: Vec<String> =
            good.iter().filter(|(known, _)| *known != name).map(encode_pair).collect();
        let own = good.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        pairs.extend(self.to_pairs(name, own));
        pairs.join("&")
    }
}

/// Returns the expected error for a scope that contains an unknown value.
pub(super) fn expected_unknown_scope(scope: &str, problem: &str) -> ExpectedResponse {
    ExpectedResponse::OAuth(400, OAuthCode::InvalidScope, unknown_scope_message(scope, problem).into())
}

/// Returns the description that names an unknown scope value, with unprintable characters replaced.
pub(super) fn unknown_scope_message(scope: &str, problem: &str) -> String {
    let known = ["ACCOUNT_BASIC", "ACCOUNT_DETAILED", "TRANSACTIONS"];
    let unknown = scope.split(' ').find(|word| !word.is_empty() && !known.contains(word)).unwrap();
    let message = format!("scope {unknown} is {problem}");
    let allowed = |c| matches!(c, '\u{20}'..='\u{21}' | '\u{23}'..='\u{5B}' | '\u{5D}'..='\u{7E}');
    message.chars().take(200).map(|c| if allowed(c) { c } else { '.' }).collect()
}

/// A request and its only acceptable response.
pub(super) struct InputCase {
    pub(super) name: String,
    pub(super) raw: RawRequest,
    pub(super) expected: ExpectedResponse,
}

impl InputCase {
    pub(super) fn new(name: impl Into<String>, raw: RawRequest, expected: ExpectedResponse) -> Self {
        Self { name: name.into(), raw, expected }
    }
}

/// The ids, tokens and codes that the cases use.
#[derive(Clone, Debug, Default)]
pub(super) struct InputValues {
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) redirect_uri: String,
    /// An unused code that is bound to the verifier.
    pub(super) code: String,
    pub(super) refresh: String,
    pub(super) access: String,
    pub(super) account: String,
    pub(super) statement: String,
    /// Ids and secrets of another recipient.
    pub(super) foreign: ForeignValues,
    /// The id of a request whose consent page is open. The next fields are its cookie and its CSRF token.
    pub(super) request: String,
    pub(super) cookie: String,
    pub(super) csrf_token: String,
    /// The `state` of a browser that is at the bank. The next field is its cookie.
    pub(super) state: String,
    pub(super) cookies: String,
    pub(super) issuer: String,
    /// The token of an operator with the role `admin`.
    pub(super) operator: String,
    /// The id of the connection that no case may change.
    pub(super) connection: String,
    pub(super) manage: manage::PartnerValues,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ForeignValues {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) code: String,
    pub(super) refresh: String,
    pub(super) access: String,
    pub(super) account: String,
    pub(super) statement: String,
    pub(super) cursor: String,
}

pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(super) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Returns the cases of all operations.
pub(super) fn build_all_cases(values: &InputValues) -> Vec<InputCase> {
    let mut cases = authorize::build_authorize_cases(values);
    cases.extend(token::build_token_cases(values));
    cases.extend(bearer::build_bearer_cases(values));
    cases.extend(data::build_data_cases(values));
    cases.extend(build_consent_cases(values));
    cases.extend(build_callback_cases(values));
    cases.extend(pages::build_docs_cases());
    cases.extend(admin::build_admin_cases(values));
    cases.extend(manage::build_manage_cases(values));
    cases
}

async fn each_bad_parameter_value_returns_documented_error(kit: TestHub) {
    let (values, tokens, foreign) = pages::create_input_values(&kit).await;
    let (own, theirs) =
        (load_connection_state(&kit, &tokens.id).await, load_connection_state(&kit, &foreign.id).await);
    let steps = pages::load_request_states(&kit, &values).await;
    let mut wrong = Vec::new();
    let mut managed = manage::load_managed_rows(&kit).await;
    for case in build_all_cases(&values) {
        let answer = kit.send_raw(&case.raw).await;
        wrong.extend(case.expected.check(&answer, &case.name).err());
        assert_eq!(load_connection_state(&kit, &tokens.id).await, own, "{}", case.name);
        assert_eq!(load_connection_state(&kit, &foreign.id).await, theirs, "{}", case.name);
        if case.name.starts_with("manage") {
            let before = std::mem::replace(&mut managed, manage::load_managed_rows(&kit).await);
            assert!(before == managed || matches!(case.expected, ExpectedResponse::Data), "{}", case.name);
        }
    }
    assert!(wrong.is_empty(), "{} are not as documented:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(pages::load_request_states(&kit, &values).await, steps, "no step was taken");
    assert_still_usable(&kit, &values, &tokens).await;
}

/// Asserts that the valid values still work after all cases have run.
async fn assert_still_usable(kit: &TestHub, values: &InputValues, tokens: &ConnectionTokens) {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &*values.code),
        ("redirect_uri", &*values.redirect_uri),
        ("code_verifier", VERIFIER),
    ];
    let bob = kit.request_token(&kit.acme(), &fields).await;
    assert_eq!(bob.status, 200, "the code was not spent: {}", bob.body);
    assert_eq!(kit.read(&format!("/accounts/{}", values.account), &tokens.access).await.status, 200);
    assert_eq!(kit.refresh(&kit.acme(), &tokens.refresh).await.status, 200);
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    pages::assert_flows_can_continue(kit, values).await;
}
