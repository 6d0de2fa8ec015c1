//! Queries, which read the current state of the database. On SQLite the rows for the access check may be in memory; they
//! equal the committed ones.

mod access;
mod audit;
mod authorization_request;
mod clients;
mod connections;
mod credential;
mod expiry_brake;
mod hot_statements;
mod jobs;
mod lookup;
#[cfg(feature = "seed")]
mod measurement;
mod metadata;
mod operator;
mod provider;
mod recipient;
mod registrations;
mod removal;

pub use crate::entity::registration::StoredUpstreamClient;
pub use crate::keyset_search::{SEARCH_WINDOW, SearchPage};
pub use access::{FindRefreshToken, GetAccessState, StoredRefreshToken};
pub use audit::{GetAuditChain, ListAuditEvents, TimeRange};
pub use authorization_request::{
    FindAuthorizationRequestByState, GetAuthorizationRequest, ListInterruptedExchanges,
};
pub use clients::{ClientSummary, GetClient, GetClientSummary, ListClients};
pub use connections::{
    ConnectionSummary, DueConnections, DuePosition, GetConnection, GetConnectionSummary, ListConnections,
    ListDueConnections, SweepPosition,
};
pub use credential::{
    GetGrantSharing, GetProviderSecrets, GetUpstreamClient, GetUpstreamCredential, GrantSharing,
    UpstreamCredential,
};
pub use expiry_brake::{GetSweepStatus, SweepStatus};
#[doc(hidden)]
pub use hot_statements::hot_statements;
pub use jobs::{
    CountJobs, HasPendingRevocations, JobSummary, ListConnectionJobs, ListDueQueues, ListJobs,
    ListRetryableJobs, RetryableJob,
};
#[cfg(feature = "seed")]
pub use measurement::{GetDatabaseSize, GetPageImageBytes, GetWriteCounters, WriteCounters};
pub use metadata::{GetMetadata, GetSchemaVersion, GetStorePurpose};
pub use operator::{FindOperator, ListOperators};
pub use provider::{
    CountLiveConnections, CountProviders, GetFormerSettings, GetProvider, HasRegistrationsInUse,
    ListFormerSettings, ListProviderFormerSettings, ListProviders, ListRecipientProviders,
};
pub use recipient::{
    GetRecipient, GetRecipientConnection, ListRecipientConnections, ListRecipients, RecipientConnection,
};
pub use registrations::{
    GetRegistration, GetRegistrationSummary, ListPartnerRegistrations, ListRecipientRegistrations,
    ListRegistrations, NamedRegistration, RegistrationSummary,
};
pub use removal::{
    ClientRemoval, CountConnectionsEndedByRemoval, ListClientRemovals, ListLiveConnections, LiveConnections,
};
