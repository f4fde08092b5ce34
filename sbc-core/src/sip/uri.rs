//! URIs: `sip`, `sips` and `tel` understood, any other scheme carried (RFC 3261 §19.1, RFC 3966).

use crate::octets::is_same_word;
use std::fmt;

use bytes::{Buf, Bytes};

use super::grammar::{check_escaped, escape_at, is_unreserved, octets_as_str, push_number};
use super::limits::{MAX_PARAMS, MAX_URI};
use super::{Host, ParseFault, Rule};

/// A URI, valid by construction.
///
/// `==` compares what was written. For the equivalence of RFC 3261 §19.1.4 there is
/// [`Uri::is_equivalent`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Uri {
    /// `sip:` or `sips:`.
    Sip(SipUri),
    /// `tel:`.
    Tel(TelUri),
    /// Any other scheme, opaque.
    Other(OtherUri),
}

/// A `sip` or `sips` URI. The user part is kept octet by octet, escapes unresolved (SIP-011).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SipUri {
    /// Whether the scheme is `sips`.
    pub is_sips: bool,
    user: Option<Bytes>,
    /// Where the resource is.
    pub host: Host,
    /// Explicit port, 1–65535.
    pub port: Option<u16>,
    /// URI parameters in order.
    pub params: UriParams,
    /// Nothing instead of nothing but empty ones.
    seldom: Option<Box<Seldom>>,
}

/// Parts of a URI that hardly any has: URIs are many and last long.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Seldom {
    password: Option<Bytes>,
    headers: Vec<(Bytes, Bytes)>,
}

/// A `tel` URI (RFC 3966): the number as written, visual separators included.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TelUri {
    number: Bytes,
    /// Parameters such as `ext` and `phone-context`.
    pub params: UriParams,
}

/// A URI of a scheme that is not interpreted.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OtherUri {
    text: Bytes,
    colon: usize,
}

/// Parameters of a URI in order; names are unique without regard to case.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct UriParams(Vec<(Bytes, Option<Bytes>)>);

