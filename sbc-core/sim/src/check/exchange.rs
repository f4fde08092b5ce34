//! Offers and answers of a dialog, one at a time: every offer gets one answer or refusal, nobody
//! offers while an offer is open, and what crosses is refused as RFC 3261 §14.2 says (SIP-500,
//! SIP-540, SIP-541). Before the answer to an INVITE an UPDATE is served once the first exchange was made
//! reliably, and not earlier (RFC 3311 §5.1, SIP-530). Our descriptions never lose a line or change a payload type (SIP-503, SIP-505).

use super::spoken::{Spoken, is_of_exchange};
use super::{Checker, Seen, Violation};
use crate::wire::Wire;
use sbc_core::id::{ShardId, TransactionId};
use sbc_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Exchanges {
    /// By Call-ID and the peer's tag.
    dialogs: BTreeMap<(String, String), Dialog>,
    /// Our INVITEs that begin calls, by Call-ID.
    calling: BTreeMap<String, Calling>,
    /// What we have described, by Call-ID.
    described: BTreeMap<String, Described>,
    /// Branches of our requests.
    branches: BTreeSet<String>,
    /// The same by transaction.
    on_their_way: BTreeMap<(ShardId, TransactionId), String>,
}

#[derive(Default)]
struct Dialog {
    /// Branch and method of our offer without final response.
    own: Option<String>,
    /// The peer's requests by sequence number.
    asked: BTreeMap<u32, Asked>,
    /// The highest sequence number heard: what comes later with a lower one is out of order (RFC 3261 §12.2.2).
    highest: u32,
    /// Sequence number of our last 2xx without ACK, and whether that must bring an answer.
    unacknowledged: Option<(u32, bool)>,
    is_over: bool,
}

struct Asked {
    is_invite: bool,
    offers: bool,
    must: Must,
    is_answered: bool,
    /// RSeq of the reliable provisional of ours that has made the exchange.
    described: Option<u32>,
    /// Its PRACK has come: others may follow before the answer.
    is_settled: bool,
}

impl Asked {
    fn is_open(&self) -> bool {
        !self.is_answered && (self.offers || self.is_invite) && !self.is_settled
    }
}

/// An INVITE of ours without final response.
#[derive(Default)]
struct Calling {
    branch: String,
    /// Tags of those who have described their media reliably.
    described: BTreeSet<String>,
}

/// What a request that comes at a wrong time must get.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Must {
    Anything,
    /// 491: an offer of ours is open, be it in a 2xx that waits for its ACK.
    Pend,
    /// 500 with Retry-After: an earlier one of the peer has no answer.
    ComeAgain,
    /// An answer, or 488: nothing is open.
    Serve,
}

#[derive(Default)]
struct Described {
    lines: usize,
    payloads: BTreeMap<String, String>,
}

impl Checker for Exchanges {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        let mut fail = |rule, text| out.push(Violation { at, rule, text });
        match seen {
            Seen::Heard {
                wire: Some(wire),
                is_garbage: false,
                ..
            } if is_of_exchange(wire) || is_of_prack(wire) => match wire.status() {
                None => self.request_heard(wire),
                Some(status) => self.response_heard(wire, status),
            },
            Seen::Sent {
                wire: Some(wire),
                answers_garbage: false,
                transaction,
                ..
            } if is_of_exchange(wire) || is_of_prack(wire) || wire.has_sdp() => {
                match wire.status() {
                    None => {
                        let branch = wire.branch().to_owned();
                        self.on_their_way.extend(transaction.map(|id| (id, branch)));
                        self.request_sent(wire, &mut fail);
                    }
                    Some(status) => self.response_sent(wire, status, &mut fail),
                }
                self.described(wire, &mut fail);
            }
            // What never left is answered by nobody, and no exchange of ours is open any more.
            Seen::SendFailed { transaction } => {
                let branch = self.on_their_way.remove(transaction);
                for dialog in self.dialogs.values_mut().filter(|_| branch.is_some()) {
                    dialog.own.take_if(|own| Some(&*own) == branch.as_ref());
                }
            }
            _ => {}
        }
    }
}

