//! The messages of one call as a text ladder.
//!
//! Three columns: peers of the A leg, us, peers of the other legs. Every line has the time since
//! the one before it, so that a pause is seen at once.
//!
//! ```text
//!               192.0.2.10:5060             SBC             198.51.100.9:5061
//!    0.000 s          │ INVITE ───────────────►│                        │
//!   +0.001 s          │◄─────────── 100 Trying │                        │
//!   +0.004 s          │                        │ INVITE ───────────────►│
//! ```

use super::{Entry, Seen};
use crate::id::LegId;
use crate::sdp::Description;
use crate::sip::{Limits, Message};
use crate::time::UnixTime;
use std::fmt::Write as _;
use std::time::Duration;

/// How much a ladder shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    /// One line per message, and notes.
    Lines,
    /// Every message in full below its line.
    Messages,
}

/// Characters between two of the vertical lines.
const SPAN: usize = 30;
/// Characters before the first vertical line.
const MARGIN: usize = 14;

/// Draws a ladder. Keys of SRTP are never printed.
pub fn ladder(entries: &[Entry], detail: Detail) -> String {
    let mut out = String::new();
    header(entries, &mut out);
    let mut before: Option<UnixTime> = None;
    for entry in entries {
        let time = delta(before, entry.at);
        before = Some(entry.at);
        match &entry.what {
            Seen::Message {
                is_received, bytes, ..
            } => {
                let title = title(bytes);
                let is_a = entry.leg.is_none_or(|leg| leg == LegId(0));
                let arrow = arrow(&title, is_a == *is_received);
                let empty = " ".repeat(SPAN);
                let (left, right) = if is_a {
                    (&arrow, &empty)
                } else {
                    (&empty, &arrow)
                };
                let leg = match entry.leg {
                    Some(LegId(number)) if number > 1 => format!("  leg {number}"),
                    _ => String::new(),
                };
                let _ = writeln!(out, "{time:>MARGIN$}│{left}│{right}│{leg}");
                if let Some(summary) = description(bytes) {
                    let _ = writeln!(out, "{:MARGIN$}·   {summary}", "");
                }
                if detail == Detail::Messages {
                    full(bytes, &mut out);
                }
            }
            Seen::Note(text) => {
                let text: String = text.chars().map(printable).collect();
                let _ = writeln!(out, "{time:>MARGIN$}· {text}");
            }
        }
    }
    out
}

fn header(entries: &[Entry], out: &mut String) {
    let remote_of = |is_a: bool| {
        entries.iter().find_map(|entry| match &entry.what {
            Seen::Message { remote, .. } if entry.leg.is_none_or(|leg| leg == LegId(0)) == is_a => {
                Some(remote.to_string())
            }
            Seen::Message { .. } | Seen::Note(_) => None,
        })
    };
    let a = remote_of(true).unwrap_or_else(|| "peer A".to_owned());
    let b = remote_of(false).unwrap_or_else(|| "peer B".to_owned());
    let half = MARGIN + SPAN / 2;
    let _ = writeln!(out, "{a:>width$}{sbc:^SPAN$}{b}", width = half, sbc = "SBC");
}

fn delta(before: Option<UnixTime>, now: UnixTime) -> String {
    let since = before.map_or(0, |before| {
        now.as_micros().saturating_sub(before.as_micros())
    });
    let seconds = Duration::from_micros(since).as_secs_f64();
    let sign = if before.is_some() { "+" } else { "" };
    format!("{sign}{seconds:.3} s ")
}

/// An arrow of the whole span with its title: to the right or to the left.
fn arrow(title: &str, is_right: bool) -> String {
    let room = SPAN - 4;
    let title: String = title.chars().take(room).collect();
    let dashes = "─".repeat(SPAN - 3 - title.chars().count());
    if is_right {
        format!(" {title} {dashes}►")
    } else {
        format!("◄{dashes} {title} ")
    }
}

/// Method or status with phrase, and CSeq's method where the status alone would not tell.
fn title(bytes: &[u8]) -> String {
    let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
    let line: String = String::from_utf8_lossy(line)
        .chars()
        .map(printable)
        .collect();
    match line.strip_prefix("SIP/2.0 ") {
        Some(status) => {
            let method = Message::parse(bytes.to_vec().into(), &Limits::default())
                .map(|message| message.method().as_str().to_owned());
            match method {
                Ok(method) if method != "INVITE" => format!("{status} ({method})"),
                _ => status.to_owned(),
            }
        }
        None => line.split(' ').next().unwrap_or_default().to_owned(),
    }
}

