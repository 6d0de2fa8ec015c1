//! Reads documents, such as statements, and passes them on while they are read.

use bytes::{Bytes, BytesMut};
use fdx::ErrorCode;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::{HeaderMap, header};

use super::error::{ReadError, UpstreamError};
use super::fetch::ConnectionSource;
use crate::outbound::{OutboundError, StreamingResponse};

/// A document that is passed on to the recipient while it is read from the provider.
pub struct StreamedDocument {
    /// The media type, which the response to the recipient has in `Content-Type`.
    pub kind: &'static str,
    /// The length of the content in bytes, for `Content-Length`; `None` if the provider does not send it.
    pub length: Option<u64>,
    /// The content in chunks. An error means that the document is incomplete.
    pub body: BoxStream<'static, Result<Bytes, OutboundError>>,
}

/// The number of bytes that are read before the response to the recipient begins. A document that ends within them is
/// known to be complete and not too large.
const READ_AHEAD_BYTES: usize = 256 * 1024;

impl ConnectionSource<'_> {
    /// Requests a document with the media type `kind`. Returns an error if the document is larger than the configured
    /// maximum.
    pub async fn open_document(
        &self,
        path: &[&str],
        kind: &'static str,
    ) -> Result<StreamedDocument, ReadError> {
        let open = self.call_with_token(|source, token| async move {
            let (base, url) = (source.resource_url(&[], &[])?, source.resource_url(path, &[])?);
            let response = source.endpoints().open_document(&base, &url, &token, kind).await;
            Ok::<_, ReadError>((source, response.map_err(ReadError::Upstream)?))
        });
        let (source, response) = open.await?;
        let endpoints = source.endpoints();
        let status = response.status;
        let max_bytes = self.ctx.app().config().upstream.max_statement.bytes();
        let reporter = endpoints.read_reporter();
        let document = stream_document(response, kind, max_bytes).await.map_err(|error| {
            match &error {
                DocumentError::OtherType => endpoints.report_unreadable(status, "other_media_type"),
                DocumentError::Outbound(error) => reporter.report_outbound_error(error),
            }
            ReadError::Upstream(error.into())
        })?;
        let report = move |chunk: &Result<Bytes, OutboundError>| {
            if let Err(error) = chunk {
                reporter.report_outbound_error(error);
            }
        };
        Ok(StreamedDocument { body: document.body.inspect(report).boxed(), ..document })
    }
}

/// The reason why a document is not passed on.
#[derive(Debug)]
enum DocumentError {
    /// The content has another media type than the requested one.
    OtherType,
    /// The response cannot be read completely.
    Outbound(OutboundError),
}

impl From<DocumentError> for UpstreamError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::OtherType => Self::Failed,
            DocumentError::Outbound(OutboundError::TooLarge) => Self::FdxError(ErrorCode::TooLarge),
            DocumentError::Outbound(error) => error.into(),
        }
    }
}

async fn stream_document(
    response: StreamingResponse,
    kind: &'static str,
    max_bytes: usize,
) -> Result<StreamedDocument, DocumentError> {
    let declared = DeclaredType::from_headers(&response.headers, kind).ok_or(DocumentError::OtherType)?;
    let declared_length = response.content_length();
    if declared_length.is_some_and(|length| length > max_bytes as u64) {
        return Err(DocumentError::Outbound(OutboundError::TooLarge));
    }
    let mut chunks = response.into_chunks(max_bytes);
    let mut first = BytesMut::new();
    let mut is_complete = false;
    let wanted = if declared_length.is_some() { MAGIC_BYTES } else { READ_AHEAD_BYTES };
    while first.len() < wanted && !is_complete {
        match chunks.next().await.transpose().map_err(DocumentError::Outbound)? {
            Some(chunk) if first.len() + chunk.len() > max_bytes => {
                return Err(DocumentError::Outbound(OutboundError::TooLarge));
            }
            Some(chunk) => first.extend_from_slice(&chunk),
            None => is_complete = true,
        }
    }
    if declared == DeclaredType::Unspecific && !has_magic_bytes(&first, kind) {
        return Err(DocumentError::OtherType);
    }
    let length = declared_length.or_else(|| is_complete.then_some(first.len() as u64));
    let mut remaining = max_bytes.saturating_sub(first.len());
    // A document of unknown length is limited while it is passed on. The recipient then gets an incomplete response.
    let rest = chunks.map(move |chunk| {
        let chunk = chunk?;
        remaining = remaining.checked_sub(chunk.len()).ok_or(OutboundError::TooLarge)?;
        Ok(chunk)
    });
    let first = stream::once(async move { Ok(first.freeze()) });
    let body = if is_complete { first.boxed() } else { first.chain(rest).boxed() };
    Ok(StreamedDocument { kind, length, body })
}

/// The media type that a response declares.
#[derive(PartialEq, Eq)]
enum DeclaredType {
    /// The requested one.
    Requested,
    /// `application/octet-stream`, which any content may have.
    Unspecific,
}

impl DeclaredType {
    /// Parses `Content-Type`. Returns `None` for any other media type, such as HTML: the hub labels the document with the
    /// requested one. Parameters such as `charset` are ignored.
    fn from_headers(headers: &HeaderMap, kind: &str) -> Option<Self> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case(kind) {
            Some(Self::Requested)
        } else if media_type.eq_ignore_ascii_case("application/octet-stream") {
            Some(Self::Unspecific)
        } else {
            None
        }
    }
}

/// The maximum number of bytes by which the type of a document is recognized.
const MAGIC_BYTES: usize = 8;

/// Returns whether content begins with the bytes by which documents of a media type are recognized.
fn has_magic_bytes(content: &[u8], kind: &str) -> bool {
    let magic: &[&[u8]] = match kind {
        "application/pdf" => &[b"%PDF-"],
        "image/gif" => &[b"GIF87a", b"GIF89a"],
        "image/jpeg" => &[b"\xFF\xD8\xFF"],
        "image/tiff" => &[b"II*\0", b"MM\0*"],
        "image/png" => &[b"\x89PNG\r\n\x1A\n"],
        _ => &[],
    };
    magic.iter().any(|magic| content.starts_with(magic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_type_is_recognized_by_first_bytes() {
        let contents: [(&str, &[u8]); 5] = [
            ("application/pdf", b"%PDF-1.7"),
            ("image/gif", b"GIF89a\0\0"),
            ("image/jpeg", b"\xFF\xD8\xFF\xE0"),
            ("image/tiff", b"II*\0\x08"),
            ("image/png", b"\x89PNG\r\n\x1A\n"),
        ];
        for kind in fdx::DOCUMENT_TYPES {
            for (content_kind, content) in contents {
                assert_eq!(has_magic_bytes(content, kind), kind == content_kind, "{kind}");
            }
            assert!(!has_magic_bytes(b"<html>", kind) && !has_magic_bytes(b"", kind), "{kind}");
        }
    }
}
