//! Connections: looked for, looked at, ended.

use domain::Timestamp;
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::audit_event::{Actor, SubjectKind};
use domain::model::connection::{BankState, Cause, State, Status, Terms};
use schemars::JsonSchema;
use serde::Serialize;
use store::command::{EndConnection, EndOutcome};
use store::query::{AuditOf, Connections, Found, FoundById, JobsOf, Window};

use super::audit::{ActorBody, EventBody};
use super::job::JobBody;
use super::page::{Asked, dry_run};
use super::{AdminError, Page, Params};
use crate::connection;
use crate::ctx::Ctx;
use crate::wire::{Time, Word};

const FILTERS: [&str; 11] = [
    "id",
    "client_id",
    "provider_id",
    "sub",
    "state",
    "created_from",
    "created_before",
    "ended_from",
    "ended_before",
    "limit",
    "after",
];

/// Connections that a query looks for.
pub async fn list(ctx: &Ctx, query: Option<&str>) -> Result<Page<ConnectionBody>, AdminError> {
    let params = Params::query(query, &FILTERS)?;
    let asked = Asked::of(ctx, "connections", &params)?;
    let search = Connections { after: asked.after(read_key)?, limit: asked.rows(), ..filter(&params)? };
    let rows = ctx.ask(&search).await?;
    let key = |row: &Found| {
        let (time, id) = search.key(row);
        format!("{}|{id}", time.millis())
    };
    asked.page(ctx, rows, key, ConnectionBody::of)
}

fn read_key(text: &str) -> Option<(Timestamp, ConnectionId)> {
    let (time, id) = text.split_once('|')?;
    Some((Timestamp::from_millis(time.parse().ok()?), ConnectionId::parse(id).ok()?))
}

fn filter(params: &Params) -> Result<Connections, AdminError> {
    let uuid = |text: &str| uuid::Uuid::try_parse(text).ok().map(|_| text.to_owned());
    let ended = params.text("ended_from").or_else(|| params.text("ended_before")).is_some();
    let times =
        (params.window("ended_from", "ended_before")?, params.window("created_from", "created_before")?);
    Ok(Connections {
        id: params.read("id", "expected a connection's id", |text| ConnectionId::parse(text).ok())?,
        client_id: params.client("client_id")?,
        provider_id: params.provider()?,
        sub: params.read("sub", "expected a UUID", uuid)?,
        status: params.word("state", Status::ALL, Status::as_str)?,
        created: times.1,
        ended: ended.then_some(times.0),
        after: None,
        limit: 0,
    })
}

impl Params {
    /// A client that is asked for.
    pub(super) fn client(&self, name: &str) -> Result<Option<ClientId>, AdminError> {
        self.read(name, "expected a client's id", |text| ClientId::parse(text).ok())
    }

    /// The provider that is asked for.
    pub(super) fn provider(&self) -> Result<Option<ProviderId>, AdminError> {
        self.read("provider_id", "expected a positive integer", ProviderId::parse)
    }

    /// A window of time; all time if neither end is given.
    pub(super) fn window(&self, from: &str, before: &str) -> Result<Window, AdminError> {
        let expected = "expected a time in RFC 3339";
        Ok(Window {
            from: self.read(from, expected, Timestamp::parse)?.unwrap_or(Window::ALL.from),
            before: self.read(before, expected, Timestamp::parse)?.unwrap_or(Window::ALL.before),
        })
    }
}

/// A connection in a list. A cause, an actor and what the sides know stand there once it has ended.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Connection")]
pub struct ConnectionBody {
    /// Its id; also the FDX consent id.
    #[schemars(with = "String")]
    id: ConnectionId,
    /// The recipient that reads.
    #[schemars(with = "String")]
    client_id: ClientId,
    /// The provider that is read from.
    #[schemars(with = "i64")]
    provider_id: ProviderId,
    /// The recipient's name for the customer: a UUID.
    sub: String,
    /// Where it stands.
    state: Word<Status>,
    /// When the provider agreed.
    created_at: Time,
    /// When the recipient redeemed the code.
    activated_at: Option<Time>,
    /// When the consent ends.
    expires_at: Time,
    /// When it ended.
    ended_at: Option<Time>,
    /// Why it ended.
    cause: Option<Word<Cause>>,
    /// Who ended it.
    actor: Option<ActorBody>,
    /// The newer login that took its place.
    #[schemars(with = "Option<String>")]
    replaced_by: Option<ConnectionId>,
    /// What the provider knows of the end.
    bank: Option<Word<BankState>>,
    /// What the recipient knows of the end.
    recipient: Option<String>,
}

