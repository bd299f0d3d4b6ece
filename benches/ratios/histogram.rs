//! A log-linear latency histogram: constant memory, no allocation per sample.

/// Sub-buckets per power of two: values are kept to 1/64, about 1.6 %.
const STEPS: u64 = 64;

/// Counts of durations in nanoseconds.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// An empty histogram that covers every `u64`.
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; 64 * STEPS as usize], total: 0 }
    }

    /// Counts one duration.
    pub(crate) fn record(&mut self, nanos: u64) {
        if let Some(count) = self.counts.get_mut(slot(nanos)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// Adds another histogram's counts.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// The duration below which this share of the samples lies, in nanoseconds.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (slot, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return middle(slot as u64);
            }
        }
        0
    }
}

/// Values below `STEPS` have a slot each, then every power of two has `STEPS` of them.
fn slot(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    let exponent = u64::from(nanos.ilog2());
    let shift = exponent - u64::from(STEPS.ilog2());
    ((shift + 1) * STEPS + ((nanos >> shift) - STEPS)) as usize
}

fn middle(slot: u64) -> u64 {
    if slot < STEPS {
        return slot;
    }
    let shift = slot / STEPS - 1;
    ((slot % STEPS + STEPS) << shift) + ((1 << shift) >> 1)
}
