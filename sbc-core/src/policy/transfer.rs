//! What a REFER asks for: whom to call, what to tell the new party, and whether the transferor may.
//!
//! Whoever transfers a call may reach what he could call himself: the target is routed as a call of
//! the transferor's trunk, for the same customer (SEC-066). Teams is the exception. It names nobody
//! but itself, in strings that only it understands, and its own proxies are called with them octet
//! by octet (TDR-XFR-010, TDR-XFR-011).

use crate::cause::{Because, Decision};
use crate::config::{Config, Preset, TransformScope, Trunk};
use crate::id::{RouteName, TenantName};
use crate::mint::Mint;
use crate::policy::diversion::Trail;
use crate::policy::embedded::Embedded;
use crate::policy::emergency;
use crate::policy::ingress::{Ingress, KnownBy};
use crate::policy::number::{self, Number};
use crate::policy::replacement::Replacement;
use crate::policy::{route, secure};
use crate::sip::body;
use crate::sip::header::{ReferTo, ReferredBy, Replaces, Require};
use crate::sip::{HeaderName, MAX_URI, Message, SipUri, Status, Uri, WrittenUri};
use crate::time::UnixTime;
use crate::trunk::{Closed, Closing};
use bytes::Bytes;
use std::sync::Arc;

/// What a REFER asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Whom to call.
    pub target: WrittenUri,
    /// Headers that the URI wants in the new INVITE.
    embedded: Embedded,
    /// The dialog that the new call shall replace; never of Teams.
    pub replaces: Option<Replaces>,
    /// Whether no call is wanted that does not replace it.
    requires_replaces: bool,
    /// Whether Teams named one, read or not: it takes no Replaces itself (TDR-SIP-014).
    drops_replaces: bool,
    /// Referred-By, octet by octet.
    referred_by: Option<Bytes>,
    /// The part of the body that proves it, with its headers (RFC 3892 §3).
    token: Option<Bytes>,
}

/// Why a REFER is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Status of the answer.
    pub status: Status,
    /// Why, for the record.
    pub because: Because,
}

/// Where a transfer leads.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// Trunks to try, in order.
    pub trunks: Vec<Arc<Trunk>>,
    /// The number that is called, inside; for a target that is called as it is written, a name of
    /// it for records.
    pub called: Number,
    /// Whether the URI goes out octet by octet.
    pub is_verbatim: bool,
    /// The route that leads there, where one does.
    pub route: Option<RouteName>,
    /// Whether it calls for help.
    pub is_emergency: bool,
}

/// Longest Refer-To and Referred-By that are taken, octets. What is longer is refused and never cut: it means
/// something to its sender as a whole (TDR-XFR-013). A URI in them may have 4,096.
const LONGEST_HEADER: usize = 8_192;

/// Longest number that an operator names, octets.
const LONGEST_NUMBER: usize = 64;

/// Longest proof of who refers that is passed on, octets.
const LONGEST_TOKEN: usize = 8_192;

