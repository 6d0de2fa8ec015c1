//! Reads FDX resources of a connection from its provider, with the connection's access token.

use std::borrow::Cow;

use domain::model::provider::{DateParameters, FdxVersion, Provider};
use domain::rule::access::GrantedAccess;
use fdx::{DropReason, DropReport, ErrorCode, LinkDates, ParseError, ReplayCall, Shaped, Version};
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use super::dpop::ResourceToken;
use super::endpoints::ProviderEndpoints;
use super::error::{ReadError, UpstreamError};
use super::refresh::{RejectedToken, UpstreamAccessToken, load_provider, obtain_access_token};
use super::urls::build_resource_url;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::rate_limit::RateLimitError;

/// A connection's provider, from which the hub reads with the connection's access token.
#[derive(Clone)]
pub struct ConnectionSource<'a> {
    pub(super) ctx: &'a RequestContext,
    access: &'a GrantedAccess,
    provider: Provider,
}

impl<'a> ConnectionSource<'a> {
    /// Loads the provider of a connection.
    pub async fn load(ctx: &'a RequestContext, access: &'a GrantedAccess) -> Result<Self, ReadError> {
        let provider = load_provider(ctx, access.provider_id()).await?;
        Ok(Self { ctx, access, provider })
    }

    /// Returns the history that the provider has, if it is configured.
    pub(crate) fn history(&self) -> Option<jiff::Span> {
        self.provider.settings.history_span()
    }

    /// Returns the maximum number of elements that the provider accepts for a page, if it is configured.
    pub(crate) fn page_size(&self) -> Option<usize> {
        self.provider.settings.page_size.map(usize::from)
    }

    /// Returns the date parameters that the provider is asked with.
    pub(crate) fn date_parameters(&self) -> DateParameters {
        let detected = self.ctx.app().read_diagnostics().date_parameters(self.provider.id);
        self.provider.settings.fdx.date_parameters(detected)
    }

    /// Compares the date parameters that a list was requested with and those in the provider's link to the next page. Other
    /// names prove that the provider uses them: it did not get them from the hub.
    pub(crate) fn note_link_dates(&self, requested: DateParameters, link: LinkDates) {
        let found = match link {
            LinkDates::Time => DateParameters::Time,
            LinkDates::Date => DateParameters::Date,
        };
        let provider = self.provider.id;
        if found != requested && self.ctx.app().read_diagnostics().set_date_parameters(provider, found) {
            let [start, end] = found.names();
            tracing::warn!(%provider, start, end,
                "the provider's links have other date parameters than the requests: set `fdx.date_parameters`");
        }
    }

    /// Reads a single object.
    pub async fn read_object<T: DeserializeOwned + Shaped>(&self, path: &[&str]) -> Result<T, ReadError> {
        self.read(path, &[], fdx::parse_object).await
    }

