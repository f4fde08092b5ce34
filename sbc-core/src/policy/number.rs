//! Numbers: read from URIs in every form that peers send, brought to one form, changed by
//! transforms (SIP-1020 to SIP-1022).
//!
//! The form inside is `+` and digits for E.164, otherwise the dialled digits or the user part as
//! text. Conversions happen here, at the edge.

use crate::cause::{Because, CauseCode, Decision};
use crate::config::{Config, DidSource, NumberMatch, NumberRule, Transform, TransformScope};
use crate::id::{TransformName, TrunkName};
use crate::policy::Refusal;
use crate::sip::header::{From, Header, HistoryInfo, To};
use crate::sip::{DisplayName, Message, SipUri, Status, Uri};
use crate::trouble::Trouble;
use std::borrow::Cow;

/// A party's number as read from a URI.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Number {
    /// User part as received, escapes unresolved, bounded and printable: for the record.
    pub raw: String,
    /// Canonical form: `+` and digits, digits, or a user name.
    pub number: String,
    /// Extension within the number (`;ext=`), digits (TDR-SIP-011).
    pub extension: Option<String>,
    /// Where a local number is one (`;phone-context=`), as written.
    pub context: Option<String>,
    /// Whether its URI says that it is a telephone number: `tel`, or `user=phone`.
    pub is_phone: bool,
    /// Parameters of the number that a trunk may want as they came ([`PASSABLE`]), as written.
    pub params: Vec<(String, Option<String>)>,
}

/// Parameters of a number that pass where a trunk lists them: number portability (RFC 4694), trunk
/// groups (RFC 4904) and ISDN subaddresses (RFC 3966).
pub const PASSABLE: [&str; 7] = [
    "cic",
    "isub",
    "npdi",
    "rn",
    "rn-context",
    "tgrp",
    "trunk-context",
];

/// Longest number or user name that is routed, in characters.
const LONGEST: usize = 128;

impl Number {
    /// Reads the number of a URI; `None` if the URI has no user part.
    pub fn of(uri: &Uri) -> Option<Self> {
        if let Uri::Sip(sip) = uri
            && let Some(plain) = sip.user().and_then(|user| plain(user))
        {
            return Some(Self {
                raw: plain.to_owned(),
                number: plain.to_owned(),
                is_phone: is_phone(sip),
                ..Self::default()
            });
        }
        let (user, params) = match uri {
            Uri::Sip(sip) => {
                let user = sip.user()?;
                let text = unescape(user);
                match text.split_once(';') {
                    Some((number, params)) => (number.to_owned(), params.to_owned()),
                    None => (text.into_owned(), String::new()),
                }
            }
            Uri::Tel(tel) => {
                let params: Vec<String> = tel
                    .params
                    .iter()
                    .map(|(name, value)| match value {
                        Some(value) => format!("{}={}", lossy(name), lossy(value)),
                        None => lossy(name),
                    })
                    .collect();
                (lossy(tel.number()), params.join(";"))
            }
            Uri::Other(_) => return None,
        };
        let mut read = Self::default();
        for param in params.split(';').filter(|param| !param.is_empty()) {
            let (name, value) = match param.split_once('=') {
                Some((name, value)) => (name.to_ascii_lowercase(), Some(value)),
                None => (param.to_ascii_lowercase(), None),
            };
            let value = value.filter(|value| !value.is_empty() && value.len() <= LONGEST);
            match (name.as_str(), value) {
                ("ext", Some(value)) => {
                    let digits = without_separators(value);
                    read.extension = is_extension(&digits).then(|| digits.into_owned());
                }
                ("phone-context", Some(value)) => read.context = Some(value.to_owned()),
                (known, value) if PASSABLE.contains(&known) => {
                    read.params.push((name, value.map(str::to_owned)));
                }
                _ => {}
            }
        }
        let raw: String = lossy(uri.user()?).chars().take(LONGEST).collect();
        let number: String = canonical(&user).chars().take(LONGEST).collect();
        let is_phone = match uri {
            Uri::Sip(sip) => is_phone(sip),
            Uri::Tel(_) => true,
            Uri::Other(_) => false,
        };
        (!number.is_empty()).then_some(Self {
            raw,
            number,
            is_phone,
            ..read
        })
    }

