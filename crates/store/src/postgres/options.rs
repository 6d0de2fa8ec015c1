//! The URL of a PostgreSQL database: its parameters have the names, units and meanings that libpq documents.
//!
//! tokio-postgres parses most of them, but it counts `tcp_user_timeout` in seconds, calls `keepalives_count` by another
//! name, knows no files of TLS, and waits without a limit by default. These parameters are therefore read here.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host, SslMode};

use crate::settings::PostgresSettings;

/// The default of `connect_timeout`, the limit of a TCP connection attempt to one host.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The default of `tcp_user_timeout`: after sent data was not acknowledged for this time, the connection is closed.
const DEFAULT_TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);
/// The default of `keepalives_idle`. With the other two defaults, a connection whose peer has disappeared is closed
/// eleven seconds after the last traffic, before a request uses it.
const DEFAULT_KEEPALIVES_IDLE: Duration = Duration::from_secs(5);
const DEFAULT_KEEPALIVES_INTERVAL: Duration = Duration::from_secs(2);
const DEFAULT_KEEPALIVES_COUNT: u32 = 3;

/// The parameters that are passed to tokio-postgres unchanged, because it handles them as libpq does.
const PASSED_ON: [&str; 10] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "application_name",
    "options",
    "target_session_attrs",
    "load_balance_hosts",
];

impl PostgresSettings {
    /// Checks the URL and its parameters without connecting. The error names the parameter and what was expected, and
    /// quotes no value.
    pub fn check(&self) -> Result<(), String> {
        ConnectOptions::parse(self).map(drop)
    }
}

/// The parsed URL of a database, in the form in which the driver and the TLS client need it.
#[derive(Debug)]
pub(super) struct ConnectOptions {
    pub(super) config: Config,
    /// The TLS settings; `None` if the connection is not encrypted.
    pub(super) tls: Option<TlsOptions>,
    /// The limit for opening a connection: to each host in turn, with the TLS handshake, the authentication and the
    /// settings of the session.
    pub(super) connect_limit: Duration,
}

/// The certificates that a TLS connection to PostgreSQL uses, and the check of the server's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TlsOptions {
    /// True if the certificate of the server must contain the host's name (`verify-full`); false if it must only be
    /// signed by a trusted authority (`verify-ca`).
    pub(super) verify_name: bool,
    /// The file with the certificates of trusted authorities, or `None` for those of the system.
    pub(super) root_file: Option<PathBuf>,
    /// The files with the client's certificate and its key.
    pub(super) client_files: Option<(PathBuf, PathBuf)>,
}

/// The parameters of the URL that this module evaluates itself, because tokio-postgres does not.
#[derive(Default)]
struct OwnParams {
    sslmode: Option<String>,
    sslrootcert: Option<String>,
    sslcert: Option<String>,
    sslkey: Option<String>,
}

impl ConnectOptions {
    /// Parses the URL. An error names the parameter and what was expected; it never quotes the URL, which may contain a
    /// password.
    pub(super) fn parse(settings: &PostgresSettings) -> Result<Self, String> {
        let (base, query) = settings.url.expose().split_once('?').unwrap_or((settings.url.expose(), ""));
        let params = query.split('&').filter(|param| !param.is_empty()).map(parse_param);
        let params = params.collect::<Result<Vec<_>, _>>()?;
        let mut config = parse_base(base, &params)?;
        set_defaults(&mut config);
        let mut own = OwnParams::default();
        for param in params.iter().filter(|param| !PASSED_ON.contains(&param.name.as_str())) {
            own.apply(param, &mut config)?;
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("expected a host, as in postgres://USER@HOST/DATABASE".into());
        }
        let tls = own.into_tls(is_local(&config), settings.allow_plaintext)?;
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        let hosts = config.get_hosts().len().max(config.get_hostaddrs().len()).max(1);
        let connect_timeout = config.get_connect_timeout().copied().unwrap_or(DEFAULT_CONNECT_TIMEOUT);
        let hosts = u32::try_from(hosts).unwrap_or(u32::MAX);
        // Two seconds for everything after the TCP connection: a server that accepts it may still not respond.
        let connect_limit = connect_timeout.saturating_mul(hosts) + Duration::from_secs(2);
        Ok(Self { config, tls, connect_limit })
    }
}

struct Param<'a> {
    name: String,
    value: String,
    /// The parameter as it appears in the URL.
    encoded: &'a str,
}

fn parse_param(encoded: &str) -> Result<Param<'_>, String> {
    let (name, value) = encoded.split_once('=').ok_or("expected parameters of the form NAME=VALUE")?;
    // Not form encoding: libpq does not decode `+`.
    let decode = |text| percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned);
    let name = decode(name).map_err(|_| "expected parameter names in UTF-8")?;
    let value = decode(value).map_err(|_| format!("{}: expected UTF-8", name.escape_debug()))?;
    Ok(Param { name, value, encoded })
}