    /// Reads a resource and passes its text to `parse`.
    ///
    /// `path` consists of the segments below the provider's FDX base URL.
    pub async fn read<T>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        parse: impl FnOnce(&[u8], Version, &mut DropReport) -> Result<T, ParseError>,
    ) -> Result<T, ReadError> {
        let read = self.call_with_token(|source, token| async move {
            let url = source.resource_url(path, query)?;
            let response = source.endpoints().read_resource(&url, &token).await;
            Ok::<_, ReadError>((source, response.map_err(ReadError::Upstream)?))
        });
        let (source, response) = read.await?;
        let version = match source.provider.settings.fdx.version {
            FdxVersion::V5 => Version::V5,
            FdxVersion::V6 => Version::V6,
        };
        if let Some(call) = ReplayCall::from_path(path) {
            let diagnostics = self.ctx.app().read_diagnostics();
            diagnostics.observe(self.provider.id, call, &response.body, self.ctx.now());
        }
        let mut report = DropReport::default();
        let parsed = parse(&response.body, version, &mut report);
        self.count_dropped(&report);
        parsed.map_err(|error| {
            source.endpoints().report_unreadable(response.status, error.reason());
            ReadError::Upstream(match error {
                ParseError::OtherVersion => UpstreamError::OtherFdxVersion,
                _ => UpstreamError::Failed,
            })
        })
    }

    /// Counts what was left out of a response. If the count of unknown fields grows, the provider has extended its API.
    fn count_dropped(&self, report: &DropReport) {
        if report.dropped() == 0 {
            return;
        }
        let (app, provider) = (self.ctx.app(), self.provider.id);
        let labels = [("provider", provider.to_string())];
        let number = report.dropped() as u64;
        app.telemetry().count_many("bowline_fdx_dropped_fields_total", &labels, number);
        app.read_diagnostics().add_dropped(provider, report);
        // A customer misses the whole account or statement, and only the provider can change its id.
        let Some(field) = report.fields().iter().find(|field| field.reason == DropReason::IdTooLong) else {
            return;
        };
        let reason = field.reason.as_str();
        if let Some(count) = app.read_diagnostics().count_failure(provider, reason, self.ctx.now()) {
            tracing::warn!(%provider, path = field.path, count, "an id of the provider is too long to be served");
        }
    }

    pub(super) fn resource_url(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Url, ReadError> {
        let url = build_resource_url(&self.provider.settings.fdx.base_url, path, query.iter().copied());
        Ok(url.ok_or(InternalError::new("the FDX base URL of a provider is not a URL"))?)
    }

    pub(super) fn endpoints(&self) -> ProviderEndpoints<'_> {
        ProviderEndpoints::new(self.ctx, &self.provider, self.access.client_id())
            .for_connection(self.access.connection_id())
    }

    /// Calls the provider with a valid access token and the settings that belong to it. If the provider rejects the token, the token
    /// is refreshed and the call is repeated once.
    pub(super) async fn call_with_token<'s, T, F>(
        &'s self,
        call: impl Fn(Cow<'s, Self>, ResourceToken) -> F,
    ) -> Result<T, ReadError>
    where
        F: Future<Output = Result<T, ReadError>>,
    {
        // The rate limit is checked first, so that a recipient that exceeds it cannot cause refreshes either.
        let permit = self.ctx.app().limits().ensure_provider_call_allowed(self.access);
        permit.map_err(|RateLimitError(wait)| ReadError::Upstream(UpstreamError::RateLimited(wait)))?;
        let (source, token) = self.obtain_token(None).await?;
        let mut response = call(source, token.token).await;
        if let Err(ReadError::Upstream(
            error @ (UpstreamError::TokenRefused | UpstreamError::ProofDemanded),
        )) = &response
        {
            // The provider may have revoked the access token before its expiry, or the refreshed token may be bound to a key.
            let is_proof_demanded = *error == UpstreamError::ProofDemanded;
            let rejected = RejectedToken { version: token.version, is_proof_demanded };
            let (source, token) = self.obtain_token(Some(rejected)).await?;
            response = call(source, token.token).await;
        }
        response.map_err(|error| match error {
            // The refreshed token is rejected too, so the customer must authorize again. The connection does not end,
            // because only `invalid_grant` proves that the grant has ended.
            ReadError::Upstream(UpstreamError::TokenRefused) => {
                self.endpoints().report_status(StatusCode::UNAUTHORIZED, &HeaderMap::new());
                ReadError::Upstream(UpstreamError::FdxError(ErrorCode::NotAuthorized))
            }
            error => error,
        })
    }

    /// Returns a valid access token, with the provider whose endpoints it may be sent to.
    ///
    /// If the provider has moved since this request began, another request may have refreshed the token at the new endpoints. It must
    /// not be sent to the former ones.
    async fn obtain_token(
        &self,
        rejected: Option<RejectedToken>,
    ) -> Result<(Cow<'_, Self>, UpstreamAccessToken), ReadError> {
        let token = obtain_access_token(self.ctx, &self.provider, self.access, rejected).await?;
        if token.endpoints == self.provider.version.endpoints {
            return Ok((Cow::Borrowed(self), token));
        }
        Ok((Cow::Owned(Self::load(self.ctx, self.access).await?), token))
    }
}
