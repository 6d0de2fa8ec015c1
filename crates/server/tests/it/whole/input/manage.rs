//! What partners send: members of a recipient, and ids in paths.

use domain::error::OAuthCode;
use serde_json::{Value, json};

use super::super::expect::Expected;
use super::super::managing::{BAD_BEARER, NO_CONNECTION, NO_RECIPIENT, not_found};
use super::{Bad, Case, Values, unknown_scope};
use crate::kit::{Kit, Raw, Tokens};

const JSON: &str = "application/json";
const RECIPIENTS: &str = "/api/v1/recipients";
const BACK: &str = "https://fake.example.org/callback";

/// What is the partner's, and what is another's.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Managed {
    pub(super) token: String,
    pub(super) recipient: String,
    pub(super) foreign: String,
    /// The partner itself.
    pub(super) partner: String,
    /// A recipient's own token, its connection, another recipient's connection, and another list's cursor.
    pub(super) own: String,
    pub(super) connection: String,
    pub(super) others: String,
    pub(super) cursor: String,
}

pub(super) async fn values(kit: &Kit) -> Managed {
    let (partner, other) = (kit.partner(), kit.other_partner().await);
    let token = kit.client_token(&partner).await;
    let others = kit.client_token(&other).await;
    let recipient = kit.created(&token).await.id;
    let path = format!("{RECIPIENTS}/providers/requests/{recipient}/1000");
    assert_eq!(kit.call(http::Method::POST, &path, &token).await.status, 200);
    let foreign = kit.created(&others).await.id;
    let own = kit.client_token(&kit.acme()).await;
    Managed { recipient, foreign, token, partner: partner.id, own, ..Managed::default() }
}

/// The same with connections in it.
pub(super) async fn with_connections(kit: &Kit, managed: Managed, own: &Tokens, others: &Tokens) -> Managed {
    let page = kit.call(http::Method::GET, "/api/v1/connections?limit=1", &managed.own).await.json();
    Managed {
        connection: own.id.to_string(),
        others: others.id.to_string(),
        cursor: page["page"]["nextOffset"].as_str().unwrap().to_owned(),
        ..managed
    }
}

/// Everything that partners change.
pub(super) async fn state(kit: &Kit) -> Vec<String> {
    let clients = "SELECT id, state, name, redirect_uris, secret_hash, credential_generation, audit_seq FROM clients ORDER BY id";
    let registrations = "SELECT client_id, provider_id, state, updated_at FROM registrations ORDER BY 1, 2";
    [kit.behind(clients).await, kit.behind(registrations).await].concat()
}

pub(super) fn cases(values: &Values) -> Vec<Case> {
    let mut cases = members(values);
    cases.extend(types(values));
    cases.extend(lists(values));
    cases.extend(texts(values));
    cases.extend(bodies(values));
    cases.extend(recipients(values));
    cases.extend(registrations(values));
    cases.extend(requests(values));
    cases.extend(providers(values));
    cases.extend(connections(values));
    cases
}

/// A recipient that would be created.
fn whole() -> Vec<(&'static str, Value)> {
    vec![
        ("name", json!("Flinks Fake")),
        ("scope", json!("ACCOUNT_BASIC TRANSACTIONS")),
        ("redirect_uris", json!(BACK)),
        ("logo_uri", json!("https://fake.example.org/logo.png")),
        ("description", json!("Description of Flinks Fake")),
        ("terms_uri", json!("https://fake.example.org/terms.html")),
        ("client_uri", json!("https://fake.example.org")),
        ("country", json!("CA")),
        ("contacts", json!([{"email": "john.doe@fake.example.org"}])),
        ("colour", json!("red")),
    ]
}

fn object(members: &[(&str, Value)]) -> String {
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    format!("{{{}}}", members.join(","))
}

fn creating(values: &Values, members: &[(&str, Value)]) -> Raw {
    Raw::post(RECIPIENTS, JSON, object(members)).bearer(&values.manage.token)
}

/// The whole recipient with one member in another's place.
fn with(name: &str, value: &Value) -> Vec<(&'static str, Value)> {
    let place = |(known, good)| if known == name { (known, value.clone()) } else { (known, good) };
    whole().into_iter().map(place).collect()
}

