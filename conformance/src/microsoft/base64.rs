//! Base64 of both alphabets (RFC 4648 §4, §5).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// With padding.
pub(super) fn encode(octets: &[u8]) -> String {
    let mut text = String::new();
    for group in octets.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(bits);
        for sextet in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * sextet) & 63) as usize];
            text.push(if sextet > group.len() {
                '='
            } else {
                letter.into()
            });
        }
    }
    text
}

/// That of URLs, without padding.
pub(super) fn encode_url(octets: &[u8]) -> String {
    let text = encode(octets);
    let text = text.trim_end_matches('=');
    text.replace('+', "-").replace('/', "_")
}

/// Of the usual alphabet, with padding.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    read(text.trim_end_matches('='), |letter| letter)
}

/// That of URLs, without padding.
pub(super) fn decode_url(text: &str) -> Option<Vec<u8>> {
    let usual = |letter| match letter {
        b'-' => b'+',
        b'_' => b'/',
        // Of the other alphabet.
        b'+' | b'/' => b'=',
        letter => letter,
    };
    read(text, usual)
}

fn read(text: &str, usual: impl Fn(u8) -> u8) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for letter in text.bytes().map(usual) {
        let sextet = ALPHABET.iter().position(|own| *own == letter)?;
        bits = bits << 6 | sextet as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            octets.push((bits >> held) as u8);
        }
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        for (octets, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (&[0xfb, 0xff], "+/8="),
        ] {
            assert_eq!(encode(octets), text);
            assert_eq!(decode(text).as_deref(), Some(octets));
        }
        assert_eq!(encode_url(&[0xfb, 0xff]), "-_8");
        assert_eq!(decode_url("-_8"), Some(vec![0xfb, 0xff]));
        assert_eq!(decode_url("YWI"), Some(b"ab".to_vec()));
        assert_eq!(decode_url("YWI="), None);
        assert_eq!(decode_url("+/8"), None);
        assert_eq!(decode("Zg"), None);
        assert_eq!(decode("Z*=="), None);
    }
}
