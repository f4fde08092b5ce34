//! How many records go at once: as many as are configured, and fewer to whoever does not manage those.

/// Tries in a row that break before fewer are tried: what breaks once is tried again as it was.
const BROKEN: u32 = 3;
/// Records in a row that are refused and passed over: whoever wants none of them has another trouble than the records.
const REFUSED: u32 = 3;

/// What is known of whoever takes them.
#[derive(Clone, Debug)]
pub(super) struct Size {
    limit: usize,
    /// It did not manage more in its time, and is not tried with more: it gets each of them once more for that.
    ceiling: usize,
    broken: u32,
    refused: u32,
}

impl Size {
    /// So many are configured.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self {
            limit: most,
            ceiling: most,
            broken: 0,
            refused: 0,
        }
    }

    /// How many go at once.
    pub(super) fn now(&self) -> usize {
        self.limit
    }

    /// It has taken some: as many as before, by and by.
    pub(super) fn taken(&mut self) {
        self.limit = self.limit.saturating_mul(2).min(self.ceiling);
        (self.broken, self.refused) = (0, 0);
    }

    /// It will not have them as they are; half of them are so many.
    pub(super) fn unwanted(&mut self, half: usize) {
        self.limit = half.max(1);
        self.broken = 0;
    }

    /// It was too slow for so many.
    pub(super) fn late(&mut self, half: usize) {
        self.limit = half.max(1);
        self.ceiling = self.limit;
        self.broken = 0;
    }

    /// It broke, or said that something is wrong with it; whether half is tried now.
    pub(super) fn broke(&mut self, half: usize) -> bool {
        self.broken += 1;
        if self.broken < BROKEN || half == 0 {
            return false;
        }
        self.unwanted(half);
        true
    }

    /// Whether it has refused several in a row, and taken none.
    pub(super) fn refuses_all(&self) -> bool {
        self.refused >= REFUSED
    }

    /// One is refused.
    pub(super) fn refused(&mut self) {
        self.refused = self.refused.saturating_add(1);
        self.broken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_too_slow_for_many_never_gets_as_many_again() {
        let mut size = Size::new(100);
        size.late(50);
        size.late(25);
        assert_eq!(size.now(), 25);
        size.taken();
        assert_eq!(size.now(), 25);
        // What is not wanted is another matter.
        size.unwanted(12);
        size.taken();
        assert_eq!(size.now(), 24);
        size.taken();
        assert_eq!(size.now(), 25);
        size.late(0);
        assert_eq!(size.now(), 1);
    }

    #[test]
    fn what_breaks_several_times_in_a_row_is_tried_with_half() {
        let mut size = Size::new(100);
        assert!(!size.broke(50) && !size.broke(50));
        size.taken();
        assert!(!size.broke(50) && !size.broke(50) && size.broke(50));
        assert_eq!(size.now(), 50);
        assert!(!size.broke(25));
        size.taken();
        assert_eq!(size.now(), 100);
        let mut one = Size::new(1);
        assert!((0..10).all(|_| !one.broke(0)));
    }
}
