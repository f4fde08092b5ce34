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

/// What of a message's body goes to a trunk, where its sender has had these wishes when it called. Parts of a body that
/// cannot be taken apart do not.
pub fn parts(message: &Message, wishes: Wishes, from: &Trunk, to: &Trunk) -> Parts {
    match stays(message, wishes, from, to) {
        true => Parts::default(),
        false => parts_of_help(message, from, to),
    }
}

/// As [`parts`], of somebody who calls for help and is known to those who help, whatever his wishes (SIP-1011).
pub fn parts_of_help(message: &Message, from: &Trunk, to: &Trunk) -> Parts {
    if !passes(from, to) || message.body().is_empty() {
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

/// Whether a message of somebody who has had these wishes when he called, or has them now, leaves its ISUP behind.
pub fn stays(message: &Message, wishes: Wishes, from: &Trunk, to: &Trunk) -> bool {
    hides(wishes, from, to) || hides(Wishes::of(message), from, to)
}

/// Whether somebody with these wishes, who wants to stay unknown, is named to a side that would show him: ISUP holds numbers,
/// and we do not take them out.
fn hides(wishes: Wishes, from: &Trunk, to: &Trunk) -> bool {
    (wishes.hides_caller() || wishes.id) && !wishes.none && !(from.trusted && to.trusted)
}

/// Most parts of one message: one is usual.
const MOST: usize = 4;