impl Wish {
    /// Reads a REFER of such a peer (SIP-800).
    pub fn of(request: &Message, by: Preset) -> Result<Self, Refused> {
        let refused = |status, why: &str| Refused {
            status,
            because: Because::of(why),
        };
        let malformed = |_| refused(Status::BAD_REQUEST, "Refer-To cannot be read");
        let referred_by = request.raw(HeaderName::ReferredBy);
        let raw = request.raw(HeaderName::ReferTo);
        let too_long = |name, octets, most| {
            let why = format!("{name} has {octets} octets, and at most {most} are taken");
            refused(Status::MESSAGE_TOO_LARGE, &why)
        };
        for (name, value) in [("Refer-To", &raw), ("Referred-By", &referred_by)] {
            if let Some(long) = value.as_ref().filter(|own| own.len() > LONGEST_HEADER) {
                return Err(too_long(name, long.len(), LONGEST_HEADER));
            }
        }
        if let Some(uri) = raw.as_ref().and_then(|value| bracketed(value))
            && uri.len() > MAX_URI
        {
            return Err(too_long("the URI of Refer-To", uri.len(), MAX_URI));
        }
        let refer_to = request.get::<ReferTo>().map_err(malformed)?;
        let (Some(refer_to), Some(raw)) = (refer_to, raw) else {
            return Err(refused(Status::BAD_REQUEST, "Refer-To is missing"));
        };
        if matches!(refer_to.uri(), Uri::Other(_)) {
            let why = "the scheme of Refer-To is none that we can call";
            return Err(refused(Status::UNSUPPORTED_URI_SCHEME, why));
        }
        let method = refer_to
            .uri()
            .params()
            .and_then(|params| params.value("method"));
        if method.is_some_and(|method| method != "INVITE") {
            return Err(refused(
                Status::DECLINE,
                "Refer-To asks for another method than INVITE",
            ));
        }
        let (replacement, drops_replaces) = match (by, Replacement::of(refer_to.uri())) {
            (Preset::Teams, found) => (None, !matches!(found, Ok(None))),
            (Preset::Carrier, found) => (found.map_err(malformed)?, false),
        };
        let is_control = |octet: &u8| octet.is_ascii_control() && *octet != b'\t';
        if referred_by
            .as_ref()
            .is_some_and(|value| value.iter().any(is_control))
        {
            let why = "Referred-By has control characters";
            return Err(refused(Status::BAD_REQUEST, why));
        }
        let token = referred_by.as_ref().and_then(|_| token_of(request));
        if token
            .as_ref()
            .is_some_and(|token| token.len() > LONGEST_TOKEN)
        {
            let why = "the part of the body that proves who refers is above 8,192 octets";
            return Err(refused(Status::MESSAGE_TOO_LARGE, why));
        }
        Ok(Self {
            target: WrittenUri::of_refer_to(&raw).map_err(malformed)?,
            embedded: Embedded::of(refer_to.uri()),
            requires_replaces: replacement.as_ref().is_some_and(|own| own.is_required),
            replaces: replacement.map(|own| own.replaces),
            drops_replaces,
            token,
            referred_by,
        })
    }

    /// That a number be called, and nothing else: the wish of an operator.
    pub fn of_number(number: &str) -> Result<Self, Refused> {
        let refused = |_| Refused {
            status: Status::BAD_REQUEST,
            because: Because::of(format!("\"{number}\" is no number")),
        };
        let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"+*#.-_".contains(&octet);
        if number.is_empty() || number.len() > LONGEST_NUMBER || !number.bytes().all(is_plain) {
            return Err(refused(()));
        }
        let user = number.replace('#', "%23");
        let target = Bytes::from(format!("<sip:{user}@operator.invalid>"));
        let target = WrittenUri::of_refer_to(&target);
        Ok(Self {
            target: target.map_err(|_| refused(()))?,
            embedded: Embedded::default(),
            replaces: None,
            requires_replaces: false,
            drops_replaces: false,
            referred_by: None,
            token: None,
        })
    }

