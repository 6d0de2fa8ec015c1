//! Changes the settings and the secrets of providers for operators.

use std::collections::BTreeMap;

use domain::model::audit_event::Actor;
use domain::model::provider::{IdentityClient, Provider, ProviderSettings, ProviderSource, secret_members};
use domain::rule::provider::{
    EndpointChange, SettingsChange, check, compare_providers, ensure_upstream_client_is_kept,
};
use domain::rule::validation::ValidationError;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::command::{UpdateProvider, UpdateProviderOutcome};
use store::query::{CountLiveConnections, HasRegistrationsInUse};

use super::error::AdminError;
use super::params::parse_dry_run;
use super::providers::{AddProviderRequest, NOT_FOUND, ProviderDetail, find_provider, take_secrets};
use crate::config::UpstreamSection;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::request::{RequestBody, parse_members};
use crate::upstream::{HubSecrets, plan_former_settings};

/// The request to replace the settings of a provider: the members of the request to add one, without the id. Secrets that it lacks
/// stay as they are.
#[derive(Deserialize)]
pub struct UpdateProviderRequest {
    #[serde(flatten)]
    settings: Map<String, Value>,
}

impl RequestBody for UpdateProviderRequest {}

impl JsonSchema for UpdateProviderRequest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UpdateProviderRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = AddProviderRequest::json_schema(generator);
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.remove("id");
        }
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| name != "id");
        }
        schema
    }
}

/// The request to replace secrets of a provider. A secret that it lacks stays as it is.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceSecretsRequest {
    /// The secret of the hub's client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    /// The private keys (PKCS#8, PEM) with which the hub signs. The first one signs, and the public part of each is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth_key: Option<String>,
    /// A new certificate with its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls: Option<TlsSecrets>,
    /// Values of headers, by their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret_headers: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity_client: Option<IdentityClientSecrets>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proxy: Option<ProxySecrets>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dynamic_registration: Option<RegistrationSecrets>,
}

/// A certificate and its private key.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TlsSecrets {
    /// The certificate of the hub (PEM), followed by those of its intermediate authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    /// The private key (PEM) of the certificate.
    key: String,
}

/// The secrets of the identity client.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct IdentityClientSecrets {
    /// The secret of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    /// The private keys (PKCS#8, PEM) of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth_key: Option<String>,
}

/// The credentials for a proxy.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProxySecrets {
    /// The credentials, as `user:password`.
    credentials: String,
}

/// The token for the dynamic registration of clients.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RegistrationSecrets {
    initial_access_token: String,
}

impl RequestBody for ReplaceSecretsRequest {}

/// The result of a change of a provider, or of its dry run.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProviderUpdate {
    outcome: ProviderUpdateOutcome,
    /// The names of the settings with other values, and of the replaced secrets.
    changed: Vec<String>,
    /// The issuer and the endpoints with other values.
    endpoints: Vec<EndpointChangeBody>,
    /// The number of connections that have not ended. Only a dry run counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<i64>,
    /// True if existing grants stay at the former endpoints: they are revoked there. Reads and refreshes use the new ones.
    keeps_former_endpoints: bool,
    /// The provider after the change, or without it in a dry run.
    provider: ProviderDetail,
}

/// The effect of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderUpdateOutcome {
    /// The provider was changed by this request.
    Updated,
    /// The provider has these settings and secrets already; nothing has changed.
    Unchanged,
    /// Dry run: the provider would be changed.
    WouldUpdate,
}

/// An endpoint that changes.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EndpointChange")]
pub struct EndpointChangeBody {
    /// The name of the setting.
    member: &'static str,
    /// The former host, with its port if that is stated.
    old_host: Option<String>,
    /// The new host, with its port if that is stated.
    new_host: Option<String>,
}

impl From<EndpointChange> for EndpointChangeBody {
    fn from(change: EndpointChange) -> Self {
        Self { member: change.member, old_host: change.old_host, new_host: change.new_host }
    }
}

/// The settings and secrets that a request asks for.
struct WantedProvider {
    settings: ProviderSettings,
    secrets: HubSecrets,
    /// The differences to the stored provider, including replaced secrets.
    change: SettingsChange,
    /// The names of the settings whose secrets are replaced.
    replaced_secrets: Vec<String>,
}

