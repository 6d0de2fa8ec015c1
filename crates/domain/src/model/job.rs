//! Deferred work that commits with what caused it (the outbox).

use std::time::Duration;

use crate::id::{ClientId, ConnectionId, JobId, ProviderId, Seed};
use crate::time::Timestamp;

use super::connection::UpstreamRevocation;

crate::str_enum! {
    /// What a job does.
    pub enum JobKind {
        /// Tells the provider that a connection has ended.
        RevokeAtProvider = "revoke_at_provider",
        /// Revokes what is in hand at the provider of an authorization that failed on the way.
        RevokeOrphanedGrant = "revoke_orphaned_grant",
        /// Asks the provider once more with the code of an exchange that broke off, and revokes what comes.
        RecoverAuthorizationCode = "recover_authorization_code",
        /// Has the provider register a recipient's own client, and activates the registration with it.
        RegisterUpstreamClient = "register_upstream_client",
        /// Has the provider delete a client of a recipient's own that is of no more use.
        DeleteUpstreamClient = "delete_upstream_client",
    }
}

crate::str_enum! {
    /// Where a job stands.
    pub enum JobState {
        /// To be done when due.
        Pending = "pending",
        /// Done; its sealed token is gone.
        Done = "done",
        /// Given up after the time allowed, or refused for good; a person must look.
        Failed = "failed",
    }
}

crate::str_enum! {
    /// The state of an orphaned grant after its job has ended.
    pub enum OrphanedGrantStatus {
        /// The provider has revoked it.
        Revoked = "revoked",
        /// The grant may still be active at the provider.
        PossiblyActive = "possibly_active",
    }
}

/// A job as leased by a worker.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// The connection it is about, to which the sealed token is bound; none if it is about a registration.
    pub connection_id: Option<ConnectionId>,
    /// The provider to tell.
    pub provider_id: ProviderId,
    /// The recipient that it is for, where the provider has a client for each.
    pub client_id: Option<ClientId>,
    /// The wrapped key that the token is sealed under; empty if there is nothing that is sealed.
    pub data_key: Vec<u8>,
    /// The sealed token, the sealed code of an exchange that broke off, or how to delete a client, sealed.
    pub token: Vec<u8>,
    /// The sealed PKCE verifier of that code.
    pub verifier: Option<Vec<u8>>,
    /// The keyed hash of the customer's identity, where no connection tells whose token it is.
    pub identity: Option<Vec<u8>>,
    /// Whether a refresh died without a word, so that a token which we never saw may live.
    pub refresh_outcome_unknown: bool,
    /// Tries so far.
    pub attempt: u32,
    /// Its own entropy, for the spread of its back-off.
    pub seed: Seed,
    /// When it is given up.
    pub retry_until: Timestamp,
}

/// How a try went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The provider said yes.
    Accepted,
    /// The provider said no, and would say so again.
    Refused,
    /// The provider knows no more of what is in hand: there is nothing left to try.
    AlreadyGone,
    /// A live connection hangs from the same grant: to revoke would end that one too.
    Superseded,
    /// It must wait for something else, however long that takes: the time allowed begins when it need not wait.
    Blocked,
    /// It may go better later; the provider may have said when.
    RetryLater {
        /// `Retry-After`, if it was given.
        retry_after: Option<Duration>,
    },
}

/// What becomes of a job after a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStep {
    /// Finished.
    Done,
    /// Over without success.
    Failed,
    /// Again at this time.
    Retry(Timestamp),
}

/// A job as a person looks after it: what was given up can be tried again or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManagedJob {
    /// What it does.
    pub kind: JobKind,
    /// Where it stands.
    pub state: JobState,
    /// Whether it holds a sealed token still.
    pub has_token: bool,
}

/// Why a person can do nothing with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveJobError {
    /// It was not given up.
    #[error("The job is {0}: only one that has failed can be retried or closed")]
    NotFailed(JobState),
    /// The provider has refused it for good and its token is gone.
    #[error("The job holds no token any more: it can only be closed")]
    NoToken,
}

impl ManagedJob {
    /// It is tried again, from the first try on.
    pub fn retry(self) -> Result<JobState, ResolveJobError> {
        self.ensure_failed()?;
        let can_retry = self.has_token || !self.kind.needs_token();
        if can_retry { Ok(JobState::Pending) } else { Err(ResolveJobError::NoToken) }
    }

    /// Nobody tries it again, and its token goes. What the provider knows stays as it is.
    pub fn close(self) -> Result<JobState, ResolveJobError> {
        self.ensure_failed()?;
        Ok(JobState::Done)
    }

    fn ensure_failed(self) -> Result<(), ResolveJobError> {
        if self.state == JobState::Failed { Ok(()) } else { Err(ResolveJobError::NotFailed(self.state)) }
    }
}