impl Uri {
    /// Reads a URI: the whole text, without brackets, white space or anything after it.
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, ParseFault> {
        let mut text = text.into();
        if text.len() > MAX_URI {
            return Err(ParseFault::new("URI", Rule::TooLong, MAX_URI));
        }
        if text.starts_with(b"sip:") {
            // Nearly every one, and then nothing before the user part needs a handle of its own.
            text.advance(4);
            return SipUri::parse_rest(false, text)
                .map(Self::Sip)
                .map_err(|fault| ParseFault {
                    at: fault.at + 4,
                    ..fault
                });
        }
        let fault = |rule, at| ParseFault::new("URI", rule, at);
        let colon = memchr::memchr(b':', &text).ok_or(fault(Rule::Uri, 0))?;
        let (scheme, _) = text.split_at(colon);
        let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
            && scheme
                .iter()
                .all(|&octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.'));
        if !is_scheme {
            return Err(fault(Rule::Uri, 0));
        }
        let rest = text.slice(colon + 1..);
        let shift = |fault: ParseFault| ParseFault {
            at: fault.at + colon + 1,
            ..fault
        };
        if is_same_word(scheme, b"sip") {
            SipUri::parse_rest(false, rest)
                .map(Self::Sip)
                .map_err(shift)
        } else if scheme.eq_ignore_ascii_case(b"sips") {
            SipUri::parse_rest(true, rest).map(Self::Sip).map_err(shift)
        } else if scheme.eq_ignore_ascii_case(b"tel") {
            TelUri::parse_rest(rest).map(Self::Tel).map_err(shift)
        } else {
            let is_octet =
                |octet: &u8| octet.is_ascii_graphic() && !matches!(octet, b'<' | b'>' | b'"');
            match rest.iter().position(|octet| !is_octet(octet)) {
                _ if rest.is_empty() => Err(fault(Rule::Empty, text.len())),
                Some(at) => Err(fault(Rule::Uri, colon + 1 + at)),
                None => Ok(Self::Other(OtherUri { text, colon })),
            }
        }
    }

    /// The scheme as written, without the colon.
    pub fn scheme(&self) -> &str {
        match self {
            Self::Sip(uri) if uri.is_sips => "sips",
            Self::Sip(_) => "sip",
            Self::Tel(_) => "tel",
            Self::Other(uri) => octets_as_str(uri.text.get(..uri.colon).unwrap_or_default()),
        }
    }

    /// The SIP or SIPS URI, if it is one.
    pub fn as_sip(&self) -> Option<&SipUri> {
        match self {
            Self::Sip(uri) => Some(uri),
            Self::Tel(_) | Self::Other(_) => None,
        }
    }

    /// Whether this is `urn:service:sos` or one of its sub-services (RFC 5031 §4.2).
    pub fn is_sos(&self) -> bool {
        const SOS: &[u8] = b"urn:service:sos";
        let Self::Other(other) = self else {
            return false;
        };
        let text = other.as_bytes();
        let begins = text.get(..SOS.len());
        begins.is_some_and(|own| own.eq_ignore_ascii_case(SOS))
            && matches!(text.get(SOS.len()), None | Some(b'.'))
    }

    /// The user part of a SIP URI or the number of a `tel` URI, as written.
    pub fn user(&self) -> Option<&Bytes> {
        match self {
            Self::Sip(uri) => uri.user(),
            Self::Tel(uri) => Some(&uri.number),
            Self::Other(_) => None,
        }
    }

    /// The host of a SIP URI.
    pub fn host(&self) -> Option<&Host> {
        self.as_sip().map(|uri| &uri.host)
    }

    /// The explicit port of a SIP URI.
    pub fn port(&self) -> Option<u16> {
        self.as_sip().and_then(|uri| uri.port)
    }

    /// The parameters of a SIP or `tel` URI.
    pub fn params(&self) -> Option<&UriParams> {
        match self {
            Self::Sip(uri) => Some(&uri.params),
            Self::Tel(uri) => Some(&uri.params),
            Self::Other(_) => None,
        }
    }

    /// Whether both name the same resource by RFC 3261 §19.1.4 and RFC 3966 §4 (SIP-010). Not for
    /// dialogs, which are found by Call-ID and tags only.
    pub fn is_equivalent(&self, other: &Uri) -> bool {
        match (self, other) {
            (Self::Sip(one), Self::Sip(two)) => one.is_equivalent(two),
            (Self::Tel(one), Self::Tel(two)) => {
                let digits = |uri: &TelUri| {
                    uri.digits()
                        .map(|digit| digit.to_ascii_lowercase())
                        .collect::<Vec<_>>()
                };
                let covers = |one: &UriParams, two: &UriParams| {
                    one.0.iter().all(|(name, value)| {
                        two.0.iter().any(|(other, other_value)| {
                            is_same(name, other)
                                && same_or_both_absent(value.as_ref(), other_value.as_ref())
                        })
                    })
                };
                digits(one) == digits(two)
                    && covers(&one.params, &two.params)
                    && covers(&two.params, &one.params)
            }
            (Self::Other(one), Self::Other(two)) => one == two,
            (Self::Sip(_) | Self::Tel(_) | Self::Other(_), _) => false,
        }
    }

    /// The URI on the wire.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(64);
        self.emit(&mut out);
        Bytes::from(out)
    }

    /// The same, without the message that it stands in.
    pub(crate) fn detached(self) -> Self {
        Self::parse(self.to_bytes()).unwrap_or(self)
    }

    /// The URI as people may see it: whoever writes a password into it has written it for the peer,
    /// not for logs and tables (SEC-005).
    pub fn shown(&self) -> String {
        let octets = match self {
            Self::Sip(uri) if uri.password().is_some() => {
                let mut open = uri.clone();
                open.clear_password();
                Self::Sip(open).to_bytes()
            }
            uri => uri.to_bytes(),
        };
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// Appends the URI.
    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Sip(uri) => uri.emit(out),
            Self::Tel(uri) => {
                out.extend_from_slice(b"tel:");
                out.extend_from_slice(&uri.number);
                uri.params.emit(out);
            }
            Self::Other(uri) => out.extend_from_slice(&uri.text),
        }
    }
}

