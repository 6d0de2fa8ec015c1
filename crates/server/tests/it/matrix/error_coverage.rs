//! Tests that every error of the hub is produced by at least one case, or listed here with the reason why not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::admin_api::AdminError;
use bowline::error::InternalError;
use bowline::fdx_api::DataError;
use bowline::http::BodyError;
use bowline::rate_limit::RateLimitError;
use bowline::recipients::RegistrationPair;
use bowline::router::all_routes;
use domain::OAuthError;
use domain::error::OAuthCode;
use domain::id::{ClientId, ProviderId};
use domain::model::operator::Role;
use fdx::ErrorCode;
use http::{Method, Response};
use serde_json::{Value, json};

use super::bad_parameters::{InputValues, build_all_cases};
use super::callers::{FULL_SCOPE, UnauthorizedCaller};
use super::expectations::ExpectedResponse;
use super::{expected_response, load_connection_state};
use crate::support::{EndpointStub, TestHub, json_response};

/// Documented FDX error codes that the hub never returns, with the reason.
const UNPRODUCED_CODES: [(ErrorCode, &str); 0] = [];

const REPORTED_BY_PROVIDER: &str = "The data provider reported this error";
const PROVIDER_FAILED: &str = "The data provider did not return a valid response";
const NOT_OFFERED_BY_PROVIDER: &str = "The data provider does not offer this";
const PROVIDER_UNAVAILABLE: &str = "The data provider is temporarily unavailable";
const DATES_NOT_ACCEPTED: &str = "The data provider does not accept this range of dates";
const PROVIDER_RATE_LIMITED: &str = "The data provider limits the number of requests";
const NO_CUSTOMER: &str = "The data provider does not find this customer";
const NO_ACCOUNT: &str = "accountId is not an account of this consent";
const NO_STATEMENT: &str = "statementId is not a statement of this account";
const CONTENT_TYPE_NOT_OFFERED: &str = "The data provider does not offer this statement in this type";
const TOO_LARGE: &str = "This statement exceeds the hub's size limit";
const INTERNAL_ERROR: &str = "The hub could not process the request";
const UNHANDLED: &str = "An unhandled error occurred on the server";

/// Error responses of a provider to a read (status and FDX code), and the resulting error and message for the
/// recipient.
const UPSTREAM_READ_ERRORS: [(u16, Option<u16>, ErrorCode, &str); 22] = [
    (403, None, ErrorCode::NotAuthorized, REPORTED_BY_PROVIDER),
    (500, None, ErrorCode::Internal, PROVIDER_FAILED),
    (500, Some(500), ErrorCode::Internal, PROVIDER_FAILED),
    (400, Some(401), ErrorCode::Internal, PROVIDER_FAILED),
    (405, Some(501), ErrorCode::SubsystemUnavailable, NOT_OFFERED_BY_PROVIDER),
    (500, Some(501), ErrorCode::SubsystemUnavailable, NOT_OFFERED_BY_PROVIDER),
    (501, Some(1106), ErrorCode::SubsystemUnavailable, NOT_OFFERED_BY_PROVIDER),
    (405, None, ErrorCode::SubsystemUnavailable, NOT_OFFERED_BY_PROVIDER),
    (406, Some(1203), ErrorCode::Internal, PROVIDER_FAILED),
    (418, Some(9999), ErrorCode::Internal, PROVIDER_FAILED),
    (204, None, ErrorCode::Internal, PROVIDER_FAILED),
    (503, None, ErrorCode::Maintenance, PROVIDER_UNAVAILABLE),
    (400, Some(503), ErrorCode::Maintenance, PROVIDER_UNAVAILABLE),
    (429, None, ErrorCode::TooManyRequests, PROVIDER_RATE_LIMITED),
    (422, Some(1207), ErrorCode::TooManyRequests, PROVIDER_RATE_LIMITED),
    (404, Some(601), ErrorCode::CustomerNotFound, NO_CUSTOMER),
    (404, Some(701), ErrorCode::AccountNotFound, NO_ACCOUNT),
    (404, Some(901), ErrorCode::AccountNotFound, NO_ACCOUNT),
    (401, None, ErrorCode::NotAuthorized, REPORTED_BY_PROVIDER),
    (403, Some(602), ErrorCode::NotAuthorized, REPORTED_BY_PROVIDER),
    (422, Some(704), ErrorCode::AccountTypeNotSupported, REPORTED_BY_PROVIDER),
    (409, Some(705), ErrorCode::AccountClosed, REPORTED_BY_PROVIDER),
];

