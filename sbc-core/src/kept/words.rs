//! Names, texts and words of calls as octets.

use crate::cause::{Because, Cause, CauseCode, EndedBy};
use crate::event::TargetFault;
use crate::id::{
    CallId, LegId, ListenerName, RealmName, RouteName, TenantName, TlsContextName, TrunkName,
};
use crate::policy::identity::{Asserted, Caller, Wishes};
use crate::policy::local_media::{Choice, Faced, Side, Told};
use crate::policy::number::{Calling, Number};
use crate::policy::session_id::Ends;
use crate::query::ResolveFault;
use crate::sip::header::{self, EndId, Header, SessionId};
use crate::sip::{Address, DisplayName, Token, Uri};
use crate::time::UnixTime;
use crate::transport::TlsSuite;
use bytes::Bytes;
use media_api::wire::{Reader, Wire, WireFault, Writer};
use media_api::wire_layout;

macro_rules! names {
    ($($name:ident)*) => {$(
        impl Wire for $name {
            fn put(&self, out: &mut Writer) {
                out.length(self.as_str().len());
                out.push(self.as_str().as_bytes());
            }

            fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
                String::take(from).map(|name| Self::new(&name))
            }
        }
    )*};
}

names! { TenantName TrunkName RealmName ListenerName TlsContextName RouteName }

/// Values that are written as they are on the wire of SIP, and read as if they came from there.
macro_rules! texts {
    ($($name:ident: $write:expr, $read:expr;)*) => {$(
        impl Wire for $name {
            fn put(&self, out: &mut Writer) {
                let write: fn(&$name) -> Bytes = $write;
                let text = write(self);
                out.length(text.len());
                out.push(&text);
            }

            fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
                let length = from.length()?;
                let text = Bytes::copy_from_slice(from.octets(length)?);
                let read: fn(Bytes) -> Option<$name> = $read;
                read(text).ok_or(WireFault::Value(stringify!($name)))
            }
        }
    )*};
}

/// That of SIP, not of ours.
type SipCallId = header::CallId;

texts! {
    Token: |own| own.as_bytes().clone(), |text| Token::parse(text).ok();
    SipCallId: |own| own.as_bytes().clone(), |text| header::CallId::new(text).ok();
    Uri: Uri::to_bytes, |text| Uri::parse(text).ok();
    DisplayName: |own| Bytes::copy_from_slice(own.as_bytes()), |text| DisplayName::new(text).ok();
    SessionId: Header::to_bytes, |text| SessionId::parse(&text).ok();
    EndId: |own| Bytes::copy_from_slice(own.as_str().as_bytes()), |text| EndId::parse(&text);
}

/// As in any header of addresses.
impl Wire for Address {
    fn put(&self, out: &mut Writer) {
        let text = header::From(self.clone()).to_bytes();
        out.length(text.len());
        out.push(&text);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        let length = from.length()?;
        let text = Bytes::copy_from_slice(from.octets(length)?);
        let address = header::From::parse(&text).map_err(|_| WireFault::Value("address"))?;
        Ok(address.0)
    }
}

impl Wire for UnixTime {
    fn put(&self, out: &mut Writer) {
        self.as_micros().put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        u64::take(from).map(Self::from_micros)
    }
}

impl Wire for TlsSuite {
    fn put(&self, out: &mut Writer) {
        self.0.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        u16::take(from).map(Self)
    }
}

impl Wire for CauseCode {
    fn put(&self, out: &mut Writer) {
        self.as_str().to_owned().put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        let name = String::take(from)?;
        let found = Self::ALL.into_iter().find(|code| code.as_str() == name);
        found.ok_or(WireFault::Value("cause"))
    }
}

/// Without what a person should be told beside, which is of no use before the end.
impl Wire for Because {
    fn put(&self, out: &mut Writer) {
        self.0.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        Ok(Self(Vec::take(from)?, None))
    }
}

/// Without where the call was before: whoever is called from now on is called by one of its parties.
impl Wire for Caller {
    fn put(&self, out: &mut Writer) {
        let Self {
            calling,
            asserted,
            selected,
            preferred,
            privacy,
            trail: _,
            referred_by,
            is_referred,
        } = self;
        calling.put(out);
        asserted.put(out);
        selected.put(out);
        preferred.put(out);
        privacy.put(out);
        referred_by.put(out);
        is_referred.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        Ok(Self {
            calling: Wire::take(from)?,
            asserted: Wire::take(from)?,
            selected: Wire::take(from)?,
            preferred: Wire::take(from)?,
            privacy: Wire::take(from)?,
            trail: Default::default(),
            referred_by: Wire::take(from)?,
            is_referred: Wire::take(from)?,
        })
    }
}

impl Wire for Told {
    fn put(&self, out: &mut Writer) {
        self.location.map(str::to_owned).put(out);
        self.path.put(out);
        self.site.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        Ok(Self {
            location: <Option<String> as Wire>::take(from)?
                .as_deref()
                .and_then(known),
            path: Vec::take(from)?,
            site: Wire::take(from)?,
        })
    }
}

wire_layout! {
    struct CallId(number);
    struct LegId(number);
    struct Cause { by, code, status, q850, because }
    struct Asserted { number, display, is_tel, screened }
    struct Wishes { id, user, header, history, none, cannot_be_met }
    struct Number { raw, number, extension, context, is_phone, params }
    struct Calling { number, display, is_withheld }
    struct Ends { caller, caller_says, called }
    struct Choice { told, side, faced, rule }

    enum EndedBy {
        0: A,
        1: B,
        2: Us,
    }

    enum Side {
        0: Internal,
        1: External,
    }

    enum Faced {
        0: Us,
        1: Downstream,
    }

    enum TargetFault {
        0: Flow(why),
        1: Resolve(why),
        2: Timeout,
        3: Status(status),
        4: Quarantined,
        5: Relieved,
        6: Unwritable,
        7: NumberForm,
        8: Down,
        9: NotRegistered,
        10: NoBinding,
    }

    enum ResolveFault {
        0: NotFound,
        1: Timeout,
        2: ServerFailure,
    }
}

/// Words of ours that records have.
const WORDS: [&str; 18] = [
    "owned",
    "preferred",
    "replaced",
    "A",
    "B",
    "C",
    "unconditional",
    "user-busy",
    "no-answer",
    "deflection",
    "unavailable",
    "unknown",
    "headers",
    "full",
    "internal",
    "external",
    "the answer says otherwise than was guessed: re-INVITE with the other address",
    "an offer of Teams says that the user's place is another",
];

/// A word of ours by its text; nothing for what is none.
pub(crate) fn known(text: &str) -> Option<&'static str> {
    WORDS.into_iter().find(|word| *word == text)
}