impl JobKind {
    /// Whether there is nothing to do without a token in hand.
    const fn needs_token(self) -> bool {
        !matches!(self, Self::RegisterUpstreamClient)
    }
}

const INITIAL_BACKOFF: Duration = Duration::from_secs(5);
const MAX_BACKOFF: Duration = Duration::from_hours(6);

impl Job {
    /// What the provider knows of the end after a step; unchanged if there is nothing new.
    pub fn provider_revocation_after(
        &self,
        attempt: AttemptOutcome,
        step: JobStep,
    ) -> Option<UpstreamRevocation> {
        match (attempt, step) {
            (AttemptOutcome::Accepted, _) if self.refresh_outcome_unknown => {
                Some(UpstreamRevocation::Unknown)
            }
            (AttemptOutcome::Accepted, _) => Some(UpstreamRevocation::Accepted),
            (AttemptOutcome::Refused | AttemptOutcome::AlreadyGone, _) => Some(UpstreamRevocation::Refused),
            (AttemptOutcome::Superseded, _) => Some(UpstreamRevocation::NotNeeded),
            (AttemptOutcome::RetryLater { .. }, JobStep::Failed) => Some(UpstreamRevocation::Failed),
            (AttemptOutcome::RetryLater { .. } | AttemptOutcome::Blocked, _) => None,
        }
    }

    /// What became of the grant that an orphan's job is about; none while that is open.
    pub fn orphaned_grant_after(
        &self,
        attempt: AttemptOutcome,
        step: JobStep,
    ) -> Option<OrphanedGrantStatus> {
        match (self.kind, attempt, step) {
            (
                JobKind::RevokeAtProvider | JobKind::RegisterUpstreamClient | JobKind::DeleteUpstreamClient,
                ..,
            )
            | (_, _, JobStep::Retry(_)) => None,
            (_, AttemptOutcome::Accepted, _) if !self.refresh_outcome_unknown => {
                Some(OrphanedGrantStatus::Revoked)
            }
            _ => Some(OrphanedGrantStatus::PossiblyActive),
        }
    }

    /// What to do after a try that ended at `now`.
    pub fn next_step(&self, attempt: AttemptOutcome, now: Timestamp) -> JobStep {
        match attempt {
            AttemptOutcome::Accepted | AttemptOutcome::AlreadyGone | AttemptOutcome::Superseded => {
                JobStep::Done
            }
            AttemptOutcome::Refused => JobStep::Failed,
            AttemptOutcome::Blocked => JobStep::Retry(now.plus(self.backoff())),
            AttemptOutcome::RetryLater { retry_after } => {
                let wait = self.backoff().max(retry_after.unwrap_or_default().min(MAX_BACKOFF));
                let due = now.plus(wait);
                if due >= self.retry_until { JobStep::Failed } else { JobStep::Retry(due) }
            }
        }
    }

    /// `min(5 s × 4ⁿ, 6 h)`, spread by ± 20 % from the job's own seed.
    fn backoff(&self) -> Duration {
        let base = INITIAL_BACKOFF.saturating_mul(4_u32.saturating_pow(self.attempt)).min(MAX_BACKOFF);
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
            id: JobId::parse("job_1").unwrap(),
            kind: JobKind::RevokeAtProvider,
            connection_id: Some(ConnectionId::parse("con_1").unwrap()),
            provider_id: ProviderId::new(1000),
            client_id: None,
            data_key: vec![],
            token: vec![],
            verifier: None,
            identity: None,
            refresh_outcome_unknown: false,
            attempt,
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
            assert_eq!(status_after(kind, later, in_time), None, "it is tried again");
            assert_eq!(
                status_after(kind, later, NOW),
                Some(OrphanedGrantStatus::PossiblyActive),
                "it is given up"
            );
        }
        for kind in
            [JobKind::RevokeAtProvider, JobKind::RegisterUpstreamClient, JobKind::DeleteUpstreamClient]
        {
            assert_eq!(
                status_after(kind, AttemptOutcome::Accepted, NOW),
                None,
                "{kind} is about no grant that is nobody's"
            );
        }
    }

    #[test]
    fn only_failed_jobs_can_be_retried_or_closed() {
        for state in JobState::ALL.iter().copied() {
            let managed_job =
                |holds_token| ManagedJob { kind: JobKind::RevokeAtProvider, state, has_token: holds_token };
            if state == JobState::Failed {
                let register = ManagedJob { kind: JobKind::RegisterUpstreamClient, state, has_token: false };
                assert_eq!(register.retry(), Ok(JobState::Pending), "it needs nothing in hand");
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
            "it waits for a person, say"
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
}
