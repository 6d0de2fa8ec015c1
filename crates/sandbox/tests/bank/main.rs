//! Tests of the banks as clients and browsers use them: through their routers, with a clock that the test controls.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod consents;
mod data;
mod fault_injection;
mod flow;
mod oauth;
mod openid;
mod register;
mod support;
