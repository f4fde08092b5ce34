//! Who calls whom, as the B leg's INVITE says it: Request-URI, From, To, the asserted identity,
//! Privacy, History-Info and Diversion.

use super::{Asserted, Caller, display};
use crate::cause::{Because, Decision};
use crate::config::{
    AssertedForm, ContactUser, FromHost, HistoryForm, Listener, Lookup, NumberForm, OnError, Party,
    Preset, TargetAddress, Trunk, UriScheme, UserPhone,
};
use crate::policy::diversion::{Diverted, Step, Told, Trail, told};
use crate::policy::number::{ANONYMOUS, Number, is_sound};
use crate::sip::header::{
    Diversion, HistoryInfo, PAssertedIdentity, PPreferredIdentity, Privacy, RemotePartyId,
};
use crate::sip::{
    Address, DisplayName, Host, NameAddr, ParseFault, PlainValue, Rule, SipUri, TelUri, Token, Uri,
    Value,
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
    /// Whether it is an emergency call that is to be called back, so that nothing that we know of the
    /// caller is hidden (SIP-1011).
    pub is_emergency: bool,
}

impl Towards<'_> {
    /// Whether both sides are in our trust domain.
    pub(in crate::policy) fn is_within_trust(&self) -> bool {
        self.from.trusted && self.to.trusted
    }
}

/// How numbers of the caller's side are changed on their way from one trunk to another.
#[derive(Clone, Copy)]
pub struct Rewrites<'a> {
    /// Calling numbers (see [`crate::policy::number::transform_calling_through`]).
    pub calling: &'a dyn Fn(&str) -> String,
    /// Numbers that forwarded the call (see
    /// [`crate::policy::number::transform_redirecting_through`]).
    pub redirecting: &'a dyn Fn(&str) -> String,
}

