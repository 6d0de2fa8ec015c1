//! Cases for every field of `POST /api/v1/token` with invalid values: three grants, JSON and form.

use domain::error::OAuthCode;
use serde_json::{Value, json};

use super::super::expectations::ExpectedResponse;
use super::{BadValue, InputCase, InputValues, VERIFIER, expected_unknown_scope};
use crate::support::RawRequest;

const PATH: &str = "/api/v1/token";
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const SCOPE: &str = "ACCOUNT_BASIC TRANSACTIONS";

const WRONG_CLIENT: &str = "client_id or client_secret is wrong";
const BAD_CODE: &str = "The code is unknown, used or expired";
const BAD_REFRESH: &str = "The refresh token is unknown, expired or its connection has ended";
const WRONG_URI: &str = "redirect_uri does not match the authorization request";
const WRONG_VERIFIER: &str = "code_verifier does not match the authorization request";
const UNSUPPORTED_GRANT: &str = "grant_type must be authorization_code, refresh_token or client_credentials";

type GrantFields<'a> = Vec<(&'static str, &'a str)>;

/// Builds the fields of a valid token request with this grant type.
fn build_grant<'a>(
    values: &'a InputValues,
    grant: &'a str,
    more: &[(&'static str, &'a str)],
) -> GrantFields<'a> {
    let own = [
        ("grant_type", grant),
        ("client_id", values.client_id.as_str()),
        ("client_secret", values.client_secret.as_str()),
    ];
    own.into_iter().chain(more.iter().copied()).collect()
}

fn build_grants(values: &InputValues) -> [GrantFields<'_>; 3] {
    let code = [
        ("code", values.code.as_str()),
        ("redirect_uri", values.redirect_uri.as_str()),
        ("code_verifier", VERIFIER),
    ];
    let refresh = [("refresh_token", values.refresh.as_str()), ("scope", SCOPE), ("colour", "red")];
    let own = [("scope", "providers:read"), ("colour", "red")];
    [
        build_grant(values, "authorization_code", &code),
        build_grant(values, "refresh_token", &refresh),
        build_grant(values, "client_credentials", &own),
    ]
}

fn expected_oauth_error(code: OAuthCode, description: &'static str) -> ExpectedResponse {
    ExpectedResponse::OAuth(400, code, description.into())
}

/// Returns the expected response to a token request in which one field has a bad value.
fn expected_response(grant: &str, name: &str, bad: BadValue, good: &str) -> ExpectedResponse {
    use BadValue::{Blank, Empty, Missing, Repeated};
    match (name, bad) {
        (_, Repeated) => ExpectedResponse::invalid_request(format!("{name} is given twice")),
        ("colour", _) | ("scope", Missing | Empty) => ExpectedResponse::Tokens,
        ("code_verifier", _) => expected_oauth_error(OAuthCode::InvalidGrant, WRONG_VERIFIER),
        (_, Missing | Empty) => ExpectedResponse::invalid_request(format!("{name} is missing")),
        ("grant_type", _) => expected_oauth_error(OAuthCode::UnsupportedGrantType, UNSUPPORTED_GRANT),
        ("client_id" | "client_secret", _) => expected_oauth_error(OAuthCode::InvalidClient, WRONG_CLIENT),
        ("code", _) => expected_oauth_error(OAuthCode::InvalidGrant, BAD_CODE),
        ("redirect_uri", _) => expected_oauth_error(OAuthCode::InvalidGrant, WRONG_URI),
        ("refresh_token", _) => expected_oauth_error(OAuthCode::InvalidGrant, BAD_REFRESH),
        ("scope", Blank) => expected_oauth_error(OAuthCode::InvalidScope, "scope names nothing"),
        ("scope", bad) if grant == "refresh_token" => expected_unknown_scope(&bad.decode(good), "unknown"),
        ("scope", bad) => expected_unknown_scope(&bad.decode(good), "not allowed for this client"),
        (name, bad) => panic!("no expectation is listed for {bad:?} as {name}"),
    }
}

pub(super) fn build_token_cases(values: &InputValues) -> Vec<InputCase> {
    let mut cases = Vec::new();
    for grant in build_grants(values) {
        let kind = grant[0].1;
        for (name, good) in &grant {
            for bad in BadValue::ALL {
                let expected = expected_response(kind, name, bad, good);
                let form = RawRequest::post(PATH, FORM, bad.build_query(&grant, name));
                cases.push(InputCase::new(
                    format!("token, {kind}, a form: {bad:?} as {name}"),
                    form,
                    expected.clone(),
                ));
                let json = RawRequest::post(PATH, JSON, build_json_body(&grant, name, bad));
                cases.push(InputCase::new(format!("token, {kind}, JSON: {bad:?} as {name}"), json, expected));
            }
            cases.extend(build_type_cases(&grant, name));
        }
    }
    cases.extend(build_foreign_cases(values));
    cases.extend(build_body_cases(values));
    cases
}

