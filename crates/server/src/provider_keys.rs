//! The memory of the public keys of providers, so that a login rarely waits for them and cannot cause many requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::Timestamp;
use domain::id::ProviderId;
use domain::jose::ProviderKeys;

/// Time after which the keys are requested again, so that a key that the provider has withdrawn is no longer used.
const KEPT_FOR: Duration = Duration::from_hours(1);
/// Minimum time between two requests for the keys of a provider. Without it, forged tokens with unknown key ids would cause a
/// request each.
const MIN_REQUEST_INTERVAL: Duration = Duration::from_secs(10);

/// The keys of a provider, which a login shares with others.
pub(crate) type SharedKeys = Arc<ProviderKeys>;

/// The last requested keys of each provider.
#[derive(Default)]
pub(crate) struct ProviderKeyCache(
    Mutex<HashMap<ProviderId, Arc<tokio::sync::Mutex<Option<RequestedKeys>>>>>,
);

struct RequestedKeys {
    uri: String,
    /// The time of the last request, whether or not it succeeded.
    requested_at: Timestamp,
    /// The keys of the last request that succeeded, and its time.
    keys: Option<(SharedKeys, Timestamp)>,
}

impl RequestedKeys {
    /// Returns the keys, unless they are too old.
    fn usable_keys(&self, now: Timestamp) -> Option<SharedKeys> {
        let (keys, received_at) = self.keys.as_ref()?;
        (now < received_at.plus(KEPT_FOR)).then(|| Arc::clone(keys))
    }
}

impl ProviderKeyCache {
    /// Returns the keys that a provider publishes at `uri`, and requests them if they are not known or too old. With
    /// `is_outdated`, they are also requested if a token names a key that is not among them. If the request fails, the known
    /// keys remain in use until they are too old; then the result is `None`. Concurrent logins wait for one request.
    pub(crate) async fn find_or_request(
        &self,
        provider: ProviderId,
        uri: &str,
        is_outdated: bool,
        now: Timestamp,
        request: impl Future<Output = Option<ProviderKeys>>,
    ) -> Option<SharedKeys> {
        let entry = self.find_entry(provider);
        let mut known = entry.lock().await;
        // Keys of another document are not those of the provider any more. A time that lies ahead comes from a clock that was set.
        known.take_if(|found| found.uri != uri || now < found.requested_at);
        if let Some(found) = known.as_ref() {
            let is_recent = now < found.requested_at.plus(MIN_REQUEST_INTERVAL);
            let usable = found.usable_keys(now);
            if is_recent || usable.is_some() && !is_outdated {
                return usable;
            }
        }
        let received = request.await.map(|keys| (Arc::new(keys), now));
        let former = known.take().and_then(|found| found.keys);
        let found = RequestedKeys { uri: uri.to_owned(), requested_at: now, keys: received.or(former) };
        let usable = found.usable_keys(now);
        *known = Some(found);
        usable
    }

    fn find_entry(&self, provider: ProviderId) -> Arc<tokio::sync::Mutex<Option<RequestedKeys>>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(entries.entry(provider).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[derive(Default)]
    struct Requests {
        cache: ProviderKeyCache,
        number: AtomicUsize,
    }

    impl Requests {
        /// Asks for keys after some seconds; returns whether there are any, and the number of requests so far.
        async fn find(&self, uri: &str, seconds: u64, is_outdated: bool, succeeds: bool) -> (bool, usize) {
            let request = async {
                self.number.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                succeeds.then(|| ProviderKeys::parse(br#"{"keys":[]}"#).unwrap())
            };
            let now = START.plus(Duration::from_secs(seconds));
            let id = ProviderId::new(1000);
            let found = self.cache.find_or_request(id, uri, is_outdated, now, request).await;
            (found.is_some(), self.number.load(Ordering::Relaxed))
        }
    }

    #[tokio::test]
    async fn keys_are_requested_again_when_old_or_outdated() {
        let requests = Requests::default();

        let _ = tokio::join!(requests.find("a", 0, false, true), requests.find("a", 0, true, true));
        assert_eq!(requests.find("a", 9, true, true).await, (true, 1), "a flood causes no requests");
        assert_eq!(requests.find("a", 3_599, false, true).await, (true, 1));
        assert_eq!(requests.find("a", 3_599, true, true).await, (true, 2));
        assert_eq!(requests.find("a", 7_199, false, true).await, (true, 3));
        assert_eq!(requests.find("b", 7_199, false, true).await, (true, 4), "the document has moved");
    }

    #[tokio::test]
    async fn failed_request_for_keys_is_repeated_later() {
        let requests = Requests::default();

        assert_eq!(requests.find("a", 0, false, false).await, (false, 1));
        assert_eq!(requests.find("a", 9, false, true).await, (false, 1));
        assert_eq!(requests.find("a", 10, false, true).await, (true, 2));
        assert_eq!(requests.find("a", 3_610, false, false).await, (false, 3), "old keys are not used");
    }

    #[tokio::test]
    async fn failed_request_leaves_known_keys_in_use() {
        let requests = Requests::default();

        assert_eq!(requests.find("a", 0, false, true).await, (true, 1));
        assert_eq!(requests.find("a", 20, true, false).await, (true, 2), "a token with an unknown key");
        assert_eq!(requests.find("a", 25, false, true).await, (true, 2), "other logins use the known keys");
        assert_eq!(
            requests.find("a", 3_599, false, true).await,
            (true, 2),
            "they are not older than an hour"
        );
        assert_eq!(requests.find("a", 3_600, false, false).await, (false, 3));
    }
}