impl WantedProvider {
    /// Validates settings in the form of a request, with the secrets themselves.
    fn new(
        mut members: Map<String, Value>,
        stored: (&Provider, &HubSecrets),
        upstream: &UpstreamSection,
    ) -> Result<Self, ValidationError> {
        let (provider, known) = stored;
        let mut secrets = take_secrets(&mut members)?;
        keep_secrets(&mut members, known, &mut secrets);
        let settings: ProviderSettings = parse_members(members.into_iter().collect())?;
        check(&settings, upstream.provider_limits())?;
        secrets.validate_use(&settings, upstream)?;
        let replaced = secrets.iter().filter(|(path, secret)| known.get(path) != Some(*secret));
        let replaced_secrets: Vec<String> = replaced.map(|(path, _)| path.to_owned()).collect();
        let wanted = Provider { settings, ..provider.clone() };
        let mut change = compare_providers(provider, &wanted);
        change.add_members(&replaced_secrets);
        Ok(Self { settings: wanted.settings, secrets, change, replaced_secrets })
    }
}

/// Adds the stored secrets that the settings need and that the request does not contain. `null` removes a secret.
fn keep_secrets(members: &mut Map<String, Value>, known: &HubSecrets, secrets: &mut HubSecrets) {
    // Headers are replaced together, so that one can be removed.
    let keeps_headers = !members.contains_key("secret_headers");
    for (path, secret) in known.iter() {
        let (object, name) = match path.split_once('.') {
            None => (uses_secret(members, path).then_some(&mut *members), path),
            Some((IdentityClient::SETTING, name)) => {
                let client = members.get_mut(IdentityClient::SETTING).and_then(Value::as_object_mut);
                (client.filter(|client| uses_secret(client, name)), name)
            }
            Some(("secret_headers", name)) if keeps_headers => {
                let headers = members.entry("secret_headers").or_insert_with(|| json!({}));
                (headers.as_object_mut(), name)
            }
            Some(("secret_headers", name)) => (None, name),
            Some((parent, name)) => (members.get_mut(parent).and_then(Value::as_object_mut), name),
        };
        let Some(object) = object else { continue };
        let belongs_here = name != "key" || object.contains_key("certificate");
        if belongs_here && !object.contains_key(name) {
            object.insert(name.to_owned(), json!("sealed"));
            secrets.insert(path.to_owned(), secret.clone());
        }
    }
}

/// Returns whether the authentication method of a client uses a secret with this name.
fn uses_secret(client: &Map<String, Value>, name: &str) -> bool {
    let auth = client.get("auth").and_then(Value::as_str).unwrap_or("client_secret_basic");
    if name == "auth_key" { auth == "private_key_jwt" } else { auth.starts_with(name) }
}

/// Replaces the settings of a provider that an operator added. With `dry_run=true` in the query, only returns what would change.
pub async fn update(
    ctx: &RequestContext,
    id: &str,
    query: Option<&str>,
    (request, actor): (UpdateProviderRequest, Actor),
) -> Result<ProviderUpdate, AdminError> {
    let dry_run = parse_dry_run(query)?;
    let (stored, known) = load_changeable(ctx, id).await?;
    let upstream = &ctx.app().config().upstream;
    let wanted = WantedProvider::new(request.settings, (&stored, &known), upstream)?;
    if dry_run { preview(ctx, stored, wanted).await } else { apply(ctx, stored, wanted, actor).await }
}

/// Replaces secrets of a provider that an operator added.
pub async fn replace_secrets(
    ctx: &RequestContext,
    [id]: &[String; 1],
    request: ReplaceSecretsRequest,
    actor: Actor,
) -> Result<ProviderUpdate, AdminError> {
    let (stored, known) = load_changeable(ctx, id).await?;
    let Ok(Value::Object(new)) = serde_json::to_value(&request) else {
        return Err(InternalError::new("the secrets of a request cannot be read").into());
    };
    if new.is_empty() {
        return Err(AdminError::invalid("client_secret", "expected this or another secret"));
    }
    let Ok(Value::Object(mut members)) = serde_json::to_value(&stored.settings) else {
        return Err(InternalError::new("the settings of a provider cannot be written").into());
    };
    for (path, value) in secret_members(&mut members) {
        *value = known.get(&path).map_or(Value::Null, |secret| json!(secret.expose()));
    }
    merge(&mut members, new);
    let wanted = WantedProvider::new(members, (&stored, &known), &ctx.app().config().upstream)?;
    apply(ctx, stored, wanted, actor).await
}

