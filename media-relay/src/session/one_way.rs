//! One-way audio: whose media do not get through, and what is seen of them (section 14 of the media requirements).
//!
//! Looked at in the time between packets, never for a packet: a party that should be heard and is not is judged two
//! and a half seconds later.
//!
//! | state    | seen                                             | says  | next     |
//! |----------|--------------------------------------------------|-------|----------|
//! | Off      | both sides agree to send and receive             |       | Watching |
//! | Watching | its media come                                   |       | Watching |
//! | Watching | none for the limit, and packets are dropped      | fault | Told     |
//! | Watching | none for the limit, no excuse, the other side's come | fault | Told |
//! | Watching | the same, but a report may still bring the excuse | unheard | Watching |
//! | Watching | digital silence and nothing else for ten seconds | fault | Told     |
//! | Watching | it says that ours do not come                    | fault | Told     |
//! | Watching | more of its packets are forged than are not      | fault | Told     |
//! | Told     | its media come (or a sound)                      | heard | Watching |
//! | any      | hold, the end                                    | heard if Told | Off |
//!
//! Excuses are comfort noise, a peer that has paused before, and reports that count no packets which have not come: whoever
//! is muted may send nothing (MED-281). Of a peer that reports the next report is waited for, so that this one verdict can
//! take longer; that nothing comes meanwhile is told as what it is. An excuse ends when a peer that did report has ceased
//! to: whoever is muted goes on with that.

use super::rtcp::Life;
use super::stream::{Accepted, Face, Stream};
use super::{MediaSession, Output};
use crate::time::Timestamp;
use media_api::{DropReason, Event, OneWayKind};
use std::net::SocketAddr;
use std::time::Duration;

/// How long a party may not be heard.
const LIMIT: Duration = Duration::from_millis(2_500);
/// How much longer the other side must have been heard: if both fall silent at once that is no one-way audio.
const LEAD: Duration = Duration::from_millis(1_000);
/// How often a fault, or what may be one, is looked at again.
const AGAIN: Duration = Duration::from_millis(250);
/// For how long what may be a fault is looked at so often, and how often afterwards: it is none, mostly.
const STILL_NEW: Duration = Duration::from_secs(10);
const SELDOM: Duration = Duration::from_secs(2);
/// How long nothing but digital silence may come at the beginning. Longer than the limit, because echo cancellers
/// and muted microphones make it while somebody only listens.
const DEAD_AIR: Duration = Duration::from_secs(10);
/// Packets of digital silence, at least, that are dead air.
const DEAD_PACKETS: u32 = 150;
/// Packets dropped for one reason that are evidence: a network's own duplicates are fewer.
const EVIDENCE: u32 = 10;

/// What is watched about one endpoint.
#[derive(Debug, Default)]
pub(super) struct OneWay {
    state: State,
    /// Packets when it was last looked at.
    counted: Count,
    /// Drops when its media were last seen to come.
    before: Suspects,
    /// When to look next.
    due: Option<Timestamp>,
    /// That nothing comes has been told, while a report is waited for.
    is_unheard: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Off,
    Watching {
        since: Timestamp,
    },
    Told {
        kind: OneWayKind,
        since: Timestamp,
        at: Timestamp,
    },
}

/// What is known of an endpoint's media when it is looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Last accepted RTP packet.
    heard_at: Option<Timestamp>,
    /// Drops that are evidence.
    suspects: Suspects,
    /// What has come at all.
    count: Count,
    /// It pauses by its own choice: it has done so before, or comfort noise was the last that came.
    pauses: bool,
    /// Its reports.
    life: Life,
    /// Whether they are of who was heard last, so that one which does not come says something.
    has_own_life: bool,
    /// Where the last packet came from that was dropped for its source.
    refused: Option<SocketAddr>,
    /// It says that nothing of ours has reached it lately.
    is_deaf: bool,
    /// Whether its handshake is not complete (RFC 5764).
    lacks_keys: bool,
    /// Whether its checks are missing (RFC 8445).
    lacks_checks: bool,
    /// What its audio consists of.
    air: Air,
}

/// What G.711 audio consists of; of others nothing is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Air {
    /// Packets of one and the same octet.
    pub(super) dead: u32,
    /// A packet of anything else has come.
    pub(super) has_sound: bool,
}

