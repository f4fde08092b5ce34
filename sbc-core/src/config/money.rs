//! Money: amounts as exact whole numbers, and what calls to numbers cost (`[[rate]]`).
//!
//! ```toml
//! [[rate]]
//! prefix = "+49900"      # the longest one that a called number begins with counts
//! per_minute = 1.99      # or "1.99"; for each started microsecond its part
//! per_call = "0.50"      # once, when somebody answers
//! name = "premium"       # what records call such numbers; the prefix without it
//! ```
//!
//! The currency is the operator's: all amounts are of one. Decimals are read digit by digit and never
//! become floating-point numbers.

use super::finding::{Code, Collector};
use super::read::Section;
use super::reference::Form;
use super::source::At;
use super::value::is_number_start;
use std::collections::BTreeMap;
use std::fmt;
use toml::de::DeValue;

/// An amount in millionths of the currency's unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Money(pub u64);

/// Millionths of a unit.
const UNIT: u64 = 1_000_000;

/// Most digits before the decimal point: sums of millions of calls still fit in what counts them.
const MOST_DIGITS: usize = 9;

impl Money {
    /// The amount without the decimal places that the other one does not have; two remain. What is at least the
    /// other one still is.
    #[must_use]
    pub fn as_fine_as(self, other: Self) -> Self {
        let mut step = UNIT / 100;
        while step > 1 && !other.0.is_multiple_of(step) {
            step /= 10;
        }
        Self(self.0 - self.0 % step)
    }

    /// Reads a decimal of at most nine digits before and six after the point, such as `0.019`.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, fraction),
            None => (text, "0"),
        };
        let is_digits = |part: &str, most: usize| {
            (1..=most).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_digit())
        };
        if !is_digits(whole, MOST_DIGITS) || !is_digits(fraction, 6) {
            return None;
        }
        let whole: u64 = whole.parse().ok()?;
        let fraction: u64 = format!("{fraction:0<6}").parse().ok()?;
        Some(Self(whole * UNIT + fraction))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:06}", self.0 % UNIT);
        let fraction = match fraction.trim_end_matches('0') {
            "" => "00".to_owned(),
            short => format!("{short:0<2}"),
        };
        write!(f, "{}.{fraction}", self.0 / UNIT)
    }
}

/// What a call costs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Price {
    /// Of each minute after the answer, counted by the microsecond.
    pub per_minute: Money,
    /// Of each answered call.
    pub per_call: Money,
}

impl Price {
    /// Whether it costs nothing.
    pub fn is_free(self) -> bool {
        self == Self::default()
    }
}

/// What calls cost, by beginnings of called numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rates {
    prices: BTreeMap<String, Rate>,
    longest: usize,
}

/// What calls to one beginning of numbers cost, and what records call it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Rate {
    price: Price,
    name: Option<String>,
}

impl Rates {
    /// Whether nothing has a price.
    pub fn is_empty(&self) -> bool {
        self.prices.is_empty()
    }

    /// The price of a call to a number: that of the longest beginning; nothing where none is one.
    pub fn of(&self, number: &str) -> Option<Price> {
        self.found(number).map(|(_, rate)| rate.price)
    }

    /// What records call the beginning that says the price of a number: the rate's name, else the beginning itself.
    pub fn prefix_of(&self, number: &str) -> Option<&str> {
        let (prefix, rate) = self.found(number)?;
        Some(rate.name.as_deref().unwrap_or(prefix))
    }

    fn found(&self, number: &str) -> Option<(&str, &Rate)> {
        let longest = self.longest.min(number.len());
        let starts = (1..=longest).rev().filter_map(|end| number.get(..end));
        let mut rates = starts.filter_map(|start| self.prices.get_key_value(start));
        rates.next().map(|(prefix, rate)| (prefix.as_str(), rate))
    }
}

/// Whether what a record calls a beginning of numbers is that itself, and no name.
pub(crate) fn is_prefix(prefix_id: &str) -> bool {
    is_number_start(prefix_id)
}

/// What was written as `[[rate]]`.
pub(super) struct WrittenRate {
    prefix: At<String>,
    price: Price,
    name: Option<String>,
}

/// Reads a `[[rate]]`.
pub(super) fn rate(mut section: Section<'_>, out: &mut Collector) -> Option<WrittenRate> {
    let prefix = section.required_text("prefix", "\"+49900\"", out);
    if let Some(at) = prefix.as_ref().filter(|at| !is_number_start(&at.value)) {
        let written = at.value.escape_debug();
        out.add(
            Code::BadForm,
            &at.span,
            format!("rate: prefix \"{written}\" is no beginning of a number"),
            Some(
                "write digits as the numbers have them after the transforms, such as \"+49900\""
                    .to_owned(),
            ),
        );
    }
    let per_minute = amount(&mut section, "per_minute", out);
    let per_call = amount(&mut section, "per_call", out);
    if !section.has("per_minute") && !section.has("per_call") {
        section.missing("per_minute", "\"0.25\"", out);
    }
    let name = section.text("name", out);
    if let Some(at) = name.as_ref().filter(|at| !is_destination(&at.value)) {
        out.add(
            Code::BadForm,
            &at.span,
            format!(
                "rate: name \"{}\" is no name of a destination",
                at.value.escape_debug()
            ),
            Some(format!(
                "begin with a letter, and write {LONGEST_NAME} characters at most, none of them a control character"
            )),
        );
    }
    section.finish(&["currency", "increment"], out);
    let of = |at: Option<At<Money>>| at.map_or(Money::default(), |at| at.value);
    Some(WrittenRate {
        prefix: prefix?,
        price: Price {
            per_minute: of(per_minute),
            per_call: of(per_call),
        },
        name: name.map(|at| at.value),
    })
}

