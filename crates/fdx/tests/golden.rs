//! Every entity of FDX 5 that we carry, with every field that we know of it, and again with the fields alone that
//! recipients require: read into our types and written again, nothing is lost and no decimal changes.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use fdx::vocabulary::strange_words;
use fdx::{Account, Accounts, Currency, Customer, ErrorBody, Transaction, Transactions, parse};
use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::{Serialize, forward_to_deserialize_any};
use serde_json::{Value, json};

fn text(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.json"));
    std::fs::read_to_string(path).unwrap()
}

fn golden(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap()
}

fn names() -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    files.map(|name| name.to_str().unwrap().strip_suffix(".json").unwrap().to_owned()).collect()
}

/// Reads a text as the type of its name, and writes it: what came of it, and how many fields were dropped.
fn through(name: &str, text: &str) -> Option<(Value, usize)> {
    fn as_a<T: DeserializeOwned + Serialize>(text: &str) -> Option<(Value, usize)> {
        let read = parse::<T>(text.as_bytes()).ok()?;
        Some((serde_json::from_str(&serde_json::to_string(&read.value).unwrap()).unwrap(), read.dropped))
    }
    match name.trim_end_matches(".minimal") {
        "accounts" => as_a::<Accounts>(text),
        "transactions" => as_a::<Transactions>(text),
        "customer" => as_a::<Customer>(text),
        "currency" => as_a::<Currency>(text),
        "error" => as_a::<ErrorBody>(text),
        name if name.ends_with("Account") => as_a::<Account>(text),
        _ => as_a::<Transaction>(text),
    }
}

/// What the vocabulary says of a text of that name.
fn strange(name: &str, value: &Value) -> Vec<String> {
    match name.trim_end_matches(".minimal") {
        "error" => Vec::new(),
        name @ ("accounts" | "transactions" | "customer" | "currency") => strange_words(name, value),
        name if name.ends_with("Account") => strange_words("account", value),
        _ => strange_words("transaction", value),
    }
}

/// Calls `act` with the pointer of every object within.
fn objects(value: &Value, at: &str, act: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            act(at);
            fields.iter().for_each(|(name, value)| objects(value, &format!("{at}/{name}"), act));
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(nth, item)| objects(item, &format!("{at}/{nth}"), act));
        }
        _ => {}
    }
}

#[test]
fn every_golden_text_comes_back_as_it_was() {
    let names = names();
    assert_eq!(names.len(), 36, "18 texts, each whole and minimal");
    for name in names {
        let (written, dropped) =
            through(&name, &text(&name)).unwrap_or_else(|| panic!("{name} is unreadable"));
        assert_eq!(written, golden(&name), "{name}");
        assert_eq!(dropped, 0, "{name} has a field that we drop");
        assert_eq!(strange(&name, &written), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_field_that_we_drop_is_noticed_wherever_it_stands() {
    let mut places = 0;
    for name in names() {
        let whole = golden(&name);
        objects(&whole, "", &mut |at| {
            // Below a kind's key alone: another key beside it is another kind, which is refused.
            let alone = at.is_empty() && (name.contains("Account") || name.contains("Transaction"));
            let listed = ["/accounts/0", "/transactions/0"].contains(&at) && !name.starts_with("customer");
            let mut more = whole.clone();
            more.pointer_mut(at).unwrap()["fieldOfTomorrow"] = json!("x");
            match through(&name, &more.to_string()) {
                Some((written, dropped)) => assert_eq!((&written, dropped), (&whole, 1), "{name}{at}"),
                None => assert!(alone || listed, "{name}{at}"),
            }
            places += 1;
        });
    }
    assert!(places > 100, "{places}");
}

/// The names of a type's fields, as its reader asks for them.
fn fields<T: DeserializeOwned>() -> BTreeSet<&'static str> {
    struct Names<'a>(&'a mut &'static [&'static str]);
    impl<'de> Deserializer<'de> for Names<'_> {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(serde::de::Error::custom("not a struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            names: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Error> {
            *self.0 = names;
            visitor.visit_map(serde::de::value::MapDeserializer::new(std::iter::empty::<(&str, &str)>()))
        }

        fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.deserialize_any(visitor)
        }

        fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.deserialize_any(visitor)
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let mut names: &'static [&'static str] = &[];
    let _ = T::deserialize(Names(&mut names));
    names.iter().copied().collect()
}

fn has_all<T: DeserializeOwned>(name: &str, at: &str) {
    let whole = golden(name);
    let object = whole.pointer(at).unwrap_or_else(|| panic!("{name} has no {at}")).as_object().unwrap();
    let shown: BTreeSet<&str> = object.keys().map(String::as_str).collect();
    assert_eq!(shown, fields::<T>(), "{name}{at}");
}

