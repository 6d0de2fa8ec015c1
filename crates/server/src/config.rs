//! The configuration of the hub. It has four layers, each overriding the previous ones: defaults, a file, environment
//! variables `BOWLINE_<SECTION>__<KEY>`, and flags.

mod changes;
mod load;
mod log_filter;
mod paths;
mod provider;
mod sections;
mod units;
mod validate;

pub use load::ConfigError;
pub use paths::store_folder;
pub use provider::ProviderEntry;
pub use sections::{
    ClientAddressHeader, Config, ConnectionSection, JobSection, KeysSection, LimitSection, LogFormat,
    LogSection, PageSection, ServerSection, StoreSection, TokenSection, UpstreamSection,
};
pub use units::{ByteSize, HumanDuration};
