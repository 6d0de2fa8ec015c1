//! Failed authentication and authorization attempts: what the audit log records of them, and how much.
//!
//! Anyone can cause them, so the log must not grow with their number. Equal attempts are counted and recorded together: when
//! the first of them occurs, and at the end of each hour. The number of different attempts that are distinguished in an hour is
//! limited; further ones are counted without their source.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::id::{ClientId, OperatorId};
use crate::time::Timestamp;

/// The time in which equal attempts are recorded together.
pub const DENIAL_PERIOD: Duration = Duration::from_hours(1);
/// The maximum number of kinds of attempts in a period that name a known client or operator.
const MAX_KNOWN: usize = 100;
/// The maximum number of those of one client or operator. One of them, whose id anyone may know, must not displace the others.
const MAX_OF_ONE_CALLER: usize = 10;
/// The maximum number of kinds of attempts in a period that name no known client or operator.
const MAX_UNKNOWN: usize = 20;
/// The maximum length of a claimed client id in the audit log.
const MAX_CLAIMED_CHARS: usize = 12;

crate::str_enum! {
    /// The reason why a request was refused.
    pub enum DenialReason {
        /// No client has the id that the request contains.
        UnknownClient = "unknown_client",
        /// The client exists, and the secret is wrong.
        WrongSecret = "wrong_secret",
        /// The request has no token, or not in the form that the operation requires.
        MissingToken = "missing_token",
        /// The token is not one of the hub's.
        UnknownToken = "unknown_token",
        /// The token was valid once: the client or operator was removed, its secret was replaced, or the operator's token has
        /// expired.
        EndedToken = "ended_token",
        /// The client is suspended.
        Suspended = "suspended",
        /// The client may not use this grant or this endpoint.
        UnauthorizedClient = "unauthorized_client",
        /// The token was issued for something else.
        InsufficientScope = "insufficient_scope",
        /// The operator's role does not cover the operation.
        InsufficientRole = "insufficient_role",
        /// The caller was removed or suspended, or lost its role, between its authentication and the commit of the operation.
        AuthorityLost = "authority_lost",
        /// The bootstrap token was presented for another operation than adding the first administrator.
        BootstrapTokenOnly = "bootstrap_token_only",
        /// The caller is another user of the hub's machine.
        OtherLocalUser = "other_local_user",
    }
}

/// The party that a refused request concerns. The party itself may not have sent the request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeniedCaller {
    /// A client (recipient or partner) that exists.
    Client(ClientId),
    /// The operator with this token id.
    Operator(OperatorId),
    /// A party that the hub does not know.
    Unknown,
}

/// A kind of refused requests, which are recorded together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct DenialKind {
    caller: DeniedCaller,
    reason: DenialReason,
    place: Option<DenialPlace>,
}

/// The operation and the source of a refused request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DenialPlace {
    /// The method and the route, such as `POST /api/v1/token`.
    pub operation: String,
    /// The network of the client, or the user of the hub's machine.
    pub source: String,
}

/// The refused requests that concern one party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerDenials {
    /// The party that the requests concern.
    pub caller: DeniedCaller,
    /// The number of requests of each kind.
    pub counts: Vec<DenialCount>,
}

/// The number of refused requests of one kind, which concern one party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenialCount {
    /// The reason why the requests were refused.
    pub reason: DenialReason,
    /// The method and route and the source of the requests; `None` if there were too many different ones.
    pub place: Option<DenialPlace>,
    /// The requests that are counted.
    pub requests: CountedRequests,
}

/// A number of refused requests, and what is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedRequests {
    /// The number of requests.
    pub number: u64,
    /// The time of the first request.
    pub first_at: Timestamp,
    /// The time of the last request.
    pub last_at: Timestamp,
    /// The client id of the last request, if it names an unknown client and may be one.
    pub claimed_client: Option<String>,
}

