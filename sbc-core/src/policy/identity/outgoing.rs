//! Who calls whom, as the B leg's INVITE says it: Request-URI, From, To, the asserted identity,
//! Privacy, History-Info and Diversion.

use super::{Asserted, Caller, display};
use crate::cause::{Because, Decision};
use crate::config::{
    AssertedForm, HistoryForm, Listener, Lookup, Party, Preset, TargetAddress, Trunk,
};
use crate::policy::diversion::{Told, Trail, told};
use crate::policy::number::{ANONYMOUS, Number};
use crate::sip::header::{
    Diversion, HistoryInfo, PAssertedIdentity, PPreferredIdentity, Privacy, RemotePartyId,
};
use crate::sip::{
    Address, DisplayName, Host, NameAddr, ParseFault, PlainValue, SipUri, TelUri, Token, Uri, Value,
};
use bytes::Bytes;

/// Identity headers of the B leg's INVITE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// Request-URI: the called number at the peer's name.
    pub request_uri: Uri,
    /// From, without tag: the calling number at our name.
    pub from: NameAddr,
    /// To: the called number at the peer's name.
    pub to: NameAddr,
    /// User part of our Contact; `None` when the caller is anonymous.
    pub contact_user: Option<Bytes>,
    /// P-Asserted-Identity values.
    pub asserted: Vec<PAssertedIdentity>,
    /// P-Preferred-Identity, where the trunk wants that instead.
    pub preferred: Option<PPreferredIdentity>,
    /// Remote-Party-ID, where the trunk wants that instead.
    pub remote_party: Option<RemotePartyId>,
    /// Privacy header.
    pub privacy: Option<Privacy>,
    /// History-Info values.
    pub history: Vec<HistoryInfo>,
    /// Diversion values.
    pub diversion: Vec<Diversion>,
}

/// Where an attempt goes.
#[derive(Clone, Copy, Debug)]
pub struct Towards<'a> {
    /// Trunk the call came from.
    pub from: &'a Trunk,
    /// Trunk of the attempt.
    pub to: &'a Trunk,
    /// Target of the attempt.
    pub target: &'a TargetAddress,
    /// Listener that the attempt leaves by.
    pub listener: &'a Listener,
    /// Whether it is an emergency call: whoever answers it must be able to call back, so nothing
    /// that we know of the caller is hidden (SIP-1011).
    pub is_emergency: bool,
}

impl Towards<'_> {
    /// Whether both sides are in our trust domain.
    pub(in crate::policy) fn is_within_trust(&self) -> bool {
        self.from.trusted && self.to.trusted
    }
}

