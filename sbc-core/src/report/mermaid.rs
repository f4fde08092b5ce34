//! A ladder as a sequence diagram of Mermaid, which wikis and trackers draw by themselves.

use super::exchange::{Exchange, PEER_A, SBC_A, SBC_B, Shown, ends};
use std::fmt::Write as _;

/// Draws it. Messages in full have no place in it.
pub fn mermaid(exchange: &Exchange) -> String {
    let mut out = String::from("sequenceDiagram\n");
    for (column, head) in exchange.columns().iter().enumerate() {
        let (id, name, about) = (id(column), &head.name, escaped(&head.about));
        // Both sides are in one box.
        if column == SBC_A {
            out.push_str("    box SBC\n");
        }
        let _ = writeln!(
            out,
            "    participant {id} as {}",
            format!("{name} {about}").trim_end()
        );
        if column == SBC_B {
            out.push_str("    end\n");
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
                    let (us, peer) = ends(place);
                    let (first, second) = (id(us.min(peer)), id(us.max(peer)));
                    let summary = escaped(summary);
                    let _ = writeln!(out, "    Note over {first},{second}: {summary}");
                }
            }
            Shown::Note { text } => {
                let _ = writeln!(out, "    Note over SA,SB: {time} {}", escaped(text));
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
    let (us, peer) = ends(place);
    let (us, peer) = (id(us), id(peer));
    let _ = match from_peer {
        true => writeln!(out, "    {peer}{line}{us}: {text}"),
        false => writeln!(out, "    {us}{line}{peer}: {text}"),
    };
}

/// What a column is called in the diagram.
fn id(column: usize) -> String {
    match column {
        PEER_A => "P0".to_owned(),
        SBC_A => "SA".to_owned(),
        SBC_B => "SB".to_owned(),
        column => format!("P{}", column - SBC_B),
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
        let wanted = "sequenceDiagram\n    participant P0 as peer A 192.0.2.0:5060 over udp\n    box SBC\n    \
                      participant SA as SBC-A udp\n    participant SB as SBC-B udp\n    end\n    \
                      participant P1 as peer B 192.0.2.2:5060 over udp, leg 2\n    P0->>SA: 0.000 s INVITE\n    \
                      Note over SA,SB: +0.007 s goes to #60;b#62;#59; #35;1\n    SB->>P1: +0.001 s INVITE\n    \
                      P1->>SB: +0.001 s 486 Busy#59;end\n";
        assert_eq!(mermaid(&exchange), wanted);
    }
}
