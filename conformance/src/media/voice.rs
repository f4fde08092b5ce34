//! One end of the audio of a call: plays a tone while it is told to, and remembers what it hears.

use super::air::{Air, Parcel, Port, Way};
use super::endpoint::{Sockets, Stream};
pub use super::heard::{Heard, Pauses, Told, Warp};
use super::ice::{Client, Lite};
use super::sdp::Media;
use super::secure::{Key, Secure};
use super::state::{Kept, Link, REPORTS, State, in_order};
use super::tone::{Codec, Tone, level, share_by_pieces};
use crate::impair::Network;
use crate::lock::lock;
use crate::peer::fault::PeerFault;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// Time between two packets.
const PTIME: Duration = Duration::from_millis(20);
/// What was sent so long ago has arrived.
const SETTLED: Duration = Duration::from_millis(200);
/// How long a key sounds, and how long nothing follows.
const PRESS: Duration = Duration::from_millis(100);
const PRESS_PACKETS: u16 = 5;
/// Share of the energy that must lie at a tone for it to be heard.
const CLEAR: f64 = 0.8;

/// One end of the audio of a call. It ends with this value.
pub struct Voice {
    state: Arc<Mutex<State>>,
    /// Where it listens.
    pub at: SocketAddr,
    /// The port at which it takes reports, unless they share that of audio.
    pub reports: u16,
    /// Key that it announces.
    pub key: Key,
    /// For people: `Teams` or `carrier`.
    pub name: &'static str,
    task: JoinHandle<()>,
}

impl Voice {
    /// Opens sockets at an address; without a port, at any that is free. Nothing is sent before
    /// [`Voice::hears_of`].
    ///
    /// # Errors
    /// [`PeerFault::Socket`].
    pub async fn open(
        name: &'static str,
        at: SocketAddr,
        warp: Option<Warp>,
        network: Option<Network>,
    ) -> Result<Self, PeerFault> {
        let sockets = match at.port() {
            0 => Sockets::open(at.ip()).await,
            _ => Sockets::open_at(at).await,
        };
        Self::with(name, sockets, warp, network)
    }

    /// The same with reports at a port that is not the next one.
    ///
    /// # Errors
    /// [`PeerFault::Socket`].
    pub async fn open_apart(
        name: &'static str,
        ip: IpAddr,
        warp: Option<Warp>,
        network: Option<Network>,
    ) -> Result<Self, PeerFault> {
        Self::with(name, Sockets::open_apart(ip).await, warp, network)
    }

    fn with(
        name: &'static str,
        sockets: io::Result<Sockets>,
        warp: Option<Warp>,
        network: Option<Network>,
    ) -> Result<Self, PeerFault> {
        let fault = |why| PeerFault::Socket {
            peer: name.to_owned(),
            why,
        };
        let sockets = sockets.map_err(fault)?;
        let at = sockets.address().map_err(fault)?;
        let reports = sockets.rtcp.local_addr().map_err(fault)?.port();
        let state = Arc::new(Mutex::new(State {
            link: None,
            plays: None,
            pause: None,
            heard: Heard::default(),
            codec: Codec::Pcma,
            is_secured: matches!(name, "Teams" | "branch"),
            last_audio: None,
            reported: None,
            kept: VecDeque::new(),
            events: HashSet::new(),
            ended: HashSet::new(),
            warp,
            is_left: false,
            spoilt: None,
            copied: None,
            deaf_until: None,
            last: None,
            measured: None,
            measures_gaps: false,
            skipped: 0,
            held: None,
            beginning: Vec::new(),
            ptime: PTIME,
            past: VecDeque::new(),
            gone: None,
            numbers: HashSet::new(),
            client: None,
            checks: VecDeque::new(),
            stream: Stream::new(8, u64::MAX),
            dialled: VecDeque::new(),
            passes: None,
            passed: None,
        }));
        let task = tokio::spawn(run(sockets, Air::new(network), Arc::clone(&state)));
        Ok(Self {
            state,
            at,
            reports,
            key: Key::random(),
            name,
            task,
        })
    }

