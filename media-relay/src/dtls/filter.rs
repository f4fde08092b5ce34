//! Which records of a handshake are worth the library's attention (MED-135).
//!
//! Before there are keys anybody who can write the peer's address can write its records. The library keeps what it
//! cannot use yet, and room for that is small: thirty records that nobody ever asks for would shut the peer out. So
//! only what an honest peer in its role can send at all goes in, once its hello has come, and a datagram with anything
//! else is forged.

use media_api::DtlsRole;

/// Octets of the header of a record: type, version, epoch, number, length (RFC 6347 §4.1).
const RECORD_HEADER: usize = 13;
/// Octets of the header of a handshake message (RFC 6347 §4.2.2).
const MESSAGE_HEADER: usize = 12;
/// Longest plaintext of a record, and what encryption may add (RFC 5246 §6.2.3).
const MAX_RECORD: usize = (1 << 14) + 2_048;
/// Records of one datagram: a whole flight in one is five.
const MAX_RECORDS: usize = 8;
/// Longest message, a certificate with its chain.
const MAX_MESSAGE: usize = 1 << 14;

/// Times that a peer may say that it encrypts from now on, repetitions counted.
const MAX_CHANGES: u8 = 8;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const HELLO_VERIFY_REQUEST: u8 = 3;
const SERVER_HELLO_DONE: u8 = 14;
const CERTIFICATE_VERIFY: u8 = 15;

/// What becomes of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sifted<'d> {
    /// The part that goes in; nothing where the datagram is dropped.
    pub(super) taken: &'d [u8],
    /// An alert that nobody has signed follows it, and is left out: anybody could end a handshake with it. An
    /// honest one is followed by silence.
    pub(super) is_alerted: bool,
}

/// Judges what comes for one handshake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter {
    /// Whose handshake it is.
    role: DtlsRole,
    /// The hello that the rest follows has come.
    is_greeted: bool,
    /// The last message has come that stands before [`CHANGE_CIPHER_SPEC`]: what comes sooner would stand in the way
    /// of the messages that are still to come.
    is_complete: bool,
    /// How often the peer has said that it encrypts from now on. It says nothing but that, so a forged one does no
    /// harm; many take room.
    changes: u8,
}

impl Filter {
    pub(super) fn new(role: DtlsRole) -> Self {
        Self {
            role,
            is_greeted: false,
            is_complete: false,
            changes: 0,
        }
    }

    pub(super) fn sift<'d>(&mut self, datagram: &'d [u8]) -> Sifted<'d> {
        let dropped = Sifted {
            taken: &[],
            is_alerted: false,
        };
        let mut seen = *self;
        let mut at = 0;
        for _ in 0..MAX_RECORDS {
            let Some(record) = Record::first(&datagram[at..]) else {
                return dropped;
            };
            if record.is_open_alert() {
                *self = seen;
                return Sifted {
                    taken: &datagram[..at],
                    is_alerted: true,
                };
            }
            if !seen.takes(&record) {
                return dropped;
            }
            at += RECORD_HEADER + record.body.len();
            if at == datagram.len() {
                *self = seen;
                return Sifted {
                    taken: datagram,
                    is_alerted: false,
                };
            }
        }
        dropped
    }

    fn takes(&mut self, record: &Record<'_>) -> bool {
        match (record.epoch, record.kind) {
            (0, CHANGE_CIPHER_SPEC) => {
                self.changes = self.changes.saturating_add(1);
                record.body == [1] && self.is_complete && self.changes <= MAX_CHANGES
            }
            (0, HANDSHAKE) => self.takes_messages(record.body),
            // Whether these are genuine is for the keys to say.
            (1, ALERT | HANDSHAKE | APPLICATION_DATA) => self.is_greeted,
            _ => false,
        }
    }

    /// Whether these are whole fragments of messages that the peer sends in the open.
    fn takes_messages(&mut self, mut body: &[u8]) -> bool {
        while !body.is_empty() {
            let Some(header) = body.first_chunk::<MESSAGE_HEADER>() else {
                return false;
            };
            let number = |at: usize| {
                let [a, b, c] = [header[at], header[at + 1], header[at + 2]];
                u32::from_be_bytes([0, a, b, c]) as usize
            };
            let (length, offset, here) = (number(1), number(6), number(9));
            let (kind, sequence) = (header[0], u16::from_be_bytes([header[4], header[5]]));
            let is_known = places(self.role, kind).is_some_and(|known| known.contains(&sequence));
            let is_part = offset + here <= length && length <= MAX_MESSAGE;
            // An empty part of a message that is not empty says nothing.
            let is_idle = here == 0 && length > 0;
            let is_hello = matches!(kind, CLIENT_HELLO | SERVER_HELLO | HELLO_VERIFY_REQUEST);
            self.is_greeted |= is_hello && kind != HELLO_VERIFY_REQUEST;
            let Some(rest) = body.get(MESSAGE_HEADER + here..) else {
                return false;
            };
            let is_due = is_hello || self.is_greeted;
            if !is_known || !is_part || is_idle || !is_due {
                return false;
            }
            self.is_complete |= match self.role {
                DtlsRole::Active => kind == SERVER_HELLO_DONE,
                DtlsRole::Passive => kind == CERTIFICATE_VERIFY,
            };
            body = rest;
        }
        true
    }
}

