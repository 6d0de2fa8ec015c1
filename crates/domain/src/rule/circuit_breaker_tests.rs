use super::*;
use BreakerSignal::{Failed, NotSent, Succeeded, Unreachable};

const POLICY: BreakerPolicy = BreakerPolicy { failures: 5, open_for: Duration::from_secs(30) };
const NOW: Timestamp = Timestamp::from_millis(0);

fn later() -> Timestamp {
    NOW.plus(POLICY.open_for)
}

fn recipient(name: &str) -> ClientId {
    format!("dc-{name}").parse().unwrap()
}

impl CircuitBreaker {
    fn fail(&mut self, name: &str, times: u32, now: Timestamp) -> Option<OpenedCircuit> {
        (0..times).map(|_| self.record(POLICY, Some(&recipient(name)), Failed, now)).last().flatten()
    }

    fn allows(&mut self, name: &str, now: Timestamp) -> bool {
        self.allow_call(POLICY, Some(&recipient(name)), now)
    }
}

#[test]
fn failures_of_one_recipient_stop_only_its_calls() {
    let mut breaker = CircuitBreaker::default();

    assert_eq!(breaker.fail("a", 4, NOW), None);
    assert!(breaker.allows("a", NOW));
    assert_eq!(breaker.fail("a", 1, NOW), Some(OpenedCircuit::OfRecipient));
    assert_eq!(breaker.fail("a", 1_000, NOW), None, "it is open already");

    assert!(!breaker.allows("a", NOW));
    assert!(breaker.allows("b", NOW) && breaker.allow_call(POLICY, None, NOW));
}

#[test]
fn single_failure_of_second_recipient_opens_nothing() {
    let mut breaker = CircuitBreaker::default();
    breaker.fail("a", 1_000, NOW);

    assert_eq!(breaker.fail("b", 1, NOW), None);
    assert!(breaker.allows("c", NOW));
    assert_eq!(breaker.fail("b", 1, NOW), Some(OpenedCircuit::OfAll));

    assert!(!breaker.allows("c", NOW) && !breaker.allow_call(POLICY, None, NOW));
}

#[test]
fn failed_connections_open_the_circuit_for_all() {
    let mut breaker = CircuitBreaker::default();
    let opened = [0; 5].map(|_| breaker.record(POLICY, Some(&recipient("a")), Unreachable, NOW));

    assert_eq!(opened[3..], [None, Some(OpenedCircuit::OfAll)]);
    assert!(!breaker.allows("b", NOW));
}

#[test]
fn success_of_any_recipient_resets_the_count_for_all() {
    let mut breaker = CircuitBreaker::default();
    breaker.fail("a", 4, NOW);
    breaker.record(POLICY, Some(&recipient("c")), Succeeded, NOW);

    assert!(!breaker.has_failures());
    assert_eq!(breaker.fail("b", 4, NOW), None);
    assert_eq!(breaker.fail("a", 1, NOW), Some(OpenedCircuit::OfRecipient), "its own failures still count");
    assert!(!breaker.is_open(None, NOW));
}

#[test]
fn each_recipient_has_its_own_trial_call() {
    let mut breaker = CircuitBreaker::default();
    breaker.fail("a", 3, NOW);
    assert_eq!(breaker.fail("b", 2, NOW), Some(OpenedCircuit::OfAll));

    assert!(breaker.allows("a", later()));
    assert!(!breaker.allows("a", later()), "only one trial call is allowed");
    assert_eq!(breaker.fail("a", 1, later()), None, "the recipient's trial call failed");
    assert!(!breaker.allows("a", later()));

    assert!(breaker.allows("b", later()), "the failed trial call does not concern other recipients");
    breaker.record(POLICY, Some(&recipient("b")), Succeeded, later());
    assert!(breaker.allows("b", later()) && breaker.allows("c", later()));
    assert!(!breaker.allows("a", later()) && breaker.allows("a", later().plus(POLICY.open_for)));
}

#[test]
fn failed_trial_calls_of_two_recipients_open_again() {
    let mut breaker = CircuitBreaker::default();
    breaker.fail("a", 3, NOW);
    breaker.fail("b", 2, NOW);

    assert!(breaker.allows("a", later()) && breaker.allows("b", later()));
    breaker.fail("a", 1, later());
    assert_eq!(breaker.fail("b", 1, later()), Some(OpenedCircuit::OfAll));

    assert!(!breaker.allows("c", later()));
}

