//! The circuit breaker: endpoints of a provider that fail repeatedly are not called for some time.
//!
//! Without it, requests would wait for failing calls until their timeout, and the calls would load a recovering
//! provider.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::Timestamp;
use domain::id::ProviderId;
use domain::model::provider::EndpointGroup;

use crate::config::UpstreamSection;

/// The breaker of an endpoint group is open: its endpoints must not be called now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerOpenError;

/// The outcome of a call for the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerSignal {
    /// The provider responded without a server error.
    Succeeded,
    /// The provider failed, or did not respond.
    Failed,
    /// The hub could not send the call, which proves nothing about the provider.
    NotSent,
}

/// The circuit breakers of all providers, in the memory of this node. Each group of endpoints has its own breaker.
pub struct Breaker {
    failure_threshold: u32,
    open_for: Duration,
    /// Entries are never removed. There are at most four for each provider.
    states: Mutex<HashMap<(ProviderId, EndpointGroup), BreakerState>>,
    /// The clients that providers have rejected, each with the time until which it is not used; `None` if it was accepted
    /// again. A provider has one client, or one for each registration.
    rejected_clients: Mutex<HashMap<(ProviderId, String), Option<Timestamp>>>,
}

#[derive(Clone, Copy, Default)]
struct BreakerState {
    failures: u32,
    open_until: Option<Timestamp>,
}

impl BreakerState {
    fn is_open(&self, now: Timestamp) -> bool {
        self.open_until.is_some_and(|until| now < until)
    }
}

impl Breaker {
    /// Creates the breakers, all of them closed.
    pub fn new(section: &UpstreamSection) -> Self {
        Self {
            failure_threshold: section.breaker_failures.max(1),
            open_for: section.breaker_open.duration(),
            states: Mutex::default(),
            rejected_clients: Mutex::default(),
        }
    }

    /// Returns an error if the provider rejects the client. After the open time, one trial call is allowed.
    pub(crate) fn ensure_client_accepted(
        &self,
        provider: ProviderId,
        client: &str,
        now: Timestamp,
    ) -> Result<(), BreakerOpenError> {
        let mut clients = self.lock_clients();
        // Usually no client is rejected.
        if clients.is_empty() {
            return Ok(());
        }
        match clients.get_mut(&(provider, client.to_owned())) {
            Some(Some(until)) if now < *until => Err(BreakerOpenError),
            Some(Some(until)) => {
                *until = now.plus(self.open_for);
                Ok(())
            }
            Some(None) | None => Ok(()),
        }
    }

    /// Records that a provider rejects a client.
    pub(crate) fn reject_client(&self, provider: ProviderId, client: &str, now: Timestamp) {
        self.lock_clients().insert((provider, client.to_owned()), Some(now.plus(self.open_for)));
    }

    /// Records that a provider accepts a client.
    pub(crate) fn accept_client(&self, provider: ProviderId, client: &str) {
        let mut clients = self.lock_clients();
        if clients.is_empty() {
            return;
        }
        if let Some(until) = clients.get_mut(&(provider, client.to_owned())) {
            *until = None;
        }
    }

    /// Returns the number of rejected clients of each provider that has ever rejected one.
    pub(crate) fn count_rejected_clients(&self) -> HashMap<ProviderId, u32> {
        let mut counts = HashMap::new();
        for ((provider, _), until) in self.lock_clients().iter() {
            *counts.entry(*provider).or_default() += u32::from(until.is_some());
        }
        counts
    }

    fn lock_clients(&self) -> MutexGuard<'_, HashMap<(ProviderId, String), Option<Timestamp>>> {
        self.rejected_clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns an error if endpoints must not be called now. After the open time, one trial call is allowed.
    pub(crate) fn ensure_closed(
        &self,
        provider: ProviderId,
        group: EndpointGroup,
        now: Timestamp,
    ) -> Result<(), BreakerOpenError> {
        let mut states = self.lock();
        let Some(state) = states.get_mut(&(provider, group)) else { return Ok(()) };
        if state.is_open(now) {
            return Err(BreakerOpenError);
        }
        if state.open_until.is_some() {
            // This is the trial call. Other calls stay blocked until its outcome is recorded or the open time has
            // passed again.
            state.open_until = Some(now.plus(self.open_for));
        }
        Ok(())
    }

    /// Returns whether the breaker of an endpoint group is open.
    pub fn is_open(&self, provider: ProviderId, group: EndpointGroup, now: Timestamp) -> bool {
        self.lock().get(&(provider, group)).is_some_and(|state| state.is_open(now))
    }

    /// Returns the maximum number of concurrent calls of jobs to an endpoint group: `max` if its last call succeeded,
    /// one if it failed or there was none, and none while the breaker is open.
    pub(crate) fn call_limit(
        &self,
        provider: ProviderId,
        group: EndpointGroup,
        now: Timestamp,
        max: usize,
    ) -> usize {
        match self.lock().get(&(provider, group)) {
            Some(state) if state.is_open(now) => 0,
            Some(BreakerState { failures: 0, .. }) => max,
            // This includes the trial call of a breaker whose open time has passed.
            _ => max.min(1),
        }
    }

    /// Lists every endpoint group that has been called since the start of this node, and whether its breaker is open.
    pub(crate) fn list(&self, now: Timestamp) -> Vec<(ProviderId, EndpointGroup, bool)> {
        self.lock().iter().map(|((provider, group), state)| (*provider, *group, state.is_open(now))).collect()
    }