/// Parses the URL with those parameters that tokio-postgres handles.
fn parse_base(base: &str, params: &[Param<'_>]) -> Result<Config, String> {
    let passed_on =
        params.iter().filter(|param| PASSED_ON.contains(&param.name.as_str())).map(|param| param.encoded);
    let query = passed_on.collect::<Vec<_>>().join("&");
    let url = if query.is_empty() { base.to_owned() } else { format!("{base}?{query}") };
    // The parse error is dropped, because it may quote the password.
    url.parse().map_err(|_| "expected a URL of the form postgres://USER@HOST/DATABASE?NAME=VALUE".to_owned())
}

fn set_defaults(config: &mut Config) {
    config
        .connect_timeout(DEFAULT_CONNECT_TIMEOUT)
        .tcp_user_timeout(DEFAULT_TCP_USER_TIMEOUT)
        .keepalives(true)
        .keepalives_idle(DEFAULT_KEEPALIVES_IDLE)
        .keepalives_interval(DEFAULT_KEEPALIVES_INTERVAL)
        .keepalives_retries(DEFAULT_KEEPALIVES_COUNT);
    if config.get_application_name().is_none() {
        config.application_name("bowline");
    }
}

impl OwnParams {
    fn apply(&mut self, param: &Param<'_>, config: &mut Config) -> Result<(), String> {
        let seconds = || parse_number(param, "a number of seconds from 1 to 3600", 1..=3_600);
        match param.name.as_str() {
            "connect_timeout" => {
                let limit = parse_number(param, "a number of seconds from 1 to 60", 1..=60)?;
                config.connect_timeout(Duration::from_secs(limit));
            }
            "tcp_user_timeout" => {
                let limit = parse_number(param, "a number of milliseconds from 1 to 60000", 1..=60_000)?;
                config.tcp_user_timeout(Duration::from_millis(limit));
            }
            "keepalives" => {
                config.keepalives(parse_number(param, "0 or 1", 0..=1)? == 1);
            }
            "keepalives_idle" => {
                config.keepalives_idle(Duration::from_secs(seconds()?));
            }
            "keepalives_interval" => {
                config.keepalives_interval(Duration::from_secs(seconds()?));
            }
            "keepalives_count" => {
                let count = parse_number(param, "a number from 1 to 100", 1..=100)?;
                config.keepalives_retries(u32::try_from(count).unwrap_or(DEFAULT_KEEPALIVES_COUNT));
            }
            "channel_binding" => {
                config.channel_binding(match param.value.as_str() {
                    "disable" => ChannelBinding::Disable,
                    "prefer" => ChannelBinding::Prefer,
                    "require" => ChannelBinding::Require,
                    _ => return Err("channel_binding: expected disable, prefer or require".into()),
                });
            }
            "sslmode" => self.sslmode = Some(param.value.clone()),
            "sslrootcert" => self.sslrootcert = Some(param.value.clone()),
            "sslcert" => self.sslcert = Some(param.value.clone()),
            "sslkey" => self.sslkey = Some(param.value.clone()),
            _ => return Err(format!("{}: this parameter is not supported", param.name.escape_debug())),
        }
        Ok(())
    }

    /// Decides on TLS. Without `sslmode`, a server on this machine is used without TLS unless files for TLS are named, and
    /// any other with `verify-full`.
    fn into_tls(self, is_local: bool, allow_plaintext: bool) -> Result<Option<TlsOptions>, String> {
        let names_files = [&self.sslrootcert, &self.sslcert, &self.sslkey].into_iter().any(Option::is_some);
        let default = if is_local && !names_files { "disable" } else { "verify-full" };
        let client_files = match (self.sslcert, self.sslkey) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            _ => return Err("sslcert and sslkey: expected both or none".into()),
        };
        let verify_name = match self.sslmode.as_deref().unwrap_or(default) {
            "disable" if is_local || allow_plaintext => return Ok(None),
            "disable" => {
                return Err("sslmode: a server on another machine needs verify-full, or \
                            store.allow_plaintext = true in a network that you trust"
                    .into());
            }
            "verify-full" => true,
            "verify-ca" => false,
            // libpq falls back to an unencrypted connection with the first two, and verifies nothing with the third: an
            // attacker on the way to the database could then read and change everything.
            "allow" | "prefer" | "require" => {
                return Err("sslmode: expected disable, verify-ca or verify-full; other modes do not \
                            authenticate the server"
                    .into());
            }
            _ => return Err("sslmode: expected disable, verify-ca or verify-full".into()),
        };
        let root_file = self.sslrootcert.filter(|file| file != "system").map(PathBuf::from);
        Ok(Some(TlsOptions { verify_name, root_file, client_files }))
    }
}

