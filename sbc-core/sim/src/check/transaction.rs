//! RFC 3261 §17 from outside: finals, acknowledgements, branches, sequence numbers (I7).

use super::{Checker, End, Seen, Violation};
use crate::fault::ActorIndex;
use crate::topology::{self, INTRUDER, STRANGER, name, sees_early_dialogs};
use crate::wire::Wire;
use sbc_core::time::Timestamp;
use sbc_core::transport::Hop;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// A little less than 64·T1: what arrives earlier finds its transaction alive.
const ALIVE: Duration = Duration::from_millis(31_500);
/// Requests that arrive so late may be answered after the end of the world.
const TOO_LATE: Duration = Duration::from_secs(40);

#[derive(Default)]
pub(super) struct Transactions {
    servers: BTreeMap<(ActorIndex, String, String), Server>,
    clients: BTreeMap<String, Client>,
    /// Last sequence number by Call-ID, From tag and To tag; without To tag before there is a dialog.
    sequences: BTreeMap<(String, String, String), u32>,
    excused_at: Option<Timestamp>,
}

struct Server {
    at: Timestamp,
    request: Wire,
    final_bytes: Option<(u16, Vec<u8>)>,
    final_at: Timestamp,
    to_tag: Option<String>,
    is_cancelled: bool,
    /// A copy came so late that the transaction may be forgotten (Timers J and L): it is a new request
    /// then, and may get another answer.
    may_be_new: bool,
}

struct Client {
    at: Timestamp,
    request: Wire,
    bytes: Vec<u8>,
    remote: SocketAddr,
    actor: Option<ActorIndex>,
    is_reliable: bool,
    had_provisional: bool,
    cancelled_at: Option<Timestamp>,
    finals: Vec<Final>,
}

struct Final {
    at: Timestamp,
    status: u16,
    to_tag: String,
    is_owed: bool,
    is_acked: bool,
}

impl Checker for Transactions {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        let mut fail = |rule, text| out.push(Violation { at, rule, text });
        match seen {
            Seen::Heard {
                is_garbage: true, ..
            } => {}
            Seen::Heard {
                actor,
                wire: Some(wire),
                ..
            } => match wire.status() {
                None => self.request_heard(at, *actor, wire),
                Some(status) => self.response_heard(at, wire, status),
            },
            Seen::Sent {
                answers_garbage: true,
                ..
            } => {}
            Seen::Sent {
                actor,
                hop,
                wire: Some(wire),
                bytes,
                ..
            } => match wire.status() {
                None => self.request_sent(at, *actor, hop, wire, bytes, &mut fail),
                Some(status) => self.response_sent(at, *actor, wire, (status, bytes), &mut fail),
            },
            Seen::Heard { .. } | Seen::Sent { .. } => {}
            Seen::FlowLost { .. } | Seen::SendFailed { .. } => self.excused_at = Some(at),
            // No message.
            Seen::Pressed { .. } | Seen::Passed { .. } => {}
        }
    }

    fn finish(&mut self, end: &End<'_>, out: &mut Vec<Violation>) {
        let at = end.at;
        let mut fail = |rule, text| out.push(Violation { at, rule, text });
        for ((actor, ..), server) in &self.servers {
            let is_late = server.at + TOO_LATE > end.at;
            // Who guesses passwords is not answered after a while.
            let is_owed = *actor != INTRUDER && !is_late;
            if server.final_bytes.is_none() && is_owed {
                let text = format!(
                    "{} of {} was never finally answered",
                    server.request.first,
                    name(*actor)
                );
                fail("transaction-no-final", text);
            }
        }
        for client in self.clients.values() {
            for last in client.finals.iter().filter(|f| f.is_owed && !f.is_acked) {
                let text = format!("{} to {} has no ACK", last.status, client.request.first);
                fail("transaction-no-ack", text);
            }
        }
    }
}

impl Transactions {
    fn request_heard(&mut self, at: Timestamp, actor: ActorIndex, wire: &Wire) {
        let method = wire.method().unwrap_or_default();
        // Somebody else's Via leads the answer elsewhere.
        let is_own = wire.sent_by() == topology::peer(actor).address.to_string();
        if method == "ACK" || actor == STRANGER || !is_own {
            return;
        }
        let key = |method: &str| (actor, wire.branch().to_owned(), method.to_owned());
        if method == "CANCEL"
            && let Some(invite) = self.servers.get_mut(&key("INVITE"))
        {
            invite.is_cancelled |= invite.final_bytes.is_none();
        }
        let server = self.servers.entry(key(method)).or_insert(Server {
            at,
            request: wire.clone(),
            final_bytes: None,
            final_at: at,
            to_tag: None,
            is_cancelled: false,
            may_be_new: false,
        });
        server.may_be_new |= server.final_bytes.is_some() && server.final_at + ALIVE <= at;
    }

