//! The error table: every error that there is comes out of at least one case, or stands here with its reason.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::admin::AdminError;
use bowline::fault::Fault;
use bowline::gateway::DataError;
use bowline::manage::Pair;
use bowline::web::{BodyError, table};
use domain::OAuthError;
use domain::error::OAuthCode;
use domain::id::{ClientId, ProviderId};
use domain::model::operator::Role;
use fdx::ErrorCode;
use http::{Method, Response};
use serde_json::{Value, json};

use super::callers::{Caller, EVERYTHING};
use super::expect::Expected;
use super::input::{Values, cases};
use super::{expected, state_of};
use crate::kit::{Kit, Raw, StandIn, says};

/// Data errors of the documented list that nothing produces.
const NEVER: [(ErrorCode, &str); 0] = [];

const BANK_SAYS_SO: &str = "The data provider says so";
const BANK_FAILED: &str = "The data provider failed to answer as it should";
const BANK_LACKS: &str = "The data provider does not offer this";
const BANK_AWAY: &str = "The data provider is not available at present";
const BANK_LIMITS: &str = "The data provider limits requests at present";
const NO_CUSTOMER: &str = "The data provider does not find this customer";
const NO_ACCOUNT: &str = "accountId names no account of this consent";
const NO_STATEMENT: &str = "statementId names no statement of this account";
const BANK_HAS_NO_SUCH_TYPE: &str = "The data provider has no such type of this statement";
const TOO_LARGE: &str = "This statement is larger than the hub passes on";
const OUR_TROUBLE: &str = "The hub cannot answer at present";
const UNHANDLED: &str = "An unhandled error occurred on the server";

/// What a bank may answer to a read, and what the recipient is told.
const BANK: [(u16, Option<u16>, ErrorCode, &str); 26] = [
    (500, None, ErrorCode::Internal, BANK_FAILED),
    (500, Some(500), ErrorCode::Internal, BANK_FAILED),
    (404, None, ErrorCode::Internal, BANK_FAILED),
    (400, Some(401), ErrorCode::Internal, BANK_FAILED),
    (400, Some(702), ErrorCode::Internal, BANK_FAILED),
    (400, Some(703), ErrorCode::Internal, BANK_FAILED),
    (405, Some(501), ErrorCode::SubsystemUnavailable, BANK_LACKS),
    (500, Some(501), ErrorCode::SubsystemUnavailable, BANK_LACKS),
    (501, Some(1106), ErrorCode::SubsystemUnavailable, BANK_LACKS),
    (405, None, ErrorCode::SubsystemUnavailable, BANK_LACKS),
    (406, Some(1203), ErrorCode::Internal, BANK_FAILED),
    (418, Some(9999), ErrorCode::Internal, BANK_FAILED),
    (204, None, ErrorCode::Internal, BANK_FAILED),
    (502, None, ErrorCode::Maintenance, BANK_AWAY),
    (503, None, ErrorCode::Maintenance, BANK_AWAY),
    (504, None, ErrorCode::Maintenance, BANK_AWAY),
    (400, Some(503), ErrorCode::Maintenance, BANK_AWAY),
    (429, None, ErrorCode::TooManyRequests, BANK_LIMITS),
    (422, Some(1207), ErrorCode::TooManyRequests, BANK_LIMITS),
    (404, Some(601), ErrorCode::CustomerNotFound, NO_CUSTOMER),
    (404, Some(701), ErrorCode::AccountNotFound, NO_ACCOUNT),
    (404, Some(901), ErrorCode::AccountNotFound, NO_ACCOUNT),
    (401, None, ErrorCode::NotAuthorized, BANK_SAYS_SO),
    (403, Some(602), ErrorCode::NotAuthorized, BANK_SAYS_SO),
    (422, Some(704), ErrorCode::AccountTypeNotSupported, BANK_SAYS_SO),
    (409, Some(705), ErrorCode::AccountClosed, BANK_SAYS_SO),
];

