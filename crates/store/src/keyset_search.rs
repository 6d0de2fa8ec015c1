//! Searches that are paged by a key instead of an offset.

/// Declares statements that search the same rows, each along another index, and `SEARCHES` with all of them.
///
/// Every filter is optional: it compares a column with `COALESCE(parameter, column)`, and no index can serve that.
/// Therefore each statement repeats one filter as a plain comparison, `along` whose index it is meant to search. The
/// caller chooses the statement by the filters that are set.
///
/// Rows come in descending order of the keys. A page begins after the row whose keys are `after`, so that it costs the
/// same wherever it is in the list, and rows that are added in the meantime neither repeat nor hide others.
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