    /// Whether the sender wants no NOTIFY (RFC 4488).
    pub fn declines_notify(request: &Message) -> bool {
        let says_no = request
            .raw(HeaderName::ReferSub)
            .is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"false"));
        let requires = request.list::<Require>().unwrap_or_default();
        let requires = requires
            .iter()
            .any(|tag| tag.is(crate::sip::header::OptionTag::NOREFERSUB));
        says_no || requires
    }

    /// Where it leads, if the transferor may call there; `calling` is the party that is transferred.
    pub fn plan(
        &self,
        config: &Config,
        by: &Arc<Trunk>,
        tenant: Option<&TenantName>,
        calling: &str,
        wall: UnixTime,
        mint: &mut Mint,
    ) -> Result<Decision<Plan>, Refused> {
        if by.preset == Preset::Teams {
            let because = Because::of(format!(
                "trunk \"{}\" transfers to a target of its own",
                by.name
            ));
            let because = match self.drops_replaces {
                true => because.and("Replaces in its Refer-To is dropped: Teams takes none"),
                false => because,
            };
            return Ok(Decision {
                value: Plan {
                    trunks: vec![Arc::clone(by)],
                    called: self.name(),
                    is_verbatim: true,
                    route: None,
                    is_emergency: false,
                },
                because,
            });
        }
        self.routed(config, by, tenant, calling, wall, mint)
    }

    /// Whether it calls for help.
    pub fn calls_for_help(
        &self,
        config: &Config,
        by: &Arc<Trunk>,
        tenant: Option<&TenantName>,
        calling: &str,
    ) -> bool {
        let number = Number::of(self.target.uri());
        let ingress = Ingress::of(by, KnownBy::Dialog);
        number.is_some_and(|number| {
            emergency::ways(config, &ingress, tenant, &number.number, calling).is_some()
        })
    }

    /// As [`Self::plan`], by routes whoever asks: as if `by` called the number itself.
    pub fn routed(
        &self,
        config: &Config,
        by: &Arc<Trunk>,
        tenant: Option<&TenantName>,
        calling: &str,
        wall: UnixTime,
        mint: &mut Mint,
    ) -> Result<Decision<Plan>, Refused> {
        let declined = |because| Refused {
            status: Status::DECLINE,
            because,
        };
        let number = Number::of(self.target.uri())
            .ok_or_else(|| declined(Because::of("Refer-To names no number")))?;
        let ingress = Ingress::of(by, KnownBy::Dialog);
        let dialled = number.number.clone();
        if let Some(trunks) = emergency::ways(config, &ingress, tenant, &dialled, calling) {
            return Ok(Decision {
                value: Plan {
                    trunks,
                    called: Number {
                        number: emergency::bare(&number.number).to_owned(),
                        ..number
                    },
                    is_verbatim: false,
                    route: None,
                    is_emergency: true,
                },
                because: Because::of(format!("{dialled} calls for help")),
            });
        }
        let scope = TransformScope::In(by.name.clone());
        let inside = number::transform_called(config, &scope, &number.number).value;
        let plan = route::plan(config, &ingress, (&inside, calling), wall, mint)
            .map_err(|refusal| declined(refusal.because))?;
        if tenant.is_some_and(|tenant| *tenant != plan.value.tenant) {
            let because = format!("{inside} belongs to another customer");
            return Err(declined(Because::of(because)));
        }
        let trunks = match secure::is_sips(self.target.uri()) {
            true => secure::kept(config, plan.value.attempts)
                .map_err(|refusal| declined(refusal.because))?,
            false => plan.value.attempts,
        };
        Ok(Decision {
            value: Plan {
                trunks,
                called: Number {
                    number: inside,
                    ..number
                },
                is_verbatim: false,
                route: Some(plan.value.route),
                is_emergency: false,
            },
            because: plan.because,
        })
    }

    /// For a target that nobody may call, but that may be talked to already.
    pub fn unplanned(&self) -> Decision<Plan> {
        Decision {
            value: Plan {
                trunks: Vec::new(),
                called: self.name(),
                is_verbatim: false,
                route: None,
                is_emergency: false,
            },
            because: Because::of("the target cannot be called anew"),
        }
    }

    /// A name of the target for records.
    fn name(&self) -> Number {
        let uri = self.target.uri();
        Number::of(uri).unwrap_or_else(|| {
            let host = uri.host().map(ToString::to_string).unwrap_or_default();
            Number {
                raw: host.clone(),
                number: host,
                ..Number::default()
            }
        })
    }

    /// The number that it names, as its sender writes it; a word for whoever has none.
    pub fn number(&self) -> String {
        self.name().number
    }

    /// Lines of a REFER that has another party call `target`, with the dialog it is to replace and the
    /// headers that may cross (SIP-810, SIP-808).
    pub fn relayed(
        &self,
        by: &Trunk,
        to: &Trunk,
        target: &SipUri,
        replaces: Option<&Replaces>,
    ) -> Vec<(HeaderName, Bytes)> {
        let named = replaces.map(|replaces| {
            let replacement = Replacement {
                replaces: replaces.clone(),
                is_required: self.requires_replaces,
            };
            replacement.lines()
        });
        let (own, about): (Vec<_>, Vec<_>) = self
            .lines(by, to, false)
            .into_iter()
            .partition(|(name, _)| *name != HeaderName::ReferredBy);
        let mut refer_to = vec![b'<'];
        refer_to.extend_from_slice(&Uri::from(target.clone()).to_bytes());
        for (at, (name, value)) in named.into_iter().flatten().chain(own).enumerate() {
            refer_to.push(if at == 0 { b'?' } else { b'&' });
            escaped(name.as_str().as_bytes(), &mut refer_to);
            refer_to.push(b'=');
            escaped(&value, &mut refer_to);
        }
        refer_to.push(b'>');
        let mut lines = vec![(HeaderName::ReferTo, Bytes::from(refer_to))];
        lines.extend(about);
        lines
    }

    /// Parts of the new INVITE's body beside our offer: the proof of who refers, to whom that is told
    /// (SIP-807).
    pub fn parts(&self, by: &Trunk, to: &Trunk) -> Vec<Bytes> {
        let token = self.token.clone().filter(|_| tells_referrer(by, to));
        token.into_iter().collect()
    }

    /// Lines of a REFER whose sender wants no NOTIFY (RFC 4488).
    pub fn unobserved() -> [(HeaderName, Bytes); 2] {
        [
            (HeaderName::ReferSub, Bytes::from_static(b"false")),
            (HeaderName::Supported, Bytes::from_static(b"norefersub")),
        ]
    }

    /// Who was called before, as the URI tells it (SIP-808): the new INVITE tells it as its trunk does.
    pub fn trail(&self) -> Trail {
        Trail::of(self.embedded.history(), Vec::new(), self.target.uri())
    }

    /// Lines of the new INVITE: of the headers in the URI those that the new party's trunk lists, and why it is called
    /// (SIP-808); and who refers, where both sides trust each other (SIP-807).
    /// With Replaces where the target itself is to look for the dialog.
    pub fn lines(&self, by: &Trunk, to: &Trunk, replays: bool) -> Vec<(HeaderName, Bytes)> {
        let mut lines = self.embedded.lines(by, to);
        if let Some(replaces) = self.replaces.clone().filter(|_| replays) {
            let is_required = self.requires_replaces;
            let replacement = Replacement {
                replaces,
                is_required,
            };
            lines.extend(replacement.lines());
        }
        if let Some(referred_by) = self.referred_by.clone().filter(|_| tells_referrer(by, to)) {
            lines.push((HeaderName::ReferredBy, referred_by));
        }
        lines
    }
}

