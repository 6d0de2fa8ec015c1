//! Correlation ids, which are taken from the request or generated, then logged and returned with the response.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// The ids that identify a request in the logs of the hub and of other parties.
#[derive(Clone, Debug)]
pub struct Correlation {
    /// The correlation id, returned in the header `ob-correlation-id`.
    pub id: Arc<str>,
    /// The trace id of W3C Trace Context, which are 32 hexadecimal digits. It is returned in the header `ob-trace-id`.
    trace: HeaderValue,
    /// The interaction id of the request, which FAPI requires to be returned.
    interaction_id: Option<HeaderValue>,
}

static CORRELATION_HEADER: HeaderName = HeaderName::from_static("ob-correlation-id");
static TRACE_HEADER: HeaderName = HeaderName::from_static("ob-trace-id");
static INTERACTION_HEADER: HeaderName = HeaderName::from_static("x-fapi-interaction-id");
/// The maximum length of an id that is adopted from a request. The correlation id is written to every log line of the
/// request.
const MAX_ID_CHARS: usize = 64;

impl Correlation {
    /// Adopts the ids in the parameter `correlation_id` and in the headers `x-fapi-interaction-id` and `traceparent`
    /// (W3C Trace Context). A missing correlation or trace id is generated from 16 random bytes.
    pub fn from_request(uri: &Uri, headers: &HeaderMap, random: [u8; 16]) -> Self {
        let query = uri.query().unwrap_or_default().as_bytes();
        let from_query = form_urlencoded::parse(query).find(|(name, _)| name == "correlation_id");
        let from_query = from_query.map(|(_, value)| value).filter(|value| is_usable(value));
        let interaction_id = headers.get(&INTERACTION_HEADER).filter(|value| usable_text(value).is_some());
        let mut digits = [0; uuid::fmt::Hyphenated::LENGTH];
        let adopted = from_query.as_deref().or_else(|| interaction_id.and_then(usable_text));
        let id = adopted.unwrap_or_else(|| {
            let uuid = uuid::Builder::from_random_bytes(random).into_uuid();
            uuid.hyphenated().encode_lower(&mut digits)
        });
        let parent = headers.get("traceparent").and_then(|value| value.to_str().ok());
        let trace = parent.and_then(parse_trace_id).and_then(|trace| HeaderValue::from_str(trace).ok());
        let trace = trace.unwrap_or_else(|| generate_trace_id(random));
        Self { id: id.into(), trace, interaction_id: interaction_id.cloned() }
    }

    /// Adds the ids to the headers of a response.
    pub fn add_headers(self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            headers.insert(&CORRELATION_HEADER, id);
        }
        headers.insert(&TRACE_HEADER, self.trace);
        if let Some(interaction_id) = self.interaction_id {
            headers.insert(&INTERACTION_HEADER, interaction_id);
        }
    }
}

fn generate_trace_id(random: [u8; 16]) -> HeaderValue {
    let mut digits = [0; uuid::fmt::Simple::LENGTH];
    // The digits of a UUID without hyphens, whose version and variant are not set: a trace id is 16 random bytes.
    uuid::Uuid::from_bytes(random).simple().encode_lower(&mut digits);
    HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("0"))
}

/// Returns the text of a header value, if it can be logged and returned unchanged.
fn usable_text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok().filter(|text| is_usable(text))
}

/// Returns whether an id can be logged and returned unchanged: it has at most `MAX_ID_CHARS` characters, which are
/// letters, digits, `.`, `_` and `-`.
fn is_usable(text: &str) -> bool {
    (1..=MAX_ID_CHARS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Extracts the trace id from a header of the form `00-<32 hex>-<16 hex>-<2 hex>`; `None` if the header is malformed.
fn parse_trace_id(parent: &str) -> Option<&str> {
    let mut parts = parent.split('-');
    let (version, trace, span, _flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    // A trace id of zeros only is invalid (W3C Trace Context, section 3.2.2.3).
    let is_nonzero = trace.bytes().any(|b| b != b'0');
    (is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_nonzero).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn correlation_id_is_always_loggable_and_returned(
            query: String,
            interaction: Vec<u8>,
            parent in prop_oneof!["[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", ".*"],
        ) {
            let query = form_urlencoded::byte_serialize(query.as_bytes()).collect::<String>();
            let uri: Uri = format!("/?correlation_id={query}").parse().unwrap();
            let mut headers = HeaderMap::new();
            headers.extend(HeaderValue::from_bytes(&interaction).map(|v| (INTERACTION_HEADER.clone(), v)));
            let parent = HeaderValue::from_bytes(parent.as_bytes());
            headers.extend(parent.map(|v| (HeaderName::from_static("traceparent"), v)));
            let correlation = Correlation::from_request(&uri, &headers, [7; 16]);
            prop_assert!(is_usable(&correlation.id), "{}", correlation.id);
            let mut response = HeaderMap::new();
            correlation.add_headers(&mut response);
            let trace = response["ob-trace-id"].as_bytes();
            prop_assert!(trace.len() == 32 && trace.iter().all(u8::is_ascii_hexdigit));
            prop_assert!(response.contains_key("ob-correlation-id"));
        }
    }

    const INTERACTION: &str = "x-fapi-interaction-id";

    fn correlate(uri: &str, headers: &[(&'static str, &str)]) -> Correlation {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Correlation::from_request(&uri.parse().unwrap(), &map, [1; 16])
    }

    #[test]
    fn correlation_id_is_adopted_if_plain_else_generated() {
        assert_eq!(&*correlate("/?correlation_id=abc", &[(INTERACTION, "x1")]).id, "abc");
        assert_eq!(&*correlate("/", &[(INTERACTION, "x1")]).id, "x1");
        for bad in ["/?correlation_id=a%0d%0ab", "/?correlation_id=", "/?correlation_id=%3Cscript%3E"] {
            assert_eq!(correlate(bad, &[]).id.len(), 36, "{bad}");
        }
        let long = format!("/?correlation_id={}", "a".repeat(65));
        assert_eq!(correlate(&long, &[]).id.len(), 36);
    }

    #[test]
    fn traceparent_trace_id_is_adopted() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(correlate("/", &[("traceparent", &parent)]).trace, trace);
        assert_eq!(correlate("/", &[("traceparent", "00-zz-1-01")]).trace, "01".repeat(16));
    }
}
