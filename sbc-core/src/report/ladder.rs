//! A ladder as text.
//!
//! A column for each peer: that of the A leg, then us, then those of the other legs. Every line has the time since the
//! one before it, so that a pause is seen at once. Media are drawn below, with double lines.
//!
//! ```text
//!               192.0.2.10:5060             SBC             198.51.100.9:5061
//!    0.000 s          │ INVITE ───────────────►│                        │
//!   +0.001 s          │◄─────────── 100 Trying │                        │
//!   +0.004 s          │                        │ INVITE ───────────────►│
//! ```

use super::exchange::{Exchange, Shown};
use crate::id::LegId;
use std::fmt::Write as _;

/// Characters between two of the vertical lines.
const SPAN: usize = 30;
/// Characters before the first vertical line.
const MARGIN: usize = 14;
/// Peers right of us with a column of their own; all that come later share the last one.
const MOST: usize = 4;

/// Draws a ladder. Keys of SRTP are never printed.
pub fn ladder(exchange: &Exchange) -> String {
    let mut labels = exchange.labels();
    labels.truncate(1 + MOST);
    let right = labels.len() - 1;
    let mut out = String::new();
    header(&labels, &mut out);
    for (number, row) in exchange.rows.iter().enumerate() {
        let time = format!("{} ", row.delta(number == 0));
        match &row.what {
            Shown::Message {
                from_peer,
                title,
                description,
                lines,
            } => {
                let place = exchange.place(row.leg);
                let line = across(title, place.min(right), right, *from_peer, '─');
                // In a column of its own the head says whose it is.
                let leg = match row.leg {
                    Some(LegId(leg)) if place > right => format!("  leg {leg}"),
                    _ => String::new(),
                };
                let _ = writeln!(out, "{time:>MARGIN$}{line}{leg}");
                if let Some(summary) = description {
                    let _ = writeln!(out, "{:MARGIN$}·   {summary}", "");
                }
                for line in lines.iter().flatten() {
                    let _ = writeln!(out, "{:MARGIN$}    {line}", "");
                }
            }
            Shown::Note { text } => {
                let _ = writeln!(out, "{time:>MARGIN$}· {text}");
            }
        }
    }
    for stream in &exchange.media {
        let place = exchange.place(Some(stream.leg)).min(right);
        let line = across(&stream.title(), place, right, stream.from_peer, '═');
        let _ = writeln!(out, "{:>MARGIN$}{line}", "media ");
    }
    out
}

/// Names of the columns, each in the middle of its line as far as there is room.
fn header(labels: &[String], out: &mut String) {
    let names = labels[..1].iter().map(String::as_str);
    let names = names.chain(["SBC"]);
    let names = names.chain(labels[1..].iter().map(String::as_str));
    let mut width = 0;
    for (column, name) in names.enumerate() {
        let long = name.chars().count();
        let from = (MARGIN + column * (SPAN + 1)).saturating_sub(long / 2);
        let gap = from.saturating_sub(width).max(usize::from(column > 0));
        let _ = write!(out, "{:gap$}{name}", "");
        width += gap + long;
    }
    out.push('\n');
}

/// A line with an arrow between us and the peer at this place: 0 is left of us, all others right.
fn across(title: &str, place: usize, right: usize, from_peer: bool, dash: char) -> String {
    let empty = " ".repeat(SPAN);
    let mut line = String::from("│");
    if place == 0 {
        line.push_str(&arrow(title, 1, from_peer, dash));
        line.push('│');
        for _ in 0..right {
            line.push_str(&empty);
            line.push('│');
        }
        return line;
    }
    line.push_str(&empty);
    line.push('│');
    line.push_str(&arrow(title, place, !from_peer, dash));
    line.push('│');
    for _ in place..right {
        line.push_str(&empty);
        line.push('│');
    }
    line
}

/// An arrow over so many spans with its title: to the right or to the left. It crosses the lines in between.
fn arrow(title: &str, spans: usize, is_right: bool, dash: char) -> String {
    let width = spans * (SPAN + 1) - 1;
    let title: String = title.chars().take(SPAN - 4).collect();
    let dashes: String = std::iter::repeat_n(dash, width - 3 - title.chars().count()).collect();
    let arrow = match is_right {
        true => format!(" {title} {dashes}►"),
        false => format!("◄{dashes} {title} "),
    };
    let is_crossed = |at: usize| (at + 1).is_multiple_of(SPAN + 1);
    let crossing = if dash == '═' { '╪' } else { '┼' };
    let drawn = arrow.chars().enumerate();
    let drawn = drawn.map(|(at, drawn)| match drawn == dash && is_crossed(at) {
        true => crossing,
        false => drawn,
    });
    drawn.collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Detail, Entry, Ours, Seen};
    use super::*;
    use crate::id::ListenerName;
    use crate::time::UnixTime;
    use crate::transport::Protocol;

    fn ladder(entries: &[Entry], detail: Detail) -> String {
        super::ladder(&Exchange::of(entries, &[], detail))
    }

    fn message(ms: u64, leg: u8, is_received: bool, text: &str) -> Entry {
        Entry {
            at: UnixTime::from_micros(ms * 1000),
            leg: Some(LegId(leg)),
            what: Seen::Message {
                is_received,
                protocol: Protocol::Udp,
                remote: match leg {
                    0 => "192.0.2.10:5060".parse().unwrap(),
                    leg => format!("198.51.100.{}:5060", 8 + leg).parse().unwrap(),
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
    fn each_peer_has_a_column_and_arrows_cross_those_between() {
        let request = |m: &str| format!("{m} sip:b@example.com SIP/2.0\n{HEAD}CSeq: 1 {m}\n\n");
        let entries: Vec<Entry> = (1..=6)
            .flat_map(|leg| {
                let at = u64::from(leg);
                [
                    message(at, leg, false, &request("INVITE")),
                    message(at, leg, true, &request("BYE")),
                ]
            })
            .collect();
        let text = ladder(&entries, Detail::Lines);
        let lines: Vec<&str> = text.lines().collect();
        for wanted in [
            "peer A",
            "SBC",
            "198.51.100.9:5060 leg 1",
            "198.51.100.12:5060 leg 4",
        ] {
            assert!(lines[0].contains(wanted), "{text}");
        }
        assert!(!lines[0].contains("leg 5"), "{text}");
        let columns = |line: &str| {
            let places = line.chars().enumerate();
            let bars = places.filter(|(_, drawn)| "│┼".contains(*drawn));
            bars.map(|(at, _)| at).collect::<Vec<_>>()
        };
        for line in &lines[1..] {
            assert_eq!(columns(line), [14, 45, 76, 107, 138, 169], "{text}");
        }
        let end = |line: &str| line.chars().position(|drawn| drawn == '►').unwrap();
        assert_eq!(end(lines[1]), 75);
        assert_eq!(end(lines[3]), 106);
        // Who comes later shares the last column, and is named.
        assert_eq!(end(lines[11]), 168);
        assert!(lines[11].ends_with("leg 6") && !lines[7].ends_with("leg 4"));
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
