//! Adds, lists, reads, checks, pauses, releases and retires providers for operators.

use std::borrow::Cow;
use std::collections::BTreeMap;

use domain::Secret;
use domain::id::ProviderId;
use domain::model::audit_event::{Actor, AuditHead};
use domain::model::provider::{
    DynamicRegistration, IdentityClient, Provider, ProviderEndpoint, ProviderSettings, ProviderSource,
    ProviderState, ProxySettings, SecretSource, SettingsVersion, TlsSettings, secret_members,
};
use domain::rule::expiry_brake::ExpiryState;
use domain::rule::provider::{check, validate_secret};
use domain::rule::provider_check::CheckResult;
use domain::rule::validation::ValidationError;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};
use store::command::{AddProvider, SetProviderState};
use store::query::{GetProvider, GetSweepStatus, ListProviders, SweepStatus};

use super::error::AdminError;
use super::identity_client::{ShownIdentityClient, build_identity_client_schema};
use super::observed_responses::ObservedResponseBody;
use super::page::{AdminPage, PageRequest};
use super::params::Params;
use crate::config::UpstreamSection;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::read_diagnostics::DroppedCount;
use crate::request::{RequestBody, parse_members};
use crate::response::EnumValue;
use crate::upstream::{HubSecrets, check_provider};

pub(super) const NOT_FOUND: AdminError = AdminError::NotFound("provider");

/// A provider in a list, without its settings.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Provider")]
pub struct AdminProviderBody {
    /// The id: a positive integer.
    #[schemars(with = "i64")]
    id: ProviderId,
    /// The name that customers see.
    name: String,
    /// The ISO 3166 country code.
    country: String,
    state: EnumValue<ProviderState>,
    /// The source of the settings: the configuration file or this API.
    source: EnumValue<ProviderSource>,
    /// The state of the ends by expiry. `braked`: many seemed to have expired after a clock had jumped or the hub had been
    /// stopped, and none ends until the provider is released.
    expiry: EnumValue<ExpiryState>,
}

impl AdminProviderBody {
    fn from_provider(provider: &Provider, sweep: &SweepStatus) -> Self {
        Self {
            id: provider.id,
            name: provider.settings.name.clone(),
            country: provider.settings.country.clone(),
            state: EnumValue(provider.state),
            source: EnumValue(provider.source),
            expiry: EnumValue(sweep.expiry_state(provider.id)),
        }
    }
}

/// A provider with its settings, but without the hub's secrets.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProviderDetail {
    #[serde(flatten)]
    provider: AdminProviderBody,
    /// The settings, without the hub's secrets and their locations.
    settings: RedactedSettings,
    /// The endpoints that the hub uses, by their names: those of the settings, and otherwise those of the metadata of the issuer.
    endpoints: BTreeMap<&'static str, String>,
    /// The parts of responses that the responding node left out since its start, ordered by path.
    dropped_fields: Vec<DroppedFieldBody>,
    /// The forms of the last responses that the responding node has observed, ordered by call.
    observed_responses: Vec<ObservedResponseBody>,
}

/// A part of the provider's responses that was left out.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DroppedField")]
pub struct DroppedFieldBody {
    /// The path, as in `accounts[].loanAccount.originatingDate`. `*` is any field that FDX does not define.
    path: String,
    /// The reason: `unknown`, `unreadable`, `repeated`, `unknown_type` or `id_too_long`.
    reason: &'static str,
    /// The number of times.
    count: u64,
}

impl ProviderDetail {
    pub(super) async fn load(ctx: &RequestContext, provider: Provider) -> Result<Self, AdminError> {
        let sweep = ctx.ask(&GetSweepStatus).await?;
        let dropped = ctx.app().read_diagnostics().list_dropped(provider.id).into_iter();
        let to_body = |field: DroppedCount| DroppedFieldBody {
            path: field.path,
            reason: field.reason.as_str(),
            count: field.count,
        };
        let observed = ctx.app().read_diagnostics().list_observed(provider.id);
        Ok(Self {
            observed_responses: observed.into_iter().map(ObservedResponseBody::from_observed).collect(),
            provider: AdminProviderBody::from_provider(&provider, &sweep),
            endpoints: list_endpoints(&provider),
            settings: RedactedSettings(provider.settings),
            dropped_fields: dropped.map(to_body).collect(),
        })
    }
}

