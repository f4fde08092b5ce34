//! Who calls whom, as the B leg's INVITE says it: Request-URI, From, To, P-Asserted-Identity,
//! Privacy, History-Info and Diversion.
//!
//! Every value is written anew from a number and one of our or the peer's names. Hosts of the A
//! leg never reach the B leg (SIP-420), and a header that cannot be rewritten is left out.

use crate::cause::{Because, Decision};
use crate::config::{HistoryForm, Listener, Lookup, TargetAddress, Trunk};
use crate::policy::number::{self, ANONYMOUS, Calling, Number};
use crate::sip::header::{Diversion, HistoryInfo, PAssertedIdentity, Privacy};
use crate::sip::{
    Address, DisplayName, Host, Message, NameAddr, ParseFault, PlainValue, SipUri, TelUri, Token,
    Uri, Value,
};
use bytes::Bytes;

/// The caller as the A leg's INVITE presents it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// From: what the caller claims.
    pub calling: Calling,
    /// P-Asserted-Identity of a trusted peer: at most one `sip` and one `tel` number (SIP-1001).
    /// Empty for untrusted peers, whatever they sent.
    pub asserted: Vec<Asserted>,
    /// What the caller wants hidden.
    pub privacy: Wishes,
    /// Earlier targets of the call, oldest first.
    pub history: Vec<HistoryInfo>,
    /// Diversions, latest first.
    pub diversion: Vec<Diversion>,
}

/// One asserted identity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asserted {
    /// Number or user name.
    pub number: Number,
    /// Name for display.
    pub display: Option<DisplayName>,
    /// Whether it was a `tel` URI.
    pub is_tel: bool,
}

/// Values of the Privacy header (RFC 3323 §4.2, RFC 3325 §9.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Wishes {
    /// `id`: do not show the asserted identity.
    pub id: bool,
    /// `user`: make the caller anonymous.
    pub user: bool,
    /// `header`: hide what headers reveal.
    pub header: bool,
    /// `history`: hide earlier targets.
    pub history: bool,
    /// `none`: touch nothing.
    pub none: bool,
}

impl Wishes {
    /// Reads the header; an unreadable one counts as the strictest wish.
    pub fn of(message: &Message) -> Self {
        match message.get::<Privacy>() {
            Ok(None) => Self::default(),
            Ok(Some(privacy)) => Self {
                id: privacy.has("id"),
                user: privacy.has("user"),
                header: privacy.has("header"),
                history: privacy.has("history"),
                none: privacy.has("none"),
            },
            Err(_) => Self {
                id: true,
                user: true,
                header: true,
                history: true,
                none: false,
            },
        }
    }

    /// Whether the caller asked to be made anonymous in From.
    pub const fn hides_caller(self) -> bool {
        self.user || self.header
    }
}

/// Reads the caller of an INVITE that came in on a trunk.
pub fn caller(message: &Message, trunk: &Trunk) -> Caller {
    let mut asserted: Vec<Asserted> = Vec::new();
    if trunk.trusted {
        for value in message.list::<PAssertedIdentity>().unwrap_or_default() {
            let is_tel = matches!(value.uri(), Uri::Tel(_));
            if asserted.iter().any(|have| have.is_tel == is_tel) {
                continue;
            }
            if let Some(number) = Number::of(value.uri()) {
                asserted.push(Asserted {
                    number,
                    display: value.display().cloned(),
                    is_tel,
                });
            }
        }
    }
    Caller {
        calling: number::calling(message),
        asserted,
        privacy: Wishes::of(message),
        history: message.list().unwrap_or_default(),
        diversion: message.list().unwrap_or_default(),
    }
}

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
}

