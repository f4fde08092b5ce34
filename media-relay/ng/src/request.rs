//! What is asked, read from the values of a message.

use crate::codecs::CodecWishes;
use crate::running::Order;
use crate::value::Value;
use media_api::{Family, Suite};
use std::net::IpAddr;

/// Longest name of a call or party in octets.
const NAME: usize = 512;

const NO_FAX: &str = "faxes pass as they are, and are not turned into audio or out of it";
const NO_RECORDING: &str = "nothing is recorded";
/// Keys that ask for what is not done.
const UNSERVED: [(&str, &str); 5] = [
    ("T.38", NO_FAX),
    ("record-call", NO_RECORDING),
    ("delay-buffer", "media are not delayed"),
    ("media-echo", "nobody is sent their own media"),
    (
        "media-address",
        "the address is that of the side, which \"direction\" names",
    ),
];

/// A request.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Request<'a> {
    Ping,
    Offer(Exchange<'a>),
    Answer(Exchange<'a>),
    /// At once, or after so many milliseconds.
    Delete(Which<'a>, u64),
    Order(Order<'a>),
    Query(Which<'a>),
    List {
        most: usize,
    },
    Statistics,
}

/// A call, and perhaps a party or branch of it.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Which<'a> {
    pub(crate) call: &'a str,
    pub(crate) tag: Option<&'a str>,
    pub(crate) branch: Option<&'a str>,
}

/// A description on its way from one party to the other.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) which: Which<'a>,
    /// Tag of the party that makes the offer.
    pub(crate) offerer: &'a str,
    /// Tag of the party that answers; not known in a first offer.
    pub(crate) answerer: Option<&'a str>,
    pub(crate) sdp: &'a [u8],
    /// What its author is called from now on.
    pub(crate) label: Option<&'a str>,
    /// Whether the proxy wants to be told apart that there is no room.
    pub(crate) tells_limit: bool,
    pub(crate) wishes: Wishes,
}

/// What becomes of the description on its way.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Wishes {
    /// Names of the network sides: that of who sends the description, and that of who gets it.
    pub(crate) sides: Option<(String, String)>,
    /// Family of our addresses in the description that goes out.
    pub(crate) family: Option<Family>,
    /// Transport protocol of the description that goes out, in place of the one that came in.
    pub(crate) transport: Option<Transport>,
    /// Where the signalling of who sends the description comes from.
    pub(crate) received_from: Option<IpAddr>,
    /// The address in the description is not to be believed, the one of the signalling is.
    pub(crate) is_behind_nat: bool,
    /// Media may only come from where the description says.
    pub(crate) is_asymmetric: bool,
    pub(crate) replaces_origin: bool,
    pub(crate) rtcp_mux: RtcpMux,
    /// Whether one port is refused to who offers it.
    pub(crate) rejects_mux: bool,
    pub(crate) suites: Suites,
    /// Whether `a=rtcp` may be written.
    pub(crate) has_no_rtcp_line: bool,
    pub(crate) ice: IceWish,
    /// Whether an agent that is offered is passed over.
    pub(crate) rejects_ice: bool,
    pub(crate) dtls: DtlsWish,
    /// Whether keys of who sends the description are blocked from now on.
    pub(crate) blocks_digits: bool,
    /// Whether media of the call are blocked from now on, or not any more.
    pub(crate) drops: Option<bool>,
    pub(crate) codecs: CodecWishes,
    /// Packet time towards who gets an offer, in milliseconds.
    pub(crate) ptime_ms: Option<u8>,
    /// The same towards who makes it.
    pub(crate) ptime_back_ms: Option<u8>,
}

/// What is wanted of ICE in the description that goes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum IceWish {
    /// An agent of ours if the one that came in has one.
    #[default]
    AsCame,
    /// None.
    Remove,
    /// An agent of ours.
    Force,
}

/// What is wanted of DTLS-SRTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct DtlsWish {
    /// It is neither offered nor taken.
    pub(crate) is_off: bool,
    /// Whoever leaves the choice to us begins the handshake itself.
    pub(crate) is_passive: bool,
}