#[test]
fn the_golden_texts_show_every_field_of_every_type() {
    has_all::<fdx::DepositAccount>("depositAccount", "/depositAccount");
    has_all::<fdx::LoanAccount>("loanAccount", "/loanAccount");
    has_all::<fdx::LocAccount>("locAccount", "/locAccount");
    has_all::<fdx::CardArt>("locAccount", "/locAccount/cardArt");
    has_all::<fdx::InvestmentAccount>("investmentAccount", "/investmentAccount");
    for (at, known) in [
        ("holdings", fields::<fdx::Holding>()),
        ("openOrders", fields::<fdx::OpenOrder>()),
        ("contribution", fields::<fdx::Contribution>()),
        ("vesting", fields::<fdx::Vesting>()),
        ("investmentLoans", fields::<fdx::InvestmentLoan>()),
        ("balanceList", fields::<fdx::InvestmentBalance>()),
        ("pensionSource", fields::<fdx::PensionSource>()),
    ] {
        let whole = golden("investmentAccount");
        let first = whole["investmentAccount"][at][0].as_object().unwrap();
        assert_eq!(first.keys().map(String::as_str).collect::<BTreeSet<_>>(), known, "{at}");
    }
    has_all::<fdx::Portion>("investmentAccount", "/investmentAccount/holdings/0/assetClasses/0");
    has_all::<fdx::FiPortion>("investmentAccount", "/investmentAccount/holdings/0/fiAssetClasses/0");
    has_all::<fdx::InsuranceAccount>("insuranceAccount", "/insuranceAccount");
    has_all::<fdx::Bill>("insuranceAccount", "/insuranceAccount/bills/0");
    has_all::<fdx::AnnuityAccount>("annuityAccount", "/annuityAccount");
    has_all::<fdx::CommercialAccount>("commercialAccount", "/commercialAccount");
    has_all::<fdx::Domicile>("depositAccount", "/depositAccount/domicile");
    has_all::<fdx::FiAttribute>("depositAccount", "/depositAccount/fiAttributes/0");
    has_all::<ErrorBody>("depositAccount", "/depositAccount/error");
    has_all::<fdx::DepositTransaction>("depositTransaction", "/depositTransaction");
    has_all::<fdx::LineItem>("depositTransaction", "/depositTransaction/lineItem/0");
    has_all::<fdx::Reward>("depositTransaction", "/depositTransaction/reward");
    has_all::<fdx::LocTransaction>("locTransaction", "/locTransaction");
    has_all::<fdx::PaymentDetails>("locTransaction", "/locTransaction/paymentDetails");
    has_all::<fdx::LoanTransaction>("loanTransaction", "/loanTransaction");
    has_all::<fdx::InvestmentTransaction>("investmentTransaction", "/investmentTransaction");
    has_all::<fdx::InsuranceTransaction>("insuranceTransaction", "/insuranceTransaction");
    has_all::<fdx::CommercialTransaction>("commercialTransaction", "/commercialTransaction");
    has_all::<fdx::CommercialCode>("commercialTransaction", "/commercialTransaction/commercialCode");
    has_all::<Customer>("customer", "");
    has_all::<fdx::CustomerName>("customer", "/name");
    has_all::<fdx::BusinessCustomer>("customer", "/businessCustomer");
    has_all::<fdx::IndustryCode>("customer", "/businessCustomer/industryCode");
    has_all::<fdx::DeliveryAddress>("customer", "/addresses/0");
    has_all::<fdx::TelephoneNumber>("customer", "/telephones/0");
    has_all::<fdx::CustomerAccount>("customer", "/accounts/0");
    has_all::<Currency>("currency", "");
    has_all::<ErrorBody>("error", "");
    for list in ["accounts", "transactions"] {
        has_all::<fdx::PageMetadata>(list, "/page");
        has_all::<fdx::PageLinks>(list, "/links");
        has_all::<fdx::HateoasLink>(list, "/links/next");
    }
    has_all::<Accounts>("accounts", "");
    has_all::<Transactions>("transactions", "");
}

#[test]
fn what_is_left_out_on_purpose_is_dropped() {
    for (name, at, field, value) in [
        // Transactions are never embedded; the holders' contact is the customer's profile.
        ("depositAccount", "/depositAccount", "transactions", json!([])),
        ("depositAccount", "/depositAccount", "contact", json!({"emails": ["a@example.org"]})),
        // No address of a provider is passed on.
        ("locAccount", "/locAccount/cardArt", "imageUri", json!("https://bank.example/c.png")),
        ("depositTransaction", "/depositTransaction", "links", json!([{"href": "https://bank.example"}])),
        // Not carried yet.
        ("investmentAccount", "/investmentAccount/holdings/0", "taxLots", json!([])),
        ("commercialAccount", "/commercialAccount", "commercialBalances", json!([])),
    ] {
        let whole = golden(name);
        let mut more = whole.clone();
        more.pointer_mut(at).unwrap()[field] = value;
        assert_eq!(through(name, &more.to_string()), Some((whole, 1)), "{name}{at}/{field}");
    }
}

/// What recipients require of each: one large recipient's published subset of FDX.
const ACCOUNT: [&str; 6] =
    ["accountCategory", "accountId", "accountType", "currency", "productName", "status"];
const TRANSACTION: [&str; 6] =
    ["amount", "debitCreditMemo", "description", "status", "transactionId", "transactionTimestamp"];

