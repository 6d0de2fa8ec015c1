//! Stories of the hub, over HTTP, with a bank that is another party.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod admin;
mod attack;
mod authorize;
mod browser;
mod clock;
mod data;
mod demo;
mod evil;
mod fault;
mod golden;
mod kill;
mod kinds;
mod kit;
mod levers;
mod libraries;
mod limit;
mod listener;
mod manage;
mod meta;
mod process;
mod race;
mod readme;
mod recovery;
mod revoke;
mod secrets;
mod shared_grant;
mod spec;
mod statements;
mod time;
mod token;
mod trace;
mod trip;
mod trouble;
mod whole;
mod world;
