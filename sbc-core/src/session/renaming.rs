//! Another From within a dialog (RFC 4916, SIP-1005): who is there now, where both sides say that they
//! understand `from-change`. Tags alone name the dialog; the URIs beside them are only read.

use super::{PeerFacts, Phase, Session};
use crate::config::Trunk;
use crate::sip::header::{From, Header, OptionTag, Supported};
use crate::sip::{HeaderName, Message, NameAddr, Uri};
use bytes::Bytes;

impl PeerFacts {
    /// The peer has said what it understands: in its INVITE, or in its answer to ours.
    pub(super) fn note_support(&mut self, trunk: &Trunk, said: &Message) {
        self.changes_from = trunk.identity.from_change && {
            let tags = said.list::<Supported>().unwrap_or_default();
            tags.iter().any(|tag| tag.is(OptionTag::FROM_CHANGE))
        };
    }
}

impl Session {
    /// Whether either side may write another From.
    pub(crate) fn may_rename(&self) -> bool {
        self.facts.changes_from
    }

    /// Whether this From would be another one than that of our last request.
    pub(crate) fn would_rename(&self, name: &NameAddr) -> bool {
        let Phase::Confirmed(confirmed) = &self.phase else {
            return self.may_rename();
        };
        let Some(own) = confirmed
            .link
            .dialog
            .local
            .address()
            .filter(|_| self.may_rename())
        else {
            return false;
        };
        let own = own.addr;
        let is_same = at_host_of(&own.uri, &name.uri).is_none_or(|uri| uri == own.uri);
        !(is_same && own.display == name.display)
    }

    /// What a request of ours says of who is there, without the From among it: that is the From of our
    /// requests from now on, at the host that it had.
    pub(super) fn renamed(&mut self, lines: Vec<(HeaderName, Bytes)>) -> Vec<(HeaderName, Bytes)> {
        let (names, others): (Vec<_>, Vec<_>) = lines
            .into_iter()
            .partition(|(name, _)| *name == HeaderName::From);
        if let (Phase::Confirmed(confirmed), Some((_, name))) = (&mut self.phase, names.first())
            && let Ok(From(name)) = From::parse(name)
        {
            let local = &mut confirmed.link.dialog.local;
            let uri = local
                .address()
                .and_then(|own| at_host_of(own.uri(), name.uri()));
            if let Some(uri) = uri {
                let display = name.addr.display;
                local.rename(NameAddr { display, uri });
            }
        }
        others
    }

    /// The peer's request was accepted: what its From says is its name from now on. Says whether that is
    /// another one.
    pub(super) fn peer_renamed(&mut self, request: &Message) -> bool {
        let (true, Phase::Confirmed(confirmed)) = (self.may_rename(), &mut self.phase) else {
            return false;
        };
        let Ok(Some(From(said))) = request.essential::<From>() else {
            return false;
        };
        let known = &mut confirmed.link.dialog.remote;
        let is_new = known.address().is_none_or(|own| own.addr != said.addr);
        if is_new {
            known.rename(said.addr.clone());
        }
        is_new
    }
}

/// The user of one URI at the host of another.
fn at_host_of(place: &Uri, who: &Uri) -> Option<Uri> {
    let (Uri::Sip(place), Uri::Sip(who)) = (place, who) else {
        return None;
    };
    let mut uri = place.clone();
    uri.set_user(Some(who.user()?.clone())).ok()?;
    Some(Uri::Sip(uri))
}
