//! Hides secrets in SDP text before it reaches a log, a ladder or a capture (MED-103, TDR-SEC-004).

use memchr::{memchr, memchr_iter, memchr2_iter, memchr3_iter};
use std::borrow::Cow;
use std::ops::Range;

const SECRET: &str = "<secret>";

/// Text with every `inline:` key, every `a=ice-pwd` value, every `k=` line, the digest of every pair of
/// credentials and of every answer to them, credentials of other kinds and folded ones whole, the password of every SIP URI (RFC 3261 §19.1.1), the `x-tt` of every URI of Teams (escaped
/// within another one, too), every location, in a body as in a Geolocation header (RFC 6442), the key that an INFO names (which may be one of a card number, MED-226), and what people write to each other: bodies
/// of MESSAGE (RFC 3428), those of type `text/…` or `message/cpim`, and parts that name no type, replaced by `<secret>`. Works on a bare description as well as on a whole SIP message around it; bytes that are not
/// UTF-8 come out as the replacement character. What has no secret is lent as it is.
pub fn redact(text: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(text) {
        Ok(shown) if !may_hide(text) => Cow::Borrowed(shown),
        Ok(text) => hidden(text).map_or(Cow::Borrowed(text), Cow::Owned),
        Err(_) => {
            let text = String::from_utf8_lossy(text).into_owned();
            Cow::Owned(hidden(&text).unwrap_or(text))
        }
    }
}

/// Whether there may be something to hide, by one quick look: a collector gets every message through here, and nearly all
/// of them have nothing.
fn may_hide(octets: &[u8]) -> bool {
    let begins = memchr_iter(b'\n', octets).map(|at| at + 1);
    let mut lines = std::iter::once(0).chain(begins);
    lines.any(|begin| may_hide_line(octets.get(begin..).unwrap_or_default()))
        || memchr3_iter(b'@', b':', b'-', octets).any(|at| may_be_mark(octets, at))
}

/// Whether a line that begins here may be one that is hidden, or that says of others that they are: by its name.
fn may_hide_line(rest: &[u8]) -> bool {
    let begins = |name: &[u8]| {
        let begin = rest.get(..name.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(name))
    };
    match rest {
        [] | [b'\n', ..] | [b'\r', b'\n', ..] => false,
        [b'a' | b'A', b'=', ..] => SECRET_ATTRIBUTES.iter().any(|own| begins(own.as_bytes())),
        [b'a' | b'A', ..] => begins(b"authorization") || begins(b"authentication-info"),
        [b'c' | b'C', b'=', ..] => false,
        [b'c' | b'C', b'o' | b'O', ..] => {
            begins(b"content-type") && !begins(b"content-type: application/sdp\r\n")
        }
        [b'c' | b'C', next, ..] if next.is_ascii_alphabetic() => false,
        [b'c' | b'C', ..] => !begins(b"c: application/sdp\r\n"),
        [b'g' | b'G', ..] => begins(b"geolocation"),
        [b'k' | b'K', ..] => begins(b"k="),
        [b'm' | b'M', b'e' | b'E', ..] => begins(MESSAGE.as_bytes()),
        [b'p' | b'P', ..] => begins(b"proxy-authorization") || begins(b"proxy-authentication-info"),
        [b's' | b'S', ..] => begins(b"signal"),
        // With blanks in front of its name, or what goes on with the line before.
        [first, ..] => *first <= b' ' || !first.is_ascii(),
    }
}

/// Whether what is hidden within a line may have this octet: the password of a URI its `@`, a key its `:`, what replaces a
/// call its `-`.
fn may_be_mark(octets: &[u8], at: usize) -> bool {
    let (before, rest) = octets.split_at(at);
    let follows = |name: &[u8]| {
        let end = before.len().checked_sub(name.len());
        end.is_some_and(|end| before[end..].eq_ignore_ascii_case(name))
    };
    match (rest, before) {
        ([b':', ..], [.., b'e' | b'E']) => follows(b"inline"),
        ([b'-', b't' | b'T', b't' | b'T', ..], [.., b'x' | b'X']) => true,
        ([b'@', ..], _) => may_end_user(before),
        _ => false,
    }
}

