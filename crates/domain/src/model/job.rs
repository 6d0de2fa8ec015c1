//! Jobs: deferred work that is committed in the same transaction as its cause (transactional outbox).

use std::time::Duration;

use crate::id::{ClientId, ConnectionId, JobId, ProviderId, Seed};
use crate::time::Timestamp;

use super::connection::UpstreamRevocation;
use super::provider::{EndpointGroup, RevokeMethod};

crate::str_enum! {
    /// The kind of a job. Every job calls a provider.
    pub enum JobKind {
        /// Revokes the tokens of an ended connection at the provider.
        RevokeAtProvider = "revoke_at_provider",
        /// Revokes tokens from an authorization that failed after the hub had obtained them. They belong to no
        /// connection.
        RevokeOrphanedGrant = "revoke_orphaned_grant",
        /// Repeats an interrupted exchange of the provider's code and revokes the tokens that result.
        RecoverAuthorizationCode = "recover_authorization_code",
        /// Registers an upstream client at the provider (RFC 7591) and activates the registration.
        RegisterUpstreamClient = "register_upstream_client",
        /// Deletes an upstream client that is no longer needed at the provider (RFC 7592).
        DeleteUpstreamClient = "delete_upstream_client",
        /// Repeats a refresh that the provider rejected with `invalid_grant`, before the connection ends.
        ConfirmInvalidGrant = "confirm_invalid_grant",
    }
}

crate::str_enum! {
    /// The state of a job: waiting for its next attempt, or finished.
    pub enum JobState {
        /// The job waits for its next attempt.
        Pending = "pending",
        /// No further attempt is necessary, or an operator closed the job. Its sealed token was deleted.
        Done = "done",
        /// The retry window is over or the provider refused permanently; an operator must retry or close the job.
        Failed = "failed",
    }
}

crate::str_enum! {
    /// The state of an orphaned grant (a grant without a connection) after its job has ended.
    pub enum OrphanedGrantStatus {
        /// The provider has revoked the grant.
        Revoked = "revoked",
        /// The grant may still be active at the provider.
        PossiblyActive = "possibly_active",
    }
}

crate::str_enum! {
    /// The type of a token at a provider. The values are those of `token_type_hint` (RFC 7009 §2.1).
    pub enum TokenType {
        /// A refresh token.
        RefreshToken = "refresh_token",
        /// An access token.
        AccessToken = "access_token",
    }
}

/// The sealed access token of the grant whose refresh token a job revokes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedAccessToken {
    /// The wrapped (encrypted) key of the token.
    pub data_key: Vec<u8>,
    /// The token, sealed under the key.
    pub token: Vec<u8>,
}

/// A job that a worker has leased.
#[derive(Clone, Debug)]
pub struct Job {
    /// The id, by which operators retry or close the job.
    pub id: JobId,
    /// The kind, which determines the call to the provider.
    pub kind: JobKind,
    /// The connection, to which the sealed token is bound; absent if the job concerns a registration.
    pub connection_id: Option<ConnectionId>,
    /// The provider that the job calls.
    pub provider_id: ProviderId,
    /// The recipient whose upstream client the job uses; absent if the provider has one client for all recipients.
    pub client_id: Option<ClientId>,
    /// The wrapped (encrypted) key of the sealed values; empty if there are none.
    pub data_key: Vec<u8>,
    /// The sealed secret that the job needs: a token to revoke, the authorization code of an interrupted exchange, or
    /// the client configuration access of a client to delete (RFC 7592).
    pub token: Vec<u8>,
    /// The type of `token`, if the job revokes one.
    pub token_type: TokenType,
    /// The access token of the same grant. It is tried if the provider does not revoke refresh tokens.
    pub access_token: Option<SealedAccessToken>,
    /// The id of the grant at the provider, sealed with its key, if a method of revocation needs it.
    pub grant_id: Option<Vec<u8>>,
    /// The methods of revocation that the provider has accepted. A later attempt does not repeat them.
    pub accepted_methods: Vec<RevokeMethod>,
    /// The sealed PKCE verifier of an interrupted exchange.
    pub verifier: Option<Vec<u8>>,
    /// The keyed hash of the customer's identity, if no connection identifies the customer of the token.
    pub identity: Option<Vec<u8>>,
    /// The provider may have issued another token of the grant that is not stored, or the token may be incomplete or expired.
    /// The revocation of the token then does not prove that the grant has ended.
    pub outcome_unknown: bool,
    /// The number of attempts before this one.
    pub attempt: u32,
    /// The number of earlier attempts that the provider refused with `invalid_request`.
    pub invalid_requests: u32,
    /// The entropy for the jitter of the back-off.
    pub seed: Seed,
    /// The end of the retry window. An attempt that would be due later is not made, and the job fails.
    pub retry_until: Timestamp,
}

