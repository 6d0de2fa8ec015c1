//! The versions of FDX that the sandbox banks implement.

use fdx::v6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FdxVersion {
    /// FDX 5: each entity is wrapped in an object whose only key names its kind.
    V5,
    /// FDX 6: entities are not wrapped, pages are requested by key, and date ranges need both ends.
    V6,
}

impl FdxVersion {
    /// Returns the path prefix of all resources.
    pub(super) const fn base_path(self) -> &'static str {
        match self {
            Self::V5 => "/fdx/v5",
            Self::V6 => "/fdx/v6",
        }
    }

    /// Returns the name that a query parameter of FDX 5 has in this version.
    pub(super) fn parameter_name(self, v5_name: &str) -> &str {
        match self {
            Self::V5 => v5_name,
            Self::V6 => v6::v6_parameter_name(v5_name),
        }
    }
}