/// Writes the identity headers of an attempt.
///
/// `called` is the number after all transforms. `rewrite` changes any calling number as the
/// transforms of both trunks do (see
/// [`crate::policy::number::transform_calling_through`]).
pub fn outgoing(
    caller: &Caller,
    called: &Number,
    towards: Towards<'_>,
    rewrite: &dyn Fn(&str) -> String,
) -> Result<Decision<Outgoing>, ParseFault> {
    let Towards { to, target, .. } = towards;
    let mut because = Because::default();
    // A provider that we register with knows both parties in its own domain.
    let (our_host, peer_host) = match &to.register {
        Some(register) => {
            let domain = Host::parse(register.domain.clone())?;
            (domain.clone(), domain)
        }
        None => (
            our_host(to, towards.listener),
            Host::parse(target.host.clone())?,
        ),
    };
    let writer = Writer {
        user_phone: to.uri.user_phone,
        our_host,
        rewrite,
    };

    let called_user = user_text(&called.number, called.extension.as_deref());
    let mut request_uri = writer.sip(&called_user, peer_host.clone())?;
    // A `sip` URI without port means 5060 to many, whatever its transport says.
    // A port would say that there is no SRV record to look for (RFC 3263 §4.2).
    if target.port != 5060 && target.lookup == Lookup::Addresses && to.register.is_none() {
        request_uri.port = Some(target.port);
    }
    if to.uri.transport_param && target.protocol != crate::transport::Protocol::Udp {
        let name = Bytes::from_static(target.protocol.uri_name().as_bytes());
        request_uri.params.set("transport", Some(name))?;
    }
    let to_header = NameAddr::new(writer.sip(&called_user, peer_host)?.into());

    let known = shown_in_from(caller, &towards);
    let hides = known.is_none();
    let (from_header, contact_user) = match known {
        None => {
            because = because.and("the caller is anonymous");
            (anonymous()?, None)
        }
        Some((number, name)) => {
            let uri = writer.own(&number)?;
            let contact_user = uri.user().cloned();
            let from_header = NameAddr {
                display: name.and_then(|name| display::written(name, to.identity.display)),
                uri: uri.into(),
            };
            (from_header, contact_user)
        }
    };

    let asserted = asserted(caller, towards, &writer, &mut because)?;
    let privacy = privacy(caller, hides, &towards, !asserted.is_empty())?;
    let mut out = Outgoing {
        request_uri: request_uri.into(),
        from: from_header,
        to: to_header,
        contact_user,
        asserted: Vec::new(),
        preferred: None,
        remote_party: None,
        privacy,
        history: Vec::new(),
        diversion: Vec::new(),
    };
    match to.identity.form {
        AssertedForm::Pai => out.asserted = asserted,
        AssertedForm::Ppi => {
            let first = asserted.into_iter().next();
            out.preferred = first.map(|value| PPreferredIdentity(value.0));
        }
        AssertedForm::Rpid => {
            let screened = caller.asserted.first().and_then(|own| own.screened);
            let hides = hides || caller.privacy.id && !caller.privacy.none;
            out.remote_party = asserted
                .into_iter()
                .next()
                .map(|value| remote_party(value.0, hides, screened != Some(false)))
                .transpose()?;
        }
    }
    earlier_targets(caller, &towards, &writer, &mut out);
    Ok(Decision {
        value: out,
        because,
    })
}

/// Our name on a trunk: its configured name, else the address that the peer sees.
pub fn our_host(trunk: &Trunk, listener: &Listener) -> Host {
    trunk
        .fqdn
        .as_ref()
        .and_then(|fqdn| Host::parse(fqdn.clone()).ok())
        .unwrap_or_else(|| Host::from(listener.advertised.ip()))
}

/// Number and name for From, unless the caller is hidden.
fn shown_in_from<'c>(
    caller: &'c Caller,
    towards: &Towards<'_>,
) -> Option<(Number, Option<&'c DisplayName>)> {
    let wants_hiding = caller.privacy.hides_caller() && !caller.privacy.none;
    let calling = &caller.calling;
    if towards.is_emergency && calling.is_withheld {
        // The network knows whom to call back, even if the caller would not say.
        let known = caller.asserted.first()?;
        return Some((known.number.clone(), known.display.as_ref()));
    }
    if calling.is_withheld || (wants_hiding && !towards.is_emergency) {
        return None;
    }
    Some(match party(caller, towards.to.identity.from, towards.to) {
        Some(number) => (number, None),
        None => (calling.number.clone(), calling.display.as_ref()),
    })
}

/// The number of a party that is not the caller, if the call has it.
fn party(caller: &Caller, party: Party, to: &Trunk) -> Option<Number> {
    match party {
        Party::Caller => None,
        Party::Diverting => caller.trail.diverting(),
        Party::Pilot => to.identity.pilot.as_ref().map(|number| Number {
            raw: number.clone(),
            number: number.clone(),
            extension: None,
        }),
    }
}

/// Writes URIs in the form of a trunk.
pub(in crate::policy) struct Writer<'a> {
    pub(in crate::policy) user_phone: bool,
    pub(in crate::policy) our_host: Host,
    pub(in crate::policy) rewrite: &'a dyn Fn(&str) -> String,
}

