//! Providers: looked at, held, released, retired.

use std::borrow::Cow;

use domain::id::ProviderId;
use domain::model::audit_event::Actor;
use domain::model::provider::{
    DynamicRegistration, Provider, ProviderSettings, ProviderSource, ProviderState, SecretSource,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use serde_json::Value;
use store::command::SetProviderState;
use store::query::{GetProvider, ListProviders};

use super::page::PageRequest;
use super::{AdminError, AdminPage, Params};
use crate::context::RequestContext;
use crate::response::EnumValue;
use crate::upstream::{CheckResult, check_provider};

/// A provider in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Provider")]
pub struct AdminProviderBody {
    /// Its id: a positive integer.
    #[schemars(with = "i64")]
    id: ProviderId,
    /// Its name, as customers know it.
    name: String,
    /// ISO 3166 country.
    country: String,
    /// Whether it takes part.
    state: EnumValue<ProviderState>,
    /// Who owns it: the configuration file, or this API.
    source: EnumValue<ProviderSource>,
}

impl AdminProviderBody {
    fn from_provider(provider: &Provider) -> Self {
        Self {
            id: provider.id,
            name: provider.settings.name.clone(),
            country: provider.settings.country.clone(),
            state: EnumValue(provider.state),
            source: EnumValue(provider.source),
        }
    }
}

/// A provider with its settings.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProviderDetail {
    #[serde(flatten)]
    provider: AdminProviderBody,
    /// How to speak with it, but for the hub's secret there and where that is.
    settings: RedactedSettings,
}

impl ProviderDetail {
    pub(super) fn from_provider(provider: Provider) -> Self {
        Self {
            provider: AdminProviderBody::from_provider(&provider),
            settings: RedactedSettings(provider.settings),
        }
    }
}

/// Settings without the secret, and without where it is.
#[derive(Debug)]
pub struct RedactedSettings(ProviderSettings);

/// What of the settings is not shown.
const HIDDEN_FIELD: &str = "client_secret";

/// How the provider registers clients (RFC 7591), but for the initial access token and where that is.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is there for its schema")]
struct ShownRegistration {
    /// Its client registration endpoint.
    endpoint: String,
}

impl Serialize for RedactedSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut settings = serde_json::to_value(&self.0).map_err(serde::ser::Error::custom)?;
        if let Some(settings) = settings.as_object_mut() {
            settings.remove(HIDDEN_FIELD);
        }
        if let Some(registration) = settings.get_mut("dynamic_registration").and_then(Value::as_object_mut) {
            registration.remove("initial_access_token");
        }
        settings.serialize(serializer)
    }
}

impl JsonSchema for RedactedSettings {
    fn schema_name() -> Cow<'static, str> {
        "ProviderSettings".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = ProviderSettings::json_schema(generator);
        for hidden in [SecretSource::schema_name(), DynamicRegistration::schema_name()] {
            generator.definitions_mut().remove(hidden.as_ref());
        }
        if let Some(properties) = schema.get_mut("properties").and_then(|p| p.as_object_mut()) {
            properties.remove(HIDDEN_FIELD);
            let registration = generator.subschema_for::<Option<ShownRegistration>>();
            properties.insert("dynamic_registration".into(), registration.into());
        }
        if let Some(required) = schema.get_mut("required").and_then(|r| r.as_array_mut()) {
            required.retain(|name| name != HIDDEN_FIELD);
        }
        schema
    }
}

/// The providers, by their ids.
pub async fn list(
    ctx: &RequestContext,
    query: Option<&str>,
) -> Result<AdminPage<AdminProviderBody>, AdminError> {
    let params = Params::from_query(query, &["limit", "after"])?;
    let page_request = PageRequest::from_params(ctx, "providers", &params)?;
    let after = page_request.parse_after(ProviderId::parse)?;
    let mut rows = ctx.ask(&ListProviders).await?;
    rows.retain(|provider| after.is_none_or(|after| provider.id > after));
    page_request.build_page(
        ctx,
        rows,
        |provider| provider.id.to_string(),
        |provider| AdminProviderBody::from_provider(&provider),
    )
}

