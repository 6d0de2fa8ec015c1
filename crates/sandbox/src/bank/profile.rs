//! The profiles of the banks: all data and options in which one bank differs from another.

use super::fdx_version::FdxVersion;
use super::ledger::{self, AccountCatalog};
use crate::language::SandboxLanguage;

#[expect(clippy::struct_excessive_bools, reason = "the options are independent of each other")]
pub(crate) struct BankProfile {
    pub(crate) name: &'static str,
    /// The short name of the bank, which is a part of its cookies, text keys and labels of derived secrets.
    pub(crate) key: &'static str,
    pub(crate) css: &'static str,
    /// The language of the pages unless the browser or the client requests another.
    pub(crate) language: SandboxLanguage,
    /// The bank shows the requested data before the customer signs in.
    pub(super) shows_request_first: bool,
    /// FDX responses omit the data that the scope does not cover. With a bank that returns everything, tests can show
    /// that the hub filters.
    pub(super) filters_by_scope: bool,
    /// A refresh returns a new refresh token, unless the fault settings override it.
    pub(super) rotates_refresh_tokens: bool,
    /// All tokens of a customer and a client belong to one grant: revoking one of them ends them all.
    pub(super) has_single_grant_per_client: bool,
    pub(super) fdx_version: FdxVersion,
    /// The endpoint of a statement redirects to a separate endpoint for the document.
    pub(super) has_document_endpoint: bool,
    /// Clients can register dynamically (RFC 7591).
    pub(super) supports_registration: bool,
    pub(super) grant_prefix: &'static str,
    pub(super) client_prefix: &'static str,
    pub(super) token_response_names: TokenResponseNames,
    pub(super) catalog: &'static AccountCatalog,
}

/// The names that a bank gives to those members of its token response that OAuth does not define.
pub(super) struct TokenResponseNames {
    pub(super) customer: &'static str,
    pub(super) accounts: &'static str,
    pub(super) grant: &'static str,
}

const ENGLISH_NAMES: TokenResponseNames =
    TokenResponseNames { customer: "customer_id", accounts: "accounts", grant: "grant_id" };

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
    fdx_version: FdxVersion::V5,
    has_document_endpoint: false,
    supports_registration: true,
    grant_prefix: "mg_",
    client_prefix: "mc_",
    token_response_names: ENGLISH_NAMES,
    catalog: &ledger::MAPLE,
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
    fdx_version: FdxVersion::V6,
    has_document_endpoint: true,
    supports_registration: false,
    grant_prefix: "crg_",
    client_prefix: "crc_",
    // French names show that the hub reads these members by configuration, not by fixed names.
    token_response_names: TokenResponseNames {
        customer: "membre",
        accounts: "comptes",
        grant: "consentement",
    },
    catalog: &ledger::RIDEAU,
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
    fdx_version: FdxVersion::V5,
    has_document_endpoint: false,
    supports_registration: false,
    grant_prefix: "pcg_",
    client_prefix: "pcc_",
    token_response_names: ENGLISH_NAMES,
    catalog: &ledger::PRAIRIE,
};
