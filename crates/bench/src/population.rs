//! The active connections of the store, by number, and the draw of those that requests use.
//!
//! A connection is a number, from which [`crate::identity`] derives everything else. No list of connections is kept.

use std::collections::VecDeque;
use std::ops::Range;

use crate::random::{Permutation, RandomSource};

/// The active connections of the store.
#[derive(Clone, Debug)]
pub(crate) struct Population {
    blocks: Vec<Block>,
    next_number: u64,
    random: RandomSource,
    /// Active connections in the store that are not drawn yet. They replace those that end.
    pub(crate) spare: Supply,
    /// Connections in the store whose codes were not exchanged yet.
    pub(crate) pending: Supply,
}

/// Connections that were added together, of which some have ended since.
#[derive(Clone, Debug)]
struct Block {
    first: u64,
    len: u64,
    /// The order in which the connections end.
    order: Permutation,
    ended: u64,
    /// The benchmark knows the refresh tokens. Those that the hub has issued for a code are not kept.
    has_known_tokens: bool,
}

impl Block {
    const fn active(&self) -> u64 {
        self.len - self.ended
    }

    /// Returns the active connection at a position. The positions begin with the connection that ends next.
    fn number_at(&self, position: u64) -> u64 {
        self.first + self.order.number_at(self.ended + position)
    }
}

impl Population {
    /// Creates a population without connections.
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            blocks: Vec::new(),
            next_number: 0,
            random: RandomSource::new(seed),
            spare: Supply::new(),
            pending: Supply::new(),
        }
    }

    /// Returns the number of active connections.
    pub(crate) fn active(&self) -> u64 {
        self.blocks.iter().map(Block::active).sum()
    }

    /// Reserves numbers for new connections, which are not drawn before they are added.
    pub(crate) const fn reserve(&mut self, count: u64) -> Range<u64> {
        let first = self.next_number;
        self.next_number += count;
        first..self.next_number
    }

    /// Adds active connections whose refresh tokens the benchmark knows.
    pub(crate) fn add(&mut self, numbers: Range<u64>) {
        self.add_block(numbers, true);
    }

    /// Adds connections that the hub has activated, with refresh tokens that the benchmark has not kept.
    pub(crate) fn add_exchanged(&mut self, numbers: Range<u64>) {
        self.add_block(numbers, false);
    }

    fn add_block(&mut self, numbers: Range<u64>, has_known_tokens: bool) {
        let len = numbers.end - numbers.start;
        let order = Permutation::new(len, &mut self.random);
        self.blocks.push(Block { first: numbers.start, len, order, ended: 0, has_known_tokens });
    }

    /// Draws one of the active connections, each with the same probability. It can be drawn again.
    pub(crate) fn draw(&mut self) -> Option<u64> {
        self.draw_position(|_| true).map(|(block, position)| self.blocks[block].number_at(position))
    }

    /// Draws one of the active connections whose refresh tokens are known.
    pub(crate) fn draw_with_known_token(&mut self) -> Option<u64> {
        let drawn = self.draw_position(|block| block.has_known_tokens);
        drawn.map(|(block, position)| self.blocks[block].number_at(position))
    }

    /// Draws one of the active connections to end it, so that it is never drawn again.
    pub(crate) fn take(&mut self) -> Option<u64> {
        // A block is drawn with a probability that is proportional to its active connections, and its order is random, so
        // each active connection has the same probability.
        let (index, _) = self.draw_position(|_| true)?;
        let block = &mut self.blocks[index];
        let number = block.number_at(0);
        block.ended += 1;
        if block.active() == 0 {
            self.blocks.remove(index);
        }
        Some(number)
    }

    /// Draws a block of the given kind, and a position in it.
    fn draw_position(&mut self, is_allowed: impl Fn(&Block) -> bool) -> Option<(usize, u64)> {
        let active = |block: &Block| if is_allowed(block) { block.active() } else { 0 };
        let mut position = self.random.next_below(self.blocks.iter().map(active).sum());
        for (index, block) in self.blocks.iter().enumerate() {
            let count = active(block);
            if position < count {
                return Some((index, position));
            }
            position -= count;
        }
        None
    }
}

/// Connections that are in the store, but not in the population yet.
#[derive(Clone, Debug)]
pub(crate) struct Supply(VecDeque<Range<u64>>);

impl Supply {
    const fn new() -> Self {
        Self(VecDeque::new())
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|numbers| numbers.end - numbers.start).sum()
    }

    pub(crate) fn add(&mut self, numbers: Range<u64>) {
        self.0.push_back(numbers);
    }

    /// Removes and returns the oldest connections, at most `count`.
    pub(crate) fn take(&mut self, mut count: u64) -> Vec<Range<u64>> {
        let mut taken = Vec::new();
        while count > 0
            && let Some(numbers) = self.0.pop_front()
        {
            let end = numbers.end.min(numbers.start + count);
            count -= end - numbers.start;
            taken.push(numbers.start..end);
            if end < numbers.end {
                self.0.push_front(end..numbers.end);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn population(blocks: &[u64]) -> Population {
        let mut population = Population::new(1);
        for count in blocks {
            let numbers = population.reserve(*count);
            population.add(numbers);
        }
        population
    }

    fn take_all(population: &mut Population) -> Vec<u64> {
        let mut taken: Vec<u64> = std::iter::from_fn(|| population.take()).collect();
        taken.sort_unstable();
        taken
    }

    #[test]
    fn taken_connections_cover_all_and_repeat_none() {
        let mut population = population(&[700, 1, 299]);

        let taken = take_all(&mut population);

        assert_eq!(taken, (0..1_000).collect::<Vec<_>>());
        assert_eq!((population.active(), population.draw()), (0, None));
    }

    #[test]
    fn drawn_connections_are_uniform_among_active_ones() {
        let mut population = population(&[100, 50]);
        let ended: Vec<u64> = (0..50).filter_map(|_| population.take()).collect();
        let numbers = population.reserve(50);
        population.add(numbers);

        let mut counts: HashMap<u64, u32> = HashMap::new();
        for _ in 0..150_000 {
            *counts.entry(population.draw().unwrap()).or_default() += 1;
        }

        assert_eq!(counts.len(), 150, "every active connection is drawn");
        assert!(ended.iter().all(|number| !counts.contains_key(number)), "no ended connection is drawn");
        assert!(counts.values().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }

    #[test]
    fn taken_connections_come_from_all_blocks_in_proportion() {
        let mut population = population(&[9_000, 1_000]);

        let from_second = (0..1_000).filter_map(|_| population.take()).filter(|number| *number >= 9_000);

        assert!((60..140).contains(&from_second.count()));
    }

    #[test]
    fn supply_is_taken_in_order_across_ranges() {
        let mut supply = Supply::new();
        supply.add(0..10);
        supply.add(20..30);

        let taken = [4, 8, 100].map(|count| (supply.take(count).len(), supply.len()));

        assert_eq!(taken, [(1, 16), (2, 8), (1, 0)]);
        supply.add(40..50);
        assert_eq!(supply.take(3).into_iter().flatten().collect::<Vec<_>>(), [40, 41, 42]);
    }

    #[test]
    fn exchanged_connections_have_no_known_token() {
        let mut population = population(&[10]);
        let exchanged = population.reserve(1_000);
        population.add_exchanged(exchanged);

        let refreshed: Vec<u64> = (0..500).filter_map(|_| population.draw_with_known_token()).collect();

        assert!(refreshed.len() == 500 && refreshed.iter().all(|number| *number < 10));
        assert_eq!(take_all(&mut population).len(), 1_010, "they can still be ended");
    }
}
