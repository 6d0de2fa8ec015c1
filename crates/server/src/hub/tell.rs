//! Telling a provider that a grant is over.

use domain::Secret;
use domain::model::job::{Attempt, Job, JobKind};
use domain::model::provider::Provider;
use store::query::ProviderById;

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
    /// A sealed token that came and could not be revoked.
    pub in_hand: Option<Vec<u8>>,
}

impl Told {
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
            let (attempt, outcome) = Endpoint::new(ctx, &provider).revoke(token.expose()).await;
            Ok(Told { attempt, outcome, in_hand: None })
        }
        JobKind::RecoverCode => Recovery { ctx, job, provider: &provider, key }.run(&token).await,
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
        let endpoint = Endpoint::new(self.ctx, self.provider);
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
        let token = reply.refresh_token.unwrap_or(reply.access_token);
        let (attempt, said) = endpoint.revoke(token.expose()).await;
        let outcome = format!("tokens came, their revocation: {said}");
        let in_hand = match attempt {
            Attempt::Accepted => None,
            _ => Some(self.key.seal(connection, token.expose().as_bytes())?),
        };
        Ok(Told { attempt: Attempt::Accepted, outcome, in_hand })
    }
}
