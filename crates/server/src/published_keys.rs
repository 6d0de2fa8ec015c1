//! The memory of the hub's published keys, so that requests for them cause little work.

use std::sync::Arc;
use std::time::Duration;

use domain::Timestamp;
use tokio::sync::Mutex;

/// Time for which the document is not built again. It is short, so that a new key is published soon after it was added.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// The last document of the hub's published keys.
#[derive(Default)]
pub(crate) struct PublishedKeys(Mutex<Option<(Timestamp, Arc<str>)>>);

impl PublishedKeys {
    /// Returns the document if it was built a short time ago, and builds it otherwise. Other callers wait for it, so that
    /// it is built once.
    pub(crate) async fn find_or_build<E>(
        &self,
        now: impl Fn() -> Result<Timestamp, E>,
        build: impl Future<Output = Result<Arc<str>, E>>,
    ) -> Result<Arc<str>, E> {
        let mut kept = self.0.lock().await;
        // Read after the lock: a caller that has waited is given the document that another one has built.
        let now = now()?;
        if let Some((built_at, document)) = kept.as_ref()
            && now >= *built_at
            && now < built_at.plus(KEPT_FOR)
        {
            return Ok(Arc::clone(document));
        }
        let document = build.await?;
        *kept = Some((now, Arc::clone(&document)));
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn concurrent_requests_build_the_key_set_once() {
        let (keys, clock, builds) = (PublishedKeys::default(), AtomicI64::new(1000), AtomicUsize::new(0));
        let request = || {
            let now = || Ok::<_, Infallible>(Timestamp::from_millis(clock.load(Ordering::Relaxed)));
            let build = async {
                builds.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok(Arc::from("{}"))
            };
            keys.find_or_build(now, build)
        };

        let _ = tokio::join!(request(), request(), request());
        assert_eq!(builds.load(Ordering::Relaxed), 1);
        clock.fetch_add(9_999, Ordering::Relaxed);
        let _ = request().await;
        assert_eq!(builds.load(Ordering::Relaxed), 1, "the document is kept for ten seconds");
        clock.fetch_add(1, Ordering::Relaxed);
        let _ = tokio::join!(request(), request());
        assert_eq!(builds.load(Ordering::Relaxed), 2);
    }
}
