//! Lists, reads and ends the connections of all recipients for operators.

use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::audit_event::{Actor, SubjectKind};
use domain::model::connection::{ConnectionState, ConnectionStatus, EndCause, Terms, UpstreamRevocation};
use schemars::JsonSchema;
use serde::Serialize;
use store::command::{EndConnection, EndOutcome};
use store::query::{
    ConnectionSummary, GetAuditChain, GetConnectionSummary, ListConnectionJobs, ListConnections,
    SEARCH_WINDOW,
};

use super::audit_log::{ActorBody, EventBody};
use super::error::AdminError;
use super::jobs::JobBody;
use super::page::{AdminPage, PageRequest};
use super::params::{Params, parse_dry_run};
use crate::connections;
use crate::context::RequestContext;
use crate::response::{EnumValue, Time};
use crate::upstream::open_connection_grant_id;

const NOT_FOUND: AdminError = AdminError::NotFound("connection");

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

/// Lists the connections that match a query, one page at a time.
pub async fn list(
    ctx: &RequestContext,
    query: Option<&str>,
) -> Result<AdminPage<AdminConnectionBody>, AdminError> {
    let params = Params::from_query(query, &FILTERS)?;
    let page = PageRequest::from_params(ctx, "connections", &params)?;
    let search = ListConnections {
        after: page.parse_after(|text| ConnectionId::parse(text).ok())?,
        limit: page.row_limit(),
        ..parse_filter(&params)?
    };
    let rows = ctx.ask(&search).await?;
    let key = |row: &ConnectionSummary| row.connection.id.to_string();
    page.build_page(ctx, rows, key, AdminConnectionBody::from_summary)
}

fn parse_filter(params: &Params) -> Result<ListConnections, AdminError> {
    let uuid = |text: &str| uuid::Uuid::try_parse(text).ok().map(|_| text.to_owned());
    // Without a bound there must be no filter: even a range that is open on both sides would exclude connections that
    // have not ended.
    let filters_by_end = params.text("ended_from").or_else(|| params.text("ended_before")).is_some();
    let ended_at = params.time_range("ended_from", "ended_before")?;
    Ok(ListConnections {
        id: params.parse("id", "expected a connection's id", |text| ConnectionId::parse(text).ok())?,
        client_id: params.client_id("client_id")?,
        provider_id: params.provider_id()?,
        sub: params.parse("sub", "expected a UUID", uuid)?,
        status: params.parse_enum("state", ConnectionStatus::ALL, ConnectionStatus::as_str)?,
        created: params.time_range("created_from", "created_before")?,
        ended: filters_by_end.then_some(ended_at),
        after: None,
        limit: 0,
        window: SEARCH_WINDOW,
    })
}

/// A connection in a list. The members from `ended_at` on are `null` until the connection has ended.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Connection")]
pub struct AdminConnectionBody {
    /// The id, which is also the FDX consent id.
    #[schemars(with = "String")]
    id: ConnectionId,
    /// The id of the recipient that reads data through the connection.
    #[schemars(with = "String")]
    client_id: ClientId,
    #[schemars(with = "i64")]
    provider_id: ProviderId,
    /// The identifier of the customer (`sub`), a UUID. It differs for each recipient.
    sub: String,
    state: EnumValue<ConnectionStatus>,
    /// The time when the provider granted access.
    created_at: Time,
    /// The time when the recipient redeemed the authorization code.
    activated_at: Option<Time>,
    /// The time at which the consent expires.
    expires_at: Time,
    ended_at: Option<Time>,
    /// The reason why the connection ended.
    cause: Option<EnumValue<EndCause>>,
    /// The party that ended the connection.
    actor: Option<ActorBody>,
    /// The id of the newer connection that replaced this one.
    #[schemars(with = "Option<String>")]
    replaced_by: Option<ConnectionId>,
    /// The progress of the revocation at the provider.
    provider_revocation: Option<EnumValue<UpstreamRevocation>>,
    /// The progress of notifying the recipient of the end.
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

/// The terms that the customer consented to. They contain only the number of accounts, not the account ids of the
/// provider.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Terms")]
pub struct TermsBody {
    /// The version of the terms, starting at 1.
    version: i64,
    /// The data clusters that the customer consented to, space-delimited.
    clusters: String,
    /// The number of accounts that the customer selected; `null` if the provider does not report it.
    accounts: Option<u32>,
    /// The purpose of reading data, as the consent page showed it.
    purpose: String,
    /// The language of the consent page.
    language: String,
    /// The version of the text of the consent page.
    page_version: String,
    /// The time at which the consent expires. The connection may end earlier, with the refresh token of the provider.
    expires_at: Time,
    /// The time when the customer consented.
    agreed_at: Time,
}

impl TermsBody {
    fn new(version: i64, terms: Terms) -> Self {
        Self {
            version,
            clusters: terms.clusters.to_string(),
            accounts: terms.account_count,
            purpose: terms.purpose,
            language: terms.language,
            page_version: terms.page_version,
            expires_at: terms.expires_at.into(),
            agreed_at: terms.agreed_at.into(),
        }
    }
}

/// A connection with its terms, jobs and audit events.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConnectionDetail {
    #[serde(flatten)]
    connection: AdminConnectionBody,
    /// The id of the grant or consent at the provider, if the provider disclosed it.
    provider_grant_id: Option<String>,
    /// The terms that the customer consented to.
    terms: TermsBody,
    /// The background jobs of the connection, newest first; at most 100.
    jobs: Vec<JobBody>,
    /// The audit events of the connection, oldest first.
    events: Vec<EventBody>,
}

