//! Tests of copying: the result is always the same as that of parsing, filtering and serializing the types.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::untrusted_input_tests::{arbitrary_json, mutated_sample};
use crate::{Account, Accounts, Transaction, Transactions, parse, v6};

/// Rules for tests. A shown id is the provider's id with a prefix.
#[derive(Clone, Debug)]
struct TestRules {
    covered: Vec<String>,
    kept: Vec<FieldGroup>,
}

impl TestRules {
    fn all() -> Self {
        use FieldGroup::{Detail, Holdings, Lightweight, ParentAccountId, PaymentDetails};
        let covered = ["a1", "a", "i", "x", "acct-1"].map(str::to_owned).to_vec();
        Self { covered, kept: vec![Detail, Holdings, Lightweight, ParentAccountId, PaymentDetails] }
    }

    fn without(group: FieldGroup) -> Self {
        let mut rules = Self::all();
        rules.kept.retain(|kept| *kept != group);
        rules
    }

    fn lightweight() -> Self {
        Self { kept: vec![FieldGroup::Lightweight], ..Self::all() }
    }

    fn show(&self, id: &str) -> Option<String> {
        self.covered.iter().any(|covered| covered == id).then(|| format!("opaque {id}"))
    }
}

impl ItemRules for TestRules {
    type ShownId = String;

    fn shown_account_id(&mut self, id: Option<&str>) -> Option<String> {
        self.show(id?)
    }

    fn shown_parent_id(&mut self, id: &str) -> Option<String> {
        self.show(id).filter(|_| self.kept.contains(&FieldGroup::ParentAccountId))
    }

    fn keeps(&self, group: FieldGroup) -> bool {
        self.kept.contains(&group)
    }
}

fn any_rules() -> impl Strategy<Value = TestRules> {
    prop_oneof![
        Just(TestRules::all()),
        Just(TestRules::without(FieldGroup::Holdings)),
        Just(TestRules::without(FieldGroup::PaymentDetails)),
        Just(TestRules::lightweight()),
        Just(TestRules { covered: vec!["i".into()], ..TestRules::all() }),
    ]
}

/// Applies the rules to a parsed account.
fn filter_account(rules: &TestRules, mut account: Account) -> Option<Account> {
    let shown = account.id().and_then(|id| rules.show(id))?;
    account.set_id(shown);
    let parent = account.parent_id_mut().take();
    *account.parent_id_mut() = parent.and_then(|id| rules.show(&id));
    account.remove_error_messages();
    if !rules.keeps(FieldGroup::PaymentDetails) {
        account.remove_payment_details();
    }
    if !rules.keeps(FieldGroup::Holdings) {
        account.remove_holdings();
    }
    Some(if rules.keeps(FieldGroup::Detail) { account } else { account.into_lightweight() })
}

/// Applies the rules to a parsed transaction.
fn filter_transaction(rules: &TestRules, mut transaction: Transaction) -> Option<Transaction> {
    let shown = transaction.account_id().and_then(|id| rules.show(id))?;
    transaction.set_account_id(shown);
    Some(transaction)
}

/// The result of copying: the items, the position and the numbers of items and of dropped fields; `None` if the response
/// is rejected.
type Outcome = Option<(Vec<Value>, CopiedPage, usize)>;

fn copy_list(text: &[u8], list: &'static str, item: &mut impl CopyItem) -> Outcome {
    let mut out = Vec::new();
    let Parsed { value, dropped } = copy_page(text, list, item, &mut out).ok()?;
    let items = [b"[", &out[..], b"]"].concat();
    Some((serde_json::from_slice(&items).unwrap(), value, dropped))
}

fn copy_accounts(rules: &TestRules, text: &[u8]) -> Outcome {
    copy_list(text, "accounts", &mut FilteredItem::account(rules.clone()))
}

fn parse_accounts(rules: &TestRules, text: &[u8]) -> Outcome {
    let Parsed { value: Accounts { page, accounts, .. }, dropped } = parse(text).ok()?;
    let received = accounts.len();
    let items = accounts.into_iter().filter_map(|account| filter_account(rules, account));
    let items: Vec<Value> = items.map(|account| serde_json::to_value(account).unwrap()).collect();
    let copied = items.len();
    Some((items, CopiedPage { page, received, copied }, dropped))
}

