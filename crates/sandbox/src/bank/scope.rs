//! The scopes that the banks support, and the texts that describe them on pages.

/// A supported scope value with the key of the text that describes it.
pub(super) struct ScopeLabel {
    pub(super) scope: &'static str,
    /// The last part of the key of the text that describes the scope on the consent page.
    pub(super) text_key: &'static str,
}

const fn label(scope: &'static str, text_key: &'static str) -> ScopeLabel {
    ScopeLabel { scope, text_key }
}

/// The supported scopes in the order of the pages. Three names for account numbers are in use among FDX providers.
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

/// Returns the labels of a scope in the order of the pages, without duplicate texts.
pub(super) fn find_labels(scope: &str) -> Vec<&'static ScopeLabel> {
    let requested: Vec<&str> = scope.split(' ').collect();
    let mut labels: Vec<&ScopeLabel> =
        SCOPE_LABELS.iter().filter(|label| requested.contains(&label.scope)).collect();
    labels.dedup_by_key(|label| label.text_key);
    labels
}

/// Returns the supported values of a scope in their original order.
pub(super) fn filter_supported(scope: &str) -> String {
    let supported = scope.split(' ').filter(|value| SCOPE_LABELS.iter().any(|label| label.scope == *value));
    supported.collect::<Vec<_>>().join(" ")
}

/// Returns the supported scopes in the order of the pages.
pub(super) fn supported_scopes() -> impl Iterator<Item = &'static str> {
    SCOPE_LABELS.iter().map(|label| label.scope)
}

/// Returns true if a scope contains the value `fdx:CLUSTER:read` for one of the clusters.
pub(super) fn covers(scope: &str, clusters: &[&str]) -> bool {
    let cluster = |value: &str| {
        let cluster = value.strip_prefix("fdx:").and_then(|rest| rest.strip_suffix(":read"));
        cluster.is_some_and(|cluster| clusters.contains(&cluster))
    };
    scope.split(' ').any(cluster)
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

        let texts: Vec<&str> = find_labels(requested).iter().map(|label| label.text_key).collect();
        assert_eq!(texts, ["accounts", "numbers"]);
        assert!(covers(requested, &["x", "paymentsupport"]) && !covers(requested, &["transactions"]));
    }
}