#[test]
fn call_without_recipient_is_the_only_trial_call() {
    let mut breaker = CircuitBreaker::default();
    for _ in 0..5 {
        breaker.record(POLICY, None, Failed, NOW);
    }
    assert!(!breaker.allow_call(POLICY, None, NOW));

    assert!(breaker.allow_call(POLICY, None, later()) && !breaker.allow_call(POLICY, None, later()));
    breaker.record(POLICY, None, Failed, later());
    assert!(!breaker.allow_call(POLICY, None, later()));

    breaker.record(POLICY, None, Succeeded, later());
    assert!(breaker.allow_call(POLICY, None, later()) && breaker.allow_call(POLICY, None, later()));
}

#[test]
fn unsent_trial_call_leaves_the_trial_to_the_next_call() {
    let mut breaker = CircuitBreaker::default();
    breaker.fail("a", 5, NOW);
    assert!(breaker.allows("a", later()));

    breaker.record(POLICY, Some(&recipient("a")), NotSent, later());

    assert!(breaker.allows("a", later()) && !breaker.allows("a", later()));
}

#[test]
fn threshold_of_one_still_needs_two_recipients() {
    let policy = BreakerPolicy { failures: 1, ..POLICY };
    let mut breaker = CircuitBreaker::default();
    let mut fail = |name: &str| breaker.record(policy, Some(&recipient(name)), Failed, NOW);

    assert_eq!([fail("a"), fail("a")], [Some(OpenedCircuit::OfRecipient), None]);
    assert_eq!(fail("b"), Some(OpenedCircuit::OfAll));
}

#[test]
fn number_of_remembered_recipients_is_limited() {
    let policy = BreakerPolicy { failures: u32::MAX, ..POLICY };
    let mut breaker = CircuitBreaker::default();
    for nth in 0..2 * MAX_RECIPIENTS {
        let now = Timestamp::from_millis(i64::try_from(nth).unwrap());
        breaker.record(policy, Some(&recipient(&nth.to_string())), Failed, now);
    }

    assert_eq!(breaker.recipients.len(), MAX_RECIPIENTS);
    assert!(breaker.recipients.contains_key(&recipient(&(2 * MAX_RECIPIENTS - 1).to_string())));
    assert!(!breaker.recipients.contains_key(&recipient("0")));
}

#[test]
fn breaker_has_failures_until_success_or_while_open() {
    let failures_after = |name: Option<&str>, signal| {
        let mut breaker = CircuitBreaker::default();
        let recipient = name.map(recipient);
        breaker.record(POLICY, recipient.as_ref(), signal, NOW);
        breaker.has_failures()
    };
    assert!(failures_after(Some("a"), Failed), "of a recipient");
    assert!(failures_after(None, Failed) && failures_after(Some("a"), Unreachable), "of no recipient");
    assert!(!failures_after(Some("a"), NotSent) && !failures_after(Some("a"), Succeeded));

    let mut breaker = CircuitBreaker::default();
    for _ in 0..5 {
        breaker.record(POLICY, None, Failed, NOW);
    }
    // Opening the circuit resets the counts.
    assert!(breaker.has_failures() && breaker.failures == 0, "it is open");
    breaker.record(POLICY, None, Succeeded, later());
    assert!(!breaker.has_failures());
}

#[test]
fn success_ends_wait_for_outcome_of_other_trial_calls() {
    let mut breaker = CircuitBreaker::default();
    breaker.fail("a", 3, NOW);
    breaker.fail("b", 2, NOW);
    assert!(breaker.allows("c", later()) && !breaker.allows("c", later()));

    breaker.record(POLICY, Some(&recipient("b")), Succeeded, later());

    assert!(breaker.allows("c", later()), "it has not failed");
}

#[test]
fn failed_trial_call_without_recipient_starts_a_new_wait() {
    let mut breaker = CircuitBreaker::default();
    for _ in 0..5 {
        breaker.record(POLICY, None, Failed, NOW);
    }
    assert!(breaker.allow_call(POLICY, None, later()));
    let failed_at = later().plus(Duration::from_secs(10));

    assert_eq!(breaker.record(POLICY, None, Failed, failed_at), None, "it is open already");

    let end = failed_at.plus(POLICY.open_for);
    assert!(breaker.is_open(None, end.minus(Duration::from_millis(1))) && !breaker.is_open(None, end));
}

#[test]
fn unsent_trial_call_without_recipient_is_left_to_next_call() {
    let mut breaker = CircuitBreaker::default();
    for _ in 0..5 {
        breaker.record(POLICY, None, Failed, NOW);
    }
    assert!(breaker.allow_call(POLICY, None, later()) && !breaker.allow_call(POLICY, None, later()));

    breaker.record(POLICY, None, NotSent, later());

    assert!(breaker.allow_call(POLICY, None, later()));
}
