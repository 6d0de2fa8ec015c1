//! Connections: looked for, looked at, ended.

use domain::Timestamp;
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::audit_event::{Actor, SubjectKind};
use domain::model::connection::{ConnectionState, ConnectionStatus, EndCause, Terms, UpstreamRevocation};
use schemars::JsonSchema;
use serde::Serialize;
use store::command::{EndConnection, EndOutcome};
use store::query::{
    ConnectionSummary, GetAuditChain, GetConnectionSummary, ListConnectionJobs, ListConnections, TimeRange,
};

use super::audit::{ActorBody, EventBody};
use super::job::JobBody;
use super::page::{PageRequest, parse_dry_run};
use super::{AdminError, AdminPage, Params};
use crate::connections;
use crate::context::RequestContext;
use crate::response::{EnumValue, Time};

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
pub async fn list(
    ctx: &RequestContext,
    query: Option<&str>,
) -> Result<AdminPage<AdminConnectionBody>, AdminError> {
    let params = Params::from_query(query, &FILTERS)?;
    let page_request = PageRequest::from_params(ctx, "connections", &params)?;
    let search = ListConnections {
        after: page_request.parse_after(parse_key)?,
        limit: page_request.row_limit(),
        ..parse_filter(&params)?
    };
    let rows = ctx.ask(&search).await?;
    let key = |row: &ConnectionSummary| {
        let (time, id) = search.page_cursor(row);
        format!("{}|{id}", time.millis())
    };
    page_request.build_page(ctx, rows, key, AdminConnectionBody::from_summary)
}

fn parse_key(text: &str) -> Option<(Timestamp, ConnectionId)> {
    let (time, id) = text.split_once('|')?;
    Some((Timestamp::from_millis(time.parse().ok()?), ConnectionId::parse(id).ok()?))
}

fn parse_filter(params: &Params) -> Result<ListConnections, AdminError> {
    let uuid = |text: &str| uuid::Uuid::try_parse(text).ok().map(|_| text.to_owned());
    let ended = params.text("ended_from").or_else(|| params.text("ended_before")).is_some();
    let times = (
        params.time_range("ended_from", "ended_before")?,
        params.time_range("created_from", "created_before")?,
    );
    Ok(ListConnections {
        id: params.parse("id", "expected a connection's id", |text| ConnectionId::parse(text).ok())?,
        client_id: params.client_id("client_id")?,
        provider_id: params.provider_id()?,
        sub: params.parse("sub", "expected a UUID", uuid)?,
        status: params.parse_enum("state", ConnectionStatus::ALL, ConnectionStatus::as_str)?,
        created: times.1,
        ended: ended.then_some(times.0),
        after: None,
        limit: 0,
    })
}

impl Params {
    /// A client that is asked for.
    pub(super) fn client_id(&self, name: &str) -> Result<Option<ClientId>, AdminError> {
        self.parse(name, "expected a client's id", |text| ClientId::parse(text).ok())
    }

    /// The provider that is asked for.
    pub(super) fn provider_id(&self) -> Result<Option<ProviderId>, AdminError> {
        self.parse("provider_id", "expected a positive integer", ProviderId::parse)
    }

    /// A window of time; all time if neither end is given.
    pub(super) fn time_range(&self, from: &str, before: &str) -> Result<TimeRange, AdminError> {
        let expected = "expected a time in RFC 3339";
        Ok(TimeRange {
            from: self.parse(from, expected, Timestamp::parse)?.unwrap_or(TimeRange::ALL.from),
            before: self.parse(before, expected, Timestamp::parse)?.unwrap_or(TimeRange::ALL.before),
        })
    }
}

/// A connection in a list. A cause, an actor and what the sides know stand there once it has ended.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Connection")]
pub struct AdminConnectionBody {
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
    state: EnumValue<ConnectionStatus>,
    /// When the provider agreed.
    created_at: Time,
    /// When the recipient redeemed the code.
    activated_at: Option<Time>,
    /// When the consent ends.
    expires_at: Time,
    /// When it ended.
    ended_at: Option<Time>,
    /// Why it ended.
    cause: Option<EnumValue<EndCause>>,
    /// Who ended it.
    actor: Option<ActorBody>,
    /// The newer login that took its place.
    #[schemars(with = "Option<String>")]
    replaced_by: Option<ConnectionId>,
    /// What the provider knows of the end.
    provider_revocation: Option<EnumValue<UpstreamRevocation>>,
    /// What the recipient knows of the end.
    recipient_notification: Option<String>,
}