/// Merges the members of `new` into `members`, object by object.
fn merge(members: &mut Map<String, Value>, new: Map<String, Value>) {
    for (name, value) in new {
        match (members.get_mut(&name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => {
                members.insert(name, value);
            }
        }
    }
}

/// Loads a provider that operators may change, with its secrets.
async fn load_changeable(ctx: &RequestContext, id: &str) -> Result<(Provider, HubSecrets), AdminError> {
    let stored = find_provider(ctx, id).await?;
    if stored.source == ProviderSource::Config {
        return Err(from_configuration());
    }
    let known = HubSecrets::load(ctx, &stored).await?;
    Ok((stored, known))
}

fn from_configuration() -> AdminError {
    AdminError::Conflict(FROM_CONFIGURATION.to_owned())
}

/// The message for a change of a provider that the configuration defines.
pub(super) const FROM_CONFIGURATION: &str =
    "The provider is defined in the configuration file: change it there, and reload the file with SIGHUP";

async fn preview(
    ctx: &RequestContext,
    stored: Provider,
    wanted: WantedProvider,
) -> Result<ProviderUpdate, AdminError> {
    let provider_id = stored.id;
    if stored.settings.upstream_client != wanted.settings.upstream_client {
        let has_registrations = ctx.ask(&HasRegistrationsInUse { provider_id }).await?;
        ensure_upstream_client_is_kept(&stored.settings, &wanted.settings, has_registrations)
            .map_err(|error| AdminError::Conflict(error.to_string()))?;
    }
    let connections = ctx.ask(&CountLiveConnections { provider_id }).await?;
    let is_unchanged = wanted.change.is_empty();
    let outcome =
        if is_unchanged { ProviderUpdateOutcome::Unchanged } else { ProviderUpdateOutcome::WouldUpdate };
    let update = build_update(outcome, wanted.change, ProviderDetail::load(ctx, stored).await?);
    Ok(ProviderUpdate { connections: Some(connections), ..update })
}

async fn apply(
    ctx: &RequestContext,
    stored: Provider,
    wanted: WantedProvider,
    actor: Actor,
) -> Result<ProviderUpdate, AdminError> {
    if wanted.change.is_empty() {
        let provider = ProviderDetail::load(ctx, stored).await?;
        return Ok(build_update(ProviderUpdateOutcome::Unchanged, wanted.change, provider));
    }
    let id = stored.id;
    let changed = Provider { settings: wanted.settings.clone(), ..stored.clone() };
    let updates = plan_former_settings(ctx, &stored, (&changed, &wanted.secrets)).await?;
    let command = UpdateProvider {
        moment: ctx.new_moment()?,
        provider_id: id,
        seen_version: stored.version.number,
        settings: wanted.settings,
        secrets: wanted.secrets.seal(ctx, id)?,
        replaced_secrets: wanted.replaced_secrets,
        former: updates,
        actor,
    };
    let change = match ctx.run(command).await? {
        UpdateProviderOutcome::Updated(change) => change,
        UpdateProviderOutcome::NotFound => return Err(NOT_FOUND),
        UpdateProviderOutcome::FromConfiguration => return Err(from_configuration()),
        UpdateProviderOutcome::Rejected(rejected) => return Err(AdminError::Conflict(rejected.to_string())),
        UpdateProviderOutcome::Outdated => {
            let message =
                "Another request has changed the provider in the meantime; read it and repeat the change";
            return Err(AdminError::Conflict(message.into()));
        }
    };
    tracing::info!(provider = %id, changed = ?change.members, "provider changed");
    let provider = ProviderDetail::load(ctx, find_provider(ctx, &id.to_string()).await?).await?;
    Ok(build_update(ProviderUpdateOutcome::Updated, change, provider))
}

fn build_update(
    outcome: ProviderUpdateOutcome,
    change: SettingsChange,
    provider: ProviderDetail,
) -> ProviderUpdate {
    ProviderUpdate {
        outcome,
        changed: change.members,
        endpoints: change.endpoints.into_iter().map(EndpointChangeBody::from).collect(),
        connections: None,
        keeps_former_endpoints: change.leaves_endpoints,
        provider,
    }
}