/// Writes the identity headers of an attempt. `called` is the number after all transforms. A fault is
/// what transforms have made of a number that cannot be written.
pub fn outgoing(
    caller: &Caller,
    called: &Number,
    towards: Towards<'_>,
    rewrites: Rewrites<'_>,
) -> Result<Decision<Outgoing>, ParseFault> {
    let Towards { to, target, .. } = towards;
    let mut because = Because::default();
    // A provider that we register with knows both parties in its own domain.
    // So does who registers with us, in ours.
    let registered = to.register.as_ref().map(|register| &register.domain);
    let registrar = to.registrar.as_ref().map(|registrar| &registrar.domain);
    let (our_host, peer_host) = match registered.or(registrar) {
        Some(domain) => {
            let domain = Host::parse(domain.clone())?;
            (domain.clone(), domain)
        }
        None => (
            our_host(to, towards.listener),
            Host::parse(target.host.clone())?,
        ),
    };
    let from_host = match &to.identity.from_host {
        FromHost::Own => our_host.clone(),
        FromHost::Peer => peer_host.clone(),
        FromHost::Named(name) => Host::parse(name.clone())?,
    };
    let writer = Writer {
        user_phone: to.uri.user_phone,
        our_host,
        params: &to.identity.params,
        rewrites,
    };

    let mut request_uri = writer.called(called, peer_host.clone())?;
    // A `sip` URI without port means 5060 to many, whatever its transport says.
    // A port would say that there is no SRV record to look for (RFC 3263 §4.2).
    if target.port != 5060 && target.lookup == Lookup::Addresses && to.register.is_none() {
        request_uri.port = Some(target.port);
    }
    let is_sips = to.habits.uri_scheme == UriScheme::Sips;
    request_uri.is_sips = is_sips;
    if to.uri.transport_param && target.protocol != crate::transport::Protocol::Udp && !is_sips {
        let name = Bytes::from_static(target.protocol.uri_name().as_bytes());
        request_uri.params.set("transport", Some(name))?;
    }
    let mut to_uri = writer.called(called, peer_host)?;
    to_uri.is_sips = is_sips;
    let to_header = NameAddr::new(to_uri.into());

    let form = to.identity.number_form;
    let known = match shown_in_from(caller, &towards) {
        None => None,
        Some((number, _)) if !form.shows(&(rewrites.calling)(&number.number)) => {
            because = because.and(format!(
                "\"{}\" is no number, and trunk \"{}\" shows numbers only",
                number.number.escape_debug(),
                to.name
            ));
            None
        }
        Some((number, name)) => match writer.own(&number) {
            Ok(uri) => Some((uri, name)),
            Err(_) if to.identity.on_error == OnError::Drop => {
                because = because.and(format!(
                    "transforms made of {} what cannot be written",
                    number.number
                ));
                None
            }
            Err(fault) => return Err(fault),
        },
    };
    let hides = known.is_none();
    let (from_header, shown) = match known {
        None => {
            because = because.and("the caller is anonymous");
            (anonymous()?, None)
        }
        Some((mut uri, name)) => {
            let contact_user = uri.user().cloned();
            let text = contact_user.as_deref().map(String::from_utf8_lossy);
            let is_short = |text: &str| !form.admits(text.split(';').next().unwrap_or_default());
            if let Some(text) = text.filter(|text| is_short(text)) {
                // Rules of Teams may add what is missing; a caller is no reason to refuse a call.
                because = because.and(format!(
                    "the calling number {text} goes to trunk \"{}\" without +, as no transform adds it",
                    to.name
                ));
            }
            uri.host = from_host;
            uri.is_sips = is_sips;
            let from_header = NameAddr {
                display: name.and_then(|name| display::written(name, to.identity.display)),
                uri: uri.into(),
            };
            (from_header, contact_user)
        }
    };
    let contact_user = match &to.identity.contact_user {
        ContactUser::Caller => shown,
        ContactUser::Pilot => to.identity.pilot.clone().map(Bytes::from),
        ContactUser::None => None,
        ContactUser::Named(text) => {
            // Any printable text may be written, and goes out escaped as the caller's does.
            let mut uri = request_uri.clone();
            let is_fit = uri.set_user_text(text.as_bytes()).is_ok();
            uri.user().filter(|_| is_fit).cloned()
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
    earlier_targets(caller, &towards, &writer, &mut out)?;
    if let Uri::Sip(uri) = &mut out.request_uri
        && caller.trail.is_translated()
        && !out.history.is_empty()
    {
        // Who understands such lists looks for it there too (RFC 8119 §3).
        uri.params.set("cause", Some(Bytes::from_static(b"380")))?;
    }
    Ok(Decision {
        value: out,
        because,
    })
}

/// Our name on a trunk: its configured name, else that of the realm, else the address that the peer
/// sees.
pub fn our_host(trunk: &Trunk, listener: &Listener) -> Host {
    trunk
        .fqdn
        .as_ref()
        .or(listener.host.as_ref())
        .and_then(|name| Host::parse(name.clone()).ok())
        .unwrap_or_else(|| Host::from(listener.advertised.ip()))
}

/// Number and name for From, unless the caller is hidden.
fn shown_in_from<'c>(
    caller: &'c Caller,
    towards: &Towards<'_>,
) -> Option<(Number, Option<&'c DisplayName>)> {
    // RFC 3325 leaves From as it came where `id` is asked for; SIPconnect does not.
    let asks_more = towards.to.identity.anonymous_from && caller.privacy.id;
    let wants_hiding = (caller.privacy.hides_caller() || asks_more) && !caller.privacy.none;
    let calling = &caller.calling;
    if towards.is_emergency && calling.is_withheld {
        // The network knows whom to call back, even if the caller would not say.
        let known = caller.asserted.first()?;
        return Some((known.number.clone(), known.display.as_ref()));
    }
    if calling.is_withheld || (wants_hiding && !towards.is_emergency) {
        return None;
    }
    let shown = party(caller, towards.to.identity.from, towards.to);
    // Who does not want to be shown as who forwarded the call is not shown as who calls either.
    let shown = shown.filter(|_| !hides_party(caller, towards.to.identity.from, towards));
    Some(match shown {
        Some(number) => (number, None),
        None => (calling.number.clone(), calling.display.as_ref()),
    })
}

/// Whether a party other than the caller does not want to be shown where the call goes: by its own entry,
/// whatever the caller says for itself, or by a wish for all earlier targets (TDR-FWD-002).
fn hides_party(caller: &Caller, party: Party, towards: &Towards<'_>) -> bool {
    let wishes = caller.privacy;
    let is_private = |last: Diverted| last.is_private || (wishes.history && !wishes.none);
    party == Party::Diverting
        && !towards.is_within_trust()
        && !towards.is_emergency
        && caller.trail.last_diversion().is_some_and(is_private)
}

/// The number of a party that is not the caller, if the call has it.
fn party(caller: &Caller, party: Party, to: &Trunk) -> Option<Number> {
    match party {
        Party::Caller => None,
        // A transfer is told by Referred-By alone (TDR-FWD-004).
        Party::Diverting => match caller.trail.last_diversion() {
            Some(last) => Number::of(&last.uri),
            None => caller.referred_by.as_deref().cloned(),
        },
        Party::Pilot => to.identity.pilot.as_ref().map(|number| Number {
            raw: number.clone(),
            number: number.clone(),
            is_phone: true,
            ..Number::default()
        }),
    }
}

/// Writes URIs in the form of a trunk.
pub(in crate::policy) struct Writer<'a> {
    pub(in crate::policy) user_phone: UserPhone,
    pub(in crate::policy) our_host: Host,
    /// Parameters of called numbers that pass.
    pub(in crate::policy) params: &'a [String],
    pub(in crate::policy) rewrites: Rewrites<'a>,
}

