//! The parameters `startTime` and `endTime`, with which recipients request a range of days of a list.

use fdx::ErrorCode;
use jiff::civil::Date;

use super::error::DataError;
use crate::context::RequestContext;
use crate::paging::ListQuery;

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

    /// Moves a day outside of the range to the nearest day within it.
    pub(super) fn clamp(self, day: Date) -> Date {
        day.clamp(self.earliest, self.today)
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
    let start = parse(query.get("startTime", "startTime is given twice")?)?;
    let end = parse(query.get("endTime", "endTime is given twice")?)?;
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
