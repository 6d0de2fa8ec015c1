//! Cases for the partner API with invalid members of a recipient, or invalid ids in paths.

use domain::error::OAuthCode;
use serde_json::{Value, json};

use super::super::expectations::ExpectedResponse;
use super::super::management::{BAD_BEARER, NO_RECIPIENT, expected_not_found};
use super::manage_lists::{
    build_connection_cases, build_provider_cases, build_registration_cases, build_registration_request_cases,
};
use super::{BadValue, InputCase, InputValues, unknown_scope_message};
use crate::support::{ConnectionTokens, RawRequest, TestHub};

const JSON: &str = "application/json";
pub(super) const RECIPIENTS: &str = "/api/v1/recipients";
const REDIRECT_URI: &str = "https://fake.example.org/callback";

/// The ids and tokens that the cases of the partner API use.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct PartnerValues {
    pub(super) token: String,
    pub(super) recipient: String,
    pub(super) foreign: String,
    /// The client id of the partner.
    pub(super) partner: String,
    /// The recipient's client token. The next fields are its connection, another recipient's connection, and a cursor
    /// of another list.
    pub(super) recipient_token: String,
    pub(super) connection: String,
    pub(super) foreign_connection: String,
    pub(super) cursor: String,
}

pub(super) async fn create_partner_values(kit: &TestHub) -> PartnerValues {
    let (partner, other) = (kit.partner(), kit.create_other_partner().await);
    let token = kit.request_client_token(&partner).await;
    let other_token = kit.request_client_token(&other).await;
    let recipient = kit.create_recipient(&token).await.id;
    let path = format!("{RECIPIENTS}/providers/requests/{recipient}/1000");
    assert_eq!(kit.call(http::Method::POST, &path, &token).await.status, 200);
    let foreign = kit.create_recipient(&other_token).await.id;
    let own = kit.request_client_token(&kit.acme()).await;
    PartnerValues {
        recipient,
        foreign,
        token,
        partner: partner.id,
        recipient_token: own,
        ..PartnerValues::default()
    }
}

/// Returns `managed` with the ids of two connections: one of the partner's recipient and one of another recipient.
pub(super) async fn add_connections(
    kit: &TestHub,
    managed: PartnerValues,
    recipient_tokens: &ConnectionTokens,
    foreign_tokens: &ConnectionTokens,
) -> PartnerValues {
    let page =
        kit.call(http::Method::GET, "/api/v1/connections?limit=1", &managed.recipient_token).await.json();
    PartnerValues {
        connection: recipient_tokens.id.to_string(),
        foreign_connection: foreign_tokens.id.to_string(),
        cursor: page["page"]["nextOffset"].as_str().unwrap().to_owned(),
        ..managed
    }
}

/// Dumps every database row that partners can change.
pub(super) async fn load_managed_rows(kit: &TestHub) -> Vec<String> {
    // The end of the audit chain is left out, because requests that are refused are recorded there.
    let clients = "SELECT id, state, name, redirect_uris, secret_hash, credential_generation, mac, state_mac FROM clients ORDER BY id";
    let registrations = "SELECT client_id, provider_id, state, updated_at FROM registrations ORDER BY 1, 2";
    [kit.sql(clients).await, kit.sql(registrations).await].concat()
}

pub(super) fn build_manage_cases(values: &InputValues) -> Vec<InputCase> {
    let mut cases = build_member_cases(values);
    cases.extend(build_type_cases(values));
    cases.extend(build_list_value_cases(values));
    cases.extend(build_name_cases(values));
    cases.extend(build_body_cases(values));
    cases.extend(build_recipient_cases(values));
    cases.extend(build_registration_cases(values));
    cases.extend(build_registration_request_cases(values));
    cases.extend(build_provider_cases(values));
    cases.extend(build_connection_cases(values));
    cases
}

