//! A bad network as a function of a seed: what is lost, what is late, what is overtaken.
//!
//! Nothing here sends, waits or reads a clock. Each direction of each path is a [`Line`] with a
//! generator of its own, so that the n-th datagram of a line meets the same fate in every run with the
//! same seed, whatever goes on elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// By how much more a datagram is late that is overtaken: two packets of audio and a bit.
const HELD_BACK: Duration = Duration::from_millis(45);
/// More makes calls impossible, and shows nothing of the subject.
const MOST_PERCENT: f64 = 20.0;
/// Longest jitter. With a way back it stays below the first interval of RFC 3261 §17.1.1.1.
const MOST_JITTER: Duration = Duration::from_millis(200);

/// How bad a network is, in each direction.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Impairment {
    /// Datagrams that are lost, percent.
    pub loss: f64,
    /// What is not lost is late by 0 to this.
    pub jitter: Duration,
    /// Datagrams that the next ones overtake, percent.
    pub reorder: f64,
}

impl Impairment {
    /// Reads `loss=2,jitter=30,reorder=1`: percent, milliseconds, percent. What is not named is none.
    ///
    /// # Errors
    /// What is wrong, and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut read = Self {
            loss: 0.0,
            jitter: Duration::ZERO,
            reorder: 0.0,
        };
        for part in text.split(',') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let number = |most: f64, unit: &str| {
                let number = value.parse().ok();
                number
                    .filter(|number| (0.0..=most).contains(number))
                    .ok_or_else(|| format!("{name} is \"{value}\"; write 0 to {most} {unit}"))
            };
            match name {
                "loss" => read.loss = number(MOST_PERCENT, "percent")?,
                "reorder" => read.reorder = number(MOST_PERCENT, "percent")?,
                "jitter" => {
                    let most = MOST_JITTER.as_secs_f64() * 1000.0;
                    read.jitter = Duration::from_secs_f64(number(most, "ms")? / 1000.0);
                }
                _ => {
                    return Err(format!(
                        "\"{part}\" is unknown; write such as loss=2,jitter=30,reorder=1"
                    ));
                }
            }
        }
        Ok(read)
    }
}

impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (loss, reorder, jitter) = (self.loss, self.reorder, self.jitter.as_millis());
        write!(f, "loss={loss},jitter={jitter},reorder={reorder}")
    }
}

/// A bad network. Its lines follow from the seed and their names alone.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Network {
    /// How bad.
    pub impairment: Impairment,
    /// What decides.
    pub seed: u64,
}

impl Network {
    /// The same network elsewhere: other lines.
    #[must_use]
    pub fn at(&self, place: &str) -> Self {
        Self {
            seed: mixed(self.seed, place),
            ..*self
        }
    }

    /// One direction of one path.
    pub fn line(&self, name: &str) -> Line {
        Line {
            impairment: self.impairment,
            state: mixed(self.seed, name),
            last: None,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (seed {})", self.impairment, self.seed)
    }
}

/// What becomes of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It never arrives.
    Lost,
    /// It arrives then.
    Arrives(Instant),
}

/// One direction of one path.
#[derive(Clone, Debug)]
pub struct Line {
    impairment: Impairment,
    state: u64,
    /// When the last one arrives that keeps the order.
    last: Option<Instant>,
}

impl Line {
    /// A datagram is sent now.
    pub fn datagram(&mut self, now: Instant) -> Fate {
        // Each takes three numbers, so that the fate of the next depends on none.
        let (loss, reorder) = (self.percent(), self.percent());
        let late = self.late();
        if loss < self.impairment.loss {
            return Fate::Lost;
        }
        if reorder < self.impairment.reorder {
            return Fate::Arrives(now + late + HELD_BACK);
        }
        Fate::Arrives(self.in_order(now + late))
    }

    /// Octets of a stream are sent now: none is lost, and all keep their order.
    pub fn stream(&mut self, now: Instant) -> Instant {
        let late = self.late();
        self.in_order(now + late)
    }

    fn in_order(&mut self, at: Instant) -> Instant {
        let at = self.last.map_or(at, |last| last.max(at));
        self.last = Some(at);
        at
    }

    fn late(&mut self) -> Duration {
        self.impairment.jitter.mul_f64(self.percent() / 100.0)
    }