/// The refused requests of the current period.
#[derive(Debug)]
pub struct DenialTally {
    period_start: Timestamp,
    kinds: HashMap<DenialKind, Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    /// The requests that are not recorded yet; `None` if there are none.
    waiting: Option<CountedRequests>,
    is_recorded: bool,
}

impl Default for DenialTally {
    fn default() -> Self {
        Self { period_start: Timestamp::EPOCH, kinds: HashMap::new() }
    }
}

impl DenialTally {
    /// Counts a refused request.
    pub fn add(
        &mut self,
        caller: DeniedCaller,
        reason: DenialReason,
        place: DenialPlace,
        claimed_client: Option<String>,
        now: Timestamp,
    ) {
        if self.kinds.is_empty() {
            self.period_start = now;
        }
        let kind = self.choose_kind(DenialKind { caller, reason, place: Some(place) });
        self.count(kind, CountedRequests { number: 1, first_at: now, last_at: now, claimed_client });
    }

    /// Returns the counts to record now: the first requests of each kind, and at the end of the period all others.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<CallerDenials> {
        // The time may also have been set back. The period then ends, because its end could be far away.
        if now < self.period_start || self.period_start.plus(DENIAL_PERIOD) <= now {
            return self.take_all();
        }
        let new = self.kinds.iter_mut().filter(|(_, tally)| !tally.is_recorded);
        group_by_caller(new.filter_map(|(kind, tally)| {
            tally.is_recorded = true;
            tally.waiting.take().map(|requests| (kind.clone(), requests))
        }))
    }

    /// Returns all counts that are not recorded yet, and begins a new period.
    pub fn take_all(&mut self) -> Vec<CallerDenials> {
        let all = self.kinds.drain();
        group_by_caller(all.filter_map(|(kind, tally)| tally.waiting.map(|requests| (kind, requests))))
    }

    /// Takes counts back that could not be recorded. They are due again immediately.
    pub fn restore(&mut self, CallerDenials { caller, counts }: CallerDenials, now: Timestamp) {
        if self.kinds.is_empty() {
            self.period_start = now;
        }
        for DenialCount { reason, place, requests } in counts {
            let kind = self.choose_kind(DenialKind { caller: caller.clone(), reason, place });
            self.count(kind, requests).is_recorded = false;
        }
    }

    /// Returns the kind as which a request is counted: without its place or its caller, if there are too many kinds.
    fn choose_kind(&self, mut kind: DenialKind) -> DenialKind {
        if self.kinds.contains_key(&kind) {
            return kind;
        }
        let count = |counts: &dyn Fn(&DeniedCaller) -> bool| {
            self.kinds.keys().filter(|kind| counts(&kind.caller)).count()
        };
        if kind.caller != DeniedCaller::Unknown {
            let has_room = count(&|caller| *caller != DeniedCaller::Unknown) < MAX_KNOWN;
            if has_room && count(&|caller| *caller == kind.caller) < MAX_OF_ONE_CALLER {
                return kind;
            }
            kind.place = None;
            if has_room || self.kinds.contains_key(&kind) {
                return kind;
            }
            kind.caller = DeniedCaller::Unknown;
        } else if count(&|caller| *caller == DeniedCaller::Unknown) < MAX_UNKNOWN {
            return kind;
        }
        kind.place = None;
        kind
    }

    fn count(&mut self, kind: DenialKind, requests: CountedRequests) -> &mut Tally {
        let tally = self.kinds.entry(kind).or_default();
        match &mut tally.waiting {
            None => tally.waiting = Some(requests),
            Some(waiting) => {
                waiting.number = waiting.number.saturating_add(requests.number);
                waiting.first_at = waiting.first_at.min(requests.first_at);
                waiting.last_at = waiting.last_at.max(requests.last_at);
                waiting.claimed_client = requests.claimed_client.or(waiting.claimed_client.take());
            }
        }
        tally
    }
}