    /// The number after a transform. What was the context of another number is none of it; an extension
    /// that it writes takes the place of the one that came (TDR-SIP-011).
    #[must_use]
    pub fn changed(&self, number: String) -> Self {
        let extended = number.split_once(EXTENSION);
        let extended = extended.filter(|(_, digits)| is_extension(digits));
        let (number, extension) = match extended {
            Some((base, digits)) => (base.to_owned(), Some(digits.to_owned())),
            None => (number, self.extension.clone()),
        };
        let context = self.context.as_ref().filter(|_| number == self.number);
        Self {
            raw: self.raw.clone(),
            context: context.cloned(),
            is_phone: self.is_phone,
            params: self.params.clone(),
            number,
            extension,
        }
    }

    /// Whether the number is E.164: `+` and 1–15 digits.
    pub fn is_global(&self) -> bool {
        is_e164(&self.number)
    }
}

/// How a rule for called numbers writes an extension behind the number.
pub const EXTENSION: &str = ";ext=";

fn is_extension(digits: &str) -> bool {
    (1..=20).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
}

/// Number and parameters of the user part of a URI, as it stands.
pub(in crate::policy) fn of_user(user: &[u8]) -> (String, String) {
    let text = unescape(user);
    let (number, params) = text.split_once(';').unwrap_or((&text, ""));
    let number = canonical(number).chars().take(LONGEST).collect();
    (number, params.to_owned())
}

/// The routing number of a ported called number: `rn`, where `npdi` says that the data base has been
/// asked (RFC 4694 §5), without separators.
pub fn routing_number(uri: &Uri) -> Option<String> {
    let params = match uri {
        Uri::Sip(sip) => {
            let user = unescape(sip.user()?).into_owned();
            user.split_once(';')?.1.to_owned()
        }
        Uri::Tel(tel) => {
            let params = tel.params.iter().map(|(name, value)| match value {
                Some(value) => format!("{}={}", lossy(name), lossy(value)),
                None => lossy(name),
            });
            params.collect::<Vec<_>>().join(";")
        }
        Uri::Other(_) => return None,
    };
    let mut params = params
        .split(';')
        .map(|param| param.split_once('=').unwrap_or((param, "")));
    let is_asked = params
        .clone()
        .any(|(name, _)| name.eq_ignore_ascii_case("npdi"));
    let (_, number) = params.find(|(name, _)| name.eq_ignore_ascii_case("rn"))?;
    let number: String = without_separators(number).chars().take(LONGEST).collect();
    (is_asked && !number.is_empty()).then_some(number)
}

/// Who calls, as the From header claims.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Calling {
    /// The number; `anonymous` when it is withheld (SIP-1010).
    pub number: Number,
    /// Name for display.
    pub display: Option<DisplayName>,
    /// Whether the caller withholds the number.
    pub is_withheld: bool,
}

/// The called number of an INVITE: its Request-URI, and nothing else (TDR-SIP-010).
pub fn called(uri: &Uri) -> Result<Number, Refusal> {
    if let Uri::Tel(tel) = uri
        && !tel.number().starts_with(b"+")
        && !tel.params.has("phone-context")
    {
        // Whose extension or area it belongs to nobody can know (RFC 3966 §5.1.5).
        return Err(Refusal {
            status: Status::BAD_REQUEST,
            cause: CauseCode::BadRequest,
            because: Because::of("a local number in a tel URI comes without phone-context")
                .named(Trouble::LocalNumber),
        });
    }
    Number::of(uri).ok_or_else(|| Refusal {
        status: Status::NOT_FOUND,
        cause: CauseCode::NumberUnknown,
        because: Because::of("the Request-URI names no number").named(Trouble::NumberMissing),
    })
}

