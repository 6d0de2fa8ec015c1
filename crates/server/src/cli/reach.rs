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

use super::given::secret_of;
use super::show::plain;
use super::start::{DataLock, load, location, opened_under, upsert_providers};
use super::{Browser, Failure, Globals, Sent};
use crate::app::App;
use crate::config::Config;
use crate::telemetry;
use crate::web::{admin_table, own_request, own_user, service};

/// Which hub.
#[derive(clap::Args, Debug)]
pub(super) struct Hub {
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
pub(super) struct For<C: clap::Subcommand> {
    #[command(flatten)]
    pub(super) hub: Hub,
    #[command(subcommand)]
    pub(super) command: C,
}

/// The operators' API, within reach.
pub(super) struct Desk {
    way: Way,
    pub(super) globals: Globals,
}

enum Way {
    /// Over the network, with a token.
    Url { browser: Browser, url: String, token: Secret<String> },
    /// Through the hub's own socket, for as long as an answer may take.
    Socket { socket: Socket, patience: Duration },
    /// In this process, on a store that nobody else may open meanwhile.
    Store { app: App, _lock: DataLock },
}

/// The largest answer that is read.
const LARGEST: usize = 64 * 1024 * 1024;
/// How much longer than the hub gives itself an answer is waited for.
const SLACK: Duration = Duration::from_secs(10);

impl Hub {
    /// Finds the way.
    pub(super) async fn reach(self, globals: &Globals) -> Result<Desk, Failure> {
        let token = match self.token_file {
            Some(file) => Some(secret_of(&file, "--token-file")?),
            None => self.token.map(Secret::new),
        };
        let way = match (self.url, token) {
            (Some(url), Some(token)) => Way::Url {
                browser: Browser::new().map_err(|e| Failure::Fault(e.into()))?,
                url: url.trim_end_matches('/').to_owned(),
                token,
            },
            (Some(_), None) => {
                return Err(Failure::Usage("--token: expected with --url, or --token-file".into()));
            }
            (None, Some(_)) => return Err(Failure::Usage("--url: expected with --token".into())),
            (None, None) => here(load(globals, &[])?).await?,
        };
        Ok(Desk { way, globals: globals.clone() })
    }
}

/// The way on this machine.
async fn here(config: Config) -> Result<Way, Failure> {
    let socket = config.admin_socket();
    if let Some(path) = &socket {
        let socket = Socket { path: path.clone(), hub: owner(&config.keys.file) };
        if connected(&socket).await?.is_some() {
            let patience = config.server.request_timeout.duration() + SLACK;
            return Ok(Way::Socket { socket, patience });
        }
    }
    let lock = DataLock::take(&location(&config)?).map_err(|failure| match (failure, &socket) {
        (Failure::Unreachable(held), Some(path)) => Failure::Unreachable(format!(
            "{held}; nobody answers at {}, so a hub that runs is reached by --url and --token",
            path.display()
        )),
        (Failure::Unreachable(held), None) => {
            Failure::Unreachable(format!("{held}; a hub that runs is reached by --url and --token"))
        }
        (failure, _) => failure,
    })?;
    let mut log = config.log.clone();
    "error".clone_into(&mut log.level);
    telemetry::start_logs(&log).map_err(Failure::Usage)?;
    let app = opened_under(&lock, config).await?;
    upsert_providers(&app).await?;
    Ok(Way::Store { app, _lock: lock })
}

/// A hub's own socket.
struct Socket {
    path: PathBuf,
    /// Whom the hub must run as, if it has run before: its keys are that user's alone.
    hub: Option<u32>,
}

fn owner(file: &Path) -> Option<u32> {
    std::fs::metadata(file).ok().map(|file| file.uid())
}

/// A connection to the hub at a socket; none if no hub is there.
async fn connected(socket: &Socket) -> Result<Option<UnixStream>, Failure> {
    let path = &socket.path;
    let failed = |what: &dyn std::fmt::Display| Failure::Unreachable(format!("{}: {what}", path.display()));
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
    if !is_trusted(user, own_user(), socket.hub) {
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

impl Desk {
    /// Asks a path below `/admin/v1`, and gives the answer of one that did as it was asked.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let path = format!("/admin/v1{path}");
        let (status, text) = match &self.way {
            Way::Url { browser, url, token } => {
                let mut sent = Sent::new(method, &format!("{url}{path}"));
                (sent.bearer, sent.json) = (Some(token.expose().clone()), body.cloned());
                let answer = browser.send(sent).await;
                let answer = answer.map_err(|error| Failure::Unreachable(format!("{url}: {error}")))?;
                (answer.status, answer.body)
            }
            Way::Socket { socket, patience } => {
                let asked = through(socket, request(method, &path, body)?);
                let answer = tokio::time::timeout(*patience, asked).await;
                let late =
                    || Failure::Unreachable(format!("{}: the hub does not answer", socket.path.display()));
                answer.map_err(|_| late())??
            }
            Way::Store { app, .. } => {
                let asked = own_request(request(method, &path, body)?);
                let Ok(answer) = service(app, admin_table()).oneshot(asked).await;
                whole(answer).await?
            }
        };
        told(status, &text)
    }

    /// Looks.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    /// Has something done that needs no words.
    pub(super) async fn post(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::POST, path, None).await
    }

    /// Has something done, or made.
    pub(super) async fn post_json(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }
}

fn request(method: Method, path: &str, body: Option<&Value>) -> Result<Request<Body>, Failure> {
    let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
    let request = match body {
        Some(body) => {
            request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string()))
        }
        None => request.body(Body::empty()),
    };
    request.map_err(|e| Failure::Fault(e.into()))
}

