//! FDX reads at a provider.

use domain::rule::access::Access;
use fdx::ErrorCode;
use serde::de::DeserializeOwned;
use store::query::ProviderById;
use url::Url;

use super::own_client::Whom;
use super::provider::{Endpoint, Upstream};
use super::refresh::access_token;
use crate::ctx::Ctx;
use crate::fault::Fault;

/// Why there is nothing to serve.
#[derive(Debug)]
pub enum ReadError {
    /// The connection ended meanwhile.
    Over,
    /// The provider is held meanwhile.
    Held,
    /// The provider's trouble.
    Upstream(Upstream),
    /// Our own trouble.
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

/// Reads a resource with the connection's token. A token that is refused is refreshed once.
pub async fn fetch<T: DeserializeOwned>(
    ctx: &Ctx,
    access: &Access,
    path: &[&str],
    query: &[(&str, &str)],
) -> Result<T, ReadError> {
    let provider = ctx.ask(&ProviderById { id: access.provider_id() }).await?;
    let provider = provider.ok_or(Fault::new("a connection has lost its provider"))?;
    let url = resource(&provider.settings.fdx.base_url, path, query)
        .ok_or(Fault::new("a provider's FDX base is no URL"))?;
    let endpoint = Endpoint::new(ctx, &provider, Whom::Of(access.connection_id().clone()));
    let id = access.connection_id();
    let usable = access_token(ctx, &provider, id, None).await?;
    let mut answer = endpoint.read(&url, usable.token.expose()).await;
    if answer.as_ref().is_err_and(|error| *error == Upstream::TokenRefused) {
        let usable = access_token(ctx, &provider, id, Some(usable.version)).await?;
        answer = endpoint.read(&url, usable.token.expose()).await;
    }
    let answer = answer.map_err(|error| match error {
        Upstream::TokenRefused => ReadError::Upstream(Upstream::Said(ErrorCode::NotAuthorized)),
        other => ReadError::Upstream(other),
    })?;
    let parsed = fdx::parse::<T>(&answer.body).map_err(|error| {
        tracing::warn!(provider = %provider.id, %error, "a provider's answer cannot be read");
        ReadError::Upstream(Upstream::Failed)
    })?;
    if parsed.dropped > 0 {
        let labels = [("provider", provider.id.to_string())];
        ctx.app().telemetry().count_many("bowline_fdx_dropped_fields_total", &labels, parsed.dropped as u64);
    }
    Ok(parsed.value)
}

/// A resource below the configured base; path segments are encoded.
fn resource(base: &str, path: &[&str], query: &[(&str, &str)]) -> Option<Url> {
    let mut url = Url::parse(base).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(path);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_place_in_the_path() {
        let url =
            |id| resource("https://bank.example.org/fdx/v5", &["accounts", id], &[]).unwrap().to_string();
        assert_eq!(url("a1"), "https://bank.example.org/fdx/v5/accounts/a1");
        assert_eq!(url("../x?y#z"), "https://bank.example.org/fdx/v5/accounts/..%2Fx%3Fy%23z");
        assert_eq!(url(".."), "https://bank.example.org/fdx/v5/accounts");
    }
}