impl From<SipUri> for Uri {
    fn from(uri: SipUri) -> Self {
        Self::Sip(uri)
    }
}

impl SipUri {
    /// A `sip` URI without user, port and parameters.
    pub const fn new(host: Host) -> Self {
        Self {
            is_sips: false,
            user: None,
            host,
            port: None,
            params: UriParams(Vec::new()),
            seldom: None,
        }
    }

    /// The user part as written, escapes unresolved.
    pub fn user(&self) -> Option<&Bytes> {
        self.user.as_ref()
    }

    /// The password part as written.
    pub fn password(&self) -> Option<&Bytes> {
        self.seldom.as_ref()?.password.as_ref()
    }

    fn clear_password(&mut self) {
        if let Some(mut seldom) = self.seldom.take() {
            seldom.password = None;
            self.seldom = Some(seldom).filter(|seldom| !seldom.headers.is_empty());
        }
    }

    /// The headers part as written: names and values with their escapes.
    pub fn headers(&self) -> &[(Bytes, Bytes)] {
        self.seldom.as_ref().map_or(&[], |seldom| &seldom.headers)
    }

    /// Removes the headers part, which may not stand in a Request-URI (RFC 3261 §19.1.1).
    pub fn clear_headers(&mut self) {
        if let Some(mut seldom) = self.seldom.take() {
            seldom.headers.clear();
            self.seldom = Some(seldom).filter(|seldom| seldom.password.is_some());
        }
    }

    /// Sets the user part; it must already be escaped where the grammar asks for it.
    pub fn set_user(&mut self, user: Option<Bytes>) -> Result<(), ParseFault> {
        if let Some(user) = &user {
            if user.is_empty() {
                return Err(ParseFault::new("user", Rule::Empty, 0));
            }
            check_escaped("user", user, is_user_octet)?;
        }
        if user.is_none() {
            self.clear_password();
        }
        self.user = user;
        Ok(())
    }

    /// Sets the user part from plain text, escaping what must not stand there.
    pub fn set_user_text(&mut self, text: &[u8]) -> Result<(), ParseFault> {
        let is_plain =
            |octet: u8| is_unreserved(octet) || matches!(octet, b'+' | b'&' | b'=' | b'$' | b',');
        if !text.is_empty() && text.iter().all(|&octet| is_plain(octet)) {
            // Nearly every number and name: nothing is escaped, so nothing need be checked.
            self.user = Some(Bytes::copy_from_slice(text));
            return Ok(());
        }
        let mut user = Vec::with_capacity(text.len());
        for &octet in text {
            match is_plain(octet) {
                true => user.push(octet),
                false => push_escaped(&mut user, octet),
            }
        }
        self.set_user(Some(Bytes::from(user)))
    }

    /// The rules of RFC 3261 §19.1.4: user and password with case, everything else without; no
    /// port is not the default port; some parameters must be on both sides, the others only agree
    /// where they are.
    fn is_equivalent(&self, other: &Self) -> bool {
        let same_text = |one: Option<&Bytes>, two: Option<&Bytes>| match (one, two) {
            (Some(one), Some(two)) => normal_escapes(one) == normal_escapes(two),
            (one, two) => one.is_none() && two.is_none(),
        };
        let param = |name: &str| {
            let (one, two) = (self.params.has(name), other.params.has(name));
            one == two && same_or_both_absent(self.params.value(name), other.params.value(name))
        };
        let common_agree = self.params.iter().all(|(name, value)| {
            let name = octets_as_str(name);
            !other.params.has(name) || same_or_both_absent(value, other.params.value(name))
        });
        let covers = |one: &Self, two: &Self| {
            one.headers().iter().all(|(name, value)| {
                two.headers().iter().any(|(other, other_value)| {
                    is_same(name, other) && normal_escapes(value) == normal_escapes(other_value)
                })
            })
        };
        self.is_sips == other.is_sips
            && same_text(self.user(), other.user())
            && same_text(self.password(), other.password())
            && self.host.is(&other.host)
            && self.port == other.port
            && ["transport", "user", "ttl", "method", "maddr"]
                .into_iter()
                .all(param)
            && common_agree
            && self.headers().len() == other.headers().len()
            && covers(self, other)
            && covers(other, self)
    }