/// Packets that are authentic, and packets that are not; both wrap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Count {
    forged: u32,
    received: u32,
}

impl Count {
    fn since(&self, before: &Self) -> Self {
        Self {
            forged: self.forged.wrapping_sub(before.forged),
            received: self.received.wrapping_sub(before.received),
        }
    }

    fn is_mostly_forged(&self) -> bool {
        self.forged >= EVIDENCE && self.forged > self.received
    }

    /// Whether packets come, and none of them is forged.
    fn is_sound(&self) -> bool {
        self.received > 0 && self.forged == 0
    }
}

/// Dropped packets that say why nothing is heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Suspects {
    /// Packets that no key opens, and repetitions.
    keys: u32,
    /// Repetitions alone.
    repeated: u32,
    payload_type: u32,
    source: u32,
    checks: u32,
}

impl Suspects {
    /// From all drops of a stream. Checks that come where nobody speaks ICE are noise.
    fn add(&mut self, dropped: &[u64; DropReason::ALL.len()], has_checks: bool) {
        // They wrap, and so do differences.
        let count = |reason: DropReason| dropped[reason as usize] as u32;
        let repeated = count(DropReason::Replay);
        let keys = count(DropReason::Authentication).wrapping_add(repeated);
        let checks = count(DropReason::CheckName).wrapping_add(count(DropReason::CheckIntegrity));
        self.keys = self.keys.wrapping_add(keys);
        self.repeated = self.repeated.wrapping_add(repeated);
        self.payload_type = self
            .payload_type
            .wrapping_add(count(DropReason::PayloadType));
        self.source = self.source.wrapping_add(count(DropReason::Source));
        if has_checks {
            self.checks = self.checks.wrapping_add(checks);
        }
    }

    /// What most of the packets since `before` say, if they are enough.
    fn since(&self, before: &Self) -> Option<OneWayKind> {
        // Nothing was opened since. Most repetitions are refused by their numbers alone, so the key may be another one, too.
        let repeated = self.repeated.wrapping_sub(before.repeated);
        let is_reused = repeated >= EVIDENCE && repeated > self.keys.wrapping_sub(before.keys) / 2;
        let by_keys = match is_reused {
            true => OneWayKind::KeyReused,
            false => OneWayKind::DecryptFailures,
        };
        let counts = [
            (self.keys, before.keys, by_keys),
            (
                self.payload_type,
                before.payload_type,
                OneWayKind::WrongPayloadType,
            ),
            (self.source, before.source, OneWayKind::WrongSource),
        ]
        .map(|(now, before, kind)| (now.wrapping_sub(before), kind));
        let worst = counts.into_iter().max_by_key(|(count, _)| *count);
        let worst = worst.filter(|(count, _)| *count >= EVIDENCE);
        // Checks are few, and each that is refused is evidence.
        let refused = self.checks != before.checks;
        worst
            .map(|(_, kind)| kind)
            .or(refused.then_some(OneWayKind::RefusedChecks))
    }
}

/// What a look finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// Its media do not get through.
    Fault(OneWayKind),
    /// Nothing has come for so long, and a report may still say why.
    Unheard(Duration),
    /// They do again, or nobody expects them any more.
    Over {
        kind: OneWayKind,
        /// Since when they did not, until now.
        lasted: Duration,
    },
}

impl MediaSession {
    /// Watches these endpoints and no others from now on.
    pub(super) fn watch(&mut self, pair: Option<[usize; 2]>, now: Timestamp) {
        for at in 0..self.endpoints.len() {
            let is_expected = pair.is_some_and(|pair| pair.contains(&at));
            let seen = self.seen(at);
            let endpoint = &mut self.endpoints[at];
            if endpoint.one_way.expect(is_expected, &seen, now) {
                for stream in &mut self.streams[endpoint.streams.clone()] {
                    stream.air = Air::default();
                }
            }
        }
    }

