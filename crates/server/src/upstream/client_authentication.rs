//! The authentication of the hub at the endpoints of a provider, by each method that a provider may require.

use domain::jose::{AssertionKeyError, AssertionKeys, ClientAssertion};
use domain::model::provider::{ClientAuthentication, ProviderSettings};
use domain::{Secret, Timestamp};
use reqwest::RequestBuilder;
use url::Url;

use crate::context::create_jwt_id;
use crate::outbound::{Outbound, OutboundError};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The id of a client at a provider, and the proof of its identity.
pub(crate) struct UpstreamClientCredentials {
    pub(crate) id: String,
    pub(super) proof: ClientProof,
}

/// The proof that the hub is the client.
pub(super) enum ClientProof {
    /// A secret that the provider knows (RFC 6749 §2.3.1).
    Secret(Secret<String>),
    /// Keys that sign an assertion for each request (RFC 7523 §2.2).
    Keys(Box<AssertionKeys>),
    /// The certificate of the TLS connection (RFC 8705 §2).
    Certificate,
}

impl UpstreamClientCredentials {
    /// Creates the credentials of the hub's own client. `secret` is the value of the setting that
    /// `ProviderSettings::authentication_secret` returns.
    pub(crate) fn for_hub(
        settings: &ProviderSettings,
        secret: Option<Secret<String>>,
    ) -> Result<Self, AssertionKeyError> {
        let proof = match (secret, settings.auth_algorithm) {
            (None, _) => ClientProof::Certificate,
            (Some(keys), Some(algorithm)) => {
                ClientProof::Keys(Box::new(AssertionKeys::parse(keys.expose(), algorithm)?))
            }
            (Some(secret), None) => ClientProof::Secret(secret),
        };
        Ok(Self { id: settings.client_id.clone(), proof })
    }
}

/// A form request to an endpoint of a provider.
pub(super) struct ClientForm<'f> {
    pub(super) url: &'f Url,
    pub(super) fields: Vec<(&'f str, &'f str)>,
    /// The time at which the request is sent.
    pub(super) now: Timestamp,
}

/// Builds a form request with the authentication of a client.
pub(super) fn build_authenticated_form<'f>(
    outbound: &Outbound,
    settings: &ProviderSettings,
    credentials: &'f UpstreamClientCredentials,
    ClientForm { url, mut fields, now }: ClientForm<'f>,
) -> Result<RequestBuilder, OutboundError> {
    let id = credentials.id.as_str();
    match &credentials.proof {
        ClientProof::Secret(secret) if settings.auth == ClientAuthentication::ClientSecretPost => {
            fields.extend([("client_id", id), ("client_secret", secret.expose())]);
            outbound.post_form(url, &fields)
        }
        ClientProof::Secret(secret) => {
            // RFC 6749 §2.3.1: id and secret are form-encoded before they become user name and password.
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let request = outbound.post_form(url, &fields)?;
            Ok(request.basic_auth(encode(id), Some(encode(secret.expose()))))
        }
        ClientProof::Keys(keys) => {
            let assertion = sign_assertion(keys, settings, url, (id, now))?;
            fields.extend([("client_id", id), ("client_assertion_type", ASSERTION_TYPE)]);
            fields.push(("client_assertion", assertion.expose()));
            outbound.post_form(url, &fields)
        }
        ClientProof::Certificate => {
            // RFC 8705 §2: the client id is a parameter, because the certificate need not contain it.
            fields.push(("client_id", id));
            outbound.post_form(url, &fields)
        }
    }
}

fn sign_assertion(
    keys: &AssertionKeys,
    settings: &ProviderSettings,
    url: &Url,
    (client_id, now): (&str, Timestamp),
) -> Result<Secret<String>, OutboundError> {
    let id = create_jwt_id().map_err(|_| OutboundError::Credentials)?;
    // FAPI 2 §5.3.2.1 requires the issuer, which is the same for all endpoints. RFC 7523 §3 suggests the token endpoint.
    let audience = settings.issuer.as_deref().or(settings.token_endpoint.as_deref()).unwrap_or(url.as_str());
    let assertion = ClientAssertion { client_id, audience, now, id: &id };
    keys.sign(&assertion).map_err(|error| {
        tracing::error!(%error, client = client_id, "the assertion that authenticates the hub could not be signed");
        OutboundError::Credentials
    })
}
