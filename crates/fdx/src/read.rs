//! Reads responses of data providers. Decides for every value of an entity whether it is accepted, and in which form.
//!
//! The unit of failure is the field: a field that cannot be read is left out and counted with its path, and everything
//! else is kept. All readers of this crate use these functions, so that a value is accepted everywhere or nowhere.

mod element;
mod members;
mod path;
mod report;
mod scalar;
mod v6_names;
mod value;

pub(crate) use element::{ElementError, read_element};
#[cfg(test)]
pub(crate) use members::MAX_FIELDS;
pub(crate) use members::{Members, NameSeed, Slot, read_members};
pub(crate) use path::{Path, Step};
pub use report::{DropReason, DropReport, DroppedField, MAX_REPORTED_FIELDS};
pub use scalar::{FdxTime, MAX_ID_BYTES};
pub(crate) use scalar::{Id, is_unreadable, parse_count, read_id, read_text, read_time};
pub(crate) use v6_names::{CATEGORIES, PAGE_KEYS};
pub(crate) use value::{copy_fields, copy_value, write_name};

/// A version of FDX in which a provider sends data. The hub serves data in the form of FDX 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// FDX 5.x: each account or transaction is in an object whose only key names its type.
    V5,
    /// FDX 6.x: each account or transaction is a flat object with a category.
    V6,
}

/// The state of reading one response.
pub(crate) struct Reading<'r> {
    pub(crate) version: Version,
    pub(crate) report: &'r mut DropReport,
    /// True if fields are kept that no response to a recipient contains, such as free text of an error.
    pub(crate) keeps_internal_fields: bool,
}

impl Reading<'_> {
    pub(crate) fn drop_field(&mut self, at: &Path<'_>, reason: DropReason) {
        self.report.add(at, reason, 1);
    }
}
