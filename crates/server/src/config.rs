//! Configuration: defaults, then a file, then `BOWLINE_<SECTION>__<KEY>`, then flags.

mod load;
mod paths;
mod provider;
mod sections;
mod units;
mod validate;

pub use load::ConfigError;
pub use paths::store_folder;
pub use provider::ProviderEntry;
pub use sections::{
    Config, ConnectionSection, JobSection, KeysSection, LimitSection, LogFormat, LogSection, PageSection,
    ServerSection, StoreSection, TokenSection, UpstreamSection,
};
pub use units::{ByteSize, HumanDuration};
