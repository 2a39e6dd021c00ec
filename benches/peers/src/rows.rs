//! Keys, values and choices: the same for each engine, from a number alone.

/// A key.
pub(crate) type Key = [u8; 16];

/// Bytes of a usual value.
pub(crate) const VALUE_BYTES: usize = 100;
/// Bytes of a large value.
pub(crate) const LARGE_BYTES: usize = 64 << 10;

/// A record to put.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) value: Vec<u8>,
}

impl Row {
    /// The record of this number, with the value of this version.
    pub(crate) fn new(number: u64, version: u64, bytes: usize) -> Self {
        let mut row = Self { key: key(number), value: vec![0; bytes] };
        row.set(number, version);
        row
    }

    /// Becomes the record of another number.
    pub(crate) fn set(&mut self, number: u64, version: u64) {
        self.key = key(number);
        fill(&mut self.value, &self.key, number.rotate_left(32) ^ version);
    }
}

/// A bijection of numbers that looks random (the finisher of splitmix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The key of this number: numbers in sequence give keys in random order, each once.
pub(crate) fn key(number: u64) -> Key {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(number).to_be_bytes());
    key[8..].copy_from_slice(&mix(!number).to_be_bytes());
    key
}

/// What the second half of each value repeats, as field names do in real records.
const TEXT: &[u8; 50] = b"\"name\":\"\",\"status\":\"confirmed\",\"currency\":\"EUR\",\"x";

/// Fills a value: the begin of its key, so that readers can check it; noise up to the half, which
/// does not compress; text, which does.
fn fill(value: &mut [u8], key: &Key, salt: u64) {
    let (noise, text) = value.split_at_mut(value.len() / 2);
    let mut random = Random::new(salt);
    for chunk in noise.chunks_mut(8) {
        let bytes = random.next().to_le_bytes();
        chunk.copy_from_slice(&bytes[..chunk.len()]);
    }
    noise[..8].copy_from_slice(&key[..8]);
    for chunk in text.chunks_mut(TEXT.len()) {
        chunk.copy_from_slice(&TEXT[..chunk.len()]);
    }
}

/// Whether a value may be one of this key.
pub(crate) fn belongs(value: &[u8], key: &Key) -> bool {
    value.len() >= VALUE_BYTES && value[..8] == key[..8]
}

/// A small generator (xorshift64*), seeded so that runs repeat.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// A number from 0 to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Numbers below `end`, the small ones far more often, as YCSB chooses them.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    end: f64,
    alpha: f64,
    eta: f64,
    zeta: f64,
    half: f64,
}

impl Zipf {
    const THETA: f64 = 0.99;

    pub(crate) fn new(end: u64) -> Self {
        let zeta = |n: u64| (1..=n).map(|i| (i as f64).powf(-Self::THETA)).sum::<f64>();
        let (all, two) = (zeta(end), zeta(2));
        let eta = (1.0 - (2.0 / end as f64).powf(1.0 - Self::THETA)) / (1.0 - two / all);
        let alpha = 1.0 / (1.0 - Self::THETA);
        Self { end: end as f64, alpha, eta, zeta: all, half: 1.0 + 0.5_f64.powf(Self::THETA) }
    }

    pub(crate) fn choose(&self, random: &mut Random) -> u64 {
        let u = random.unit();
        let uz = u * self.zeta;
        if uz < 1.0 {
            return 0;
        }
        if uz < self.half {
            return 1;
        }
        let rank = self.end * (self.eta * u - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.end as u64 - 1)
    }
}