fn list_endpoints(provider: &Provider) -> BTreeMap<&'static str, String> {
    let endpoints = ProviderEndpoint::ALL.iter();
    endpoints.filter_map(|name| Some((name.as_str(), provider.endpoint(*name).ok()?.to_owned()))).collect()
}

/// The settings of a provider without secrets. The location of a secret is left out too, because it is a file path or
/// an environment variable of the hub's machine.
#[derive(Debug)]
pub struct RedactedSettings(ProviderSettings);

const CLIENT_SECRET: &str = "client_secret";
const AUTH_KEY: &str = "auth_key";
const IDENTITY_CLIENT: &str = IdentityClient::SETTING;
const DYNAMIC_REGISTRATION: &str = "dynamic_registration";
const TLS: &str = "tls";
const PROXY: &str = "proxy";
const SECRET_HEADERS: &str = "secret_headers";
const INITIAL_ACCESS_TOKEN: &str = "initial_access_token";

/// The dynamic client registration (RFC 7591) of a provider, without the initial access token.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it exists only for its schema")]
struct ShownRegistration {
    /// The client registration endpoint.
    endpoint: String,
}

/// The TLS settings of the connections to a provider, without the key.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it exists only for its schema")]
struct ShownTls {
    /// Certificates of the authorities that sign the provider's certificate, or the path of their file.
    #[schemars(skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    /// Certificate of the hub, or the path of its file.
    #[schemars(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    /// Private address ranges in which the provider may be.
    #[schemars(skip_serializing_if = "Option::is_none")]
    allow_private: Option<Vec<String>>,
}

/// The proxy for the calls to a provider, without the credentials.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it exists only for its schema")]
struct ShownProxy {
    /// URL of the proxy.
    url: String,
}

impl Serialize for RedactedSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut settings = serde_json::to_value(&self.0).map_err(serde::ser::Error::custom)?;
        if let Some(settings) = settings.as_object_mut() {
            for (_, secret) in secret_members(settings) {
                *secret = Value::Null;
            }
            remove_null_members(settings);
            settings.remove(SECRET_HEADERS);
        }
        settings.serialize(serializer)
    }
}

/// Removes members that are null, also those of nested objects.
fn remove_null_members(object: &mut Map<String, Value>) {
    object.retain(|_, value| !value.is_null());
    object.values_mut().filter_map(Value::as_object_mut).for_each(remove_null_members);
}

impl JsonSchema for RedactedSettings {
    fn schema_name() -> Cow<'static, str> {
        "ProviderSettings".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = ProviderSettings::json_schema(generator);
        // Only members that are removed or replaced below refer to these types.
        for hidden in [
            SecretSource::schema_name(),
            DynamicRegistration::schema_name(),
            IdentityClient::schema_name(),
            TlsSettings::schema_name(),
            ProxySettings::schema_name(),
        ] {
            generator.definitions_mut().remove(hidden.as_ref());
        }
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.remove(CLIENT_SECRET);
            properties.remove(AUTH_KEY);
            properties.remove(SECRET_HEADERS);
            let registration = generator.subschema_for::<Option<ShownRegistration>>();
            properties.insert(DYNAMIC_REGISTRATION.into(), registration.into());
            let identity_client = generator.subschema_for::<Option<ShownIdentityClient>>();
            properties.insert(IDENTITY_CLIENT.into(), identity_client.into());
            properties.insert(TLS.into(), generator.subschema_for::<Option<ShownTls>>().into());
            properties.insert(PROXY.into(), generator.subschema_for::<Option<ShownProxy>>().into());
        }
        schema
    }
}

/// The request to add a provider: the id, and the members of a `[[provider]]` section of the configuration, with the
/// secrets themselves instead of their locations.
#[derive(Deserialize)]
pub struct AddProviderRequest {
    id: i64,
    #[serde(flatten)]
    settings: Map<String, Value>,
}

impl RequestBody for AddProviderRequest {}

impl AddProviderRequest {
    /// Validates every member of the request. Returns the id, the settings, and the secrets that the settings then
    /// lack.
    fn validate(
        mut self,
        upstream: &UpstreamSection,
    ) -> Result<(ProviderId, ProviderSettings, HubSecrets), ValidationError> {
        if self.id <= 0 {
            return Err(ValidationError::new("id", "must be a positive integer"));
        }
        let secrets = take_secrets(&mut self.settings)?;
        let settings: ProviderSettings = parse_members(self.settings.into_iter().collect())?;
        check(&settings, upstream.provider_limits())?;
        secrets.validate_use(&settings, upstream)?;
        Ok((ProviderId::new(self.id), settings, secrets))
    }
}

