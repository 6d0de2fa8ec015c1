//! `bowline tour`: the whole story in a few seconds, every exchange shown, every door tried.

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
use printer::{EndpointCheck, TourPrinter};

/// Where the story failed.
type TourResult<T> = Result<T, CliError>;

/// Runs the tour in a world of its own, which is gone afterwards.
pub(super) async fn run(globals: &GlobalArgs) -> TourResult<()> {
    let folder = create_temp_dir(&std::env::temp_dir(), "tour")?;
    let args = SandboxArgs { hidden_bank: false, ..SandboxArgs::with_free_ports(folder.clone(), None) };
    let sandbox = SandboxEnvironment::start(&args, crate::clock::Clock::system()).await;
    let outcome = match sandbox {
        Ok(sandbox) => {
            let result = Tour::new(&sandbox, globals)?.run_chapters().await;
            sandbox.stop().await;
            result
        }
        Err(failure) => Err(failure),
    };
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

struct Tour<'a> {
    sandbox: &'a SandboxEnvironment,
    browser: Browser,
    printer: TourPrinter,
}

/// What the recipient holds of a connection.
struct TourTokens {
    access: String,
    refresh: String,
    code: String,
}

const SCOPE: &str = "ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS";

impl<'a> Tour<'a> {
    fn new(sandbox: &'a SandboxEnvironment, globals: &GlobalArgs) -> TourResult<Self> {
        let browser = Browser::new().context("cannot create an HTTP client")?;
        Ok(Self { sandbox, browser, printer: TourPrinter::new(globals) })
    }

    async fn run_chapters(mut self) -> TourResult<()> {
        self.printer.print_chapter("A customer connects a bank to an app");
        let code = self.connect().await?;
        self.printer.print_chapter("The app redeems the code and reads");
        let tokens = self.redeem(code).await?;
        let account = self.read(&tokens).await?;
        self.printer.print_chapter("The app refreshes its token");
        let fresh = self.refresh(&tokens).await?;
        self.printer.print_chapter("One call ends it");
        let ended = self.call_api(Method::DELETE, "/api/v1/revoke", Some(&fresh), None).await?;
        self.expect_status(&ended, 204, "the connection has ended, durably, before this answer")?;
        self.printer.print_chapter("Every door is tried");
        let checks = self.check_endpoints(&tokens, &fresh, &account).await?;
        self.printer.print_endpoint_checks(&checks);
        match checks.iter().find(|check| !check.closed) {
            None => Ok(()),
            Some(check) => Err(CliError::Failed(format!("a door is open: {}", check.name))),
        }
    }

