//! The authorization request before the customer's decision. The hub does not store it: the browser keeps it in a sealed cookie.

use crate::id::{AuthorizationRequestId, ClientId, ProviderId};
use crate::scope::Clusters;

/// The length of the hash of a redirect URI. It only selects one of the URIs that a recipient has registered.
pub const REDIRECT_HASH_LEN: usize = 16;

/// An authorization request on which the customer has not decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndecidedRequest {
    /// The id, which proves its time and that the hub has generated it. It is not part of the sealed text, which is bound to it.
    pub id: AuthorizationRequestId,
    /// The recipient that sent the request.
    pub client_id: ClientId,
    /// The provider at which the customer grants access.
    pub provider_id: ProviderId,
    /// The hash of the redirect URI for the response.
    pub redirect_hash: [u8; REDIRECT_HASH_LEN],
    /// The requested data clusters. The recipient was allowed to request all of them.
    pub clusters: Clusters,
    /// The language of the pages, `en` or `fr`.
    pub language: String,
    /// The recipient's PKCE challenge.
    pub code_challenge: Option<String>,
    /// The recipient's `state`, which is returned unchanged.
    pub client_state: String,
}

impl UndecidedRequest {
    /// Returns the text that is sealed: one field on each line. No field contains a line break, and `state` comes last.
    pub fn to_text(&self) -> String {
        let Self { client_id, provider_id, clusters, language, client_state, .. } = self;
        let redirect = encode_redirect_hash(&self.redirect_hash);
        let (provider, clusters) = (provider_id.number(), clusters.bits());
        let challenge = self.code_challenge.as_deref().unwrap_or_default();
        format!("{client_id}\n{provider}\n{redirect}\n{clusters}\n{language}\n{challenge}\n{client_state}")
    }

    /// Reads the text of [`UndecidedRequest::to_text`]. Any other text is `None`.
    pub fn from_text(id: &AuthorizationRequestId, text: &str) -> Option<Self> {
        let mut fields = text.splitn(7, '\n');
        let mut next = || fields.next();
        let request = Self {
            id: id.clone(),
            client_id: next()?.parse().ok()?,
            provider_id: next()?.parse().ok()?,
            redirect_hash: decode_redirect_hash(next()?)?,
            clusters: Clusters::from_bits(next()?.parse().ok()?),
            language: next()?.to_owned(),
            code_challenge: next().map(|text| (!text.is_empty()).then(|| text.to_owned()))?,
            client_state: next()?.to_owned(),
        };
        Some(request)
    }
}

fn encode_redirect_hash(hash: &[u8; REDIRECT_HASH_LEN]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash)
}

fn decode_redirect_hash(text: &str) -> Option<[u8; REDIRECT_HASH_LEN]> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_of_undecided_request_round_trips(
            client in "[A-Za-z0-9_.~-]{1,128}",
            provider in 1..i64::MAX,
            redirect_hash: [u8; REDIRECT_HASH_LEN],
            bits: u8,
            code_challenge in prop::option::of("[A-Za-z0-9_-]{43}"),
            client_state in "[^\\p{Cc}]{1,80}",
        ) {
            let request = UndecidedRequest {
                id: "arq_1".parse().unwrap(),
                client_id: client.parse().unwrap(),
                provider_id: ProviderId::new(provider),
                redirect_hash,
                clusters: Clusters::from_bits(bits),
                language: "fr".to_owned(),
                code_challenge,
                client_state,
            };

            prop_assert_eq!(UndecidedRequest::from_text(&request.id, &request.to_text()), Some(request));
        }

        #[test]
        fn arbitrary_text_is_no_undecided_request_or_parsed(text: String) {
            UndecidedRequest::from_text(&"arq_1".parse().unwrap(), &text);
        }
    }
}
