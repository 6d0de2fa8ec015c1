//! Deferred work that commits with what caused it (the outbox).

use std::time::Duration;

use crate::id::{ClientId, ConnectionId, JobId, ProviderId, Seed};
use crate::time::Timestamp;

use super::connection::BankState;

crate::words! {
    /// What a job does.
    pub enum JobKind {
        /// Tells the provider that a connection has ended.
        TellBank = "tell_bank",
        /// Revokes what is in hand at the provider of an authorization that failed on the way.
        RevokeOrphan = "revoke_orphan",
        /// Asks the provider once more with the code of an exchange that broke off, and revokes what comes.
        RecoverCode = "recover_code",
        /// Has the provider register a recipient's own client, and activates the registration with it.
        RegisterClient = "register_client",
        /// Has the provider delete a client of a recipient's own that is of no more use.
        DeleteClient = "delete_client",
    }
}

crate::words! {
    /// Where a job stands.
    pub enum JobState {
        /// To be done when due.
        Pending = "pending",
        /// Done; its sealed token is gone.
        Done = "done",
        /// Given up after the time allowed, or refused for good; a person must look.
        Dead = "dead",
    }
}

crate::words! {
    /// What became of a grant at a provider that no connection came of.
    pub enum Orphan {
        /// The provider has revoked it.
        Cleared = "cleared",
        /// It may live there.
        Possible = "possible",
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
    pub uncertain: bool,
    /// Tries so far.
    pub attempt: u32,
    /// Its own entropy, for the spread of its back-off.
    pub seed: Seed,
    /// When it is given up.
    pub give_up_at: Timestamp,
}

/// How a try went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The provider said yes.
    Accepted,
    /// The provider said no, and would say so again.
    Refused,
    /// The provider knows no more of what is in hand: there is nothing left to try.
    Over,
    /// A live connection hangs from the same grant: to revoke would end that one too.
    Overtaken,
    /// It must wait for something else, however long that takes: the time allowed begins when it need not wait.
    Waits,
    /// It may go better later; the provider may have said when.
    Later {
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
    Dead,
    /// Again at this time.
    Retry(Timestamp),
}

/// A job as a person looks after it: what was given up can be tried again or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// What it does.
    pub kind: JobKind,
    /// Where it stands.
    pub state: JobState,
    /// Whether it holds a sealed token still.
    pub holds_token: bool,
}

/// Why a person can do nothing with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSettled {
    /// It was not given up.
    #[error("The job is {0}: only one that is dead can be retried or closed")]
    NotDead(JobState),
    /// The provider has refused it for good and its token is gone.
    #[error("The job holds no token any more: it can only be closed")]
    NoToken,
}

impl DeadLetter {
    /// It is tried again, from the first try on.
    pub fn retry(self) -> Result<JobState, NotSettled> {
        self.is_dead()?;
        let has_all = self.holds_token || !self.kind.needs_token();
        if has_all { Ok(JobState::Pending) } else { Err(NotSettled::NoToken) }
    }

    /// Nobody tries it again, and its token goes. What the provider knows stays as it is.
    pub fn close(self) -> Result<JobState, NotSettled> {
        self.is_dead()?;
        Ok(JobState::Done)
    }

    fn is_dead(self) -> Result<(), NotSettled> {
        if self.state == JobState::Dead { Ok(()) } else { Err(NotSettled::NotDead(self.state)) }
    }
}

impl JobKind {
    /// Whether there is nothing to do without a token in hand.
    const fn needs_token(self) -> bool {
        !matches!(self, Self::RegisterClient)
    }
}

const FIRST: Duration = Duration::from_secs(5);
const CEILING: Duration = Duration::from_hours(6);

impl Job {
    /// What the provider knows of the end after a step; unchanged if there is nothing new.
    pub fn bank_state(&self, attempt: Attempt, step: JobStep) -> Option<BankState> {
        match (attempt, step) {
            (Attempt::Accepted, _) if self.uncertain => Some(BankState::Unverified),
            (Attempt::Accepted, _) => Some(BankState::Accepted),
            (Attempt::Refused | Attempt::Over, _) => Some(BankState::Refused),
            (Attempt::Overtaken, _) => Some(BankState::NotNeeded),
            (Attempt::Later { .. }, JobStep::Dead) => Some(BankState::Dead),
            (Attempt::Later { .. } | Attempt::Waits, _) => None,
        }
    }

    /// What became of the grant that an orphan's job is about; none while that is open.
    pub fn orphan(&self, attempt: Attempt, step: JobStep) -> Option<Orphan> {
        match (self.kind, attempt, step) {
            (JobKind::TellBank | JobKind::RegisterClient | JobKind::DeleteClient, ..)
            | (_, _, JobStep::Retry(_)) => None,
            (_, Attempt::Accepted, _) if !self.uncertain => Some(Orphan::Cleared),
            _ => Some(Orphan::Possible),
        }
    }