/// Whether there may be a password at the end of this, in front of an `@`. There is none where a blank or bracket stands
/// before the user, or before a scheme with nothing else but the user behind it.
fn may_end_user(octets: &[u8]) -> bool {
    // Neither user nor password has these.
    let is_end = |octet: u8| {
        matches!(octet, b'<' | b'>' | b'"' | b',' | b'@') || octet.is_ascii_whitespace()
    };
    let ended = |octets: &[u8]| octets.last().is_none_or(|last| is_end(*last));
    let is_colon_or_end = |octet: &u8| *octet == b':' || is_end(*octet);
    let before = octets.iter().rposition(is_colon_or_end);
    let Some(colon) = before.filter(|at| octets[*at] == b':') else {
        return false;
    };
    let scheme = &octets[..colon];
    let without = |name: &[u8]| {
        let begin = scheme.len().checked_sub(name.len())?;
        scheme[begin..]
            .eq_ignore_ascii_case(name)
            .then_some(&scheme[..begin])
    };
    !without(b"sip")
        .or_else(|| without(b"sips"))
        .is_some_and(ended)
}

/// The text without its secrets; nothing if it has none. Most lines are known by their first letter to be none of those
/// that are hidden whole, and what may hide within a line is looked for once in all of them.
fn hidden(text: &str) -> Option<String> {
    let mut out: Option<String> = None;
    // What is in front of it is written, or left out.
    let mut done = 0;
    let mut location = Location::None;
    let mut is_place = false;
    let mut has_credentials = false;
    let mut body = Body::of(text);
    let octets = text.as_bytes();
    let mut mark = next_mark(octets, 0);
    let mut begin = 0;
    while begin < text.len() {
        let next = memchr(b'\n', &octets[begin..]).map_or(text.len(), |at| begin + at + 1);
        let end = &octets[begin..next];
        let end = end
            .iter()
            .rposition(|octet| !matches!(octet, b'\r' | b'\n'));
        let content = &text[begin..end.map_or(begin, |last| begin + last + 1)];
        let whole = std::mem::replace(&mut begin, next);
        let is_marked = mark < next;
        if is_marked {
            mark = next_mark(octets, next);
        }
        location = location.after(content, &body);
        let is_shown = !matches!(location, Location::Begins | Location::GoesOn);
        let mut is_written = false;
        let mut is_value = false;
        if is_shown {
            is_written = body.hides(content);
            is_place =
                !body.has_begun && (is_geolocation(content) || is_place && is_folded(content));
            let goes_on = has_credentials && is_folded(content);
            let credentials = credentials(content);
            has_credentials = credentials.is_some() || goes_on;
            is_value = is_place || goes_on || credentials == Some(Credentials::Whole);
        }
        let is_hidden = !is_shown || is_marked || is_value || is_written;
        if !is_hidden && !may_be_secret(content) {
            continue;
        }
        let out = out.get_or_insert_with(|| String::with_capacity(text.len() + SECRET.len()));
        out.push_str(&text[done..whole]);
        match location {
            Location::None | Location::Typed | Location::Announced | Location::Ahead => {
                hide(content, is_value, is_written, out);
                done = whole + content.len();
            }
            Location::Begins => {
                out.push_str(SECRET);
                done = whole + content.len();
            }
            Location::GoesOn => done = next,
        }
    }
    let mut out = out?;
    out.push_str(&text[done..]);
    Some(out)
}

/// How a request begins with which people write to each other.
const MESSAGE: &str = "MESSAGE ";

/// The body, or the part of one, that nobody is to read: a key alone, or what people write.
struct Body<'a> {
    /// Something has come in front of it.
    has_head: bool,
    /// The empty line in front of it has come.
    has_begun: bool,
    /// The header line before this one names a type, and may go on.
    is_typed: bool,
    /// All of it is hidden.
    is_hidden: bool,
    /// It, or a part of it, has parts.
    is_multipart: bool,
    /// The line in front of the last part, with which the next one begins as well.
    boundary: &'a str,
    /// What is known of that part.
    part: Part,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Its headers go on; whether it is hidden by what they say so far, if that is anything of its type.
    Head(Option<bool>),
    /// Its lines go on.
    Shown,
    Hidden,
}

impl<'a> Body<'a> {
    fn of(text: &str) -> Self {
        Self {
            has_head: false,
            has_begun: false,
            is_typed: false,
            is_hidden: text.trim_start().starts_with(MESSAGE),
            is_multipart: false,
            boundary: "",
            part: Part::Shown,
        }
    }

