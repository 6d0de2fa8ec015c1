//! The parts that all calls to a provider have in common: client authentication, the circuit breaker and metrics.

use std::net::IpAddr;

use domain::id::{ClientId, ConnectionId};
use domain::jose::DpopKey;
use domain::model::provider::{ComputedHeader, EndpointGroup, Provider};
use domain::rule::circuit_breaker::BreakerSignal;
use domain::rule::provider_response::{CallFailure, ProviderCall, ProviderErrorCode};
use http::{StatusCode, header};
use reqwest::RequestBuilder;
use store::command::{CallSubject, RecordCallFailure};
use url::Url;

use super::call_report::CallReport;
use super::client::{load_upstream_client_id, load_upstream_credentials};
use super::client_authentication::{ClientForm, UpstreamClientCredentials, build_authenticated_form};
use super::read_report::ReadReporter;
use super::transport::outbound_for;
use crate::breaker::BreakerOpenError;
use crate::context::RequestContext;
use crate::dpop_nonces::NonceServer;
use crate::error::InternalError;
use crate::outbound::{Outbound, OutboundError, PartialResponse};

/// The header with which both parties find a call in their logs (FAPI 1 Advanced §6.2.1, FDX).
const INTERACTION_ID: &str = "x-fapi-interaction-id";

/// The endpoints of a provider, called during one request or job. Other modules add a method for each call.
pub(super) struct ProviderEndpoints<'a> {
    pub(super) ctx: &'a RequestContext,
    pub(super) provider: &'a Provider,
    /// The recipient on whose behalf the provider is called. It determines the client if each registration has its own.
    recipient: &'a ClientId,
    /// The connection or the recipient that the calls concern.
    subject: Option<CallSubject>,
    /// The address of the customer, if the customer waits for the calls.
    customer_address: Option<IpAddr>,
}

impl<'a> ProviderEndpoints<'a> {
    pub(super) const fn new(
        ctx: &'a RequestContext,
        provider: &'a Provider,
        recipient: &'a ClientId,
    ) -> Self {
        Self { ctx, provider, recipient, subject: None, customer_address: None }
    }

    /// Names the connection that the calls concern, to whose audit log failures are added. Its id may be reserved for one that
    /// is not opened yet.
    pub(super) fn for_connection(self, connection: &ConnectionId) -> Self {
        Self { subject: Some(CallSubject::Connection(connection.clone())), ..self }
    }

    /// Names the address of the customer who waits for the calls.
    pub(super) fn for_present_customer(self, customer_address: Option<IpAddr>) -> Self {
        Self { customer_address, ..self }
    }

    /// Names the recipient whose client the calls register or delete, to whose audit log failures are added.
    pub(super) fn for_client(self, client: &ClientId) -> Self {
        Self { subject: Some(CallSubject::Client(client.clone())), ..self }
    }

    /// Loads the credentials of the client with which the provider is called.
    pub(super) async fn load_credentials(&self) -> Result<UpstreamClientCredentials, OutboundError> {
        let credentials = load_upstream_credentials(self.ctx, self.provider, self.recipient).await;
        credentials.map_err(|error| {
            tracing::error!(%error, provider = %self.provider.id, "client credentials could not be loaded");
            OutboundError::Credentials
        })
    }

    /// Returns the HTTP client for calls to the provider.
    pub(super) async fn outbound(&self) -> Result<Outbound, OutboundError> {
        outbound_for(self.ctx, self.provider).await
    }

    /// Posts a form with client authentication, and with a proof if a key is given.
    pub(super) async fn post_form(
        &self,
        credentials: &UpstreamClientCredentials,
        endpoint: &str,
        fields: Vec<(&str, &str)>,
        dpop_key: Option<&DpopKey>,
    ) -> Result<PartialResponse, OutboundError> {
        let outbound = &self.outbound().await?;
        let url = &Url::parse(endpoint).map_err(|_| OutboundError::Forbidden)?;
        let fields = &fields;
        let send = |nonce| async move {
            // A job may begin long before this call, so the time of an assertion is read here. If the clock cannot be relied on,
            // the older time is safe: the assertion only expires earlier, and at worst the provider rejects it.
            let now = self.ctx.app().now().unwrap_or(self.ctx.now());
            let form = ClientForm { url, fields: fields.clone(), now };
            let request = build_authenticated_form(outbound, &self.provider.settings, credentials, form)?;
            let request = self.add_headers(request.header(header::ACCEPT, "application/json"));
            let request = match dpop_key {
                Some(key) => self.add_proof(request, (key, None), nonce)?,
                None => request,
            };
            outbound.send_and_read_available(request).await
        };
        // The repetition must end before the lease of the exchange, of the refresh or of the job does.
        let may_repeat = || self.ctx.app().has_time_left(self.ctx.now()).unwrap_or(false);
        self.send_proved((NonceServer::Authorization, url, dpop_key), send, may_repeat).await
    }

