//! A shard: one plain thread that owns one core.
//!
//! ```text
//! inbox ─► apply ─► effects ─► dispatch
//!   ▲ or Tick when the core's deadline comes first
//! ```
//!
//! Where several inputs wait, a few are applied before their effects are carried out: the code of the core and that of
//! the system do not fit into the caches of a processor together, and each is faster several times in a row.
//!
//! A panic inside one step ends that step's call, not the process: it is caught here, the core
//! sweeps its tables, and the shard goes on.

use crate::daemon::inbox::{Inbox, Next, is_new_work};
use crate::sink::log::{Log, wall_clock};
use crate::sink::metrics::Metrics;
use sbc_core::effect::Effects;
use sbc_core::input::Input;
use sbc_core::time::{Now, Timestamp};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A shard shows that it lives at least so often.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// A deadline may be missed by so much. What falls due within it is done in one turn: each call has
/// several timers, few of which do more than to forget something, and to be woken for each costs more
/// than the timer. All timers of SIP are the least times.
const SLACK: Duration = Duration::from_millis(10);

/// Waits shorter than this are nothing that the core need know of.
const LAG_MATTERS: Duration = Duration::from_millis(10);

/// Inputs that are applied before their effects are carried out, as long as more wait. What the first of them sends is
/// late by the turns of the others, of some 50 us each.
const TOGETHER: u32 = 8;

/// What the driver asks of the core.
pub enum Turn {
    /// Apply one input.
    Apply(Input),
    /// The last input ended in a panic: end its call.
    Recover,
    /// Even that ended in a panic: forget the call.
    Abandon,
}

/// When a shard last made progress, for the watchdog.
pub struct Heartbeat {
    started: Instant,
    beat_ms: AtomicU64,
}

impl Heartbeat {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            beat_ms: AtomicU64::new(0),
        })
    }

    fn beat(&self) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Ordering: the number stands for itself.
        self.beat_ms.store(ms, Ordering::Relaxed);
    }

    /// Time since the last sign of life.
    pub fn age(&self) -> Duration {
        let beat = Duration::from_millis(self.beat_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(beat)
    }
}

/// The thread of one shard.
pub struct Shard {
    inbox: Arc<Inbox>,
    heartbeat: Arc<Heartbeat>,
    thread: JoinHandle<()>,
}

impl Shard {
    /// Starts the thread. `step` gives a turn to the core, which appends effects, and answers when
    /// the core next wants a [`Input::Tick`]; `carry_out` empties the effects.
    ///
    /// # Errors
    /// If the thread cannot be made.
    pub fn start(
        inbox: Arc<Inbox>,
        metrics: Arc<Metrics>,
        log: Log,
        step: impl FnMut(Now, Turn, &mut Effects) -> Option<Timestamp> + Send + 'static,
        carry_out: impl FnMut(&mut Effects) + Send + 'static,
    ) -> io::Result<Self> {
        let heartbeat = Heartbeat::new();
        let driver = Driver {
            inbox: Arc::clone(&inbox),
            heartbeat: Arc::clone(&heartbeat),
            started: Instant::now(),
            metrics,
            log,
        };
        let thread = thread::Builder::new()
            .name(format!("shard-{}", inbox.shard().0))
            .spawn(move || driver.run(step, carry_out))?;
        Ok(Self {
            inbox,
            heartbeat,
            thread,
        })
    }

    /// Its sign of life.
    pub fn heartbeat(&self) -> &Arc<Heartbeat> {
        &self.heartbeat
    }

    /// Lets the shard finish what waits in its inbox, then ends the thread.
    pub fn stop(self) {
        self.inbox.close();
        // The driver catches panics of the core; one of its own has been reported by the hook.
        let _ = self.thread.join();
    }
}

struct Driver {
    inbox: Arc<Inbox>,
    heartbeat: Arc<Heartbeat>,
    started: Instant,
    metrics: Arc<Metrics>,
    log: Log,
}

