//! Sends a document for as long as its connection may be read.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::access::DataReader;
use crate::document_slots::DocumentSlot;
use crate::outbound::OutboundError;
use crate::response_guard::{ResponseGuard, Verdict};
use crate::upstream::StreamedDocument;

/// The time between two access checks while a document is sent.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// The maximum number of bytes of a piece that is passed on. The HTTP connection keeps about two pieces.
const PIECE_BYTES: usize = 16 * 1024;

/// A document whose content ends with an error as soon as its connection may not be read any more.
pub(super) struct GuardedDocument {
    pub(super) kind: &'static str,
    pub(super) length: Option<u64>,
    pub(super) body: BoxStream<'static, Result<Bytes, IncompleteDocument>>,
    /// Ends the response while the recipient does not take the content.
    pub(super) guard: ResponseGuard,
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
        let guard = ResponseGuard::start(|verdict| check_repeatedly(reader, verdict));
        let content = GuardedContent {
            verdict: guard.verdict(),
            // The checks must not end before the content, even if the response is dropped earlier.
            _guard: guard.clone(),
            chunks: body,
            rest_of_chunk: Bytes::new(),
            _slot: slot,
        };
        let body = stream::unfold(Some(content), async |content| {
            let mut content = content?;
            let piece = content.next_piece().await?;
            // Nothing is sent after an error.
            let rest = piece.is_ok().then_some(content);
            Some((piece, rest))
        });
        Self { kind, length, body: body.boxed(), guard }
    }
}

/// Checks access until it ends. The checks depend neither on the provider nor on the recipient, which may both be slow.
async fn check_repeatedly(reader: DataReader, verdict: watch::Sender<Verdict>) {
    let mut checks = tokio::time::interval_at(Instant::now() + CHECK_INTERVAL, CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        checks.tick().await;
        verdict.send_replace(Verdict::Checking);
        if let Err(error) = reader.recheck_while_sending().await {
            tracing::info!(
                code = error.code().map(fdx::ErrorCode::number),
                "a document was stopped, because access to it has ended"
            );
            verdict.send_replace(Verdict::Ended);
            return;
        }
        verdict.send_replace(Verdict::Permitted);
    }
}

/// The content of a document that is being sent.
struct GuardedContent {
    verdict: watch::Receiver<Verdict>,
    _guard: ResponseGuard,
    chunks: BoxStream<'static, Result<Bytes, OutboundError>>,
    rest_of_chunk: Bytes,
    _slot: DocumentSlot,
}

impl GuardedContent {
    /// Returns the next piece; `None` at the end of the document.
    async fn next_piece(&mut self) -> Option<Result<Bytes, IncompleteDocument>> {
        while self.rest_of_chunk.is_empty() {
            tokio::select! {
                // The end of access comes first, even if the provider always has a chunk ready.
                biased;
                _ = self.verdict.wait_for(|verdict| *verdict == Verdict::Ended) => {
                    return Some(Err(IncompleteDocument::AccessEnded));
                }
                chunk = self.chunks.next() => match chunk? {
                    Ok(chunk) => self.rest_of_chunk = chunk,
                    Err(error) => return Some(Err(IncompleteDocument::Provider(error))),
                },
            }
        }
        // Checks that have failed without a verdict end the document too.
        match self.verdict.wait_for(|verdict| *verdict != Verdict::Checking).await.as_deref() {
            Ok(Verdict::Permitted) => {
                let length = self.rest_of_chunk.len().min(PIECE_BYTES);
                Some(Ok(self.rest_of_chunk.split_to(length)))
            }
            _ => Some(Err(IncompleteDocument::AccessEnded)),
        }
    }
}
