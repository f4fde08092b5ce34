//! Locations of those who call for help: XML of a stranger, and the little that is looked for in it.

use sbc_core::pidf::xml::{DEEPEST, Fault, Item, LONGEST, MOST, Reader};
use sbc_core::pidf::{MOST_NUMBERS, read};

pub(crate) fn check(data: &[u8]) {
    match (read(data), normal(data)) {
        (Ok(location), Ok(normal)) => {
            assert!(location.numbers.len() <= MOST_NUMBERS);
            let is_number = |number: &String| {
                let digits = number.strip_prefix('+').unwrap_or(number);
                (3..=15).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit())
            };
            assert!(location.numbers.iter().all(is_number));
            let is_word = |word: &String| {
                (1..=32).contains(&word.len()) && word.bytes().all(|c| c.is_ascii_graphic())
            };
            assert!(location.method.iter().all(is_word));
            // Escaping may make a text longer than what is read at all.
            if normal.len() <= LONGEST {
                assert_eq!(read(normal.as_bytes()), Ok(location));
            }
        }
        (Ok(_), Err(fault)) => panic!("a location that is no XML: {fault}"),
        (Err(fault), _) => assert!(fault.at <= data.len() && !fault.to_string().is_empty()),
    }
}

/// The document without anything but its elements and their text: it says the same.
fn normal(data: &[u8]) -> Result<String, Fault> {
    let mut reader = Reader::new(data)?;
    let (mut out, mut open, mut elements) = (String::new(), Vec::new(), 0);
    while let Some(item) = reader.advance()? {
        match item {
            Item::Open(name) => {
                elements += 1;
                assert!(elements <= MOST && reader.depth() <= DEEPEST);
                open.push(name);
                out.push_str(&format!("<{name}>"));
            }
            Item::Text(text) => {
                assert!(!open.is_empty(), "text stands in an element");
                out.push_str(&text.replace('&', "&amp;").replace('<', "&lt;"));
            }
            Item::Close => {
                let name = open.pop().expect("an element that was opened");
                out.push_str(&format!("</{name}>"));
            }
        }
    }
    assert!(open.is_empty() && elements > 0, "a whole document");
    Ok(out)
}