/// The called number of an INVITE over a trunk that may be registered (SIP-1624). Where the
/// Request-URI is our own contact, which stands for no number, P-Called-Party-ID and To say it.
pub fn called_of(
    message: &Message,
    uri: &Uri,
    source: DidSource,
    own_user: Option<&str>,
) -> Result<Number, Refusal> {
    let of_to = || {
        message
            .essential::<To>()
            .ok()
            .flatten()
            .map(|to| to.0.uri().clone())
    };
    let of_party = || {
        let value = message.raw_named("P-Called-Party-ID")?;
        // An address with parameters, as To is.
        Some(To::parse(&value).ok()?.0.uri().clone())
    };
    let of_history = || {
        let entries = message.list::<HistoryInfo>().ok()?;
        Some(entries.last()?.0.uri().clone())
    };
    let is_own = own_user.is_some_and(|own| uri.user().is_some_and(|user| user == own.as_bytes()));
    let named = match source {
        DidSource::RequestUri if is_own => of_party().or_else(of_to),
        DidSource::RequestUri => None,
        DidSource::To => of_to(),
        DidSource::CalledParty => of_party(),
        DidSource::History => of_history(),
    };
    called(named.as_ref().unwrap_or(uri))
}

/// The calling number of an INVITE as its From header claims.
pub fn calling(message: &Message) -> Calling {
    let from = message.essential::<From>().ok().flatten();
    let withheld = || Number {
        raw: ANONYMOUS.to_owned(),
        number: ANONYMOUS.to_owned(),
        ..Number::default()
    };
    let Some(from) = from else {
        return Calling {
            number: withheld(),
            display: None,
            is_withheld: true,
        };
    };
    if is_withheld(from.uri()) {
        return Calling {
            number: withheld(),
            display: None,
            is_withheld: true,
        };
    }
    match Number::of(from.uri()) {
        Some(number) => Calling {
            number,
            display: from.display().cloned(),
            is_withheld: false,
        },
        None => Calling {
            number: withheld(),
            display: None,
            is_withheld: true,
        },
    }
}

/// Whether a URI says that the number is withheld: `anonymous.invalid`, `unknown.invalid`, or one
/// of the customary user names (SIP-1010).
pub fn is_withheld(uri: &Uri) -> bool {
    let host_says = uri
        .host()
        .is_some_and(|host| host.is_name("anonymous.invalid") || host.is_name("unknown.invalid"));
    let user_says = uri.user().is_some_and(|user| {
        [ANONYMOUS, "restricted", "unavailable"]
            .iter()
            .any(|word| user.eq_ignore_ascii_case(word.as_bytes()))
    });
    host_says || user_says
}

/// User name of a withheld number.
pub const ANONYMOUS: &str = "anonymous";

/// Changes a calling number by the transforms of one scope.
pub fn transform_calling(
    config: &Config,
    scope: &TransformScope,
    number: &str,
) -> Decision<String> {
    transform(
        config,
        scope,
        number,
        |transform| &transform.calling,
        ("calling", &mut false),
    )
}

/// Changes a called number by the transforms of one scope.
pub fn transform_called(config: &Config, scope: &TransformScope, number: &str) -> Decision<String> {
    translate_called(config, scope, number).0
}

/// As [`transform_called`]; says too whether a service number was translated.
pub fn translate_called(
    config: &Config,
    scope: &TransformScope,
    number: &str,
) -> (Decision<String>, bool) {
    let mut is_service = false;
    let changed = transform(
        config,
        scope,
        number,
        |transform| &transform.called,
        ("called", &mut is_service),
    );
    (changed, is_service)
}

/// As [`translate_called`], of a call for help. What was dialled is changed only by rules that name it: those on
/// patterns and beginnings are made for numbers that others have (TDR-NUM-003). A number in full form is one of these.
pub fn translate_help(
    config: &Config,
    scope: &TransformScope,
    dialled: &str,
) -> (Decision<String>, bool) {
    if is_e164(dialled) {
        return translate_called(config, scope, dialled);
    }
    let mut value = dialled.to_owned();
    let mut because = Because::default();
    for transform in config.transforms.iter().filter(|t| t.scope == *scope) {
        let mut rules = transform.called.iter();
        let rule =
            rules.find(|rule| matches!(&rule.when, NumberMatch::Number(own) if *own == value));
        if let Some(rule) = rule.filter(|rule| rule.set != value) {
            because = because.and(told(&transform.name, "called", &value, &rule.set));
            value.clone_from(&rule.set);
        }
    }
    (Decision { value, because }, false)
}

