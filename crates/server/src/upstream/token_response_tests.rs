use super::*;
use proptest::prelude::*;
use serde_json::json;

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        "[!-~]{1,40}".prop_map(Value::from),
        "-?[0-9]{0,30}(\\.[0-9]{0,3})?".prop_map(Value::from),
        Just(json!(["a1", 2])),
        Just(serde_json::from_str("1e999").unwrap_or_default()),
    ]
}

const MEMBERS: [&str; 6] =
    ["access_token", "refresh_token", "expires_in", "scope", "customer_id", "accounts"];

proptest! {
    #[test]
    fn token_response_is_parsed_or_rejected(
        members in prop::collection::vec((prop::sample::select(&MEMBERS[..]), value()), 0..8),
        bytes: Vec<u8>,
    ) {
        let object = Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        for body in [object.to_string().into_bytes(), bytes] {
            let Some(tokens) = TokenResponse::parse(&body, NOW) else { continue };

            let fits_header = |token: &Secret<String>| http::HeaderValue::from_str(token.expose()).is_ok();
            prop_assert!(fits_header(&tokens.access_token));
            prop_assert!(tokens.refresh_token.as_ref().is_none_or(fits_header));
            let ttl = tokens.access_expires_at.since(NOW).as_secs();
            prop_assert!((1..=86_400).contains(&ttl), "{}", ttl);
            let _ = (tokens.string_field("customer_id"), tokens.string_list("accounts"));
        }
    }

    #[test]
    fn tokens_are_found_wherever_an_unreadable_body_has_them(
        before: Vec<u8>,
        token in "[!-~&&[^\\\\\"%+&]]{1,60}",
        after: Vec<u8>,
    ) {
        let json = format!("{{\"refresh_token\" : {}", json!(token)).into_bytes();
        let body = [before, json, after].concat();

        let found = find_tokens(&body);

        prop_assert!(found.iter().any(|found| *found.token.expose() == token));
    }
}

fn find(body: &str) -> Vec<(String, TokenType)> {
    find_tokens(body.as_bytes())
        .into_iter()
        .map(|found| (found.token.expose().clone(), found.token_type))
        .collect()
}

#[test]
fn tokens_are_found_in_json_and_in_forms() {
    let both = [("r1".to_owned(), TokenType::RefreshToken), ("a1".to_owned(), TokenType::AccessToken)];

    for body in [
        r#"{"access_token":"a1","refresh_token":"r1","x":"#,
        "\u{feff}{\"access_token\": \"a1\", \"refresh_token\": \"r1\"}",
        "access_token=a1&refresh_token=r1&scope=",
        r#"{"data":{"access_token":"a1","refresh_token":"r1"}}"#,
    ] {
        assert_eq!(find(body), both, "{body}");
    }
    assert_eq!(find(r#"{"access_token":"a\/1"}"#), [("a/1".to_owned(), TokenType::AccessToken)]);
    assert_eq!(find(r#"{"refresh_token":"","access_token":null,"access_token_type":"x"}"#), []);
}

#[test]
fn search_for_tokens_is_limited() {
    let many = (0..100).map(|n| format!("\"access_token\":\"a{n}\"")).collect::<Vec<_>>().join(",");

    assert_eq!(find(&many).len(), MAX_FOUND_TOKENS);
}

#[test]
fn lifetime_may_be_text_or_have_a_fraction() {
    let ttl = |expires_in: Value| {
        let body = json!({"access_token": "a", "expires_in": expires_in}).to_string();
        TokenResponse::parse(body.as_bytes(), NOW).unwrap().access_expires_at.since(NOW).as_secs()
    };

    for (expires_in, expected) in [
        (json!(300), 300),
        (json!("300"), 300),
        (json!(300.9), 300),
        (json!("300.5"), 300),
        (json!(" 300 "), 300),
        (json!("soon"), 60),
        (json!(null), 60),
        (json!(-1), 1),
        (json!("99999999999999999999"), 86_400),
    ] {
        assert_eq!(ttl(expires_in.clone()), expected, "{expires_in}");
    }
}

#[test]
fn unreadable_scope_is_not_taken_for_an_absent_one() {
    let scope = |scope: Value| {
        let body = json!({"access_token": "a", "scope": scope}).to_string();
        TokenResponse::parse(body.as_bytes(), NOW).map(|tokens| tokens.scope)
    };

    assert_eq!(scope(json!(["a", "b"])), Some(Some("a b".to_owned())));
    assert_eq!(scope(json!("a b")), Some(Some("a b".to_owned())));
    assert_eq!(scope(json!([])), Some(Some(String::new())));
    assert_eq!(scope(Value::Null), Some(None));
    for unreadable in [json!({"a": true}), json!(["a", 1]), json!(1)] {
        assert_eq!(scope(unreadable.clone()), None, "{unreadable}");
    }
}
