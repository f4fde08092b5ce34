//! The dialog that a call to a URI is to take over: Replaces among the headers of a Refer-To and of a Contact of a 3xx
//! (RFC 3891, RFC 3261 §19.1.5).

use crate::config::{Preset, Trunk};
use crate::sip::header::{Header, OptionTag, Replaces, Require, readable};
use crate::sip::{HeaderName, ParseFault, Rule, Uri, unescape};
use bytes::Bytes;

/// What a URI says of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replacement {
    /// The dialog.
    pub replaces: Replaces,
    /// Whether there is to be no call that does not replace it: `Require: replaces` stands beside it.
    pub is_required: bool,
}

impl Replacement {
    /// That of a URI, if it names one. The fault is that of a URI of which no valid INVITE can be made: it names two
    /// dialogs, one that cannot be read, or one to join as well (RFC 3891 §3). Such a URI may not be called.
    pub fn of(uri: &Uri) -> Result<Option<Self>, ParseFault> {
        let headers = uri.as_sip().map_or(&[][..], |sip| sip.headers());
        let values = |name: HeaderName| {
            let own = headers.iter().filter(move |(written, _)| {
                HeaderName::parse(Bytes::from(unescape(written).into_owned())).ok()
                    == Some(name.clone())
            });
            own.map(|(_, value)| Bytes::from(unescape(value).into_owned()))
        };
        let mut named = values(HeaderName::Replaces);
        let Some(value) = named.next() else {
            return Ok(None);
        };
        if named.next().is_some() || values(HeaderName::Join).next().is_some() {
            return Err(ParseFault::new("Replaces", Rule::Repeated, 0));
        }
        let replaces = Replaces::parse(&value)?;
        let mut tags = values(HeaderName::Require).flat_map(|value| readable::<Require>(&value));
        Ok(Some(Self {
            replaces,
            is_required: tags.any(|tag| tag.is(OptionTag::REPLACES)),
        }))
    }

    /// Lines of the INVITE that asks for it.
    pub fn lines(&self) -> Vec<(HeaderName, Bytes)> {
        let required = (HeaderName::Require, Bytes::from_static(b"replaces"));
        let mut lines = vec![(HeaderName::Replaces, self.replaces.to_bytes())];
        lines.extend(self.is_required.then_some(required));
        lines
    }
}

/// Whether a dialog that the peer of trunk `by` names in a Contact goes to trunk `to`: only back to that peer, which knows
/// its own dialogs. It could have those of others replaced otherwise. Teams takes no Replaces (TDR-SIP-014).
pub fn goes_back(by: &Trunk, to: &Trunk) -> bool {
    by.preset != Preset::Teams && by.name == to.name && by.transfers.names_unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &str) -> Result<Option<Replacement>, ParseFault> {
        Replacement::of(&Uri::parse(format!("sip:a@example.com?{headers}")).expect("a URI"))
    }

    #[test]
    fn a_uri_names_one_dialog_or_is_not_to_be_called() {
        let named = "Replaces=c%40h%3Bto-tag%3D1%3Bfrom-tag%3D2";
        let found = of(named).unwrap().expect("a dialog");
        assert_eq!(found.replaces.to_bytes(), "c@h;to-tag=1;from-tag=2");
        assert!(!found.is_required && found.lines().len() == 1);
        let escaped = format!("{named}&%52equire=timer%2Creplaces");
        let found = of(&escaped).unwrap().expect("a dialog");
        let line = (HeaderName::Require, Bytes::from("replaces"));
        assert!(found.is_required && found.lines().contains(&line));
        assert_eq!(of("Subject=x&Join=c%3Bto-tag%3D1%3Bfrom-tag%3D2"), Ok(None));
        for invalid in [
            format!("{named}&{named}"),
            format!("{named}&replaces=d%3Bto-tag%3D1%3Bfrom-tag%3D2"),
            format!("{named}&Join=c%3Bto-tag%3D1%3Bfrom-tag%3D2"),
            "Replaces=c".to_owned(),
            "Replaces=".to_owned(),
            format!("{named}%0d%0aVia%3A%20x"),
        ] {
            assert!(of(&invalid).is_err(), "{invalid}");
        }
    }
}
