//! A bank: sign-in, account choice and consent pages, OAuth, FDX pages, and levers to make it misbehave.

mod book;
mod fault_injection;
mod fdx_api;
mod fdx_format;
mod grants;
mod login_sessions;
mod oauth;
mod pages;
mod profile;
mod register;
mod scope;
mod statement_pdf;
mod statements;
mod stays;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::middleware::from_fn_with_state;

pub use fault_injection::{EndpointStatus, FaultSettings, RevocationBehavior};

use book::PostingCache;
use grants::Grants;
use login_sessions::SignInSessions;
use profile::BankProfile;
use stays::ConsentSessions;

/// What a bank is started with.
pub struct BankSettings {
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
    pub clock: BankClock,
}

/// A clock that is handed in: milliseconds since the epoch.
pub type BankClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A bank that can be served.
#[derive(Clone)]
pub struct Bank(Arc<BankInner>);

pub(crate) struct BankInner {
    pub(crate) profile: &'static BankProfile,
    pub(crate) settings: BankSettings,
    posting_cache: PostingCache,
    grants: Mutex<Grants>,
    sign_in_sessions: Mutex<SignInSessions>,
    consent_sessions: Mutex<ConsentSessions>,
    faults: tokio::sync::watch::Sender<FaultSettings>,
    /// What the levers' page proves its forms with.
    csrf_token: String,
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
    pub fn maple(settings: BankSettings) -> io::Result<Self> {
        Self::open(&profile::MAPLE, settings)
    }

    /// The bank *Caisse Rideau*, French first: it says what is asked for before the customer signs in, and
    /// rotates refresh tokens.
    pub fn rideau(settings: BankSettings) -> io::Result<Self> {
        Self::open(&profile::RIDEAU, settings)
    }

    /// The bank *Prairie Credit Union*, for tests: a customer has one grant with a client, and what ends one
    /// token ends them all.
    pub fn prairie(settings: BankSettings) -> io::Result<Self> {
        Self::open(&profile::PRAIRIE, settings)
    }

    fn open(look: &'static BankProfile, settings: BankSettings) -> io::Result<Self> {
        let grants = Grants::open(&settings.journal)?;
        Ok(Self(Arc::new(BankInner {
            profile: look,
            settings,
            posting_cache: PostingCache::default(),
            grants: Mutex::new(grants),
            sign_in_sessions: Mutex::default(),
            consent_sessions: Mutex::default(),
            faults: tokio::sync::watch::Sender::new(FaultSettings::for_profile(look)),
            csrf_token: crate::random::generate_secret()?,
            calls: AtomicU64::new(0),
        })))
    }

    /// The bank's name.
    pub fn name(&self) -> &'static str {
        self.0.profile.name
    }

    /// Everything that the bank serves.
    pub fn router(&self) -> Router {
        let faults_layer = || from_fn_with_state(self.clone(), fault_injection::apply_faults);
        Router::new()
            .merge(oauth::routes().merge(register::routes()).layer(faults_layer()))
            .merge(fdx_api::routes(self.0.profile.fdx_version).layer(faults_layer()))
            .merge(pages::routes(self))
            .layer(from_fn_with_state(self.clone(), fault_injection::add_date_header))
            .with_state(self.clone())
    }

    /// Who may sign in, and how.
    pub fn logins(&self) -> Vec<Login> {
        let customers = self.0.profile.books.customers();
        customers.map(|c| Login { username: c.username, password: self.password(c.username) }).collect()
    }

    /// How many FDX answers are kept back at this moment.
    pub fn delayed_response_count(&self) -> usize {
        self.0.faults.receiver_count()
    }

    fn password(&self, username: &str) -> String {
        let label = format!("password/{}/{username}", self.0.profile.key);
        crate::random::derive_text(&self.0.settings.seed, &label)[..16].to_owned()
    }

    /// The customer whose user name and password these are.
    fn identify(&self, username: &str, password: &str) -> Option<&'static book::Person> {
        let right = crate::random::constant_time_eq(password, &self.password(username));
        self.0.profile.books.find_customer(username).filter(|_| right)
    }

    /// The bank's own time, which may be off.
    fn now(&self) -> i64 {
        (self.0.settings.clock)() + self.0.faults.borrow().clock_skew_s * 1000
    }

    fn grants(&self) -> MutexGuard<'_, Grants> {
        self.0.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sign_in_sessions(&self) -> MutexGuard<'_, SignInSessions> {
        self.0.sign_in_sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn consent_sessions(&self) -> MutexGuard<'_, ConsentSessions> {
        self.0.consent_sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a grant; where a customer has one with a client, all of that customer's.
    fn end_grant(&self, grants: &mut Grants, id: &str) -> io::Result<()> {
        let username = grants.find(id).map(|grant| grant.username.clone());
        match username.filter(|_| self.0.profile.has_single_grant_per_client) {
            Some(username) => grants.end_all_for_customer(&username, self.now()).map(|_| ()),
            None => grants.end(id, self.now()),
        }
    }
}