struct Record<'d> {
    kind: u8,
    epoch: u16,
    body: &'d [u8],
}

impl<'d> Record<'d> {
    fn first(datagram: &'d [u8]) -> Option<Self> {
        let header = datagram.first_chunk::<RECORD_HEADER>()?;
        let [kind, major, minor, ..] = *header;
        // The first hello of a client may still be of version 1.0.
        let is_version = major == 0xfe && matches!(minor, 0xff | 0xfd);
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let body = datagram.get(RECORD_HEADER..RECORD_HEADER + length)?;
        (is_version && length <= MAX_RECORD).then_some(Self {
            kind,
            epoch: u16::from_be_bytes([header[3], header[4]]),
            body,
        })
    }

    fn is_open_alert(&self) -> bool {
        self.kind == ALERT && self.epoch == 0
    }
}

/// Where in its peer's order a message can stand, with and without what may be left out (RFC 5246 §7.3, RFC 6347
/// §4.2.4); `None` for one that this role is never sent.
fn places(role: DtlsRole, message: u8) -> Option<std::ops::RangeInclusive<u16>> {
    Some(match (role, message) {
        // ClientHello without and with a cookie.
        (DtlsRole::Passive, CLIENT_HELLO) => 0..=1,
        // Certificate, ClientKeyExchange, CertificateVerify.
        (DtlsRole::Passive, 11) => 1..=2,
        (DtlsRole::Passive, 16) => 1..=3,
        (DtlsRole::Passive, CERTIFICATE_VERIFY) => 3..=4,
        // HelloVerifyRequest, ServerHello, Certificate, ServerKeyExchange, CertificateRequest, ServerHelloDone.
        (DtlsRole::Active, HELLO_VERIFY_REQUEST) => 0..=0,
        (DtlsRole::Active, SERVER_HELLO) => 0..=1,
        (DtlsRole::Active, 11) => 1..=2,
        (DtlsRole::Active, 12) => 2..=3,
        (DtlsRole::Active, 13) => 3..=4,
        (DtlsRole::Active, SERVER_HELLO_DONE) => 3..=5,
        // NewSessionTicket, in the open like all before ChangeCipherSpec.
        (DtlsRole::Active, 4) => 4..=6,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        let header = [kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 7];
        [&header[..], &length, body].concat()
    }

    fn message(kind: u8, sequence: u8, length: u8, offset: u8, body: &[u8]) -> Vec<u8> {
        let here = u8::try_from(body.len()).unwrap();
        let header = [kind, 0, 0, length, 0, sequence, 0, 0, offset, 0, 0, here];
        [&header[..], body].concat()
    }

    fn passes(role: DtlsRole, datagram: &[u8]) -> bool {
        let hello = match role {
            DtlsRole::Active => record(
                22,
                0,
                &[message(2, 1, 0, 0, b""), message(14, 5, 0, 0, b"")].concat(),
            ),
            DtlsRole::Passive => record(
                22,
                0,
                &[message(1, 1, 0, 0, b""), message(15, 4, 0, 0, b"")].concat(),
            ),
        };
        let mut filter = Filter::new(role);
        assert_eq!(filter.sift(&hello).taken, hello);
        let sifted = filter.sift(datagram);
        assert!(!sifted.is_alerted);
        assert!(sifted.taken.is_empty() || sifted.taken == datagram);
        !sifted.taken.is_empty()
    }

    #[test]
    fn only_what_a_peer_in_its_role_can_send_goes_in() {
        let hello = |sequence| message(1, sequence, 3, 0, b"abc");
        let role = DtlsRole::Passive;
        for (datagram, is_taken) in [
            (record(22, 0, &hello(0)), true),
            (record(22, 0, &hello(1)), true),
            (record(22, 0, &hello(2)), false),
            (record(22, 0, &[hello(0), hello(1)].concat()), true),
            (record(22, 0, &hello(0)[..11]), false),
            (record(22, 0, &message(1, 0, 2, 0, b"abc")), false),
            (record(22, 0, &message(1, 0, 9, 7, b"abc")), false),
            (record(22, 0, &message(1, 0, 9, 3, b"")), false),
            (record(22, 0, &message(2, 0, 3, 0, b"abc")), false),
            (record(20, 0, &[1]), true),
            (record(20, 0, &[]), false),
            (record(20, 0, &[2]), false),
            (record(20, 1, &[1]), false),
            (record(23, 0, b"data"), false),
            (record(23, 1, b"data"), true),
            (record(22, 2, b"data"), false),
            (record(24, 1, b"data"), false),
            (record(20, 0, &[1]).repeat(8), true),
            (record(23, 1, b"x").repeat(8), true),
            (record(23, 1, b"x").repeat(9), false),
            (Vec::new(), false),
        ] {
            assert_eq!(passes(role, &datagram), is_taken, "{datagram:?}");
        }
        assert!(!passes(DtlsRole::Active, &record(22, 0, &hello(0))));
        let answer = record(22, 0, &message(2, 1, 3, 0, b"abc"));
        assert!(passes(DtlsRole::Active, &answer));
        assert!(!passes(DtlsRole::Active, &answer[..answer.len() - 1]));
        assert!(!passes(DtlsRole::Active, &[&answer[..], &[22]].concat()));
        let mut old = answer;
        old[2] = 0xfe;
        assert!(!passes(DtlsRole::Active, &old));
    }

    #[test]
    fn an_alert_that_nobody_has_signed_is_left_out() {
        let change = record(20, 0, &[1]);
        let alert = record(21, 0, &[2, 40]);
        let sifted = Sifted {
            taken: &change,
            is_alerted: true,
        };
        let datagram = [&change[..], &alert, &change].concat();
        let mut filter = Filter::new(DtlsRole::Active);
        filter.is_complete = true;
        assert_eq!(filter.sift(&datagram), sifted);
        assert!(passes(DtlsRole::Active, &record(21, 1, &[2, 40])));
    }
    #[test]
    fn nothing_goes_in_before_the_hello_and_room_is_not_given_twice() {
        let hello = record(22, 0, &message(1, 0, 3, 0, b"abc"));
        let certificate = record(22, 0, &message(11, 2, 3, 0, b"abc"));
        let change = record(20, 0, &[1]);
        let mut filter = Filter::new(DtlsRole::Passive);
        for early in [&certificate, &change, &record(22, 1, b"secret")] {
            assert!(filter.sift(early).taken.is_empty());
        }
        let whole = [&hello[..], &certificate].concat();
        assert_eq!(filter.sift(&whole).taken, whole);
        assert!(filter.sift(&change).taken.is_empty());
        let last = record(22, 0, &message(15, 4, 3, 0, b"abc"));
        assert_eq!(filter.sift(&last).taken, last);
        let taken = (0..100).filter(|_| !filter.sift(&change).taken.is_empty());
        assert_eq!(taken.count(), usize::from(MAX_CHANGES));
    }
}
