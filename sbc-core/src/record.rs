//! The call detail record (OPS-060), and the summary of a call in progress.

mod change;
mod custom;
mod hidden;
mod kept;
mod pair;
mod quality;
mod shared;
mod targets;

pub use change::Change;
pub use custom::{Custom, CustomValue};
pub use hidden::{KeptNumbers, RecordNumbers};
pub(crate) use kept::Added;
pub use pair::{PairEnd, PairRecord};
pub use quality::{
    BurstRecord, ExtendedRecord, RatingRecord, ReceivedRecord, SentRecord, SrtpFailures,
    WorstRecord,
};
pub(crate) use shared::Growing;
pub use targets::{TargetRecord, TargetsRecord, Verdict};

use crate::cause::{Because, Cause};
use crate::event::TargetFault;
use crate::id::{CallId, LegId, RealmName, RouteName, TenantName, TrunkName};
use crate::octets::socket_text;
use crate::policy::local_media::Choice;
use crate::time::UnixTime;
use crate::transport::{Protocol, TlsSuite};
use media_api::OneWayKind;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::net::SocketAddr;

/// One admitted INVITE from beginning to end. Serialises to one JSON object.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Record {
    /// Version of this layout.
    pub version: u16,
    /// Identifier of the call; also the idempotency key of the record.
    pub call: CallId,
    /// Node that carried it.
    pub node: String,
    /// Customer; nothing for a number that nobody owns.
    pub tenant: Option<TenantName>,
    /// When the INVITE arrived.
    #[serde(serialize_with = "rfc3339")]
    pub start: UnixTime,
    /// From the INVITE to the first 101–199 that we sent, in milliseconds.
    pub first_progress_ms: Option<u64>,
    /// From the INVITE to our 200, in milliseconds.
    pub setup_ms: Option<u64>,
    /// From answer to end, in milliseconds; 0 when never answered.
    pub duration_ms: u64,
    /// When its end began: the BYE, the refusal, the CANCEL. Nothing as long as it goes on.
    #[serde(serialize_with = "optional_rfc3339")]
    pub end: Option<UnixTime>,
    /// Seconds from answer to end that have begun: what is billed where seconds are.
    pub billsec: u64,
    /// How much of it one of those who talked had the other on hold, in milliseconds.
    pub held_ms: u64,
    /// What became of the numbers below, where a customer does not want them kept (OPS-062).
    #[serde(skip_serializing_if = "KeptNumbers::is_full")]
    pub numbers: KeptNumbers,
    /// Calling number as received.
    pub calling_raw: String,
    /// Called number as received.
    pub called_raw: String,
    /// The caller's name as it shows it, bounded and printable; nothing where it withholds its number.
    pub calling_name: Option<String>,
    /// Calling number after transforms.
    pub calling: String,
    /// Called number after transforms.
    pub called: String,
    /// Country of the called number (ISO 3166-1), or its code with + where that is nobody's country; nothing unless it is
    /// E.164.
    pub country_to: Option<&'static str>,
    /// The longest prefix of a `[[rate]]` that the called number begins with: the name of the rate, else the prefix.
    pub prefix_id: Option<String>,
    /// Number that pays, as a trusted peer says: that of P-Charge-Info (RFC 8496).
    pub charged_party: Option<String>,
    /// Number that a trusted peer asserted for the caller.
    pub asserted: Option<String>,
    /// Whether the caller withholds its number, or wants it hidden.
    pub withheld: bool,
    /// What became of the caller's number, if it was not the customer's (SIP-1000).
    pub screening: Option<&'static str>,
    /// What is known of the caller's number by signatures, as the value of `verstat` with its level:
    /// where the trunk looks into them.
    pub verstat: Option<String>,
    /// Whether the INVITE came with a signature (RFC 8224), valid or not.
    pub signed: bool,
    /// Level of attestation that the caller's signature claims; at which we could vouch for the call
    /// ourselves, if nobody has signed (SIP-1102).
    pub attest: Option<&'static str>,
    /// Origin that the caller's signature names; that which we would name, if nobody has signed.
    pub origid: Option<String>,
    /// Who forwarded the call to us last.
    pub diverting: Option<String>,
    /// Why it was forwarded last, as Diversion says it (RFC 5806): `user-busy`, `no-answer` and so on.
    pub divert_reason: Option<&'static str>,
    /// How often it was forwarded before it reached us.
    pub diversions: usize,
    /// Name of the call from end to end: the caller's part of Session-ID.
    pub session_id: String,
    /// Charging identifier of the INVITE, bounded and printable: `icid-value` of its P-Charging-Vector (RFC 7315).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icid: Option<String>,
    /// User-to-User data of the INVITE, bounded and printable.
    pub user_to_user: Option<String>,
    /// What the transforms of calls that arrive add to it.
    #[serde(skip_serializing_if = "Custom::is_empty")]
    pub custom: Custom,
    /// Whether it was a call for help.
    pub emergency: bool,
    /// What is known of the place that it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Box<PlaceRecord>>,
    /// The A leg.
    pub ingress: LegRecord,
    /// Every attempt towards the called side, in order.
    pub egress: Vec<AttemptRecord>,
    /// Outcome in one word.
    pub disposition: Disposition,
    /// Why it ended.
    pub cause: Cause,
    /// Text of the Reason with which a peer ended the call, bounded and printable. Teams names the call
    /// there by a GUID that Microsoft's support asks for (TDR-ERR-001).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<String>,
    /// The route that led to the trunks that were tried.
    pub route_name: Option<RouteName>,
    /// Why it was routed as it was.
    pub route: Because,
    /// Why our media were where they were, for each decision on legs with local media (TDR-LMO-024).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub local_media: Vec<LocalMediaRecord>,
    /// Media figures per leg.
    pub media: Vec<MediaRecord>,
    /// What of its media an operator has captured: `headers` or `full`; nothing where none were (MED-364).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_captured: Option<&'static str>,
    /// Legs whose media did not get through, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub one_way: Vec<OneWayRecord>,
    /// What was transcoded, each direction by itself, in order (MED-240).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transcoded: Vec<TranscodedRecord>,
    /// Every transfer that was tried, in order (SIP-811).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transfers: Vec<TransferRecord>,
    /// Who talked to whom and for how long, in order, once a transfer has changed that: one entry for each
    /// pair of legs. Without a transfer it is the whole call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conversations: Vec<ConversationRecord>,
    /// The leg that answered the call.
    #[serde(skip)]
    pub answered_by: Option<LegId>,
    /// Parties that neither called first nor were called: they came for somebody else, or from another
    /// call.
    #[serde(skip)]
    pub parties: Vec<PartyRecord>,
}

