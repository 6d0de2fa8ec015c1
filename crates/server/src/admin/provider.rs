//! Providers: looked at, held, released, retired.

use domain::id::ProviderId;
use domain::model::audit_event::Actor;
use domain::model::provider::{Provider, ProviderState};
use serde_json::{Value, json};
use store::command::SetProviderState;
use store::query::{AllProviders, ProviderById};

use super::page::Asked;
use super::{AdminError, Page, Params};
use crate::ctx::Ctx;

fn shown(provider: &Provider) -> Value {
    json!({"id": provider.id, "name": provider.settings.name, "country": provider.settings.country,
        "state": provider.state.as_str(), "source": provider.source.as_str()})
}

/// The providers, by their ids.
pub async fn list(ctx: &Ctx, query: Option<&str>) -> Result<Page<Value>, AdminError> {
    let params = Params::query(query, &["limit", "after"])?;
    let asked = Asked::of(ctx, "providers", &params)?;
    let after = asked.after(ProviderId::parse)?;
    let mut rows = ctx.ask(&AllProviders).await?;
    rows.retain(|provider| after.is_none_or(|after| provider.id > after));
    asked.page(ctx, rows, |provider| provider.id.to_string(), |provider| shown(&provider))
}

const NOBODY: AdminError = AdminError::NotFound("provider");

/// A provider with its settings, but for where its secret is.
pub async fn show(ctx: &Ctx, id: &str) -> Result<Value, AdminError> {
    let id = ProviderId::parse(id).ok_or(NOBODY)?;
    let provider = ctx.ask(&ProviderById { id }).await?.ok_or(NOBODY)?;
    let broken = |_| crate::fault::Fault::new("settings of a provider cannot be written");
    let mut settings = serde_json::to_value(&provider.settings).map_err(broken)?;
    if let Some(settings) = settings.as_object_mut() {
        settings.remove("client_secret");
    }
    let mut all = shown(&provider);
    all["settings"] = settings;
    Ok(all)
}

/// Holds a provider: nobody is ended, nothing is read.
pub async fn pause(ctx: &Ctx, id: &str, actor: Actor) -> Result<Value, AdminError> {
    set(ctx, id, ProviderState::Paused, actor).await
}

/// Lets a provider take part again.
pub async fn release(ctx: &Ctx, id: &str, actor: Actor) -> Result<Value, AdminError> {
    set(ctx, id, ProviderState::Active, actor).await
}

/// A provider leaves: as paused, and nothing new is connected.
pub async fn retire(ctx: &Ctx, id: &str, actor: Actor) -> Result<Value, AdminError> {
    set(ctx, id, ProviderState::Retired, actor).await
}

async fn set(ctx: &Ctx, id: &str, state: ProviderState, actor: Actor) -> Result<Value, AdminError> {
    let provider_id = ProviderId::parse(id).ok_or(NOBODY)?;
    if !ctx.run(SetProviderState { moment: ctx.moment()?, provider_id, state, actor }).await? {
        return Err(NOBODY);
    }
    tracing::info!(provider = %provider_id, %state, "an operator set a provider's state");
    show(ctx, id).await
}
