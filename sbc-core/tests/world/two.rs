//! A call from one carrier to another, message by message.

use super::call::{VIA, callee_request, header};
use super::*;
use sbc_core::sip::header::{RAck, RSeq};
use sbc_core::sip::{HeaderName, Message, Method};

/// Two carriers: calls of the one go to the other.
pub fn two_carriers(of_a: &str, of_b: &str) -> String {
    let name = "name = \"carrier-a\"";
    let text = CONFIG.replace(name, &format!("{name}\n{of_a}"));
    let text = text.replace(
        "to = [{ trunk = \"teams-contoso\" }]",
        "to = [{ trunk = \"b\" }]",
    );
    format!(
        "{text}
[[trunk]]
name = \"b\"
tenant = \"*\"
realm = \"carrier\"
targets = [\"198.51.100.40:5060;udp\"]
accept_from = [\"198.51.100.40/32\"]
codecs = [\"PCMA\", \"PCMU\"]
{of_b}
"
    )
}

const CONTACT: &str = "Contact: <sip:gw@198.51.100.40:5060>\n";

pub struct Two {
    pub shard: Shard,
    /// Our INVITE.
    pub invite: Message,
}

impl Two {
    /// With these keys of the two trunks, and these lines and this body in the INVITE.
    pub fn with(of_a: &str, of_b: &str, lines: &str, sdp: &str) -> Self {
        let mut shard = Shard::with(config_of(&two_carriers(of_a, of_b)));
        let invite = carrier_invite("two", sdp);
        shard.carrier_says(&invite.replace("Max-Forwards", &format!("{lines}Max-Forwards")));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        Self { shard, invite }
    }

    pub fn new(lines: &str) -> Self {
        Self::with("", "", lines, CARRIER_SDP)
    }

    pub fn hear(&mut self, text: &str) {
        let mut flow = carrier_flow();
        flow.remote = "198.51.100.40:5060".parse().expect("address");
        self.shard.receive(flow, text);
    }

    /// What B says to our INVITE.
    pub fn says(&mut self, status: &str, tag: &str, lines: &str, sdp: &str) {
        let contact = match lines.contains("Contact") {
            true => String::new(),
            false => CONTACT.to_owned(),
        };
        let text = response(&self.invite, status, tag, &format!("{contact}{lines}"), sdp);
        self.hear(&text);
    }

    pub fn reliably(&mut self, status: &str, tag: &str, rseq: u32, sdp: &str) {
        let lines = format!("Require: 100rel\nRSeq: {rseq}\n");
        self.says(status, tag, &lines, sdp);
    }

    /// The next message is a PRACK for this number; it is answered.
    pub fn pracks(&mut self, rseq: u32) -> Message {
        let prack = self.shard.next_request(Method::Prack).message;
        let rack = prack.get::<RAck>().unwrap().unwrap();
        assert_eq!((rack.rseq, rack.cseq.number), (rseq, 1));
        self.hear(&response(&prack, "200 OK", "", "", ""));
        prack
    }

    pub fn answered(&mut self, tag: &str, sdp: &str) -> Message {
        self.says("200 OK", tag, "", sdp);
        self.shard.next_request(Method::Ack);
        self.shard.next_response(200).message
    }

    pub fn ack(&mut self, ok: &Message) {
        let ack = in_dialog(ok, "ACK", 10, &format!("{VIA}ack"));
        self.shard.carrier_says(&ack);
    }

    /// A request of the caller on its early dialog.
    pub fn caller_says(
        &mut self,
        early: &Message,
        method: &str,
        cseq: u32,
        lines: &str,
        sdp: &str,
    ) {
        let bare = in_dialog(early, method, cseq, &format!("{VIA}{method}{cseq}"));
        let head = bare.replace("Content-Length: 0\n\n", lines);
        self.shard.carrier_says(&with_body(&head, sdp));
    }

    /// The caller confirms a provisional, which is accepted.
    pub fn confirms(&mut self, early: &Message, cseq: u32) {
        let rseq = early.get::<RSeq>().unwrap().expect("a reliable one").0;
        let rack = format!("RAck: {rseq} 10 INVITE\n");
        self.caller_says(early, "PRACK", cseq, &rack, "");
        self.shard.next_response(200);
    }

    /// A request of B on an early dialog.
    pub fn callee_says(&mut self, tag: &str, method: &str, cseq: u32, sdp: &str) {
        let bare = callee_request(&self.invite, tag, method, cseq, CONTACT);
        let head = bare.replace("Content-Length: 0\n\n", "").replace(
            "SIP/2.0/TLS 203.0.113.1:5061",
            "SIP/2.0/UDP 198.51.100.40:5060",
        );
        self.hear(&with_body(&head, sdp));
    }
}

/// The version in the origin line.
pub fn version(message: &Message) -> u64 {
    let body = String::from_utf8_lossy(&message.body()).into_owned();
    let line = body.lines().find(|line| line.starts_with("o="));
    let word = line.and_then(|line| line.split(' ').nth(2));
    word.and_then(|word| word.parse().ok()).expect("a version")
}

/// Whether a message is reliable.
pub fn is_reliable(message: &Message) -> bool {
    header(message, HeaderName::Require) == "100rel" && message.has(HeaderName::RSeq)
}

/// What B offers: more than the caller will choose of.
pub const B_OFFER: &str = "v=0
o=- 5 1 IN IP4 198.51.100.50
s=-
c=IN IP4 198.51.100.50
t=0 0
m=audio 7000 RTP/AVP 8 0 101
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=sendrecv
";
