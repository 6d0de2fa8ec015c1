//! How a command reaches the operators' API: at a URL, through the socket of the hub that runs on this configuration,
//! or, where no hub runs, in this process, on the store itself. What is asked and answered is the same.

use std::fmt::Write;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use domain::Secret;
use http::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tower::ServiceExt;

use super::args::read_secret_input;
use super::output::escape_terminal;
use super::start::{DataLock, load_config, open_app_with_lock, parse_store_location, upsert_providers};
use super::{Browser, BrowserRequest, CliError, GlobalArgs};
use crate::app::App;
use crate::config::Config;
use crate::http::{current_user_id, local_request};
use crate::router::{admin_routes, build_service};
use crate::telemetry;

/// Which hub.
#[derive(clap::Args, Debug)]
pub(super) struct HubArgs {
    /// The operators' address of a hub, as in <http://127.0.0.1:8408>. Without it the hub that runs on this
    /// configuration is asked through its socket; if none runs, the store itself is used.
    #[arg(long, global = true, env = "BOWLINE_ADMIN_URL", value_name = "URL")]
    url: Option<String>,
    /// An operator's token for --url. Other users of the machine see what stands on a command line: better given by the
    /// environment, or by --token-file.
    #[arg(long, global = true, env = "BOWLINE_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// A file with an operator's token for --url, before any other; `-` is standard input.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<String>,
}

/// Commands of one kind, and which hub they are for.
#[derive(clap::Args, Debug)]
pub(super) struct WithHub<C: clap::Subcommand> {
    #[command(flatten)]
    pub(super) hub: HubArgs,
    #[command(subcommand)]
    pub(super) command: C,
}

/// The operators' API, within reach.
pub(super) struct AdminClient {
    transport: Transport,
    pub(super) globals: GlobalArgs,
}

enum Transport {
    /// Over the network, with a token.
    Url { browser: Browser, url: String, token: Secret<String> },
    /// Through the hub's own socket, for as long as an answer may take.
    Socket { socket: Socket, timeout: Duration },
    /// In this process, on a store that nobody else may open meanwhile.
    Store { app: App, _lock: DataLock },
}

/// The largest answer that is read.
const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;
/// How much longer than the hub gives itself an answer is waited for.
const RESPONSE_TIMEOUT_MARGIN: Duration = Duration::from_secs(10);

impl HubArgs {
    /// Finds the way.
    pub(super) async fn connect(self, globals: &GlobalArgs) -> Result<AdminClient, CliError> {
        let token = match self.token_file {
            Some(file) => Some(read_secret_input(&file, "--token-file")?),
            None => self.token.map(Secret::new),
        };
        let way = match (self.url, token) {
            (Some(url), Some(token)) => Transport::Url {
                browser: Browser::new().map_err(|e| CliError::Internal(e.into()))?,
                url: url.trim_end_matches('/').to_owned(),
                token,
            },
            (Some(_), None) => {
                return Err(CliError::Usage("--token: expected with --url, or --token-file".into()));
            }
            (None, Some(_)) => return Err(CliError::Usage("--url: expected with --token".into())),
            (None, None) => open_local_transport(load_config(globals, &[])?).await?,
        };
        Ok(AdminClient { transport: way, globals: globals.clone() })
    }
}

/// The way on this machine.
async fn open_local_transport(config: Config) -> Result<Transport, CliError> {
    let socket = config.admin_socket();
    if let Some(path) = &socket {
        let socket = Socket { path: path.clone(), hub_uid: read_owner_uid(&config.keys.file) };
        if connect_socket(&socket).await?.is_some() {
            let timeout = config.server.request_timeout.duration() + RESPONSE_TIMEOUT_MARGIN;
            return Ok(Transport::Socket { socket, timeout });
        }
    }
    let lock =
        DataLock::acquire(&parse_store_location(&config)?).map_err(|failure| match (failure, &socket) {
            (CliError::Unreachable(message), Some(path)) => CliError::Unreachable(format!(
                "{message}; nobody answers at {}, so a hub that runs is reached by --url and --token",
                path.display()
            )),
            (CliError::Unreachable(message), None) => {
                CliError::Unreachable(format!("{message}; a hub that runs is reached by --url and --token"))
            }
            (failure, _) => failure,
        })?;
    let mut log = config.log.clone();
    "error".clone_into(&mut log.level);
    telemetry::start_logs(&log).map_err(CliError::Usage)?;
    let app = open_app_with_lock(&lock, config).await?;
    upsert_providers(&app).await?;
    Ok(Transport::Store { app, _lock: lock })
}

/// A hub's own socket.
struct Socket {
    path: PathBuf,
    /// Whom the hub must run as, if it has run before: its keys are that user's alone.
    hub_uid: Option<u32>,
}

fn read_owner_uid(file: &Path) -> Option<u32> {
    std::fs::metadata(file).ok().map(|file| file.uid())
}

/// A connection to the hub at a socket; none if no hub is there.
async fn connect_socket(socket: &Socket) -> Result<Option<UnixStream>, CliError> {
    let path = &socket.path;
    let failed = |what: &dyn std::fmt::Display| CliError::Unreachable(format!("{}: {what}", path.display()));
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::InvalidInput => Ok(None),
                ErrorKind::PermissionDenied => Err(failed(
                    &"the hub is another user's: run this as that user or as root, or use --url and --token",
                )),
                _ => Err(failed(&error)),
            };
        }
    };
    let user = stream.peer_cred().map_err(|error| failed(&error))?.uid();
    if !is_trusted(user, current_user_id(), socket.hub_uid) {
        let neither = "which is neither you, nor root, nor the one whose the hub's keys are";
        return Err(failed(&format!("user {user} answers there, {neither}")));
    }
    Ok(Some(stream))
}

