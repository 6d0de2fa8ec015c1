//! Golden files for every supported entity of FDX 5: one with every field, and one with only the fields that recipients
//! require. Both must round-trip through the types without a lost field or a changed digit.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use fdx::Shaped;
use fdx::vocabulary::find_unknown_words;
use fdx::{Account, Accounts, Currency, Customer, ErrorBody, Transaction, Transactions, parse};
use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::{Serialize, forward_to_deserialize_any};
use serde_json::{Value, json};

fn read_golden_text(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.json"));
    std::fs::read_to_string(path).unwrap()
}

fn read_golden_json(name: &str) -> Value {
    serde_json::from_str(&read_golden_text(name)).unwrap()
}

fn golden_names() -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    files.map(|name| name.to_str().unwrap().strip_suffix(".json").unwrap().to_owned()).collect()
}

/// Parses the text of a golden file as the type that the file's name selects, and serializes it. Returns the JSON and
/// the number of dropped fields, or `None` if the text is rejected.
fn round_trip(name: &str, text: &str) -> Option<(Value, usize)> {
    fn round_trip_as<T: DeserializeOwned + Serialize + Shaped>(text: &str) -> Option<(Value, usize)> {
        let read = parse::<T>(text.as_bytes()).ok()?;
        Some((serde_json::from_str(&serde_json::to_string(&read.value).unwrap()).unwrap(), read.dropped))
    }
    match name.trim_end_matches(".minimal") {
        "accounts" => round_trip_as::<Accounts>(text),
        "transactions" => round_trip_as::<Transactions>(text),
        "customer" => round_trip_as::<Customer>(text),
        "currency" => round_trip_as::<Currency>(text),
        "error" => round_trip_as::<ErrorBody>(text),
        name if name.ends_with("Account") => round_trip_as::<Account>(text),
        _ => round_trip_as::<Transaction>(text),
    }
}

/// Returns the values in a golden file that the FDX vocabulary does not define, with their paths. `name` is the file's
/// name without extension.
fn find_unknown(name: &str, value: &Value) -> Vec<String> {
    match name.trim_end_matches(".minimal") {
        "error" => Vec::new(),
        name @ ("accounts" | "transactions" | "customer" | "currency") => find_unknown_words(name, value),
        name if name.ends_with("Account") => find_unknown_words("account", value),
        _ => find_unknown_words("transaction", value),
    }
}

/// Calls `act` with the JSON pointer of each object at any depth of a value. `at` is the pointer of the value itself.
fn visit_objects(value: &Value, at: &str, act: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            act(at);
            fields.iter().for_each(|(name, value)| visit_objects(value, &format!("{at}/{name}"), act));
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(nth, item)| visit_objects(item, &format!("{at}/{nth}"), act));
        }
        _ => {}
    }
}

#[test]
fn golden_file_round_trips_unchanged() {
    let names = golden_names();
    assert_eq!(names.len(), 36, "18 entities, each complete and minimal");
    for name in names {
        let (written, dropped) =
            round_trip(&name, &read_golden_text(&name)).unwrap_or_else(|| panic!("{name} is unreadable"));
        assert_eq!(written, read_golden_json(&name), "{name}");
        assert_eq!(dropped, 0, "{name} has a field that the type does not define");
        assert_eq!(find_unknown(&name, &written), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn unknown_field_is_counted_at_any_depth() {
    let mut places = 0;
    for name in golden_names() {
        let original = read_golden_json(&name);
        visit_objects(&original, "", &mut |at| {
            let mut extended = original.clone();
            extended.pointer_mut(at).unwrap()["fieldOfTomorrow"] = json!("x");
            assert_eq!(round_trip(&name, &extended.to_string()), Some((original.clone(), 1)), "{name}{at}");
            places += 1;
        });
    }
    assert!(places > 100, "{places}");
}

/// Returns the names of all fields that a struct can be deserialized from.
fn field_names<T: DeserializeOwned>() -> BTreeSet<&'static str> {
    struct FieldNameCollector<'a>(&'a mut &'static [&'static str]);
    impl<'de> Deserializer<'de> for FieldNameCollector<'_> {
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
    let _ = T::deserialize(FieldNameCollector(&mut names));
    names.iter().copied().collect()
}

fn assert_has_all_fields<T: DeserializeOwned>(name: &str, at: &str) {
    let golden_value = read_golden_json(name);
    let object =
        golden_value.pointer(at).unwrap_or_else(|| panic!("{name} has no {at}")).as_object().unwrap();
    let shown: BTreeSet<&str> = object.keys().map(String::as_str).collect();
    assert_eq!(shown, field_names::<T>(), "{name}{at}");
}

