//! Display names in the form of a trunk (SIP-1004).

use crate::config::DisplayForm;
use crate::sip::DisplayName;

/// Longest display name that we write, in octets.
const LONGEST: usize = 80;

/// The name as a trunk gets it; nothing if there is nothing to show.
pub(super) fn written(display: &DisplayName, form: DisplayForm) -> Option<DisplayName> {
    match form {
        DisplayForm::Strip => None,
        DisplayForm::Pass if display.as_bytes().len() <= LONGEST => Some(display.clone()),
        DisplayForm::Pass => bounded(&display.to_string_lossy()),
        DisplayForm::Ascii => {
            let mut plain = String::with_capacity(LONGEST);
            display
                .to_string_lossy()
                .chars()
                .for_each(|c| fold(c, &mut plain));
            bounded(plain.trim())
        }
    }
}

/// Ends at a character's end.
fn bounded(text: &str) -> Option<DisplayName> {
    let mut end = LONGEST.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    DisplayName::new(text.get(..end)?.trim_end().to_owned()).ok()
}

/// Letters of the Latin script without their marks; what has no such form is left out.
fn fold(c: char, out: &mut String) {
    const FOLDS: [(&str, &str); 30] = [
        ("ÀÁÂÃÅĀĂĄ", "A"),
        ("ÄÆ", "Ae"),
        ("àáâãåāăą", "a"),
        ("äæ", "ae"),
        ("ÇĆĈĊČ", "C"),
        ("çćĉċč", "c"),
        ("ĎĐÐ", "D"),
        ("ďđð", "d"),
        ("ÈÉÊËĒĔĖĘĚ", "E"),
        ("èéêëēĕėęě", "e"),
        ("ĜĞĠĢ", "G"),
        ("ĝğġģ", "g"),
        ("ÌÍÎÏĪĮİ", "I"),
        ("ìíîïīįı", "i"),
        ("ŁĹĻĽ", "L"),
        ("łĺļľ", "l"),
        ("ÑŃŅŇ", "N"),
        ("ñńņň", "n"),
        ("ÒÓÔÕŌŐ", "O"),
        ("ÖØŒ", "Oe"),
        ("òóôõōő", "o"),
        ("öøœ", "oe"),
        ("ŔŘ", "R"),
        ("ŕř", "r"),
        ("ŚŜŞŠȘ", "S"),
        ("śŝşšș", "s"),
        ("ÙÚÛŪŮŰŲ", "U"),
        ("ùúûūůűų", "u"),
        ("ŹŻŽ", "Z"),
        ("źżž", "z"),
    ];
    const PAIRS: [(char, &str); 9] = [
        ('Ü', "Ue"),
        ('ü', "ue"),
        ('ß', "ss"),
        ('Ý', "Y"),
        ('ý', "y"),
        ('ÿ', "y"),
        ('Ť', "T"),
        ('ť', "t"),
        ('\u{2019}', "'"),
    ];
    if c.is_ascii() {
        return out.push(c);
    }
    let of_group = FOLDS.iter().find(|(group, _)| group.contains(c));
    let of_pair = PAIRS.iter().find(|(letter, _)| *letter == c);
    if let Some(plain) = of_group
        .map(|(_, plain)| plain)
        .or(of_pair.map(|(_, plain)| plain))
    {
        out.push_str(plain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, form: DisplayForm) -> Option<String> {
        let display = DisplayName::new(text.to_owned()).unwrap();
        written(&display, form).map(|name| name.to_string_lossy())
    }

    #[test]
    fn names_pass_are_folded_or_stay_behind() {
        let name = "Jürgen Łukaš Ørsted 田";
        assert_eq!(shown(name, DisplayForm::Pass).unwrap(), name);
        assert_eq!(
            shown(name, DisplayForm::Ascii).unwrap(),
            "Juergen Lukas Oersted"
        );
        assert_eq!(shown(name, DisplayForm::Strip), None);
        assert_eq!(shown("田", DisplayForm::Ascii), None);
    }

    #[test]
    fn long_names_end_at_eighty_octets_and_at_a_characters_end() {
        let long = format!("{}ü and more", "x".repeat(79));
        assert_eq!(shown(&long, DisplayForm::Pass).unwrap(), "x".repeat(79));
        let long = "ü".repeat(60);
        let folded = shown(&long, DisplayForm::Ascii).unwrap();
        assert_eq!(folded.len(), LONGEST);
        assert!(folded.starts_with("ueue"));
    }
}
