//! The login of a test connection: an operator opens a URL in a browser and pastes the address at which the browser ends.

use std::io::BufRead;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Secret;
use domain::rule::pkce;
use http::Method;
use serde_json::Value;
use tokio::sync::oneshot;
use url::Url;

use super::super::browser::BrowserRequest;
use super::super::error::CliError;
use super::super::output::escape_terminal;
use super::super::terminal::print_error_line;
use super::recipient::{REDIRECT_URI, TestRecipient};
use crate::context::fill_random;

/// The time in which the operator must complete the login.
const LOGIN_TIMEOUT: Duration = Duration::from_mins(15);

/// A login of the test recipient that has begun.
pub(super) struct TestLogin<'a> {
    recipient: &'a TestRecipient<'a>,
    state: String,
    verifier: String,
}

/// The access that the customer has granted to the test.
pub(super) struct TestAccess {
    token: Secret<String>,
    scope: String,
}

impl TestAccess {
    pub(super) const fn token(&self) -> &Secret<String> {
        &self.token
    }

    pub(super) fn scope(&self) -> &str {
        &self.scope
    }
}

impl<'a> TestLogin<'a> {
    pub(super) fn begin(recipient: &'a TestRecipient<'a>) -> Result<Self, CliError> {
        Ok(Self { recipient, state: create_random_text()?, verifier: create_random_text()? })
    }

    /// Prints the URL, waits for the address to which the hub redirects, and redeems its code.
    pub(super) async fn complete(&self) -> Result<TestAccess, CliError> {
        print_error_line("Open this address in a browser, and connect with an account of the provider:\n");
        print_error_line(self.build_url());
        print_error_line(
            "\nAt the end the browser shows that it cannot connect to localhost. Paste the address of that page here within a minute:",
        );
        let line = tokio::time::timeout(LOGIN_TIMEOUT, read_line()).await;
        let line =
            line.map_err(|_| CliError::Failed("the login was not completed within 15 minutes".into()))??;
        let code = parse_redirect(line.trim(), &self.state).map_err(CliError::Failed)?;
        self.redeem(&code).await
    }

    fn build_url(&self) -> String {
        let TestRecipient { public_url, client_id, scope, .. } = self.recipient;
        let provider_id = self.recipient.provider_id.to_string();
        let challenge = pkce::compute_challenge(&self.verifier);
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", client_id.as_str()),
                ("redirect_uri", REDIRECT_URI),
                ("scope", scope.as_str()),
                ("state", self.state.as_str()),
                ("provider_id", provider_id.as_str()),
                ("code_challenge", challenge.as_str()),
                ("code_challenge_method", "S256"),
            ])
            .finish();
        format!("{public_url}/api/v1/authorize?{query}")
    }

    async fn redeem(&self, code: &str) -> Result<TestAccess, CliError> {
        let TestRecipient { browser, public_url, client_id, client_secret, .. } = self.recipient;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", self.verifier.as_str()),
            ("client_id", client_id.as_str()),
            ("client_secret", client_secret.expose().as_str()),
        ];
        let request = BrowserRequest::new(Method::POST, &format!("{public_url}/api/v1/token")).form(&form);
        let response = browser.send(request).await;
        let response = response.map_err(|error| CliError::Unreachable(format!("{public_url}: {error}")))?;
        let body = response.json();
        match body["access_token"].as_str() {
            Some(token) if response.status == 200 => Ok(TestAccess {
                token: Secret::new(token.to_owned()),
                scope: body["scope"].as_str().unwrap_or_default().to_owned(),
            }),
            _ => {
                let description = describe_error(&body["error"], &body["error_description"]);
                Err(CliError::Failed(format!("the code was not accepted: {description}")))
            }
        }
    }
}

fn describe_error(code: &Value, description: &Value) -> String {
    let text = |value: &Value| escape_terminal(value.as_str().unwrap_or_default());
    format!("{} {}", text(code), text(description)).trim().to_owned()
}

/// Returns the code in the address to which the hub has redirected.
fn parse_redirect(address: &str, state: &str) -> Result<String, String> {
    let url = Url::parse(address).ok().filter(|_| address.starts_with(REDIRECT_URI));
    let url = url.ok_or_else(|| format!("expected an address that begins with {REDIRECT_URI}"))?;
    let find = |name: &str| {
        let mut pairs = url.query_pairs();
        pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    };
    // The address of an earlier test would connect another login.
    if find("state").as_deref() != Some(state) {
        return Err("the address belongs to another login".into());
    }
    let error = ["error", "error_description"].map(|name| find(name).map_or(Value::Null, Value::String));
    match find("code") {
        Some(code) => Ok(code),
        None => Err(format!("the login has failed: {}", describe_error(&error[0], &error[1]))),
    }
}

/// Reads a line from standard input.
async fn read_line() -> Result<String, CliError> {
    let (sender, line) = oneshot::channel();
    // The program does not wait for this thread when it ends, as it would for a task of the runtime.
    std::thread::spawn(move || {
        let mut line = String::new();
        let result = std::io::stdin().lock().read_line(&mut line).map(|_| line);
        let _ = sender.send(result);
    });
    match line.await {
        Ok(Ok(line)) => Ok(line),
        Ok(Err(error)) => Err(CliError::Failed(format!("cannot read the address: {error}"))),
        Err(_) => Err(CliError::Failed("cannot read the address".into())),
    }
}

fn create_random_text() -> Result<String, CliError> {
    let mut random = [0; 32];
    fill_random(&mut random).map_err(|error| CliError::Failed(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_address_of_this_login_is_accepted() {
        let parse = |query: &str| parse_redirect(&format!("{REDIRECT_URI}?{query}"), "s-1");

        assert_eq!(parse("code=c&state=s-1"), Ok("c".to_owned()));
        assert!(parse("code=c&state=s-2").is_err_and(|error| error.contains("another login")));
        let denied = parse("error=access_denied&error_description=The+customer+declined&state=s-1");
        assert_eq!(denied, Err("the login has failed: access_denied The customer declined".to_owned()));
        for other in ["", "code", "https://localhost/other?code=c&state=s-1"] {
            assert!(parse_redirect(other, "s-1").is_err(), "{other}");
        }
    }
}
