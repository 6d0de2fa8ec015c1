//! A provider that an operator describes: as `[[provider]]` of the configuration, but for where the secret is.

use domain::Secret;
use domain::id::ProviderId;
use domain::model::audit_event::{Actor, AuditHead};
use domain::model::provider::{Provider, ProviderSettings, ProviderSource, ProviderState};
use domain::rule::provider::check;
use domain::rule::validation::{ValidationError, validate_credential};
use serde_json::{Map, Value, json};
use store::command::AddProvider;
use store::query::GetProvider;

use crate::admin_api::AdminError;
use crate::admin_api::provider::ProviderDetail;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::partner_api::JsonMembers;
use crate::upstream::{HubSecrets, seal_hub_secrets};

/// The fields of a provider to be added.
pub const FIELDS: [&str; 22] = [
    "id",
    "name",
    "country",
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "revocation_endpoint",
    "client_id",
    "client_secret",
    "upstream_client",
    "dynamic_registration",
    "auth",
    "fdx",
    "url",
    "account_types",
    "scopes",
    "consent_shown_by",
    "grant_scope",
    "customer_identity",
    "accounts_field",
    "grant_field",
    "revoke",
];

/// Adds a provider of the API's own. The hub's secret there is sealed at once.
pub async fn add(
    ctx: &RequestContext,
    members: JsonMembers,
    actor: Actor,
) -> Result<ProviderDetail, AdminError> {
    let members = members.reject_unknown(&FIELDS)?;
    let id = match members.unsigned_integer("id")? {
        None => return Err(ValidationError::for_missing_field("id").into()),
        Some(id) => i64::try_from(id).ok().filter(|id| *id > 0).map(ProviderId::new),
    };
    let id = id.ok_or_else(|| ValidationError::new("id", "must be a positive integer"))?;
    let secret = Secret::new(members.required_string("client_secret")?);
    validate_credential("client_secret", secret.expose())?;
    let (settings, initial_access_token) = parse_settings(members)?;
    check(&settings, ctx.app().config().upstream.allow_loopback)?;
    let secrets = HubSecrets { client_secret: secret, initial_access_token };
    let sealed = seal_hub_secrets(ctx, id, &secrets)?;
    let (state, source, audit) = (ProviderState::Active, ProviderSource::Api, AuditHead::default());
    let provider = Provider { id, state, source, settings, audit };
    if !ctx.run(AddProvider { moment: ctx.new_moment()?, provider, secret: sealed, actor }).await? {
        return Err(AdminError::Conflict("A provider of this id is there already".into()));
    }
    tracing::info!(provider = %id, "an operator added a provider");
    let added = ctx.ask(&GetProvider { id }).await?;
    added
        .map(ProviderDetail::from_provider)
        .ok_or(AdminError::Internal(InternalError::new("a provider that was added is gone")))
}

/// The settings, read as the configuration reads them, and the initial access token beside them.
fn parse_settings(
    members: JsonMembers,
) -> Result<(ProviderSettings, Option<Secret<String>>), ValidationError> {
    let mut fields: Map<String, Value> = members.into_entries().collect();
    fields.remove("id");
    fields.insert("client_secret".into(), json!("sealed"));
    let missing =
        ["name", "country", "authorization_endpoint", "token_endpoint", "client_id", "fdx", "scopes"];
    if let Some(name) = missing.into_iter().find(|name| !fields.contains_key(*name)) {
        return Err(ValidationError::for_missing_field(name));
    }
    let token = take_initial_access_token(&mut fields)?;
    let settings = serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let path = error.path().to_string();
        ValidationError::new(path, format_args!("must be as in the configuration: {}", error.inner()))
    })?;
    Ok((settings, token))
}

/// Takes the initial access token out. What stays says that it is sealed.
fn take_initial_access_token(
    fields: &mut Map<String, Value>,
) -> Result<Option<Secret<String>>, ValidationError> {
    const FIELD: &str = "dynamic_registration.initial_access_token";
    let registration = fields.get_mut("dynamic_registration").and_then(Value::as_object_mut);
    match registration.and_then(|there| there.get_mut("initial_access_token")) {
        None | Some(Value::Null) => Ok(None),
        Some(token) => match std::mem::replace(token, json!("sealed")) {
            Value::String(token) => {
                validate_credential(FIELD, &token)?;
                Ok(Some(Secret::new(token)))
            }
            _ => Err(ValidationError::new(FIELD, "must be a string")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is added to the settings must be taken here as well.
    #[test]
    fn provider_fields_match_settings_schema() {
        let schema = schemars::schema_for!(ProviderSettings);
        let properties = schema.get("properties").and_then(Value::as_object).unwrap();
        let mut all: Vec<_> = properties.keys().map(String::as_str).chain(["id"]).collect();
        let mut fields = FIELDS.to_vec();
        all.sort_unstable();
        fields.sort_unstable();
        assert_eq!(all, fields);
    }
}