#[test]
fn a_minimal_text_has_what_recipients_require_and_nothing_else() {
    for (kind, floor, own) in [
        ("depositAccount", ACCOUNT, &["availableBalance", "currentBalance"][..]),
        ("loanAccount", ACCOUNT, &["interestRate", "interestRateType", "principalBalance"]),
        ("locAccount", ACCOUNT, &["currentBalance"]),
        ("investmentAccount", ACCOUNT, &["availableCashBalance", "currentValue"]),
        ("insuranceAccount", ACCOUNT, &[]),
        ("annuityAccount", ACCOUNT, &[]),
        ("commercialAccount", ACCOUNT, &[]),
        ("depositTransaction", TRANSACTION, &[]),
        ("locTransaction", TRANSACTION, &[]),
        ("loanTransaction", TRANSACTION, &[]),
        ("investmentTransaction", TRANSACTION, &["fees", "transactionType"]),
        ("insuranceTransaction", TRANSACTION, &[]),
        ("commercialTransaction", TRANSACTION, &[]),
    ] {
        let minimal = golden(&format!("{kind}.minimal"));
        let shown: BTreeSet<&str> = minimal[kind].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(shown, floor.iter().chain(own).copied().collect(), "{kind}");
    }
}

/// A deposit account whose `field` is that JSON, written again.
fn with(field: &str, json: &str) -> Option<String> {
    let text = format!(r#"{{"depositAccount":{{"{field}":{json}}}}}"#);
    let read = parse::<Account>(text.as_bytes()).ok()?;
    assert_eq!(read.dropped, 0, "{text}");
    Some(serde_json::to_string(&read.value).unwrap())
}

#[test]
fn a_word_of_no_list_is_passed_on_and_named() {
    for (name, at, path) in [
        ("depositAccount", "/depositAccount/accountType", "account.depositAccount.accountType"),
        ("loanAccount", "/loanAccount/paymentFrequency", "account.loanAccount.paymentFrequency"),
        ("locAccount", "/locAccount/status", "account.locAccount.status"),
        (
            "investmentAccount",
            "/investmentAccount/holdings/0/holdingType",
            "account.investmentAccount.holdings[0].holdingType",
        ),
        (
            "insuranceAccount",
            "/insuranceAccount/policyPremiumTerm",
            "account.insuranceAccount.policyPremiumTerm",
        ),
        ("depositTransaction", "/depositTransaction/status", "transaction.depositTransaction.status"),
        (
            "loanTransaction",
            "/loanTransaction/transactionType",
            "transaction.loanTransaction.transactionType",
        ),
        (
            "commercialTransaction",
            "/commercialTransaction/commercialCode/type",
            "transaction.commercialTransaction.commercialCode.type",
        ),
        ("customer", "/telephones/0/type", "customer.telephones[0].type"),
        ("currency", "/currencyCode", "currency.currencyCode"),
    ] {
        let mut value = golden(name);
        *value.pointer_mut(at).unwrap() = json!("WORD_OF_TOMORROW");
        assert_eq!(through(name, &value.to_string()), Some((value.clone(), 0)), "{name}{at}");
        assert_eq!(strange(name, &value), [format!("{path}: \"WORD_OF_TOMORROW\"")]);
    }
}

#[test]
fn an_amount_is_kept_to_the_digit_or_refused() {
    for amount in [
        "0.1",
        "123456789012.34",
        "-0.05",
        "0.30000000000000004",
        "1.10",
        "0",
        "79228162514264337593543950335",
    ] {
        assert_eq!(
            with("currentBalance", amount).unwrap(),
            format!(r#"{{"depositAccount":{{"currentBalance":{amount}}}}}"#)
        );
    }
    for refused in ["1e400", "1E-999999999", "79228162514264337593543950336", "true", "[1]", "{}", "\"ten\""]
    {
        assert_eq!(with("currentBalance", refused), None, "{refused}");
    }
}

#[test]
fn null_is_as_good_as_nothing_wherever_it_stands() {
    for name in names().iter().filter(|name| name.ends_with(".minimal")) {
        let whole = golden(name);
        let kind = name.trim_end_matches(".minimal");
        let Some(required) = whole.get(kind).and_then(Value::as_object) else { continue };
        for field in required.keys() {
            let (mut nulled, mut without) = (whole.clone(), whole.clone());
            nulled[kind][field] = Value::Null;
            without[kind].as_object_mut().unwrap().remove(field);
            assert_eq!(through(name, &nulled.to_string()), Some((without, 0)), "{name}: {field}");
        }
    }
    for (name, refused) in
        [("accounts", r#"{"accounts":null}"#), ("depositAccount", r#"{"depositAccount":null}"#)]
    {
        assert_eq!(through(name, refused), None, "{refused}");
    }
}

#[test]
fn a_value_of_another_type_is_refused() {
    for (field, json) in [
        ("accountId", "7"),
        ("transferIn", "\"yes\""),
        ("term", "1.5"),
        ("maturityDate", "\"2026-02-30\""),
        ("maturityDate", "20260131"),
        ("balanceAsOf", "\"2026-01-31\""),
        ("currency", "\"CAD\""),
        ("fiAttributes", "{}"),
    ] {
        assert_eq!(with(field, json), None, "{field} {json}");
    }
}
