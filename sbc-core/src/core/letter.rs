//! Letters of other shards, and of this one to itself.

use super::Core;
use crate::dialog::Lookup;
use crate::effect::{Effect, Effects};
use crate::id::LegId;
use crate::letter::{Content, Fetch, Letter, Party};
use crate::plane::Cx;
use crate::session::Session;
use crate::sip::header::Replaces;
use crate::sip::{Message, Status};
use crate::time::Now;
use crate::transaction::Owner;
use crate::transport::Flow;

impl Core {
    /// Says how many shards there are; one if nobody says.
    #[must_use]
    pub fn among(mut self, shards: u8) -> Self {
        self.plane.shards = shards.max(1);
        self
    }

    /// Sends the letters that an input has caused. Those to this shard are read at once.
    pub(super) fn post(&mut self, now: Now, out: &mut Effects) {
        while let Some((to, letter)) = self.plane.letters.pop_front() {
            match to == self.plane.shard {
                true => self.read(now, &letter, out),
                false => out.push(Effect::Letter(to, letter)),
            }
        }
    }

    /// Reads a letter.
    pub(super) fn read(&mut self, now: Now, letter: &Letter, out: &mut Effects) {
        match letter.content() {
            Content::Fetch(fetch) => {
                let outcome = self.hand_over(now, fetch, out).map(Box::new);
                let call = fetch.call;
                let answer = Letter::new(Content::Fetched { call, outcome });
                self.plane.letters.push_back((fetch.from, answer));
            }
            Content::Fetched { call, outcome } if self.calls.contains_key(call) => {
                self.with_call(now, *call, out, |call, cx| call.fetched(cx, outcome));
            }
            Content::Fetched { call, outcome } => {
                // Nobody is left who wants the party, and it has nobody else.
                if let Ok(party) = outcome {
                    let plane = &mut self.plane;
                    let mut cx = Cx { now, plane, out };
                    let owner = (*call, LegId(0));
                    let mut session = Session::import(&mut cx, owner, &party.parcel);
                    session.hang_up(&mut cx, Status::REQUEST_TERMINATED, None);
                    session.forget(&mut cx);
                }
            }
            Content::Request { flow, message } => {
                self.received(now, flow, message.clone(), out);
            }
            Content::Over { tag } => self.plane.dialogs.end(now.mono, tag),
        }
    }

    /// Passes a request on that belongs to a dialog which was handed over. Says whether it did.
    pub(super) fn passes_on(&mut self, flow: &Flow, message: &Message, out: &mut Effects) -> bool {
        let Some(tag) = message.to_tag().filter(|_| message.is_request()) else {
            return false;
        };
        let Lookup::Moved(shard) = self.plane.dialogs.find(tag) else {
            return false;
        };
        if self.plane.transactions.owner_of(message) != Owner::Nobody {
            return false;
        }
        let (flow, message) = (flow.clone(), message.clone());
        let letter = Letter::new(Content::Request { flow, message });
        out.push(Effect::Letter(shard, letter));
        true
    }

    /// Takes the wanted party out of its call, which ends with that.
    fn hand_over(&mut self, now: Now, fetch: &Fetch, out: &mut Effects) -> Result<Party, Status> {
        let named = &fetch.replaces;
        let turned = Replaces {
            to_tag: named.from_tag.clone(),
            from_tag: named.to_tag.clone(),
            ..named.clone()
        };
        for replaces in [named, &turned] {
            let found = self.plane.dialogs.find(replaces.to_tag.as_bytes());
            let Lookup::Live(id, leg) = found else {
                continue;
            };
            let Some(entry) = self.calls.get(&id).filter(|_| id != fetch.call) else {
                continue;
            };
            let party = entry.call.may_hand_over(leg, replaces, fetch)?;
            let mut given = None;
            self.with_call(now, id, out, |call, cx| {
                given = call.hand_over(cx, leg, party, fetch.call);
            });
            let given = given.ok_or(Status::CALL_DOES_NOT_EXIST)?;
            if fetch.from != self.plane.shard {
                let tag = given.parcel.tag().as_bytes();
                self.plane.dialogs.moved(tag, fetch.from);
            }
            return Ok(given);
        }
        Err(Status::CALL_DOES_NOT_EXIST)
    }
}