/// What each face says when the store is broken.
fn faults() -> [Expected; 5] {
    let server_error = || Expected::OAuth(500, OAuthCode::ServerError, UNHANDLED.into());
    [
        Expected::Fdx(ErrorCode::Internal, OUR_TROUBLE),
        server_error(),
        server_error(),
        Expected::Page(500, "Something went wrong on our side"),
        Expected::Problem(500, "internal", None, OUR_TROUBLE.into()),
    ]
}

/// What operators are told whose role is too small, and what the token that makes the first admin is told:
/// `admin::operators` proves both.
fn too_little() -> [Expected; 2] {
    let told = "This token makes the first admin and may do nothing else";
    ["This needs the role admin", told].map(|told| Expected::Problem(403, "forbidden", None, told.into()))
}

/// What the customer's no comes to: `input::pages::go_on` and `spec::rfc6749_client` prove it.
fn denied() -> Expected {
    Expected::Back(OAuthCode::AccessDenied, "The user denied the access".into())
}

/// What asking too often comes to: `limit` proves it.
pub(crate) fn too_often() -> [Expected; 2] {
    let later = "Too many requests, please try again later";
    [
        Expected::Fdx(ErrorCode::TooManyRequests, "This recipient or this connection asks too often"),
        Expected::OAuth(503, OAuthCode::TemporarilyUnavailable, later.into()),
    ]
}

/// Every answer that a case of these tests is there to produce.
fn produced() -> Vec<Expected> {
    let mut all: Vec<Expected> = cases(&Values::default()).into_iter().map(|case| case.expected).collect();
    let routes = table();
    all.extend(
        Caller::ALL.into_iter().flat_map(|caller| routes.iter().map(move |route| expected(route, caller))),
    );
    all.extend(BANK.map(|(_, _, code, told)| Expected::Fdx(code, told)));
    all.extend(BANK_OF_A_STATEMENT.map(|(_, _, code, told)| Expected::Fdx(code, told)));
    all.extend(faults());
    all.extend(too_often());
    all.extend(too_little());
    all.push(denied());
    all
}

#[test]
fn every_oauth_error_comes_out_of_a_case() {
    let all = produced();
    for code in OAuthCode::ALL {
        let made = |e: &Expected| matches!(e, Expected::OAuth(_, c, _) | Expected::Back(c, _) if *c == code);
        assert!(all.iter().any(made), "no case produces {}", code.as_str());
    }
}

#[test]
fn every_data_error_comes_out_of_a_case_or_is_listed() {
    let all = produced();
    for code in ErrorCode::ALL {
        let made = all.iter().any(|e| matches!(e, Expected::Fdx(c, _) if c == code));
        let never = NEVER.iter().any(|(listed, _)| listed == code);
        assert_eq!(made, !never, "{code:?}: produced or listed, and not both");
    }
}

/// One of each kind. A kind that is added must be added here.
fn kinds_of_data_errors() -> Vec<DataError> {
    let all = vec![
        DataError::BadToken,
        DataError::Ended,
        DataError::Fdx(ErrorCode::AccountNotFound, NO_ACCOUNT),
        DataError::Unavailable(Duration::from_secs(1)),
        DataError::RateLimited(Duration::from_secs(1)),
        DataError::Fault(Fault::new("broken")),
        DataError::TooMany(Duration::from_secs(1)),
    ];
    let number = |error: &DataError| match error {
        DataError::BadToken => 0,
        DataError::Ended => 1,
        DataError::Fdx(..) => 2,
        DataError::Unavailable(_) => 3,
        DataError::RateLimited(_) => 4,
        DataError::Fault(_) => 5,
        DataError::TooMany(_) => 6,
    };
    assert!(all.iter().map(number).eq(0..7));
    all
}

#[test]
fn every_kind_of_data_error_comes_out_of_a_case() {
    let all = produced();
    for error in kinds_of_data_errors() {
        let told = error.body().debug_message;
        let made = all.iter().any(|e| match (e, error.code()) {
            (Expected::NoToken, None) => true,
            (Expected::Fdx(code, words), Some(wanted)) => *code == wanted && told.as_deref() == Some(words),
            _ => false,
        });
        assert!(made, "no case produces {error:?}");
    }
}