/// The place that a call for help came from. The location itself is nobody's business but theirs who help.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize)]
pub struct PlaceRecord {
    /// How its location was found (TDR-EMG-004).
    pub method: Option<String>,
    /// Why the location could not be read.
    pub fault: Option<String>,
    /// The number that was shown instead of the caller's (TDR-EMG-005).
    pub elin: Option<String>,
}

/// One decision about the address of ours that Teams is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LocalMediaRecord {
    /// From the INVITE to the decision, in milliseconds.
    pub at_ms: u64,
    /// Leg.
    pub leg: LegId,
    /// What was said and decided, and why.
    #[serde(flatten)]
    pub choice: Choice,
    /// Realm of the address, where it is ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<RealmName>,
    /// Why the address changed within the call, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved: Option<&'static str>,
}

/// A party that neither called first nor was called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartyRecord {
    /// Leg.
    pub leg: LegId,
    /// Trunk.
    pub trunk: TrunkName,
    /// Number.
    pub number: String,
}

/// Two legs of a call that talked to each other (SIP-811).
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ConversationRecord {
    /// The leg on the caller's side.
    pub a: LegId,
    /// The leg on the called side.
    pub b: LegId,
    /// From the INVITE to its beginning, in milliseconds.
    pub from_ms: u64,
    /// How long it was, in milliseconds.
    pub duration_ms: u64,
    /// The conversation that was transferred, by its position; nothing for the first.
    pub transfer_of: Option<usize>,
    /// How it was transferred.
    pub transfer_type: Option<TransferKind>,
    /// The trunk that pays: the caller's, then that of who transferred the call.
    pub billed_to: TrunkName,
}

/// One transfer of a call. The call's customer pays for the new leg, as for the rest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TransferRecord {
    /// From the INVITE to the request for the transfer, in milliseconds.
    pub at_ms: u64,
    /// How.
    pub kind: TransferKind,
    /// Leg of who asked for it.
    pub by: LegId,
    /// Its trunk.
    pub trunk: TrunkName,
    /// Leg of the party that was to be transferred.
    pub party: LegId,
    /// Whom it should reach.
    pub target: String,
    /// What Teams calls the transferor's call when it asks, if it says so (TDR-CC-002).
    pub teams_call: Option<String>,
    /// The leg that took the transferor's place.
    pub leg: Option<LegId>,
    /// What became of it.
    pub outcome: TransferOutcome,
    /// Final status that the transferor was told of, or would have been.
    pub status: Option<u16>,
    /// Why.
    pub because: Because,
}

/// How a call is transferred. Label values of a metric.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferKind {
    /// To a party that is called for it.
    Blind,
    /// To a party that the transferor talks to already.
    Attended,
    /// By an INVITE that replaces a leg.
    Replaced,
    /// By the other party, which got the REFER.
    Relayed,
}

impl TransferKind {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blind => "blind",
            Self::Attended => "attended",
            Self::Replaced => "replaced",
            Self::Relayed => "relayed",
        }
    }
}

