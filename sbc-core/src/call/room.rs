//! Room for calls for help: what one may lack, and an ordinary call that gives way to it (SIP-1401).

use super::Call;
use crate::cause::{Because, CauseCode, EndedBy};
use crate::event::Happened;
use crate::id::{CallId, RealmName, ShardId, TrunkName};
use crate::letter::{Content, Letter};
use crate::plane::{Cx, Plane};
use crate::policy::admission::Counted;
use crate::sip::header::Reason;
use crate::time::Timestamp;
use std::fmt;

/// What is used up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    /// The calls that the node may have.
    Node,
    /// The calls or the kbit/s of a limit.
    Of(Counted),
    /// The media ports of one or several of these realms.
    Ports(Vec<RealmName>),
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => write!(f, "the node has all its calls"),
            Self::Of(counted) => write!(f, "{counted} has no room left"),
            Self::Ports(realms) => {
                let realms: Vec<&str> = realms.iter().map(RealmName::as_str).collect();
                write!(f, "no media ports left in realm {}", realms.join(" or "))
            }
        }
    }
}

/// Who needs room, and of what. It goes from shard to shard, and each gives what it can.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The shard of the call for help: where the question ends.
    pub(crate) from: ShardId,
    /// The call for help.
    pub(crate) by: CallId,
    /// Where it came from.
    pub(crate) trunk: TrunkName,
    /// What is not yet given.
    pub(crate) rooms: Vec<Room>,
}

/// Asks all shards, this one first, for room for a call for help, unless nothing is lacking or the
/// operator does not want it.
pub(crate) fn ask_for(plane: &mut Plane, (by, trunk): (CallId, &TrunkName), rooms: Vec<Room>) {
    if rooms.is_empty() || !plane.config.limits.preempt {
        return;
    }
    let from = plane.shard;
    let letter = Letter::new(Content::Room(Wanted {
        from,
        by,
        trunk: trunk.clone(),
        rooms,
    }));
    plane.letters.push_back((from, letter));
}

/// Which of two calls gives way first: the greater one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Willingness {
    /// Of how many of the realms it has ports.
    realms: usize,
    /// It is as any, and not one that a trusted peer has marked.
    is_usual: bool,
    /// Nobody talks yet.
    is_setup: bool,
    began: Timestamp,
}

impl Call {
    /// Whether somebody calls for help.
    pub(crate) fn is_for_help(&self) -> bool {
        self.places.are_for_help()
    }

    /// How willingly the call gives way; `None` if that would be of no use, or if it is for help itself.
    pub(crate) fn willingness(&self, room: &Room) -> Option<Willingness> {
        if !self.is_live() || self.places.are_for_help() {
            return None;
        }
        let realms = match room {
            Room::Node => 1,
            Room::Of(counted) => usize::from(self.places.count_on(counted)),
            Room::Ports(_) if self.media.is_gone() => 0,
            Room::Ports(realms) => {
                let is_used = |realm: &&RealmName| {
                    let mut legs = self.legs.values();
                    legs.any(|leg| leg.session.style().trunk.realm == **realm)
                };
                realms.iter().filter(is_used).count()
            }
        };
        (realms > 0).then(|| Willingness {
            realms,
            is_usual: !self.places.are_urgent(),
            is_setup: self.answered.is_none(),
            began: self.started.mono,
        })
    }

    /// Ends the call: another one needs its room.
    pub(crate) fn give_room(&mut self, cx: &mut Cx<'_>, by: CallId, room: &Room) {
        let room = room.to_string();
        let because = Because::of(format!("a call for help needed its room: {room}"));
        let what = Happened::Preempted {
            tenant: self.tenant.clone(),
            trunk: self.record.ingress.trunk.clone(),
            by,
            room,
        };
        cx.out.emit(Some(self.id), None, what);
        let reasons = [
            Reason::of("preemption", GENERIC_PREEMPTION, None),
            Reason::q850(PREEMPTION, None),
        ];
        let (who, code) = (EndedBy::Us, CauseCode::Preempted);
        self.end(cx, who, code, because, &reasons);
        self.settle(cx);
    }
}

/// Cause of a preemption that says no more to the last user agent (RFC 4411 §5).
const GENERIC_PREEMPTION: u16 = 3;

/// Q.850: preemption.
const PREEMPTION: u8 = 8;
