//! The classification of the outcomes of calls to providers: what a response, or its absence, proves.
//!
//! A status may come from any machine between the hub and the provider. So only a readable response of the expected form
//! proves a success or a refusal. If nothing proves that the request was not processed, its outcome is unknown: the
//! provider may have issued or revoked a token.

use std::time::Duration;

/// The time for which a refresh or a read of a connection that fails for the same reason is not recorded again.
pub const REPEATED_FAILURE_INTERVAL: Duration = Duration::from_hours(24);

crate::str_enum! {
    /// A kind of call to a provider.
    pub enum ProviderCall {
        /// The request that pushes the parameters of an authorization request (RFC 9126 §2.1).
        PushedAuthorization = "pushed_authorization",
        /// The exchange of an authorization code for tokens (RFC 6749 §4.1.3).
        CodeExchange = "code_exchange",
        /// The refresh of an access token (RFC 6749 §6).
        Refresh = "refresh",
        /// The revocation of a token (RFC 7009 §2.1).
        Revocation = "revocation",
        /// The revocation of a consent (FDX Consent API).
        ConsentRevocation = "consent_revocation",
        /// The revocation of a grant (FAPI Grant Management §6.5).
        GrantRevocation = "grant_revocation",
        /// The request for an access token of the hub itself (RFC 6749 §4.4).
        ClientCredentials = "client_credentials",
        /// The introspection of a token (RFC 7662 §2), which identifies the customer or states the terms of a grant.
        Introspection = "introspection",
        /// A read of a consent (FDX Consent API), which states the terms of a grant.
        Consent = "consent",
        /// The request for the provider's public keys.
        Keys = "keys",
        /// The registration of an upstream client (RFC 7591 §3.1).
        Registration = "registration",
        /// The deletion of an upstream client (RFC 7592 §2.3).
        Deletion = "client_deletion",
        /// A read of FDX data.
        Data = "data",
    }
}

crate::str_enum! {
    /// An error code of a provider that the hub knows. Logs, metrics and audit events contain no other text of an error.
    #[expect(missing_docs, reason = "each variant is named after its code")]
    pub enum ProviderErrorCode {
        // RFC 6749 §5.2
        InvalidRequest = "invalid_request",
        InvalidClient = "invalid_client",
        InvalidGrant = "invalid_grant",
        UnauthorizedClient = "unauthorized_client",
        UnsupportedGrantType = "unsupported_grant_type",
        InvalidScope = "invalid_scope",
        // RFC 6749 §4.1.2.1
        AccessDenied = "access_denied",
        UnsupportedResponseType = "unsupported_response_type",
        ServerError = "server_error",
        TemporarilyUnavailable = "temporarily_unavailable",
        // RFC 7009 §2.2.1
        UnsupportedTokenType = "unsupported_token_type",
        // RFC 6750 §3.1, which authenticates data, registration and deletion
        InvalidToken = "invalid_token",
        InsufficientScope = "insufficient_scope",
        // RFC 7591 §3.2.2
        InvalidRedirectUri = "invalid_redirect_uri",
        InvalidClientMetadata = "invalid_client_metadata",
        InvalidSoftwareStatement = "invalid_software_statement",
        UnapprovedSoftwareStatement = "unapproved_software_statement",
        // RFC 9396 §5 and RFC 9101 §6.2, in responses to pushed authorization requests
        InvalidAuthorizationDetails = "invalid_authorization_details",
        InvalidRequestObject = "invalid_request_object",
        // RFC 9449 §5, §8 and §9
        InvalidDpopProof = "invalid_dpop_proof",
        UseDpopNonce = "use_dpop_nonce",
    }
}

