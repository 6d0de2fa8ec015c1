//! Pseudo-random numbers and permutations. Neither needs a list of its values.

/// The increment of `SplitMix64`: the golden ratio in 64 bits.
const INCREMENT: u64 = 0x9E37_79B9_7F4A_7C15;

/// Mixes the bits of a number (the finalizer of `SplitMix64`).
const fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// A generator of pseudo-random numbers (`SplitMix64`). It chooses the connections of requests and protects nothing.
#[derive(Clone, Debug)]
pub(crate) struct RandomSource(u64);

impl RandomSource {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(INCREMENT);
        mix(self.0)
    }

    /// Returns a number below `limit`, each with the same probability; 0 if the limit is 0.
    pub(crate) fn next_below(&mut self, limit: u64) -> u64 {
        // The high half of the product is uniform up to a deviation of `limit` in 2^64, which no run can notice.
        let product = u128::from(self.next_number()) * u128::from(limit);
        u64::try_from(product >> 64).unwrap_or(0)
    }
}

const ROUNDS: usize = 6;

/// A pseudo-random order of the numbers below a length: a Feistel network over the next power of four.
#[derive(Clone, Debug)]
pub(crate) struct Permutation {
    len: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    pub(crate) fn new(len: u64, random: &mut RandomSource) -> Self {
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        Self { len, half_bits: bits.div_ceil(2).max(1), keys: std::array::from_fn(|_| random.next_number()) }
    }

    /// Returns the number at a position. Positions must be below the length; each has another number.
    pub(crate) fn number_at(&self, position: u64) -> u64 {
        let mut number = self.permute(position);
        // The network permutes a range that may be larger. Following its cycle from a position inside leads to a number
        // inside, and to another one for each position.
        while number >= self.len && self.len > 0 {
            number = self.permute(number);
        }
        number
    }

    fn permute(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        left << self.half_bits | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutation_contains_each_number_once() {
        for len in [1, 2, 3, 5, 64, 65, 1_000, 4_097] {
            let permutation = Permutation::new(len, &mut RandomSource::new(len));

            let mut numbers: Vec<u64> = (0..len).map(|position| permutation.number_at(position)).collect();

            let is_shuffled = numbers != (0..len).collect::<Vec<_>>();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..len).collect::<Vec<_>>());
            assert!(is_shuffled || len < 64, "the order of {len} numbers is random");
        }
    }

    #[test]
    fn permutations_of_one_source_differ() {
        let mut random = RandomSource::new(7);

        let [one, other] = [(); 2].map(|()| Permutation::new(1_000, &mut random));

        let equal = (0..1_000).filter(|position| one.number_at(*position) == other.number_at(*position));
        assert!(equal.count() < 20);
    }

    #[test]
    fn numbers_below_limit_are_uniform() {
        let mut random = RandomSource::new(1);
        let mut counts = [0; 10];

        for _ in 0..100_000 {
            counts[usize::try_from(random.next_below(10)).unwrap()] += 1;
        }

        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        assert_eq!(random.next_below(0), 0);
    }
}