    /// Takes the next line; whether it is one of those that are hidden whole.
    fn hides(&mut self, line: &'a str) -> bool {
        if !self.has_begun {
            let value = self.kind(line);
            self.is_hidden |= value.is_some_and(is_hidden_type);
            self.has_head |= !line.is_empty();
            // Line ends in front of a message are none of its own (RFC 3261 §7.5).
            self.has_begun = self.has_head && line.is_empty();
            return false;
        }
        if self.is_hidden {
            return true;
        }
        if line.starts_with("--") && (self.part != Part::Hidden || self.ends(line)) {
            // No text without a type stands behind the last part, nor behind a comment of XML.
            let is_none = behind_boundary(line, self.boundary) == Some("--");
            let is_none = is_none || line.starts_with("-->");
            (self.boundary, self.part) = (line.trim_end(), Part::Head(is_none.then_some(false)));
            self.is_typed = false;
            return false;
        }
        match self.part {
            Part::Head(seen) if line.is_empty() => {
                // What names no type is text (RFC 2046 §5.1).
                let is_hidden = seen.unwrap_or(self.is_multipart);
                self.part = if is_hidden { Part::Hidden } else { Part::Shown };
                false
            }
            Part::Head(seen) => {
                let value = self.kind(line);
                let value = value.filter(|value| !type_of(value).0.is_empty());
                let is_hidden = |value| seen == Some(true) || is_hidden_type(value);
                self.part = Part::Head(value.map(is_hidden).or(seen));
                false
            }
            Part::Shown => false,
            Part::Hidden => true,
        }
    }

    /// Whether what is hidden of a part, or of what stands in front of the first one, ends with this line.
    fn ends(&self, line: &str) -> bool {
        match self.boundary {
            "" => self.is_multipart && line.starts_with("--"),
            own => behind_boundary(line, own).is_some(),
        }
    }

    /// What this header line says of the type, if it does.
    fn kind(&mut self, line: &'a str) -> Option<&'a str> {
        let value = match is_folded(line) {
            // Whatever it looks like, it is of the header before it.
            true => self.is_typed.then_some(line),
            false => {
                let own = may_begin(line, b'c').then(|| split_header(line)).flatten();
                let own = own.filter(|(name, _)| {
                    let name = name.trim();
                    name.eq_ignore_ascii_case("content-type") || name.eq_ignore_ascii_case("c")
                });
                own.map(|(_, value)| value)
            }
        };
        self.is_typed = value.is_some();
        self.is_multipart |=
            value.is_some_and(|value| type_of(value).0.eq_ignore_ascii_case("multipart"));
        value
    }
}

/// What stands behind the boundary in a line that begins with it and is one: nothing, or `--` behind the last part (RFC
/// 2046 §5.1.1).
fn behind_boundary<'a>(line: &'a str, boundary: &str) -> Option<&'a str> {
    let rest = line.trim_end().strip_prefix(boundary)?;
    (!boundary.is_empty() && matches!(rest, "" | "--")).then_some(rest)
}

/// Type and subtype; blanks may stand around what is between them (RFC 3261 §25.1).
fn type_of(value: &str) -> (&str, &str) {
    let own = value.split(';').next().unwrap_or_default();
    let (kind, subtype) = own.split_once('/').unwrap_or((own, ""));
    (kind.trim(), subtype.trim())
}

/// Whether what is of this type is hidden: keys that were pressed (RFC 4730 is KPML), or what people write (RFC 3428,
/// RFC 3862).
fn is_hidden_type(value: &str) -> bool {
    let (kind, subtype) = type_of(value);
    let is =
        |own: &str, of: &str| kind.eq_ignore_ascii_case(own) && subtype.eq_ignore_ascii_case(of);
    let is_keys = ["dtmf", "vnd.nortelnetworks.digits", "kpml-response+xml"]
        .iter()
        .any(|own| is("application", own));
    kind.eq_ignore_ascii_case("text") || is_keys || is("message", "cpim")
}

