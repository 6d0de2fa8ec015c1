//! Flow cookies: each binds a browser to one authorization request.
//!
//! Every request has a cookie of its own, so that two flows in one browser do not interfere. The browser keeps it until the request
//! has expired, so that its pages can show that a request is complete.

use cookie::{Cookie, SameSite, time::Duration};
use domain::Secret;
use domain::id::AuthorizationRequestId;
use domain::secret::TokenHashes;
use http::{HeaderMap, header};

use crate::app::App;

const PREFIX: &str = "bowline_flow_";
/// The maximum number of cookie values that are read from one request. Each value costs a hash.
const MAX_COOKIE_VALUES: usize = 50;
/// The maximum number of flow cookies that one browser may have.
///
/// Otherwise a site that repeatedly sends a browser to the hub could make its `Cookie` header exceed the maximum size
/// of headers.
const MAX_FLOWS: usize = 20;

/// Builds the cookie that binds a browser to an authorization request.
pub fn build_flow_cookie(
    app: &App,
    id: &AuthorizationRequestId,
    value: &Secret<String>,
    lifetime: std::time::Duration,
) -> String {
    build_cookie(app, id, value.expose(), Duration::try_from(lifetime).unwrap_or(Duration::ZERO))
}

/// Builds an expired cookie, with which a browser deletes the cookie of a request.
fn expire_flow_cookie(app: &App, id: &AuthorizationRequestId) -> String {
    build_cookie(app, id, "", Duration::ZERO)
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

    /// Returns the CSRF token for the consent page of an authorization request. It is bound to the flow cookie.
    pub fn csrf_token(&self, app: &App, id: &AuthorizationRequestId) -> String {
        app.vault().csrf_token(&format!("{id}\n{}", self.0.first().map_or("", String::as_str)))
    }
}

/// Builds expired cookies for the oldest flows of a browser, so that one more flow stays within the limit.
pub fn expire_surplus_flow_cookies(app: &App, headers: &HeaderMap) -> Vec<String> {
    let prefix = cookie_prefix(app);
    let parse_id = |cookie: Cookie<'_>| {
        format!("arq_{}", cookie.name().strip_prefix(&prefix)?).parse::<AuthorizationRequestId>().ok()
    };
    let ids: std::collections::BTreeSet<_> = parse_cookies(headers).filter_map(parse_id).collect();
    // Ids begin with their creation time, so the first ones in order are the oldest.
    let surplus = (ids.len() + 1).saturating_sub(MAX_FLOWS);
    ids.iter().take(surplus).map(|id| expire_flow_cookie(app, id)).collect()
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
}
