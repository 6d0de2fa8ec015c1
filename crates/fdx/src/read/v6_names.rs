//! The names by which FDX 6.x differs from FDX 5.x.

/// For each category: the key of an account and the key of a transaction in FDX 5.x, and the category in FDX 6.x. The
/// key is empty if FDX 5.x has no such transaction.
pub(crate) const CATEGORIES: [(&str, &str, &str); 7] = [
    ("depositAccount", "depositTransaction", "DEPOSIT_ACCOUNT"),
    ("locAccount", "locTransaction", "LOC_ACCOUNT"),
    ("loanAccount", "loanTransaction", "LOAN_ACCOUNT"),
    ("investmentAccount", "investmentTransaction", "INVESTMENT_ACCOUNT"),
    ("insuranceAccount", "insuranceTransaction", "INSURANCE_ACCOUNT"),
    ("annuityAccount", "", "ANNUITY_ACCOUNT"),
    ("commercialAccount", "commercialTransaction", "COMMERCIAL_ACCOUNT"),
];

/// The member that contains the category.
pub(super) const CATEGORY: &str = "accountCategory";

/// The account types of commercial accounts as JSON, and their category in FDX 5.x, which has no common category for
/// commercial accounts.
pub(super) const COMMERCIAL_CATEGORIES: [(&str, &str); 4] = [
    (r#""COMMERCIALDEPOSIT""#, r#""DEPOSIT_ACCOUNT""#),
    (r#""COMMERCIALLOAN""#, r#""LOAN_ACCOUNT""#),
    (r#""COMMERCIALLINEOFCREDIT""#, r#""LOC_ACCOUNT""#),
    (r#""COMMERCIALINVESTMENT""#, r#""INVESTMENT_ACCOUNT""#),
];

/// Account types as JSON that were added after FDX 5.2, and the closest type of FDX 5.2.
pub(super) const NEWER_TYPES: [(&str, &str); 3] = [
    (r#""HIGHINTERESTSAVINGSACCOUNT""#, r#""SAVINGS""#),
    (r#""FIRSTHOMESAVINGSACCOUNT""#, r#""OTHERINVESTMENT""#),
    (r#""PREPAID""#, r#""OTHERDEPOSIT""#),
];

/// The fields of a page whose names differ, as pairs of the name in FDX 5.x and the name in FDX 6.x.
pub(crate) const PAGE_KEYS: [(&str, &str); 2] =
    [("nextOffset", "nextPageKey"), ("prevOffset", "previousPageKey")];

/// Returns the name in FDX 5.x of a field of a page in FDX 6.x.
pub(super) fn v5_page_key(name: &str) -> Option<&'static str> {
    PAGE_KEYS.iter().find(|(_, six)| *six == name).map(|(five, _)| *five)
}

/// Returns the category of an account or transaction with this key in FDX 5.x.
pub(super) fn category_of_key(key: &str) -> Option<&'static str> {
    let found = CATEGORIES.iter().find(|(account, transaction, _)| key == *account || key == *transaction);
    found.map(|(.., category)| *category)
}
