use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::error::OAuthCode;
use crate::model::provider::ProviderSettings;

const DAY: Duration = Duration::from_hours(24);
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const BASIC: &[&str] = &["ACCOUNT_BASIC", "TRANSACTIONS"];

fn at(days: u32) -> Timestamp {
    NOW.plus(DAY * days)
}

fn clusters(scope: &str) -> Clusters {
    scope.parse().unwrap()
}

/// Returns terms of 90 days with three data clusters.
fn agreed() -> GrantedTerms {
    GrantedTerms::new(clusters("ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS"), at(90))
}

fn account(id: impl Into<Value>, names: &[&str]) -> Value {
    json!({"resourceType": "ACCOUNT", "resourceId": id.into(), "dataClusters": names})
}

fn details(consent: &Value) -> Value {
    json!([{"type": "fdx_v1.0", "consentRequest": consent}])
}

fn read_details(consent: &Value) -> TermsStatement {
    parse_authorization_details(&details(consent), NOW)
}

fn read_consent(changes: Value) -> Result<TermsStatement, ConsentEndedError> {
    let mut consent = json!({"id": "c-1", "status": "ACTIVE", "createdTime": NOW.to_string()});
    let Value::Object(changes) = changes else { panic!("expected an object") };
    consent.as_object_mut().unwrap().extend(changes);
    parse_consent(consent.as_object().unwrap(), "c-1", at(1))
}

fn read_introspection(response: &Value) -> TermsStatement {
    let settings: ProviderSettings = serde_json::from_value(json!({
        "name": "Maple Trust", "country": "CA", "client_id": "bowline",
        "fdx": {"base_url": "https://maple.example/fdx", "version": "6"},
        "scopes": {"ACCOUNT_BASIC": "basic", "TRANSACTIONS": "tx"},
    }))
    .unwrap();
    parse_introspection(response.as_object().unwrap(), &settings)
}

fn ids(statement: &TermsStatement) -> Option<Vec<&str>> {
    Some(statement.accounts.as_ref()?.iter().map(String::as_str).collect())
}

#[test]
fn rfc9396_s7_granted_details_state_terms() {
    let statement = read_details(&json!({
        "durationType": "TIME_BOUND", "durationPeriod": 30, "lookbackPeriod": 365,
        "resources": [account("a-1", BASIC), account("a-2", BASIC),
            {"resourceType": "CUSTOMER", "resourceId": "c", "dataClusters": ["CUSTOMER_CONTACT"]}],
    }));

    assert_eq!(ids(&statement), Some(vec!["a-1", "a-2"]));
    assert_eq!(statement.clusters, Some(clusters("ACCOUNT_BASIC TRANSACTIONS CUSTOMER_CONTACT")));
    assert_eq!((statement.consent_ends_at, statement.problems), (Some(at(30)), vec![]));
}

#[test]
fn repeated_request_without_ids_states_no_accounts() {
    let statement = read_details(&json!({"resources": [
        {"resourceType": "ACCOUNT", "dataClusters": ["ACCOUNT_BASIC"]},
        {"resourceType": "ACCOUNT", "dataClusters": ["PAYMENT_SUPPORT", "TAX"]},
    ]}));

    assert_eq!((statement.accounts, statement.consent_ends_at), (None, None));
    assert_eq!(statement.clusters, Some(clusters("ACCOUNT_BASIC ACCOUNT_PAYMENTS")));
}

#[test]
fn clusters_are_those_that_all_accounts_have() {
    let read = |resources: Value| read_details(&json!({"resources": resources}));

    let mixed = read(json!([account("a", BASIC), account("b", &["ACCOUNT_BASIC"])]));
    let split = read(json!([account("a", &["TRANSACTIONS"]), account("a", &["ACCOUNT_BASIC"])]));
    let without_basic = read(json!([account("a", BASIC), account("b", &["TRANSACTIONS"])]));
    let detailed = read(json!([account(7, &["ACCOUNT_DETAILED"])]));

    assert_eq!((ids(&mixed), mixed.clusters), (Some(vec!["a", "b"]), Some(clusters("ACCOUNT_BASIC"))));
    assert_eq!(
        (ids(&split), split.clusters),
        (Some(vec!["a"]), Some(clusters("ACCOUNT_BASIC TRANSACTIONS")))
    );
    assert_eq!(ids(&without_basic), Some(vec!["a"]), "an account that cannot be listed is left out");
    assert_eq!(detailed.clusters, Some(clusters("ACCOUNT_BASIC ACCOUNT_DETAILED")));
    assert_eq!(ids(&detailed), Some(vec!["7"]));
}

