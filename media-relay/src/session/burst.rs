//! How losses are distributed: in bursts, and in the gaps between them (RFC 3611 §4.7.2).
//!
//! Told packet by packet in the order of their numbers, once it is certain that one will not come any more.

use media_api::{BurstStats, percent};

/// Packets that must arrive in a row to end a burst, the RFC's Gmin.
const GMIN: u64 = 16;

/// Losses of one stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Bursts {
    /// Extended number of the latest loss.
    last_lost: u64,
    /// Losses that may be a burst, and packets from the first to the last of them.
    lost: u32,
    span: u32,
    bursts: u32,
    burst_lost: u32,
    burst_packets: u32,
    gap_lost: u32,
    /// Most losses within a window of 200 ms.
    densest: u8,
}

impl Bursts {
    /// `count` packets from number `first` on did not come.
    pub(super) fn lose(&mut self, first: u64, count: u32) {
        let arrived = first.wrapping_sub(self.last_lost).wrapping_sub(1);
        if self.lost > 0 && arrived < GMIN {
            self.lost = self.lost.saturating_add(count);
            self.span = self.span.saturating_add(arrived as u32 + count);
        } else {
            self.close();
            (self.lost, self.span) = (count, count);
        }
        self.last_lost = first + u64::from(count) - 1;
    }

    /// A window of 200 ms has lost so many.
    pub(super) fn note_density(&mut self, lost: u8) {
        self.densest = self.densest.max(lost);
    }

    /// The numbers end here: what begins next has none in common with them.
    pub(super) fn close(&mut self) {
        match std::mem::take(&mut self.lost) {
            0 => {}
            1 => self.gap_lost = self.gap_lost.saturating_add(1),
            lost => {
                self.bursts += 1;
                self.burst_lost = self.burst_lost.saturating_add(lost);
                self.burst_packets = self.burst_packets.saturating_add(self.span);
            }
        }
    }

    /// Figures of a stream that has `expected` packets in all.
    pub(super) fn stats(mut self, expected: u64) -> BurstStats {
        self.close();
        BurstStats {
            bursts: self.bursts,
            burst_lost: self.burst_lost,
            burst_packets: self.burst_packets,
            gap_lost: self.gap_lost,
            gap_packets: expected.saturating_sub(self.burst_packets.into()),
        }
    }

    /// Largest loss within 200 ms, where that is `window` packets. One of ten is more than a tenth only because no
    /// smaller loss can be told, so a single one is none.
    pub(super) fn densest_percent(&self, window: u8) -> f32 {
        match self.densest {
            0 | 1 => 0.0,
            lost => percent(lost.into(), window.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lost: &[u64], expected: u64) -> BurstStats {
        let mut bursts = Bursts::default();
        for number in lost {
            bursts.lose(*number, 1);
        }
        bursts.stats(expected)
    }

    #[test]
    fn sixteen_packets_in_a_row_end_a_burst_and_fifteen_do_not() {
        // Lost: 10, then 15 arrive, then 26; 16 arrive, then 43 alone.
        let stats = of(&[10, 26, 43], 100);
        assert_eq!(
            (stats.bursts, stats.burst_lost, stats.burst_packets),
            (1, 2, 17)
        );
        assert_eq!((stats.gap_lost, stats.gap_packets), (1, 83));
        assert!((stats.burst_density_percent() - 200.0 / 17.0).abs() < 1e-4);
        let apart = of(&[10, 27, 44], 100);
        assert_eq!(
            (apart.bursts, apart.gap_lost, apart.gap_packets),
            (0, 3, 100)
        );
    }

    #[test]
    fn rows_of_losses_count_as_if_each_had_been_told() {
        let mut row = Bursts::default();
        row.lose(100, 5);
        row.lose(110, 1);
        assert_eq!(row.stats(1_000), of(&[100, 101, 102, 103, 104, 110], 1_000));
    }

    #[test]
    fn the_first_loss_is_a_loss_like_any_other_and_nothing_is_no_burst() {
        assert_eq!(of(&[0], 10).gap_lost, 1);
        assert_eq!(of(&[], 10).gap_density_percent(), 0.0);
        assert_eq!(of(&[], 0), BurstStats::default());
    }
}