    pub(super) fn look_for_one_way(&mut self, now: Timestamp, out: &mut Output) {
        let pair = self.answered();
        for at in 0..self.endpoints.len() {
            if self.endpoints[at].one_way.due().is_none_or(|due| due > now) {
                continue;
            }
            let seen = self.seen(at);
            let other = match pair {
                Some([one, other]) if one == at => Some(other),
                Some([one, other]) if other == at => Some(one),
                Some(_) | None => None,
            };
            let theirs = other.map(|other| self.seen(other));
            let endpoint = &mut self.endpoints[at];
            let verdict = endpoint.one_way.look(&seen, theirs.as_ref(), now);
            let (session, endpoint) = (self.id, endpoint.id);
            out.events.extend(verdict.map(|verdict| match verdict {
                Verdict::Fault(kind) => Event::OneWay {
                    session,
                    endpoint,
                    kind,
                    refused: seen.refused,
                },
                Verdict::Unheard(silent) => Event::Unheard {
                    session,
                    endpoint,
                    silent_ms: milliseconds(silent),
                },
                Verdict::Over { kind, lasted } => Event::OneWayOver {
                    session,
                    endpoint,
                    kind,
                    lasted_ms: milliseconds(lasted),
                },
            }));
        }
    }

    /// What is known of an endpoint, all streams together.
    fn seen(&self, at: usize) -> Seen {
        let streams = &self.streams[self.endpoints[at].streams.clone()];
        let mut seen = Seen::default();
        for stream in streams {
            seen.heard_at = seen.heard_at.max(stream.rtp_at);
            seen.suspects.add(&stream.dropped, stream.has_checks());
            let forged = stream.dropped[DropReason::Authentication as usize] as u32;
            seen.count.forged = seen.count.forged.wrapping_add(forged);
            let received = stream.received_packets as u32;
            seen.count.received = seen.count.received.wrapping_add(received);
            seen.refused = stream.refused.or(seen.refused);
            seen.pauses |= stream.pauses();
            seen.is_deaf |= stream.reports.hearing.is_deaf();
            seen.lacks_checks |= stream.lacks_checks();
            seen.lacks_keys |= stream.active().is_some_and(Face::is_shut);
            if stream.reports.life.at >= seen.life.at {
                seen.life = stream.reports.life;
                seen.has_own_life = seen.life.is_of(stream.reception.ssrc());
            }
            seen.air.dead += stream.air.dead;
            seen.air.has_sound |= stream.air.has_sound;
        }
        seen
    }
}

impl Stream {
    /// Looks for sound in a packet that was accepted, until there was any.
    pub(super) fn sound_out(&mut self, accepted: &Accepted, slot: &[u8]) {
        if self.air.has_sound || accepted.is_event || accepted.law.is_none() {
            return;
        }
        let payload = slot.get(accepted.payload.clone()).unwrap_or_default();
        match payload.split_first() {
            Some((first, rest)) if rest.iter().all(|octet| octet == first) => self.air.dead += 1,
            Some(_) => self.air.has_sound = true,
            None => {}
        }
    }
}

impl OneWay {
    /// Both sides are to be heard from now on, or not any more. Says whether that begins now: a call that goes on as
    /// before is not asked again.
    fn expect(&mut self, is_expected: bool, seen: &Seen, now: Timestamp) -> bool {
        match (is_expected, self.state) {
            (true, State::Off) => {
                self.state = State::Watching { since: now };
                self.before = seen.suspects;
                self.counted = seen.count;
                self.due = Some(now + LIMIT);
                return true;
            }
            (false, State::Watching { .. }) => *self = Self::default(),
            // To be told at once.
            (false, State::Told { .. }) => self.due = Some(now),
            (true, State::Watching { .. } | State::Told { .. }) | (false, State::Off) => {}
        }
        false
    }