impl Writer<'_> {
    /// A number at our name, changed by the transforms.
    pub(in crate::policy) fn own(&self, number: &Number) -> Result<SipUri, ParseFault> {
        let number = number.changed((self.rewrites.calling)(&number.number));
        self.sip(&number, &[], self.our_host.clone())
    }

    /// As [`Self::own`], of a number that forwarded the call.
    pub(in crate::policy) fn earlier(&self, number: &Number) -> Result<SipUri, ParseFault> {
        let number = number.changed((self.rewrites.redirecting)(&number.number));
        self.sip(&number, &[], self.our_host.clone())
    }

    /// The called number at the peer's name.
    fn called(&self, number: &Number, host: Host) -> Result<SipUri, ParseFault> {
        self.sip(number, self.params, host)
    }

    /// `sip:user@host`, with `user=phone` for numbers where the trunk wants it.
    fn sip(&self, number: &Number, params: &[String], host: Host) -> Result<SipUri, ParseFault> {
        if !is_sound(&number.number) {
            return Err(ParseFault::new("number", Rule::Token, 0));
        }
        let mut uri = SipUri::new(host);
        uri.set_user_text(number.number.as_bytes())?;
        let tail = tail(number, params);
        if let (false, Some(escaped)) = (tail.is_empty(), uri.user().cloned()) {
            // The `;` before a parameter of the number separates and stays as it is.
            let with_tail = [&escaped[..], tail.as_bytes()].concat();
            if uri.set_user(Some(Bytes::from(with_tail))).is_err() {
                uri.set_user(Some(escaped))?;
            }
        }
        let digits = number.number.strip_prefix('+').unwrap_or(&number.number);
        let is_number = digits
            .bytes()
            .all(|octet| octet.is_ascii_digit() || matches!(octet, b'*' | b'#'));
        let wants_phone = match self.user_phone {
            UserPhone::Always => true,
            UserPhone::Never => false,
            UserPhone::Pass => number.is_phone,
        };
        if wants_phone && is_number {
            uri.params.set("user", Some(Bytes::from_static(b"phone")))?;
        }
        Ok(uri)
    }
}