impl ConnectionBody {
    fn of(found: Found) -> Self {
        let connection = found.connection;
        let (state, end) = match connection.state {
            State::Pending { .. } => (Status::Pending, None),
            State::Active => (Status::Active, None),
            State::Ended(end) => (end.cause.status(), Some(end)),
        };
        Self {
            id: connection.id,
            client_id: connection.client_id,
            provider_id: connection.provider_id,
            sub: connection.sub,
            state: Word(state),
            created_at: found.created_at.into(),
            activated_at: found.activated_at.map(Time),
            expires_at: connection.expires_at.into(),
            ended_at: end.as_ref().map(|end| end.at.into()),
            cause: end.as_ref().map(|end| Word(end.cause)),
            replaced_by: found.replaced_by,
            bank: end.as_ref().map(|_| Word(connection.bank)),
            recipient: end.as_ref().map(|_| found.recipient_state),
            actor: end.map(|end| end.actor.into()),
        }
    }
}

/// What the customer agreed to, without the names of accounts: those are the bank's.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Terms")]
pub struct TermsBody {
    /// Counts the times that they changed, from 1.
    version: i64,
    /// The data clusters, parted by spaces.
    clusters: String,
    /// How many accounts the customer chose; absent if the provider does not say.
    accounts: Option<usize>,
    /// The purpose as it was shown.
    purpose: String,
    /// The language of the page.
    language: String,
    /// Version and hash of the page's text.
    page_version: String,
    /// When the consent ends.
    expires_at: Time,
    /// When the customer agreed.
    agreed_at: Time,
}

impl TermsBody {
    fn of(version: i64, terms: Terms) -> Self {
        Self {
            version,
            clusters: terms.clusters.to_string(),
            accounts: terms.accounts.map(|accounts| accounts.len()),
            purpose: terms.purpose,
            language: terms.language,
            page_version: terms.page_version,
            expires_at: terms.expires_at.into(),
            agreed_at: terms.agreed_at.into(),
        }
    }
}

/// A connection with everything that is known of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConnectionDetail {
    #[serde(flatten)]
    connection: ConnectionBody,
    /// What the customer agreed to.
    terms: TermsBody,
    /// Its deferred work, the newest first; at most a hundred.
    jobs: Vec<JobBody>,
    /// Its record, from the first event on.
    events: Vec<EventBody>,
}

/// What came of an end.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConnectionEnd {
    /// What happened, or would.
    outcome: EndWord,
    /// The connection as it stands now.
    connection: ConnectionBody,
}

/// What an end comes to.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndWord {
    /// It was ended now.
    Ended,
    /// It had ended before; nothing has changed.
    AlreadyEnded,
    /// A dry run: it lives, and would be ended.
    WouldEnd,
}

const NOBODY: AdminError = AdminError::NotFound("connection");

async fn found(ctx: &Ctx, id: &str) -> Result<(Found, Terms), AdminError> {
    let id = ConnectionId::parse(id).map_err(|_| NOBODY)?;
    ctx.ask(&FoundById { id }).await?.ok_or(NOBODY)
}

/// A connection with everything that is known of it.
pub async fn show(ctx: &Ctx, id: &str) -> Result<ConnectionDetail, AdminError> {
    let (found, agreed) = found(ctx, id).await?;
    let id = found.connection.id.clone();
    let events = ctx.ask(&AuditOf { kind: SubjectKind::Connection, id: id.to_string() }).await?;
    let jobs = ctx.ask(&JobsOf { connection_id: id }).await?;
    Ok(ConnectionDetail {
        terms: TermsBody::of(found.connection.terms_version, agreed),
        connection: ConnectionBody::of(found),
        jobs: jobs.into_iter().map(JobBody::of).collect(),
        events: events.into_iter().map(EventBody::of).collect(),
    })
}

/// Ends a connection, or says what an end would come to.
pub async fn end(ctx: &Ctx, id: &str, query: Option<&str>, by: Actor) -> Result<ConnectionEnd, AdminError> {
    let dry = dry_run(query)?;
    let before = found(ctx, id).await?.0;
    let already = matches!(before.connection.state, State::Ended(_));
    if dry {
        let outcome = if already { EndWord::AlreadyEnded } else { EndWord::WouldEnd };
        return Ok(ConnectionEnd { outcome, connection: ConnectionBody::of(before) });
    }
    let id_of = before.connection.id;
    let (moment, cause) = (ctx.moment()?, Cause::Operator);
    let asked = EndConnection { moment, connection_id: id_of, cause, actor: by, fence: None };
    let outcome = match connection::end(ctx, asked).await? {
        EndOutcome::Ended => EndWord::Ended,
        EndOutcome::Already(_) => EndWord::AlreadyEnded,
        EndOutcome::Unknown | EndOutcome::Fenced => return Err(NOBODY),
    };
    Ok(ConnectionEnd { outcome, connection: ConnectionBody::of(found(ctx, id).await?.0) })
}
