//! The effects of a change of a provider on the secrets of its former settings.

use domain::model::provider::{Provider, ProviderSettings, ProviderSource};
use domain::rule::provider::{
    FormerSecretChange, StoredSecrets, compare_providers, follow_change, is_pem, replace_sources,
};
use store::command::{FormerSettings, FormerSettingsUpdate};
use store::query::ListProviderFormerSettings;

use super::hub_secrets::{HubSecrets, read_secret};
use crate::context::RequestContext;
use crate::error::InternalError;

/// Returns the secrets that the former settings of a provider get by its change from `stored` to `wanted`, whose secrets in the
/// store will be `new_secrets`. If the change leaves the endpoints of `stored`, its settings are included.
///
/// Must be called before the change, while the files and variables of `stored` can be read.
pub async fn plan_former_settings(
    ctx: &RequestContext,
    stored: &Provider,
    (wanted, new_secrets): (&Provider, &HubSecrets),
) -> Result<Vec<FormerSettingsUpdate>, InternalError> {
    let leaves_endpoints = compare_providers(stored, wanted).leaves_endpoints;
    let old_secrets = match stored.source {
        ProviderSource::Api => HubSecrets::load(ctx, stored).await?,
        ProviderSource::Config => HubSecrets::default(),
    };
    let mut candidates = Vec::new();
    for former in ctx.ask(&ListProviderFormerSettings { provider_id: stored.id }).await? {
        let secrets = match &former.secrets {
            Some(sealed) => HubSecrets::open(ctx, stored.id, sealed)?,
            None => HubSecrets::default(),
        };
        let FormerSettings { settings, version, .. } = former;
        candidates.push((version.endpoints, settings, secrets));
    }
    if leaves_endpoints {
        candidates.push((stored.version.endpoints, stored.settings.clone(), old_secrets.clone()));
    }
    let old = StoredSecrets { settings: &stored.settings, secrets: old_secrets.as_map() };
    let new = StoredSecrets { settings: &wanted.settings, secrets: new_secrets.as_map() };
    let mut updates = Vec::new();
    for (endpoints_version, settings, mut secrets) in candidates {
        let former = StoredSecrets { settings: &settings, secrets: secrets.as_map() };
        let changes = follow_change(former, (old, new), leaves_endpoints);
        if changes.is_empty() {
            continue;
        }
        let mut settings = replace_sources(settings, &wanted.settings, &changes);
        for (path, change) in &changes {
            let secret = match change {
                FormerSecretChange::Replaced => new_secrets.get(path).cloned(),
                FormerSecretChange::Copied(source) => {
                    read_secret(source).inspect_err(|reason| report_missing_secret(stored, path, reason)).ok()
                }
                FormerSecretChange::Lost => {
                    report_missing_secret(stored, path, "another client uses the same file or variable now");
                    None
                }
            };
            secrets.set(path, secret);
            if path == "tls.key" && matches!(change, FormerSecretChange::Copied(_)) {
                copy_certificate(&mut settings);
            }
        }
        let is_empty = secrets.as_map().is_empty();
        let secrets = (!is_empty).then(|| secrets.seal(ctx, stored.id)).transpose()?;
        updates.push(FormerSettingsUpdate { endpoints_version, settings, secrets });
    }
    Ok(updates)
}

fn report_missing_secret(provider: &Provider, setting: &str, reason: &str) {
    tracing::warn!(provider = %provider.id, setting, reason,
        "a secret of the former client of a provider could not be kept: grants that need it cannot be revoked");
}

/// Replaces the path of a certificate by its text. The file may get the certificate of another key.
fn copy_certificate(settings: &mut ProviderSettings) {
    let certificate = settings.tls.as_mut().and_then(|tls| tls.certificate.as_mut());
    if let Some(certificate) = certificate.filter(|text| !is_pem(text))
        && let Ok(pem) = std::fs::read_to_string(&*certificate)
    {
        *certificate = pem;
    }
}
