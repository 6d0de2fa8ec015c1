//! Support for tests with a customer, who fills in the pages of the hub and the banks in a browser.

use bowline::cli::{Browser, BrowserRequest, BrowserResponse, find_hidden_field, resolve_url};
use http::Method;

/// The customer who signs in, and the accounts to share.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) accounts: Vec<String>,
}

/// An authorization flow in a customer's browser, with the origins at which redirects are followed.
pub(crate) struct AuthorizationFlow<'a> {
    pub(crate) browser: &'a Browser,
    pub(crate) origins: Vec<String>,
}

impl AuthorizationFlow<'_> {
    /// Follows redirects from a response up to the first page or another origin; returns the URL and the response.
    pub(crate) async fn follow(&self, from: &str, answer: BrowserResponse) -> (String, BrowserResponse) {
        let (mut at, mut answer) = (from.to_owned(), answer);
        while let Some(location) = answer.location.clone() {
            at = resolve_url(&at, &location);
            if !self.origins.iter().any(|origin| at.starts_with(origin.as_str())) {
                break;
            }
            answer = self.browser.send(BrowserRequest::new(Method::GET, &at)).await.unwrap();
        }
        (at, answer)
    }

    /// Opens a URL and follows redirects; returns the last URL and response.
    pub(crate) async fn open(&self, url: &str) -> (String, BrowserResponse) {
        let answer = self.browser.send(BrowserRequest::new(Method::GET, url)).await.unwrap();
        self.follow(url, answer).await
    }

    /// Submits the form of a page and follows redirects; returns the last URL and response.
    pub(crate) async fn submit(
        &self,
        at: &str,
        page: &BrowserResponse,
        fields: &[(&str, &str)],
    ) -> (String, BrowserResponse) {
        let token = find_hidden_field(&page.body, "csrf_token")
            .unwrap_or_else(|| panic!("no form at {at}: {}", page.body));
        let mut all = vec![("csrf_token", token.as_str())];
        all.extend(fields);
        let answer = self.browser.send(BrowserRequest::new(Method::POST, at).form(&all)).await.unwrap();
        self.follow(at, answer).await
    }

    /// Continues from a URL until a page offers accounts or the browser leaves the known origins.
    pub(crate) async fn reach_account_page(
        &self,
        url: &str,
        customer: &Customer,
    ) -> (String, BrowserResponse) {
        let (mut at, mut page) = self.open(url).await;
        for _ in 0..6 {
            let has = |name: &str| page.body.contains(&format!(r#"name="{name}""#));
            if page.location.is_some() || has("accounts") {
                return (at, page);
            }
            let fields = if has("username") {
                vec![("username", customer.username.as_str()), ("password", &customer.password)]
            } else {
                vec![("decision", "approve")]
            };
            (at, page) = self.submit(&at, &page, &fields).await;
        }
        panic!("the walk goes in a circle at {at}: {}", page.body);
    }

    /// Completes the flow that begins at a URL, and returns the URL at which the browser leaves the known origins.
    pub(crate) async fn complete(&self, url: &str, customer: &Customer) -> String {
        let (at, page) = self.reach_account_page(url, customer).await;
        if page.location.is_some() {
            return at;
        }
        let mut fields = vec![("decision", "approve")];
        let offered = parse_offered_accounts(&page.body);
        let chosen = if customer.accounts.is_empty() { &offered } else { &customer.accounts };
        fields.extend(chosen.iter().map(|account| ("accounts", account.as_str())));
        self.submit(&at, &page, &fields).await.0
    }
}

/// Returns the ids of the accounts that a bank's page offers.
fn parse_offered_accounts(page: &str) -> Vec<String> {
    let boxes = page.split("<input ").filter(|field| field.contains(r#"name="accounts""#));
    boxes.filter_map(|field| Some(field.split_once("value=\"")?.1.split('"').next()?.to_owned())).collect()
}
