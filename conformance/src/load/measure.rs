//! One way measured: the generator alone, then with the subject between its sides.

use super::engine::{Engine, Load, Outcome, Way};
use super::fault::LoadFault;
use super::process::{cpu_time, resident_kib};
use super::subject::{Subject, Trust, looped};
use super::{Options, Over, Pace};
use std::time::Duration;

/// Connections of each lane that calls share.
const CONNECTIONS: usize = 4;
/// Calls that warm everything before something is measured.
const WARM: u64 = 50;
/// Longest measurement of the generator alone.
const ALONE: Duration = Duration::from_secs(5);
/// What is left over from a run comes within this time: its CPU time is still the run's.
const AFTER: Duration = Duration::from_secs(2);
/// Where the search for the maximum begins, and where it gives up.
const FIRST_RATE: u32 = 250;
const LAST_RATE: u32 = 32_000;
/// Halvings between the last rate that was carried and the first that was not.
const HALVINGS: u32 = 4;
/// A pace that falls behind by more was not the one that was asked for.
const BEHIND: Duration = Duration::from_millis(250);

/// Everything about one way.
pub(super) struct Measured {
    pub(super) over: Over,
    pub(super) rate: u32,
    pub(super) outcome: Outcome,
    pub(super) alone: Outcome,
    /// CPU time of the subject and of the generator for all calls.
    pub(super) subject_cpu: Option<Duration>,
    pub(super) own_cpu: Duration,
    pub(super) memory: Option<Memory>,
    pub(super) search: Option<Search>,
}

/// What held calls take.
pub(super) struct Memory {
    pub(super) calls: u64,
    pub(super) before_kib: u64,
    pub(super) held_kib: u64,
    /// CPU time per call of the same load while they are held.
    pub(super) cpu_per_call_us: Option<f64>,
}

impl Memory {
    /// KiB of each.
    pub(super) fn per_call_kib(&self) -> f64 {
        self.held_kib.saturating_sub(self.before_kib) as f64 / self.calls.max(1) as f64
    }
}

/// How the search for the maximum went.
#[derive(Clone, Default)]
pub(super) struct Search {
    /// Rates tried, and what became of each.
    pub(super) tried: Vec<(u32, Verdict)>,
}

/// What became of one rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Every call went well.
    Carried,
    /// So many failed.
    Failed(u64),
    /// None failed, but so many messages had to be sent again.
    Repeated(u64),
    /// The generator itself could not offer it.
    NotOffered,
}

impl Verdict {
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            _ if outcome.failed() > 0 => Self::Failed(outcome.failed()),
            // Whoever needs to be asked twice more often than that is half a second behind.
            _ if outcome.repeated > outcome.begun / 100 => Self::Repeated(outcome.repeated),
            _ if outcome.behind > BEHIND => Self::NotOffered,
            _ => Self::Carried,
        }
    }
}

impl Measured {
    /// Whether every call of the measurement itself went well.
    pub(super) fn is_well(&self) -> bool {
        self.outcome.failed() == 0 && self.outcome.ended == self.outcome.begun
    }

    /// Microseconds of the subject's CPU time per call.
    pub(super) fn cpu_per_call_us(&self) -> Option<f64> {
        self.subject_cpu
            .map(|spent| per_call_us(spent, &self.outcome))
    }
}

pub(super) fn per_call_us(spent: Duration, outcome: &Outcome) -> f64 {
    1e6 * spent.as_secs_f64() / outcome.begun.max(1) as f64
}

/// One way to measure.
pub(super) struct Bench<'a> {
    options: &'a Options,
    over: Over,
    trust: &'a Trust,
}

impl<'a> Bench<'a> {
    pub(super) fn new(options: &'a Options, over: Over, trust: &'a Trust) -> Self {
        Self {
            options,
            over,
            trust,
        }
    }

