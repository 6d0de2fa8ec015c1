//! How one bank differs from another: data, no code.

use super::book::{self, Books};
use super::wire::Version;
use crate::text::Text;

#[expect(clippy::struct_excessive_bools, reason = "each is a habit of its own")]
pub(crate) struct Look {
    pub(crate) name: &'static str,
    /// What its cookies, texts and secrets are named after.
    pub(crate) key: &'static str,
    pub(crate) css: &'static str,
    /// The language of its pages unless another is asked for.
    pub(crate) language: Text,
    /// Whether it says what is asked for before the customer signs in.
    pub(super) asks_first: bool,
    /// Whether answers leave out what the scope does not name. A bank that does not is there to show that the
    /// hub does.
    pub(super) strict: bool,
    /// Whether a refresh brings another refresh token, unless a lever says otherwise.
    pub(super) rotates: bool,
    /// Whether a customer has one grant with a client: what ends one token ends them all.
    pub(super) one_grant: bool,
    /// The version of FDX that it speaks.
    pub(super) fdx: Version,
    /// Whether a statement's own address says where the document is.
    pub(super) files_apart: bool,
    /// Whether clients may register by themselves.
    pub(super) registers: bool,
    pub(super) grant_prefix: &'static str,
    pub(super) client_prefix: &'static str,
    pub(super) reply: ReplyNames,
    pub(super) books: &'static Books,
}

/// What the token endpoint calls that which OAuth has no name for.
pub(super) struct ReplyNames {
    pub(super) customer: &'static str,
    pub(super) accounts: &'static str,
    pub(super) grant: &'static str,
}

const ENGLISH: ReplyNames = ReplyNames { customer: "customer_id", accounts: "accounts", grant: "grant_id" };

pub(super) const MAPLE: Look = Look {
    name: "Maple Trust",
    key: "maple",
    css: concat!(
        include_str!("../../templates/bank/maple.css"),
        include_str!("../../templates/bank/bank.css")
    ),
    language: Text::En,
    asks_first: false,
    strict: false,
    rotates: false,
    one_grant: false,
    fdx: Version::V5,
    files_apart: false,
    registers: true,
    grant_prefix: "mg_",
    client_prefix: "mc_",
    reply: ENGLISH,
    books: &book::MAPLE,
};

pub(super) const RIDEAU: Look = Look {
    name: "Caisse Rideau",
    key: "rideau",
    css: concat!(
        include_str!("../../templates/bank/rideau.css"),
        include_str!("../../templates/bank/bank.css")
    ),
    language: Text::Fr,
    asks_first: true,
    strict: true,
    rotates: true,
    one_grant: false,
    fdx: Version::V6,
    files_apart: true,
    registers: false,
    grant_prefix: "crg_",
    client_prefix: "crc_",
    reply: ReplyNames { customer: "membre", accounts: "comptes", grant: "consentement" },
    books: &book::RIDEAU,
};

pub(super) const PRAIRIE: Look = Look {
    name: "Prairie Credit Union",
    key: "prairie",
    css: concat!(
        include_str!("../../templates/bank/maple.css"),
        include_str!("../../templates/bank/bank.css")
    ),
    language: Text::En,
    asks_first: false,
    strict: false,
    rotates: false,
    one_grant: true,
    fdx: Version::V5,
    files_apart: false,
    registers: false,
    grant_prefix: "pcg_",
    client_prefix: "pcc_",
    reply: ENGLISH,
    books: &book::PRAIRIE,
};
