//! The contract between signalling and the media relay, as plain data.
//!
//! Signalling sends [`Command`]s and gets [`Event`]s back; nothing else crosses the boundary. Both
//! sides speak facts, never SDP text. A *media session* is the relay's object for one call. It has
//! *endpoints*, one per leg, each with one or more *streams* (one per `m=` line), and a *bridge
//! plan* that says who hears whom.
//!
//! The life of a session:
//!
//! 1. [`Command::Allocate`] reserves ports and makes our SRTP keys; [`Event::Allocated`] brings the
//!    local facts, or [`Event::Refused`] comes before any INVITE leaves (MED-011). Where ICE is spoken,
//!    checks are answered from then on ([`StreamSpec::ice`]).
//! 2. [`Command::Answer`] tells what an offer/answer exchange agreed on one endpoint, as a
//!    [`Stage::Preview`] (an early dialog that may still lose) or [`Stage::Final`]. Several
//!    previews may coexist; `Final` commits one of them between two packets.
//!    [`Command::Rollback`] drops what is pending; what was committed is never touched by a failed
//!    offer. [`Command::Expect`] says that an offer of ours within the call is under way.
//! 3. [`Command::Update`] changes the bridge plan without touching addresses or keys.
//!    [`Command::Play`] lets one endpoint hear a tone or a recording.
//! 4. [`Command::Take`] and [`Command::Dial`] turn digits of one form into another ([`Digit`]), and
//!    [`Command::Block`] keeps from one party what the other says.
//! 5. [`Event::Reported`] tells every report of RTCP, where somebody collects them.
//! 6. [`Command::Release`] ends it; [`Event::Released`] brings the final statistics, exactly once.
//!
//! The relay may run in a process of its own: [`wire`] has the same commands and events as octets. When that process
//! ends, [`Event::Lost`] is the last event of its sessions.
//!
//! The relay never acts on a command that names an unknown session or endpoint; it answers with
//! [`Event::Refused`] where the command has an answer, and ignores it otherwise.
#![forbid(unsafe_code)]

mod command;
mod crypto;
mod digit;
mod dtls;
mod endpoint;
mod event;
mod ice;
mod id;
mod quality;
mod report;
mod sound;
mod stats;
mod tap;
pub mod wire;

pub use command::{BridgePlan, Command, EXPECTED_MS, HANDED_OVER_MS, Stage};
pub use crypto::{CryptoKey, LONGEST_LIFETIME, Suite};
pub use digit::{Dialled, Digit, Intake, Signal};
pub use dtls::{DtlsRole, DtlsTerms, Fingerprint, HandshakeFault, HashFunction};
pub use endpoint::{
    AddressRanges, Content, Direction, EndpointSpec, Family, Format, FormatId, FormatKind,
    LocalEndpoint, LocalStream, Nearby, Negotiated, NegotiatedStream, OpusPackets, OpusWishes,
    PayloadBinding, Protection, ProtectionWanted, ReportBandwidth, SourcePolicy, StreamKind,
    StreamSpec,
};
pub use event::{AllocateError, Event, OneWayKind};
pub use ice::{IceCandidate, IceComponent, IceCredentials, IceTerms, is_ice_char};
pub use id::{EndpointId, ForkId, RealmId, SessionId, StreamIndex};
pub use quality::{
    BurstStats, LATE_US, QualityStats, RatedInterval, Rating, ReportedStats, Scale, Score,
    VoipMetrics, percent,
};
pub use report::{ReceptionFigures, RtcpReport, SenderFigures, Teller};
pub use sound::{Beside, Playing, Sound, SoundId, Tone, TonePhase};
pub use stats::{DropReason, EndpointStats, SessionStats, StreamStats};
pub use tap::{Tap, TappedPacket};