impl Driver {
    fn run(
        self,
        mut step: impl FnMut(Now, Turn, &mut Effects) -> Option<Timestamp>,
        mut carry_out: impl FnMut(&mut Effects),
    ) {
        let mut effects = Effects::default();
        let mut deadline = None;
        // What the core was last told of its lag.
        let mut told = Duration::ZERO;
        let mut applied = 0;
        loop {
            self.heartbeat.beat();
            let (input, lag) = match self.inbox.next(self.wait(deadline)) {
                Next::Input(input, waited) => {
                    self.metrics.inbox_wait.observe(waited.as_secs_f64());
                    // What is urgent overtakes: how long new work waits is what counts.
                    let matters =
                        waited.max(told) >= LAG_MATTERS && (waited > told || is_new_work(&input));
                    (Some(*input), matters.then_some(waited))
                }
                Next::Nothing => {
                    let is_over = told >= LAG_MATTERS;
                    let tick = self.is_due(deadline).then_some(Input::Tick);
                    (tick, is_over.then_some(Duration::ZERO))
                }
                Next::Closed => return,
            };
            if let Some(lag) = lag {
                told = lag;
                deadline = self.turn(Turn::Apply(Input::Lag(lag)), &mut step, &mut effects);
            }
            if let Some(input) = input {
                deadline = self.turn(Turn::Apply(input), &mut step, &mut effects);
                // Under load the inbox is never empty, and timers must come all the same.
                if self.is_due(deadline) {
                    deadline = self.turn(Turn::Apply(Input::Tick), &mut step, &mut effects);
                }
            }
            applied += 1;
            if applied >= TOGETHER || !self.inbox.has_input() {
                carry_out(&mut effects);
                applied = 0;
            }
        }
    }

    fn turn(
        &self,
        turn: Turn,
        step: &mut impl FnMut(Now, Turn, &mut Effects) -> Option<Timestamp>,
        effects: &mut Effects,
    ) -> Option<Timestamp> {
        // The core is left as the panic found it; the two further turns make it whole again.
        let before = effects.as_slice().len();
        let mut attempt = |turn| {
            let done = catch_unwind(AssertUnwindSafe(|| step(self.now(), turn, effects)));
            if done.is_err() {
                self.metrics.panics.with_label_values(&["shard"]).inc();
                // Half of a step is worse than none of it.
                effects.truncate(before);
            }
            done
        };
        if let Ok(deadline) = attempt(turn) {
            return deadline;
        }
        self.log
            .error("panic", "a step of the core failed; its call is ended")
            .with("shard", self.inbox.shard().0)
            .send();
        attempt(Turn::Recover)
            .or_else(|_| attempt(Turn::Abandon))
            .unwrap_or_else(|_| Some(self.now().mono + HEARTBEAT))
    }

    fn now(&self) -> Now {
        Now {
            mono: self.mono(),
            wall: wall_clock(),
        }
    }

    fn mono(&self) -> Timestamp {
        let us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Timestamp::from_micros(us)
    }

    fn wait(&self, deadline: Option<Timestamp>) -> Duration {
        match deadline {
            Some(deadline) => (deadline + SLACK).since(self.mono()).min(HEARTBEAT),
            None => HEARTBEAT,
        }
    }

