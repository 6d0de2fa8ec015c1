//! Flow cookies: one for each authorization request, so that two at once do not mix.

use cookie::{Cookie, SameSite, time::Duration};
use domain::Secret;
use domain::id::AuthorizationRequestId;
use domain::secret::TokenHashes;
use http::{HeaderMap, header};

use crate::app::App;
use crate::authz::REQUEST_LIFE;

const PREFIX: &str = "bowline_flow_";

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
    let wanted = id.map(|id| name(app, id));
    let prefix = prefix(app);
    let sent = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies = sent.flat_map(|value| Cookie::split_parse(value.to_owned())).filter_map(Result::ok);
    let values: Vec<String> = cookies
        .filter(|c| wanted.as_ref().map_or_else(|| c.name().starts_with(&prefix), |w| c.name() == w))
        .map(|c| c.value().to_owned())
        .take(50)
        .collect();
    Flow(values)
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