/// The parameters of a number, in the order of RFC 3966 §3: extension or subaddress, context, and the
/// others by name.
fn tail(number: &Number, params: &[String]) -> String {
    let mut tail = String::new();
    let mut write = |name: &str, value: Option<&str>| {
        tail.push(';');
        tail.push_str(name);
        if let Some(value) = value {
            tail.push('=');
            tail.push_str(value);
        }
    };
    let listed = number.params.iter();
    let mut listed: Vec<_> = listed.filter(|(name, _)| params.contains(name)).collect();
    listed.sort();
    if let Some(extension) = &number.extension {
        write("ext", Some(extension));
    }
    let (first, others): (Vec<_>, Vec<_>) =
        listed.into_iter().partition(|(name, _)| name == "isub");
    for (name, value) in first {
        write(name, value.as_deref());
    }
    if let Some(context) = number.context.as_ref().filter(|_| !number.is_global()) {
        write("phone-context", Some(context));
    }
    for (name, value) in others {
        write(name, value.as_deref());
    }
    tail
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
    if let Some(number) = asserted_party(caller, &towards, writer, because) {
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
    let rewritten = |own: &Asserted| (writer.rewrites.calling)(&own.number.number);
    if to.identity.on_error == OnError::Fail
        && !caller.asserted.iter().all(|own| is_sound(&rewritten(own)))
    {
        return Err(ParseFault::new("asserted number", Rule::Token, 0));
    }
    Ok(asserted_with(&caller.asserted, to, writer))
}

/// The party that is asserted in place of the caller. Who forwarded the call and is not to be shown where it goes, or
/// has no telephone number, is not: a network that wants a number of its customer gets the trunk's own there, if it has
/// one (TDR-FWD-002, RFC 3325 §7).
fn asserted_party(
    caller: &Caller,
    towards: &Towards<'_>,
    writer: &Writer<'_>,
    because: &mut Because,
) -> Option<Number> {
    let identity = &towards.to.identity;
    let number = party(caller, identity.asserted, towards.to)?;
    if identity.asserted != Party::Diverting {
        return Some(number);
    }
    let is_private = hides_party(caller, identity.asserted, towards);
    let is_number = || NumberForm::Digits.admits(&(writer.rewrites.calling)(&number.number));
    let why = match (is_private, is_private || is_number()) {
        (true, _) => "does not want to be shown outside the trust domain",
        (false, false) => "has no telephone number",
        (false, true) => return Some(number),
    };
    *because = std::mem::take(because).and(format!(
        "who forwarded the call {why}: the trunk's own number is asserted, if it has one"
    ));
    party(caller, Party::Pilot, towards.to)
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
        params: &[],
        rewrites: Rewrites {
            calling: rewrite,
            redirecting: rewrite,
        },
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
            true => Uri::Tel(TelUri::new((writer.rewrites.calling)(&identity.number.number)).ok()?),
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
) -> Result<(), ParseFault> {
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
        // Also where nobody told us, but we followed a redirection. Teams keeps History-Info, and nothing says that it
        // reads Diversion (TDR-FWD-003).
        (HistoryForm::Pass, Told::Diversion | Told::Nowhere) => match towards.to.preset {
            Preset::Teams => (true, false),
            Preset::Carrier => (false, true),
        },
        (HistoryForm::HistoryInfo, _) => (true, false),
        (HistoryForm::Diversion, _) => (false, true),
        (HistoryForm::Both, _) => (true, true),
    };
    let is_unsound = |step: &Step| {
        let number = Number::of(&step.uri);
        number.is_some_and(|number| !is_sound(&(writer.rewrites.redirecting)(&number.number)))
    };
    if (history || diversion)
        && towards.to.identity.on_error == OnError::Fail
        && trail.steps.iter().any(is_unsound)
    {
        return Err(ParseFault::new("redirecting number", Rule::Token, 0));
    }
    if diversion {
        out.diversion = told.diversion(trail);
    }
    let is_ours_to_continue = to_form != HistoryForm::Pass && trail.is_to_be_continued();
    if history && is_ours_to_continue {
        // Who keeps History-Info adds the target that it was asked for and the one that it asks.
        let continued = continued(trail, &out.request_uri);
        out.history = told.history(&continued);
    } else if history {
        out.history = told.history(trail);
    }
    Ok(())
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
