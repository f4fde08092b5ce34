//! A caller whose connection is gone before there is an answer (TDR-ERR-012).

use super::{A_LEG, Call, Operation};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::config::{LostConnection, Trunk};
use crate::plane::Cx;
use crate::sip::header::From;
use crate::sip::{HeaderName, Message, Status};
use crate::trouble::Trouble;
use bytes::Bytes;

impl Call {
    /// Whether the caller still waits for an answer.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.answered.is_none() && matches!(self.operation, Some(Operation::Setup(_)))
    }

    /// What a break of its connection means to the caller's peer. Who calls for help may not be able to
    /// call again.
    pub(crate) fn lost_connection(&self) -> LostConnection {
        match self.legs.get(&A_LEG) {
            Some(caller) if !self.record.emergency => {
                caller.session.style().trunk.habits.lost_connection
            }
            Some(_) | None => LostConnection::Wait,
        }
    }

    /// Whether an INVITE from this trunk, whose caller's connection is lost, is the same call again: by its
    /// Call-ID, or by its numbers where the peer makes calls again (TDR-ERR-012). Many may call for help by
    /// one number of their company, so there the numbers tell nothing.
    pub(crate) fn is_made_again(&self, invite: &Message, trunk: &Trunk) -> bool {
        let Some(a) = self.legs.get(&A_LEG) else {
            return false;
        };
        let again = |own: &Message| {
            own.raw(HeaderName::CallId) == invite.raw(HeaderName::CallId)
                || (!self.record.emergency
                    && trunk.habits.lost_connection == LostConnection::End
                    && own.request_uri() == invite.request_uri()
                    && caller_of(own).is_some_and(|caller| Some(caller) == caller_of(invite)))
        };
        a.session.style().trunk.name == trunk.name && a.session.invite().is_some_and(again)
    }

    /// The caller is gone with its connection, or comes again by another one.
    pub(crate) fn is_forsaken(&mut self, cx: &mut Cx<'_>, why: &str) {
        let (by, code) = (EndedBy::A, CauseCode::CallerCancelled);
        // Should this find a way after all, the peer tries another.
        let status = Status::SERVICE_UNAVAILABLE;
        let because = Because::of(why).named(Trouble::CallerConnectionLost);
        self.end_with(cx, by, code, status, because, &[]);
        self.settle(cx);
        // The same call comes again: it must not be refused for the places of this one.
        self.places.leave(cx.plane);
    }
}

/// The user part of From: another tag, and another host, are no other caller. Those who hide are not one.
fn caller_of(invite: &Message) -> Option<Bytes> {
    let from = invite.essential::<From>().ok().flatten()?;
    let user = from.uri().user().cloned();
    user.filter(|user| !user.eq_ignore_ascii_case(b"anonymous"))
}
