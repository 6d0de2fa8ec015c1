//! Runs the corpus of provider responses in `corpus/outcomes` against the parsers and the rule that the hub uses. Each file is
//! one case: the call, the response and the expected outcome.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;
use domain::model::job::{AttemptOutcome, TokenType};
use domain::model::provider::ProviderSettings;
use domain::rule::client_registration::{RegistrationResponse, deletion_outcome};
use domain::rule::provider_response::{
    CallOutcome, FailureReason, ProviderCall, ProviderErrorCode, RevocationStep, next_revocation_step,
};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;
use std::collections::BTreeMap;

use super::CallReport;
use crate::outbound::{BodyEnd, OutboundError, PartialResponse, TlsFailure};
use crate::upstream::client_registration::{read_deletion, read_registration};
use crate::upstream::token_response::TokenReply;

const NOW: Timestamp = Timestamp::from_millis(1_795_500_000_000);
/// The rows of the table of outcomes. Each has a folder with at least five cases.
const ROWS: [&str; 12] = [
    "access_token_only",
    "client_deletion",
    "client_rejected",
    "exchange_unknown",
    "invalid_grant",
    "lenient_success",
    "never_processed",
    "refresh_unknown",
    "registration",
    "revocation_accepted",
    "revocation_final",
    "revocation_retried",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// The origin or the relevance of the response.
    about: String,
    call: String,
    response: CaseResponse,
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum CaseResponse {
    /// The name of a failure without a response.
    None(String),
    Some(RecordedResponse),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedResponse {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    /// The body in Base64, if it is not UTF-8.
    body_base64: Option<String>,
    /// `too_large` or `interrupted`, if the body is not complete.
    end: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    outcome: String,
    reason: Option<String>,
    error_code: Option<String>,
    /// The tokens that are found in an unreadable response and must be revoked: type and value.
    #[serde(default)]
    found: Vec<(String, String)>,
    /// The lifetime of the access token in seconds, if the response has tokens.
    expires_in: Option<u64>,
    scope: Option<String>,
    has_refresh_token: Option<bool>,
    /// The steps of a revocation after the first, second and third attempt with this response.
    revocation_steps: Option<[String; 3]>,
    /// The meaning of the response to a registration.
    registration: Option<String>,
    /// The outcome of the attempt to delete a client.
    deletion: Option<String>,
}

fn list_cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/outcomes");
    let mut cases = Vec::new();
    for row in ROWS {
        let files = std::fs::read_dir(folder.join(row)).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<PathBuf> = files.collect();
        assert!(files.len() >= 5, "{row} has {} cases", files.len());
        cases.extend(files);
    }
    cases
}

fn build_result(response: CaseResponse) -> Result<PartialResponse, OutboundError> {
    let recorded = match response {
        CaseResponse::None(failure) => {
            return Err(match failure.as_str() {
                "not_connected" => OutboundError::Connect,
                "tls_failed" => OutboundError::Tls(TlsFailure::Other),
                "not_sent" => OutboundError::Forbidden,
                "timeout" => OutboundError::Timeout,
                "interrupted" => OutboundError::Interrupted,
                other => panic!("{other} is not a failure"),
            });
        }
        CaseResponse::Some(recorded) => recorded,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &recorded.headers {
        headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let body = match recorded.body_base64 {
        Some(encoded) => STANDARD.decode(encoded).unwrap(),
        None => recorded.body.into_bytes(),
    };
    let end = match recorded.end.as_deref() {
        None => BodyEnd::Complete,
        Some("too_large") => BodyEnd::TooLarge,
        Some("interrupted") => BodyEnd::Interrupted,
        Some(other) => panic!("{other} is not an end of a body"),
    };
    let status = StatusCode::from_u16(recorded.status).unwrap();
    Ok(PartialResponse { status, headers, body: body.into(), end })
}

fn provider_settings() -> ProviderSettings {
    serde_json::from_value(serde_json::json!({
        "name": "Maple Trust", "country": "CA", "authorization_endpoint": "https://maple.example/authorize",
        "token_endpoint": "https://maple.example/token", "client_id": "bowline", "client_secret": "sealed", "fdx": {"base_url": "https://maple.example/fdx/v5", "version": "5"},
        "scopes": {"ACCOUNT_BASIC": "accounts"}, "upstream_client": "registration",
        "dynamic_registration": {"endpoint": "https://maple.example/register"},
    }))
    .unwrap()
}

/// A response, read with the parser of its call.
struct ReadCase {
    reply: TokenReply,
    registration: Option<&'static str>,
    deletion: Option<&'static str>,
}

fn read(call: ProviderCall, result: Result<PartialResponse, OutboundError>) -> ReadCase {
    let (mut registration, mut deletion) = (None, None);
    let reply = match call {
        ProviderCall::CodeExchange | ProviderCall::Refresh | ProviderCall::ClientCredentials => {
            TokenReply::read(call, result, NOW)
        }
        ProviderCall::Registration => {
            let (report, response) =
                read_registration(result, &provider_settings(), "https://hub.example/callback/1000");
            registration = Some(registration_name(&response));
            TokenReply::without_tokens(report)
        }
        ProviderCall::Deletion => {
            let report = read_deletion(result);
            deletion = Some(deletion_name(deletion_outcome(report.outcome, report.retry_after)));
            TokenReply::without_tokens(report)
        }
        ProviderCall::Revocation
        | ProviderCall::ConsentRevocation
        | ProviderCall::GrantRevocation
        | ProviderCall::Introspection
        | ProviderCall::Consent
        | ProviderCall::PushedAuthorization
        | ProviderCall::Keys
        | ProviderCall::Data => TokenReply::without_tokens(match &result {
            Ok(response) => CallReport::from_response(call, response, false),
            Err(error) => CallReport::from_error(call, error),
        }),
    };
    ReadCase { reply, registration, deletion }
}

const fn registration_name(response: &RegistrationResponse) -> &'static str {
    match response {
        RegistrationResponse::Registered(_) => "registered",
        RegistrationResponse::Rejected(_) => "rejected",
        RegistrationResponse::Unusable(_) => "unusable",
        RegistrationResponse::RetryLater => "retry_later",
    }
}

fn deletion_name(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Accepted => "accepted",
        AttemptOutcome::AlreadyGone => "already_gone",
        AttemptOutcome::Refused => "refused",
        AttemptOutcome::RetryLater { .. } => "retry_later",
        other => panic!("{other:?} is not the outcome of a deletion"),
    }
}

fn outcome_name(outcome: CallOutcome) -> &'static str {
    match outcome {
        CallOutcome::Succeeded => "succeeded",
        CallOutcome::Refused(_) => "refused",
        CallOutcome::NeverProcessed(_) => "never_processed",
        CallOutcome::Unknown(_) => "unknown",
    }
}

