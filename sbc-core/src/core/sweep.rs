//! The sweeper: compares the tables of a shard with each other, and takes out what belongs to no call
//! any more (SIP-409). It should never find anything; what it finds is a defect, and told as one.

use super::Core;
use crate::effect::{Effect, Effects};
use crate::event::Happened;
use crate::time::{Now, Timestamp};
use std::time::Duration;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(30);

/// When the tables are compared next. While they are empty there is nothing to look at.
#[derive(Default, Debug)]
pub(super) struct Sweeper {
    at: Option<Timestamp>,
}

impl Sweeper {
    /// Takes note of whether there is anything after an input.
    pub(super) fn watch(&mut self, now: Timestamp, is_empty: bool) {
        self.at = match is_empty {
            true => None,
            false => self.at.or(Some(now + INTERVAL)),
        };
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.at
    }

    fn is_due(&mut self, now: Timestamp) -> bool {
        self.at.take_if(|at| *at <= now).is_some()
    }
}

impl Core {
    /// Whether nothing is there that could belong to a call.
    pub(super) fn is_quiet(&self) -> bool {
        self.calls.is_empty()
            && self.sessions.is_empty()
            && self.plane.dialogs.is_empty()
            && self.plane.queries.len() == 0
    }

    /// Looks at the tables if it is time.
    pub(super) fn sweep(&mut self, now: Now, out: &mut Effects) {
        if !self.sweeper.is_due(now.mono) {
            return;
        }
        let calls = &self.calls;
        let dialogs = self.plane.dialogs.orphans(|call| calls.contains_key(&call));
        for tag in &dialogs {
            self.plane.dialogs.end(now.mono, tag, None);
        }
        let queries = self.plane.queries.forget(|call| calls.contains_key(&call));
        let owned = calls.values().flat_map(|entry| entry.call.places());
        let places = self.plane.admission.recount(owned);
        let running = calls.values().flat_map(|entry| entry.call.running_bills());
        let bills = self.plane.spending.recount(now.mono, running);
        for spent in self.plane.spending.news(now.mono, None) {
            out.emit(None, None, Happened::SpendReached(Box::new(spent)));
        }
        self.live.recount(self.unrecorded());
        let lost = self.sessions.iter();
        let lost = lost.filter(|(_, call)| !calls.contains_key(call));
        let mut lost: Vec<_> = lost.map(|(session, _)| *session).collect();
        lost.sort_unstable();
        for session in &lost {
            self.sessions.remove(session);
            out.push(Effect::Media(media_api::Command::Release {
                session: *session,
                endpoint: None,
                drain_ms: 0,
            }));
        }
        let places = places + bills;
        let found = dialogs.len() + queries + lost.len() + places;
        if found > 0 {
            let what = Happened::Orphans {
                dialogs: dialogs.len(),
                sessions: lost.len(),
                queries,
                places,
            };
            out.emit(None, None, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Assumed, Source, load, starter};
    use crate::id::{CallId, LegId, ShardId};
    use crate::input::Input;
    use crate::mint::Mint;
    use crate::plane::Asker;
    use crate::policy::admission::{Counted, Standing};
    use crate::time::UnixTime;
    use bytes::Bytes;
    use std::sync::Arc;

    fn core() -> Core {
        let facts = Assumed::with_names(["sbc1.example.com", "sbc1.contoso.example"]);
        let text = starter();
        let loaded = load(&[Source::new("starter.toml", text)], &facts, None);
        let loaded = loaded.unwrap_or_else(|findings| panic!("{}", findings.to_text()));
        let mint = Mint::new(ShardId(0), [1; 32]);
        Core::new(ShardId(0), Arc::new(loaded.config), mint)
    }

    fn at(seconds: u64) -> Now {
        Now {
            mono: Timestamp::ZERO + Duration::from_secs(seconds),
            wall: UnixTime::from_micros(1_800_000_000_000_000),
        }
    }

    fn found(core: &mut Core, now: Now) -> Vec<Happened> {
        let mut out = Effects::default();
        core.apply(now, Input::Tick, &mut out);
        let emitted = out.drain().filter_map(|effect| match effect {
            Effect::Emit(event) => Some(event.what),
            _ => None,
        });
        emitted.collect()
    }

    #[test]
    fn what_belongs_to_no_call_is_found_told_and_taken_out() {
        let mut core = core();
        assert_eq!(core.sweeper.next_deadline(), None);
        let (call, leg) = (CallId(7), LegId(0));
        let tag = Bytes::from_static(b"orphan");
        core.plane.dialogs.insert(tag, call, leg);
        let session = core.plane.media_session();
        core.sessions.insert(session, call);
        let mut out = Effects::default();
        let mut cx = crate::plane::Cx {
            now: at(1),
            plane: &mut core.plane,
            out: &mut out,
        };
        let spec = crate::query::ResolveSpec {
            host: "gone.example.com".to_owned(),
            port: 5060,
            protocol: crate::transport::Protocol::Udp,
            families: crate::locate::Families::BOTH,
        };
        cx.resolve(Asker::Leg(call, leg), spec);
        let claim = (Counted::Node, crate::config::CallLimits::default());
        let admission = &mut core.plane.admission;
        let places = admission.take(at(1).mono, vec![claim], 0, Standing::Usual);
        assert_eq!(places.map(|places| places.len()), Ok(1));
        assert!(found(&mut core, at(2)).is_empty());
        assert!(found(&mut core, at(31)).is_empty());
        let told = found(&mut core, at(32));
        let expected = Happened::Orphans {
            dialogs: 1,
            sessions: 1,
            queries: 1,
            places: 1,
        };
        assert_eq!(told, [expected]);
        assert!(found(&mut core, at(63)).is_empty());
        assert_eq!(core.plane.admission.taken(), 0);
        assert!(core.sessions.is_empty() && core.plane.queries.len() == 0);
    }
}
