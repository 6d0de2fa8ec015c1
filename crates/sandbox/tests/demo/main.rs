//! Tests of the demo app with a browser in front of it and a stub of the hub behind it. Each test defines the responses
//! of the stub.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod accounts;
mod authorize;
mod callback;
mod disconnect;
mod language;
mod session;
mod support;
mod transactions;