impl TransferOutcome {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
            Self::Unknown => "unknown",
        }
    }
}

/// What became of a transfer. Label values of a metric.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferOutcome {
    /// The two parties talk to each other.
    Completed,
    /// The target could not be had.
    Failed,
    /// It was not allowed or not possible.
    Refused,
    /// The call ended before.
    Abandoned,
    /// It was passed on to the other party, and nobody said how it ended.
    Unknown,
}

/// Outcome in one word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// The call was answered.
    Answered,
    /// The called party was busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// The called side refused.
    Rejected,
    /// The caller gave up.
    Cancelled,
    /// Something failed.
    Failed,
}

/// Signalling facts of the A leg.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct LegRecord {
    /// Trunk.
    pub trunk: TrunkName,
    /// Transport.
    pub protocol: Protocol,
    /// Address of ours that its INVITE came to.
    #[serde(serialize_with = "address")]
    pub local: SocketAddr,
    /// Peer's address.
    #[serde(serialize_with = "address")]
    pub remote: SocketAddr,
    /// Version and cipher suite of its connection; nothing without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSuite>,
    /// Names in its certificate, where it has shown one (mutual TLS).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peer_names: Vec<String>,
    /// Its Call-ID.
    pub call_id: String,
    /// Tag of its From, bounded and printable.
    pub from_tag: Option<String>,
    /// Tag of ours.
    pub to_tag: String,
    /// Peer's product token, if it sent one.
    pub user_agent: Option<String>,
    /// What Teams calls the call: the GUID in its Contact (TDG-CDR-004).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teams_call: Option<String>,
}

/// One attempt towards the called side.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct AttemptRecord {
    /// Leg.
    pub leg: LegId,
    /// Trunk.
    pub trunk: TrunkName,
    /// Called number, before the transforms of the trunk: another one than the call's after a
    /// redirection.
    pub called: String,
    /// What the transforms of calls that leave on the trunk add to it.
    #[serde(skip_serializing_if = "Custom::is_empty")]
    pub custom: Custom,
    /// Host as configured.
    pub host: String,
    /// Transport.
    pub protocol: Protocol,
    /// Address tried, if the name could be resolved.
    #[serde(serialize_with = "optional_address")]
    pub remote: Option<SocketAddr>,
    /// Version and cipher suite of the connection that its responses came on; nothing without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSuite>,
    /// Call-ID of the attempt.
    pub call_id: String,
    /// The peer's product token, from its responses.
    pub user_agent: Option<String>,
    /// From the INVITE of the call to this attempt, in milliseconds.
    pub started_ms: u64,
    /// From the INVITE of the call to the end of this attempt, in milliseconds; of the one that was answered it is the
    /// answer.
    pub ended_ms: Option<u64>,
    /// Final status, if there was one.
    pub status: Option<u16>,
    /// Reason phrase of a refusal, bounded and printable.
    pub phrase: Option<String>,
    /// Q.850 cause the peer gave.
    pub q850: Option<u8>,
    /// Where that cause arose, as the peer says (RFC 8606): `U`, `LN` and so on.
    pub q850_location: Option<String>,
    /// First Warning of a refusal, bounded and printable.
    pub warning: Option<String>,
    /// Reason text the peer gave, bounded and escaped.
    pub reason: Option<String>,
    /// Why the target was given up, when it was not a status.
    pub fault: Option<TargetFault>,
    /// From the INVITE to its first response, in milliseconds.
    pub first_response_ms: Option<u64>,
    /// From the INVITE to its first 101–199, in milliseconds: the post-dial delay of the attempt.
    pub first_progress_ms: Option<u64>,
    /// Targets of the trunk that were given up before this one, in order.
    pub given_up: Vec<GivenUp>,
    /// What Teams calls the call: the GUID in its first Contact (TDG-CDR-004).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teams_call: Option<String>,
}

/// A target of a trunk that was given up for the next one.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct GivenUp {
    /// Host as configured.
    pub host: String,
    /// Why.
    pub why: TargetFault,
}

