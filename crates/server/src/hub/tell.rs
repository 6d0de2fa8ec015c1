//! Telling a provider that a grant is over.

use domain::model::job::{Attempt, Job};
use store::query::ProviderById;

use super::provider::Endpoint;
use crate::ctx::Ctx;
use crate::fault::Fault;

/// Revokes a job's token at its provider: how it went, in words for a person.
pub async fn tell(ctx: &Ctx, job: &Job) -> Result<(Attempt, String), Fault> {
    let provider = ctx.ask(&ProviderById { id: job.provider_id }).await?;
    let provider = provider.ok_or(Fault::new("a job has lost its provider"))?;
    let key = ctx.app().vault().unwrap(&job.data_key, job.connection_id.as_str())?;
    let token = key.open_text(job.connection_id.as_str(), &job.token)?;
    Ok(Endpoint::new(ctx, &provider).revoke(token.expose()).await)
}