/// An `RTP` profile that can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    Avp,
    Avpf,
    Savp,
    Savpf,
    DtlsSavp,
    DtlsSavpf,
}

impl Transport {
    pub(crate) const ALL: [Self; 6] = [
        Self::Avp,
        Self::Avpf,
        Self::Savp,
        Self::Savpf,
        Self::DtlsSavp,
        Self::DtlsSavpf,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Avp => "RTP/AVP",
            Self::Avpf => "RTP/AVPF",
            Self::Savp => "RTP/SAVP",
            Self::Savpf => "RTP/SAVPF",
            Self::DtlsSavp => "UDP/TLS/RTP/SAVP",
            Self::DtlsSavpf => "UDP/TLS/RTP/SAVPF",
        }
    }
}

/// With which suites SRTP is offered on: all that are spoken, unless there is a wish.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Suites {
    only: Option<Vec<Suite>>,
    without: Vec<Suite>,
    /// No keys in descriptions at all.
    is_off: bool,
}

impl Suites {
    /// Whether keys may stand in descriptions.
    pub(crate) const fn are_off(&self) -> bool {
        self.is_off
    }

    pub(crate) fn admit(&self, suite: Suite) -> bool {
        let is_named = self.only.as_ref().is_none_or(|only| only.contains(&suite));
        is_named && !self.is_off && !self.without.contains(&suite)
    }

    /// Reads a word of `SDES`, or of a flag behind `SDES-`.
    fn wish(&mut self, word: &str) {
        let of = |name: &str| Suite::from_name(name.as_bytes()).map(|(suite, _)| suite);
        // What is not spoken is not offered anyway.
        if let Some(name) = word.strip_prefix("only-") {
            self.only.get_or_insert_default().extend(of(name));
        } else if let Some(name) = word.strip_prefix("no-") {
            self.without.extend(of(name));
        } else {
            self.is_off |= matches!(word, "off" | "no" | "disable" | "disabled");
        }
    }
}

/// What is wanted of one port for RTP and RTCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum RtcpMux {
    /// Offered on if it was offered.
    #[default]
    AsOffered,
    /// Offered in any case.
    Offer,
    /// Never offered.
    Demux,
}

/// Why a message is no request that can be served: the words of the answer.
pub(crate) type Reason = String;

impl<'a> Request<'a> {
    pub(crate) fn read(body: &'a Value<'a>) -> Result<Self, Reason> {
        if body.get("rtpp-flags").is_some() {
            return Err("\"rtpp_flags\" has too many words, or brackets that do not match".into());
        }
        let command = body.get("command").and_then(Value::str);
        match command.ok_or("the key \"command\" is missing")? {
            "ping" => Ok(Self::Ping),
            "offer" => Ok(Self::Offer(Exchange::read(body)?)),
            "answer" => {
                let exchange = Exchange::read(body)?;
                match exchange.answerer {
                    Some(_) => Ok(Self::Answer(exchange)),
                    None => Err("an answer needs the key \"to-tag\"".into()),
                }
            }
            "delete" => Ok(Self::Delete(Which::read(body)?, delay_ms(body))),
            "query" => Ok(Self::Query(Which::read(body)?)),
            "list" => {
                let most = body.get("limit").and_then(Value::integer).unwrap_or(32);
                Ok(Self::List {
                    most: usize::try_from(most).unwrap_or(0),
                })
            }
            "statistics" => Ok(Self::Statistics),
            other => match Order::read(other, body)? {
                Some(order) => Ok(Self::Order(order)),
                None => {
                    let shown: String = other.chars().take(40).collect();
                    Err(format!(
                        "unrecognized command \"{}\": ping, offer, answer, delete, query, list, statistics, and \
                         block, unblock, silence, unsilence, play and stop of media or DTMF are known",
                        shown.escape_debug()
                    ))
                }
            },
        }
    }
}

impl<'a> Which<'a> {
    fn read(body: &'a Value<'a>) -> Result<Self, Reason> {
        Ok(Self {
            call: name(body, "call-id")?.ok_or("the key \"call-id\" is missing")?,
            tag: name(body, "from-tag")?,
            branch: name(body, "via-branch")?,
        })
    }
}

