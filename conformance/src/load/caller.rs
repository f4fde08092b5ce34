//! The calling side: INVITE, ACK, BYE of many calls at once.
//!
//! A call is a slot that is used again and keeps its buffers. Its Call-ID says which slot it is and which
//! use of it, so that a response finds its call without a search.

use super::answerer::SDP;
use super::text::{Name, Text, has_tag, uri_of};
use std::io::Write;
use std::net::SocketAddr;

/// A use of a slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct CallRef {
    pub(super) slot: usize,
    pub(super) serial: u64,
}

/// What a caller writes as its own and the other address, and over what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ends {
    /// As in Via: UDP, TCP or TLS.
    pub(super) protocol: &'static str,
    /// Where the caller is reached.
    pub(super) local: SocketAddr,
    /// Where the calls go.
    pub(super) remote: SocketAddr,
    /// Who is called.
    pub(super) called: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Free,
    /// INVITE sent, nothing heard.
    Calling,
    /// A provisional response stops the repeating.
    Proceeding,
    Established,
    /// BYE sent.
    Ending,
}

struct Slot<L> {
    serial: u64,
    phase: Phase,
    began_us: u64,
    /// What the call goes over, as the engine names it.
    line: L,
    ends: usize,
    /// Remote target, as a request line needs it.
    target: Vec<u8>,
    /// Route and To lines of requests within the dialog.
    dialog: Vec<u8>,
}

/// What a response did to its call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// Nothing that matters.
    Nothing,
    /// Answered after this many microseconds: an ACK was written.
    Established(CallRef, u64),
    /// The answer again: the ACK was written again.
    Again(CallRef),
    /// The end is confirmed; the slot is free.
    Ended(CallRef),
    /// Refused with this status; an ACK was written where there is to be one, and the slot is free.
    Refused(CallRef, u16),
}

/// The calling side of all calls; `L` names what a call goes over.
pub(super) struct Caller<L> {
    run: String,
    slots: Vec<Slot<L>>,
    free: Vec<usize>,
    next: u64,
    /// Ways that calls go.
    pub(super) ends: Vec<Ends>,
}

impl<L: Copy> Caller<L> {
    /// Nobody has called yet. `run` is a word that no other run has.
    pub(super) fn new(run: String) -> Self {
        Self {
            run,
            slots: Vec::new(),
            free: Vec::new(),
            next: 1,
            ends: Vec::new(),
        }
    }