crate::str_enum! {
    /// The reason why a call to a provider did not succeed. The values are labels of metrics and fields of log messages.
    pub enum FailureReason {
        /// No connection to the provider could be established.
        NotConnected = "not_connected",
        /// The TLS handshake failed, for example because the provider's certificate is not valid.
        TlsFailed = "tls_failed",
        /// The hub sent nothing: the URL is not allowed, or the client credentials could not be loaded.
        NotSent = "not_sent",
        /// The provider limits the rate of requests (429).
        RateLimited = "rate_limited",
        /// The provider announced that it is unavailable (503 with `Retry-After`).
        Unavailable = "unavailable",
        /// The provider rejects the hub's client: its credentials or its permissions are wrong.
        ClientRejected = "client_rejected",
        /// The provider rejects the grant: the code, the refresh token or the token to revoke.
        GrantRejected = "grant_rejected",
        /// The provider does not revoke tokens of this type.
        TokenTypeUnsupported = "token_type_unsupported",
        /// The provider rejects the request with another error code.
        RequestRejected = "request_rejected",
        /// The provider has revoked the consent before, or it has expired.
        AlreadyRevoked = "already_revoked",
        /// The provider rejects the access token of a call with a bearer token.
        AccessTokenRejected = "access_token_rejected",
        /// The provider rejects the proof that the hub has the key of the token (DPoP).
        DpopProofRejected = "dpop_proof_rejected",
        /// The provider demands a nonce in the proof, although the proof had the nonce that it has supplied before.
        DpopNonceRepeated = "dpop_nonce_repeated",
        /// The provider issued an access token of a type that the settings do not allow.
        TokenTypeRejected = "token_type_rejected",
        /// The provider does not return this resource (data only).
        ResourceRefused = "resource_refused",
        /// The request was sent, but no complete response arrived.
        NoResponse = "no_response",
        /// The status is 5xx.
        ServerError = "server_error",
        /// The status is 3xx. The hub does not follow redirects.
        Redirected = "redirected",
        /// The status reports a success, but the body is not of the expected form.
        Unreadable = "unreadable",
        /// The body is larger than the limit.
        TooLarge = "too_large",
        /// The body has a `Content-Encoding` that the hub did not ask for.
        Encoded = "encoded",
        /// The response has another status, without a readable error.
        UnexpectedStatus = "unexpected_status",
    }
}

/// The body of a response, as far as the classification depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    /// The body has the form of a success of this call, such as a token response with valid tokens.
    Complete,
    /// The body is an error of RFC 6749 §5.2 with a known code.
    OAuthError(ProviderErrorCode),
    /// The body is an error of the FDX API, or one of OAuth with another code.
    ApiError,
    /// The body is something else, or empty.
    Other,
    /// The body is larger than the limit.
    TooLarge,
    /// The body is encoded, for example compressed.
    Encoded,
}

/// The result of sending a request to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderReply {
    /// No connection could be established, so nothing was sent.
    NotConnected,
    /// The TLS handshake failed, so nothing was sent.
    TlsFailed,
    /// The hub sent nothing for a reason of its own.
    NotSent,
    /// The request was sent, but no complete response arrived: a timeout, or a closed connection.
    NoResponse,
    /// A response arrived.
    Response {
        /// The HTTP status.
        status: u16,
        /// True if the response has the header `Retry-After`.
        has_retry_after: bool,
        /// The body.
        body: ResponseBody,
    },
}

/// The conclusion from the result of a call to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// The provider processed the request as asked.
    Succeeded,
    /// The provider refused the request permanently, for a reason that concerns this token or grant.
    Refused(FailureReason),
    /// The provider did not process the request, so repeating it is safe.
    NeverProcessed(FailureReason),
    /// The provider may have processed the request.
    Unknown(FailureReason),
}

impl CallOutcome {
    /// Returns the reason of a call that did not succeed.
    pub const fn reason(self) -> Option<FailureReason> {
        match self {
            Self::Succeeded => None,
            Self::Refused(reason) | Self::NeverProcessed(reason) | Self::Unknown(reason) => Some(reason),
        }
    }