fn invalid(sentence: impl Into<String>) -> Expected {
    Expected::invalid_request(sentence.into())
}

const REDIRECT: &str = "redirect_uris[0] must be an https URL without a fragment (http on loopback)";

/// What each text with each bad value is told.
fn expected(name: &str, bad: Bad, good: &str) -> Expected {
    use Bad::{
        Blank, Empty, Latin1, LonePercent, Markup, Missing, NoHex, Overlong, Parameter, Quote, Surrogate,
        Traversal, Twice,
    };
    match (name, bad) {
        (_, Twice) => invalid(format!("{name} is given twice")),
        ("name" | "scope" | "redirect_uris", Missing | Empty) | ("scope" | "redirect_uris", Blank) => {
            invalid(format!("{name} is missing"))
        }
        // Unknown, absent, or odd and yet what it should be: pages show a text as it is.
        ("colour", _)
        | (_, Missing | Empty)
        | ("redirect_uris" | "logo_uri" | "terms_uri", Traversal | Parameter)
        | ("client_uri", Traversal)
        | (
            "name" | "description",
            Latin1 | Overlong | Surrogate | LonePercent | NoHex | Markup | Traversal | Parameter | Quote,
        ) => Expected::Data,
        ("name", _) => invalid("name must be 1 to 256 characters of text"),
        ("description", _) => invalid("description must be 1 to 512 characters of text"),
        ("scope", bad) => invalid(unknown_scope(&bad.decoded(good), "unknown")),
        ("redirect_uris", _) => invalid(REDIRECT),
        ("logo_uri" | "terms_uri" | "client_uri", _) => invalid(format!("{name} must be an https URL")),
        ("country", _) => invalid("country must be CA or US"),
        (name, bad) => panic!("nobody has thought of {bad:?} as {name}"),
    }
}

fn members(values: &Values) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, good) in whole().iter().filter_map(|(name, good)| Some((*name, good.as_str()?))) {
        for bad in Bad::ALL {
            let mut sent = with(name, &json!(bad.decoded(good)));
            match bad {
                Bad::Missing => sent.retain(|(known, _)| *known != name),
                Bad::Empty => sent = with(name, &json!("")),
                Bad::Twice => sent.push((name, json!(good))),
                _ => {}
            }
            let what = format!("manage, create: {bad:?} as {name}");
            cases.push(Case::new(what, creating(values, &sent), expected(name, bad, good)));
        }
    }
    cases
}

/// Another type than each member has. `null` is an absent one.
fn types(values: &Values) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, good) in whole() {
        let told = match name {
            "colour" => Expected::Data,
            "scope" | "redirect_uris" => invalid(format!("{name} must be a string or an array of strings")),
            "contacts" => invalid("contacts must be an array of objects with email"),
            name => invalid(format!("{name} must be a string")),
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
            cases.push(Case::new(what, creating(values, &with(name, &wrong)), told.clone()));
        }
        let absent = if name == "contacts" {
            Expected::Data
        } else {
            expected(name, Bad::Missing, good.as_str().unwrap_or(""))
        };
        cases.push(Case::new(
            format!("manage, create: null as {name}"),
            creating(values, &with(name, &Value::Null)),
            absent,
        ));
    }
    cases
}

