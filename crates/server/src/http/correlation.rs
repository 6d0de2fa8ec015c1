//! Correlation ids, which are taken from the request or generated, then logged and returned with the response.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// The ids that identify a request in the logs of the hub and of other parties.
#[derive(Clone, Debug)]
pub struct Correlation {
    /// The correlation id, returned in the header `ob-correlation-id`.
    pub id: Arc<str>,
    /// The trace id of W3C Trace Context, returned in the header `ob-trace-id`.
    pub trace: String,
    /// The interaction id of the request, which FAPI requires to be returned.
    interaction_id: Option<String>,
}

const INTERACTION_HEADER: &str = "x-fapi-interaction-id";
/// The maximum length of an id that is adopted from a request. The correlation id is written to every log line of the
/// request.
const MAX_ID_CHARS: usize = 64;

impl Correlation {
    /// Adopts the ids in the parameter `correlation_id` and in the headers `x-fapi-interaction-id` and `traceparent`
    /// (W3C Trace Context). A missing correlation or trace id is generated from 16 random bytes.
    pub fn from_request(uri: &Uri, headers: &HeaderMap, random: [u8; 16]) -> Self {
        let query = uri.query().unwrap_or_default().as_bytes();
        let from_query = form_urlencoded::parse(query).find(|(name, _)| name == "correlation_id");
        let from_query = from_query.map(|(_, value)| value.into_owned()).filter(|v| is_usable(v));
        let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let interaction_id = header(INTERACTION_HEADER).filter(|v| is_usable(v));
        let generate = || uuid::Builder::from_random_bytes(random).into_uuid().to_string();
        let id = from_query.or_else(|| interaction_id.clone()).unwrap_or_else(generate);
        let trace = header("traceparent").as_deref().and_then(parse_trace_id).map(str::to_owned);
        let trace = trace.unwrap_or_else(|| format!("{:032x}", u128::from_be_bytes(random)));
        Self { id: id.into(), trace, interaction_id }
    }

    /// Adds the ids to the headers of a response.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        let pairs = [
            ("ob-correlation-id", Some(&*self.id)),
            ("ob-trace-id", Some(&*self.trace)),
            (INTERACTION_HEADER, self.interaction_id.as_deref()),
        ];
        for (name, value) in pairs {
            if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
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
            headers.extend(HeaderValue::from_bytes(&interaction).map(|v| (HeaderName::from_static(INTERACTION_HEADER), v)));
            let parent = HeaderValue::from_bytes(parent.as_bytes());
            headers.extend(parent.map(|v| (HeaderName::from_static("traceparent"), v)));
            let correlation = Correlation::from_request(&uri, &headers, [7; 16]);
            prop_assert!(is_usable(&correlation.id), "{}", correlation.id);
            prop_assert!(correlation.trace.len() == 32 && correlation.trace.bytes().all(|b| b.is_ascii_hexdigit()));
            let mut response = HeaderMap::new();
            correlation.add_headers(&mut response);
            prop_assert!(response.contains_key("ob-correlation-id") && response.contains_key("ob-trace-id"));
        }
    }

    fn correlate(uri: &str, headers: &[(&'static str, &str)]) -> Correlation {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Correlation::from_request(&uri.parse().unwrap(), &map, [1; 16])
    }

    #[test]
    fn correlation_id_is_adopted_if_plain_else_generated() {
        assert_eq!(&*correlate("/?correlation_id=abc", &[(INTERACTION_HEADER, "x1")]).id, "abc");
        assert_eq!(&*correlate("/", &[(INTERACTION_HEADER, "x1")]).id, "x1");
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
