//! Telling a provider that a grant is over.

use domain::Secret;
use domain::id::ConnectionId;
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
    /// It came to this, and nothing is in hand.
    pub fn new(attempt: Attempt, outcome: impl Into<String>) -> Self {
        Self { attempt, outcome: outcome.into(), in_hand: None }
    }

    fn overtaken() -> Self {
        Self::new(Attempt::Overtaken, "a live connection of the customer hangs from the same grant")
    }

    /// Nothing was learnt: it is tried again.
    pub fn later(outcome: &impl ToString) -> Self {
        Self::new(Attempt::Later { retry_after: None }, outcome.to_string())
    }
}

/// Revokes at its provider what a job about a connection holds. `ctx` is of the moment in which the job was leased.
pub async fn tell(ctx: &Ctx, job: &Job) -> Result<Told, Fault> {
    let provider = ctx.ask(&ProviderById { id: job.provider_id }).await?;
    let provider = provider.ok_or(Fault::new("a job has lost its provider"))?;
    let connection = job.connection_id.as_ref().ok_or(Fault::new("a job has lost its connection"))?;
    let key = ctx.app().vault().unwrap(&job.data_key, connection.as_str())?;
    let token = key.open_text(connection.as_str(), &job.token)?;
    let telling = Telling { ctx, job, connection, provider: &provider, key };
    if job.kind == JobKind::RecoverCode {
        telling.recover(&token).await
    } else {
        telling.revoke(&token).await
    }
}

/// A job about what a provider granted.
struct Telling<'a> {
    ctx: &'a Ctx,
    job: &'a Job,
    connection: &'a ConnectionId,
    provider: &'a Provider,
    key: DataKey,
}

impl Telling<'_> {
    fn endpoint(&self) -> Endpoint<'_> {
        let of_connection = || Whom::Of(self.connection.clone());
        let whom = self.job.client_id.clone().map_or_else(of_connection, Whom::Recipient);
        Endpoint::new(self.ctx, self.provider, whom)
    }

    /// Whether to revoke the job's token would end a live connection too.
    async fn lives_on(&self, identity: Option<Vec<u8>>) -> Result<bool, Fault> {
        match self.provider.settings.bank_grant {
            BankGrant::PerToken => Ok(false),
            BankGrant::PerClientCustomer => {
                let (provider_id, connection_id) = (self.provider.id, self.connection.clone());
                Ok(self.ctx.ask(&GrantLivesOn { provider_id, connection_id, identity }).await?)
            }
        }
    }

    async fn revoke(&self, token: &Secret<String>) -> Result<Told, Fault> {
        if self.lives_on(self.job.identity.clone()).await? {
            return Ok(Told::overtaken());
        }
        let (attempt, outcome) = self.endpoint().revoke(token.expose()).await;
        Ok(Told::new(attempt, outcome))
    }

    /// An exchange that broke off: what the provider gives for its code now is revoked at once.
    async fn recover(&self, code: &Secret<String>) -> Result<Told, Fault> {
        let connection = self.connection.as_str();
        let sealed = self.job.verifier.as_deref().ok_or(Fault::new("a code has lost its verifier"))?;
        let verifier = self.key.open_text(connection, sealed)?;
        let redirect_uri = callback_uri(self.ctx.app().public_url(), self.provider.id);
        if !self.ctx.app().may_begin(self.ctx.now())? {
            return Ok(Told::later(&"there was no time left under the lease"));
        }
        let endpoint = self.endpoint();
        let grant =
            Grant::Code { code: code.expose(), redirect_uri: &redirect_uri, verifier: verifier.expose() };
        let reply = match endpoint.token(grant).await {
            Ok(reply) => reply,
            Err(over @ Upstream::GrantOver) => {
                return Ok(Told::new(Attempt::Over, over.to_string()));
            }
            Err(Upstream::RateLimited(after)) => {
                let attempt = Attempt::Later { retry_after: Some(after) };
                return Ok(Told { attempt, ..Told::later(&"the provider limits our rate") });
            }
            Err(other) => return Ok(Told::later(&other)),
        };
        let identity = identity(self.ctx, self.provider, &reply);
        if self.lives_on(identity.clone()).await? {
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
