//! Number patterns of AudioCodes, and ranges of numbers, as regular expressions.
//!
//! | pattern      | stands for                             |
//! |--------------|----------------------------------------|
//! | `*`, nothing | every number                           |
//! | `44`, `+44`  | numbers that begin so                  |
//! | `x`          | any digit                              |
//! | `z`, `n`     | 1 to 9, 2 to 9                         |
//! | `[2-5]`      | a digit of these, `[2,4-6]` as well    |
//! | `#` at the end | nothing follows                      |
//! | `(100)` at the end | numbers that end so              |

/// Most characters of a pattern.
const LONGEST: usize = 128;

/// A pattern that was understood.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Pattern {
    /// Expressions of one character each, from the beginning of the number.
    start: Vec<String>,
    /// The same for the end of the number.
    end: Vec<String>,
    /// Whether nothing is between both.
    is_whole: bool,
}

/// How an AudioCodes rule changes a number, in this order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Change {
    /// Characters that go on the left.
    pub(super) left: usize,
    /// Characters that go on the right.
    pub(super) right: usize,
    /// Characters that stay on the right; the others go.
    pub(super) leave: Option<usize>,
    /// What is put before.
    pub(super) before: String,
    /// What is put behind.
    pub(super) behind: String,
}

impl Pattern {
    /// Reads a pattern, or tells what in it is not understood.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.len() > LONGEST {
            return Err("the pattern is too long");
        }
        if matches!(text, "" | "*" | "any" | "Any") {
            return Ok(Self::default());
        }
        let (text, end) = match text.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
            Some((text, end)) => (text, letters(end)?),
            None => (text, Vec::new()),
        };
        let (text, is_whole) = match text.strip_suffix('#') {
            Some(text) => (text, true),
            None => (text.strip_suffix('*').unwrap_or(text), false),
        };
        Ok(Self {
            start: letters(text)?,
            end,
            is_whole,
        })
    }

    /// Whether every number fits.
    pub(super) fn is_any(&self) -> bool {
        *self == Self::default()
    }

    /// The expression that the same numbers fit.
    pub(super) fn regex(&self) -> String {
        let (start, end) = (self.start.concat(), self.end.concat());
        match (self.is_whole, end.as_str()) {
            (true, _) => format!("^{start}{end}$"),
            (false, "") => format!("^{start}"),
            (false, _) => format!("^{start}.*{end}$"),
        }
    }

    /// Expression and replacement of a rule that changes the numbers that fit, or why there is none.
    pub(super) fn rule(&self, change: &Change) -> Result<(String, String), &'static str> {
        let is_plain = |text: &str| {
            text.len() <= 32
                && text
                    .chars()
                    .all(|c| c.is_ascii_digit() || "+*#".contains(c))
        };
        if !is_plain(&change.before) || !is_plain(&change.behind) {
            return Err("what it adds is no part of a number");
        }
        if change.left > 30 || change.right > 30 || change.leave.is_some_and(|leave| leave > 30) {
            return Err("it removes more characters than a number has");
        }
        // ${1} and not $1: digits may follow.
        let set = format!("{}${{1}}{}", change.before, change.behind);
        if !self.end.is_empty() {
            return Err("its pattern is about the end of the number");
        }
        let kept = self
            .start
            .get(change.left.min(self.start.len())..)
            .unwrap_or_default();
        let gone = self
            .start
            .get(..change.left.min(self.start.len()))
            .unwrap_or_default();
        let further = match change.left - gone.len() {
            0 => String::new(),
            more => format!(".{{{more}}}"),
        };
        let (gone, kept) = (gone.concat(), kept.concat());
        let more = if self.is_whole { "" } else { ".*" };
        match (change.leave, change.right) {
            (Some(leave), 0) if self.is_any() && change.left == 0 => {
                Ok((format!("^.*?(.{{0,{leave}}})$"), set))
            }
            (Some(_), _) => {
                Err("it leaves a number of characters and has a pattern or removes others")
            }
            (None, 0) => Ok((format!("^{gone}{further}({kept}{more})$"), set)),
            (None, _) if self.is_whole => Err("it removes from the right of whole numbers"),
            (None, right) => Ok((format!("^{gone}{further}({kept}.*).{{{right}}}$"), set)),
        }
    }
}

fn letters(text: &str) -> Result<Vec<String>, &'static str> {
    let mut letters = Vec::new();
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        letters.push(match letter {
            '0'..='9' => letter.to_string(),
            '+' => "\\+".to_owned(),
            'x' | 'X' => "[0-9]".to_owned(),
            'z' | 'Z' => "[1-9]".to_owned(),
            'n' | 'N' => "[2-9]".to_owned(),
            '[' => {
                let set: String = rest.by_ref().take_while(|c| *c != ']').collect();
                class(&set)?
            }
            _ => return Err("it has signs whose meaning is not known here"),
        });
    }
    Ok(letters)
}

/// `2-5`, `2,4-6`: a digit of these.
fn class(set: &str) -> Result<String, &'static str> {
    let mut class = String::from("[");
    for part in set.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let digit = |text: &str| {
            let is_digit = text.len() == 1 && text.bytes().all(|octet| octet.is_ascii_digit());
            is_digit.then(|| text.to_owned())
        };
        match (digit(first.trim()), digit(last.trim())) {
            (Some(first), Some(last)) if first < last => class.push_str(&format!("{first}-{last}")),
            (Some(first), Some(last)) if first == last => class.push_str(&first),
            _ => return Err("it has a range of several digits"),
        }
    }
    class.push(']');
    Ok(class)
}

