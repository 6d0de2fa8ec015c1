//! Rate limits: token buckets in the memory of this node. Several nodes count separately.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::rule::access::GrantedAccess;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::config::LimitSection;

/// Error for a request that exceeds a rate limit. The duration is the time until the next request is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitError(pub Duration);

/// The network of a client: an IPv4 /24 or an IPv6 /64.
///
/// A limit for each address would have no effect, because one client can use many addresses of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// Returns the network of an address. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn from_address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self((v4 & std::net::Ipv4Addr::new(255, 255, 255, 0)).into()),
            IpAddr::V6(v6) => Self((v6 & std::net::Ipv6Addr::from_bits(u128::MAX << 64)).into()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, if self.0.is_ipv4() { 24 } else { 64 })
    }
}

/// A step of a login that a browser takes without credentials. Each has a limit of its own, so that a flood of new requests does
/// not prevent the callbacks of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoginStep {
    /// A request to the authorization endpoint.
    Authorize,
    /// A form of the consent page.
    Decide,
    /// A callback of a provider.
    Callback,
    /// A response of a provider that the browser posts, before the callback.
    PostedResponse,
}

type Limiter<K, C> = RateLimiter<K, DefaultKeyedStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// A set of token buckets of the same size, one for each key, such as a client.
struct Buckets<K: Hash + Eq + Clone, C: Clock = MonotonicClock> {
    /// `None` if there is no limit.
    limiter: Option<Limiter<K, C>>,
    clock: C,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// Allows `per_minute` requests a minute, all of which may come in one burst. Zero means no limit.
    fn new(per_minute: u32) -> Self {
        Self::with_clock(per_minute, MonotonicClock)
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Buckets<K, C> {
    fn with_clock(per_minute: u32, clock: C) -> Self {
        let limiter = NonZeroU32::new(per_minute).map(|limit| {
            let quota = Quota::per_minute(limit);
            RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone())
        });
        Self { limiter, clock }
    }

    fn take(&self, key: &K) -> Result<(), RateLimitError> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(key).map_err(|limited| RateLimitError(limited.wait_time_from(self.clock.now())))
    }

