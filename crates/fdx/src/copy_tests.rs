//! Tests of copying: every copied item is the same as by parsing, filtering and serializing the types.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::untrusted_input_tests::{arbitrary_json, mutated_sample};
use crate::{Account, Accounts, Transaction, Transactions, parse};

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

/// The items of a response by copying: `None` if the response is rejected.
fn copy_list(text: &[u8], list: &'static str, item: &mut impl CopyItem) -> Option<(Vec<Value>, CopiedPage)> {
    let (mut out, mut report) = (Vec::new(), DropReport::default());
    let window = PageWindow { list, skip: 0, limit: usize::MAX };
    let page = copy_page(text, Version::V5, window, item, &mut out, &mut report).ok()?;
    let items = [b"[", &out[..], b"]"].concat();
    Some((serde_json::from_slice(&items).unwrap(), page))
}

fn copy_accounts(rules: &TestRules, text: &[u8]) -> Option<(Vec<Value>, CopiedPage)> {
    copy_list(text, "accounts", &mut FilteredItem::account(rules.clone()))
}

fn parse_accounts(rules: &TestRules, text: &[u8]) -> Vec<Value> {
    // A page of which nothing can be parsed is rejected by parsing.
    let accounts = parse::<Accounts>(text).map(|page| page.value.accounts).unwrap_or_default().into_iter();
    let items = accounts.filter_map(|account| filter_account(rules, account));
    items.map(|account| serde_json::to_value(account).unwrap()).collect()
}

fn copy_transactions(rules: &TestRules, text: &[u8]) -> Option<(Vec<Value>, CopiedPage)> {
    // A consent to transactions covers all of their fields.
    let rules = TestRules { covered: rules.covered.clone(), ..TestRules::all() };
    copy_list(text, "transactions", &mut FilteredItem::transaction(rules))
}

fn parse_transactions(rules: &TestRules, text: &[u8]) -> Vec<Value> {
    let page = parse::<Transactions>(text).map(|page| page.value);
    let transactions = page.map(|page| page.transactions).unwrap_or_default().into_iter();
    let items = transactions.filter_map(|item| filter_transaction(rules, item));
    items.map(|item| serde_json::to_value(item).unwrap()).collect()
}

fn copy_account(rules: &TestRules, text: &[u8]) -> Option<Vec<Value>> {
    let (mut out, mut report) = (Vec::new(), DropReport::default());
    let mut item = FilteredItem::account(rules.clone());
    let is_copied = copy_item(text, Version::V5, &mut item, &mut out, &mut report).ok()?;
    assert_eq!(is_copied, !out.is_empty());
    let items = [b"[", &out[..], b"]"].concat();
    Some(serde_json::from_slice(&items).unwrap())
}

fn parse_account(rules: &TestRules, text: &[u8]) -> Vec<Value> {
    let account = parse::<Account>(text).unwrap().value;
    let items = filter_account(rules, account).into_iter();
    items.map(|account| serde_json::to_value(account).unwrap()).collect()
}

/// Asserts that the copied items are parsed items, in the same order. Copying leaves out an item whose id, amount or memo
/// cannot be read, of which parsing drops the field.
fn assert_copied_items_are_parsed(copied: &[Value], parsed: &[Value], text: &[u8]) {
    let mut parsed = parsed.iter();
    for item in copied {
        let is_parsed = parsed.any(|parsed| parsed == item);
        assert!(is_parsed, "{item} in {}", String::from_utf8_lossy(text));
    }
}

fn assert_copied_as_parsed(rules: &TestRules, text: &[u8]) {
    if let Some((copied, page)) = copy_accounts(rules, text) {
        assert_eq!((copied.len(), page.received), (page.copied, page.consumed));
        assert_copied_items_are_parsed(&copied, &parse_accounts(rules, text), text);
    }
    if let Some((copied, page)) = copy_transactions(rules, text) {
        assert_eq!(page.received, page.copied + page.left_out);
        assert_copied_items_are_parsed(&copied, &parse_transactions(rules, text), text);
    }
    if let Some(copied) = copy_account(rules, text) {
        assert_eq!(copied, parse_account(rules, text));
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

        let (copied, page) = copy_accounts(&rules, text.to_string().as_bytes()).unwrap();

        prop_assert_eq!((copied, page.received, page.left_out, page.omitted), (Vec::new(), 4, 4, 0));
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
                    assert_eq!(copied.map(|(items, _)| items.len()), Some(1), "{text}");
                }
                assert_copied_as_parsed(&rules, text.as_bytes());
            }
        }
    }
}

#[test]
fn repeated_member_of_page_makes_response_invalid() {
    for text in [r#"{"accounts":[],"accounts":[]}"#, r#"{"page":{},"page":{},"accounts":[]}"#] {
        assert_eq!(copy_accounts(&TestRules::all(), text.as_bytes()), None, "{text}");
    }
    let offset = r#"{"page":{"nextOffset":"n","nextOffset":"n"},"accounts":[]}"#;
    assert_eq!(copy_accounts(&TestRules::all(), offset.as_bytes()), None);
}