    /// Returns whether the provider may have processed the request although the hub has no usable response.
    pub const fn is_unknown(self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    /// Returns whether the provider rejects the hub's client. This is an error in the hub's configuration and says nothing
    /// about a grant.
    pub const fn is_client_rejected(self) -> bool {
        matches!(self, Self::NeverProcessed(FailureReason::ClientRejected))
    }
}

/// Returns whether the provider may still be processing a token request whose outcome is unknown. `has_tokens` is true if
/// tokens were found in the body of the response.
///
/// A gateway responds with 408, 502, 503 or 504 while the provider continues, and any machine on the way may send another
/// status or a page. Only issued tokens prove that the provider has finished.
pub const fn may_still_be_processed(outcome: CallOutcome, status: Option<u16>, has_tokens: bool) -> bool {
    let is_finished = has_tokens && matches!(status, Some(200..=299));
    outcome.is_unknown() && !is_finished
}

/// The facts about a failed call that logs, metrics and audit events contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFailure {
    /// The kind of call.
    pub call: ProviderCall,
    /// The reason.
    pub reason: FailureReason,
    /// The HTTP status; absent if no response arrived.
    pub status: Option<u16>,
    /// The error code of the response, if it is a known one.
    pub error_code: Option<ProviderErrorCode>,
}

/// Classifies the result of a call.
pub const fn classify(call: ProviderCall, reply: ProviderReply) -> CallOutcome {
    match reply {
        ProviderReply::NotConnected => CallOutcome::NeverProcessed(FailureReason::NotConnected),
        ProviderReply::TlsFailed => CallOutcome::NeverProcessed(FailureReason::TlsFailed),
        ProviderReply::NotSent => CallOutcome::NeverProcessed(FailureReason::NotSent),
        ProviderReply::NoResponse => CallOutcome::Unknown(FailureReason::NoResponse),
        ProviderReply::Response { status, has_retry_after, body } => match status {
            200..=299 => classify_success(call, body),
            300..=399 => CallOutcome::Unknown(FailureReason::Redirected),
            429 => CallOutcome::NeverProcessed(FailureReason::RateLimited),
            400..=499 => classify_client_error(call, status, body),
            503 if has_retry_after && is_safe_after_503(call) => {
                CallOutcome::NeverProcessed(FailureReason::Unavailable)
            }
            500..=599 => CallOutcome::Unknown(FailureReason::ServerError),
            _ => CallOutcome::Unknown(FailureReason::UnexpectedStatus),
        },
    }
}

/// Returns whether 503 with `Retry-After` proves enough: a gateway may add the header after the provider has processed an
/// exchange or a refresh, which cannot be repeated. A read, a revocation or a deletion can.
const fn is_safe_after_503(call: ProviderCall) -> bool {
    match call {
        ProviderCall::Data
        | ProviderCall::Revocation
        | ProviderCall::ConsentRevocation
        | ProviderCall::GrantRevocation
        | ProviderCall::ClientCredentials
        | ProviderCall::Introspection
        | ProviderCall::Consent
        | ProviderCall::Keys
        | ProviderCall::PushedAuthorization
        | ProviderCall::Deletion => true,
        ProviderCall::CodeExchange | ProviderCall::Refresh | ProviderCall::Registration => false,
    }
}

const fn classify_success(call: ProviderCall, body: ResponseBody) -> CallOutcome {
    match (call, body) {
        // RFC 7009 §2.2, RFC 7592 §2.3, FDX and FAPI Grant Management §6.5: the status contains all information, and the body
        // is ignored.
        (
            ProviderCall::Revocation
            | ProviderCall::ConsentRevocation
            | ProviderCall::GrantRevocation
            | ProviderCall::Deletion,
            _,
        )
        | (_, ResponseBody::Complete) => CallOutcome::Succeeded,
        (_, ResponseBody::TooLarge) => CallOutcome::Unknown(FailureReason::TooLarge),
        (_, ResponseBody::Encoded) => CallOutcome::Unknown(FailureReason::Encoded),
        // This includes an error code: it contradicts the status, so neither of them proves anything.
        (_, ResponseBody::OAuthError(_) | ResponseBody::ApiError | ResponseBody::Other) => {
            CallOutcome::Unknown(FailureReason::Unreadable)
        }
    }
}

