//! One-way audio in plain words: what is seen, the likely cause, and what to change.

use media_api::OneWayKind;

/// What an operator is told of one kind of fault.
pub(super) struct Advice {
    /// What is seen of the leg's media.
    pub(super) seen: &'static str,
    /// Why that is, most likely.
    pub(super) cause: &'static str,
    /// What to change.
    pub(super) fix: &'static str,
}

/// Who hears nothing: the other party of a leg, or the leg itself.
pub(super) fn whom(kind: OneWayKind, is_past: bool) -> &'static str {
    match (kind, is_past) {
        (OneWayKind::NotReceived, false) => "hears nothing",
        (OneWayKind::NotReceived, true) => "heard nothing",
        (_, false) => "is not heard",
        (_, true) => "was not heard",
    }
}

/// What to say of a kind.
pub(super) const fn advice(kind: OneWayKind) -> Advice {
    match kind {
        OneWayKind::NoPackets => Advice {
            seen: "no packet of its media arrives",
            cause: "a firewall or NAT between the peer and this SBC, or a peer that sends to another address than it was told",
            fix: "open the media ports of the realm towards the peer for UDP, and look whether the realm's public \
                  address is the one that its description names; if both are right, have the peer's side look at what it sends",
        },
        OneWayKind::WrongSource => Advice {
            seen: "its packets come from an address that its description does not name, and are dropped",
            cause: "the peer is behind a NAT, or sends media from another host than it announces",
            fix: "set nat = \"restricted\" on its trunk if it is behind a NAT; otherwise have the peer announce the address \
                  that it sends from",
        },
        OneWayKind::DecryptFailures => Advice {
            seen: "its packets cannot be decrypted, and are dropped",
            cause: "the peer encrypts with another key than its description names, mostly after a re-INVITE or a transfer, or \
                    sends plain RTP where SRTP was agreed",
            fix: "have the peer's side look at the a=crypto line of its last description and at the key that it uses; \
                  something between that changes descriptions must leave these lines alone",
        },
        OneWayKind::KeyReused => Advice {
            seen: "its packets repeat numbers that it has used under the same SRTP key, and are dropped as repetitions",
            cause: "the peer has gone back to a key of before, or goes on under its key after a restart of its media, and begins \
                    its numbers and its clock where they began then; a recording of the call looks alike (RFC 3711 §3.3.2); seldom its key is another one as well",
            fix: "have the peer make a new key in its a=crypto line whenever it begins its numbers anew, or go on counting; it is \
                  heard again once it has passed the number at which it ended",
        },
        OneWayKind::WrongPayloadType => Advice {
            seen: "its packets carry a payload type that was not agreed, and are dropped",
            cause: "the peer sends another codec than it has answered, or numbers it otherwise than our description",
            fix: "limit the codecs of the trunk to those that the peer keeps to, or have the peer use the numbers of the \
                  description that it is sent",
        },
        OneWayKind::NoChecks => Advice {
            seen: "no connectivity check of its client has reached this SBC",
            cause: "the client cannot reach the address that it was told",
            fix: "look whether the realm's address is public and its media ports are open for UDP",
        },
        OneWayKind::RefusedChecks => Advice {
            seen: "its connectivity checks have another name or password than it was told",
            cause: "something between changes descriptions",
            fix: "look for an application gateway or a session border controller between, and turn off what it does to SDP",
        },
        OneWayKind::NoHandshake => Advice {
            seen: "its DTLS handshake is not complete, and nothing can be decrypted before that",
            cause: "a firewall between the peer and this SBC, or a peer that does not begin although it said so",
            fix: "open the media ports of the realm towards the peer for UDP in both directions, and have the peer's side look at \
                  the a=setup and a=fingerprint lines of its last description",
        },
        OneWayKind::NotReceived => Advice {
            seen: "its reports tell of no packet of what this SBC sends",
            cause: "a firewall or NAT on the way to the peer, a media address in its description that is not its own, or a key \
                    of ours that it does not use",
            fix: "look whether the address in the peer's description can be reached from the realm; behind a NAT \
                  set nat = \"restricted\" on its trunk; otherwise have the peer's side look at what it drops",
        },
        OneWayKind::Silence => Advice {
            seen: "its packets have carried nothing but digital silence since the answer",
            cause: "a microphone that is muted or missing, or a gateway behind the peer without audio of its own",
            fix: "nothing, if the party is muted; otherwise have the peer's side look at the audio behind its gateway",
        },
    }
}
