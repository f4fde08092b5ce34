//! A ladder as text, on a terminal of 100 columns.
//!
//! A column for each peer and for each of our sides: that of the A leg, us towards it, us towards all others, and those.
//! Every line has the time since the one before it, so that a pause is seen at once. Media are drawn below, with double
//! lines. Who is who stands above.
//!
//! ```text
//!          peer A                   SBC-A      SBC-B                   peer B
//!  0.000 s   │ INVITE ────────────────►│         │                        │
//! +0.001 s   │◄──────────── 100 Trying │         │                        │
//! +0.004 s   │                         │         │ INVITE ───────────────►│
//! ```

use super::exchange::{Column, Exchange, SBC_B, Shown, ends};
use std::fmt::Write as _;

/// Columns of a terminal.
const WIDTH: usize = 100;
/// Characters before the first vertical line.
const MARGIN: usize = 12;
/// Peers right of us with a column of their own; all that come later share the last one, and are named.
const MOST: usize = 3;

/// Draws a ladder. Keys of SRTP are never printed.
pub fn ladder(exchange: &Exchange) -> String {
    let mut columns = exchange.columns();
    let mut out = String::new();
    for Column { name, about } in columns.iter().filter(|own| !own.about.is_empty()) {
        wrapped(&format!("{name:8}"), about, &mut out);
    }
    columns.truncate(SBC_B + 1 + MOST);
    let places = Places::of(columns.len());
    out.push('\n');
    places.header(&columns, &mut out);
    for (number, row) in exchange.rows.iter().enumerate() {
        let time = format!("{} ", row.delta(number == 0));
        match &row.what {
            Shown::Message {
                from_peer,
                from,
                to,
                title,
                description,
                lines,
            } => {
                let peer = if *from_peer { from } else { to };
                let place = exchange.place(row.leg);
                let line = places.across(place, peer, title, *from_peer, '─');
                let _ = writeln!(out, "{time:>MARGIN$}{line}");
                if let Some(summary) = description {
                    wrapped(&format!("{:MARGIN$}·   ", ""), summary, &mut out);
                }
                for line in lines.iter().flatten() {
                    let _ = writeln!(out, "{:MARGIN$}    {line}", "");
                }
            }
            Shown::Note { text } => {
                wrapped(&format!("{time:>MARGIN$}· "), text, &mut out);
            }
        }
    }
    for stream in &exchange.media {
        let place = exchange.place(Some(stream.leg));
        let peer = exchange.name(stream.leg);
        let line = places.across(place, peer, &stream.title(), stream.from_peer, '═');
        let _ = writeln!(out, "{:>MARGIN$}{line}", "media ");
    }
    out
}

/// A text behind what its first line begins with, in as many lines of the terminal as it takes. A word that has more
/// than a line is broken.
fn wrapped(begin: &str, text: &str, out: &mut String) {
    let margin = begin.chars().count();
    let most = WIDTH.saturating_sub(margin).max(1);
    out.push_str(begin);
    let mut width = 0;
    for word in text.split(' ') {
        let mut rest = word;
        let mut long = rest.chars().count();
        let space = usize::from(width > 0);
        if width > 0 && width + space + long > most {
            let _ = write!(out, "\n{:margin$}", "");
            width = 0;
        } else if space > 0 {
            out.push(' ');
            width += space;
        }
        while long > most {
            let at = rest
                .char_indices()
                .nth(most)
                .map_or(rest.len(), |(at, _)| at);
            let (line, after) = rest.split_at(at);
            let _ = write!(out, "{line}\n{:margin$}", "");
            rest = after;
            long -= most;
        }
        out.push_str(rest);
        width += long;
    }
    out.push('\n');
}

/// Where the vertical lines are, counted from the first one.
struct Places(Vec<usize>);

impl Places {
    /// Of so many columns, all of them within 100 characters.
    fn of(columns: usize) -> Self {
        // Between two lines, and between our two sides.
        let (span, gap) = match columns - SBC_B - 1 {
            0 | 1 => (36, 12),
            2 => (25, 8),
            _ => (19, 6),
        };
        let widths = (1..columns).map(|column| if column == SBC_B { gap } else { span });
        let lines = widths.scan(0, |at, width| {
            *at += width + 1;
            Some(*at)
        });
        Self(std::iter::once(0).chain(lines).collect())
    }

    fn last(&self) -> usize {
        self.0.last().copied().unwrap_or_default()
    }

    /// Names of the columns, each above its line.
    fn header(&self, columns: &[Column], out: &mut String) {
        let mut width = 0;
        for (at, Column { name, .. }) in self.0.iter().zip(columns) {
            let long = name.chars().count();
            let most = MARGIN + self.last() + 1 - long;
            let from = (MARGIN + at).saturating_sub(long / 2).min(most);
            let gap = from.saturating_sub(width);
            let _ = write!(out, "{:gap$}{name}", "");
            width += gap + long;
        }
        out.push('\n');
    }

