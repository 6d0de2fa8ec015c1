//! The client with which commands call the admin API: at a URL, through the socket of the hub that runs with the same
//! configuration, or, if no hub runs, in this process on the store. Requests and responses are the same in all three
//! cases.

mod response;
mod socket;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use axum::body::Body;
use domain::Secret;
use http::{Method, Request, header};
use serde_json::Value;
use store::Location;
use url::{Host, Url};

use super::args::read_secret_input;
use super::browser::{Browser, BrowserRequest};
use super::data_lock::DataLock;
use super::error::CliError;
use super::globals::{DEFAULT_CONFIG_FILE, GLOBAL_HEADING, GlobalArgs};
use super::hub::{open_existing_app, parse_store_location, upsert_providers};
use super::output::Output;
use crate::app::App;
use crate::config::Config;
use crate::http::{HostPolicy, RemotePeer};
use crate::router::{admin_routes, build_service};
use crate::telemetry;
use response::{parse_response, read_response};
use socket::AdminSocket;

/// The flags that select the hub which a command calls, and the operator token for it.
#[derive(clap::Args, Debug)]
pub(super) struct HubArgs {
    /// URL of a hub's admin API, such as `http://127.0.0.1:8408` [default: the socket of the hub that runs with this
    /// configuration, or its store if no hub runs]
    #[arg(long, global = true, help_heading = GLOBAL_HEADING, env = "BOWLINE_ADMIN_URL", value_name = "URL")]
    url: Option<String>,
    /// Operator token for --url, whose role must allow the command; other users of this machine can see the command
    /// line, so prefer --token-file or the environment
    // A token is encoded in base64url, so one of 64 begins with a hyphen.
    #[arg(long, global = true, help_heading = GLOBAL_HEADING, env = "BOWLINE_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN", allow_hyphen_values = true)]
    token: Option<String>,
    /// File with an operator token for --url, or `-` for standard input; takes precedence over --token
    #[arg(long, global = true, help_heading = GLOBAL_HEADING, value_name = "FILE")]
    token_file: Option<String>,
    /// Send the operator token without encryption to a machine other than this one, for a network that is protected otherwise
    #[arg(long, global = true, help_heading = GLOBAL_HEADING, env = "BOWLINE_ADMIN_ALLOW_PLAINTEXT")]
    allow_plaintext: bool,
}

/// A group of commands together with the flags that select the hub.
#[derive(clap::Args, Debug)]
pub(super) struct WithHub<C: clap::Subcommand> {
    #[command(flatten)]
    pub(super) hub: HubArgs,
    #[command(subcommand)]
    pub(super) command: C,
}

/// A connection to the admin API, and the output of the command that uses it.
pub(super) struct AdminClient {
    transport: Transport,
    pub(super) output: Output,
}

enum Transport {
    /// HTTP requests to a URL, with an operator token.
    Url { browser: Browser, url: String, token: Secret<String> },
    /// HTTP requests through the admin socket of a hub on this machine.
    Socket { socket: AdminSocket, timeout: Duration },
    /// Requests that this process handles itself. The lock keeps other processes from opening a SQLite store.
    Store { app: App, _lock: DataLock },
}

/// The time that a response may take in addition to the hub's own request timeout.
const RESPONSE_TIMEOUT_MARGIN: Duration = Duration::from_secs(10);

impl HubArgs {
    /// Connects to the hub: at the URL if one is given, otherwise through its socket or on its store.
    pub(super) async fn connect(self, globals: &GlobalArgs) -> Result<AdminClient, CliError> {
        let token = match self.token_file {
            Some(file) => Some(read_secret_input(&file, "--token-file")?),
            None => self.token.map(Secret::new),
        };
        let transport = match (self.url, token) {
            (Some(url), Some(token)) => {
                ensure_encrypted(&url, self.allow_plaintext)?;
                let browser = Browser::new().context("cannot create an HTTP client")?;
                Transport::Url { browser, url: url.trim_end_matches('/').to_owned(), token }
            }
            (Some(_), None) => {
                return Err(CliError::Usage("--token: expected with --url, or --token-file".into()));
            }
            (None, Some(_)) => return Err(CliError::Usage("--url: expected with --token".into())),
            (None, None) => open_local_transport(globals).await?,
        };
        Ok(AdminClient { transport, output: Output::new(globals) })
    }
}

/// Ensures that an operator token is not sent over a network without encryption, unless the operator allows it.
fn ensure_encrypted(url: &str, allow_plaintext: bool) -> Result<(), CliError> {
    let parsed = Url::parse(url).map_err(|_| {
        CliError::Usage("--url: expected an absolute URL, as in https://hub.example.org".into())
    })?;
    let is_loopback = match parsed.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match parsed.scheme() {
        "https" => Ok(()),
        "http" if is_loopback || allow_plaintext => Ok(()),
        "http" => Err(CliError::Usage(format!(
            "--url: the operator token would be sent to {} without encryption: use https, or --allow-plaintext if \
             the network is protected otherwise",
            parsed.host_str().unwrap_or_default()
        ))),
        _ => Err(CliError::Usage("--url: expected https, or http on loopback".into())),
    }
}

