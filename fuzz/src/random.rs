//! Seeded pseudo-random numbers (splitmix64).

/// A pseudo-random number generator.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// Returns the next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `n`, or 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// Returns one of the elements.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Returns a number likely to break things: small, an edge case, or arbitrary.
    pub fn integer(&mut self) -> u64 {
        const EDGES: [i64; 22] = [
            0,
            1,
            2,
            3,
            -1,
            -2,
            7,
            16,
            127,
            128,
            255,
            256,
            65_535,
            65_536,
            1 << 20,
            1 << 31,
            (1 << 31) - 1,
            -(1 << 31),
            1 << 32,
            1 << 40,
            i64::MAX,
            i64::MIN,
        ];
        match self.below(8) {
            0 => self.next(),
            1 => self.next() % 1000,
            _ => *self.of(&EDGES) as u64,
        }
    }
}