    fn parse_rest(is_sips: bool, text: Bytes) -> Result<Self, ParseFault> {
        let mut uri = Self::new(Host::V4(std::net::Ipv4Addr::UNSPECIFIED));
        uri.is_sips = is_sips;
        let mut begin = 0;
        if let Some(at) = memchr::memchr(b'@', &text) {
            let user_end = memchr::memchr(b':', text.get(..at).unwrap_or_default()).unwrap_or(at);
            uri.set_user(Some(text.slice(..user_end)))?;
            if user_end < at {
                let password = text.slice(user_end + 1..at);
                check_escaped("password", &password, is_password_octet).map_err(|fault| {
                    ParseFault {
                        at: fault.at + user_end + 1,
                        ..fault
                    }
                })?;
                uri.seldom.get_or_insert_default().password = Some(password);
            }
            begin = at + 1;
        }
        let input = text.get(begin..).unwrap_or_default();
        let (rest, host, port) = Host::parse_with_port(&text, input)
            .map_err(|rule| ParseFault::new("host", rule, begin))?;
        uri.host = host;
        uri.port = port;
        if rest.is_empty() {
            return Ok(uri);
        }
        begin = text.len() - rest.len();

        let headers_at = memchr::memchr(b'?', rest).map_or(text.len(), |at| begin + at);
        uri.params =
            UriParams::parse(&text.slice(begin..headers_at)).map_err(|fault| ParseFault {
                at: fault.at + begin,
                ..fault
            })?;
        if headers_at < text.len() {
            let headers =
                parse_headers(&text.slice(headers_at + 1..)).map_err(|fault| ParseFault {
                    at: fault.at + headers_at + 1,
                    ..fault
                })?;
            if !headers.is_empty() {
                uri.seldom.get_or_insert_default().headers = headers;
            }
        }
        Ok(uri)
    }

    /// Appends the URI.
    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_sips { b"sips:" } else { b"sip:" });
        if let Some(user) = &self.user {
            out.extend_from_slice(user);
            if let Some(password) = self.password() {
                out.push(b':');
                out.extend_from_slice(password);
            }
            out.push(b'@');
        }
        self.host.emit(out);
        if let Some(port) = self.port {
            out.push(b':');
            push_number(out, u64::from(port));
        }
        self.params.emit(out);
        for (index, (name, value)) in self.headers().iter().enumerate() {
            out.push(if index == 0 { b'?' } else { b'&' });
            out.extend_from_slice(name);
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
}

impl TelUri {
    /// Reads a number, with `+` if it is global; visual separators are kept.
    pub fn new(number: impl Into<Bytes>) -> Result<Self, ParseFault> {
        let uri = Self {
            number: number.into(),
            params: UriParams::default(),
        };
        let digits = uri.number.strip_prefix(b"+").unwrap_or(&uri.number);
        let is_global = digits.len() < uri.number.len();
        let is_digit = |octet: u8| match is_global {
            true => octet.is_ascii_digit(),
            false => octet.is_ascii_hexdigit() || matches!(octet, b'*' | b'#'),
        };
        if !digits.iter().copied().any(is_digit) {
            return Err(ParseFault::new("tel number", Rule::Empty, 0));
        }
        let is_allowed = |octet: u8| is_digit(octet) || matches!(octet, b'-' | b'.' | b'(' | b')');
        match digits.iter().position(|&octet| !is_allowed(octet)) {
            Some(at) => Err(ParseFault::new("tel number", Rule::Uri, at)),
            None => Ok(uri),
        }
    }

    /// The number as written.
    pub fn number(&self) -> &Bytes {
        &self.number
    }

    /// The number without visual separators.
    pub fn digits(&self) -> impl Iterator<Item = u8> + '_ {
        self.number
            .iter()
            .copied()
            .filter(|octet| !matches!(octet, b'-' | b'.' | b'(' | b')'))
    }

    fn parse_rest(text: Bytes) -> Result<Self, ParseFault> {
        let end = memchr::memchr(b';', &text).unwrap_or(text.len());
        let mut uri = Self::new(text.slice(..end))?;
        uri.params = UriParams::parse(&text.slice(end..)).map_err(|fault| ParseFault {
            at: fault.at + end,
            ..fault
        })?;
        Ok(uri)
    }
}

