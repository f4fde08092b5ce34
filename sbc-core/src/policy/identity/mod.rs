//! Who calls: as the A leg's INVITE says it, and as the B leg's is to say it.
//!
//! Every value is written anew from a number and one of our or the peer's names. Hosts of the A
//! leg never reach the B leg (SIP-420), and a header that cannot be rewritten is left out.

mod associated;
mod display;
mod outgoing;
mod told;
mod vouched;

pub use associated::hold;
pub use outgoing::{Outgoing, Rewrites, Towards, asserted_anew, our_host, outgoing};
pub(in crate::policy) use outgoing::{Writer, anonymous};
pub use told::told;
pub use vouched::{Signed, vouch};

use crate::cause::{Because, CauseCode};
use crate::config::{IdentitySource, Preset, Trunk};
use crate::policy::Refusal;
use crate::policy::diversion::Trail;
use crate::policy::number::{self, Calling, Number};
use crate::sip::header::{
    Diversion, HistoryInfo, PAssertedIdentity, PPreferredIdentity, Privacy, ReferredBy,
    RemotePartyId,
};
use crate::sip::{DisplayName, Message, Status, Uri};
use crate::trouble::Trouble;

/// The caller as the A leg's INVITE presents it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// From: what the caller claims.
    pub calling: Calling,
    /// P-Asserted-Identity or Remote-Party-ID of a trusted peer: at most one `sip` and one `tel`
    /// number (SIP-1001). Empty for untrusted peers, whatever they sent.
    pub asserted: Vec<Asserted>,
    /// The number that decides about routes, screening and the record (SIP-1000).
    pub selected: Number,
    /// Number that the caller would like to show (P-Preferred-Identity): a hint, nothing more.
    pub preferred: Option<Box<Number>>,
    /// What the caller wants hidden.
    pub privacy: Wishes,
    /// Earlier targets of the call.
    pub trail: Trail,
    /// Who has transferred the call to us, as a trusted peer says (Referred-By).
    pub referred_by: Option<Box<Number>>,
    /// Whether a trusted peer says that somebody has transferred the call to us, whoever that is.
    pub is_referred: bool,
}

impl Caller {
    /// The same caller under the number of the place where it calls for help.
    #[must_use]
    pub fn at_place(self, number: &str) -> Self {
        let number = Number {
            raw: number.to_owned(),
            number: number.to_owned(),
            is_phone: true,
            ..Number::default()
        };
        let asserted = self.asserted.into_iter().map(|own| Asserted {
            number: number.clone(),
            ..own
        });
        Self {
            calling: Calling {
                number: number.clone(),
                is_withheld: false,
                ..self.calling
            },
            asserted: asserted.collect(),
            selected: number,
            preferred: None,
            ..self
        }
    }
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
    /// What the peer said about having checked it, where its header can say so.
    pub screened: Option<bool>,
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
    /// Something is asked for that we cannot do, and the call is not wanted without it
    /// (`critical`). `session` is no such thing: media are always anchored.
    pub cannot_be_met: bool,
}

impl Wishes {
    /// Reads the header; an unreadable one counts as the strictest wish.
    pub fn of(message: &Message) -> Self {
        const KNOWN: [&str; 7] = [
            "id", "user", "header", "history", "session", "none", "critical",
        ];
        match message.get::<Privacy>() {
            Ok(None) => Self::default(),
            Ok(Some(privacy)) => Self {
                id: privacy.has("id"),
                user: privacy.has("user"),
                header: privacy.has("header"),
                history: privacy.has("history"),
                none: privacy.has("none"),
                cannot_be_met: privacy.has("critical")
                    && privacy
                        .values()
                        .iter()
                        .any(|value| !KNOWN.iter().any(|known| value.is(known))),
            },
            Err(_) => Self {
                id: true,
                user: true,
                header: true,
                history: true,
                none: false,
                cannot_be_met: false,
            },
        }
    }

    /// The refusal of a call whose privacy we cannot keep (RFC 3323 §5).
    pub fn refusal(self) -> Option<Refusal> {
        self.cannot_be_met.then(|| Refusal {
            status: Status::SERVER_INTERNAL_ERROR,
            cause: CauseCode::BadRequest,
            because: Because::of("the caller insists on a kind of privacy that is not known")
                .named(Trouble::PrivacyUnknown),
        })
    }

    /// Whether who is connected is not to be shown to strangers, however that is said.
    pub const fn hides_connected(self) -> bool {
        self.id || (self.hides_caller() && !self.none)
    }

