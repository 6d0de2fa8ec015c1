//! The validation of the settings of the HTTP calls to a provider.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use crate::model::provider::ProviderSettings;
use crate::rule::network_address::{find_literal, is_allowed_for_proxy, is_private};
use crate::rule::validation::{ValidationError, validate_credential};

const MAX_HEADERS: usize = 32;
const MAX_RANGES: usize = 32;

/// The headers that the hub sets itself, and those that would change how a message is read or who reads it.
const RESERVED_HEADERS: [&str; 18] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "proxy-authorization",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-fapi-interaction-id",
];

/// Validates headers, proxy, address ranges, duration, page size and history.
pub(super) fn validate_transport(
    settings: &ProviderSettings,
    max_timeout: Duration,
    allow_loopback: bool,
) -> Result<(), ValidationError> {
    validate_headers(settings)?;
    if let Some(proxy) = &settings.proxy {
        let url = Url::parse(&proxy.url).ok().filter(|url| {
            // A URL with one of these schemes always has a host.
            matches!(url.scheme(), "http" | "https") && url.username().is_empty()
        });
        let url = url.filter(|url| url.password().is_none() && url.path() == "/" && url.query().is_none());
        let expected = match url.map(|url| is_allowed_proxy(&url, allow_loopback)) {
            Some(true) => None,
            Some(false) => Some("the address is not allowed; loopback needs upstream.allow_loopback"),
            None => Some("expected a URL such as http://egress.example:3128"),
        };
        if let Some(expected) = expected {
            return Err(ValidationError::new("proxy.url", expected));
        }
    }
    validate_ranges(settings)?;
    if settings.timeout.is_some() && settings.call_timeout().is_none_or(|timeout| timeout > max_timeout) {
        let expected =
            format!("expected a duration of at most upstream.timeout ({}s)", max_timeout.as_secs());
        return Err(ValidationError::new("timeout", expected));
    }
    if settings.page_size == Some(0) {
        return Err(ValidationError::new("page_size", "expected at least 1"));
    }
    if settings.history.is_some() && settings.history_span().is_none() {
        return Err(ValidationError::new("history", "expected a time as in \"24 months\" or \"90 days\""));
    }
    Ok(())
}

/// Returns whether a proxy may have the address that its URL contains, if it contains one.
pub fn is_allowed_proxy(url: &Url, allow_loopback: bool) -> bool {
    find_literal(url).is_none_or(|address| is_allowed_for_proxy(address, allow_loopback))
}

fn validate_headers(settings: &ProviderSettings) -> Result<(), ValidationError> {
    // Names are compared without case (RFC 9110 §5.1).
    let mut seen = BTreeSet::new();
    let constant = settings.headers.keys().map(|name| ("headers", name));
    let secret = settings.secret_headers.keys().map(|name| ("secret_headers", name));
    let computed = settings.computed_headers.keys().map(|name| ("computed_headers", name));
    for (member, name) in constant.chain(secret).chain(computed) {
        let lower = name.to_ascii_lowercase();
        let is_token = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        let expected = if !is_token {
            "expected the name of a header"
        } else if RESERVED_HEADERS.contains(&lower.as_str()) {
            "the hub sets this header itself"
        } else if !seen.insert(lower) {
            "the header is given twice"
        } else {
            continue;
        };
        let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(ValidationError::new(format!("{member}.{name}"), expected));
    }
    if seen.len() > MAX_HEADERS {
        return Err(ValidationError::new("headers", format!("expected at most {MAX_HEADERS} headers")));
    }
    settings
        .headers
        .iter()
        .try_for_each(|(name, value)| validate_credential(&format!("headers.{name}"), value))
}

fn validate_ranges(settings: &ProviderSettings) -> Result<(), ValidationError> {
    let ranges = settings.tls.iter().flat_map(|tls| &tls.allow_private);
    for (nth, range) in ranges.enumerate() {
        if nth >= MAX_RANGES || !range.parse::<IpNet>().is_ok_and(|range| is_private_range(&range)) {
            let expected = "expected a private range such as 10.8.0.0/16, at most 32 of them";
            return Err(ValidationError::new(format!("tls.allow_private[{nth}]"), expected));
        }
    }
    Ok(())
}