impl OtherUri {
    /// The whole URI as written.
    pub fn as_bytes(&self) -> &Bytes {
        &self.text
    }
}

impl UriParams {
    /// Whether there is a parameter of this name, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|(own, _)| is_same_word(own, name.as_bytes()))
    }

    /// The value of this parameter as written, if it is there and has one.
    pub fn value(&self, name: &str) -> Option<&Bytes> {
        self.0
            .iter()
            .find(|(own, _)| is_same_word(own, name.as_bytes()))
            .and_then(|(_, value)| value.as_ref())
    }

    /// Name and value of each, in order, as written.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, Option<&Bytes>)> {
        self.0.iter().map(|(name, value)| (name, value.as_ref()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets a parameter: in place if the name is there, else at the end. Both must already be
    /// escaped where the grammar asks for it.
    pub fn set(&mut self, name: impl Into<Bytes>, value: Option<Bytes>) -> Result<(), ParseFault> {
        let name = name.into();
        check_part(&name)?;
        value.as_ref().map_or(Ok(()), check_part)?;
        if let Some(found) = self.0.iter_mut().find(|(own, _)| is_same_word(own, &name)) {
            found.1 = value;
        } else if self.0.len() < MAX_PARAMS {
            self.0.push((name, value));
        } else {
            return Err(ParseFault::new("URI parameter", Rule::TooMany, 0));
        }
        Ok(())
    }

    /// Removes a parameter; says whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0
            .retain(|(own, _)| !is_same_word(own, name.as_bytes()));
        self.0.len() != before
    }

    /// Reads `*( ";" name [ "=" value ] )`, nothing else.
    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        let mut params = Self::default();
        let mut begin = 0;
        while begin < text.len() {
            let separator_at = begin;
            let fault = |rule| ParseFault::new("URI parameter", rule, separator_at);
            if text.get(begin) != Some(&b';') {
                return Err(fault(Rule::Uri));
            }
            begin += 1;
            let rest = text.get(begin..).unwrap_or_default();
            let end = begin + memchr::memchr(b';', rest).unwrap_or(rest.len());
            let part = text.slice(begin..end);
            let (name, value) = match memchr::memchr(b'=', &part) {
                Some(at) => (part.slice(..at), Some(part.slice(at + 1..))),
                None => (part, None),
            };
            if params.0.iter().any(|(own, _)| is_same_word(own, &name)) {
                return Err(fault(Rule::Repeated));
            }
            params
                .set(name, value)
                .map_err(|fault| ParseFault { at: begin, ..fault })?;
            begin = end;
        }
        Ok(params)
    }

    fn emit(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            out.push(b';');
            out.extend_from_slice(name);
            if let Some(value) = value {
                out.push(b'=');
                out.extend_from_slice(value);
            }
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(octets_as_str(&self.to_bytes()))
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.emit(&mut out);
        f.write_str(octets_as_str(&out))
    }
}

impl fmt::Debug for TelUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tel:{}{:?}", octets_as_str(&self.number), self.params)
    }
}

impl fmt::Debug for OtherUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(octets_as_str(&self.text))
    }
}

impl fmt::Debug for UriParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.emit(&mut out);
        f.write_str(octets_as_str(&out))
    }
}

/// The text with every escape of an unreserved character resolved and the others in upper case, so
/// that equal texts are equal octets (SIP-011).
fn normal_escapes(text: &[u8]) -> Vec<u8> {
    let mut normal = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&octet) = text.get(at) {
        match escape_at(text, at).filter(|_| octet == b'%') {
            None => {
                normal.push(octet);
                at += 1;
            }
            Some(plain) => {
                match is_unreserved(plain) {
                    true => normal.push(plain),
                    false => push_escaped(&mut normal, plain),
                }
                at += 3;
            }
        }
    }
    normal
}