#[test]
fn unreadable_details_state_nothing() {
    const RESOURCES: TermsProblem = TermsProblem::Unreadable("resources");
    for (value, problem) in [
        (json!({}), TermsProblem::Unreadable("authorization_details")),
        (json!("fdx_v1.0"), TermsProblem::Unreadable("authorization_details")),
        (json!([{"type": "fdx_v1.0"}]), TermsProblem::Unreadable("consentRequest")),
        (details(&json!({"resources": {}})), RESOURCES),
        (details(&json!({"resources": [account("a", BASIC), "b"]})), RESOURCES),
        (details(&json!({"resources": [{"resourceType": "ACCOUNT"}]})), RESOURCES),
        (details(&json!({"resources": [{"resourceType": "ACCOUNT", "dataClusters": [5]}]})), RESOURCES),
        (details(&json!({"resources": [account(json!(["a"]), BASIC)]})), RESOURCES),
        (details(&json!({"durationPeriod": 0})), TermsProblem::Unreadable("durationPeriod")),
        (details(&json!({"durationPeriod": -1})), TermsProblem::Unreadable("durationPeriod")),
        (details(&json!({"durationPeriod": "30"})), TermsProblem::Unreadable("durationPeriod")),
        (details(&json!({"durationType": 5})), TermsProblem::Unreadable("durationType")),
        (details(&json!({"durationType": "ONE_TIME"})), TermsProblem::SingleUse),
        (details(&json!({"expirationTime": "soon"})), TermsProblem::Unreadable("expirationTime")),
    ] {
        let statement = parse_authorization_details(&value, NOW);

        let expected = TermsStatement { problems: vec![problem], ..TermsStatement::default() };
        assert_eq!(statement, expected, "{value}");
    }
    for other in [json!([]), json!([{"type": "payment"}]), details(&json!({})), json!([5])] {
        assert_eq!(parse_authorization_details(&other, NOW), TermsStatement::default(), "{other}");
    }
}

#[test]
fn details_with_one_unreadable_part_state_no_accounts() {
    let mut value = details(&json!({"resources": [account("a", BASIC)]}));
    value.as_array_mut().unwrap().insert(0, json!({"type": "fdx_v1.0", "consentRequest": 5}));

    let statement = parse_authorization_details(&value, NOW);

    assert_eq!((statement.accounts, statement.clusters, statement.problems.len()), (None, None, 2));
}

#[test]
fn unusable_account_ids_are_left_out() {
    let long = "x".repeat(173);
    let read = |ids: &[&str]| {
        let resources: Vec<_> = ids.iter().map(|id| account(*id, BASIC)).collect();
        read_details(&json!({"resources": resources}))
    };

    let some = read(&["a", &long, "", "b\n"]);
    let none = read(&[&long]);

    assert_eq!((ids(&some), &some.problems[..]), (Some(vec!["a"]), &[TermsProblem::UnusableAccountId][..]));
    assert_eq!((ids(&none), &none.problems[..]), (None, &[TermsProblem::UnusableAccountId][..]));
}

#[test]
fn fdx_consent_states_resources_and_end() {
    let resources = json!({"resources": [account("a", BASIC)]});
    let bound = |days: u32| json!({"durationType": "TIME_BOUND", "durationPeriod": days});
    let ends_at = |changes| read_consent(changes).unwrap().consent_ends_at;

    assert_eq!(ids(&read_consent(resources).unwrap()), Some(vec!["a"]));
    assert_eq!(ends_at(json!({"expirationTime": at(20).to_string()})), Some(at(20)));
    assert_eq!(ends_at(json!({"expirationTime": "2023-11-15T17:13:20-05:00"})), Some(at(1)));
    assert_eq!(ends_at(bound(30)), Some(at(30)), "the duration counts from createdTime");
    assert_eq!(ends_at(json!({"createdTime": null, "durationPeriod": 30})), Some(at(31)));
    assert_eq!(ends_at(json!({"expirationTime": at(20).to_string(), "durationPeriod": 10})), Some(at(10)));
    assert_eq!(ends_at(json!({"durationType": "PERSISTENT", "durationPeriod": 0})), None);
    assert_eq!(ends_at(bound(u32::MAX)), Some(NOW.plus(DAY * 36_600)));
}

