//! Which leg a message within a dialog belongs to. An index only: dialogs live in their sessions.

use crate::hashed::Minted;
use crate::id::{CallId, LegId, ShardId};
use crate::time::Timestamp;
use bytes::Bytes;
use media_api::wire::{DIGEST_OF_NOTHING, digest};
use std::collections::VecDeque;
use std::time::Duration;

/// How long a dialog that ended is remembered, so that a crossing BYE gets its 200 (SIP-304).
const REMEMBERED: Duration = Duration::from_secs(32);

/// Index from our tags to legs. Our tags are random, so one tag names one leg; Call-ID and the
/// peer's tag are checked by the session that owns the dialog.
#[derive(Default, Debug)]
pub struct DialogTable {
    legs: Minted<Bytes, Entry>,
    /// When those that ended are forgotten, the oldest first.
    ended: VecDeque<(Timestamp, Bytes)>,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Live(CallId, LegId),
    /// With a digest of its other names, where it had a peer.
    Ended(CallId, LegId, Option<u64>),
    Moved(CallId, LegId, ShardId),
}

/// What is known about one of our tags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lookup {
    /// The leg lives.
    Live(CallId, LegId),
    /// The leg ended a short while ago.
    Ended(CallId, LegId),
    /// Another shard has it now.
    Moved(ShardId),
    /// Never ours, or long gone.
    Unknown,
}

impl DialogTable {
    /// Enters one of our tags.
    pub fn insert(&mut self, local_tag: Bytes, call: CallId, leg: LegId) {
        self.legs.insert(local_tag, Entry::Live(call, leg));
    }

    /// Notes that the leg with this tag ended, and what it was called beside it, if that is known.
    pub fn end(&mut self, now: Timestamp, local_tag: &[u8], names: Option<u64>) {
        let Some(entry) = self.legs.get_mut(local_tag) else {
            return;
        };
        let (Entry::Live(call, leg) | Entry::Moved(call, leg, _)) = *entry else {
            return;
        };
        *entry = Entry::Ended(call, leg, names);
        let tag = Bytes::copy_from_slice(local_tag);
        self.ended.push_back((now + REMEMBERED, tag));
    }

    /// Whether a dialog that has ended may have been called so.
    pub(crate) fn may_be_named(&self, local_tag: &[u8], names: u64) -> bool {
        match self.legs.get(local_tag) {
            Some(Entry::Ended(_, _, own)) => own.is_none_or(|own| own == names),
            _ => false,
        }
    }

    /// Notes that the leg with this tag was handed over to another shard.
    pub fn moved(&mut self, local_tag: &[u8], to: ShardId) {
        if let Some(entry) = self.legs.get_mut(local_tag)
            && let Entry::Live(call, leg) = *entry
        {
            *entry = Entry::Moved(call, leg, to);
        }
    }

    /// Tags of dialogs that live in calls that are gone.
    pub fn orphans(&self, is_there: impl Fn(CallId) -> bool) -> Vec<Bytes> {
        let legs = self.legs.iter();
        let lost = legs.filter_map(|(tag, entry)| match entry {
            Entry::Live(call, _) if !is_there(*call) => Some(tag.clone()),
            Entry::Live(..) | Entry::Ended(..) | Entry::Moved(..) => None,
        });
        let mut lost: Vec<Bytes> = lost.collect();
        lost.sort_unstable();
        lost
    }

    /// What is known about a tag that a peer says is ours.
    pub fn find(&self, local_tag: &[u8]) -> Lookup {
        match self.legs.get(local_tag) {
            Some(Entry::Live(call, leg)) => Lookup::Live(*call, *leg),
            Some(Entry::Ended(call, leg, _)) => Lookup::Ended(*call, *leg),
            Some(Entry::Moved(_, _, shard)) => Lookup::Moved(*shard),
            None => Lookup::Unknown,
        }
    }

    /// Forgets what ended long enough ago.
    pub fn tick(&mut self, now: Timestamp) {
        while self.ended.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, tag)) = self.ended.pop_front() {
                self.legs.remove(&tag);
            }
        }
    }

    /// When [`Self::tick`] is next wanted.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.ended.front().map(|(at, _)| *at)
    }

    /// Live and remembered entries.
    pub fn len(&self) -> usize {
        self.legs.len()
    }

    /// Those of them that have ended.
    pub fn ended(&self) -> usize {
        self.ended.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.legs.is_empty()
    }
}

/// A digest of what a dialog is called beside our tag: for each that ends, so it has to be cheap, and who finds two
/// that agree gains another refusal.
pub(crate) fn names(call_id: &[u8], remote_tag: &[u8]) -> u64 {
    digest(remote_tag, digest(b" ", digest(call_id, DIGEST_OF_NOTHING)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_dialog_is_remembered_for_a_while_and_then_forgotten() {
        let mut table = DialogTable::default();
        let start = Timestamp::from_micros(0);
        table.insert(Bytes::from_static(b"abc"), CallId(1), LegId(0));
        assert_eq!(table.find(b"abc"), Lookup::Live(CallId(1), LegId(0)));
        table.end(start, b"abc", None);
        table.tick(start + Duration::from_secs(31));
        assert_eq!(table.find(b"abc"), Lookup::Ended(CallId(1), LegId(0)));
        table.tick(start + REMEMBERED);
        assert_eq!(table.find(b"abc"), Lookup::Unknown);
        assert!(table.is_empty());
    }
}
