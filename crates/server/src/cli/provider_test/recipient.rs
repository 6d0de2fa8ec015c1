//! The recipient of a test connection.

use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use domain::Secret;
use http::Method;
use serde_json::{Value, json};

use super::super::admin_client::AdminClient;
use super::super::args::build_path;
use super::super::browser::{Browser, BrowserRequest};
use super::super::error::CliError;

/// The redirect URI of the test recipient. A hub accepts only https, and no server listens there: the operator copies the address
/// from the browser, which may run on another machine.
pub(super) const REDIRECT_URI: &str = "https://localhost/bowline-provider-test";
/// The interval at which the command asks for the progress of a registration or a revocation.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// The number of times that it asks, for at most a minute.
const MAX_POLLS: usize = 120;

/// The recipient of a test, which is removed at its end.
pub(super) struct TestRecipient<'a> {
    pub(super) admin: &'a AdminClient,
    pub(super) browser: Browser,
    pub(super) public_url: &'a str,
    pub(super) provider_id: i64,
    pub(super) client_id: String,
    pub(super) client_secret: Secret<String>,
    pub(super) scope: String,
}

impl<'a> TestRecipient<'a> {
    /// Adds a recipient that may read every data cluster of the provider.
    pub(super) async fn add(
        admin: &'a AdminClient,
        provider_id: i64,
        (settings, public_url): (&Value, &'a str),
    ) -> Result<Self, CliError> {
        let browser = Browser::new().map_err(|error| CliError::Failed(error.to_string()))?;
        // The login needs a hub that runs, so the recipient is added only if one responds.
        let response = browser.send(BrowserRequest::new(Method::GET, public_url)).await;
        response.map_err(|error| CliError::Unreachable(format!("{public_url}: {error}")))?;
        let clusters =
            settings["scopes"].as_object().into_iter().flatten().map(|(cluster, _)| cluster.as_str());
        // Every recipient must be allowed to read the list of accounts.
        let others: Vec<_> = clusters.filter(|cluster| *cluster != "ACCOUNT_BASIC").collect();
        let scope: Vec<_> = ["ACCOUNT_BASIC"].into_iter().chain(others).collect();
        let added = admin
            .post_json(
                "/recipients",
                &json!({
                    "name": "Bowline provider test",
                    "purpose_en": "To test the connection with this provider. It ends after the test.",
                    "purpose_fr": "Pour tester la connexion à ce fournisseur. Elle se termine après le test.",
                    "redirect_uris": [REDIRECT_URI],
                    "scope": scope,
                    "require_pkce": true,
                    "max_duration_days": 1,
                }),
            )
            .await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Self {
            admin,
            browser,
            public_url,
            provider_id,
            client_id: text(&added["recipient"]["client_id"]),
            client_secret: Secret::new(text(&added["client_secret"])),
            scope: scope.join(" "),
        })
    }

    /// Waits until the registration is active, which a provider with dynamic registration decides.
    pub(super) async fn wait_until_active(&self) -> Result<(), CliError> {
        let path = build_path(&["registrations", &self.client_id, &self.provider_id.to_string()]);
        let state = self.poll(&path, |registration| registration["state"] == "active").await?;
        if state["state"] == "active" {
            return Ok(());
        }
        Err(CliError::Failed("the provider has not registered a client for the test".into()))
    }

    /// Requests a path until it has the expected state, for at most a minute. Returns the last response.
    pub(super) async fn poll(
        &self,
        path: &str,
        is_final: impl Fn(&Value) -> bool,
    ) -> Result<Value, CliError> {
        let schedule = ConstantBuilder::new().with_delay(POLL_INTERVAL).with_max_times(MAX_POLLS);
        let ask = || async {
            match self.admin.get(path).await {
                Ok(found) if is_final(&found) => Ok(found),
                Ok(found) => Err(Ok(found)),
                Err(error) => Err(Err(error)),
            }
        };
        let result = ask.retry(schedule).when(|error: &Result<Value, CliError>| error.is_ok()).await;
        result.or_else(|last| last)
    }
}