    /// The browser's way: hub, bank, hub, app.
    async fn connect(&mut self) -> TourResult<String> {
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
        let consent = self
            .get_page(&format!("{hub}/api/v1/authorize?{query}"), "the app sends the customer to the hub")
            .await?;
        let page =
            self.get_page(&consent, "the hub asks: Acme Budget wants to read your information").await?;
        let to_bank =
            self.submit_form(&consent, &page, &[("decision", "approve")], "the customer agrees").await?;
        let sign_in = self.get_page(&to_bank, "the bank takes over, with PKCE").await?;
        let page = self.get_page(&sign_in, "Maple Trust asks who it is").await?;
        let alice = self.sandbox.maple().bank.logins().into_iter().find(|l| l.username == "alice");
        let alice = alice.ok_or_else(|| CliError::Failed("the bank has no alice".into()))?;
        let signed = [("username", alice.username), ("password", &alice.password)];
        let choose = self.submit_form(&sign_in, &page, &signed, "alice signs in at her bank").await?;
        let page = self.get_page(&choose, "and sees her accounts").await?;
        let chosen =
            [("accounts", "mt-alice-chequing"), ("accounts", "mt-alice-card"), ("decision", "approve")];
        let callback = self.submit_form(&choose, &page, &chosen, "she shares two of her accounts").await?;
        let back = self.get_page(&callback, "the hub exchanges the bank's code and seals the tokens").await?;
        let url = url::Url::parse(&back).map_err(|_| CliError::Failed(format!("{back} is no way back")))?;
        let code = url.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned());
        code.ok_or_else(|| CliError::Failed("the app got no code".into()))
    }

    async fn redeem(&mut self, code: String) -> TourResult<TourTokens> {
        let (redirect_uri, grant) = (self.sandbox.acme().redirect_uris[0].clone(), "authorization_code");
        let fields = [("grant_type", grant), ("code", &code), ("redirect_uri", &redirect_uri)];
        let response = self.request_token(&fields).await?;
        self.expect_status(
            &response,
            200,
            "an access token for 5 minutes, a refresh token, the granted scope",
        )?;
        let body = response.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        Ok(TourTokens { access: text("access_token"), refresh: text("refresh_token"), code })
    }

    async fn read(&mut self, tokens: &TourTokens) -> TourResult<String> {
        let accounts = self.call_api(Method::GET, "/api/fdx/5/accounts", Some(&tokens.access), None).await?;
        let body = accounts.json();
        let list = body["accounts"].as_array().cloned().unwrap_or_default();
        let names: Vec<&str> =
            list.iter().filter_map(|a| a.as_object()?.values().next()?["productName"].as_str()).collect();
        self.expect_status(&accounts, 200, &format!("{} accounts: {}", list.len(), names.join(", ")))?;
        let id = list
            .first()
            .and_then(|a| a["depositAccount"]["accountId"].as_str())
            .unwrap_or_default()
            .to_owned();
        let account = self
            .call_api(Method::GET, &format!("/api/fdx/5/accounts/{id}"), Some(&tokens.access), None)
            .await?;
        let balance = account.json()["depositAccount"]["currentBalance"].clone();
        self.expect_status(&account, 200, &format!("balance {balance} CAD"))?;
        let path = format!("/api/fdx/5/accounts/{id}/transactions?limit=100");
        let page = self.call_api(Method::GET, &path, Some(&tokens.access), None).await?;
        let body = page.json();
        let (count, total) =
            (body["transactions"].as_array().map_or(0, Vec::len), &body["page"]["totalElements"]);
        self.expect_status(
            &page,
            200,
            &format!("{count} of {total} transactions, and the link to the next page"),
        )?;
        Ok(id)
    }

    async fn refresh(&mut self, tokens: &TourTokens) -> TourResult<String> {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh)];
        let response = self.request_token(&fields).await?;
        self.expect_status(&response, 200, "another access token; the refresh token stays the same")?;
        Ok(response.json()["access_token"].as_str().unwrap_or_default().to_owned())
    }

    async fn check_endpoints(
        &mut self,
        tokens: &TourTokens,
        fresh: &str,
        account: &str,
    ) -> TourResult<Vec<EndpointCheck>> {
        let mut checks = Vec::new();
        let transactions = format!("/api/fdx/5/accounts/{account}/transactions");
        for (name, path, token) in [
            ("accounts with the newest access token", "/api/fdx/5/accounts", fresh),
            ("accounts with the first access token", "/api/fdx/5/accounts", &tokens.access),
            ("transactions", &transactions, fresh),
        ] {
            let response = self.call_api(Method::GET, path, Some(token), None).await?;
            checks.push(self.check_endpoint(name, &response, 401, Some(("code", 602.into()))));
        }
        let refresh = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh)];
        let response = self.request_token(&refresh).await?;
        checks.push(self.check_endpoint(
            "the refresh token",
            &response,
            400,
            Some(("error", "invalid_grant".into())),
        ));
        let redirect_uri = self.sandbox.acme().redirect_uris[0].clone();
        let replay =
            [("grant_type", "authorization_code"), ("code", &*tokens.code), ("redirect_uri", &redirect_uri)];
        let response = self.request_token(&replay).await?;
        checks.push(self.check_endpoint(
            "the authorization code again",
            &response,
            400,
            Some(("error", "invalid_grant".into())),
        ));
        let response = self.call_api(Method::DELETE, "/api/v1/revoke", Some(fresh), None).await?;
        checks.push(self.check_endpoint("revoking again changes nothing", &response, 204, None));
        checks.push(self.check_bank_grant().await?);
        Ok(checks)
    }

    /// The bank's own list of grants: the hub has told it.
    async fn check_bank_grant(&mut self) -> TourResult<EndpointCheck> {
        let url = format!("{}/grants", self.sandbox.maple().faults_url());
        let browser = &self.browser;
        let fetch_state = || async {
            browser
                .send(BrowserRequest::new(Method::GET, &url))
                .await
                .map(|answer| answer.json()[0]["state"].clone())
        };
        let retry_policy =
            ConstantBuilder::default().with_delay(Duration::from_millis(50)).with_max_times(100);
        let ended = |state: &Value| state == "ended";
        let grant_ended = (|| async {
            match fetch_state().await {
                Ok(state) if ended(&state) => Ok(()),
                _ => Err(()),
            }
        })
        .retry(retry_policy)
        .await;
        let response =
            self.browser.send(BrowserRequest::new(Method::GET, &url)).await.map_err(unreachable_error)?;
        let state = response.json()[0]["state"].as_str().unwrap_or_default().to_owned();
        self.printer.print_exchange(
            "GET",
            &url,
            &response,
            &format!("the bank says that alice's grant is {state}"),
        );
        Ok(EndpointCheck {
            name: "the grant at the bank".to_owned(),
            response: state,
            closed: grant_ended.is_ok(),
        })
    }

    fn check_endpoint(
        &mut self,
        name: &str,
        response: &BrowserResponse,
        status: u16,
        expected: Option<(&str, Value)>,
    ) -> EndpointCheck {
        let line = if response.body.is_empty() {
            "it is over already".to_owned()
        } else {
            summarize_error(response)
        };
        self.printer.print_pending(response, &line);
        let body = response.json();
        let detail = expected.as_ref().map(|(field, _)| format!(" {}", body[field])).unwrap_or_default();
        let closed = response.status == status && expected.is_none_or(|(field, value)| body[field] == value);
        EndpointCheck { name: name.to_owned(), response: format!("{}{detail}", response.status), closed }
    }

    async fn get_page(&mut self, url: &str, line: &str) -> TourResult<String> {
        let response =
            self.browser.send(BrowserRequest::new(Method::GET, url)).await.map_err(unreachable_error)?;
        self.resolve_navigation("GET", url, response, line)
    }

    async fn submit_form(
        &mut self,
        url: &str,
        page: &str,
        fields: &[(&str, &str)],
        line: &str,
    ) -> TourResult<String> {
        let token = find_hidden_field(page, "csrf_token").unwrap_or_default();
        let mut all = vec![("csrf_token", token.as_str())];
        all.extend(fields);
        let response = self
            .browser
            .send(BrowserRequest::new(Method::POST, url).form(&all))
            .await
            .map_err(unreachable_error)?;
        self.resolve_navigation("POST", url, response, line)
    }

    /// Where a redirect leads, or the page that was shown.
    fn resolve_navigation(
        &mut self,
        method: &str,
        url: &str,
        response: BrowserResponse,
        line: &str,
    ) -> TourResult<String> {
        self.printer.print_exchange(method, url, &response, line);
        match response.location {
            Some(location) => Ok(resolve_url(url, &location)),
            None if response.status == 200 => Ok(response.body),
            None => Err(CliError::Failed(format!("{method} {url} answered {}", response.status))),
        }
    }

    async fn request_token(&mut self, fields: &[(&str, &str)]) -> TourResult<BrowserResponse> {
        let acme = self.sandbox.acme().clone();
        let own = [("client_id", acme.client_id), ("client_secret", acme.client_secret.expose())];
        let body: serde_json::Map<String, Value> =
            own.iter().chain(fields).map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        self.call_api(Method::POST, "/api/v1/token", None, Some(body.into())).await
    }

    async fn call_api(
        &mut self,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        body: Option<Value>,
    ) -> TourResult<BrowserResponse> {
        let url = format!("{}{path}", self.sandbox.app.public_url());
        let mut request = BrowserRequest::new(method.clone(), &url);
        request.bearer = bearer.map(str::to_owned);
        request.json = body;
        let response = self.browser.send(request).await.map_err(unreachable_error)?;
        self.printer.set_pending(method.as_str(), &url);
        Ok(response)
    }

    fn expect_status(&mut self, response: &BrowserResponse, status: u16, line: &str) -> TourResult<()> {
        self.printer.print_pending(response, line);
        if response.status == status {
            return Ok(());
        }
        Err(CliError::Failed(format!("expected {status}, got {}: {}", response.status, response.body)))
    }
}

/// The line of an answer that matters.
fn summarize_error(response: &BrowserResponse) -> String {
    let body = response.json();
    let fields = ["error", "error_description", "code", "message"];
    let parts: Vec<String> = fields.iter().filter_map(|name| render_value(&body[*name])).collect();
    parts.join(" · ")
}

fn render_value(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn unreachable_error(error: reqwest::Error) -> CliError {
    CliError::Unreachable(error.without_url().to_string())
}
