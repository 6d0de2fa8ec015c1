//! The content of a response, decoded if it is encoded with `gzip` or `br` (RFC 9110 §8.4).
//!
//! Some servers and gateways declare an encoding that the content does not have. The first byte shows this, and such content is read as
//! it is: a token response that cannot be read is a lost login, because a code can be exchanged only once.

use std::io;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder};
use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::{HeaderMap, header};
use tokio_util::io::{ReaderStream, StreamReader};

use super::error::{OutboundError, classify_error};

/// The value of the header `Accept-Encoding`.
pub(super) const ACCEPTED_ENCODINGS: &str = "gzip, br";
/// The maximum size of a decoded chunk. A limit is checked after each chunk, so a chunk must be small.
const CHUNK_BYTES: usize = 8192;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContentEncoding {
    Gzip,
    Brotli,
}

impl ContentEncoding {
    /// Removes the header that declares an encoding which can be decoded, and the length of the encoded content. Other encodings
    /// stay declared.
    fn take_from(headers: &mut HeaderMap) -> Option<Self> {
        let mut declared = headers.get_all(header::CONTENT_ENCODING).iter();
        let encoding = match (declared.next()?.as_bytes(), declared.next()) {
            (b"gzip", None) => Self::Gzip,
            (b"br", None) => Self::Brotli,
            _ => return None,
        };
        headers.remove(header::CONTENT_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
        Some(encoding)
    }

    /// Returns whether encoded content can begin with this byte.
    const fn can_begin_with(self, byte: u8) -> bool {
        match self {
            // RFC 1952 §2.3.1: the first byte of a member is constant.
            Self::Gzip => byte == 0x1f,
            // RFC 7932 §9.1, §9.2: this byte would announce the last, empty block, and its unused bits are not zero. Every other
            // byte can begin a valid stream, so only an object of JSON is recognized.
            Self::Brotli => byte != b'{',
        }
    }
}

/// The content of a response, which is read in chunks.
pub(super) struct Content {
    /// The declared encoding, until the first chunk shows whether the content has it.
    declared: Option<ContentEncoding>,
    source: ContentSource,
}

enum ContentSource {
    Response(reqwest::Response),
    Decoder(BoxStream<'static, io::Result<Bytes>>),
    Ended,
}

impl Content {
    /// Takes the content of a response. `headers` are those of the response.
    pub(super) fn new(headers: &mut HeaderMap, response: reqwest::Response) -> Self {
        Self { declared: ContentEncoding::take_from(headers), source: ContentSource::Response(response) }
    }

    /// Returns the declared length of content that is not encoded.
    pub(super) fn length(&self) -> Option<u64> {
        match (&self.source, self.declared) {
            (ContentSource::Response(response), None) => response.content_length(),
            _ => None,
        }
    }

    /// Reads the next chunk. Returns `None` at the end.
    pub(super) async fn read_chunk(&mut self) -> Result<Option<Bytes>, OutboundError> {
        if let Some(encoding) = self.declared
            && let Some(first) = self.read_first_chunk().await?
        {
            self.declared = None;
            let begins_encoded = first.first().is_some_and(|byte| encoding.can_begin_with(*byte));
            // The first byte of a large window, which is no part of RFC 7932: the decoder would take up to 1 GiB of memory for it.
            if encoding == ContentEncoding::Brotli && first.first() == Some(&0x11) {
                return Err(OutboundError::Interrupted);
            }
            if !begins_encoded {
                return Ok(Some(first));
            }
            self.decode(encoding, first);
        }
        match &mut self.source {
            ContentSource::Response(response) => {
                response.chunk().await.map_err(|error| classify_error(&error))
            }
            ContentSource::Decoder(chunks) => {
                chunks.next().await.transpose().map_err(|error| classify_io_error(&error))
            }
            ContentSource::Ended => Ok(None),
        }
    }

    /// Reads the first chunk that is not empty.
    async fn read_first_chunk(&mut self) -> Result<Option<Bytes>, OutboundError> {
        let ContentSource::Response(response) = &mut self.source else { return Ok(None) };
        loop {
            match response.chunk().await.map_err(|error| classify_error(&error))? {
                Some(chunk) if chunk.is_empty() => {}
                chunk => return Ok(chunk),
            }
        }
    }

    /// Decodes the rest of the content, which begins with `first`.
    fn decode(&mut self, encoding: ContentEncoding, first: Bytes) {
        let ContentSource::Response(response) = std::mem::replace(&mut self.source, ContentSource::Ended)
        else {
            return;
        };
        let rest = stream::unfold(response, |mut response| async move {
            let chunk = response.chunk().await.map_err(io::Error::other).transpose()?;
            Some((chunk, response))
        });
        let encoded = StreamReader::new(stream::once(ready(Ok(first))).chain(rest));
        let decoded = match encoding {
            ContentEncoding::Gzip => {
                let mut decoder = GzipDecoder::new(encoded);
                decoder.multiple_members(true);
                ReaderStream::with_capacity(decoder, CHUNK_BYTES).boxed()
            }
            ContentEncoding::Brotli => {
                ReaderStream::with_capacity(BrotliDecoder::new(encoded), CHUNK_BYTES).boxed()
            }
        };
        self.source = ContentSource::Decoder(decoded);
    }
}

/// Returns the reason of a failed read of encoded content: that of the call, or the content is not encoded as declared.
fn classify_io_error(error: &io::Error) -> OutboundError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<reqwest::Error>());
    inner.map_or(OutboundError::Interrupted, classify_error)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(encodings: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("12"));
        for encoding in encodings {
            headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        headers
    }

    #[test]
    fn only_encoding_that_is_decoded_is_removed_from_headers() {
        for (encodings, expected) in [(&["gzip"], ContentEncoding::Gzip), (&["br"], ContentEncoding::Brotli)]
        {
            let mut headers = headers(encodings);
            assert_eq!(ContentEncoding::take_from(&mut headers), Some(expected));
            assert!(headers.is_empty(), "the length is that of the encoded content");
        }
        for encodings in [&[][..], &["identity"], &["deflate"], &["gzip, br"], &["gzip", "br"]] {
            let mut headers = headers(encodings);
            assert_eq!(ContentEncoding::take_from(&mut headers), None, "{encodings:?}");
            assert_eq!(headers.len(), 1 + encodings.len(), "{encodings:?}");
        }
    }

    #[test]
    fn json_object_is_no_encoded_content() {
        for encoding in [ContentEncoding::Gzip, ContentEncoding::Brotli] {
            assert!(!encoding.can_begin_with(b'{'), "{encoding:?}");
        }
        assert!(ContentEncoding::Gzip.can_begin_with(0x1f) && ContentEncoding::Brotli.can_begin_with(0x0b));
    }
}
