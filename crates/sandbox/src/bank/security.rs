//! The security profiles of the banks: how clients authenticate, and what authorization requests must contain.

/// The requirements of a bank for its clients, which are those of the banks that a hub meets.
#[derive(Clone, Debug, Default)]
pub enum SecurityProfile {
    /// OAuth 2.0 with a client secret, and revocation by RFC 7009.
    #[default]
    Plain,
    /// OpenID Connect: published metadata, signed id tokens with a nonce, refresh tokens with `offline_access` only, and
    /// introspection (RFC 7662).
    OpenId,
    /// FAPI 2.0 as FDX uses it: `private_key_jwt`, pushed requests with a consent request (RFC 9126, RFC 9396), mutual TLS
    /// with certificate-bound access tokens (RFC 8705), and revocation by the FDX Consent API.
    Fapi(FapiSettings),
}

/// The settings of a bank with the profile `Fapi`.
#[derive(Clone, Debug)]
pub struct FapiSettings {
    /// The origin of the listener with mutual TLS, for example `https://127.0.0.1:8405`. Every endpoint that the hub calls is
    /// there.
    pub mutual_tls_origin: String,
    /// The URL at which the client publishes its keys (RFC 7517 §5).
    pub client_keys_url: String,
}

impl SecurityProfile {
    /// Returns whether clients authenticate by a secret, which dynamic registration issues.
    pub(super) const fn accepts_secrets(&self) -> bool {
        matches!(self, Self::Plain | Self::OpenId)
    }
}
