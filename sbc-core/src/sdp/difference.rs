//! How far two descriptions of one peer differ: what is said again should be the same octets, and
//! some peers at least say the same thing (SIP-501).

/// How far a later description differs from the one before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Difference {
    /// Not at all.
    Nothing,
    /// In where media goes, or in the version: `o=`, `c=`, ports, and `a=rtcp`.
    Place,
    /// In what was agreed.
    Content,
}

impl Difference {
    /// Compares two descriptions line by line.
    pub fn between(before: &[u8], after: &[u8]) -> Self {
        let (before, after) = (lines(before), lines(after));
        if before.len() != after.len() {
            return Self::Content;
        }
        let each = before.iter().zip(&after).map(|(a, b)| of_line(a, b));
        each.max().unwrap_or(Self::Nothing)
    }
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    let lines = text
        .split(|octet| *octet == b'\n')
        .map(<[u8]>::trim_ascii_end);
    lines.filter(|line| !line.is_empty()).collect()
}

fn of_line(before: &[u8], after: &[u8]) -> Difference {
    let both = |start: &[u8]| before.starts_with(start) && after.starts_with(start);
    if before == after {
        return Difference::Nothing;
    }
    if both(b"o=") || both(b"c=") || both(b"a=rtcp:") {
        return Difference::Place;
    }
    match both(b"m=") && without_port(before) == without_port(after) {
        true => Difference::Place,
        false => Difference::Content,
    }
}

/// A media line but for its port; a port of zero is no place but a refusal.
fn without_port(line: &[u8]) -> Vec<&[u8]> {
    let words = line.split(|octet| *octet == b' ');
    words
        .enumerate()
        .filter(|(at, word)| *at != 1 || *word == b"0")
        .map(|(_, word)| word)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 8 0\r\na=sendrecv\r\n";

    fn after(from: &str, to: &str) -> Difference {
        let after = BEFORE.replace(from, to);
        Difference::between(BEFORE.as_bytes(), after.as_bytes())
    }

    #[test]
    fn another_version_address_or_port_is_a_place_and_all_else_content() {
        assert_eq!(after("\r\n", "\n"), Difference::Nothing);
        assert_eq!(after("- 1 1 ", "- 1 2 "), Difference::Place);
        assert_eq!(after("192.0.2.1", "192.0.2.2"), Difference::Place);
        assert_eq!(after("4000", "4002"), Difference::Place);
        assert_eq!(after("4000", "0"), Difference::Content);
        assert_eq!(after("8 0", "0 8"), Difference::Content);
        assert_eq!(after("sendrecv", "sendonly"), Difference::Content);
        assert_eq!(after("a=sendrecv\r\n", ""), Difference::Content);
    }
}
