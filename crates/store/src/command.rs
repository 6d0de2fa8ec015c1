//! Commands: one transaction each, one a file. Each loads, asks a rule of the domain, writes.

mod client;
mod credential;
mod end_connection;
mod invalid_grant;
mod job;
mod open_connection;
mod operator;
mod own_client;
mod provider;
mod purge;
mod recover_exchange;
mod redeem_code;
mod refresh_token;
mod registration;
mod request;
mod seed;
mod set_mark;
mod settle_job;

pub use client::{
    ChangeClient, ClientChange, FinishRemoval, RegisterClient, RemoveClient, RemovedClient, Whose,
};
pub use credential::{Lease, LeaseCredential, Leased, ReleaseLease, StoreCredential, Stored};
pub use end_connection::{EndConnection, EndOutcome, ExpireConnection};
pub use invalid_grant::{HeedInvalidGrant, Heeded};
pub use job::{FinishJob, LeaseJob};
pub use open_connection::{OpenConnection, OpenOutcome, OpenedWith};
pub use operator::{AddOperator, Added, AddedBy, IssueBootstrap, RemoveOperator};
pub use own_client::DisownClient;
pub use provider::{AddProvider, SealedSecret, SetProviderState, UpsertProvider};
pub use purge::Purge;
pub use recover_exchange::RecoverExchange;
pub use redeem_code::{RedeemCode, Redeemed};
pub use refresh_token::RecordRefreshUse;
pub use registration::{
    BadPair, NotTaken, PutRegistration, RequestRegistrations, SealedClient, StepRegistration, WhyNot,
};
pub use request::{
    DenyRequest, FailRequest, InHand, OpenAuthorizationRequest, ReceiveCode, SendToProvider, Stepped,
};
pub use seed::{FillConnections, SeedConnections, SeededConnection, TouchConnection};
pub use set_mark::SetMark;
pub use settle_job::{SettleJob, Settlement};

use domain::Moment;
use domain::model::audit_event::{Action, Actor, AuditEntry, SubjectKind};

/// Statements of the commands that the test of query plans looks at.
pub(crate) mod statement {
    pub(crate) use super::credential::LEASE_OF;
    pub(crate) use super::end_connection::{HELD, LAST_USE, LOCK_CUSTOMER, OTHER_LIVE};
    pub(crate) use super::invalid_grant::REFRESHES;
    pub(crate) use super::job::OTHER_TELLING;
    pub(crate) use super::open_connection::{CUSTOMER, SUBJECT};
    pub(crate) use super::operator::{LOCK_NAMED, LOCK_OPERATOR};
    pub(crate) use super::own_client::DELETABLE;
    pub(crate) use super::purge::{OLD_CODES, OLD_COUNTS, OLD_JOBS, OLD_REQUESTS};
    pub(crate) use super::recover_exchange::BROKEN_OFF;
    pub(crate) use super::set_mark::MARK;
    pub(crate) use super::settle_job::LOCK_JOB;
}

/// An entry of the record about a subject.
fn entry(
    (kind, id): (SubjectKind, &(impl ToString + ?Sized)),
    moment: &Moment,
    action: Action,
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