#[test]
fn repeated_field_is_dropped_and_repeated_id_leaves_item_out() {
    let text = r#"{"accounts":[
        {"depositAccount":{"accountId":"a","accountId":"i","status":"OPEN"}},
        {"depositAccount":{"accountId":"a"},"locAccount":{"accountId":"i"}},
        {"depositAccount":{"accountId":"a","status":"OPEN","status":null,"nickname":"n"}}]}"#;

    let (copied, page) = copy_accounts(&TestRules::all(), text.as_bytes()).unwrap();

    assert_eq!(copied, [json!({"depositAccount": {"accountId": "opaque a", "nickname": "n"}})]);
    assert_eq!((page.left_out, page.omitted), (2, 0), "it is not known which account they are");
}

fn page_error(text: &str) -> Option<ParseError> {
    let (mut out, mut report) = (Vec::new(), DropReport::default());
    let window = PageWindow { list: "accounts", skip: 0, limit: usize::MAX };
    let mut item = FilteredItem::account(TestRules::all());
    copy_page(text.as_bytes(), Version::V5, window, &mut item, &mut out, &mut report).err()
}

#[test]
fn page_with_null_members_is_read() {
    for text in [r#"{"page":null,"links":null,"accounts":[]}"#, r#"{"page":{},"links":null,"accounts":null}"#]
    {
        assert_eq!(page_error(text), None, "a null member is absent: {text}");
    }
}

#[test]
fn date_parameters_of_next_link_are_found() {
    for (query, dates) in [
        ("startDate=2026-01-01&endDate=2026-02-01&offset=1", Some(LinkDates::Date)),
        ("endTime=2026-01-01&offset=1", Some(LinkDates::Time)),
        ("startTime=2026-01-01&endTime=2026-02-01&offset=1", Some(LinkDates::Time)),
        ("startTime=2026-01-01&startDate=2026-01-01&offset=1", None),
        ("offset=startDate", None),
    ] {
        for next in [format!(r#"{{"href":"/x?{query}"}}"#), format!(r#""https://b.example/x?{query}#part""#)]
        {
            let text = format!(r#"{{"page":{{"nextOffset":"1"}},"links":{{"next":{next}}},"accounts":[]}}"#);
            let window = PageWindow { list: "accounts", skip: 0, limit: 10 };
            let mut report = DropReport::default();

            let page = copy_page(
                text.as_bytes(),
                Version::V5,
                window,
                &mut FilteredItem::account(TestRules::all()),
                &mut Vec::new(),
                &mut report,
            );

            assert_eq!(page.unwrap().link_dates, dates, "{text}");
        }
    }
}

#[test]
fn missing_list_is_no_empty_list() {
    for text in [r#"{"page":{},"links":{}}"#, r#"{"Accounts":[]}"#, "{}", r#"{"accounts":null}"#] {
        assert_eq!(page_error(text), Some(ParseError::MissingList), "absence is not emptiness: {text}");
    }
}

#[test]
fn limit_and_skip_divide_page_without_loss() {
    let accounts: Vec<Value> =
        (0..7).map(|n| json!({"depositAccount": {"accountId": "a", "nickname": n.to_string()}})).collect();
    let text = json!({"accounts": accounts}).to_string();
    let (mut skip, mut names) = (0, Vec::new());

    loop {
        let (mut out, mut report) = (Vec::new(), DropReport::default());
        let window = PageWindow { list: "accounts", skip, limit: 3 };
        let mut item = FilteredItem::account(TestRules::all());
        let page = copy_page(text.as_bytes(), Version::V5, window, &mut item, &mut out, &mut report).unwrap();
        let items: Vec<Value> = serde_json::from_slice(&[b"[", &out[..], b"]"].concat()).unwrap();
        assert!(items.len() <= 3);
        names
            .extend(items.iter().map(|item| item["depositAccount"]["nickname"].as_str().unwrap().to_owned()));
        skip = page.consumed;
        if page.consumed == page.received {
            break;
        }
    }

    assert_eq!(names, ["0", "1", "2", "3", "4", "5", "6"]);
}

#[test]
fn pages_are_appended_with_amounts_unchanged() {
    let (mut out, mut report) = (Vec::new(), DropReport::default());
    let mut item = FilteredItem::transaction(TestRules::all());
    for (id, amount) in [("a", "10.50"), ("other", "1"), ("x", "12345678901234567890.123456"), ("i", "-0.10")]
    {
        let text = format!(
            r#"{{"transactions":[{{"locTransaction":{{"memo":"é\n","amount":{amount},"accountId":"{id}"}}}}],"page":{{"nextOffset":"n"}}}}"#
        );
        let window = PageWindow { list: "transactions", skip: 0, limit: 1 };
        let page = copy_page(text.as_bytes(), Version::V5, window, &mut item, &mut out, &mut report).unwrap();
        assert_eq!((page.received, page.next.unwrap().value), (1, "n".to_owned()));
    }
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"locTransaction":{"accountId":"opaque a","memo":"é\n","amount":10.50}},{"locTransaction":{"accountId":"opaque x","memo":"é\n","amount":12345678901234567890.123456}},{"locTransaction":{"accountId":"opaque i","memo":"é\n","amount":-0.10}}"#
    );
}

#[test]
fn no_type_has_more_fields_than_can_be_tracked() {
    fn largest(shape: &Shape) -> usize {
        match shape {
            Shape::Object(fields) | Shape::Currency(fields) | Shape::Element(fields) => {
                fields.iter().map(|field| largest(field.shape)).max().unwrap_or(0).max(fields.len())
            }
            Shape::List(shape) | Shape::Omitted(shape) => largest(shape),
            _ => 0,
        }
    }
    let shapes = [
        Accounts::SHAPE,
        Transactions::SHAPE,
        crate::Statements::SHAPE,
        crate::PaymentNetworks::SHAPE,
        crate::Customer::SHAPE,
        crate::AccountContact::SHAPE,
    ];
    let most = shapes.into_iter().map(largest).max().unwrap();
    assert!((60..=crate::read::MAX_FIELDS).contains(&most), "{most}");
}

#[test]
fn skipped_and_left_items_of_page_are_counted() {
    let account = json!({"depositAccount": {"accountId": "a"}});
    let text = json!({"accounts": [account, account]}).to_string();
    // The window, and the numbers of received, consumed and copied items.
    for (skip, limit, expected) in
        [(0, 0, (2, 0, 0)), (1, 0, (2, 1, 0)), (1, 1, (2, 2, 1)), (2, 9, (2, 2, 0)), (5, 9, (2, 2, 0))]
    {
        let (mut out, mut report) = (Vec::new(), DropReport::default());
        let window = PageWindow { list: "accounts", skip, limit };
        let mut item = FilteredItem::account(TestRules::all());

        let page = copy_page(text.as_bytes(), Version::V5, window, &mut item, &mut out, &mut report).unwrap();

        assert_eq!((page.received, page.consumed, page.copied), expected, "{window:?}");
    }
}

/// Rules that include the transactions of one day.
struct OneDay(&'static str);

impl ItemRules for OneDay {
    type ShownId = String;

    fn shown_account_id(&mut self, id: Option<&str>) -> Option<String> {
        id.map(str::to_owned)
    }

    fn shown_parent_id(&mut self, _: &str) -> Option<String> {
        None
    }

    fn keeps(&self, _: FieldGroup) -> bool {
        true
    }

    fn includes(&self, time: FdxTime) -> bool {
        time.utc_day.to_string() == self.0
    }
}

#[test]
fn transaction_is_selected_by_posted_time_or_else_its_own() {
    let (posted, occurred) = ("postedTimestamp", "transactionTimestamp");
    let (inside, outside) = ("2024-01-15T10:30:00Z", "2024-01-14T10:30:00Z");
    for (times, is_included) in [
        (json!({posted: inside}), true),
        (json!({posted: outside}), false),
        (json!({occurred: outside}), false),
        (json!({posted: inside, occurred: outside}), true),
        (json!({posted: outside, occurred: inside}), false),
        (json!({posted: "soon", occurred: outside}), false),
        (json!({posted: null, occurred: inside}), true),
        // A transaction without a readable time is not lost.
        (json!({posted: "soon"}), true),
        (json!({}), true),
    ] {
        let mut members = json!({"accountId": "a", "transactionId": "t"});
        members.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
        let text = json!({"transactions": [{"depositTransaction": members}]}).to_string();
        let mut item = FilteredItem::transaction(OneDay("2024-01-15"));

        let (items, page) = copy_list(text.as_bytes(), "transactions", &mut item).unwrap();

        assert_eq!((items.len() == 1, page.omitted), (is_included, 0), "{times}");
        assert_eq!(page.copied + page.left_out, 1);
    }
}

#[test]
fn statement_of_other_account_is_excluded() {
    let text = json!({"statements": [
        {"statementId": "1", "accountId": "a"},
        {"statementId": "2", "accountId": "other"},
        {"statementId": "3"},
        {"statementId": "4", "accountId": "a"},
    ]});
    let copy = |account_id| {
        // The caller leaves one statement out.
        let convert =
            |statement: Statement| Some(statement).filter(|s| s.statement_id.as_deref() != Some("4"));
        let mut item = StatementItem::new(account_id, convert);
        let (items, page) = copy_list(text.to_string().as_bytes(), "statements", &mut item).unwrap();
        let ids = items.iter().map(|item| item["statementId"].as_str().unwrap().to_owned());
        (ids.collect::<Vec<_>>().join(" "), page.left_out, page.omitted)
    };

    assert_eq!(copy(Some("a")), ("1 3".to_owned(), 2, 0));
    assert_eq!(copy(None), ("1 2 3".to_owned(), 1, 0), "statements of any account");
}
