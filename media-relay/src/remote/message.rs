//! What the two processes say to each other.

use crate::control::realm::{LocalAddress, Realm};
use crate::control::totals::{RealmTotals, RelayTotals};
use crate::io::{AddressReport, Backend, BackendReport, Runs};
use media_api::wire::{
    DIGEST_OF_NOTHING, LAYOUT, Reader, VERSION, Wire, WireFault, Writer, digest,
};
use media_api::{Command, Event, SessionId, SoundId, wire_layout};
use zeroize::{Zeroize, Zeroizing};

/// How a conversation begins, whatever the version.
const MAGIC: [u8; 8] = *b"cwmedia\n";

/// How somebody begins who only asks which form the relay speaks, whatever the version.
const QUESTION: [u8; 8] = *b"cwform?\n";

/// Digest of the parts of commands, events and what is beside them.
const OWN_LAYOUT: u64 = digest(
    include_bytes!("message.rs"),
    LAYOUT ^ DIGEST_OF_NOTHING.rotate_left(VERSION as u32),
);

/// Most samples of one [`ToHost::Samples`].
pub(super) const SAMPLES: usize = 32 * 1024;

/// What both sides must have alike. Told behind each verdict that is no welcome, in a frame of its own, which who began
/// before there was one never reads; its form is that of every version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Form {
    version: u16,
    layout: u64,
}

impl Form {
    /// Ours.
    pub(super) const OWN: Self = Self {
        version: VERSION,
        layout: OWN_LAYOUT,
    };

    /// Writes the frame that asks for that of the other side.
    pub(super) fn ask(out: &mut Writer) {
        out.frame(&QUESTION);
    }

    /// Whether these octets ask for it.
    pub(super) fn is_asked(octets: &[u8]) -> bool {
        octets == QUESTION
    }
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{:016x}", self.version, self.layout)
    }
}

/// The daemon's first word.
#[derive(PartialEq, Debug)]
pub(super) struct Hello {
    /// Version of the program, for people.
    pub(super) program: String,
    pub(super) realms: Vec<Realm>,
    /// Whether it goes on with the sessions of a daemon before it.
    pub(super) adopts: bool,
    /// Whether its sessions are to wait for the next one if it vanishes.
    pub(super) keeps: bool,
}

impl Hello {
    pub(super) fn write(&self, out: &mut Writer) {
        out.frame(&Spoken(self));
    }

    /// Reads a first word.
    ///
    /// # Errors
    /// In words, for the other side.
    pub(super) fn read(octets: &[u8]) -> Result<Self, String> {
        let mut from = Reader::new(octets);
        let begins = <[u8; 8]>::take(&mut from);
        if begins != Ok(MAGIC) {
            return Err("what came is not what a causeway daemon begins with".into());
        }
        let mut head = || {
            Ok((
                u16::take(&mut from)?,
                u64::take(&mut from)?,
                String::take(&mut from)?,
            ))
        };
        let (version, layout, program) =
            head().map_err(|fault: WireFault| format!("the greeting cannot be read: {fault}"))?;
        if (version, layout) != (VERSION, OWN_LAYOUT) {
            return Err(format!(
                "the daemon is causeway {} with form {version}/{layout:016x} of the socket, the relay is causeway {} \
                 with form {VERSION}/{OWN_LAYOUT:016x}: restart whichever is older, so that both are one program",
                program.chars().take(40).collect::<String>().escape_debug(),
                env!("CARGO_PKG_VERSION"),
            ));
        }
        let rest = from.rest::<(Vec<Realm>, (bool, bool))>();
        let rest = rest.map_err(|fault| format!("the realms cannot be read: {fault}"))?;
        let (realms, (adopts, keeps)) = rest;
        Ok(Self {
            program,
            realms,
            adopts,
            keeps,
        })
    }
}

struct Spoken<'a>(&'a Hello);

impl Wire for Spoken<'_> {
    fn put(&self, out: &mut Writer) {
        MAGIC.put(out);
        VERSION.put(out);
        OWN_LAYOUT.put(out);
        self.0.program.put(out);
        self.0.realms.put(out);
        (self.0.adopts, self.0.keeps).put(out);
    }

    fn take(_: &mut Reader<'_>) -> Result<Self, WireFault> {
        Err(WireFault::Value("greeting"))
    }
}

/// The host's first word. Its form is that of every version.
#[derive(PartialEq, Debug)]
pub(super) enum Verdict {
    Welcome,
    /// Why not, in words.
    No(String),
    /// Why not now, in words.
    Busy(String),
}

/// What the daemon says.
#[derive(PartialEq, Debug)]
pub(super) enum ToHost {
    Command(Command),
    /// Part of a recording.
    Samples(SoundId, Vec<i16>),
    /// From now on all that came since the last one of these can be played, and nothing else.
    Recordings,
    /// Whether reports of RTCP are told from now on.
    Reports(bool),
    /// What the next daemon needs of the session's call, in place of what was kept before; empty if it could not go on
    /// with it.
    Keep(SessionId, Zeroizing<Vec<u8>>),
    /// It ends, and nobody is to go on with its sessions.
    Leave,
    /// Whether these realms could be served; answered by [`ToDaemon::Judged`] with the number of the question.
    Try(u32, Vec<Realm>),
    /// What is served from now on.
    Realms(Vec<Realm>),
}

