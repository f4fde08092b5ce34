//! Letters of other shards, and of this one to itself.

use super::{Core, Together};
use crate::demux::shard_of_call_id;
use crate::dialog::Lookup;
use crate::effect::{Effect, Effects};
use crate::id::{LegId, ShardId};
use crate::letter::{CALLED_ANEW, Content, Fetch, Letter, Naming, Party};
use crate::plane::Cx;
use crate::session::Session;
use crate::sip::header::{Replaces, TargetDialog};
use crate::sip::{HeaderName, Message, Method, Status};
use crate::time::Now;
use crate::transaction::Owner;
use crate::transport::Flow;
use bytes::Bytes;

impl Core {
    /// Says how many shards there are; one if nobody says.
    #[must_use]
    pub fn among(mut self, shards: u8) -> Self {
        self.plane.shards = shards.max(1);
        self
    }

    /// Tells the record of each call as it goes on, for who keeps a journal of them
    /// ([`crate::event::Happened::Recorded`]).
    #[must_use]
    pub fn for_journal(mut self) -> Self {
        self.plane.keeps_journal = true;
        self
    }

    /// Counts together with all who are given the same.
    #[must_use]
    pub fn counting(mut self, together: &Together) -> Self {
        self.plane.admission = together.admission.of(self.plane.shard);
        self.plane.spending = together.spending.of(self.plane.shard);
        self.plane.circles = together.circles.beside();
        self.plane.preemptions = together.preemptions.clone();
        self.plane.elins = together.elins.clone();
        self.plane.asked = together.asked.clone();
        self.plane.talking = together.talking.clone();
        self.plane.watch = together.watch.clone();
        self.plane.tally = together.tally.beside();
        self.plane.health.found = together.found.clone();
        self.plane.quarantine = together.quarantine.clone();
        self.plane.closed = together.closed.clone();
        self.live = together.live.beside();
        self.adrift = together.adrift.beside();
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
        let asked = match letter.content() {
            Content::Fetch(fetch) => Some(&fetch.replaces),
            Content::Name(naming) => Some(&naming.replaces),
            _ => None,
        };
        if let Some(shard) = asked.and_then(|named| self.moved_to(named)) {
            // What was handed over is asked for where it is now.
            return self.plane.letters.push_back((shard, letter.clone()));
        }
        match letter.content() {
            Content::Fetch(fetch) => {
                let outcome = self.hand_over(now, fetch, out).map(Box::new);
                let (call, ticket) = (fetch.call, fetch.ticket);
                let answer = Letter::new(Content::Fetched {
                    call,
                    ticket,
                    outcome,
                });
                self.plane.letters.push_back((fetch.from, answer));
            }
            Content::Fetched {
                call,
                ticket,
                outcome,
            } if self.calls.contains_key(call) => {
                self.with_call(now, *call, out, |call, cx| {
                    call.fetched(cx, *ticket, outcome);
                });
            }
            Content::Fetched { call, outcome, .. } => {
                // Nobody is left who wants the party, and it has nobody else.
                if let Ok(party) = outcome {
                    let plane = &mut self.plane;
                    let mut cx = Cx { now, plane, out };
                    let owner = (*call, LegId(0));
                    let mut session = Session::import(&mut cx, owner, &party.parcel);
                    // Nobody would be there to take a name server's answer.
                    session.stays_where_heard();
                    session.hang_up(&mut cx, Status::REQUEST_TERMINATED, None);
                    session.forget(&mut cx);
                }
            }
            Content::Name(naming) => {
                let (call, refer) = (naming.call, naming.refer);
                let name = self.name(now, naming);
                let answer = Letter::new(Content::Named { call, refer, name });
                self.plane.letters.push_back((naming.from, answer));
            }
            Content::Named { call, refer, name } => {
                if self.calls.contains_key(call) {
                    self.with_call(now, *call, out, |call, cx| {
                        call.named(cx, *refer, name.as_ref());
                    });
                }
            }
            Content::Request {
                flow,
                message,
                named,
            } => {
                if let Some(alias) = named {
                    self.plane.aliases.learn(now.mono, alias.clone());
                }
                // Nothing goes round in circles: it is followed to where its dialog is, and no further.
                if let (Method::Invite, Some(key)) = (message.method(), key_of(message)) {
                    let key = self.hidden(&key);
                    self.plane.away.remove(&key);
                }
                self.received(now, flow, message.clone(), out);
            }
            Content::Away { key, shard } => {
                let key = self.hidden(key);
                if self.plane.away.get(&key).is_none() {
                    self.plane.away.insert(now.mono, key, *shard);
                }
            }
            Content::Again(again) => self.called_again(now, letter, again, out),
            Content::Room(wanted) => self.make_room(now, wanted, out),
            Content::Over { tag, names } => self.plane.dialogs.end(now.mono, tag, *names),
        }
    }

    /// Tells the shard that would get the CANCEL of an INVITE with Replaces that it is here, before
    /// anybody is answered: nobody cancels before (RFC 3261 §9.1).
    pub(super) fn tells_where(&self, message: &Message, out: &mut Effects) {
        if *message.method() != Method::Invite
            || self.plane.shards == 1
            || !message.has(HeaderName::Replaces)
            || message.to_tag().is_some()
        {
            return;
        }
        let home = shard_of_call_id(message, self.plane.shards);
        if let (false, Some(key)) = (home == self.plane.shard, key_of(message)) {
            let shard = self.plane.shard;
            let letter = Letter::new(Content::Away { key, shard });
            out.push(Effect::Letter(home, letter));
        }
    }

