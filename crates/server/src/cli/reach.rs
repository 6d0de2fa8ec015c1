//! How a command reaches the hub: the one that runs, through its API, or the store itself, by the same use cases.

use domain::Secret;
use domain::model::audit_event::{Actor, ActorKind};
use http::Method;
use serde::Serialize;
use serde_json::Value;

use super::start::{ACTOR, DataLock, build, load, location};
use super::{Browser, Failure, Globals, Sent};
use crate::admin::AdminError;
use crate::app::Clock;
use crate::ctx::Ctx;
use crate::job;

/// Which hub.
#[derive(clap::Args, Debug)]
pub(super) struct Hub {
    /// The operators' address of a hub that runs, as in <http://127.0.0.1:8408>. Without it the store is used
    /// directly: on SQLite the hub must be stopped for that.
    #[arg(long, env = "BOWLINE_ADMIN_URL", value_name = "URL")]
    url: Option<String>,
    /// An operator's token for it; better given by the environment.
    #[arg(long, env = "BOWLINE_ADMIN_TOKEN", hide_env_values = true, requires = "url", value_name = "TOKEN")]
    token: Option<String>,
}

/// The way to the hub.
pub(super) enum Reach {
    /// Through its API.
    Running(Running),
    /// The store, and its lock.
    Store(Box<Ctx>, DataLock),
}

/// A hub that runs.
pub(super) struct Running {
    browser: Browser,
    url: String,
    token: Secret<String>,
}

impl Hub {
    /// Finds the way.
    pub(super) async fn reach(self, globals: &Globals) -> Result<Reach, Failure> {
        if let Some(url) = self.url {
            let token = self.token.ok_or_else(|| Failure::Usage("--token: expected with --url".into()))?;
            let browser = Browser::new().map_err(|e| Failure::Fault(e.into()))?;
            let url = url.trim_end_matches('/').to_owned();
            return Ok(Reach::Running(Running { browser, url, token: Secret::new(token) }));
        }
        let config = load(globals, &[])?;
        let lock = DataLock::take(&location(&config)?)?;
        let app = build(config, Clock::system()).await?;
        let ctx = job::context(&app, ACTOR).map_err(|e| Failure::Fault(e.into()))?;
        Ok(Reach::Store(Box::new(ctx), lock))
    }
}

impl Running {
    /// Calls a path below `/admin/v1`.
    pub(super) async fn call(&self, method: Method, path: &str) -> Result<Value, Failure> {
        let mut sent = Sent::new(method, &format!("{}/admin/v1{path}", self.url));
        sent.bearer = Some(self.token.expose().clone());
        let answer = self.browser.send(sent).await;
        let answer = answer.map_err(|error| Failure::Unreachable(format!("{}: {error}", self.url)))?;
        let told = answer.json();
        let detail = told["detail"].as_str().unwrap_or("this is no answer of a hub").to_owned();
        match answer.status {
            200 | 201 if told.is_object() => Ok(told),
            204 => Ok(Value::Null),
            400 | 401 | 403 => Err(Failure::Usage(detail)),
            404 | 409 => Err(Failure::DoesNotHold(detail)),
            status => Err(Failure::Unreachable(format!("{}: {status}: {detail}", self.url))),
        }
    }
}

/// Who acts on the store itself.
pub(super) fn operator() -> Actor {
    Actor::new(ActorKind::Operator, ACTOR)
}

/// The answer of a use case, as the API would give it.
pub(super) fn told<T: Serialize>(answer: Result<T, AdminError>) -> Result<Value, Failure> {
    match answer {
        Ok(shown) => serde_json::to_value(shown).map_err(|e| Failure::Fault(e.into())),
        Err(AdminError::Fault(fault)) => Err(Failure::Fault(fault.into())),
        Err(error @ (AdminError::NotFound(_) | AdminError::Conflict(_))) => {
            Err(Failure::DoesNotHold(error.to_string()))
        }
        Err(error) => Err(Failure::Usage(error.to_string())),
    }
}

/// A query of what was given.
pub(super) fn query(given: &[(&str, Option<String>)]) -> String {
    let pairs = given.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Prints a page: a table for people, one line of JSON for scripts.
pub(super) fn page(globals: &Globals, page: &Value, columns: &[&str]) {
    if globals.json {
        println!("{page}");
        return;
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let cell = |value: &Value| if value.is_null() { "-".to_owned() } else { text(value) };
    let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let head = columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>();
    let mut rows = vec![head];
    rows.extend(items.iter().map(|item| columns.iter().map(|column| cell(&item[column])).collect()));
    let wide = |place: usize| rows.iter().map(|row| row[place].len()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns.len()).map(wide).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    if let (Some(next), false) = (page["next"].as_str(), globals.quiet) {
        eprintln!("There is more: --after {next}");
    }
}

/// Prints one thing: indented for people, one line for scripts.
pub(super) fn one(globals: &Globals, shown: &Value) {
    if globals.json { println!("{shown}") } else { println!("{shown:#}") }
}
