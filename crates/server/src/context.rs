//! The context of one request or job: the app, the time, the random seed, and the caller whose authority its commands verify.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::id::{IdSource, Seed};
use domain::rule::access_denial::{DenialReason, DeniedCaller};
use domain::rule::authority::Authority;
use domain::{Moment, Secret, Timestamp};
use store::command::{EndConnection, EndOutcome};
use store::{Command, Query, StoreError};

use crate::access_attempt::AccessAttempt;
use crate::app::App;
use crate::error::ContextError;

/// The app together with the time, seed and correlation id of one request or job.
///
/// The time is read when the context is created, so that all checks of a request use the same time.
#[derive(Clone)]
pub struct RequestContext {
    app: App,
    moment: Moment,
    /// The operator or partner whose request this is. Every command verifies its authority again.
    caller: Option<Arc<Caller>>,
}

/// The caller of a request, whose authority can end before its commands are committed.
struct Caller {
    authority: Authority,
    attempt: AccessAttempt,
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
        Ok(Self { app, moment: Moment { now, seed: Seed::new(seed), correlation_id }, caller: None })
    }

    /// Returns the context for the commands of an authenticated caller. Each of them does nothing if the caller was removed or
    /// suspended in the meantime; the request then counts as refused. A caller without an authority is not verified again.
    pub fn for_caller(&self, authority: Option<Authority>, attempt: &AccessAttempt) -> Self {
        let caller = authority.map(|authority| Arc::new(Caller { authority, attempt: attempt.clone() }));
        Self { caller, ..self.clone() }
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
        Ok(Self { caller: self.caller.clone(), ..refreshed })
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
        let Some(caller) = &self.caller else { return self.app.store().run(command).await };
        let reply = self.app.store().run_authorized(caller.authority.clone(), command).await;
        reply.inspect_err(|error| self.count_refusal(caller, error))
    }

    /// Runs the request to end a connection. Requests that wait at the same time share a transaction, except those of operators
    /// and partners.
    pub async fn end_connection(&self, request: EndConnection) -> Result<EndOutcome, StoreError> {
        let Some(caller) = &self.caller else { return self.app.store().end_connection(request).await };
        let outcome = self.app.store().end_connection_authorized(caller.authority.clone(), request).await;
        outcome.inspect_err(|error| self.count_refusal(caller, error))
    }

    /// Counts the request as refused if its caller has lost its authority.
    fn count_refusal(&self, caller: &Caller, error: &StoreError) {
        if matches!(error, StoreError::CallerRefused(_)) {
            let denied = match &caller.authority {
                Authority::Operator(operator) => DeniedCaller::Operator(operator.id.clone()),
                Authority::Partner(partner) => DeniedCaller::Client(partner.id.clone()),
            };
            caller.attempt.deny(&self.app, self.now(), denied, DenialReason::AuthorityLost);
        }
    }

    /// Runs a query, which only reads from the store.
    pub async fn ask<Q: Query>(&self, query: &Q) -> Result<Q::Reply, StoreError> {
        self.app.store().query(query).await
    }
}

/// Creates the id (`jti`) of a signed JWT. It cannot be guessed, and no other JWT has it.
pub(crate) fn create_jwt_id() -> Result<String, ContextError> {
    let mut random = [0; 16];
    fill_random(&mut random)?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

/// Fills a buffer with random bytes of the operating system.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), ContextError> {
    // The generator of aws-lc would first collect entropy of its own, which takes longer than the start of the hub.
    getrandom::fill(bytes).map_err(|_| ContextError("the random generator of the system failed"))
}
