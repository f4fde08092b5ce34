//! Ways to make a faulty subject of a good one.
//!
//! A mutation sits between the wire and the peers: what the subject sends is changed, dropped,
//! delayed, repeated or added to before anybody judges it. Media has its own, see [`Warp`], and the
//! subject's configuration can be changed instead.

use super::evidence::Side;
use crate::lab::front::Wrong;
use crate::lock::lock;
pub use crate::media::voice::Warp;
use crate::peer::message::Message;
use crate::peer::teams::Handshake;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// One change.
#[derive(Clone, Copy)]
pub enum Mutation {
    /// Of messages.
    Message(On, Does),
    /// Of packets towards Teams.
    Media(Warp),
    /// Of packets towards the carrier.
    CarrierMedia(Warp),
    /// Of the configuration that we write for the subject: a text, and what stands there instead.
    Configuration(&'static str, &'static str),
    /// Of that configuration: it is written anew.
    Configured(fn(&str) -> String),
    /// Strangers meet a door that is wired wrongly, instead of the subject's.
    Front(Wrong),
    /// Of what the subject tells its operators: a text, and what stands there instead.
    Told(&'static str, &'static str),
    /// Of what the subject asks Microsoft: a text, and what stands there instead.
    Asked(&'static str, &'static str),
    /// Of what Microsoft answers, as the subject hears it: a text, and what stands there instead.
    Heard(&'static str, &'static str),
    /// What it keeps for the time after a restart is lost.
    Forgets,
    /// It does not hear a header of what peers send it.
    Deaf(On, &'static str),
    /// Of what the proxies see of its handshakes.
    Shaken(fn(&mut Handshake)),
    /// It tries again at once, five times, where its connection is refused.
    Insists,
    /// It makes five connections where others make one, and keeps none after a call.
    Restless,
    /// It goes on with every proxy, whatever certificate that shows.
    Gullible,
    /// Its memory is 17 times as large at the second look, and so on: more than may be kept, however small it is.
    Grows,
}

/// Which messages of the subject.
#[derive(Clone, Copy)]
pub struct On {
    side: Side,
    /// The request's method, or the method that is answered.
    method: &'static str,
    /// Answers with these statuses; `None` for the request itself.
    statuses: Option<(u16, u16)>,
    dialog: Within,
}

/// Whether a message belongs to a dialog already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Any,
    Outside,
    Inside,
}