    /// Records the outcome of a call. A success closes the breaker.
    pub(crate) fn record_outcome(
        &self,
        provider: ProviderId,
        group: EndpointGroup,
        outcome: BreakerSignal,
        now: Timestamp,
    ) {
        let mut states = self.lock();
        let state = states.entry((provider, group)).or_default();
        match outcome {
            BreakerSignal::Succeeded => *state = BreakerState::default(),
            BreakerSignal::Failed => {
                state.failures = state.failures.saturating_add(1);
                if state.failures >= self.failure_threshold {
                    state.open_until = Some(now.plus(self.open_for));
                }
            }
            // If this was the trial call, the next call is the trial instead.
            BreakerSignal::NotSent => state.open_until = state.open_until.map(|until| until.min(now)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(ProviderId, EndpointGroup), BreakerState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(30);
    const PROVIDER: ProviderId = ProviderId::new(1);
    const NOW: Timestamp = Timestamp::from_millis(0);
    const GROUP: EndpointGroup = EndpointGroup::Data;

    fn breaker_after(failures: u32) -> Breaker {
        let breaker = Breaker {
            failure_threshold: 2,
            open_for: OPEN_FOR,
            states: Mutex::default(),
            rejected_clients: Mutex::default(),
        };
        for _ in 0..failures {
            breaker.record_outcome(PROVIDER, GROUP, BreakerSignal::Failed, NOW);
        }
        breaker
    }

    #[test]
    fn breaker_allows_one_trial_call_and_closes_on_success() {
        let breaker = breaker_after(1);
        assert_eq!(breaker.ensure_closed(PROVIDER, GROUP, NOW), Ok(()));
        breaker.record_outcome(PROVIDER, GROUP, BreakerSignal::Failed, NOW);
        assert_eq!(breaker.ensure_closed(PROVIDER, GROUP, NOW), Err(BreakerOpenError));
        assert!(breaker.is_open(PROVIDER, GROUP, NOW));

        let later = NOW.plus(OPEN_FOR);
        assert_eq!(breaker.ensure_closed(PROVIDER, GROUP, later), Ok(()));
        let second = breaker.ensure_closed(PROVIDER, GROUP, later);
        assert_eq!(second, Err(BreakerOpenError), "only one trial call is allowed");

        breaker.record_outcome(PROVIDER, GROUP, BreakerSignal::Succeeded, later);
        assert_eq!(breaker.ensure_closed(PROVIDER, GROUP, later), Ok(()));
    }

    #[test]
    fn rejected_client_is_probed_and_affects_no_other_client() {
        let breaker = breaker_after(0);
        let (later, count) = (NOW.plus(OPEN_FOR), |breaker: &Breaker| breaker.count_rejected_clients());
        breaker.reject_client(PROVIDER, "a", NOW);

        assert_eq!(breaker.ensure_client_accepted(PROVIDER, "a", NOW), Err(BreakerOpenError));
        assert_eq!(breaker.ensure_client_accepted(PROVIDER, "b", NOW), Ok(()));
        assert_eq!(breaker.ensure_client_accepted(ProviderId::new(2), "a", NOW), Ok(()));
        assert_eq!(breaker.ensure_closed(PROVIDER, EndpointGroup::Token, NOW), Ok(()));
        assert_eq!(count(&breaker), HashMap::from([(PROVIDER, 1)]));

        assert_eq!(breaker.ensure_client_accepted(PROVIDER, "a", later), Ok(()));
        let second = breaker.ensure_client_accepted(PROVIDER, "a", later);
        assert_eq!(second, Err(BreakerOpenError), "only one trial call is allowed");

        breaker.accept_client(PROVIDER, "a");
        assert_eq!(breaker.ensure_client_accepted(PROVIDER, "a", later), Ok(()));
        assert_eq!(count(&breaker), HashMap::from([(PROVIDER, 0)]));
    }

    #[test]
    fn breaker_affects_no_other_provider_or_endpoint_group() {
        let breaker = breaker_after(2);

        assert!(!breaker.is_open(ProviderId::new(2), GROUP, NOW));
        for group in EndpointGroup::ALL.iter().copied().filter(|group| *group != GROUP) {
            assert_eq!(breaker.ensure_closed(PROVIDER, group, NOW), Ok(()), "{group}");
        }
        assert_eq!(breaker.list(NOW), [(PROVIDER, GROUP, true)]);
    }

    #[test]
    fn failed_calls_reduce_the_number_of_concurrent_calls() {
        let limit = |breaker: &Breaker, now| breaker.call_limit(PROVIDER, GROUP, now, 4);

        assert_eq!([0, 1, 2].map(|failures| limit(&breaker_after(failures), NOW)), [1, 1, 0]);
        let breaker = breaker_after(2);
        assert_eq!(limit(&breaker, NOW.plus(OPEN_FOR)), 1, "the trial call");
        breaker.record_outcome(PROVIDER, GROUP, BreakerSignal::Succeeded, NOW);
        assert_eq!(limit(&breaker, NOW), 4);
    }

    #[test]
    fn unsent_trial_call_leaves_the_trial_to_the_next_call() {
        let breaker = breaker_after(2);
        let later = NOW.plus(OPEN_FOR);
        assert_eq!(breaker.ensure_closed(PROVIDER, GROUP, later), Ok(()));

        breaker.record_outcome(PROVIDER, GROUP, BreakerSignal::NotSent, later);

        assert_eq!(breaker.ensure_closed(PROVIDER, GROUP, later), Ok(()));
        assert!(breaker.is_open(PROVIDER, GROUP, later));
    }
}
