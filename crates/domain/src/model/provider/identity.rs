//! The source of a customer's identity at a provider.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Source of the customer's identity. The identity is stored only as a keyed hash.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CustomerIdentity {
    /// The field with this name in the token response.
    TokenField(String),
    /// No source: the hub cannot recognize a customer, so each connection gets a new customer.
    #[default]
    None,
}
