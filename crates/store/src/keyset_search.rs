//! Searches with keyset pagination: a page is found by the last key of the previous page instead of an offset.

use crate::error::Result;
use crate::row::{FromRow, ListedRow};
use crate::sql::Sql;
use crate::tx::Tx;
use crate::value::Value;

/// The number of rows that a search of the APIs examines at most.
pub const SEARCH_WINDOW: u32 = 10_000;

/// A page of a search.
///
/// A search examines a limited number of rows, its window, in the order of its keys. So a filter that few rows match cannot
/// make a search read the whole table; the page then has fewer rows than the limit, or none, although the search continues
/// after it.
#[derive(Clone, Debug)]
pub struct SearchPage<T> {
    pub rows: Vec<T>,
    /// The number of rows that are left out, because another program has changed them.
    pub unverified: usize,
    /// The last row of the window, which may not match the filters, or of a full page from which rows are left out. The search
    /// continues after it if the page is not full; `None` if the window contains all remaining rows.
    pub window_end: Option<T>,
}

impl<T: Clone> SearchPage<T> {
    /// Creates a page from at most `limit` rows. A list without filters has no window, because it examines no other rows.
    pub(crate) fn new(listed: Vec<ListedRow<T>>, limit: u32, window_end: Option<T>) -> Self {
        let is_full = listed.len() >= limit as usize;
        let (mut rows, mut unverified, mut last) = (Vec::new(), 0, None);
        for row in listed {
            match row {
                ListedRow::Verified(row) => {
                    // The last row is only needed once a row is missing.
                    last = (unverified > 0).then(|| row.clone());
                    rows.push(row);
                }
                ListedRow::Unverified(row) => {
                    unverified += 1;
                    last = row.or(last);
                }
            }
        }
        Self { rows, unverified, window_end: last.filter(|_| is_full).or(window_end) }
    }
}

/// The two statements of a search along one index.
pub(crate) struct KeysetSearch {
    /// Selects the rows that match the filters.
    pub(crate) page: &'static Sql,
    /// Selects the last row of the window.
    pub(crate) window_end: &'static Sql,
}

/// The range of keys in which a search continues. Both keys have the columns of the search's order.
pub(crate) struct KeyRange {
    /// The key of the last row of the previous page; excluded.
    pub(crate) after: Vec<Value>,
    /// The lowest key; included.
    pub(crate) from: Vec<Value>,
}

/// The limits of one page.
#[derive(Clone, Copy)]
pub(crate) struct PageLimits {
    pub(crate) rows: u32,
    /// The maximum number of rows that the search examines.
    pub(crate) window: u32,
}

impl KeysetSearch {
    /// Reads one page. `filters` are the parameters before those of the keys, and `key` returns the key of a row.
    pub(crate) async fn fetch<T: FromRow + Clone>(
        &self,
        tx: &mut Tx<'_>,
        filters: &[Value],
        range: KeyRange,
        limits: PageLimits,
        key: impl Fn(&T) -> Vec<Value> + Send,
    ) -> Result<SearchPage<T>> {
        let build_params = |from: &[Value], last: u32| {
            [filters, &range.after, from, &[Value::Int(i64::from(last))]].concat()
        };
        let params = build_params(&range.from, limits.window.saturating_sub(1));
        let window_end: Option<ListedRow<T>> = tx.fetch_optional(self.window_end, &params).await?;
        let window_end = window_end.and_then(ListedRow::into_value);
        let from = window_end.as_ref().map_or(range.from.clone(), &key);
        let rows = tx.fetch_all(self.page, &build_params(&from, limits.rows)).await?;
        Ok(SearchPage::new(rows, limits.rows, window_end))
    }
}

/// Declares statements that search the same rows, each along another index, and `SEARCHES` with all of them.
///
/// Every filter is optional: it compares a column with `COALESCE(parameter, column)`, for which no index can be used.
/// Therefore each search repeats one filter as a plain comparison, `along`, so that the database uses the index of that
/// column. The caller chooses the search according to the filters that are set.
///
/// Rows are sorted by the keys in descending order. A page begins after the row whose keys are `after`, and ends with the
/// row whose keys are `from`. So every page costs the same, and rows that are added between two requests cause no
/// duplicates or gaps.
///
/// The statement for the end of the window has the same parameters, because PostgreSQL derives their types from the
/// filter. The databases drop the filter, since `OR TRUE` makes it true for every row, and read only the index.
macro_rules! keyset_search {
    (
        $rows:literal,
        select: $select:expr,
        filter: $filter:expr,
        after: $after:literal,
        from: $from:literal,
        limit: $limit:literal,
        $($name:ident: $index:literal along $along:literal by ($first:literal $(, $key:literal)*);)+
    ) => {
        $(
            static $name: $crate::keyset_search::KeysetSearch = $crate::keyset_search::KeysetSearch {
                page: $crate::sql::sql!(concat!(
                    "-- ", $rows, " by ", $index, "\n    ",
                    $select,
                    "\n    WHERE ", $along,
                    "\n        AND ", $filter,
                    "\n        AND (", $first, $(", ", $key,)* ") < (", $after, ")",
                    "\n        AND (", $first, $(", ", $key,)* ") >= (", $from, ")",
                    "\n    ORDER BY ", $first, " DESC", $(", ", $key, " DESC",)* " LIMIT ", $limit
                )),
                window_end: $crate::sql::sql!(concat!(
                    "-- find the end of a window of ", $rows, " by ", $index, "\n    ",
                    $select,
                    "\n    WHERE ", $along,
                    "\n        AND ((", $filter, ") OR TRUE)",
                    "\n        AND (", $first, $(", ", $key,)* ") < (", $after, ")",
                    "\n        AND (", $first, $(", ", $key,)* ") >= (", $from, ")",
                    "\n    ORDER BY ", $first, " DESC", $(", ", $key, " DESC",)* " LIMIT 1 OFFSET ", $limit
                )),
            };
        )+

        /// Every statement that this search may run, for the test that each uses an index.
        pub(super) static SEARCHES: &[&$crate::sql::Sql] = &[$($name.page, $name.window_end),+];
    };
}
pub(crate) use keyset_search;