#[test]
fn consent_that_is_not_active_is_an_error() {
    for status in ["REVOKED", "EXPIRED"] {
        assert_eq!(read_consent(json!({"status": status})), Err(ConsentEndedError(status)));
    }
    for status in [json!("PENDING"), json!(5)] {
        let statement = read_consent(json!({"status": status})).unwrap();
        assert_eq!(statement.problems, [TermsProblem::Unreadable("status")]);
    }
    let other = read_consent(json!({"id": "c-2", "status": "REVOKED", "durationPeriod": 1})).unwrap();
    let nothing = TermsStatement { problems: vec![TermsProblem::OtherConsent], ..TermsStatement::default() };
    assert_eq!(other, nothing);
}

#[test]
fn rfc7662_s2_2_introspection_states_scope_and_expiry() {
    let read = |scope: Value, exp: Value| read_introspection(&json!({"scope": scope, "exp": exp}));

    let complete = read(json!("openid tx basic"), json!(at(5).seconds()));
    assert_eq!(complete.clusters, Some(clusters("ACCOUNT_BASIC TRANSACTIONS")));
    assert_eq!((complete.refresh_expires_at, complete.problems), (Some(at(5)), vec![]));
    assert_eq!(read(Value::Null, json!(1.5)).refresh_expires_at, Some(Timestamp::from_seconds(1)));
    let absurd = read(json!("openid"), json!(1e300));
    assert_eq!(absurd.refresh_expires_at, Some(Timestamp::from_millis(i64::MAX)));
    assert_eq!(absurd.problems, [TermsProblem::UnknownClusters("scope")]);
    let unreadable = [TermsProblem::Unreadable("scope"), TermsProblem::Unreadable("exp")];
    assert_eq!(read(json!(["tx"]), json!("tomorrow")).problems, unreadable);
    assert_eq!(read_introspection(&json!({})), TermsStatement::default());
}

#[test]
fn statement_narrows_agreed_terms() {
    let mut terms = agreed();
    let statement = TermsStatement {
        clusters: Some(clusters("ACCOUNT_BASIC TRANSACTIONS STATEMENTS")),
        accounts: Some(vec!["a".into(), "b".into()]),
        consent_ends_at: Some(at(60)),
        refresh_expires_at: Some(at(30)),
        problems: Vec::new(),
    };

    assert_eq!(terms.narrow(statement, NOW), []);

    assert_eq!(terms.clusters, clusters("ACCOUNT_BASIC TRANSACTIONS"), "a cluster was not requested");
    assert_eq!((terms.consent_ends_at, terms.expires_at), (at(60), at(30)));
    assert_eq!(terms.ensure_usable(), Ok(()));
}

#[test]
fn end_that_has_passed_has_no_effect() {
    for past in [NOW, NOW.minus(DAY), Timestamp::from_millis(i64::MIN)] {
        let mut terms = agreed();
        let (consent_ends_at, refresh_expires_at) = (Some(past), Some(past));
        let statement = TermsStatement { consent_ends_at, refresh_expires_at, ..TermsStatement::default() };

        let problems = terms.narrow(statement, NOW);

        assert_eq!(problems, [TermsProblem::EndHasPassed, TermsProblem::EndHasPassed]);
        assert_eq!(terms, agreed());
    }
}

#[test]
fn sources_with_other_account_ids_do_not_contradict() {
    let mut terms = agreed();
    let mut add = |ids: &[&str]| {
        let accounts = Some(ids.iter().map(|id| (*id).to_owned()).collect());
        let problems = terms.narrow(TermsStatement { accounts, ..TermsStatement::default() }, NOW);
        (problems, terms.accounts.clone().unwrap())
    };

    assert_eq!(add(&["a", "b", "c"]).1, ["a", "b", "c"]);
    assert_eq!(add(&["c", "b", "d"]), (vec![], vec!["b".to_owned(), "c".to_owned()]));
    assert_eq!(add(&["1", "2"]), (vec![TermsProblem::OtherAccounts], vec!["b".to_owned(), "c".to_owned()]));
    assert_eq!(add(&[]), (vec![], vec![]), "no account is granted");
}