fn parse_number(
    param: &Param<'_>,
    expected: &str,
    range: std::ops::RangeInclusive<u64>,
) -> Result<u64, String> {
    let number = param.value.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("{}: expected {expected}", param.name))
}

/// Returns whether every host is this machine: a loopback address or a Unix socket.
fn is_local(config: &Config) -> bool {
    let is_local_host = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
    };
    // `hostaddr` is the address that is used; `host` is then only the name in the certificate.
    match config.get_hostaddrs() {
        [] => config.get_hosts().iter().all(is_local_host),
        addresses => addresses.iter().all(IpAddr::is_loopback),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<ConnectOptions, String> {
        ConnectOptions::parse(&PostgresSettings::new(url))
    }

    #[test]
    fn postgres_url_parameters_have_names_and_units_of_libpq() {
        let url = "postgres://hub@127.0.0.1/hub?connect_timeout=2&tcp_user_timeout=2500&keepalives=0\
                   &keepalives_idle=7&keepalives_interval=3&keepalives_count=9&channel_binding=require";

        let config = parse(url).unwrap().config;

        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(2)));
        assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_millis(2_500)));
        assert!(!config.get_keepalives());
        assert_eq!(config.get_keepalives_idle(), Duration::from_secs(7));
        assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(3)));
        assert_eq!(config.get_keepalives_retries(), Some(9));
        assert_eq!(config.get_channel_binding(), ChannelBinding::Require);
    }

    #[test]
    fn postgres_connection_waits_are_limited_by_default() {
        let options = parse("postgres://hub@127.0.0.1,127.0.0.2/hub").unwrap();

        let config = &options.config;
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_secs(5)));
        assert!(config.get_keepalives());
        assert_eq!(config.get_keepalives_idle(), Duration::from_secs(5));
        assert_eq!(options.connect_limit, Duration::from_secs(8), "three seconds for each of the two hosts");
    }

    #[test]
    fn postgres_on_other_machine_requires_tls_unless_allowed() {
        for url in [
            "postgres://hub@db.example.org/hub?sslmode=disable",
            "postgres://hub@127.0.0.1,db.example.org/hub?sslmode=disable",
            "postgres://hub@localhost/hub?hostaddr=10.0.0.1&sslmode=disable",
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.contains("store.allow_plaintext"), "{url}: {error}");
            let allowed = PostgresSettings { allow_plaintext: true, ..PostgresSettings::new(url) };
            assert_eq!(ConnectOptions::parse(&allowed).unwrap().tls, None, "{url}");
        }
        for url in [
            "postgres://hub@localhost/hub",
            "postgres://hub@[::1]:5433/hub?sslmode=disable",
            "postgres:///hub?host=/run/postgresql&user=hub",
            "postgres://hub@%2Frun%2Fpostgresql/hub",
        ] {
            assert_eq!(parse(url).unwrap().tls, None, "{url}");
        }
    }

    #[test]
    fn postgres_tls_verifies_the_server_name_by_default() {
        let full = parse("postgres://hub@db.example.org/hub").unwrap();
        let files = "postgres://db/hub?sslmode=verify-ca&sslrootcert=/ca%20x.pem&sslcert=c.pem&sslkey=k.pem";
        let ca = parse(files).unwrap();

        let default = TlsOptions { verify_name: true, root_file: None, client_files: None };
        assert_eq!(full.tls, Some(default));
        let local = parse("postgres://hub@127.0.0.1/hub?sslrootcert=ca.pem").unwrap().tls;
        assert!(local.is_some_and(|tls| tls.verify_name), "a file for TLS is never ignored");
        assert_eq!(full.config.get_ssl_mode(), SslMode::Require, "the connection never falls back");
        let expected = TlsOptions {
            verify_name: false,
            root_file: Some("/ca x.pem".into()),
            client_files: Some(("c.pem".into(), "k.pem".into())),
        };
        assert_eq!(ca.tls, Some(expected));
    }

    #[test]
    fn invalid_postgres_url_parameter_is_named_without_value() {
        for (query, expected) in [
            ("connect_timeout=0", "connect_timeout: expected a number of seconds"),
            ("tcp_user_timeout=2s", "tcp_user_timeout: expected a number of milliseconds"),
            ("sslmode=prefer", "sslmode: expected disable, verify-ca or verify-full"),
            ("sslcert=hunter2", "sslcert and sslkey: expected both"),
            ("pool_mode=transaction", "pool_mode: this parameter is not supported"),
            ("port=hunter2", "expected a URL of the form"),
            ("hunter2", "NAME=VALUE"),
        ] {
            let error = parse(&format!("postgres://hub:hunter2@127.0.0.1/hub?{query}")).unwrap_err();

            assert!(error.contains(expected), "{query}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
