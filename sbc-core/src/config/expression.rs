//! A number rule as one expression, for those who know no other kind (TDR-CMD-001).

use super::route::{NumberMatch, NumberRule};

impl NumberRule {
    /// What the rule does, as an expression and what takes the place of what it matches; `$1` stands for
    /// its group, and `$$` for a dollar.
    pub fn expression(&self) -> (String, String) {
        let literal = || self.set.replace('$', "$$");
        match &self.when {
            NumberMatch::Pattern(pattern) => (pattern.as_str().to_owned(), self.set.clone()),
            NumberMatch::Number(number) => (format!("^{}$", regex::escape(number)), literal()),
            NumberMatch::Start {
                start,
                length,
                digits_only,
            } => {
                let begun = start.chars().count();
                let least = length.start().saturating_sub(begun);
                let most = length.end().saturating_sub(begun);
                let kind = if *digits_only { "[0-9]" } else { "." };
                // Longer numbers than this do not exist, and engines have bounds for such counts.
                let count = match (least, most) {
                    (0, LONGEST..) => "*".to_owned(),
                    (_, LONGEST..) => format!("{{{least},}}"),
                    (_, most) if least == most => format!("{{{least}}}"),
                    _ => format!("{{{least},{most}}}"),
                };
                let pattern = format!("^{}({kind}{count})$", regex::escape(start));
                // Braces, because a digit may come after it.
                (pattern, format!("{}${{1}}", literal()))
            }
        }
    }
}

/// Most characters that are counted.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;

    #[test]
    fn an_expression_does_what_the_rule_does() {
        let start = |start: &str, length, digits_only| NumberMatch::Start {
            start: start.to_owned(),
            length,
            digits_only,
        };
        let pattern = |text| NumberMatch::Pattern(Regex::new(text).expect("an expression"));
        for (when, set, number) in [
            (pattern(r"^(\d{10})$"), "+44$1", "1632960001"),
            (NumberMatch::Number("+1*2".to_owned()), "112", "+1*2"),
            (NumberMatch::Number("9".to_owned()), "$9", "9"),
            (start("00", 0..=usize::MAX, true), "+", "00441632960001"),
            (start("", 4..=6, true), "+441632", "96000"),
            (start("0", 11..=11, false), "+44", "01632960001"),
            (start("*", 0..=8, false), "+1", "*a+b"),
        ] {
            let rule = NumberRule {
                when,
                set: set.to_owned(),
                is_service: false,
            };
            let here = rule.apply(number).expect("the rule is about it");
            let (pattern, translation) = rule.expression();
            let there = Regex::new(&pattern).expect("an expression");
            assert!(there.is_match(number), "{pattern} and {number}");
            assert_eq!(there.replace(number, &translation), here, "{pattern}");
            // What it is not about it leaves alone.
            for other in ["abc", "+9", "0", "0016329600012345678", "*", "112"] {
                let changed = there.is_match(other);
                assert_eq!(
                    changed,
                    rule.apply(other).is_some(),
                    "{pattern} and {other}"
                );
            }
        }
    }
}