fn copy_transactions(rules: &TestRules, text: &[u8]) -> Outcome {
    // A consent to transactions covers all of their fields.
    let rules = TestRules { covered: rules.covered.clone(), ..TestRules::all() };
    copy_list(text, "transactions", &mut FilteredItem::transaction(rules))
}

fn parse_transactions(rules: &TestRules, text: &[u8]) -> Outcome {
    let Parsed { value: Transactions { page, transactions, .. }, dropped } = parse(text).ok()?;
    let received = transactions.len();
    let items = transactions.into_iter().filter_map(|item| filter_transaction(rules, item));
    let items: Vec<Value> = items.map(|item| serde_json::to_value(item).unwrap()).collect();
    let copied = items.len();
    Some((items, CopiedPage { page, received, copied }, dropped))
}

fn copy_account(rules: &TestRules, text: &[u8]) -> Outcome {
    let mut out = Vec::new();
    let copied = copy_item(text, &mut FilteredItem::account(rules.clone()), &mut out).ok()?;
    assert_eq!(copied.value, !out.is_empty());
    let items = [b"[", &out[..], b"]"].concat();
    Some((serde_json::from_slice(&items).unwrap(), CopiedPage::default(), copied.dropped))
}

fn parse_account(rules: &TestRules, text: &[u8]) -> Outcome {
    let Parsed { value, dropped } = parse::<Account>(text).ok()?;
    let items = filter_account(rules, value).into_iter();
    Some((items.map(|a| serde_json::to_value(a).unwrap()).collect(), CopiedPage::default(), dropped))
}

/// Returns whether a value has an array where the standard has an object. The types accept it as the fields in the order
/// of their declaration, which no provider can mean; copying rejects it.
fn has_array_for_object(shape: &Shape, value: &Value) -> bool {
    match (shape, value) {
        (Shape::Object(_), Value::Array(_)) => true,
        (Shape::Object(fields), Value::Object(members)) => fields.iter().any(|field| {
            members.get(field.name).is_some_and(|member| has_array_for_object(field.shape, member))
        }),
        (Shape::List(shape), Value::Array(items)) => {
            items.iter().any(|item| has_array_for_object(shape, item))
        }
        (Shape::Omitted(shape), value) => has_array_for_object(shape, value),
        _ => false,
    }
}

fn item_has_array_for_object(types: &[Field], item: &Value) -> bool {
    types
        .iter()
        .any(|kind| item.get(kind.name).is_some_and(|fields| has_array_for_object(kind.shape, fields)))
}

fn page_has_array_for_object(list: &str, types: &[Field], page: &Value) -> bool {
    let has = |name: &str, shape| page.get(name).is_some_and(|member| has_array_for_object(shape, member));
    let mut items = page.get(list).and_then(Value::as_array).into_iter().flatten();
    page.is_array()
        || has("page", PageMetadata::SHAPE)
        || has("links", PageLinks::SHAPE)
        || items.any(|item| item_has_array_for_object(types, item))
}

fn assert_copied_as_parsed(rules: &TestRules, text: &[u8]) {
    let value = || serde_json::from_slice::<Value>(text).unwrap();
    let (copied, parsed) = (copy_accounts(rules, text), parse_accounts(rules, text));
    if copied != parsed {
        assert!(
            copied.is_none() && page_has_array_for_object("accounts", ACCOUNT_TYPES, &value()),
            "{copied:?} {parsed:?}"
        );
    }
    let (copied, parsed) = (copy_transactions(rules, text), parse_transactions(rules, text));
    if copied != parsed {
        let has_array = page_has_array_for_object("transactions", TRANSACTION_TYPES, &value());
        assert!(copied.is_none() && has_array, "{copied:?} {parsed:?}");
    }
    let (copied, parsed) = (copy_account(rules, text), parse_account(rules, text));
    if copied != parsed {
        assert!(
            copied.is_none() && item_has_array_for_object(ACCOUNT_TYPES, &value()),
            "{copied:?} {parsed:?}"
        );
    }
}