const fn classify_client_error(call: ProviderCall, status: u16, body: ResponseBody) -> CallOutcome {
    match (call, status) {
        // A gateway sends these for reasons of its own: a timeout, a wrong connection, early data.
        (_, 408 | 421 | 425) => CallOutcome::Unknown(FailureReason::UnexpectedStatus),
        (_, _) if let Some(reason) = find_proof_failure(call, body) => CallOutcome::NeverProcessed(reason),
        (ProviderCall::Data, 401) => CallOutcome::Refused(FailureReason::AccessTokenRejected),
        (ProviderCall::Data, _) => CallOutcome::Refused(FailureReason::ResourceRefused),
        (ProviderCall::ConsentRevocation | ProviderCall::GrantRevocation, _) => {
            classify_grant_error(call, status, body)
        }
        (_, _) => match body {
            ResponseBody::OAuthError(code) => classify_error_code(call, code),
            _ => CallOutcome::Unknown(FailureReason::UnexpectedStatus),
        },
    }
}

/// Returns the reason for which the proof in a request is rejected, if it is.
///
/// RFC 9449 §5 and §8: the proof is verified before the request is processed, and a request without the right nonce is meant to be
/// repeated. So the response proves that no token was issued, and says nothing about the token or the grant in the request.
const fn find_proof_failure(call: ProviderCall, body: ResponseBody) -> Option<FailureReason> {
    match body {
        ResponseBody::OAuthError(ProviderErrorCode::UseDpopNonce) if has_proof(call) => {
            Some(FailureReason::DpopNonceRepeated)
        }
        ResponseBody::OAuthError(ProviderErrorCode::InvalidDpopProof) if has_proof(call) => {
            Some(FailureReason::DpopProofRejected)
        }
        _ => None,
    }
}

/// Returns whether a call may contain a proof of the key that a token is bound to, or is to be bound to (RFC 9449).
const fn has_proof(call: ProviderCall) -> bool {
    match call {
        ProviderCall::CodeExchange
        | ProviderCall::Refresh
        | ProviderCall::ClientCredentials
        | ProviderCall::Consent
        | ProviderCall::ConsentRevocation
        | ProviderCall::GrantRevocation
        | ProviderCall::Data => true,
        ProviderCall::PushedAuthorization
        | ProviderCall::Revocation
        | ProviderCall::Introspection
        | ProviderCall::Keys
        | ProviderCall::Registration
        | ProviderCall::Deletion => false,
    }
}

/// Classifies the 4xx status of a call that names a grant by its id.
const fn classify_grant_error(call: ProviderCall, status: u16, body: ResponseBody) -> CallOutcome {
    // The hub's own access token was rejected, so the provider has not decided about the grant.
    if status == 401 {
        return CallOutcome::NeverProcessed(FailureReason::AccessTokenRejected);
    }
    // A gateway that does not know the path responds with 404 too. Only a readable error is one of the provider.
    match (call, status, body) {
        (ProviderCall::ConsentRevocation, 409, ResponseBody::OAuthError(_) | ResponseBody::ApiError) => {
            CallOutcome::Refused(FailureReason::AlreadyRevoked)
        }
        (_, 404 | 410, ResponseBody::OAuthError(_) | ResponseBody::ApiError) => {
            CallOutcome::Refused(FailureReason::GrantRejected)
        }
        (_, _, ResponseBody::OAuthError(_) | ResponseBody::ApiError) => {
            CallOutcome::Refused(FailureReason::RequestRejected)
        }
        _ => CallOutcome::Unknown(FailureReason::UnexpectedStatus),
    }
}

