//! Diagnostics of reads from providers: failed reads in the log, and the fields that were left out of responses.
//!
//! Providers decide what is recorded here, so everything has a limit. Nothing of it is customer data: reasons come from a
//! closed list, and paths consist of names of the standard.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::Timestamp;
use domain::id::ProviderId;
use domain::model::provider::DateParameters;
use fdx::{DropReason, DropReport, Observation, ReplayCall};

/// The time in which failed reads of one provider for one reason are written as one line.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// The time after which the forms of a provider's responses to one call are observed again.
const OBSERVATION_INTERVAL: Duration = Duration::from_mins(1);
/// The maximum number of paths that are counted for one provider. Further paths are counted together.
const MAX_PATHS: usize = 256;

/// The counts of this node since its start.
#[derive(Default)]
pub(crate) struct ReadDiagnostics {
    /// The failures of each provider and reason since the last line. The number of reasons is fixed.
    failures: Mutex<HashMap<(ProviderId, &'static str), FailureWindow>>,
    dropped: Mutex<HashMap<ProviderId, DroppedCounts>>,
    /// The date parameters of providers whose links have others than the requests had.
    date_parameters: Mutex<HashMap<ProviderId, DateParameters>>,
    /// The last observed response of each provider to each call.
    observed: Mutex<HashMap<ProviderId, BTreeMap<&'static str, ObservedResponse>>>,
}

/// The forms of a response, and the time at which it arrived.
#[derive(Clone, Debug)]
pub(crate) struct ObservedResponse {
    pub(crate) call: &'static str,
    pub(crate) at: Timestamp,
    /// `None` if the response could not be observed.
    pub(crate) observation: Option<Observation>,
}

struct FailureWindow {
    logged_at: Timestamp,
    /// The failures after that time, which no line contains yet.
    pending: u64,
}

type DroppedCounts = BTreeMap<(String, DropReason), u64>;

/// The number of times that a part of responses was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DroppedCount {
    pub(crate) path: String,
    pub(crate) reason: DropReason,
    pub(crate) count: u64,
}

impl ReadDiagnostics {
    /// Counts a failed read. Returns the number of failures that the next line of the log reports, or `None` if a line was
    /// written less than ten seconds ago.
    pub(crate) fn count_failure(
        &self,
        provider: ProviderId,
        reason: &'static str,
        now: Timestamp,
    ) -> Option<u64> {
        let mut failures = lock(&self.failures);
        let window = failures
            .entry((provider, reason))
            .or_insert(FailureWindow { logged_at: Timestamp::EPOCH, pending: 0 });
        window.pending += 1;
        if now < window.logged_at.plus(LOG_INTERVAL) {
            return None;
        }
        window.logged_at = now;
        Some(std::mem::take(&mut window.pending))
    }

    /// Adds what was left out of a response of a provider.
    pub(crate) fn add_dropped(&self, provider: ProviderId, report: &DropReport) {
        let mut dropped = lock(&self.dropped);
        let counts = dropped.entry(provider).or_default();
        let mut listed = 0;
        for field in report.fields() {
            listed += field.count;
            add(counts, without_indexes(&field.path), field.reason, field.count);
        }
        add(counts, OTHER_PATHS.to_owned(), DropReason::Unreadable, report.dropped() - listed);
    }

    /// Observes the forms of a response, unless one to the same call was observed within the last minute: it costs about as much
    /// as reading the response.
    pub(crate) fn observe(&self, provider: ProviderId, call: ReplayCall, body: &[u8], now: Timestamp) {
        let name = call.name();
        {
            let mut observed = lock(&self.observed);
            let calls = observed.entry(provider).or_default();
            if calls.get(name).is_some_and(|last| now < last.at.plus(OBSERVATION_INTERVAL)) {
                return;
            }
            // Other reads need not wait, and do not observe too.
            calls.insert(name, ObservedResponse { call: name, at: now, observation: None });
        }
        let observation = fdx::observe(call, body);
        let response = ObservedResponse { call: name, at: now, observation };
        lock(&self.observed).entry(provider).or_default().insert(name, response);
    }

    /// Returns the last observed response of a provider to each call.
    pub(crate) fn list_observed(&self, provider: ProviderId) -> Vec<ObservedResponse> {
        let observed = lock(&self.observed);
        observed.get(&provider).into_iter().flat_map(|calls| calls.values().cloned()).collect()
    }

    /// Stores the date parameters that the links of a provider have. Returns true if none were known.
    pub(crate) fn set_date_parameters(&self, provider: ProviderId, found: DateParameters) -> bool {
        lock(&self.date_parameters).insert(provider, found).is_none()
    }