/// Builds a valid request to create a recipient.
fn valid_recipient() -> Vec<(&'static str, Value)> {
    vec![
        ("name", json!("Flinks Fake")),
        ("scope", json!("ACCOUNT_BASIC TRANSACTIONS")),
        ("redirect_uris", json!(REDIRECT_URI)),
        ("logo_uri", json!("https://fake.example.org/logo.png")),
        ("description", json!("Description of Flinks Fake")),
        ("terms_uri", json!("https://fake.example.org/terms.html")),
        ("client_uri", json!("https://fake.example.org")),
        ("country", json!("CA")),
        ("contacts", json!([{"email": "john.doe@fake.example.org"}])),
        ("colour", json!("red")),
    ]
}

fn to_json_object(members: &[(&str, Value)]) -> String {
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    format!("{{{}}}", members.join(","))
}

fn build_create_request(values: &InputValues, members: &[(&str, Value)]) -> RawRequest {
    RawRequest::post(RECIPIENTS, JSON, to_json_object(members)).bearer(&values.manage.token)
}

/// Returns a request to create a recipient in which one member has another value.
fn replace_member(name: &str, value: &Value) -> Vec<(&'static str, Value)> {
    let place = |(known, good)| if known == name { (known, value.clone()) } else { (known, good) };
    valid_recipient().into_iter().map(place).collect()
}

pub(super) fn expected_invalid_request(description: impl Into<String>) -> ExpectedResponse {
    ExpectedResponse::invalid_request(description.into())
}

const INVALID_REDIRECT_URI: &str =
    "redirect_uris[0] must be an https URL without a fragment (http on loopback)";

/// Returns the expected response to the creation of a recipient in which one text member has a bad value.
fn expected_response(name: &str, bad: BadValue, good: &str) -> ExpectedResponse {
    use BadValue::{
        BarePercent, Blank, Empty, InvalidHex, Latin1, Long, Markup, Missing, Overlong, PathParameter, Quote,
        Repeated, Surrogate, Traversal,
    };
    match (name, bad) {
        (_, Repeated) => expected_invalid_request(format!("{name} is given twice")),
        ("name" | "scope" | "redirect_uris", Missing | Empty) | ("scope" | "redirect_uris", Blank) => {
            expected_invalid_request(format!("{name} is missing"))
        }
        // Unknown, absent, or unusual but valid: pages show a text unchanged.
        ("colour", _)
        | (_, Missing | Empty)
        | ("redirect_uris" | "logo_uri" | "terms_uri", Traversal | PathParameter)
        | ("client_uri", Traversal)
        | (
            "name" | "description",
            Latin1 | Overlong | Surrogate | BarePercent | InvalidHex | Markup | Traversal | PathParameter
            | Quote,
        ) => ExpectedResponse::Data,
        ("name", _) => expected_invalid_request("name must be 1 to 256 characters of text"),
        ("description", _) => expected_invalid_request("description must be 1 to 512 characters of text"),
        ("scope", bad) => expected_invalid_request(unknown_scope_message(&bad.decode(good), "unknown")),
        ("redirect_uris", Long) => {
            expected_invalid_request("redirect_uris[0] must be at most 2000 characters long")
        }
        ("redirect_uris", _) => expected_invalid_request(
            "redirect_uris[0] must have only characters of a URL; others are percent-encoded",
        ),
        ("logo_uri" | "terms_uri" | "client_uri", _) => {
            expected_invalid_request(format!("{name} must be an https URL"))
        }
        ("country", _) => expected_invalid_request("country must be CA or US"),
        (name, bad) => panic!("no expectation is listed for {bad:?} as {name}"),
    }
}

fn build_member_cases(values: &InputValues) -> Vec<InputCase> {
    let mut cases = Vec::new();
    for (name, good) in valid_recipient().iter().filter_map(|(name, good)| Some((*name, good.as_str()?))) {
        for bad in BadValue::ALL {
            let mut sent = replace_member(name, &json!(bad.decode(good)));
            match bad {
                BadValue::Missing => sent.retain(|(known, _)| *known != name),
                BadValue::Empty => sent = replace_member(name, &json!("")),
                BadValue::Repeated => sent.push((name, json!(good))),
                _ => {}
            }
            let what = format!("manage, create: {bad:?} as {name}");
            cases.push(InputCase::new(
                what,
                build_create_request(values, &sent),
                expected_response(name, bad, good),
            ));
        }
    }
    cases
}

