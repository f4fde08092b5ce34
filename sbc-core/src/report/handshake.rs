//! A DTLS handshake that failed, in plain words: the likely cause, and what to change.

use media_api::HandshakeFault;

/// The likely cause, and what an operator changes.
pub(super) const fn advice(fault: HandshakeFault) -> (&'static str, &'static str) {
    match fault {
        HandshakeFault::Fingerprint => (
            "something between that changes descriptions, or a peer that describes another media gateway than answers",
            "have the peer's side compare its a=fingerprint line with the certificate that its media gateway uses",
        ),
        HandshakeFault::Timeout => (
            "a firewall between the peer and this SBC, or a peer that does not begin although it said so",
            "open the media ports of the realm towards the peer for UDP in both directions, and have the peer's side look \
             at its a=setup line",
        ),
        HandshakeFault::Handshake => (
            "a peer without DTLS 1.2, or without any SRTP profile that this SBC has",
            "have the peer's side allow DTLS 1.2 with SRTP_AES128_CM_HMAC_SHA1_80 or an AES-GCM profile",
        ),
        HandshakeFault::Closed => (
            "a peer that does not accept our certificate, or has ended the call already",
            "have the peer's side look why it closed the association, and whether it reads our a=fingerprint line",
        ),
    }
}