    /// Calls in progress.
    pub(super) fn in_progress(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Begins a call and writes its INVITE.
    pub(super) fn call(&mut self, ends: usize, line: L, now_us: u64, out: &mut Vec<u8>) -> CallRef {
        let serial = self.next;
        self.next += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                serial,
                phase: Phase::Free,
                began_us: 0,
                line,
                ends,
                target: Vec::new(),
                dialog: Vec::new(),
            });
            self.slots.len() - 1
        });
        if let Some(call) = self.slots.get_mut(slot) {
            call.serial = serial;
            call.phase = Phase::Calling;
            call.began_us = now_us;
            call.line = line;
            call.ends = ends;
        }
        let call = CallRef { slot, serial };
        self.write(call, "INVITE", out);
        call
    }

    /// Writes the request again whose answer a call waits for. `None` if it waits for none.
    pub(super) fn repeat(&self, call: CallRef, out: &mut Vec<u8>) -> Option<L> {
        let slot = self.of(call)?;
        match slot.phase {
            Phase::Calling => self.write(call, "INVITE", out),
            Phase::Ending => self.write(call, "BYE", out),
            Phase::Free | Phase::Proceeding | Phase::Established => return None,
        }
        Some(slot.line)
    }

    /// Whether a call still waits for its answer or for the confirmation of its end.
    pub(super) fn is_pending(&self, call: CallRef) -> bool {
        self.of(call)
            .is_some_and(|slot| !matches!(slot.phase, Phase::Free | Phase::Established))
    }

    /// Ends an established call: writes its BYE.
    pub(super) fn hang_up(&mut self, call: CallRef, out: &mut Vec<u8>) -> Option<L> {
        let slot = self.slots.get_mut(call.slot)?;
        if slot.serial != call.serial || slot.phase != Phase::Established {
            return None;
        }
        slot.phase = Phase::Ending;
        let line = slot.line;
        self.write(call, "BYE", out);
        Some(line)
    }

    /// What an established or ended call goes over.
    pub(super) fn line(&self, call: CallRef) -> Option<L> {
        Some(self.of(call)?.line)
    }

    /// Forgets a call, whatever it waits for. Whether there was one.
    pub(super) fn abandon(&mut self, call: CallRef) -> bool {
        let is_there = self.of(call).is_some_and(|slot| slot.phase != Phase::Free);
        if is_there {
            self.release(call.slot);
        }
        is_there
    }

    /// Every call that is established.
    pub(super) fn established(&self) -> Vec<CallRef> {
        let all = self.slots.iter().enumerate();
        all.filter(|(_, call)| call.phase == Phase::Established)
            .map(|(slot, call)| CallRef {
                slot,
                serial: call.serial,
            })
            .collect()
    }

    /// Reads one response; writes an ACK if one is due.
    pub(super) fn receive(&mut self, text: &Text<'_>, now_us: u64, out: &mut Vec<u8>) -> Progress {
        out.clear();
        let Some((call, status)) = self.meant(text) else {
            return Progress::Nothing;
        };
        let is_invite = text
            .value(Name::CSeq)
            .is_some_and(|value| value.ends_with(b"INVITE"));
        let Some(slot) = self.slots.get_mut(call.slot) else {
            return Progress::Nothing;
        };
        match (slot.phase, status, is_invite) {
            (Phase::Calling | Phase::Proceeding, 100..200, true) => {
                slot.phase = Phase::Proceeding;
                Progress::Nothing
            }
            (Phase::Calling | Phase::Proceeding, 200..300, true) => {
                slot.phase = Phase::Established;
                let took = now_us.saturating_sub(slot.began_us);
                learn(slot, text);
                self.write(call, "ACK", out);
                Progress::Established(call, took)
            }
            (Phase::Established | Phase::Ending, 200..300, true) => {
                self.write(call, "ACK", out);
                Progress::Again(call)
            }
            (Phase::Calling | Phase::Proceeding, 300.., true) => {
                let to = text.value(Name::To).unwrap_or_default().to_vec();
                self.write_refused_ack(call, &to, out);
                self.release(call.slot);
                Progress::Refused(call, status)
            }
            (Phase::Ending, 200..300, false) => {
                self.release(call.slot);
                Progress::Ended(call)
            }
            (Phase::Ending, 300.., false) => {
                self.release(call.slot);
                Progress::Refused(call, status)
            }
            _ => Progress::Nothing,
        }
    }

    fn of(&self, call: CallRef) -> Option<&Slot<L>> {
        self.slots
            .get(call.slot)
            .filter(|slot| slot.serial == call.serial)
    }

    fn release(&mut self, slot: usize) {
        if let Some(call) = self.slots.get_mut(slot) {
            call.phase = Phase::Free;
            call.target.clear();
            call.dialog.clear();
            self.free.push(slot);
        }
    }

    /// The call that a response is for: its Call-ID is `slot-serial-run`.
    fn meant(&self, text: &Text<'_>) -> Option<(CallRef, u16)> {
        let status = text.status()?;
        let call_id = std::str::from_utf8(text.value(Name::CallId)?).ok()?;
        let mut words = call_id.splitn(3, '-');
        let call = CallRef {
            slot: words.next()?.parse().ok()?,
            serial: words.next()?.parse().ok()?,
        };
        let is_ours = words.next()? == self.run && self.of(call).is_some();
        is_ours.then_some((call, status))
    }

    /// Writes a request of a call. Writing into memory cannot fail.
    fn write(&self, call: CallRef, method: &str, out: &mut Vec<u8>) {
        out.clear();
        let Some((slot, ends)) = self.parts(call) else {
            return;
        };
        let is_invite = method == "INVITE";
        let cseq = if method == "BYE" { 2 } else { 1 };
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        match is_invite {
            true => {
                let _ = write!(out, "sip:{}@{}", ends.called, ends.remote);
            }
            false => out.extend_from_slice(&slot.target),
        }
        self.write_head(call, ends, method, out);
        match is_invite {
            true => {
                let _ = write!(
                    out,
                    "To: <sip:{}@{}>\r\nContact: <sip:caller@{};transport={}>\r\n\
                     Content-Type: application/sdp\r\n",
                    ends.called,
                    ends.remote,
                    ends.local,
                    ends.protocol.to_ascii_lowercase()
                );
            }
            false => out.extend_from_slice(&slot.dialog),
        }
        let body = if is_invite { SDP } else { "" };
        let _ = write!(
            out,
            "CSeq: {cseq} {method}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
    }

    /// The ACK that belongs to the INVITE's own transaction (RFC 3261 §17.1.1.3).
    fn write_refused_ack(&self, call: CallRef, to: &[u8], out: &mut Vec<u8>) {
        let Some((_, ends)) = self.parts(call) else {
            return;
        };
        let _ = write!(out, "ACK sip:{}@{}", ends.called, ends.remote);
        self.write_head(call, ends, "INVITE", out);
        out.extend_from_slice(b"To: ");
        out.extend_from_slice(to);
        out.extend_from_slice(b"\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n");
    }

    fn parts(&self, call: CallRef) -> Option<(&Slot<L>, &Ends)> {
        let slot = self.of(call)?;
        Some((slot, self.ends.get(slot.ends)?))
    }

    /// What every request of a call has; the branch is that of `transaction`.
    fn write_head(&self, call: CallRef, ends: &Ends, transaction: &str, out: &mut Vec<u8>) {
        let CallRef { slot, serial } = call;
        let Ends {
            protocol, local, ..
        } = ends;
        let run = &self.run;
        let _ = write!(
            out,
            " SIP/2.0\r\nVia: SIP/2.0/{protocol} {local};branch=z9hG4bK{run}{serial}{transaction};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+493099990000@{ip}>;tag={serial}\r\n\
             Call-ID: {slot}-{serial}-{run}\r\n",
            ip = local.ip()
        );
    }
}