/// Adds a line without what is secret in it: that may be all of the value of a header, or what is written.
fn hide(content: &str, is_value: bool, is_written: bool, out: &mut String) {
    if is_value {
        let name = content.find(':').filter(|_| !is_folded(content));
        out.push_str(&content[..name.map_or(0, |at| at + 1)]);
        out.push(' ');
        out.push_str(SECRET);
    } else if is_written && !content.trim().is_empty() {
        out.push_str(SECRET);
    } else if starts_with(content, "k=") {
        out.push_str(&content[..2]);
        out.push_str(SECRET);
    } else if let Some(at) = key_at(content) {
        out.push_str(&content[..at]);
        out.push_str(SECRET);
    } else if let Some(name) = secret_attribute(content) {
        out.push_str(&content[..name.len()]);
        out.push_str(SECRET);
    } else if credentials(content).is_some() {
        let mut line = String::with_capacity(content.len());
        hide_digests(content, &mut line);
        // The URI that the digest is about.
        hide_passwords(&line, out);
    } else {
        let mut line = String::with_capacity(content.len());
        hide_inline(content, &mut line);
        let mut open = String::with_capacity(line.len());
        hide_passwords(&line, &mut open);
        hide_tokens(&open, out);
    }
}

/// Whether a line, by its beginning, is one of those of which [`hide`] hides something whatever else is in it.
fn may_be_secret(line: &str) -> bool {
    match line.as_bytes().first().map(u8::to_ascii_lowercase) {
        Some(b'k') => starts_with(line, "k="),
        Some(b'a') => secret_attribute(line).is_some() || credentials(line).is_some(),
        Some(b'p') => credentials(line).is_some(),
        Some(_) => key_at(line).is_some(),
        None => false,
    }
}

/// Attributes of which all is hidden: passwords of ICE, and keys that MIKEY carries (RFC 4567), in the clear if it wants.
const SECRET_ATTRIBUTES: [&str; 2] = ["a=ice-pwd:", "a=key-mgmt:"];

/// The one of them that a line begins with.
fn secret_attribute(line: &str) -> Option<&'static str> {
    let mut all = SECRET_ATTRIBUTES.into_iter();
    all.find(|own| starts_with(line, own))
}

/// What is hidden of a header line of credentials.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Credentials {
    /// The digests: what they are about may be read.
    Digests,
    /// All: passwords and tokens (RFC 7617, RFC 8898) stand there as they are.
    Whole,
}

/// What is hidden of a header line, if it is one of credentials or of the answer to them.
fn credentials(line: &str) -> Option<Credentials> {
    if !matches!(line.as_bytes().first(), Some(b'a' | b'A' | b'p' | b'P')) {
        return None;
    }
    let (name, value) = split_header(line)?;
    let name = name.trim_end();
    let is = |own: &str| name.eq_ignore_ascii_case(own);
    if is("authentication-info") || is("proxy-authentication-info") {
        return Some(Credentials::Digests);
    }
    if !is("authorization") && !is("proxy-authorization") {
        return None;
    }
    let scheme = value.split_ascii_whitespace().next();
    let is_digest = scheme.is_none_or(|scheme| scheme.eq_ignore_ascii_case("digest"));
    Some(match is_digest {
        true => Credentials::Digests,
        false => Credentials::Whole,
    })
}

/// Whether a line may begin with this name, with blanks before it or not; said quickly of most that do not.
fn may_begin(line: &str, letter: u8) -> bool {
    let first = line.as_bytes().first();
    first.is_some_and(|first| {
        first.to_ascii_lowercase() == letter || *first <= b' ' || !first.is_ascii()
    })
}

/// Name and value of a header line.
fn split_header(line: &str) -> Option<(&str, &str)> {
    let at = memchr(b':', line.as_bytes())?;
    Some((&line[..at], &line[at + 1..]))
}

/// Where something stands, from there on, that is hidden within its line: a key, the password of a URI, or what replaces
/// a call. A mark may be none after all.
fn next_mark(octets: &[u8], from: usize) -> usize {
    let rest = octets.get(from..).unwrap_or_default();
    // No URI that begins in front of it has a password.
    let mut clear = 0;
    let is_mark = |at: &usize| {
        let (before, behind) = (&rest[..*at], &rest[at + 1..]);
        let is_named = |name: &[u8]| {
            let begin = before.len().checked_sub(name.len());
            begin.is_some_and(|begin| before[begin..].eq_ignore_ascii_case(name))
        };
        match (rest[*at], before.last().map(u8::to_ascii_lowercase)) {
            (b':', Some(b'p' | b's')) if is_named(b"sip") || is_named(b"sips") => {
                *at >= clear && {
                    let (found, length) = password(behind);
                    clear = at + length;
                    found.is_some()
                }
            }
            (b':', Some(b'e')) => is_named(b"inline"),
            (b'-', Some(b'x')) => behind
                .get(..2)
                .is_some_and(|value| value.eq_ignore_ascii_case(b"tt")),
            _ => false,
        }
    };
    let found = memchr2_iter(b':', b'-', rest).find(is_mark);
    found.map_or(octets.len(), |at| from + at)
}

