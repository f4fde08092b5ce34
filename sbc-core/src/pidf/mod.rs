//! Where somebody is, as far as we have to know it: `application/pidf+xml` (RFC 3863, RFC 4119, RFC 5139).
//!
//! Whoever helps reads the location itself, which passes octet by octet. We look for two things: how it
//! was found (TDR-EMG-004), and the numbers under which the place is called back (TDR-EMG-005).
//! Elements are told by their names without prefix, and by those around them: senders differ in their
//! namespaces more than in their names.

pub mod xml;

use xml::{Fault, Item, Reader, Rule};

/// Most numbers of a place that are used.
pub const MOST_NUMBERS: usize = 5;

/// Longest text that is kept of an element, in octets.
const LONGEST_TEXT: usize = 256;

/// What was read of a location.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Location {
    /// How it was found: `LIS`, `ASSIST`, `CLS`, `MANUAL` or another word, in capitals; nothing if it does
    /// not say.
    pub method: Option<String>,
    /// Numbers of the place, digits with `+` or without, in their order: of `ELIN`, else of `NAM`, where
    /// they were written formerly.
    pub numbers: Vec<String>,
}

/// Reads a location; the first element of a kind that says something counts.
pub fn read(octets: &[u8]) -> Result<Location, Fault> {
    let mut reader = Reader::new(octets)?;
    let mut around: Vec<&str> = Vec::new();
    let mut text = String::new();
    let (mut method, mut elin, mut nam) = (None, Vec::new(), Vec::new());
    while let Some(item) = reader.advance()? {
        match item {
            Item::Open(name) => {
                if around.is_empty() && name != "presence" {
                    return Err(Fault {
                        at: 0,
                        rule: Rule::NotPresence,
                    });
                }
                around.push(name);
                text.clear();
            }
            Item::Text(more) => {
                // What is too long is nothing that we look for.
                if text.len() + more.len() <= LONGEST_TEXT {
                    text.push_str(&more);
                }
            }
            Item::Close => {
                let name = around.pop().unwrap_or_default();
                match name {
                    "method" if method.is_none() && around.contains(&"geopriv") => {
                        method = word(&text);
                    }
                    "ELIN" if around.last() == Some(&"civicAddress") => add(&mut elin, &text),
                    "NAM" if around.last() == Some(&"civicAddress") => add(&mut nam, &text),
                    _ => {}
                }
                text.clear();
            }
        }
    }
    Ok(Location {
        method,
        numbers: if elin.is_empty() { nam } else { elin },
    })
}

/// A method's name.
fn word(text: &str) -> Option<String> {
    let word = text.trim();
    let is_word = (1..=32).contains(&word.len())
        && word
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.'));
    is_word.then(|| word.to_ascii_uppercase())
}

/// The numbers in a text, which are separated by semicolons and may be grouped for people.
fn add(numbers: &mut Vec<String>, text: &str) {
    let is_group = |c: char| matches!(c, ' ' | '-' | '.' | '(' | ')');
    for part in text.split(';') {
        let number: String = part.trim().chars().filter(|c| !is_group(*c)).collect();
        let digits = number.strip_prefix('+').unwrap_or(&number);
        let is_number =
            (3..=15).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit());
        if is_number && numbers.len() < MOST_NUMBERS && !numbers.contains(&number) {
            numbers.push(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(civic: &str, method: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<presence entity=\"sip:a@contoso.example\" \
             xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:gp=\"urn:ietf:params:xml:ns:pidf:geopriv10\" \
             xmlns:ca=\"urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr\"><tuple id=\"0\"><status>\
             <gp:geopriv><gp:location-info><ca:civicAddress><ca:country>US</ca:country>{civic}\
             </ca:civicAddress></gp:location-info><gp:usage-rules/>{method}</gp:geopriv></status>\
             </tuple></presence>\n"
        )
    }

    fn numbers(civic: &str) -> Vec<String> {
        read(place(civic, "").as_bytes()).unwrap().numbers
    }

    #[test]
    fn the_method_and_the_numbers_are_found_by_what_is_around_them() {
        let text = place(
            "<ca:NAM>Contoso</ca:NAM><ca:ELIN>+1 (425) 555-0123; 425.555.0124</ca:ELIN>",
            "<gp:method> lis </gp:method>",
        );
        let found = read(text.as_bytes()).unwrap();
        assert_eq!(found.method.as_deref(), Some("LIS"));
        assert_eq!(found.numbers, ["+14255550123", "4255550124"]);
        let elsewhere = b"<presence><method>LIS</method><ELIN>+14255550123</ELIN></presence>";
        assert_eq!(read(elsewhere), Ok(Location::default()));
        for method in ["", "<gp:method/>", "<gp:method>a b</gp:method>"] {
            let found = read(place("", method).as_bytes()).unwrap();
            assert_eq!(found.method, None, "{method}");
        }
    }

    #[test]
    fn an_older_place_has_its_numbers_in_its_name_and_five_are_enough() {
        let both = "<ca:NAM>425-555-0199</ca:NAM><ca:ELIN>425-555-0123</ca:ELIN>";
        assert_eq!(numbers(both), ["4255550123"]);
        assert_eq!(numbers("<ca:NAM>425-555-0199</ca:NAM>"), ["4255550199"]);
        assert!(numbers("<ca:NAM>Contoso</ca:NAM><ca:ELIN></ca:ELIN>").is_empty());
        let seven = "<ca:ELIN>1001;1002;1002;1003;1004;1005;1006</ca:ELIN>";
        assert_eq!(numbers(seven), ["1001", "1002", "1003", "1004", "1005"]);
        let long = format!("<ca:ELIN>{}</ca:ELIN>", "1001;".repeat(60));
        assert!(numbers(&long).is_empty());
    }

    #[test]
    fn what_is_no_location_is_told() {
        let rule = |text: &[u8]| read(text).map_err(|fault| fault.rule);
        assert_eq!(rule(b"hello"), Err(Rule::NotXml));
        assert_eq!(rule(b"<html/>"), Err(Rule::NotPresence));
        assert_eq!(rule(b"<presence>"), Err(Rule::Unbalanced));
        let fault = read(b"hello").unwrap_err();
        assert_eq!(fault.to_string(), "it is not XML (octet 0)");
    }
}
