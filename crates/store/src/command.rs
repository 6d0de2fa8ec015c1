//! Commands: one transaction each, one a file. Each loads, asks a rule of the domain, writes.

mod authorization_request;
mod client;
mod credential;
mod end_connection;
mod invalid_grant;
mod open_connection;
mod operator;
mod provider;
mod purge;
mod recover_exchange;
mod redeem_code;
mod refresh_token;
mod registration;
mod resolve_failed_job;
mod run_job;
mod seed;
mod set_metadata;
mod upstream_client;

pub use authorization_request::{
    DenyRequest, FailRequest, OpenAuthorizationRequest, ReceiveCode, SendToProvider, SendToProviderOutcome,
    UnrevokedToken,
};
pub use client::{
    ClientSelector, ClientUpdate, FinishClientRemoval, RegisterClient, RemoveClient, RemoveClientOutcome,
    UpdateClient,
};
pub use credential::{
    Lease, LeaseCredential, LeaseOutcome, ReleaseLease, StoreCredential, StoreCredentialOutcome,
};
pub use end_connection::{EndConnection, EndOutcome, ExpireConnection};
pub use invalid_grant::{HandleInvalidGrant, InvalidGrantOutcome};
pub use open_connection::{OpenConnection, OpenOutcome, SealedGrant};
pub use operator::{AddOperator, AddOperatorOutcome, IssueBootstrapToken, OperatorAddedBy, RemoveOperator};
pub use provider::{AddProvider, SealedProviderSecret, SetProviderState, UpsertProvider};
pub use purge::Purge;
pub use recover_exchange::RecoverExchange;
pub use redeem_code::{RedeemCode, RedeemOutcome};
pub use refresh_token::RecordRefreshTokenUse;
pub use registration::{
    ActivateRegistrationDirectly, PairRejection, RejectedPair, RequestRegistrations, SealedUpstreamClient,
    StepRejected, TakeRegistrationStep,
};
pub use resolve_failed_job::{FailedJobAction, ResolveFailedJob};
pub use run_job::{FinishJob, LeaseJob};
pub use seed::{FillConnections, SeedConnections, SeededConnection, TouchConnection};
pub use set_metadata::SetMetadata;
pub use upstream_client::DetachUpstreamClient;

use domain::Moment;
use domain::model::audit_event::{Actor, AuditAction, AuditEntry, SubjectKind};

/// Statements of the commands that the test of query plans looks at.
pub(crate) mod statement {
    pub(crate) use super::credential::CREDENTIAL_TO_LEASE;
    pub(crate) use super::end_connection::{LAST_USE, LIVE_SIBLING, LOCK_CUSTOMER, UPSTREAM_ROW};
    pub(crate) use super::invalid_grant::REFRESH_STATS;
    pub(crate) use super::open_connection::{CUSTOMER_BY_IDENTITY, SUBJECT_OF_CUSTOMER};
    pub(crate) use super::operator::{LOCK_OPERATOR, LOCK_OPERATOR_BY_NAME};
    pub(crate) use super::purge::{OLD_CODES, OLD_JOBS, OLD_REFRESH_STATS, OLD_REQUESTS};
    pub(crate) use super::recover_exchange::INTERRUPTED_EXCHANGE;
    pub(crate) use super::resolve_failed_job::LOCK_JOB;
    pub(crate) use super::run_job::OTHER_PENDING_REVOCATION;
    pub(crate) use super::set_metadata::METADATA_VALUE;
    pub(crate) use super::upstream_client::DELETABLE_UPSTREAM_CLIENTS;
}

/// An entry of the record about a subject.
fn build_audit_entry(
    (kind, id): (SubjectKind, &(impl ToString + ?Sized)),
    moment: &Moment,
    action: AuditAction,
    actor: Actor,
    detail: &serde_json::Value,
) -> AuditEntry {
    AuditEntry {
        subject: (kind, id.to_string()),
        at: moment.now,
        action,
        actor,
        correlation_id: moment.correlation_id.to_string(),
        detail: detail.to_string(),
    }
}
