//! The secrets of grants, each with the version of the endpoints that it belongs to, and with the key that the tokens of the grant are
//! bound to (DPoP).
//!
//! All are sealed together. So a token is never sent to be revoked at endpoints that did not issue it, whatever is written to the
//! database; every node of the hub can use the key; and the key is destroyed with the tokens. If the connection ends, that is when
//! its revocation at the provider has ended too, because the job keeps the sealed token until then.

use domain::Secret;
use domain::jose::DpopKey;
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
    /// The key that the access tokens of the grant are bound to; `None` if they are bearer tokens.
    pub dpop_key: Option<DpopKey>,
    /// False for an access token of a type that the settings did not allow. It is stored only to be revoked.
    pub is_presentable: bool,
}

/// The mark in the place of the key of a token that is never presented. No key has this text.
const NOT_PRESENTED: &str = "-";

impl GrantSecret {
    /// Returns the text that is sealed.
    pub fn to_text(secret: &Secret<String>, endpoints: i64, dpop_key: Option<&DpopKey>) -> Secret<String> {
        let secret = secret.expose();
        Secret::new(match dpop_key {
            Some(key) => format!("{secret}\n{endpoints} {}", key.to_text().expose()),
            None => format!("{secret}\n{endpoints}"),
        })
    }

    /// Returns the text that is sealed for an access token that is never presented.
    pub fn to_unpresented_text(secret: &Secret<String>, endpoints: i64) -> Secret<String> {
        Secret::new(format!("{}\n{endpoints} {NOT_PRESENTED}", secret.expose()))
    }

    /// Splits a text that was sealed.
    pub fn from_text(mut text: Secret<String>) -> Result<Self, UnsealError> {
        let (secret, rest) = text.expose().rsplit_once('\n').ok_or(UnsealError)?;
        let (endpoints, dpop_key, is_presentable) = match rest.split_once(' ') {
            Some((endpoints, NOT_PRESENTED)) => (endpoints, None, false),
            Some((endpoints, key)) => (endpoints, Some(DpopKey::parse(key).map_err(|_| UnsealError)?), true),
            None => (rest, None, true),
        };
        let (length, endpoints) = (secret.len(), endpoints.parse().map_err(|_| UnsealError)?);
        // Every read opens a token, so the text is not copied.
        text.truncate(length);
        Ok(Self { secret: text, endpoints, dpop_key, is_presentable })
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
    fn grant_secret_keeps_secret_version_and_key() {
        let key = DpopKey::from_random(Secret::new([7; 32])).unwrap();
        for (secret, key) in [("token", None), ("", None), ("a\nb", None), ("a\nb 5", Some(&key))] {
            let text = GrantSecret::to_text(&Secret::from(secret), 12, key);

            let opened = GrantSecret::from_text(text).unwrap();

            assert_eq!((opened.secret.expose().as_str(), opened.endpoints), (secret, 12));
            let thumbprint = |key: &DpopKey| key.thumbprint().unwrap();
            assert_eq!(opened.dpop_key.as_ref().map(thumbprint), key.map(thumbprint));
        }
    }

    #[test]
    fn token_that_is_never_presented_keeps_mark() {
        let text = GrantSecret::to_unpresented_text(&Secret::from("token"), 12);

        let opened = GrantSecret::from_text(text).unwrap();

        assert_eq!((opened.secret.expose().as_str(), opened.endpoints), ("token", 12));
        assert!(!opened.is_presentable && opened.dpop_key.is_none());
    }

    #[test]
    fn grant_secret_without_version_or_with_other_key_is_rejected() {
        for text in ["token", "token\n", "token\nx", "token\n1 ", "token\n1 key"] {
            assert!(GrantSecret::from_text(Secret::from(text)).is_err(), "{text}");
        }
    }
}
