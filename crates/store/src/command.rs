//! Commands: each runs in one transaction, in which it loads rows, applies a rule of the domain and writes.

mod audit_entry;
mod authorization_code;
mod authorization_request;
pub(crate) mod authorized_command;
pub(crate) mod client;
pub(crate) mod credential;
pub(crate) mod delete_tokens;
pub(crate) mod end_connection;
pub(crate) mod end_facts;
pub(crate) mod expiry_brake;
pub(crate) mod former_settings;
pub(crate) mod invalid_grant;
pub(crate) mod job_count;
mod job_queue;
mod lease;
pub(crate) mod open_connection;
mod operator;
mod provider;
pub(crate) mod purge;
pub(crate) mod record_access_denials;
mod record_call_failure;
pub(crate) mod recover_exchange;
mod redeem_code;
pub(crate) mod refresh_stats;
mod refresh_token;
mod registration;
pub(crate) mod resolve_failed_job;
pub(crate) mod run_job;
mod sealed_value;
#[cfg(feature = "seed")]
mod seed;
pub(crate) mod set_metadata;
mod terms;
pub(crate) mod upstream_client;

pub use crate::entity::former_settings::FormerSettings;
pub use crate::entity::job::JobQueue;
pub use crate::entity::provider::SealedProviderSecrets;
pub use crate::entity::registration::SealedUpstreamClient;
pub use authorization_code::{ReplaceCode, ReplaceCodeOutcome};
pub use authorization_request::{
    DenyRequest, FailRequest, ReceiveCode, SendToProvider, SendToProviderOutcome,
};
pub use client::{
    ClientSelector, ClientUpdate, FinishClientRemoval, RegisterClient, RegisterClientOutcome, RemoveClient,
    RemoveClientOutcome, UpdateClient,
};
pub use credential::{LeaseCredential, LeaseOutcome, ReleaseLease, StoreCredential, StoreCredentialOutcome};
pub use delete_tokens::{DeleteEndedTokens, DeletedTokens};
pub use end_connection::{EndConnection, EndOutcome, ExpireConnection};
pub use expiry_brake::{BrakeExpiry, RecordSweep};
pub use former_settings::{
    DeleteFormerSettings, FormerSettingsDeletion, FormerSettingsUpdate, MAX_FORMER_SETTINGS,
};
pub use invalid_grant::{HandleInvalidGrant, InvalidGrantOutcome};
pub use job_count::FoldJobTransitions;
pub use job_queue::UnrevokedToken;
pub use lease::Lease;
pub use open_connection::{OpenConnection, OpenOutcome, SealedGrant};
pub use operator::{AddOperator, AddOperatorOutcome, IssueBootstrapToken, OperatorAddedBy, RemoveOperator};
pub use provider::{
    AddProvider, FormerSettingsPlan, ProviderChangeRejected, SetProviderState, StoreMetadataOutcome,
    StoreProviderMetadata, UpdateProvider, UpdateProviderOutcome, UpsertOutcome, UpsertProvider,
};
pub use purge::Purge;
pub use record_access_denials::{HUB_SUBJECT_ID, RecordAccessDenials};
pub use record_call_failure::{CallSubject, RecordCallFailure};
pub use recover_exchange::{RecoverExchange, RecoveryCause};
pub use redeem_code::{RedeemCode, RedeemOutcome};
pub use refresh_token::RecordRefreshTokenUse;
pub use registration::{
    PairRejection, RejectedPair, RequestRegistrations, StepRejected, TakeRegistrationStep,
};
pub use resolve_failed_job::{FailedJobAction, ResolveFailedJob};
pub use run_job::{FinishJob, JobQueueDemand, LeaseJobs, LeasedJob, ReleaseJob};
pub use sealed_value::SealedValue;
#[cfg(feature = "seed")]
pub use seed::{
    AnalyzeTables, InstallLogInspection, OverwriteProviderSettings, SeedConnections, SeededConnection,
    SetConsentEnd, TouchConnection,
};
pub use set_metadata::SetMetadata;
pub use upstream_client::DetachUpstreamClient;