impl Dialog {
    fn ask(&mut self, number: u32, is_invite: bool, offers: bool, must: Must) {
        let asked = Asked {
            is_invite,
            offers,
            must,
            is_answered: false,
            described: None,
            is_settled: false,
        };
        self.asked.insert(number, asked);
    }

    /// A PRACK: it ends the exchange of its INVITE, and offers again if there was an offer in that.
    fn confirmed(&mut self, wire: &Wire, number: u32) {
        let mut words = wire.get("RAck").unwrap_or_default().split(' ');
        let mut next = || words.next()?.parse::<u32>().ok();
        let (Some(rseq), Some(cseq)) = (next(), next()) else {
            return;
        };
        let Some(invite) = self.asked.get_mut(&cseq).filter(|own| !own.is_answered) else {
            return;
        };
        invite.is_settled |= invite.described == Some(rseq);
        if invite.is_settled && invite.offers && wire.has_sdp() {
            self.ask(number, false, true, Must::Anything);
        }
    }
}

/// Whether a message is a PRACK or its answer.
fn is_of_prack(wire: &Wire) -> bool {
    wire.cseq().is_some_and(|(_, method)| method == "PRACK")
}

impl Exchanges {
    fn dialog(&mut self, wire: &Wire, peer: &str) -> Option<&mut Dialog> {
        let tag = wire.tag(peer)?.to_owned();
        let key = (wire.call_id().to_owned(), tag);
        Some(self.dialogs.entry(key).or_default())
    }

    fn request_heard(&mut self, wire: &Wire) {
        let method = wire.method().unwrap_or_default();
        let number = wire.cseq().map_or(0, |(number, _)| number);
        let calling = self.calling.get(wire.call_id()).map(|own| {
            let tag = wire.tag("From").unwrap_or_default();
            own.described.contains(tag)
        });
        let Some(dialog) = self.dialog(wire, "From") else {
            return;
        };
        match method {
            "PRACK" if !dialog.asked.contains_key(&number) => dialog.confirmed(wire, number),
            "BYE" => dialog.is_over = true,
            "ACK" => {
                dialog.unacknowledged.take_if(|(open, _)| *open == number);
            }
            "INVITE" | "UPDATE" if !dialog.asked.contains_key(&number) => {
                let (is_invite, offers) = (method == "INVITE", wire.has_sdp());
                let matters = is_invite || offers;
                let is_early = dialog
                    .asked
                    .values()
                    .any(|asked| asked.is_invite && !asked.is_answered);
                let is_stale = dialog.highest > number;
                let must = if !matters || is_stale || dialog.is_over {
                    Must::Anything
                } else if dialog.asked.values().any(Asked::is_open) {
                    Must::ComeAgain
                } else if dialog.own.is_some()
                    || dialog.unacknowledged.is_some_and(|(_, offers)| offers)
                {
                    Must::Pend
                } else {
                    match calling {
                        Some(false) => Must::Pend,
                        Some(true) => Must::Serve,
                        None if is_early && !is_invite => Must::Serve,
                        None => Must::Anything,
                    }
                };
                dialog.ask(number, is_invite, offers, must);
            }
            _ => {}
        }
        dialog.highest = dialog.highest.max(number);
    }

