//! How often who may ask: token buckets of this node, in memory. Nothing that is stored depends on them.

use std::collections::HashMap;
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

/// Too many: when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitError(pub Duration);

/// A network that a caller belongs to: an IPv4 /24 or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of an address.
    pub fn from_address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self((v4 & std::net::Ipv4Addr::new(255, 255, 255, 0)).into()),
            IpAddr::V6(v6) => Self((v6 & std::net::Ipv6Addr::from_bits(u128::MAX << 64)).into()),
        }
    }
}

type Limiter<K, C> = RateLimiter<K, DefaultKeyedStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// A bucket for each key; none if there is no limit.
struct Buckets<K: Hash + Eq + Clone, C: Clock = MonotonicClock> {
    limiter: Option<Limiter<K, C>>,
    clock: C,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// So many a minute, and as many at once; zero is no limit.
    fn new(per_minute: u32) -> Self {
        Self::with_clock(per_minute, MonotonicClock)
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Buckets<K, C> {
    fn with_clock(per_minute: u32, clock: C) -> Self {
        let limiter = NonZeroU32::new(per_minute).map(|most| {
            let quota = Quota::per_minute(most);
            RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone())
        });
        Self { limiter, clock }
    }

    fn take(&self, key: &K) -> Result<(), RateLimitError> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(key).map_err(|not_yet| RateLimitError(not_yet.wait_time_from(self.clock.now())))
    }

    /// Forgets those whose bucket is full again.
    fn evict_idle(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// Every limit of the hub.
pub struct Limits {
    recipient: Buckets<ClientId>,
    connection: Buckets<ConnectionId>,
    provider: Buckets<ProviderId>,
    share: Buckets<(ProviderId, ClientId)>,
    token: Buckets<ClientId>,
    revoke: Buckets<ClientId>,
    failed_auth: Buckets<AuthAttempt>,
    /// Who failed too often, and until when nothing of it is looked at.
    locked_out: Mutex<HashMap<AuthAttempt, Instant>>,
}

/// Whose secret was tried, and from where; a client that is not known is nobody's.
type AuthAttempt = (Option<ClientId>, Network);

impl Limits {
    /// As configured.
    pub fn new(section: &LimitSection) -> Self {
        let share = u64::from(section.provider) * u64::from(section.provider_share) / 100;
        let share = u32::try_from(share).unwrap_or(u32::MAX).max(section.provider.min(1));
        Self {
            recipient: Buckets::new(section.recipient),
            connection: Buckets::new(section.connection),
            provider: Buckets::new(section.provider),
            share: Buckets::new(share),
            token: Buckets::new(section.token),
            revoke: Buckets::new(section.revoke),
            failed_auth: Buckets::new(section.failed_authentication),
            locked_out: Mutex::default(),
        }
    }

    /// A call to the data face by a client, for a connection if it names one.
    pub fn ensure_read_allowed(
        &self,
        client: &ClientId,
        connection: Option<&ConnectionId>,
    ) -> Result<(), RateLimitError> {
        self.recipient.take(client)?;
        connection.map_or(Ok(()), |connection| self.connection.take(connection))
    }

    /// A call to a provider: within the recipient's share of what it is asked for, then within the whole.
    pub fn ensure_provider_call_allowed(&self, access: &GrantedAccess) -> Result<(), RateLimitError> {
        self.share.take(&(access.provider_id(), access.client_id().clone()))?;
        self.provider.take(&access.provider_id())
    }

    /// A call of an authenticated client to the token endpoint.
    pub fn ensure_token_request_allowed(&self, client: &ClientId) -> Result<(), RateLimitError> {
        self.token.take(client)
    }

    /// A recipient's revocation.
    pub fn ensure_revocation_allowed(&self, recipient: &ClientId) -> Result<(), RateLimitError> {
        self.revoke.take(recipient)
    }

    /// Whether a client's secret may be tried from a network.
    pub fn ensure_auth_attempt_allowed(
        &self,
        client: Option<&ClientId>,
        from: Network,
    ) -> Result<(), RateLimitError> {
        let locked_out = self.locked_out.lock().unwrap_or_else(PoisonError::into_inner);
        let until = locked_out.get(&(client.cloned(), from));
        let left = until.map(|until| until.saturating_duration_since(crate::telemetry::monotonic_now()));
        left.filter(|left| !left.is_zero()).map_or(Ok(()), |left| Err(RateLimitError(left)))
    }

    /// A wrong secret was tried.
    pub fn record_failed_auth(&self, client: Option<&ClientId>, from: Network) {
        let attempt = (client.cloned(), from);
        if let Err(RateLimitError(wait)) = self.failed_auth.take(&attempt) {
            let mut locked_out = self.locked_out.lock().unwrap_or_else(PoisonError::into_inner);
            locked_out.insert(attempt, crate::telemetry::monotonic_now() + wait);
        }
    }

    /// Forgets what is over, so that memory stays bounded by who asks at present.
    pub fn run_upkeep(&self) {
        self.recipient.evict_idle();
        self.connection.evict_idle();
        self.provider.evict_idle();
        self.share.evict_idle();
        self.token.evict_idle();
        self.revoke.evict_idle();
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
    fn wrong_secrets_lock_out_one_client_from_one_network() {
        let limits = limits(|section| section.failed_authentication = 3);
        let client = |id: &str| ClientId::parse(id).unwrap();
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
            "the same network"
        );
        assert_eq!(
            limits.ensure_auth_attempt_allowed(Some(&acme), network("198.51.100.7")),
            Ok(()),
            "the rightful one elsewhere"
        );
        assert_eq!(limits.ensure_auth_attempt_allowed(Some(&other), here), Ok(()), "another client here");
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