impl AdminConnectionBody {
    fn from_summary(summary: ConnectionSummary) -> Self {
        let connection = summary.connection;
        let (state, end) = match connection.state {
            ConnectionState::Pending { .. } => (ConnectionStatus::Pending, None),
            ConnectionState::Active => (ConnectionStatus::Active, None),
            ConnectionState::Ended(end) => (end.cause.status(), Some(end)),
        };
        Self {
            id: connection.id,
            client_id: connection.client_id,
            provider_id: connection.provider_id,
            sub: connection.sub,
            state: EnumValue(state),
            created_at: summary.created_at.into(),
            activated_at: summary.activated_at.map(Time),
            expires_at: connection.expires_at.into(),
            ended_at: end.as_ref().map(|end| end.at.into()),
            cause: end.as_ref().map(|end| EnumValue(end.cause)),
            replaced_by: summary.replaced_by,
            provider_revocation: end.as_ref().map(|_| EnumValue(connection.provider_revocation)),
            recipient_notification: end.as_ref().map(|_| summary.recipient_notification),
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
    fn new(version: i64, terms: Terms) -> Self {
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
    connection: AdminConnectionBody,
    /// What the customer agreed to.
    terms: TermsBody,
    /// Its deferred work, the newest first; at most a hundred.
    jobs: Vec<JobBody>,
    /// Its record, from the first event on.
    events: Vec<EventBody>,
}

/// What came of an end.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EndConnectionResponse {
    /// What happened, or would.
    outcome: ConnectionEndOutcome,
    /// The connection as it stands now.
    connection: AdminConnectionBody,
}

/// What an end comes to.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionEndOutcome {
    /// It was ended now.
    Ended,
    /// It had ended before; nothing has changed.
    AlreadyEnded,
    /// A dry run: it lives, and would be ended.
    WouldEnd,
}

const NOT_FOUND: AdminError = AdminError::NotFound("connection");

async fn find_connection(ctx: &RequestContext, id: &str) -> Result<(ConnectionSummary, Terms), AdminError> {
    let id = ConnectionId::parse(id).map_err(|_| NOT_FOUND)?;
    ctx.ask(&GetConnectionSummary { id }).await?.ok_or(NOT_FOUND)
}

/// A connection with everything that is known of it.
pub async fn show(ctx: &RequestContext, id: &str) -> Result<ConnectionDetail, AdminError> {
    let (summary, agreed) = find_connection(ctx, id).await?;
    let id = summary.connection.id.clone();
    let events = ctx.ask(&GetAuditChain { kind: SubjectKind::Connection, id: id.to_string() }).await?;
    let jobs = ctx.ask(&ListConnectionJobs { connection_id: id }).await?;
    Ok(ConnectionDetail {
        terms: TermsBody::new(summary.connection.terms_version, agreed),
        connection: AdminConnectionBody::from_summary(summary),
        jobs: jobs.into_iter().map(JobBody::from_summary).collect(),
        events: events.into_iter().map(EventBody::from_event).collect(),
    })
}

/// Ends a connection, or says what an end would come to.
pub async fn end(
    ctx: &RequestContext,
    id: &str,
    query: Option<&str>,
    actor: Actor,
) -> Result<EndConnectionResponse, AdminError> {
    let dry = parse_dry_run(query)?;
    let before = find_connection(ctx, id).await?.0;
    let already = matches!(before.connection.state, ConnectionState::Ended(_));
    if dry {
        let outcome =
            if already { ConnectionEndOutcome::AlreadyEnded } else { ConnectionEndOutcome::WouldEnd };
        return Ok(EndConnectionResponse { outcome, connection: AdminConnectionBody::from_summary(before) });
    }
    let connection_id = before.connection.id;
    let (moment, cause) = (ctx.new_moment()?, EndCause::Operator);
    let command = EndConnection { moment, connection_id, cause, actor, fence: None };
    let outcome = match connections::end(ctx, command).await? {
        EndOutcome::Ended => ConnectionEndOutcome::Ended,
        EndOutcome::AlreadyEnded(_) => ConnectionEndOutcome::AlreadyEnded,
        EndOutcome::NotFound | EndOutcome::Fenced => return Err(NOT_FOUND),
    };
    Ok(EndConnectionResponse {
        outcome,
        connection: AdminConnectionBody::from_summary(find_connection(ctx, id).await?.0),
    })
}
