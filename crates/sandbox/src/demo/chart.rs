//! Lesson 7: spending, added up exactly, and drawn as SVG on the server.

use std::collections::BTreeMap;

use fdx::Amount;
use rust_decimal::Decimal;

use super::view::{Entity, category_name};
use crate::text::SandboxLanguage;

/// What went out, by category or by month: a bar for each, and the sum of all.
pub(super) struct Spending {
    pub(super) bars: Vec<Bar>,
    pub(super) total: String,
}

/// A bar: its label, its amount in words, and its length in percent of the longest.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) amount: String,
    pub(super) length: Decimal,
}

impl Spending {
    /// Categories stand by size, months in time.
    pub(super) fn new(text: SandboxLanguage, lines: &[Entity], by_month: bool, currency: &str) -> Self {
        let mut sums = BTreeMap::<String, Decimal>::new();
        for (line, spent) in lines.iter().filter_map(|line| Some((line, line.spending_amount()?))) {
            let month = || line.day().map(|day| day.0.strftime("%Y-%m").to_string());
            let word = if by_month { month() } else { Some(line.word("category").to_owned()) };
            *sums.entry(word.unwrap_or_default()).or_default() += spent;
        }
        let mut sums: Vec<_> = sums.into_iter().filter(|(word, _)| !by_month || !word.is_empty()).collect();
        if !by_month {
            sums.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
        }
        let most = sums.iter().map(|(_, sum)| *sum).max().unwrap_or(Decimal::ONE);
        let total: Decimal = sums.iter().map(|(_, sum)| *sum).sum();
        let bar = |(word, sum): (String, Decimal)| Bar {
            label: if by_month {
                text.format_month(&word)
            } else {
                category_name(text, if word.is_empty() { "other" } else { &word })
            },
            amount: text.money(Amount(sum), currency),
            length: (sum * Decimal::ONE_HUNDRED / most).round_dp(1),
        };
        Self { bars: sums.into_iter().map(bar).collect(), total: text.money(Amount(total), currency) }
    }
}
