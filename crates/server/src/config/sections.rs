//! The sections of the configuration. `config.example.toml` explains each key.

use std::path::PathBuf;

use domain::rule::provider::ProviderLimits;
use serde::{Deserialize, Serialize};

use super::provider::ProviderEntry;
use super::units::{ByteSize, HumanDuration, ProxyCount};

/// The complete configuration of a hub.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is explained in config.example.toml")]
pub struct Config {
    pub server: ServerSection,
    pub store: StoreSection,
    pub keys: KeysSection,
    pub token: TokenSection,
    pub connection: ConnectionSection,
    pub page: PageSection,
    pub upstream: UpstreamSection,
    pub limit: LimitSection,
    pub job: JobSection,
    pub log: LogSection,
    #[serde(default)]
    pub provider: Vec<ProviderEntry>,
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "each key is explained in config.example.toml")]
        pub struct $name { $(pub $field: $type),+ }
    };
}

/// The header to which proxies append the address of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAddressHeader {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

section! {
    /// Addresses, and limits of connections and requests.
    ServerSection {
        public_url: String, listen: String, admin_listen: String, admin_socket: String, probe_listen: String,
        body_limit: ByteSize, header_timeout: HumanDuration,
        request_timeout: HumanDuration, idle_timeout: HumanDuration, send_timeout: HumanDuration,
        shutdown_grace: HumanDuration, connections: usize, network_connections: usize,
        connection_responses: ByteSize, responses: ByteSize,
        clock_settle: HumanDuration, trusted_proxies: ProxyCount, client_address_header: ClientAddressHeader,
    }
}
section! {
    /// The database, the limits of its connections, of the queue for commands and of the access map, and the settings of
    /// PostgreSQL.
    StoreSection { url: String, password_file: String, allow_plaintext: bool, synchronous_commit: String,
        connections: usize, queue: usize, access_map_size: ByteSize, lease: HumanDuration,
    }
}
section! {
    /// The location of the file with the hub's keys, and the protection of the keys in memory.
    KeysSection { file: PathBuf, allow_core_dumps: bool }
}
section! {
    /// Lifetimes of the tokens and codes that the hub issues.
    TokenSection { access_ttl: HumanDuration, code_ttl: HumanDuration, refresh_idle: HumanDuration }
}
section! {
    /// Limits of customers' connections: how long they last, how far back data is served, and how many end by expiry while the
    /// time is doubtful.
    ConnectionSection { max_duration: HumanDuration, history: HumanDuration, doubtful_ends: u32 }
}
section! {
    /// Page sizes of lists, and the lifetime of cursors.
    PageSection { size: u32, max: u32, cursor_ttl: HumanDuration }
}
section! {
    /// Limits of calls to providers, and their circuit breakers.
    UpstreamSection { connect_timeout: HumanDuration, timeout: HumanDuration, max_body: ByteSize, statement_timeout: HumanDuration,
        max_statement: ByteSize, allow_loopback: bool,
        breaker_failures: u32, breaker_open: HumanDuration, invalid_grant_delay: HumanDuration,
    }
}
section! {
    /// Rate limits in requests per minute, all of which may come in one burst. `provider_share` is a percentage.
    /// `documents` and `recipient_documents` are numbers of documents that are sent at the same time, and `partner_recipients` is
    /// a number of recipients. Zero means no limit.
    LimitSection { recipient: u32, connection: u32, provider: u32, provider_share: u32, token: u32, revoke: u32,
        management: u32, operator: u32, login: u32, failed_authentication: u32, documents: u32, recipient_documents: u32,
        partner_recipients: u32,
    }
}
section! {
    /// The number of concurrent jobs in total and for one endpoint of a provider, and the polling interval.
    JobSection { workers: usize, provider_workers: usize, poll: HumanDuration }
}
section! {
    /// The format and the level of the log.
    LogSection { format: LogFormat, level: String }
}

impl UpstreamSection {
    /// Returns the limits that the settings of each provider must keep.
    pub fn provider_limits(&self) -> ProviderLimits {
        ProviderLimits { allow_loopback: self.allow_loopback, max_timeout: self.timeout.duration() }
    }
}

/// The format of log lines: JSON for programs, or text for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for a terminal, one line per event.
    Text,
}
