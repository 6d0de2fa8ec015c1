//! The source of a customer's identity at a provider.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Source of the customer's identity. The identity is stored only as a keyed hash.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CustomerIdentity {
    /// The field with this name in the token response.
    TokenField(String),
    /// The claim with this name in the id token (OpenID Connect Core §2), such as `sub`.
    IdToken(String),
    /// The member `sub` of the introspection of the access token (RFC 7662).
    Introspection,
    /// The member `customerId` of the FDX customer (`GET /customers/current`).
    FdxCustomer,
    /// No source: the hub cannot recognize a customer, so each connection gets a new customer.
    #[default]
    None,
}

impl CustomerIdentity {
    /// Returns a text for the source and the issuer. Identities from different ones are never those of the same customer.
    pub fn namespace(&self, issuer: Option<&str>) -> String {
        let (kind, name) = match self {
            Self::TokenField(name) => ("token_field", name.as_str()),
            Self::IdToken(claim) => ("id_token", claim.as_str()),
            Self::Introspection => ("introspection", ""),
            Self::FdxCustomer => ("fdx_customer", ""),
            Self::None => ("none", ""),
        };
        serde_json::json!([kind, name, issuer]).to_string()
    }

    /// Returns whether the hub may have to call the provider after the exchange of the code.
    pub const fn needs_calls(&self) -> bool {
        match self {
            Self::IdToken(_) | Self::Introspection | Self::FdxCustomer => true,
            Self::TokenField(_) | Self::None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_source_and_issuer_has_a_namespace_of_its_own() {
        let sources = [
            CustomerIdentity::TokenField("sub".into()),
            CustomerIdentity::TokenField("id".into()),
            CustomerIdentity::IdToken("sub".into()),
            CustomerIdentity::Introspection,
            CustomerIdentity::FdxCustomer,
            CustomerIdentity::None,
        ];
        let issuers = [None, Some("https://a.example"), Some("https://b.example")];

        let namespaces: BTreeSet<String> =
            sources.iter().flat_map(|source| issuers.map(|issuer| source.namespace(issuer))).collect();

        assert_eq!(namespaces.len(), sources.len() * issuers.len(), "{namespaces:?}");
    }

    #[test]
    fn identity_outside_of_token_response_needs_calls() {
        let id_token = CustomerIdentity::IdToken("sub".into());
        for identity in [id_token, CustomerIdentity::Introspection, CustomerIdentity::FdxCustomer] {
            assert!(identity.needs_calls(), "{identity:?}");
        }
        for identity in [CustomerIdentity::TokenField("customer".into()), CustomerIdentity::None] {
            assert!(!identity.needs_calls(), "{identity:?}");
        }
    }
}
