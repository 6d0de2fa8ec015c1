//! Parses responses of data providers, and counts the fields that the hub does not know and drops.

use serde::de::DeserializeOwned;

/// A parsed value, with the number of fields that its type does not define.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<T> {
    /// The value, without the fields that its type does not define.
    pub value: T,
    /// The number of fields that were dropped because the type does not define them. With FDX 6.x it includes dropped
    /// elements of lists.
    pub dropped: usize,
}

/// Error for a text that cannot be parsed. It contains a position and no value, so that it can be logged.
#[derive(Debug, thiserror::Error)]
#[error("unreadable at line {line}, column {column}")]
pub struct ParseError {
    /// The line, starting at one; zero if the position is unknown.
    pub line: usize,
    /// The column, starting at one; zero if the position is unknown.
    pub column: usize,
}

impl From<serde_json::Error> for ParseError {
    fn from(error: serde_json::Error) -> Self {
        Self { line: error.line(), column: error.column() }
    }
}

/// Parses a JSON text in the form of FDX 5.x. Unknown fields are dropped and counted.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<Parsed<T>, ParseError> {
    let mut dropped = 0;
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = serde_ignored::deserialize(&mut deserializer, |_| dropped += 1)?;
    // Text after the value makes the response invalid.
    deserializer.end()?;
    Ok(Parsed { value, dropped })
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
        for bad in
            ["", "<html>secret</html>", r#"{"accounts":[{"petAccount":{}}]}"#, r#"{"accounts":7}"#, "{} x"]
        {
            let error = parse::<Accounts>(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("unreadable at line 1"), "{error}");
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