/// Builds a JSON object with the fields of a grant, in which the member `name` has a bad value or is repeated.
fn build_json_body(grant: &GrantFields<'_>, name: &str, bad: BadValue) -> String {
    let member = |name: &str, value: &str| format!("{}:{}", json!(name), json!(value));
    let mut members: Vec<String> =
        grant.iter().filter(|(known, _)| *known != name).map(|(name, value)| member(name, value)).collect();
    let good = grant.iter().find(|(known, _)| *known == name).unwrap().1;
    match bad {
        BadValue::Missing => {}
        BadValue::Empty => members.push(member(name, "")),
        BadValue::Repeated => members.extend([member(name, good), member(name, good)]),
        _ => members.push(member(name, &bad.decode(good))),
    }
    format!("{{{}}}", members.join(","))
}

/// Builds the cases for a member with a value of another JSON type. `null` is treated as absent.
fn build_type_cases(grant: &GrantFields<'_>, name: &'static str) -> Vec<InputCase> {
    let kind = grant[0].1;
    let with = |value: Value| {
        let mut body: serde_json::Map<String, Value> =
            grant.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        body.insert(name.to_owned(), value);
        RawRequest::post(PATH, JSON, Value::Object(body).to_string())
    };
    let wrong = [json!(5), json!(-1.5), json!(true), json!(["x"]), json!([]), json!({"x": "y"}), json!({})];
    let cases = wrong.into_iter().map(|value| {
        let what = format!("token, {kind}, JSON: {value} as {name}");
        let named = ExpectedResponse::invalid_request(format!("{name} must be a string"));
        InputCase::new(what, with(value), if name == "colour" { ExpectedResponse::Tokens } else { named })
    });
    let absent = expected_response(kind, name, BadValue::Missing, "");
    cases
        .chain([InputCase::new(format!("token, {kind}, JSON: null as {name}"), with(Value::Null), absent)])
        .collect()
}

/// Builds the cases for fields with a value of another client, or of another kind.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn build_foreign_cases(values: &InputValues) -> Vec<InputCase> {
    let [code, refresh, own] = build_grants(values);
    let theirs = &values.foreign;
    let mut cases = Vec::new();
    for (grant, name, value, expected) in [
        (
            &code,
            "client_id",
            &*theirs.client_id,
            expected_oauth_error(OAuthCode::InvalidClient, WRONG_CLIENT),
        ),
        (&code, "code", &*theirs.code, expected_oauth_error(OAuthCode::InvalidGrant, BAD_CODE)),
        (&code, "code", &*values.refresh, expected_oauth_error(OAuthCode::InvalidGrant, BAD_CODE)),
        (&code, "code", &*values.access, expected_oauth_error(OAuthCode::InvalidGrant, BAD_CODE)),
        (
            &code,
            "redirect_uri",
            &*theirs.redirect_uri,
            expected_oauth_error(OAuthCode::InvalidGrant, WRONG_URI),
        ),
        (
            &code,
            "code_verifier",
            super::CHALLENGE,
            expected_oauth_error(OAuthCode::InvalidGrant, WRONG_VERIFIER),
        ),
        (
            &refresh,
            "client_id",
            &*theirs.client_id,
            expected_oauth_error(OAuthCode::InvalidClient, WRONG_CLIENT),
        ),
        (
            &refresh,
            "refresh_token",
            &*theirs.refresh,
            expected_oauth_error(OAuthCode::InvalidGrant, BAD_REFRESH),
        ),
        (
            &refresh,
            "refresh_token",
            &*values.access,
            expected_oauth_error(OAuthCode::InvalidGrant, BAD_REFRESH),
        ),
        (
            &refresh,
            "refresh_token",
            &*values.code,
            expected_oauth_error(OAuthCode::InvalidGrant, BAD_REFRESH),
        ),
        (
            &refresh,
            "scope",
            "CUSTOMER_PERSONAL",
            expected_oauth_error(
                OAuthCode::InvalidScope,
                "scope CUSTOMER_PERSONAL is not allowed for this client",
            ),
        ),
        (
            &own,
            "scope",
            "client:admin",
            expected_oauth_error(
                OAuthCode::InvalidScope,
                "scope client:admin is not allowed for this client",
            ),
        ),
        (
            &own,
            "grant_type",
            "password",
            expected_oauth_error(OAuthCode::UnsupportedGrantType, UNSUPPORTED_GRANT),
        ),
    ] {
        let fields: Vec<(&str, &str)> =
            grant.iter().map(|(known, good)| (*known, if *known == name { value } else { good })).collect();
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let what = format!("token, {}: {value} as {name}", grant[0].1);
        cases.push(InputCase::new(what, RawRequest::post(PATH, FORM, body), expected));
    }
    cases
}

