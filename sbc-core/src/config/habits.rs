//! Small habits of a peer that differ from site to site: each a key of its trunk.

use super::file::pairs;
use super::finding::{Code, Collector};
use super::read::Section;
use super::reference::Form;
use super::source::{At, Span};
use super::tie::{self, TieBreak, WrittenTieBreak};
use crate::config::Preset;
use crate::sip::Status;
use std::collections::BTreeMap;
use std::time::Duration;

/// Habits of a peer, and what it may be asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Habits {
    /// Whether load is told and obeyed by RFC 7339.
    pub overload_control: bool,
    /// Whether requests within a dialog go to where the peer's come from, whatever its Contact says.
    pub symmetric_signalling: Symmetric,
    /// Largest packet of the path to it, if that is known: requests that come within 200 octets of it are
    /// too large for a datagram (RFC 3261 §18.1.1).
    pub mtu: Option<u16>,
    /// What becomes of an INVITE that came by another way already.
    pub merged: Merged,
    /// What becomes of its call that nobody has answered when its connection breaks.
    pub lost_connection: LostConnection,
    /// What it is told of why a call failed or ended.
    pub reason: ReasonForm,
    /// Whether a refusal of a call names our cause of it, in `X-SBC-Cause` (OPS-002): only where it is trusted.
    pub tells_cause: bool,
    /// Whether User-to-User data of calls from it stays out of records.
    pub hides_uui: bool,
    /// Seconds for which it is asked to stay away while we drain; without them it may come back as it
    /// likes.
    pub drain_pause_s: Option<u32>,
    /// What it gets instead of an Alert-Info value, by the URI that came.
    pub alerts: Vec<(String, String)>,
    /// Status that it is told in place of another of the called side, by that one.
    pub responses: BTreeMap<u16, Status>,
    /// How our URIs begin, and those of the peer as we write them.
    pub uri_scheme: UriScheme,
    /// Whether connections over TLS serve both directions (RFC 5923).
    pub connection_reuse: bool,
    /// Whether it is known to answer pings on connections (RFC 5626 §4.4.1).
    pub crlf_pong: bool,
    /// What tells its calls from those of other trunks of the same peer.
    pub tie_break: TieBreak,
    /// What becomes of a call for help to it whose caller hangs up.
    pub emergency_hold: EmergencyHold,
    /// What becomes of ISUP and QSIG in bodies.
    pub isup: Isup,
    /// Realms in which callers answer its challenges themselves.
    pub relay_auth: Vec<String>,
}

/// What becomes of ISUP and QSIG in the bodies of a peer's messages, and of those to it (RFC 3204).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Isup {
    /// It stays behind. What comes from the peer and cannot be understood without is refused; what comes from one that
    /// passes it goes on without: that the other network hears less is for the operator to know, who joins the two.
    #[default]
    Strip,
    /// It goes to and comes from other trunks that say the same.
    Pass,
}

/// What becomes of a call for help whose caller hangs up, as those who help want it (SIP-1405).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum EmergencyHold {
    /// It ends, as every call does.
    #[default]
    Release,
    /// The caller's BYE is answered, and the line to those who help stays until they hang up, for half an
    /// hour at most: they know from it who called, and end the call themselves.
    Hold,
    /// The caller's BYE gets 403, and the call goes on as if it had not come, for phones that heed that.
    Refuse,
}

/// Whether a peer is reached where its messages come from (SIP-107).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Symmetric {
    /// Where it gives an address of a private network, and is heard from outside of any.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never: what it says of itself counts.
    Never,
}

/// The scheme of URIs (RFC 5630).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum UriScheme {
    /// `sip:`, with `;transport=tls` where that is TLS, as nearly every peer expects it.
    #[default]
    Sip,
    /// `sips:`, which asks for TLS at every hop.
    Sips,
}

/// What a peer is told of why a call failed or ended (SIP-1200).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ReasonForm {
    /// What the other party said, else the Q.850 value that the status stands for.
    #[default]
    Q850,
    /// What the other party said.
    Pass,
    /// Nothing.
    None,
}