fn push_escaped(out: &mut Vec<u8>, octet: u8) {
    out.push(b'%');
    out.push(HEX[usize::from(octet >> 4)]);
    out.push(HEX[usize::from(octet & 15)]);
}

/// Equal without regard to case once escapes are resolved.
fn is_same(one: &[u8], two: &[u8]) -> bool {
    normal_escapes(one).eq_ignore_ascii_case(&normal_escapes(two))
}

fn same_or_both_absent(one: Option<&Bytes>, two: Option<&Bytes>) -> bool {
    match (one, two) {
        (Some(one), Some(two)) => is_same(one, two),
        (one, two) => one.is_none() && two.is_none(),
    }
}

fn parse_headers(text: &Bytes) -> Result<Vec<(Bytes, Bytes)>, ParseFault> {
    let mut headers = Vec::new();
    let mut begin = 0;
    loop {
        let rest = text.get(begin..).unwrap_or_default();
        let end = begin + memchr::memchr(b'&', rest).unwrap_or(rest.len());
        let part = text.slice(begin..end);
        let fault = |rule| ParseFault::new("URI header", rule, begin);
        let at = memchr::memchr(b'=', &part).ok_or(fault(Rule::Separator))?;
        if at == 0 {
            return Err(fault(Rule::Empty));
        }
        if headers.len() == MAX_PARAMS {
            return Err(fault(Rule::TooMany));
        }
        check_escaped("URI header", &part, is_header_octet).map_err(|fault| ParseFault {
            at: fault.at + begin,
            ..fault
        })?;
        headers.push((part.slice(..at), part.slice(at + 1..)));
        if end == text.len() {
            return Ok(headers);
        }
        begin = end + 1;
    }
}

fn check_part(part: &Bytes) -> Result<(), ParseFault> {
    match part.is_empty() {
        true => Err(ParseFault::new("URI parameter", Rule::Empty, 0)),
        false => check_escaped("URI parameter", part, is_param_octet),
    }
}

/// `unreserved / user-unreserved`, and `#`, which telephone systems put there for feature codes.
#[inline]
fn is_user_octet(octet: u8) -> bool {
    KINDS[usize::from(octet)] & USER != 0
}

/// `password`, and the further octets that RFC 4475 §3.1.1.2 shows there.
fn is_password_octet(octet: u8) -> bool {
    is_user_octet(octet) || octet == b':'
}

/// `paramchar`, and `=`, which base64 brings along.
#[inline]
fn is_param_octet(octet: u8) -> bool {
    KINDS[usize::from(octet)] & PARAM != 0
}

/// `hnv-unreserved`, and `=` and `;`, which peers leave unescaped in an embedded Replaces.
#[inline]
fn is_header_octet(octet: u8) -> bool {
    KINDS[usize::from(octet)] & HEADER != 0
}

const USER: u8 = 1;
const PARAM: u8 = 2;
const HEADER: u8 = 4;

/// In which parts of a URI each octet may stand unescaped.
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let o = octet as u8;
        let anywhere = is_unreserved(o);
        if anywhere
            || matches!(
                o,
                b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/' | b'#'
            )
        {
            kinds[octet] |= USER;
        }
        if anywhere || matches!(o, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$' | b'=') {
            kinds[octet] |= PARAM;
        }
        if anywhere
            || matches!(
                o,
                b'[' | b']' | b'/' | b'?' | b':' | b'+' | b'$' | b'=' | b';'
            )
        {
            kinds[octet] |= HEADER;
        }
        octet += 1;
    }
    kinds
};