#[test]
fn every_kind_of_body_error_comes_out_of_a_case() {
    let all = produced();
    let malformed = OAuthError::new(OAuthCode::InvalidRequest, "scope must be a string");
    let kinds = [
        BodyError::TooLarge,
        BodyError::Broken,
        BodyError::MediaType,
        BodyError::NotJson,
        BodyError::Malformed(malformed),
        BodyError::Twice("x.y".into()),
    ];
    let number = |error: &BodyError| match error {
        BodyError::TooLarge => 0,
        BodyError::Broken => 1,
        BodyError::MediaType => 2,
        BodyError::NotJson => 3,
        BodyError::Malformed(_) => 4,
        BodyError::Twice(_) => 5,
    };
    assert!(kinds.iter().map(number).eq(0..6));
    for error in kinds {
        let (status, shown) = error.shown();
        let made = |e: &Expected| matches!(e, Expected::OAuth(s, c, words) if *s == status.as_u16() && *c == shown.code && *words == shown.description);
        assert!(all.iter().any(made), "no case produces {error:?}");
    }
}

/// One of each kind. A kind that is added must be added here.
fn kinds_of_admin_errors() -> Vec<AdminError> {
    let all = vec![
        AdminError::Unauthorized,
        AdminError::Role(Role::Admin),
        AdminError::Bootstrap,
        AdminError::invalid("name", "is missing"),
        AdminError::NotFound("partner"),
        AdminError::Conflict("An operator of this name is there already".into()),
        AdminError::Pairs { missing: true, pairs: vec![no_pair()] },
        AdminError::Pairs { missing: false, pairs: vec![no_pair()] },
        AdminError::Fault(Fault::new("broken")),
    ];
    let number = |error: &AdminError| match error {
        AdminError::Unauthorized => 0,
        AdminError::Role(_) => 1,
        AdminError::Bootstrap => 2,
        AdminError::Invalid { .. } => 3,
        AdminError::NotFound(_) => 4,
        AdminError::Conflict(_) => 5,
        AdminError::Pairs { missing: true, .. } => 6,
        AdminError::Pairs { missing: false, .. } => 7,
        AdminError::Fault(_) => 8,
    };
    assert!(all.iter().map(number).eq(0..9));
    all
}

fn no_pair() -> (Pair, String) {
    let client_id = ClientId::parse("dc-nobody").unwrap();
    (Pair { client_id, provider_id: ProviderId::new(9999) }, String::new())
}

#[test]
fn every_kind_of_admin_error_comes_out_of_a_case() {
    let all = produced();
    for error in kinds_of_admin_errors() {
        let (status, code, field) = match &error {
            AdminError::Unauthorized => (401, "unauthorized", None),
            AdminError::Role(_) | AdminError::Bootstrap => (403, "forbidden", None),
            AdminError::Invalid { field, .. } => (400, "invalid", Some(field.as_str())),
            AdminError::NotFound(_) | AdminError::Pairs { missing: true, .. } => (404, "not_found", None),
            AdminError::Conflict(_) | AdminError::Pairs { missing: false, .. } => (409, "conflict", None),
            AdminError::Fault(_) => (500, "internal", None),
        };
        let told = match &error {
            AdminError::Fault(_) => OUR_TROUBLE.to_owned(),
            error => error.to_string(),
        };
        let made = |e: &Expected| matches!(e, Expected::Problem(s, c, f, words) if (*s, *c, *f) == (status, code, field) && *words == told);
        assert!(all.iter().any(made), "no case produces {error:?}");
    }
}

/// A bank whose answer to a read can be set.
async fn bank(kit: &Kit) -> (StandIn, Arc<Mutex<(u16, Value)>>) {
    let says_what = Arc::new(Mutex::new((200, json!({"accounts": []}))));
    let shared = Arc::clone(&says_what);
    let bank = StandIn::new(move |_| {
        let (status, body) = shared.lock().unwrap().clone();
        if status == 204 {
            Response::builder().status(204).body(String::new()).unwrap()
        } else {
            says(status, &body)
        }
    })
    .await;
    let url = bank.url.clone();
    kit.set_up(1000, |settings| settings.fdx.base_url = url).await;
    (bank, says_what)
}