    /// Measures everything that is asked for.
    pub(super) fn measure(&self) -> Result<Measured, LoadFault> {
        let most = match self.options.pace {
            Pace::Rate(rate) => rate,
            Pace::Maximum => LAST_RATE / 2,
        };
        let subject = Subject::start(self.options, self.over, most, self.trust)?;
        let measured = self.with(&subject);
        let log = subject.log_tail();
        subject.stop();
        measured.map_err(|fault| match fault {
            LoadFault::NoCall { what, .. } => LoadFault::NoCall { what, log },
            other => other,
        })
    }

    fn with(&self, subject: &Subject) -> Result<Measured, LoadFault> {
        let way = self.way(subject.client.clone());
        let lanes = subject.lanes.clone();
        let mut engine = Engine::new(way, lanes, subject.sources.clone(), &subject.called)
            .map_err(LoadFault::system(
                "open the sockets of callers and answerers",
            ))?;
        let warm = self.offer(&mut engine, 100, WARM)?;
        if warm.established == 0 {
            let what = match warm.refused.first_key_value() {
                Some((status, count)) => format!("{count} were refused with {status}"),
                None => format!("{} got no answer", warm.lost),
            };
            let log = String::new();
            return Err(LoadFault::NoCall { what, log });
        }
        let (rate, search) = match self.options.pace {
            Pace::Rate(rate) => (rate, None),
            Pace::Maximum => {
                let search = self.search(&mut engine)?;
                let carried = search
                    .tried
                    .iter()
                    .filter(|(_, was)| *was == Verdict::Carried);
                let best = carried.map(|(rate, _)| *rate).max();
                (best.unwrap_or(FIRST_RATE), Some(search))
            }
        };
        let alone = self.alone(rate)?;
        let (outcome, subject_cpu, own_cpu) = self.costed(&mut engine, subject, rate)?;
        let memory = match (self.options.held, subject.pid()) {
            (Some(calls), Some(pid)) => {
                Some(self.memory(&mut engine, subject, pid, rate, calls)?)
            }
            _ => None,
        };
        Ok(Measured {
            over: self.over,
            rate,
            outcome,
            alone,
            subject_cpu,
            own_cpu,
            memory,
            search,
        })
    }

    fn way(&self, client: Option<super::stream::ClientSide>) -> Way {
        match self.over {
            Over::Udp => Way::Udp,
            Over::Tcp | Over::Tls => Way::Connections(CONNECTIONS, client),
            Over::TlsEach => Way::Each(client),
        }
    }

    fn offer(&self, engine: &mut Engine, rate: u32, calls: u64) -> Result<Outcome, LoadFault> {
        let load = Load {
            rate,
            calls,
            held: Some(self.options.call),
        };
        engine.run(load).map_err(LoadFault::system("offer calls"))
    }

    fn calls_at(&self, rate: u32, time: Duration) -> u64 {
        let calls = u64::try_from(time.as_millis()).unwrap_or(0) * u64::from(rate) / 1000;
        calls.max(1)
    }

    /// The generator without anything between its sides.
    fn alone(&self, rate: u32) -> Result<Outcome, LoadFault> {
        let looped = looped(self.over)?;
        let client = match self.over {
            Over::Udp | Over::Tcp => None,
            Over::Tls | Over::TlsEach => Some(self.trust.client()?),
        };
        let server = client.as_ref().map(|_| self.trust.server()).transpose()?;
        let way = self.way(client);
        let called = "+493023125456";
        let mut engine = Engine::new(way, vec![looped.lane], looped.sources, called)
            .map_err(LoadFault::system("open the sockets of the generator alone"))?;
        engine
            .listen(looped.door, server)
            .map_err(LoadFault::system("listen"))?;
        self.offer(&mut engine, 100, WARM)?;
        self.offer(
            &mut engine,
            rate,
            self.calls_at(rate, self.options.time.min(ALONE)),
        )
    }

