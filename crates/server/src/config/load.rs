//! Loads the configuration from its layers: defaults, file, environment variables and flags.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::sections::Config;

/// The example file, which is compiled in as the defaults. The documented defaults are therefore the real ones.
const EXAMPLE: &str = include_str!("../../../../config.example.toml");

/// The reason why a configuration is invalid. The message names the place and the expected value.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file cannot be read.
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    /// The content is not TOML, or a key or value is invalid.
    #[error("{place}: {message}")]
    Content {
        /// The file, environment variable or flag that contains the error.
        place: String,
        /// The key and the expected value.
        message: String,
    },
}

impl ConfigError {
    fn content(place: &(impl ToString + ?Sized), message: &(impl ToString + ?Sized)) -> Self {
        Self::Content { place: place.to_string(), message: message.to_string() }
    }
}

impl Config {
    /// Merges the file (if there is one), environment variables and flags into the defaults, and validates the result.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Self, ConfigError> {
        let mut table = parse_toml("config.example.toml", EXAMPLE)?;
        let mut place = "configuration".to_owned();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::File { path: path.into(), source })?;
            place = path.display().to_string();
            merge(&mut table, parse_toml(&place, &text)?);
        }
        for (name, value) in environment {
            // Other variables of this prefix, such as `BOWLINE_CONFIG`, are not keys of the configuration.
            if let Some(key) = name.strip_prefix("BOWLINE_").filter(|key| key.contains("__")) {
                set_key(&mut table, &name, &key.to_lowercase().replace("__", "."), &value)?;
            }
        }
        for (key, value) in flags {
            set_key(&mut table, key, key, value)?;
        }
        let config: Self = Value::Table(table).try_into().map_err(|e| ConfigError::content(&place, &e))?;
        config.validate().map_err(|message| ConfigError::content(&place, &message))
    }
}

fn parse_toml(place: &str, text: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|error: toml::de::Error| {
        // `error.to_string()` would quote the line, which may contain a password.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        ConfigError::content(place, &format!("line {line}: {}", error.message()))
    })
}

