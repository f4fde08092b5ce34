//! Times that a requirement bounds, measured on a machine that may be busy with something else.

use super::stage::Stage;
use std::time::Duration;

/// How long something took, as often as it was tried.
pub struct Times {
    limit: Duration,
    tries: usize,
    took: Vec<Duration>,
}

impl Times {
    /// Of so many tries most must take no longer than that.
    pub fn new(limit: Duration, tries: usize) -> Self {
        Self {
            limit,
            tries,
            took: Vec::new(),
        }
    }

    /// It took so long once more.
    pub fn took(&mut self, time: Duration) {
        self.took.push(time);
    }

    /// Whether further tries change nothing.
    pub fn are_decided(&self) -> bool {
        let late = self.late();
        let enough = self.tries / 2 + 1;
        late >= enough || self.took.len() - late >= enough
    }

    fn late(&self) -> usize {
        self.took.iter().filter(|took| **took > self.limit).count()
    }

    /// Notes the rule as broken where most were late, and tells of every one that was. A bad network delays what it
    /// likes.
    #[track_caller]
    pub fn are_kept(&self, stage: &Stage, rule: &str, what: &str) {
        let (late, all) = (self.late(), self.took.len());
        if late > 0 {
            let longest = self.took.iter().max().copied().unwrap_or_default();
            let limit = self.limit;
            stage.note(format!(
                "{what}: {late} of {all} later than {limit:?}, the latest after {longest:?}"
            ));
        }
        let is_kept = all > 0 && late * 2 < all || stage.kit.network.is_some();
        stage.check(rule, is_kept, || {
            format!("{what} after {:?}, wanted {:?}", self.took, self.limit)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_decided_once_most_were_in_time_or_most_were_late() {
        let (soon, late) = (Duration::from_millis(1), Duration::from_millis(9));
        for (took, is_decided, were_late) in [
            (&[][..], false, 0),
            (&[soon, late], false, 1),
            (&[soon, soon], true, 0),
            (&[late, soon, late], true, 2),
        ] {
            let mut times = Times::new(Duration::from_millis(5), 3);
            took.iter().for_each(|time| times.took(*time));
            assert_eq!((times.are_decided(), times.late()), (is_decided, were_late));
        }
    }
}
