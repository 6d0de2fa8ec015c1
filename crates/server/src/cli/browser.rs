//! As much of a browser as the tour needs: cookies by origin, forms, no redirects by itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{Method, header};
use serde_json::Value;
use url::Url;

/// A browser without a window.
pub struct Browser {
    client: reqwest::Client,
    cookies: Mutex<BTreeMap<(String, String), String>>,
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct BrowserRequest {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: String,
    /// A bearer, which a browser would not have.
    pub bearer: Option<String>,
    /// A JSON body.
    pub json: Option<Value>,
    form: Option<Vec<(String, String)>>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct BrowserResponse {
    /// The status.
    pub status: u16,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// The body.
    pub body: String,
    /// How long it took.
    pub elapsed: Duration,
    /// The headers.
    pub headers: http::HeaderMap,
}

impl BrowserResponse {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

impl BrowserRequest {
    /// A request without a body.
    pub fn new(method: Method, url: &str) -> Self {
        Self { method, url: url.to_owned(), bearer: None, json: None, form: None }
    }

    /// With form fields.
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        self.form = Some(fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        self
    }
}

impl Browser {
    /// A browser without cookies.
    pub fn new() -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()?;
        Ok(Self { client, cookies: Mutex::default() })
    }

    /// Sends a request with the cookies of its origin, and keeps those that come back.
    pub async fn send(&self, browser_request: BrowserRequest) -> reqwest::Result<BrowserResponse> {
        let origin = url_origin(&browser_request.url);
        let mut request = self.client.request(browser_request.method.clone(), &browser_request.url);
        let cookies = self.cookie_header(&origin);
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies);
        }
        if let Some(bearer) = &browser_request.bearer {
            request = request.bearer_auth(bearer);
        }
        if let Some(form) = &browser_request.form {
            request = request.form(form).header(header::ORIGIN, &origin);
        }
        if let Some(json) = &browser_request.json {
            request = request.json(json);
        }
        let begun = crate::telemetry::monotonic_now();
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.text().await?;
        let elapsed = begun.elapsed();
        for cookie in headers.get_all(header::SET_COOKIE) {
            self.store_cookie(&origin, cookie.to_str().unwrap_or_default());
        }
        let location = headers.get(header::LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
        Ok(BrowserResponse { status, location, body, elapsed, headers })
    }

    fn cookie_header(&self, origin: &str) -> String {
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = cookies.iter().filter(|((of, _), _)| of == origin);
        theirs.map(|((_, name), value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn store_cookie(&self, origin: &str, cookie: &str) {
        let pair = cookie.split(';').next().and_then(|pair| pair.split_once('='));
        if let Some((name, value)) = pair {
            let key = (origin.to_owned(), name.to_owned());
            let mut cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
            if cookie.contains("Max-Age=0") {
                cookies.remove(&key);
            } else {
                cookies.insert(key, value.to_owned());
            }
        }
    }
}

fn url_origin(url: &str) -> String {
    Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}

/// A location as seen from the page that it came with.
pub fn resolve_url(page: &str, location: &str) -> String {
    let joined = Url::parse(page).and_then(|page| page.join(location));
    joined.map_or_else(|_| location.to_owned(), Into::into)
}

/// The value of a hidden field of a page.
pub fn find_hidden_field(page: &str, name: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!(r#"name="{name}" value=""#))?;
    rest.split('"').next().map(str::to_owned)
}
