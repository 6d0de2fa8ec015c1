//! Every parameter of every operation with every bad value: the documented answer, and nothing has changed.

mod admin;
mod authorize;
mod bearer;
mod data;
mod manage;
mod pages;
mod token;

use domain::error::OAuthCode;

use super::expect::Expected;
use super::state_of;
use crate::kit::{Kit, Raw, Tokens, on_both};

pub(super) use pages::{callback_cases, consent_cases};

on_both!(every_parameter_with_every_bad_value_is_answered_as_documented);

/// A value that does not belong, as it is made of one that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    Missing,
    Twice,
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
    LonePercent,
    NoHex,
    Markup,
    Traversal,
    Parameter,
    Quote,
}

impl Bad {
    pub(super) const ALL: [Self; 18] = [
        Self::Missing,
        Self::Twice,
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
        Self::LonePercent,
        Self::NoHex,
        Self::Markup,
        Self::Traversal,
        Self::Parameter,
        Self::Quote,
    ];

    /// What stands behind the good value; none if something else takes its place.
    const fn suffix(self) -> Option<&'static str> {
        Some(match self {
            Self::Nul => "%00",
            Self::Control => "%07",
            Self::Crlf => "%0D%0ASet-Cookie:%20stolen=1",
            Self::Latin1 => "%E9",
            Self::Overlong => "%C0%AE",
            Self::Surrogate => "%ED%A0%80",
            Self::LonePercent => "%",
            Self::NoHex => "%zz",
            Self::Traversal => "%2F..%2F%2e%2e",
            Self::Parameter => ";x=1",
            Self::Quote => "%27%22%5C",
            Self::Missing
            | Self::Twice
            | Self::Empty
            | Self::Blank
            | Self::Long
            | Self::Utf16
            | Self::Markup => return None,
        })
    }

    /// The value, percent-encoded.
    pub(super) fn encoded(self, good: &str) -> String {
        let plain: String = form_urlencoded::byte_serialize(good.as_bytes()).collect();
        match (self, self.suffix()) {
            (_, Some(suffix)) => format!("{plain}{suffix}"),
            (Self::Blank, _) => "%20".into(),
            (Self::Long, _) => "x".repeat(8_000),
            (Self::Utf16, _) => {
                good.bytes().fold("%FE%FF".into(), |all, byte| format!("{all}%00%{byte:02X}"))
            }
            (Self::Markup, _) => "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E".into(),
            _ => plain,
        }
    }

    /// The value as a reader of forms has it.
    pub(super) fn decoded(self, good: &str) -> String {
        let pair = format!("x={}", self.encoded(good));
        form_urlencoded::parse(pair.as_bytes()).next().unwrap().1.into_owned()
    }

    /// `name=value`, as often as it is sent.
    fn pairs(self, name: &str, good: &str) -> Vec<String> {
        let pair = |value: &str| format!("{name}={value}");
        match self {
            Self::Missing => Vec::new(),
            Self::Empty => vec![pair("")],
            Self::Twice => vec![pair(&self.encoded(good)), pair(&self.encoded(good))],
            _ => vec![pair(&self.encoded(good))],
        }
    }

    /// A query or a form in which one parameter is bad.
    pub(super) fn within(self, good: &[(&str, &str)], name: &str) -> String {
        let plain = |(name, value): &(&str, &str)| {
            format!("{name}={}", form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>())
        };
        let mut pairs: Vec<String> = good.iter().filter(|(known, _)| *known != name).map(plain).collect();
        let own = good.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        pairs.extend(self.pairs(name, own));
        pairs.join("&")
    }
}

/// What a scope is told that has a word which nobody knows.
pub(super) fn unknown_word(scope: &str, told: &str) -> Expected {
    Expected::OAuth(400, OAuthCode::InvalidScope, unknown_scope(scope, told).into())
}