    /// Removes the keys whose bucket is full again, because a new bucket would be the same.
    fn evict_idle(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// All rate limits of the hub.
pub struct Limits {
    recipient: Buckets<ClientId>,
    connection: Buckets<ConnectionId>,
    provider: Buckets<ProviderId>,
    /// The part of a provider's limit that one recipient may use.
    share: Buckets<(ProviderId, ClientId)>,
    token: Buckets<ClientId>,
    revoke: Buckets<ClientId>,
    management: Buckets<ClientId>,
    operator: Buckets<String>,
    login: Buckets<(LoginStep, Network)>,
    failed_auth: Buckets<AuthAttempt>,
    /// The end of each lockout: the time until which a client cannot authenticate from a network after too many
    /// failures.
    locked_out: Mutex<HashMap<AuthAttempt, Instant>>,
}

/// The client whose secret was tried, and the network of the caller. All unknown clients count as one (`None`).
type AuthAttempt = (Option<ClientId>, Network);

impl Limits {
    /// Creates the limits from the configuration.
    pub fn new(section: &LimitSection) -> Self {
        let share = u64::from(section.provider) * u64::from(section.provider_share) / 100;
        // Rounding must not turn a small limit into 0, which means "no limit".
        let share = u32::try_from(share).unwrap_or(u32::MAX).max(section.provider.min(1));
        Self {
            recipient: Buckets::new(section.recipient),
            connection: Buckets::new(section.connection),
            provider: Buckets::new(section.provider),
            share: Buckets::new(share),
            token: Buckets::new(section.token),
            revoke: Buckets::new(section.revoke),
            management: Buckets::new(section.management),
            operator: Buckets::new(section.operator),
            login: Buckets::new(section.login),
            failed_auth: Buckets::new(section.failed_authentication),
            locked_out: Mutex::default(),
        }
    }

    /// Counts a request to the FDX API against the limit of the client, and against that of the connection if there is
    /// one.
    pub fn ensure_read_allowed(
        &self,
        client: &ClientId,
        connection: Option<&ConnectionId>,
    ) -> Result<(), RateLimitError> {
        self.recipient.take(client)?;
        connection.map_or(Ok(()), |connection| self.connection.take(connection))
    }

    /// Counts a call to a provider against the recipient's share, and then against the limit of the provider.
    pub fn ensure_provider_call_allowed(&self, access: &GrantedAccess) -> Result<(), RateLimitError> {
        // The share comes first: a recipient above its share must not use up the limit of the others.
        self.share.take(&(access.provider_id(), access.client_id().clone()))?;
        self.provider.take(&access.provider_id())
    }

    /// Counts a request of an authenticated client to the token endpoint against the limit of the client.
    pub fn ensure_token_request_allowed(&self, client: &ClientId) -> Result<(), RateLimitError> {
        self.token.take(client)
    }

    /// Counts a request that ends a connection against the limit of the recipient or partner.
    pub fn ensure_revocation_allowed(&self, client: &ClientId) -> Result<(), RateLimitError> {
        self.revoke.take(client)
    }

    /// Counts another request to the partner API against the limit of the partner or recipient. Ends have a limit of their own,
    /// so that a client that has used up this one can still end connections.
    pub fn ensure_management_allowed(&self, client: &ClientId) -> Result<(), RateLimitError> {
        self.management.take(client)
    }

    /// Counts a request of an authenticated operator to the admin API.
    pub fn ensure_operator_request_allowed(&self, operator: &str) -> Result<(), RateLimitError> {
        self.operator.take(&operator.to_owned())
    }

    /// Counts a step of a login against the limit of the caller's network.
    pub fn ensure_login_step_allowed(&self, step: LoginStep, from: Network) -> Result<(), RateLimitError> {
        self.login.take(&(step, from))
    }

    /// Returns an error while wrong secrets of a client from a network are rejected without being counted.
    pub fn ensure_auth_attempt_allowed(
        &self,
        client: Option<&ClientId>,
        from: Network,
    ) -> Result<(), RateLimitError> {
        let locked_out = self.locked_out.lock().unwrap_or_else(PoisonError::into_inner);
        if locked_out.is_empty() {
            return Ok(());
        }
        let until = locked_out.get(&(client.cloned(), from));
        let wait = until.map(|until| until.saturating_duration_since(crate::telemetry::monotonic_now()));
        wait.filter(|wait| !wait.is_zero()).map_or(Ok(()), |wait| Err(RateLimitError(wait)))
    }

    /// Counts a failed authentication, and locks the client out from this network after too many.
    pub fn record_failed_auth(&self, client: Option<&ClientId>, from: Network) {
        // The network is part of the key: an attacker elsewhere must not be able to lock out the real client.
        let attempt = (client.cloned(), from);
        if let Err(RateLimitError(wait)) = self.failed_auth.take(&attempt) {
            let mut locked_out = self.locked_out.lock().unwrap_or_else(PoisonError::into_inner);
            locked_out.insert(attempt, crate::telemetry::monotonic_now() + wait);
        }
    }

    /// Removes idle buckets and expired lockouts, so that memory is bounded by the number of active clients.
    pub fn run_upkeep(&self) {
        self.recipient.evict_idle();
        self.connection.evict_idle();
        self.provider.evict_idle();
        self.share.evict_idle();
        self.token.evict_idle();
        self.revoke.evict_idle();
        self.management.evict_idle();
        self.operator.evict_idle();
        self.login.evict_idle();
        self.failed_auth.evict_idle();
        let now = crate::telemetry::monotonic_now();
        self.locked_out.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, until| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    #[test]
    fn rate_limit_bucket_refills_per_key() {
        let clock = FakeRelativeClock::default();
        let buckets = Buckets::with_clock(2, clock.clone());
        assert!(buckets.take(&"a").is_ok() && buckets.take(&"a").is_ok() && buckets.take(&"b").is_ok());
        assert_eq!(buckets.take(&"a"), Err(RateLimitError(Duration::from_secs(30))));
        clock.advance(Duration::from_secs(30));
        assert!(buckets.take(&"a").is_ok() && buckets.take(&"a").is_err());
        clock.advance(Duration::from_mins(5));
        buckets.evict_idle();
        assert!(buckets.limiter.as_ref().is_some_and(RateLimiter::is_empty));
        let open = Buckets::with_clock(0, clock);
        assert!((0..100_000).all(|_| open.take(&"a").is_ok()));
    }

    fn limits(change: impl FnOnce(&mut LimitSection)) -> Limits {
        let mut section = crate::config::Config::load(None, std::iter::empty(), &[]).unwrap().limit;
        change(&mut section);
        Limits::new(&section)
    }

    #[test]
    fn wrong_secrets_lock_client_out_from_one_network_only() {
        let limits = limits(|section| section.failed_authentication = 3);
        let client = |id: &str| id.parse::<ClientId>().unwrap();
        let (acme, other) = (client("dc-acme"), client("dc-other"));
        let network = |text: &str| Network::from_address(text.parse().unwrap());
        let here = network("192.0.2.7");

        for _ in 0..4 {
            assert_eq!(limits.ensure_auth_attempt_allowed(Some(&acme), here), Ok(()));
            limits.record_failed_auth(Some(&acme), here);
        }

        assert!(
            limits
                .ensure_auth_attempt_allowed(Some(&acme), here)
                .is_err_and(|RateLimitError(wait)| wait <= Duration::from_secs(20))
        );
        assert!(
            limits.ensure_auth_attempt_allowed(Some(&acme), network("192.0.2.200")).is_err(),
            "another address of the same network is locked out too"
        );
        assert_eq!(
            limits.ensure_auth_attempt_allowed(Some(&acme), network("198.51.100.7")),
            Ok(()),
            "the client is not locked out from another network"
        );
        assert_eq!(
            limits.ensure_auth_attempt_allowed(Some(&other), here),
            Ok(()),
            "another client of this network is not locked out"
        );
        assert_eq!(limits.ensure_auth_attempt_allowed(None, here), Ok(()));
    }

    #[test]
    fn network_groups_ipv4_by_24_and_ipv6_by_64_bits() {
        let network = |text: &str| Network::from_address(text.parse().unwrap());
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.99"));
        assert_ne!(network("192.0.2.7"), network("192.0.3.7"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
    }
}
