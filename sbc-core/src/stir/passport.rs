//! PASSporT: what a signature says (RFC 8225; `shaken` RFC 8588; `div` RFC 8946).

use super::attest::Level;
use super::base64url;
use super::json::Json;
use super::number::Tn;
use crate::sip::header::{Identity, Parts};
use std::fmt;

/// Most parties that a PASSporT may name as called.
const MOST_DESTINATIONS: usize = 32;
/// Longest `origid` that is told to anybody, characters: a UUID has 36.
const LONGEST_ORIGIN: usize = 64;
/// Octets of an ES256 signature: `r` and `s` (RFC 7518 §3.4).
const SIGNATURE: usize = 64;

/// What kind of PASSporT it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Without `ppt`.
    Plain,
    /// Of a caller, with a level of attestation.
    Shaken,
    /// Of who forwarded the call.
    Div,
    /// Any other: none of our business.
    Other(String),
}

impl Kind {
    /// The kind that a `ppt` names.
    pub fn of(ppt: Option<&str>) -> Self {
        match ppt {
            None => Self::Plain,
            Some("shaken") => Self::Shaken,
            Some("div") => Self::Div,
            Some(other) => Self::Other(other.to_owned()),
        }
    }
}

/// One of the parties of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Party {
    /// A telephone number.
    Number(Tn),
    /// Anything else, as it is written.
    Uri(String),
}

/// The claims of one signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passport {
    /// Its kind.
    pub kind: Kind,
    /// Where the credential is; may be missing where the header says it.
    pub x5u: Option<String>,
    /// When it was signed, in seconds since 1970.
    pub iat: u64,
    /// Who calls.
    pub orig: Party,
    /// Who is called.
    pub dest: Vec<Party>,
    /// Who was called before, of a `div`.
    pub div: Option<Tn>,
    /// How well the signer knows the caller, of a `shaken`.
    pub attest: Option<Level>,
    /// Name of the customer or the entry point, of a `shaken`.
    pub origid: Option<String>,
    /// The signature: `r` and `s`.
    pub signature: [u8; SIGNATURE],
}

/// Why a signature says nothing that can be relied on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PassportFault {
    /// Header and claims are left out.
    Compact,
    /// A part is no base64url, no JSON or no object.
    Unreadable,
    /// The signature is none of ES256.
    Signature,
    /// `alg` is another one than ES256.
    Algorithm,
    /// `typ` is another one than `passport`.
    Type,
    /// A claim is missing or of the wrong form.
    Claim(&'static str),
    /// A parameter of the header contradicts what is signed.
    Contradiction(&'static str),
    /// The signer demands something that we do not know (RFC 7515 §4.1.11).
    Critical,
}

impl fmt::Display for PassportFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compact => f.write_str("the compact form leaves out what is claimed"),
            Self::Unreadable => f.write_str("no JSON object in base64url"),
            Self::Signature => f.write_str("the signature has not the form of ES256"),
            Self::Algorithm => f.write_str("the algorithm is not ES256"),
            Self::Type => f.write_str("it is no passport"),
            Self::Claim(name) => write!(f, "\"{name}\" is missing or wrong"),
            Self::Contradiction(name) => write!(f, "\"{name}\" differs between header and claims"),
            Self::Critical => f.write_str("it demands an extension"),
        }
    }
}

impl Passport {
    /// Reads the claims of an Identity header in its full form.
    pub fn of(identity: &Identity) -> Result<Self, PassportFault> {
        let parts = identity.parts();
        let passport = Self::read(&parts)?;
        let differs = |own: Option<&bytes::Bytes>, signed: Option<&str>| {
            own.is_some_and(|own| Some(&own[..]) != signed.map(str::as_bytes))
        };
        let ppt = match &passport.kind {
            Kind::Plain => None,
            Kind::Shaken => Some("shaken"),
            Kind::Div => Some("div"),
            Kind::Other(name) => Some(name.as_str()),
        };
        if differs(identity.ppt(), ppt) {
            return Err(PassportFault::Contradiction("ppt"));
        }
        if differs(identity.alg(), Some("ES256")) {
            return Err(PassportFault::Contradiction("alg"));
        }
        let x5u = passport.x5u.as_deref();
        if x5u.is_some() && differs(identity.info(), x5u) {
            return Err(PassportFault::Contradiction("info"));
        }
        Ok(passport)
    }