/// What becomes of a request that came by another way already (RFC 3261 §8.2.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Merged {
    /// It gets 482.
    #[default]
    Refuse,
    /// It is a call of its own: for peers that call two of our addresses.
    Accept,
}

/// What becomes of a call that nobody has answered when the connection that it came on breaks
/// (TDR-ERR-012). A connection that is closed in order ends nothing: the answer goes over another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum LostConnection {
    /// It goes on.
    #[default]
    Wait,
    /// It ends: the peer makes the call again by another way, and the called party should not ring twice.
    /// So does one whose connection was closed, once the same call comes again.
    End,
}

/// What the operator wrote.
#[derive(Default)]
pub(super) struct WrittenHabits {
    overload_control: Option<At<bool>>,
    symmetric_signalling: Option<At<bool>>,
    mtu: Option<At<u64>>,
    merged: Option<At<Merged>>,
    lost_connection: Option<At<LostConnection>>,
    reason: Option<At<ReasonForm>>,
    cause_header: Option<At<bool>>,
    uui_record: Option<At<bool>>,
    drain_pause: Option<At<u64>>,
    alerts: Vec<(At<String>, At<String>)>,
    responses: Vec<(At<String>, At<String>)>,
    uri_scheme: Option<At<UriScheme>>,
    connection_reuse: Option<At<bool>>,
    crlf_pong: Option<At<bool>>,
    tie_break: Option<WrittenTieBreak>,
    emergency_hold: Option<At<EmergencyHold>>,
    isup: Option<At<Isup>>,
    relay_auth: Option<At<Vec<At<String>>>>,
}

/// Reads the keys of a trunk.
pub(super) fn read(section: &mut Section<'_>, out: &mut Collector) -> WrittenHabits {
    let merged = [("482", Merged::Refuse), ("accept", Merged::Accept)];
    let reason = [
        ("q850", ReasonForm::Q850),
        ("pass", ReasonForm::Pass),
        ("none", ReasonForm::None),
    ];
    let lost = [("wait", LostConnection::Wait), ("end", LostConnection::End)];
    let schemes = [("sip", UriScheme::Sip), ("sips", UriScheme::Sips)];
    let holds = [
        ("release", EmergencyHold::Release),
        ("hold", EmergencyHold::Hold),
        ("refuse", EmergencyHold::Refuse),
    ];
    let isup = [("strip", Isup::Strip), ("pass", Isup::Pass)];
    section.notes("alert_info", Form::Pairs, out);
    let alerts = section.take("alert_info");
    section.notes("responses", Form::Pairs, out);
    let responses = section.take("responses");
    WrittenHabits {
        reason: section.choice("reason", &reason, &[], out),
        cause_header: section.boolean("cause_header", out),
        uui_record: section.boolean("uui_record", out),
        drain_pause: section.number("drain_retry_after", 1..=3600, out),
        alerts: alerts.map_or(Vec::new(), |item| {
            pairs(&item, &section.title, "alert_info", out)
        }),
        responses: responses.map_or(Vec::new(), |item| {
            pairs(&item, &section.title, "responses", out)
        }),
        overload_control: section.boolean("overload_control", out),
        symmetric_signalling: section.boolean("symmetric_signalling", out),
        // Every host takes 576 octets (RFC 791), and no datagram has more than 65,535.
        mtu: section.number("mtu", 576..=65_535, out),
        merged: section.choice("merged", &merged, &[], out),
        lost_connection: section.choice("lost_connection", &lost, &[], out),
        connection_reuse: section.boolean("connection_reuse", out),
        crlf_pong: section.boolean("crlf_pong", out),
        uri_scheme: section.choice("uri_scheme", &schemes, &[], out),
        tie_break: tie::read(section, out),
        emergency_hold: section.choice("emergency_hold", &holds, &[], out),
        isup: section.choice("isup", &isup, &[], out),
        relay_auth: section.texts("relay_auth", out),
    }
}

