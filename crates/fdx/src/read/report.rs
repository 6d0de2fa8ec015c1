//! The report of everything that was left out of a response.

use super::path::Path;

/// The maximum number of fields that a report lists. The others are only counted: a response may contain many.
pub const MAX_REPORTED_FIELDS: usize = 32;

/// The reason why a part of a response was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// The standard does not define the field.
    Unknown,
    /// The value has none of the accepted forms.
    Unreadable,
    /// The field occurs more than once, so that its value is ambiguous.
    Repeated,
    /// The account or transaction has a type that the hub does not serve.
    UnknownType,
    /// The id is too long to be sealed.
    IdTooLong,
}

impl DropReason {
    /// Returns the name of the reason in logs, metrics and the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Unreadable => "unreadable",
            Self::Repeated => "repeated",
            Self::UnknownType => "unknown_type",
            Self::IdTooLong => "id_too_long",
        }
    }
}

/// A part of a response that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedField {
    /// The path, as in `accounts[2].loanAccount.originatingDate`. It never contains a value.
    pub path: String,
    /// The reason.
    pub reason: DropReason,
    /// The number of fields with this path: several unknown fields of an object have the same path.
    pub count: usize,
}

/// Everything that was left out of one or more responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropReport {
    dropped: usize,
    fields: Vec<DroppedField>,
}

impl DropReport {
    /// Returns the number of fields and elements that were left out.
    pub const fn dropped(&self) -> usize {
        self.dropped
    }

    /// Returns the first [`MAX_REPORTED_FIELDS`] of them.
    pub fn fields(&self) -> &[DroppedField] {
        &self.fields
    }

    pub(crate) fn add(&mut self, at: &Path<'_>, reason: DropReason, count: usize) {
        self.dropped += count;
        if count > 0 && self.fields.len() < MAX_REPORTED_FIELDS {
            self.fields.push(DroppedField { path: at.to_string(), reason, count });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Step;

    #[test]
    fn fields_over_limit_are_counted_and_not_listed() {
        let mut report = DropReport::default();

        for index in 0..MAX_REPORTED_FIELDS + 5 {
            report.add(&Path::ROOT.then(Step::Index(index)), DropReason::Unknown, 2);
            report.add(&Path::ROOT, DropReason::Unreadable, 0);
        }

        assert_eq!(report.dropped(), 2 * (MAX_REPORTED_FIELDS + 5));
        assert_eq!(report.fields().len(), MAX_REPORTED_FIELDS);
        let last = DroppedField { path: "[31]".to_owned(), reason: DropReason::Unknown, count: 2 };
        assert_eq!(report.fields().last(), Some(&last));
    }

    #[test]
    fn reasons_have_different_documented_names() {
        let names = [
            DropReason::Unknown,
            DropReason::Unreadable,
            DropReason::Repeated,
            DropReason::UnknownType,
            DropReason::IdTooLong,
        ]
        .map(DropReason::as_str);

        assert_eq!(names, ["unknown", "unreadable", "repeated", "unknown_type", "id_too_long"]);
    }
}
