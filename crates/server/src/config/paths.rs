//! Derives from the configuration the path of the admin socket, the location of the store, and a copy without
//! passwords.

use std::path::{Path, PathBuf};

use store::{Location, PostgresSettings};

use super::sections::Config;

impl Config {
    /// Returns the path of the Unix socket for operators on this machine, if there is one.
    ///
    /// The setting `auto` selects `admin.sock` next to a SQLite store, and no socket for a PostgreSQL store, which has
    /// no folder.
    pub fn admin_socket(&self) -> Option<PathBuf> {
        match (self.server.admin_socket.as_str(), Location::parse(&self.store.url)) {
            ("auto", Some(Location::Sqlite(path))) => Some(store_folder(&path).join("admin.sock")),
            ("" | "auto", _) => None,
            (path, _) => Some(path.into()),
        }
    }

    /// Returns the location of the store with the settings of its connections. The error names the key and what was
    /// expected.
    pub fn store_location(&self) -> Result<Location, String> {
        let location = Location::parse(&self.store.url)
            .ok_or("store.url: expected sqlite:PATH or postgres://USER@HOST/DATABASE")?;
        let Location::Postgres(settings) = location else { return Ok(location) };
        let settings = PostgresSettings {
            password_file: Some(self.store.password_file.as_str())
                .filter(|file| !file.is_empty())
                .map(PathBuf::from),
            allow_plaintext: self.store.allow_plaintext,
            synchronous_commit: self
                .store
                .synchronous_commit
                .parse()
                .map_err(|_| "store.synchronous_commit: expected on, remote_write or remote_apply")?,
            ..settings
        };
        settings.check().map_err(|error| format!("store.url: {error}"))?;
        Ok(Location::Postgres(settings))
    }

    /// Returns a copy without passwords, for display. Secrets of providers are only references to files or environment
    /// variables.
    pub fn to_redacted(&self) -> Self {
        let mut redacted = self.clone();
        if !redacted.store.url.starts_with("sqlite:") {
            redacted.store.url = redact_url(&redacted.store.url);
        }
        redacted
    }
}

/// Returns the folder of a SQLite store. A symbolic link is resolved: SQLite keeps its other files next to the target.
pub fn store_folder(store: &Path) -> PathBuf {
    let path = if store.is_symlink() { store.canonicalize() } else { Ok(store.to_owned()) };
    let path = path.unwrap_or_else(|_| store.to_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Removes the password from the URL of a database. A URL that cannot be parsed is replaced completely.
fn redact_url(text: &str) -> String {
    let fully_redacted = || "postgres://redacted".to_owned();
    let Ok(mut url) = url::Url::parse(text) else { return fully_redacted() };
    if url.password().is_some() && url.set_password(Some("redacted")).is_err() {
        return fully_redacted();
    }
    // PostgreSQL accepts the password as a parameter too.
    if url.query_pairs().any(|(name, _)| name.contains("password")) {
        url.set_query(Some("redacted"));
    }
    url.into()
}