/// Replaces each secret of the settings by the mark that the store contains it, and returns the secrets.
pub(super) fn take_secrets(settings: &mut Map<String, Value>) -> Result<HubSecrets, ValidationError> {
    let mut secrets = HubSecrets::default();
    for (field, value) in secret_members(settings).into_iter().filter(|(_, v)| !v.is_null()) {
        // In the stored settings, `sealed` means that the store contains the encrypted secret.
        let Value::String(secret) = std::mem::replace(value, json!("sealed")) else {
            return Err(ValidationError::new(field, "must be a string"));
        };
        validate_secret(&field, &secret)?;
        secrets.insert(field, Secret::new(secret));
    }
    Ok(secrets)
}

impl JsonSchema for AddProviderRequest {
    fn schema_name() -> Cow<'static, str> {
        "AddProviderRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = ProviderSettings::json_schema(generator);
        let secret = |description: &str| {
            json!({"type": ["string", "null"], "minLength": 1, "maxLength": 2048, "pattern": "^[ -~]+$",
                "description": description})
        };
        let pem = |description: &str| {
            json!({"type": ["string", "null"], "maxLength": 65536, "pattern": "^\\s*-----BEGIN [^\\x00]+$",
                "description": description})
        };
        let client_secret = secret(
            "The secret of the hub's client, for a method of `auth` with a secret. It is sealed before it is stored.",
        );
        let auth_key = pem(
            "The private keys (PKCS#8, PEM) with which the hub signs, for `auth` `private_key_jwt`. The first one signs. They \
             are sealed before they are stored.",
        );
        let token = secret(
            "The initial access token, if the provider requires one. It is sealed before it is stored.",
        );
        let tls = json!({
            "type": ["object", "null"], "additionalProperties": false,
            "description": "TLS settings of the connections to the provider.",
            "properties": {
                "ca": pem("Certificates (PEM) of the authorities that sign the provider's certificate, instead of the public ones."),
                "certificate": pem("Certificate (PEM) of the hub, followed by those of its intermediate authorities."),
                "key": pem("The private key (PEM) of `certificate`. It is sealed before it is stored."),
                "allow_private": {"type": ["array", "null"], "items": {"type": "string"}, "maxItems": 32,
                    "description": "Private address ranges in which the provider may be, such as `10.8.0.0/16`."},
            },
        });
        let secret_headers = json!({
            "type": ["object", "null"], "maxProperties": 32,
            "additionalProperties": secret("The value of the header. It is sealed before it is stored."),
            "description": "Values of further headers of every call, such as the key of a gateway.",
        });
        let proxy = json!({
            "type": ["object", "null"], "required": ["url"], "additionalProperties": false,
            "description": "Proxy for the calls to the provider.",
            "properties": {
                "url": {"type": "string", "description": "URL of the proxy, such as `http://egress.example:3128`."},
                "credentials": secret("The credentials, as `user:password`. They are sealed before they are stored."),
            },
        });
        let identity_client = build_identity_client_schema(
            generator,
            &secret("The secret of this client. It is sealed before it is stored."),
            &pem("The private keys (PKCS#8, PEM) of this client. They are sealed before they are stored."),
        );
        let registration = json!({
            "type": ["object", "null"], "required": ["endpoint"], "additionalProperties": false,
            "description": "Dynamic registration of a client for each registration (RFC 7591). Requires \
                `upstream_client` `registration` or `aggregator`.",
            "properties": {
                "endpoint": {"type": "string", "description": "The client registration endpoint (RFC 7591 §3)."},
                INITIAL_ACCESS_TOKEN: token,
            },
        });
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            let id = json!({"type": "integer", "minimum": 1, "description": "The id of the provider."});
            properties.insert("id".into(), id);
            properties.insert(CLIENT_SECRET.into(), client_secret);
            properties.insert(AUTH_KEY.into(), auth_key);
            properties.insert(IDENTITY_CLIENT.into(), identity_client);
            properties.insert(TLS.into(), tls);
            properties.insert(SECRET_HEADERS.into(), secret_headers);
            properties.insert(PROXY.into(), proxy);
            properties.insert(DYNAMIC_REGISTRATION.into(), registration);
        }
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.push("id".into());
        }
        schema
    }
}

