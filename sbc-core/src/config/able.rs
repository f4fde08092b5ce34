//! What the peer of a trunk may ask of us: worked out once, for it is asked of every request.

use super::{Isup, Preset, Refer, Rel100, Trunk};
use crate::policy::isup;
use crate::sip::header::{ContentType, Header, OptionTag};
use crate::sip::{Capabilities, Method, Token};
use bytes::Bytes;
use std::sync::OnceLock;

/// What follows from a trunk's settings.
#[derive(Debug)]
pub struct Able {
    /// What requests of the peer may ask of us.
    pub capabilities: Capabilities,
    /// What those may that make a call, or offer a change of one: ISUP goes along with them.
    pub inviting: Capabilities,
    /// Value of our Allow header.
    pub allow: String,
    /// Value of our Supported header where somebody asks what we can do (RFC 3261 §11.2).
    pub supported: String,
}

/// Worked out from the rest of a trunk when it is first wanted, so it says nothing new: two of
/// them are always equal, and a copy, which may be changed, begins without.
#[derive(Debug, Default)]
pub struct Derived(OnceLock<Box<Able>>);

impl Clone for Derived {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Derived {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Trunk {
    /// What its peer may ask of us.
    pub fn able(&self) -> &Able {
        self.derived.0.get_or_init(|| {
            let extensions = self.extensions();
            let tags: Vec<&str> = extensions.iter().map(OptionTag::as_str).collect();
            let supported = tags.join(", ");
            let methods: Vec<&str> = self.allow.iter().map(Method::as_str).collect();
            let capabilities = Capabilities {
                methods: self.allow.clone(),
                extensions,
                media: Capabilities::default().media,
            };
            Box::new(Able {
                allow: methods.join(", "),
                supported,
                inviting: Capabilities {
                    media: self.inviting_types(),
                    ..capabilities.clone()
                },
                capabilities,
            })
        })
    }

    /// Bodies that its peer may require us to understand where it begins or changes a call.
    fn inviting_types(&self) -> Vec<ContentType> {
        let mut types = Capabilities::default().media;
        if self.habits.isup == Isup::Pass {
            let own = isup::TYPES
                .iter()
                .map(|name| Bytes::from_static(name.as_bytes()));
            types.extend(own.filter_map(|name| ContentType::parse(&name).ok()));
        }
        types
    }

    /// Extensions that its peer may require.
    fn extensions(&self) -> Vec<OptionTag> {
        let timer = self.session_timer.map(|_| OptionTag::TIMER);
        let rel100 = self.progress.rel100 != Rel100::Never;
        let rel100 = rel100.then_some(OptionTag::REL100);
        let transfers = self.transfers.refer != Refer::Refuse;
        // Microsoft documents no Target-Dialog (TDR-XFR-019).
        let names_dialogs = transfers && self.preset == Preset::Carrier;
        let of_transfers = [
            (transfers, OptionTag::NOREFERSUB),
            (names_dialogs, OptionTag::TDIALOG),
        ];
        let of_transfers = of_transfers
            .into_iter()
            .filter_map(|(is, tag)| is.then_some(tag));
        let renames = self.identity.from_change;
        let renames = renames.then_some(OptionTag::FROM_CHANGE);
        let always = [OptionTag::REPLACES];
        let named = timer
            .into_iter()
            .chain(rel100)
            .chain(of_transfers)
            .chain(always)
            .chain(renames);
        let tokens = named.filter_map(|name| Token::parse(name).ok());
        tokens.map(OptionTag::new).collect()
    }
}