    /// Whether the caller asked to be made anonymous in From.
    pub const fn hides_caller(self) -> bool {
        self.user || self.header
    }
}

/// Reads the caller of an INVITE that came in on a trunk.
pub fn caller(message: &Message, trunk: &Trunk) -> Caller {
    let mut privacy = Wishes::of(message);
    let mut asserted = Vec::new();
    let mut rpid = None;
    let mut calling = number::calling(message);
    if let Some(party) = remote_party(message) {
        // Who wants to be hidden need not be believed anything else.
        let hides = wants_hiding(&party);
        privacy.id |= hides;
        privacy.user |= hides;
        if says(&party, "privacy", "name") {
            calling.display = None;
        }
        rpid = party_of(&party).filter(|_| trunk.trusted);
    }
    if trunk.trusted {
        asserted = asserted_by(message);
    }
    if asserted.is_empty() {
        asserted.extend(rpid.clone());
    }
    let number = |is_tel: bool| {
        asserted
            .iter()
            .find(|own| own.is_tel == is_tel)
            .map(|own| own.number.clone())
    };
    let selected = trunk
        .identity
        .sources
        .iter()
        .find_map(|source| match source {
            IdentitySource::PaiTel => number(true),
            IdentitySource::PaiSip => number(false),
            IdentitySource::Rpid => rpid.as_ref().map(|party| party.number.clone()),
            IdentitySource::From => Some(calling.number.clone()),
        });
    let preferred = message
        .list::<PPreferredIdentity>()
        .unwrap_or_default()
        .first()
        .and_then(|value| Number::of(value.uri()));
    // A call that loops brings long lists, and a peer may write one of its entries in its own way: neither
    // makes the rest unsaid.
    let history: Vec<HistoryInfo> = message.last_of_readable();
    let diversion: Vec<Diversion> = message.list_of_readable();
    let trail = match message.uri() {
        Ok(called) => Trail::of(&history, diversion, called),
        Err(_) => Trail::default(),
    };
    // Who forwards there stands last, whether or not the entry says why (TDR-FWD-004).
    let trail = match trunk.preset {
        Preset::Teams => trail.left_by_its_last(),
        Preset::Carrier => trail,
    };
    let referred_by = message.get::<ReferredBy>().ok().flatten();
    let referred_by = referred_by.filter(|_| trunk.trusted);
    Caller {
        selected: selected.unwrap_or_else(|| calling.number.clone()),
        calling,
        asserted,
        preferred: preferred.map(Box::new),
        privacy,
        trail,
        is_referred: referred_by.is_some(),
        referred_by: referred_by.and_then(|value| Number::of(value.uri()).map(Box::new)),
    }
}

/// Values of P-Asserted-Identity: the first of each kind (RFC 3325 §9.1).
pub fn asserted_by(message: &Message) -> Vec<Asserted> {
    let mut asserted: Vec<Asserted> = Vec::new();
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
                screened: None,
            });
        }
    }
    asserted
}

/// Who a request within a dialog says in From that its sender is; nobody where the number is withheld.
pub fn named_by(request: &Message) -> Option<Asserted> {
    let calling = number::calling(request);
    (!calling.is_withheld).then_some(Asserted {
        number: calling.number,
        display: calling.display,
        is_tel: false,
        screened: None,
    })
}

/// What Remote-Party-ID says of the calling party (SIP-1003).
fn remote_party(message: &Message) -> Option<RemotePartyId> {
    let values = message.list::<RemotePartyId>().ok()?;
    let mut values = values.into_iter();
    values.find(|value| {
        let party = value.params.value("party");
        party.is_none_or(|party| party.eq_ignore_ascii_case(b"calling"))
    })
}

fn says(value: &RemotePartyId, name: &str, word: &str) -> bool {
    let value = value.params.value(name);
    value.is_some_and(|value| value.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether the party wants to be hidden.
fn wants_hiding(value: &RemotePartyId) -> bool {
    says(value, "privacy", "full") || says(value, "privacy", "uri")
}

/// The party as it is asserted.
fn party_of(value: &RemotePartyId) -> Option<Asserted> {
    let hides_name = says(value, "privacy", "name") || wants_hiding(value);
    Some(Asserted {
        number: Number::of(value.uri())?,
        display: value.display().filter(|_| !hides_name).cloned(),
        is_tel: matches!(value.uri(), Uri::Tel(_)),
        screened: value
            .params
            .has("screen")
            .then(|| says(value, "screen", "yes")),
    })
}