/// The results of the checks of a provider's secrets and endpoints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProviderTest {
    /// Whether no check has failed. Warnings are no failures.
    ok: bool,
    checks: Vec<CheckResult>,
}

/// Lists all providers in any state, ordered by id.
pub async fn list(
    ctx: &RequestContext,
    query: Option<&str>,
) -> Result<AdminPage<AdminProviderBody>, AdminError> {
    let params = Params::from_query(query, &["limit", "after"])?;
    let page = PageRequest::from_params(ctx, "providers", &params)?;
    let after = page.parse_after(ProviderId::parse)?;
    // A hub has few providers, so all are loaded and the page is selected in memory.
    let mut found = ctx.ask(&ListProviders).await?;
    found.rows.retain(|provider| after.is_none_or(|after| provider.id > after));
    let sweep = ctx.ask(&GetSweepStatus).await?;
    let to_item = |provider: Provider| AdminProviderBody::from_provider(&provider, &sweep);
    page.build_page(ctx, found, |provider| provider.id.to_string(), to_item)
}

/// Returns one provider with its settings, without secrets.
pub async fn show(ctx: &RequestContext, [id]: &[String; 1]) -> Result<ProviderDetail, AdminError> {
    ProviderDetail::load(ctx, find_provider(ctx, id).await?).await
}

pub(super) async fn find_provider(ctx: &RequestContext, id: &str) -> Result<Provider, AdminError> {
    let id = ProviderId::parse(id).ok_or(NOT_FOUND)?;
    ctx.ask(&GetProvider { id }).await?.ok_or(NOT_FOUND)
}

/// Adds a provider whose source is this API. The hub's secrets are encrypted before they are stored.
pub async fn add(
    ctx: &RequestContext,
    request: AddProviderRequest,
    actor: Actor,
) -> Result<ProviderDetail, AdminError> {
    let (id, settings, secrets) = request.validate(&ctx.app().config().upstream)?;
    let secrets = secrets.seal(ctx, id)?;
    let (state, source, audit) = (ProviderState::Active, ProviderSource::Api, AuditHead::default());
    let version = SettingsVersion::FIRST;
    let provider = Provider { id, state, source, settings, discovered: None, version, audit };
    if !ctx.run(AddProvider { moment: ctx.new_moment()?, provider, secrets, actor }).await? {
        return Err(AdminError::Conflict("A provider with this id exists already".into()));
    }
    tracing::info!(provider = %id, "provider added");
    let added = ctx.ask(&GetProvider { id }).await?;
    let added = added.ok_or(InternalError::new("a provider that was added does not exist"))?;
    ProviderDetail::load(ctx, added).await
}

/// Checks whether connections with a provider could work. Nothing is changed in the hub or at the provider.
pub async fn test(ctx: &RequestContext, id: &str) -> Result<ProviderTest, AdminError> {
    let checks = check_provider(ctx, &find_provider(ctx, id).await?).await;
    Ok(ProviderTest { ok: checks.iter().all(|check| check.ok), checks })
}

/// Pauses a provider: no data is read and no connection is opened. Existing connections do not end.
pub async fn pause(
    ctx: &RequestContext,
    [id]: &[String; 1],
    actor: Actor,
) -> Result<ProviderDetail, AdminError> {
    set_state(ctx, id, ProviderState::Paused, actor).await
}

/// Makes a paused or retired provider active again, and lets its connections end by expiry again.
pub async fn release(
    ctx: &RequestContext,
    [id]: &[String; 1],
    actor: Actor,
) -> Result<ProviderDetail, AdminError> {
    set_state(ctx, id, ProviderState::Active, actor).await
}

/// Retires a provider: the effects of a pause, and new registrations are rejected too.
pub async fn retire(
    ctx: &RequestContext,
    [id]: &[String; 1],
    actor: Actor,
) -> Result<ProviderDetail, AdminError> {
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
    tracing::info!(provider = %provider_id, %state, "provider state changed");
    ProviderDetail::load(ctx, find_provider(ctx, id).await?).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_settings_and_schema_hide_secret_source() {
        let schema = serde_json::to_value(schemars::schema_for!(RedactedSettings)).unwrap();
        let required = schema["required"].as_array().unwrap();
        assert!(
            schema["properties"].get(CLIENT_SECRET).is_none()
                && required.iter().all(|name| name != CLIENT_SECRET)
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
