//! A confirmed dialog written down for the process after this one.
//!
//! What names configured objects goes by their names, and what is timed by the clock on the wall. The next
//! process may find that the peer has been asked something meanwhile, or has asked: our numbers go on behind what may
//! have been used, and a session that should have been refreshed has some time left for it.

use super::timer::SessionTimer;
use super::{LegStyle, Parcel, PeerFacts, Phase, Session, Timer};
use crate::config::Config;
use crate::dialog::Dialog;
use crate::id::{CallId, LegId, TrunkName};
use crate::kept::{hence, wall_of};
use crate::plane::Cx;
use crate::sip::Token;
use crate::sip::header::SessionId;
use crate::time::{Now, UnixTime};
use crate::transport::Hop;
use bytes::Bytes;
use media_api::wire_layout;
use std::sync::Arc;
use std::time::Duration;

/// Numbers that are left out: more than requests of ours could have been under way.
const LEFT_OUT: u32 = 100;

/// A session does not end for want of a refresh before the peer could repeat one that found nobody.
const GRACE: Duration = Duration::from_secs(40);

/// What there is to know of a session.
#[derive(Clone, Debug)]
pub(crate) struct KeptSession {
    trunk: TrunkName,
    contact_user: Option<Vec<u8>>,
    ends: Option<SessionId>,
    local_tag: Token,
    facts: PeerFacts,
    dialog: Dialog,
    fallback: Hop,
    owns_call_id: bool,
    timer: SessionTimer,
    /// Timers that run, by their numbers.
    due: Vec<(u8, UnixTime)>,
    refuses_bye: bool,
}

wire_layout! {
    struct KeptSession {
        trunk, contact_user, ends, local_tag, facts, dialog, fallback, owns_call_id, timer, due, refuses_bye,
    }
    struct PeerFacts {
        host, call_id, protocol, remote, tls, first_response_ms, first_progress_ms, given_up, user_agent, teams_call,
        changes_from, ways,
    }
}

/// Those that outlive a process.
const LASTING: [Timer; 4] = [Timer::Refreshing, Timer::Expiry, Timer::Way, Timer::Examine];

impl Session {
    /// Writes the session down; nothing while anything is under way in it.
    pub(crate) fn written_down(&self, now: Now) -> Option<KeptSession> {
        if !self.is_quiet() {
            return None;
        }
        let Parcel {
            style,
            local_tag,
            facts,
            dialog,
            fallback,
            home: _,
            owns_call_id,
            timer,
        } = self.export()?;
        let fallback = match &self.phase {
            // No connection outlives its process.
            Phase::Confirmed(confirmed) => confirmed.link.lasting(&style),
            Phase::Incoming(_) | Phase::Outgoing(_) | Phase::Closing(_) | Phase::Over => fallback,
        };
        let due = LASTING.into_iter().filter_map(|timer| {
            let at = self.timers.at(timer as usize)?;
            Some((timer as u8, wall_of(now, at)))
        });
        Some(KeptSession {
            trunk: style.trunk.name.clone(),
            contact_user: style.contact_user.map(|user| user.to_vec()),
            ends: style.session_id,
            local_tag,
            facts,
            dialog,
            fallback,
            owns_call_id,
            timer,
            due: due.collect(),
            refuses_bye: self.refuses_bye,
        })
    }
}

impl KeptSession {
    /// Why nobody can go on with the session under a configuration.
    pub(crate) fn misfit(&self, config: &Config) -> Option<String> {
        if !config.trunks.contains_key(&self.trunk) {
            return Some(format!(
                "trunk \"{}\" is not configured any more",
                self.trunk
            ));
        }
        let listener = &self.fallback.listener;
        (!config.listeners.contains_key(listener))
            .then(|| format!("listener \"{listener}\" is not configured any more"))
    }

    /// Takes the session up under this configuration; nothing if that has no such trunk any more, or no way out of
    /// its listener.
    pub(crate) fn take_up(
        self,
        cx: &mut Cx<'_>,
        owner: (CallId, LegId),
        config: &Arc<Config>,
    ) -> Option<Session> {
        let trunk = Arc::clone(config.trunks.get(&self.trunk)?);
        config.listeners.get(&self.fallback.listener)?;
        let mut dialog = self.dialog;
        dialog.local_cseq = dialog.local_cseq.saturating_add(LEFT_OUT);
        let parcel = Parcel {
            style: LegStyle {
                config: Arc::clone(config),
                trunk,
                contact_user: self.contact_user.map(Bytes::from),
                session_id: self.ends,
            },
            local_tag: self.local_tag,
            facts: self.facts,
            dialog,
            fallback: self.fallback,
            home: None,
            owns_call_id: self.owns_call_id,
            timer: self.timer,
        };
        let mut session = Session::import(cx, owner, &parcel);
        session.refuses_bye = self.refuses_bye;
        session.refreshed = Some(cx.now.mono);
        for (number, at) in self.due {
            let Some(timer) = LASTING.into_iter().find(|own| *own as u8 == number) else {
                continue;
            };
            let at = hence(cx.now, at);
            let at = match timer {
                Timer::Expiry => at.max(cx.now.mono + GRACE),
                _ => at,
            };
            session.timers.set(timer as usize, at);
        }
        debug_assert!(matches!(session.phase, Phase::Confirmed(_)));
        Some(session)
    }
}
