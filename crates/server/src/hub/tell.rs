//! Telling a provider that a grant is over.

use domain::Secret;
use domain::model::job::{Attempt, Job, JobKind};
use domain::model::provider::{BankGrant, Provider};
use store::command::InHand;
use store::query::{GrantLivesOn, ProviderById};

use super::callback::identity;
use super::own_client::Whom;
use super::provider::{Endpoint, Grant, Upstream, callback_uri};
use crate::ctx::Ctx;
use crate::fault::Fault;
use crate::vault::DataKey;

/// How a try of a job went.
#[derive(Debug)]
pub struct Told {
    /// What it comes to.
    pub attempt: Attempt,
    /// What happened, in words for a person.
    pub outcome: String,
    /// What came and could not be revoked.
    pub in_hand: Option<InHand>,
}

impl Told {
    fn overtaken() -> Self {
        let outcome = "a live connection of the customer hangs from the same grant".to_owned();
        Self { attempt: Attempt::Overtaken, outcome, in_hand: None }
    }

    /// Nothing was learnt: it is tried again.
    pub fn later(outcome: &impl ToString) -> Self {
        Self { attempt: Attempt::Later { retry_after: None }, outcome: outcome.to_string(), in_hand: None }
    }
}

/// Revokes at its provider what a job holds. `ctx` is of the moment in which the job was leased.
pub async fn tell(ctx: &Ctx, job: &Job) -> Result<Told, Fault> {
    let provider = ctx.ask(&ProviderById { id: job.provider_id }).await?;
    let provider = provider.ok_or(Fault::new("a job has lost its provider"))?;
    let key = ctx.app().vault().unwrap(&job.data_key, job.connection_id.as_str())?;
    let token = key.open_text(job.connection_id.as_str(), &job.token)?;
    match job.kind {
        JobKind::TellBank | JobKind::RevokeOrphan => {
            if lives_on(ctx, &provider, job, job.identity.clone()).await? {
                return Ok(Told::overtaken());
            }
            let (attempt, outcome) = Endpoint::new(ctx, &provider, whom(job)).revoke(token.expose()).await;
            Ok(Told { attempt, outcome, in_hand: None })
        }
        JobKind::RecoverCode => Recovery { ctx, job, provider: &provider, key }.run(&token).await,
    }
}

fn whom(job: &Job) -> Whom {
    job.client_id.clone().map_or_else(|| Whom::Of(job.connection_id.clone()), Whom::Recipient)
}

/// Whether to revoke a job's token would end a live connection too.
async fn lives_on(
    ctx: &Ctx,
    provider: &Provider,
    job: &Job,
    identity: Option<Vec<u8>>,
) -> Result<bool, Fault> {
    match provider.settings.bank_grant {
        BankGrant::PerToken => Ok(false),
        BankGrant::PerClientCustomer => {
            let connection_id = job.connection_id.clone();
            Ok(ctx.ask(&GrantLivesOn { provider_id: provider.id, connection_id, identity }).await?)
        }
    }
}

/// An exchange that broke off: what the provider gives for its code now is revoked at once.
struct Recovery<'a> {
    ctx: &'a Ctx,
    job: &'a Job,
    provider: &'a Provider,
    key: DataKey,
}

impl Recovery<'_> {
    async fn run(&self, code: &Secret<String>) -> Result<Told, Fault> {
        let connection = self.job.connection_id.as_str();
        let sealed = self.job.verifier.as_deref().ok_or(Fault::new("a code has lost its verifier"))?;
        let verifier = self.key.open_text(connection, sealed)?;
        let redirect_uri = callback_uri(self.ctx.app().public_url(), self.provider.id);
        if !self.ctx.app().may_begin(self.ctx.now())? {
            return Ok(Told::later(&"there was no time left under the lease"));
        }
        let endpoint = Endpoint::new(self.ctx, self.provider, whom(self.job));
        let grant =
            Grant::Code { code: code.expose(), redirect_uri: &redirect_uri, verifier: verifier.expose() };
        let reply = match endpoint.token(grant).await {
            Ok(reply) => reply,
            Err(over @ Upstream::GrantOver) => {
                return Ok(Told { attempt: Attempt::Over, outcome: over.to_string(), in_hand: None });
            }
            Err(Upstream::RateLimited(after)) => {
                let attempt = Attempt::Later { retry_after: Some(after) };
                return Ok(Told { attempt, ..Told::later(&"the provider limits our rate") });
            }
            Err(other) => return Ok(Told::later(&other)),
        };
        let identity = identity(self.ctx, self.provider, &reply);
        if lives_on(self.ctx, self.provider, self.job, identity.clone()).await? {
            return Ok(Told::overtaken());
        }
        let token = reply.refresh_token.unwrap_or(reply.access_token);
        let (attempt, said) = endpoint.revoke(token.expose()).await;
        let outcome = format!("tokens came, their revocation: {said}");
        let in_hand = match attempt {
            Attempt::Accepted => None,
            _ => Some(InHand { token: self.key.seal(connection, token.expose().as_bytes())?, identity }),
        };
        Ok(Told { attempt: Attempt::Accepted, outcome, in_hand })
    }
}