/// Returns the expected response of each API when the store fails.
fn expected_store_failures() -> [ExpectedResponse; 5] {
    let server_error = || ExpectedResponse::OAuth(500, OAuthCode::ServerError, UNHANDLED.into());
    [
        ExpectedResponse::Fdx(ErrorCode::Internal, INTERNAL_ERROR),
        server_error(),
        server_error(),
        ExpectedResponse::Page(500, "Something went wrong on our side"),
        ExpectedResponse::Problem(500, "internal", None, INTERNAL_ERROR.into()),
    ]
}

/// Returns the expected errors for an insufficient role and for a bootstrap token, which `admin::operators` tests.
fn expected_role_errors() -> [ExpectedResponse; 2] {
    let bootstrap_only = "The bootstrap token can only add the first admin";
    ["This operation needs the role admin", bootstrap_only]
        .map(|told| ExpectedResponse::Problem(403, "forbidden", None, told.into()))
}

/// Returns the expected error after the customer declined, which `bad_parameters::pages` and `spec::rfc6749_client`
/// test.
fn expected_denial() -> ExpectedResponse {
    ExpectedResponse::RedirectError(OAuthCode::AccessDenied, "The user denied the access".into())
}

/// Returns the expected error of a provider whose TLS handshake fails, which `provider_outcomes` tests.
pub(crate) const fn expected_tls_failure() -> ExpectedResponse {
    ExpectedResponse::Fdx(
        ErrorCode::Internal,
        "The hub cannot establish a secure connection to the data provider",
    )
}

/// Returns the expected errors over a rate limit, which `limit` tests.
pub(crate) fn expected_rate_limit_errors() -> [ExpectedResponse; 3] {
    let retry_later = "Too many requests, please try again later";
    [
        ExpectedResponse::Fdx(
            ErrorCode::TooManyRequests,
            "Too many requests from this recipient or for this connection",
        ),
        ExpectedResponse::OAuth(503, OAuthCode::TemporarilyUnavailable, retry_later.into()),
        ExpectedResponse::Problem(
            503,
            "unavailable",
            None,
            "Too many requests of this operator, please try again later".into(),
        ),
    ]
}

/// Lists the expected responses of all cases of these tests.
fn collect_expected_responses() -> Vec<ExpectedResponse> {
    let mut all: Vec<ExpectedResponse> =
        build_all_cases(&InputValues::default()).into_iter().map(|case| case.expected).collect();
    let routes = all_routes();
    all.extend(
        UnauthorizedCaller::ALL
            .into_iter()
            .flat_map(|caller| routes.iter().map(move |route| expected_response(route, caller))),
    );
    all.extend(UPSTREAM_READ_ERRORS.map(|(_, _, code, message)| ExpectedResponse::Fdx(code, message)));
    all.extend(UPSTREAM_DOWNLOAD_ERRORS.map(|(_, _, code, message)| ExpectedResponse::Fdx(code, message)));
    all.extend(expected_store_failures());
    all.extend(expected_rate_limit_errors());
    all.extend(expected_role_errors());
    all.push(expected_denial());
    all.push(expected_tls_failure());
    all
}

#[test]
fn each_oauth_error_code_is_covered_by_a_case() {
    let all = collect_expected_responses();
    for code in OAuthCode::ALL.iter().copied() {
        let matches_code = |e: &ExpectedResponse| matches!(e, ExpectedResponse::OAuth(_, c, _) | ExpectedResponse::RedirectError(c, _) if *c == code);
        assert!(all.iter().any(matches_code), "no case produces {}", code.as_str());
    }
}

#[test]
fn each_fdx_error_code_is_covered_by_a_case_or_listed() {
    let all = collect_expected_responses();
    for code in ErrorCode::ALL {
        let is_covered = all.iter().any(|e| matches!(e, ExpectedResponse::Fdx(c, _) if c == code));
        let is_listed = UNPRODUCED_CODES.iter().any(|(listed, _)| listed == code);
        assert_eq!(is_covered, !is_listed, "{code:?}: produced or listed, and not both");
    }
}

