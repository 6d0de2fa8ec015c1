//! A bank: sign-in, account choice and consent pages, OAuth, FDX pages, and levers to make it misbehave.

mod book;
mod fdx_api;
mod grants;
mod levers;
mod look;
mod oauth;
mod pages;
mod paper;
mod register;
mod scope;
mod statements;
mod stays;
mod visits;
mod wire;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::middleware::from_fn_with_state;

pub use levers::{Endpoint, Levers, Revoke};

use book::Memo;
use grants::Grants;
use look::Look;
use stays::Stays;
use visits::Visits;

/// What a bank is started with.
pub struct Settings {
    /// Everything that is not drawn at random follows from it.
    pub seed: Vec<u8>,
    /// Its own origin, as in `http://127.0.0.1:8402`; also its issuer identifier.
    pub origin: String,
    /// The client that it knows from the beginning.
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

/// A bank that can be served.
#[derive(Clone)]
pub struct Bank(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) look: &'static Look,
    pub(crate) settings: Settings,
    memo: Memo,
    grants: Mutex<Grants>,
    visits: Mutex<Visits>,
    stays: Mutex<Stays>,
    levers: tokio::sync::watch::Sender<Levers>,
    /// What the levers' page proves its forms with.
    form_token: String,
    calls: AtomicU64,
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
    /// The bank *Maple Trust*, English first. Grants of an earlier run are read from the journal.
    pub fn maple(settings: Settings) -> io::Result<Self> {
        Self::open(&look::MAPLE, settings)
    }

    /// The bank *Caisse Rideau*, French first: it says what is asked for before the customer signs in, and
    /// rotates refresh tokens.
    pub fn rideau(settings: Settings) -> io::Result<Self> {
        Self::open(&look::RIDEAU, settings)
    }

    /// The bank *Prairie Credit Union*, for tests: a customer has one grant with a client, and what ends one
    /// token ends them all.
    pub fn prairie(settings: Settings) -> io::Result<Self> {
        Self::open(&look::PRAIRIE, settings)
    }

    fn open(look: &'static Look, settings: Settings) -> io::Result<Self> {
        let grants = Grants::open(&settings.journal)?;
        Ok(Self(Arc::new(Inner {
            look,
            settings,
            memo: Memo::default(),
            grants: Mutex::new(grants),
            visits: Mutex::default(),
            stays: Mutex::default(),
            levers: tokio::sync::watch::Sender::new(Levers::of(look)),
            form_token: crate::random::fresh()?,
            calls: AtomicU64::new(0),
        })))
    }

    /// The bank's name.
    pub fn name(&self) -> &'static str {
        self.0.look.name
    }

    /// Everything that the bank serves.
    pub fn router(&self) -> Router {
        let obey = || from_fn_with_state(self.clone(), levers::obey);
        Router::new()
            .merge(oauth::routes().merge(register::routes()).layer(obey()))
            .merge(fdx_api::routes(self.0.look.fdx).layer(obey()))
            .merge(pages::routes(self))
            .layer(from_fn_with_state(self.clone(), levers::date))
            .with_state(self.clone())
    }

    /// Who may sign in, and how.
    pub fn logins(&self) -> Vec<Login> {
        let customers = self.0.look.books.customers();
        customers.map(|c| Login { username: c.username, password: self.password(c.username) }).collect()
    }

    /// How many FDX answers are kept back at this moment.
    pub fn held(&self) -> usize {
        self.0.levers.receiver_count()
    }

    fn password(&self, username: &str) -> String {
        let label = format!("password/{}/{username}", self.0.look.key);
        crate::random::derived(&self.0.settings.seed, &label)[..16].to_owned()
    }

    /// The customer whose user name and password these are.
    fn identify(&self, username: &str, password: &str) -> Option<&'static book::Person> {
        let right = crate::random::equal(password, &self.password(username));
        self.0.look.books.person(username).filter(|_| right)
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

    fn stays(&self) -> MutexGuard<'_, Stays> {
        self.0.stays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a grant; where a customer has one with a client, all of that customer's.
    fn end_grant(&self, grants: &mut Grants, id: &str) -> io::Result<()> {
        let username = grants.any(id).map(|grant| grant.username.clone());
        match username.filter(|_| self.0.look.one_grant) {
            Some(username) => grants.end_all_of(&username, self.now()).map(|_| ()),
            None => grants.end(id, self.now()),
        }
    }
}