/// Whether a trunk is told who refers.
fn tells_referrer(by: &Trunk, to: &Trunk) -> bool {
    by.name == to.name || (by.trusted && to.trusted)
}

/// The part of a REFER's body that its Referred-By names.
fn token_of(request: &Message) -> Option<Bytes> {
    let referred_by = request.get::<ReferredBy>().ok().flatten()?;
    body::section_named(request, referred_by.0.params.value("cid")?)
}

/// What stands in the brackets of a value.
fn bracketed(value: &[u8]) -> Option<&[u8]> {
    let open = memchr::memchr(b'<', value)?;
    let rest = value.get(open + 1..)?;
    rest.get(..memchr::memchr(b'>', rest)?)
}

/// Writes text for the headers part of a URI (RFC 3261 §25.1): whatever may have a meaning there is
/// escaped.
fn escaped(text: &[u8], out: &mut Vec<u8>) {
    for octet in text {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'!' | b'~' | b'*' => {
                out.push(*octet);
            }
            _ => out.extend_from_slice(format!("%{octet:02X}").as_bytes()),
        }
    }
}

/// The plan without trunks that are disabled. One that drains is there for transfers of its calls, as a node is, and help
/// is called wherever it can be.
///
/// # Errors
/// If none is left.
pub fn without_disabled(
    mut plan: Decision<Plan>,
    closed: &Closed,
) -> Result<Decision<Plan>, Refused> {
    if plan.value.is_emergency {
        return Ok(plan);
    }
    let trunks = &mut plan.value.trunks;
    trunks.retain(|trunk| closed.of(trunk) != Some(Closing::Disabled));
    match trunks.is_empty() {
        true => Err(Refused {
            status: Status::DECLINE,
            because: Because::of("an operator has disabled every trunk to the target"),
        }),
        false => Ok(plan),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Limits;

    fn refer(lines: &str) -> Message {
        let text = format!(
            "REFER sip:sbc.example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
             From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>;tag=2\r\nCall-ID: 1\r\n\
             CSeq: 2 REFER\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text), &Limits::default()).expect("a message")
    }

    fn status(lines: &str) -> u16 {
        Wish::of(&refer(lines), Preset::Carrier)
            .expect_err("refused")
            .status
            .code()
    }

    #[test]
    fn what_cannot_be_called_is_refused() {
        assert_eq!(status(""), 400);
        assert_eq!(status("Refer-To: <http://example.com/>\r\n"), 416);
        assert_eq!(status("Refer-To: <sip:a@example.com;method=BYE>\r\n"), 603);
        assert_eq!(status("Refer-To: <sip:a@example.com?Replaces=1>\r\n"), 400);
    }

    #[test]
    fn what_is_too_long_is_refused_with_its_measure_and_never_cut() {
        let target = |octets: usize| {
            let uri = format!("sip:sip.pstnhub.microsoft.com;x-m={}", "m".repeat(octets));
            let cut: String = uri.chars().take(octets).collect();
            format!("Refer-To: <{cut}>\r\n")
        };
        let by = |octets: usize| {
            let value = format!("<sip:h;x-tt={}>", "t".repeat(octets - 13));
            format!("{}Referred-By: {value}\r\n", target(80))
        };
        let wish = Wish::of(&refer(&by(8_192)), Preset::Teams).expect("a wish");
        assert_eq!(wish.referred_by.map(|value| value.len()), Some(8_192));
        let wish = Wish::of(&refer(&target(4_096)), Preset::Teams).expect("a wish");
        assert_eq!(wish.target.as_bytes().len(), 4_096);
        for (lines, cause) in [
            (
                by(8_193),
                "Referred-By has 8193 octets, and at most 8192 are taken",
            ),
            (
                target(4_097),
                "the URI of Refer-To has 4097 octets, and at most 4096 are taken",
            ),
        ] {
            let refused = Wish::of(&refer(&lines), Preset::Teams).expect_err("refused");
            assert_eq!(refused.status.code(), 513);
            assert_eq!(refused.because, Because::of(cause));
        }
    }

    /// TDR-XFR-012.
    #[test]
    fn a_dialog_that_teams_names_is_dropped_and_never_a_reason_to_refuse() {
        for (replaces, is_dropped) in [
            ("?Replaces=c%3Bto-tag%3D1%3Bfrom-tag%3D2", true),
            ("?Replaces=x", true),
            ("?X-One=1", false),
        ] {
            let lines = format!("Refer-To: <sip:a@example.com{replaces}>\r\n");
            let wish = Wish::of(&refer(&lines), Preset::Teams).expect("a wish");
            assert_eq!((wish.replaces, wish.drops_replaces), (None, is_dropped));
        }
    }

    #[test]
    fn a_sender_may_decline_notifications_in_two_ways() {
        for lines in ["Refer-Sub: false\r\n", "Require: norefersub\r\n"] {
            assert!(Wish::declines_notify(&refer(lines)), "{lines}");
        }
        assert!(!Wish::declines_notify(&refer("Refer-Sub: true\r\n")));
    }
}
