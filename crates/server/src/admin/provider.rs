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
use store::query::{AllProviders, ProviderById};

use super::page::Asked;
use super::{AdminError, Page, Params};
use crate::ctx::Ctx;
use crate::hub::{Check, look};
use crate::wire::Word;

/// A provider in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Provider")]
pub struct ProviderBody {
    /// Its id: a positive integer.
    #[schemars(with = "i64")]
    id: ProviderId,
    /// Its name, as customers know it.
    name: String,
    /// ISO 3166 country.
    country: String,
    /// Whether it takes part.
    state: Word<ProviderState>,
    /// Who owns it: the configuration file, or this API.
    source: Word<ProviderSource>,
}

impl ProviderBody {
    fn of(provider: &Provider) -> Self {
        Self {
            id: provider.id,
            name: provider.settings.name.clone(),
            country: provider.settings.country.clone(),
            state: Word(provider.state),
            source: Word(provider.source),
        }
    }
}

/// A provider with its settings.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProviderDetail {
    #[serde(flatten)]
    provider: ProviderBody,
    /// How to speak with it, but for the hub's secret there and where that is.
    settings: ShownSettings,
}

impl ProviderDetail {
    pub(super) fn of(provider: Provider) -> Self {
        Self { provider: ProviderBody::of(&provider), settings: ShownSettings(provider.settings) }
    }
}

/// Settings without the secret, and without where it is.
#[derive(Debug)]
pub struct ShownSettings(ProviderSettings);

/// What of the settings is not shown.
const HIDDEN: &str = "client_secret";

/// How the provider registers clients (RFC 7591), but for the initial access token and where that is.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is there for its schema")]
struct ShownRegistration {
    /// Its client registration endpoint.
    endpoint: String,
}

impl Serialize for ShownSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut settings = serde_json::to_value(&self.0).map_err(serde::ser::Error::custom)?;
        if let Some(settings) = settings.as_object_mut() {
            settings.remove(HIDDEN);
        }
        if let Some(there) = settings.get_mut("dynamic_registration").and_then(Value::as_object_mut) {
            there.remove("initial_access_token");
        }
        settings.serialize(serializer)
    }
}

impl JsonSchema for ShownSettings {
    fn schema_name() -> Cow<'static, str> {
        "ProviderSettings".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = ProviderSettings::json_schema(generator);
        for hidden in [SecretSource::schema_name(), DynamicRegistration::schema_name()] {
            generator.definitions_mut().remove(hidden.as_ref());
        }
        if let Some(properties) = schema.get_mut("properties").and_then(|p| p.as_object_mut()) {
            properties.remove(HIDDEN);
            let there = generator.subschema_for::<Option<ShownRegistration>>();
            properties.insert("dynamic_registration".into(), there.into());
        }
        if let Some(required) = schema.get_mut("required").and_then(|r| r.as_array_mut()) {
            required.retain(|name| name != HIDDEN);
        }
        schema
    }
}

/// The providers, by their ids.
pub async fn list(ctx: &Ctx, query: Option<&str>) -> Result<Page<ProviderBody>, AdminError> {
    let params = Params::query(query, &["limit", "after"])?;
    let asked = Asked::of(ctx, "providers", &params)?;
    let after = asked.after(ProviderId::parse)?;
    let mut rows = ctx.ask(&AllProviders).await?;
    rows.retain(|provider| after.is_none_or(|after| provider.id > after));
    asked.page(ctx, rows, |provider| provider.id.to_string(), |provider| ProviderBody::of(&provider))
}

const NOBODY: AdminError = AdminError::NotFound("provider");

/// A provider with its settings, but for where its secret is.
pub async fn show(ctx: &Ctx, id: &str) -> Result<ProviderDetail, AdminError> {
    found(ctx, id).await.map(ProviderDetail::of)
}

async fn found(ctx: &Ctx, id: &str) -> Result<Provider, AdminError> {
    let id = ProviderId::parse(id).ok_or(NOBODY)?;
    ctx.ask(&ProviderById { id }).await?.ok_or(NOBODY)
}

/// What a look at a provider found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProviderTest {
    /// Whether a connection would have all that it needs.
    ok: bool,
    /// What was looked at.
    checks: Vec<Check>,
}

/// Looks at what a connection would need of a provider. Nothing is changed.
pub async fn test(ctx: &Ctx, id: &str) -> Result<ProviderTest, AdminError> {
    let checks = look(ctx, &found(ctx, id).await?).await;
    Ok(ProviderTest { ok: checks.iter().all(|check| check.ok), checks })
}

/// Holds a provider: nobody is ended, nothing is read.
pub async fn pause(ctx: &Ctx, id: &str, actor: Actor) -> Result<ProviderDetail, AdminError> {
    set(ctx, id, ProviderState::Paused, actor).await
}

/// Lets a provider take part again.
pub async fn release(ctx: &Ctx, id: &str, actor: Actor) -> Result<ProviderDetail, AdminError> {
    set(ctx, id, ProviderState::Active, actor).await
}

/// A provider leaves: as paused, and nothing new is connected.
pub async fn retire(ctx: &Ctx, id: &str, actor: Actor) -> Result<ProviderDetail, AdminError> {
    set(ctx, id, ProviderState::Retired, actor).await
}

async fn set(ctx: &Ctx, id: &str, state: ProviderState, actor: Actor) -> Result<ProviderDetail, AdminError> {
    let provider_id = ProviderId::parse(id).ok_or(NOBODY)?;
    if !ctx.run(SetProviderState { moment: ctx.moment()?, provider_id, state, actor }).await? {
        return Err(NOBODY);
    }
    tracing::info!(provider = %provider_id, %state, "an operator set a provider's state");
    show(ctx, id).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_settings_nor_their_schema_show_where_the_secret_is() {
        let schema = serde_json::to_value(schemars::schema_for!(ShownSettings)).unwrap();
        let required = schema["required"].as_array().unwrap();
        assert!(schema["properties"].get(HIDDEN).is_none() && required.iter().all(|name| name != HIDDEN));
        assert!(schema["properties"].get("token_endpoint").is_some());
        let there = &schema["$defs"]["ShownRegistration"]["properties"];
        assert!(there.get("endpoint").is_some() && there.get("initial_access_token").is_none(), "{schema}");
        let settings: ProviderSettings = serde_json::from_value(serde_json::json!({
            "name": "Maple", "country": "CA", "authorization_endpoint": "https://b/a", "token_endpoint": "https://b/t",
            "client_id": "hub", "client_secret": {"env": "MINE"}, "fdx": {"base_url": "https://b/fdx", "version": "5"},
            "scopes": {"ACCOUNT_BASIC": "basic"}, "upstream_client": "registration",
            "dynamic_registration": {"endpoint": "https://b/r", "initial_access_token": {"env": "MINE"}},
        }))
        .unwrap();
        let shown = serde_json::to_string(&ShownSettings(settings)).unwrap();
        assert!(shown.contains(r#""dynamic_registration":{"endpoint":"https://b/r"}"#), "{shown}");
        assert!(
            shown.contains("https://b/t") && !shown.contains("MINE") && !shown.contains("\"client_secret\""),
            "{shown}"
        );
    }
}
