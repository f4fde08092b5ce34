//! Whether two numbers may be the same, one of which may be hidden behind stars in part or written with another
//! prefix (TDG-CDR-004).

/// Digits from the end that must agree where numbers are not equally long: prefixes differ from form to form.
const SUFFIX: usize = 9;
/// Digits that must be seen for two numbers to agree.
const LEAST: usize = 3;

/// What two numbers say of each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Likeness {
    /// They are the same, as far as they are shown.
    Same,
    /// Nothing: one is withheld or hidden.
    Silent,
    /// They are different numbers.
    Other,
}

/// Compares what Microsoft shows with the forms in which we know a number.
pub fn compare<'n>(shown: &str, known: impl IntoIterator<Item = &'n str>) -> Likeness {
    let shown = marks(shown);
    let mut found = Likeness::Silent;
    for form in known {
        match (pair(&shown, &marks(form)), found) {
            (Likeness::Same, _) => return Likeness::Same,
            (Likeness::Other, _) => found = Likeness::Other,
            (Likeness::Silent, _) => {}
        }
    }
    found
}

fn pair(one: &[u8], other: &[u8]) -> Likeness {
    // What is no number, as "anonymous", hides one.
    if one.is_empty() || other.is_empty() {
        return Likeness::Silent;
    }
    let most = match one.len() == other.len() {
        true => one.len(),
        false => SUFFIX,
    };
    let pairs = one.iter().rev().zip(other.iter().rev()).take(most);
    let mut seen = 0;
    for (a, b) in pairs {
        match (a, b) {
            (b'*', _) | (_, b'*') => {}
            (a, b) if a == b => seen += 1,
            _ => return Likeness::Other,
        }
    }
    match seen >= LEAST.min(one.len()).min(other.len()) {
        true => Likeness::Same,
        false => Likeness::Silent,
    }
}

/// Digits and stars of a number; nothing of what is no number. Parameters do not count.
fn marks(text: &str) -> Vec<u8> {
    let number = text.split([';', '@']).next().unwrap_or_default();
    let number = number.trim_start_matches("sip:").trim_start_matches("tel:");
    let is_mark = |octet: &u8| octet.is_ascii_digit() || *octet == b'*';
    match number.bytes().any(|octet| octet.is_ascii_alphabetic()) {
        true => Vec::new(),
        false => number.bytes().filter(is_mark).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_far_as_they_are_shown() {
        use Likeness::{Other, Same, Silent};
        for (shown, known, wanted) in [
            ("+441632960100", "+441632960100", Same),
            ("+441632960***", "+441632960100", Same),
            ("+441632961***", "+441632960100", Other),
            ("+44163296****", "+441632960100", Same),
            // Another prefix: the end counts.
            ("+441632960100", "01632960100", Same),
            ("+441632960100", "+14416329601009", Other),
            ("+441632960***", "01632960100", Same),
            // Equal length: all of it counts.
            ("+441632960100", "+451632960100", Other),
            ("+44*********0", "+441632960100", Same),
            ("************", "+441632960100", Silent),
            ("", "+441632960100", Silent),
            ("+441632960100", "anonymous", Silent),
            (
                "sip:+441632960100@example.com;user=phone",
                "+441632960100",
                Same,
            ),
            ("112", "112", Same),
            ("112", "110", Other),
        ] {
            assert_eq!(compare(shown, [known]), wanted, "{shown} {known}");
            assert_eq!(compare(known, [shown]), wanted, "{known} {shown}");
        }
        // One form is enough, and silence of another does no harm.
        assert_eq!(compare("+441632960100", ["100", "+441632960100"]), Same);
        assert_eq!(compare("+441632960100", ["anonymous", "+4930999"]), Other);
        assert_eq!(compare("+441632960100", []), Silent);
    }
}