fn step_name(step: RevocationStep) -> String {
    match step {
        RevocationStep::Accepted => "accepted",
        RevocationStep::TryOtherToken => "try_other_token",
        RevocationStep::Refused => "refused",
        RevocationStep::CountAndRetry | RevocationStep::Retry => "retry",
    }
    .to_owned()
}

#[test]
fn every_case_of_the_corpus_has_its_expected_outcome() {
    let files = list_cases();
    assert!(files.len() >= 100, "{} cases", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let case: Case =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let name = format!("{} ({})", file.display(), case.about);
        let call: ProviderCall = case.call.parse().unwrap();

        let ReadCase { reply, registration, deletion } = read(call, build_result(case.response));

        let (TokenReply { report, tokens, found }, expected) = (reply, case.expected);
        assert_eq!(registration, expected.registration.as_deref(), "{name}");
        assert_eq!(deletion, expected.deletion.as_deref(), "{name}");
        assert_eq!(outcome_name(report.outcome), expected.outcome, "{name}");
        assert_eq!(report.outcome.reason().map(FailureReason::as_str), expected.reason.as_deref(), "{name}");
        assert_eq!(
            report.error_code.map(ProviderErrorCode::as_str),
            expected.error_code.as_deref(),
            "{name}"
        );
        let found: Vec<(String, String)> = found
            .into_iter()
            .map(|found| (TokenType::as_str(found.token_type).to_owned(), found.token.expose().clone()))
            .collect();
        assert_eq!(found, expected.found, "{name}");
        let issues_tokens = matches!(call, ProviderCall::CodeExchange | ProviderCall::Refresh);
        assert_eq!(tokens.is_some(), issues_tokens && expected.outcome == "succeeded", "{name}");
        if let Some(tokens) = tokens {
            assert_eq!(Some(tokens.access_expires_at.since(NOW).as_secs()), expected.expires_in, "{name}");
            assert_eq!(tokens.scope, expected.scope, "{name}");
            assert_eq!(Some(tokens.refresh_token.is_some()), expected.has_refresh_token, "{name}");
        }
        if let Some(steps) = expected.revocation_steps {
            let actual =
                [0, 1, 2].map(|earlier| step_name(next_revocation_step(report.outcome, earlier, false)));
            assert_eq!(actual, steps, "{name}");
        }
    }
}