impl Writer<'_> {
    /// A number at our name, changed by the transforms.
    pub(in crate::policy) fn own(&self, number: &Number) -> Result<SipUri, ParseFault> {
        let text = (self.rewrite)(&number.number);
        let user = user_text(&text, number.extension.as_deref());
        self.sip(&user, self.our_host.clone())
    }

    /// `sip:user@host`, with `user=phone` for numbers where the trunk wants it.
    pub(in crate::policy) fn sip(&self, user: &str, host: Host) -> Result<SipUri, ParseFault> {
        let mut uri = SipUri::new(host);
        // The `;` before an extension separates parameters of the number and stays as it is.
        let (number, extension) = match user.split_once(";ext=") {
            Some((number, extension)) => (number, Some(extension)),
            None => (user, None),
        };
        uri.set_user_text(number.as_bytes())?;
        if let (Some(extension), Some(escaped)) = (extension, uri.user().cloned()) {
            let mut user = escaped.to_vec();
            user.extend_from_slice(b";ext=");
            user.extend_from_slice(extension.as_bytes());
            uri.set_user(Some(Bytes::from(user)))?;
        }
        let is_number = number
            .strip_prefix('+')
            .unwrap_or(number)
            .bytes()
            .all(|octet| octet.is_ascii_digit() || matches!(octet, b'*' | b'#'));
        if self.user_phone && is_number {
            uri.params.set("user", Some(Bytes::from_static(b"phone")))?;
        }
        Ok(uri)
    }
}

/// What is asserted to a peer, whichever header says it.
///
/// What a trusted peer asserted stays within the trust domain, unless the caller wants nothing
/// hidden (RFC 3325 §7). A number of the operator's own choice is no secret of the caller.
fn asserted(
    caller: &Caller,
    towards: Towards<'_>,
    writer: &Writer<'_>,
    because: &mut Because,
) -> Result<Vec<PAssertedIdentity>, ParseFault> {
    let to = towards.to;
    if !to.send_asserted {
        return Ok(Vec::new());
    }
    if let Some(number) = party(caller, to.identity.asserted, to) {
        return Ok(vec![PAssertedIdentity::from(Uri::from(
            writer.own(&number)?,
        ))]);
    }
    if caller.asserted.is_empty() {
        return Ok(Vec::new());
    }
    let may_leave =
        towards.from.trusted && (to.trusted || caller.privacy.none || towards.is_emergency);
    if !may_leave {
        *because = std::mem::take(because).and(format!(
            "asserted identity stays behind: trunk \"{}\" is outside the trust domain",
            to.name
        ));
        return Ok(Vec::new());
    }
    Ok(asserted_with(&caller.asserted, to, writer))
}

/// Asserted identities at our name, for a peer that may see them.
pub fn asserted_anew(
    identities: &[Asserted],
    towards: Towards<'_>,
    rewrite: &dyn Fn(&str) -> String,
) -> Vec<PAssertedIdentity> {
    let writer = Writer {
        user_phone: towards.to.uri.user_phone,
        our_host: our_host(towards.to, towards.listener),
        rewrite,
    };
    asserted_with(identities, towards.to, &writer)
}

fn asserted_with(
    identities: &[Asserted],
    to: &Trunk,
    writer: &Writer<'_>,
) -> Vec<PAssertedIdentity> {
    let written = identities.iter().filter_map(|identity| {
        let uri = match identity.is_tel {
            // A transform may have made something of it that is no telephone number.
            true => Uri::Tel(TelUri::new((writer.rewrite)(&identity.number.number)).ok()?),
            false => writer.own(&identity.number).ok()?.into(),
        };
        let mut value = PAssertedIdentity::from(uri);
        value.addr.display = identity
            .display
            .as_ref()
            .and_then(|name| display::written(name, to.identity.display));
        Some(value)
    });
    written.collect()
}

