//! Draining and stopping (OPS-130): no new calls, then a while for those in progress, then BYE.

use crate::daemon::generations::Origin;
use crate::daemon::{Daemon, notify};
use crate::sink::metrics::UpState;
use crate::sink::news::Kind;
use futures_util::future::join_all;
use sbc_core::core::{FADING, notices_silence};
use sbc_core::input::{Answered, Command};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long ending the rest may take.
const END: Duration = Duration::from_secs(5);
/// How long registrars may take to answer that we go.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long a shard may take to answer.
pub(crate) const ANSWER: Duration = Duration::from_secs(2);

impl Daemon {
    /// Takes no new calls any more, for good. Says how many calls live, if that is known.
    pub async fn begin_stop(&self) -> Option<usize> {
        // Ordering: the flag stands for itself.
        self.is_stopping.store(true, Ordering::Relaxed);
        self.drain(true).await
    }

    /// Takes no new calls any more but those of Teams, until it prefers other SBCs (TDR-OPT-010). Says how many
    /// calls live, if that is known.
    pub async fn fade(&self) -> Option<usize> {
        // Where nobody would notice that it asks no more, nothing is to be waited for but calls.
        let loaded = self.loaded();
        let mut trunks = loaded.config.trunks.values();
        let is_noticed = trunks.any(|trunk| notices_silence(trunk));
        self.fades(is_noticed.then(|| Instant::now() + FADING));
        self.tell_draining(true, Command::Fade).await
    }

    /// Takes no new calls any more, or takes them again. Says how many calls live, if that is known.
    pub async fn drain(&self, is_draining: bool) -> Option<usize> {
        self.fades(None);
        if !is_draining {
            *self.ends_calls_at() = None;
            self.anew.take_back();
        }
        self.tell_draining(is_draining, Command::Drain(is_draining))
            .await
    }

    /// Ends the calls that are left when this time is over, and takes none of Teams any more then; without a time they go
    /// on for as long as somebody talks. The latest wish counts. Calls for help go on in any case.
    pub fn end_calls_after(self: &Arc<Self>, time: Option<Duration>) {
        let at = time.map(|time| Instant::now() + time);
        *self.ends_calls_at() = at;
        if let Some(at) = at {
            tokio::spawn(end_calls_at(Arc::downgrade(self), at));
        }
    }