/// The sentence that names a word which nobody knows, in characters that may be shown.
pub(super) fn unknown_scope(scope: &str, told: &str) -> String {
    let known = ["ACCOUNT_BASIC", "ACCOUNT_DETAILED", "TRANSACTIONS"];
    let unknown = scope.split(' ').find(|word| !word.is_empty() && !known.contains(word)).unwrap();
    let sentence = format!("scope {unknown} is {told}");
    let allowed = |c| matches!(c, '\u{20}'..='\u{21}' | '\u{23}'..='\u{5B}' | '\u{5D}'..='\u{7E}');
    sentence.chars().take(200).map(|c| if allowed(c) { c } else { '.' }).collect()
}

/// One request, and the one answer that it may get.
pub(super) struct Case {
    pub(super) what: String,
    pub(super) raw: Raw,
    pub(super) expected: Expected,
}

impl Case {
    pub(super) fn new(what: impl Into<String>, raw: Raw, expected: Expected) -> Self {
        Self { what: what.into(), raw, expected }
    }
}

/// What the cases are made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) redirect_uri: String,
    /// A code that is bound to the verifier, and not used.
    pub(super) code: String,
    pub(super) refresh: String,
    pub(super) access: String,
    pub(super) account: String,
    pub(super) statement: String,
    /// The same, of another recipient.
    pub(super) foreign: Foreign,
    /// A consent page that waits, its cookie and its form's token.
    pub(super) request: String,
    pub(super) cookie: String,
    pub(super) form_token: String,
    /// The state of a browser that stands at the bank, and its cookies.
    pub(super) state: String,
    pub(super) cookies: String,
    pub(super) issuer: String,
    /// An admin's token.
    pub(super) operator: String,
    /// The connection that is to stay as it is.
    pub(super) connection: String,
    pub(super) manage: manage::Managed,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Foreign {
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

/// Every case of the sweep, of whatever values.
pub(super) fn cases(values: &Values) -> Vec<Case> {
    let mut cases = authorize::cases(values);
    cases.extend(token::cases(values));
    cases.extend(bearer::cases(values));
    cases.extend(data::cases(values));
    cases.extend(consent_cases(values));
    cases.extend(callback_cases(values));
    cases.extend(pages::docs_cases());
    cases.extend(admin::cases(values));
    cases.extend(manage::cases(values));
    cases
}

async fn every_parameter_with_every_bad_value_is_answered_as_documented(kit: Kit) {
    let (values, tokens, foreign) = pages::values(&kit).await;
    let (own, theirs) = (state_of(&kit, &tokens.id).await, state_of(&kit, &foreign.id).await);
    let steps = pages::steps(&kit, &values).await;
    let mut wrong = Vec::new();
    let mut managed = manage::state(&kit).await;
    for case in cases(&values) {
        let answer = kit.wire(&case.raw).await;
        wrong.extend(case.expected.check(&answer, &case.what).err());
        assert_eq!(state_of(&kit, &tokens.id).await, own, "{}", case.what);
        assert_eq!(state_of(&kit, &foreign.id).await, theirs, "{}", case.what);
        if case.what.starts_with("manage") {
            let before = std::mem::replace(&mut managed, manage::state(&kit).await);
            assert!(before == managed || matches!(case.expected, Expected::Data), "{}", case.what);
        }
    }
    assert!(wrong.is_empty(), "{} are not as documented:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(pages::steps(&kit, &values).await, steps, "no step was taken");
    is_usable(&kit, &values, &tokens).await;
}

/// What was attacked still does what it is for.
async fn is_usable(kit: &Kit, values: &Values, tokens: &Tokens) {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &*values.code),
        ("redirect_uri", &*values.redirect_uri),
        ("code_verifier", VERIFIER),
    ];
    let bob = kit.token(&kit.acme(), &fields).await;
    assert_eq!(bob.status, 200, "the code was not spent: {}", bob.body);
    assert_eq!(kit.read(&format!("/accounts/{}", values.account), &tokens.access).await.status, 200);
    assert_eq!(kit.refresh(&kit.acme(), &tokens.refresh).await.status, 200);
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    pages::go_on(kit, values).await;
}
