//! Sends a document for as long as its connection may be read.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::access::DataReader;
use crate::document_slots::DocumentSlot;
use crate::outbound::OutboundError;
use crate::upstream::StreamedDocument;

/// The time between two access checks while a document is sent.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// A document whose content ends with an error as soon as its connection may not be read any more.
pub(super) struct GuardedDocument {
    pub(super) kind: &'static str,
    pub(super) length: Option<u64>,
    pub(super) body: BoxStream<'static, Result<Bytes, IncompleteDocument>>,
}

/// The reason why the content of a document is incomplete. The transfer then fails, so that the recipient notices it.
#[derive(Debug, thiserror::Error)]
pub(super) enum IncompleteDocument {
    /// The connection may not be read any more, or the node cannot know whether it may.
    #[error("access to the document has ended")]
    AccessEnded,
    /// The provider's response is incomplete or too large.
    #[error("the provider's document is incomplete: {0}")]
    Provider(OutboundError),
}

impl GuardedDocument {
    /// Creates a document whose content is read while access is checked repeatedly. `reader` has checked it just now.
    pub(super) fn new(reader: DataReader, slot: DocumentSlot, document: StreamedDocument) -> Self {
        let StreamedDocument { kind, length, body } = document;
        let mut checks = tokio::time::interval_at(Instant::now() + CHECK_INTERVAL, CHECK_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let content = GuardedContent { reader, chunks: body, checks, _slot: slot };
        let body = stream::unfold(Some(content), async |content| {
            let mut content = content?;
            let chunk = content.next_chunk().await?;
            // Nothing is sent after an error.
            let rest = chunk.is_ok().then_some(content);
            Some((chunk, rest))
        });
        Self { kind, length, body: body.boxed() }
    }
}

/// The content of a document that is being sent.
struct GuardedContent {
    reader: DataReader,
    chunks: BoxStream<'static, Result<Bytes, OutboundError>>,
    checks: Interval,
    _slot: DocumentSlot,
}

impl GuardedContent {
    /// Returns the next chunk; `None` at the end of the document.
    async fn next_chunk(&mut self) -> Option<Result<Bytes, IncompleteDocument>> {
        loop {
            tokio::select! {
                // A due check comes first, even if the provider always has a chunk ready. While the check runs, nothing is
                // sent.
                biased;
                _ = self.checks.tick() => {
                    if let Err(error) = self.reader.recheck_while_sending().await {
                        tracing::info!(code = error.code().map(fdx::ErrorCode::number),
                            "a document was stopped, because access to it has ended");
                        return Some(Err(IncompleteDocument::AccessEnded));
                    }
                }
                chunk = self.chunks.next() => return Some(chunk?.map_err(IncompleteDocument::Provider)),
            }
        }
    }
}
