//! The combination of several methods of revocation at one provider.
//!
//! Each method of the settings must succeed. The failure of one does not keep the hub from trying the others.

use crate::model::provider::RevokeMethod;

use super::provider_response::RevocationStep;

/// The result of one method in an attempt to revoke a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodResult {
    /// The method.
    pub method: RevokeMethod,
    /// The consequence of the provider's response.
    pub step: RevocationStep,
    /// True if the provider does not know the token or the grant.
    pub is_grant_unknown: bool,
}

/// Decides the consequence of an attempt from the results of its methods, in their order. `accepted_before` are the methods
/// that the provider accepted in earlier attempts, which are not repeated.
pub fn combine_methods(results: &[MethodResult], accepted_before: &[RevokeMethod]) -> RevocationStep {
    let mut is_grant_revoked = accepted_before.iter().any(|method| method.names_grant());
    let mut combined = RevocationStep::Accepted;
    for result in results {
        // The provider has ended this very grant before, so it is the reason why the provider no longer knows it.
        if result.is_grant_unknown && is_grant_revoked {
            continue;
        }
        match result.step {
            RevocationStep::Accepted => is_grant_revoked |= result.method.names_grant(),
            step => combined = more_urgent(combined, step),
        }
    }
    combined
}

/// Returns the step that decides about an attempt with both. A rejected request is counted even if another method is only
/// delayed, so that a method which never succeeds becomes final.
const fn more_urgent(first: RevocationStep, second: RevocationStep) -> RevocationStep {
    const fn urgency(step: RevocationStep) -> u8 {
        match step {
            RevocationStep::Accepted => 0,
            RevocationStep::Refused | RevocationStep::TryOtherToken => 1,
            RevocationStep::Retry => 2,
            RevocationStep::CountAndRetry => 3,
        }
    }
    if urgency(second) > urgency(first) { second } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn result(method: RevokeMethod, step: RevocationStep) -> MethodResult {
        MethodResult { method, step, is_grant_unknown: false }
    }

    const fn unknown(method: RevokeMethod) -> MethodResult {
        MethodResult { method, step: RevocationStep::Refused, is_grant_unknown: true }
    }

    #[test]
    fn attempt_is_accepted_only_if_each_method_is() {
        use RevocationStep::{Accepted, CountAndRetry, Refused, Retry, TryOtherToken};
        for (first, second, combined) in [
            (Accepted, Accepted, Accepted),
            (Accepted, Refused, Refused),
            (Refused, Accepted, Refused),
            (Refused, TryOtherToken, Refused),
            (Refused, Retry, Retry),
            (Retry, CountAndRetry, CountAndRetry),
            (CountAndRetry, Accepted, CountAndRetry),
        ] {
            let results = [result(RevokeMethod::FdxConsent, first), result(RevokeMethod::Rfc7009, second)];
            assert_eq!(combine_methods(&results, &[]), combined, "{first:?} {second:?}");
        }
    }

    #[test]
    fn unknown_grant_is_accepted_only_after_its_revocation() {
        use RevocationStep::{Accepted, Refused, Retry};
        let consent = |step| result(RevokeMethod::FdxConsent, step);
        let after = |first, before: &[_]| combine_methods(&[first, unknown(RevokeMethod::Rfc7009)], before);

        assert_eq!(after(consent(Accepted), &[]), Accepted);
        assert_eq!(after(consent(Retry), &[]), Retry);
        assert_eq!(after(consent(Refused), &[]), Refused);
        let both = [consent(Accepted), result(RevokeMethod::GrantManagement, Accepted)];
        assert_eq!(combine_methods(&[both[0], both[1], unknown(RevokeMethod::Rfc7009)], &[]), Accepted);
        let single = [unknown(RevokeMethod::GrantManagement)];
        assert_eq!(combine_methods(&single, &[RevokeMethod::FdxConsent]), Accepted);
        // A revoked token does not prove that the path of the consent is the right one.
        assert_eq!(combine_methods(&single, &[RevokeMethod::Rfc7009]), Refused);
    }
}
