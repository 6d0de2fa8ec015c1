//! The context of one request or job: the app, and the moment, read and drawn once.

use std::sync::Arc;

use aws_lc_rs::rand::SecureRandom;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::id::{IdSource, Seed};
use domain::{Moment, Secret, Timestamp};
use store::{Command, Query, StoreError};

use crate::app::App;

/// The app, and the moment that a request or job happens in.
#[derive(Clone)]
pub struct Ctx {
    app: App,
    moment: Moment,
}

/// The system gives no random bytes, or no time that could be trusted: nothing can be done safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node cannot go on: {0}")]
pub struct Unfit(pub &'static str);

impl Ctx {
    /// Reads the clock and draws the seed.
    pub fn new(app: App, correlation_id: Arc<str>) -> Result<Self, Unfit> {
        let now = app.now()?;
        let mut seed = [0; 16];
        app.fill(&mut seed)?;
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
    pub fn moment(&self) -> Result<Moment, Unfit> {
        Ok(Self::new(self.app.clone(), Arc::clone(&self.moment.correlation_id))?.moment)
    }

    /// The same request, later: with a time that is read anew.
    pub fn later(&self) -> Result<Self, Unfit> {
        Self::new(self.app.clone(), Arc::clone(&self.moment.correlation_id))
    }

    /// The correlation id.
    pub fn correlation_id(&self) -> &str {
        &self.moment.correlation_id
    }

    /// Ids of this request, for what is born outside of a command.
    pub fn ids(&self) -> Result<IdSource, Unfit> {
        let moment = self.moment()?;
        Ok(IdSource::new(moment.now, moment.seed))
    }

    /// 256 fresh bits.
    pub fn random(&self) -> Result<Secret<[u8; 32]>, Unfit> {
        let mut bytes = [0; 32];
        self.app.fill(&mut bytes)?;
        Ok(Secret::new(bytes))
    }

    /// 256 fresh bits as text that needs no encoding anywhere.
    pub fn secret(&self) -> Result<Secret<String>, Unfit> {
        Ok(Secret::new(URL_SAFE_NO_PAD.encode(self.random()?.expose())))
    }

    /// Runs a command.
    pub async fn run<C: Command>(&self, command: C) -> Result<C::Reply, StoreError> {
        self.app.store().run(command).await
    }

    /// Answers a query.
    pub async fn ask<Q: Query>(&self, query: &Q) -> Result<Q::Reply, StoreError> {
        self.app.store().ask(query).await
    }
}

/// The system's generator.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), Unfit> {
    aws_lc_rs::rand::SystemRandom::new().fill(bytes).map_err(|_| Unfit("no random bytes"))
}