/// Octets that RFC 3261 §18.1.1 lets go over UDP where the MTU of the path is not known.
const USUAL_DATAGRAM: usize = 1_300;

impl Habits {
    /// The longest request that goes to the peer as one datagram (SIP-110).
    pub fn largest_datagram(&self) -> usize {
        self.mtu
            .map_or(USUAL_DATAGRAM, |mtu| usize::from(mtu).saturating_sub(200))
    }
}

/// Pace of probes through a NAT: it may forget a way after half a minute (RFC 5626 §4.4.2).
const NAT_PACE: Duration = Duration::from_secs(25);

impl WrittenHabits {
    /// Where it says that the peer is not told why, if it does.
    pub(super) fn hides_reason(&self) -> Option<&Span> {
        let at = self.reason.as_ref();
        let at = at.filter(|at| at.value == ReasonForm::None);
        at.map(|at| &at.span)
    }

    /// Where it says that the peer is told our causes.
    pub(super) fn tells_cause(&self) -> Option<&Span> {
        let key = self.cause_header.as_ref().filter(|at| at.value)?;
        Some(&key.span)
    }

    /// Where it says what would break connections of Teams, with the reason.
    pub(super) fn wrong_at_teams(&self) -> Option<(&Span, &'static str)> {
        let key = self.symmetric_signalling.as_ref().filter(|at| at.value)?;
        // TDR-SIP-040
        let cause =
            "Teams is reached by its Record-Route and Contact, not where its connections come from";
        Some((&key.span, cause))
    }

    /// What of it means nothing at Teams, with the reason.
    pub(super) fn unknown_to_teams(&self) -> impl Iterator<Item = (&Span, &'static str)> {
        let isup = self.speaks_isup();
        let isup = isup.map(|span| (span, "Teams speaks no ISUP"));
        let asks = self.relays_auth();
        let asks = asks.map(|span| (span, "Teams asks nobody for credentials"));
        isup.into_iter().chain(asks)
    }

    /// Where it says that callers answer challenges of the peer themselves.
    pub(super) fn relays_auth(&self) -> Option<&Span> {
        let key = self.relay_auth.as_ref().filter(|at| !at.value.is_empty())?;
        Some(&key.span)
    }

    /// The realms of those challenges.
    pub(super) fn relayed_realms(&self) -> impl Iterator<Item = &At<String>> {
        self.relay_auth.iter().flat_map(|at| &at.value)
    }

    /// Where it says that the peer speaks ISUP.
    pub(super) fn speaks_isup(&self) -> Option<&Span> {
        let key = self.isup.as_ref().filter(|at| at.value == Isup::Pass)?;
        Some(&key.span)
    }

    /// Where it says that the peer answers pings.
    pub(super) fn says_pongs(&self) -> Option<&Span> {
        let key = self.crlf_pong.as_ref().filter(|at| at.value)?;
        Some(&key.span)
    }

    /// The usual pace of probes to the peer: faster than another's if it is behind a NAT by the operator's
    /// word, so that the way to it stays open while there is no call (SIP-107).
    pub(super) fn probe_pace(&self, usual: Duration) -> Duration {
        match &self.symmetric_signalling {
            Some(at) if at.value => usual.min(NAT_PACE),
            Some(_) | None => usual,
        }
    }

