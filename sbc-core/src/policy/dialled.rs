//! Called numbers that lead nowhere, and what the caller is told of them (SIP-1024).
//!
//! | number                                        | status | because                              |
//! |-----------------------------------------------|--------|--------------------------------------|
//! | `+` and more than fifteen digits              | 604, 484 to Teams | E.164 has none that is so long |
//! | begins as numbers of a customer do, and ends  | 484    | the caller has not dialled to the end |
//! | anything else that nobody has                 | 404    | somewhere else it may exist          |

use crate::cause::{Because, CauseCode};
use crate::config::Config;
use crate::policy::Refusal;
use crate::sip::Status;
use crate::trouble::Trouble;

/// Most digits of a number of E.164 (SIP-1020).
const MOST_DIGITS: usize = 15;

/// The refusal of a number that cannot exist.
pub fn impossible(called: &str) -> Option<Refusal> {
    let digits = called.strip_prefix('+')?;
    let is_number = digits.bytes().all(|octet| octet.is_ascii_digit());
    (is_number && digits.len() > MOST_DIGITS).then(|| Refusal {
        status: Status::DOES_NOT_EXIST_ANYWHERE,
        cause: CauseCode::NumberUnknown,
        because: Because::of(format!(
            "{called} has more than {MOST_DIGITS} digits, which no number has"
        ))
        .named(Trouble::NumberImpossible),
    })
}

/// Why a number that is nobody's is refused so: the range that it would belong to with more digits.
pub fn incomplete(config: &Config, called: &str) -> Option<Because> {
    let is_number = called.strip_prefix('+').is_some_and(|digits| {
        digits.len() >= FEWEST_DIGITS && digits.bytes().all(|octet| octet.is_ascii_digit())
    });
    if !is_number {
        return None;
    }
    config.tenants.values().find_map(|tenant| {
        let range = tenant.numbers.iter().find(|range| {
            let head = |number: &str| number.get(..called.len()).map(str::to_owned);
            let is_longer = range.first.len() > called.len();
            is_longer
                && head(&range.first).is_some_and(|first| first.as_str() <= called)
                && head(&range.last).is_some_and(|last| called <= last.as_str())
        })?;
        Some(Because::of(format!(
            "{called} is too short for a number of tenant \"{}\" ({}-{})",
            tenant.name, range.first, range.last
        )))
    })
}

/// A country code and a little more: fewer digits say nothing about whom the caller wants.
const FEWEST_DIGITS: usize = 4;
