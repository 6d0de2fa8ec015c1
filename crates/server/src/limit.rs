//! How often who may ask: token buckets of this node, in memory. Nothing that is stored depends on them.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::rule::access::Access;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::config::LimitSection;

/// Too many: when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany(pub Duration);

/// A network that a caller belongs to: an IPv4 /24 or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
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
    fn new(a_minute: u32) -> Self {
        Self::with(a_minute, MonotonicClock)
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Buckets<K, C> {
    fn with(a_minute: u32, clock: C) -> Self {
        let limiter = NonZeroU32::new(a_minute).map(|most| {
            let quota = Quota::per_minute(most);
            RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone())
        });
        Self { limiter, clock }
    }

    fn take(&self, key: &K) -> Result<(), TooMany> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(key).map_err(|not_yet| TooMany(not_yet.wait_time_from(self.clock.now())))
    }

    /// Forgets those whose bucket is full again.
    fn forget(&self) {
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
    failed: Buckets<Attempt>,
    /// Who failed too often, and until when nothing of it is looked at.
    shut: Mutex<HashMap<Attempt, Instant>>,
}

/// Whose secret was tried, and from where; a client that is not known is nobody's.
type Attempt = (Option<ClientId>, Network);

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
            failed: Buckets::new(section.failed_authentication),
            shut: Mutex::default(),
        }
    }

    /// A call to the data face by a client, for a connection if it names one.
    pub fn read(&self, client: &ClientId, connection: Option<&ConnectionId>) -> Result<(), TooMany> {
        self.recipient.take(client)?;
        connection.map_or(Ok(()), |connection| self.connection.take(connection))
    }

    /// A call to a provider: within the recipient's share of what it is asked for, then within the whole.
    pub fn ask(&self, access: &Access) -> Result<(), TooMany> {
        self.share.take(&(access.provider_id(), access.client_id().clone()))?;
        self.provider.take(&access.provider_id())
    }

    /// A call of an authenticated client to the token endpoint.
    pub fn token(&self, client: &ClientId) -> Result<(), TooMany> {
        self.token.take(client)
    }

    /// A recipient's revocation.
    pub fn revoke(&self, recipient: &ClientId) -> Result<(), TooMany> {
        self.revoke.take(recipient)
    }

    /// Whether a client's secret may be tried from a network.
    pub fn may_try(&self, client: Option<&ClientId>, from: Network) -> Result<(), TooMany> {
        let shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        let until = shut.get(&(client.cloned(), from));
        let left = until.map(|until| until.saturating_duration_since(crate::telemetry::stopwatch()));
        left.filter(|left| !left.is_zero()).map_or(Ok(()), |left| Err(TooMany(left)))
    }

    /// A wrong secret was tried.
    pub fn failed(&self, client: Option<&ClientId>, from: Network) {
        let attempt = (client.cloned(), from);
        if let Err(TooMany(wait)) = self.failed.take(&attempt) {
            let mut shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
            shut.insert(attempt, crate::telemetry::stopwatch() + wait);
        }
    }

    /// Forgets what is over, so that memory stays bounded by who asks at present.
    pub fn keep_up(&self) {
        self.recipient.forget();
        self.connection.forget();
        self.provider.forget();
        self.share.forget();
        self.token.forget();
        self.revoke.forget();
        self.failed.forget();
        let now = crate::telemetry::stopwatch();
        self.shut.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, until| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    #[test]
    fn a_bucket_fills_again_and_each_has_its_own() {
        let clock = FakeRelativeClock::default();
        let buckets = Buckets::with(2, clock.clone());
        assert!(buckets.take(&"a").is_ok() && buckets.take(&"a").is_ok() && buckets.take(&"b").is_ok());
        assert_eq!(buckets.take(&"a"), Err(TooMany(Duration::from_secs(30))));
        clock.advance(Duration::from_secs(30));
        assert!(buckets.take(&"a").is_ok() && buckets.take(&"a").is_err());
        clock.advance(Duration::from_mins(5));
        buckets.forget();
        assert!(buckets.limiter.as_ref().is_some_and(RateLimiter::is_empty));
        let open = Buckets::with(0, clock);
        assert!((0..100_000).all(|_| open.take(&"a").is_ok()));
    }

    fn limits(change: impl FnOnce(&mut LimitSection)) -> Limits {
        let mut section = crate::config::Config::load(None, std::iter::empty(), &[]).unwrap().limit;
        change(&mut section);
        Limits::new(&section)
    }

    #[test]
    fn wrong_secrets_shut_one_client_from_one_network() {
        let limits = limits(|section| section.failed_authentication = 3);
        let client = |id: &str| ClientId::parse(id).unwrap();
        let (acme, other) = (client("dc-acme"), client("dc-other"));
        let network = |text: &str| Network::of(text.parse().unwrap());
        let here = network("192.0.2.7");
        for _ in 0..4 {
            assert_eq!(limits.may_try(Some(&acme), here), Ok(()));
            limits.failed(Some(&acme), here);
        }
        assert!(
            limits.may_try(Some(&acme), here).is_err_and(|TooMany(wait)| wait <= Duration::from_secs(20))
        );
        assert!(limits.may_try(Some(&acme), network("192.0.2.200")).is_err(), "the same network");
        assert_eq!(
            limits.may_try(Some(&acme), network("198.51.100.7")),
            Ok(()),
            "the rightful one elsewhere"
        );
        assert_eq!(limits.may_try(Some(&other), here), Ok(()), "another client here");
        assert_eq!(limits.may_try(None, here), Ok(()));
    }

    #[test]
    fn networks_are_of_24_and_64_bits() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.99"));
        assert_ne!(network("192.0.2.7"), network("192.0.3.7"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
    }
}