/// Returns one value of each variant of `DataError`. A new variant must be added here.
fn list_data_errors() -> Vec<DataError> {
    let all = vec![
        DataError::InvalidToken,
        DataError::ConnectionEnded(None),
        DataError::Fdx(ErrorCode::AccountNotFound, NO_ACCOUNT),
        DataError::ProviderUnavailable(Duration::from_secs(1)),
        DataError::ProviderRateLimited(Duration::from_secs(1)),
        DataError::Internal(InternalError::new("broken")),
        DataError::RateLimited(Duration::from_secs(1)),
        DataError::TemporarilyUnavailable(
            Duration::from_secs(1),
            "The hub cannot establish a secure connection to the data provider",
        ),
        DataError::ClientToken,
    ];
    let number = |error: &DataError| match error {
        DataError::InvalidToken => 0,
        DataError::ConnectionEnded(_) => 1,
        DataError::Fdx(..) => 2,
        DataError::ProviderUnavailable(_) => 3,
        DataError::ProviderRateLimited(_) => 4,
        DataError::Internal(_) => 5,
        DataError::RateLimited(_) => 6,
        DataError::TemporarilyUnavailable(..) => 7,
        DataError::ClientToken => 8,
    };
    assert!(all.iter().map(number).eq(0..9));
    all
}

#[test]
fn each_data_error_variant_is_covered_by_a_case() {
    let all = collect_expected_responses();
    for error in list_data_errors() {
        let debug_message = error.body().debug_message;
        let is_covered = all.iter().any(|e| match (e, error.code()) {
            (ExpectedResponse::InvalidToken | ExpectedResponse::ClientToken, None) => true,
            (ExpectedResponse::Fdx(code, words), Some(wanted)) => {
                *code == wanted && debug_message.as_deref() == Some(words)
            }
            _ => false,
        });
        assert!(is_covered, "no case produces {error:?}");
    }
}

#[test]
fn each_body_error_variant_is_covered_by_a_case() {
    let all = collect_expected_responses();
    let malformed = OAuthError::new(OAuthCode::InvalidRequest, "scope must be a string");
    let kinds = [
        BodyError::TooLarge,
        BodyError::Incomplete,
        BodyError::UnsupportedMediaType,
        BodyError::NotJson,
        BodyError::Malformed(malformed),
        BodyError::DuplicateKey("x.y".into()),
    ];
    let number = |error: &BodyError| match error {
        BodyError::TooLarge => 0,
        BodyError::Incomplete => 1,
        BodyError::UnsupportedMediaType => 2,
        BodyError::NotJson => 3,
        BodyError::Malformed(_) => 4,
        BodyError::DuplicateKey(_) => 5,
    };
    assert!(kinds.iter().map(number).eq(0..6));
    for error in kinds {
        let (status, oauth_error) = error.to_status_and_error();
        let matches_error = |e: &ExpectedResponse| matches!(e, ExpectedResponse::OAuth(s, c, words) if *s == status.as_u16() && *c == oauth_error.code && *words == oauth_error.description);
        assert!(all.iter().any(matches_error), "no case produces {error:?}");
    }
}

/// Returns one value of each variant of `AdminError`. A new variant must be added here.
fn list_admin_errors() -> Vec<AdminError> {
    let all = vec![
        AdminError::Unauthorized,
        AdminError::Role(Role::Admin),
        AdminError::Bootstrap,
        AdminError::invalid("name", "is missing"),
        AdminError::NotFound("partner"),
        AdminError::Conflict("An operator with this name exists already".into()),
        AdminError::Pairs { missing: true, pairs: vec![build_rejected_pair()] },
        AdminError::Pairs { missing: false, pairs: vec![build_rejected_pair()] },
        AdminError::RateLimited(RateLimitError(Duration::from_secs(1))),
        AdminError::Internal(InternalError::new("broken")),
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
        AdminError::RateLimited(_) => 8,
        AdminError::Internal(_) => 9,
    };
    assert!(all.iter().map(number).eq(0..10));
    all
}

fn build_rejected_pair() -> (RegistrationPair, String) {
    let client_id = "dc-unknown".parse::<ClientId>().unwrap();
    (RegistrationPair { client_id, provider_id: ProviderId::new(9999) }, String::new())
}

#[test]
fn each_admin_error_variant_is_covered_by_a_case() {
    let all = collect_expected_responses();
    for error in list_admin_errors() {
        let (status, code, field) = match &error {
            AdminError::Unauthorized => (401, "unauthorized", None),
            AdminError::Role(_) | AdminError::Bootstrap => (403, "forbidden", None),
            AdminError::Invalid { field, .. } => (400, "invalid", Some(field.as_str())),
            AdminError::NotFound(_) | AdminError::Pairs { missing: true, .. } => (404, "not_found", None),
            AdminError::Conflict(_) | AdminError::Pairs { missing: false, .. } => (409, "conflict", None),
            AdminError::RateLimited(_) => (503, "unavailable", None),
            AdminError::Internal(_) => (500, "internal", None),
        };
        let detail = match &error {
            AdminError::Internal(_) => INTERNAL_ERROR.to_owned(),
            error => error.to_string(),
        };
        let matches_error = |e: &ExpectedResponse| matches!(e, ExpectedResponse::Problem(s, c, f, words) if (*s, *c, *f) == (status, code, field) && *words == detail);
        assert!(all.iter().any(matches_error), "no case produces {error:?}");
    }
}

