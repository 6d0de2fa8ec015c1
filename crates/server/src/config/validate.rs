//! Checks a complete configuration, after all of its layers were merged.

use std::time::Duration;

use domain::rule::node_lease::MAX_LEASE;
use domain::rule::provider::ProviderLimits;

use super::sections::Config;

impl Config {
    /// Validates the configuration, and removes the trailing slash of `server.public_url`.
    pub(super) fn validate(mut self) -> Result<Self, String> {
        let url = url::Url::parse(&self.server.public_url)
            .map_err(|_| "server.public_url: expected an absolute URL, as in https://hub.example.org")?;
        let is_loopback = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        if url.scheme() != "https" && !is_loopback {
            return Err("server.public_url: expected https (http only on loopback)".into());
        }
        // The hub does not serve TLS, so a proxy is in front of it. If the hub does not know that, all clients have the address
        // of the proxy, and share one limit.
        if url.scheme() == "https" && !self.server.trusted_proxies.is_stated() {
            return Err("server.trusted_proxies: expected the number of reverse proxies in front of the hub (0 for none), \
                 because server.public_url is https"
                .into());
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err("server.public_url: expected an origin without a path".into());
        }
        url.as_str().trim_end_matches('/').clone_into(&mut self.server.public_url);
        self.validate_addresses()?;
        self.log.parse_filter()?;
        self.validate_bounds()?;
        self.validate_providers()?;
        Ok(self)
    }

    fn validate_addresses(&self) -> Result<(), String> {
        let addresses = [
            ("server.listen", &self.server.listen),
            ("server.admin_listen", &self.server.admin_listen),
            ("server.probe_listen", &self.server.probe_listen),
        ];
        for (key, address) in addresses {
            address
                .parse::<std::net::SocketAddr>()
                .map_err(|_| format!("{key}: expected an address and a port, as in 127.0.0.1:8400"))?;
        }
        self.store_location().map(drop)
    }

    /// Rejects values with which the hub would break a documented limit, or could not serve any request.
    fn validate_bounds(&self) -> Result<(), String> {
        const DAY: u64 = 86_400;
        const MAX_QUEUE: usize = 1_000_000;
        // These limits are documented for customers and recipients. A consent lasts at most one year, which may have 366
        // days.
        let max_durations = [
            ("token.access_ttl", &self.token.access_ttl, 300, "300s"),
            ("token.code_ttl", &self.token.code_ttl, 60, "60s"),
            ("connection.max_duration", &self.connection.max_duration, 366 * DAY, "366d"),
            ("upstream.invalid_grant_delay", &self.upstream.invalid_grant_delay, 60, "60s"),
        ];
        for (key, value, max_seconds, max_text) in max_durations {
            if value.duration() > Duration::from_secs(max_seconds) {
                return Err(format!("{key}: expected at most {max_text}"));
            }
        }
        if !(Duration::from_secs(1)..=MAX_LEASE).contains(&self.store.lease.duration()) {
            return Err("store.lease: expected from 1s to 60s".into());
        }
        if !(Duration::from_secs(1)..=Duration::from_hours(1)).contains(&self.server.clock_settle.duration())
        {
            return Err("server.clock_settle: expected from 1s to 1h".into());
        }
        let positive_numbers = [
            ("server.connections", self.server.connections),
            ("store.connections", self.store.connections),
            ("store.queue", self.store.queue),
            ("job.workers", self.job.workers),
            ("job.provider_workers", self.job.provider_workers),
        ];
        if let Some((key, _)) = positive_numbers.iter().find(|(_, number)| *number == 0) {
            return Err(format!("{key}: expected at least 1"));
        }
        if self.store.queue > MAX_QUEUE {
            return Err(format!("store.queue: expected at most {MAX_QUEUE}"));
        }
        // No byte is sent while a handler runs. A shorter idle timeout would close the connection of a slow request.
        if self.server.idle_timeout.duration() <= self.server.request_timeout.duration() {
            return Err("server.idle_timeout: expected longer than server.request_timeout".into());
        }
        if self.server.send_timeout.duration() < Duration::from_secs(1) {
            return Err("server.send_timeout: expected at least 1s".into());
        }
        if self.server.connection_responses.bytes() > self.server.responses.bytes() {
            return Err("server.connection_responses: expected at most server.responses".into());
        }
        if !(1..=100).contains(&self.limit.provider_share) {
            return Err("limit.provider_share: expected a percentage from 1 to 100".into());
        }
        if !(1..=self.page.max).contains(&self.page.size) {
            return Err("page.size: expected a number from 1 to page.max".into());
        }
        Ok(())
    }

    fn validate_providers(&self) -> Result<(), String> {
        let mut ids: Vec<i64> = self.provider.iter().map(|provider| provider.id).collect();
        ids.sort_unstable();
        if let Some([duplicate, _]) = ids.array_windows().find(|[id, next]| id == next) {
            return Err(format!(
                "provider: id: {duplicate} is used twice: expected a different id for each provider"
            ));
        }
        self.check_provider_settings(self.upstream.provider_limits())
    }

    /// Validates the settings of each provider. The error names the provider, the field and the expected value.
    pub(crate) fn check_provider_settings(&self, limits: ProviderLimits) -> Result<(), String> {
        self.provider.iter().try_for_each(|provider| provider.validate(limits))
    }
}
