//! Customers isolated from others.

use crate::config::{CallLimits, Elin, Users};
use crate::id::TenantName;
use crate::record::RecordNumbers;
use std::time::Duration;

/// A customer: its numbers and limits. Trunks and routes name their tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenant {
    /// Configured name.
    pub name: TenantName,
    /// Numbers that belong to it; no two tenants overlap.
    pub numbers: Vec<NumberRange>,
    /// Numbers that others may have too, such as +1001: a call to one is this customer's only if it came
    /// in on a trunk of its own (TDR-MT-011).
    pub local_numbers: Vec<NumberRange>,
    /// Numbers that call for help, as they are dialled; the first stands for `urn:service:sos`.
    pub emergency: Vec<String>,
    /// Numbers of its places, under which callers for help are called back; the first that is a
    /// caller's counts.
    pub elins: Vec<Elin>,
    /// Whether numbers that a location names come before those (TDR-EMG-005).
    pub elin_from_location: bool,
    /// For how long after a call for help a call back is led to who called.
    pub elin_callback: Duration,
    /// Its users as Microsoft knows them.
    pub users: Users,
    /// Its limits.
    pub limits: CallLimits,
    /// How records of its calls show numbers.
    pub record_numbers: RecordNumbers,
}

impl Tenant {
    /// Whether a number is one of its own, told apart by the trunk or not.
    pub fn has(&self, number: &str) -> bool {
        let mut all = self.numbers.iter().chain(&self.local_numbers);
        all.any(|range| range.contains(number))
    }

    /// Whether a number (`+` and digits) is one of its own.
    pub fn owns(&self, number: &str) -> bool {
        self.numbers.iter().any(|range| range.contains(number))
    }

    /// The one number of its own that ends with these digits, seven or more; a zero in front may be what is dialled
    /// before numbers of the same country.
    pub fn owned_ending(&self, digits: &str) -> Option<String> {
        the_ending(&self.numbers, digits)
    }
}

/// A range of numbers in E.164 form: same length, with or without a prefix only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NumberRange {
    /// First number, `+` and digits.
    pub first: String,
    /// Last number, of the same length.
    pub last: String,
}

impl NumberRange {
    /// Whether `number` (`+` and digits) lies in the range.
    pub fn contains(&self, number: &str) -> bool {
        number.len() == self.first.len()
            && self.first.as_str() <= number
            && number <= self.last.as_str()
    }

    /// The number in the range that ends with these digits, where all of the range begins alike before them.
    fn ending(&self, digits: &str) -> Option<String> {
        let before = self.first.len().checked_sub(digits.len())?;
        let (begin, other) = (self.first.get(..before)?, self.last.get(..before)?);
        let number = format!("{begin}{digits}");
        let is_one = begin == other && before > 1 && digits.len() >= FEWEST_DIGITS;
        (is_one && self.contains(&number)).then_some(number)
    }
}

/// The one number of these ranges that ends with these digits.
fn the_ending(ranges: &[NumberRange], digits: &str) -> Option<String> {
    let national = digits.strip_prefix('0').unwrap_or(digits);
    let of = |range: &NumberRange| [digits, national].map(|end| range.ending(end));
    let mut found = ranges.iter().flat_map(of).flatten();
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

/// Digits that say which number is meant.
const FEWEST_DIGITS: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(all: &[(&str, &str)]) -> Vec<NumberRange> {
        let range = |(first, last): &(&str, &str)| NumberRange {
            first: (*first).to_owned(),
            last: (*last).to_owned(),
        };
        all.iter().map(range).collect()
    }

    #[test]
    fn a_number_is_known_by_its_end_where_only_one_has_it() {
        let own = ranges(&[
            ("+14255550100", "+14255550199"),
            ("+493023125000", "+493023125999"),
        ]);
        let ending = |digits| the_ending(&own, digits);
        assert_eq!(ending("4255550123").as_deref(), Some("+14255550123"));
        assert_eq!(ending("5550123").as_deref(), Some("+14255550123"));
        assert_eq!(ending("03023125992").as_deref(), Some("+493023125992"));
        assert_eq!(ending("3023125992").as_deref(), Some("+493023125992"));
        for other in ["550123", "4255550200", "14255550123", "", "0", "é255550123"] {
            assert_eq!(ending(other), None, "{other}");
        }
        // Two countries, and nobody knows which.
        let both = ranges(&[
            ("+14255550100", "+14255550199"),
            ("+494255550100", "+494255550199"),
        ]);
        assert_eq!(the_ending(&both, "4255550123"), None);
    }
}
