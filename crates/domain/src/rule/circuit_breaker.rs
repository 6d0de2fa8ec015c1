//! The circuit breaker of one endpoint group of a provider: when calls stop, for which recipients, and when they resume.
//!
//! A call that one recipient caused may fail because of that recipient's data, so the failures of one recipient stop only its
//! own calls. Failures of several recipients, and failures that no request can cause, stop the calls for all.

use std::collections::HashMap;
use std::time::Duration;

use crate::id::ClientId;
use crate::time::Timestamp;

/// The maximum number of recipients with failed calls that one circuit breaker remembers. The oldest one is forgotten.
const MAX_RECIPIENTS: usize = 256;

/// The outcome of a call for the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerSignal {
    /// The provider responded without a server error.
    Succeeded,
    /// The provider failed, or did not respond.
    Failed,
    /// No connection could be established. This does not depend on the request.
    Unreachable,
    /// The hub could not send the call, which proves nothing about the provider.
    NotSent,
}

/// The settings of the circuit breakers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// The number of consecutive failures that open a circuit.
    pub failures: u32,
    /// The time after which trial calls are allowed.
    pub open_for: Duration,
}

impl BreakerPolicy {
    /// Returns the number of failures of several recipients that open the circuit for all.
    fn shared_failures(self) -> u32 {
        self.failures.max(2)
    }

    /// Returns the number of one recipient's failures that count for all. It is below the limit, so that a second recipient
    /// must fail too, and low enough that a single failure of that recipient does not suffice.
    fn counted_for_one(self) -> u32 {
        self.shared_failures().div_ceil(2)
    }
}

/// The circuit that an outcome has opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenedCircuit {
    /// Calls on behalf of this recipient stop.
    OfRecipient,
    /// All calls stop.
    OfAll,
}

/// The circuit breaker of one endpoint group of a provider.
#[derive(Debug, Default)]
pub struct CircuitBreaker {
    /// The time until which no call is allowed. After it, calls are trial calls until one succeeds.
    open_until: Option<Timestamp>,
    /// Failures since the last success that no recipient can have caused.
    failures: u32,
    /// The recipients with failed or trial calls.
    recipients: HashMap<ClientId, RecipientCircuit>,
}

#[derive(Debug)]
struct RecipientCircuit {
    /// Failures since this recipient's last success.
    failures: u32,
    /// Failures since the last success of any recipient.
    failures_since_any_success: u32,
    open_until: Option<Timestamp>,
    changed_at: Timestamp,
}

impl CircuitBreaker {
    /// Returns whether a call is allowed now, and reserves a trial call if the open time has passed.
    ///
    /// `recipient` is `None` for calls that belong to no recipient, or whose own failures do not stop them.
    pub fn allow_call(
        &mut self,
        policy: BreakerPolicy,
        recipient: Option<&ClientId>,
        now: Timestamp,
    ) -> bool {
        if self.is_open(recipient, now) {
            return false;
        }
        // Further calls stay blocked until the outcome of the trial call is recorded or the open time has passed again.
        let until = Some(now.plus(policy.open_for));
        let Some(recipient) = recipient else {
            self.open_until = self.open_until.and(until);
            return true;
        };
        // Each recipient has its own trial call: one whose calls always fail must not keep the circuit open for all.
        if self.open_until.is_some() {
            self.recipient_circuit(recipient, now).open_until = until;
        } else if let Some(own) = self.recipients.get_mut(recipient) {
            own.open_until = own.open_until.and(until);
        }
        true
    }

    /// Returns whether calls are not allowed now: all calls, or those on behalf of a recipient.
    pub fn is_open(&self, recipient: Option<&ClientId>, now: Timestamp) -> bool {
        let is_open = |until: Option<Timestamp>| until.is_some_and(|until| now < until);
        let own = recipient.and_then(|recipient| self.recipients.get(recipient));
        is_open(self.open_until) || own.is_some_and(|own| is_open(own.open_until))
    }

    /// Returns whether a call has failed since the last success, or the circuit was opened for all.
    pub fn has_failures(&self) -> bool {
        self.open_until.is_some() || self.failures > 0 || self.count_recipient_failures(1) > 0
    }