fn group_by_caller(counts: impl Iterator<Item = (DenialKind, CountedRequests)>) -> Vec<CallerDenials> {
    let mut callers: BTreeMap<DeniedCaller, Vec<DenialCount>> = BTreeMap::new();
    for (DenialKind { caller, reason, place }, requests) in counts {
        callers.entry(caller).or_default().push(DenialCount { reason, place, requests });
    }
    callers.into_iter().map(|(caller, counts)| CallerDenials { caller, counts }).collect()
}

/// Returns the form in which the audit log contains a client id of a request: its beginning, or nothing if it has characters
/// that no client id has. It may be a secret that was sent in the wrong field.
pub fn shorten_claimed_client(text: &str) -> Option<String> {
    let id = text.parse::<ClientId>().ok()?;
    Some(id.as_str().chars().take(MAX_CLAIMED_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_mins(minutes))
    }

    fn client(number: usize) -> DeniedCaller {
        DeniedCaller::Client(format!("dc-{number}").parse().unwrap())
    }

    fn place(number: usize) -> DenialPlace {
        DenialPlace { operation: "POST /api/v1/token".into(), source: format!("network {number}") }
    }

    impl DenialTally {
        fn add_wrong_secret(&mut self, caller: DeniedCaller, source: usize, minutes: u64) {
            self.add(caller, DenialReason::WrongSecret, place(source), None, at(minutes));
        }
    }

    fn list_counts(denials: &[CallerDenials]) -> Vec<(&DeniedCaller, &DenialCount)> {
        denials.iter().flat_map(|of_one| of_one.counts.iter().map(|count| (&of_one.caller, count))).collect()
    }

    fn numbers(denials: &[CallerDenials]) -> Vec<u64> {
        list_counts(denials).iter().map(|(_, count)| count.requests.number).collect()
    }

    #[test]
    fn equal_denials_are_recorded_first_and_after_an_hour() {
        let mut tally = DenialTally::default();
        tally.add_wrong_secret(client(1), 1, 5);

        let first = tally.take_due(at(5));
        for minutes in 6..60 {
            tally.add_wrong_secret(client(1), 1, minutes);
            assert_eq!(tally.take_due(at(minutes)), []);
        }
        let rest = tally.take_due(at(65));
        tally.add_wrong_secret(client(1), 1, 66);

        assert_eq!((numbers(&first), numbers(&rest)), (vec![1], vec![54]));
        let requests = &rest[0].counts[0].requests;
        assert_eq!((requests.first_at, requests.last_at), (at(6), at(59)));
        assert_eq!(numbers(&tally.take_due(at(66))), [1], "a new period");
    }

    #[test]
    fn denial_flood_is_recorded_in_limited_number_of_events() {
        let mut tally = DenialTally::default();
        let total = 50 * 100 + 5_000;

        for source in 0..100 {
            for number in 0..50 {
                tally.add_wrong_secret(client(number), source, 0);
            }
        }
        for source in 0..5_000 {
            tally.add(DeniedCaller::Unknown, DenialReason::UnknownClient, place(source), None, at(0));
        }
        let due = tally.take_due(at(0));

        let due_counts = list_counts(&due);
        assert!(
            due_counts.len() <= MAX_KNOWN + MAX_UNKNOWN + DenialReason::ALL.len(),
            "{}",
            due_counts.len()
        );
        assert_eq!(numbers(&due).iter().sum::<u64>(), total, "every request is counted");
        assert!(
            due.iter().any(|of_one| of_one.caller == client(3)),
            "one caller does not displace the others"
        );
    }

    #[test]
    fn denials_of_one_caller_leave_room_for_others() {
        let mut tally = DenialTally::default();

        for source in 0..1_000 {
            tally.add_wrong_secret(client(1), source, 0);
        }
        tally.add_wrong_secret(client(2), 1, 0);

        let due = tally.take_due(at(0));
        let due_counts = list_counts(&due);
        let with_place = due_counts.iter().filter(|(_, count)| count.place.is_some());
        assert_eq!((due_counts.len(), with_place.count()), (MAX_OF_ONE_CALLER + 2, MAX_OF_ONE_CALLER + 1));
        assert!(due.iter().any(|of_one| of_one.caller == client(2)));
    }

    #[test]
    fn denials_that_could_not_be_recorded_are_due_again() {
        let mut tally = DenialTally::default();
        tally.add_wrong_secret(client(1), 1, 0);
        let due = tally.take_due(at(0));
        tally.add_wrong_secret(client(1), 1, 1);

        for of_one in due {
            tally.restore(of_one, at(1));
        }

        let again = tally.take_due(at(1));
        let requests = &again[0].counts[0].requests;
        assert_eq!((numbers(&again), requests.first_at, requests.last_at), (vec![2], at(0), at(1)));
    }

    #[test]
    fn denial_period_ends_if_time_is_set_back() {
        let mut tally = DenialTally::default();
        tally.add_wrong_secret(client(1), 1, 600);
        tally.take_due(at(600));
        tally.add_wrong_secret(client(1), 1, 0);

        assert_eq!(numbers(&tally.take_due(at(1))), [1]);
    }

    #[test]
    fn claimed_client_is_short_and_has_characters_of_ids() {
        assert_eq!(shorten_claimed_client("dc-1").as_deref(), Some("dc-1"));
        assert_eq!(shorten_claimed_client(&"x".repeat(40)), Some("x".repeat(MAX_CLAIMED_CHARS)));
        for text in ["", "a b", "<script>", "a\nb", "jöhn"] {
            assert_eq!(shorten_claimed_client(text), None, "{text}");
        }
    }

    /// Returns the callers of the requests that are counted without their place, and the number of other kinds.
    fn split_by_place(denials: &[CallerDenials]) -> (Vec<(DeniedCaller, u64)>, usize) {
        let (with_place, without): (Vec<_>, Vec<_>) =
            list_counts(denials).into_iter().partition(|(_, count)| count.place.is_some());
        let without = without.into_iter().map(|(caller, count)| (caller.clone(), count.requests.number));
        (without.collect(), with_place.len())
    }

    #[test]
    fn further_denials_of_one_caller_are_counted_as_its_own() {
        let mut tally = DenialTally::default();

        for source in 0..MAX_OF_ONE_CALLER + 3 {
            tally.add_wrong_secret(client(1), source, 0);
        }

        assert_eq!(split_by_place(&tally.take_due(at(0))), (vec![(client(1), 3)], MAX_OF_ONE_CALLER));
    }

    #[test]
    fn denials_of_known_callers_over_limit_lose_their_caller() {
        let mut tally = DenialTally::default();
        // The first caller has a count without a place before the limit is reached.
        for source in 0..=MAX_OF_ONE_CALLER {
            tally.add_wrong_secret(client(0), source, 0);
        }

        for number in 1..MAX_KNOWN {
            tally.add_wrong_secret(client(number), 1, 0);
        }
        tally.add_wrong_secret(client(0), 5_000, 0);

        let (without_place, with_place) = split_by_place(&tally.take_due(at(0)));
        let lost = u64::try_from(MAX_OF_ONE_CALLER).unwrap();
        assert_eq!(with_place, MAX_KNOWN - 1, "one of the kinds has no place");
        assert!(without_place.contains(&(client(0), 2)), "{without_place:?}");
        assert!(without_place.contains(&(DeniedCaller::Unknown, lost)), "{without_place:?}");
    }

    #[test]
    fn denials_of_unknown_callers_over_limit_lose_their_place() {
        let mut tally = DenialTally::default();
        tally.add_wrong_secret(client(1), 1, 0);

        for source in 0..MAX_UNKNOWN + 5 {
            tally.add(DeniedCaller::Unknown, DenialReason::UnknownClient, place(source), None, at(0));
        }

        let (without_place, with_place) = split_by_place(&tally.take_due(at(0)));
        assert_eq!((without_place, with_place), (vec![(DeniedCaller::Unknown, 5)], MAX_UNKNOWN + 1));
    }
}