/// One line about the description in a message.
fn description(bytes: &[u8]) -> Option<String> {
    let message = Message::parse(bytes.to_vec().into(), &Limits::default()).ok()?;
    let body = message.body();
    if !body.starts_with(b"v=0") {
        return None;
    }
    let text = String::from_utf8_lossy(&body);
    Description::parse(body.clone(), &crate::sdp::Limits::default()).ok()?;
    let mut parts = Vec::new();
    let connection = text.lines().find_map(|line| line.strip_prefix("c="));
    for line in text.lines().filter_map(|line| line.strip_prefix("m=")) {
        parts.push(line.trim().to_owned());
    }
    let held = ["a=inactive", "a=sendonly", "a=recvonly"]
        .iter()
        .find(|attribute| text.lines().any(|line| line.trim() == **attribute));
    let address = connection.and_then(|c| c.split(' ').nth(2)).unwrap_or("");
    let mut summary = format!("SDP {address}: {}", parts.join(" | "));
    if let Some(direction) = held {
        let _ = write!(summary, " {}", direction.trim_start_matches("a="));
    }
    Some(summary.trim().chars().map(printable).collect())
}

fn full(bytes: &[u8], out: &mut String) {
    for line in crate::sdp::redact(bytes).lines() {
        let line: String = without_credentials(line.trim_end_matches('\r'))
            .chars()
            .map(printable)
            .collect();
        let _ = writeln!(out, "{:MARGIN$}    {line}", "");
    }
}

/// Digest answers can be attacked off-line; nobody reading a ladder needs them.
fn without_credentials(line: &str) -> &str {
    let is = |name: &str| {
        line.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    if is("authorization:") {
        "Authorization: <secret>"
    } else if is("proxy-authorization:") {
        "Proxy-Authorization: <secret>"
    } else {
        line
    }
}

/// Control characters of a peer must not steer the operator's terminal.
fn printable(c: char) -> char {
    crate::display::shown(c)
}

#[cfg(test)]
mod tests {
    use super::super::Ours;
    use super::*;
    use crate::id::ListenerName;
    use crate::transport::Protocol;

    fn message(ms: u64, leg: u8, is_received: bool, text: &str) -> Entry {
        Entry {
            at: UnixTime::from_micros(ms * 1000),
            leg: Some(LegId(leg)),
            what: Seen::Message {
                is_received,
                protocol: Protocol::Udp,
                remote: if leg == 0 {
                    "192.0.2.10:5060".parse().unwrap()
                } else {
                    "198.51.100.9:5060".parse().unwrap()
                },
                ours: Ours::By(ListenerName::new("udp")),
                bytes: text.replace('\n', "\r\n").into(),
            },
        }
    }

    const HEAD: &str = "Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1\n\
        From: <sip:a@example.com>;tag=1\nTo: <sip:b@example.com>\nCall-ID: 1\n\
        Max-Forwards: 70\n";

    #[test]
    fn a_ladder_shows_who_sent_what_when() {
        let request = |m: &str| format!("{m} sip:b@example.com SIP/2.0\n{HEAD}CSeq: 1 {m}\n\n");
        let answer = |s: &str, m: &str| format!("SIP/2.0 {s}\n{HEAD}CSeq: 1 {m}\n\n");
        let entries = [
            message(0, 0, true, &request("INVITE")),
            message(1, 0, false, &answer("100 Trying", "INVITE")),
            message(4, 1, false, &request("INVITE")),
            message(1504, 1, true, &answer("200 OK", "INVITE")),
            message(9000, 1, true, &request("BYE")),
            message(9001, 1, false, &answer("200 OK", "BYE")),
        ];
        let text = ladder(&entries, Detail::Lines);
        let expected = [
            "            192.0.2.10:5060             SBC              198.51.100.9:5060",
            "      0.000 s │ INVITE ─────────────────────►│                              │",
            "     +0.001 s │◄───────────────── 100 Trying │                              │",
            "     +0.003 s │                              │ INVITE ─────────────────────►│",
            "     +1.500 s │                              │◄───────────────────── 200 OK │",
            "     +7.496 s │                              │◄──────────────────────── BYE │",
            "     +0.001 s │                              │ 200 OK (BYE) ───────────────►│",
        ];
        let lines: Vec<&str> = text.lines().collect();
        for (line, expected) in lines.iter().zip(expected) {
            let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(squeeze(line), squeeze(expected), "\n{text}");
        }
        assert_eq!(lines.len(), expected.len());
    }

    #[test]
    fn keys_and_credentials_do_not_show() {
        let invite = format!(
            "INVITE sip:b@example.com SIP/2.0\n{HEAD}CSeq: 1 INVITE\n\
             Authorization: Digest username=\"a\", response=\"deadbeef\"\n\
             Content-Type: application/sdp\nContent-Length: 113\n\n\
             v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n\
             m=audio 4000 RTP/SAVP 8\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRETKEY\n"
        );
        let text = ladder(&[message(0, 0, true, &invite)], Detail::Messages);
        assert!(
            !text.contains("SECRETKEY") && !text.contains("deadbeef"),
            "{text}"
        );
        assert!(text.contains("Authorization: <secret>"));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let entry = Entry {
            at: UnixTime::from_micros(0),
            leg: None,
            what: Seen::Note("evil \u{1b}[2J".to_owned()),
        };
        let weird = message(1, 0, true, "FOO\u{1b}[2J sip:x SIP/2.0\n\n");
        let text = ladder(&[entry, weird], Detail::Messages);
        assert!(!text.contains('\u{1b}'));
    }
}
