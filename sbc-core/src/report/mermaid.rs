//! A ladder as a sequence diagram of Mermaid, which wikis and trackers draw by themselves.

use super::exchange::{Exchange, Shown};
use std::fmt::Write as _;

/// Draws it. Messages in full have no place in it.
pub fn mermaid(exchange: &Exchange) -> String {
    let mut out = String::from("sequenceDiagram\n");
    for (place, label) in exchange.labels().iter().enumerate() {
        let _ = writeln!(out, "    participant P{place} as {}", escaped(label));
        if place == 0 {
            out.push_str("    participant SBC\n");
        }
    }
    for (number, row) in exchange.rows.iter().enumerate() {
        let time = row.delta(number == 0);
        match &row.what {
            Shown::Message {
                from_peer,
                title,
                description,
                ..
            } => {
                let place = exchange.place(row.leg);
                let text = format!("{time} {}", escaped(title));
                arrow(place, *from_peer, "->>", &text, &mut out);
                if let Some(summary) = description {
                    let (first, second) = ends(place);
                    let summary = escaped(summary);
                    let _ = writeln!(out, "    Note over {first},{second}: {summary}");
                }
            }
            Shown::Note { text } => {
                let _ = writeln!(out, "    Note over SBC: {time} {}", escaped(text));
            }
        }
    }
    for stream in &exchange.media {
        let place = exchange.place(Some(stream.leg));
        let title = format!("media {}", escaped(&stream.title()));
        arrow(place, stream.from_peer, "-->>", &title, &mut out);
    }
    out
}

fn arrow(place: usize, from_peer: bool, line: &str, text: &str, out: &mut String) {
    let _ = match from_peer {
        true => writeln!(out, "    P{place}{line}SBC: {text}"),
        false => writeln!(out, "    SBC{line}P{place}: {text}"),
    };
}

/// The two ends of an arrow, the left one first.
fn ends(place: usize) -> (String, String) {
    match place {
        0 => ("P0".to_owned(), "SBC".to_owned()),
        place => ("SBC".to_owned(), format!("P{place}")),
    }
}

/// What means something to Mermaid, or to the page that it is drawn in, as its code: peers choose some of these texts.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '#' | ';' | '<' | '>' | '&' | '"' | '`' | '{' | '}' | '%' | '\\' => {
                let _ = write!(out, "#{};", u32::from(character));
            }
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Detail, Entry, Ours, Seen};
    use super::*;
    use crate::id::{LegId, ListenerName};
    use crate::time::UnixTime;
    use crate::transport::Protocol;

    #[test]
    fn a_diagram_has_each_peer_and_no_markup_of_theirs() {
        let message = |ms: u64, leg: u8, is_received, text: &str| Entry {
            at: UnixTime::from_micros(ms * 1000),
            leg: Some(LegId(leg)),
            what: Seen::Message {
                is_received,
                protocol: Protocol::Udp,
                remote: format!("192.0.2.{leg}:5060").parse().unwrap(),
                ours: Ours::By(ListenerName::new("udp")),
                bytes: text.to_owned().into(),
            },
        };
        let note = Entry {
            at: UnixTime::from_micros(7_000),
            leg: None,
            what: Seen::Note("goes to <b>; #1".to_owned()),
        };
        let entries = [
            message(0, 0, true, "INVITE sip:b@example.com SIP/2.0\r\n\r\n"),
            note,
            message(8, 2, false, "INVITE sip:b@example.com SIP/2.0\r\n\r\n"),
            message(9, 2, true, "SIP/2.0 486 Busy;end\r\n\r\n"),
        ];
        let exchange = Exchange::of(&entries, &[], Detail::Lines);
        let wanted = "sequenceDiagram\n    participant P0 as 192.0.2.0:5060\n    participant SBC\n    \
                      participant P1 as 192.0.2.2:5060\n    P0->>SBC: 0.000 s INVITE\n    \
                      Note over SBC: +0.007 s goes to #60;b#62;#59; #35;1\n    SBC->>P1: +0.001 s INVITE\n    \
                      P1->>SBC: +0.001 s 486 Busy#59;end\n";
        assert_eq!(mermaid(&exchange), wanted);
    }
}