    /// Records the outcome of a call, and returns the circuit that it opens. A success closes the circuit for all and that of
    /// its recipient.
    pub fn record(
        &mut self,
        policy: BreakerPolicy,
        recipient: Option<&ClientId>,
        signal: BreakerSignal,
        now: Timestamp,
    ) -> Option<OpenedCircuit> {
        match (signal, recipient) {
            (BreakerSignal::Succeeded, _) => {
                self.record_success(recipient);
                None
            }
            (BreakerSignal::NotSent, _) => {
                self.return_trial(recipient, now);
                None
            }
            (BreakerSignal::Failed, Some(recipient)) => {
                let was_open = self.is_open(Some(recipient), now);
                let is_stopped = self.record_recipient_failure(policy, recipient, now);
                let opened = self.open_if_exceeded(policy, now);
                opened.or_else(|| (is_stopped && !was_open).then_some(OpenedCircuit::OfRecipient))
            }
            (BreakerSignal::Failed, None) | (BreakerSignal::Unreachable, _) => {
                self.failures = self.failures.saturating_add(1);
                self.open_if_exceeded(policy, now)
            }
        }
    }

    fn record_success(&mut self, recipient: Option<&ClientId>) {
        self.open_until = None;
        self.failures = 0;
        if let Some(recipient) = recipient {
            self.recipients.remove(recipient);
        }
        // A recipient that has only reserved a trial call no longer has to wait for its outcome.
        self.recipients.retain(|_, own| own.failures > 0);
        self.recipients.values_mut().for_each(|own| own.failures_since_any_success = 0);
    }

    /// Leaves the trial call to the next call, if this call was one.
    fn return_trial(&mut self, recipient: Option<&ClientId>, now: Timestamp) {
        let until = match recipient {
            Some(recipient) => self.recipients.get_mut(recipient).map(|own| &mut own.open_until),
            None => Some(&mut self.open_until),
        };
        if let Some(until) = until {
            *until = until.map(|until| until.min(now));
        }
    }

    /// Counts a failure of a recipient. Returns whether its circuit is open.
    fn record_recipient_failure(
        &mut self,
        policy: BreakerPolicy,
        recipient: &ClientId,
        now: Timestamp,
    ) -> bool {
        let own = self.recipient_circuit(recipient, now);
        own.failures = own.failures.saturating_add(1);
        own.failures_since_any_success = own.failures_since_any_success.saturating_add(1);
        if own.failures >= policy.failures.max(1) || own.open_until.is_some() {
            own.open_until = Some(now.plus(policy.open_for));
        }
        own.open_until.is_some()
    }

    fn open_if_exceeded(&mut self, policy: BreakerPolicy, now: Timestamp) -> Option<OpenedCircuit> {
        let is_exceeded = if self.open_until.is_some() {
            // A failed trial call. Two recipients are required again.
            self.failures > 0 || self.count_recipient_failures(1) > 1
        } else {
            let of_recipients = self.count_recipient_failures(policy.counted_for_one());
            self.failures >= policy.failures.max(1)
                || self.failures.saturating_add(of_recipients) >= policy.shared_failures()
        };
        if !is_exceeded {
            return None;
        }
        let was_open = self.is_open(None, now);
        self.open_until = Some(now.plus(policy.open_for));
        // Only the outcomes of trial calls decide whether it is opened again.
        self.failures = 0;
        self.recipients.values_mut().for_each(|own| own.failures_since_any_success = 0);
        (!was_open).then_some(OpenedCircuit::OfAll)
    }

    /// Returns the sum of the recipients' failures since the last success, each counted up to a maximum.
    fn count_recipient_failures(&self, max_for_one: u32) -> u32 {
        let counts = self.recipients.values().map(|own| own.failures_since_any_success.min(max_for_one));
        counts.fold(0, u32::saturating_add)
    }

    fn recipient_circuit(&mut self, recipient: &ClientId, now: Timestamp) -> &mut RecipientCircuit {
        if self.recipients.len() >= MAX_RECIPIENTS && !self.recipients.contains_key(recipient) {
            let oldest = self.recipients.iter().min_by_key(|(_, own)| own.changed_at);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.recipients.remove(&oldest);
            }
        }
        let own = self.recipients.entry(recipient.clone()).or_insert(RecipientCircuit {
            failures: 0,
            failures_since_any_success: 0,
            open_until: None,
            changed_at: now,
        });
        own.changed_at = now;
        own
    }
}

#[cfg(test)]
#[path = "circuit_breaker_tests.rs"]
mod tests;