    /// Nothing is to be told any more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// When to look next.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Looks at the endpoint: is it heard? `other` is the one that it talks to; `None` where it need not be
    /// heard.
    fn look(&mut self, seen: &Seen, other: Option<&Seen>, now: Timestamp) -> Option<Verdict> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        match (self.state, other) {
            (State::Off, _) | (State::Watching { .. }, None) => {
                self.forget();
                None
            }
            (State::Watching { since }, Some(other)) => {
                let missed_since = seen.heard_at.map_or(since, |heard| heard.max(since));
                let overdue_at = missed_since + LIMIT;
                let kind = if now < overdue_at {
                    // What is dropped while nothing comes is what is asked about.
                    if now < missed_since + LIMIT / 2 {
                        self.before = seen.suspects;
                    }
                    self.due = Some(overdue_at);
                    self.is_unheard = false;
                    let came = seen.count.since(&self.counted);
                    self.counted = seen.count;
                    let is_dead = is_dead(since, seen, other, now);
                    let dead = is_dead.then_some(OneWayKind::Silence);
                    let forged = came.is_mostly_forged();
                    forged
                        .then_some(OneWayKind::DecryptFailures)
                        .or(seen.is_deaf.then_some(OneWayKind::NotReceived))
                        .or(dead)
                } else {
                    let is_new = now < overdue_at + STILL_NEW;
                    self.due = Some(now + if is_new { AGAIN } else { SELDOM });
                    match self.missing(since, missed_since, seen, other, now) {
                        Missing::Excused => None,
                        Missing::Fault(kind) => Some(kind),
                        Missing::Open => {
                            let is_told = std::mem::replace(&mut self.is_unheard, true);
                            let silent = now.since(missed_since);
                            return (!is_told).then_some(Verdict::Unheard(silent));
                        }
                    }
                };
                let kind = kind?;
                self.state = State::Told {
                    kind,
                    since: missed_since,
                    at: now,
                };
                self.counted = seen.count;
                self.due = Some(now + AGAIN);
                Some(Verdict::Fault(kind))
            }
            (State::Told { kind, since, at }, other) => {
                self.due = Some(now + AGAIN);
                let came = seen.count.since(&self.counted);
                self.counted = seen.count;
                let is_heard = match kind {
                    OneWayKind::Silence => seen.air.has_sound,
                    OneWayKind::NotReceived => !seen.is_deaf,
                    OneWayKind::DecryptFailures => came.is_sound(),
                    OneWayKind::NoPackets
                    | OneWayKind::WrongSource
                    | OneWayKind::KeyReused
                    | OneWayKind::WrongPayloadType
                    | OneWayKind::NoChecks
                    | OneWayKind::NoHandshake
                    | OneWayKind::RefusedChecks => seen.heard_at.is_some_and(|heard| heard > at),
                };
                if other.is_some() && !is_heard {
                    return None;
                }
                *self = Self::default();
                if other.is_some() {
                    self.expect(true, seen, now);
                }
                let lasted = now.since(since);
                Some(Verdict::Over { kind, lasted })
            }
        }
    }

    /// Why nothing has come since then.
    fn missing(
        &self,
        expected_since: Timestamp,
        missed_since: Timestamp,
        seen: &Seen,
        other: &Seen,
        now: Timestamp,
    ) -> Missing {
        let life = &seen.life;
        let reported_since = life.at.is_some_and(|at| at > missed_since);
        let was_heard = missed_since > expected_since;
        let has_ceased = seen.has_own_life && life.is_overdue(expected_since, now);
        let has_excuse = !has_ceased
            && match reported_since {
                true => !life.claims_unheard,
                false => was_heard && seen.pauses,
            };
        match seen.suspects.since(&self.before) {
            // Anybody can send from elsewhere: of a peer that sends nothing it says nothing.
            Some(OneWayKind::WrongSource) if has_excuse => {}
            Some(kind) => return Missing::Fault(kind),
            None => {}
        }
        if other
            .heard_at
            .is_none_or(|heard| heard < missed_since + LEAD)
        {
            return Missing::Excused;
        }
        if seen.lacks_checks {
            return Missing::Fault(OneWayKind::NoChecks);
        }
        if seen.lacks_keys {
            return Missing::Fault(OneWayKind::NoHandshake);
        }
        let may_report = !has_ceased
            && was_heard
            && !reported_since
            && life.at.is_some()
            && now < missed_since + life.patience();
        match (has_excuse, may_report) {
            (true, _) => Missing::Excused,
            (false, true) => Missing::Open,
            (false, false) => Missing::Fault(OneWayKind::NoPackets),
        }
    }
}

/// What it means that nothing comes.
enum Missing {
    /// It is the peer's own choice, or nothing at all.
    Excused,
    /// Its next report may say that it is.
    Open,
    Fault(OneWayKind),
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// Whether one side is nothing but digital silence while there is something to be heard from the other.
fn is_dead(since: Timestamp, seen: &Seen, other: &Seen, now: Timestamp) -> bool {
    now >= since + DEAD_AIR
        && seen.air.dead >= DEAD_PACKETS
        && !seen.air.has_sound
        && other.air.has_sound
}