/// Changes a number that forwarded a call by the transforms of one scope: by their rules for such
/// numbers, and where a transform has none by those for calling ones.
pub fn transform_redirecting(
    config: &Config,
    scope: &TransformScope,
    number: &str,
) -> Decision<String> {
    let what = ("redirecting", &mut false);
    transform(config, scope, number, redirecting_rules, what)
}

fn redirecting_rules(transform: &Transform) -> &Vec<NumberRule> {
    match transform.redirecting.is_empty() {
        true => &transform.calling,
        false => &transform.redirecting,
    }
}

/// Calling number of a call from one trunk to another: what arrives is changed by the transforms
/// of the first, what leaves by those of the second.
pub fn transform_calling_through(
    config: &Config,
    from: &TrunkName,
    to: &TrunkName,
    number: &str,
) -> String {
    let inside = transform_calling(config, &TransformScope::In(from.clone()), number).value;
    transform_calling(config, &TransformScope::Out(to.clone()), &inside).value
}

/// As [`transform_calling_through`], of a number that forwarded the call.
pub fn transform_redirecting_through(
    config: &Config,
    from: &TrunkName,
    to: &TrunkName,
    number: &str,
) -> String {
    let inside = transform_redirecting(config, &TransformScope::In(from.clone()), number).value;
    transform_redirecting(config, &TransformScope::Out(to.clone()), &inside).value
}

fn transform<'c>(
    config: &'c Config,
    scope: &TransformScope,
    number: &str,
    rules: impl Fn(&'c Transform) -> &'c Vec<NumberRule>,
    (what, is_service): (&str, &mut bool),
) -> Decision<String> {
    let mut value = number.to_owned();
    let mut because = Because::default();
    for transform in config.transforms.iter().filter(|t| t.scope == *scope) {
        let mut rules = rules(transform).iter();
        let changed = rules.find_map(|rule| Some((rule.apply(&value)?, rule.is_service)));
        let Some((changed, is_translation)) = changed else {
            continue;
        };
        let changed: String = changed.chars().take(LONGEST).collect();
        if changed != value {
            *is_service |= is_translation;
            because = because.and(told(&transform.name, what, &value, &changed));
            value = changed;
        }
    }
    Decision { value, because }
}

fn told(name: &TransformName, what: &str, value: &str, changed: &str) -> String {
    let changed = changed.escape_debug();
    format!("transform \"{name}\" changed the {what} number {value} to {changed}")
}

/// Whether what transforms have made of a number may stand in a message: nothing is left out of it in
/// silence (SIP-017). A blank is no number, but many a name has one, and it is escaped where it stands.
pub fn is_sound(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// Whether the text is an E.164 number: `+` and 1–15 digits.
pub fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (1..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
    })
}

fn is_phone(sip: &SipUri) -> bool {
    let user = sip.params.value("user");
    user.is_some_and(|value| value.eq_ignore_ascii_case(b"phone"))
}

/// A user part that is a number and nothing else: what most are.
fn plain(user: &[u8]) -> Option<&str> {
    let digits = user.strip_prefix(b"+").unwrap_or(user);
    let is_plain = (1..LONGEST).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(user).ok().filter(|_| is_plain)
}

/// Telephone numbers lose their visual separators (RFC 3966 §3), and spaces, which are none but which a
/// carrier may pass over; names stay as they are.
fn canonical(user: &str) -> Cow<'_, str> {
    let bare = without_separators(user);
    let digits = bare.strip_prefix('+').unwrap_or(&bare);
    let is_number = !digits.is_empty()
        && digits
            .bytes()
            .all(|octet| octet.is_ascii_digit() || matches!(octet, b'*' | b'#'));
    if is_number { bare } else { Cow::Borrowed(user) }
}