/// Builds the cases for members with a value of another JSON type. `null` is treated as absent.
fn build_type_cases(values: &InputValues) -> Vec<InputCase> {
    let mut cases = Vec::new();
    for (name, good) in valid_recipient() {
        let rejection = match name {
            "colour" => ExpectedResponse::Data,
            "scope" | "redirect_uris" => {
                expected_invalid_request(format!("{name} must be a string or an array of strings"))
            }
            "contacts" => expected_invalid_request("contacts must be an array of objects with email"),
            name => expected_invalid_request(format!("{name} must be a string")),
        };
        for wrong in [
            json!(5),
            json!(-1.5),
            json!(true),
            json!([5]),
            json!([null]),
            json!([["x"]]),
            json!({"x": "y"}),
            json!({}),
        ] {
            let what = format!("manage, create: {wrong} as {name}");
            cases.push(InputCase::new(
                what,
                build_create_request(values, &replace_member(name, &wrong)),
                rejection.clone(),
            ));
        }
        let absent = if name == "contacts" {
            ExpectedResponse::Data
        } else {
            expected_response(name, BadValue::Missing, good.as_str().unwrap_or(""))
        };
        cases.push(InputCase::new(
            format!("manage, create: null as {name}"),
            build_create_request(values, &replace_member(name, &Value::Null)),
            absent,
        ));
    }
    cases
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn build_list_value_cases(values: &InputValues) -> Vec<InputCase> {
    let mails = |emails: &[&str]| emails.iter().map(|email| json!({"email": email})).collect::<Vec<_>>();
    let mail = "a@fake.example.org";
    let address =
        |nth: usize| expected_invalid_request(format!("contacts[{nth}].email must be an e-mail address"));
    let many = || (0..101).map(|n| format!("https://fake.example.org/{n}")).collect::<Vec<_>>();
    let mut cases = Vec::new();
    for (name, value, expected) in [
        ("scope", json!(["ACCOUNT_BASIC", "TRANSACTIONS"]), ExpectedResponse::Data),
        ("scope", json!(["ACCOUNT_BASIC TRANSACTIONS"]), ExpectedResponse::Data),
        ("scope", json!(["TRANSACTIONS"]), expected_invalid_request("scope must include ACCOUNT_BASIC")),
        (
            "scope",
            json!("client:admin ACCOUNT_BASIC"),
            expected_invalid_request("scope client:admin is unknown"),
        ),
        ("scope", json!(["account_basic"]), expected_invalid_request("scope account_basic is unknown")),
        ("scope", json!([]), expected_invalid_request("scope is missing")),
        ("redirect_uris", json!([REDIRECT_URI, "https://two.example.org/"]), ExpectedResponse::Data),
        ("redirect_uris", json!(format!("{REDIRECT_URI} https://two.example.org/")), ExpectedResponse::Data),
        ("redirect_uris", json!(["http://127.0.0.1:3000/callback"]), ExpectedResponse::Data),
        ("redirect_uris", json!([]), expected_invalid_request("redirect_uris is missing")),
        ("redirect_uris", json!([""]), expected_invalid_request(INVALID_REDIRECT_URI)),
        (
            "redirect_uris",
            json!(["http://fake.example.org/"]),
            expected_invalid_request(INVALID_REDIRECT_URI),
        ),
        ("redirect_uris", json!(["javascript:alert(1)"]), expected_invalid_request(INVALID_REDIRECT_URI)),
        (
            "redirect_uris",
            json!(["https://fake.example.org/#top"]),
            expected_invalid_request(INVALID_REDIRECT_URI),
        ),
        (
            "redirect_uris",
            json!(["https://a:b@fake.example.org/"]),
            expected_invalid_request("redirect_uris[0] must have no user name or password"),
        ),
        (
            "redirect_uris",
            json!(["https://fake.example.org/back?code=1"]),
            expected_invalid_request("redirect_uris[0] must have a query without `code`, which the hub adds"),
        ),
        (
            "redirect_uris",
            json!(["https://0x7f.1/back"]),
            expected_invalid_request(
                "redirect_uris[0] must have its host in the usual form, which is `127.0.0.1`",
            ),
        ),
        (
            "redirect_uris",
            json!([REDIRECT_URI, REDIRECT_URI]),
            expected_invalid_request("redirect_uris[1] is given twice"),
        ),
        ("redirect_uris", json!(many()), expected_invalid_request("redirect_uris must be at most 100 URLs")),
        (
            "logo_uri",
            json!("http://127.0.0.1/logo.png"),
            expected_invalid_request("logo_uri must be an https URL"),
        ),
        ("country", json!("CA,US"), expected_invalid_request("country must be CA or US")),
        ("country", json!("ca"), expected_invalid_request("country must be CA or US")),
        ("country", json!("US"), ExpectedResponse::Data),
        ("contacts", json!(mails(&[mail, mail])), ExpectedResponse::Data),
        ("contacts", json!([]), ExpectedResponse::Data),
        ("contacts", json!([{"email": mail, "name": "John"}]), ExpectedResponse::Data),
        ("contacts", json!(mails(&[mail, "john"])), address(1)),
        ("contacts", json!(mails(&[""])), address(0)),
        ("contacts", json!(mails(&["a@b.example\r\nBcc: c@d.example"])), address(0)),
        ("contacts", json!(mails(&["<script>@b.example"])), address(0)),
        (
            "contacts",
            json!(mails(&[mail; 21])),
            expected_invalid_request("contacts must be at most 20 objects"),
        ),
        (
            "contacts",
            json!([mail]),
            expected_invalid_request("contacts must be an array of objects with email"),
        ),
        (
            "contacts",
            json!(mail),
            expected_invalid_request("contacts must be an array of objects with email"),
        ),
        (
            "contacts",
            json!([{"email": 5}]),
            expected_invalid_request("contacts must be an array of objects with email"),
        ),
    ] {
        let shown: String = value.to_string().chars().take(60).collect();
        cases.push(InputCase::new(
            format!("manage, create: {shown} as {name}"),
            build_create_request(values, &replace_member(name, &value)),
            expected,
        ));
    }
    cases
}

/// Builds the cases for valid names in many scripts, and for invalid ones.
fn build_name_cases(values: &InputValues) -> Vec<InputCase> {
    let bad = || expected_invalid_request("name must be 1 to 256 characters of text");
    let mut cases = Vec::new();
    for (name, expected) in [
        ("תקציב שלי".to_owned(), ExpectedResponse::Data),
        ("ميزانية".to_owned(), ExpectedResponse::Data),
        ("Acme 💸🍁".to_owned(), ExpectedResponse::Data),
        ("é".repeat(256), ExpectedResponse::Data),
        ("é".repeat(257), bad()),
        ("Acme\u{202e}knaB".to_owned(), bad()),
        ("\u{2067}Acme\u{2069}".to_owned(), bad()),
        ("👩\u{200d}💻".to_owned(), bad()),
        ("Ac\u{200b}me".to_owned(), bad()),
        ("\t".to_owned(), bad()),
        ("a\u{85}b".to_owned(), bad()),
        ("\u{7f}".to_owned(), bad()),
    ] {
        cases.push(InputCase::new(
            format!("manage, create: {name:?}"),
            build_create_request(values, &replace_member("name", &json!(name))),
            expected,
        ));
    }
    cases
}

fn build_body_cases(values: &InputValues) -> Vec<InputCase> {
    let no_object = |line: u32, column: u32| {
        expected_invalid_request(format!("The body is not a JSON object: line {line}, column {column}"))
    };
    let status = |status: u16, description: &'static str| {
        ExpectedResponse::OAuth(status, OAuthCode::InvalidRequest, description.into())
    };
    let recipient = format!("{RECIPIENTS}/{}", values.manage.recipient);
    let mut cases = Vec::new();
    for (method, path) in [("POST", RECIPIENTS), ("PUT", recipient.as_str())] {
        let mut case = |what: &str, media_type: &str, body: Vec<u8>, expected: ExpectedResponse| {
            let raw = RawRequest::post(path, media_type, body).method(method).bearer(&values.manage.token);
            cases.push(InputCase::new(format!("manage, {method}: {what}"), raw, expected));
        };
        case("nothing", JSON, Vec::new(), no_object(1, 0));
        case("a list", JSON, b"[1]".to_vec(), no_object(1, 0));
        case("null", JSON, b"null".to_vec(), no_object(1, 4));
        case("latin-1", JSON, b"{\"name\":\"\xe9\"}".to_vec(), no_object(1, 10));
        case("70 kB", JSON, vec![b'x'; 70_000], status(413, "The body is too large"));
        let only_json = || status(415, "The content type must be application/json");
        for media_type in ["application/x-www-form-urlencoded", "text/plain", "", "application/json2"] {
            case(media_type, media_type, to_json_object(&valid_recipient()).into_bytes(), only_json());
        }
        let other_client = RawRequest::post(path, "text/plain", "{").method(method);
        cases.push(InputCase::new(
            format!("manage, {method}: an unauthenticated client"),
            other_client,
            expected_invalid_request(BAD_BEARER),
        ));
    }
    for (body, expected) in [
        (json!({}), expected_invalid_request("redirect_uris is missing")),
        (json!({"redirect_uris": null}), expected_invalid_request("redirect_uris is missing")),
        (json!({"redirect_uris": ["x"]}), expected_invalid_request(INVALID_REDIRECT_URI)),
        (
            json!({"redirect_uris": 5}),
            expected_invalid_request("redirect_uris must be a string or an array of strings"),
        ),
        // Members that cannot be changed are ignored.
        (
            json!({"redirect_uris": "https://fake.example.org/back", "name": 5, "scope": "x"}),
            ExpectedResponse::Data,
        ),
    ] {
        let raw = RawRequest::post(recipient.clone(), JSON, body.to_string())
            .method("PUT")
            .bearer(&values.manage.token);
        cases.push(InputCase::new(format!("manage, PUT: {body}"), raw, expected));
    }
    for (duplicated, description) in [
        (
            r#"{"redirect_uris":"https://a.example/","redirect_uris":"https://b.example/"}"#,
            "redirect_uris is given twice",
        ),
        (
            r#"{"contacts":[{"email":"a@b.example"},{"email":"a@b.example","email":"c@b.example"}]}"#,
            "contacts[1].email is given twice",
        ),
    ] {
        let raw =
            RawRequest::post(recipient.clone(), JSON, duplicated).method("PUT").bearer(&values.manage.token);
        cases.push(InputCase::new(
            format!("manage, PUT: {description}"),
            raw,
            expected_invalid_request(description),
        ));
    }
    cases
}