    fn response_sent(
        &mut self,
        at: Timestamp,
        actor: Option<ActorIndex>,
        wire: &Wire,
        (status, bytes): (u16, &[u8]),
        fail: &mut impl FnMut(&'static str, String),
    ) {
        let method = wire.cseq().map(|(_, m)| m.to_owned()).unwrap_or_default();
        let key = (
            actor.unwrap_or(STRANGER),
            wire.branch().to_owned(),
            method.clone(),
        );
        let Some(server) = self.servers.get_mut(&key) else {
            if wire.sent_by() != topology::peer(key.0).address.to_string() {
                return;
            }
            return fail(
                "transaction-unasked",
                format!("{} answers no request", wire.first),
            );
        };
        let is_other = |(_, known): &(u16, Vec<u8>)| known != bytes;
        if server.may_be_new && server.final_bytes.as_ref().is_some_and(is_other) {
            (server.final_bytes, server.to_tag) = (None, None);
            (server.is_cancelled, server.may_be_new) = (false, false);
        }
        let asked = &server.request;
        let what = format!("{} to {}", wire.first, asked.first);
        if status < 200 && server.final_bytes.is_some() {
            fail(
                "transaction-order",
                format!("{what}: provisional after the final"),
            );
        }
        if method != "INVITE" && ((101..200).contains(&status) || status == 408) {
            fail(
                "transaction-rfc4320",
                format!("{what} is forbidden for {method}"),
            );
        }
        for header in ["From", "Call-ID", "CSeq"] {
            if asked.get(header) != wire.get(header) {
                fail(
                    "response-copies",
                    format!("{what}: {header} differs from the request"),
                );
            }
        }
        if asked.values("Via").len() != wire.values("Via").len()
            || asked.sent_by() != wire.sent_by()
        {
            fail(
                "response-copies",
                format!("{what}: Via differs from the request"),
            );
        }
        if let Some(tag) = asked.tag("To") {
            if wire.tag("To") != Some(tag) {
                fail(
                    "response-to-tag",
                    format!("{what}: To tag of the request changed"),
                );
            }
        } else if status > 100 {
            let tag = wire.tag("To").unwrap_or_default();
            let known = server.to_tag.get_or_insert_with(|| tag.to_owned());
            // Several early dialogs of one INVITE have a tag each (SIP-311).
            let may_differ = method == "INVITE" && actor.is_some_and(sees_early_dialogs);
            if tag.is_empty() || (known != tag && !may_differ) {
                fail(
                    "response-to-tag",
                    format!("{what}: To tag {tag:?} after {known:?}"),
                );
            }
        }
        if status < 200 {
            return;
        }
        match &server.final_bytes {
            None => {
                server.final_bytes = Some((status, bytes.to_vec()));
                server.final_at = at;
            }
            Some((first, same)) if *first == status && same == bytes => return,
            Some((first, _)) if *first == status => {
                return fail(
                    "transaction-final-changed",
                    format!("{what}: repeated with other content"),
                );
            }
            Some((first, _)) => {
                return fail("transaction-two-finals", format!("{what} after {first}"));
            }
        }
        if server.is_cancelled && status != 487 {
            fail(
                "transaction-cancel",
                format!("{what} although it was cancelled before"),
            );
        }
        if method == "INVITE" && (200..300).contains(&status) {
            let routes = (asked.values("Record-Route"), wire.values("Record-Route"));
            if routes.0 != routes.1 {
                fail(
                    "response-copies",
                    format!("{what}: Record-Route {:?} became {:?}", routes.0, routes.1),
                );
            }
        }
    }

    fn request_sent(
        &mut self,
        at: Timestamp,
        actor: Option<ActorIndex>,
        hop: &Hop,
        wire: &Wire,
        bytes: &[u8],
        fail: &mut impl FnMut(&'static str, String),
    ) {
        let (number, method) = wire.cseq().unwrap_or((0, ""));
        if Some(method) != wire.method() {
            fail(
                "request-cseq",
                format!("{}: CSeq names {method}", wire.first),
            );
        }
        let branch = wire.branch().to_owned();
        if !branch.starts_with("z9hG4bK") || branch.len() < 24 {
            fail(
                "request-branch",
                format!("{}: branch {branch:?} is not random enough", wire.first),
            );
        }
        match method {
            "ACK" => return self.ack_sent(hop, wire, number, fail),
            "CANCEL" => return self.cancel_sent(at, hop, wire, fail),
            _ => {}
        }
        if let Some(known) = self.clients.get(&branch) {
            if known.bytes != bytes {
                fail(
                    "request-branch",
                    format!(
                        "{}: branch used before for {}",
                        wire.first, known.request.first
                    ),
                );
            } else if known.finals.iter().any(|f| f.at < at) && method == "INVITE" {
                fail(
                    "transaction-order",
                    format!("{}: repeated after its final response", wire.first),
                );
            }
            return;
        }
        self.count(wire, number, fail);
        let client = Client {
            at,
            request: wire.clone(),
            bytes: bytes.to_vec(),
            remote: hop.remote,
            actor,
            is_reliable: hop.protocol.is_reliable(),
            had_provisional: false,
            cancelled_at: None,
            finals: Vec::new(),
        };
        self.clients.insert(branch, client);
    }

    /// Sequence numbers of a dialog rise, beginning with that of the INVITE that made it. The next
    /// target of a failed INVITE may get the same number again (RFC 3263 §4.3).
    fn count(&mut self, wire: &Wire, number: u32, fail: &mut impl FnMut(&'static str, String)) {
        let tag = |name| wire.tag(name).unwrap_or_default().to_owned();
        let key = (wire.call_id().to_owned(), tag("From"), tag("To"));
        let may_repeat = key.2.is_empty();
        let last = self.sequences.insert(key, number);
        if last.is_some_and(|last| number < last || (number == last && !may_repeat)) {
            fail(
                "request-cseq",
                format!("{}: CSeq {number} after {last:?}", wire.first),
            );
        }
    }

    fn cancel_sent(
        &mut self,
        at: Timestamp,
        hop: &Hop,
        wire: &Wire,
        fail: &mut impl FnMut(&'static str, String),
    ) {
        let Some(client) = self.clients.get_mut(wire.branch()) else {
            return fail(
                "cancel",
                format!("{}: no INVITE has this branch", wire.first),
            );
        };
        let invite = &client.request;
        if !client.had_provisional {
            fail(
                "cancel",
                format!("{}: before any provisional response", wire.first),
            );
        }
        if client.cancelled_at.is_none() && client.finals.iter().any(|f| f.at < at) {
            fail(
                "cancel",
                format!("{}: after the final response", wire.first),
            );
        }
        if wire.request_uri() != invite.request_uri() || hop.remote != client.remote {
            fail(
                "cancel",
                format!("{}: goes elsewhere than its INVITE", wire.first),
            );
        }
        for header in ["From", "To", "Call-ID", "Via"] {
            if wire.get(header) != invite.get(header) {
                fail(
                    "cancel",
                    format!("{}: {header} differs from its INVITE", wire.first),
                );
            }
        }
        if wire.cseq().map(|c| c.0) != invite.cseq().map(|c| c.0) || wire.values("Via").len() != 1 {
            fail(
                "cancel",
                format!("{}: CSeq or Via differs from its INVITE", wire.first),
            );
        }
        client.cancelled_at.get_or_insert(at);
    }

    fn ack_sent(
        &mut self,
        hop: &Hop,
        wire: &Wire,
        number: u32,
        fail: &mut impl FnMut(&'static str, String),
    ) {
        let tag = wire.tag("To").unwrap_or_default();
        if let Some(client) = self.clients.get_mut(wire.branch()) {
            if hop.remote != client.remote {
                fail(
                    "ack",
                    format!("{}: goes elsewhere than its INVITE", wire.first),
                );
            }
            let refusal = client
                .finals
                .iter_mut()
                .find(|f| f.status >= 300 && f.to_tag == tag);
            return match refusal {
                Some(refusal) => refusal.is_acked = true,
                None => fail("ack", format!("{}: acknowledges no refusal", wire.first)),
            };
        }
        let answers = self.clients.values_mut().filter(|c| {
            c.request.call_id() == wire.call_id() && c.request.cseq() == Some((number, "INVITE"))
        });
        let mut answers = answers
            .flat_map(|c| &mut c.finals)
            .filter(|f| f.status < 300 && f.to_tag == tag)
            .peekable();
        if answers.peek().is_none() {
            fail("ack", format!("{}: acknowledges no answer", wire.first));
        }
        answers.for_each(|answer| answer.is_acked = true);
    }

    fn response_heard(&mut self, at: Timestamp, wire: &Wire, status: u16) {
        if wire.cseq().map(|(_, m)| m) != Some("INVITE") {
            return;
        }
        let tag = |name| wire.tag(name).unwrap_or_default().to_owned();
        let dialog = (wire.call_id().to_owned(), tag("From"), tag("To"));
        let number = wire.cseq().map_or(0, |(number, _)| number);
        self.sequences.entry(dialog).or_insert(number);
        let excused_at = self.excused_at;
        let Some(client) = self.clients.get_mut(wire.branch()) else {
            return;
        };
        if status < 200 {
            client.had_provisional = true;
            return;
        }
        let to_tag = wire.tag("To").unwrap_or_default().to_owned();
        let refused = client.finals.iter().any(|f| f.status >= 300);
        let answered = client.finals.iter().find(|f| f.status < 300).map(|f| f.at);
        let known = client
            .finals
            .iter()
            .any(|f| f.to_tag == to_tag && (f.status < 300) == (status < 300));
        if known || refused {
            return;
        }
        let starts = [
            (!client.had_provisional).then_some(client.at),
            client.cancelled_at,
            answered,
        ];
        let is_alive = starts.iter().flatten().all(|start| at < *start + ALIVE);
        let excused = client.is_reliable && excused_at.is_some_and(|e| e >= client.at);
        let meaningful = status < 300 || answered.is_none();
        let is_owed = is_alive && !excused && meaningful && client.actor.is_some();
        client.finals.push(Final {
            at,
            status,
            to_tag,
            is_owed,
            is_acked: false,
        });
    }
}