/// Writes the identity headers of an attempt.
///
/// `called` is the number after all transforms. `rewrite` changes any calling number as the
/// transforms of both trunks do (see [`number::transform_calling_through`]).
pub fn outgoing(
    caller: &Caller,
    called: &Number,
    towards: Towards<'_>,
    rewrite: &dyn Fn(&str) -> String,
) -> Result<Decision<Outgoing>, ParseFault> {
    let Towards {
        from, to, target, ..
    } = towards;
    let mut because = Because::default();
    let our_host = our_host(to, towards.listener);
    let peer_host = Host::parse(target.host.clone())?;
    let writer = Writer {
        user_phone: to.uri.user_phone,
    };

    let called_user = user_text(&called.number, called.extension.as_deref());
    let mut request_uri = writer.sip(&called_user, peer_host.clone())?;
    // A `sip` URI without port means 5060 to many, whatever its transport says.
    // A port would say that there is no SRV record to look for (RFC 3263 §4.2).
    if target.port != 5060 && target.lookup == Lookup::Addresses {
        request_uri.port = Some(target.port);
    }
    if to.uri.transport_param && target.protocol != crate::transport::Protocol::Udp {
        let name = Bytes::from_static(target.protocol.uri_name().as_bytes());
        request_uri.params.set("transport", Some(name))?;
    }
    let to_header = NameAddr::new(writer.sip(&called_user, peer_host)?.into());

    let hides =
        caller.calling.is_withheld || (caller.privacy.hides_caller() && !caller.privacy.none);
    let (from_header, contact_user) = match hides {
        true => {
            because = because.and("the caller is anonymous");
            (anonymous()?, None)
        }
        false => {
            let number = rewrite(&caller.calling.number.number);
            let user = user_text(&number, caller.calling.number.extension.as_deref());
            let uri = writer.sip(&user, our_host.clone())?;
            let contact_user = uri.user().cloned();
            let from_header = NameAddr {
                display: caller.calling.display.as_ref().and_then(bounded),
                uri: uri.into(),
            };
            (from_header, contact_user)
        }
    };

    let asserted = asserted(caller, towards, &our_host, &writer, rewrite, &mut because)?;
    let privacy = privacy(caller, hides, to, !asserted.is_empty())?;
    let (history, diversion) = match to.history {
        HistoryForm::None => (Vec::new(), Vec::new()),
        HistoryForm::Pass => (
            history(caller, from, to, &our_host, &writer, rewrite),
            diversion(caller, to, &our_host, &writer, rewrite),
        ),
    };
    Ok(Decision {
        value: Outgoing {
            request_uri: request_uri.into(),
            from: from_header,
            to: to_header,
            contact_user,
            asserted,
            privacy,
            history,
            diversion,
        },
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

/// Writes URIs in the form of a trunk.
struct Writer {
    user_phone: bool,
}

impl Writer {
    /// `sip:user@host`, with `user=phone` for numbers where the trunk wants it.
    fn sip(&self, user: &str, host: Host) -> Result<SipUri, ParseFault> {
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

fn asserted(
    caller: &Caller,
    towards: Towards<'_>,
    our_host: &Host,
    writer: &Writer,
    rewrite: &dyn Fn(&str) -> String,
    because: &mut Because,
) -> Result<Vec<PAssertedIdentity>, ParseFault> {
    if caller.asserted.is_empty() || !towards.to.send_asserted {
        return Ok(Vec::new());
    }
    if !(towards.from.trusted && towards.to.trusted) {
        *because = std::mem::take(because).and(format!(
            "asserted identity stays behind: trunk \"{}\" is outside the trust domain",
            towards.to.name
        ));
        return Ok(Vec::new());
    }
    let mut values = Vec::new();
    for identity in &caller.asserted {
        let number = rewrite(&identity.number.number);
        let uri = match identity.is_tel {
            true => match TelUri::new(number) {
                Ok(uri) => Uri::Tel(uri),
                // A transform made something of it that is no telephone number.
                Err(_) => continue,
            },
            false => writer
                .sip(
                    &user_text(&number, identity.number.extension.as_deref()),
                    our_host.clone(),
                )?
                .into(),
        };
        let mut value = PAssertedIdentity::from(uri);
        value.addr.display = identity.display.as_ref().and_then(bounded);
        values.push(value);
    }
    Ok(values)
}

/// What we have done is taken out of the header (SIP-1010); `id` stays where the peer is to
/// withhold the number itself, that is within the trust domain.
fn privacy(
    caller: &Caller,
    is_anonymous: bool,
    to: &Trunk,
    has_asserted: bool,
) -> Result<Option<Privacy>, ParseFault> {
    let token = |text: &'static str| Token::parse(Bytes::from_static(text.as_bytes()));
    let wishes = caller.privacy;
    if wishes.none && !is_anonymous {
        return Privacy::new(vec![token("none")?]).map(Some);
    }
    let wants_id = wishes.id || is_anonymous;
    match wants_id && (to.trusted || has_asserted) {
        true => Privacy::new(vec![token("id")?]).map(Some),
        false => Ok(None),
    }
}

fn history(
    caller: &Caller,
    from: &Trunk,
    to: &Trunk,
    our_host: &Host,
    writer: &Writer,
    rewrite: &dyn Fn(&str) -> String,
) -> Vec<HistoryInfo> {
    let leaves_trust = !(from.trusted && to.trusted);
    caller
        .history
        .iter()
        .filter_map(|entry| {
            let index = entry.params.get("index")?.clone();
            let hides = leaves_trust
                && !caller.privacy.none
                && (caller.privacy.history || caller.privacy.hides_caller() || hides_entry(entry));
            let uri = match hides {
                true => anonymous().ok()?.uri,
                false => rewritten(entry.uri(), our_host, writer, rewrite)?,
            };
            let mut value = HistoryInfo::from(uri);
            value.params.set(token("index")?, Some(index));
            for kind in ["rc", "mp", "np"] {
                if let Some(number) = entry.params.get(kind) {
                    value.params.set(token(kind)?, Some(number.clone()));
                }
            }
            Some(value)
        })
        .collect()
}

fn hides_entry(entry: &HistoryInfo) -> bool {
    entry.uri().as_sip().is_some_and(|uri| {
        uri.headers()
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case(b"Privacy"))
    })
}

fn diversion(
    caller: &Caller,
    to: &Trunk,
    our_host: &Host,
    writer: &Writer,
    rewrite: &dyn Fn(&str) -> String,
) -> Vec<Diversion> {
    caller
        .diversion
        .iter()
        .filter_map(|entry| {
            let wants_privacy = entry.privacy().is_some_and(|value| *value != "off");
            let uri = match wants_privacy && !to.trusted {
                true => anonymous().ok()?.uri,
                false => rewritten(entry.uri(), our_host, writer, rewrite)?,
            };
            let mut value = Diversion(Address::new(uri));
            for kind in ["reason", "counter", "privacy", "screen"] {
                if let Some(text) = entry.params.get(kind) {
                    value.params.set(token(kind)?, Some(plain(text)?));
                }
            }
            Some(value)
        })
        .collect()
}

/// The same number at our name, with the `cause` that RFC 4458 put there and nothing else; `tel`
/// URIs name no host and lose only their parameters (SIP-906).
fn rewritten(
    uri: &Uri,
    our_host: &Host,
    writer: &Writer,
    rewrite: &dyn Fn(&str) -> String,
) -> Option<Uri> {
    if number::is_withheld(uri) {
        return Some(anonymous().ok()?.uri);
    }
    let number = Number::of(uri)?;
    let text = rewrite(&number.number);
    if matches!(uri, Uri::Tel(_)) {
        return TelUri::new(text).ok().map(Uri::Tel);
    }
    let mut own = writer
        .sip(
            &user_text(&text, number.extension.as_deref()),
            our_host.clone(),
        )
        .ok()?;
    let cause = uri
        .params()
        .and_then(|params| params.value("cause"))
        .cloned();
    let reason = uri.as_sip().and_then(|uri| {
        let (_, value) = uri
            .headers()
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(b"Reason"))?;
        cause_of_reason(value)
    });
    if let Some(cause) = cause.filter(|cause| cause.iter().all(u8::is_ascii_digit)) {
        own.params.set("cause", Some(cause)).ok()?;
    }
    match reason {
        None => Some(own.into()),
        // The reason is written anew: Teams leaves it partly unescaped, and its text may name
        // machines.
        Some(code) => {
            let text = format!("{}?Reason=SIP%3Bcause%3D{code}", Uri::Sip(own));
            Uri::parse(text).ok()
        }
    }
}

/// The three digits behind `cause=` in an escaped or unescaped Reason.
fn cause_of_reason(value: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    let text = text.replace("%3d", "=");
    let digits = text.split_once("cause=")?.1.get(..3)?;
    digits.parse().ok().filter(|code| (300..700).contains(code))
}

fn anonymous() -> Result<NameAddr, ParseFault> {
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

/// Display names end at 80 octets (SIP-1004), at a character's end.
fn bounded(display: &DisplayName) -> Option<DisplayName> {
    let octets = display.as_bytes();
    if octets.len() <= LONGEST_DISPLAY {
        return Some(display.clone());
    }
    let text = display.to_string_lossy();
    let mut end = LONGEST_DISPLAY.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    DisplayName::new(text.get(..end)?.trim_end().to_owned()).ok()
}

const LONGEST_DISPLAY: usize = 80;

fn token(text: &'static str) -> Option<Token> {
    Token::parse(Bytes::from_static(text.as_bytes())).ok()
}

/// Parameter values cross legs only as short words: no quoted text of the peer.
fn plain(value: &Value) -> Option<Value> {
    let content = value.content();
    match content.len() <= 32 {
        true => PlainValue::parse(content.clone()).ok().map(Value::Plain),
        false => None,
    }
}