/// The outcome of one attempt to run a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The provider accepted the call.
    Accepted,
    /// The provider refused the call, or no call can be made, and a retry would not change that.
    Refused,
    /// The provider does not know the token, code or client; there is nothing left to do.
    AlreadyGone,
    /// A live connection uses the same grant, which a revocation would end too.
    Superseded,
    /// The provider refused the call with `invalid_request`. A later attempt may succeed; the job counts such responses.
    InvalidRequest {
        /// The value of `Retry-After`, if the provider sent it.
        retry_after: Option<Duration>,
    },
    /// The job must wait for a condition, such as the release of a paused provider. The wait has no time limit: each
    /// blocked attempt restarts the retry window.
    Blocked,
    /// A later attempt may succeed.
    RetryLater {
        /// The value of `Retry-After`, if the provider sent it.
        retry_after: Option<Duration>,
    },
}

/// The step that follows an attempt of a job: the job is done, has failed, or is attempted again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStep {
    /// No further attempt is necessary.
    Done,
    /// No further attempt is made until an operator retries the job.
    Failed,
    /// The next attempt is made at or after this time.
    Retry(Timestamp),
}

/// The facts that determine whether an operator may retry or close a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManagedJob {
    /// The kind, which determines whether a retry needs the token.
    pub kind: JobKind,
    /// The state. Only a failed job can be retried or closed.
    pub state: JobState,
    /// The job still has its sealed token.
    pub has_token: bool,
}

/// Error for a job that an operator cannot retry or close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveJobError {
    /// The job has not failed. The value is its state.
    #[error("The job is {0}; only a failed job can be retried or closed")]
    NotFailed(JobState),
    /// The token was deleted, because the job failed too long ago.
    #[error("The token of the job was deleted; the job can only be closed")]
    NoToken,
}

impl ManagedJob {
    /// Returns the new state of a failed job that an operator schedules again. A kind that needs its token can be
    /// scheduled only while the token is stored.
    pub fn retry(self) -> Result<JobState, ResolveJobError> {
        self.ensure_failed()?;
        let can_retry = self.has_token || !self.kind.needs_token();
        if can_retry { Ok(JobState::Pending) } else { Err(ResolveJobError::NoToken) }
    }

    /// Returns the new state of a failed job that an operator closes: its token is deleted, and no further attempt is
    /// made.
    pub fn close(self) -> Result<JobState, ResolveJobError> {
        self.ensure_failed()?;
        Ok(JobState::Done)
    }

    fn ensure_failed(self) -> Result<(), ResolveJobError> {
        if self.state == JobState::Failed { Ok(()) } else { Err(ResolveJobError::NotFailed(self.state)) }
    }
}

impl JobKind {
    /// Returns the endpoints that a job of this kind calls first.
    pub const fn endpoint_group(self) -> EndpointGroup {
        match self {
            Self::RevokeAtProvider | Self::RevokeOrphanedGrant => EndpointGroup::Revocation,
            // The code is exchanged first. Only then is there a token to revoke.
            Self::RecoverAuthorizationCode | Self::ConfirmInvalidGrant => EndpointGroup::Token,
            Self::RegisterUpstreamClient | Self::DeleteUpstreamClient => EndpointGroup::Registration,
        }
    }

    const fn needs_token(self) -> bool {
        // A registration starts without a token; every other kind revokes or deletes something with it.
        !matches!(self, Self::RegisterUpstreamClient)
    }
}

const INITIAL_BACKOFF: Duration = Duration::from_secs(5);
const MAX_BACKOFF: Duration = Duration::from_hours(6);