/// Builds the cases for bodies that are missing, of an unsupported media type, or too large.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn build_body_cases(values: &InputValues) -> Vec<InputCase> {
    let mut cases = Vec::new();
    let refresh = build_json_body(&build_grants(values)[1], "colour", BadValue::Missing);
    let no_object = |line: usize, column: usize| {
        ExpectedResponse::invalid_request(format!(
            "The body is not a JSON object: line {line}, column {column}"
        ))
    };
    let utf16: Vec<u8> = refresh.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (what, body, expected) in [
        (
            "twice within",
            br#"{"x":{"y":1,"y":1}}"#.to_vec(),
            ExpectedResponse::invalid_request("x.y is given twice"),
        ),
        ("nothing", Vec::new(), no_object(1, 0)),
        ("an array", b"[]".to_vec(), no_object(1, 0)),
        ("a text", b"\"grant_type\"".to_vec(), no_object(1, 12)),
        ("a number", b"5".to_vec(), no_object(1, 1)),
        ("null", b"null".to_vec(), no_object(1, 4)),
        ("half an object", b"{\"grant_type\":".to_vec(), no_object(1, 14)),
        ("a comment", b"{/* */}".to_vec(), no_object(1, 2)),
        ("two objects", b"{}{}".to_vec(), no_object(1, 3)),
        ("single quotes", b"{'grant_type':'x'}".to_vec(), no_object(1, 2)),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec(), no_object(1, 1)),
        ("UTF-16", utf16, no_object(1, 2)),
        ("latin-1", b"{\"grant_type\":\"\xe9\"}".to_vec(), no_object(1, 16)),
        ("half a surrogate", br#"{"grant_type":"\ud800"}"#.to_vec(), no_object(1, 22)),
        ("a bare control character", b"{\"grant_type\":\"\x00\"}".to_vec(), no_object(1, 16)),
        ("a number that is none", b"{\"grant_type\":01}".to_vec(), no_object(1, 16)),
        (
            "an object without members",
            b"{}".to_vec(),
            ExpectedResponse::invalid_request("client_id is missing"),
        ),
    ] {
        cases.push(InputCase::new(format!("token: {what}"), RawRequest::post(PATH, JSON, body), expected));
    }
    let deep = format!("{{\"grant_type\":{}", "[".repeat(10_000));
    cases.push(InputCase::new("token: very deep", RawRequest::post(PATH, JSON, deep), no_object(1, 141)));
    let media = "The content type must be application/json or application/x-www-form-urlencoded";
    for media_type in
        ["text/plain", "multipart/form-data", "application/jwt", "application/json2", "", "x", "\u{e9}"]
    {
        let raw = RawRequest::post(PATH, media_type, refresh.clone());
        let expected = ExpectedResponse::OAuth(415, OAuthCode::InvalidRequest, media.into());
        cases.push(InputCase::new(format!("token: a body of {media_type:?}"), raw, expected));
    }
    let untyped = RawRequest::new("POST", PATH);
    let expected = ExpectedResponse::OAuth(415, OAuthCode::InvalidRequest, media.into());
    cases.push(InputCase::new("token: no type", untyped, expected));
    for media_type in ["APPLICATION/JSON", "application/json;charset=utf-16", " application/json ; x=\"y\""] {
        let raw = RawRequest::post(PATH, media_type, refresh.clone());
        cases.push(InputCase::new(format!("token: a body of {media_type}"), raw, ExpectedResponse::Tokens));
    }
    let refresh_form = BadValue::Missing.build_query(&build_grants(values)[1], "colour");
    for (more, expected) in [
        (59, ExpectedResponse::Tokens),
        (60, ExpectedResponse::invalid_request("The request has more than 64 fields")),
    ] {
        let body = (0..more).fold(refresh_form.clone(), |body, n| format!("{body}&x{n}=y"));
        cases.push(InputCase::new(
            format!("token: {more} fields too many"),
            RawRequest::post(PATH, FORM, body),
            expected,
        ));
    }
    let large = || "x".repeat(70_000);
    for media_type in [JSON, FORM] {
        let expected =
            ExpectedResponse::OAuth(413, OAuthCode::InvalidRequest, "The body is too large".into());
        cases.push(InputCase::new(
            format!("token: 70 kB of {media_type}"),
            RawRequest::post(PATH, media_type, large()),
            expected,
        ));
    }
    let broken = RawRequest::post(PATH, FORM, "zz\r\nno chunk\r\n").header("transfer-encoding", "chunked");
    let expected = ExpectedResponse::OAuth(408, OAuthCode::InvalidRequest, "The body did not arrive".into());
    cases.push(InputCase::new("token: a body that breaks off", broken, expected));
    cases.extend(build_query_secret_cases(&refresh));
    cases
}

/// Builds the cases for secrets in the query, where they would be logged.
fn build_query_secret_cases(refresh: &str) -> impl Iterator<Item = InputCase> {
    let names = ["client_secret", "code", "refresh_token", "access_token", "token", "code_verifier"];
    names.into_iter().map(move |name| {
        let raw = RawRequest::post(format!("{PATH}?{name}=x"), JSON, refresh.to_owned());
        let description = format!("{name} must not be sent in the query: use the body or a header");
        InputCase::new(
            format!("token: {name} in the query"),
            raw,
            ExpectedResponse::invalid_request(description),
        )
    })
}
