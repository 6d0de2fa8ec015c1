//! The report of one call to a provider: what its result proves, and the facts that operators may see.

use std::fmt;
use std::time::Duration;

use domain::rule::provider_response::{
    CallOutcome, FailureReason, ProviderCall, ProviderErrorCode, ProviderReply, ResponseBody, classify,
    may_still_be_processed,
};
use http::header;

use super::oauth_error::{OAuthErrorBody, parse_challenge_error};
use super::response::parse_retry_after;
use crate::outbound::{BodyEnd, OutboundError, PartialResponse};

/// The report of one call. It contains nothing of a response but its status and a known error code.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallReport {
    pub(super) call: ProviderCall,
    pub(super) outcome: CallOutcome,
    /// The HTTP status; `None` if no response arrived.
    pub(super) status: Option<u16>,
    pub(super) error_code: Option<ProviderErrorCode>,
    pub(super) retry_after: Option<Duration>,
}

impl CallReport {
    /// Reports a call without a response.
    pub(super) const fn from_error(call: ProviderCall, error: &OutboundError) -> Self {
        let reply = match error {
            OutboundError::Connect => ProviderReply::NotConnected,
            OutboundError::Tls(_) => ProviderReply::TlsFailed,
            OutboundError::Forbidden | OutboundError::Credentials | OutboundError::NoEndpoint(_) => {
                ProviderReply::NotSent
            }
            OutboundError::Timeout | OutboundError::Interrupted | OutboundError::TooLarge => {
                ProviderReply::NoResponse
            }
        };
        let outcome = classify(call, reply);
        Self { call, outcome, status: None, error_code: None, retry_after: None }
    }

    /// Reports a call with a response. `is_complete` is true if the body has the form of a success of this call.
    pub(super) fn from_response(call: ProviderCall, response: &PartialResponse, is_complete: bool) -> Self {
        let error_code = OAuthErrorBody::parse(&response.body).and_then(|error| error.code);
        // RFC 6750 §3: the error of a call with an access token may be in this header only.
        let error_code = match call {
            ProviderCall::Registration
            | ProviderCall::Deletion
            | ProviderCall::Consent
            | ProviderCall::ConsentRevocation
            | ProviderCall::GrantRevocation => {
                error_code.or_else(|| parse_challenge_error(&response.headers))
            }
            ProviderCall::CodeExchange
            | ProviderCall::Refresh
            | ProviderCall::Revocation
            | ProviderCall::ClientCredentials
            | ProviderCall::Introspection
            | ProviderCall::PushedAuthorization
            | ProviderCall::Keys
            | ProviderCall::Data => error_code,
        };
        let is_encoded = response.headers.get(header::CONTENT_ENCODING).is_some_and(|c| c != "identity");
        let body = match (response.end, error_code) {
            (BodyEnd::TooLarge, _) => ResponseBody::TooLarge,
            _ if is_encoded => ResponseBody::Encoded,
            _ if is_complete => ResponseBody::Complete,
            (_, Some(code)) => ResponseBody::OAuthError(code),
            (_, None) if is_api_error(call, &response.body) => ResponseBody::ApiError,
            (_, None) => ResponseBody::Other,
        };
        let status = response.status.as_u16();
        let reply = match response.end {
            BodyEnd::Interrupted => ProviderReply::NoResponse,
            BodyEnd::Complete | BodyEnd::TooLarge => ProviderReply::Response {
                status,
                has_retry_after: response.headers.contains_key(header::RETRY_AFTER),
                body,
            },
        };
        let retry_after = parse_retry_after(&response.headers);
        Self { call, outcome: classify(call, reply), status: Some(status), error_code, retry_after }
    }

    /// Returns whether the provider may still be processing the request. `has_tokens` is true if tokens were found in the
    /// response.
    pub(super) const fn may_still_be_processed(&self, has_tokens: bool) -> bool {
        may_still_be_processed(self.outcome, self.status, has_tokens)
    }

    /// Reports a call that was not sent, because the provider rejects the hub's client.
    pub(super) const fn client_blocked(call: ProviderCall) -> Self {
        let outcome = CallOutcome::NeverProcessed(FailureReason::ClientRejected);
        Self { call, outcome, status: None, error_code: None, retry_after: None }
    }
}

impl fmt::Display for CallReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status, self.outcome.reason()) {
            (None, None) => f.write_str("no response"),
            (None, Some(reason)) => f.write_str(describe_reason(reason)),
            (Some(status), _) => {
                write!(f, "HTTP {status}")?;
                self.error_code.map_or(Ok(()), |code| write!(f, " {code}"))
            }
        }
    }
}

/// Returns whether the body of a call that names a grant is an error of the FDX API, or one of OAuth.
fn is_api_error(call: ProviderCall, body: &[u8]) -> bool {
    let names_grant = matches!(call, ProviderCall::ConsentRevocation | ProviderCall::GrantRevocation);
    names_grant
        && (OAuthErrorBody::parse(body).is_some()
            || fdx::parse::<fdx::ErrorBody>(body).is_ok_and(|error| error.value.code.is_some()))
}

const fn describe_reason(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::NotConnected => "no connection",
        FailureReason::TlsFailed => "the TLS handshake failed",
        FailureReason::NotSent => "the request could not be sent",
        FailureReason::ClientRejected => "the provider rejects the hub's client",
        _ => "no complete response",
    }
}

#[cfg(test)]
#[path = "outcome_corpus_tests.rs"]
mod corpus_tests;
