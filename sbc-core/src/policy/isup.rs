//! ISUP and QSIG in bodies (SIP-I, SIP-T; RFC 3204): they go from trunk to trunk where both say that they speak it,
//! octet by octet and with their headers, and stay behind everywhere else.

use crate::config::{Isup, Trunk};
use crate::policy::emergency::Parts;
use crate::policy::identity::Wishes;
use crate::sip::header::{ContentType, Handling};
use crate::sip::{Message, body};

/// Media types of it, as `type/subtype`.
pub const TYPES: [&str; 2] = ["application/isup", "application/qsig"];

/// Whether a body, or a part of one, is of those.
pub fn is_isup(kind: &ContentType) -> bool {
    TYPES.iter().any(|name| {
        let (kind_name, subtype) = name.split_once('/').unwrap_or_default();
        kind.is(kind_name, subtype)
    })
}

/// Whether it goes from calls of one trunk to those of another.
pub fn passes(from: &Trunk, to: &Trunk) -> bool {
    from.habits.isup == Isup::Pass && to.habits.isup == Isup::Pass
}

/// Who says something in a message: nobody that has wished anything, unless it is said.
#[derive(Clone, Copy, Default, Debug)]
pub struct Speaker {
    /// What it has wished when it called.
    pub wishes: Wishes,
    /// It has called for help.
    pub is_in_need: bool,
}

/// What of a message's body goes to a trunk. Parts of a body that cannot be taken apart do not.
pub fn parts(message: &Message, speaker: Speaker, from: &Trunk, to: &Trunk) -> Parts {
    let is_empty = message.body().is_empty();
    if is_empty || !passes(from, to) || stays(message, speaker, from, to) {
        return Parts::default();
    }
    let (mut sections, before) = body::sections_of(message, is_isup).unwrap_or_default();
    sections.truncate(MOST);
    Parts { sections, before }
}

/// Whether a message brings any that has to be understood.
pub fn is_required(message: &Message) -> bool {
    let parts = body::parts(message).unwrap_or_default();
    let mut own = parts
        .iter()
        .filter(|part| part.content_type.as_ref().is_some_and(is_isup));
    own.any(|part| part.handling() == Handling::Required)
}

/// Whether a message leaves its ISUP behind, for what its sender has wished when it called or wishes now. Who calls for help
/// is known to those who help, whatever it wishes, unless the law of their trunk keeps it hidden (SIP-1011).
pub fn stays(message: &Message, speaker: Speaker, from: &Trunk, to: &Trunk) -> bool {
    let is_known = speaker.is_in_need && !to.identity.hides_in_need;
    let is_hidden = |wishes| hides(wishes, from, to);
    !is_known && (is_hidden(speaker.wishes) || is_hidden(Wishes::of(message)))
}

/// Whether somebody with these wishes, who wants to stay unknown, is named to a side that would show him: ISUP holds numbers,
/// and we do not take them out.
fn hides(wishes: Wishes, from: &Trunk, to: &Trunk) -> bool {
    (wishes.hides_caller() || wishes.id) && !wishes.none && !(from.trusted && to.trusted)
}

/// Most parts of one message: one is usual.
const MOST: usize = 4;