    /// One measurement: what came of it, and the CPU time of the subject and our own.
    fn costed(
        &self,
        engine: &mut Engine,
        subject: &Subject,
        rate: u32,
    ) -> Result<(Outcome, Option<Duration>, Duration), LoadFault> {
        let ours = std::process::id();
        // Our own daemon is a child of this process, and is not to be counted for it.
        let theirs = || subject.pid().map(cpu_time);
        let own = |theirs: Option<Duration>| {
            let all = cpu_time(ours);
            all.saturating_sub(theirs.filter(|_| subject.is_ours()).unwrap_or_default())
        };
        let before = theirs();
        let own_before = own(before);
        let outcome = self.offer(engine, rate, self.calls_at(rate, self.options.time))?;
        engine.idle(AFTER);
        let after = theirs();
        let spent = after
            .zip(before)
            .map(|(after, before)| after.saturating_sub(before));
        Ok((outcome, spent, own(after).saturating_sub(own_before)))
    }

    /// Doubles the rate until calls fail, then halves the rest.
    fn search(&self, engine: &mut Engine) -> Result<Search, LoadFault> {
        let mut search = Search::default();
        let mut attempt = |rate: u32| {
            let outcome = self.offer(engine, rate, self.calls_at(rate, self.options.time))?;
            let verdict = Verdict::of(&outcome);
            search.tried.push((rate, verdict));
            // What was too much is worked off before the next attempt.
            engine.idle(if verdict == Verdict::Carried {
                AFTER / 4
            } else {
                2 * AFTER
            });
            Ok::<bool, LoadFault>(verdict == Verdict::Carried)
        };
        let (mut good, mut bad) = (0, FIRST_RATE);
        while bad <= LAST_RATE && attempt(bad)? {
            good = bad;
            bad *= 2;
        }
        if good > 0 && good < LAST_RATE {
            for _ in 0..HALVINGS {
                let middle = u32::midpoint(good, bad);
                match attempt(middle)? {
                    true => good = middle,
                    false => bad = middle,
                }
            }
        }
        Ok(search)
    }

    /// What held calls take, and whether calls beside them cost more.
    fn memory(
        &self,
        engine: &mut Engine,
        subject: &Subject,
        pid: u32,
        rate: u32,
        calls: u32,
    ) -> Result<Memory, LoadFault> {
        engine.idle(self.options.settle);
        let before_kib = resident_kib(pid);
        let load = Load {
            rate: rate.min(1000),
            calls: u64::from(calls),
            held: None,
        };
        let outcome = engine.run(load).map_err(LoadFault::system("hold calls"))?;
        if outcome.established == 0 {
            let what = format!("none of {calls} calls to hold was answered");
            let log = String::new();
            return Err(LoadFault::NoCall { what, log });
        }
        engine.idle(self.options.settle);
        let held_kib = resident_kib(pid);
        let (beside, spent, _) = self.costed(engine, subject, rate)?;
        engine.end_held(1000);
        Ok(Memory {
            calls: outcome.established,
            before_kib,
            held_kib,
            cpu_per_call_us: spent.map(|spent| per_call_us(spent, &beside)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_carried_only_if_no_call_fails_and_hardly_a_message_is_repeated() {
        let well = Outcome {
            begun: 1000,
            ended: 1000,
            ..Outcome::default()
        };
        assert_eq!(Verdict::of(&well), Verdict::Carried);
        let lost = Outcome {
            lost: 1,
            ..well.clone()
        };
        assert_eq!(Verdict::of(&lost), Verdict::Failed(1));
        let refused = Outcome {
            refused: [(503, 2)].into(),
            ..well.clone()
        };
        assert_eq!(Verdict::of(&refused), Verdict::Failed(2));
        let late = Outcome {
            repeated: 11,
            ..well.clone()
        };
        assert_eq!(Verdict::of(&late), Verdict::Repeated(11));
        let slow = Outcome {
            behind: 2 * BEHIND,
            ..well
        };
        assert_eq!(Verdict::of(&slow), Verdict::NotOffered);
    }
}