    fn read(parts: &Parts<'_>) -> Result<Self, PassportFault> {
        if parts.is_compact() {
            return Err(PassportFault::Compact);
        }
        let object = |text: &[u8]| {
            let text = base64url::decode(text).ok_or(PassportFault::Unreadable)?;
            match Json::parse(&text) {
                Ok(object @ Json::Object(_)) => Ok(object),
                Ok(_) | Err(_) => Err(PassportFault::Unreadable),
            }
        };
        let signature = base64url::decode(parts.signature).ok_or(PassportFault::Signature)?;
        let signature = signature.try_into().map_err(|_| PassportFault::Signature)?;
        let header = object(parts.header)?;
        let text = |name: &str| header.get(name).and_then(Json::text);
        if header.get("crit").is_some() {
            return Err(PassportFault::Critical);
        }
        if text("alg") != Some("ES256") {
            return Err(PassportFault::Algorithm);
        }
        if text("typ") != Some("passport") {
            return Err(PassportFault::Type);
        }
        let x5u = match header.get("x5u") {
            None => None,
            Some(Json::Text(uri)) => Some(uri.clone()),
            Some(_) => return Err(PassportFault::Claim("x5u")),
        };
        let kind = match header.get("ppt") {
            None => Kind::Plain,
            Some(Json::Text(name)) => Kind::of(Some(name)),
            Some(_) => return Err(PassportFault::Claim("ppt")),
        };
        let claims = object(parts.payload)?;
        Self::claims(kind, x5u, &claims, signature)
    }

    fn claims(
        kind: Kind,
        x5u: Option<String>,
        claims: &Json,
        signature: [u8; SIGNATURE],
    ) -> Result<Self, PassportFault> {
        let iat = claims.get("iat").and_then(seconds);
        let orig = claims.get("orig").and_then(party);
        let dest = claims.get("dest").and_then(parties);
        let div = claims.get("div").map(|div| div.get("tn").and_then(number));
        let attest = claims
            .get("attest")
            .map(|level| level.text().and_then(Level::parse));
        let origid = claims
            .get("origid")
            .map(|origin| origin.text().filter(|own| is_origin(own)));
        let (is_shaken, is_div) = (kind == Kind::Shaken, kind == Kind::Div);
        // What a kind does not define is not looked at.
        let needed = |of_kind: bool, is_sound: bool, name| match of_kind && !is_sound {
            true => Err(PassportFault::Claim(name)),
            false => Ok(()),
        };
        needed(is_shaken, matches!(attest, Some(Some(_))), "attest")?;
        needed(is_shaken, matches!(origid, Some(Some(_))), "origid")?;
        needed(is_div, matches!(div, Some(Some(_))), "div")?;
        Ok(Self {
            kind,
            x5u,
            iat: iat.ok_or(PassportFault::Claim("iat"))?,
            orig: orig.ok_or(PassportFault::Claim("orig"))?,
            dest: dest.ok_or(PassportFault::Claim("dest"))?,
            div: div.flatten(),
            attest: attest.flatten(),
            origid: origid.flatten().map(str::to_owned),
            signature,
        })
    }
}

/// Seconds since 1970: a whole number, which some examples of RFC 8225 print as a string.
fn seconds(value: &Json) -> Option<u64> {
    match value {
        Json::Number(text) | Json::Text(text) => {
            let is_whole = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
            is_whole.then(|| text.parse().ok()).flatten()
        }
        _ => None,
    }
}

fn number(value: &Json) -> Option<Tn> {
    Tn::parse(value.text()?)
}

/// `{"tn":"…"}` or `{"uri":"…"}`.
fn party(value: &Json) -> Option<Party> {
    match (value.get("tn"), value.get("uri")) {
        (Some(tn), None) => number(tn).map(Party::Number),
        (None, Some(uri)) => Some(Party::Uri(uri.text()?.to_owned())),
        _ => None,
    }
}

