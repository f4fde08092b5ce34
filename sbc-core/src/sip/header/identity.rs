//! Identity: a signed claim about who calls whom (RFC 8224 §4).

use bytes::Bytes;
use nom::Parser;
use nom::bytes::complete::take_while1;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{self, Step, ruled, separator, stop, whole};
use crate::sip::limits::{MAX_PARAMS, MAX_URI};
use crate::sip::param::param;
use crate::sip::{Params, ParseFault, PlainValue, Rule, Value};

/// One signed claim. What it says is not looked at here.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// `header.payload.signature` of a JWS; octets of the base64url alphabet and two dots.
    signed: Bytes,
    /// Where the credential is, as it stands between the angle brackets.
    info: Option<Bytes>,
    /// `alg`, `ppt` and others, in order. `info` is none of them.
    params: Params,
}

/// The three parts of a signed claim, each still in base64url.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parts<'a> {
    /// The protected header; empty in the compact form.
    pub header: &'a [u8],
    /// The claims; empty in the compact form.
    pub payload: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
}

impl Parts<'_> {
    /// Whether claims and header are left out, to be derived from the request (RFC 8224 §7).
    pub fn is_compact(&self) -> bool {
        self.header.is_empty() && self.payload.is_empty()
    }
}

impl Identity {
    /// The parts of the signed claim.
    pub fn parts(&self) -> Parts<'_> {
        let mut parts = self.signed.splitn(3, |octet| *octet == b'.');
        let mut next = || parts.next().unwrap_or_default();
        Parts {
            header: next(),
            payload: next(),
            signature: next(),
        }
    }

    /// What the signature is over: header and payload with the dot between them.
    pub fn signing_input(&self) -> Bytes {
        let end = memchr::memrchr(b'.', &self.signed).unwrap_or_default();
        self.signed.slice(..end)
    }

    /// URI of the credential.
    pub fn info(&self) -> Option<&Bytes> {
        self.info.as_ref()
    }

    /// Type of the PASSporT (`shaken`, `div`, …), written as a token or as a quoted string; `None` is
    /// a plain one.
    pub fn ppt(&self) -> Option<&Bytes> {
        self.params.value("ppt")
    }

    /// Algorithm of the signature; `None` is ES256 (RFC 8224 §4).
    pub fn alg(&self) -> Option<&Bytes> {
        self.params.value("alg")
    }

    /// All parameters but `info`, in order.
    pub fn params(&self) -> &Params {
        &self.params
    }
}

impl Header for Identity {
    const NAME: HeaderName = HeaderName::Identity;
    // The grammar has no comma: several are several lines.
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("Identity", text, |input| {
            let (mut left, signed) = signed(text, input)?;
            let mut identity = Self {
                signed,
                info: None,
                params: Params::new(),
            };
            let mut count = 0;
            while let Ok((rest, ())) = separator(b';').parse(left) {
                if count == MAX_PARAMS {
                    return stop(rest, Rule::TooMany);
                }
                count += 1;
                (left, ()) = identity.read(text, rest)?;
            }
            Ok((left, identity))
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.signed);
        if let Some(info) = &self.info {
            out.extend_from_slice(b";info=<");
            out.extend_from_slice(info);
            out.push(b'>');
        }
        self.params.emit(out);
    }
}

impl Identity {
    /// Reads one parameter; what is left is returned.
    fn read<'a>(&mut self, source: &Bytes, input: &'a [u8]) -> Step<'a, ()> {
        if let Ok((rest, info)) = bracketed_info(source, input) {
            return match self.info.replace(info) {
                None => Ok((rest, ())),
                Some(_) => stop(input, Rule::Repeated),
            };
        }
        let (rest, (name, value)) = param(source, input)?;
        let is_info = name.is("info");
        match (is_info, value) {
            // Some leave the brackets out.
            (true, Some(Value::Plain(uri))) if self.info.is_none() => {
                self.info = Some(PlainValue::as_bytes(&uri).clone());
            }
            (true, Some(Value::Plain(_))) => return stop(input, Rule::Repeated),
            (true, Some(Value::Quoted(_)) | None) => return stop(input, Rule::Brackets),
            (false, _) if self.params.has(name.as_str()) => return stop(input, Rule::Repeated),
            (false, value) => self.params.set(name, value),
        }
        Ok((rest, ()))
    }
}

/// Three parts of base64url, the first two of which are there or not.
fn signed<'a>(source: &Bytes, input: &'a [u8]) -> Step<'a, Bytes> {
    let is_part = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    let (rest, text) = ruled(Rule::Token, take_while1(is_part)).parse(input)?;
    let mut parts = text.split(|octet| *octet == b'.');
    let is_empty = [(); 3].map(|()| parts.next().map(<[u8]>::is_empty));
    match (is_empty, parts.next()) {
        ([Some(header), Some(payload), Some(false)], None) if header == payload => {
            Ok((rest, source.slice_ref(text)))
        }
        _ => stop(input, Rule::Separator),
    }
}

