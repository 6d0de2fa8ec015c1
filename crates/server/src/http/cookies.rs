//! Flow cookies: one for each authorization request, so that two at once do not mix.

use cookie::{Cookie, SameSite, time::Duration};
use domain::Secret;
use domain::id::AuthorizationRequestId;
use domain::secret::TokenHashes;
use http::{HeaderMap, header};

use crate::app::App;

const PREFIX: &str = "bowline_flow_";
/// More requests than this no browser has under way.
const MAX_COOKIE_VALUES: usize = 50;

/// The cookie that binds a browser to a request. Over TLS its name binds it to this origin (`__Host-`).
pub fn build_flow_cookie(
    app: &App,
    id: &AuthorizationRequestId,
    value: &Secret<String>,
    lifetime: std::time::Duration,
) -> String {
    build_cookie(app, id, value.expose(), Duration::try_from(lifetime).unwrap_or(Duration::ZERO))
}

/// What makes a browser forget a request that is over.
pub fn expire_flow_cookie(app: &App, id: &AuthorizationRequestId) -> String {
    build_cookie(app, id, "", Duration::ZERO)
}

fn build_cookie(app: &App, id: &AuthorizationRequestId, value: &str, max_age: Duration) -> String {
    let cookie = Cookie::build((cookie_name(app, id), value))
        .path("/")
        .http_only(true)
        .secure(app.is_https())
        .same_site(SameSite::Lax)
        .max_age(max_age);
    cookie.build().to_string()
}

/// The values of every flow cookie that a browser sent: the first is that of `id`, if one is given.
pub fn read_flow_cookies(app: &App, headers: &HeaderMap, id: Option<&AuthorizationRequestId>) -> FlowCookies {
    FlowCookies(cookie_values(headers, &cookie_prefix(app), id.map(|id| cookie_name(app, id)).as_deref()))
}

/// The values of the cookies of a name, or of every name that begins so.
fn cookie_values(headers: &HeaderMap, prefix: &str, wanted: Option<&str>) -> Vec<String> {
    let sent = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies = sent.flat_map(|value| Cookie::split_parse(value.to_owned())).filter_map(Result::ok);
    let matching = cookies.filter(|c| wanted.map_or_else(|| c.name().starts_with(prefix), |w| c.name() == w));
    matching.map(|c| c.value().to_owned()).take(MAX_COOKIE_VALUES).collect()
}

/// What a browser holds of its requests.
pub struct FlowCookies(Vec<String>);

impl FlowCookies {
    /// How the values may be remembered.
    pub fn hashes(&self, app: &App) -> TokenHashes {
        TokenHashes::new(self.0.iter().map(|value| app.vault().hash(value)).collect())
    }

    /// The form token of a request's page.
    pub fn csrf_token(&self, app: &App, id: &AuthorizationRequestId) -> String {
        app.vault().csrf_token(&format!("{id}\n{}", self.0.first().map_or("", String::as_str)))
    }
}

/// Visits that a browser may have under way. A page that sends it here again and again must not fill the header
/// that it sends with every request.
const MAX_FLOWS: usize = 20;

/// What makes a browser forget its oldest visits, so that one more stays within bounds.
pub fn expire_surplus_flow_cookies(app: &App, headers: &HeaderMap) -> Vec<String> {
    let prefix = cookie_prefix(app);
    let sent = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let names = sent.flat_map(|value| Cookie::split_parse(value.to_owned())).filter_map(Result::ok);
    let own = names.filter_map(|c| {
        AuthorizationRequestId::parse(&format!("arq_{}", c.name().strip_prefix(&prefix)?)).ok()
    });
    let ids: std::collections::BTreeSet<AuthorizationRequestId> = own.collect();
    // Ids begin with the time: the first are the oldest.
    let surplus = (ids.len() + 1).saturating_sub(MAX_FLOWS);
    ids.iter().take(surplus).map(|id| expire_flow_cookie(app, id)).collect()
}

fn cookie_prefix(app: &App) -> String {
    if app.is_https() { format!("__Host-{PREFIX}") } else { PREFIX.to_owned() }
}

fn cookie_name(app: &App, id: &AuthorizationRequestId) -> String {
    let own = id.as_str().trim_start_matches("arq_");
    format!("{}{own}", cookie_prefix(app))
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
        fn cookie_header_with_any_bytes_never_panics(lines in prop::collection::vec(any::<Vec<u8>>(), 0..4), text: String) {
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
