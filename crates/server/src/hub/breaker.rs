//! A provider that fails again and again is left alone for a while, for its sake and ours.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::Timestamp;
use domain::id::ProviderId;

use super::Upstream;
use crate::config::UpstreamSection;

/// Counts failures in a row for each provider.
pub struct Breaker {
    failures: u32,
    open_for: Duration,
    states: Mutex<HashMap<ProviderId, State>>,
}

#[derive(Default)]
struct State {
    failures: u32,
    open_until: Option<Timestamp>,
}

impl Breaker {
    /// Closed for everybody.
    pub fn new(section: &UpstreamSection) -> Self {
        Self {
            failures: section.breaker_failures.max(1),
            open_for: section.breaker_open.duration(),
            states: Mutex::default(),
        }
    }

    /// Whether a provider may be called. When the time is over, one call is let through to try.
    pub(super) fn pass(&self, provider: ProviderId, now: Timestamp) -> Result<(), Upstream> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = states.get_mut(&provider) else { return Ok(()) };
        match state.open_until {
            Some(until) if now < until => Err(Upstream::Unavailable),
            Some(_) => {
                state.open_until = Some(now.plus(self.open_for));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether a provider is left alone at this moment.
    pub fn is_open(&self, provider: ProviderId, now: Timestamp) -> bool {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.get(&provider).and_then(|state| state.open_until).is_some_and(|until| now < until)
    }

    /// How a call went.
    pub(super) fn note(&self, provider: ProviderId, well: bool, now: Timestamp) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if well {
            states.remove(&provider);
            return;
        }
        let state = states.entry(provider).or_default();
        state.failures += 1;
        if state.failures >= self.failures {
            state.open_until = Some(now.plus(self.open_for));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_tries_once_and_closes_on_success() {
        let open_for = Duration::from_secs(30);
        let breaker = Breaker { failures: 2, open_for, states: Mutex::default() };
        let (bank, now) = (ProviderId::new(1), Timestamp::from_millis(0));
        breaker.note(bank, false, now);
        assert_eq!(breaker.pass(bank, now), Ok(()));
        breaker.note(bank, false, now);
        assert_eq!(breaker.pass(bank, now), Err(Upstream::Unavailable));
        assert!(breaker.is_open(bank, now) && !breaker.is_open(ProviderId::new(2), now));
        assert_eq!(breaker.pass(ProviderId::new(2), now), Ok(()), "others are not concerned");
        let later = now.plus(open_for);
        assert_eq!(breaker.pass(bank, later), Ok(()));
        assert_eq!(breaker.pass(bank, later), Err(Upstream::Unavailable), "one call tries");
        breaker.note(bank, true, later);
        assert_eq!(breaker.pass(bank, later), Ok(()));
    }
}