/// Returns recipient ids for which the partner API returns 404: malformed, unknown and foreign ones.
pub(super) fn list_invalid_recipient_ids(values: &InputValues) -> Vec<String> {
    let managed = &values.manage;
    let mut ids: Vec<String> = BadValue::ALL
        .into_iter()
        .filter(|bad| !matches!(bad, BadValue::Missing | BadValue::Repeated | BadValue::Empty))
        .map(|bad| bad.encode(&managed.recipient))
        .collect();
    ids.extend(
        ["dc-unknown", "dc-sandbox", "con_1", "arq_1", "1000", "acc_x", "null", "*", "%2e%2e", "..;", "-1"]
            .map(str::to_owned),
    );
    ids.extend([managed.foreign.clone(), managed.partner.clone(), managed.recipient.to_uppercase()]);
    ids
}

fn build_recipient_cases(values: &InputValues) -> Vec<InputCase> {
    let body = to_json_object(&valid_recipient());
    let mut cases = Vec::new();
    for id in list_invalid_recipient_ids(values) {
        let shown: String = id.chars().take(60).collect();
        let rests: [(&str, &str); 4] = [
            ("GET", "/providers/requests"),
            ("GET", "/providers/1000"),
            ("POST", "/secret"),
            ("GET", "/connections"),
        ];
        for (method, rest) in [("GET", ""), ("PUT", ""), ("DELETE", "")].into_iter().chain(rests) {
            let raw = RawRequest::post(format!("{RECIPIENTS}/{id}{rest}"), JSON, body.clone()).method(method);
            let what = format!("manage, {method} {shown}{rest}");
            cases.push(InputCase::new(
                what,
                raw.bearer(&values.manage.token),
                expected_not_found(NO_RECIPIENT),
            ));
        }
    }
    cases
}