/// Returns whether all addresses of a range are private.
fn is_private_range(range: &IpNet) -> bool {
    // A range with others in between would contain two private blocks. Two blocks have at most the first bit in common, so such a
    // range would begin at 0.0.0.0 or 128.0.0.0, which are not private.
    is_private(range.network()) && is_private(range.broadcast())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn validation_message(changes: &Value) -> Option<String> {
        let mut value = json!({
            "name": "Maple Trust", "country": "CA", "authorization_endpoint": "https://maple.example/authorize",
            "token_endpoint": "https://maple.example/token", "client_id": "bowline",
            "fdx": {"base_url": "https://maple.example/fdx/v5", "version": "5"},
            "scopes": {"ACCOUNT_BASIC": "accounts"},
        });
        value.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let settings = serde_json::from_value(value).unwrap();
        let error = validate_transport(&settings, Duration::from_secs(15), false).err()?;
        Some(format!("{}: {}", error.field, error.expected))
    }

    #[test]
    fn valid_transport_settings_are_accepted() {
        for settings in [
            json!({"headers": {"x-fapi-financial-id": "a b"}, "secret_headers": {"x-gateway-key": {"env": "K"}}}),
            json!({"proxy": {"url": "http://egress.example:3128"}}),
            json!({"proxy": {"url": "http://10.8.0.1:3128"}}),
            json!({"tls": {"allow_private": ["10.8.0.0/16", "192.168.1.1/32", "100.64.0.0/10", "fd00:1::/32"]}}),
            json!({"timeout": "15s", "page_size": 1, "history": "24 months"}),
            json!({"timeout": "500ms", "history": "90 days"}),
        ] {
            assert_eq!(validation_message(&settings), None, "{settings}");
        }
    }

    #[test]
    fn invalid_transport_setting_is_named() {
        let address = "proxy.url: the address is not allowed; loopback needs upstream.allow_loopback";
        let range = "expected a private range such as 10.8.0.0/16, at most 32 of them";
        for (settings, expected) in [
            (json!({"headers": {"a b": "x"}}), "headers.a b: expected the name of a header".to_owned()),
            (json!({"headers": {"": "x"}}), "headers.: expected the name of a header".to_owned()),
            (
                json!({"headers": {"Authorization": "x"}}),
                "headers.Authorization: the hub sets this header itself".to_owned(),
            ),
            (
                json!({"headers": {"X-Key": "x"}, "secret_headers": {"x-key": {"env": "K"}}}),
                "secret_headers.x-key: the header is given twice".to_owned(),
            ),
            (
                json!({"headers": {"x-key": "a\r\nb"}}),
                "headers.x-key: must be 1 to 2048 printable characters of ASCII".to_owned(),
            ),
            (
                json!({"proxy": {"url": "http://user:secret@egress.example:3128"}}),
                "proxy.url: expected a URL such as http://egress.example:3128".to_owned(),
            ),
            (
                json!({"proxy": {"url": "socks5://egress.example"}}),
                "proxy.url: expected a URL such as http://egress.example:3128".to_owned(),
            ),
            (json!({"proxy": {"url": "http://169.254.169.254"}}), address.to_owned()),
            (json!({"proxy": {"url": "http://0xa9fea9fe:80"}}), address.to_owned()),
            (json!({"proxy": {"url": "http://[::ffff:169.254.169.254]"}}), address.to_owned()),
            (json!({"proxy": {"url": "https://127.0.0.1:3128"}}), address.to_owned()),
            (json!({"tls": {"allow_private": ["0.0.0.0/0"]}}), format!("tls.allow_private[0]: {range}")),
            (json!({"tls": {"allow_private": ["10.0.0.0/7"]}}), format!("tls.allow_private[0]: {range}")),
            (
                json!({"tls": {"allow_private": ["10.0.0.0/8", "169.254.0.0/16"]}}),
                format!("tls.allow_private[1]: {range}"),
            ),
            (json!({"tls": {"allow_private": ["127.0.0.0/8"]}}), format!("tls.allow_private[0]: {range}")),
            (json!({"tls": {"allow_private": ["bank"]}}), format!("tls.allow_private[0]: {range}")),
            (
                json!({"timeout": "16s"}),
                "timeout: expected a duration of at most upstream.timeout (15s)".to_owned(),
            ),
            (
                json!({"timeout": "0s"}),
                "timeout: expected a duration of at most upstream.timeout (15s)".to_owned(),
            ),
            (
                json!({"timeout": "soon"}),
                "timeout: expected a duration of at most upstream.timeout (15s)".to_owned(),
            ),
            (json!({"page_size": 0}), "page_size: expected at least 1".to_owned()),
            (
                json!({"history": "-1 day"}),
                "history: expected a time as in \"24 months\" or \"90 days\"".to_owned(),
            ),
        ] {
            assert_eq!(validation_message(&settings), Some(expected), "{settings}");
        }
    }

    #[test]
    fn proxy_url_has_only_scheme_host_and_port() {
        let message = |url: &str| validation_message(&json!({"proxy": {"url": url}}));
        for valid in ["http://egress.example", "https://egress.example:3128/"] {
            assert_eq!(message(valid), None, "{valid}");
        }
        for invalid in [
            "ftp://egress.example/",
            "http://user@egress.example/",
            "http://:secret@egress.example/",
            "http://egress.example/path",
            "http://egress.example/?query",
            "egress.example:3128",
            "",
        ] {
            let expected = "proxy.url: expected a URL such as http://egress.example:3128";
            assert_eq!(message(invalid).as_deref(), Some(expected), "{invalid}");
        }
    }

    #[test]
    fn number_of_headers_and_ranges_is_limited() {
        let headers = |count: usize| -> serde_json::Map<String, Value> {
            (0..count).map(|nth| (format!("x-{nth}"), json!("value"))).collect()
        };
        let secrets = json!({"x-secret": {"env": "K"}});
        let with_headers =
            |count| validation_message(&json!({"headers": headers(count), "secret_headers": secrets}));
        let with_ranges =
            |count: usize| validation_message(&json!({"tls": {"allow_private": vec!["10.8.0.0/16"; count]}}));

        assert_eq!(with_headers(MAX_HEADERS - 1), None);
        assert_eq!(with_headers(MAX_HEADERS).as_deref(), Some("headers: expected at most 32 headers"));
        assert_eq!(with_ranges(MAX_RANGES), None);
        assert!(
            with_ranges(MAX_RANGES + 1).is_some_and(|message| message.starts_with("tls.allow_private[32]"))
        );
    }

    #[test]
    fn header_name_has_at_most_64_characters() {
        let longest = "x".repeat(64);
        let too_long = "x".repeat(65);

        assert_eq!(validation_message(&json!({"headers": {longest: "value"}})), None);
        let message = validation_message(&json!({"headers": {too_long: "value"}}));
        assert_eq!(message, Some(format!("headers.{}: expected the name of a header", "x".repeat(64))));
    }
}