    /// The other end described itself: from now on packets go there. With the same keys as before
    /// the stream goes on, with others it begins anew.
    ///
    /// # Errors
    /// [`PeerFault::Media`], when the description cannot be used.
    pub fn hears_of(&self, media: &Media) -> Result<(), PeerFault> {
        let fault = |why: String| PeerFault::Media {
            peer: self.name.to_owned(),
            why,
        };
        let codec = media
            .codec()
            .ok_or_else(|| fault("no codec that we have in the description".to_owned()))?;
        let format = |of: &dyn Fn(&str) -> bool| {
            let found = media.formats.iter().find(|format| of(&format.encoding));
            found.map(|format| format.payload_type)
        };
        let audio = format(&|encoding| Codec::of(encoding) == Some(codec));
        let events = format(&|encoding| {
            encoding
                .to_ascii_lowercase()
                .starts_with("telephone-event/8000")
        });
        let theirs = media.keys.first().and_then(|key| key.key.clone());
        let mut state = lock(&self.state);
        let kept = match state.link.take() {
            Some(mut link) if link.theirs == theirs => {
                if let Some(secure) = link.secure.as_mut().filter(|_| link.ours != self.key) {
                    secure.rekey(&self.key).map_err(fault)?;
                }
                link.secure
            }
            _ => None,
        };
        let secure = match (&theirs, kept) {
            (Some(_), Some(secure)) => Some(secure),
            (Some(theirs), None) => Some(Secure::new(&self.key, theirs).map_err(fault)?),
            (None, _) => None,
        };
        state.codec = codec;
        state.stream.payload_type = audio.unwrap_or(codec.payload_type());
        state.reported.get_or_insert_with(Instant::now);
        state.link = Some(Link {
            rtp: media.rtp,
            rtcp: media.rtcp,
            secure,
            events,
            ours: self.key.clone(),
            theirs,
        });
        Ok(())
    }

    /// Its first packet will have this number. To be said before it plays anything.
    pub fn begins_at(&self, sequence: u16) {
        lock(&self.state).stream.sequence = sequence;
    }

    /// The number of its next packet.
    pub fn sequence(&self) -> u16 {
        lock(&self.state).stream.sequence
    }

    /// It has another key, which is used once the other end has agreed ([`Voice::hears_of`]).
    pub fn rekeys(&mut self) {
        self.key = Key::random();
    }

    /// From now on it is another source (RFC 3550 §8.2).
    pub fn changes_source(&self) {
        lock(&self.state).stream.ssrc = crate::random::bytes();
    }

    /// From now on two in a row of so many of its packets are not authentic.
    pub fn spoils_two_of(&self, packets: u16) {
        lock(&self.state).spoilt = Some(packets.max(1));
    }

    /// From now on one of so many of its packets comes twice, and with it one of two seconds ago.
    pub fn copies_one_of(&self, packets: u16) {
        lock(&self.state).copied = Some(packets.max(1));
    }

    /// From now on its packets are so long.
    pub fn packs(&self, ptime: Duration) {
        lock(&self.state).ptime = ptime;
    }

    /// Waits for a report on what has arrived of its packets: not one that is under way now.
    pub async fn is_told(&self, patience: Duration) -> Option<Told> {
        sleep(SETTLED).await;
        lock(&self.state).heard.told = None;
        let began = Instant::now();
        while began.elapsed() < patience {
            if let Some(told) = self.heard().told {
                return Some(told);
            }
            sleep(PTIME).await;
        }
        None
    }

    /// From now on it is a client of Teams with a full agent of ICE; what its description says of that.
    ///
    /// # Errors
    /// What `rtc-ice` says.
    pub fn is_client(&self) -> Result<String, String> {
        let client = Client::new(self.at)?;
        let lines = client.lines();
        lock(&self.state).client = Some(client);
        Ok(lines)
    }

    /// Its agent begins to check the other end.
    ///
    /// # Errors
    /// What `rtc-ice` says.
    pub fn meets(&self, other: &Lite) -> Result<(), String> {
        let mut state = lock(&self.state);
        let client = state.client.as_mut().ok_or("it has no agent of ICE")?;
        client.meets(other)
    }

