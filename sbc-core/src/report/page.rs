//! A ladder as a page of its own: one file without scripts, for whoever has nothing but a browser.

use super::exchange::{Exchange, SBC_A, SBC_B, Shown, ends};
use std::fmt::Write as _;

/// Between two lines, between our two sides, and from one row to the next.
const SPAN: usize = 240;
const GAP: usize = 120;
const ROW: usize = 26;
/// Where the lines begin, below what stands above them.
const TOP: usize = 40;
/// Before the first line, and after the last one.
const LEFT: usize = 200;
const RIGHT: usize = 160;

/// Draws it under a title, with what there is to say of the call below.
pub fn page(exchange: &Exchange, title: &str, told: &str) -> String {
    let mut out = String::new();
    let title = escaped(title);
    let _ = writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style></head><body>\n<h1>{title}</h1>"
    );
    drawing(exchange, &mut out);
    let _ = writeln!(out, "<pre>{}</pre>", escaped(told));
    messages(exchange, &mut out);
    out.push_str("</body></html>\n");
    out
}

const STYLE: &str = "body{font:14px sans-serif;margin:2em}pre{white-space:pre-wrap}\
                     svg text{font:12px monospace}line{stroke:#888}.m{stroke:#06c}.r{stroke:#080;stroke-width:3}\
                     .n{fill:#666}";

fn drawing(exchange: &Exchange, out: &mut String) {
    let columns = exchange.columns();
    let notes = exchange.rows.iter().map(|row| match &row.what {
        Shown::Message { description, .. } => 1 + usize::from(description.is_some()),
        Shown::Note { .. } => 1,
    });
    let height = TOP + ROW * (1 + notes.sum::<usize>() + exchange.media.len());
    let width = at(columns.len() - 1) + RIGHT;
    let _ = writeln!(
        out,
        "<svg width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"ladder\">"
    );
    for (column, head) in columns.iter().enumerate() {
        let x = at(column);
        let (name, about) = (escaped(&head.name), escaped(&head.about));
        // Our two sides are close to each other: what is known of them goes outwards.
        let anchor = match column {
            SBC_A => "end",
            SBC_B => "start",
            _ => "middle",
        };
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"14\" text-anchor=\"middle\">{name}</text>\
             <text x=\"{x}\" y=\"30\" text-anchor=\"{anchor}\" class=\"n\">{about}</text>\
             <line x1=\"{x}\" y1=\"{TOP}\" x2=\"{x}\" y2=\"{height}\"/>"
        );
    }
    let mut y = TOP;
    for (number, row) in exchange.rows.iter().enumerate() {
        y += ROW;
        let time = row.delta(number == 0);
        let _ = writeln!(out, "<text x=\"4\" y=\"{y}\" class=\"n\">{time}</text>");
        match &row.what {
            Shown::Message {
                from_peer,
                title,
                description,
                ..
            } => {
                let place = exchange.place(row.leg);
                arrow(place, *from_peer, "m", title, y, out);
                if let Some(summary) = description {
                    y += ROW;
                    text(LEFT + 8, y, summary, out);
                }
            }
            Shown::Note { text: words } => text(LEFT + 8, y, words, out),
        }
    }
    for stream in &exchange.media {
        y += ROW;
        let place = exchange.place(Some(stream.leg));
        arrow(place, stream.from_peer, "r", &stream.title(), y, out);
    }
    out.push_str("</svg>\n");
}

/// Where a column is.
fn at(column: usize) -> usize {
    match column {
        0 | SBC_A => LEFT + column * SPAN,
        column => LEFT + SPAN + GAP + (column - SBC_B) * SPAN,
    }
}

fn text(x: usize, y: usize, words: &str, out: &mut String) {
    let words = escaped(words);
    let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" class=\"n\">{words}</text>");
}

fn arrow(place: usize, from_peer: bool, class: &str, title: &str, y: usize, out: &mut String) {
    let (us, peer) = ends(place);
    let (us, peer) = (at(us), at(peer));
    let (from, to) = match from_peer {
        true => (peer, us),
        false => (us, peer),
    };
    let (back, above, below) = match from < to {
        true => (to - 8, y - 4, y + 4),
        false => (to + 8, y - 4, y + 4),
    };
    // The name stands where the arrow begins, at the side of whoever sends.
    let (x, anchor) = match from < to {
        true => (from + 8, "start"),
        false => (from - 8, "end"),
    };
    let (name, above_line) = (escaped(title), y - 5);
    let _ = writeln!(
        out,
        "<line class=\"{class}\" x1=\"{from}\" y1=\"{y}\" x2=\"{to}\" y2=\"{y}\"/>\
         <polygon points=\"{to},{y} {back},{above} {back},{below}\"/>\
         <text x=\"{x}\" y=\"{above_line}\" text-anchor=\"{anchor}\">{name}</text>"
    );
}

/// Messages in full, where they are wanted.
fn messages(exchange: &Exchange, out: &mut String) {
    for row in &exchange.rows {
        let Shown::Message {
            from,
            to,
            title,
            lines: Some(lines),
            ..
        } = &row.what
        else {
            continue;
        };
        let title = escaped(title);
        let at = row.at.rfc3339();
        let _ = writeln!(
            out,
            "<details><summary>{at} {title} from {from} to {to}</summary><pre>{}</pre></details>",
            escaped(&lines.join("\n"))
        );
    }
}

/// Text in a page: peers choose some of it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
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
    fn a_page_has_every_message_and_runs_nothing() {
        let entry = Entry {
            at: UnixTime::from_micros(0),
            leg: Some(LegId(0)),
            what: Seen::Message {
                is_received: true,
                protocol: Protocol::Udp,
                remote: "192.0.2.10:5060".parse().unwrap(),
                ours: Ours::By(ListenerName::new("udp")),
                bytes: "INVITE<script> sip:b@example.com SIP/2.0\r\nSubject: </pre><script>x</script>\r\n\r\n"
                    .into(),
            },
        };
        let exchange = Exchange::of(&[entry], &[], Detail::Messages);
        let page = page(&exchange, "Call <1>", "who & why");
        assert!(!page.contains("<script"), "{page}");
        for wanted in [
            "<title>Call &lt;1&gt;</title>",
            ">peer A</text>",
            ">SBC-A</text>",
            ">SBC-B</text>",
            ">peer B</text>",
            "192.0.2.10:5060 over udp",
            " INVITE&lt;script&gt; from peer A to SBC-A<",
            "INVITE&lt;script&gt;",
            "Subject: &lt;/pre&gt;",
            "who &amp; why",
            "default-src 'none'",
        ] {
            assert!(page.contains(wanted), "{wanted}: {page}");
        }
        assert_eq!(page.matches("<details>").count(), 1);
    }
}