/// Starts a provider whose response to a read the test can set.
async fn start_provider_stub(kit: &TestHub) -> (EndpointStub, Arc<Mutex<(u16, Value)>>) {
    let response = Arc::new(Mutex::new((200, json!({"accounts": []}))));
    let shared = Arc::clone(&response);
    let bank = EndpointStub::new(move |_| {
        let (status, body) = shared.lock().unwrap().clone();
        if status == 204 {
            Response::builder().status(204).body(String::new()).unwrap()
        } else {
            json_response(status, &body)
        }
    })
    .await;
    let url = bank.url.clone();
    kit.update_provider_settings(1000, |settings| settings.fdx.base_url = url).await;
    (bank, response)
}

#[tokio::test]
async fn upstream_read_error_maps_to_documented_error() {
    let kit = TestHub::new().await;
    let tokens = kit.connect_at(1000, &kit.acme(), "alice", &[], FULL_SCOPE).await;
    let account = kit.fetch_account_id(&tokens.access).await;
    let (_bank, response) = start_provider_stub(&kit).await;
    for (status, code, expected_code, message) in UPSTREAM_READ_ERRORS {
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
            *response.lock().unwrap() = (status, body.clone());
            let answer = kit.read(&path, &tokens.access).await;
            ExpectedResponse::Fdx(expected_code, message)
                .assert_matches(&answer, &format!("{status} {code:?} at {path}"));
            assert!(!answer.body.contains("mine"), "{}", answer.body);
            *response.lock().unwrap() = (200, json!({"accounts": []}));
            assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "it is over with the answer");
        }
    }
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
}

/// Statuses without an FDX code prove nothing about a whole list, but below an account they mean that it is unknown.
#[tokio::test]
async fn upstream_status_not_found_without_code_is_no_empty_list() {
    let kit = TestHub::new().await;
    let tokens = kit.connect_at(1000, &kit.acme(), "alice", &[], FULL_SCOPE).await;
    let account = kit.fetch_account_id(&tokens.access).await;
    let statement = kit.fetch_statement_id(&tokens.access).await;
    let (_bank, response) = start_provider_stub(&kit).await;
    for status in [404, 410] {
        *response.lock().unwrap() = (status, json!({"message": "mine"}));
        for path in ["", "/transactions", "/contact", "/payment-networks", "/statements"] {
            let answer = kit.read(&format!("/accounts/{account}{path}"), &tokens.access).await;
            ExpectedResponse::Fdx(ErrorCode::AccountNotFound, NO_ACCOUNT).assert_matches(&answer, path);
        }
        for path in ["/accounts", "/customers/current"] {
            let answer = kit.read(path, &tokens.access).await;
            ExpectedResponse::Fdx(ErrorCode::Internal, PROVIDER_FAILED).assert_matches(&answer, path);
        }
        let path = format!("/accounts/{account}/statements/{statement}");
        let answer = kit.read(&path, &tokens.access).await;
        ExpectedResponse::Fdx(ErrorCode::DataNotFound, NO_STATEMENT).assert_matches(&answer, &path);
    }
}

/// A recipient can correct its dates, but not an error of the hub's own request.
#[tokio::test]
async fn upstream_date_error_is_passed_on_where_dates_were_given() {
    let kit = TestHub::new().await;
    let tokens = kit.connect_at(1000, &kit.acme(), "alice", &[], FULL_SCOPE).await;
    let account = kit.fetch_account_id(&tokens.access).await;
    let (_bank, response) = start_provider_stub(&kit).await;
    for (number, code) in [(702, ErrorCode::InvalidDate), (703, ErrorCode::InvalidRange)] {
        *response.lock().unwrap() = (400, json!({"code": number, "message": "mine"}));
        for path in ["/transactions", "/statements"] {
            let answer = kit.read(&format!("/accounts/{account}{path}"), &tokens.access).await;
            ExpectedResponse::Fdx(code, DATES_NOT_ACCEPTED).assert_matches(&answer, path);
        }
        for path in ["", "/contact", "/payment-networks"] {
            let answer = kit.read(&format!("/accounts/{account}{path}"), &tokens.access).await;
            ExpectedResponse::Fdx(ErrorCode::Internal, PROVIDER_FAILED).assert_matches(&answer, path);
        }
    }
}