    /// Waits until its agent has nominated a pair.
    pub async fn nominates(&self, patience: Duration) -> bool {
        let began = Instant::now();
        let is_nominated = || lock(&self.state).client.as_ref().map(Client::is_nominated);
        while began.elapsed() < patience {
            if is_nominated() == Some(true) {
                return true;
            }
            sleep(PTIME).await;
        }
        false
    }

    /// What its agent says in its descriptions.
    pub fn lines_of_client(&self) -> String {
        let state = lock(&self.state);
        state.client.as_ref().map(Client::lines).unwrap_or_default()
    }

    /// Waits until another check of its agent is answered.
    pub async fn is_answered(&self, patience: Duration) -> bool {
        let answers = || {
            let state = lock(&self.state);
            state.client.as_ref().map(|client| client.heard.answers())
        };
        let (began, before) = (Instant::now(), answers());
        while began.elapsed() < patience {
            if answers() > before {
                return true;
            }
            sleep(PTIME).await;
        }
        false
    }

    /// Its agent makes no checks any more.
    pub fn checks_no_more(&self) {
        if let Some(client) = &mut lock(&self.state).client {
            client.rests();
        }
    }

    /// Another takes its place in the call.
    pub fn is_left(&self) {
        lock(&self.state).is_left = true;
    }

    /// Sends a check that was made by hand; what is answered to it is nobody's.
    pub fn sends_check(&self, bytes: Vec<u8>, to: SocketAddr) {
        lock(&self.state).checks.push_back((bytes, to));
    }

    /// Checks that the other end has made.
    pub fn was_checked(&self) -> u64 {
        let state = lock(&self.state);
        state
            .client
            .as_ref()
            .map_or(0, |client| client.heard.checks())
    }

    /// Plays a tone until told otherwise.
    pub fn plays(&self, hz: f64) {
        let mut state = lock(&self.state);
        (state.plays, state.pause) = (Some(Tone::new(hz)), None);
    }

    /// Plays nothing any more.
    pub fn hushes(&self) {
        lock(&self.state).plays = None;
    }

    /// Plays nothing any more, and says so with comfort noise (RFC 3389).
    pub fn pauses(&self) {
        let mut state = lock(&self.state);
        (state.plays, state.pause) = (None, Some(0));
    }

    /// From now on each of the two says what the other hears and nothing of its own, as where a mixer joins
    /// their calls. Both have the same codec.
    pub fn joins(&self, other: &Self) {
        for (from, to) in [(self, other), (other, self)] {
            let (heard, said) = mpsc::unbounded_channel();
            lock(&from.state).passes = Some(heard);
            let mut to = lock(&to.state);
            (to.plays, to.pause, to.passed) = (None, None, Some(said));
        }
    }

    /// Sends a digit as an event of 100 ms (RFC 4733 §2.5).
    pub fn dials(&self, digit: char) {
        let Some(event) = "0123456789*#ABCD".find(digit) else {
            return;
        };
        let event = u8::try_from(event).unwrap_or_default();
        let mut state = lock(&self.state);
        for step in 1..=5_u16 {
            let [high, low] = (step * 160).to_be_bytes();
            state
                .dialled
                .push_back((event, vec![event, 10, high, low], step == 1));
        }
        for _ in 0..3 {
            let [high, low] = 800_u16.to_be_bytes();
            state
                .dialled
                .push_back((event, vec![event, 0x8A, high, low], false));
        }
    }

    /// Sounds a key for 100 ms, and is silent for as long.
    pub async fn sounds(&self, key: char) {
        let begun = self.sequence();
        lock(&self.state).plays = Tone::of_key(key);
        // A busy machine sends packets late, and a key lasts as long as they say.
        while self.sequence().wrapping_sub(begun) < PRESS_PACKETS {
            sleep(PTIME / 4).await;
        }
        self.hushes();
        sleep(PRESS).await;
    }

