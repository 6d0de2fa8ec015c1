//! The secrets of grants, each with the version of the endpoints that it belongs to.
//!
//! The version is sealed together with the secret. So a token is never sent to be revoked at endpoints that did not issue it,
//! whatever is written to the database.

use domain::Secret;
use domain::model::provider::Provider;
use domain::rule::provider::detach_secrets;
use store::command::FormerSettings;
use store::query::GetFormerSettings;

use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::UnsealError;

/// A token of a provider or the PKCE verifier of a login, with the version of the provider's endpoints.
pub struct GrantSecret {
    pub secret: Secret<String>,
    /// The version of the endpoints that issued or last accepted the token, or at which the login began.
    pub endpoints: i64,
}

impl GrantSecret {
    /// Returns the text that is sealed.
    pub fn to_text(secret: &Secret<String>, endpoints: i64) -> Secret<String> {
        Secret::new(format!("{}\n{endpoints}", secret.expose()))
    }

    /// Splits a text that was sealed.
    pub fn from_text(mut text: Secret<String>) -> Result<Self, UnsealError> {
        let (secret, endpoints) = text.expose().rsplit_once('\n').ok_or(UnsealError)?;
        let (length, endpoints) = (secret.len(), endpoints.parse().map_err(|_| UnsealError)?);
        // Every read opens a token, so the text is not copied.
        text.truncate(length);
        Ok(Self { secret: text, endpoints })
    }
}

/// Returns a provider with the settings that it had with a version of its endpoints, if it has others now.
pub(super) async fn at_endpoints(
    ctx: &RequestContext,
    provider: Provider,
    endpoints: i64,
) -> Result<Provider, InternalError> {
    if provider.version.endpoints == endpoints {
        return Ok(provider);
    }
    let former =
        ctx.ask(&GetFormerSettings { provider_id: provider.id, endpoints_version: endpoints }).await?;
    let former = former.ok_or(InternalError::new("the store lacks former settings of a provider"))?;
    Ok(with_former_settings(provider, former))
}

/// Returns a provider with its former settings. Their secrets are those of the client of that time.
pub(super) fn with_former_settings(provider: Provider, former: FormerSettings) -> Provider {
    let current = provider.settings.clone();
    let former = former.apply_to(provider);
    Provider { settings: detach_secrets(former.settings, &current), ..former }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grant_secret_keeps_secret_and_version() {
        for secret in ["token", "", "a\nb"] {
            let text = GrantSecret::to_text(&Secret::from(secret), 12);

            let opened = GrantSecret::from_text(text).unwrap();

            assert_eq!((opened.secret.expose().as_str(), opened.endpoints), (secret, 12));
        }
    }

    #[test]
    fn grant_secret_without_version_is_rejected() {
        for text in ["token", "token\n", "token\nx"] {
            assert!(GrantSecret::from_text(Secret::from(text)).is_err(), "{text}");
        }
    }
}