    /// Returns the date parameters that the links of a provider have, if they were others than those of the requests.
    pub(crate) fn date_parameters(&self, provider: ProviderId) -> Option<DateParameters> {
        lock(&self.date_parameters).get(&provider).copied()
    }

    /// Returns what was left out of the responses of a provider, ordered by path.
    pub(crate) fn list_dropped(&self, provider: ProviderId) -> Vec<DroppedCount> {
        let dropped = lock(&self.dropped);
        let counts = dropped.get(&provider).into_iter().flatten();
        let to_count = |((path, reason), count): (&(String, DropReason), &u64)| DroppedCount {
            path: path.clone(),
            reason: *reason,
            count: *count,
        };
        counts.map(to_count).collect()
    }
}

/// The path of everything that is only counted.
const OTHER_PATHS: &str = "(other)";

fn add(counts: &mut DroppedCounts, path: String, reason: DropReason, count: usize) {
    if count == 0 {
        return;
    }
    let is_full = counts.len() >= MAX_PATHS;
    let key = (path, reason);
    let key = if is_full && !counts.contains_key(&key) { (OTHER_PATHS.to_owned(), reason) } else { key };
    *counts.entry(key).or_default() += count as u64;
}

/// Replaces the indexes of a path, as in `accounts[].loanAccount.term`, so that equal fields of all elements are counted
/// together.
fn without_indexes(path: &str) -> String {
    let mut is_index = false;
    let is_kept = |char: &char| {
        is_index = *char == '[' || is_index && *char != ']';
        !is_index || *char == '['
    };
    path.chars().filter(is_kept).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROVIDER: ProviderId = ProviderId::new(7);

    fn report_of(body: &str) -> DropReport {
        fdx::replay(ReplayCall::Accounts, fdx::Version::V5, body.as_bytes()).unwrap().report
    }

    #[test]
    fn failures_of_ten_seconds_are_one_line_with_count() {
        let diagnostics = ReadDiagnostics::default();
        let count = |reason, seconds: i64| {
            diagnostics.count_failure(PROVIDER, reason, Timestamp::from_millis(1_000_000 + seconds * 1000))
        };

        assert_eq!(count("timeout", 0), Some(1));
        assert_eq!((count("timeout", 3), count("timeout", 9)), (None, None));
        assert_eq!(count("not_json", 9), Some(1), "each reason has a line of its own");
        assert_eq!(count("timeout", 10), Some(3), "the line contains the failures since the last one");
    }

    #[test]
    fn dropped_fields_are_counted_by_path_without_index() {
        let diagnostics = ReadDiagnostics::default();
        let account = r#"{"loanAccount":{"accountId":"a","term":1,"loanTerm":{},"originatingDate":7}}"#;
        let report = report_of(&format!(r#"{{"accounts":[{account},{account}]}}"#));

        diagnostics.add_dropped(PROVIDER, &report);
        diagnostics.add_dropped(PROVIDER, &report);

        let dropped = diagnostics.list_dropped(PROVIDER);
        let paths: Vec<_> = dropped.iter().map(|d| (d.path.as_str(), d.reason.as_str(), d.count)).collect();
        assert_eq!(
            paths,
            [
                ("accounts[].loanAccount.*", "unknown", 4),
                ("accounts[].loanAccount.loanTerm", "unreadable", 4),
                ("accounts[].loanAccount.originatingDate", "unreadable", 4),
            ]
        );
    }

    #[test]
    fn response_to_a_call_is_observed_once_a_minute() {
        let diagnostics = ReadDiagnostics::default();
        let observe = |body: &str, seconds: i64| {
            let now = Timestamp::from_millis(1_000_000 + seconds * 1000);
            diagnostics.observe(PROVIDER, ReplayCall::Accounts, body.as_bytes(), now);
            let observed = diagnostics.list_observed(PROVIDER);
            observed[0].observation.as_ref().map(|observation| observation.elements)
        };

        assert_eq!(observe(r#"{"accounts":[{}]}"#, 0), Some(1));
        assert_eq!(observe("{}", 59), Some(1));
        assert_eq!(observe("{}", 60), Some(0));
    }

    #[test]
    fn paths_of_one_provider_are_limited() {
        let diagnostics = ReadDiagnostics::default();
        let accounts: Vec<String> =
            (0..500).map(|_| r#"{"loanAccount":{"accountId":"a","loanTerm":{}}}"#.to_owned()).collect();
        let report = report_of(&format!(r#"{{"accounts":[{}]}}"#, accounts.join(",")));

        diagnostics.add_dropped(PROVIDER, &report);

        let dropped = diagnostics.list_dropped(PROVIDER);
        assert_eq!(dropped.len(), 2, "the reported path and all others together");
        assert_eq!(dropped.iter().map(|d| d.count).sum::<u64>(), 500, "nothing is lost");
    }
}