/// Where the password is in what stands behind the scheme of a URI, and how far that was looked for: neither it nor the
/// user has a `:` or an `@` of its own.
fn password(octets: &[u8]) -> (Option<Range<usize>>, usize) {
    let mut begin = None;
    for (at, octet) in octets.iter().enumerate() {
        match octet {
            b'@' => return (begin.map(|begin| begin..at), at),
            b':' => begin = begin.or(Some(at + 1)),
            b'<' | b'>' | b'"' | b',' => return (None, at),
            other if other.is_ascii_whitespace() => return (None, at),
            _ => {}
        }
    }
    (None, octets.len())
}

/// Where a location is (RFC 6442): a body, or a part of one, of its own type.
#[derive(Clone, Copy)]
enum Location {
    /// There is none here.
    None,
    /// A header that names a type, and goes on in the next line.
    Typed,
    /// Its type was named, and its headers go on.
    Announced,
    /// The empty line in front of it.
    Ahead,
    /// Its first line.
    Begins,
    /// A later line.
    GoesOn,
}

impl Location {
    fn after(self, line: &str, body: &Body<'_>) -> Self {
        let is_type = may_begin(line, b'c')
            && split_header(line).is_some_and(|(name, _)| {
                let name = name.trim_end();
                name.eq_ignore_ascii_case("content-type") || name.eq_ignore_ascii_case("c")
            });
        match self {
            Self::None | Self::Typed
                if is_type || matches!(self, Self::Typed) && is_folded(line) =>
            {
                match line.to_ascii_lowercase().contains("pidf+xml") {
                    true => Self::Announced,
                    false => Self::Typed,
                }
            }
            Self::None | Self::Typed => Self::None,
            Self::Announced if line.is_empty() => Self::Ahead,
            Self::Announced => Self::Announced,
            Self::Ahead | Self::Begins | Self::GoesOn if body.ends(line) => Self::None,
            Self::Ahead => Self::Begins,
            Self::Begins | Self::GoesOn => Self::GoesOn,
        }
    }
}

/// Whether this header line says where somebody is.
fn is_geolocation(line: &str) -> bool {
    may_begin(line, b'g')
        && split_header(line)
            .is_some_and(|(name, _)| name.trim_end().eq_ignore_ascii_case("geolocation"))
}

/// Whether this line belongs to the header before it (RFC 3261 §7.3.1).
fn is_folded(line: &str) -> bool {
    line.starts_with([' ', '\t'])
}

/// Adds a line without what replaces a call of Teams: `;x-tt=…` in a URI, or the same escaped in a header of a URI.
fn hide_tokens(line: &str, out: &mut String) {
    let mut done = 0;
    while let Some((begin, is_escaped)) = next_token(line, done) {
        let rest = &line[begin..];
        // What ends it is escaped with it.
        let is_end = |(at, letter): &(usize, char)| {
            let escape = rest.as_bytes().get(at + 1..at + 3).unwrap_or_default();
            let ends = [b"3b", b"3e", b"3f", b"2c"];
            letter.is_ascii_whitespace()
                || ";>?&,\"".contains(*letter)
                || is_escaped
                    && *letter == '%'
                    && ends.iter().any(|end| escape.eq_ignore_ascii_case(*end))
        };
        let end = rest.char_indices().find(is_end);
        out.push_str(&line[done..begin]);
        out.push_str(SECRET);
        done = begin + end.map_or(rest.len(), |(at, _)| at);
    }
    out.push_str(&line[done..]);
}