    /// How long calls may go on until a drain ends them, if it does.
    pub fn calls_may_last(&self) -> Option<Duration> {
        let at = *self.ends_calls_at();
        at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// What the service manager shows as the state of the daemon.
    pub fn state_in_words(&self) -> String {
        if self.is_draining() {
            return format!("draining, {} calls", self.calls_in_progress());
        }
        let was_refused = self.sinks().metrics.was_config_refused();
        let words = match self.generations().origin() {
            Origin::Fallback(_) => {
                "serving with the configuration that was in use last; the files cannot be used"
            }
            _ if was_refused => "serving with the previous configuration; the new one was refused",
            Origin::Earlier(_) => "serving with an earlier configuration than the files have",
            Origin::Files => "serving",
        };
        words.to_owned()
    }

    /// Tells it, unless the daemon stops, of which the manager hears in its own way.
    pub(super) fn tell_manager(&self) {
        if self.is_serving() && !self.is_stopping() {
            notify::status(&self.state_in_words());
        }
    }

    /// Until when Teams may call although the node drains: a second wish gives it no more time.
    fn fades(&self, until: Option<Instant>) {
        let is_draining = self.is_draining();
        let mut own = self
            .fades_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *own = match is_draining {
            true => until.and(*own),
            false => until,
        };
    }

    /// Whether nothing is lost when the node goes: it drains, nobody calls it any more, and no call lives
    /// (TDR-OPT-010).
    pub async fn is_drained(&self) -> bool {
        let fades_until = *self
            .fades_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_over = fades_until.is_none_or(|until| Instant::now() >= until);
        self.is_draining() && is_over && self.live_calls().await == Some(0)
    }

    async fn tell_draining(&self, is_draining: bool, command: Command) -> Option<usize> {
        self.set_draining(is_draining);
        self.sinks().metrics.set_state(if is_draining {
            UpState::Draining
        } else {
            UpState::Active
        });
        self.tell_manager();
        let state = if is_draining { "draining" } else { "active" };
        let told = serde_json::json!({ "state": state });
        self.sinks().news.tell(Kind::NodeState, told);
        // A shard that does not answer keeps none of the others from hearing it.
        let told = self.inboxes().all().iter();
        let told = told.map(|inbox| self.replies().ask(inbox, command.clone(), ANSWER));
        join_all(told).await;
        self.live_calls().await
    }

    /// Calls that live; not known while a shard does not answer. Those that have ended and only wait for the last
    /// answer of a peer, which may take half a minute, are in progress but do not live any more.
    pub async fn live_calls(&self) -> Option<usize> {
        self.counted(Command::CountLive).await
    }

    async fn counted(&self, what: Command) -> Option<usize> {
        let all = self.inboxes().all().iter();
        let asked = all.map(|inbox| self.replies().ask(inbox, what.clone(), ANSWER));
        together(join_all(asked).await)
    }

    /// Whether its end leaves calls to the next process. One that drains waits for their end.
    pub fn leaves_calls(&self) -> bool {
        let keeps = self.relay.upgrade().is_some_and(|relay| relay.keeps());
        keeps && self.loaded().shell.preserves_calls && !self.is_draining()
    }

    /// The end that comes leaves calls to the next process.
    pub fn leave_calls(&self) {
        // Ordering: the flag stands for itself.
        self.is_stopping.store(true, Ordering::Relaxed);
        if let Some(relay) = self.relay.upgrade() {
            relay.leave_behind();
        }
    }

    /// Ends every call that the next process could not go on with, and waits for the answers, but not long. Returns how
    /// many there were.
    pub async fn end_unkept(&self) -> usize {
        let deadline = Instant::now() + END;
        let mut ended = 0;
        loop {
            // Again and again: what is changed in a call that talks may come to something of which nothing is kept.
            match self.counted(Command::HangUpUnkept).await {
                Some(0) => return ended,
                left => ended = ended.max(left.unwrap_or_default()),
            }
            if Instant::now() >= deadline {
                return ended;
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until no call lives, at most `limit`; `true` if none does.
    pub async fn wait_for_calls(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.calls_in_progress() > 0 && self.live_calls().await != Some(0) {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }

    /// Waits until nothing is left of any call, at most `limit`; `true` if none is. What has its record may have a
    /// peer left that is still to be told.
    pub async fn wait_until_idle(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.calls_in_progress() > 0 || self.counted(Command::CountAll).await != Some(0) {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }

    /// Waits until the registrars have heard that we go, but not long: whoever does not answer finds
    /// out by itself when the registration runs out (SIP-1626).
    pub async fn wait_for_registrars(&self) {
        let deadline = Instant::now() + FAREWELL;
        let Some(first) = self.inboxes().all().first() else {
            return;
        };
        loop {
            let leaving = self
                .replies()
                .ask(first, Command::CountLeaving, ANSWER)
                .await;
            match leaving {
                Some(Answered::Done(1..)) if Instant::now() < deadline => sleep(LOOK).await,
                _ => return,
            }
        }
    }

    /// Ends every call with BYE and waits for the answers, but not long. Then the records of those
    /// that got none are closed, and nothing is left of any call.
    pub async fn hang_up_all(&self) -> usize {
        let mut ended = 0;
        for inbox in self.inboxes().all() {
            if let Some(Answered::Done(count)) =
                self.replies().ask(inbox, Command::HangUpAll, ANSWER).await
            {
                ended += count;
            }
        }
        if !self.wait_until_idle(END).await {
            for inbox in self.inboxes().all() {
                self.replies().ask(inbox, Command::CloseAll, ANSWER).await;
            }
        }
        ended
    }
}

/// Ends what is left of the calls at that time, unless somebody has said something else since.
async fn end_calls_at(daemon: Weak<Daemon>, at: Instant) {
    tokio::time::sleep_until(at).await;
    let Some(daemon) = daemon.upgrade() else {
        return;
    };
    if *daemon.ends_calls_at() != Some(at) {
        return;
    }
    // Whoever called now would be the next to be cut off.
    daemon.drain(true).await;
    *daemon.ends_calls_at() = None;
    let ended = daemon.counted(Command::HangUpOrdinary).await;
    let line = daemon.sinks().log.warn(
        "drained",
        "the time that the drain gave calls is over: those that were left have ended",
    );
    let ended = ended.map_or_else(
        || "not known how many".to_owned(),
        |ended| ended.to_string(),
    );
    line.with("calls", ended).send();
}

/// What all shards have counted; nothing is known together where one of them said nothing.
fn together(answers: Vec<Option<Answered>>) -> Option<usize> {
    let count = |answer| match answer {
        Some(Answered::Done(count)) => Some(count),
        Some(_) | None => None,
    };
    answers.into_iter().map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_a_shard_that_does_not_answer_are_not_taken_for_none() {
        assert_eq!(
            together(vec![Some(Answered::Done(2)), Some(Answered::Done(3))]),
            Some(5)
        );
        assert_eq!(together(vec![Some(Answered::Done(0)), None]), None);
    }
}
