//! The context of one request or job: the app, and the moment, read and drawn once.

use std::sync::Arc;

use aws_lc_rs::rand::SecureRandom;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::id::{IdSource, Seed};
use domain::{Moment, Secret, Timestamp};
use store::{Command, Query, StoreError};

use crate::app::App;
use crate::error::ContextError;

/// The app, and the moment that a request or job happens in.
#[derive(Clone)]
pub struct RequestContext {
    app: App,
    moment: Moment,
}

impl RequestContext {
    /// Reads the clock and draws the seed.
    pub fn new(app: App, correlation_id: Arc<str>) -> Result<Self, ContextError> {
        let now = app.now()?;
        let mut seed = [0; 16];
        fill_random(&mut seed)?;
        Ok(Self { app, moment: Moment { now, seed: Seed::new(seed), correlation_id } })
    }

    /// Everything that the hub is made of.
    pub const fn app(&self) -> &App {
        &self.app
    }

    /// The time of this request or job.
    pub const fn now(&self) -> Timestamp {
        self.moment.now
    }

    /// The moment, for one command. Each command of a request has a seed of its own.
    pub fn new_moment(&self) -> Result<Moment, ContextError> {
        Ok(Self::new(self.app.clone(), Arc::clone(&self.moment.correlation_id))?.moment)
    }

    /// The same request, later: with a time that is read anew.
    pub fn refreshed(&self) -> Result<Self, ContextError> {
        Self::new(self.app.clone(), Arc::clone(&self.moment.correlation_id))
    }

    /// The correlation id.
    pub fn correlation_id(&self) -> &str {
        &self.moment.correlation_id
    }

    /// Ids of this request, for what is born outside of a command.
    pub fn new_id_source(&self) -> Result<IdSource, ContextError> {
        let moment = self.new_moment()?;
        Ok(IdSource::new(moment.now, moment.seed))
    }

    /// 256 fresh bits.
    pub fn random_bytes(&self) -> Result<Secret<[u8; 32]>, ContextError> {
        let mut bytes = [0; 32];
        fill_random(&mut bytes)?;
        Ok(Secret::new(bytes))
    }

    /// 256 fresh bits as text that needs no encoding anywhere.
    pub fn random_secret(&self) -> Result<Secret<String>, ContextError> {
        Ok(Secret::new(URL_SAFE_NO_PAD.encode(self.random_bytes()?.expose())))
    }

    /// Runs a command.
    pub async fn run<C: Command>(&self, command: C) -> Result<C::Reply, StoreError> {
        self.app.store().run(command).await
    }

    /// Answers a query.
    pub async fn ask<Q: Query>(&self, query: &Q) -> Result<Q::Reply, StoreError> {
        self.app.store().query(query).await
    }
}

/// The system's generator.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), ContextError> {
    aws_lc_rs::rand::SystemRandom::new().fill(bytes).map_err(|_| ContextError("no random bytes"))
}
