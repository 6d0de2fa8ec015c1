//! The scopes that the bank knows, and what its pages call them.

/// A word of a scope.
pub(super) struct Word {
    /// As OAuth names it.
    pub(super) scope: &'static str,
    /// The end of the key of its text.
    pub(super) text: &'static str,
}

const fn word(scope: &'static str, text: &'static str) -> Word {
    Word { scope, text }
}

/// Account numbers have three names in the wild.
const WORDS: &[Word] = &[
    word("fdx:accountbasic:read", "accounts"),
    word("fdx:accountdetailed:read", "balances"),
    word("fdx:transactions:read", "transactions"),
    word("fdx:investments:read", "investments"),
    word("fdx:statements:read", "statements"),
    word("fdx:paymentnetworks:read", "numbers"),
    word("fdx:accountpayments:read", "numbers"),
    word("fdx:paymentsupport:read", "numbers"),
    word("fdx:customercontact:read", "contact"),
    word("fdx:customerpersonal:read", "personal"),
];

/// What a scope asks for, in the order of the pages, each once.
pub(super) fn known(scope: &str) -> Vec<&'static Word> {
    let asked: Vec<&str> = scope.split(' ').collect();
    let mut known: Vec<&Word> = WORDS.iter().filter(|w| asked.contains(&w.scope)).collect();
    known.dedup_by_key(|w| w.text);
    known
}

/// The part of a scope that the bank knows, as it was written.
pub(super) fn granted(scope: &str) -> String {
    let words = scope.split(' ').filter(|asked| WORDS.iter().any(|w| w.scope == *asked));
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
    fn what_is_not_known_is_not_granted_and_what_is_asked_twice_is_said_once() {
        let asked =
            "openid fdx:accountbasic:read fdx:paymentsupport:read fdx:paymentnetworks:read fdx:tax:read";
        assert_eq!(granted(asked), "fdx:accountbasic:read fdx:paymentsupport:read fdx:paymentnetworks:read");
        let texts: Vec<&str> = known(asked).iter().map(|w| w.text).collect();
        assert_eq!(texts, ["accounts", "numbers"]);
        assert!(covers(asked, &["x", "paymentsupport"]) && !covers(asked, &["transactions"]));
    }
}
