//! The content of a response, decoded if it is encoded with `gzip` or `br` (RFC 9110 §8.4).
//!
//! Some servers and gateways declare an encoding that the content does not have. The first bytes show this, and such content is read as
//! it is: a token response that cannot be read is a lost login, because a code can be exchanged only once.
//!
//! Encoded bytes have the same limit as decoded ones: content of empty blocks is long without end, and nothing of it is decoded.

use std::io;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder};
use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use http::{HeaderMap, header};
use tokio_util::io::{ReaderStream, StreamReader};

use super::error::{OutboundError, classify_error};

/// The value of the header `Accept-Encoding`.
pub(super) const ACCEPTED_ENCODINGS: &str = "gzip, br";
/// The maximum size of a decoded chunk. A limit is checked after each chunk, so a chunk must be small.
const CHUNK_BYTES: usize = 8192;
/// The number of bytes after which content that has the declared encoding or is white space is taken for encoded.
const MAX_BEGINNING_BYTES: usize = 64;

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
        let (first, None) = (declared.next()?.as_bytes(), declared.next()) else { return None };
        // RFC 9110 §8.4.1: names are case-insensitive, and `x-gzip` is another name of `gzip`.
        let is_named = |name: &str| first.eq_ignore_ascii_case(name.as_bytes());
        let encoding = if is_named("gzip") || is_named("x-gzip") {
            Self::Gzip
        } else if is_named("br") {
            Self::Brotli
        } else {
            return None;
        };
        headers.remove(header::CONTENT_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
        Some(encoding)
    }

    /// Returns whether content that begins with these bytes has the encoding; `None` if more bytes are needed.
    fn is_encoding_of(self, beginning: &[u8]) -> Option<bool> {
        match self {
            // RFC 1952 §2.3.1: the first byte of a member is constant.
            Self::Gzip => beginning.first().map(|byte| *byte == 0x1f),
            Self::Brotli => is_json_object(beginning).map(|is_json| !is_json),
        }
    }
}

/// Returns whether bytes that can also be brotli begin an object of JSON; `None` if more bytes are needed.
fn is_json_object(beginning: &[u8]) -> Option<bool> {
    // RFC 7932 §9.1, §9.2: `{` would announce the last, empty block, and its unused bits are not zero. The first byte of a byte
    // order mark would announce metadata, and its reserved bit is not zero.
    if matches!(beginning.first(), Some(b'{' | 0xef)) {
        return Some(true);
    }
    // White space can begin a stream. That the stream continues as an object does is so improbable that it is not considered.
    let mut significant = beginning.iter().filter(|byte| !b" \t\r\n".contains(byte));
    match (significant.next()?, significant.next()) {
        (b'{', None) => None,
        (b'{', Some(b'"' | b'}')) => Some(true),
        _ => Some(false),
    }
}

/// The content of a response, which is read in chunks.
pub(super) struct Content {
    /// The declared encoding, until the first chunk shows whether the content has it.
    declared: Option<ContentEncoding>,
    source: ContentSource,
    /// The maximum number of bytes of encoded content.
    max_encoded_bytes: usize,
}

enum ContentSource {
    Response(reqwest::Response),
    Decoder(BoxStream<'static, io::Result<Bytes>>),
    Ended,
}

impl Content {
    /// Takes the content of a response. `headers` are those of the response.
    pub(super) fn new(headers: &mut HeaderMap, response: reqwest::Response) -> Self {
        Self {
            declared: ContentEncoding::take_from(headers),
            source: ContentSource::Response(response),
            max_encoded_bytes: usize::MAX,
        }
    }