    /// A line with an arrow between a peer and our side towards it. It crosses the lines in between; its title is named
    /// after the peer where others have the same column.
    fn across(&self, place: usize, peer: &str, title: &str, from_peer: bool, dash: char) -> String {
        let mut line = vec![' '; self.last() + 1];
        for at in &self.0 {
            line[*at] = '│';
        }
        let (us, column) = ends(place);
        let shared = column.min(self.0.len() - 1);
        let title = match shared == column {
            true => title.to_owned(),
            false => format!("{peer}: {title}"),
        };
        let (us, column) = (self.0[us], self.0[shared]);
        let (left, right) = (us.min(column), us.max(column));
        let drawn = arrow(&title, right - left - 1, from_peer == (column < us), dash);
        let crossing = if dash == '═' { '╪' } else { '┼' };
        for (own, drawn) in line[left + 1..right].iter_mut().zip(drawn.chars()) {
            *own = match *own == '│' && drawn == dash {
                true => crossing,
                false => drawn,
            };
        }
        line.into_iter().collect()
    }
}

/// An arrow of this width with its title: to the right or to the left.
fn arrow(title: &str, width: usize, is_right: bool, dash: char) -> String {
    let title: String = title.chars().take(width.saturating_sub(4)).collect();
    let dashes = width.saturating_sub(3 + title.chars().count());
    let dashes: String = std::iter::repeat_n(dash, dashes).collect();
    match is_right {
        true => format!(" {title} {dashes}►"),
        false => format!("◄{dashes} {title} "),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Detail, Entry, Ours, Seen, Stream};
    use super::*;
    use crate::id::{LegId, ListenerName};
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
            "peer A  192.0.2.10:5060 over udp",
            "SBC-A   udp",
            "SBC-B   udp",
            "peer B  198.51.100.9:5060 over udp, leg 1",
            "",
            "         peer A                                SBC-A        SBC-B                             peer B",
            "    0.000 s │ INVITE ───────────────────────────►│            │                                    │",
            "   +0.001 s │◄─────────────────────── 100 Trying │            │                                    │",
            "   +0.003 s │                                    │            │ INVITE ───────────────────────────►│",
            "   +1.500 s │                                    │            │◄─────────────────────────── 200 OK │",
            "   +7.496 s │                                    │            │◄────────────────────────────── BYE │",
            "   +0.001 s │                                    │            │ 200 OK (BYE) ─────────────────────►│",
        ];
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines, expected, "\n{text}");
    }

    /// Columns of the lines that stand or are crossed.
    fn columns(line: &str) -> Vec<usize> {
        let places = line.chars().enumerate();
        let bars = places.filter(|(_, drawn)| "│┼╪".contains(*drawn));
        bars.map(|(at, _)| at).collect()
    }

    #[test]
    fn each_peer_has_a_column_and_arrows_cross_those_between() {
        let request = |m: &str| format!("{m} sip:b@example.com SIP/2.0\n{HEAD}CSeq: 1 {m}\n\n");
        let of_legs = |legs: u8| {
            let entries: Vec<Entry> = (1..=legs)
                .flat_map(|leg| {
                    let at = u64::from(leg);
                    [
                        message(at, leg, false, &request("INVITE")),
                        message(at, leg, true, &request("BYE")),
                    ]
                })
                .collect();
            ladder(&entries, Detail::Lines)
        };
        let text = of_legs(5);
        let (above, below) = text.split_once("\n\n").unwrap();
        assert!(
            above.contains("peer C  198.51.100.10:5060 over udp, leg 2"),
            "{text}"
        );
        assert!(
            above.contains("peer F  198.51.100.13:5060 over udp, leg 5"),
            "{text}"
        );
        let lines: Vec<&str> = below.lines().collect();
        let names: Vec<&str> = lines[0]
            .split("  ")
            .map(str::trim)
            .filter(|own| !own.is_empty())
            .collect();
        assert_eq!(
            names,
            ["peer A", "SBC-A", "SBC-B", "peer B", "peer C", "peer D"]
        );
        for line in &lines[1..] {
            assert_eq!(columns(line), [12, 32, 39, 59, 79, 99], "{text}");
        }
        let end = |line: &str| line.chars().position(|drawn| drawn == '►').unwrap();
        assert_eq!((end(lines[1]), end(lines[3]), end(lines[5])), (58, 78, 98));
        // Who comes later shares the last column, and is named.
        assert_eq!(end(lines[9]), 98);
        assert!(
            lines[9].contains("│ peer F: INVITE ──") && lines[5].contains("│ INVITE ──"),
            "{text}"
        );
        // Whatever there is fits on a terminal.
        for legs in 0..=5 {
            let text = of_legs(legs);
            let most = text.lines().map(|line| line.chars().count()).max();
            assert!(most <= Some(100), "{text}");
            if legs > 0 {
                assert_eq!(most, Some(100), "{text}");
            }
        }
    }

    #[test]
    fn what_is_told_of_messages_and_decisions_is_as_wide_as_the_terminal() {
        let formats: Vec<String> = (96..128).map(|format| format.to_string()).collect();
        let formats = formats.join(" ");
        let sdp = format!(
            "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n\
             m=audio 4000 RTP/AVP 8 {formats}\nm=video 4002 RTP/AVP {formats}\n"
        );
        let length = sdp.replace('\n', "\r\n").len();
        let invite = format!(
            "INVITE sip:b@example.com SIP/2.0\n{HEAD}CSeq: 1 INVITE\nContent-Type: application/sdp\n\
             Content-Length: {length}\n\n{sdp}"
        );
        let words = "route \"a\" leads nowhere, ".repeat(12);
        let long = "é".repeat(250);
        let note = |text: &str| Entry {
            at: UnixTime::from_micros(0),
            leg: None,
            what: Seen::Note(text.to_owned()),
        };
        let mut entries = vec![message(0, 0, true, &invite), note(&words), note(&long)];
        // Each end of ours is told above.
        for leg in 1..=9 {
            let mut entry = message(1, leg, true, &invite);
            if let Seen::Message { ours, .. } = &mut entry.what {
                *ours = Ours::At(format!("192.0.2.{leg}:5060").parse().unwrap());
            }
            entries.push(entry);
        }
        let text = ladder(&entries, Detail::Lines);
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{line}\n{text}");
        }
        // Nothing is left out, and what goes on stands below where it began.
        let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let video = format!("| video 4002 RTP/AVP {formats}");
        assert!(
            plain.contains(&video) && plain.contains(words.trim()),
            "{text}"
        );
        assert!(plain.contains("192.0.2.8:5060, 192.0.2.9:5060"), "{text}");
        assert_eq!(text.matches('é').count(), 250, "{text}");
        let at = |start: &str| {
            let line = text.lines().position(|line| line.contains(start)).unwrap();
            let below = text.lines().nth(line + 1).unwrap();
            below.len() - below.trim_start().len()
        };
        assert_eq!(
            (at("SBC-B   "), at("· route"), at("·   SDP")),
            (8, 14, 16),
            "{text}"
        );
    }

    #[test]
    fn our_end_is_where_messages_came_to_or_the_listener_that_they_left_by() {
        let text = format!("BYE sip:b@example.com SIP/2.0\n{HEAD}CSeq: 1 BYE\n\n");
        let ends = |ours: [Option<&str>; 3]| {
            let entries = ours.into_iter().enumerate().map(|(leg, at)| {
                let mut entry = message(1, leg as u8 + 1, at.is_some(), &text);
                if let (Seen::Message { ours, .. }, Some(at)) = (&mut entry.what, at) {
                    *ours = Ours::At(at.parse().unwrap());
                }
                entry
            });
            let sent = message(0, 1, false, &text);
            let all: Vec<Entry> = std::iter::once(sent).chain(entries).collect();
            let text = ladder(&all, Detail::Lines);
            let side = text.lines().find_map(|line| line.strip_prefix("SBC-B   "));
            side.unwrap().to_owned()
        };
        assert_eq!(ends([None, None, None]), "udp");
        let one = Some("192.0.2.1:5060");
        assert_eq!(ends([one, one, one]), "192.0.2.1:5060");
        let other = Some("192.0.2.2:5060");
        assert_eq!(
            ends([one, None, other]),
            "192.0.2.1:5060, udp, 192.0.2.2:5060"
        );
    }

    #[test]
    fn media_are_drawn_over_the_columns_between() {
        let request = |m: &str| format!("{m} sip:b@example.com SIP/2.0\n{HEAD}CSeq: 1 {m}\n\n");
        let mut exchange = Exchange::of(
            &[1, 2].map(|leg| message(1, leg, false, &request("INVITE"))),
            &[],
            Detail::Lines,
        );
        exchange.media.push(Stream {
            leg: LegId(2),
            from_peer: true,
            codec: Some("PCMA".to_owned()),
            packets: 1_000,
            loss_percent: Some(1.5),
            mos_estimate: Some(4.2),
        });
        let text = super::ladder(&exchange);
        let line = text.lines().last().unwrap();
        assert_eq!(columns(line), [12, 38, 47, 73, 99], "{text}");
        assert!(
            line.ends_with("◄════════════════════════╪ PCMA 1.5 % lost MOS 4.2 │"),
            "{text}"
        );
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
