//! Searches with keyset pagination: a page is found by the last key of the previous page instead of an offset.

/// Declares statements that search the same rows, each with another index, and `SEARCHES` with all of them.
///
/// Every filter is optional: it compares a column with `COALESCE(parameter, column)`, for which no index can be used.
/// Therefore each statement repeats one filter as a plain comparison, `along`, so that the database uses the index of
/// that column. The caller chooses the statement according to the filters that are set.
///
/// Rows are sorted by the keys in descending order. A page begins after the row whose keys are `after`. So every page
/// costs the same, and rows that are added between two requests cause no duplicates or gaps.
macro_rules! keyset_search {
    (
        $rows:literal,
        select: $select:expr,
        filter: $filter:expr,
        after: $after:literal,
        limit: $limit:literal,
        $($name:ident: $index:literal along $along:literal by ($first:literal $(, $key:literal)*);)+
    ) => {
        $(
            static $name: &$crate::sql::Sql = $crate::sql::sql!(concat!(
                "-- ", $rows, " by ", $index, "\n    ",
                $select,
                "\n    WHERE ", $along,
                "\n        AND ", $filter,
                "\n        AND (", $first, $(", ", $key,)* ") < (", $after, ")",
                "\n    ORDER BY ", $first, " DESC", $(", ", $key, " DESC",)* " LIMIT ", $limit
            ));
        )+

        /// Every statement of this search.
        pub(super) static SEARCHES: &[&$crate::sql::Sql] = &[$($name),+];
    };
}
pub(crate) use keyset_search;
