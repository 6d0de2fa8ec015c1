//! Recipients' own clients at providers that register them by themselves: the provider's answer activates the
//! registration or turns it down, and a client that nobody needs is deleted there.
//!
//! Between the answer and the commit a process may die. Then the next try registers another client, and the first
//! stays at the provider: nobody knows its secret, and its `software_id` is that of the one that is used. The same is so
//! if an answer never arrives.

use domain::id::ClientId;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::client::{ClientKind, ClientState};
use domain::model::job::{Attempt, Job};
use domain::model::provider::Provider;
use domain::rule::client_registration::{Answered, Management, NotDue, Refusal, RegisteredClient, due};
use store::command::DisownClient;
use store::query::{ClientSeenById, ProviderById, RegistrationOf, StillTelling};

use crate::ctx::Ctx;
use crate::fault::Fault;
use crate::hub::{self, Registering, Told, open_management, seal_management};
use crate::manage::{ClientThere, Pair, StepRefused, activate, reject};

const MAY_BE_OURS: &str = "correct the provider's settings and try again, or reject the registration";

/// Has a client registered, and does with the registration what the provider's answer says.
pub(super) async fn register(ctx: &Ctx, job: &Job) -> Result<Told, Fault> {
    let (client_id, provider) = about(ctx, job).await?;
    let seen = ctx.ask(&ClientSeenById { kind: ClientKind::Recipient, id: client_id.clone() }).await?;
    let open = seen.map(|seen| seen.recipient).filter(|r| r.client.state != ClientState::Closed);
    let registration =
        ctx.ask(&RegistrationOf { client_id: client_id.clone(), provider_id: provider.id }).await?;
    let state = registration.map(|registration| registration.state);
    let (recipient, there) = match (open, due(state, &provider)) {
        (Some(recipient), Ok(there)) => (recipient, there),
        (None, _) => return Ok(not_due(NotDue::Decided)),
        (Some(_), Err(why)) => return Ok(not_due(why)),
    };
    if !ctx.app().may_begin(ctx.now())? {
        return Ok(Told::later(&"there was no time left under the lease"));
    }
    let Registering { answered, said, retry_after } =
        hub::register(ctx, &provider, there, &recipient).await?;
    let waiting = Waiting { ctx, pair: Pair { client_id, provider_id: provider.id } };
    match answered {
        Answered::Registered(client) => waiting.activate(client, &said).await,
        Answered::Refused(refusal) if refusal.is_of_the_recipient() => waiting.reject(refusal, &said).await,
        Answered::Refused(refusal) => {
            Ok(Told::new(Attempt::Refused, format!("{said} {refusal}: {MAY_BE_OURS}")))
        }
        Answered::Unusable { why, management } => {
            let left = waiting.disown(management).await?;
            Ok(Told::new(Attempt::Refused, format!("{said}: {why}; {left}")))
        }
        Answered::Later => Ok(Told::new(Attempt::Later { retry_after }, said)),
    }
}

/// What becomes of a job that must not ask.
fn not_due(why: NotDue) -> Told {
    match why {
        NotDue::Decided => Told::new(Attempt::Overtaken, why.to_string()),
        NotDue::ByHand | NotDue::Retired(_) => Told::new(Attempt::Refused, why.to_string()),
        NotDue::Held(_) => Told::new(Attempt::Waits, why.to_string()),
    }
}

/// Has a client deleted, when nothing more is to be told as that client. Until then it waits: for a code that is being
/// exchanged, for jobs, and for a person where one of them was given up.
pub(super) async fn delete(ctx: &Ctx, job: &Job) -> Result<Told, Fault> {
    let (client_id, provider) = about(ctx, job).await?;
    let still = StillTelling { client_id: client_id.clone(), provider_id: provider.id };
    if ctx.ask(&still).await? {
        return Ok(Told::new(Attempt::Waits, "the provider is still to be told of ends by this client"));
    }
    let management = open_management(ctx, &client_id, provider.id, (&job.data_key, &job.token))?;
    Ok(hub::delete(ctx, &provider, client_id, &management).await)
}

async fn about(ctx: &Ctx, job: &Job) -> Result<(ClientId, Provider), Fault> {
    let client_id = job.client_id.clone().ok_or(Fault::new("a job has lost its recipient"))?;
    let provider = ctx.ask(&ProviderById { id: job.provider_id }).await?;
    Ok((client_id, provider.ok_or(Fault::new("a job has lost its provider"))?))
}

/// A registration that waited for the provider when that was asked. What others decided meanwhile stands.
struct Waiting<'a> {
    ctx: &'a Ctx,
    pair: Pair,
}

impl Waiting<'_> {
    fn provider(&self) -> Actor {
        Actor::new(ActorKind::Provider, self.pair.provider_id.to_string())
    }

    async fn activate(&self, client: RegisteredClient, said: &str) -> Result<Told, Fault> {
        let RegisteredClient { id, secret, management } = client;
        let there = ClientThere { id, secret, management: management.clone() };
        let (attempt, why) = match activate(self.ctx, &self.pair, Some(there), &self.provider()).await {
            Ok(_) => return Ok(Told::new(Attempt::Accepted, format!("{said}: activated"))),
            // The commit may have happened: a client that is in use must not be deleted.
            Err(StepRefused::Fault(fault)) => return Err(fault),
            Err(StepRefused::Unknown | StepRefused::NotTaken(_)) => {
                (Attempt::Overtaken, NotDue::Decided.to_string())
            }
            Err(StepRefused::Retired(retired)) => (Attempt::Refused, retired.to_string()),
            Err(StepRefused::Invalid(invalid)) => (Attempt::Refused, invalid.to_string()),
        };
        let left = self.disown(management).await?;
        Ok(Told::new(attempt, format!("{said}: {why}; {left}")))
    }

    async fn reject(&self, refusal: Refusal, said: &str) -> Result<Told, Fault> {
        match reject(self.ctx, &self.pair, refusal.reason(), &self.provider()).await {
            Ok(_) => Ok(Told::new(Attempt::Over, format!("{said} {refusal}: rejected"))),
            Err(StepRefused::Fault(fault)) => Err(fault),
            Err(_) => Ok(not_due(NotDue::Decided)),
        }
    }

    /// Leaves a client that no registration takes to a job of its own; says what becomes of it.
    async fn disown(&self, management: Option<Management>) -> Result<&'static str, Fault> {
        let Some(management) = management else {
            return Ok("a client may be left at the provider, which does not say how to delete it");
        };
        let Pair { client_id, provider_id } = self.pair.clone();
        let sealed = seal_management(self.ctx, &client_id, provider_id, &management)?;
        let (data_key, management) = (sealed.data_key, sealed.sealed);
        let moment = self.ctx.moment()?;
        self.ctx.run(DisownClient { moment, client_id, provider_id, data_key, management }).await?;
        self.ctx.app().jobs().notify_one();
        Ok("the client is deleted there")
    }
}