/// Where the value of the next `x-tt` begins, and whether the URI that it belongs to is escaped.
fn next_token(text: &str, from: usize) -> Option<(usize, bool)> {
    const NAME: &[u8] = b"x-tt";
    let octets = text.as_bytes().get(from..)?;
    // Most lines have none, and few have a hyphen at all.
    memchr_iter(b'-', octets).find_map(|hyphen| {
        let at = hyphen.checked_sub(1)?;
        let value = octets[at..].get(..NAME.len())?;
        if !value.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let rest = &octets[at + NAME.len()..];
        let blanks = rest
            .iter()
            .take_while(|octet| octet.is_ascii_whitespace())
            .count();
        let rest = &rest[blanks..];
        let is_escaped = rest
            .get(..3)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"%3d"));
        let mark = match rest.first() {
            Some(b'=') => 1,
            _ if is_escaped => 3,
            _ => return None,
        };
        let rest = &rest[mark..];
        let after = rest
            .iter()
            .take_while(|octet| octet.is_ascii_whitespace())
            .count();
        Some((from + at + NAME.len() + blanks + mark + after, is_escaped))
    })
}

/// Where the key stands in a line of `application/dtmf-relay`, written as loosely as it is read.
fn key_at(line: &str) -> Option<usize> {
    if !may_begin(line, b's') {
        return None;
    }
    let (name, _) = line.split_once('=')?;
    let is_key = name.trim().eq_ignore_ascii_case("signal");
    is_key.then_some(name.len() + 1)
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.as_bytes()
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// Adds a line without its digests: one is enough to search for the password at leisure, ours as well as the peer's.
fn hide_digests(line: &str, out: &mut String) {
    let octets = line.as_bytes();
    let mut done = 0;
    for at in memchr_iter(b'=', octets) {
        let name = octets[..at].trim_ascii_end();
        let is = |own: &[u8]| {
            let begin = name.len().checked_sub(own.len());
            begin.is_some_and(|begin| name[begin..].eq_ignore_ascii_case(own))
        };
        if at < done || !is(b"response") && !is(b"rspauth") {
            continue;
        }
        let value = line[at + 1..].trim_ascii_start();
        let (value, end) = match value.strip_prefix('"') {
            Some(quoted) => (quoted, quoted.find('"')),
            None => {
                let is_end = |letter: char| letter == ',' || letter.is_ascii_whitespace();
                (value, value.find(is_end))
            }
        };
        let begin = line.len() - value.len();
        out.push_str(&line[done..begin]);
        out.push_str(SECRET);
        done = begin + end.unwrap_or(value.len());
    }
    out.push_str(&line[done..]);
}

fn hide_inline(mut line: &str, out: &mut String) {
    while let Some(key_at) = behind(line.as_bytes(), b"inline") {
        out.push_str(&line[..key_at]);
        out.push_str(SECRET);
        let key = &line[key_at..];
        // A blank directly after the mark is not grammar, but the key behind it is a key.
        let blanks = key.len() - key.trim_start().len();
        let length = key[blanks..]
            .find(['|', ';', ' ', '\t', '"'])
            .unwrap_or(key.len() - blanks);
        line = &key[blanks + length..];
    }
    out.push_str(line);
}

/// Adds a line without the passwords of its SIP URIs: `sip:user:password@host`.
fn hide_passwords(line: &str, out: &mut String) {
    let octets = line.as_bytes();
    // What is in front of these is written, or has no URI with a password that begins there.
    let (mut done, mut clear) = (0, 0);
    for colon in memchr_iter(b':', octets) {
        let is_named = |name: &[u8]| {
            let begin = colon.checked_sub(name.len());
            begin.is_some_and(|begin| octets[begin..colon].eq_ignore_ascii_case(name))
        };
        if colon < clear || !is_named(b"sip") && !is_named(b"sips") {
            continue;
        }
        let begin = colon + 1;
        let (found, length) = password(&octets[begin..]);
        clear = begin + length;
        if let Some(own) = found {
            out.push_str(&line[done..begin + own.start]);
            out.push_str(SECRET);
            done = begin + own.end;
        }
    }
    out.push_str(&line[done..]);
}

/// What follows the first `:` in front of which this name stands, in any mixture of upper and lower case.
fn behind(octets: &[u8], name: &[u8]) -> Option<usize> {
    let is_named = |colon: &usize| {
        let before = colon.checked_sub(name.len());
        before.is_some_and(|at| octets[at..*colon].eq_ignore_ascii_case(name))
    };
    memchr_iter(b':', octets)
        .find(is_named)
        .map(|colon| colon + 1)
}

#[cfg(test)]
mod tests;
