//! The HTTP client for the calls to one provider, with its TLS settings.

use domain::model::provider::{Provider, SecretSource, TlsSettings};
use domain::rule::provider::is_pem;

use super::hub_secrets::load_hub_secret;
use super::tls_client::build_outbound;
use crate::context::RequestContext;
use crate::outbound::{FileStamp, Outbound, OutboundError, ProviderClient};

/// Returns the HTTP client for the calls to a provider. If the provider has TLS settings, the client is kept until one of their
/// files changes.
pub(super) async fn outbound_for(
    ctx: &RequestContext,
    provider: &Provider,
) -> Result<Outbound, OutboundError> {
    let app = ctx.app();
    let Some(tls) = &provider.settings.tls else { return Ok(app.outbound().clone()) };
    // The files are read after their stamps: a file that changes in between has another stamp at the next call.
    let stamps = FileStamp::read_all(list_files(tls));
    let known = app.provider_clients().find(provider.id, tls);
    if let Some(client) = known.as_ref().filter(|client| client.stamps == stamps) {
        return Ok(client.outbound.clone());
    }
    let key = match &tls.key {
        Some(source) => {
            let key = load_hub_secret(ctx, provider.id, ("tls.key", source)).await;
            key.map(Some).map_err(|error| format!("tls.key: {error}"))
        }
        None => Ok(None),
    };
    let id = provider.id;
    let outbound = match key.and_then(|key| build_outbound(&app.config().upstream, tls, key)) {
        Ok(outbound) => {
            tracing::info!(provider = %id, "the TLS settings of the provider were loaded");
            outbound
        }
        // The files of a certificate and its key are replaced one after the other.
        Err(reason) => match known {
            Some(client) => {
                tracing::warn!(provider = %id, reason,
                    "the TLS settings of the provider cannot be used: the previous certificate remains in use");
                client.outbound
            }
            None => {
                tracing::error!(provider = %id, reason, "the TLS settings of the provider cannot be used");
                return Err(OutboundError::Credentials);
            }
        },
    };
    let client = ProviderClient { tls: tls.clone(), stamps, outbound: outbound.clone() };
    app.provider_clients().insert(id, client);
    Ok(outbound)
}

/// Returns the paths of the files that TLS settings name.
fn list_files(tls: &TlsSettings) -> impl Iterator<Item = &str> {
    let certificates = [&tls.ca, &tls.certificate].into_iter().flatten().map(String::as_str);
    let key = match &tls.key {
        Some(SecretSource::File(path)) => Some(path.as_str()),
        Some(SecretSource::Env(_) | SecretSource::Sealed) | None => None,
    };
    certificates.filter(|text| !is_pem(text)).chain(key)
}