/// Expressions that together fit the numbers from `first` to `last`, both of so many digits: `1[2-4][0-9]{2}`.
pub(super) fn of_range(first: u64, last: u64, digits: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut from = first;
    while from <= last {
        // The largest block of ten, hundred, … that begins here, and how many of them in a row.
        let mut size = 1_u64;
        // One digit is always left to stand before what is wild.
        while from.is_multiple_of(size * 10)
            && from + (size * 10 - 1) <= last
            && (size.ilog10() as usize) + 2 <= digits
        {
            size *= 10;
        }
        let most = 9 - from / size % 10;
        let more = ((last - from + 1) / size - 1).min(most);
        let (digit, wild) = (from / size % 10, size.ilog10() as usize);
        let text = format!("{from:0digits$}");
        let head = text
            .get(..digits.saturating_sub(wild + 1))
            .unwrap_or_default();
        let mut part = match more {
            0 => format!("{head}{digit}"),
            more => format!("{head}[{digit}-{}]", digit + more),
        };
        match wild {
            0 => {}
            1 => part.push_str("[0-9]"),
            wild => part.push_str(&format!("[0-9]{{{wild}}}")),
        }
        parts.push(part);
        from += size * (more + 1);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(text: &str) -> String {
        Pattern::parse(text).unwrap().regex()
    }

    #[test]
    fn patterns_become_expressions() {
        assert!(Pattern::parse("*").unwrap().is_any() && Pattern::parse("").unwrap().is_any());
        assert_eq!(regex("+44"), "^\\+44");
        assert_eq!(regex("0[2-4,7]xz#"), "^0[2-47][0-9][1-9]$");
        assert_eq!(regex("44*"), "^44");
        assert_eq!(regex("00(12)"), "^00.*12$");
        for unknown in ["[100-199]", "!44", "a", "$", "[", "[]", "4@"] {
            assert!(Pattern::parse(unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn changes_become_rules() {
        let rule = |pattern: &str, change: Change| Pattern::parse(pattern).unwrap().rule(&change);
        let add = |left, before: &str| Change {
            left,
            before: before.to_owned(),
            ..Change::default()
        };
        assert_eq!(
            rule("0", add(1, "+44")),
            Ok(("^0(.*)$".into(), "+44${1}".into()))
        );
        assert_eq!(
            rule("0z", add(1, "+44")),
            Ok(("^0([1-9].*)$".into(), "+44${1}".into()))
        );
        assert_eq!(
            rule("*", add(3, "")),
            Ok(("^.{3}(.*)$".into(), "${1}".into()))
        );
        assert_eq!(
            rule("12#", add(0, "+")),
            Ok(("^(12)$".into(), "+${1}".into()))
        );
        let right = Change {
            right: 2,
            ..Change::default()
        };
        assert_eq!(
            rule("4", right.clone()),
            Ok(("^(4.*).{2}$".into(), "${1}".into()))
        );
        let leave = Change {
            leave: Some(4),
            ..Change::default()
        };
        assert_eq!(
            rule("*", leave.clone()),
            Ok(("^.*?(.{0,4})$".into(), "${1}".into()))
        );
        assert!(rule("4", leave).is_err() && rule("4#", right).is_err());
        assert!(rule("*", add(0, "a$1")).is_err());
    }

    #[test]
    fn a_range_fits_its_numbers_and_no_others() {
        assert_eq!(of_range(4_412_000, 4_412_999, 7), ["4412[0-9]{3}"]);
        assert_eq!(of_range(100, 349, 3), ["[1-2][0-9]{2}", "3[0-4][0-9]"]);
        assert_eq!(of_range(7, 7, 1), ["7"]);
        for (first, last) in [
            (0, 999),
            (1, 998),
            (99, 101),
            (5, 5),
            (123, 877),
            (990, 999),
        ] {
            let parts = of_range(first, last, 3);
            let mut numbers: Vec<String> = parts.iter().flat_map(|part| expanded(part)).collect();
            numbers.sort();
            let wanted: Vec<String> = (first..=last).map(|n| format!("{n:03}")).collect();
            assert_eq!(numbers, wanted, "{first}-{last}");
        }
    }

    /// Every text that fits such a part.
    fn expanded(part: &str) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut rest = part;
        while let Some(letter) = rest.chars().next() {
            let (low, high) = match letter {
                '[' => (rest.as_bytes()[1] - b'0', rest.as_bytes()[3] - b'0'),
                digit => (digit as u8 - b'0', digit as u8 - b'0'),
            };
            rest = &rest[if letter == '[' { 5 } else { 1 }..];
            let mut times = 1;
            if let Some(after) = rest.strip_prefix('{') {
                times = usize::from(after.as_bytes()[0] - b'0');
                rest = &after[2..];
            }
            for _ in 0..times {
                let one = |text: &String| {
                    let text = text.clone();
                    (low..=high)
                        .map(move |digit| format!("{text}{digit}"))
                        .collect::<Vec<_>>()
                };
                all = all.iter().flat_map(one).collect();
            }
        }
        all
    }
}
