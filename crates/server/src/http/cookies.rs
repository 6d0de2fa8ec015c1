//! Flow cookies: each contains an authorization request in sealed form, and binds it to one browser.
//!
//! Every request has a cookie of its own, so that two flows in one browser do not interfere. The browser keeps it after the customer
//! has decided, so that its pages can show the progress of the request.

use cookie::{Cookie, SameSite, time::Duration};
use domain::Secret;
use domain::id::AuthorizationRequestId;
use domain::model::authorization_request::FLOW_COOKIE_TTL;
use domain::model::undecided_request::UndecidedRequest;
use domain::secret::{TokenHash, TokenHashes};
use http::{HeaderMap, header};

use crate::app::App;

const PREFIX: &str = "bowline_flow_";
/// The maximum number of cookie values that are read from one request, and of cookies that one response lets expire. Each value
/// costs a hash, and on the page of a request also a decryption.
const MAX_COOKIE_VALUES: usize = 50;
/// The maximum size of all flow cookies of one browser.
///
/// Abandoned flows, or a site that repeatedly sends a browser to the hub, could otherwise make its `Cookie` header exceed the maximum
/// size of headers that the hub or a proxy in front of it accepts.
const MAX_FLOW_COOKIES_BYTES: usize = 6_000;

/// Builds the cookie that contains an authorization request and binds it to a browser. Expired cookies come before it, with which
/// the browser deletes its oldest flows, so that all of them stay within the limit.
pub fn build_flow_cookies(
    app: &App,
    headers: &HeaderMap,
    id: &AuthorizationRequestId,
    value: &Secret<String>,
) -> Vec<String> {
    let added = cookie_size(&cookie_name(app, id), value.expose());
    let surplus = list_surplus_flows(headers, &cookie_prefix(app), added);
    let mut cookies: Vec<_> = surplus.iter().map(|id| build_cookie(app, id, "", Duration::ZERO)).collect();
    let lifetime = Duration::try_from(FLOW_COOKIE_TTL).unwrap_or(Duration::ZERO);
    cookies.push(build_cookie(app, id, value.expose(), lifetime));
    cookies
}

fn build_cookie(app: &App, id: &AuthorizationRequestId, value: &str, max_age: Duration) -> String {
    let cookie = Cookie::build((cookie_name(app, id), value))
        .path("/")
        .http_only(true)
        .secure(app.is_https())
        // Not `Strict`: the browser returns from the provider through a cross-site redirect and must send the cookie.
        .same_site(SameSite::Lax)
        .max_age(max_age);
    cookie.build().to_string()
}

/// Reads the flow cookies of a browser: that of the authorization request `id`, or all of them if `id` is `None`.
pub fn read_flow_cookies(app: &App, headers: &HeaderMap, id: Option<&AuthorizationRequestId>) -> FlowCookies {
    FlowCookies(cookie_values(headers, &cookie_prefix(app), id.map(|id| cookie_name(app, id)).as_deref()))
}

/// Returns the values of the cookies named `name`, or of every name that begins with `prefix`.
fn cookie_values(headers: &HeaderMap, prefix: &str, name: Option<&str>) -> Vec<String> {
    let matches = |cookie: &Cookie<'_>| match name {
        Some(name) => cookie.name() == name,
        None => cookie.name().starts_with(prefix),
    };
    let values = parse_cookies(headers).filter(matches).map(|cookie| cookie.value().to_owned());
    values.take(MAX_COOKIE_VALUES).collect()
}

fn parse_cookies(headers: &HeaderMap) -> impl Iterator<Item = Cookie<'static>> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| Cookie::split_parse(line.to_owned())).filter_map(Result::ok)
}

/// The values of the flow cookies of one browser.
pub struct FlowCookies(Vec<String>);

impl FlowCookies {
    /// Returns the hashes under which the values are stored.
    pub fn hashes(&self, app: &App) -> TokenHashes {
        TokenHashes::new(self.0.iter().map(|value| app.vault().hash(value)).collect())
    }

    /// Returns the authorization request that a cookie contains, and the hash of this cookie.
    pub fn open(&self, app: &App, id: &AuthorizationRequestId) -> Option<(UndecidedRequest, TokenHash)> {
        let (request, value) = app.vault().open_undecided_request(id, &self.0)?;
        Some((request, app.vault().hash(value)))
    }

    /// Returns the CSRF token for the consent page of an authorization request. It is bound to the flow cookie.
    pub fn csrf_token(&self, app: &App, id: &AuthorizationRequestId) -> String {
        app.vault().csrf_token(&format!("{id}\n{}", self.0.first().map_or("", String::as_str)))
    }
}