#[test]
fn golden_files_cover_every_field_of_every_type() {
    assert_has_all_fields::<fdx::DepositAccount>("depositAccount", "/depositAccount");
    assert_has_all_fields::<fdx::LoanAccount>("loanAccount", "/loanAccount");
    assert_has_all_fields::<fdx::LocAccount>("locAccount", "/locAccount");
    assert_has_all_fields::<fdx::CardArt>("locAccount", "/locAccount/cardArt");
    assert_has_all_fields::<fdx::InvestmentAccount>("investmentAccount", "/investmentAccount");
    for (at, known) in [
        ("holdings", field_names::<fdx::Holding>()),
        ("openOrders", field_names::<fdx::OpenOrder>()),
        ("contribution", field_names::<fdx::Contribution>()),
        ("vesting", field_names::<fdx::Vesting>()),
        ("investmentLoans", field_names::<fdx::InvestmentLoan>()),
        ("balanceList", field_names::<fdx::InvestmentBalance>()),
        ("pensionSource", field_names::<fdx::PensionSource>()),
    ] {
        let golden_value = read_golden_json("investmentAccount");
        let first = golden_value["investmentAccount"][at][0].as_object().unwrap();
        assert_eq!(first.keys().map(String::as_str).collect::<BTreeSet<_>>(), known, "{at}");
    }
    assert_has_all_fields::<fdx::Portion>(
        "investmentAccount",
        "/investmentAccount/holdings/0/assetClasses/0",
    );
    assert_has_all_fields::<fdx::FiPortion>(
        "investmentAccount",
        "/investmentAccount/holdings/0/fiAssetClasses/0",
    );
    assert_has_all_fields::<fdx::InsuranceAccount>("insuranceAccount", "/insuranceAccount");
    assert_has_all_fields::<fdx::Bill>("insuranceAccount", "/insuranceAccount/bills/0");
    assert_has_all_fields::<fdx::AnnuityAccount>("annuityAccount", "/annuityAccount");
    assert_has_all_fields::<fdx::CommercialAccount>("commercialAccount", "/commercialAccount");
    assert_has_all_fields::<fdx::Domicile>("depositAccount", "/depositAccount/domicile");
    assert_has_all_fields::<fdx::FiAttribute>("depositAccount", "/depositAccount/fiAttributes/0");
    assert_has_all_fields::<ErrorBody>("depositAccount", "/depositAccount/error");
    assert_has_all_fields::<fdx::DepositTransaction>("depositTransaction", "/depositTransaction");
    assert_has_all_fields::<fdx::LineItem>("depositTransaction", "/depositTransaction/lineItem/0");
    assert_has_all_fields::<fdx::Reward>("depositTransaction", "/depositTransaction/reward");
    assert_has_all_fields::<fdx::LocTransaction>("locTransaction", "/locTransaction");
    assert_has_all_fields::<fdx::PaymentDetails>("locTransaction", "/locTransaction/paymentDetails");
    assert_has_all_fields::<fdx::LoanTransaction>("loanTransaction", "/loanTransaction");
    assert_has_all_fields::<fdx::InvestmentTransaction>("investmentTransaction", "/investmentTransaction");
    assert_has_all_fields::<fdx::InsuranceTransaction>("insuranceTransaction", "/insuranceTransaction");
    assert_has_all_fields::<fdx::CommercialTransaction>("commercialTransaction", "/commercialTransaction");
    assert_has_all_fields::<fdx::CommercialCode>(
        "commercialTransaction",
        "/commercialTransaction/commercialCode",
    );
    assert_has_all_fields::<Customer>("customer", "");
    assert_has_all_fields::<fdx::CustomerName>("customer", "/name");
    assert_has_all_fields::<fdx::BusinessCustomer>("customer", "/businessCustomer");
    assert_has_all_fields::<fdx::IndustryCode>("customer", "/businessCustomer/industryCode");
    assert_has_all_fields::<fdx::DeliveryAddress>("customer", "/addresses/0");
    assert_has_all_fields::<fdx::TelephoneNumber>("customer", "/telephones/0");
    assert_has_all_fields::<fdx::CustomerAccount>("customer", "/accounts/0");
    assert_has_all_fields::<Currency>("currency", "");
    assert_has_all_fields::<ErrorBody>("error", "");
    for list in ["accounts", "transactions"] {
        assert_has_all_fields::<fdx::PageMetadata>(list, "/page");
        assert_has_all_fields::<fdx::PageLinks>(list, "/links");
        assert_has_all_fields::<fdx::HateoasLink>(list, "/links/next");
    }
    assert_has_all_fields::<Accounts>("accounts", "");
    assert_has_all_fields::<Transactions>("transactions", "");
}

#[test]
fn deliberately_omitted_fields_are_dropped() {
    for (name, at, field, value) in [
        // Accounts never contain their transactions, and contact data belongs to another data cluster.
        ("depositAccount", "/depositAccount", "transactions", json!([])),
        ("depositAccount", "/depositAccount", "contact", json!({"emails": ["a@example.org"]})),
        // No URL of a provider is passed on.
        ("locAccount", "/locAccount/cardArt", "imageUri", json!("https://bank.example/c.png")),
        ("depositTransaction", "/depositTransaction", "links", json!([{"href": "https://bank.example"}])),
        // Not supported yet.
        ("investmentAccount", "/investmentAccount/holdings/0", "taxLots", json!([])),
        ("commercialAccount", "/commercialAccount", "commercialBalances", json!([])),
    ] {
        let original = read_golden_json(name);
        let mut extended = original.clone();
        extended.pointer_mut(at).unwrap()[field] = value;
        assert_eq!(round_trip(name, &extended.to_string()), Some((original, 1)), "{name}{at}/{field}");
    }
}

