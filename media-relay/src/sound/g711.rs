//! Encoding of linear samples in the two laws of ITU-T G.711, by table.

/// An A-law octet looks at the upper 12 bits of a sample, a µ-law octet at the upper 14.
static A_LAW: [u8; 1 << 12] = a_law_table();
static MU_LAW: [u8; 1 << 14] = mu_law_table();

/// What the magnitudes of µ-law are raised by, so that all its segments begin at a power of two.
const MU_LAW_BIAS: u16 = 33;

/// The A-law octet of a sample, with even bits inverted as on the wire (G.711, table 1).
pub(crate) fn a_law(sample: i16) -> u8 {
    A_LAW[usize::from(sample as u16 >> 4)]
}

/// The µ-law octet of a sample (G.711, table 2).
pub(crate) fn mu_law(sample: i16) -> u8 {
    MU_LAW[usize::from(sample as u16 >> 2)]
}

const fn a_law_table() -> [u8; 1 << 12] {
    let mut table = [0; 1 << 12];
    let mut at = 0;
    while at < table.len() {
        table[at] = a_law_of((at as u16) << 4);
        at += 1;
    }
    table
}

const fn mu_law_table() -> [u8; 1 << 14] {
    let mut table = [0; 1 << 14];
    let mut at = 0;
    while at < table.len() {
        table[at] = mu_law_of((at as u16) << 2);
        at += 1;
    }
    table
}

/// Sixteen steps per segment; the first two segments have steps of the same size.
pub(crate) const fn a_law_of(sample: u16) -> u8 {
    let (sign, magnitude) = split(sample);
    let steps = magnitude >> 4;
    let code = match steps.checked_ilog2() {
        None | Some(0..=3) => steps,
        Some(exponent) => {
            let segment = exponent as u16 - 3;
            segment << 4 | (steps >> (segment - 1)) & 15
        }
    };
    (sign | code as u8) ^ 0x55
}

/// Sixteen steps per segment, each segment with steps of twice the size of the one before.
pub(crate) const fn mu_law_of(sample: u16) -> u8 {
    let (sign, magnitude) = split(sample);
    let raised = (magnitude >> 2) + MU_LAW_BIAS;
    let biased = if raised > 0x1fff { 0x1fff } else { raised };
    let segment = biased.ilog2() as u16 - 5;
    let code = segment << 4 | (biased >> (segment + 1)) & 15;
    (sign | code as u8) ^ 0x7f
}

/// The sign bit, set for what is not negative, and the magnitude. That of a negative sample is its
/// one's complement: there are as many negative values as others (ITU-T G.191).
const fn split(sample: u16) -> (u8, u16) {
    if sample & 0x8000 == 0 {
        (0x80, sample)
    } else {
        (0, !sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 128 intervals of a law as G.711 lists them: the lower ends of each, by the size of the
    /// steps in each segment.
    fn decision_values(first: &[u32], segments: &[u32]) -> Vec<u32> {
        let steps = segments.iter().flat_map(|step| [*step; 16]);
        let mut at = 0;
        let mut values = vec![0];
        for step in first.iter().copied().chain(steps) {
            at += step;
            values.push(at);
        }
        assert_eq!(values.len(), 129);
        values
    }

    /// The number of the interval that a magnitude falls into, the last one beyond the end.
    fn interval(values: &[u32], magnitude: u32) -> u8 {
        let at = values[..128].iter().rposition(|low| *low <= magnitude);
        u8::try_from(at.unwrap()).unwrap()
    }

    /// Magnitude in units of the law, `per_unit` of ours each. Two's complement has one negative
    /// value more than others, so a negative sample counts from the other side of zero.
    fn magnitude(sample: i16, per_unit: u32) -> u32 {
        let sample = i32::from(sample);
        let from_zero = if sample < 0 { -sample - 1 } else { sample };
        from_zero.unsigned_abs() / per_unit
    }

    #[test]
    fn every_sample_gets_the_octet_of_the_interval_it_falls_into() {
        // Table 1a: magnitudes to 4096. Table 2a: to 8159, the first interval half as wide.
        let a_values = decision_values(&[], &[2, 2, 4, 8, 16, 32, 64, 128]);
        assert_eq!(a_values[128], 4096);
        let mut mu_first = vec![1];
        mu_first.extend([2; 15]);
        let mu_values = decision_values(&mu_first, &[4, 8, 16, 32, 64, 128, 256]);
        assert_eq!(mu_values[128], 8159);
        for sample in i16::MIN..=i16::MAX {
            let sign = if sample < 0 { 0 } else { 0x80 };
            let a = (sign | interval(&a_values, magnitude(sample, 8))) ^ 0x55;
            assert_eq!(a_law(sample), a, "A-law of {sample}");
            let mu = (sign | interval(&mu_values, magnitude(sample, 4))) ^ 0x7f;
            assert_eq!(mu_law(sample), mu, "µ-law of {sample}");
        }
    }

    #[test]
    fn silence_and_the_loudest_values_are_those_that_everybody_knows() {
        assert_eq!([0, -1].map(a_law), [0xd5, 0x55]);
        assert_eq!([0, -1].map(mu_law), [0xff, 0x7f]);
        assert_eq!([i16::MAX, i16::MIN].map(a_law), [0xaa, 0x2a]);
        assert_eq!([i16::MAX, i16::MIN].map(mu_law), [0x80, 0x00]);
    }
}
