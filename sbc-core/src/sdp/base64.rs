//! Base64 of RFC 4648 §4 for key material. Padding is optional on receipt (RFC 4568 §9.2).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn sextet(letter: u8) -> Option<u32> {
    match letter {
        b'A'..=b'Z' => Some(u32::from(letter - b'A')),
        b'a'..=b'z' => Some(u32::from(letter - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(letter - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Text without its padding, if every letter is of the alphabet and the length is possible.
fn body(text: &[u8]) -> Option<&[u8]> {
    let length = text.len() - text.iter().rev().take_while(|&&byte| byte == b'=').count();
    let padding = text.len() - length;
    let body = &text[..length];
    let is_possible = length % 4 != 1
        && (padding == 0 || (padding <= 2 && text.len().is_multiple_of(4)))
        && body.iter().all(|&letter| sextet(letter).is_some());
    is_possible.then_some(body)
}

/// Number of bytes that `text` stands for, or `None` if it is not base64.
pub(super) fn decoded_bytes(text: &[u8]) -> Option<usize> {
    body(text).map(|body| body.len() * 3 / 4)
}

/// The bytes that `text` stands for, or `None` if it is not base64.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let body = body(text)?;
    // Exact capacity: a key must not leave copies behind in a growing vector.
    let mut out = Vec::with_capacity(body.len() * 3 / 4);
    for group in body.chunks(4) {
        let bits = group
            .iter()
            .fold(0, |bits, &letter| bits << 6 | sextet(letter).unwrap_or(0));
        let bits = bits << (6 * (4 - group.len()));
        out.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(out)
}

/// The bytes that text of the alphabet for URLs stands for (RFC 4648 §5), with padding or without. The usual
/// alphabet is taken as well: keys are copied from where either is shown.
pub fn decode_url(text: &[u8]) -> Option<Vec<u8>> {
    let usual = text.iter().map(|letter| match letter {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    });
    decode(&usual.collect::<Vec<u8>>())
}

/// Base64 with padding.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(padded);
        for place in 0..4 {
            if place <= group.len() {
                let sextet = (bits >> (18 - 6 * place)) & 63;
                out.push(char::from(ALPHABET[sextet as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_hold_with_and_without_padding() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text.as_bytes()).expect("base64"), plain.as_bytes());
            let bare = text.trim_end_matches('=');
            assert_eq!(decode(bare.as_bytes()).expect("base64"), plain.as_bytes());
            assert_eq!(decoded_bytes(text.as_bytes()), Some(plain.len()));
        }
    }

    #[test]
    fn impossible_texts_are_refused() {
        for text in [
            "Z", "Zg=", "Zg===", "Z=g=", "Zm9v=", "Zm 9", "Zm9vY", "====",
        ] {
            assert!(decode(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn text_for_urls_is_read_in_either_alphabet() {
        let octets = [0xfb, 0xff, 0xfe, 0x01];
        for text in ["-__-AQ", "-__-AQ==", "+//+AQ=="] {
            assert_eq!(decode_url(text.as_bytes()).as_deref(), Some(&octets[..]));
        }
        assert_eq!(decode_url(b"no base64!"), None);
    }
}
