//! The dialog that a redirected call is to take over: Replaces in a Contact of a 3xx (SIP-808, SIP-422).
//!
//! | what the Contact has                                  | what becomes of it                                |
//! |-------------------------------------------------------|---------------------------------------------------|
//! | two of them, one that cannot be read, or Join as well | it is not followed: no valid INVITE is made of it |
//! | one of the peer's own, and the call goes back there   | the new INVITE names it                           |
//! | one of ours, or the call goes to somebody else        | it is called as if nothing were to be replaced    |
//! | the same, with `Require: replaces`                    | it is not followed                                |
//!
//! An identifier of ours means nothing to the target: it belongs to the redirecting peer's own leg. Who calls for help is
//! called whatever is to be replaced.

use crate::config::Trunk;
use crate::dialog::Lookup;
use crate::mint;
use crate::plane::Plane;
use crate::policy::replacement::{Replacement, goes_back};
use crate::sip::Uri;
use crate::sip::header::Replaces;
use std::sync::Arc;

/// Whom a target is called by, and with what.
pub(super) struct Replacing {
    /// Those of its trunks that may be called so.
    pub(super) trunks: Vec<Arc<Trunk>>,
    /// What the INVITE names.
    pub(super) replacement: Option<Replacement>,
    /// What is left out, for the record.
    pub(super) left_out: Option<&'static str>,
}

impl Replacing {
    /// Nothing is replaced.
    pub(super) fn nothing(trunks: Vec<Arc<Trunk>>) -> Self {
        Self {
            trunks,
            replacement: None,
            left_out: None,
        }
    }

    /// That of a target of the peer of trunk `by`, which these trunks lead to; or why it is not followed.
    pub(super) fn of(
        plane: &Plane,
        by: &Trunk,
        uri: &Uri,
        mut trunks: Vec<Arc<Trunk>>,
    ) -> Result<Self, &'static str> {
        let wanted = Replacement::of(uri)
            .map_err(|_| "not followed: no INVITE can be made of what it wants replaced")?;
        let Some(wanted) = wanted else {
            return Ok(Self::nothing(trunks));
        };
        let is_ours = is_ours(plane, &wanted.replaces);
        let goes = |to: &Arc<Trunk>| !is_ours && goes_back(by, to);
        if wanted.is_required {
            trunks.retain(goes);
            if trunks.is_empty() {
                return Err("not followed: it wants no call that does not replace another one");
            }
        }
        let is_named = trunks.iter().any(goes);
        let why = match is_ours {
            true => "Replaces is left out: it names a dialog with us",
            false => "Replaces is left out: the call does not go to the peer that knows the dialog",
        };
        Ok(Self {
            trunks,
            replacement: is_named.then_some(wanted),
            left_out: (!is_named).then_some(why),
        })
    }
}

/// Whether a dialog may be one with us. Other shards are not asked: it is enough that a tag looks like theirs.
fn is_ours(plane: &Plane, named: &Replaces) -> bool {
    let is_own = |tag: &[u8]| match plane.shards {
        1 => !matches!(plane.dialogs.find(tag), Lookup::Unknown),
        _ => mint::may_be_tag(tag),
    };
    plane.aliases.find(named).is_some()
        || is_own(named.to_tag.as_bytes())
        || is_own(named.from_tag.as_bytes())
}
