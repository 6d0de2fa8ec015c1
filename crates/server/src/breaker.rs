//! The circuit breaker: a provider that fails repeatedly is not called for some time.
//!
//! Without it, requests would wait for failing calls until their timeout, and the calls would load a recovering
//! provider.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::Timestamp;
use domain::id::ProviderId;

use crate::config::UpstreamSection;

/// The breaker of a provider is open: the provider must not be called now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerOpenError;

/// The circuit breakers of all providers, in the memory of this node.
pub struct Breaker {
    failure_threshold: u32,
    open_for: Duration,
    states: Mutex<HashMap<ProviderId, BreakerState>>,
}

#[derive(Default)]
struct BreakerState {
    failures: u32,
    open_until: Option<Timestamp>,
}

impl Breaker {
    /// Creates the breakers, all of them closed.
    pub fn new(section: &UpstreamSection) -> Self {
        Self {
            failure_threshold: section.breaker_failures.max(1),
            open_for: section.breaker_open.duration(),
            states: Mutex::default(),
        }
    }

    /// Returns an error if a provider must not be called now. After the open time, one trial call is allowed.
    pub(crate) fn ensure_closed(&self, provider: ProviderId, now: Timestamp) -> Result<(), BreakerOpenError> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = states.get_mut(&provider) else { return Ok(()) };
        match state.open_until {
            Some(until) if now < until => Err(BreakerOpenError),
            // This is the trial call. Other calls stay blocked until its outcome is recorded or the open time has
            // passed again.
            Some(_) => {
                state.open_until = Some(now.plus(self.open_for));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Returns whether the breaker of a provider is open.
    pub fn is_open(&self, provider: ProviderId, now: Timestamp) -> bool {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.get(&provider).and_then(|state| state.open_until).is_some_and(|until| now < until)
    }

    /// Records the outcome of a call. A success closes the breaker.
    pub(crate) fn record_outcome(&self, provider: ProviderId, succeeded: bool, now: Timestamp) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if succeeded {
            states.remove(&provider);
            return;
        }
        let state = states.entry(provider).or_default();
        state.failures += 1;
        if state.failures >= self.failure_threshold {
            state.open_until = Some(now.plus(self.open_for));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaker_allows_one_trial_call_and_closes_on_success() {
        let open_for = Duration::from_secs(30);
        let breaker = Breaker { failure_threshold: 2, open_for, states: Mutex::default() };
        let (provider, now) = (ProviderId::new(1), Timestamp::from_millis(0));
        breaker.record_outcome(provider, false, now);
        assert_eq!(breaker.ensure_closed(provider, now), Ok(()));
        breaker.record_outcome(provider, false, now);
        assert_eq!(breaker.ensure_closed(provider, now), Err(BreakerOpenError));
        assert!(breaker.is_open(provider, now) && !breaker.is_open(ProviderId::new(2), now));
        assert_eq!(
            breaker.ensure_closed(ProviderId::new(2), now),
            Ok(()),
            "other providers are not affected"
        );
        let later = now.plus(open_for);
        assert_eq!(breaker.ensure_closed(provider, later), Ok(()));
        assert_eq!(
            breaker.ensure_closed(provider, later),
            Err(BreakerOpenError),
            "only one trial call is allowed"
        );
        breaker.record_outcome(provider, true, later);
        assert_eq!(breaker.ensure_closed(provider, later), Ok(()));
    }
}