    /// What to do after a try that ended at `now`.
    pub fn after(&self, attempt: Attempt, now: Timestamp) -> JobStep {
        match attempt {
            Attempt::Accepted | Attempt::Over | Attempt::Overtaken => JobStep::Done,
            Attempt::Refused => JobStep::Dead,
            Attempt::Waits => JobStep::Retry(now.plus(self.backoff())),
            Attempt::Later { retry_after } => {
                let wait = self.backoff().max(retry_after.unwrap_or_default().min(CEILING));
                let due = now.plus(wait);
                if due >= self.give_up_at { JobStep::Dead } else { JobStep::Retry(due) }
            }
        }
    }

    /// `min(5 s × 4ⁿ, 6 h)`, spread by ± 20 % from the job's own seed.
    fn backoff(&self) -> Duration {
        let base = FIRST.saturating_mul(4_u32.saturating_pow(self.attempt)).min(CEILING);
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
            kind: JobKind::TellBank,
            connection_id: Some(ConnectionId::parse("con_1").unwrap()),
            provider_id: ProviderId::new(1000),
            client_id: None,
            data_key: vec![],
            token: vec![],
            verifier: None,
            identity: None,
            uncertain: false,
            attempt,
            seed: Seed::new(seed),
            give_up_at: NOW.plus(Duration::from_hours(7 * 24)),
        }
    }

    fn wait(job: &Job, retry_after: Option<Duration>) -> Duration {
        match job.after(Attempt::Later { retry_after }, NOW) {
            JobStep::Retry(due) => due.since(NOW),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn waits_grow_by_four_within_a_fifth_and_stop_at_six_hours(attempt in 0_u32..200, seed: [u8; 16]) {
            let base = FIRST.saturating_mul(4_u32.saturating_pow(attempt)).min(CEILING);
            let wait = wait(&job(attempt, seed), None);
            prop_assert!(wait >= base * 80 / 100 && wait <= base * 120 / 100, "{wait:?} of {base:?}");
        }
    }

    #[test]
    fn a_providers_retry_after_is_honoured_up_to_six_hours() {
        let job = job(0, [0; 16]);
        assert_eq!(wait(&job, Some(Duration::from_mins(1))), Duration::from_mins(1));
        assert_eq!(wait(&job, Some(Duration::from_hours(48))), CEILING);
    }

    #[test]
    fn an_orphan_is_cleared_by_a_yes_alone() {
        let said = |kind, attempt, give_up_at| {
            let job = Job { kind, give_up_at, ..job(0, [0; 16]) };
            job.orphan(attempt, job.after(attempt, NOW))
        };
        let later = Attempt::Later { retry_after: None };
        for kind in [JobKind::RevokeOrphan, JobKind::RecoverCode] {
            let in_time = NOW.plus(Duration::from_hours(1));
            assert_eq!(said(kind, Attempt::Accepted, in_time), Some(Orphan::Cleared));
            assert_eq!(said(kind, Attempt::Refused, in_time), Some(Orphan::Possible));
            assert_eq!(said(kind, Attempt::Over, in_time), Some(Orphan::Possible));
            assert_eq!(said(kind, Attempt::Overtaken, in_time), Some(Orphan::Possible));
            assert_eq!(said(kind, later, in_time), None, "it is tried again");
            assert_eq!(said(kind, later, NOW), Some(Orphan::Possible), "it is given up");
        }
        for kind in [JobKind::TellBank, JobKind::RegisterClient, JobKind::DeleteClient] {
            assert_eq!(said(kind, Attempt::Accepted, NOW), None, "{kind} is about no grant that is nobody's");
        }
    }

    #[test]
    fn a_person_settles_what_was_given_up_and_nothing_else() {
        for state in JobState::ALL.iter().copied() {
            let letter = |holds_token| DeadLetter { kind: JobKind::TellBank, state, holds_token };
            if state == JobState::Dead {
                let register = DeadLetter { kind: JobKind::RegisterClient, state, holds_token: false };
                assert_eq!(register.retry(), Ok(JobState::Pending), "it needs nothing in hand");
                assert_eq!(letter(true).retry(), Ok(JobState::Pending));
                assert_eq!(letter(false).retry(), Err(NotSettled::NoToken));
                assert_eq!(
                    (letter(true).close(), letter(false).close()),
                    (Ok(JobState::Done), Ok(JobState::Done))
                );
            } else {
                assert_eq!(letter(true).retry(), Err(NotSettled::NotDead(state)));
                assert_eq!(letter(true).close(), Err(NotSettled::NotDead(state)));
            }
        }
    }

    #[test]
    fn it_is_given_up_when_the_next_try_would_be_too_late() {
        let mut job = job(0, [0; 16]);
        job.give_up_at = NOW.plus(Duration::from_secs(1));
        assert_eq!(job.after(Attempt::Later { retry_after: None }, NOW), JobStep::Dead);
        assert!(matches!(job.after(Attempt::Waits, NOW), JobStep::Retry(_)), "it waits for a person, say");
        assert_eq!(job.after(Attempt::Accepted, NOW), JobStep::Done);
        assert_eq!(job.after(Attempt::Over, NOW), JobStep::Done);
        let overtaken = job.after(Attempt::Overtaken, NOW);
        assert_eq!(overtaken, JobStep::Done);
        assert_eq!(job.bank_state(Attempt::Overtaken, overtaken), Some(BankState::NotNeeded));
        assert_eq!(job.after(Attempt::Refused, NOW), JobStep::Dead);
    }
}
