//! The circuit breaker: endpoints of a provider that fail repeatedly are not called for some time.
//!
//! Without it, requests would wait for failing calls until their timeout, and the calls would load a recovering
//! provider.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::Timestamp;
use domain::id::{ClientId, ProviderId};
use domain::model::provider::EndpointGroup;
use domain::rule::circuit_breaker::{BreakerPolicy, BreakerSignal, CircuitBreaker, OpenedCircuit};

use crate::config::UpstreamSection;

/// The breaker of an endpoint group is open: its endpoints must not be called now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerOpenError;

/// The circuit breakers of all providers, in the memory of this node. Each group of endpoints has its own breaker.
pub struct Breaker {
    policy: BreakerPolicy,
    /// Entries are never removed. There are at most as many for each provider as there are groups.
    circuits: Mutex<HashMap<(ProviderId, EndpointGroup), CircuitBreaker>>,
    /// The clients that providers have rejected, each with the time until which it is not used; `None` if it was accepted
    /// again. A provider has one client, or one for each registration.
    rejected_clients: Mutex<HashMap<(ProviderId, String), Option<Timestamp>>>,
}

impl Breaker {
    /// Creates the breakers, all of them closed.
    pub fn new(section: &UpstreamSection) -> Self {
        Self {
            policy: BreakerPolicy {
                failures: section.breaker_failures.max(1),
                open_for: section.breaker_open.duration(),
            },
            circuits: Mutex::default(),
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
                *until = now.plus(self.policy.open_for);
                Ok(())
            }
            Some(None) | None => Ok(()),
        }
    }

    /// Records that a provider rejects a client.
    pub(crate) fn reject_client(&self, provider: ProviderId, client: &str, now: Timestamp) {
        self.lock_clients().insert((provider, client.to_owned()), Some(now.plus(self.policy.open_for)));
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

    /// Returns an error if endpoints must not be called now, at all or on behalf of a recipient. After the open time, one
    /// trial call is allowed.
    pub(crate) fn ensure_closed(
        &self,
        provider: ProviderId,
        group: EndpointGroup,
        recipient: Option<&ClientId>,
        now: Timestamp,
    ) -> Result<(), BreakerOpenError> {
        let recipient = recipient.filter(|_| counts_recipients(group));
        let mut circuits = self.lock();
        let Some(circuit) = circuits.get_mut(&(provider, group)) else { return Ok(()) };
        if circuit.allow_call(self.policy, recipient, now) { Ok(()) } else { Err(BreakerOpenError) }
    }

    /// Returns whether the breaker of an endpoint group is open for a recipient.
    pub fn is_open(
        &self,
        provider: ProviderId,
        group: EndpointGroup,
        recipient: &ClientId,
        now: Timestamp,
    ) -> bool {
        self.lock().get(&(provider, group)).is_some_and(|circuit| circuit.is_open(Some(recipient), now))
    }

    /// Returns the maximum number of concurrent calls of jobs to an endpoint group: `max` if its last call succeeded,
    /// one if it failed or there was none, and none while the breaker is open for all.
    pub(crate) fn call_limit(
        &self,
        provider: ProviderId,
        group: EndpointGroup,
        now: Timestamp,
        max: usize,
    ) -> usize {
        match self.lock().get(&(provider, group)) {
            Some(circuit) if circuit.is_open(None, now) => 0,
            Some(circuit) if !circuit.has_failures() => max,
            // This includes the trial call of a breaker whose open time has passed.
            _ => max.min(1),
        }
    }

    /// Lists every endpoint group that has been called since the start of this node, and whether its breaker is open for
    /// all.
    pub(crate) fn list(&self, now: Timestamp) -> Vec<(ProviderId, EndpointGroup, bool)> {
        let circuits = self.lock();
        circuits
            .iter()
            .map(|((provider, group), circuit)| (*provider, *group, circuit.is_open(None, now)))
            .collect()
    }

    /// Records the outcome of a call that was sent on behalf of a recipient.
    pub(crate) fn record_outcome(
        &self,
        provider: ProviderId,
        group: EndpointGroup,
        recipient: &ClientId,
        outcome: BreakerSignal,
        now: Timestamp,
    ) {
        let counted = Some(recipient).filter(|_| counts_recipients(group));
        let opened =
            self.lock().entry((provider, group)).or_default().record(self.policy, counted, outcome, now);
        match opened {
            Some(OpenedCircuit::OfAll) => {
                tracing::warn!(%provider, endpoint = %group, "the circuit breaker of a provider has opened");
            }
            Some(OpenedCircuit::OfRecipient) => {
                tracing::warn!(%provider, endpoint = %group, %recipient,
                    "the circuit breaker of a provider has opened for one recipient");
            }
            None => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(ProviderId, EndpointGroup), CircuitBreaker>> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether the failures of an endpoint group are counted for each recipient. Revocations and registrations are calls
/// of jobs, whose queue all recipients share and which wait as one.
const fn counts_recipients(group: EndpointGroup) -> bool {
    match group {
        EndpointGroup::Token
        | EndpointGroup::Data
        | EndpointGroup::PushedAuthorization
        | EndpointGroup::ClientCredentials => true,
        EndpointGroup::Revocation | EndpointGroup::Registration => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(30);
    const PROVIDER: ProviderId = ProviderId::new(1);
    const NOW: Timestamp = Timestamp::from_millis(0);

    fn acme() -> ClientId {
        "dc-acme".parse().unwrap()
    }

    fn breaker_after(group: EndpointGroup, failures: u32) -> Breaker {
        let breaker = Breaker {
            policy: BreakerPolicy { failures: 2, open_for: OPEN_FOR },
            circuits: Mutex::default(),
            rejected_clients: Mutex::default(),
        };
        for _ in 0..failures {
            breaker.record_outcome(PROVIDER, group, &acme(), BreakerSignal::Failed, NOW);
        }
        breaker
    }

    #[test]
    fn rejected_client_is_probed_and_affects_no_other_client() {
        let breaker = breaker_after(EndpointGroup::Data, 0);
        let (later, count) = (NOW.plus(OPEN_FOR), |breaker: &Breaker| breaker.count_rejected_clients());
        breaker.reject_client(PROVIDER, "a", NOW);

        assert_eq!(breaker.ensure_client_accepted(PROVIDER, "a", NOW), Err(BreakerOpenError));
        assert_eq!(breaker.ensure_client_accepted(PROVIDER, "b", NOW), Ok(()));
        assert_eq!(breaker.ensure_client_accepted(ProviderId::new(2), "a", NOW), Ok(()));
        assert_eq!(breaker.ensure_closed(PROVIDER, EndpointGroup::Token, None, NOW), Ok(()));
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
        const GROUP: EndpointGroup = EndpointGroup::Revocation;
        let breaker = breaker_after(GROUP, 2);

        assert!(breaker.is_open(PROVIDER, GROUP, &acme(), NOW));
        assert!(!breaker.is_open(ProviderId::new(2), GROUP, &acme(), NOW));
        for group in EndpointGroup::ALL.iter().copied().filter(|group| *group != GROUP) {
            assert_eq!(breaker.ensure_closed(PROVIDER, group, Some(&acme()), NOW), Ok(()), "{group}");
        }
        assert_eq!(breaker.list(NOW), [(PROVIDER, GROUP, true)]);
    }

    #[test]
    fn only_groups_of_job_queues_stop_for_one_recipient() {
        let is_open_for_all =
            |group| breaker_after(group, 2).ensure_closed(PROVIDER, group, None, NOW).is_err();

        let open: Vec<_> =
            EndpointGroup::ALL.iter().copied().filter(|group| is_open_for_all(*group)).collect();

        assert_eq!(open, [EndpointGroup::Revocation, EndpointGroup::Registration]);
    }

    #[test]
    fn failed_calls_reduce_the_number_of_concurrent_calls() {
        const GROUP: EndpointGroup = EndpointGroup::Revocation;
        let limit = |breaker: &Breaker, now| breaker.call_limit(PROVIDER, GROUP, now, 4);

        assert_eq!([0, 1, 2].map(|failures| limit(&breaker_after(GROUP, failures), NOW)), [1, 1, 0]);
        let breaker = breaker_after(GROUP, 2);
        assert_eq!(limit(&breaker, NOW.plus(OPEN_FOR)), 1, "the trial call");
        breaker.record_outcome(PROVIDER, GROUP, &acme(), BreakerSignal::Succeeded, NOW);
        assert_eq!(limit(&breaker, NOW), 4);
    }
}