    /// What came so far.
    pub fn heard(&self) -> Heard {
        lock(&self.state).so_far()
    }

    /// Its ear, for whoever wants to know after it has ended.
    pub fn ear(&self) -> Ear {
        Ear {
            name: self.name,
            state: Arc::clone(&self.state),
        }
    }

    /// Waits until the tone is clear in what comes from now on: what came before says nothing of what was
    /// changed since.
    pub async fn waits_for(&self, hz: f64, patience: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < patience {
            if self.hears(hz, began) {
                return true;
            }
            sleep(PTIME).await;
        }
        false
    }

    /// Waits until so many digits came.
    pub async fn waits_for_digits(&self, wanted: &str, patience: Duration) -> String {
        let began = Instant::now();
        while began.elapsed() < patience && self.heard().digits.len() < wanted.len() {
            sleep(PTIME).await;
        }
        self.heard().digits
    }

    /// Audio packets that come while so much time passes.
    pub async fn hears_within(&self, time: Duration) -> u64 {
        let before = self.heard().audio;
        sleep(time).await;
        let heard = self.heard().audio - before;
        match lock(&self.state).warp {
            Some(Warp::Lingers) => heard.max(1),
            _ => heard,
        }
    }

    /// The level of the loudest packet that comes while so much time passes, in dBm0; nothing, if none comes.
    pub async fn loudest_within(&self, time: Duration) -> Option<f64> {
        let began = Instant::now();
        let mut loudest = None;
        while began.elapsed() < time {
            sleep(PTIME * 5).await;
            let state = lock(&self.state);
            let heard = state.kept.iter().filter(|one| one.came >= began);
            loudest = heard
                .map(|one| level(&in_order(vec![one], state.codec)))
                .chain(loudest)
                .reduce(f64::max);
        }
        loudest
    }

    /// From now on the longest time between two packets with audio is measured anew, and begins now.
    pub fn measures_gaps(&self) {
        let mut state = lock(&self.state);
        (state.heard.gaps, state.last_audio) = (Pauses::default(), Some(Instant::now()));
        (state.heard.longest_stall, state.measures_gaps) = (Duration::ZERO, true);
    }

    /// The call is over: nobody owes reports any more, whether the last one has come or was lost.
    pub fn is_done(&self) {
        let mut state = lock(&self.state);
        if let Some(since) = state.reported.take() {
            state.heard.without_report.had(since, Instant::now());
        }
    }

    /// Of what is spoken while so much time passes, the share that never comes, by the numbers of packets; 1 if
    /// nothing comes at all.
    pub async fn misses_within(&self, time: Duration) -> f64 {
        let before = lock(&self.state).numbers.clone();
        sleep(time).await;
        let state = lock(&self.state);
        let new: Vec<u16> = state.numbers.difference(&before).map(|it| it.1).collect();
        let Some(first) = new.first() else {
            return 1.0;
        };
        // Numbers begin anew after the last.
        let off = new
            .iter()
            .map(|number| number.wrapping_sub(*first).cast_signed());
        let (least, most) = off.fold((0, 0), |(least, most), it| (it.min(least), it.max(most)));
        let spoken = f64::from(i32::from(most) - i32::from(least) + 1);
        1.0 - new.len() as f64 / spoken
    }

    /// Whether the last packets since then were this tone, and are not old.
    fn hears(&self, hz: f64, since: Instant) -> bool {
        let state = lock(&self.state);
        let is_fresh = |one: &&Kept| one.came >= since && one.came.elapsed() < PTIME * 30;
        let fresh: Vec<&Kept> = state.kept.iter().filter(is_fresh).collect();
        let heard = in_order(fresh, state.codec);
        heard.len() >= 10 * 160 && share_by_pieces(hz, &heard) > CLEAR
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.task.abort();
        self.is_done();
    }
}

/// What a voice hears, also after it has ended.
#[derive(Clone)]
pub struct Ear {
    /// Whose: `Teams` or `carrier`.
    pub name: &'static str,
    state: Arc<Mutex<State>>,
}