#[test]
fn terms_without_basic_cluster_or_accounts_are_rejected() {
    let narrowed = |statement: TermsStatement| {
        let mut terms = agreed();
        terms.narrow(statement, NOW);
        terms.ensure_usable().map_err(|error| (error.code, error.description.to_string()))
    };
    let accounts = |ids: Vec<String>| TermsStatement { accounts: Some(ids), ..TermsStatement::default() };

    let without_basic = read_details(&json!({"resources": [account("a", &["TRANSACTIONS"])]}));
    assert_eq!(narrowed(without_basic).unwrap_err().0, OAuthCode::InvalidScope);
    for nothing in [json!([]), json!([{"resourceType": "CUSTOMER", "dataClusters": ["CUSTOMER_CONTACT"]}])] {
        let statement = read_details(&json!({"resources": nothing}));
        assert_eq!(narrowed(statement).unwrap_err().0, OAuthCode::AccessDenied);
    }
    let unknown = json!({"resourceType": "account", "resourceId": "a", "dataClusters": ["ACCOUNT_BASIC"]});
    let unknown = json!([unknown, unknown]);
    let statement = read_details(&json!({"resources": unknown}));
    assert_eq!(statement.problems, [TermsProblem::Unreadable("resources")]);
    assert_eq!(narrowed(statement), Ok(()), "a resource of an unknown type may be an account");
    let many = |count: usize| accounts((0..count).map(|n| n.to_string()).collect());
    assert_eq!(narrowed(many(1_000)), Ok(()));
    assert_eq!(narrowed(many(200_000)).unwrap_err().0, OAuthCode::ServerError);
}

fn statements() -> impl Strategy<Value = TermsStatement> {
    let accounts = prop::option::of(prop::collection::vec("[a-d]", 0..4));
    let ends = (prop::option::of(any::<i64>()), prop::option::of(any::<i64>()));
    (prop::option::of(any::<u8>()), accounts, ends).prop_map(|(bits, accounts, (consent, token))| {
        TermsStatement {
            clusters: bits.map(Clusters::from_bits),
            accounts,
            consent_ends_at: consent.map(Timestamp::from_millis),
            refresh_expires_at: token.map(Timestamp::from_millis),
            problems: Vec::new(),
        }
    })
}

/// JSON of small depth with the members that are read.
fn responses() -> impl Strategy<Value = Value> {
    let scalars = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        Just(json!(1.5)),
        Just(json!(1e300)),
        prop::sample::select(vec!["fdx_v1.0", "ACCOUNT", "ACCOUNT_BASIC", "TIME_BOUND", "ACTIVE", "", "x"])
            .prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "type",
        "consentRequest",
        "resources",
        "resourceType",
        "resourceId",
        "dataClusters",
        "durationPeriod",
        "durationType",
        "expirationTime",
        "createdTime",
        "status",
        "scope",
        "exp",
    ]);
    scalars.prop_recursive(5, 64, 4, move |inner| {
        let members = prop::collection::vec((names.clone(), inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            members.prop_map(|members| {
                let members: Map<_, _> =
                    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                Value::from(members)
            }),
        ]
    })
}

proptest! {
    #[test]
    fn statements_never_widen_terms(first in statements(), second in statements()) {
        let mut terms = agreed();
        for statement in [first, second] {
            let before = terms.clone();
            let grants_no_account = statement.accounts.as_ref().is_some_and(Vec::is_empty);
            terms.narrow(statement, NOW);
            prop_assert!(terms.clusters.first_missing_from(before.clusters).is_none());
            prop_assert!(terms.consent_ends_at <= before.consent_ends_at && terms.consent_ends_at > NOW);
            prop_assert!(terms.expires_at <= before.expires_at && terms.expires_at <= terms.consent_ends_at);
            prop_assert!(terms.expires_at > NOW);
            if let Some(known) = &before.accounts {
                let accounts = terms.accounts.as_ref().unwrap();
                prop_assert!(accounts.iter().all(|id| known.contains(id)));
                prop_assert!(known.is_empty() || grants_no_account || !accounts.is_empty());
            }
        }
    }

    #[test]
    fn any_response_is_read_without_panic(response in responses()) {
        parse_authorization_details(&response, NOW);
        if let Some(members) = response.as_object() {
            let _ = parse_consent(members, "x", NOW);
            read_introspection(&response);
        }
    }
}