fn lists(values: &Values) -> Vec<Case> {
    let mails = |emails: &[&str]| emails.iter().map(|email| json!({"email": email})).collect::<Vec<_>>();
    let mail = "a@fake.example.org";
    let address = |nth: usize| invalid(format!("contacts[{nth}].email must be an e-mail address"));
    let many = || (0..101).map(|n| format!("https://fake.example.org/{n}")).collect::<Vec<_>>();
    let mut cases = Vec::new();
    for (name, value, expected) in [
        ("scope", json!(["ACCOUNT_BASIC", "TRANSACTIONS"]), Expected::Data),
        ("scope", json!(["ACCOUNT_BASIC TRANSACTIONS"]), Expected::Data),
        ("scope", json!(["TRANSACTIONS"]), invalid("scope must include ACCOUNT_BASIC")),
        ("scope", json!("client:admin ACCOUNT_BASIC"), invalid("scope client:admin is unknown")),
        ("scope", json!(["account_basic"]), invalid("scope account_basic is unknown")),
        ("scope", json!([]), invalid("scope is missing")),
        ("redirect_uris", json!([BACK, "https://two.example.org/"]), Expected::Data),
        ("redirect_uris", json!(format!("{BACK} https://two.example.org/")), Expected::Data),
        ("redirect_uris", json!(["http://127.0.0.1:3000/callback"]), Expected::Data),
        ("redirect_uris", json!([]), invalid("redirect_uris is missing")),
        ("redirect_uris", json!([""]), invalid(REDIRECT)),
        ("redirect_uris", json!(["http://fake.example.org/"]), invalid(REDIRECT)),
        ("redirect_uris", json!(["javascript:alert(1)"]), invalid(REDIRECT)),
        ("redirect_uris", json!(["https://fake.example.org/#top"]), invalid(REDIRECT)),
        ("redirect_uris", json!(["https://a:b@fake.example.org/"]), invalid(REDIRECT)),
        ("redirect_uris", json!([BACK, BACK]), invalid("redirect_uris[1] is given twice")),
        ("redirect_uris", json!(many()), invalid("redirect_uris must be at most 100 URLs")),
        ("logo_uri", json!("http://127.0.0.1/logo.png"), invalid("logo_uri must be an https URL")),
        ("country", json!("CA,US"), invalid("country must be CA or US")),
        ("country", json!("ca"), invalid("country must be CA or US")),
        ("country", json!("US"), Expected::Data),
        ("contacts", json!(mails(&[mail, mail])), Expected::Data),
        ("contacts", json!([]), Expected::Data),
        ("contacts", json!([{"email": mail, "name": "John"}]), Expected::Data),
        ("contacts", json!(mails(&[mail, "john"])), address(1)),
        ("contacts", json!(mails(&[""])), address(0)),
        ("contacts", json!(mails(&["a@b.example\r\nBcc: c@d.example"])), address(0)),
        ("contacts", json!(mails(&["<script>@b.example"])), address(0)),
        ("contacts", json!(mails(&[mail; 21])), invalid("contacts must be at most 20 objects")),
        ("contacts", json!([mail]), invalid("contacts must be an array of objects with email")),
        ("contacts", json!(mail), invalid("contacts must be an array of objects with email")),
        ("contacts", json!([{"email": 5}]), invalid("contacts must be an array of objects with email")),
    ] {
        let shown: String = value.to_string().chars().take(60).collect();
        cases.push(Case::new(
            format!("manage, create: {shown} as {name}"),
            creating(values, &with(name, &value)),
            expected,
        ));
    }
    cases
}

/// Names as people write them, and as they should not.
fn texts(values: &Values) -> Vec<Case> {
    let bad = || invalid("name must be 1 to 256 characters of text");
    let mut cases = Vec::new();
    for (name, expected) in [
        ("תקציב שלי".to_owned(), Expected::Data),
        ("ميزانية".to_owned(), Expected::Data),
        ("Acme 💸🍁".to_owned(), Expected::Data),
        ("é".repeat(256), Expected::Data),
        ("é".repeat(257), bad()),
        ("Acme\u{202e}knaB".to_owned(), bad()),
        ("\u{2067}Acme\u{2069}".to_owned(), bad()),
        ("👩\u{200d}💻".to_owned(), bad()),
        ("Ac\u{200b}me".to_owned(), bad()),
        ("\t".to_owned(), bad()),
        ("a\u{85}b".to_owned(), bad()),
        ("\u{7f}".to_owned(), bad()),
    ] {
        cases.push(Case::new(
            format!("manage, create: {name:?}"),
            creating(values, &with("name", &json!(name))),
            expected,
        ));
    }
    cases
}

