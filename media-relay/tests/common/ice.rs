//! Checks made by others' code, and a session whose leg B has a lite agent.

use super::*;
use media_api::*;
use media_relay::session::{Outcome, SocketId};
use rtc_stun::attributes::{ATTR_USERNAME, AttrType};
use rtc_stun::error_code::ErrorCodeAttribute;
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Getter, Message, Setter, TransactionId};
use rtc_stun::xoraddr::XorMappedAddress;
use std::net::SocketAddr;

pub const FRAGMENT: &str = "8hhY";
pub const PASSWORD: &str = "asd88fgpdd777uzjYhagZg01";
pub const THEIRS: &str = "h6vYk2";
pub const PRIORITY: AttrType = AttrType(0x0024);
pub const USE_CANDIDATE: AttrType = AttrType(0x0025);
pub const CONTROLLED: AttrType = AttrType(0x8029);
pub const CONTROLLING: AttrType = AttrType(0x802a);

pub fn credentials(fragment: &str, password: &str) -> IceCredentials {
    IceCredentials::new(fragment.to_owned(), password.to_owned()).unwrap()
}

pub fn ours() -> IceCredentials {
    credentials(FRAGMENT, PASSWORD)
}

pub fn candidate(address: SocketAddr, priority: u32) -> IceCandidate {
    IceCandidate {
        component: IceComponent::Rtp,
        address,
        priority,
    }
}

/// A key of 30 equal bytes.
pub fn key(seed: u8) -> CryptoKey {
    CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![seed; 30]).unwrap()
}

pub fn secured() -> Protection {
    Protection::Sdes {
        local: key(1),
        remote: key(2),
    }
}

/// A peer that makes checks, muxed and secured, at a default address that nobody listens at.
pub fn full(
    local: IceCredentials,
    fragment: &str,
    candidates: &[IceCandidate],
) -> NegotiatedStream {
    NegotiatedStream {
        rtcp_mux: true,
        protection: secured(),
        ice: Some(Box::new(IceTerms {
            local,
            remote_fragment: fragment.to_owned(),
            candidates: candidates.to_vec(),
            is_sent_early: true,
        })),
        ..terms(peer_b())
    }
}

/// What a check is to look like; the usual one by default.
pub struct Check {
    pub username: String,
    pub password: &'static str,
    pub role: Option<AttrType>,
    pub nominates: bool,
    pub priority: u32,
    pub more: Vec<(u16, Vec<u8>)>,
    pub has_integrity: bool,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            username: format!("{FRAGMENT}:{THEIRS}"),
            password: PASSWORD,
            role: Some(CONTROLLING),
            nominates: false,
            priority: 1_862_270_975,
            more: Vec::new(),
            has_integrity: true,
        }
    }
}

impl Check {
    pub fn nominating() -> Self {
        Self {
            nominates: true,
            ..Self::default()
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let provider = rtc_crypto::default_provider().unwrap();
        let mut message = Message::new();
        message.set_type(BINDING_REQUEST);
        message.transaction_id = TransactionId([7; 12]);
        message.write_header();
        message.add(ATTR_USERNAME, self.username.as_bytes());
        message.add(PRIORITY, &self.priority.to_be_bytes());
        if let Some(role) = self.role {
            message.add(role, &[9; 8]);
        }
        if self.nominates {
            message.add(USE_CANDIDATE, &[]);
        }
        for (kind, value) in &self.more {
            message.add(AttrType(*kind), value);
        }
        if self.has_integrity {
            let password = self.password.to_owned();
            let crypto = provider.crypto();
            MessageIntegrity::new_short_term_integrity_with_provider(password, crypto)
                .add_to(&mut message)
                .unwrap();
        }
        FINGERPRINT.add_to(&mut message).unwrap();
        message.raw
    }
}

/// Sends a datagram to a port of B; what comes back, and what became of it.
pub fn knock(
    bench: &mut Bench,
    socket: u32,
    from: SocketAddr,
    datagram: &[u8],
) -> Result<Message, DropReason> {
    let mut slot = datagram.to_vec();
    slot.resize(2048, 0xee);
    let length = datagram.len();
    let socket = SocketId(socket);
    let (session, out) = (&mut bench.session, &mut bench.out);
    match session.packet(socket, from, &mut slot, length, bench.now, out) {
        Outcome::Checked => {
            let made = bench.made();
            let [(to, answer)] = &made[..] else {
                panic!("one answer: {made:?}");
            };
            assert_eq!(*to, from);
            let mut message = Message::new();
            message.unmarshal_binary(answer).unwrap();
            FINGERPRINT.check(&message).unwrap();
            Ok(message)
        }
        Outcome::Dropped(reason) => {
            assert_eq!(bench.made(), []);
            Err(reason)
        }
        other => panic!("{other:?}"),
    }
}

/// A check to the RTP port of B that is answered as it should be.
pub fn checked(bench: &mut Bench, from: SocketAddr, check: &Check) {
    let mut answer = knock(bench, 2, from, &check.bytes()).unwrap();
    assert_eq!(answer.typ, BINDING_SUCCESS);
    assert_eq!(answer.transaction_id, TransactionId([7; 12]));
    let provider = rtc_crypto::default_provider().unwrap();
    let password = check.password.as_bytes();
    MessageIntegrity::check(&mut answer, password, provider.crypto()).unwrap();
    let mut seen = XorMappedAddress::default();
    seen.get_from(&answer).unwrap();
    assert_eq!(SocketAddr::new(seen.ip, seen.port), from);
}

pub fn error_code(answer: &Message) -> u16 {
    let mut code = ErrorCodeAttribute::default();
    code.get_from(answer).unwrap();
    code.code.0
}

/// A plain leg A, and B with an agent of ours that nothing is agreed with yet.
pub fn bench() -> Bench {
    let sdes = ProtectionWanted::Sdes(vec![Suite::AesCm128HmacSha1_80]);
    let mut bench = Bench::allocated([ProtectionWanted::None, sdes.clone()]);
    let spec = StreamSpec {
        kind: StreamKind::Audio,
        protection: sdes,
        ice: Some(ours()),
    };
    bench.session.prepare(B, &[spec]);
    bench.answer(A, terms(peer_a()));
    bench.join(0);
    bench
}

/// What is left of A's media, and where it goes.
pub fn voice_to_b(bench: &mut Bench, sequence: u16) -> Result<SocketAddr, DropReason> {
    let packet = rtp(8, sequence, u32::from(sequence) * 160, 1, &[0xd5; 160]);
    bench.send(A, peer_a(), &packet).map(|(to, _)| to)
}

/// A secured packet of B's peer.
pub fn secured_voice(sequence: u16) -> Vec<u8> {
    let mut packet = rtp(8, sequence, u32::from(sequence) * 160, 2, &[0xd5; 160]);
    let plain = packet.len();
    packet.resize(plain + 14, 0);
    let sender = media_relay::srtp::Sender::new(&key(2));
    let length = sender.protect_rtp(&mut packet, plain, u64::from(sequence));
    packet.truncate(length.unwrap());
    packet
}

pub fn voice_from_b(
    bench: &mut Bench,
    from: SocketAddr,
    sequence: u16,
) -> Result<SocketAddr, DropReason> {
    let packet = secured_voice(sequence);
    bench.send(B, from, &packet).map(|(to, _)| to)
}

pub fn direct() -> SocketAddr {
    address("198.51.100.77:50004")
}

pub fn relayed() -> SocketAddr {
    address("203.0.113.66:51000")
}