/// Most characters of the name of a rate.
const LONGEST_NAME: usize = 64;

/// Whether this may be the name of a rate: it must not be taken for a beginning of numbers.
fn is_destination(name: &str) -> bool {
    name.starts_with(char::is_alphabetic)
        && name.chars().count() <= LONGEST_NAME
        && !name.chars().any(char::is_control)
}

/// Reads an amount: a decimal in quotes or without.
pub(super) fn amount(
    section: &mut Section<'_>,
    key: &'static str,
    out: &mut Collector,
) -> Option<At<Money>> {
    section.notes(key, Form::Amount, out);
    let item = section.take(key)?;
    let text = match item.value {
        DeValue::String(text) => text.as_ref(),
        DeValue::Float(digits) => digits.as_str(),
        DeValue::Integer(digits) if digits.radix() == 10 => digits.as_str(),
        _ => {
            item.wrong_type(&section.title, key, "an amount of money", out);
            return None;
        }
    };
    let amount = Money::parse(text);
    if amount.is_none() {
        out.add(
            Code::BadForm,
            &item.span,
            format!(
                "{}: {key} \"{}\" is no amount of money",
                section.title,
                text.escape_debug()
            ),
            Some("write a decimal with up to 6 places, such as \"0.019\"".to_owned()),
        );
    }
    Some(At::new(amount?, item.span))
}

/// The rates, once every beginning that is there twice has been told.
pub(super) fn rates(written: &[WrittenRate], out: &mut Collector) -> Rates {
    let mut rates = Rates::default();
    for WrittenRate {
        prefix,
        price,
        name,
    } in written
    {
        rates.longest = rates.longest.max(prefix.value.len());
        let rate = Rate {
            price: *price,
            name: name.clone(),
        };
        if rates.prices.insert(prefix.value.clone(), rate).is_some() {
            out.add(
                Code::DuplicateName,
                &prefix.span,
                format!(
                    "there is another rate for \"{}\"",
                    prefix.value.escape_debug()
                ),
                Some("keep one of the two".to_owned()),
            );
        }
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_written_as_they_are_read() {
        for (text, micros, shown) in [
            ("0.1", 100_000, "0.10"),
            ("0.019", 19_000, "0.019"),
            ("12", 12_000_000, "12.00"),
            ("0.000001", 1, "0.000001"),
            ("999999999.999999", 999_999_999_999_999, "999999999.999999"),
        ] {
            let money = Money::parse(text);
            assert_eq!(money, Some(Money(micros)), "{text}");
            assert_eq!(money.unwrap().to_string(), shown);
        }
        for text in [
            "",
            ".5",
            "1.",
            "-1",
            "+1",
            "1e3",
            "0.0000001",
            "1_0",
            "inf",
            "1234567890",
        ] {
            assert_eq!(Money::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_spent_is_told_as_exactly_as_what_may_be() {
        let told = |own: &str, other: &str| {
            let money = |text| Money::parse(text).unwrap();
            money(own).as_fine_as(money(other)).to_string()
        };
        assert_eq!(told("1.083333", "1"), "1.08");
        assert_eq!(told("1.999999", "1.50"), "1.99");
        assert_eq!(told("1.083333", "0.125"), "1.083");
        assert_eq!(told("0.019", "0.019"), "0.019");
        assert_eq!(told("0.000004", "0.000001"), "0.000004");
    }

    #[test]
    fn the_longest_beginning_says_the_price() {
        let price = |micros| Price {
            per_minute: Money(micros),
            per_call: Money::default(),
        };
        let prices = [
            ("+4", 1, None),
            ("+49", 2, None),
            ("+49900", 3, Some("premium")),
        ];
        let prices = prices.map(|(start, micros, name)| {
            let rate = Rate {
                price: price(micros),
                name: name.map(str::to_owned),
            };
            (start.to_owned(), rate)
        });
        let rates = Rates {
            prices: prices.into(),
            longest: 6,
        };
        assert_eq!(rates.of("+49900123"), Some(price(3)));
        assert_eq!(rates.prefix_of("+49900123"), Some("premium"));
        assert_eq!(rates.prefix_of("+4990"), Some("+49"));
        assert_eq!(rates.prefix_of("+1"), None);
        assert!(is_prefix("+49") && is_prefix("0900") && !is_prefix("premium"));
        assert_eq!(rates.of("+4990"), Some(price(2)));
        assert_eq!(rates.of("+43"), Some(price(1)));
        assert_eq!(rates.of("+1"), None);
        assert_eq!(rates.of("+4ü"), Some(price(1)));
        assert_eq!(rates.of(""), None);
    }
}