impl Job {
    /// Returns the new revocation status of the connection after an attempt; `None` if it does not change.
    pub fn provider_revocation_after(
        &self,
        attempt: AttemptOutcome,
        step: JobStep,
    ) -> Option<UpstreamRevocation> {
        match (attempt, step) {
            // The provider revoked the token that the hub has, but another one may exist.
            (AttemptOutcome::Accepted, _) if self.may_leave_token() => Some(UpstreamRevocation::Unknown),
            (AttemptOutcome::Accepted, _) => Some(UpstreamRevocation::Accepted),
            (AttemptOutcome::Refused | AttemptOutcome::AlreadyGone, _) => Some(UpstreamRevocation::Refused),
            (AttemptOutcome::Superseded, _) => Some(UpstreamRevocation::NotNeeded),
            (AttemptOutcome::RetryLater { .. } | AttemptOutcome::InvalidRequest { .. }, JobStep::Failed) => {
                Some(UpstreamRevocation::Failed)
            }
            (
                AttemptOutcome::RetryLater { .. }
                | AttemptOutcome::InvalidRequest { .. }
                | AttemptOutcome::Blocked,
                _,
            ) => None,
        }
    }

    /// Returns the status of the orphaned grant after an attempt; `None` if a further attempt follows or the job
    /// concerns no orphaned grant.
    pub fn orphaned_grant_after(
        &self,
        attempt: AttemptOutcome,
        step: JobStep,
    ) -> Option<OrphanedGrantStatus> {
        match (self.kind, attempt, step) {
            (
                JobKind::RevokeAtProvider
                | JobKind::RegisterUpstreamClient
                | JobKind::DeleteUpstreamClient
                | JobKind::ConfirmInvalidGrant,
                ..,
            )
            | (_, _, JobStep::Retry(_)) => None,
            (_, AttemptOutcome::Accepted, _) if !self.may_leave_token() => Some(OrphanedGrantStatus::Revoked),
            // Without an accepted revocation nothing proves that the grant has ended.
            _ => Some(OrphanedGrantStatus::PossiblyActive),
        }
    }

    /// Returns whether a token of the grant may still be active although the provider has accepted the revocation of the token
    /// that the hub has. The revocation of the grant itself covers every token.
    fn may_leave_token(&self) -> bool {
        self.outcome_unknown && !self.accepted_methods.iter().any(|method| method.names_grant())
    }

    /// Returns the next step after an attempt that ended at `now`.
    pub fn next_step(&self, attempt: AttemptOutcome, now: Timestamp) -> JobStep {
        match attempt {
            AttemptOutcome::Accepted | AttemptOutcome::AlreadyGone | AttemptOutcome::Superseded => {
                JobStep::Done
            }
            AttemptOutcome::Refused => JobStep::Failed,
            AttemptOutcome::Blocked => JobStep::Retry(now.plus(self.backoff())),
            AttemptOutcome::RetryLater { retry_after } | AttemptOutcome::InvalidRequest { retry_after } => {
                // A provider may ask for a longer pause, but not for one that would use up the retry window.
                let wait = self.backoff().max(retry_after.unwrap_or_default().min(MAX_BACKOFF));
                let due = now.plus(wait);
                if due >= self.retry_until { JobStep::Failed } else { JobStep::Retry(due) }
            }
        }
    }

