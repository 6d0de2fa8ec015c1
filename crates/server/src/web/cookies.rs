//! Flow cookies: one for each authorization request, so that two at once do not mix.

use cookie::{Cookie, SameSite, time::Duration};
use domain::Secret;
use domain::id::AuthorizationRequestId;
use domain::secret::TokenHashes;
use http::{HeaderMap, header};

use crate::app::App;
use crate::authz::REQUEST_LIFE;

const PREFIX: &str = "bowline_flow_";
/// More requests than this no browser has under way.
const MOST: usize = 50;

/// The cookie that binds a browser to a request. Over TLS its name binds it to this origin (`__Host-`).
pub fn flow_cookie(app: &App, id: &AuthorizationRequestId, value: &Secret<String>) -> String {
    cookie(app, id, value.expose(), Duration::try_from(REQUEST_LIFE).unwrap_or(Duration::ZERO))
}

/// What makes a browser forget a request that is over.
pub fn forgotten_flow_cookie(app: &App, id: &AuthorizationRequestId) -> String {
    cookie(app, id, "", Duration::ZERO)
}

fn cookie(app: &App, id: &AuthorizationRequestId, value: &str, life: Duration) -> String {
    let cookie = Cookie::build((name(app, id), value))
        .path("/")
        .http_only(true)
        .secure(app.is_https())
        .same_site(SameSite::Lax)
        .max_age(life);
    cookie.build().to_string()
}

/// The values of every flow cookie that a browser sent: the first is that of `id`, if one is given.
pub fn flow_cookies(app: &App, headers: &HeaderMap, id: Option<&AuthorizationRequestId>) -> Flow {
    Flow(values(headers, &prefix(app), id.map(|id| name(app, id)).as_deref()))
}

/// The values of the cookies of a name, or of every name that begins so.
fn values(headers: &HeaderMap, prefix: &str, wanted: Option<&str>) -> Vec<String> {
    let sent = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies = sent.flat_map(|value| Cookie::split_parse(value.to_owned())).filter_map(Result::ok);
    let of_ours = cookies.filter(|c| wanted.map_or_else(|| c.name().starts_with(prefix), |w| c.name() == w));
    of_ours.map(|c| c.value().to_owned()).take(MOST).collect()
}

/// What a browser holds of its requests.
pub struct Flow(Vec<String>);

impl Flow {
    /// How the values may be remembered.
    pub fn hashes(&self, app: &App) -> TokenHashes {
        TokenHashes::new(self.0.iter().map(|value| app.vault().hash(value)).collect())
    }

    /// The form token of a request's page.
    pub fn form_token(&self, app: &App, id: &AuthorizationRequestId) -> String {
        app.vault().form_token(&format!("{id}\n{}", self.0.first().map_or("", String::as_str)))
    }
}

/// Visits that a browser may have under way. A page that sends it here again and again must not fill the header
/// that it sends with every request.
const MOST_FLOWS: usize = 20;

/// What makes a browser forget its oldest visits, so that one more stays within bounds.
pub fn surplus_flow_cookies(app: &App, headers: &HeaderMap) -> Vec<String> {
    let prefix = prefix(app);
    let sent = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let names = sent.flat_map(|value| Cookie::split_parse(value.to_owned())).filter_map(Result::ok);
    let own = names.filter_map(|c| {
        AuthorizationRequestId::parse(&format!("arq_{}", c.name().strip_prefix(&prefix)?)).ok()
    });
    let ids: std::collections::BTreeSet<AuthorizationRequestId> = own.collect();
    // Ids begin with the time: the first are the oldest.
    let surplus = (ids.len() + 1).saturating_sub(MOST_FLOWS);
    ids.iter().take(surplus).map(|id| forgotten_flow_cookie(app, id)).collect()
}

fn prefix(app: &App) -> String {
    if app.is_https() { format!("__Host-{PREFIX}") } else { PREFIX.to_owned() }
}

fn name(app: &App, id: &AuthorizationRequestId) -> String {
    let own = id.as_str().trim_start_matches("arq_");
    format!("{}{own}", prefix(app))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn sent(lines: &[Vec<u8>]) -> HeaderMap {
        let values = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
        values.map(|value| (header::COOKIE, value)).collect()
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_passed_over(lines in prop::collection::vec(any::<Vec<u8>>(), 0..4), text: String) {
            let lines = [lines, vec![text.clone().into_bytes(), format!("{PREFIX}x={text}").into_bytes()]].concat();
            prop_assert!(values(&sent(&lines), PREFIX, None).len() <= MOST);
            values(&sent(&lines), PREFIX, Some("bowline_flow_x"));
        }

        #[test]
        fn a_value_of_ours_is_found_among_others(value in "[A-Za-z0-9_-]{1,60}", before in "[a-z]{1,9}=[a-z;= ]{0,40}") {
            let line = format!("{before}; {PREFIX}a={value}; other=1").into_bytes();
            prop_assert_eq!(values(&sent(std::slice::from_ref(&line)), PREFIX, Some("bowline_flow_a")), [value.clone()]);
            prop_assert!(values(&sent(&[line]), PREFIX, Some("bowline_flow_b")).is_empty());
        }
    }

    #[test]
    fn a_flood_of_cookies_is_bounded() {
        let line = format!("{PREFIX}a=1; ").repeat(1000).into_bytes();
        assert_eq!(values(&sent(&[line]), PREFIX, None).len(), MOST);
    }
}
