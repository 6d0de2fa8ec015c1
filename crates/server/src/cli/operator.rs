//! `bowline operator`

use clap::Subcommand;
use domain::model::audit_event::{Actor, ActorKind};

use super::start::{ACTOR, load, opened};
use super::{Failure, Globals};
use crate::admin::{AdminError, operator};
use crate::job;

/// Looks after those who run the hub.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Print a token that makes the first admin: once, within a day. Refused if there is an admin.
    #[command(
        after_help = "Example:\n  curl -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\\n    -d '{\"name\":\"ann\",\"role\":\"admin\"}' http://127.0.0.1:8408/admin/v1/operators"
    )]
    Bootstrap,
}

pub(super) async fn run(globals: &Globals, command: &Command) -> Result<(), Failure> {
    let Command::Bootstrap = command;
    let config = load(globals, &[])?;
    let (_lock, app) = opened(config).await?;
    let ctx = job::context(&app, ACTOR).map_err(|e| Failure::Fault(e.into()))?;
    let token = operator::bootstrap(&ctx, Actor::new(ActorKind::Operator, ACTOR)).await;
    let token = token.map_err(|error| match error {
        AdminError::Fault(fault) => Failure::Fault(fault.into()),
        refused => Failure::DoesNotHold(refused.to_string()),
    })?;
    if globals.json {
        println!("{}", serde_json::json!({"token": token.expose()}));
    } else {
        println!("{}", token.expose());
        if !globals.quiet {
            eprintln!("It makes the first admin by POST /admin/v1/operators: once, within 24 hours.");
        }
    }
    Ok(())
}
