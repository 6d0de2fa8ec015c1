//! The demo app as a browser sees it, in front of a stub of the hub whose responses each test defines.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod accounts;
mod authorize;
mod callback;
mod disconnect;
mod language;
mod session;
mod support;
mod transactions;