    /// At least 0, less than 100.
    fn percent(&mut self) -> f64 {
        let upper = (next(&mut self.state) >> 32) as u32;
        f64::from(upper) / 4_294_967_296.0 * 100.0
    }
}

/// What is on its way, in the order in which it arrives.
#[derive(Debug)]
pub struct Queue<T> {
    waiting: BTreeMap<(Instant, u64), T>,
    count: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            count: 0,
        }
    }
}

impl<T> Queue<T> {
    /// It arrives then; of two at once the first comes first.
    pub fn push(&mut self, at: Instant, what: T) {
        self.count += 1;
        self.waiting.insert((at, self.count), what);
    }

    /// When the next one arrives.
    pub fn due(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next one that has arrived by now.
    pub fn take(&mut self, now: Instant) -> Option<T> {
        let first = self.waiting.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

/// A seed for what has this name (FNV-1a).
fn mixed(seed: u64, name: &str) -> u64 {
    let add = |sum: u64, octet: u8| (sum ^ u64::from(octet)).wrapping_mul(0x100_0000_01b3);
    let mut state = name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, add);
    next(&mut state)
}

/// SplitMix64: small, and good enough for this.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let a = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str, seed: u64) -> Network {
        let impairment = Impairment::parse(text).unwrap();
        Network { impairment, seed }
    }

    /// Fates of datagrams that are sent every 20 ms, as times on their way.
    fn fates(mut line: Line, count: u32) -> Vec<Option<Duration>> {
        let start = Instant::now();
        let sent = (0..count).map(|index| start + Duration::from_millis(20) * index);
        sent.map(|at| match line.datagram(at) {
            Fate::Lost => None,
            Fate::Arrives(then) => Some(then - at),
        })
        .collect()
    }

    #[test]
    fn a_seed_and_a_name_decide_and_nothing_else() {
        let bad = network("loss=10,jitter=30,reorder=5", 7);
        let of = |network: Network, name: &str| fates(network.line(name), 200);
        assert_eq!(of(bad, "out"), of(bad, "out"));
        assert_ne!(of(bad, "out"), of(bad, "in"));
        assert_ne!(of(bad, "out"), of(bad.at("TC-INB-001"), "out"));
        assert_ne!(of(bad, "out"), of(Network { seed: 8, ..bad }, "out"));
    }

    #[test]
    fn as_many_are_lost_late_and_overtaken_as_was_said() {
        let all = fates(network("loss=2,jitter=30,reorder=1", 1).line("out"), 20_000);
        let lost = all.iter().filter(|fate| fate.is_none()).count();
        let came: Vec<Duration> = all.iter().flatten().copied().collect();
        let back = came.iter().filter(|late| **late >= HELD_BACK).count();
        assert!((320..=480).contains(&lost), "{lost} lost");
        assert!((140..=260).contains(&back), "{back} overtaken");
        let longest = Duration::from_millis(30);
        let usual = came.iter().filter(|late| **late < HELD_BACK);
        assert!(usual.clone().all(|late| *late <= longest));
        let mean = usual.sum::<Duration>() / 19_400;
        assert!((14..=20).contains(&mean.as_millis()), "{mean:?}");
    }

    #[test]
    fn a_stream_keeps_its_order_and_a_queue_does() {
        let mut line = network("loss=20,jitter=200,reorder=20", 3).line("out");
        let start = Instant::now();
        let mut queue = Queue::default();
        for index in 0..500_u64 {
            queue.push(line.stream(start + Duration::from_millis(index)), index);
        }
        let end = start + Duration::from_secs(1);
        assert!(queue.due() >= Some(start) && queue.take(start).is_none_or(|first| first == 0));
        let rest: Vec<u64> = std::iter::from_fn(|| queue.take(end)).collect();
        assert!(rest.is_sorted() && rest.len() >= 499);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_what_to_write() {
        let read = Impairment::parse("loss=2,jitter=30,reorder=0.5").unwrap();
        assert_eq!(read.to_string(), "loss=2,jitter=30,reorder=0.5");
        for (text, told) in [
            ("loss=21", "0 to 20 percent"),
            ("jitter=x", "0 to 200 ms"),
            ("", "loss=2,jitter=30,reorder=1"),
            ("delay=3", "\"delay=3\""),
        ] {
            let why = Impairment::parse(text).unwrap_err();
            assert!(why.contains(told), "{why}");
        }
    }
}