/// `{"tn":["…"],"uri":["…"]}`, where some write a single one without its list.
fn parties(value: &Json) -> Option<Vec<Party>> {
    let list = |name: &str| match value.get(name) {
        None => &[],
        Some(Json::List(list)) => &list[..],
        Some(one) => std::slice::from_ref(one),
    };
    let numbers = list("tn").iter().map(|one| number(one).map(Party::Number));
    let uris = list("uri").iter();
    let uris = uris.map(|one| Some(Party::Uri(one.text()?.to_owned())));
    let parties: Option<Vec<_>> = numbers.chain(uris).collect();
    parties.filter(|all| (1..=MOST_DESTINATIONS).contains(&all.len()))
}

fn is_origin(text: &str) -> bool {
    (1..=LONGEST_ORIGIN).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::base64_encode;
    use crate::sip::header::Header;
    use bytes::Bytes;

    fn encoded(bytes: &[u8]) -> String {
        let usual = base64_encode(bytes).replace('+', "-").replace('/', "_");
        usual.trim_end_matches('=').to_owned()
    }

    fn read_with(header: &str, claims: &str, params: &str) -> Result<Passport, PassportFault> {
        let (header, claims) = (encoded(header.as_bytes()), encoded(claims.as_bytes()));
        let text = format!("{header}.{claims}.{}{params}", encoded(&[7; 64]));
        Passport::of(&Identity::parse(&Bytes::from(text)).expect("a header"))
    }

    fn read(header: &str, claims: &str) -> Result<Passport, PassportFault> {
        read_with(header, claims, "")
    }

    const HEADER: &str = r#"{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://cert.example.org/passport.cer"}"#;
    /// RFC 8588 §4, with a number of its own.
    const CLAIMS: &str = r#"{"attest":"A","dest":{"tn":["12155550131"]},"iat":1443208345,"orig":{"tn":"12155550121"},"origid":"123e4567-e89b-12d3-a456-426655440000"}"#;

    #[test]
    fn the_claims_of_rfc_8588_are_read() {
        let params = ";info=<https://cert.example.org/passport.cer>;alg=ES256;ppt=\"shaken\"";
        let read = read_with(HEADER, CLAIMS, params).expect("a passport");
        let tn = |text| Party::Number(Tn::parse(text).expect("a number"));
        assert_eq!(read.kind, Kind::Shaken);
        assert_eq!(
            read.x5u.as_deref(),
            Some("https://cert.example.org/passport.cer")
        );
        assert_eq!(
            (read.iat, read.orig, read.dest),
            (1_443_208_345, tn("12155550121"), vec![tn("12155550131")])
        );
        assert_eq!(read.attest, Some(Level::A));
        assert_eq!(
            read.origid.as_deref(),
            Some("123e4567-e89b-12d3-a456-426655440000")
        );
    }

    #[test]
    fn the_example_of_rfc_8225_appendix_a_is_read() {
        let text = "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9jZXJ0LmV4YW1wbGUub3JnL3Bhc3Nwb3J0LmNlciJ9.eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI6MTQ3MTM3NTQxOCwib3JpZyI6eyJ0biI6IjEyMTU1NTUxMjEyIn19.VLBCIVDCaeK6M4hLJb6SHQvacAQVvoiiEOWQ_iUkqk79UD81fHQ0E1b3_GluIkba7UWYRM47ZbNFdOJquE35cw";
        let identity = Identity::parse(&Bytes::from_static(text.as_bytes())).expect("a header");
        let read = Passport::of(&identity).expect("a passport");
        assert_eq!((read.kind, read.iat), (Kind::Plain, 1_471_375_418));
        assert_eq!(read.dest, [Party::Uri("sip:alice@example.com".to_owned())]);
    }

    #[test]
    fn a_time_in_quotation_marks_and_a_number_without_its_list_are_understood() {
        let claims = CLAIMS
            .replace("1443208345", "\"1443208345\"")
            .replace("[\"12155550131\"]", "\"+12155550131\"");
        let read = read(HEADER, &claims).expect("a passport");
        assert_eq!((read.iat, read.dest.len()), (1_443_208_345, 1));
    }

    #[test]
    fn a_diversion_names_who_was_called_before() {
        let header = HEADER.replace("shaken", "div");
        let claims = r#"{"dest":{"tn":["12155550199"]},"div":{"tn":"12155550131"},"iat":1,"orig":{"tn":"12155550121"}}"#;
        let found = read(&header, claims).expect("a passport");
        assert_eq!(found.div, Tn::parse("12155550131"));
        let without = claims.replace("\"div\":{\"tn\":\"12155550131\"},", "");
        assert_eq!(read(&header, &without), Err(PassportFault::Claim("div")));
    }

    #[test]
    fn what_cannot_be_relied_on_is_refused_with_its_reason() {
        use PassportFault::{Algorithm, Claim, Contradiction, Critical, Type, Unreadable};
        for (old, new, fault) in [
            ("ES256", "none", Algorithm),
            ("ES256", "es256", Algorithm),
            ("\"passport\"", "\"JWT\"", Type),
            ("\"typ\"", "\"crit\":[\"x\"],\"typ\"", Critical),
            (
                "\"https://cert.example.org/passport.cer\"",
                "7",
                Claim("x5u"),
            ),
            ("\"shaken\"", "[]", Claim("ppt")),
            ("\"ppt\"", "\"alg\":\"ES256\",\"ppt\"", Unreadable),
        ] {
            assert_eq!(read(&HEADER.replace(old, new), CLAIMS), Err(fault), "{new}");
        }
        for (old, new, fault) in [
            ("1443208345", "-1", Claim("iat")),
            ("1443208345", "1.5", Claim("iat")),
            ("1443208345", "1e9", Claim("iat")),
            ("1443208345", "99999999999999999999", Claim("iat")),
            ("\"iat\"", "\"tai\"", Claim("iat")),
            (
                "{\"tn\":\"12155550121\"}",
                "{\"tn\":\"alice\"}",
                Claim("orig"),
            ),
            (
                "{\"tn\":\"12155550121\"}",
                "{\"tn\":\"1\",\"uri\":\"sip:a@b\"}",
                Claim("orig"),
            ),
            ("{\"tn\":\"12155550121\"}", "\"12155550121\"", Claim("orig")),
            ("[\"12155550131\"]", "[]", Claim("dest")),
            ("[\"12155550131\"]", "[\"12155550131\",null]", Claim("dest")),
            ("\"A\"", "\"D\"", Claim("attest")),
            ("\"attest\"", "\"tsetta\"", Claim("attest")),
            ("123e4567-", "123e4567\\n", Claim("origid")),
            ("\"origid\"", "\"iat\"", Unreadable),
        ] {
            assert_eq!(read(HEADER, &CLAIMS.replace(old, new)), Err(fault), "{new}");
        }
        for (params, fault) in [
            (";ppt=div", "ppt"),
            (";alg=ES384", "alg"),
            (";info=<https://cert.example.net/passport.cer>", "info"),
        ] {
            assert_eq!(read_with(HEADER, CLAIMS, params), Err(Contradiction(fault)));
        }
        let many = format!("[{}\"1\"]", "\"1\",".repeat(MOST_DESTINATIONS));
        assert_eq!(
            read(HEADER, &CLAIMS.replace("[\"12155550131\"]", &many)),
            Err(Claim("dest"))
        );
        let of =
            |text: String| Passport::of(&Identity::parse(&Bytes::from(text)).expect("a header"));
        assert_eq!(
            of(format!("..{}", encoded(&[7; 64]))),
            Err(PassportFault::Compact)
        );
        let (header, claims) = (encoded(HEADER.as_bytes()), encoded(CLAIMS.as_bytes()));
        for length in [0, 1, 63, 65] {
            let signature = encoded(&vec![7; length]) + if length == 0 { "A" } else { "" };
            assert_eq!(
                of(format!("{header}.{claims}.{signature}")),
                Err(PassportFault::Signature)
            );
        }
        assert_eq!(
            of(format!("{header}.e30x.{}", encoded(&[7; 64]))),
            Err(Unreadable)
        );
    }
}