/// What the answer says about the requests to come: where they go, and over whom.
fn learn<L>(slot: &mut Slot<L>, text: &Text<'_>) {
    slot.target.clear();
    slot.dialog.clear();
    // Routes are those of the answer in reverse; a line may hold several.
    let mut routes: Vec<&[u8]> = Vec::new();
    for (name, line, value) in text.lines() {
        match name {
            Name::RecordRoute => routes.extend(value.split(|octet| *octet == b',')),
            Name::Contact => slot.target.extend_from_slice(uri_of(value)),
            Name::To if has_tag(value) => {
                slot.dialog.extend_from_slice(line);
                slot.dialog.extend_from_slice(b"\r\n");
            }
            _ => {}
        }
    }
    for route in routes.iter().rev() {
        slot.dialog.extend_from_slice(b"Route: ");
        slot.dialog.extend_from_slice(route.trim_ascii());
        slot.dialog.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Caller<u8> {
        let mut caller = Caller::new("run".to_owned());
        caller.ends.push(Ends {
            protocol: "UDP",
            local: "127.0.0.2:5060".parse().unwrap(),
            remote: "127.0.0.1:5060".parse().unwrap(),
            called: "+493023125456".to_owned(),
        });
        caller
    }

    fn response(status: &str, cseq: &str, call_id: &str) -> Vec<u8> {
        format!(
            "SIP/2.0 {status}\r\nVia: x\r\nTo: <sip:b@x>;tag=t\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n\
             Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nContact: <sip:b@y>\r\n\r\n"
        )
        .into_bytes()
    }

    fn receive(caller: &mut Caller<u8>, message: &[u8]) -> (Progress, String) {
        let mut out = Vec::new();
        let progress = caller.receive(&Text::of(message).unwrap(), 1500, &mut out);
        (progress, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_call_goes_from_invite_to_bye_and_leaves_its_slot() {
        let mut caller = caller();
        let mut out = Vec::new();
        let call = caller.call(0, 7, 1000, &mut out);
        let invite = String::from_utf8(out.clone()).unwrap();
        assert!(
            invite
                .starts_with("INVITE sip:+493023125456@127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP")
        );
        assert!(invite.contains("\r\nCall-ID: 0-1-run\r\n") && invite.ends_with(SDP));
        assert_eq!(caller.repeat(call, &mut out), Some(7));
        assert_eq!(out, invite.as_bytes());
        let ringing = response("180 Ringing", "1 INVITE", "0-1-run");
        assert_eq!(receive(&mut caller, &ringing).0, Progress::Nothing);
        assert_eq!(caller.repeat(call, &mut out), None);
        let ok = response("200 OK", "1 INVITE", "0-1-run");
        let (progress, ack) = receive(&mut caller, &ok);
        assert_eq!(progress, Progress::Established(call, 500));
        assert!(ack.starts_with("ACK sip:b@y SIP/2.0\r\n"), "{ack}");
        assert!(
            ack.contains("\r\nRoute: <sip:p2;lr>\r\nRoute: <sip:p1;lr>\r\n"),
            "{ack}"
        );
        assert!(ack.contains("\r\nTo: <sip:b@x>;tag=t\r\n") && ack.contains("\r\nCSeq: 1 ACK\r\n"));
        assert_eq!(receive(&mut caller, &ok), (Progress::Again(call), ack));
        assert_eq!(caller.hang_up(call, &mut out), Some(7));
        assert!(out.starts_with(b"BYE sip:b@y SIP/2.0\r\n"));
        let done = response("200 OK", "2 BYE", "0-1-run");
        assert_eq!(receive(&mut caller, &done).0, Progress::Ended(call));
        assert_eq!(caller.in_progress(), 0);
        assert_eq!(receive(&mut caller, &done).0, Progress::Nothing);
        assert_eq!(
            caller.call(0, 7, 0, &mut out),
            CallRef { slot: 0, serial: 2 }
        );
    }

    #[test]
    fn a_refusal_gets_the_ack_of_its_transaction() {
        let mut caller = caller();
        let mut out = Vec::new();
        let call = caller.call(0, 0, 0, &mut out);
        let branch = |text: &str| {
            let at = text.find("branch=").unwrap();
            text[at..].split(';').next().unwrap().to_owned()
        };
        let of_invite = branch(std::str::from_utf8(&out).unwrap());
        let busy = response("486 Busy Here", "1 INVITE", "0-1-run");
        let (progress, ack) = receive(&mut caller, &busy);
        assert_eq!(progress, Progress::Refused(call, 486));
        assert!(ack.starts_with("ACK sip:+493023125456@127.0.0.1:5060 SIP/2.0\r\n"));
        assert_eq!(branch(&ack), of_invite);
        assert!(!caller.abandon(call));
    }

    #[test]
    fn the_responses_of_others_are_nobodys() {
        let mut caller = caller();
        caller.call(0, 0, 0, &mut Vec::new());
        for call_id in ["0-1-other", "0-2-run", "9-1-run", "x", "0-1"] {
            let ok = response("200 OK", "1 INVITE", call_id);
            assert_eq!(receive(&mut caller, &ok).0, Progress::Nothing, "{call_id}");
        }
    }
}
