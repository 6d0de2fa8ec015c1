//! The benchmark of the hub: it fills a store, sends requests over HTTP and reports how each operation compares with a
//! floor that is measured in the same run.
//!
//! The benchmark uses the hub only through the trait [`BenchmarkTarget`], which `server` implements, because crates
//! must not depend on each other in a cycle.

mod amplification;
mod error;
mod fill;
mod identity;
mod load;
mod measure;
mod operation;
mod population;
mod random;
mod report;
mod requests;
mod rounds;
mod settings;
mod startup;
mod stopwatch;
mod stub_provider;
mod target;

pub use error::BenchmarkError;
pub use measure::measure_store;
pub use report::BenchmarkReport;
pub use settings::BenchmarkSettings;
pub use target::{
    BenchmarkTarget, MapCounters, ProviderFetch, SealedCredential, TargetRecipient, TargetSettings,
};
