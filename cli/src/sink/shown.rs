//! A message as it may be shown outside of this process: without its secrets, and still one that can be read.

use sbc_core::sdp::redact;
use std::borrow::Cow;

/// The message with every secret hidden, as ladders show it (SEC-005, SEC-135). Where that changes the length of the
/// body, Content-Length changes by as much, so that whoever reads it on finds its end, and one that was wrong stays so.
pub fn shown(message: &[u8]) -> Cow<'_, str> {
    match redact(message) {
        Cow::Owned(text) => Cow::Owned(with_length(message, text)),
        lent @ Cow::Borrowed(_) => lent,
    }
}

fn with_length(message: &[u8], mut text: String) -> String {
    let (Some(before), Some(after)) = (body_at(message), body_at(text.as_bytes())) else {
        return text;
    };
    let (before, now) = (message.len() - before, text.len() - after);
    if before == now {
        return text;
    }
    let Some((at, length)) = content_length(&text[..after]) else {
        return text;
    };
    let told: Option<usize> = text[at..at + length].parse().ok();
    if let Some(told) = told.and_then(|told| (told + now).checked_sub(before)) {
        text.replace_range(at..at + length, &told.to_string());
    }
    text
}

/// Where the body begins.
fn body_at(message: &[u8]) -> Option<usize> {
    memchr::memmem::find(message, b"\r\n\r\n").map(|at| at + 4)
}

/// Where the number of Content-Length is, and how many digits it has.
fn content_length(head: &str) -> Option<(usize, usize)> {
    let mut at = 0;
    for line in head.split_inclusive('\n') {
        if let Some((name, value)) = line.split_once(':') {
            let name_is = |other| name.trim_end().eq_ignore_ascii_case(other);
            if name_is("content-length") || name_is("l") {
                let blanks = value.len() - value.trim_start().len();
                let length = value.trim().len();
                return Some((at + name.len() + 1 + blanks, length));
            }
        }
        at += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: &str, body: &str) -> Vec<u8> {
        format!("INVITE sip:a@example.com SIP/2.0\r\nl : {length}\r\nCall-ID: x\r\n\r\n{body}")
            .into_bytes()
    }

    const KEY: &str =
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";

    #[test]
    fn the_length_of_a_body_follows_what_is_hidden_in_it() {
        let message = message(&KEY.len().to_string(), KEY);
        let told = shown(&message);
        let (head, body) = told.split_once("\r\n\r\n").unwrap();
        assert!(
            body.contains("inline:<secret>") && !told.contains("WVNf"),
            "{told}"
        );
        assert!(head.contains(&format!("l : {}\r\n", body.len())), "{told}");
    }

    #[test]
    fn a_wrong_length_stays_wrong_and_what_hides_nothing_stays_as_it_is() {
        let wrong = message(&(KEY.len() + 5).to_string(), KEY);
        let told = shown(&wrong);
        let (head, body) = told.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("l : {}\r\n", body.len() + 5)),
            "{told}"
        );
        for (length, body) in [("3", "a=b"), ("99", "a=b"), ("x", KEY), ("0", KEY)] {
            let bytes = message(length, body);
            let told = shown(&bytes);
            assert!(told.contains(&format!("l : {length}\r\n")), "{told}");
        }
        assert_eq!(shown(b"\r\n\r\n"), "\r\n\r\n");
        assert_eq!(shown(b"no message"), "no message");
    }
}