    /// Returns the id of the client with which the provider is called.
    pub(super) async fn load_client_id(&self) -> Result<String, InternalError> {
        load_upstream_client_id(self.ctx, self.provider, self.recipient).await
    }

    /// Adds the headers whose values depend on the call.
    pub(super) fn add_headers(&self, request: RequestBuilder) -> RequestBuilder {
        let interaction_id = self.interaction_id();
        let request = request.header(INTERACTION_ID, &interaction_id);
        let computed = self.provider.settings.computed_headers.iter();
        computed.fold(request, |request, (name, value)| {
            let value = match value {
                ComputedHeader::CustomerIp => self.customer_address.map(|address| address.to_string()),
                ComputedHeader::InteractionId => Some(interaction_id.clone()),
            };
            match value {
                Some(value) => request.header(name, value),
                None => request,
            }
        })
    }

    /// Returns the value of the header [`INTERACTION_ID`]: the correlation id, or a UUID that is derived from it.
    fn interaction_id(&self) -> String {
        let id = self.ctx.correlation_id();
        if id.parse::<uuid::Uuid>().is_ok() && id.len() == 36 {
            return id.to_owned();
        }
        // FDX 6 requires a UUID, but a recipient may send any text as correlation id. The UUID is derived
        // from a digest of that text, so that all calls of one request have the same UUID.
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, id.as_bytes());
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest.as_ref()).for_each(|(byte, digest_byte)| *byte = *digest_byte);
        uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
    }

    /// Returns whether the calls concern endpoints that the provider has no longer.
    ///
    /// Only jobs, which have a back-off of their own, and logins that began before the change call them. Their failures must not
    /// stop the calls to the current endpoints, and those of the current ones not them, so they have no circuit breaker.
    const fn is_former(&self) -> bool {
        self.provider.version.is_former
    }

    /// Returns an error while the circuit breaker of an endpoint group is open, for all or for the recipient.
    pub(super) fn ensure_circuit_closed(&self, group: EndpointGroup) -> Result<(), BreakerOpenError> {
        if self.is_former() {
            return Ok(());
        }
        let breaker = self.ctx.app().breaker();
        breaker.ensure_closed(self.provider.id, group, Some(self.recipient), self.ctx.now())
    }

    /// Returns an error while the circuit breaker of an endpoint group is open for all. A job has a back-off of its own, so it
    /// does not wait because of its recipient.
    pub(super) fn ensure_queue_open(&self, group: EndpointGroup) -> Result<(), BreakerOpenError> {
        if self.is_former() {
            return Ok(());
        }
        self.ctx.app().breaker().ensure_closed(self.provider.id, group, None, self.ctx.now())
    }

    /// Returns an error while the provider rejects a client.
    pub(super) fn ensure_client_accepted(&self, client: &str) -> Result<(), BreakerOpenError> {
        if self.is_former() {
            return Ok(());
        }
        self.ctx.app().breaker().ensure_client_accepted(self.provider.id, client, self.ctx.now())
    }

    /// Records whether the provider accepts a client. One that the token endpoint rejects is not used there for some time, except for
    /// trial calls.
    pub(super) fn record_client(&self, client: &str, report: &CallReport) {
        let (breaker, provider) = (self.ctx.app().breaker(), self.provider.id);
        if report.outcome.is_client_rejected() {
            tracing::error!(%provider, client, call = %report.call, status = report.status,
                "the provider rejects the hub's client: correct its id, secret or permissions");
        }
        if self.is_former() || !decides_on_client(report.call) {
            return;
        }
        if report.outcome.is_client_rejected() {
            breaker.reject_client(provider, client, self.ctx.app().now().unwrap_or(self.ctx.now()));
        } else if report.status.is_some() && !report.outcome.is_unknown() {
            breaker.accept_client(provider, client);
        }
    }

    /// Logs and counts a call that did not succeed, and adds it to the audit log of its connection or recipient. The
    /// provider's own text is never used.
    pub(super) async fn record_report(&self, report: &CallReport) {
        let Some(failure) = self.count_failed_call(report) else { return };
        let CallFailure { call, reason, status, error_code } = failure;
        tracing::warn!(provider = %self.provider.id, %call, %reason, status,
            error_code = error_code.map(ProviderErrorCode::as_str), "call to the provider failed");
        self.audit_failed_call(failure).await;
    }

    /// Counts a call that did not succeed. Returns the facts for the logs.
    pub(super) fn count_failed_call(&self, report: &CallReport) -> Option<CallFailure> {
        let reason = report.outcome.reason()?;
        let CallReport { call, status, error_code, .. } = *report;
        let provider = self.provider.id;
        let labels =
            [("provider", provider.to_string()), ("call", call.to_string()), ("reason", reason.to_string())];
        self.ctx.app().telemetry().count("bowline_provider_call_failures_total", &labels);
        Some(CallFailure { call, reason, status, error_code })
    }

    /// Adds a failed call to the audit log of its connection or recipient.
    pub(super) async fn audit_failed_call(&self, failure: CallFailure) {
        let Some(subject) = &self.subject else { return };
        let provider = self.provider.id;
        // The consequences of the failure do not depend on this event.
        if let Err(error) = self.record_in_audit_log(subject.clone(), failure).await {
            tracing::error!(%error, %provider, "a failed call could not be added to the audit log");
        }
    }

    /// Returns the reporter of failed reads for the connection that is read.
    pub(super) fn read_reporter(&self) -> ReadReporter {
        let connection = match &self.subject {
            Some(CallSubject::Connection(id)) => Some(id.clone()),
            Some(CallSubject::Client(_)) | None => None,
        };
        ReadReporter { ctx: self.ctx.clone(), provider: self.provider.id, connection }
    }

    async fn record_in_audit_log(
        &self,
        subject: CallSubject,
        failure: CallFailure,
    ) -> Result<(), InternalError> {
        let (moment, provider_id) = (self.ctx.new_moment()?, self.provider.id);
        Ok(self.ctx.run(RecordCallFailure { moment, provider_id, subject, failure }).await?)
    }

    /// Counts a call in the metrics and in the circuit breaker.
    pub(super) fn record_outcome(
        &self,
        call: &'static str,
        group: EndpointGroup,
        result: Result<StatusCode, &OutboundError>,
    ) {
        self.ctx.app().telemetry().count_upstream_request(self.provider.id, call, result.ok());
        if self.is_former() {
            return;
        }
        let outcome = match result {
            // 501 means that the provider does not implement this operation. Its other operations may work.
            Ok(status) if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                BreakerSignal::Failed
            }
            Ok(_) => BreakerSignal::Succeeded,
            // The endpoint is not known, or its URL or the client credentials cannot be used.
            Err(OutboundError::Forbidden | OutboundError::Credentials | OutboundError::NoEndpoint(_)) => {
                BreakerSignal::NotSent
            }
            Err(OutboundError::Connect | OutboundError::Tls(_)) => BreakerSignal::Unreachable,
            Err(OutboundError::Timeout | OutboundError::TooLarge | OutboundError::Interrupted) => {
                BreakerSignal::Failed
            }
        };
        // The open time starts now, at the end of the call. A call may take as long as the open time.
        let now = self.ctx.app().now().unwrap_or(self.ctx.now());
        self.ctx.app().breaker().record_outcome(self.provider.id, group, self.recipient, outcome, now);
    }
}

/// Returns whether the response to a call shows that the provider accepts the client for logins and refreshes, or rejects it.
///
/// Another endpoint may accept or reject the client for reasons of its own, and the token endpoint may refuse it the grant
/// `client_credentials` only, which must not stop or allow refreshes.
pub(super) const fn decides_on_client(call: ProviderCall) -> bool {
    matches!(call, ProviderCall::CodeExchange | ProviderCall::Refresh)
}