fn bodies(values: &Values) -> Vec<Case> {
    let no_object =
        |line: u32, column: u32| invalid(format!("The body is no JSON object: line {line}, column {column}"));
    let status = |status: u16, sentence: &'static str| {
        Expected::OAuth(status, OAuthCode::InvalidRequest, sentence.into())
    };
    let recipient = format!("{RECIPIENTS}/{}", values.manage.recipient);
    let mut cases = Vec::new();
    for (method, path) in [("POST", RECIPIENTS), ("PUT", recipient.as_str())] {
        let mut case = |what: &str, media_type: &str, body: Vec<u8>, expected: Expected| {
            let raw = Raw::post(path, media_type, body).method(method).bearer(&values.manage.token);
            cases.push(Case::new(format!("manage, {method}: {what}"), raw, expected));
        };
        case("nothing", JSON, Vec::new(), no_object(1, 0));
        case("a list", JSON, b"[1]".to_vec(), no_object(1, 0));
        case("null", JSON, b"null".to_vec(), no_object(1, 4));
        case("latin-1", JSON, b"{\"name\":\"\xe9\"}".to_vec(), no_object(1, 10));
        case("70 kB", JSON, vec![b'x'; 70_000], status(413, "The body is too large"));
        let only_json = || status(415, "The content type must be application/json");
        for media_type in ["application/x-www-form-urlencoded", "text/plain", "", "application/json2"] {
            case(media_type, media_type, object(&whole()).into_bytes(), only_json());
        }
        let stranger = Raw::post(path, "text/plain", "{").method(method);
        cases.push(Case::new(format!("manage, {method}: a stranger"), stranger, invalid(BAD_BEARER)));
    }
    for (body, expected) in [
        (json!({}), invalid("redirect_uris is missing")),
        (json!({"redirect_uris": null}), invalid("redirect_uris is missing")),
        (json!({"redirect_uris": ["x"]}), invalid(REDIRECT)),
        (json!({"redirect_uris": 5}), invalid("redirect_uris must be a string or an array of strings")),
        // What cannot be changed here is ignored, whatever it is.
        (json!({"redirect_uris": "https://fake.example.org/back", "name": 5, "scope": "x"}), Expected::Data),
    ] {
        let raw =
            Raw::post(recipient.clone(), JSON, body.to_string()).method("PUT").bearer(&values.manage.token);
        cases.push(Case::new(format!("manage, PUT: {body}"), raw, expected));
    }
    for (twice, told) in [
        (
            r#"{"redirect_uris":"https://a.example/","redirect_uris":"https://b.example/"}"#,
            "redirect_uris is given twice",
        ),
        (
            r#"{"contacts":[{"email":"a@b.example"},{"email":"a@b.example","email":"c@b.example"}]}"#,
            "contacts[1].email is given twice",
        ),
    ] {
        let raw = Raw::post(recipient.clone(), JSON, twice).method("PUT").bearer(&values.manage.token);
        cases.push(Case::new(format!("manage, PUT: {told}"), raw, invalid(told)));
    }
    cases
}

/// What stands in the place of a recipient's id.
pub(super) fn wrong_recipients(values: &Values) -> Vec<String> {
    let managed = &values.manage;
    let mut ids: Vec<String> = Bad::ALL
        .into_iter()
        .filter(|bad| !matches!(bad, Bad::Missing | Bad::Twice | Bad::Empty))
        .map(|bad| bad.encoded(&managed.recipient))
        .collect();
    ids.extend(
        ["dc-nobody", "dc-sandbox", "con_1", "arq_1", "1000", "acc_x", "null", "*", "%2e%2e", "..;", "-1"]
            .map(str::to_owned),
    );
    ids.extend([managed.foreign.clone(), managed.partner.clone(), managed.recipient.to_uppercase()]);
    ids
}

fn recipients(values: &Values) -> Vec<Case> {
    let body = object(&whole());
    let mut cases = Vec::new();
    for id in wrong_recipients(values) {
        let shown: String = id.chars().take(60).collect();
        let rests: [(&str, &str); 4] = [
            ("GET", "/providers/requests"),
            ("GET", "/providers/1000"),
            ("POST", "/secret"),
            ("GET", "/connections"),
        ];
        for (method, rest) in [("GET", ""), ("PUT", ""), ("DELETE", "")].into_iter().chain(rests) {
            let raw = Raw::post(format!("{RECIPIENTS}/{id}{rest}"), JSON, body.clone()).method(method);
            let what = format!("manage, {method} {shown}{rest}");
            cases.push(Case::new(what, raw.bearer(&values.manage.token), not_found(NO_RECIPIENT)));
        }
    }
    cases
}

