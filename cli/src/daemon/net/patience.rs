//! How long sockets and their peers may take (SIP-122 to SIP-125).

use std::time::Duration;

/// Times after which something is given up or done. The product uses the usual ones; who wants to see
/// what comes after an hour need not wait for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// To connect (SIP-125).
    pub connect: Duration,
    /// Between the beginnings of two connections to one server (SIP-1701).
    pub stagger: Duration,
    /// To shake hands (SIP-125, SEC-022).
    pub handshake: Duration,
    /// An incomplete message older than this closes the connection (SIP-123).
    pub message: Duration,
    /// An accepted connection that brought no message for this long is closed (SIP-123).
    pub first_message: Duration,
    /// A connection without any traffic for this long is closed (SIP-123).
    pub idle: Duration,
    /// Without any progress for this long the peer does not read (SIP-124).
    pub write: Duration,
    /// Connections that we opened are pinged so often, at random within the range (SIP-122).
    pub ping: (Duration, Duration),
    /// A peer that is known to answer pings must answer within this time (SIP-122).
    pub pong: Duration,
    /// A connection that is out of use ends so long after: Timer B and F, for which a request of ours may
    /// wait for its response there.
    pub answered: Duration,
    /// One whose certificate of ours was renewed ends so long after, and any on which a request still waits stays so much
    /// longer at most: as long as a call may ring.
    pub renewed: Duration,
    /// Between the ends of two of them: peers that make all their connections anew at once would take their time
    /// for it from our calls.
    pub apart: Duration,
    /// Who was told that the connection ends is listened to so much longer: what it sent before is on the way.
    pub goodbye: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(4),
            stagger: Duration::from_millis(250),
            handshake: Duration::from_secs(5),
            message: Duration::from_secs(10),
            first_message: Duration::from_secs(30),
            idle: Duration::from_secs(3600),
            write: Duration::from_secs(5),
            ping: (Duration::from_secs(95), Duration::from_secs(120)),
            pong: Duration::from_secs(10),
            answered: Duration::from_secs(32),
            renewed: Duration::from_secs(240),
            apart: Duration::from_millis(20),
            goodbye: Duration::from_secs(1),
        }
    }
}
