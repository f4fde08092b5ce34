//! A call that talks, written down for the process after this one, and taken up there (OPS-150, OPS-151).
//!
//! Left out is what is derived whenever a call settles: who talks, what is heard of ours, what costs, and who is to be
//! told what. Limits and bills are taken anew under the configuration of now. What the process after this one cannot
//! go on with has its record, and its parties hear BYE where there is a way to them.

use super::media::KeptMedia;
use super::{Call, CallMedia, Few, Leg, LocalSide, Timer, keys};
use crate::call::bill::Bills;
use crate::call::places::Places;
use crate::call::tell::Telling;
use crate::cause::{Because, Cause, CauseCode, EndedBy};
use crate::config::Config;
use crate::event::Happened;
use crate::id::{CallId, LegId, TenantName};
use crate::kept::{hence, wall_of};
use crate::media::{KeptImage, MediaImage};
use crate::plane::Cx;
use crate::policy::admission::Standing;
use crate::policy::identity::Caller;
use crate::policy::local_media::{self, Side};
use crate::policy::session_id::Ends;
use crate::record::{Added, Disposition, Growing, Record};
use crate::sdp::Direction;
use crate::seldom::Seldom;
use crate::session::{KeptSession, Session};
use crate::sip::Status;
use crate::sip::header::Reason;
use crate::time::{Now, UnixTime};
use media_api::wire::WireFault;
use media_api::{CryptoKey, Intake, SessionId, wire_layout};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What of a call's time was in processes before this one, by the clock on the wall.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Before {
    /// From its INVITE to when it was taken up.
    pub(super) since_start: Duration,
    /// From its answer.
    pub(super) since_answer: Duration,
}

/// Whether a call is to be kept.
#[derive(Debug)]
pub(crate) enum Keeping {
    /// As it is now.
    As(Box<KeptCall>),
    /// As it was: something is under way.
    AsBefore,
    /// Not at all: nobody could go on with it.
    Not,
}

/// What there is to know of a call.
#[derive(Clone, Debug)]
pub(crate) struct KeptCall {
    id: CallId,
    tenant: Option<TenantName>,
    record: Record,
    answered: UnixTime,
    ends_at: Option<UnixTime>,
    on_hold_since: Option<UnixTime>,
    bridge: (LegId, LegId),
    newcomer: Option<LegId>,
    next_leg: u8,
    legs: Vec<KeptLeg>,
    billed: Vec<LegId>,
    media: KeptMedia,
    ends: Ends,
    seeks_help: EndedBy,
    standing: Standing,
}

/// One party's side of it.
#[derive(Clone, Debug)]
struct KeptLeg {
    leg: LegId,
    session: KeptSession,
    image: KeptImage,
    telling: (Option<Direction>, (bool, u8)),
    fresh_key: Option<CryptoKey>,
    keys: (Intake, bool),
    side: Option<Side>,
    caller: Option<Arc<Caller>>,
}

wire_layout! {
    struct KeptCall {
        id, tenant, record, answered, ends_at, on_hold_since, bridge, newcomer, next_leg, legs, billed, media, ends,
        seeks_help, standing,
    }
    struct KeptLeg { leg, session, image, telling, fresh_key, keys, side, caller }

    enum Standing {
        0: Usual,
        1: Priority,
        2: Help,
    }
}

impl KeptCall {
    /// What its record has got since form 2.
    pub(crate) fn added(&self) -> Added {
        self.record.added()
    }

    /// Takes that as it was read.
    pub(crate) fn add(&mut self, added: Added) -> Result<(), WireFault> {
        self.record.add(added)
    }
}

impl Call {
    /// What is to be kept of the call. `now` relates the two clocks, always in the same way.
    pub(crate) fn keeping(&self, now: Now) -> Keeping {
        let is_lasting = self.operation.is_none()
            && self.is_answer_told
            && self.direct.is_none()
            && !self.is_held()
            && !self.is_recorded;
        let (true, Some(answered), Some(bridge)) = (is_lasting, self.answered, self.bridge) else {
            return Keeping::Not;
        };
        match self.kept(now, answered, bridge) {
            Some(kept) => Keeping::As(Box::new(kept)),
            None => Keeping::AsBefore,
        }
    }