/// What stands in the place of a provider's id.
fn registrations(values: &Values) -> Vec<Case> {
    let none = "This data recipient has no registration with the provider";
    let mut cases = Vec::new();
    for id in ["2000", "9999", "0", "01", "x", "-1", "1e3", "%2e", "99999999999999999999", "con_1"] {
        let raw = Raw::get(format!("{RECIPIENTS}/{}/providers/{id}", values.manage.recipient));
        cases.push(Case::new(
            format!("manage, registration with {id}"),
            raw.bearer(&values.manage.token),
            not_found(none),
        ));
    }
    let good = Raw::get(format!("{RECIPIENTS}/{}/providers/1000", values.manage.recipient));
    cases.push(Case::new("manage, registration", good.bearer(&values.manage.token), Expected::Data));
    cases
}

/// What stands in both lists of a request for registrations.
fn requests(values: &Values) -> Vec<Case> {
    let Managed { recipient: own, foreign, partner, token, .. } = &values.manage;
    let nobody = |count: u32| Expected::Pairs(404, format!("{NO_RECIPIENT} (bad pairs: {count})").into());
    let nowhere = "provider_id names no provider of this hub (bad pairs: 1)";
    let before = "This registration was requested before and is PENDING_APPROVAL (bad pairs: 1)";
    let provider = |nth: usize| invalid(format!("provider_ids[{nth}] must be a positive integer"));
    let recipient = |nth: usize| invalid(format!("recipient_ids[{nth}] must be an id of a data recipient"));
    let numbers = |count: u32| (1..=count).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let forty = (1..=40).map(|n| format!("dc-{n}")).collect::<Vec<_>>().join(",");
    let mut cases = Vec::new();
    for (recipients, providers, expected) in [
        (own.clone(), "1000".to_owned(), Expected::Pairs(409, before.into())),
        (own.clone(), "9999".into(), Expected::Pairs(400, nowhere.into())),
        (own.clone(), "2000,9999".into(), Expected::Pairs(400, nowhere.into())),
        (own.clone(), "2000,1000".into(), Expected::Pairs(409, before.into())),
        (foreign.clone(), "1000".into(), nobody(1)),
        (format!("{own},{foreign}"), "2000,9999".into(), nobody(3)),
        (partner.clone(), "1000".into(), nobody(1)),
        ("dc-nobody".into(), "1000".into(), nobody(1)),
        ("dc-sandbox".into(), "1000".into(), nobody(1)),
        ("1000".into(), own.clone(), provider(0)),
        (own.clone(), "0".into(), provider(0)),
        (own.clone(), "-1".into(), provider(0)),
        (own.clone(), "1e3".into(), provider(0)),
        (own.clone(), "2000,".into(), provider(1)),
        (own.clone(), "2000,%202000".into(), provider(1)),
        (own.clone(), "%D9%A1".into(), provider(0)),
        (own.clone(), "2000,2000".into(), invalid("provider_ids[1] is given twice")),
        (format!("{own},{own}"), "2000".into(), invalid("recipient_ids[1] is given twice")),
        (format!("{own},"), "2000".into(), recipient(1)),
        (format!("{own}%00"), "2000".into(), recipient(0)),
        (format!("{own}%E2%80%AE"), "2000".into(), recipient(0)),
        ("%20".into(), "2000".into(), recipient(0)),
        ("%FF".into(), "2000".into(), recipient(0)),
        (own.clone(), numbers(1001), invalid("provider_ids must be at most 1000 items")),
        (forty, numbers(26), invalid("recipient_ids and provider_ids must make at most 1000 pairs")),
        (own.clone(), "2000".into(), Expected::Data),
    ] {
        let shown: String = format!("{recipients} with {providers}").chars().take(90).collect();
        let raw = Raw::new("POST", format!("{RECIPIENTS}/providers/requests/{recipients}/{providers}"));
        cases.push(Case::new(format!("manage, request {shown}"), raw.bearer(token), expected));
    }
    cases
}