/// What the host says.
#[derive(PartialEq, Debug)]
pub(super) enum ToDaemon {
    Event(Event),
    Report(Box<Report>),
    /// Why nothing more comes, in words.
    Farewell(String),
    /// What was kept of a session. First of all, and only for who adopts.
    Kept(Kept),
    /// That was all of it.
    AllKept,
    /// Why the realms of the question with this number could not be served, in words; nothing if they could.
    Judged(u32, Option<String>),
}

/// A session of a daemon that has vanished, with what it had kept of its call.
#[derive(Clone, PartialEq)]
pub struct Kept {
    /// Its name.
    pub session: SessionId,
    /// What was kept.
    pub octets: Vec<u8>,
    /// Whether the relay still has it.
    pub is_live: bool,
}

/// Without what was kept, which has keys in it.
impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept")
            .field("session", &self.session)
            .field("is_live", &self.is_live)
            .finish_non_exhaustive()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.octets.zeroize();
    }
}

/// How the relay does, twice a second.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Report {
    pub(super) totals: RelayTotals,
    pub(super) silence_us: u64,
    pub(super) backend: BackendReport,
}

wire_layout! {
    enum Verdict {
        0: Welcome,
        1: No(why),
        2: Busy(why),
    }

    struct Form { version, layout }

    enum ToHost {
        0: Command(command),
        1: Samples(sound, samples),
        2: Recordings,
        3: Reports(wanted),
        4: Keep(session, octets),
        5: Leave,
        6: Try(number, realms),
        7: Realms(realms),
    }

    enum ToDaemon {
        0: Event(event),
        1: Report(report),
        2: Farewell(why),
        3: Kept(kept),
        4: AllKept,
        5: Judged(number, why),
    }

    struct Kept { session, octets, is_live }

    struct Report { totals, silence_us, backend }
    struct Realm { id, v4, v6, first_port, last_port, dscp, backend }
    struct LocalAddress { bind, advertised }

    enum Backend {
        0: Sockets,
        1: Xdp,
    }

    struct RelayTotals {
        realms, sessions, transcodes, panics, reports_lost, handshakes, nominated, resynchronised, delays,
        delay_us,
    }

    struct RealmTotals {
        realm, received_packets, received_bytes, sent_packets, sent_bytes, lost_packets, dropped, jitter_us_sum,
        jitter_samples, ports_used, ports_total,
    }

    struct AddressReport { realm, address, interface, runs, dropped, forwarded, forwards, not_by_itself, crowded_out, because }

    enum Runs {
        0: Sockets,
        1: Xdp { is_native, is_zero_copy, is_moderated },
    }
}

impl Wire for BackendReport {
    fn put(&self, out: &mut Writer) {
        let Self {
            batch,
            receive_buffer_bytes,
            wanted_receive_buffer_bytes,
            descriptors,
            addresses,
        } = self;
        for number in [batch, receive_buffer_bytes, wanted_receive_buffer_bytes] {
            (*number as u64).put(out);
        }
        descriptors.put(out);
        addresses.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        let mut number = || {
            let number = usize::try_from(u64::take(from)?);
            number.map_err(|_| WireFault::Value("number"))
        };
        Ok(Self {
            batch: number()?,
            receive_buffer_bytes: number()?,
            wanted_receive_buffer_bytes: number()?,
            descriptors: <Option<u64> as Wire>::take(from)?,
            addresses: Vec::take(from)?,
        })
    }
}

/// What octets of the socket may be, for the fuzz target: what it reads is private to both sides.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Said {
    Greeting,
    Realms,
    Verdict,
    ToHost,
    ToDaemon,
}

impl Said {
    /// Reads octets and writes what they mean.
    ///
    /// # Errors
    /// In words, why they mean nothing.
    pub fn again(self, octets: &[u8]) -> Result<Vec<u8>, String> {
        fn again<T: Wire>(octets: &[u8]) -> Result<Vec<u8>, String> {
            let value = Reader::whole::<T>(octets).map_err(|fault| fault.to_string())?;
            let mut out = Writer::default();
            value.put(&mut out);
            Ok(out.octets().to_vec())
        }
        match self {
            Self::Greeting => {
                let mut out = Writer::default();
                Spoken(&Hello::read(octets)?).put(&mut out);
                Ok(out.octets().to_vec())
            }
            Self::Realms => again::<Vec<Realm>>(octets),
            Self::Verdict => again::<Verdict>(octets),
            Self::ToHost => again::<ToHost>(octets),
            Self::ToDaemon => again::<ToDaemon>(octets),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::RealmId;

    #[test]
    fn another_form_of_the_socket_is_refused_in_words_that_name_both() {
        let hello = Hello {
            program: "9.9.9".into(),
            realms: vec![Realm {
                id: RealmId(3),
                v4: Some(LocalAddress::direct([192, 0, 2, 1].into())),
                v6: None,
                first_port: 20_000,
                last_port: 29_999,
                dscp: 46,
                backend: Backend::Xdp,
            }],
            adopts: true,
            keeps: false,
        };
        let mut out = Writer::default();
        hello.write(&mut out);
        let octets = &out.octets()[4..];
        assert_eq!(Hello::read(octets), Ok(hello));
        let mut other = octets.to_vec();
        other[MAGIC.len()] ^= 1;
        let why = Hello::read(&other).unwrap_err();
        assert!(why.contains("causeway 9.9.9 with form 0/"), "{why}");
        assert!(why.contains("restart whichever is older"), "{why}");
        other[0] = b'x';
        assert!(Hello::read(&other).unwrap_err().contains("daemon begins"));
        assert!(
            Hello::read(&octets[..30])
                .unwrap_err()
                .contains("too early")
        );
    }
}
