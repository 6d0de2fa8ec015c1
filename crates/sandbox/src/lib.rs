//! The other parties of the sandbox: banks and a demo app. They know the hub only through its HTTP APIs.

pub mod bank;
mod browser;
pub mod demo;
mod format;
mod language;
mod random;
