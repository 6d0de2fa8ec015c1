//! The settings of the demo app, and the state that all of its handlers share.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::redirect;

use super::session::Sessions;

/// A function that returns the current time in milliseconds since the epoch.
pub type DemoClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The settings with which the demo app is started.
pub struct DemoSettings {
    /// The origin of the app, for example `http://127.0.0.1:8401`.
    pub origin: String,
    /// The origin of the hub, for example `http://127.0.0.1:8400`.
    pub hub: String,
    /// The client id of the app at the hub.
    pub client_id: String,
    /// The client secret of the app at the hub.
    pub client_secret: String,
    /// The redirect URI that is registered with the hub: `/callback` of the app's origin.
    pub redirect_uri: String,
    /// The scope that the app requests.
    pub scope: String,
    /// The banks that the home page offers by name.
    pub providers: Vec<OfferedBank>,
    pub clock: DemoClock,
}

/// A bank that the home page offers by name.
#[derive(Clone, Debug)]
pub struct OfferedBank {
    /// The id of the bank at the hub (`provider_id`).
    pub id: i64,
    pub name: String,
}

/// The demo app. Clones share one state.
#[derive(Clone)]
pub struct Demo(Arc<DemoInner>);

struct DemoInner {
    settings: DemoSettings,
    client: reqwest::Client,
    hub: url::Url,
    sessions: Mutex<Sessions>,
}

impl Demo {
    /// Creates the demo app. No request is sent to the hub until a browser opens a page.
    pub fn new(settings: DemoSettings) -> io::Result<Self> {
        let client = build_client().map_err(io::Error::other)?;
        let hub = url::Url::parse(&settings.hub).map_err(io::Error::other)?;
        Ok(Self(Arc::new(DemoInner { settings, client, hub, sessions: Mutex::default() })))
    }

    pub(super) fn settings(&self) -> &DemoSettings {
        &self.0.settings
    }

    pub(super) fn client(&self) -> &reqwest::Client {
        &self.0.client
    }

    pub(super) fn now(&self) -> i64 {
        (self.0.settings.clock)()
    }

    /// Locks the sessions of the app. The lock must be released before an `await`.
    pub(super) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Builds a URL of the hub. Each segment is percent-encoded, so that an account id from the browser cannot change
    /// the path.
    pub(super) fn hub_url(&self, path: &[&str]) -> url::Url {
        let mut url = self.0.hub.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        url
    }

    pub(super) fn find_bank(&self, id: &str) -> Option<&OfferedBank> {
        self.0.settings.providers.iter().find(|bank| bank.id.to_string() == id)
    }
}

/// Builds the HTTP client for calls to the hub. It follows no redirects, so that tokens are sent to the hub only.
fn build_client() -> reqwest::Result<reqwest::Client> {
    let client = reqwest::Client::builder().redirect(redirect::Policy::none()).no_proxy();
    client.connect_timeout(Duration::from_secs(3)).timeout(Duration::from_secs(20)).build()
}
