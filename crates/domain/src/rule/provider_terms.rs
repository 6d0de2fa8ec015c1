//! The terms of a grant, as the provider states them: in the token response, by introspection and in its Consent API.
//!
//! Statements only narrow what the customer has agreed to at the hub. One that cannot be read, or contradicts another one, has no effect:
//! the provider itself enforces what it has granted, so a connection that can be kept must not be lost because of it.

mod parse;

use std::collections::BTreeSet;

use crate::error::OAuthError;
use crate::model::connection::is_valid_account_list;
use crate::rule::authorization_failure::{FAILED, NO_ACCOUNT_SELECTED};
use crate::rule::authorize::SCOPE_NOT_GRANTED;
use crate::scope::{Clusters, DataCluster};
use crate::time::Timestamp;

pub use parse::{ConsentEndedError, parse_authorization_details, parse_consent, parse_introspection};

/// The statement of one source about a grant. A value that the source does not state is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TermsStatement {
    /// The granted data clusters.
    pub clusters: Option<Clusters>,
    /// The provider's ids of the granted accounts.
    pub accounts: Option<Vec<String>>,
    /// The end of the consent.
    pub consent_ends_at: Option<Timestamp>,
    /// The end of the refresh token.
    pub refresh_expires_at: Option<Timestamp>,
    /// The parts of the statement that could not be read.
    pub problems: Vec<TermsProblem>,
}

/// A part of a statement that has no effect, with the reason. It contains no value of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsProblem {
    /// A member has another form than the standard defines.
    #[error("`{0}` cannot be read")]
    Unreadable(&'static str),
    /// None of the named data clusters is known.
    #[error("`{0}` names no data cluster that the hub knows")]
    UnknownClusters(&'static str),
    /// An account has an id that the hub cannot serve, so the account is left out.
    #[error("an account has an id that is too long or not printable")]
    UnusableAccountId,
    /// The end of the consent or of the refresh token has passed, although the provider has just issued it.
    #[error("the stated end has passed")]
    EndHasPassed,
    /// The provider describes a consent for a single use, which the hub cannot represent.
    #[error("`durationType` is ONE_TIME, which does not state an end")]
    SingleUse,
    /// No account is named by this source and by an earlier one.
    #[error("the accounts are not those of another source")]
    OtherAccounts,
    /// The consent has another id than the one that was requested.
    #[error("`id` is that of another consent")]
    OtherConsent,
    /// The introspection endpoint does not know the refresh token.
    #[error("the refresh token is not active, or the provider does not introspect refresh tokens")]
    InactiveToken,
}

/// The terms of a new connection, while the statements of the provider narrow them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedTerms {
    /// The data clusters that the recipient may read.
    pub clusters: Clusters,
    /// The provider's ids of the accounts; absent if no source names them.
    pub accounts: Option<Vec<String>>,
    /// The end of the consent, which a refresh cannot move.
    pub consent_ends_at: Timestamp,
    /// The end of the connection, which is that of the refresh token if that is earlier.
    pub expires_at: Timestamp,
}

impl GrantedTerms {
    /// Creates the terms that the customer agreed to at the hub.
    pub const fn new(clusters: Clusters, consent_ends_at: Timestamp) -> Self {
        Self { clusters, accounts: None, consent_ends_at, expires_at: consent_ends_at }
    }

    /// Narrows the terms to those that a source states. Returns the parts of the statement that have no effect.
    pub fn narrow(&mut self, statement: TermsStatement, now: Timestamp) -> Vec<TermsProblem> {
        let TermsStatement { clusters, accounts, consent_ends_at, refresh_expires_at, mut problems } =
            statement;
        if let Some(clusters) = clusters {
            self.clusters = self.clusters.intersection(clusters);
        }
        if let Some(accounts) = accounts {
            problems.extend(self.narrow_accounts(accounts));
        }
        let mut keep_future = |end: Option<Timestamp>| {
            let end = end?;
            if end <= now {
                problems.push(TermsProblem::EndHasPassed);
                return None;
            }
            Some(end)
        };
        let (consent_end, token_end) = (keep_future(consent_ends_at), keep_future(refresh_expires_at));
        self.consent_ends_at = consent_end.map_or(self.consent_ends_at, |end| end.min(self.consent_ends_at));
        let end = self.expires_at.min(self.consent_ends_at);
        self.expires_at = token_end.map_or(end, |token_end| token_end.min(end));
        problems
    }

    fn narrow_accounts(&mut self, stated: Vec<String>) -> Option<TermsProblem> {
        let Some(known) = &self.accounts else {
            self.accounts = Some(stated);
            return None;
        };
        let stated: BTreeSet<String> = stated.into_iter().collect();
        let both: Vec<String> = known.iter().filter(|id| stated.contains(*id)).cloned().collect();
        // Two sources that agree on no account use different ids, so the second one says nothing about the first. An empty list says
        // that no account is granted.
        if both.is_empty() && !known.is_empty() && !stated.is_empty() {
            return Some(TermsProblem::OtherAccounts);
        }
        self.accounts = Some(both);
        None
    }

    /// Ensures that a connection with these terms is of use, and that its list of accounts may be stored.
    pub fn ensure_usable(&self) -> Result<(), OAuthError> {
        if !self.clusters.contains(DataCluster::AccountBasic) {
            return Err(SCOPE_NOT_GRANTED);
        }
        match &self.accounts {
            Some(accounts) if accounts.is_empty() => Err(NO_ACCOUNT_SELECTED),
            Some(accounts) if !is_valid_account_list(accounts) => Err(FAILED),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "provider_terms_tests.rs"]
mod tests;