    /// The habits; what is not written is as RFCs have it.
    pub(super) fn habits(&self, title: &str, preset: Preset, out: &mut Collector) -> Habits {
        for (from, to) in &self.alerts {
            let is_fit = |text: &str| {
                (1..=256).contains(&text.len()) && text.bytes().all(|o| (0x20..0x7f).contains(&o))
            };
            if !is_fit(&to.value) || !to.value.starts_with('<') {
                out.add(
                    Code::BadForm,
                    &to.span,
                    format!(
                        "{title}: alert_info: \"{}\" cannot be sent",
                        to.value.escape_debug()
                    ),
                    Some(
                        "write it as it stands in the header, \"<urn:alert:service:normal>\""
                            .to_owned(),
                    ),
                );
            }
            if !is_fit(&from.value) || from.value.contains(['<', '>']) {
                out.add(
                    Code::BadForm,
                    &from.span,
                    format!(
                        "{title}: alert_info: \"{}\" is no URI",
                        from.value.escape_debug()
                    ),
                    Some(
                        "write what stands between < and >, such as \"urn:alert:source:external\""
                            .to_owned(),
                    ),
                );
            }
        }
        let alerts = self.alerts.iter();
        Habits {
            responses: self.responses(title, out),
            reason: chosen(&self.reason),
            tells_cause: chosen(&self.cause_header),
            drain_pause_s: self.drain_pause.as_ref().map(|at| at.value as u32),
            hides_uui: self.uui_record.as_ref().is_some_and(|at| !at.value),
            alerts: alerts
                .map(|(from, to)| (from.value.clone(), to.value.clone()))
                .collect(),
            overload_control: chosen(&self.overload_control),
            symmetric_signalling: match &self.symmetric_signalling {
                None => Symmetric::Auto,
                Some(at) if at.value => Symmetric::Always,
                Some(_) => Symmetric::Never,
            },
            mtu: self
                .mtu
                .as_ref()
                .and_then(|at| u16::try_from(at.value).ok()),
            merged: chosen(&self.merged),
            lost_connection: match (&self.lost_connection, preset) {
                (Some(at), _) => at.value,
                // It tries the same trunk again from another data centre (TDR-ERR-010).
                (None, Preset::Teams) => LostConnection::End,
                (None, Preset::Carrier) => LostConnection::Wait,
            },
            uri_scheme: chosen(&self.uri_scheme),
            connection_reuse: chosen(&self.connection_reuse),
            crlf_pong: chosen(&self.crlf_pong),
            tie_break: match &self.tie_break {
                Some(written) => written.checked(title, out),
                None => TieBreak::default(),
            },
            emergency_hold: chosen(&self.emergency_hold),
            isup: chosen(&self.isup),
            relay_auth: self.relayed_realms().map(|at| at.value.clone()).collect(),
        }
    }
}

impl WrittenHabits {
    /// What is told in place of what; what is no refusal, or a question to us, is nothing to be told. What becomes
    /// of a redirection is said by the trunk that it comes from, so it is none here.
    fn responses(&self, title: &str, out: &mut Collector) -> BTreeMap<u16, Status> {
        let mut responses = BTreeMap::new();
        for (from, to) in &self.responses {
            let status = |at: &At<String>| Status::new(at.value.parse().ok()?);
            let came = status(from);
            if came.is_some_and(|own| (300..400).contains(&own.code())) {
                out.add(
                    Code::BadForm,
                    &from.span,
                    format!(
                        "{title}: responses: \"{}\" is a redirection, and only refusals, 400 to 699, are told as another",
                        from.value.escape_debug()
                    ),
                    Some(
                        "write redirect in the [[trunk]] that redirects: \"fail\" refuses the call with 480"
                            .to_owned(),
                    ),
                );
                continue;
            }
            let came = came.filter(|own| own.code() >= 400);
            let told = status(to).filter(|own| own.code() >= 400);
            let told = told.filter(|own| !matches!(own.code(), 401 | 407 | 422 | 487 | 491));
            match (came, told) {
                (Some(came), Some(told)) => {
                    responses.insert(came.code(), told);
                }
                (came, _) => out.add(
                    Code::BadForm,
                    if came.is_none() { &from.span } else { &to.span },
                    format!(
                        "{title}: responses: \"{}\" = \"{}\" is no refusal that may be told for another",
                        from.value.escape_debug(),
                        to.value.escape_debug()
                    ),
                    Some("write responses = { \"603\" = \"486\" }".to_owned()),
                ),
            }
        }
        responses
    }
}

fn chosen<T: Copy + Default>(written: &Option<At<T>>) -> T {
    written.as_ref().map(|at| at.value).unwrap_or_default()
}
