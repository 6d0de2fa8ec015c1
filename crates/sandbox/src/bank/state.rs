//! The state of a running bank, shared by all of its handlers.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::client_assertion::AssertionVerifier;
use super::consent_sessions::ConsentSessions;
use super::fault_settings::FaultSettings;
use super::grants::Grants;
use super::id_token_key::IdTokenKey;
use super::ledger::{BankCustomer, Ledger, PostingCache};
use super::login_sessions::SignInSessions;
use super::profile::BankProfile;
use super::pushed_requests::PushedRequestStore;
use super::security::SecurityProfile;

/// The settings that a bank is opened with.
pub struct BankSettings {
    /// The public value that accounts, transactions and the ids of customers are derived from.
    pub seed: Vec<u8>,
    /// The secret that access tokens and the initial access token for registrations are derived from.
    pub secret_key: Vec<u8>,
    /// The origin of the bank, for example `http://127.0.0.1:8402`; also its issuer identifier (RFC 9207).
    pub origin: String,
    /// The client that is registered from the start: the hub.
    pub client_id: String,
    /// The secret of the client `client_id`.
    pub client_secret: String,
    /// The redirect URIs of the client `client_id`.
    pub redirect_uris: Vec<String>,
    /// The journal file in which grants and registered clients are stored.
    pub journal: PathBuf,
    pub clock: BankClock,
    pub security: SecurityProfile,
}

/// A function that returns the current time in milliseconds since the epoch.
pub type BankClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A bank that can be served. Clones share one state.
#[derive(Clone)]
pub struct Bank(Arc<BankInner>);

struct BankInner {
    profile: &'static BankProfile,
    settings: BankSettings,
    posting_cache: PostingCache,
    grants: Mutex<Grants>,
    sign_in_sessions: Mutex<SignInSessions>,
    consent_sessions: Mutex<ConsentSessions>,
    pushed_requests: Mutex<PushedRequestStore>,
    id_token_key: Option<IdTokenKey>,
    assertion_verifier: Option<AssertionVerifier>,
    faults: watch::Sender<FaultSettings>,
    csrf_token: String,
    calls: AtomicU64,
}

/// The credentials of a customer who can sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub username: &'static str,
    pub password: String,
}

impl Bank {
    pub(super) fn open(profile: &'static BankProfile, settings: BankSettings) -> io::Result<Self> {
        let grants = Grants::open(&settings.journal)?;
        let (id_token_key, assertion_verifier) = match &settings.security {
            SecurityProfile::Plain => (None, None),
            SecurityProfile::OpenId => (Some(IdTokenKey::generate()?), None),
            SecurityProfile::Fapi(_) => (None, Some(AssertionVerifier::new()?)),
        };
        Ok(Self(Arc::new(BankInner {
            profile,
            settings,
            posting_cache: PostingCache::default(),
            grants: Mutex::new(grants),
            sign_in_sessions: Mutex::default(),
            consent_sessions: Mutex::default(),
            pushed_requests: Mutex::default(),
            id_token_key,
            assertion_verifier,
            faults: watch::Sender::new(FaultSettings::for_profile(profile)),
            csrf_token: crate::random::generate_secret()?,
            calls: AtomicU64::new(0),
        })))
    }

    /// Returns the name of the bank, as customers see it.
    pub fn name(&self) -> &'static str {
        self.profile().name
    }

    /// Returns the credentials of all customers who can sign in at the bank.
    pub fn logins(&self) -> Vec<Login> {
        let customers = self.profile().catalog.customers();
        customers.map(|c| Login { username: c.username, password: self.password(c.username) }).collect()
    }

    /// Returns the number of FDX responses that the `hold` fault is delaying at the moment.
    pub fn delayed_response_count(&self) -> usize {
        // Every delayed response subscribes to the fault settings; nothing else does.
        self.0.faults.receiver_count()
    }

    pub(super) fn profile(&self) -> &'static BankProfile {
        self.0.profile
    }

    pub(super) fn settings(&self) -> &BankSettings {
        &self.0.settings
    }

    pub(super) fn faults(&self) -> &watch::Sender<FaultSettings> {
        &self.0.faults
    }

    /// Returns the CSRF token of the fault injection page, which has no session.
    pub(super) fn csrf_token(&self) -> &str {
        &self.0.csrf_token
    }

    /// Returns the counter of calls, from which the `fail_share` fault determines which calls fail.
    pub(super) fn calls(&self) -> &AtomicU64 {
        &self.0.calls
    }

    /// Returns the password of a customer. It is a public test value, because no customer of a sandbox is real.
    fn password(&self, username: &str) -> String {
        format!("{username}-at-{}", self.profile().key)
    }

    /// Returns the customer with this user name if the password is right.
    pub(super) fn identify(&self, username: &str, password: &str) -> Option<&'static BankCustomer> {
        // The password is compared before the user name is looked up, so that unknown names take as long.
        let is_right = crate::random::constant_time_eq(password, &self.password(username));
        self.profile().catalog.find_customer(username).filter(|_| is_right)
    }

    /// Returns the time of the bank's own clock, which includes the clock skew fault.
    pub(super) fn now(&self) -> i64 {
        (self.settings().clock)() + self.faults().borrow().clock_skew_s * 1000
    }

    /// Returns the ledger as of the current day of the bank.
    pub(super) fn ledger(&self) -> Ledger<'_> {
        let now = jiff::Timestamp::from_millisecond(self.now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Ledger {
            catalog: self.profile().catalog,
            seed: &self.settings().seed,
            today: now.to_zoned(jiff::tz::TimeZone::UTC).date(),
            cache: &self.0.posting_cache,
        }
    }

    pub(super) fn grants(&self) -> MutexGuard<'_, Grants> {
        // A poisoned lock is used all the same: a panic in one request must not disable the bank.
        self.0.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sign_in_sessions(&self) -> MutexGuard<'_, SignInSessions> {
        self.0.sign_in_sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn consent_sessions(&self) -> MutexGuard<'_, ConsentSessions> {
        self.0.consent_sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pushed_requests(&self) -> MutexGuard<'_, PushedRequestStore> {
        self.0.pushed_requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the key that signs id tokens, at a bank with OpenID Connect.
    pub(super) fn id_token_key(&self) -> Option<&IdTokenKey> {
        self.0.id_token_key.as_ref()
    }

    pub(super) fn assertion_verifier(&self) -> Option<&AssertionVerifier> {
        self.0.assertion_verifier.as_ref()
    }

    /// Ends a grant. At a bank with one grant for each customer and client, ends all grants of the customer.
    pub(super) fn end_grant(&self, grants: &mut Grants, id: &str) -> io::Result<()> {
        let username = grants.find(id).map(|grant| grant.username.clone());
        match username.filter(|_| self.profile().has_single_grant_per_client) {
            Some(username) => grants.end_all_for_customer(&username, self.now()).map(|_| ()),
            None => grants.end(id, self.now()),
        }
    }
}
