//! Parses responses of data providers to the types of this crate.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::read::{DropReport, Path, Reading, Version, copy_value};
use crate::shape::Shaped;

/// A parsed value, with the number of fields that were left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<T> {
    /// The value, without the fields that its type does not define or that could not be read.
    pub value: T,
    /// The number of fields and elements of lists that were left out.
    pub dropped: usize,
}

/// The reason why a response cannot be read at all. It contains no value, so that it can be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The text is not JSON.
    #[error("not JSON: unreadable at line {line}, column {column}")]
    Syntax {
        /// The line, starting at one; zero if the position is unknown.
        line: usize,
        /// The column, starting at one; zero if the position is unknown.
        column: usize,
    },
    /// The JSON is not an object with a field that the call returns.
    #[error("not the object that the call returns")]
    WrongShape,
    /// The object describes an error, although the status reports success.
    #[error("an error in a successful response")]
    ErrorInBody,
    /// The object has no member with the list.
    #[error("the list is missing")]
    MissingList,
    /// The member of the list is not a list, or there are two.
    #[error("the list is not an array")]
    InvalidList,
    /// The list has elements, but none of them can be read.
    #[error("no element of the list can be read")]
    NoReadableElement,
    /// The response has the form of another version of FDX than the configured one.
    #[error("the response has the form of another FDX version than `fdx.version`")]
    OtherVersion,
    /// The response does not show whether the list has more pages, or how to request them.
    #[error("the position of the next page cannot be read")]
    UnknownPosition,
}

impl ParseError {
    /// Returns the name of the reason in logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Syntax { .. } => "not_json",
            Self::WrongShape => "wrong_shape",
            Self::ErrorInBody => "error_in_body",
            Self::MissingList => "missing_list",
            Self::InvalidList => "invalid_list",
            Self::NoReadableElement => "no_readable_element",
            Self::OtherVersion => "other_fdx_version",
            Self::UnknownPosition => "unknown_position",
        }
    }
}

impl From<serde_json::Error> for ParseError {
    fn from(error: serde_json::Error) -> Self {
        Self::Syntax { line: error.line(), column: error.column() }
    }
}

/// Parses a JSON text in the form of FDX 5.x. Fields that are unknown or unreadable are dropped and counted.
pub fn parse<T: DeserializeOwned + Shaped>(text: &[u8]) -> Result<Parsed<T>, ParseError> {
    parse_version(text, Version::V5)
}

pub(crate) fn parse_version<T: DeserializeOwned + Shaped>(
    text: &[u8],
    version: Version,
) -> Result<Parsed<T>, ParseError> {
    let mut report = DropReport::default();
    let value = parse_reported(text, version, true, &mut report)?;
    Ok(Parsed { value, dropped: report.dropped() })
}

/// Parses a single object of a response. What is left out is added to `report`.
pub fn parse_object<T: DeserializeOwned + Shaped>(
    text: &[u8],
    version: Version,
    report: &mut DropReport,
) -> Result<T, ParseError> {
    parse_reported(text, version, false, report)
}

fn parse_reported<T: DeserializeOwned + Shaped>(
    text: &[u8],
    version: Version,
    keeps_internal_fields: bool,
    report: &mut DropReport,
) -> Result<T, ParseError> {
    let json = read_document(text)?;
    let mut reading = Reading { version, report, keeps_internal_fields };
    let mut normal = Vec::with_capacity(text.len());
    if !copy_value(T::SHAPE, json, &Path::ROOT, &mut reading, &mut normal) {
        return Err(ParseError::WrongShape);
    }
    // An object without a known field is not an entity without data: it is another object, such as an error.
    let is_empty = json.strip_prefix('{').is_some_and(|rest| rest.trim_start() == "}");
    if normal == b"{}" && !is_empty {
        return Err(if is_error_body(json) { ParseError::ErrorInBody } else { ParseError::WrongShape });
    }
    // The copy contains only values that the type accepts.
    serde_json::from_slice(&normal).map_err(|_| ParseError::WrongShape)
}

/// Returns the JSON text of a response, without white space around it. A byte order mark is removed.
pub(crate) fn read_document(text: &[u8]) -> Result<&str, ParseError> {
    Ok(serde_json::from_slice::<&RawValue>(without_byte_order_mark(text))?.get())
}

