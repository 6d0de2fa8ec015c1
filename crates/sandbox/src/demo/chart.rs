//! Lesson 7 of the demo app's tutorial: a chart of spending. Sums are exact decimals, and the server draws the chart as
//! SVG.

use std::collections::BTreeMap;

use fdx::Amount;
use rust_decimal::Decimal;

use super::entity::{Entity, category_name};
use crate::language::SandboxLanguage;

/// The spending of a customer by category or by month: a bar of the chart for each, and the total.
pub(super) struct Spending {
    pub(super) bars: Vec<Bar>,
    pub(super) total: String,
}

/// A bar of the spending chart.
pub(super) struct Bar {
    pub(super) label: String,
    /// The sum that the bar represents, formatted for the page.
    pub(super) amount: String,
    /// The length of the bar in percent of the longest bar.
    pub(super) length: Decimal,
}

impl Spending {
    /// Computes the spending from some transactions. Categories are ordered by amount, months by time.
    pub(super) fn new(
        language: SandboxLanguage,
        transactions: &[Entity],
        by_month: bool,
        currency: &str,
    ) -> Self {
        let mut sums = BTreeMap::<String, Decimal>::new();
        for transaction in transactions {
            let Some(spent) = transaction.spending_amount() else { continue };
            let month = || transaction.day().map(|day| day.0.strftime("%Y-%m").to_string());
            let group = if by_month { month() } else { Some(transaction.text("category").to_owned()) };
            *sums.entry(group.unwrap_or_default()).or_default() += spent;
        }
        // A transaction without a day belongs to no month; one without a category counts as `other`.
        let mut sums: Vec<_> = sums.into_iter().filter(|(group, _)| !by_month || !group.is_empty()).collect();
        if !by_month {
            sums.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
        }
        // The default is never used as a divisor: without sums there are no bars.
        let largest = sums.iter().map(|(_, sum)| *sum).max().unwrap_or(Decimal::ONE);
        let total: Decimal = sums.iter().map(|(_, sum)| *sum).sum();
        let bar = |(group, sum): (String, Decimal)| Bar {
            label: if by_month {
                language.format_month(&group)
            } else {
                category_name(language, if group.is_empty() { "other" } else { &group })
            },
            amount: language.format_money(Amount(sum), currency),
            length: (sum * Decimal::ONE_HUNDRED / largest).round_dp(1),
        };
        let bars = sums.into_iter().map(bar).collect();
        Self { bars, total: language.format_money(Amount(total), currency) }
    }
}
