//! The command `bowline tour`, which shows every exchange of a connection, and calls every endpoint again after the
//! connection has ended.

mod printer;

use std::time::Duration;

use anyhow::Context;
use backon::{ConstantBuilder, Retryable};
use http::Method;
use serde_json::Value;

use super::browser::{Browser, BrowserRequest, BrowserResponse, find_hidden_field, resolve_url};
use super::error::CliError;
use super::globals::GlobalArgs;
use super::private_files::create_temp_dir;
use super::sandbox::{SandboxArgs, SandboxEnvironment};
use crate::clock::Clock;
use printer::{EndpointCheck, TourPrinter};

type TourResult<T> = Result<T, CliError>;

/// The interval at which the tour checks whether the hub has revoked its token at the bank. It gives up after 5
/// seconds.
const REVOCATION_POLL_INTERVAL: Duration = Duration::from_millis(50);
const MAX_REVOCATION_POLLS: usize = 100;

/// Runs the tour in a temporary sandbox.
pub(super) async fn run(globals: &GlobalArgs) -> TourResult<()> {
    let folder = create_temp_dir(&std::env::temp_dir(), "tour")?;
    let args = SandboxArgs { hidden_bank: false, ..SandboxArgs::with_free_ports(folder.clone(), None) };
    let outcome = match SandboxEnvironment::start(&args, Clock::system()).await {
        Ok(sandbox) => {
            let result = run_chapters(&sandbox, globals).await;
            sandbox.stop().await;
            result
        }
        Err(error) => Err(error),
    };
    // The folder is removed after an error too, because it contains secrets.
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

async fn run_chapters(sandbox: &SandboxEnvironment, globals: &GlobalArgs) -> TourResult<()> {
    let browser = Browser::new().context("cannot create an HTTP client")?;
    let tour = Tour { sandbox, browser, printer: TourPrinter::new(globals) };
    tour.run().await
}

struct Tour<'a> {
    sandbox: &'a SandboxEnvironment,
    browser: Browser,
    printer: TourPrinter,
}

/// The tokens and the authorization code that the app received for a connection.
struct TourTokens {
    access: String,
    refresh: String,
    code: String,
}

/// An API call and its response.
struct ApiExchange {
    method: Method,
    url: String,
    response: BrowserResponse,
}

const SCOPE: &str = "ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS";