/// How long media still pass that are to be deleted, at most an hour. Modules count seconds.
fn delay_ms(body: &Value<'_>) -> u64 {
    let seconds = body.get("delete-delay").and_then(Value::integer);
    u64::try_from(seconds.unwrap_or(0)).unwrap_or(0).min(3_600) * 1_000
}

/// A packet time that the relay can make (MED-027).
fn packet_time(body: &Value<'_>, key: &str) -> Result<Option<u8>, Reason> {
    let Some(value) = body.get(key) else {
        return Ok(None);
    };
    match value.integer() {
        Some(0) => Ok(None),
        Some(ms @ (10 | 20 | 30 | 40 | 60)) => Ok(u8::try_from(ms).ok()),
        _ => Err(format!("\"{key}\" is 10, 20, 30, 40 or 60 ms")),
    }
}

/// Its flags: blanks and underscores are hyphens in some senders.
pub(crate) fn flags(body: &Value<'_>) -> impl Iterator<Item = String> {
    let words = body.get("flags").into_iter().flat_map(Value::words);
    words.map(|word| word.replace([' ', '_'], "-"))
}

/// The name under a key: short and printable, if it is there.
pub(crate) fn name<'a>(body: &'a Value<'a>, key: &str) -> Result<Option<&'a str>, Reason> {
    let Some(value) = body.get(key) else {
        return Ok(None);
    };
    let text = value.str().filter(|text| text.len() <= NAME);
    match text.filter(|text| !text.chars().any(char::is_control)) {
        Some("") => Ok(None),
        Some(text) => Ok(Some(text)),
        None => Err(format!("\"{key}\" is not a text of at most {NAME} octets")),
    }
}

impl<'a> Exchange<'a> {
    fn read(body: &'a Value<'a>) -> Result<Self, Reason> {
        let sdp = body.get("sdp").and_then(Value::octets);
        Ok(Self {
            which: Which::read(body)?,
            offerer: name(body, "from-tag")?.ok_or("the key \"from-tag\" is missing")?,
            answerer: name(body, "to-tag")?,
            sdp: sdp.ok_or("the key \"sdp\" is missing")?,
            label: match name(body, "set-label")? {
                Some(label) => Some(label),
                None => match name(body, "label")? {
                    Some(label) => Some(label),
                    None => name(body, "from-label")?,
                },
            },
            tells_limit: {
                let mut words = body.get("supports").into_iter().flat_map(Value::words);
                words.any(|word| word.replace(['-', '_'], " ") == "load limit")
            },
            wishes: Wishes::read(body)?,
        })
    }
}