/// `info=<URI>`.
fn bracketed_info<'a>(source: &Bytes, input: &'a [u8]) -> Step<'a, Bytes> {
    let (rest, name) = grammar::token_octets(input)?;
    if !name.eq_ignore_ascii_case(b"info") {
        return stop(input, Rule::Token);
    }
    let (rest, ()) = separator(b'=').parse(rest)?;
    let Some(inner) = rest.strip_prefix(b"<") else {
        return stop(rest, Rule::Brackets);
    };
    let is_uri = |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'<' | b'>' | b'"');
    let (rest, uri) = ruled(Rule::Uri, take_while1(is_uri)).parse(inner)?;
    match rest.strip_prefix(b">") {
        Some(rest) if uri.len() <= MAX_URI => Ok((rest, source.slice_ref(uri))),
        Some(_) => stop(inner, Rule::TooLong),
        None => stop(rest, Rule::Brackets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Identity, Rule> {
        Identity::parse(&Bytes::from(text.to_owned())).map_err(|fault| fault.rule)
    }

    #[test]
    fn full_and_compact_forms_are_read_with_their_parameters() {
        let full = read(
            "aGVhZA.cGF5.c2ln;info=<https://cert.example.org/p;x,y.cer>;alg=ES256;ppt=\"shaken\"",
        );
        let full = full.expect("the form of RFC 8224");
        assert_eq!(full.parts().header, b"aGVhZA");
        assert_eq!(full.parts().payload, b"cGF5");
        assert_eq!(full.parts().signature, b"c2ln");
        assert!(!full.parts().is_compact());
        assert_eq!(&full.signing_input()[..], b"aGVhZA.cGF5");
        assert_eq!(
            full.info().expect("info"),
            "https://cert.example.org/p;x,y.cer"
        );
        assert_eq!(full.ppt().expect("ppt"), "shaken");
        assert_eq!(full.alg().expect("alg"), "ES256");
        let compact =
            read("..c2ln; ppt=div ;info=<https://cert.example.org/p.cer>; x=1").expect("compact");
        assert!(compact.parts().is_compact());
        assert_eq!(compact.ppt().expect("ppt"), "div");
        assert!(compact.params().has("x"));
        let bare = read("..c2ln;info=https://cert.example.org/p.cer").expect("without brackets");
        assert_eq!(bare.info().expect("info"), "https://cert.example.org/p.cer");
        assert_eq!(bare.ppt(), None);
        assert_eq!(read("a.b.c").expect("no info at all").info(), None);
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        for text in [
            "aGVhZA.cGF5.c2ln;info=<https://cert.example.org/p.cer>;alg=ES256;ppt=\"shaken\"",
            "..c2ln;info=<https://cert.example.org/p.cer>;ppt=new-type;other=\"a;b\"",
            "a.b.c",
        ] {
            let identity = read(text).expect(text);
            assert_eq!(&identity.to_bytes()[..], text.as_bytes());
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_rule() {
        for (text, rule) in [
            ("", Rule::Empty),
            ("abc", Rule::Separator),
            ("a.b", Rule::Separator),
            ("a.b.", Rule::Separator),
            ("...", Rule::Separator),
            ("a..c", Rule::Separator),
            (".b.c", Rule::Separator),
            ("a.b.c.d", Rule::Separator),
            ("a.b.c=;info=<https://x.example/>", Rule::Trailing),
            ("a+b.b.c", Rule::Separator),
            ("a.b.c;info=<https://x.example/", Rule::Token),
            ("a.b.c;info=<>", Rule::Token),
            ("a.b.c;info=\"https://x.example/\"", Rule::Brackets),
            ("a.b.c;info", Rule::Brackets),
            (
                "a.b.c;info=<https://x.example/>;info=<https://x.example/>",
                Rule::Repeated,
            ),
            ("a.b.c;info=x;info=x", Rule::Repeated),
            ("a.b.c;ppt=div;PPT=shaken", Rule::Repeated),
            ("\"a.b.c\";alg=rsa-sha1", Rule::Token),
            ("a.b.c,a.b.c", Rule::Trailing),
        ] {
            assert_eq!(read(text), Err(rule), "{text}");
        }
        let many = "a.b.c".to_owned() + &(0..65).map(|at| format!(";p{at}")).collect::<String>();
        assert_eq!(read(&many), Err(Rule::TooMany));
        let long = format!("a.b.c;info=<https://x.example/{}>", "x".repeat(MAX_URI));
        assert!(read(&long).is_err());
    }
}