/// What becomes of it.
#[derive(Clone, Copy)]
pub enum Does {
    /// It is lost, each time.
    Drop,
    /// The first so many come, and all others are lost.
    DropAfter(usize),
    /// It is late.
    Delay(Duration),
    /// Of three, two are late.
    Often(Duration),
    /// It comes twice, the second time as another transaction.
    Twice,
    /// A text in it is another, everywhere.
    Replace(&'static str, &'static str),
    /// The same, but for the first so many.
    ReplaceAfter(usize, &'static str, &'static str),
    /// Header lines with this name are missing.
    Without(&'static str),
    /// Its lines that begin so are those of the first one.
    Keeps(&'static str),
    /// It has one more header line.
    With(&'static str),
    /// It is written anew.
    Rewrite(fn(&str) -> String),
    /// Another message comes after it.
    Then(fn(&str) -> String),
}

/// Requests towards Teams.
pub const fn teams(method: &'static str) -> On {
    On::new(Side::Teams, method)
}

/// Requests towards the carrier.
pub const fn carrier(method: &'static str) -> On {
    On::new(Side::Carrier, method)
}

/// It is lost.
pub const fn drop(on: On) -> Mutation {
    Mutation::Message(on, Does::Drop)
}

/// It is lost, but for the first so many.
pub const fn drop_after(on: On, first: usize) -> Mutation {
    Mutation::Message(on, Does::DropAfter(first))
}

/// The subject does not hear this header of requests and answers that it gets: `on` is what the peer sends.
pub const fn deaf(on: On, name: &'static str) -> Mutation {
    Mutation::Deaf(on, name)
}

/// It comes later.
pub const fn delay(on: On, by: Duration) -> Mutation {
    Mutation::Message(on, Does::Delay(by))
}

/// It comes later, two times of three.
pub const fn often_delay(on: On, by: Duration) -> Mutation {
    Mutation::Message(on, Does::Often(by))
}

/// It comes again, as another transaction.
pub const fn twice(on: On) -> Mutation {
    Mutation::Message(on, Does::Twice)
}

/// A text in it is another.
pub const fn replace(on: On, text: &'static str, by: &'static str) -> Mutation {
    Mutation::Message(on, Does::Replace(text, by))
}

/// A text in it is another, but for the first so many.
pub const fn replace_after(on: On, first: usize, text: &'static str, by: &'static str) -> Mutation {
    Mutation::Message(on, Does::ReplaceAfter(first, text, by))
}

/// It lacks a header.
pub const fn without(on: On, name: &'static str) -> Mutation {
    Mutation::Message(on, Does::Without(name))
}

/// Its lines that begin so are those of the first one, as of a subject that does not change what they say.
pub const fn keeps(on: On, beginning: &'static str) -> Mutation {
    Mutation::Message(on, Does::Keeps(beginning))
}

/// It has one more header line.
pub const fn with(on: On, line: &'static str) -> Mutation {
    Mutation::Message(on, Does::With(line))
}

/// It is written anew; the length is set right afterwards.
pub const fn rewrite(on: On, how: fn(&str) -> String) -> Mutation {
    Mutation::Message(on, Does::Rewrite(how))
}

/// Another message comes after it, made of its text.
pub const fn then(on: On, what: fn(&str) -> String) -> Mutation {
    Mutation::Message(on, Does::Then(what))
}

impl On {
    const fn new(side: Side, method: &'static str) -> Self {
        Self {
            side,
            method,
            statuses: None,
            dialog: Within::Any,
        }
    }

    /// Answers to these requests with this status.
    #[must_use]
    pub const fn status(self, status: u16) -> Self {
        self.statuses(status, status)
    }

    /// Answers to these requests with such statuses.
    #[must_use]
    pub const fn statuses(mut self, first: u16, last: u16) -> Self {
        self.statuses = Some((first, last));
        self
    }

    /// Only those outside of a dialog.
    #[must_use]
    pub const fn first(mut self) -> Self {
        self.dialog = Within::Outside;
        self
    }

    /// Only those within a dialog; of answers, those to requests within one.
    #[must_use]
    pub const fn inside(mut self) -> Self {
        self.dialog = Within::Inside;
        self
    }

    /// Whether a message is meant.
    fn is(&self, side: Side, message: &Message, is_inside: bool) -> bool {
        let is_kind = match (self.statuses, message.status()) {
            (None, None) => message.method().as_deref() == Some(self.method),
            (Some((first, last)), Some(status)) => {
                (first..=last).contains(&status)
                    && message.cseq().is_some_and(|(_, of)| of == self.method)
            }
            _ => false,
        };
        let is_within = match self.dialog {
            Within::Any => true,
            Within::Outside => !is_inside,
            Within::Inside => is_inside,
        };
        self.side == side && is_kind && is_within
    }
}

impl Mutation {
    /// What the subject gets instead of what a peer sent; none if that.
    pub fn deafens(&self, side: Side, bytes: &[u8]) -> Option<Vec<u8>> {
        let Self::Deaf(on, name) = self else {
            return None;
        };
        let message = Message::parse(bytes).ok()?;
        let is_inside = message.method().is_some() && message.tag("To").is_some();
        let text = String::from_utf8_lossy(bytes);
        on.is(side, &message, is_inside)
            .then(|| without_line(&text, name).into_bytes())
    }

    /// What a peer gets instead of what the subject sent. `was_inside` tells of an answer whether
    /// the request with its branch was one within a dialog, `meant` what is known of messages that were meant before.
    pub fn apply(
        &self,
        side: Side,
        bytes: &[u8],
        was_inside: impl Fn(&str) -> bool,
        meant: &Meant,
    ) -> Vec<(Duration, Vec<u8>)> {
        let unchanged = vec![(Duration::ZERO, bytes.to_vec())];
        let Self::Message(on, does) = self else {
            return unchanged;
        };
        let Ok(message) = Message::parse(bytes) else {
            return unchanged;
        };
        let is_inside = match message.status() {
            Some(_) => message.branch().is_some_and(was_inside),
            None => message.tag("To").is_some(),
        };
        if !on.is(side, &message, is_inside) {
            return unchanged;
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        let now = |text: String| (Duration::ZERO, measured(&text).into_bytes());
        match does {
            Does::Drop => Vec::new(),
            Does::DropAfter(first) => match meant.is_one_of(*first) {
                true => unchanged,
                false => Vec::new(),
            },
            Does::Delay(by) => vec![(*by, bytes.to_vec())],
            Does::Often(by) => {
                // Ordering: the number stands for itself.
                let is_on_time = meant.number.fetch_add(1, Ordering::Relaxed) % 3 == 2;
                vec![(
                    if is_on_time { Duration::ZERO } else { *by },
                    bytes.to_vec(),
                )]
            }
            Does::Twice => vec![now(text.clone()), now(again(&text))],
            Does::Replace(from, to) => vec![now(text.replace(from, to))],
            Does::ReplaceAfter(first, from, to) => match meant.is_one_of(*first) {
                true => unchanged,
                false => vec![now(text.replace(from, to))],
            },
            Does::Without(name) => vec![now(without_line(&text, name))],
            Does::Keeps(beginning) => vec![now(meant.with_first_lines(&text, beginning))],
            Does::With(line) => vec![now(with_line(&text, line))],
            Does::Rewrite(how) => vec![now(how(&text))],
            Does::Then(what) => vec![now(text.clone()), now(what(&text))],
        }
    }
}

/// What is known of the messages that were meant so far.
#[derive(Default)]
pub struct Meant {
    number: AtomicUsize,
    /// Lines of the first one, where others keep them.
    lines: Mutex<Vec<String>>,
}

impl Meant {
    /// Whether one more of them is still one of the first so many.
    fn is_one_of(&self, first: usize) -> bool {
        // Ordering: the number stands for itself.
        self.number.fetch_add(1, Ordering::Relaxed) < first
    }

    /// The message with the lines of the first one, in their order, for its own that begin so.
    fn with_first_lines(&self, text: &str, beginning: &str) -> String {
        let is_it = |line: &&str| line.starts_with(beginning);
        let mut first = lock(&self.lines);
        if first.is_empty() {
            first.extend(text.split("\r\n").filter(is_it).map(str::to_owned));
        }
        let mut kept = first.iter().map(String::as_str);
        let lines = text.split("\r\n").map(|line| match is_it(&line) {
            true => kept.next().unwrap_or(line),
            false => line,
        });
        lines.collect::<Vec<_>>().join("\r\n")
    }
}

/// The same request as another transaction: its branch and its number are others.
pub fn again(text: &str) -> String {
    text.replacen("branch=z9hG4bK", "branch=z9hG4bKagain", 1)
}

/// A request of another method in its place, as another transaction and without a body.
pub fn as_method(text: &str, method: &str) -> String {
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let old = head.split(' ').next().unwrap_or_default();
    let other = again(head).replacen(old, method, 1).replacen(
        &format!(" {old}\r\n"),
        &format!("9 {method}\r\n"),
        1,
    );
    without_line(&format!("{other}\r\n\r\n"), "Content-Type")
}

/// A BYE in the dialog of an answer.
pub fn bye_after(answer: &str) -> String {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    let lines = head.split("\r\n").filter_map(|line| {
        let (name, value) = line.split_once(": ").unwrap_or(("", line));
        match name {
            "" => Some("BYE sip:anyone@example.com SIP/2.0".to_owned()),
            "From" => Some(format!("To: {value}")),
            "To" => Some(format!("From: {value}")),
            "CSeq" => Some("CSeq: 99 BYE".to_owned()),
            "Content-Type" => None,
            _ => Some(line.to_owned()),
        }
    });
    let text = lines.collect::<Vec<_>>().join("\r\n");
    again(&format!("{text}\r\n\r\n"))
}

/// Without a body.
pub fn without_body(text: &str) -> String {
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    format!("{head}\r\n\r\n")
}

/// Without header lines of this name.
pub fn without_line(text: &str, name: &str) -> String {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let is_it = |line: &&str| {
        let of = line.split(':').next().unwrap_or_default();
        of.trim().eq_ignore_ascii_case(name)
    };
    let lines: Vec<&str> = head.split("\r\n").filter(|line| !is_it(line)).collect();
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}

/// With one more header line, before the others.
pub fn with_line(text: &str, line: &str) -> String {
    text.replacen("\r\n", &format!("\r\n{line}\r\n"), 1)
}

/// With the length that the body has.
fn measured(text: &str) -> String {
    let (_, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    with_line(
        &without_line(text, "Content-Length"),
        &format!("Content-Length: {}", body.len()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYE: &str = "BYE sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TLS a;branch=z9hG4bK1\r\n\
                       To: <sip:a>;tag=1\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n";

    fn texts(mutation: Mutation, side: Side) -> Vec<String> {
        let meant = Meant::default();
        let changed = mutation.apply(side, BYE.as_bytes(), |_| false, &meant);
        let text = |(_, bytes)| String::from_utf8(bytes).unwrap();
        changed.into_iter().map(text).collect()
    }

    #[test]
    fn only_what_is_meant_is_changed() {
        assert!(texts(drop(teams("BYE")), Side::Teams).is_empty());
        for other in [
            drop(teams("INVITE")),
            drop(teams("BYE").status(200)),
            drop(teams("BYE").first()),
            drop(carrier("BYE")),
        ] {
            assert_eq!(texts(other, Side::Teams), [BYE]);
        }
        assert_eq!(texts(twice(teams("BYE")), Side::Teams).len(), 2);
        assert_eq!(
            texts(without(teams("BYE"), "to"), Side::Teams)[0]
                .matches("To:")
                .count(),
            0
        );
        let (late, meant) = (Duration::from_secs(1), Meant::default());
        let delays = (0..6).flat_map(|_| {
            let changed = often_delay(teams("BYE"), late);
            changed.apply(Side::Teams, BYE.as_bytes(), |_| false, &meant)
        });
        let delays: Vec<Duration> = delays.map(|(delay, _)| delay).collect();
        let wanted = [late, late, Duration::ZERO];
        assert_eq!(delays, [wanted, wanted].concat());
        let meant = Meant::default();
        let third = (0..3).map(|_| {
            let changed = replace_after(teams("BYE"), 2, "sip:a", "sip:b");
            let mut changed = changed.apply(Side::Teams, BYE.as_bytes(), |_| false, &meant);
            changed
                .pop()
                .is_some_and(|(_, bytes)| bytes != BYE.as_bytes())
        });
        assert_eq!(third.collect::<Vec<_>>(), [false, false, true]);
        let meant = Meant::default();
        let came = (0..3).map(|_| {
            let changed = drop_after(teams("BYE"), 1);
            let came = changed.apply(Side::Teams, BYE.as_bytes(), |_| false, &meant);
            came.len()
        });
        assert_eq!(came.collect::<Vec<_>>(), [1, 0, 0]);
        let unheard = deaf(teams("BYE"), "cseq").deafens(Side::Teams, BYE.as_bytes());
        let unheard = String::from_utf8(unheard.unwrap()).unwrap();
        assert!(!unheard.contains("CSeq"), "{unheard}");
        let other = deaf(teams("INVITE"), "cseq").deafens(Side::Teams, BYE.as_bytes());
        assert_eq!(other, None);
        let longer = texts(
            rewrite(teams("BYE"), |text| format!("{text}abc")),
            Side::Teams,
        );
        assert!(longer[0].contains("Content-Length: 3\r\n"), "{}", longer[0]);
    }

    #[test]
    fn lines_may_be_those_of_the_first_message() {
        let meant = Meant::default();
        let said = |line: &str| {
            let change = keeps(teams("BYE"), "X-Is");
            let bytes = with_line(BYE, line).into_bytes();
            let changed = change.apply(Side::Teams, &bytes, |_| false, &meant);
            String::from_utf8(changed[0].1.clone()).unwrap()
        };
        assert!(said("X-Other: 1").contains("X-Other: 1\r\n"));
        assert!(said("X-Is: 1").contains("X-Is: 1\r\n"));
        let later = said("X-Is: 2");
        assert!(later.contains("X-Is: 1\r\n") && !later.contains("X-Is: 2"));
    }
}
