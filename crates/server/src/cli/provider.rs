//! `bowline provider`

use clap::Subcommand;
use domain::id::ProviderId;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::provider::ProviderState;
use serde_json::json;
use store::command::SetProviderState;
use store::query::AllProviders;

use super::start::{ACTOR, DataLock, build, load, location, stored, upsert_providers};
use super::{Failure, Globals};
use crate::app::Clock;
use crate::job;

/// Looks at data providers, holds and releases them.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// List the providers, and whether each takes part.
    List,
    /// Hold a provider: tokens are issued, data answers 503, nothing is connected, nobody is ended.
    Pause(Which),
    /// Let a provider take part again: one that was paused, or one that the hub has tripped because it answered
    /// `invalid_grant` to too many at once.
    Release(Which),
}

/// Which provider.
#[derive(clap::Args, Debug)]
pub(super) struct Which {
    /// Its id.
    #[arg(value_name = "ID")]
    id: i64,
}

pub(super) async fn run(globals: &Globals, command: Command) -> Result<(), Failure> {
    let config = load(globals, &[])?;
    let _lock = DataLock::take(&location(&config)?)?;
    let app = build(config, Clock::system()).await?;
    upsert_providers(&app).await?;
    let ctx = job::context(&app, ACTOR).map_err(|e| Failure::Fault(e.into()))?;
    let set = match command {
        Command::List => None,
        Command::Pause(which) => Some((which.id, ProviderState::Paused)),
        Command::Release(which) => Some((which.id, ProviderState::Active)),
    };
    if let Some((id, state)) = set {
        let moment = ctx.moment().map_err(|e| Failure::Fault(e.into()))?;
        let actor = Actor::new(ActorKind::Operator, ACTOR);
        let set = SetProviderState { moment, provider_id: ProviderId::new(id), state, actor };
        if !ctx.run(set).await.map_err(stored)? {
            return Err(Failure::Usage(format!("there is no provider {id}")));
        }
    }
    for provider in ctx.ask(&AllProviders).await.map_err(stored)? {
        if set.is_some_and(|(id, _)| id != provider.id.number()) {
            continue;
        }
        let (id, state, name) = (provider.id, provider.state, &provider.settings.name);
        if globals.json {
            println!("{}", json!({"provider_id": id, "state": state.as_str(), "name": name}));
        } else {
            println!("{id:<8} {:<8} {name}", state.as_str());
        }
    }
    Ok(())
}