impl Ear {
    /// From now on the most packets in a row that are missing are counted anew.
    pub fn measures_holes(&self) {
        let mut state = lock(&self.state);
        (state.heard.longest_hole, state.last, state.measured) = (0, None, Some(0));
    }

    /// What came so far.
    pub fn heard(&self) -> Heard {
        lock(&self.state).so_far()
    }

    /// Packets with audio that its voice has sent.
    pub fn sent(&self) -> u32 {
        lock(&self.state).stream.count
    }

    /// Its voice plays nothing any more.
    pub fn hushes(&self) {
        lock(&self.state).plays = None;
    }
}

async fn run(sockets: Sockets, mut air: Air, state: Arc<Mutex<State>>) {
    // One that is late leaves at once, and the next at its own time.
    let mut next = Instant::now();
    let mut report = Instant::now() + REPORTS;
    let (mut buffer, mut control) = ([0; 2048], [0; 2048]);
    loop {
        let check_due = lock(&state).check_due();
        let arrival = air.due();
        tokio::select! {
            () = sleep_until(check_due) => lock(&state).checks(),
            () = sleep_until(arrival.unwrap_or(report)), if arrival.is_some() => {}
            () = sleep_until(next) => {
                let mut state = lock(&state);
                state.is_late(next.elapsed());
                next += state.ptime;
                let (packets, to) = state.next();
                for bytes in packets {
                    let arrives = air.sends(Port::Rtp, &bytes, to);
                    state.is_sent(&bytes, arrives);
                }
            }
            () = sleep_until(report) => {
                report += REPORTS;
                if let Some((bytes, to)) = lock(&state).report() {
                    air.sends(Port::Rtcp, &bytes, to);
                }
            }
            got = sockets.rtp.recv_from(&mut buffer) => {
                if let Ok((length, from)) = got
                    && !air.brings(Port::Rtp, &buffer[..length], from)
                {
                    lock(&state).misses(&buffer[..length]);
                }
            }
            got = sockets.rtcp.recv_from(&mut control) => {
                if let Ok((length, from)) = got
                    && !air.brings(Port::Rtcp, &control[..length], from)
                {
                    lock(&state).misses(&control[..length]);
                }
            }
        }
        while let Some((bytes, to)) = { lock(&state).check() } {
            air.sends(Port::Rtp, &bytes, to);
        }
        while let Some(Parcel {
            way,
            port,
            bytes,
            other,
        }) = air.take()
        {
            match (way, port) {
                (Way::Out, Port::Rtp) => drop(sockets.rtp.send_to(&bytes, other).await),
                (Way::Out, Port::Rtcp) => drop(sockets.rtcp.send_to(&bytes, other).await),
                (Way::In, Port::Rtp) => lock(&state).hears_packet(&bytes, other),
                (Way::In, Port::Rtcp) => lock(&state).take_report(&bytes, Port::Rtcp),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sdp;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn what_one_of_two_joined_voices_hears_the_other_one_says() {
        let here = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let mut all = Vec::new();
        for _ in 0..4 {
            all.push(Voice::open("carrier", here, None, None).await.unwrap());
        }
        // Two calls, of which the inner ends are joined.
        for (of, with) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
            let media = sdp::read(&sdp::carrier_offer(all[with].at, &[Codec::Pcma])).unwrap();
            all[of].hears_of(&media).unwrap();
        }
        let patience = Duration::from_secs(10);
        all[0].plays(437.3);
        all[1].joins(&all[2]);
        assert!(all[3].waits_for(437.3, patience).await);
        all[3].plays(611.7);
        assert!(all[0].waits_for(611.7, patience).await);
        let level = all[0].loudest_within(Duration::from_millis(300)).await;
        // A third of full scale, which is 3.14 dBm0.
        assert!(
            level.is_some_and(|level| (level + 7.2).abs() < 0.5),
            "{level:?}"
        );
    }

    #[tokio::test]
    async fn a_tone_that_ended_is_not_heard_again() {
        let here = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let one = Voice::open("carrier", here, None, None).await.unwrap();
        let other = Voice::open("carrier", here, None, None).await.unwrap();
        for (of, at) in [(&one, other.at), (&other, one.at)] {
            let media = sdp::read(&sdp::carrier_offer(at, &[Codec::Pcma])).unwrap();
            of.hears_of(&media).unwrap();
        }
        one.plays(437.3);
        assert!(other.waits_for(437.3, Duration::from_secs(10)).await);
        one.hushes();
        // One that is under way may still come.
        assert!(!other.waits_for(437.3, Duration::from_millis(300)).await);
    }

    /// Two voices of which the second hears the first as this warp has it.
    async fn pair(warp: Warp) -> (Voice, Voice) {
        let here = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let one = Voice::open("carrier", here, None, None).await.unwrap();
        let other = Voice::open("carrier", here, Some(warp), None);
        let other = other.await.unwrap();
        for (of, at) in [(&one, other.at), (&other, one.at)] {
            let media = sdp::read(&sdp::carrier_offer(at, &[Codec::Pcma])).unwrap();
            of.hears_of(&media).unwrap();
        }
        (one, other)
    }

    #[tokio::test]
    async fn a_gap_is_told_with_how_late_we_were_ourselves() {
        let (one, other) = pair(Warp::Holes).await;
        one.plays(437.3);
        other.measures_gaps();
        hears(&other, 200).await;
        // What is lost is a gap, and nobody was late.
        let heard = other.heard();
        assert!(
            heard.gaps.longest() > heard.longest_stall + PTIME,
            "{heard:?}"
        );
        other.measures_gaps();
        // Everybody is on this one thread.
        std::thread::sleep(Duration::from_millis(250));
        hears(&other, heard.audio + 20).await;
        let stall = other.heard().longest_stall;
        assert!(stall >= Duration::from_millis(200), "{stall:?}");
    }

    #[tokio::test]
    async fn who_is_left_may_hear_nothing_from_then_on() {
        let (one, other) = pair(Warp::LeftSilent).await;
        one.plays(437.3);
        assert!(other.waits_for(437.3, Duration::from_secs(10)).await);
        other.is_left();
        let before = other.heard().audio;
        let sent = one.ear().sent();
        let began = Instant::now();
        while one.ear().sent() < sent + 20 && began.elapsed() < Duration::from_secs(20) {
            sleep(PTIME).await;
        }
        assert_eq!(other.heard().audio, before);
    }

    /// Waits until so many packets have come.
    async fn hears(voice: &Voice, packets: u64) {
        let began = Instant::now();
        while voice.heard().audio < packets && began.elapsed() < Duration::from_secs(20) {
            sleep(PTIME).await;
        }
        assert!(voice.heard().audio >= packets);
    }

    #[tokio::test]
    async fn a_hole_is_seen_by_numbers_and_by_times_and_else_by_counting() {
        for (warp, hole) in [(Warp::Hole, 3), (Warp::Glitch, 3), (Warp::Anew, 0)] {
            let (one, other) = pair(warp).await;
            other.ear().measures_holes();
            one.plays(437.3);
            hears(&other, 46).await;
            let heard = other.heard();
            let sent = one.ear().sent();
            assert_eq!(heard.longest_hole, hole, "{warp:?}");
            assert!(u64::from(sent) >= heard.audio + 3, "{warp:?}");
        }
    }

    #[tokio::test]
    async fn two_packets_may_come_as_one_and_a_tone_may_end_in_silence() {
        let (one, other) = pair(Warp::Joined).await;
        one.plays(437.3);
        assert!(other.waits_for(437.3, Duration::from_secs(10)).await);
        assert_eq!(other.heard().lengths, [320]);
        let (one, other) = pair(Warp::Mute).await;
        one.plays(437.3);
        let loud = other.loudest_within(Duration::from_millis(500)).await;
        assert!(loud > Some(-20.0), "{loud:?}");
        hears(&other, 180).await;
        let silent = other.loudest_within(Duration::from_millis(500)).await;
        assert!(silent < Some(-40.0), "{silent:?}");
    }
}