/// The fields that recipients require, according to the published list of a large recipient.
const REQUIRED_ACCOUNT_FIELDS: [&str; 6] =
    ["accountCategory", "accountId", "accountType", "currency", "productName", "status"];
const REQUIRED_TRANSACTION_FIELDS: [&str; 6] =
    ["amount", "debitCreditMemo", "description", "status", "transactionId", "transactionTimestamp"];

#[test]
fn minimal_golden_file_has_only_required_fields() {
    for (kind, required, own) in [
        ("depositAccount", REQUIRED_ACCOUNT_FIELDS, &["availableBalance", "currentBalance"][..]),
        ("loanAccount", REQUIRED_ACCOUNT_FIELDS, &["interestRate", "interestRateType", "principalBalance"]),
        ("locAccount", REQUIRED_ACCOUNT_FIELDS, &["currentBalance"]),
        ("investmentAccount", REQUIRED_ACCOUNT_FIELDS, &["availableCashBalance", "currentValue"]),
        ("insuranceAccount", REQUIRED_ACCOUNT_FIELDS, &[]),
        ("annuityAccount", REQUIRED_ACCOUNT_FIELDS, &[]),
        ("commercialAccount", REQUIRED_ACCOUNT_FIELDS, &[]),
        ("depositTransaction", REQUIRED_TRANSACTION_FIELDS, &[]),
        ("locTransaction", REQUIRED_TRANSACTION_FIELDS, &[]),
        ("loanTransaction", REQUIRED_TRANSACTION_FIELDS, &[]),
        ("investmentTransaction", REQUIRED_TRANSACTION_FIELDS, &["fees", "transactionType"]),
        ("insuranceTransaction", REQUIRED_TRANSACTION_FIELDS, &[]),
        ("commercialTransaction", REQUIRED_TRANSACTION_FIELDS, &[]),
    ] {
        let minimal = read_golden_json(&format!("{kind}.minimal"));
        let shown: BTreeSet<&str> = minimal[kind].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(shown, required.iter().chain(own).copied().collect(), "{kind}");
    }
}

/// Parses a deposit account with one field and serializes it; returns `None` if the parser drops the field.
fn round_trip_field(field: &str, json: &str) -> Option<String> {
    let text = format!(r#"{{"depositAccount":{{"{field}":{json}}}}}"#);
    let read = parse::<Account>(text.as_bytes()).unwrap();
    let written = serde_json::to_string(&read.value).unwrap();
    assert_eq!(read.dropped > 0, written == r#"{"depositAccount":{}}"#, "{text}");
    Some(written).filter(|_| read.dropped == 0)
}

#[test]
fn unknown_enum_value_is_kept_and_reported() {
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
        let mut value = read_golden_json(name);
        *value.pointer_mut(at).unwrap() = json!("WORD_OF_TOMORROW");
        assert_eq!(round_trip(name, &value.to_string()), Some((value.clone(), 0)), "{name}{at}");
        assert_eq!(find_unknown(name, &value), [format!("{path}: \"WORD_OF_TOMORROW\"")]);
    }
}

#[test]
fn amount_is_kept_exactly_or_dropped() {
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
            round_trip_field("currentBalance", amount).unwrap(),
            format!(r#"{{"depositAccount":{{"currentBalance":{amount}}}}}"#)
        );
    }
    for refused in ["1e400", "1E-999999999", "79228162514264337593543950336", "true", "[1]", "{}", "\"ten\""]
    {
        assert_eq!(round_trip_field("currentBalance", refused), None, "{refused}");
    }
}

#[test]
fn null_field_is_treated_as_absent() {
    for name in golden_names().iter().filter(|name| name.ends_with(".minimal")) {
        let original = read_golden_json(name);
        let kind = name.trim_end_matches(".minimal");
        let Some(required) = original.get(kind).and_then(Value::as_object) else { continue };
        for field in required.keys() {
            let (mut nulled, mut without) = (original.clone(), original.clone());
            nulled[kind][field] = Value::Null;
            without[kind].as_object_mut().unwrap().remove(field);
            assert_eq!(round_trip(name, &nulled.to_string()), Some((without, 0)), "{name}: {field}");
        }
    }
    assert_eq!(round_trip("depositAccount", r#"{"depositAccount":null}"#), None);
}

#[test]
fn value_of_wrong_type_is_dropped() {
    for (field, json) in [
        ("accountId", "{}"),
        ("accountNumber", "7"),
        ("transferIn", "\"yes\""),
        ("term", "1.5"),
        ("maturityDate", "\"2026-02-30\""),
        ("maturityDate", "20260131"),
        ("balanceAsOf", "20260131"),
        ("currency", "7"),
        ("fiAttributes", "{}"),
    ] {
        assert_eq!(round_trip_field(field, json), None, "{field} {json}");
    }
}
