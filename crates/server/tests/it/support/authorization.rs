//! Support for tests in which a customer authorizes a recipient in a browser.

use bowline::cli::{BrowserRequest, BrowserResponse};
use http::Method;

use super::{
    AuthorizationFlow, ConnectionTokens, Customer, SCOPE, TestClient, TestHub, authorize_url, query_parameter,
};

impl TestHub {
    /// Returns the query of an authorization request with all documented parameters.
    pub(crate) fn build_authorization_query(recipient: &TestClient) -> Vec<(&'static str, String)> {
        vec![
            ("response_type", "code".into()),
            ("client_id", recipient.id.clone()),
            ("redirect_uri", recipient.redirect_uri.clone()),
            ("scope", SCOPE.into()),
            ("state", "a state/with=odd&chars".into()),
            ("provider_id", "1000".into()),
        ]
    }

    fn authorize_url(&self, query: &[(&'static str, String)]) -> String {
        authorize_url(self.app().public_url(), query)
    }

    pub(crate) async fn authorize(&self, query: &[(&'static str, String)]) -> BrowserResponse {
        self.send(BrowserRequest::new(Method::GET, &self.authorize_url(query))).await
    }

    fn authorization_flow(&self) -> AuthorizationFlow<'_> {
        let banks = self.world.banks.iter().map(|site| site.url.clone());
        let origins = std::iter::once(self.app().public_url().to_owned()).chain(banks).collect();
        AuthorizationFlow { browser: &self.browser, origins }
    }

    /// Completes the flow from a URL as a customer of Maple Trust, sharing all offered accounts; returns the final URL.
    pub(crate) async fn complete_flow(&self, url: &str, username: &str) -> String {
        self.authorization_flow().complete(url, &self.customer_at(1000, username, &[])).await
    }

    /// Follows redirects from a response up to the first page or the recipient's redirect URI; returns the URL and the
    /// response.
    pub(crate) async fn follow(&self, from: &str, answer: BrowserResponse) -> (String, BrowserResponse) {
        self.authorization_flow().follow(from, answer).await
    }

    /// Submits the form of a page and follows redirects; returns the last URL and response.
    pub(crate) async fn submit(
        &self,
        at: &str,
        page: &BrowserResponse,
        fields: &[(&str, &str)],
    ) -> (String, BrowserResponse) {
        self.authorization_flow().submit(at, page, fields).await
    }

    pub(crate) fn password(&self, username: &str) -> String {
        self.customer_at(1000, username, &[]).password
    }

    fn customer(&self, username: &str, accounts: &[&str]) -> Customer {
        self.customer_at(1000, username, accounts)
    }

    fn customer_at(&self, provider_id: i64, username: &str, accounts: &[&str]) -> Customer {
        let mut logins = self.bank_site(provider_id).bank.logins().into_iter();
        Customer {
            username: username.to_owned(),
            password: logins.find(|l| l.username == username).unwrap().password,
            accounts: accounts.iter().map(|a| (*a).to_owned()).collect(),
        }
    }

    /// Connects a customer at a bank and shares the given accounts, or all offered accounts if the list is empty.
    pub(crate) async fn connect_at(
        &self,
        provider_id: i64,
        recipient: &TestClient,
        username: &str,
        accounts: &[&str],
        scope: &str,
    ) -> ConnectionTokens {
        let mut query = Self::build_authorization_query(recipient);
        query.retain(|(name, _)| !matches!(*name, "provider_id" | "scope"));
        query.extend([("provider_id", provider_id.to_string()), ("scope", scope.to_owned())]);
        let customer = self.customer_at(provider_id, username, accounts);
        let back = self.authorization_flow().complete(&self.authorize_url(&query), &customer).await;
        let code = query_parameter(&back, "code").unwrap_or_else(|| panic!("no code: {back}"));
        ConnectionTokens::from_response(&self.redeem(recipient, &code).await, code)
    }

    /// Takes the browser from an authorization request to the bank's page for the choice of accounts.
    pub(crate) async fn reach_account_page(
        &self,
        query: &[(&'static str, String)],
        username: &str,
    ) -> (String, BrowserResponse) {
        self.authorization_flow()
            .reach_account_page(&self.authorize_url(query), &self.customer(username, &[]))
            .await
    }

    /// Completes an authorization request by choosing accounts at the bank; returns the recipient's redirect URI with
    /// its query.
    pub(crate) async fn complete_authorization(
        &self,
        query: &[(&'static str, String)],
        username: &str,
        accounts: &[&str],
    ) -> String {
        self.authorization_flow()
            .complete(&self.authorize_url(query), &self.customer(username, accounts))
            .await
    }

    /// Obtains an authorization code for a recipient; the customer alice shares two accounts.
    pub(crate) async fn obtain_code(&self, recipient: &TestClient) -> String {
        let back = self
            .complete_authorization(
                &Self::build_authorization_query(recipient),
                "alice",
                &["mt-alice-chequing", "mt-alice-card"],
            )
            .await;
        query_parameter(&back, "code").unwrap_or_else(|| panic!("no code: {back}"))
    }
}
