//! The context of one request or job: the app, the time, the random seed, and the operator if it is the request of one.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::id::{IdSource, Seed};
use domain::rule::operator::{Operator, OperatorAuthority};
use domain::{Moment, Secret, Timestamp};
use store::command::{EndConnection, EndOutcome};
use store::{Command, Query, StoreError};

use crate::app::App;
use crate::error::ContextError;

/// The app together with the time, seed and correlation id of one request or job.
///
/// The time is read when the context is created, so that all checks of a request use the same time.
#[derive(Clone)]
pub struct RequestContext {
    app: App,
    moment: Moment,
    /// The operator whose request this is, with the role that the operation requires. Every command verifies it again.
    operator: Option<OperatorAuthority>,
}

impl RequestContext {
    /// Creates a context with the current time and a new random seed.
    pub fn new(app: App, correlation_id: Arc<str>) -> Result<Self, ContextError> {
        let mut seed = [0; 16];
        fill_random(&mut seed)?;
        Self::with_seed(app, correlation_id, seed)
    }

    /// Creates a context with the current time and 16 random bytes that are used for nothing else.
    pub(crate) fn with_seed(
        app: App,
        correlation_id: Arc<str>,
        seed: [u8; 16],
    ) -> Result<Self, ContextError> {
        let now = app.now()?;
        Ok(Self { app, moment: Moment { now, seed: Seed::new(seed), correlation_id }, operator: None })
    }

    /// Returns the context for the commands of an authenticated operator. Each of them does nothing if the operator was removed
    /// in the meantime.
    pub fn for_operator(&self, operator: &Operator) -> Self {
        Self { operator: operator.authority().cloned(), ..self.clone() }
    }

    pub const fn app(&self) -> &App {
        &self.app
    }

    /// Returns the time at which this context was created.
    pub const fn now(&self) -> Timestamp {
        self.moment.now
    }

    /// Returns the time, seed and correlation id for one command.
    ///
    /// Each command gets the current time, and a seed of its own: two commands with one seed would generate the same ids.
    pub fn new_moment(&self) -> Result<Moment, ContextError> {
        Ok(Self::new(self.app.clone(), Arc::clone(&self.moment.correlation_id))?.moment)
    }

    /// Returns the context of the same request with the current time, for use after a call to a provider.
    pub fn refreshed(&self) -> Result<Self, ContextError> {
        let refreshed = Self::new(self.app.clone(), Arc::clone(&self.moment.correlation_id))?;
        Ok(Self { operator: self.operator.clone(), ..refreshed })
    }

    pub fn correlation_id(&self) -> &str {
        &self.moment.correlation_id
    }

    /// Returns a source of ids for objects that are created outside of a command.
    pub fn new_id_source(&self) -> Result<IdSource, ContextError> {
        let moment = self.new_moment()?;
        Ok(IdSource::new(moment.now, moment.seed))
    }

    /// Generates 256 random bits, for a key or a secret.
    pub fn random_bytes(&self) -> Result<Secret<[u8; 32]>, ContextError> {
        let mut bytes = [0; 32];
        fill_random(&mut bytes)?;
        Ok(Secret::new(bytes))
    }

    /// Generates 256 random bits as text that needs no encoding in URLs, headers and cookies.
    pub fn random_secret(&self) -> Result<Secret<String>, ContextError> {
        Ok(Secret::new(URL_SAFE_NO_PAD.encode(self.random_bytes()?.expose())))
    }

    /// Runs a command in a transaction of its own.
    pub async fn run<C: Command>(&self, command: C) -> Result<C::Reply, StoreError> {
        match &self.operator {
            Some(operator) => self.app.store().run_for_operator(operator.clone(), command).await,
            None => self.app.store().run(command).await,
        }
    }

    /// Runs the request to end a connection. Requests that wait at the same time share a transaction, except those of operators.
    pub async fn end_connection(&self, request: EndConnection) -> Result<EndOutcome, StoreError> {
        match &self.operator {
            Some(operator) => self.app.store().end_connection_for_operator(operator.clone(), request).await,
            None => self.app.store().end_connection(request).await,
        }
    }

    /// Runs a query, which only reads from the store.
    pub async fn ask<Q: Query>(&self, query: &Q) -> Result<Q::Reply, StoreError> {
        self.app.store().query(query).await
    }
}

/// Fills a buffer with random bytes of the operating system.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), ContextError> {
    // The generator of aws-lc would first collect entropy of its own, which takes longer than the start of the hub.
    getrandom::fill(bytes).map_err(|_| ContextError("the random generator of the system failed"))
}
