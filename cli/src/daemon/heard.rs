//! Looks at the media of calls in progress once a minute, for metrics that would else hear of a call at its end alone.

use crate::daemon::Daemon;
use crate::daemon::stop::ANSWER;
use crate::sink::metrics::SoFar;
use sbc_core::id::{CallId, LegId};
use sbc_core::input::{Answered, Command};
use sbc_core::overload::Stage;
use sbc_core::record::MediaRecord;
use std::collections::HashMap;
use std::sync::Weak;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Time between two looks at a call.
const MINUTE: Duration = Duration::from_secs(60);
/// Time over which the looks at all calls are spread, so that none of them adds to another's delay.
const SPREAD: Duration = Duration::from_secs(45);

/// What was known of each leg at the last look.
#[derive(Debug, Default)]
pub struct Heard(HashMap<(CallId, LegId), SoFar>);

/// Looks for ever.
pub(super) async fn watch(daemon: Weak<Daemon>) {
    let mut every = interval(MINUTE);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Heard::default();
    loop {
        every.tick().await;
        let Some(daemon) = daemon.upgrade() else {
            return;
        };
        // A node that is loaded has calls to look after; the end of each is still observed.
        if daemon.sinks().metrics.calls.overload() < Stage::Heavy {
            heard.look(&daemon, SPREAD).await;
        }
    }
}

impl Heard {
    /// Observes what has come since the last look, of each call that was there then.
    pub async fn look(&mut self, daemon: &Daemon, spread: Duration) {
        let mut before = std::mem::take(&mut self.0);
        for inbox in daemon.inboxes().all() {
            let asked = daemon.replies().ask(inbox, Command::Calls, ANSWER).await;
            let Some(Answered::Calls(calls)) = asked else {
                continue;
            };
            let all = u32::try_from(calls.len()).unwrap_or(u32::MAX).max(1);
            for call in calls.iter().filter(|call| call.answered.is_some()) {
                let wanted = Command::Media(call.call);
                if let Some(Answered::Media(live)) =
                    daemon.replies().ask(inbox, wanted, ANSWER).await
                {
                    for media in &live.media {
                        self.leg(daemon, call.call, media, &mut before);
                    }
                }
                sleep(spread / all).await;
            }
        }
    }

    fn leg(
        &mut self,
        daemon: &Daemon,
        call: CallId,
        media: &MediaRecord,
        before: &mut HashMap<(CallId, LegId), SoFar>,
    ) {
        let key = (call, media.leg);
        if let Some(before) = before.remove(&key) {
            daemon.sinks().metrics.calls.minute(call, media, before);
        }
        self.0.insert(key, SoFar::of(media));
    }
}
