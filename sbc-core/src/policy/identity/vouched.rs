//! Signatures of the caller, and what came of their verification, as the B leg's INVITE carries them.

use super::{Caller, Outgoing};
use crate::config::{Party, StirMode, Trunk, VerstatForm};
use crate::sip::Uri;
use crate::stir::{Tn, VERSTAT, Vouched};
use bytes::Bytes;

/// What becomes of the signatures of a call on their way to a trunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signed {
    /// There are none, or the trunk gets none.
    No,
    /// The INVITE carries them.
    Passed(Vec<Bytes>),
    /// They would say something else than the INVITE.
    Lost,
}

/// The Identity headers for an INVITE that is written so; and says beside the caller's number what is
/// known of it, where the trunk is to know.
pub fn vouch(vouched: &Vouched, caller: &Caller, written: &mut Outgoing, to: &Trunk) -> Signed {
    let is_signed = vouched.is_signed() && to.stir.mode != StirMode::Off;
    let lines = vouched.lines_for(&written.asserted, &written.from, &written.to.uri);
    let signed = match (is_signed, lines) {
        (false, _) => Signed::No,
        (true, Some(lines)) => Signed::Passed(lines.to_vec()),
        (true, None) => Signed::Lost,
    };
    if to.trusted && to.stir.verstat != VerstatForm::None {
        tell(vouched, caller, written, to);
    }
    signed
}

impl Signed {
    /// The values of the Identity headers.
    pub fn lines(&self) -> &[Bytes] {
        match self {
            Self::Passed(lines) => lines,
            Self::No | Self::Lost => &[],
        }
    }
}

/// Writes `verstat` beside every number that is the verified caller's.
fn tell(vouched: &Vouched, caller: &Caller, written: &mut Outgoing, to: &Trunk) {
    let Some(verstat) = vouched.verstat else {
        return;
    };
    let text = verstat.text(to.stir.verstat == VerstatForm::Level);
    let is_verified = |number: &super::Number| {
        Tn::of_user(number.raw.as_bytes()).is_some_and(|number| vouched.is_caller(&number))
    };
    let asserts_caller = to.identity.asserted == Party::Caller
        && caller.asserted.iter().all(|own| is_verified(&own.number));
    if asserts_caller {
        for value in &mut written.asserted {
            mark(&mut value.addr.uri, &text);
        }
    }
    let shows_caller = to.identity.from == Party::Caller
        && !caller.calling.is_withheld
        && is_verified(&caller.calling.number);
    if shows_caller {
        mark(&mut written.from.uri, &text);
    }
}

/// Puts the parameter behind the number of a URI, where it has one.
fn mark(uri: &mut Uri, text: &str) {
    if Tn::of(uri).is_none() {
        return;
    }
    match uri {
        Uri::Sip(sip) => {
            let user = sip.user().cloned().unwrap_or_default();
            let marked = [&user[..], b";", VERSTAT.as_bytes(), b"=", text.as_bytes()].concat();
            // What cannot be said is left out: the number is what matters.
            let _ = sip.set_user(Some(Bytes::from(marked)));
        }
        Uri::Tel(tel) => {
            let _ = tel.params.set(VERSTAT, Some(Bytes::from(text.to_owned())));
        }
        Uri::Other(_) => {}
    }
}