fn without_separators(text: &str) -> Cow<'_, str> {
    let is_separator = |c: char| matches!(c, '-' | '.' | '(' | ')' | ' ');
    match text.contains(is_separator) {
        true => Cow::Owned(text.replace(is_separator, "")),
        false => Cow::Borrowed(text),
    }
}

/// Resolves escapes, unless that would bring control characters or broken text into our routing,
/// records and logs.
fn unescape(user: &[u8]) -> Cow<'_, str> {
    let written = || match std::str::from_utf8(user) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(lossy(user)),
    };
    if !user.contains(&b'%') {
        return written();
    }
    let mut plain = Vec::with_capacity(user.len());
    let mut rest = user;
    while let Some((&octet, after)) = rest.split_first() {
        if octet != b'%' {
            plain.push(octet);
            rest = after;
            continue;
        }
        let digit = |at: usize| after.get(at).and_then(|&hex| char::from(hex).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return written();
        };
        plain.push((high * 16 + low) as u8);
        rest = after.get(2..).unwrap_or_default();
    }
    match String::from_utf8(plain) {
        Ok(text) if !text.chars().any(char::is_control) => Cow::Owned(text),
        _ => written(),
    }
}

fn lossy(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(uri: &'static str) -> Option<Number> {
        Number::of(&Uri::parse(uri).unwrap())
    }

    #[test]
    fn every_way_to_write_a_number_gives_the_same_number() {
        for uri in [
            "sip:+493023125456@sip.example.com",
            "sip:+493023125456@sip.example.com:5061;user=phone;transport=tls",
            "sip:+49-30.(231)25456@sip.example.com;user=phone",
            "sip:%2B493023125456@sip.example.com",
            "sip:+49%2030%2023125%20456@sip.example.com",
            "sip:+493023125456;npdi;rn=+493023125999@sip.example.com;user=phone",
            "sips:+493023125456:secret@sip.example.com",
            "tel:+49-30-23125-456",
            "tel:+493023125456;isub=5",
        ] {
            let number = number(uri).unwrap();
            assert_eq!(number.number, "+493023125456", "{uri}");
            assert!(number.is_global(), "{uri}");
        }
    }

    #[test]
    fn extensions_are_kept_apart() {
        let number = number("sip:+14255550100;ext=1001@sip.pstnhub.microsoft.com").unwrap();
        assert_eq!(number.number, "+14255550100");
        assert_eq!(number.extension.as_deref(), Some("1001"));
        assert_eq!(number.raw, "+14255550100;ext=1001");
        assert_eq!(
            self::number("tel:+1425;ext=10-01")
                .unwrap()
                .extension
                .as_deref(),
            Some("1001")
        );
    }

    #[test]
    fn local_numbers_and_names_stay_what_they_are() {
        assert_eq!(number("sip:112@h.example").unwrap().number, "112");
        assert_eq!(number("sip:*21%23@h.example").unwrap().number, "*21#");
        assert_eq!(number("tel:911;phone-context=+1").unwrap().number, "911");
        assert_eq!(
            number("sip:first.last@h.example").unwrap().number,
            "first.last"
        );
        assert_eq!(number("sip:h.example"), None);
        assert_eq!(number("urn:service:sos"), None);
    }

    #[test]
    fn escaped_control_characters_never_become_control_characters() {
        let number = number("sip:%0d%0aX@h.example").unwrap();
        assert_eq!(number.number, "%0d%0aX");
        assert!(!number.raw.contains('\r'));
    }

    #[test]
    fn withheld_numbers_are_recognised() {
        for uri in [
            "sip:anonymous@anonymous.invalid",
            "sip:Restricted@carrier.example",
            "sip:+493023125@anonymous.invalid",
            "sip:unavailable@unknown.invalid",
        ] {
            assert!(is_withheld(&Uri::parse(uri).unwrap()), "{uri}");
        }
        assert!(!is_withheld(
            &Uri::parse("sip:+493023125@carrier.example").unwrap()
        ));
    }
}