impl Tour<'_> {
    async fn run(&self) -> TourResult<()> {
        self.printer.print_chapter("A customer connects a bank to an app");
        let code = self.connect().await?;
        self.printer.print_chapter("The app redeems the code and reads");
        let tokens = self.redeem(code).await?;
        let account = self.read(&tokens).await?;
        self.printer.print_chapter("The app refreshes its token");
        let newest = self.refresh(&tokens).await?;
        self.printer.print_chapter("One call ends the connection");
        let end = self.call_api(Method::DELETE, "/api/v1/revoke", Some(&newest), None).await?;
        self.expect_status(&end, 204, "the connection has ended durably before this response")?;
        self.printer.print_chapter("The app tries every endpoint again");
        let checks = self.check_endpoints(&tokens, &newest, &account).await?;
        self.printer.print_endpoint_checks(&checks);
        match checks.iter().find(|check| !check.closed) {
            None => Ok(()),
            Some(check) => Err(CliError::Failed(format!(
                "this still works after the end of the connection: {}",
                check.name
            ))),
        }
    }

    /// Completes the authorization flow at the hub and the bank as a customer would, and returns the authorization
    /// code.
    async fn connect(&self) -> TourResult<String> {
        let hub = self.sandbox.app.public_url().to_owned();
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", self.sandbox.acme().client_id),
                ("redirect_uri", &*self.sandbox.acme().redirect_uris[0]),
                ("scope", SCOPE),
                ("state", "tour"),
                ("provider_id", "1000"),
            ])
            .finish();
        let authorize = format!("{hub}/api/v1/authorize?{query}");
        let consent = self.get_page(&authorize, "the app sends the customer to the hub").await?;
        let page =
            self.get_page(&consent, "the hub asks: Acme Budget wants to read your information").await?;
        let approval = [("decision", "approve")];
        let to_bank = self.submit_form(&consent, &page, &approval, "the customer agrees").await?;
        let sign_in = self.get_page(&to_bank, "the hub sends the customer to the bank, with PKCE").await?;
        let page = self.get_page(&sign_in, "Maple Trust asks the customer to sign in").await?;
        let alice = self.sandbox.maple().bank.logins().into_iter().find(|l| l.username == "alice");
        let alice = alice.ok_or_else(|| CliError::Failed("the sandbox bank has no customer alice".into()))?;
        let credentials = [("username", alice.username), ("password", &alice.password)];
        let choose = self.submit_form(&sign_in, &page, &credentials, "alice signs in at her bank").await?;
        let page = self.get_page(&choose, "the bank shows her accounts").await?;
        let selection =
            [("accounts", "mt-alice-chequing"), ("accounts", "mt-alice-card"), ("decision", "approve")];
        let callback = self.submit_form(&choose, &page, &selection, "she shares two of her accounts").await?;
        let back = self.get_page(&callback, "the hub exchanges the bank's code and seals the tokens").await?;
        find_code(&back)
    }

    async fn redeem(&self, code: String) -> TourResult<TourTokens> {
        let redirect_uri = &*self.sandbox.acme().redirect_uris[0];
        let fields = [("grant_type", "authorization_code"), ("code", &*code), ("redirect_uri", redirect_uri)];
        let exchange = self.request_token(&fields).await?;
        let comment = "an access token for 5 minutes, a refresh token, the granted scope";
        self.expect_status(&exchange, 200, comment)?;
        let body = exchange.response.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        Ok(TourTokens { access: text("access_token"), refresh: text("refresh_token"), code })
    }

    /// Reads accounts, an account and its transactions, and returns the id of the account.
    async fn read(&self, tokens: &TourTokens) -> TourResult<String> {
        let accounts = self.read_data("/accounts", tokens).await?;
        let body = accounts.response.json();
        let list = body["accounts"].as_array().map(Vec::as_slice).unwrap_or_default();
        // Each item is an object with one member, named after the kind of account.
        let names: Vec<&str> =
            list.iter().filter_map(|a| a.as_object()?.values().next()?["productName"].as_str()).collect();
        self.expect_status(&accounts, 200, &format!("{} accounts: {}", list.len(), names.join(", ")))?;
        let id = body["accounts"][0]["depositAccount"]["accountId"].as_str().unwrap_or_default();
        let account = self.read_data(&format!("/accounts/{id}"), tokens).await?;
        let balance = account.response.json()["depositAccount"]["currentBalance"].clone();
        self.expect_status(&account, 200, &format!("balance {balance} CAD"))?;
        let page = self.read_data(&format!("/accounts/{id}/transactions?limit=100"), tokens).await?;
        let body = page.response.json();
        let count = body["transactions"].as_array().map_or(0, Vec::len);
        let total = &body["page"]["totalElements"];
        let comment = format!("{count} of {total} transactions, and the link to the next page");
        self.expect_status(&page, 200, &comment)?;
        Ok(id.to_owned())
    }

    async fn refresh(&self, tokens: &TourTokens) -> TourResult<String> {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh)];
        let exchange = self.request_token(&fields).await?;
        self.expect_status(&exchange, 200, "another access token; the refresh token stays the same")?;
        Ok(exchange.response.json()["access_token"].as_str().unwrap_or_default().to_owned())
    }

    async fn check_endpoints(
        &self,
        tokens: &TourTokens,
        newest: &str,
        account: &str,
    ) -> TourResult<Vec<EndpointCheck>> {
        let mut checks = Vec::new();
        let transactions = format!("/api/fdx/5/accounts/{account}/transactions");
        for (name, path, token) in [
            ("accounts with the newest access token", "/api/fdx/5/accounts", newest),
            ("accounts with the first access token", "/api/fdx/5/accounts", &tokens.access),
            ("transactions", &transactions, newest),
        ] {
            let exchange = self.call_api(Method::GET, path, Some(token), None).await?;
            // FDX error code 602: the customer's authorization has ended.
            checks.push(self.check_endpoint(name, &exchange, 401, Some(("code", 602.into()))));
        }
        let invalid_grant = || Some(("error", "invalid_grant".into()));
        let refresh = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh)];
        let exchange = self.request_token(&refresh).await?;
        checks.push(self.check_endpoint("the refresh token", &exchange, 400, invalid_grant()));
        let redirect_uri = &*self.sandbox.acme().redirect_uris[0];
        let replay =
            [("grant_type", "authorization_code"), ("code", &*tokens.code), ("redirect_uri", redirect_uri)];
        let exchange = self.request_token(&replay).await?;
        checks.push(self.check_endpoint("the authorization code again", &exchange, 400, invalid_grant()));
        // A repeated revocation succeeds too: an invalid token is no error, because the purpose is already achieved
        // (RFC 7009 §2.2).
        let exchange = self.call_api(Method::DELETE, "/api/v1/revoke", Some(newest), None).await?;
        checks.push(self.check_endpoint("revoking again changes nothing", &exchange, 204, None));
        checks.push(self.check_bank_grant().await?);
        Ok(checks)
    }

    /// Checks in the bank's list of grants that the hub has revoked its token there.
    async fn check_bank_grant(&self) -> TourResult<EndpointCheck> {
        let url = format!("{}/grants", self.sandbox.maple().faults_url());
        let fetch = || self.browser.send(BrowserRequest::new(Method::GET, &url));
        let state_of =
            |response: &BrowserResponse| response.json()[0]["state"].as_str().unwrap_or_default().to_owned();
        // The hub responds before it notifies the bank, so the grant may still be active for a moment.
        let policy = ConstantBuilder::default()
            .with_delay(REVOCATION_POLL_INTERVAL)
            .with_max_times(MAX_REVOCATION_POLLS);
        let ensure_ended = || async {
            let response = fetch().await.map_err(|_| ())?;
            if state_of(&response) == "ended" { Ok(()) } else { Err(()) }
        };
        let closed = ensure_ended.retry(policy).await.is_ok();
        let response = fetch().await.map_err(unreachable_error)?;
        let state = state_of(&response);
        let comment = format!("alice's grant in the list of the bank: {state}");
        self.printer.print_exchange("GET", &url, &response, &comment);
        Ok(EndpointCheck { name: "the grant at the bank".to_owned(), response: state, closed })
    }

    /// Compares a response with the expected status and, if one is given, with the expected member of the body.
    fn check_endpoint(
        &self,
        name: &str,
        exchange: &ApiExchange,
        status: u16,
        expected: Option<(&str, Value)>,
    ) -> EndpointCheck {
        let response = &exchange.response;
        let comment = if response.body.is_empty() {
            "the connection has ended already".to_owned()
        } else {
            summarize_error(response)
        };
        self.print(exchange, &comment);
        let body = response.json();
        let detail = expected.as_ref().map(|(field, _)| format!(" {}", body[field])).unwrap_or_default();
        let closed = response.status == status && expected.is_none_or(|(field, value)| body[field] == value);
        EndpointCheck { name: name.to_owned(), response: format!("{}{detail}", response.status), closed }
    }

    async fn get_page(&self, url: &str, comment: &str) -> TourResult<String> {
        let response = self.browser.send(BrowserRequest::new(Method::GET, url)).await;
        self.follow("GET", url, response.map_err(unreachable_error)?, comment)
    }

    async fn submit_form(
        &self,
        url: &str,
        page: &str,
        fields: &[(&str, &str)],
        comment: &str,
    ) -> TourResult<String> {
        let token = find_hidden_field(page, "csrf_token").unwrap_or_default();
        let mut all = vec![("csrf_token", token.as_str())];
        all.extend(fields);
        let response = self.browser.send(BrowserRequest::new(Method::POST, url).form(&all)).await;
        self.follow("POST", url, response.map_err(unreachable_error)?, comment)
    }

    /// Prints an exchange and returns the target of its redirect, or the body of a page with status 200.
    fn follow(
        &self,
        method: &str,
        url: &str,
        response: BrowserResponse,
        comment: &str,
    ) -> TourResult<String> {
        self.printer.print_exchange(method, url, &response, comment);
        match response.location {
            Some(location) => Ok(resolve_url(url, &location)),
            None if response.status == 200 => Ok(response.body),
            None => Err(CliError::Failed(format!("{method} {url} returned status {}", response.status))),
        }
    }

    async fn request_token(&self, fields: &[(&str, &str)]) -> TourResult<ApiExchange> {
        let acme = self.sandbox.acme();
        let credentials = [("client_id", acme.client_id), ("client_secret", acme.client_secret.expose())];
        let body: serde_json::Map<String, Value> = credentials
            .iter()
            .chain(fields)
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect();
        self.call_api(Method::POST, "/api/v1/token", None, Some(body.into())).await
    }

    async fn read_data(&self, path: &str, tokens: &TourTokens) -> TourResult<ApiExchange> {
        self.call_api(Method::GET, &format!("/api/fdx/5{path}"), Some(&tokens.access), None).await
    }

    async fn call_api(
        &self,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        body: Option<Value>,
    ) -> TourResult<ApiExchange> {
        let url = format!("{}{path}", self.sandbox.app.public_url());
        let mut request = BrowserRequest::new(method.clone(), &url);
        request.bearer = bearer.map(str::to_owned);
        request.json = body;
        let response = self.browser.send(request).await.map_err(unreachable_error)?;
        Ok(ApiExchange { method, url, response })
    }

    fn expect_status(&self, exchange: &ApiExchange, status: u16, comment: &str) -> TourResult<()> {
        self.print(exchange, comment);
        let response = &exchange.response;
        if response.status == status {
            return Ok(());
        }
        Err(CliError::Failed(format!("expected status {status}, got {}: {}", response.status, response.body)))
    }

    fn print(&self, ApiExchange { method, url, response }: &ApiExchange, comment: &str) {
        self.printer.print_exchange(method.as_str(), url, response, comment);
    }
}

/// Returns the authorization code of a redirect to the app.
fn find_code(redirect: &str) -> TourResult<String> {
    let error = || CliError::Failed(format!("the hub returned no authorization code: {redirect}"));
    let url = url::Url::parse(redirect).map_err(|_| error())?;
    let code = url.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned());
    code.ok_or_else(error)
}

/// Returns the members of an error response that describe it, as RFC 6749 §5.2 or FDX name them.
fn summarize_error(response: &BrowserResponse) -> String {
    let body = response.json();
    let fields = ["error", "error_description", "code", "message"];
    let parts: Vec<String> = fields.iter().filter_map(|name| render_member(&body[*name])).collect();
    parts.join(" · ")
}

fn render_member(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn unreachable_error(error: reqwest::Error) -> CliError {
    // The URL is removed from the message, because URLs of the flow contain codes and states.
    CliError::Unreachable(error.without_url().to_string())
}
