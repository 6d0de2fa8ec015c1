//! The banks as other parties see them: over their routers, with a clock that stands where the test puts it.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod consents;
mod data;
mod fault_injection;
mod flow;
mod oauth;
mod register;
mod support;