/// Connects to the admin socket that the configuration names, or opens the store if no hub listens there.
async fn open_local_transport(globals: &GlobalArgs) -> Result<Transport, CliError> {
    let config = globals.load_config(&[])?;
    let socket = config.admin_socket().map(|path| AdminSocket::new(path, &config.keys.file));
    let socket = match socket {
        Some(socket) if socket.connect().await?.is_some() => {
            let timeout = config.server.request_timeout.duration() + RESPONSE_TIMEOUT_MARGIN;
            return Ok(Transport::Socket { socket, timeout });
        }
        unused => unused,
    };
    let searched = SearchedPlaces::new(globals, &config, socket.as_ref());
    let location = parse_store_location(&config)?;
    // Acquiring the lock would create the folder of the store, so the store is checked first.
    if let Location::Sqlite(path) = &location
        && !path.exists()
    {
        return Err(searched.no_hub_error(path));
    }
    let lock = DataLock::acquire(&location).map_err(|error| searched.explain(error))?;
    // Only errors are logged, because the other log messages of a hub would hide the result of the command.
    let mut log = config.log.clone();
    "error".clone_into(&mut log.level);
    telemetry::start_logs(&log, globals.use_color_for(&std::io::stderr())).map_err(CliError::Usage)?;
    let app = open_existing_app(config).await.map_err(|error| searched.explain(error))?;
    upsert_providers(&app, &app.config().provider).await?;
    Ok(Transport::Store { app, _lock: lock })
}

/// The places in which a command has looked for a hub, for its error messages.
struct SearchedPlaces {
    configuration: String,
    socket: String,
}

impl SearchedPlaces {
    fn new(globals: &GlobalArgs, config: &Config, socket: Option<&AdminSocket>) -> Self {
        let configuration = match globals.config_file() {
            Some(file) => format!("configuration {}", absolute(&file)),
            None => {
                format!("no configuration: {} does not exist", absolute(Path::new(DEFAULT_CONFIG_FILE)))
            }
        };
        let socket = match socket {
            Some(socket) => format!("no hub listens at the socket {}", absolute(socket.path())),
            None if config.server.admin_socket.is_empty() => "server.admin_socket is turned off".to_owned(),
            None => "server.admin_socket is not set".to_owned(),
        };
        Self { configuration, socket }
    }

    /// Creates the error for a SQLite store that does not exist.
    fn no_hub_error(&self, store: &Path) -> CliError {
        CliError::Unreachable(format!(
            "there is no hub here: {}, and the store {} does not exist ({}).\n\
             Name another hub by --config FILE, by --url URL and --token-file FILE, or by BOWLINE_STORE__URL; \
             `bowline serve` creates a new one.",
            self.socket,
            absolute(store),
            self.configuration
        ))
    }

    /// Appends the searched places to an error about an existing store. An internal error is returned unchanged.
    fn explain(&self, error: CliError) -> CliError {
        match error {
            CliError::Internal(_) => error,
            error => error.with_message(&format!(
                "{} ({}); name another hub by --config FILE, or by --url URL and --token-file FILE",
                self.socket, self.configuration
            )),
        }
    }
}

/// Returns the absolute form of a path, so that a message does not depend on the working directory.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

impl AdminClient {
    /// Sends a request to a path below `/admin/v1` and returns the body of a successful response.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, CliError> {
        let path = format!("/admin/v1{path}");
        let response = match &self.transport {
            Transport::Url { browser, url, token } => {
                let mut request = BrowserRequest::new(method, &format!("{url}{path}"));
                (request.bearer, request.json) = (Some(token.expose().clone()), body.cloned());
                let response = browser.send(request).await;
                let response = response.map_err(|error| CliError::Unreachable(format!("{url}: {error}")))?;
                (response.status, response.body)
            }
            Transport::Socket { socket, timeout } => {
                let response = socket.send(build_request(method, &path, body)?);
                tokio::time::timeout(*timeout, response)
                    .await
                    .map_err(|_| socket.unreachable("the hub does not respond"))??
            }
            Transport::Store { app, .. } => {
                let (service, request) = (
                    build_service(app, admin_routes(), HostPolicy::Any),
                    build_request(method, &path, body)?,
                );
                let response = service.handle(request, Some(RemotePeer::own_process())).await;
                read_response(response).await?
            }
        };
        parse_response(&response)
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.call(Method::GET, path, None).await
    }

    /// Sends a POST request without a body.
    pub(super) async fn post(&self, path: &str) -> Result<Value, CliError> {
        self.call(Method::POST, path, None).await
    }

    pub(super) async fn post_json(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.call(Method::POST, path, Some(body)).await
    }
}

fn build_request(method: Method, path: &str, body: Option<&Value>) -> Result<Request<Body>, CliError> {
    let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
    let request = match body {
        Some(body) => {
            request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string()))
        }
        None => request.body(Body::empty()),
    };
    Ok(request.context("cannot build a request")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operator_token_is_sent_encrypted_or_on_loopback() {
        let is_sent = |url: &str, allow_plaintext| ensure_encrypted(url, allow_plaintext).is_ok();

        for url in [
            "https://hub.example.org",
            "http://127.0.0.1:8408",
            "http://127.9.9.9",
            "http://[::1]:8408",
            "http://localhost:8408/",
        ] {
            assert!(is_sent(url, false), "{url}");
        }
        for url in ["http://hub.example.org", "http://10.0.0.1:8408", "http://localhost.example.org"] {
            assert!(!is_sent(url, false) && is_sent(url, true), "{url}");
        }
        for url in ["hub.example.org", "ftp://127.0.0.1", "unix:/run/admin.sock"] {
            assert!(!is_sent(url, true), "{url}");
        }
    }
}
