//! The parameters `startTime` and `endTime`, with which recipients request a range of days of a list.

use fdx::{ErrorCode, FdxTime};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::error::DataError;
use crate::context::RequestContext;
use crate::paging::ListQuery;

/// The date parameters, with the message for one that is given twice.
pub(super) const DATE_PARAMETERS: [(&str, &str); 2] =
    [("startTime", "startTime is given twice"), ("endTime", "endTime is given twice")];

/// Message for dates that the provider rejects.
pub(super) const DATES_NOT_ACCEPTED: &str = "The data provider does not accept this range of dates";

/// The range of days whose data recipients may read.
#[derive(Clone, Copy)]
pub(super) struct DateRangeLimits {
    pub(super) earliest: Date,
    pub(super) today: Date,
}

impl DateRangeLimits {
    /// Returns the configured history up to today (UTC).
    pub(super) fn from_context(ctx: &RequestContext) -> Self {
        let today = ctx.now().date();
        let history = ctx.app().config().connection.history.span();
        Self { earliest: today.checked_sub(history).unwrap_or(Date::MIN), today }
    }

    /// Returns the days of a requested range that recipients may read; `None` if there are none. A missing start means the
    /// earliest day, a missing end means today.
    pub(super) fn intersect(self, start: Option<Date>, end: Option<Date>) -> Option<DateRange> {
        DateRange { start: start.unwrap_or(self.earliest), end: end.unwrap_or(self.today) }
            .intersect(DateRange { start: self.earliest, end: self.today })
    }

    /// Returns the days of a range that the history of a provider has; `None` if there are none.
    pub(super) fn intersect_provider(
        self,
        range: DateRange,
        history: Option<jiff::Span>,
    ) -> Option<DateRange> {
        let earliest = history.and_then(|span| self.today.checked_sub(span).ok()).unwrap_or(Date::MIN);
        range.intersect(DateRange { start: earliest, end: range.end })
    }
}

/// A range of days, including the first and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DateRange {
    #[serde(rename = "s")]
    pub(super) start: Date,
    #[serde(rename = "e")]
    pub(super) end: Date,
}

impl DateRange {
    /// Returns the common days of two ranges; `None` if there are none.
    pub(super) fn intersect(self, other: Self) -> Option<Self> {
        let common = Self { start: self.start.max(other.start), end: self.end.min(other.end) };
        (common.start <= common.end).then_some(common)
    }

    pub(super) fn contains(self, day: Date) -> bool {
        (self.start..=self.end).contains(&day)
    }

    /// Returns whether a point in time is within the range, by the day that the provider wrote or by that in UTC.
    ///
    /// A provider may compare either of the two with the requested dates. With one of them only, a transaction around
    /// midnight could be missing in both of two adjacent ranges.
    pub(super) fn includes(self, time: FdxTime) -> bool {
        self.contains(time.written_day) || self.contains(time.utc_day)
    }
}

/// The reason why a date parameter is invalid. Statements report the two cases with different error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DateError {
    /// The text does not have the form `YYYY-MM-DD`.
    Malformed,
    /// The calendar has no such day.
    Impossible,
}

/// Parses the optional parameters `startTime` and `endTime`. A start after the end is an error.
pub(super) fn parse_date_range(
    query: &ListQuery,
    to_error: impl Fn(DateError) -> DataError,
) -> Result<(Option<Date>, Option<Date>), DataError> {
    let parse = |text: Option<&str>| text.map(parse_date).transpose().map_err(&to_error);
    let [start, end] = DATE_PARAMETERS.map(|(name, given_twice)| parse(query.get(name, given_twice)?));
    let (start, end) = (start?, end?);
    if start.zip(end).is_some_and(|(start, end)| start > end) {
        return Err(DataError::Fdx(ErrorCode::InvalidRange, "startTime must not be after endTime"));
    }
    Ok((start, end))
}

fn parse_date(text: &str) -> Result<Date, DateError> {
    // The parser of `jiff` accepts more forms, such as times and signed years, which FDX does not allow here.
    let fits =
        |(at, byte): (usize, u8)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    if text.len() != 10 || !text.bytes().enumerate().all(fits) {
        return Err(DateError::Malformed);
    }
    text.parse().map_err(|_| DateError::Impossible)
}
