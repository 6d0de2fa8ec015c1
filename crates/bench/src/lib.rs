//! The benchmark of the hub: it fills a store, sends requests over HTTP and reports how each operation compares with
//! a floor that is measured in the same run.
//!
//! The hub itself is behind the trait [`BenchmarkTarget`], which `server` implements: packages must not depend on
//! each other in a circle, and the load generator is no part of the hub.

mod error;
mod fill;
mod load;
mod measure;
mod report;
mod requests;
mod settings;
mod startup;
mod stopwatch;
mod stub_provider;
mod target;

pub use error::BenchmarkError;
pub use measure::measure_store;
pub use report::BenchmarkReport;
pub use settings::BenchmarkSettings;
pub use target::{BenchmarkTarget, SealedCredential, TargetProvider, TargetRecipient, TargetSettings};