fn providers(values: &Values) -> Vec<Case> {
    let Managed { token, own, .. } = &values.manage;
    let mut cases = Vec::new();
    for id in ["9999", "0", "01", "x", "-1", "1e3", "%2e", "1000%00", "%FF", "99999999999999999999", "con_1"]
    {
        let raw = Raw::get(format!("/api/v1/providers/{id}")).bearer(token);
        let none = not_found("provider_id names no provider of this hub");
        cases.push(Case::new(format!("manage, provider {id}"), raw, none));
    }
    let good = [("country", "CA"), ("isEnabledForClient", "TRUE"), ("colour", "red")];
    for (name, _) in good {
        for bad in Bad::ALL {
            let expected = match (name, bad) {
                ("colour", _) | (_, Bad::Missing | Bad::Empty) => Expected::Data,
                (_, Bad::Twice) => invalid(format!("{name} is given twice")),
                ("country", _) => invalid("country must be CA, US or CA,US"),
                _ => invalid("isEnabledForClient must be TRUE or FALSE"),
            };
            for bearer in [token, own] {
                let raw = Raw::get(format!("/api/v2/providers?{}", bad.within(&good, name))).bearer(bearer);
                cases.push(Case::new(format!("manage, providers: {bad:?} as {name}"), raw, expected.clone()));
            }
        }
    }
    for (query, expected) in [
        ("country=CA,US", Expected::Data),
        ("country=CA,,US", Expected::Data),
        ("country=ca", invalid("country must be CA, US or CA,US")),
        ("country=FR", invalid("country must be CA, US or CA,US")),
        ("isEnabledForClient=true", Expected::Data),
        ("isEnabledForClient=1", invalid("isEnabledForClient must be TRUE or FALSE")),
        ("isEnabledForClient=yes", invalid("isEnabledForClient must be TRUE or FALSE")),
    ] {
        let raw = Raw::get(format!("/api/v2/providers?{query}")).bearer(own);
        cases.push(Case::new(format!("manage, providers: {query}"), raw, expected));
    }
    cases
}

fn connections(values: &Values) -> Vec<Case> {
    let managed = &values.manage;
    let under = format!("{RECIPIENTS}/{}/connections", managed.recipient);
    let mut ids: Vec<String> = Bad::ALL
        .into_iter()
        .filter(|bad| !matches!(bad, Bad::Missing | Bad::Twice | Bad::Empty))
        .map(|bad| bad.encoded(&managed.connection))
        .collect();
    ids.extend(
        ["con_", "con_nobody", "arq_1", "dc-sandbox", "1000", "null", "*", "%2e%2e"].map(str::to_owned),
    );
    ids.extend([managed.others.clone(), managed.connection.to_uppercase()]);
    let mut cases = Vec::new();
    for id in &ids {
        let shown: String = id.chars().take(60).collect();
        for method in ["GET", "DELETE"] {
            let own = Raw::new(method, format!("/api/v1/connections/{id}")).bearer(&managed.own);
            cases.push(Case::new(
                format!("manage, {method} connection {shown}"),
                own,
                not_found(NO_CONNECTION),
            ));
            let partners = Raw::new(method, format!("{under}/{id}")).bearer(&managed.token);
            let what = format!("manage, {method} a partner's connection {shown}");
            cases.push(Case::new(what, partners, not_found(NO_CONNECTION)));
        }
    }
    let lists = [("/api/v1/connections", &managed.own), (under.as_str(), &managed.token)];
    for (path, bearer) in lists {
        for name in ["limit", "offset", "colour"] {
            for bad in Bad::ALL {
                let expected = match (name, bad) {
                    ("colour", _) | (_, Bad::Missing) => Expected::Data,
                    ("limit", _) => invalid("limit must be a positive integer, given once"),
                    (_, Bad::Twice) => invalid("offset is given twice"),
                    _ => invalid("offset is altered, expired or of another list"),
                };
                let query = bad.within(&[("limit", "5"), ("colour", "red")], name);
                let raw = Raw::get(format!("{path}?{query}")).bearer(bearer);
                cases.push(Case::new(format!("manage, {path}: {bad:?} as {name}"), raw, expected));
            }
        }
    }
    for cursor in [&managed.cursor, &values.foreign.cursor] {
        let raw = Raw::get(format!("{under}?offset={cursor}")).bearer(&managed.token);
        let expected = invalid("offset is altered, expired or of another list");
        cases.push(Case::new("manage, connections: the cursor of another list", raw, expected));
    }
    cases
}