    /// Limits the bytes of encoded content. The caller limits the decoded bytes, and those of content that is not encoded.
    pub(super) const fn limit_encoded_bytes(&mut self, max_bytes: usize) {
        self.max_encoded_bytes = max_bytes;
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
        if let Some(encoding) = self.declared.take() {
            let beginning = self.read_beginning(encoding).await?;
            if beginning.is_empty() {
                return Ok(None);
            }
            // The first byte of a large window, which is no part of RFC 7932: the decoder would take up to 1 GiB of memory for it.
            if encoding == ContentEncoding::Brotli && beginning.first() == Some(&0x11) {
                return Err(OutboundError::Interrupted);
            }
            if encoding.is_encoding_of(&beginning) == Some(false) {
                return Ok(Some(beginning));
            }
            self.decode(encoding, beginning);
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

    /// Reads chunks until they show whether the content has the declared encoding.
    async fn read_beginning(&mut self, encoding: ContentEncoding) -> Result<Bytes, OutboundError> {
        let mut beginning = Bytes::new();
        let ContentSource::Response(response) = &mut self.source else { return Ok(beginning) };
        while encoding.is_encoding_of(&beginning).is_none() && beginning.len() < MAX_BEGINNING_BYTES {
            match response.chunk().await.map_err(|error| classify_error(&error))? {
                Some(chunk) if beginning.is_empty() => beginning = chunk,
                Some(chunk) => beginning = [&beginning[..], &chunk].concat().into(),
                None => break,
            }
        }
        Ok(beginning)
    }

    /// Decodes the rest of the content, which begins with `beginning`.
    fn decode(&mut self, encoding: ContentEncoding, beginning: Bytes) {
        let ContentSource::Response(response) = std::mem::replace(&mut self.source, ContentSource::Ended)
        else {
            return;
        };
        let encoded = StreamReader::new(stream_encoded(beginning, response, self.max_encoded_bytes).boxed());
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

/// Returns the chunks of encoded content up to a limit.
fn stream_encoded(
    beginning: Bytes,
    response: reqwest::Response,
    max_bytes: usize,
) -> impl Stream<Item = io::Result<Bytes>> {
    let rest = stream::unfold(response, |mut response| async move {
        let chunk = response.chunk().await.map_err(io::Error::other).transpose()?;
        Some((chunk, response))
    });
    let mut remaining = max_bytes;
    let limited = stream::once(ready(Ok(beginning))).chain(rest).map(move |chunk| {
        let chunk = chunk?;
        let is_too_large = || io::Error::other(OutboundError::TooLarge);
        remaining = remaining.checked_sub(chunk.len()).ok_or_else(is_too_large)?;
        Ok(chunk)
    });
    limited.then(async |chunk| {
        if chunk.is_err() {
            // The decoder returns what it has decoded only if it must wait, and drops it if it gets an error.
            tokio::task::yield_now().await;
        }
        chunk
    })
}

/// Returns the reason of a failed read of encoded content: that of the call, the limit, or content that is not encoded as declared.
fn classify_io_error(error: &io::Error) -> OutboundError {
    let Some(inner) = error.get_ref() else { return OutboundError::Interrupted };
    if matches!(inner.downcast_ref(), Some(OutboundError::TooLarge)) {
        return OutboundError::TooLarge;
    }
    inner.downcast_ref::<reqwest::Error>().map_or(OutboundError::Interrupted, classify_error)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

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
        for (name, expected) in [
            ("gzip", ContentEncoding::Gzip),
            ("GZIP", ContentEncoding::Gzip),
            ("x-gzip", ContentEncoding::Gzip),
            ("X-GZip", ContentEncoding::Gzip),
            ("br", ContentEncoding::Brotli),
            ("Br", ContentEncoding::Brotli),
        ] {
            let mut headers = headers(&[name]);
            assert_eq!(ContentEncoding::take_from(&mut headers), Some(expected));
            assert!(headers.is_empty(), "the length is that of the encoded content");
        }
        for encodings in [&[][..], &["identity"], &["deflate"], &["x-br"], &["gzip, br"], &["gzip", "br"]] {
            let mut headers = headers(encodings);
            assert_eq!(ContentEncoding::take_from(&mut headers), None, "{encodings:?}");
            assert_eq!(headers.len(), 1 + encodings.len(), "{encodings:?}");
        }
    }

    #[test]
    fn json_object_is_no_encoded_content() {
        for json in ["{", "{\"a\":1}", " {\"a\":1}", "\r\n\t{ }", "\u{feff}{\"a\":1}", "\u{feff} {"] {
            for encoding in [ContentEncoding::Gzip, ContentEncoding::Brotli] {
                assert_eq!(encoding.is_encoding_of(json.as_bytes()), Some(false), "{encoding:?}: {json:?}");
            }
        }
        for undecided in ["", " ", "\n{", " { "] {
            assert_eq!(ContentEncoding::Brotli.is_encoding_of(undecided.as_bytes()), None, "{undecided:?}");
        }
        assert_eq!(ContentEncoding::Gzip.is_encoding_of(b"\x1f"), Some(true));
        for encoded in [&b"\x0b"[..], b"[", b" {\x01", b"\n\x02"] {
            assert_eq!(ContentEncoding::Brotli.is_encoding_of(encoded), Some(true), "{encoded:?}");
        }
    }

    /// Reads content that arrives in these chunks. Returns the decoded bytes, and the name of the error that ends them.
    async fn read_chunks(
        encoding: &'static str,
        chunks: &[&[u8]],
        limit: usize,
    ) -> (String, Option<&'static str>) {
        let frames: Vec<_> = chunks
            .iter()
            .map(|chunk| Ok::<_, io::Error>(hyper::body::Frame::data(Bytes::copy_from_slice(chunk))))
            .collect();
        let body = reqwest::Body::wrap(http_body_util::StreamBody::new(stream::iter(frames)));
        let response = http::Response::builder().body(body).unwrap().into();
        let mut content = Content::new(&mut headers(&[encoding]), response);
        content.limit_encoded_bytes(limit);
        let mut decoded = Vec::new();
        let end = loop {
            match content.read_chunk().await {
                Ok(Some(chunk)) => decoded.extend_from_slice(&chunk),
                Ok(None) => break None,
                Err(error) => break Some(error.reason()),
            }
        };
        (String::from_utf8(decoded).unwrap(), end)
    }

    #[tokio::test]
    async fn plain_content_is_recognized_in_short_chunks() {
        let read = read_chunks("br", &[b" ", b"\n", b"{", b" ", b"\"a\":", b"1}"], 1000).await;

        assert_eq!(read, (" \n{ \"a\":1}".to_owned(), None));
    }

    #[tokio::test]
    async fn bytes_before_limit_of_encoded_bytes_are_decoded() {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        writer.write_all(b"{\"a\":1}").unwrap();
        let encoded = writer.finish().unwrap();
        let within = read_chunks("gzip", &[&encoded], encoded.len()).await;

        let over = read_chunks("gzip", &[&encoded, &encoded], 2 * encoded.len() - 1).await;

        assert_eq!(within, ("{\"a\":1}".to_owned(), None));
        assert_eq!(over, ("{\"a\":1}".to_owned(), Some("too_large")));
    }
}
