//! Tests of the conversion between FDX 6.x and FDX 5.x: both forms round-trip, and unknown categories are rejected.

use proptest::prelude::*;

use super::*;
use crate::sample::complete_values;
use crate::vocabulary::find_unknown_words;

const ACCOUNTS: &str = r#"{"page":{"nextPageKey":"n","totalElements":9},"links":{},"accounts":[
    {"accountId":"a","accountCategory":"DEPOSIT_ACCOUNT","accountType":"CHECKING","status":"OPEN",
    "currentBalance":12345678901234567890.123456,"availableBalance":-0.10,"interestRate":0.1,
    "currency":{"currencyCode":"CAD"},"bankTransitId":"00207"},
    {"accountId":"w","accountCategory":"DIGITAL_WALLET","accountType":"DIGITALWALLET"},
    {"accountId":"i","accountCategory":"INVESTMENT_ACCOUNT","accountType":"FIRSTHOMESAVINGSACCOUNT",
    "holdings":[{"holdingId":"h","securityIds":[{"id":"135087A61","idType":"CUSIP"},{"id":"x","idType":"ISIN"}],"units":1.2345}]},
    {"accountId":"c","accountCategory":"COMMERCIAL_ACCOUNT","accountType":"COMMERCIALLOAN"}]}"#;

#[test]
fn v6_flat_list_parses_to_v5_wrapped_list() {
    let read = parse::<Accounts>(ACCOUNTS.as_bytes()).unwrap();
    assert_eq!(read.dropped, 2, "a field and an element that FDX 5.x does not define");
    assert_eq!(read.value.page.next_offset.as_deref(), Some("n"));
    let value = serde_json::to_value(&read.value).unwrap();
    assert_eq!(find_unknown_words("accounts", &value), Vec::<String>::new());
    assert_eq!(
        value["accounts"][0].to_string(),
        r#"{"depositAccount":{"accountCategory":"DEPOSIT_ACCOUNT","accountId":"a","accountType":"CHECKING","availableBalance":-0.10,"currency":{"currencyCode":"CAD"},"currentBalance":12345678901234567890.123456,"interestRate":0.1,"status":"OPEN"}}"#
    );
    let plan = &value["accounts"][1]["investmentAccount"];
    assert_eq!(plan["accountType"], "OTHERINVESTMENT");
    assert_eq!(
        plan["holdings"][0],
        json!({"holdingId": "h", "securityId": "135087A61", "securityIdType": "CUSIP", "units": plan["holdings"][0]["units"]})
    );
    assert_eq!(plan["holdings"][0]["units"].to_string(), "1.2345");
    assert_eq!(value["accounts"][2]["commercialAccount"]["accountCategory"], "LOAN_ACCOUNT");
}

#[test]
fn v5_wrapped_list_round_trips_through_v6() {
    let text = r#"{"page":{"nextOffset":"n"},"links":{},"transactions":[
        {"locTransaction":{"accountId":"a","transactionId":"t","amount":10.50,"status":"POSTED"}},
        {"investmentTransaction":{"transactionId":"i","securityId":"1","securityIdType":"CUSIP","fees":0.00}}]}"#;
    let five = crate::parse::<Transactions>(text.as_bytes()).unwrap().value;
    let six = write(&five).unwrap();
    assert_eq!(six["page"], json!({"nextPageKey": "n"}));
    assert_eq!(six["transactions"][0]["accountCategory"], "LOC_ACCOUNT");
    assert_eq!(six["transactions"][0]["amount"].to_string(), "10.50");
    assert_eq!(six["transactions"][1]["securityIds"], json!([{"id": "1", "idType": "CUSIP"}]));
    let back = parse::<Transactions>(six.to_string().as_bytes()).unwrap();
    assert_eq!((back.value, back.dropped), (five, 0));
}

#[test]
fn v6_element_of_unknown_category_is_rejected() {
    let wallet = br#"{"accountId":"w","accountCategory":"DIGITAL_WALLET"}"#;
    assert!(parse::<Account>(wallet).is_err());
    assert!(parse::<Account>(br#"{"accountId":"w"}"#).is_err());
    assert!(
        parse::<Account>(br#"{"depositAccount":{"accountId":"w"}}"#).is_err(),
        "the form of FDX 5.x must be rejected"
    );
    assert!(parse::<Accounts>(b"<html>").is_err());
    let card = br#"{"accountCategory":"LOC_ACCOUNT","transactionType":"PURCHASE","status":"POSTED"}"#;
    let card = serde_json::to_value(parse::<Transaction>(card).unwrap().value).unwrap();
    assert_eq!(card, json!({"locTransaction": {"status": "POSTED"}}));
}

#[test]
fn every_field_round_trips_through_v6() {
    for transaction in complete_values::<Transaction>() {
        let written = write(&transaction).unwrap();
        let read = parse::<Transaction>(written.to_string().as_bytes()).unwrap();
        assert_eq!((read.value, read.dropped), (transaction, 0), "{written}");
        assert!(written["lineItem"][0]["checkNumber"].is_string(), "{written}");
    }
    for account in complete_values::<Account>() {
        let written = write(&account).unwrap();
        let read = parse::<Account>(written.to_string().as_bytes()).unwrap();
        let [mut before, mut after] = [account, read.value].map(|account| json!(account));
        // In FDX 6 the category names the type of the account, whatever it was before.
        for account in [&mut before, &mut after] {
            let inner = account.as_object_mut().unwrap().values_mut().next().unwrap();
            inner.as_object_mut().unwrap().remove("accountCategory");
        }
        assert_eq!((after, read.dropped), (before, 0), "{written}");
    }
}

#[test]
fn v6_paging_and_date_parameters_are_renamed() {
    let named = ["offset", "startTime", "endTime", "limit", "resultType"].map(v6_parameter_name);
    assert_eq!(named, ["pageKey", "startDate", "endDate", "limit", "resultType"]);
}

proptest! {
    #[test]
    fn v6_list_is_rejected_or_round_trips_unchanged(text in prop_oneof![
        ".*",
        r#"\{"accounts":\[\{"accountCategory":"(DEPOSIT_ACCOUNT|LOAN_ACCOUNT|x)","accountType":"[A-Z]{2,8}","(holdings|securityIds|page)":(\[\{"id":"x"\}\]|\[\]|7|null)\}\]\}"#,
    ]) {
        if let Ok(read) = parse::<Accounts>(text.as_bytes()) {
            let again = parse::<Accounts>(write(&read.value).unwrap().to_string().as_bytes()).unwrap();
            prop_assert_eq!((again.value, again.dropped), (read.value, 0));
        }
    }
}
