//! A minimal browser for the tour and for tests: cookies by origin, forms, and no automatic redirects.
//! The admin client uses it as a plain HTTP client.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{Method, header};
use serde_json::Value;
use url::Url;

/// A headless browser, which keeps cookies but runs no scripts.
pub struct Browser {
    client: reqwest::Client,
    /// The values of all cookies, by origin and name. Real browsers share cookies between ports of a host; the stricter
    /// rule is enough here, and the hub does not depend on either.
    cookies: Mutex<BTreeMap<(String, String), String>>,
}

/// A request that the browser sends with the cookies of its origin.
#[derive(Clone, Debug)]
pub struct BrowserRequest {
    pub method: Method,
    pub url: String,
    /// The bearer token (RFC 6750). Browsers send none, but the admin client does.
    pub bearer: Option<String>,
    /// The JSON body, which takes the place of form fields.
    pub json: Option<Value>,
    form: Option<Vec<(String, String)>>,
}

/// A response that the browser received. Redirects are not followed.
#[derive(Clone, Debug)]
pub struct BrowserResponse {
    pub status: u16,
    /// The target of a redirect, as the `Location` header has it.
    pub location: Option<String>,
    pub body: String,
    /// The time from sending the request to reading the last byte of the body.
    pub elapsed: Duration,
    pub headers: http::HeaderMap,
}

impl BrowserResponse {
    /// Parses the body as JSON. Returns null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

impl BrowserRequest {
    /// Creates a request without a body.
    pub fn new(method: Method, url: &str) -> Self {
        Self { method, url: url.to_owned(), bearer: None, json: None, form: None }
    }

    /// Sets the form fields, which are sent as the body.
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        self.form = Some(fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        self
    }
}

impl Browser {
    /// Creates a browser that has no cookies yet.
    pub fn new() -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            // Each redirect is a step of the flow that callers inspect.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()?;
        Ok(Self { client, cookies: Mutex::default() })
    }

    /// Sends a request with the cookies of its origin, and stores the cookies of the response.
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
            // Browsers send `Origin` with a form post, and the hub checks it.
            request = request.form(form).header(header::ORIGIN, &origin);
        }
        if let Some(json) = &browser_request.json {
            request = request.json(json);
        }
        let started = crate::telemetry::monotonic_now();
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.text().await?;
        let elapsed = started.elapsed();
        for cookie in headers.get_all(header::SET_COOKIE) {
            self.store_cookie(&origin, cookie.to_str().unwrap_or_default());
        }
        let location = headers.get(header::LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
        Ok(BrowserResponse { status, location, body, elapsed, headers })
    }

    fn cookie_header(&self, origin: &str) -> String {
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        let matching = cookies.iter().filter(|((cookie_origin, _), _)| cookie_origin == origin);
        matching.map(|((_, name), value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn store_cookie(&self, origin: &str, cookie: &str) {
        let pair = cookie.split(';').next().and_then(|pair| pair.split_once('='));
        if let Some((name, value)) = pair {
            let key = (origin.to_owned(), name.to_owned());
            let mut cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
            // `Max-Age=0` deletes a cookie (RFC 6265 §5.2.2).
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

/// Resolves a location relative to the page that contains it.
pub fn resolve_url(page: &str, location: &str) -> String {
    let joined = Url::parse(page).and_then(|page| page.join(location));
    joined.map_or_else(|_| location.to_owned(), Into::into)
}

/// Finds the value of a hidden form field.
pub fn find_hidden_field(page: &str, name: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!(r#"name="{name}" value=""#))?;
    rest.split('"').next().map(str::to_owned)
}
