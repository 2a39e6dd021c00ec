//! What a crash leaves is a series of choices: made at random, or in every way there is.

/// Makes the choices of one crash.
pub(crate) trait Choose {
    /// One of so many options, by its number; the first one is to lose what can be lost.
    fn choose(&mut self, options: usize) -> usize;
}

/// Any option, by a generator whose seed repeats it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AtRandom(u64);

impl AtRandom {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    /// The next number, of 31 bits.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0 >> 33
    }
}

impl Choose for AtRandom {
    fn choose(&mut self, options: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % options.max(1)
    }
}

/// Every way there is, one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct EveryWay {
    /// What was chosen, of how many options.
    chosen: Vec<(usize, usize)>,
    made: usize,
}

impl EveryWay {
    /// Goes on to the next way; false when there is none left.
    pub(crate) fn advance(&mut self) -> bool {
        self.made = 0;
        while let Some((chosen, options)) = self.chosen.pop() {
            if chosen + 1 < options {
                self.chosen.push((chosen + 1, options));
                return true;
            }
        }
        false
    }
}

impl Choose for EveryWay {
    fn choose(&mut self, options: usize) -> usize {
        if self.made == self.chosen.len() {
            self.chosen.push((0, options));
        }
        let chosen = self.chosen.get(self.made).map_or(0, |(chosen, _)| *chosen);
        self.made += 1;
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_taken_once() {
        let mut every = EveryWay::default();
        let mut seen = Vec::new();
        loop {
            // How many options the second choice has depends on the first.
            let first = every.choose(2);
            let second = every.choose(first + 2);
            seen.push((first, second));
            if !every.advance() {
                break;
            }
        }
        assert_eq!(seen, [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]);
    }
}
