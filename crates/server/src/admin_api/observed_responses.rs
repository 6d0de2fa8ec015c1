//! The forms in which a provider sends data, for operators. They contain names of the standard, and no values.

use schemars::JsonSchema;
use serde::Serialize;

use crate::read_diagnostics::ObservedResponse;
use crate::response::Time;

/// The forms of a response of the provider, without values.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ObservedResponse")]
pub(super) struct ObservedResponseBody {
    /// The call: `accounts`, `account`, `transactions`, `payment-networks`, `statements`, `contact` or `customer`.
    call: &'static str,
    observed_at: Time,
    /// The version to which the form of accounts and transactions belongs, `5` or `6`.
    fdx_version: Option<&'static str>,
    /// The number of observed elements, at most 100.
    elements: usize,
    /// Whether the list has a further page.
    has_next_page: bool,
    /// The forms of dates, such as `postedTimestamp: date-time`.
    dates: Vec<String>,
    /// The members that recipients expect and that are absent, such as `description: 2` for two elements.
    absent_members: Vec<String>,
}

impl ObservedResponseBody {
    pub(super) fn from_observed(observed: ObservedResponse) -> Self {
        let observation = observed.observation.unwrap_or_default();
        let dates = observation.dates.iter().map(|(name, forms)| {
            let forms: Vec<_> = forms.iter().map(|form| form.as_str()).collect();
            format!("{name}: {}", forms.join(", "))
        });
        let absent = observation.absent.iter().map(|(name, count)| format!("{name}: {count}"));
        Self {
            call: observed.call,
            observed_at: observed.at.into(),
            fdx_version: observation.version.map(|version| match version {
                fdx::Version::V5 => "5",
                fdx::Version::V6 => "6",
            }),
            elements: observation.elements,
            has_next_page: observation.has_next_page,
            dates: dates.collect(),
            absent_members: absent.collect(),
        }
    }
}