proptest! {
    #[test]
    fn json_with_known_names_is_copied_as_parsed(value in arbitrary_json(), rules in any_rules()) {
        assert_copied_as_parsed(&rules, value.to_string().as_bytes());
        for page in [json!({"accounts": [value]}), json!({"transactions": value}), json!({"depositAccount": value})] {
            assert_copied_as_parsed(&rules, page.to_string().as_bytes());
        }
    }

    #[test]
    fn mutated_response_is_copied_as_parsed(value in mutated_sample(), rules in any_rules(), cut in any::<prop::sample::Index>()) {
        let text = value.to_string();
        assert_copied_as_parsed(&rules, text.as_bytes());
        assert_copied_as_parsed(&rules, &text.as_bytes()[..cut.index(text.len() + 1)]);
    }

    #[test]
    fn arbitrary_bytes_are_copied_as_parsed(bytes: Vec<u8>, text: String) {
        assert_copied_as_parsed(&TestRules::all(), &bytes);
        assert_copied_as_parsed(&TestRules::all(), text.as_bytes());
    }

    #[test]
    fn amount_is_copied_as_parsed(number in prop_oneof![r"-?(0|[1-9][0-9]{0,32})(\.[0-9]{1,32})?([eE][+-]?[0-9]{1,3})?", ".*"]) {
        for amount in [number.clone(), json!(number).to_string()] {
            let text = format!(r#"{{"depositAccount":{{"accountId":"a","currentBalance":{amount}}}}}"#);
            assert_copied_as_parsed(&TestRules::all(), text.as_bytes());
        }
    }

    #[test]
    fn uncovered_account_leaves_nothing_in_copy(id in "[a-z]{1,3}", other in "[a-z0-9]{1,6}", rules in any_rules()) {
        prop_assume!(!rules.covered.contains(&id));
        let text = json!({"accounts": [
            {"depositAccount": {"nickname": other, "accountId": id}},
            {"locAccount": {"accountId": id, "nickname": other}},
            {"loanAccount": {"nickname": other}},
            {"loanAccount": {"nickname": other, "accountId": null}},
        ]});
        let mut out = Vec::new();

        let page = copy_page(text.to_string().as_bytes(), "accounts", &mut FilteredItem::account(rules), &mut out);

        let page = page.unwrap().value;
        prop_assert_eq!((out, page.received, page.copied), (Vec::new(), 4, 0));
    }
}

fn read_golden(name: &str) -> String {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap()
}

#[test]
fn golden_files_are_copied_as_parsed() {
    for (types, suffix) in [(ACCOUNT_TYPES, ""), (TRANSACTION_TYPES, ""), (ACCOUNT_TYPES, ".minimal")] {
        for kind in types {
            let text = read_golden(&format!("{}{suffix}", kind.name));
            let list = if kind.name.ends_with("Account") { "accounts" } else { "transactions" };
            let text = format!(r#"{{"{list}":[{text}]}}"#);
            let id = serde_json::from_str::<Value>(&text).unwrap()[list][0][kind.name]["accountId"].clone();
            let covered = vec![id.as_str().unwrap().to_owned()];
            for rules in
                [TestRules::all(), TestRules::lightweight(), TestRules::without(FieldGroup::Holdings)]
            {
                let rules = TestRules { covered: covered.clone(), ..rules };
                let copied = copy_accounts(&rules, text.as_bytes());
                if list == "accounts" {
                    assert_eq!(copied.as_ref().map(|(items, ..)| items.len()), Some(1), "{text}");
                }
                assert_copied_as_parsed(&rules, text.as_bytes());
            }
        }
    }
}

#[test]
fn repeated_field_makes_response_invalid_at_any_depth() {
    for text in [
        r#"{"accounts":[],"accounts":[]}"#,
        r#"{"page":{},"page":{}}"#,
        r#"{"page":{"nextOffset":"n","nextOffset":"n"}}"#,
        r#"{"accounts":[{"depositAccount":{"accountId":"a","accountId":"a"}}]}"#,
        r#"{"accounts":[{"depositAccount":{"accountId":"a","status":"OPEN","status":null}}]}"#,
        r#"{"accounts":[{"depositAccount":{"accountId":"a"},"locAccount":{"accountId":"a"}}]}"#,
        r#"{"accounts":[{"depositAccount":{"accountId":"a","currency":{"currencyCode":"CAD","currencyCode":"USD"}}}]}"#,
    ] {
        assert_eq!(copy_accounts(&TestRules::all(), text.as_bytes()), None, "{text}");
        assert_eq!(parse_accounts(&TestRules::all(), text.as_bytes()), None, "{text}");
    }
    let unknown_twice =
        r#"{"x":1,"x":2,"accounts":[{"depositAccount":{"accountId":"a","y":[{}],"y":{"z":1}}}]}"#;
    assert_copied_as_parsed(&TestRules::all(), unknown_twice.as_bytes());
}

#[test]
fn array_in_place_of_object_is_rejected() {
    for text in [r#"[{"nextOffset":"n"}]"#, r#"{"page":["n"]}"#, r#"{"accounts":[{"depositAccount":["a"]}]}"#]
    {
        assert_eq!(copy_accounts(&TestRules::all(), text.as_bytes()), None, "{text}");
    }
}

#[test]
fn pages_are_appended_with_amounts_unchanged() {
    let mut out = Vec::new();
    let mut item = FilteredItem::transaction(TestRules::all());
    for (id, amount) in [("a", "10.50"), ("other", "1"), ("x", "12345678901234567890.123456"), ("i", "-0.10")]
    {
        let text = format!(
            r#"{{"transactions":[{{"locTransaction":{{"amount":{amount},"accountId":"{id}","memo":"é\n"}}}}],"page":{{"nextOffset":"n"}}}}"#
        );
        let page = copy_page(text.as_bytes(), "transactions", &mut item, &mut out).unwrap().value;
        assert_eq!((page.received, page.page.next_offset.as_deref()), (1, Some("n")));
    }
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"locTransaction":{"accountId":"opaque a","amount":10.50,"memo":"é\n"}},{"locTransaction":{"accountId":"opaque x","amount":12345678901234567890.123456,"memo":"é\n"}},{"locTransaction":{"accountId":"opaque i","amount":-0.10,"memo":"é\n"}}"#
    );
}

#[test]
fn converted_and_unchanged_items_are_copied() {
    let mut out = Vec::new();
    let text = br#"{"statements":[{"statementId":"s","new":1},{"statementId":"t"}],"paymentNetworks":[{"bankId":"00207","type":"CA_ACSS","new":1}]}"#;
    let keep_first =
        |statement: crate::Statement| Some(statement).filter(|s| s.statement_id.as_deref() == Some("s"));

    let statements = copy_page(text, "statements", &mut ConvertedItem::new(keep_first), &mut out).unwrap();
    assert_eq!((statements.value.received, statements.value.copied, statements.dropped), (2, 1, 2));
    assert_eq!(out, br#"{"statementId":"s"}"#);

    out.clear();
    let networks =
        copy_page(text, "paymentNetworks", &mut UnchangedItem::payment_network(), &mut out).unwrap();
    assert_eq!((networks.value.copied, networks.dropped), (1, 2));
    assert_eq!(out, br#"{"bankId":"00207","type":"CA_ACSS"}"#);
}

#[test]
fn v6_response_is_copied_in_form_of_v5() {
    let text = br#"{"page":{"nextPageKey":"n"},"accounts":[{"accountId":"a","accountCategory":"DEPOSIT_ACCOUNT","currentBalance":1.50,"x":1},
        {"accountId":"w","accountCategory":"DIGITAL_WALLET"}]}"#;

    let converted = v6::convert_to_v5(v6::Form::Page("accounts", &v6::Form::Account), text).unwrap();
    let copied = copy_accounts(&TestRules::all(), &converted.value).unwrap();

    let parsed = v6::parse::<Accounts>(text).unwrap();
    assert_eq!(copied.1.page, parsed.value.page);
    assert_eq!(converted.dropped + copied.2, parsed.dropped);
    assert_eq!(copied.0[0]["depositAccount"]["currentBalance"].to_string(), "1.50");
}

#[test]
fn no_type_has_more_fields_than_can_be_tracked() {
    fn largest(shape: &Shape) -> usize {
        match shape {
            Shape::Object(fields) => {
                fields.iter().map(|field| largest(field.shape)).max().unwrap_or(0).max(fields.len())
            }
            Shape::List(shape) | Shape::Omitted(shape) => largest(shape),
            _ => 0,
        }
    }
    let types = ACCOUNT_TYPES.iter().chain(TRANSACTION_TYPES);
    assert!(types.map(|kind| largest(kind.shape)).max().unwrap() <= 128);
}
