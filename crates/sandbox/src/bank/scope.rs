//! The scopes that the bank knows, and what its pages call them.

/// A word of a scope.
pub(super) struct ScopeLabel {
    /// As OAuth names it.
    pub(super) scope: &'static str,
    /// The end of the key of its text.
    pub(super) text: &'static str,
}

const fn label(scope: &'static str, text: &'static str) -> ScopeLabel {
    ScopeLabel { scope, text }
}

/// Account numbers have three names in the wild.
const SCOPE_LABELS: &[ScopeLabel] = &[
    label("fdx:accountbasic:read", "accounts"),
    label("fdx:accountdetailed:read", "balances"),
    label("fdx:transactions:read", "transactions"),
    label("fdx:investments:read", "investments"),
    label("fdx:statements:read", "statements"),
    label("fdx:paymentnetworks:read", "numbers"),
    label("fdx:accountpayments:read", "numbers"),
    label("fdx:paymentsupport:read", "numbers"),
    label("fdx:customercontact:read", "contact"),
    label("fdx:customerpersonal:read", "personal"),
];

/// What a scope asks for, in the order of the pages, each once.
pub(super) fn find_labels(scope: &str) -> Vec<&'static ScopeLabel> {
    let requested: Vec<&str> = scope.split(' ').collect();
    let mut labels: Vec<&ScopeLabel> = SCOPE_LABELS.iter().filter(|w| requested.contains(&w.scope)).collect();
    labels.dedup_by_key(|w| w.text);
    labels
}

/// The part of a scope that the bank knows, as it was written.
pub(super) fn filter_supported(scope: &str) -> String {
    let words = scope.split(' ').filter(|asked| SCOPE_LABELS.iter().any(|w| w.scope == *asked));
    words.collect::<Vec<_>>().join(" ")
}

/// Whether a scope covers one of some clusters, named as between the colons.
pub(super) fn covers(scope: &str, any_of: &[&str]) -> bool {
    let cluster =
        |word: &str| word.strip_prefix("fdx:").and_then(|w| w.strip_suffix(":read")).map(str::to_owned);
    scope.split(' ').filter_map(cluster).any(|granted| any_of.contains(&granted.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_drops_unknown_values_and_merges_equal_labels() {
        let requested =
            "openid fdx:accountbasic:read fdx:paymentsupport:read fdx:paymentnetworks:read fdx:tax:read";
        assert_eq!(
            filter_supported(requested),
            "fdx:accountbasic:read fdx:paymentsupport:read fdx:paymentnetworks:read"
        );
        let texts: Vec<&str> = find_labels(requested).iter().map(|w| w.text).collect();
        assert_eq!(texts, ["accounts", "numbers"]);
        assert!(covers(requested, &["x", "paymentsupport"]) && !covers(requested, &["transactions"]));
    }
}
