//! Customers isolated from others.

use crate::config::{CallLimits, Elin, Users};
use crate::id::TenantName;
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
}
