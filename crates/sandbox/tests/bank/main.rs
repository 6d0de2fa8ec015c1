//! The banks as other parties see them: over their routers, with a clock that stands where the test puts it.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod consents;
mod data;
mod flow;
mod kit;
mod levers;
mod oauth;
mod register;