/// The result of a request to end a connection.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EndConnectionResponse {
    outcome: ConnectionEndOutcome,
    /// The connection after the request. After a dry run it is unchanged.
    connection: AdminConnectionBody,
}

/// The outcome of a request to end a connection.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionEndOutcome {
    /// The connection was ended by this request.
    Ended,
    /// The connection had ended before; nothing has changed.
    AlreadyEnded,
    /// Dry run: the connection is active and would be ended.
    WouldEnd,
}

async fn find_connection(ctx: &RequestContext, id: &str) -> Result<(ConnectionSummary, Terms), AdminError> {
    let id = ConnectionId::parse(id).map_err(|_| NOT_FOUND)?;
    ctx.ask(&GetConnectionSummary { id }).await?.ok_or(NOT_FOUND)
}

/// Returns one connection with its terms, jobs and audit events.
pub async fn show(ctx: &RequestContext, [id]: &[String; 1]) -> Result<ConnectionDetail, AdminError> {
    let (mut summary, terms) = find_connection(ctx, id).await?;
    let id = summary.connection.id.clone();
    let grant_id = summary.sealed_grant_id.take();
    let grant_id = grant_id.map(|sealed| open_connection_grant_id(ctx, &summary.connection, &sealed));
    let events = ctx.ask(&GetAuditChain { kind: SubjectKind::Connection, id: id.to_string() }).await?;
    let jobs = ctx.ask(&ListConnectionJobs { connection_id: id }).await?;
    Ok(ConnectionDetail {
        provider_grant_id: grant_id.transpose()?.map(|id| id.expose().clone()),
        terms: TermsBody::new(summary.connection.terms_version, terms),
        connection: AdminConnectionBody::from_summary(summary),
        jobs: jobs.into_iter().map(JobBody::from_summary).collect(),
        events: events.into_iter().map(EventBody::from_event).collect(),
    })
}

/// Ends a connection. With `dry_run=true` in the query, only returns what would happen.
pub async fn end(
    ctx: &RequestContext,
    id: &str,
    query: Option<&str>,
    actor: Actor,
) -> Result<EndConnectionResponse, AdminError> {
    let dry_run = parse_dry_run(query)?;
    let (summary, _) = find_connection(ctx, id).await?;
    if dry_run {
        let has_ended = matches!(summary.connection.state, ConnectionState::Ended(_));
        let outcome =
            if has_ended { ConnectionEndOutcome::AlreadyEnded } else { ConnectionEndOutcome::WouldEnd };
        return Ok(EndConnectionResponse { outcome, connection: AdminConnectionBody::from_summary(summary) });
    }
    let connection_id = summary.connection.id;
    let (moment, cause) = (ctx.new_moment()?, EndCause::Operator);
    let command = EndConnection { moment, connection_id, cause, actor, fence: None };
    let outcome = match connections::end(ctx, command).await? {
        EndOutcome::Ended(_) => ConnectionEndOutcome::Ended,
        EndOutcome::AlreadyEnded(_) => ConnectionEndOutcome::AlreadyEnded,
        EndOutcome::NotFound | EndOutcome::Fenced => return Err(NOT_FOUND),
    };
    // The connection is read again, because its state and the progress of the revocation have changed.
    let (summary, _) = find_connection(ctx, id).await?;
    Ok(EndConnectionResponse { outcome, connection: AdminConnectionBody::from_summary(summary) })
}
