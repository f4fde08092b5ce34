//! Base64 for URLs without padding, as JWS has it (RFC 7515 §2): one spelling for each value.

use crate::sdp::{base64_decode, base64_encode};

/// The bytes that `text` stands for; `None` if it is anything but their only spelling.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let is_foreign = |octet: &u8| matches!(octet, b'+' | b'/' | b'=');
    if text.iter().any(is_foreign) {
        return None;
    }
    let usual: Vec<u8> = text
        .iter()
        .map(|octet| match octet {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    let bytes = base64_decode(&usual)?;
    // Bits behind the last byte would be a second spelling.
    (base64_encode(&bytes).trim_end_matches('=').as_bytes() == usual).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_spelling_is_read() {
        assert_eq!(decode(b"-_-_"), Some(vec![0xfb, 0xff, 0xbf]));
        assert_eq!(decode(b"Zg"), Some(b"f".to_vec()));
        for text in ["+/+/", "Zg==", "Zh", "Z", "Zm9=", "Zm 9", "Zm9\u{e4}"] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }
}