/// Merges the configuration `over` into `base`. Tables are merged key by key; other values, including arrays, are
/// replaced.
fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Sets an existing key, such as `server.listen`, from text. The text is converted to the type of the default.
fn set_key(table: &mut Table, place: &str, dotted: &str, text: &str) -> Result<(), ConfigError> {
    let unknown = || ConfigError::content(place, &format!("unknown key {dotted}"));
    let (section, key) = dotted.split_once('.').ok_or_else(unknown)?;
    let section = table.get_mut(section).and_then(Value::as_table_mut).ok_or_else(unknown)?;
    let current = section.get_mut(key).ok_or_else(unknown)?;
    let invalid = |expected| ConfigError::content(place, &format!("expected {expected}"));
    *current = match current {
        Value::Integer(_) => Value::Integer(text.parse().map_err(|_| invalid("a number"))?),
        Value::Boolean(_) => Value::Boolean(text.parse().map_err(|_| invalid("true or false"))?),
        _ => Value::String(text.to_owned()),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::model::provider::GrantScope;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bowline.toml");
        std::fs::write(&file, text).unwrap();
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(Some(&file), environment, &[])
    }

    /// Returns the example with every optional key uncommented.
    fn uncomment_example() -> String {
        let lines = EXAMPLE.lines().map(|line| line.strip_prefix("#:").unwrap_or(line));
        lines.flat_map(|line| [line, "\n"]).collect()
    }

    #[test]
    fn config_example_is_default_and_parses_uncommented() {
        let config = load("", &[]).unwrap();
        assert_eq!(config.server.listen, "127.0.0.1:8400");
        let full = uncomment_example();
        assert_ne!(full, EXAMPLE);
        assert!(!load(&full, &[]).unwrap().provider.is_empty());
        let shared = full.replace("\"per_token\"\n", "\"per_client_customer\"\n");
        assert_ne!(shared, full);
        assert_eq!(
            load(&shared, &[]).unwrap().provider[0].settings.grant_scope,
            GrantScope::PerClientCustomer
        );
    }

    #[test]
    fn config_parse_error_does_not_show_content() {
        for (text, place) in [
            ("[store]\nurl = 'postgres://hub:hunter2@db", "line 2"),
            ("[store]\nurl = 'postgres://hub:hunter2@db' x", "line 2"),
            (
                "[store]\nurl = 'postgres://hub:hunter2@db/hub'\nurl = 'postgres://hub:hunter2@db/hub'",
                "line 3",
            ),
        ] {
            let error = load(text, &[]).unwrap_err().to_string();
            assert!(error.contains("bowline.toml") && error.contains(place), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn config_inline_secret_is_rejected_and_not_shown() {
        let text = uncomment_example().replace("{ env = \"MAPLE_CLIENT_SECRET\" }", "\"hunter2\"");
        let error = load(&text, &[]).unwrap_err().to_string();
        assert!(error.contains("provider 1000: client_secret: expected { file ="), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        for value in ["\"hunter2\"", "\"sealed\"", "[\"hunter2\"]"] {
            let text = uncomment_example().replace("{ env = \"RIDEAU_INITIAL_ACCESS_TOKEN\" }", value);
            let error = load(&text, &[]).unwrap_err().to_string();
            assert!(error.contains("provider 2000") && error.contains("dynamic_registration"), "{error}");
            assert!(!error.contains("hunter2"), "{value}: {error}");
        }
    }

    #[test]
    fn dynamic_registration_requires_client_per_registration() {
        let text = uncomment_example().replace("upstream_client = \"registration\"\n", "");
        let error = load(&text, &[]).unwrap_err().to_string();
        let expected = "provider 2000: dynamic_registration: needs upstream_client = \"registration\"";
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn config_zero_connections_or_queue_is_rejected() {
        for key in ["server.connections", "store.connections", "store.queue"] {
            let (section, name) = key.split_once('.').unwrap();
            let error = load(&format!("[{section}]\n{name} = 0"), &[]).unwrap_err().to_string();
            assert!(error.contains(&format!("{key}: expected at least 1")), "{error}");
        }
    }

    #[test]
    fn config_store_queue_above_maximum_is_rejected() {
        let load_queue = |number: u64| load(&format!("[store]\nqueue = {number}"), &[]);
        for number in [1_000_001, 9_223_372_036_854_775_807] {
            let error = load_queue(number).unwrap_err().to_string();
            assert!(error.contains("store.queue: expected at most 1000000"), "{error}");
        }
        assert_eq!(load_queue(1_000_000).unwrap().store.queue, 1_000_000);
    }

    #[test]
    fn config_log_level_that_is_no_filter_is_rejected() {
        let variable = ("BOWLINE_LOG__LEVEL", "warning");
        for loaded in [load("[log]\nlevel = 'warning'", &[]), load("", &[variable])] {
            let error = loaded.unwrap_err().to_string();
            assert!(error.contains("log.level: `warning` is not a level"), "{error}");
        }
    }

    #[test]
    fn https_url_requires_stated_number_of_proxies() {
        let https = "[server]\npublic_url = 'https://hub.example.org'";
        let proxies = |text: &str, environment: &[_]| {
            load(text, environment).map(|config| config.server.trusted_proxies.get())
        };

        let missing = load(https, &[]).unwrap_err().to_string();
        assert!(
            missing.contains("server.trusted_proxies: expected the number of reverse proxies"),
            "{missing}"
        );
        assert_eq!(proxies(&format!("{https}\ntrusted_proxies = 0"), &[]).unwrap(), 0);
        assert_eq!(proxies(https, &[("BOWLINE_SERVER__TRUSTED_PROXIES", "2")]).unwrap(), 2);
        assert_eq!(proxies("", &[]).unwrap(), 0);
        let wrong = proxies("", &[("BOWLINE_SERVER__TRUSTED_PROXIES", "-1")]).unwrap_err().to_string();
        assert!(wrong.contains("expected a number of reverse proxies"), "{wrong}");
    }

    #[test]
    fn config_later_layer_overrides_earlier() {
        let file = "[server]\nlisten = '127.0.0.1:1'\n[store]\nconnections = 3";
        let config = load(file, &[("BOWLINE_SERVER__LISTEN", "127.0.0.1:2"), ("BOWLINE_PATH", "x")]).unwrap();
        assert_eq!((config.server.listen.as_str(), config.store.connections), ("127.0.0.1:2", 3));
        let flags = [("server.listen", "127.0.0.1:3".to_owned())];
        assert_eq!(Config::load(None, std::iter::empty(), &flags).unwrap().server.listen, "127.0.0.1:3");
    }

    #[test]
    fn changed_keys_are_named_without_providers() {
        let old = load("", &[]).unwrap();
        let mut with_provider = load(&uncomment_example(), &[]).unwrap();
        let listed = with_provider.clone();
        with_provider.provider.clear();
        let changed = load("[limit]\nprovider_share = 60\n[store]\nurl = 'sqlite:other.db'", &[]).unwrap();

        assert_eq!(changed.list_changed_keys(&old), ["limit.provider_share", "store.url"]);
        assert!(with_provider.list_changed_keys(&listed).is_empty());
    }

    #[test]
    fn admin_socket_default_is_next_to_sqlite_store() {
        let socket = |text: &str| load(text, &[]).unwrap().admin_socket();
        assert_eq!(socket(""), Some("data/admin.sock".into()));
        assert_eq!(socket("[store]\nurl = 'sqlite:hub.db'"), Some("./admin.sock".into()));
        assert_eq!(socket("[store]\nurl = 'postgres://hub@db/hub'"), None);
        assert_eq!(socket("[server]\nadmin_socket = ''"), None);
        let named = "[server]\nadmin_socket = '/run/hub/s'\n[store]\nurl = 'postgres://hub@db/hub'";
        assert_eq!(socket(named), Some("/run/hub/s".into()));
    }

    #[test]
    fn config_error_names_place_and_expected_value() {
        let assert_error_contains = |text: &str, wanted: &str| {
            let error = load(text, &[]).unwrap_err().to_string();
            assert!(error.contains("bowline.toml") && error.contains(wanted), "{error}");
        };
        assert_error_contains("[server]\nlisten = 'nowhere'", "server.listen: expected an address");
        assert_error_contains("[server]\nlistn = 'x'", "listn");
        assert_error_contains(
            "[server]\nidle_timeout = '30s'",
            "idle_timeout: expected longer than server.request_timeout",
        );
        assert_error_contains("[token]\naccess_ttl = '301s'", "token.access_ttl: expected at most 300s");
        assert_error_contains("[token]\ncode_ttl = '2m'", "token.code_ttl: expected at most 60s");
        assert_error_contains(
            "[connection]\nmax_duration = '367d'",
            "connection.max_duration: expected at most 366d",
        );
        assert_error_contains("[page]\nmax = 0", "page.size: expected a number from 1 to page.max");
        assert_error_contains(
            "[limit]\nprovider_share = 0",
            "limit.provider_share: expected a percentage from 1 to 100",
        );
        assert_error_contains("[token]\naccess_ttl = 'soon'", "as in \"10s\"");
        assert_error_contains("[server]\nbody_limit = '64 apples'", "as in \"64KiB\"");
        assert_error_contains("[server]\npublic_url = 'http://hub.example.org'", "expected https");
        assert_error_contains("[store]\nurl = 'mysql://x'", "store.url: expected sqlite:PATH");
        let anonymous = uncomment_example()
            .replace("\"per_token\"\n", "\"per_client_customer\"\n")
            .replace("customer_identity = { token_field = \"customer_id\" }", "customer_identity = \"none\"");
        assert_error_contains(
            &anonymous,
            "provider 1000: grant_scope: per_client_customer needs a customer_identity",
        );
        let error = load("", &[("BOWLINE_STORE__CONNECTIONS", "many")]).unwrap_err().to_string();
        assert_eq!(error, "BOWLINE_STORE__CONNECTIONS: expected a number");
        let error = load("", &[("BOWLINE_STORE__COLOUR", "red")]).unwrap_err().to_string();
        assert_eq!(error, "BOWLINE_STORE__COLOUR: unknown key store.colour");
    }

    #[test]
    fn redacted_config_contains_no_password() {
        let config = load("[store]\nurl = 'postgres://hub:hunter2@db.example.org/hub'", &[]).unwrap();
        assert!(!toml::to_string(&config.to_redacted()).unwrap().contains("hunter2"));
        for url in [
            "postgres://hub:hunter2@one:5432,two:5432/hub",
            "postgres://hub@db.example.org/hub?sslmode=verify-ca&password=hunter2",
            "postgresql://db/hub?user=hub&pass%77ord=hunter2",
        ] {
            let redacted = load(&format!("[store]\nurl = '{url}'"), &[]).unwrap().to_redacted().store.url;
            assert!(!redacted.contains("hunter2") && redacted.starts_with("postgres"), "{redacted}");
        }
        let redacted =
            load("[store]\nurl = 'postgres://hub@db/hub?sslmode=verify-ca'", &[]).unwrap().to_redacted();
        assert_eq!(redacted.store.url, "postgres://hub@db/hub?sslmode=verify-ca");
        for url in [
            "postgres://hub:hunter2@[not an address/hub",
            "postgres://hub:hunter2@db.example.org/hub?sslmode=disable",
        ] {
            let error = load(&format!("[store]\nurl = '{url}'"), &[]).unwrap_err().to_string();
            assert!(error.contains("store.url: ") && !error.contains("hunter2"), "{error}");
        }
    }
}
