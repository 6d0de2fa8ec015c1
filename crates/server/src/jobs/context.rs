//! The context of deferred work.

use std::sync::Arc;

use crate::app::App;
use crate::context::{RequestContext, fill_random};
use crate::error::InternalError;

/// The context of a job.
pub fn new_job_context(app: &App, part: &str) -> Result<RequestContext, InternalError> {
    let mut random = [0; 16];
    fill_random(&mut random)?;
    let id = uuid::Builder::from_random_bytes(random).into_uuid();
    Ok(RequestContext::new(app.clone(), Arc::from(format!("{part}-{id}")))?)
}
