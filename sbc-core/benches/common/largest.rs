//! The largest and oddest messages that a datagram can carry, each full of one thing.
// Every user has its own part of this, which is a part of each.
#![allow(dead_code, unreachable_pub)]

use bytes::Bytes;

/// A datagram has no more.
pub const DATAGRAM: usize = 65_507;

/// A message of about `size` octets that repeats something in its header section.
fn heading(size: usize, head: &str, begin: &str, unit: &str, end: &str) -> Bytes {
    let room = size.saturating_sub(head.len() + begin.len() + end.len() + 64) / unit.len();
    let middle = unit.repeat(room);
    format!("{head}{begin}{middle}{end}Content-Length: 0\r\n\r\n").into()
}

/// A message of about `size` octets with a body of this type.
fn carrying(head: &str, content_type: &str, body: String) -> Bytes {
    let length = body.len();
    format!("{head}Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}").into()
}

fn nested(size: usize, head: &str) -> Bytes {
    let mut body = String::new();
    for depth in 0.. {
        if body.len() + 80 > size {
            break;
        }
        body.push_str(&format!(
            "--b{depth}\r\nContent-Type: multipart/mixed;boundary=b{}\r\n\r\n",
            depth + 1
        ));
    }
    carrying(head, "multipart/mixed;boundary=b0", body)
}

/// Every kind of message that was thought of, at this size, with these first lines.
pub fn messages(size: usize, head: &str) -> Vec<(&'static str, Bytes)> {
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n";
    let lines = |unit: &str| sdp.to_owned() + &unit.repeat(size / unit.len());
    vec![
        ("header lines", heading(size, head, "", "X: y\r\n", "")),
        ("empty header lines", heading(size, head, "", "a:\r\n", "")),
        (
            "Via lines",
            heading(size, head, "", "v: SIP/2.0/UDP a\r\n", ""),
        ),
        (
            "Via values",
            heading(size, head, "Via: ", "SIP/2.0/UDP a,", "SIP/2.0/UDP b\r\n"),
        ),
        ("commas", heading(size, head, "Route: ", ",", "\r\n")),
        ("words", heading(size, head, "Supported: ", "x,", "\r\n")),
        (
            "parameters",
            heading(size, head, "Contact: <sip:a@b>", ";a=b", "\r\n"),
        ),
        (
            "URI headers",
            heading(size, head, "Refer-To: <sip:a@b?", "a=b&", "c=d>\r\n"),
        ),
        ("quotes", heading(size, head, "Contact: ", "\"", "\r\n")),
        (
            "escapes",
            heading(size, head, "Contact: \"", "\\\"", "\" <sip:a@b>\r\n"),
        ),
        (
            "brackets",
            heading(size, head, "Record-Route: ", "<", "\r\n"),
        ),
        (
            "parentheses",
            heading(size, head, "Retry-After: 1 ", "(", "\r\n"),
        ),
        ("folds", heading(size, head, "Subject: x", "\r\n y", "\r\n")),
        ("blanks", heading(size, head, "Subject: x", " ", "y\r\n")),
        ("colons", heading(size, head, "Subject", ":", "\r\n")),
        ("zeros", heading(size, head, "Max-Forwards: ", "0", "\r\n")),
        ("nested multiparts", nested(size, head)),
        (
            "many parts",
            carrying(
                head,
                "multipart/mixed;boundary=b",
                "--b\r\n\r\n\r\n".repeat(size / 9),
            ),
        ),
        (
            "almost boundaries",
            carrying(
                head,
                "multipart/mixed;boundary=b",
                "\r\n--".repeat(size / 4),
            ),
        ),
        (
            "dashes",
            carrying(head, "multipart/mixed;boundary=--", "-".repeat(size)),
        ),
        (
            "media lines",
            carrying(head, "application/sdp", lines("m=audio 9 RTP/AVP 0\r\n")),
        ),
        (
            "payload types",
            carrying(
                head,
                "application/sdp",
                lines("m=audio 9 RTP/AVP 0") + &" 0".repeat(size / 4),
            ),
        ),
        (
            "attributes",
            carrying(head, "application/sdp", lines("a=x\r\n")),
        ),
        (
            "numbers and names",
            carrying(head, "application/sdp", lines("a=rtpmap:8 PCMA/8000\r\n")),
        ),
        (
            "keys",
            carrying(
                head,
                "application/sdp",
                lines("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AA|2^31\r\n"),
            ),
        ),
        ("line ends", Bytes::from("\r\n".repeat(size / 2))),
        ("NUL", Bytes::from(vec![0; size])),
        ("one long line", Bytes::from("A".repeat(size))),
    ]
}