const HEX: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &'static str) -> Uri {
        Uri::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
    }

    #[test]
    fn uris_that_the_rfc_calls_equivalent_are() {
        for (one, two) in [
            (
                "sip:%61lice@atlanta.com;transport=TCP",
                "sip:alice@AtLanTa.CoM;Transport=tcp",
            ),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:carol@chicago.com;security=on",
                "sip:carol@chicago.com;newparam=5",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("sip:a@[2001:db8::1]", "sip:a@[2001:0db8:0::1]"),
            ("tel:+1-201-555-0123", "tel:+12015550123"),
            (
                "tel:7042;phone-context=example.com",
                "tel:7042;PHONE-CONTEXT=Example.com",
            ),
        ] {
            assert!(uri(one).is_equivalent(&uri(two)), "{one} {two}");
            assert!(uri(two).is_equivalent(&uri(one)), "{two} {one}");
        }
    }

    #[test]
    fn uris_that_the_rfc_calls_different_are() {
        for (one, two) in [
            (
                "SIP:ALICE@AtLanTa.CoM;Transport=udp",
                "sip:alice@AtLanTa.CoM;Transport=UDP",
            ),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
            (
                "sip:carol@chicago.com",
                "sip:carol@chicago.com?Subject=next%20meeting",
            ),
            (
                "sip:carol@chicago.com;security=on",
                "sip:carol@chicago.com;security=off",
            ),
            ("sip:bob@phone21.example.com", "sip:bob@192.0.2.4"),
            ("sip:a%40b@example.com", "sip:a%41b@example.com"),
            ("sip:%00@example.com", "sip:%00a@example.com"),
            ("sip:a@example.com;maddr=192.0.2.1", "sip:a@example.com"),
            ("tel:+12015550123", "tel:12015550123"),
            ("tel:+12015550123;ext=1", "tel:+12015550123"),
        ] {
            assert!(!uri(one).is_equivalent(&uri(two)), "{one} {two}");
            assert!(!uri(two).is_equivalent(&uri(one)), "{two} {one}");
        }
    }

    #[test]
    fn user_parts_keep_every_octet() {
        for text in [
            "sip:+493023125456;ext=7@example.com:5061;user=phone",
            "sip:user;par=u%40example.net@example.com",
            "sip:sips%3Auser%40example.com@example.net",
            "sip:*21#@example.com",
            "sip:a:p%20w@example.com",
            "sip:sip.pstnhub.example.com:5061;transport=tls;x-m=8:orgid:aaaa-bbbb;x-t=a/b==",
            "sip:t@example.com?Replaces=1%40x%3Bto-tag%3Da%3Bfrom-tag%3Db",
            "sips:[2001:db8::9:1]:5061;lr",
            "tel:+1-201-555-0123;ext=1",
            "urn:service:sos",
        ] {
            assert_eq!(uri(text).to_bytes(), text);
        }
    }

    #[test]
    fn broken_uris_are_refused_at_the_place() {
        for (text, rule) in [
            ("example.com", Rule::Uri),
            ("sip:", Rule::Host),
            ("sip:@example.com", Rule::Empty),
            ("sip:a@", Rule::Host),
            ("sip:a b@example.com", Rule::Uri),
            ("sip:a%4@example.com", Rule::Escape),
            ("sip:a@example.com:0", Rule::Port),
            ("sip:a@example.com:65536", Rule::Port),
            ("sip:a@example.com:", Rule::Port),
            ("sip:a@192.0.2.256", Rule::Host),
            ("sip:a@[2001:db8::1", Rule::Host),
            ("sip:a@example.com;lr;LR", Rule::Repeated),
            ("sip:a@example.com;", Rule::Empty),
            ("sip:a@example.com;x=", Rule::Empty),
            ("sip:a@example.com?x", Rule::Separator),
            ("sip:a@ex\r\nample.com", Rule::Uri),
            ("tel:", Rule::Empty),
            ("tel:+49a", Rule::Uri),
            ("http:", Rule::Empty),
            ("<sip:a@example.com>", Rule::Uri),
        ] {
            assert_eq!(
                Uri::parse(text).map_err(|fault| fault.rule),
                Err(rule),
                "{text}"
            );
        }
    }

    #[test]
    fn plain_text_becomes_a_user_part_that_reads_back() {
        let mut sip = SipUri::new(Host::parse("example.com").unwrap());
        sip.set_user_text("a@b;c \r\n%".as_bytes()).unwrap();
        assert_eq!(
            Uri::from(sip.clone()).to_bytes(),
            "sip:a%40b%3Bc%20%0D%0A%25@example.com"
        );
        assert!(sip.set_user(Some("a\r\nb".into())).is_err());
        assert!(sip.params.set("x", Some("a;b".into())).is_err());
    }
}
