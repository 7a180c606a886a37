//! Randomness that is the same in every run.

use std::sync::atomic::{AtomicU64, Ordering};

use lovage_core::Entropy;

/// The golden ratio as a fraction of 2^64: the step of splitmix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Reproducible randomness (splitmix64): the same seed gives the same numbers. Never for production.
#[derive(Debug)]
pub struct SeededEntropy {
    state: AtomicU64,
}

impl SeededEntropy {
    /// A source that starts at `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let random = mix(self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP));
            chunk.copy_from_slice(&random.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// The output function of splitmix64.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_published_sequence_of_splitmix64() {
        let entropy = SeededEntropy::new(0);
        assert_eq!(entropy.next_u64(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(entropy.next_u64(), 0x6e78_9e6a_a1b9_65f4);
    }
}
