//! A bank: sign-in, account choice and consent pages, OAuth, FDX pages, and levers to make it misbehave.

mod book;
mod fdx_api;
mod grants;
mod levers;
mod oauth;
mod pages;
mod visits;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;

pub use levers::Levers;

use grants::Grants;
use visits::Visits;

/// What a bank is started with.
pub struct Settings {
    /// Everything that is not drawn at random follows from it.
    pub seed: Vec<u8>,
    /// Its own origin, as in `http://127.0.0.1:8402`; also its issuer identifier.
    pub origin: String,
    /// The one client that it knows.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: String,
    /// The client's redirect URIs.
    pub redirect_uris: Vec<String>,
    /// The file that its grants are kept in.
    pub journal: PathBuf,
    /// Its clock: milliseconds since the epoch.
    pub clock: Clock,
}

/// A clock that is handed in: milliseconds since the epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How one bank differs from another.
pub(crate) struct Look {
    pub(crate) name: &'static str,
    pub(crate) key: &'static str,
    pub(crate) motto: &'static str,
    pub(crate) css: &'static str,
    pub(crate) cookie: &'static str,
}

const MAPLE: Look = Look {
    name: "Maple Trust",
    key: "maple",
    motto: "Steady since 1871.",
    css: include_str!("../templates/maple.css"),
    cookie: "maple_visit",
};

/// A bank that can be served.
#[derive(Clone)]
pub struct Bank(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) look: &'static Look,
    pub(crate) settings: Settings,
    grants: Mutex<Grants>,
    visits: Mutex<Visits>,
    levers: tokio::sync::watch::Sender<Levers>,
    calls: std::sync::atomic::AtomicU64,
}

/// A customer of the bank, who may sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub username: &'static str,
    /// The password.
    pub password: String,
}

impl Bank {
    /// The bank *Maple Trust*. Grants of an earlier run are read from the journal.
    pub fn maple(settings: Settings) -> io::Result<Self> {
        let grants = Grants::open(&settings.journal)?;
        Ok(Self(Arc::new(Inner {
            look: &MAPLE,
            settings,
            grants: Mutex::new(grants),
            visits: Mutex::default(),
            levers: tokio::sync::watch::Sender::default(),
            calls: std::sync::atomic::AtomicU64::new(0),
        })))
    }

    /// Everything that the bank serves.
    pub fn router(&self) -> Router {
        Router::new()
            .merge(pages::routes())
            .merge(oauth::routes().layer(axum::middleware::from_fn_with_state(self.clone(), levers::obey)))
            .merge(fdx_api::routes().layer(axum::middleware::from_fn_with_state(self.clone(), levers::obey)))
            .merge(levers::routes())
            .layer(axum::middleware::from_fn_with_state(self.clone(), levers::date))
            .with_state(self.clone())
    }

    /// Who may sign in, and how.
    pub fn logins(&self) -> Vec<Login> {
        book::CUSTOMERS
            .iter()
            .map(|c| Login { username: c.username, password: self.password(c.username) })
            .collect()
    }

    fn password(&self, username: &str) -> String {
        let label = format!("password/{}/{username}", self.0.look.key);
        crate::random::derived(&self.0.settings.seed, &label)[..16].to_owned()
    }

    /// The bank's own time, which may be off.
    fn now(&self) -> i64 {
        (self.0.settings.clock)() + self.0.levers.borrow().clock_skew_s * 1000
    }

    fn grants(&self) -> MutexGuard<'_, Grants> {
        self.0.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn visits(&self) -> MutexGuard<'_, Visits> {
        self.0.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
