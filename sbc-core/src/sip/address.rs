//! Addresses in headers: `"Display" <uri>;params` or `uri;params` (SIP-009, RFC 3261 §20).

use std::fmt;

use bytes::Bytes;

use super::grammar::{
    Step, is_token_octet, is_white, lws, quoted_octets, split_commas, stop, trim, unquote, whole,
};
use super::limits::MAX_DISPLAY_NAME;
use super::{Params, ParseFault, Rule, Uri};

/// A display name: any text without control octets, 1 octet to 1 KiB.
///
/// Escapes are resolved. Control octets, which only an escape can carry, are left out when a name
/// comes from the wire: nothing that we emit may carry them, and the raw header still has them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DisplayName(Bytes);

/// A display name and a URI, `name-addr` of RFC 3261 §25.1.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NameAddr {
    /// Text for people, if there is any.
    pub display: Option<DisplayName>,
    /// The address proper.
    pub uri: Uri,
}

/// A [`NameAddr`] with the parameters of the header it stands in.
///
/// Parameters after a URI without `<>` belong to the header, never to the URI (SIP-009).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Address {
    /// Who or where.
    pub addr: NameAddr,
    /// Header parameters, such as `tag`.
    pub params: Params,
}

impl DisplayName {
    /// Takes plain text as a display name.
    pub fn new(text: impl Into<Bytes>) -> Result<Self, ParseFault> {
        let text = text.into();
        let fault = |rule, at| Err(ParseFault::new("display name", rule, at));
        if text.is_empty() {
            return fault(Rule::Empty, 0);
        }
        if text.len() > MAX_DISPLAY_NAME {
            return fault(Rule::TooLong, MAX_DISPLAY_NAME);
        }
        match text.iter().position(u8::is_ascii_control) {
            Some(at) => fault(Rule::Control, at),
            None => Ok(Self(text)),
        }
    }

    /// The octets without quotation marks and escapes; usually but not certainly UTF-8.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The name for people: octets that are not UTF-8 are replaced.
    pub fn to_string_lossy(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// Always in quotation marks: not every peer reads several bare words as one name (TDR-CID-004).
    fn emit(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        for &octet in &self.0 {
            if matches!(octet, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(octet);
        }
        out.push(b'"');
    }

    fn from_wire(text: Bytes) -> Option<Self> {
        let text = match text.iter().any(u8::is_ascii_control) {
            false => text,
            true => text
                .iter()
                .copied()
                .filter(|octet| !octet.is_ascii_control())
                .collect(),
        };
        (!text.is_empty()).then_some(Self(text))
    }
}

impl fmt::Debug for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl NameAddr {
    /// An address without a display name.
    pub const fn new(uri: Uri) -> Self {
        Self { display: None, uri }
    }

    /// Reads `name-addr` or `addr-spec`, without header parameters.
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, ParseFault> {
        let text = text.into();
        whole("address", &text, |input| Self::parser(&text, input))
    }

    /// Writes the address; `<>` always, so that what follows can never be taken for a part of the
    /// URI.
    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        if let Some(display) = &self.display {
            display.emit(out);
            out.push(b' ');
        }
        out.push(b'<');
        self.uri.emit(out);
        out.push(b'>');
    }

    /// The display name, and the text of the URI.
    fn parts<'a>(source: &Bytes, input: &'a [u8]) -> Step<'a, (Option<DisplayName>, &'a [u8])> {
        if input.first() == Some(&b'"') {
            let (rest, quoted) = quoted_octets(input)?;
            let text = unquote(source, quoted);
            if text.len() > MAX_DISPLAY_NAME {
                return stop(input, Rule::TooLong);
            }
            let display = DisplayName::from_wire(text);
            let (rest, ()) = lws(rest)?;
            let (rest, uri) = bracketed(rest)?;
            return Ok((rest, (display, uri)));
        }
        let words_end = input
            .iter()
            .position(|&octet| !is_bare_display_octet(octet))
            .unwrap_or(input.len());
        let (words, rest) = input.split_at(words_end);
        if rest.first() == Some(&b'<') {
            if words.len() > MAX_DISPLAY_NAME {
                return stop(input, Rule::TooLong);
            }
            let display = match trim(words) {
                [] => None,
                words => DisplayName::from_wire(join_words(source, words)),
            };
            let (rest, uri) = bracketed(rest)?;
            return Ok((rest, (display, uri)));
        }
        // `addr-spec`: it ends before the parameters, and a comma or a headers part would have
        // needed brackets.
        let end = input
            .iter()
            .position(|&octet| octet == b';' || is_white(octet))
            .unwrap_or(input.len());
        let (text, rest) = input.split_at(end);
        if text.is_empty() {
            return stop(input, Rule::Empty);
        }
        if text
            .iter()
            .any(|octet| matches!(octet, b'?' | b',' | b'<' | b'>'))
        {
            return stop(input, Rule::Brackets);
        }
        Ok((rest, (None, text)))
    }

    fn parser<'a>(source: &Bytes, input: &'a [u8]) -> Step<'a, Self> {
        let (rest, (display, text)) = Self::parts(source, input)?;
        match Uri::parse(source.slice_ref(text)) {
            Ok(uri) => Ok((rest, Self { display, uri })),
            Err(fault) => stop(behind(input, text, fault.at), fault.rule),
        }
    }
}