/// Error responses of a provider to a document download that have another result than for a list.
const UPSTREAM_DOWNLOAD_ERRORS: [(u16, Option<u16>, ErrorCode, &str); 11] = [
    (404, Some(1104), ErrorCode::DataNotFound, NO_STATEMENT),
    (404, Some(1107), ErrorCode::DataNotFound, NO_STATEMENT),
    (404, Some(1108), ErrorCode::DataNotFound, NO_STATEMENT),
    (400, Some(1300), ErrorCode::StatementProcessing, "The data provider is still preparing this statement"),
    (406, Some(1203), ErrorCode::ContentType, CONTENT_TYPE_NOT_OFFERED),
    (406, None, ErrorCode::ContentType, CONTENT_TYPE_NOT_OFFERED),
    (413, None, ErrorCode::TooLarge, TOO_LARGE),
    (413, Some(413), ErrorCode::TooLarge, TOO_LARGE),
    // JSON instead of a PDF, a redirect without `Location`, and one that leaves the base URL.
    (200, None, ErrorCode::Internal, PROVIDER_FAILED),
    (302, None, ErrorCode::Internal, PROVIDER_FAILED),
    (304, None, ErrorCode::Internal, PROVIDER_FAILED),
];

#[tokio::test]
async fn upstream_download_error_maps_to_documented_error() {
    let kit = TestHub::new().await;
    let tokens = kit.connect_at(1000, &kit.acme(), "alice", &[], FULL_SCOPE).await;
    let account = kit.fetch_account_id(&tokens.access).await;
    let path = format!("/accounts/{account}/statements/{}", kit.fetch_statement_id(&tokens.access).await);
    let (_bank, response) = start_provider_stub(&kit).await;
    let other = UPSTREAM_DOWNLOAD_ERRORS.map(|(status, code, ..)| (status, code));
    let shared_errors =
        UPSTREAM_READ_ERRORS.iter().filter(|(status, code, ..)| !other.contains(&(*status, *code)));
    for &(status, code, expected_code, message) in shared_errors.chain(&UPSTREAM_DOWNLOAD_ERRORS) {
        let mut body = json!({"message": "<script>mine</script>"});
        if let Some(code) = code {
            body["code"] = json!(code);
        }
        *response.lock().unwrap() = (status, body);
        let answer = kit.read(&path, &tokens.access).await;
        ExpectedResponse::Fdx(expected_code, message)
            .assert_matches(&answer, &format!("{status} {code:?} at a download"));
        *response.lock().unwrap() = (200, json!({"accounts": []}));
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "it is over with the answer");
    }
}

/// FDX 5.2 defines code 1107 for an empty list; the hub returns an empty list in both cases.
#[tokio::test]
async fn upstream_code_1107_for_no_data_returns_empty_list() {
    let kit = TestHub::new().await;
    let tokens = kit.connect_at(1000, &kit.acme(), "alice", &[], FULL_SCOPE).await;
    let account = kit.fetch_account_id(&tokens.access).await;
    let (_bank, response) = start_provider_stub(&kit).await;
    *response.lock().unwrap() =
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
        ExpectedResponse::Fdx(ErrorCode::AccountNotFound, NO_ACCOUNT)
            .assert_matches(&one, "one account is no list");
    }
}

#[tokio::test]
async fn store_failure_returns_500_in_each_api_without_details() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let before = load_connection_state(&kit, &tokens.id).await;
    let file = rusqlite::Connection::open(kit.data_folder().join("bowline.db")).unwrap();
    file.execute_batch("ALTER TABLE clients RENAME TO elsewhere").unwrap();
    let answers = [
        kit.read("/accounts", &tokens.access).await,
        kit.revoke(&tokens.access).await,
        kit.refresh(&acme, &tokens.refresh).await,
        kit.authorize(&TestHub::build_authorization_query(&acme)).await,
        kit.send_admin_request(Method::GET, "/recipients").await,
    ];
    for (expected, answer) in expected_store_failures().iter().zip(&answers) {
        expected.assert_matches(answer, "a broken store");
        for word in ["clients", "table", "SQL", "sqlite", "panick"] {
            assert!(!answer.body.contains(word), "{word}: {}", answer.body);
        }
    }
    file.execute_batch("ALTER TABLE elsewhere RENAME TO clients").unwrap();
    assert_eq!(load_connection_state(&kit, &tokens.id).await, before);
    assert_eq!(kit.call(Method::POST, "/api/v1/revoke", &tokens.access).await.status, 204);
}