/// Whether secrets may be told to a user of this machine. Root asks hubs of other users too, but no stranger who was
/// first at the socket's place.
fn is_trusted(user: u32, own: u32, hub: Option<u32>) -> bool {
    user == own || user == 0 || (own == 0 && hub == Some(user))
}

impl AdminClient {
    /// Asks a path below `/admin/v1`, and gives the answer of one that did as it was asked.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, CliError> {
        let path = format!("/admin/v1{path}");
        let (status, text) = match &self.transport {
            Transport::Url { browser, url, token } => {
                let mut browser_request = BrowserRequest::new(method, &format!("{url}{path}"));
                (browser_request.bearer, browser_request.json) =
                    (Some(token.expose().clone()), body.cloned());
                let response = browser.send(browser_request).await;
                let response = response.map_err(|error| CliError::Unreachable(format!("{url}: {error}")))?;
                (response.status, response.body)
            }
            Transport::Socket { socket, timeout } => {
                let exchange = send_through_socket(socket, build_request(method, &path, body)?);
                let response = tokio::time::timeout(*timeout, exchange).await;
                let late =
                    || CliError::Unreachable(format!("{}: the hub does not answer", socket.path.display()));
                response.map_err(|_| late())??
            }
            Transport::Store { app, .. } => {
                let admin_request = local_request(build_request(method, &path, body)?);
                let Ok(response) = build_service(app, admin_routes()).oneshot(admin_request).await;
                read_response(response).await?
            }
        };
        parse_response(status, &text)
    }

    /// Looks.
    pub(super) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.call(Method::GET, path, None).await
    }

    /// Has something done that needs no words.
    pub(super) async fn post(&self, path: &str) -> Result<Value, CliError> {
        self.call(Method::POST, path, None).await
    }

    /// Has something done, or made.
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
    request.map_err(|e| CliError::Internal(e.into()))
}

/// Asks through a socket, on a connection of its own.
async fn send_through_socket(socket: &Socket, request: Request<Body>) -> Result<(u16, String), CliError> {
    let path = &socket.path;
    let failed = |error: hyper::Error| CliError::Unreachable(format!("{}: {error}", path.display()));
    let gone = || CliError::Unreachable(format!("{}: the hub has gone", path.display()));
    let stream = connect_socket(socket).await?.ok_or_else(gone)?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(failed)?;
    let driven = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(failed)?;
    let response = read_response(response.map(Body::new)).await;
    driven.abort();
    response
}

async fn read_response(response: Response) -> Result<(u16, String), CliError> {
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), MAX_RESPONSE_BYTES).await;
    let body = body.map_err(|error| CliError::Unreachable(format!("the answer broke off: {error}")))?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// What an answer comes to. Whose words these are is not known yet: they must not move a cursor.
fn parse_response(status: u16, text: &str) -> Result<Value, CliError> {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let mut detail = body["detail"].as_str().unwrap_or("this is no answer of a hub").to_owned();
    for pair in body["pairs"].as_array().into_iter().flatten() {
        let why = pair["detail"].as_str().unwrap_or_default();
        let _ = write!(
            detail,
            "; {} with {}: {why}",
            pair["client_id"].as_str().unwrap_or_default(),
            pair["provider_id"]
        );
    }
    let detail = escape_terminal(&detail);
    match StatusCode::from_u16(status) {
        Ok(StatusCode::OK | StatusCode::CREATED) if body.is_object() => Ok(body),
        Ok(StatusCode::NO_CONTENT) => Ok(Value::Null),
        Ok(StatusCode::NOT_FOUND | StatusCode::CONFLICT) => Err(CliError::Failed(detail)),
        Ok(StatusCode::INTERNAL_SERVER_ERROR) => Err(CliError::Internal(anyhow::Error::msg(detail))),
        Ok(status) if status.is_client_error() => Err(CliError::Usage(detail)),
        _ => Err(CliError::Unreachable(format!("{status}: {detail}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_is_trusted_for_own_user_and_root_only() {
        for (user, own, hub) in [(0, 0, None), (0, 1000, None), (1000, 1000, None), (1000, 0, Some(1000))] {
            assert!(is_trusted(user, own, hub), "{own} asks {user}");
        }
        for (user, own, hub) in
            [(1001, 1000, None), (1001, 1000, Some(1001)), (1001, 0, None), (1001, 0, Some(1000))]
        {
            assert!(!is_trusted(user, own, hub), "{own} does not tell {user}");
        }
    }

    #[test]
    fn response_status_determines_exit_code() {
        let code =
            |status, text: &str| parse_response(status, text).map_err(|failure| failure.exit_code()).err();
        assert_eq!([code(200, "{}"), code(201, "{}"), code(204, "")], [None; 3]);
        for (status, expected) in [
            (400, 2),
            (401, 2),
            (403, 2),
            (404, 1),
            (409, 1),
            (413, 2),
            (415, 2),
            (500, 70),
            (503, 3),
            (502, 3),
        ] {
            assert_eq!(code(status, r#"{"detail":"why"}"#), Some(expected), "{status}");
        }
        assert_eq!(code(200, "<html>"), Some(3), "a page of somebody else");
        let pairs = r#"{"detail":"none","pairs":[{"client_id":"dc-1","provider_id":7,"detail":"why"}]}"#;
        assert_eq!(parse_response(409, pairs).unwrap_err().to_string(), "none; dc-1 with 7: why");
        assert_eq!(
            parse_response(400, r#"{"detail":"name: expected a text"}"#).unwrap_err().to_string(),
            "name: expected a text"
        );
    }
}