impl Wishes {
    fn read(body: &Value<'_>) -> Result<Self, Reason> {
        let mut wishes = Self::default();
        let transport = body.get("transport-protocol").and_then(Value::str);
        // An answer with another transport than was offered is brought back to that in any case.
        if let Some(written) = transport.filter(|written| *written != "accept") {
            let known = Transport::ALL
                .into_iter()
                .find(|transport| transport.name().eq_ignore_ascii_case(written));
            wishes.transport = Some(known.ok_or_else(|| {
                format!(
                    "transport-protocol {}: RTP/AVP, RTP/AVPF, RTP/SAVP, RTP/SAVPF, UDP/TLS/RTP/SAVP and \
                     UDP/TLS/RTP/SAVPF are known",
                    written.escape_debug()
                )
            })?);
        }
        for word in body.get("ICE").into_iter().flat_map(Value::words) {
            match word.to_ascii_lowercase().as_str() {
                "remove" => wishes.ice = IceWish::Remove,
                "force" | "optional" => wishes.ice = IceWish::Force,
                "force-relay" => {
                    return Err(
                        "ICE=force-relay: media pass here, and an offer has no candidates of others beside ours".into(),
                    );
                }
                // Ours is a lite agent in any case, and has nothing to trickle.
                _ => {}
            }
        }
        for word in body.get("DTLS").into_iter().flat_map(Value::words) {
            match word.to_ascii_lowercase().as_str() {
                "off" | "no" | "disable" => wishes.dtls.is_off = true,
                "passive" => wishes.dtls.is_passive = true,
                "active" => wishes.dtls.is_passive = false,
                _ => {}
            }
        }
        // Nobody must believe that a call is recorded, or changed, that is not.
        for (key, what) in UNSERVED {
            let is_no = |value: &Value<'_>| match value {
                Value::List(items) => items.is_empty(),
                Value::Integer(number) => *number == 0,
                value => matches!(value.str(), Some("" | "no" | "off")),
            };
            if body.get(key).is_some_and(|value| !is_no(value)) {
                return Err(format!("\"{key}\": {what}"));
            }
        }
        let of = |key| body.get(key).and_then(Value::str);
        if let (Some(from), Some(to)) = (of("from-interface"), of("to-interface")) {
            wishes.sides = Some((from.into(), to.into()));
        } else if let Some(sides) = body.get("direction") {
            let mut words = sides.words();
            match (words.next(), words.next()) {
                (Some(from), Some(to)) => wishes.sides = Some((from.into(), to.into())),
                _ => return Err("\"direction\" needs the names of two sides".into()),
            }
        }
        wishes.family = match body.get("address-family").and_then(Value::str) {
            None => None,
            Some("IP4") => Some(Family::V4),
            Some("IP6") => Some(Family::V6),
            Some(_) => return Err("\"address family\" is IP4 or IP6".into()),
        };
        if let Some(Value::List(items)) = body.get("received-from") {
            // The family, then the address.
            let address = items.last().and_then(Value::str);
            wishes.received_from = address.and_then(|text| text.parse().ok());
        }
        for word in body.get("replace").into_iter().flat_map(Value::words) {
            wishes.replaces_origin |= word == "origin";
        }
        for word in body.get("rtcp-mux").into_iter().flat_map(Value::words) {
            match word {
                "offer" | "require" => wishes.rtcp_mux = RtcpMux::Offer,
                "demux" => wishes.rtcp_mux = RtcpMux::Demux,
                "reject" => wishes.rejects_mux = true,
                _ => {}
            }
        }
        wishes.drops = match body.get("drop-traffic").and_then(Value::str) {
            Some("start") => Some(true),
            Some("stop") => Some(false),
            _ => None,
        };
        for word in body.get("SDES").into_iter().flat_map(Value::words) {
            wishes.suites.wish(word);
        }
        for word in body.get("flags").into_iter().flat_map(Value::words) {
            // Their names have underscores of their own.
            if let Some(wish) = word.strip_prefix("SDES-") {
                wishes.suites.wish(wish);
            }
        }
        wishes.codecs = CodecWishes::read(body)?;
        wishes.ptime_ms = packet_time(body, "ptime")?;
        wishes.ptime_back_ms = packet_time(body, "ptime-reverse")?;
        for flag in flags(body) {
            match flag.as_str() {
                "SIP-source-address" => wishes.is_behind_nat = true,
                "trust-address" => wishes.is_behind_nat = false,
                "asymmetric" => wishes.is_asymmetric = true,
                "replace-origin" => wishes.replaces_origin = true,
                "reject-ICE" => wishes.rejects_ice = true,
                "DTLS-off" => wishes.dtls.is_off = true,
                "DTLS-passive" => wishes.dtls.is_passive = true,
                "WebRTC" => {
                    wishes.transport = Some(Transport::DtlsSavpf);
                    wishes.ice = IceWish::Force;
                    wishes.rtcp_mux = RtcpMux::Offer;
                    wishes.has_no_rtcp_line = true;
                    wishes.suites.is_off = true;
                }
                "block-DTMF" => wishes.blocks_digits = true,
                "no-rtcp-attribute" => wishes.has_no_rtcp_line = true,
                "rtcp-mux-offer" | "rtcp-mux-require" => wishes.rtcp_mux = RtcpMux::Offer,
                "rtcp-mux-demux" => wishes.rtcp_mux = RtcpMux::Demux,
                "rtcp-mux-reject" => wishes.rejects_mux = true,
                "record-call" => return Err(format!("the flag record-call: {NO_RECORDING}")),
                flag if ["T.38-", "T38-"]
                    .iter()
                    .any(|start| flag.starts_with(start)) =>
                {
                    return Err(format!("the flag {}: {NO_FAX}", flag.escape_debug()));
                }
                // Others wish for what happens anyway, or for what changes nothing of the call.
                _ => {}
            }
        }
        Ok(wishes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    fn why(json: &str) -> String {
        let text = format!("c {json}");
        let message = Message::read(text.as_bytes()).unwrap();
        Request::read(&message.body).unwrap_err()
    }

    #[test]
    fn an_offer_of_the_usual_modules_is_understood() {
        let text = concat!(
            r#"c {"command":"offer","call-id":"1@a","from-tag":"x","via-branch":"z9","sdp":"v=0","#,
            r#""received-from":["IP4","192.0.2.7"],"ICE":"remove","direction":["external","internal"],"#,
            r#""transport-protocol":"RTP/SAVP","replace":["origin","session-connection"],"#,
            r#""flags":["SIP source address","asymmetric"],"rtcp-mux":["demux"],"address family":"IP6"}"#
        );
        let message = Message::read(text.as_bytes()).unwrap();
        let Ok(Request::Offer(offer)) = Request::read(&message.body) else {
            panic!("an offer")
        };
        assert_eq!((offer.which.call, offer.which.branch), ("1@a", Some("z9")));
        assert_eq!(
            (offer.offerer, offer.answerer, offer.sdp),
            ("x", None, &b"v=0"[..])
        );
        assert_eq!(
            offer.wishes,
            Wishes {
                sides: Some(("external".into(), "internal".into())),
                family: Some(Family::V6),
                transport: Some(Transport::Savp),
                received_from: Some("192.0.2.7".parse().unwrap()),
                is_behind_nat: true,
                is_asymmetric: true,
                replaces_origin: true,
                rtcp_mux: RtcpMux::Demux,
                ice: IceWish::Remove,
                ..Wishes::default()
            }
        );
    }

    #[test]
    fn what_cannot_be_served_is_named() {
        assert_eq!(why("{}"), "the key \"command\" is missing");
        let why_not = why(r#"{"command":"start recording"}"#);
        assert!(why_not.contains("unrecognized command \"start recording\""));
        assert_eq!(
            why(r#"{"command":"delete"}"#),
            "the key \"call-id\" is missing"
        );
        let of = |rest: &str| {
            why(&format!(
                r#"{{"command":"offer","call-id":"1","from-tag":"x"{rest}}}"#
            ))
        };
        assert_eq!(of(""), "the key \"sdp\" is missing");
        let of = |rest: &str| of(&format!(r#","sdp":"v=0",{rest}"#));
        assert!(of(r#""transport-protocol":"TCP/RTP/AVP""#).contains("are known"));
        assert!(of(r#""ICE":["force-relay"]"#).contains("beside ours"));
        assert!(of(r#""direction":["one"]"#).contains("two sides"));
        for (key, value) in [
            ("codec", r#"{"remove":["PCMU"]}"#),
            ("codec", r#""PCMU""#),
            ("record call", r#""yes""#),
            ("media address", r#""192.0.2.1""#),
            ("T.38", r#"["decode"]"#),
            ("ptime", "5"),
            ("ptime", "33"),
            ("ptime-reverse", "25"),
            ("ptime-reverse", "\"x\""),
            ("flags", r#"["codec-remove-opus"]"#),
            ("flags", r#"["codec-strip-"]"#),
            ("flags", r#"["T.38 decode"]"#),
            ("flags", r#"["record call"]"#),
        ] {
            let why = of(&format!(r#""{key}":{value}"#));
            assert!(
                why.contains("are known")
                    || why.contains("dictionary of lists")
                    || why.contains("names no codec")
                    || why.contains("10, 20, 30, 40 or 60 ms")
                    || why.contains("recorded")
                    || why.contains("faxes pass")
                    || why.contains("of the side"),
                "{key}: {why}"
            );
        }
        assert!(of(r#""address family":"IP5""#).contains("IP4 or IP6"));
        assert!(of(r#""to-tag":"a\nb""#).contains("\"to-tag\""));
        let answer = r#"{"command":"answer","call-id":"1","from-tag":"x","sdp":"v=0"}"#;
        assert!(why(answer).contains("to-tag"));
    }
}
