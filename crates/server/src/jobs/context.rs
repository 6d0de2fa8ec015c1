//! Creates request contexts for background work, which has no HTTP request.

use std::sync::Arc;

use crate::app::App;
use crate::context::{RequestContext, fill_random};
use crate::error::InternalError;

/// Creates the context of one unit of background work. Its correlation id consists of `task`, a hyphen and a random
/// UUID.
pub fn new_job_context(app: &App, task: &str) -> Result<RequestContext, InternalError> {
    let mut random = [0; 16];
    fill_random(&mut random)?;
    let id = uuid::Builder::from_random_bytes(random).into_uuid();
    Ok(RequestContext::new(app.clone(), Arc::from(format!("{task}-{id}")))?)
}
