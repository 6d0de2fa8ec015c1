//! The memory of the hub's published keys, so that requests for them cause little work.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::Timestamp;

/// Time for which the document is not built again. It is short, so that a new key is published soon after it was added.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// The last document of the hub's published keys.
#[derive(Default)]
pub(crate) struct PublishedKeys(Mutex<Option<(Timestamp, Arc<str>)>>);

impl PublishedKeys {
    /// Returns the document if it was built a short time before `now`.
    pub(crate) fn find(&self, now: Timestamp) -> Option<Arc<str>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (built_at, document) = kept.as_ref()?;
        (now >= *built_at && now < built_at.plus(KEPT_FOR)).then(|| Arc::clone(document))
    }

    /// Keeps a document that was built at a time.
    pub(crate) fn keep(&self, built_at: Timestamp, document: Arc<str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((built_at, document));
    }
}
