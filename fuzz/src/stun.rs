//! Connectivity checks: read beside somebody else's reader, and answered by the agent of a stream.
//!
//! The first half of what the agent gets is as it came. As no fuzzer finds a checksum or a key, the other
//! half is made whole: attributes from the input, integrity and fingerprint by others' code.

use crate::reader::Reader;
use media_api::{
    EndpointId, IceCredentials, ProtectionWanted, RealmId, SessionId, StreamKind, StreamSpec,
};
use media_relay::packet::stun::{MAX_ANSWER_BYTES, Message};
use media_relay::session::{MediaSession, Outcome, Output, SocketId, StreamSockets};
use media_relay::{Entropy, Timestamp, WallOffset};
use rtc_stun::attributes::{ATTR_USERNAME, AttrType};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, Setter};
use std::net::SocketAddr;

const PASSWORD: &str = "asd88fgpdd777uzjYhagZg01";
const ENDPOINT: EndpointId = EndpointId(0);

pub(crate) fn check(data: &[u8]) {
    read_beside_the_oracle(data);
    let mut agent = Agent::new();
    agent.gets(data, 0);
    let mut input = Reader::new(data);
    while !input.is_empty() {
        let made = whole(&mut input);
        read_beside_the_oracle(&made);
        agent.gets(&made, input.octet());
    }
}

/// What we take for a message is one to the oracle, with the same name and a right fingerprint.
fn read_beside_the_oracle(datagram: &[u8]) {
    let Some(message) = Message::parse(datagram) else {
        return;
    };
    let mut theirs = rtc_stun::message::Message::new();
    if message.has_integrity() {
        // Behind the integrity we read nothing, and the oracle may stumble there.
        let _ = theirs.unmarshal_binary(datagram);
    } else {
        theirs.unmarshal_binary(datagram).expect("a message");
        FINGERPRINT.check(&theirs).expect("its fingerprint");
        assert_eq!(
            theirs.get(ATTR_USERNAME).ok().as_deref(),
            message.username,
            "the first name counts"
        );
    }
    assert!(message.unknown.types().iter().all(|kind| *kind < 0x8000));
}

/// A message with attributes of the input, that proves itself unless the input says otherwise.
fn whole(input: &mut Reader<'_>) -> Vec<u8> {
    let mut message = rtc_stun::message::Message::new();
    message.set_type(BINDING_REQUEST);
    message.write_header();
    let flags = input.octet();
    if flags & 1 == 0 {
        let fragment = if flags & 2 == 0 {
            "8hhY:h6vY"
        } else {
            "8hhY:other"
        };
        message.add(ATTR_USERNAME, fragment.as_bytes());
    }
    for _ in 0..flags >> 5 {
        let kind = u16::from_be_bytes([input.octet(), input.octet()]);
        // MESSAGE-INTEGRITY and FINGERPRINT have their places.
        let length = usize::from(input.octet() % 40);
        let value = input.take(length);
        if kind != 0x0008 && kind != 0x8028 {
            message.add(AttrType(kind), value);
        }
    }
    if flags & 4 == 0 {
        let provider = rtc_crypto::default_provider().expect("a provider");
        let (password, crypto) = (PASSWORD.to_owned(), provider.crypto());
        MessageIntegrity::new_short_term_integrity_with_provider(password, crypto)
            .add_to(&mut message)
            .expect("its integrity");
    }
    FINGERPRINT.add_to(&mut message).expect("its fingerprint");
    message.raw
}

struct Agent {
    session: MediaSession,
    out: Output,
    now: Timestamp,
    answered: u64,
}

impl Agent {
    fn new() -> Self {
        let mut entropy = Entropy::from_seed([3; 32]);
        let mut session = MediaSession::new(SessionId(1), WallOffset { unix_us: 1 });
        let sockets = StreamSockets {
            realm: RealmId(0),
            rtp: SocketId(0),
            rtcp: SocketId(1),
            advertised_rtp: SocketAddr::from(([203, 0, 113, 1], 20_000)),
            advertised_rtcp: SocketAddr::from(([203, 0, 113, 1], 20_001)),
        };
        session.add_endpoint(ENDPOINT, &[sockets], &mut entropy);
        let spec = StreamSpec {
            kind: StreamKind::Audio,
            protection: ProtectionWanted::None,
            ice: IceCredentials::new("8hhY".to_owned(), PASSWORD.to_owned()),
        };
        session.prepare(ENDPOINT, &[spec]);
        Self {
            session,
            out: Output::new(),
            now: Timestamp(1_000_000),
            answered: 0,
        }
    }

    /// One datagram gets one answer at most, back the way it came, and small.
    fn gets(&mut self, datagram: &[u8], choice: u8) {
        self.now.0 += u64::from(choice) * 1_000;
        let from = SocketAddr::from(([198, 51, 100, choice & 7], 50_000));
        let socket = SocketId(u32::from(choice >> 7));
        let mut slot = datagram.to_vec();
        let length = slot.len();
        slot.resize(length + 14, 0xee);
        let (session, out) = (&mut self.session, &mut self.out);
        let outcome = session.packet(socket, from, &mut slot, length, self.now, out);
        let answers: Vec<_> = self.out.packets().collect();
        match outcome {
            Outcome::Checked => {
                let [answer] = &answers[..] else {
                    panic!("one answer");
                };
                assert!(answer.to == from && answer.socket == socket);
                assert!(answer.bytes.len() <= MAX_ANSWER_BYTES);
                let read = Message::parse(answer.bytes).expect("our answer");
                assert_eq!(read.header.transaction, datagram[8..20]);
                self.answered += 1;
            }
            Outcome::Dropped(_) => assert!(answers.is_empty()),
            other => panic!("{other:?}"),
        }
        self.out.clear();
        let stats = self.session.stats();
        let stream = &stats.endpoints[0].streams[0];
        assert_eq!(stream.answered_checks, self.answered);
    }
}