/// Asks through a socket, on a connection of its own.
async fn through(socket: &Socket, request: Request<Body>) -> Result<(u16, String), Failure> {
    let path = &socket.path;
    let failed = |error: hyper::Error| Failure::Unreachable(format!("{}: {error}", path.display()));
    let gone = || Failure::Unreachable(format!("{}: the hub has gone", path.display()));
    let stream = connected(socket).await?.ok_or_else(gone)?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(failed)?;
    let driven = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(failed)?;
    let answer = whole(answer.map(Body::new)).await;
    driven.abort();
    answer
}

async fn whole(answer: Response) -> Result<(u16, String), Failure> {
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), LARGEST).await;
    let body = body.map_err(|error| Failure::Unreachable(format!("the answer broke off: {error}")))?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// What an answer comes to. Whose words these are is not known yet: they must not move a cursor.
fn told(status: u16, text: &str) -> Result<Value, Failure> {
    let told: Value = serde_json::from_str(text).unwrap_or_default();
    let mut detail = told["detail"].as_str().unwrap_or("this is no answer of a hub").to_owned();
    for pair in told["pairs"].as_array().into_iter().flatten() {
        let why = pair["detail"].as_str().unwrap_or_default();
        let _ = write!(
            detail,
            "; {} with {}: {why}",
            pair["client_id"].as_str().unwrap_or_default(),
            pair["provider_id"]
        );
    }
    let detail = plain(&detail);
    match StatusCode::from_u16(status) {
        Ok(StatusCode::OK | StatusCode::CREATED) if told.is_object() => Ok(told),
        Ok(StatusCode::NO_CONTENT) => Ok(Value::Null),
        Ok(StatusCode::NOT_FOUND | StatusCode::CONFLICT) => Err(Failure::DoesNotHold(detail)),
        Ok(StatusCode::INTERNAL_SERVER_ERROR) => Err(Failure::Fault(anyhow::Error::msg(detail))),
        Ok(status) if status.is_client_error() => Err(Failure::Usage(detail)),
        _ => Err(Failure::Unreachable(format!("{status}: {detail}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_to_oneself_and_root_alone() {
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
    fn an_answer_decides_how_the_program_ends() {
        let code = |status, text: &str| told(status, text).map_err(|failure| failure.code()).err();
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
        assert_eq!(told(409, pairs).unwrap_err().to_string(), "none; dc-1 with 7: why");
        assert_eq!(
            told(400, r#"{"detail":"name: expected a text"}"#).unwrap_err().to_string(),
            "name: expected a text"
        );
    }
}
