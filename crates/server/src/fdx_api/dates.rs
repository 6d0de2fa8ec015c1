//! The days that a list is asked for.

use fdx::ErrorCode;
use jiff::civil::Date;

use super::error::DataError;
use crate::context::RequestContext;
use crate::paging::ListQuery;

/// The days whose data is served.
#[derive(Clone, Copy)]
pub(super) struct DateRangeLimits {
    pub(super) earliest: Date,
    pub(super) today: Date,
}

impl DateRangeLimits {
    pub(super) fn from_context(ctx: &RequestContext) -> Self {
        let today = ctx.now().date();
        let span = ctx.app().config().connection.history.span();
        Self { earliest: today.checked_sub(span).unwrap_or(Date::MIN), today }
    }

    /// The served day that is nearest to a day.
    pub(super) fn clamp(self, day: Date) -> Date {
        day.clamp(self.earliest, self.today)
    }
}

/// What is wrong with a text that should be a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DateError {
    /// It is not written `YYYY-MM-DD`.
    Malformed,
    /// The calendar has no such day.
    Impossible,
}

/// `startTime` and `endTime` as they are given, in this order.
pub(super) fn parse_date_range(
    query: &ListQuery,
    to_error: impl Fn(DateError) -> DataError,
) -> Result<(Option<Date>, Option<Date>), DataError> {
    let day = |text: Option<&str>| text.map(parse_date).transpose().map_err(&to_error);
    let start = day(query.get("startTime", "startTime is given twice")?)?;
    let end = day(query.get("endTime", "endTime is given twice")?)?;
    if start.zip(end).is_some_and(|(start, end)| start > end) {
        return Err(DataError::Fdx(ErrorCode::InvalidRange, "startTime must not be after endTime"));
    }
    Ok((start, end))
}

fn parse_date(text: &str) -> Result<Date, DateError> {
    let fits = |(at, b): (usize, u8)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() };
    if text.len() != 10 || !text.bytes().enumerate().all(fits) {
        return Err(DateError::Malformed);
    }
    text.parse().map_err(|_| DateError::Impossible)
}