    fn kept(&self, now: Now, answered: Now, bridge: (LegId, LegId)) -> Option<KeptCall> {
        let is_quiet = self.events.is_empty()
            && self.nameless.is_empty()
            && self.relayed.is_empty()
            && self.leaving.is_empty();
        if !is_quiet {
            return None;
        }
        let mut legs = Vec::with_capacity(2);
        for (id, leg) in self.legs.iter() {
            if self.other(*id).is_none() {
                match leg.session.is_over() {
                    true => continue,
                    false => return None,
                }
            }
            legs.push(KeptLeg {
                leg: *id,
                session: leg.session.written_down(now)?,
                image: leg.image.kept()?,
                telling: leg.telling.kept()?,
                fresh_key: leg.fresh_key.as_deref().cloned(),
                keys: leg.keys.kept(),
                side: leg.local.kept()?,
                caller: self.parties.get(id).cloned(),
            });
        }
        Some(KeptCall {
            id: self.id,
            tenant: self.tenant.clone(),
            record: Record::clone(&self.record),
            answered: answered.wall,
            ends_at: self
                .timers
                .at(Timer::Limit as usize)
                .map(|at| wall_of(now, at)),
            on_hold_since: self.on_hold_since.map(|at| wall_of(now, at)),
            bridge,
            newcomer: self.newcomer,
            next_leg: self.next_leg,
            legs,
            billed: self.billed(),
            media: self.media.kept()?,
            ends: self.ends.clone(),
            seeks_help: self.seeks_help,
            standing: self.standing(),
        })
    }

    /// Takes up a call of the process before this one, or gives its record back if nobody can go on with it.
    pub(crate) fn take_up(
        cx: &mut Cx<'_>,
        kept: KeptCall,
        has_media: bool,
    ) -> Result<Self, Box<Record>> {
        let config = Arc::clone(&cx.plane.config);
        let id = kept.id;
        if let Some(why) = kept.misfit(&config) {
            return Err(kept.lost(cx, &config, &why));
        }
        let mut legs = Few::default();
        let mut parties = Few::default();
        for kept in kept.legs {
            let Some(session) = kept.session.take_up(cx, (id, kept.leg), &config) else {
                continue;
            };
            let trunk = Arc::clone(&session.style().trunk);
            let side = kept.side.unwrap_or(Side::External);
            let profile = Arc::clone(local_media::profile_on(&trunk, side));
            let image = MediaImage::of_kept(kept.image, profile);
            let leg = Leg {
                telling: Telling::of_kept(kept.telling),
                fresh_key: kept.fresh_key.map(Box::new),
                keys: keys::Keys::of_kept(kept.keys),
                local: LocalSide::on(&trunk, side),
                ..Leg::new(session, image)
            };
            legs.insert(kept.leg, leg);
            if let Some(caller) = kept.caller {
                parties.insert(kept.leg, caller);
            }
        }
        let wall = |wall| Now {
            wall,
            mono: cx.now.mono,
        };
        let mut record = Growing::new(kept.record);
        if let Some(since) = kept.on_hold_since {
            let held = cx.now.wall.since(since).as_millis();
            let held = u64::try_from(held).unwrap_or(u64::MAX);
            record.held_ms = record.held_ms.saturating_add(held);
        }
        let mut call = Self {
            id,
            tenant: kept.tenant,
            legs,
            next_leg: kept.next_leg,
            media: CallMedia::of_kept(kept.media, has_media),
            operation: None,
            events: VecDeque::new(),
            bills: Bills::default(),
            places: Places::default(),
            lap: None,
            started: wall(record.start),
            answered: Some(wall(kept.answered)),
            before: Before {
                since_start: cx.now.wall.since(record.start),
                since_answer: cx.now.wall.since(kept.answered),
            },
            record,
            is_answer_told: true,
            parties,
            ends: kept.ends,
            bridge: Some(kept.bridge),
            direct: None,
            is_direct_untold: false,
            newcomer: kept.newcomer,
            parting: None,
            timers: Default::default(),
            nameless: Seldom::default(),
            relayed: Seldom::default(),
            leaving: Seldom::default(),
            unvouched: None,
            declined: None,
            seeks_help: kept.seeks_help,
            held_since: None,
            is_recorded: false,
            asking: Seldom::default(),
            doubts: Seldom::default(),
            talk: Default::default(),
            on_hold_since: None,
            config,
        };
        if let Some(at) = kept.ends_at {
            call.timers.set(Timer::Limit as usize, hence(cx.now, at));
        }
        call.take_places_again(cx, kept.standing);
        for leg in kept.billed {
            call.bill_again(leg);
        }
        if call.record.emergency {
            call.spare_all(cx);
        }
        let record = call.record.now().kept(&cx.plane.config);
        cx.out.emit(Some(id), None, Happened::Restored(record));
        if !has_media {
            let because = Because::of(NO_MEDIA);
            let reason = Reason::q850(super::TEMPORARY_FAILURE, None);
            call.end(cx, EndedBy::Us, CauseCode::RestartLost, because, &[reason]);
        }
        call.settle(cx);
        Ok(call)
    }
}

