//! Messages of a case as a ladder of text: who, when, what.

use crate::certify::evidence::{From, Seen, Side};
use crate::peer::message::Message;

/// One line of a ladder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Milliseconds since the beginning.
    pub at_ms: u128,
    /// The peer.
    pub peer: String,
    /// Whether it is a carrier.
    pub is_carrier: bool,
    /// Whether the subject sent it.
    pub is_from_subject: bool,
    /// Start line, and what kind of body there is.
    pub title: String,
    /// The whole message, keys hidden.
    pub text: String,
}

/// The ladder of a case.
pub fn steps(seen: &[Seen]) -> Vec<Step> {
    seen.iter().map(step).collect()
}

fn step(one: &Seen) -> Step {
    let (title, text) = match &one.message {
        Ok(message) => (title(message), hidden(message.text())),
        Err(why) => (why.clone(), String::new()),
    };
    Step {
        at_ms: one.at.as_millis(),
        peer: one.peer.clone(),
        is_carrier: one.side == Side::Carrier,
        is_from_subject: one.from == From::Subject,
        title,
        text,
    }
}

fn title(message: &Message) -> String {
    let of = match message.status() {
        Some(_) => message.cseq().map(|(_, method)| format!(" ({method})")),
        None => None,
    };
    let body = match message.body().is_empty() {
        true => "",
        false if message.body().contains("m=audio") => " + SDP",
        false => " + body",
    };
    format!("{}{}{body}", message.title(), of.unwrap_or_default())
}

/// Keys of the peers live as long as the case, but a habit is a habit.
fn hidden(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match line.find("inline:") {
            Some(at) => {
                let rest = line[at + 7..].find(['|', '\r', '\n']);
                let rest = rest.unwrap_or(line.len() - at - 7);
                out.push_str(&line[..at + 7]);
                out.push('…');
                out.push_str(&line[at + 7 + rest..]);
            }
            None => out.push_str(line),
        }
    }
    out
}

/// The ladder as text: the carrier left, Teams right, the subject between.
pub fn text(seen: &[Seen]) -> String {
    let mut out = String::new();
    for step in steps(seen) {
        let arrow = match (step.is_carrier, step.is_from_subject) {
            (true, true) => "<───────  ·         ",
            (true, false) => "───────>  ·         ",
            (false, true) => "          ·  ───────>",
            (false, false) => "          ·  <───────",
        };
        let seconds = step.at_ms as f64 / 1000.0;
        out.push_str(&format!(
            "  {seconds:8.3} {arrow} {:22} {}\n",
            step.peer, step.title
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_show() {
        let line = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^31\r\na=sendrecv\r\n";
        let shown = hidden(line);
        assert_eq!(shown, line.replace("c2VjcmV0", "…"));
        assert_eq!(
            hidden("a=crypto:1 X inline:c2VjcmV0"),
            "a=crypto:1 X inline:…"
        );
    }
}
