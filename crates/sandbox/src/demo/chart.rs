//! Lesson 7: spending, added up exactly, and drawn as SVG on the server.

use std::collections::BTreeMap;

use fdx::Amount;
use rust_decimal::Decimal;

use super::view::{Row, category};
use crate::text::Text;

/// What spending is added up by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum By {
    Category,
    Month,
}

/// A bar: its label, its amount in words, and its length in percent of the longest.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) amount: String,
    pub(super) length: Decimal,
}

/// The bars and the sum of all. Categories stand by size, months in time.
pub(super) fn bars(text: Text, rows: &[Row], by: By, currency: &str) -> (Vec<Bar>, String) {
    let mut sums = spending(rows, by);
    if by == By::Category {
        sums.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
    }
    let most = sums.iter().map(|(_, sum)| *sum).max().unwrap_or(Decimal::ONE);
    let total: Decimal = sums.iter().map(|(_, sum)| *sum).sum();
    let bar = |(word, sum): &(String, Decimal)| Bar {
        label: match by {
            By::Month => text.month(word),
            By::Category if word.is_empty() => text.t("demo-category-other"),
            By::Category => category(text, word),
        },
        amount: text.money(Amount(*sum), currency),
        length: (*sum * Decimal::ONE_HUNDRED / most).round_dp(1),
    };
    (sums.iter().map(bar).collect(), text.money(Amount(total), currency))
}

/// What went out and is booked. Moving money between one's own accounts is not spending.
fn spending(rows: &[Row], by: By) -> Vec<(String, Decimal)> {
    let mut sums = BTreeMap::<String, Decimal>::new();
    for row in rows.iter().filter(|row| row.everyday && !row.pending && row.category != "transfer") {
        let word = match (by, row.day) {
            (By::Category, _) => row.category.clone(),
            (By::Month, Some(day)) => day.0.strftime("%Y-%m").to_string(),
            (By::Month, None) => continue,
        };
        if row.amount.0 < Decimal::ZERO {
            *sums.entry(word).or_default() -= row.amount.0;
        }
    }
    sums.into_iter().collect()
}