    fn response_sent(
        &mut self,
        wire: &Wire,
        status: u16,
        fail: &mut impl FnMut(&'static str, String),
    ) {
        let number = wire.cseq().map_or(0, |(number, _)| number);
        let Some(dialog) = self.dialog(wire, "From") else {
            return;
        };
        let Some(asked) = dialog.asked.get_mut(&number) else {
            return;
        };
        if status < 200 {
            let rseq = wire.get("RSeq").and_then(|value| value.parse().ok());
            if let Some(rseq) = rseq.filter(|_| wire.has_sdp()) {
                asked.described.get_or_insert(rseq);
            }
            return;
        }
        if asked.is_answered
            || wire
                .cseq()
                .is_some_and(|(_, m)| !matches!(m, "INVITE" | "UPDATE" | "PRACK"))
        {
            return;
        }
        asked.is_answered = true;
        if status < 300 && asked.is_invite {
            let offers = !asked.offers && asked.described.is_none();
            dialog.unacknowledged = Some((number, offers));
        }
        let has_part =
            (asked.is_invite && asked.described.is_none()) || (!asked.is_invite && asked.offers);
        let wants_body = status < 300 && has_part;
        if wire.has_sdp() != wants_body {
            let what = if wants_body { "no" } else { "a" };
            fail("exchange", format!("{}: {what} description", wire.first));
        }
        let is_right = match asked.must {
            Must::Anything => true,
            Must::Pend => matches!(status, 491 | 481 | 487),
            Must::ComeAgain => {
                (status == 500 && wire.get("Retry-After").is_some()) || matches!(status, 481 | 487)
            }
            Must::Serve => matches!(status, 200 | 488 | 481 | 487),
        };
        if !is_right {
            let what = match asked.must {
                Must::ComeAgain => "another of the peer was open (SIP-541)",
                Must::Pend => "an exchange of ours was open (SIP-541)",
                Must::Serve | Must::Anything => "nothing was open (SIP-530)",
            };
            fail("glare", format!("{} to {number}: {what}", wire.first));
        }
    }

    fn request_sent(&mut self, wire: &Wire, fail: &mut impl FnMut(&'static str, String)) {
        let method = wire.method().unwrap_or_default().to_owned();
        let is_new = self.branches.insert(wire.branch().to_owned());
        if method == "INVITE" && wire.tag("To").is_none() && is_new {
            let branch = wire.branch().to_owned();
            let calling = Calling {
                branch,
                ..Calling::default()
            };
            self.calling.insert(wire.call_id().to_owned(), calling);
        }
        let is_too_early = self.calling.get(wire.call_id()).is_some_and(|own| {
            let tag = wire.tag("To").unwrap_or_default();
            !own.described.contains(tag)
        });
        let Some(dialog) = self.dialog(wire, "To").filter(|_| is_new) else {
            return;
        };
        let offers = wire.has_sdp();
        match method.as_str() {
            "BYE" => dialog.is_over = true,
            "INVITE" | "UPDATE" if method == "INVITE" || offers => {
                let why = if dialog.own.is_some() || is_too_early {
                    Some("one of ours is open")
                } else if dialog.asked.values().any(Asked::is_open) {
                    Some("one of the peer is open")
                } else if dialog.unacknowledged.is_some() {
                    Some("our 2xx waits for its ACK")
                } else {
                    None
                };
                if let Some(why) = why {
                    fail("exchange", format!("{} while {why} (SIP-540)", wire.first));
                }
                dialog.own = Some(wire.branch().to_owned());
            }
            "UPDATE" => {}
            // Every INVITE of ours so far has offered.
            _ if offers => fail(
                "exchange",
                format!("{}: a description where none belongs", wire.first),
            ),
            _ => {}
        }
    }

    fn response_heard(&mut self, wire: &Wire, status: u16) {
        let is_of_invite = wire.cseq().is_some_and(|(_, method)| method == "INVITE");
        if let Some(own) = self.calling.get_mut(wire.call_id())
            && is_of_invite
            && own.branch == wire.branch()
        {
            match wire.tag("To") {
                _ if status >= 200 => drop(self.calling.remove(wire.call_id())),
                Some(tag) if wire.has_sdp() && wire.get("RSeq").is_some() => {
                    own.described.insert(tag.to_owned());
                }
                _ => {}
            }
        }
        let Some(dialog) = self.dialog(wire, "To").filter(|_| status >= 200) else {
            return;
        };
        dialog.own.take_if(|branch| branch == wire.branch());
    }

    fn described(&mut self, wire: &Wire, fail: &mut impl FnMut(&'static str, String)) {
        let Some(spoken) = Spoken::read(&wire.body).filter(|_| wire.has_sdp()) else {
            return;
        };
        let known = self.described.entry(wire.call_id().to_owned()).or_default();
        if spoken.lines < known.lines {
            let (now, before) = (spoken.lines, known.lines);
            let text = format!("{}: {now} m= lines after {before} (SIP-503)", wire.first);
            fail("media-lines", text);
        }
        known.lines = spoken.lines;
        for (number, meaning) in spoken.payloads {
            let before = known
                .payloads
                .entry(number.clone())
                .or_insert(meaning.clone());
            if *before != meaning {
                let text = format!(
                    "{}: {number} is {meaning} and was {before} (SIP-505)",
                    wire.first
                );
                fail("payload-type", text);
            }
        }
    }
}