/// Why a call is lost whose media are gone.
const NO_MEDIA: &str = "the daemon ended without a word, and the media relay had ended as well";

impl KeptCall {
    /// The call.
    pub(crate) const fn id(&self) -> CallId {
        self.id
    }

    /// Its media session.
    pub(crate) const fn session(&self) -> SessionId {
        self.media.session()
    }

    /// Why nobody can go on with the call under a configuration.
    fn misfit(&self, config: &Config) -> Option<String> {
        let (a, b) = self.bridge;
        let is_there = |leg| self.legs.iter().any(|own| own.leg == leg);
        if !is_there(a) || !is_there(b) {
            return Some("a party is missing in what was kept of it".to_owned());
        }
        self.legs.iter().find_map(|leg| leg.session.misfit(config))
    }

    /// Parts its parties: whom there is a way to hears BYE. Who has heard one already answers that there is no such
    /// dialog.
    pub(crate) fn part(self, cx: &mut Cx<'_>) {
        let config = Arc::clone(&cx.plane.config);
        Self::part_all(self.id, self.legs, cx, &config);
    }

    fn part_all(id: CallId, legs: Vec<KeptLeg>, cx: &mut Cx<'_>, config: &Arc<Config>) {
        for kept in legs {
            let Some(mut session) = kept.session.take_up(cx, (id, kept.leg), config) else {
                continue;
            };
            // Nobody would be there to take a name server's answer.
            session.stays_where_heard();
            session.hang_up(cx, Status::REQUEST_TERMINATED, None);
            Session::forget(&session, cx);
        }
    }

    /// Ends a call that nobody can go on with.
    fn lost(self, cx: &mut Cx<'_>, config: &Arc<Config>, why: &str) -> Box<Record> {
        Self::part_all(self.id, self.legs, cx, config);
        let because = format!("the daemon was restarted, and cannot go on with the call: {why}");
        let answered = self.answered;
        let cause = (CauseCode::RestartLost, Because::of(because));
        closed(self.record, answered, cx.now, cause)
    }

    /// Its record if taking it up fails by a defect.
    pub(crate) fn lost_by_defect(&self, now: Now) -> Box<Record> {
        let because = "a defect in this product; please report it";
        let cause = (CauseCode::InternalError, Because::of(because));
        closed(self.record.clone(), self.answered, now, cause)
    }
}

/// The record of a call that nobody goes on with.
fn closed(
    record: Record,
    answered: UnixTime,
    now: Now,
    (code, because): (CauseCode, Because),
) -> Box<Record> {
    let mut record = Box::new(record);
    record.end = Some(now.wall);
    let duration = now.wall.since(answered).as_millis();
    record.duration_ms = u64::try_from(duration).unwrap_or(u64::MAX);
    record.billsec = record.duration_ms.div_ceil(1_000);
    if let Some(last) = record.conversations.last_mut() {
        let elapsed = now.wall.since(record.start).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        last.duration_ms = elapsed.saturating_sub(last.from_ms);
    }
    record.disposition = Disposition::Answered;
    record.cause = Cause {
        by: EndedBy::Us,
        code,
        status: None,
        q850: None,
        because,
    };
    record
}