/// Lists the oldest flows of a browser that must end, so that its cookies stay within the limit with `added` more bytes.
fn list_surplus_flows(headers: &HeaderMap, prefix: &str, added: usize) -> Vec<AuthorizationRequestId> {
    let parse_id = |name: &str| format!("arq_{}", name.strip_prefix(prefix)?).parse().ok();
    let sized =
        |cookie: Cookie<'_>| Some((parse_id(cookie.name())?, cookie_size(cookie.name(), cookie.value())));
    // Ids begin with their creation time, so the first ones in order are the oldest.
    let flows: std::collections::BTreeMap<AuthorizationRequestId, usize> =
        parse_cookies(headers).filter_map(sized).collect();
    let mut size = added + flows.values().sum::<usize>();
    let mut is_surplus = |(_, own): &(AuthorizationRequestId, usize)| {
        let exceeds = size > MAX_FLOW_COOKIES_BYTES;
        size -= own;
        exceeds
    };
    let surplus = flows.into_iter().take_while(|flow| is_surplus(flow));
    // A program could send thousands of tiny cookies; each one that expires is a header of the response.
    surplus.take(MAX_COOKIE_VALUES).map(|(id, _)| id).collect()
}

/// Returns the size of a cookie in the header `Cookie`, with its separators.
const fn cookie_size(name: &str, value: &str) -> usize {
    name.len() + value.len() + "=; ".len()
}

fn cookie_prefix(app: &App) -> String {
    // A browser accepts a `__Host-` cookie only over TLS and from this very host (RFC 6265bis, section 4.1.3.2).
    // Another subdomain cannot set it.
    if app.is_https() { format!("__Host-{PREFIX}") } else { PREFIX.to_owned() }
}

fn cookie_name(app: &App, id: &AuthorizationRequestId) -> String {
    format!("{}{}", cookie_prefix(app), id.as_str().trim_start_matches("arq_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn cookie_headers(lines: &[Vec<u8>]) -> HeaderMap {
        let values = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
        values.map(|value| (header::COOKIE, value)).collect()
    }

    proptest! {
        #[test]
        fn cookie_header_with_arbitrary_bytes_never_panics(lines in prop::collection::vec(any::<Vec<u8>>(), 0..4), text: String) {
            let lines = [lines, vec![text.clone().into_bytes(), format!("{PREFIX}x={text}").into_bytes()]].concat();
            prop_assert!(cookie_values(&cookie_headers(&lines), PREFIX, None).len() <= MAX_COOKIE_VALUES);
            cookie_values(&cookie_headers(&lines), PREFIX, Some("bowline_flow_x"));
        }

        #[test]
        fn flow_cookie_is_found_among_other_cookies(value in "[A-Za-z0-9_-]{1,60}", before in "[a-z]{1,9}=[a-z;= ]{0,40}") {
            let line = format!("{before}; {PREFIX}a={value}; other=1").into_bytes();
            prop_assert_eq!(cookie_values(&cookie_headers(std::slice::from_ref(&line)), PREFIX, Some("bowline_flow_a")), [value.clone()]);
            prop_assert!(cookie_values(&cookie_headers(&[line]), PREFIX, Some("bowline_flow_b")).is_empty());
        }
    }

    #[test]
    fn cookie_values_are_limited_in_number() {
        let line = format!("{PREFIX}a=1; ").repeat(1000).into_bytes();

        assert_eq!(cookie_values(&cookie_headers(&[line]), PREFIX, None).len(), MAX_COOKIE_VALUES);
    }

    #[test]
    fn oldest_flows_are_dropped_above_size_limit() {
        let headers = |sizes: &[usize]| {
            let cookie = |(n, size): (usize, &usize)| {
                let name = format!("{PREFIX}{n:02}");
                format!("{name}={}; ", "x".repeat(size - cookie_size(&name, "")))
            };
            cookie_headers(&[sizes.iter().enumerate().map(cookie).collect::<String>().into_bytes()])
        };
        let surplus = |sizes: &[usize], added| {
            let ids = list_surplus_flows(&headers(sizes), PREFIX, added);
            ids.into_iter().map(String::from).collect::<Vec<_>>()
        };

        assert_eq!(surplus(&[2_000, 2_000], 2_000), [""; 0]);
        assert_eq!(surplus(&[2_000, 2_000], 2_001), ["arq_00"]);
        assert_eq!(surplus(&[300, 2_400, 2_400, 300], 2_400), ["arq_00", "arq_01"]);
        assert_eq!(surplus(&[300; 30], 300).len(), 11);
        assert_eq!(surplus(&[7_000], 300), ["arq_00"]);
        assert_eq!(surplus(&[100; 300], 300).len(), MAX_COOKIE_VALUES);
    }
}
