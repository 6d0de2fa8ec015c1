//! The settings with which the hub authenticates at a provider: its method, its secrets, its keys and its certificate.

use jsonwebtoken::Algorithm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Location of a secret. The configuration never contains the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretSource {
    /// Path of a file that contains the secret. Trailing line breaks are ignored.
    File(String),
    /// Name of an environment variable that contains the secret.
    Env(String),
    /// The store, which contains the sealed secret that an operator sent to the API. Not allowed in the configuration.
    Sealed,
}

/// Authentication method of the hub at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthentication {
    /// Client id and secret in the `Authorization` header, by HTTP Basic (RFC 6749 §2.3.1).
    #[default]
    ClientSecretBasic,
    /// Client id and secret as form parameters of the request (RFC 6749 §2.3.1).
    ClientSecretPost,
    /// An assertion that the hub signs for each request with `auth_key` (RFC 7523 §2.2, OpenID Connect Core §9).
    PrivateKeyJwt,
    /// A certificate of an authority that the provider trusts (RFC 8705 §2.1).
    TlsClientAuth,
    /// A self-signed certificate that the provider knows (RFC 8705 §2.2).
    SelfSignedTlsClientAuth,
}

impl ClientAuthentication {
    /// Returns the name of the method in RFC 7591 §2.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::TlsClientAuth => "tls_client_auth",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
        }
    }

    /// Returns whether the method sends a secret that the provider knows, too.
    pub const fn uses_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }

    /// Returns whether the certificate of the TLS connection authenticates the hub.
    pub const fn uses_certificate(self) -> bool {
        matches!(self, Self::TlsClientAuth | Self::SelfSignedTlsClientAuth)
    }
}

/// Signature algorithm of a key of the hub (RFC 7518 §3.1). FAPI 2 allows no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SigningAlgorithm {
    /// ECDSA with the curve P-256 and SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// `EdDSA` with the curve Ed25519 (RFC 8037 §3.1).
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl SigningAlgorithm {
    /// Returns the name of the algorithm.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Ps256 => "PS256",
            Self::EdDsa => "EdDSA",
        }
    }

    pub(crate) const fn to_jose(self) -> Algorithm {
        match self {
            Self::Es256 => Algorithm::ES256,
            Self::Ps256 => Algorithm::PS256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}