fn remote_party(
    identity: Address,
    hides: bool,
    screened: bool,
) -> Result<RemotePartyId, ParseFault> {
    let mut value = RemotePartyId(identity);
    let word = |yes: bool, one: &'static str, other: &'static str| if yes { one } else { other };
    for (name, text) in [
        ("party", "calling"),
        ("screen", word(screened, "yes", "no")),
        ("privacy", word(hides, "full", "off")),
    ] {
        let name = Token::parse(Bytes::from_static(name.as_bytes()))?;
        let text = PlainValue::parse(Bytes::from_static(text.as_bytes()))?;
        value.0.params.set(name, Some(Value::Plain(text)));
    }
    Ok(value)
}

/// What we have done is taken out of the header (SIP-1010); `id` stays where the peer is to
/// withhold the number itself, and `history` where the peer is to withhold earlier targets: within
/// the trust domain.
fn privacy(
    caller: &Caller,
    is_anonymous: bool,
    towards: &Towards<'_>,
    has_asserted: bool,
) -> Result<Option<Privacy>, ParseFault> {
    let token = |text: &'static str| Token::parse(Bytes::from_static(text.as_bytes()));
    let wishes = caller.privacy;
    if wishes.none && !is_anonymous {
        return Privacy::new(vec![token("none")?]).map(Some);
    }
    let mut left = Vec::new();
    if (wishes.id || is_anonymous) && (towards.to.trusted || has_asserted) {
        left.push(token("id")?);
    }
    if wishes.history && towards.is_within_trust() && towards.to.history != HistoryForm::None {
        left.push(token("history")?);
    }
    match left.is_empty() {
        true => Ok(None),
        false => Privacy::new(left).map(Some),
    }
}

/// Tells of earlier targets in the form of the trunk (SIP-904).
fn earlier_targets(
    caller: &Caller,
    towards: &Towards<'_>,
    writer: &Writer<'_>,
    out: &mut Outgoing,
) {
    let told = told::Teller {
        privacy: caller.privacy,
        leaves_trust: !towards.is_within_trust() && !towards.is_emergency,
        is_trusted: towards.to.trusted || towards.is_emergency,
        writer,
    };
    let trail = &caller.trail;
    let to_form = towards.to.history;
    let (history, diversion) = match (to_form, trail.source) {
        (HistoryForm::None, _) => (false, false),
        (HistoryForm::Pass, Told::HistoryInfo) => (true, false),
        (HistoryForm::Pass, Told::Diversion) => (false, true),
        // Nobody told us, but we followed a redirection.
        (HistoryForm::Pass, Told::Nowhere) => match towards.to.preset {
            Preset::Teams => (true, false),
            Preset::Carrier => (false, true),
        },
        (HistoryForm::HistoryInfo, _) => (true, false),
        (HistoryForm::Diversion, _) => (false, true),
        (HistoryForm::Both, _) => (true, true),
    };
    if diversion {
        out.diversion = told.diversion(trail);
    }
    let is_ours_to_continue = to_form != HistoryForm::Pass
        && trail.source == Told::HistoryInfo
        && trail.steps.len() == trail.read;
    if history && is_ours_to_continue {
        // Who keeps History-Info adds the target that it was asked for and the one that it asks.
        let continued = continued(trail, &out.request_uri);
        out.history = told.history(&continued);
    } else if history {
        out.history = told.history(trail);
    }
}

fn continued(trail: &Trail, request_uri: &Uri) -> Trail {
    let mut trail = trail.clone();
    trail.forward(request_uri);
    trail
}

pub(in crate::policy) fn anonymous() -> Result<NameAddr, ParseFault> {
    let mut uri = SipUri::new(Host::parse(Bytes::from_static(b"anonymous.invalid"))?);
    uri.set_user(Some(Bytes::from_static(ANONYMOUS.as_bytes())))?;
    Ok(NameAddr {
        display: Some(DisplayName::new(Bytes::from_static(b"Anonymous"))?),
        uri: uri.into(),
    })
}

fn user_text(number: &str, extension: Option<&str>) -> String {
    match extension {
        Some(extension) => format!("{number};ext={extension}"),
        None => number.to_owned(),
    }
}
