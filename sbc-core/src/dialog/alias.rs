//! Names for dialogs that may be told to strangers: who gets a REFER that we pass on has to name a
//! dialog of another leg, but not by that leg's own identifiers (SIP-400, SIP-422).
//!
//! A name is random, holds for a few minutes, and lets one trunk replace one dialog: whoever may
//! transfer the call has allowed it.

use crate::expiring::Expiring;
use crate::id::TrunkName;
use crate::mint::Mint;
use crate::sip::Token;
use crate::sip::header::{CallId, Replaces};
use crate::time::Timestamp;
use std::time::Duration;

/// How long a name holds: longer than anybody takes to obey a REFER.
const LIFE: Duration = Duration::from_secs(180);

/// Most names at a time.
const MOST: usize = 4_096;

/// Names that were given, by their to-tag.
#[derive(Debug)]
pub(crate) struct Aliases(Expiring<Alias>);

/// What a name stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Alias {
    name: Replaces,
    /// The dialog.
    pub(crate) stands_for: Replaces,
    /// Who may use the name.
    pub(crate) trunk: TrunkName,
}

impl Default for Aliases {
    fn default() -> Self {
        Self(Expiring::new(LIFE, MOST))
    }
}

impl Aliases {
    /// Names a dialog for a trunk.
    pub(crate) fn name(
        &mut self,
        now: Timestamp,
        mint: &mut Mint,
        stands_for: Replaces,
        trunk: TrunkName,
    ) -> Replaces {
        let name = Replaces {
            call_id: CallId::from_minted(mint.call_id()),
            to_tag: Token::from_minted(mint.tag()),
            from_tag: Token::from_minted(mint.tag()),
            early_only: stands_for.early_only,
            params: Default::default(),
        };
        let alias = Alias {
            name: name.clone(),
            stands_for,
            trunk,
        };
        self.0.insert(now, name.to_tag.as_bytes().clone(), alias);
        name
    }

    /// A name that another shard has given to a dialog that is here now.
    pub(crate) fn learn(&mut self, now: Timestamp, alias: Alias) {
        let tag = alias.name.to_tag.as_bytes().clone();
        if self.0.get(&tag).is_none() {
            self.0.insert(now, tag, alias);
        }
    }

    /// What a name stands for, if it is one.
    pub(crate) fn find(&self, name: &Replaces) -> Option<&Alias> {
        let alias = self.0.get(name.to_tag.as_bytes())?;
        let is_it = alias.name.call_id == name.call_id && alias.name.from_tag == name.from_tag;
        is_it.then_some(alias)
    }

    /// Forgets names that hold no longer.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        self.0.tick(now);
    }

    /// When [`Self::tick`] is next wanted.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.0.next_deadline()
    }

    /// Names that hold.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShardId;
    use crate::sip::header::Header;
    use bytes::Bytes;

    #[test]
    fn a_name_is_random_whole_and_holds_for_a_while() {
        let mut aliases = Aliases::default();
        let mut mint = Mint::new(ShardId(0), [1; 32]);
        let start = Timestamp::from_micros(0);
        let text = Bytes::from_static(b"a@192.0.2.1;to-tag=1;from-tag=2;early-only");
        let dialog = Replaces::parse(&text).unwrap();
        let name = aliases.name(start, &mut mint, dialog.clone(), TrunkName::new("b"));
        assert!(name.early_only && name.call_id != dialog.call_id);
        assert_eq!(aliases.find(&name).expect("a name").stands_for, dialog);
        let other = Replaces {
            from_tag: dialog.from_tag.clone(),
            ..name.clone()
        };
        assert_eq!(aliases.find(&other), None, "only the whole name counts");
        aliases.tick(start + Duration::from_secs(179));
        assert_eq!(aliases.len(), 1);
        aliases.tick(start + LIFE);
        assert!(aliases.len() == 0 && aliases.find(&name).is_none());
    }
}