    /// Returns the delay before the next attempt: min(5 s × 4ⁿ, 6 h) ± 20 %, where n is the number of previous
    /// attempts.
    fn backoff(&self) -> Duration {
        let base = INITIAL_BACKOFF.saturating_mul(4_u32.saturating_pow(self.attempt)).min(MAX_BACKOFF);
        // The jitter comes from the stored seed, so that a repeated transaction computes the same time.
        let draw = self.seed.bytes()[self.attempt as usize % 16];
        let percent = 80 + u32::from(draw) * 40 / 255;
        base * percent / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn job(attempt: u32, seed: [u8; 16]) -> Job {
        Job {
            id: "job_1".parse().unwrap(),
            kind: JobKind::RevokeAtProvider,
            connection_id: Some("con_1".parse().unwrap()),
            provider_id: ProviderId::new(1000),
            client_id: None,
            data_key: vec![],
            token: vec![],
            token_type: TokenType::RefreshToken,
            access_token: None,
            grant_id: None,
            accepted_methods: vec![],
            verifier: None,
            identity: None,
            outcome_unknown: false,
            attempt,
            invalid_requests: 0,
            seed: Seed::new(seed),
            retry_until: NOW.plus(Duration::from_hours(7 * 24)),
        }
    }

    fn wait(job: &Job, retry_after: Option<Duration>) -> Duration {
        match job.next_step(AttemptOutcome::RetryLater { retry_after }, NOW) {
            JobStep::Retry(due) => due.since(NOW),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn job_backoff_grows_fourfold_with_jitter_up_to_maximum(attempt in 0_u32..200, seed: [u8; 16]) {
            let base = INITIAL_BACKOFF.saturating_mul(4_u32.saturating_pow(attempt)).min(MAX_BACKOFF);
            let wait = wait(&job(attempt, seed), None);
            prop_assert!(wait >= base * 80 / 100 && wait <= base * 120 / 100, "{wait:?} of {base:?}");
        }
    }

    #[test]
    fn job_retry_after_is_honoured_up_to_six_hours() {
        let job = job(0, [0; 16]);
        assert_eq!(wait(&job, Some(Duration::from_mins(1))), Duration::from_mins(1));
        assert_eq!(wait(&job, Some(Duration::from_hours(48))), MAX_BACKOFF);
    }

    #[test]
    fn orphaned_grant_is_cleared_only_by_accepted_revocation() {
        let status_after = |kind, attempt, retry_until| {
            let job = Job { kind, retry_until, ..job(0, [0; 16]) };
            job.orphaned_grant_after(attempt, job.next_step(attempt, NOW))
        };
        let later = AttemptOutcome::RetryLater { retry_after: None };
        for kind in [JobKind::RevokeOrphanedGrant, JobKind::RecoverAuthorizationCode] {
            let in_time = NOW.plus(Duration::from_hours(1));
            assert_eq!(
                status_after(kind, AttemptOutcome::Accepted, in_time),
                Some(OrphanedGrantStatus::Revoked)
            );
            assert_eq!(
                status_after(kind, AttemptOutcome::Refused, in_time),
                Some(OrphanedGrantStatus::PossiblyActive)
            );
            assert_eq!(
                status_after(kind, AttemptOutcome::AlreadyGone, in_time),
                Some(OrphanedGrantStatus::PossiblyActive)
            );
            assert_eq!(
                status_after(kind, AttemptOutcome::Superseded, in_time),
                Some(OrphanedGrantStatus::PossiblyActive)
            );
            assert_eq!(status_after(kind, later, in_time), None, "{kind} is retried");
            assert_eq!(
                status_after(kind, later, NOW),
                Some(OrphanedGrantStatus::PossiblyActive),
                "{kind} must be reported after the retry window"
            );
        }
        for kind in
            [JobKind::RevokeAtProvider, JobKind::RegisterUpstreamClient, JobKind::DeleteUpstreamClient]
        {
            assert_eq!(
                status_after(kind, AttemptOutcome::Accepted, NOW),
                None,
                "{kind} concerns no orphaned grant"
            );
        }
    }

    #[test]
    fn only_failed_jobs_can_be_retried_or_closed() {
        for state in JobState::ALL.iter().copied() {
            let managed_job = |has_token| ManagedJob { kind: JobKind::RevokeAtProvider, state, has_token };
            if state == JobState::Failed {
                let register = ManagedJob { kind: JobKind::RegisterUpstreamClient, state, has_token: false };
                assert_eq!(register.retry(), Ok(JobState::Pending), "registration needs no token");
                assert_eq!(managed_job(true).retry(), Ok(JobState::Pending));
                assert_eq!(managed_job(false).retry(), Err(ResolveJobError::NoToken));
                assert_eq!(
                    (managed_job(true).close(), managed_job(false).close()),
                    (Ok(JobState::Done), Ok(JobState::Done))
                );
            } else {
                assert_eq!(managed_job(true).retry(), Err(ResolveJobError::NotFailed(state)));
                assert_eq!(managed_job(true).close(), Err(ResolveJobError::NotFailed(state)));
            }
        }
    }

    #[test]
    fn job_fails_when_next_attempt_would_pass_deadline() {
        let mut job = job(0, [0; 16]);
        job.retry_until = NOW.plus(Duration::from_secs(1));
        assert_eq!(job.next_step(AttemptOutcome::RetryLater { retry_after: None }, NOW), JobStep::Failed);
        assert!(
            matches!(job.next_step(AttemptOutcome::Blocked, NOW), JobStep::Retry(_)),
            "blocked job must not fail"
        );
        assert_eq!(job.next_step(AttemptOutcome::Accepted, NOW), JobStep::Done);
        assert_eq!(job.next_step(AttemptOutcome::AlreadyGone, NOW), JobStep::Done);
        let superseded = job.next_step(AttemptOutcome::Superseded, NOW);
        assert_eq!(superseded, JobStep::Done);
        assert_eq!(
            job.provider_revocation_after(AttemptOutcome::Superseded, superseded),
            Some(UpstreamRevocation::NotNeeded)
        );
        assert_eq!(job.next_step(AttemptOutcome::Refused, NOW), JobStep::Failed);
    }

    #[test]
    fn revoked_token_proves_nothing_if_another_one_may_exist() {
        use AttemptOutcome as A;
        let (in_time, too_late) = (JobStep::Retry(NOW), JobStep::Failed);
        let retried = [A::RetryLater { retry_after: None }, A::InvalidRequest { retry_after: None }];
        let mut expectations = vec![
            (A::Refused, JobStep::Failed, Some(UpstreamRevocation::Refused)),
            (A::AlreadyGone, JobStep::Done, Some(UpstreamRevocation::Refused)),
            (A::Superseded, JobStep::Done, Some(UpstreamRevocation::NotNeeded)),
            (A::Blocked, in_time, None),
        ];
        expectations.extend(retried.map(|attempt| (attempt, in_time, None)));
        expectations.extend(retried.map(|attempt| (attempt, too_late, Some(UpstreamRevocation::Failed))));

        for (outcome_unknown, accepted, grant) in [
            (false, UpstreamRevocation::Accepted, OrphanedGrantStatus::Revoked),
            (true, UpstreamRevocation::Unknown, OrphanedGrantStatus::PossiblyActive),
        ] {
            let job = Job { kind: JobKind::RevokeOrphanedGrant, outcome_unknown, ..job(0, [0; 16]) };
            let after = job.provider_revocation_after(A::Accepted, JobStep::Done);
            assert_eq!(after, Some(accepted), "unknown: {outcome_unknown}");
            assert_eq!(job.orphaned_grant_after(A::Accepted, JobStep::Done), Some(grant));
            for (attempt, step, expected) in &expectations {
                assert_eq!(job.provider_revocation_after(*attempt, *step), *expected, "{attempt:?} {step:?}");
            }
        }
    }

    #[test]
    fn job_jitter_follows_seed_of_attempt() {
        let seed: [u8; 16] = std::array::from_fn(|nth| if nth == 1 { 255 } else { 0 });

        for (attempt, seconds) in [(0, 4), (1, 24), (2, 64), (17, 25_920), (32, 17_280)] {
            assert_eq!(wait(&job(attempt, seed), None), Duration::from_secs(seconds), "attempt {attempt}");
        }
        let middle = job(0, [128; 16]);
        assert_eq!(wait(&middle, None), Duration::from_secs(5), "128 of 255 is the middle");
    }

    #[test]
    fn job_calls_endpoints_of_its_kind() {
        for (kind, group) in [
            (JobKind::RevokeAtProvider, EndpointGroup::Revocation),
            (JobKind::RevokeOrphanedGrant, EndpointGroup::Revocation),
            (JobKind::RecoverAuthorizationCode, EndpointGroup::Token),
            (JobKind::ConfirmInvalidGrant, EndpointGroup::Token),
            (JobKind::RegisterUpstreamClient, EndpointGroup::Registration),
            (JobKind::DeleteUpstreamClient, EndpointGroup::Registration),
        ] {
            assert_eq!(kind.endpoint_group(), group, "{kind}");
        }
    }
}