    /// What a peer wrote, as a key that he cannot choose.
    fn hidden(&self, written: &[u8]) -> Bytes {
        let mut digest = self.plane.secret.digest();
        digest.part(written);
        Bytes::copy_from_slice(&digest.finish().to_be_bytes())
    }

    /// Passes a request on that belongs to a dialog which was handed over. Says whether it did.
    pub(super) fn passes_on(
        &mut self,
        now: Now,
        flow: &Flow,
        message: &Message,
        out: &mut Effects,
    ) -> bool {
        if !message.is_request() {
            return false;
        }
        let is_invite = *message.method() == Method::Invite;
        let mut named = None;
        // Repeated, an INVITE goes where it went, even if what it names has its end meanwhile.
        let key = match message.method() {
            Method::Cancel => key_of(message),
            Method::Invite if named_by(message).is_some() => key_of(message),
            _ => None,
        };
        let key = key.map(|key| self.hidden(&key));
        let before = key.as_ref().and_then(|key| self.plane.away.get(key));
        let is_new = before.is_none();
        let shard = match (before.copied(), message.to_tag()) {
            (Some(shard), _) => shard,
            (None, tag) => {
                let found = match (tag, named_by(message)) {
                    (Some(tag), _) => self.plane.dialogs.find(tag),
                    (None, Some(dialog)) => {
                        named = self.plane.aliases.find(&dialog).cloned();
                        let dialog = named.as_ref().map_or(dialog, |own| own.stands_for.clone());
                        self.plane.dialogs.find(dialog.to_tag.as_bytes())
                    }
                    (None, None) => return false,
                };
                let Lookup::Moved(shard) = found else {
                    return false;
                };
                if self.plane.transactions.owner_of(message) != Owner::Nobody {
                    return false;
                }
                shard
            }
        };
        if let Some(key) = key.filter(|_| is_invite && is_new) {
            self.plane.away.insert(now.mono, key, shard);
        }
        let (flow, message) = (flow.clone(), message.clone());
        let letter = Letter::new(Content::Request {
            flow,
            message,
            named,
        });
        out.push(Effect::Letter(shard, letter));
        true
    }

    /// The shard that a dialog was handed over to, if neither of its ends is here.
    fn moved_to(&self, named: &Replaces) -> Option<ShardId> {
        let mut moved = None;
        for replaces in both_ways(named) {
            match self.plane.dialogs.find(replaces.to_tag.as_bytes()) {
                Lookup::Live(..) => return None,
                Lookup::Moved(shard) => moved = Some(shard),
                Lookup::Ended(..) | Lookup::Unknown => {}
            }
        }
        moved
    }

    /// Gives a dialog of a call of this shard a name that may be told.
    fn name(&mut self, now: Now, naming: &Naming) -> Option<Replaces> {
        for replaces in both_ways(&naming.replaces) {
            let found = self.plane.dialogs.find(replaces.to_tag.as_bytes());
            let Lookup::Live(id, leg) = found else {
                continue;
            };
            let Some(entry) = self.calls.get(&id).filter(|_| id != naming.call) else {
                continue;
            };
            if entry.call.may_name(leg, naming, &replaces) {
                let (user, mint) = (naming.user.clone(), &mut self.plane.mint);
                return Some(self.plane.aliases.name(now.mono, mint, replaces, user));
            }
        }
        None
    }

    /// Takes the wanted party out of its call, which ends with that.
    fn hand_over(&mut self, now: Now, fetch: &Fetch, out: &mut Effects) -> Result<Party, Status> {
        for replaces in &both_ways(&fetch.replaces) {
            let found = self.plane.dialogs.find(replaces.to_tag.as_bytes());
            let Lookup::Live(id, leg) = found else {
                continue;
            };
            let Some(entry) = self.calls.get(&id).filter(|_| id != fetch.call) else {
                continue;
            };
            if entry.call.may_give_way(leg, replaces, fetch) {
                self.with_call(now, id, out, |call, cx| call.give_way(cx, fetch.call));
                return Err(CALLED_ANEW);
            }
            let party = entry.call.may_hand_over(leg, replaces, fetch)?;
            let mut given = None;
            self.with_call(now, id, out, |call, cx| {
                given = call.hand_over(cx, leg, party, fetch);
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

/// The dialog that a request outside of it is about (RFC 3891, RFC 4538).
fn named_by(message: &Message) -> Option<Replaces> {
    if message.to_tag().is_some() {
        return None;
    }
    match *message.method() {
        Method::Invite if message.has(HeaderName::Replaces) => message.get().ok()?,
        Method::Refer if message.has(HeaderName::TargetDialog) => {
            let target = message.get::<TargetDialog>().ok()??;
            Some(Replaces {
                call_id: target.call_id,
                to_tag: target.remote_tag,
                from_tag: target.local_tag,
                early_only: false,
                params: Default::default(),
            })
        }
        _ => None,
    }
}

/// A dialog named from either side.
fn both_ways(named: &Replaces) -> [Replaces; 2] {
    let turned = Replaces {
        to_tag: named.from_tag.clone(),
        from_tag: named.to_tag.clone(),
        ..named.clone()
    };
    [named.clone(), turned]
}

/// By what an INVITE and its CANCEL are known: Call-ID and branch (RFC 3261 §9.2).
fn key_of(message: &Message) -> Option<Bytes> {
    let via = message.top_via().ok()?;
    let mut key = message.raw(HeaderName::CallId)?.to_vec();
    key.push(b' ');
    key.extend_from_slice(via.branch()?);
    Some(Bytes::from(key))
}
