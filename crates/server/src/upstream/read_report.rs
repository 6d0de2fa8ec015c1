//! Reports failed reads: in the log, in the metrics and in the audit log of the connection.

use domain::id::{ConnectionId, ProviderId};
use domain::rule::provider_response::{CallFailure, ProviderCall, ProviderReply, ResponseBody, classify};
use http::{HeaderMap, StatusCode, header};
use store::command::{CallSubject, RecordCallFailure};

use crate::context::RequestContext;
use crate::outbound::OutboundError;

/// The subject of reports of failed reads.
#[derive(Clone)]
pub(super) struct ReadReporter {
    pub(super) ctx: RequestContext,
    pub(super) provider: ProviderId,
    pub(super) connection: Option<ConnectionId>,
}

impl ReadReporter {
    /// Reports that no response arrived, or not completely.
    pub(super) fn report_outbound_error(&self, error: &OutboundError) {
        let reply = match error {
            OutboundError::Forbidden | OutboundError::Credentials | OutboundError::NoEndpoint(_) => {
                ProviderReply::NotSent
            }
            OutboundError::Connect => ProviderReply::NotConnected,
            OutboundError::Tls(_) => ProviderReply::TlsFailed,
            OutboundError::Timeout | OutboundError::Interrupted => ProviderReply::NoResponse,
            OutboundError::TooLarge => reply_of(StatusCode::OK, &HeaderMap::new(), ResponseBody::TooLarge),
        };
        self.report(reply, error.reason());
    }

    /// Counts a failed read, adds it to the audit log once a day for each connection and reason, and writes at most one line
    /// for this provider and reason in ten seconds. `detail` is one of a fixed set of texts.
    pub(super) fn report(&self, reply: ProviderReply, detail: &'static str) {
        let Some(reason) = classify(ProviderCall::Data, reply).reason() else { return };
        let status = match reply {
            ProviderReply::Response { status, .. } => Some(status),
            _ => None,
        };
        self.record(CallFailure { call: ProviderCall::Data, reason, status, error_code: None });
        let (app, provider, reason) = (self.ctx.app(), self.provider, reason.as_str());
        let call = ProviderCall::Data.as_str();
        let labels =
            [("provider", provider.to_string()), ("call", call.to_owned()), ("reason", reason.to_owned())];
        app.telemetry().count("bowline_provider_call_failures_total", &labels);
        let Some(count) = app.read_diagnostics().count_failure(provider, reason, self.ctx.now()) else {
            return;
        };
        tracing::warn!(%provider, call, status, reason, detail, count, "call to the provider failed");
    }

    /// Adds a failed read to the audit log of its connection, at most once a day for each reason. This happens in the
    /// background: the response to the recipient waits for no write, and does not depend on one.
    fn record(&self, failure: CallFailure) {
        let Some(connection_id) = &self.connection else { return };
        let Ok(moment) = self.ctx.new_moment() else { return };
        let (app, provider_id, now) = (self.ctx.app().clone(), self.provider, moment.now);
        let place = app.read_failure_records().reserve(connection_id, failure.reason, now);
        let Some(place) = place else { return };
        let connection_id = connection_id.clone();
        tokio::spawn(async move {
            let records = app.read_failure_records();
            let turn = records.wait_for_turn().await;
            let subject = CallSubject::Connection(connection_id.clone());
            let command = RecordCallFailure { moment, provider_id, subject, failure };
            if let Err(error) = app.store().run(command).await {
                tracing::error!(%error, provider = %provider_id, "a failed read could not be added to the audit log");
                records.allow_retry(connection_id, failure.reason, now);
            }
            drop((turn, place));
        });
    }
}

/// Returns the facts of a response on which its classification depends.
pub(super) fn reply_of(status: StatusCode, headers: &HeaderMap, body: ResponseBody) -> ProviderReply {
    let has_retry_after = headers.contains_key(header::RETRY_AFTER);
    ProviderReply::Response { status: status.as_u16(), has_retry_after, body }
}