pub(crate) fn without_byte_order_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)
}

/// Returns whether an object has a member by which providers report an error.
fn is_error_body(json: &str) -> bool {
    use crate::read::{Slot, read_members};
    use crate::shape::{Field, Shape};
    const ERROR: &[Field] = &[Field::new("code", &Shape::Text), Field::new("error", &Shape::Text)];
    read_members(json, ERROR, Version::V5)
        .is_some_and(|members| (0..ERROR.len()).any(|index| members.slot(index) != Slot::Absent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Account, Accounts, Customer, ErrorBody, ErrorCode, Transactions};

    const DEPOSIT: &str = r#"{"page":{"nextOffset":"n","totalElements":10},"links":{"next":{"href":"/x"}},
        "accounts":[{"depositAccount":{"accountId":"a1","accountCategory":"DEPOSIT_ACCOUNT",
        "accountType":"CHECKING","accountNumber":"123456","accountNumberDisplay":"***456","status":"OPEN",
        "currency":{"currencyCode":"CAD","currencyRate":1.0},"routingTransitNumber":"004","balanceType":"ASSET",
        "lastActivityDate":"2024-01-15","balanceAsOf":"2024-01-15T10:30:00Z",
        "currentBalance":12345678901234567890.123456,"availableBalance":-0.10,"loyaltyTier":"gold"}}]}"#;

    #[test]
    fn amount_round_trip_keeps_every_digit() {
        let read = parse::<Accounts>(DEPOSIT.as_bytes()).unwrap();
        let written = serde_json::to_string(&read.value).unwrap();
        assert!(written.contains(r#""currentBalance":12345678901234567890.123456"#), "{written}");
        assert!(written.contains(r#""availableBalance":-0.10"#), "{written}");
        assert_eq!(parse::<Accounts>(written.as_bytes()).unwrap(), Parsed { value: read.value, dropped: 0 });
    }

    #[test]
    fn parse_drops_and_counts_unknown_fields() {
        let read = parse::<Accounts>(DEPOSIT.as_bytes()).unwrap();
        assert_eq!(read.dropped, 1);
        assert!(!serde_json::to_string(&read.value).unwrap().contains("gold"));
    }

    #[test]
    fn lightweight_account_has_documented_fields_only() {
        let account = parse::<Accounts>(DEPOSIT.as_bytes()).unwrap().value.accounts.remove(0);
        let mut redacted = account.clone();
        redacted.remove_payment_details();
        let json = serde_json::to_value(&redacted).unwrap();
        assert!(json["depositAccount"].get("accountNumber").is_none());
        assert!(json["depositAccount"].get("routingTransitNumber").is_none());
        assert_eq!(json["depositAccount"]["accountNumberDisplay"], "***456");
        let light = serde_json::to_value(account.into_lightweight()).unwrap();
        let keys: Vec<&str> =
            light["depositAccount"].as_object().unwrap().keys().map(String::as_str).collect();
        insta::assert_debug_snapshot!(keys, @r#"
        [
            "accountCategory",
            "accountId",
            "accountNumberDisplay",
            "accountType",
            "currency",
            "status",
        ]
        "#);
    }

    #[test]
    fn account_round_trip_keeps_kind_key() {
        for key in [
            "depositAccount",
            "locAccount",
            "loanAccount",
            "investmentAccount",
            "insuranceAccount",
            "annuityAccount",
            "commercialAccount",
        ] {
            let text = format!(r#"{{"{key}":{{"accountId":"x"}}}}"#);
            let mut account = parse::<Account>(text.as_bytes()).unwrap().value;
            assert_eq!(account.id(), Some("x"));
            account.set_id("y".into());
            assert_eq!(serde_json::to_string(&account).unwrap(), text.replace("\"x\"", "\"y\""));
        }
    }

    #[test]
    fn transaction_round_trip_keeps_kind_key_and_amount() {
        let text = r#"{"page":{},"links":{},"transactions":[{"locTransaction":{"accountId":"a","transactionId":"t","postedTimestamp":"2020-02-01T00:00:00Z","amount":10.50,"paymentDetails":{"interestAmount":0.01}}}]}"#;
        let read = parse::<Transactions>(text.as_bytes()).unwrap();
        assert_eq!((read.value.transactions[0].id(), read.dropped), (Some("t"), 0));
        assert_eq!(serde_json::to_string(&read.value).unwrap(), text);
    }

    #[test]
    fn remove_holdings_clears_investment_positions() {
        let text = r#"{"investmentAccount":{"accountId":"a","currentValue":10.5,"holdings":[{"holdingId":"h","holdingType":"STOCK","units":1.2345,"marketValue":10.50,"averageCost":true,"inv401kSource":"MATCH","assetClasses":[{"assetClass":"DOMESTICBOND","percent":12.5}]}],"vesting":[{"unVestedBalance":1}]}}"#;
        let read = parse::<Account>(text.as_bytes()).unwrap();
        assert_eq!((read.dropped, serde_json::to_string(&read.value).unwrap().as_str()), (0, text));
        let mut hidden = read.value;
        hidden.remove_holdings();
        assert_eq!(
            serde_json::to_string(&hidden).unwrap(),
            r#"{"investmentAccount":{"accountId":"a","currentValue":10.5}}"#
        );
    }

    #[test]
    fn parse_drops_card_image_uri() {
        let text = r#"{"locAccount":{"cardArt":{"label":"Gold","imageUri":"https://bank.example/c.png"}}}"#;
        let read = parse::<Account>(text.as_bytes()).unwrap();
        assert_eq!(read.dropped, 1);
        assert!(!serde_json::to_string(&read.value).unwrap().contains("bank.example"));
    }

    #[test]
    fn business_customer_round_trips() {
        let text = r#"{"customerId":"c","type":"BUSINESS","businessCustomer":{"name":"A Ltd.","registeredAgents":[{"first":"A"}],"registeredId":"1","industryCode":{"type":"NAICS","code":"321911"},"domicile":{"region":"ON","country":"CA"}}}"#;
        let read = parse::<Customer>(text.as_bytes()).unwrap();
        assert_eq!((read.dropped, serde_json::to_string(&read.value).unwrap().as_str()), (0, text));
    }

    #[test]
    fn parse_error_names_position_and_no_value() {
        for bad in ["", "<html>secret</html>", "{} secret", r#"{"accounts":secret}"#] {
            let error = parse::<Accounts>(bad.as_bytes()).unwrap_err();
            assert_eq!(error.reason(), "not_json");
            assert!(error.to_string().starts_with("not JSON: unreadable at line 1"), "{error}");
        }
    }

    #[test]
    fn object_without_known_field_is_error() {
        for (body, reason) in [
            (r#"{"code":500,"message":"x"}"#, "error_in_body"),
            (r#"{"error":"x"}"#, "error_in_body"),
            (r#"{"Customer":{}}"#, "wrong_shape"),
            ("[]", "wrong_shape"),
            ("null", "wrong_shape"),
            ("7", "wrong_shape"),
        ] {
            assert_eq!(parse::<Customer>(body.as_bytes()).unwrap_err().reason(), reason, "{body}");
        }
        for empty in ["{}", " { \n} "] {
            assert_eq!(parse::<Customer>(empty.as_bytes()).unwrap().value, Customer::default());
        }
    }

    #[test]
    fn customer_email_list_round_trips() {
        let text = r#"{"customerId":"c","name":{"first":"A"},"email":["a@example.org"],"addresses":[{"type":"HOME","city":"Laval"}]}"#;
        let read = parse::<Customer>(text.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&read.value).unwrap(), text);
    }

    #[test]
    fn error_code_is_number_and_parses_from_number_or_text() {
        let body = ErrorBody::new(ErrorCode::AccountNotFound, "no such account");
        let written = serde_json::to_string(&body).unwrap();
        assert_eq!(written, r#"{"code":701,"message":"Account not found","debugMessage":"no such account"}"#);
        for text in [r#"{"code":"701"}"#, r#"{"code":701}"#] {
            assert_eq!(parse::<ErrorBody>(text.as_bytes()).unwrap().value.code, Some(701));
        }
        assert_eq!(parse::<ErrorBody>(br#"{"message":"x"}"#).unwrap().value.code, None);
    }
}