#[tokio::test]
async fn whatever_a_bank_says_is_a_documented_answer_and_its_words_are_not_shown() {
    let kit = Kit::new().await;
    let tokens = kit.connect_at(1000, &kit.acme(), "alice", &[], EVERYTHING).await;
    let account = kit.account_id(&tokens.access).await;
    let (_bank, says_what) = bank(&kit).await;
    for (status, code, told, words) in BANK {
        let mut body = json!({"message": "<script>mine</script>", "debugMessage": "mine"});
        if let Some(code) = code {
            body["code"] = json!(code.to_string());
        }
        for path in [
            "/accounts".to_owned(),
            format!("/accounts/{account}"),
            format!("/accounts/{account}/transactions"),
            format!("/accounts/{account}/contact"),
            format!("/accounts/{account}/payment-networks"),
            format!("/accounts/{account}/statements"),
        ] {
            *says_what.lock().unwrap() = (status, body.clone());
            let answer = kit.read(&path, &tokens.access).await;
            Expected::Fdx(told, words).hold(&answer, &format!("{status} {code:?} at {path}"));
            assert!(!answer.body.contains("mine"), "{}", answer.body);
            *says_what.lock().unwrap() = (200, json!({"accounts": []}));
            assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "it is over with the answer");
        }
    }
    assert_eq!(kit.cause(&tokens.id).await, None);
}

/// What a bank may answer to the download of a statement, where that is another answer than to a list.
const BANK_OF_A_STATEMENT: [(u16, Option<u16>, ErrorCode, &str); 11] = [
    (404, Some(1104), ErrorCode::DataNotFound, NO_STATEMENT),
    (404, Some(1107), ErrorCode::DataNotFound, NO_STATEMENT),
    (404, Some(1108), ErrorCode::DataNotFound, NO_STATEMENT),
    (400, Some(1300), ErrorCode::StatementProcessing, "The data provider is still making this statement"),
    (406, Some(1203), ErrorCode::ContentType, BANK_HAS_NO_SUCH_TYPE),
    (406, None, ErrorCode::ContentType, BANK_HAS_NO_SUCH_TYPE),
    (413, None, ErrorCode::TooLarge, TOO_LARGE),
    (413, Some(413), ErrorCode::TooLarge, TOO_LARGE),
    // JSON where a PDF was asked for, an address without one, and one that is not below the base.
    (200, None, ErrorCode::Internal, BANK_FAILED),
    (302, None, ErrorCode::Internal, BANK_FAILED),
    (304, None, ErrorCode::Internal, BANK_FAILED),
];

#[tokio::test]
async fn whatever_a_bank_says_to_a_download_is_a_documented_answer() {
    let kit = Kit::new().await;
    let tokens = kit.connect_at(1000, &kit.acme(), "alice", &[], EVERYTHING).await;
    let account = kit.account_id(&tokens.access).await;
    let path = format!("/accounts/{account}/statements/{}", kit.statement_id(&tokens.access).await);
    let (_bank, says_what) = bank(&kit).await;
    let other = BANK_OF_A_STATEMENT.map(|(status, code, ..)| (status, code));
    let as_to_lists = BANK.iter().filter(|(status, code, ..)| !other.contains(&(*status, *code)));
    for &(status, code, told, words) in as_to_lists.chain(&BANK_OF_A_STATEMENT) {
        let mut body = json!({"message": "<script>mine</script>"});
        if let Some(code) = code {
            body["code"] = json!(code);
        }
        *says_what.lock().unwrap() = (status, body);
        let answer = kit.read(&path, &tokens.access).await;
        Expected::Fdx(told, words).hold(&answer, &format!("{status} {code:?} at a download"));
        *says_what.lock().unwrap() = (200, json!({"accounts": []}));
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "it is over with the answer");
    }
}