const NOT_FOUND: AdminError = AdminError::NotFound("provider");

/// A provider with its settings, but for where its secret is.
pub async fn show(ctx: &RequestContext, id: &str) -> Result<ProviderDetail, AdminError> {
    find_provider(ctx, id).await.map(ProviderDetail::from_provider)
}

async fn find_provider(ctx: &RequestContext, id: &str) -> Result<Provider, AdminError> {
    let id = ProviderId::parse(id).ok_or(NOT_FOUND)?;
    ctx.ask(&GetProvider { id }).await?.ok_or(NOT_FOUND)
}

/// What a look at a provider found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProviderTest {
    /// Whether a connection would have all that it needs.
    ok: bool,
    /// What was looked at.
    checks: Vec<CheckResult>,
}

/// Looks at what a connection would need of a provider. Nothing is changed.
pub async fn test(ctx: &RequestContext, id: &str) -> Result<ProviderTest, AdminError> {
    let checks = check_provider(ctx, &find_provider(ctx, id).await?).await;
    Ok(ProviderTest { ok: checks.iter().all(|check| check.ok), checks })
}

/// Holds a provider: nobody is ended, nothing is read.
pub async fn pause(ctx: &RequestContext, id: &str, actor: Actor) -> Result<ProviderDetail, AdminError> {
    set_state(ctx, id, ProviderState::Paused, actor).await
}

/// Lets a provider take part again.
pub async fn release(ctx: &RequestContext, id: &str, actor: Actor) -> Result<ProviderDetail, AdminError> {
    set_state(ctx, id, ProviderState::Active, actor).await
}

/// A provider leaves: as paused, and nothing new is connected.
pub async fn retire(ctx: &RequestContext, id: &str, actor: Actor) -> Result<ProviderDetail, AdminError> {
    set_state(ctx, id, ProviderState::Retired, actor).await
}

async fn set_state(
    ctx: &RequestContext,
    id: &str,
    state: ProviderState,
    actor: Actor,
) -> Result<ProviderDetail, AdminError> {
    let provider_id = ProviderId::parse(id).ok_or(NOT_FOUND)?;
    if !ctx.run(SetProviderState { moment: ctx.new_moment()?, provider_id, state, actor }).await? {
        return Err(NOT_FOUND);
    }
    tracing::info!(provider = %provider_id, %state, "an operator set a provider's state");
    show(ctx, id).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_settings_and_schema_hide_secret_source() {
        let schema = serde_json::to_value(schemars::schema_for!(RedactedSettings)).unwrap();
        let required = schema["required"].as_array().unwrap();
        assert!(
            schema["properties"].get(HIDDEN_FIELD).is_none()
                && required.iter().all(|name| name != HIDDEN_FIELD)
        );
        assert!(schema["properties"].get("token_endpoint").is_some());
        let registration = &schema["$defs"]["ShownRegistration"]["properties"];
        assert!(
            registration.get("endpoint").is_some() && registration.get("initial_access_token").is_none(),
            "{schema}"
        );
        let settings: ProviderSettings = serde_json::from_value(serde_json::json!({
            "name": "Maple", "country": "CA", "authorization_endpoint": "https://b/a", "token_endpoint": "https://b/t",
            "client_id": "hub", "client_secret": {"env": "MINE"}, "fdx": {"base_url": "https://b/fdx", "version": "5"},
            "scopes": {"ACCOUNT_BASIC": "basic"}, "upstream_client": "registration",
            "dynamic_registration": {"endpoint": "https://b/r", "initial_access_token": {"env": "MINE"}},
        }))
        .unwrap();
        let shown = serde_json::to_string(&RedactedSettings(settings)).unwrap();
        assert!(shown.contains(r#""dynamic_registration":{"endpoint":"https://b/r"}"#), "{shown}");
        assert!(
            shown.contains("https://b/t") && !shown.contains("MINE") && !shown.contains("\"client_secret\""),
            "{shown}"
        );
    }
}