/// Classifies a readable error of an OAuth endpoint with a 4xx status.
const fn classify_error_code(call: ProviderCall, code: ProviderErrorCode) -> CallOutcome {
    use ProviderErrorCode as Code;
    match (call, code) {
        (ProviderCall::CodeExchange | ProviderCall::Refresh, Code::InvalidGrant)
        | (ProviderCall::Revocation, Code::InvalidGrant | Code::InvalidToken)
        // RFC 7592 §2.3: the provider does not know the client any more, or has revoked its registration access token.
        | (ProviderCall::Deletion, Code::InvalidToken | Code::InvalidClient) => {
            CallOutcome::Refused(FailureReason::GrantRejected)
        }
        (ProviderCall::Revocation, Code::UnsupportedTokenType) => {
            CallOutcome::Refused(FailureReason::TokenTypeUnsupported)
        }
        (ProviderCall::Revocation, Code::InvalidRequest)
        | (
            ProviderCall::CodeExchange | ProviderCall::Refresh,
            Code::InvalidRequest | Code::UnsupportedGrantType | Code::InvalidScope,
        )
        | (
            ProviderCall::Registration,
            Code::InvalidRedirectUri
            | Code::InvalidClientMetadata
            | Code::InvalidSoftwareStatement
            | Code::UnapprovedSoftwareStatement,
        )
        | (ProviderCall::Deletion, Code::AccessDenied | Code::InsufficientScope | Code::UnauthorizedClient)
        | (
            ProviderCall::PushedAuthorization,
            Code::InvalidRequest
            | Code::InvalidScope
            | Code::AccessDenied
            // As for tokens of the client's own: a client that must not push requests may be accepted for refreshes.
            | Code::UnauthorizedClient
            | Code::UnsupportedResponseType
            | Code::InvalidAuthorizationDetails
            | Code::InvalidRequestObject,
        )
        // The client may be accepted for codes and refresh tokens all the same.
        | (
            ProviderCall::ClientCredentials,
            Code::InvalidRequest
            | Code::InvalidGrant
            | Code::UnauthorizedClient
            | Code::UnsupportedGrantType
            | Code::InvalidScope,
        ) => CallOutcome::Refused(FailureReason::RequestRejected),
        // The bearer token of a registration is the initial access token, which belongs to the hub's configuration.
        (_, Code::InvalidClient | Code::UnauthorizedClient)
        | (ProviderCall::Registration, Code::InvalidToken | Code::InsufficientScope) => {
            CallOutcome::NeverProcessed(FailureReason::ClientRejected)
        }
        // Every other code does not belong to this call, so it is not the provider's decision about it.
        (_, _) => CallOutcome::Unknown(FailureReason::UnexpectedStatus),
    }
}

/// The number of responses `invalid_request` to one revocation of which the last is final. The first ones may come from a
/// gateway or from a deployment that is in progress.
const MAX_INVALID_REVOCATION_REQUESTS: u32 = 3;

/// The consequence of a response to a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationStep {
    /// The provider accepted the revocation.
    Accepted,
    /// The provider does not revoke tokens of this type; the other token of the grant must be tried.
    TryOtherToken,
    /// The provider refused permanently.
    Refused,
    /// The provider refused with `invalid_request`, which must be counted. A later attempt may succeed.
    CountAndRetry,
    /// A later attempt may succeed.
    Retry,
}

/// Decides how a revocation continues. `invalid_requests` is the number of earlier attempts that got `invalid_request`;
/// `has_other_token` is true while a token of the other type has not been tried.
pub const fn next_revocation_step(
    outcome: CallOutcome,
    invalid_requests: u32,
    has_other_token: bool,
) -> RevocationStep {
    match outcome {
        CallOutcome::Succeeded | CallOutcome::Refused(FailureReason::AlreadyRevoked) => {
            RevocationStep::Accepted
        }
        CallOutcome::Refused(FailureReason::TokenTypeUnsupported) if has_other_token => {
            RevocationStep::TryOtherToken
        }
        CallOutcome::Refused(FailureReason::RequestRejected)
            if invalid_requests + 1 < MAX_INVALID_REVOCATION_REQUESTS =>
        {
            RevocationStep::CountAndRetry
        }
        CallOutcome::Refused(_) => RevocationStep::Refused,
        CallOutcome::NeverProcessed(_) | CallOutcome::Unknown(_) => RevocationStep::Retry,
    }
}

#[cfg(test)]
#[path = "provider_response_tests.rs"]
mod tests;
