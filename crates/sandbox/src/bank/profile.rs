//! How one bank differs from another: data, no code.

use super::book::{self, Books};
use super::fdx_format::Version;
use crate::text::SandboxLanguage;

#[expect(clippy::struct_excessive_bools, reason = "each is a habit of its own")]
pub(crate) struct BankProfile {
    pub(crate) name: &'static str,
    /// What its cookies, texts and secrets are named after.
    pub(crate) key: &'static str,
    pub(crate) css: &'static str,
    /// The language of its pages unless another is asked for.
    pub(crate) language: SandboxLanguage,
    /// Whether it says what is asked for before the customer signs in.
    pub(super) shows_request_first: bool,
    /// Whether answers leave out what the scope does not name. A bank that does not is there to show that the
    /// hub does.
    pub(super) filters_by_scope: bool,
    /// Whether a refresh brings another refresh token, unless a lever says otherwise.
    pub(super) rotates_refresh_tokens: bool,
    /// Whether a customer has one grant with a client: what ends one token ends them all.
    pub(super) has_single_grant_per_client: bool,
    /// The version of FDX that it speaks.
    pub(super) fdx_version: Version,
    /// Whether a statement's own address says where the document is.
    pub(super) has_document_endpoint: bool,
    /// Whether clients may register by themselves.
    pub(super) supports_registration: bool,
    pub(super) grant_prefix: &'static str,
    pub(super) client_prefix: &'static str,
    pub(super) reply_names: ReplyNames,
    pub(super) books: &'static Books,
}

/// What the token endpoint calls that which OAuth has no name for.
pub(super) struct ReplyNames {
    pub(super) customer: &'static str,
    pub(super) accounts: &'static str,
    pub(super) grant: &'static str,
}

const ENGLISH_REPLY_NAMES: ReplyNames =
    ReplyNames { customer: "customer_id", accounts: "accounts", grant: "grant_id" };

pub(super) const MAPLE: BankProfile = BankProfile {
    name: "Maple Trust",
    key: "maple",
    css: concat!(
        include_str!("../../templates/bank/maple.css"),
        include_str!("../../templates/bank/bank.css")
    ),
    language: SandboxLanguage::En,
    shows_request_first: false,
    filters_by_scope: false,
    rotates_refresh_tokens: false,
    has_single_grant_per_client: false,
    fdx_version: Version::V5,
    has_document_endpoint: false,
    supports_registration: true,
    grant_prefix: "mg_",
    client_prefix: "mc_",
    reply_names: ENGLISH_REPLY_NAMES,
    books: &book::MAPLE,
};

pub(super) const RIDEAU: BankProfile = BankProfile {
    name: "Caisse Rideau",
    key: "rideau",
    css: concat!(
        include_str!("../../templates/bank/rideau.css"),
        include_str!("../../templates/bank/bank.css")
    ),
    language: SandboxLanguage::Fr,
    shows_request_first: true,
    filters_by_scope: true,
    rotates_refresh_tokens: true,
    has_single_grant_per_client: false,
    fdx_version: Version::V6,
    has_document_endpoint: true,
    supports_registration: false,
    grant_prefix: "crg_",
    client_prefix: "crc_",
    reply_names: ReplyNames { customer: "membre", accounts: "comptes", grant: "consentement" },
    books: &book::RIDEAU,
};

pub(super) const PRAIRIE: BankProfile = BankProfile {
    name: "Prairie Credit Union",
    key: "prairie",
    css: concat!(
        include_str!("../../templates/bank/maple.css"),
        include_str!("../../templates/bank/bank.css")
    ),
    language: SandboxLanguage::En,
    shows_request_first: false,
    filters_by_scope: false,
    rotates_refresh_tokens: false,
    has_single_grant_per_client: true,
    fdx_version: Version::V5,
    has_document_endpoint: false,
    supports_registration: false,
    grant_prefix: "pcg_",
    client_prefix: "pcc_",
    reply_names: ENGLISH_REPLY_NAMES,
    books: &book::PRAIRIE,
};