    fn is_due(&self, deadline: Option<Timestamp>) -> bool {
        deadline.is_some_and(|deadline| deadline + SLACK <= self.mono())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::log::{Form, Level};
    use sbc_core::effect::Effect;
    use sbc_core::id::{FlowId, ShardId};
    use sbc_core::transport::FlowFault;
    use std::sync::mpsc;

    fn log() -> Log {
        Log::start(Level::Error, Form::Text, io::sink()).unwrap().0
    }

    fn lost(flow: u64) -> Input {
        Input::FlowLost {
            flow: FlowId(flow),
            why: FlowFault::Closed,
        }
    }

    #[test]
    fn a_panic_is_counted_and_the_next_input_is_served() {
        let inbox = Inbox::new(ShardId(0)).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let (seen, saw) = mpsc::channel();
        let step = move |_: Now, turn: Turn, _: &mut Effects| {
            match turn {
                Turn::Apply(Input::FlowLost { flow, .. }) if flow.0 == 1 => {
                    panic!("expected in this test")
                }
                Turn::Apply(Input::FlowLost { flow, .. }) => seen.send(Some(flow.0)).unwrap(),
                Turn::Recover => seen.send(None).unwrap(),
                Turn::Apply(_) | Turn::Abandon => {}
            }
            None
        };
        let shard = Shard::start(
            Arc::clone(&inbox),
            Arc::clone(&metrics),
            log(),
            step,
            |_| {},
        )
        .unwrap();
        inbox.push(lost(1)).unwrap();
        inbox.push(lost(2)).unwrap();
        assert_eq!(saw.recv().unwrap(), None);
        assert_eq!(saw.recv().unwrap(), Some(2));
        shard.stop();
        assert_eq!(metrics.panics.with_label_values(&["shard"]).get(), 1);
    }

    #[test]
    fn the_core_is_told_how_long_new_work_waits_and_when_nothing_waits_any_more() {
        let inbox = Inbox::new(ShardId(0)).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let (seen, saw) = mpsc::channel();
        let step = move |_: Now, turn: Turn, _: &mut Effects| {
            if let Turn::Apply(input) = turn {
                match input {
                    Input::FlowLost { .. } => thread::sleep(3 * LAG_MATTERS),
                    Input::Lag(lag) => {
                        let _ = seen.send(lag);
                    }
                    _ => {}
                }
            }
            None
        };
        // The second waits while the first is served.
        inbox.push(lost(1)).unwrap();
        inbox.push(lost(2)).unwrap();
        let shard = Shard::start(Arc::clone(&inbox), metrics, log(), step, |_| {}).unwrap();
        let limit = Duration::from_secs(10);
        assert!(saw.recv_timeout(limit).unwrap() >= LAG_MATTERS);
        let last = std::iter::from_fn(|| saw.recv_timeout(limit).ok());
        assert!(last.take(5).any(|lag| lag.is_zero()));
        shard.stop();
    }

    #[test]
    fn what_waits_is_applied_a_few_at_a_time_and_a_panic_takes_nothing_of_the_others() {
        let inbox = Inbox::new(ShardId(0)).unwrap();
        let count = u64::from(TOGETHER) + 3;
        (1..=count).for_each(|flow| inbox.push(lost(flow)).unwrap());
        let step = move |_: Now, turn: Turn, out: &mut Effects| {
            if let Turn::Apply(Input::FlowLost { flow, .. }) = turn {
                out.push(Effect::RetireFlow(flow));
                assert!(flow.0 != 2, "expected in this test");
            }
            None
        };
        let (seen, saw) = mpsc::channel();
        let carry_out = move |effects: &mut Effects| {
            let flows = effects.drain().map(|effect| match effect {
                Effect::RetireFlow(flow) => flow.0,
                other => panic!("{other:?} was asked for by nobody"),
            });
            let _ = seen.send(flows.collect::<Vec<_>>());
        };
        let metrics = Arc::new(Metrics::new().unwrap());
        let shard = Shard::start(inbox, metrics, log(), step, carry_out).unwrap();
        shard.stop();
        let all: Vec<Vec<u64>> = saw.iter().filter(|some| !some.is_empty()).collect();
        let wanted = |from: u64, to: u64| (from..=to).filter(|flow| *flow != 2).collect::<Vec<_>>();
        let first = u64::from(TOGETHER);
        assert_eq!(all, [wanted(1, first), wanted(first + 1, count)]);
    }

    #[test]
    fn what_falls_due_within_the_slack_shares_a_turn() {
        let inbox = Inbox::new(ShardId(0)).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let (seen, saw) = mpsc::channel();
        let mut left: Vec<Timestamp> = Vec::new();
        let mut was_asked = false;
        let step = move |now: Now, turn: Turn, _: &mut Effects| {
            match turn {
                Turn::Apply(Input::Tick) => {
                    let due = left.iter().filter(|at| **at <= now.mono).count();
                    left.retain(|at| *at > now.mono);
                    let _ = seen.send(due);
                }
                // A thread that is held up is told of that as well.
                Turn::Apply(_) if !std::mem::replace(&mut was_asked, true) => {
                    left.extend((0..5).map(|ms| now.mono + Duration::from_millis(ms)))
                }
                Turn::Apply(_) => {}
                Turn::Recover | Turn::Abandon => {}
            }
            left.first().copied()
        };
        inbox.push(lost(1)).unwrap();
        let shard = Shard::start(Arc::clone(&inbox), metrics, log(), step, |_| {}).unwrap();
        assert_eq!(saw.recv_timeout(Duration::from_secs(10)).unwrap(), 5);
        shard.stop();
    }

    #[test]
    fn a_deadline_brings_a_tick_and_time_never_goes_back() {
        let inbox = Inbox::new(ShardId(0)).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let (seen, saw) = mpsc::channel();
        let step = move |now: Now, turn: Turn, _: &mut Effects| match turn {
            Turn::Apply(Input::Tick) => {
                let _ = seen.send(now.mono);
                None
            }
            _ => Some(now.mono + Duration::from_millis(3)),
        };
        let shard = Shard::start(Arc::clone(&inbox), metrics, log(), step, |_| {}).unwrap();
        inbox.push(lost(1)).unwrap();
        let first = saw.recv().unwrap();
        inbox.push(lost(2)).unwrap();
        assert!(saw.recv().unwrap() > first);
        assert!(shard.heartbeat().age() < Duration::from_secs(5));
        shard.stop();
    }
}