/// FDX 5.2 has 1107 for a list that is empty; ours is an empty list, whichever way the bank says so.
#[tokio::test]
async fn a_bank_that_finds_nothing_has_an_empty_list() {
    let kit = Kit::new().await;
    let tokens = kit.connect_at(1000, &kit.acme(), "alice", &[], EVERYTHING).await;
    let account = kit.account_id(&tokens.access).await;
    let (_bank, says_what) = bank(&kit).await;
    *says_what.lock().unwrap() =
        (404, json!({"code": "1107", "message": "Data not found for request parameters"}));
    for (path, name) in [
        ("/accounts".to_owned(), "accounts"),
        (format!("/accounts/{account}/transactions"), "transactions"),
        (format!("/accounts/{account}/payment-networks"), "paymentNetworks"),
        (format!("/accounts/{account}/statements"), "statements"),
    ] {
        let answer = kit.read(&path, &tokens.access).await;
        assert_eq!((answer.status, &answer.json()[name]), (200, &json!([])), "{}", answer.body);
        assert!(answer.json()["links"].get("next").is_none());
    }
    for rest in ["", "/contact"] {
        let one = kit.read(&format!("/accounts/{account}{rest}"), &tokens.access).await;
        Expected::Fdx(ErrorCode::AccountNotFound, NO_ACCOUNT).hold(&one, "one account is no list");
    }
}

#[tokio::test]
async fn a_store_that_is_broken_is_500_in_each_face_and_says_nothing() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let before = state_of(&kit, &tokens.id).await;
    let file = rusqlite::Connection::open(kit.data_folder().join("bowline.db")).unwrap();
    file.execute_batch("ALTER TABLE clients RENAME TO elsewhere").unwrap();
    let answers = [
        kit.read("/accounts", &tokens.access).await,
        kit.revoke(&tokens.access).await,
        kit.refresh(&acme, &tokens.refresh).await,
        kit.authorize(&Kit::ask(&acme)).await,
        kit.admin(Method::GET, "/recipients").await,
    ];
    for (expected, answer) in faults().iter().zip(&answers) {
        expected.hold(answer, "a broken store");
        for word in ["clients", "table", "SQL", "sqlite", "panick"] {
            assert!(!answer.body.contains(word), "{word}: {}", answer.body);
        }
    }
    file.execute_batch("ALTER TABLE elsewhere RENAME TO clients").unwrap();
    assert_eq!(state_of(&kit, &tokens.id).await, before);
    assert_eq!(kit.call(Method::POST, "/api/v1/revoke", &tokens.access).await.status, 204);
}

/// What the HTTP library refuses before there is a request: no body, and the connection is closed.
#[tokio::test]
async fn what_is_no_http_is_refused_below_every_face() {
    let kit = Kit::new().await;
    let long = "x".repeat(40_000);
    for (raw, status) in [
        (Raw::get(format!("/api/v1/authorize?state={long}")), 431),
        (Raw::get("/").header("x-long", long.clone()), 431),
        (Raw::get("/").header("bad name", "x"), 400),
        (Raw::get("/").header("", "x"), 400),
        (Raw::get("/\u{0}"), 400),
        (Raw::get(""), 400),
        (Raw::get("x y"), 400),
        (Raw::new("GE\u{0}T", "/"), 400),
        (Raw::post("/api/v1/token", "application/json", "{}").header("content-length", "1"), 400),
        (Raw::new("POST", "/api/v1/token").header("content-length", "-1"), 400),
        (Raw::new("POST", "/api/v1/token").header("transfer-encoding", "gzip"), 400),
    ] {
        Expected::Wire(status).hold(&kit.wire(&raw).await, &format!("{raw:.200?}"));
    }
    let many = (0..100).fold(Raw::get("/"), |raw, n| raw.header(&format!("x-{n}"), "y"));
    Expected::Wire(431).hold(&kit.wire(&many).await, "a hundred headers");
    assert_eq!(kit.get("/").await.status, 200);
}