/// What of an input follows this many octets of a part of it.
fn behind<'a>(input: &'a [u8], part: &[u8], octets: usize) -> &'a [u8] {
    let begin = part.as_ptr() as usize - input.as_ptr() as usize;
    input.get(begin + octets..).unwrap_or_default()
}

impl Address {
    /// An address without display name and parameters.
    pub const fn new(uri: Uri) -> Self {
        Self {
            addr: NameAddr::new(uri),
            params: Params::new(),
        }
    }

    /// The URI.
    pub const fn uri(&self) -> &Uri {
        &self.addr.uri
    }

    /// The display name.
    pub const fn display(&self) -> Option<&DisplayName> {
        self.addr.display.as_ref()
    }

    /// Reads one address of the header `what`.
    pub(super) fn parse(what: &'static str, text: &Bytes) -> Result<Self, ParseFault> {
        // A comma that is not inside quotes or brackets would begin a second value: a display name
        // that was not quoted, or a list where only one address may stand.
        if memchr::memchr(b',', text).is_some() && split_commas(text).nth(1).is_some() {
            return Err(ParseFault::new(what, Rule::Separator, 0));
        }
        // The URI is large, and need not be carried through every step.
        let mut uri = None;
        let (display, params) = whole(what, text, |input| {
            let (rest, (display, part)) = NameAddr::parts(text, input)?;
            match Uri::parse(text.slice_ref(part)) {
                Ok(read) => uri = Some(read),
                Err(fault) => return stop(behind(input, part, fault.at), fault.rule),
            }
            let (rest, params) = Params::parser(text, rest)?;
            Ok((rest, (display, params)))
        })?;
        let uri = uri.ok_or(ParseFault::new(what, Rule::Empty, 0))?;
        let addr = NameAddr { display, uri };
        Ok(Self { addr, params })
    }

    /// The same, without the message that it stands in.
    pub(crate) fn detached(self) -> Self {
        let mut text = Vec::with_capacity(64);
        self.emit(&mut text);
        Self::parse("address", &Bytes::from(text)).unwrap_or(self)
    }

    /// Writes address and parameters.
    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        self.addr.emit(out);
        self.params.emit(out);
    }
}

/// An octet of a display name without quotation marks. The grammar has tokens and white space only;
/// peers also write names in UTF-8 and words in parentheses there. Excluded is what could make the
/// text anything but a display name.
fn is_bare_display_octet(octet: u8) -> bool {
    is_white(octet)
        || !octet.is_ascii()
        || is_token_octet(octet)
        || matches!(octet, b'(' | b')' | b'/' | b'&' | b'#' | b'=' | b'$' | b'?')
}

fn bracketed(input: &[u8]) -> Step<'_, &[u8]> {
    let Some(inner) = input.strip_prefix(b"<") else {
        return stop(input, Rule::Brackets);
    };
    let Some(end) = memchr::memchr(b'>', inner) else {
        return stop(input, Rule::Brackets);
    };
    let (text, rest) = inner.split_at(end);
    Ok((rest.get(1..).unwrap_or_default(), text))
}

/// Words separated by single spaces; without a copy if they already are.
fn join_words(source: &Bytes, words: &[u8]) -> Bytes {
    let is_plain = words
        .windows(2)
        .all(|pair| !is_white(pair[0]) || !is_white(pair[1]))
        && !words.contains(&b'\t');
    if is_plain {
        return source.slice_ref(words);
    }
    let mut joined = Vec::with_capacity(words.len());
    for word in words
        .split(|&octet| is_white(octet))
        .filter(|word| !word.is_empty())
    {
        if !joined.is_empty() {
            joined.push(b' ');
        }
        joined.extend_from_slice(word);
    }
    Bytes::from(joined)
}