/// Media figures of one leg.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct MediaRecord {
    /// Leg.
    pub leg: LegId,
    /// Encoding.
    pub codec: Option<String>,
    /// Packet time that was agreed for what we sent, in milliseconds.
    pub ptime_ms: Option<u8>,
    /// Whether SRTP was used.
    pub srtp: bool,
    /// Suite that the two agreed on in SDP (RFC 4568), or that a handshake of DTLS chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srtp_suite: Option<&'static str>,
    /// How the peer was told of digits last, and told them.
    pub dtmf: Option<DigitWay>,
    /// Where the peer's media came from.
    #[serde(serialize_with = "optional_address")]
    pub remote: Option<SocketAddr>,
    /// Where the peer was told to send them, as long as the leg was there.
    #[serde(serialize_with = "optional_address")]
    pub local: Option<SocketAddr>,
    /// RTP packets from the peer.
    pub packets_in: u64,
    /// RTP packets to the peer.
    pub packets_out: u64,
    /// Bytes from the peer.
    pub bytes_in: u64,
    /// Bytes to the peer.
    pub bytes_out: u64,
    /// Packets lost on the way to us.
    pub lost: i64,
    /// Interarrival jitter in milliseconds.
    pub jitter_ms: f64,
    /// Largest jitter in milliseconds.
    pub max_jitter_ms: f64,
    /// Round-trip time in milliseconds, if RTCP told.
    pub rtt_ms: Option<f64>,
    /// Packets we dropped, by reason; reasons with zero are left out.
    pub dropped: std::collections::BTreeMap<&'static str, u64>,
    /// Quality of what came from the peer.
    pub received: ReceivedRecord,
    /// Quality of what we sent, as the peer reports it.
    pub sent: Option<SentRecord>,
    /// The peer's last extended report on what we sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extended: Option<ExtendedRecord>,
    /// What Microsoft wants of the network, on legs with Teams.
    #[serde(rename = "teams_targets", skip_serializing_if = "Option::is_none")]
    pub targets: Option<TargetsRecord>,
}

/// How digits travel on a leg; the values are those of the trunk's `dtmf`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DigitWay {
    /// As events beside the audio (RFC 4733).
    Rfc4733,
    /// In INFO requests.
    Info,
    /// As tones in the audio.
    Inband,
}

/// One time that a leg's media did not get through to us, or ours to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OneWayRecord {
    /// Whose media.
    pub leg: LegId,
    /// What was seen, and in which direction: `received` is from the peer to us, `sent` from us to it.
    #[serde(flatten, serialize_with = "one_way_kind")]
    pub kind: OneWayKind,
    /// From the INVITE to when it was noticed, in milliseconds.
    pub at_ms: u64,
    /// For how long; nothing if it never ended.
    pub lasted_ms: Option<u32>,
}

/// Audio of one leg that reached another one in another codec.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TranscodedRecord {
    /// Whose audio.
    pub leg: LegId,
    /// Who heard it.
    pub heard_by: LegId,
    /// The codec that it came in.
    pub from: String,
    /// The codec that it was heard in.
    pub to: String,
    /// From the INVITE to when it was agreed on, in milliseconds.
    pub at_ms: u64,
}

/// Media of a call in progress.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LiveMedia {
    /// Media figures per leg so far.
    pub media: Vec<MediaRecord>,
    /// Legs whose media did not get through so far, in order.
    pub one_way: Vec<OneWayRecord>,
}

/// A call in progress, as `causeway calls list` shows it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CallSummary {
    /// Identifier.
    pub call: CallId,
    /// Customer; nothing for a number that nobody owns.
    pub tenant: Option<TenantName>,
    /// Trunk of the A leg.
    pub from_trunk: TrunkName,
    /// Trunk of the present B leg.
    pub to_trunk: Option<TrunkName>,
    /// Calling number.
    pub calling: String,
    /// Called number.
    pub called: String,
    /// What it is doing.
    pub state: &'static str,
    /// When the INVITE arrived.
    #[serde(serialize_with = "rfc3339")]
    pub start: UnixTime,
    /// When it was answered.
    #[serde(serialize_with = "optional_rfc3339")]
    pub answered: Option<UnixTime>,
}

/// What a call is beyond set up and answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallPhase {
    /// It was not answered, and its caller was told that somebody is called: by ringing or early media.
    Early,
    /// It was answered, and one of those who talk has the other on hold.
    Held,
}

impl CallPhase {
    /// The word for it in lists and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Held => "held",
        }
    }
}

impl CallSummary {
    /// Takes out what is nobody's business who may not see numbers.
    pub fn hide_numbers(&mut self) {
        for number in [&mut self.calling, &mut self.called] {
            *number = "hidden".to_owned();
        }
    }
}

fn one_way_kind<S: Serializer>(kind: &OneWayKind, to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(2))?;
    map.serialize_entry("kind", kind.as_str())?;
    map.serialize_entry("direction", kind.direction())?;
    map.end()
}

fn rfc3339<S: Serializer>(at: &UnixTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&at.rfc3339())
}

fn address<S: Serializer>(address: &SocketAddr, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&socket_text(*address))
}

fn optional_address<S: Serializer>(address: &Option<SocketAddr>, to: S) -> Result<S::Ok, S::Error> {
    match address {
        Some(own) => self::address(own, to),
        None => to.serialize_none(),
    }
}

fn optional_rfc3339<S: Serializer>(at: &Option<UnixTime>, to: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => to.serialize_str(&at.rfc3339()),
        None => to.serialize_none(),
    }
}
