//! One end of the audio of a call: plays a tone while it is told to, and remembers what it hears.

use super::air::{Air, Parcel, Port, Way};
use super::endpoint::{NOISE, Packet, Sockets, Stream, is_rtcp};
use super::ice::{Client, Lite};
use super::sdp::Media;
use super::secure::{Key, Secure};
use super::tone::{Codec, Tone, share_at};
use crate::impair::Network;
use crate::lock::lock;
use crate::peer::fault::PeerFault;
use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// Time between two packets.
const PTIME: Duration = Duration::from_millis(20);
/// Time between two reports of ours.
const REPORTS: Duration = Duration::from_secs(2);
/// Packets that are kept to be listened to: half a second.
const KEPT: usize = 25;
/// So many samples that are missing between two packets are heard as silence; more is another stream.
const LONGEST_SILENCE: i32 = 800;
/// Packet times from one packet of comfort noise to the next.
const NOISE_EVERY: u32 = 10;
/// Packets of ours that are remembered: two seconds.
const PAST: usize = 100;
/// What was sent so long ago has arrived.
const SETTLED: Duration = Duration::from_millis(200);
/// Share of the energy that must lie at a tone for it to be heard.
const CLEAR: f64 = 0.8;

/// A check of ICE that proves nothing (RFC 8489 §5).
const BINDING_REQUEST: [u8; 20] = [
    0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
];

/// Where packets go that nobody sends.
const NOWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// What becomes of packets before they are heard, to see that somebody notices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Warp {
    /// No RTP.
    Silence,
    /// SRTP arrives in the clear.
    Plain,
    /// Nothing is authentic.
    WrongKey,
    /// No RTCP.
    NoRtcp,
    /// RTP with events, so digits, is lost.
    NoEvents,
    /// Comfort noise is lost.
    NoNoise,
    /// What the other end sends twice is heard twice.
    Replays,
    /// Answers to checks of ICE are lost.
    NoAnswers,
    /// With the first audio a check of ICE arrives.
    Checks,
}

/// What came so far.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Heard {
    /// Packets with audio.
    pub audio: u64,
    /// Packets with events.
    pub events: u64,
    /// Packets with comfort noise.
    pub noise: u64,
    /// Packets in the clear on a stream that must be secured.
    pub plain: u64,
    /// Packets that are not authentic.
    pub forged: u64,
    /// Payload types that were heard, in the order of their first packet.
    pub payload_types: Vec<u8>,
    /// Reports.
    pub reports: u64,
    /// Longest time between two reports, and between the last and now.
    pub longest_without_report: Duration,
    /// Longest time between two audio packets.
    pub longest_gap: Duration,
    /// Digits, each once, at the first packet of its event.
    pub digits: String,
    /// Packets with audio that had come before.
    pub repeated: u64,
    /// Lengths of audio packets in octets, each once, in the order of their first.
    pub lengths: Vec<usize>,
    /// What the other end says of the packets that came to it.
    pub told: Option<Told>,
    /// Packets with audio or events that a bad network has lost on their way here.
    pub lost: u64,
    /// Reports that it has lost.
    pub lost_reports: u64,
}

/// What a report says of our packets (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    /// How many were lost.
    pub lost: u32,
    /// How many of these the network has lost indeed, of what was sent before.
    pub lost_indeed: u32,
    /// Jitter, in samples.
    pub jitter: u32,
}

/// One end of the audio of a call. It ends with this value.
pub struct Voice {
    state: Arc<Mutex<State>>,
    /// Where it listens.
    pub at: SocketAddr,
    /// Key that it announces.
    pub key: Key,
    /// For people: `Teams` or `carrier`.
    pub name: &'static str,
    task: JoinHandle<()>,
}

struct State {
    link: Option<Link>,
    plays: Option<Tone>,
    /// Packet times of a pause that is filled with comfort noise.
    pause: Option<u32>,
    heard: Heard,
    codec: Codec,
    /// Whether the stream must be secured.
    is_secured: bool,
    last_audio: Option<Instant>,
    /// Since when reports are due, and are counted.
    reported: Option<Instant>,
    kept: VecDeque<Kept>,
    /// Times at which events that were heard began.
    events: HashSet<u32>,
    warp: Option<Warp>,
    /// Of so many packets two in a row are not authentic.
    spoilt: Option<u16>,
    /// Of so many packets one comes again, and with it one of long ago.
    copied: Option<u16>,
    /// Time between two packets.
    ptime: Duration,
    /// Packets of ours, of which the oldest is the one of long ago.
    past: VecDeque<Vec<u8>>,
    /// Numbers of packets of ours that the network has lost, once one has arrived.
    gone: Option<Vec<u16>>,
    /// Sources and numbers of audio that came.
    numbers: HashSet<([u8; 4], u16)>,
    client: Option<Client>,
    stream: Stream,
    dialled: VecDeque<(u8, Vec<u8>, bool)>,
}

/// A packet that can still be listened to.
struct Kept {
    came: Instant,
    timestamp: u32,
    payload: Vec<u8>,
}

/// The other end.
struct Link {
    rtp: SocketAddr,
    rtcp: SocketAddr,
    secure: Option<Secure>,
    events: Option<u8>,
    ours: Key,
    theirs: Option<Key>,
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
        let fault = |why| PeerFault::Socket {
            peer: name.to_owned(),
            why,
        };
        let sockets = match at.port() {
            0 => Sockets::open(at.ip()).await,
            _ => Sockets::open_at(at).await,
        };
        let sockets = sockets.map_err(fault)?;
        let at = sockets.address().map_err(fault)?;
        let state = Arc::new(Mutex::new(State {
            link: None,
            plays: None,
            pause: None,
            heard: Heard::default(),
            codec: Codec::Pcma,
            is_secured: name == "Teams",
            last_audio: None,
            reported: None,
            kept: VecDeque::new(),
            events: HashSet::new(),
            warp,
            spoilt: None,
            copied: None,
            ptime: PTIME,
            past: VecDeque::new(),
            gone: None,
            numbers: HashSet::new(),
            client: None,
            stream: Stream::new(8, u64::MAX),
            dialled: VecDeque::new(),
        }));
        let task = tokio::spawn(run(sockets, Air::new(network), Arc::clone(&state)));
        Ok(Self {
            state,
            at,
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
            .ok_or_else(|| fault("no G.711 in the description".to_owned()))?;
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
        self.heard().audio - before
    }

    /// Whether the last packets since then were this tone, and are not old.
    fn hears(&self, hz: f64, since: Instant) -> bool {
        let state = lock(&self.state);
        let is_fresh = |one: &&Kept| one.came >= since && one.came.elapsed() < PTIME * 30;
        let fresh: Vec<&Kept> = state.kept.iter().filter(is_fresh).collect();
        let heard = in_order(fresh, state.codec);
        heard.len() >= 10 * 160 && share_at(hz, &heard) > CLEAR
    }
}

/// What packets sound like, in the order in which they were spoken, with silence where one is missing.
fn in_order(mut packets: Vec<&Kept>, codec: Codec) -> Vec<i16> {
    let Some(first) = packets.first().map(|first| first.timestamp) else {
        return Vec::new();
    };
    let after = |timestamp: u32, other: u32| timestamp.wrapping_sub(other).cast_signed();
    packets.sort_by_key(|one| after(one.timestamp, first));
    let (mut samples, mut end) = (Vec::new(), first);
    for one in packets {
        let missing = after(one.timestamp, end);
        if (1..=LONGEST_SILENCE).contains(&missing) {
            samples.extend(std::iter::repeat_n(0, missing.unsigned_abs() as usize));
        }
        samples.extend(one.payload.iter().map(|octet| codec.decode(*octet)));
        end = one.timestamp.wrapping_add(one.payload.len() as u32);
    }
    samples
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.task.abort();
        let mut state = lock(&self.state);
        if let Some(since) = state.reported.take() {
            let last = since.elapsed();
            state.heard.longest_without_report = state.heard.longest_without_report.max(last);
        }
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
    /// What came so far.
    pub fn heard(&self) -> Heard {
        lock(&self.state).so_far()
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
                (Way::In, Port::Rtcp) => lock(&state).take_report(&bytes),
            }
        }
    }
}

impl State {
    fn so_far(&self) -> Heard {
        let mut heard = self.heard.clone();
        if let Some(since) = self.reported {
            heard.longest_without_report = heard.longest_without_report.max(since.elapsed());
        }
        heard
    }

    /// When the agent wants to be asked again.
    fn check_due(&mut self) -> Instant {
        let due = self.client.as_mut().map(Client::due);
        due.map_or_else(|| Instant::now() + REPORTS, Instant::from_std)
    }

    fn checks(&mut self) {
        if let Some(client) = &mut self.client {
            client.ticks();
        }
    }

    /// What the agent has to send.
    fn check(&mut self) -> Option<(Vec<u8>, SocketAddr)> {
        self.client.as_mut()?.sends()
    }

    /// Takes a datagram of ICE.
    fn takes_check(&mut self, bytes: &[u8], from: SocketAddr) -> bool {
        let Some(client) = &mut self.client else {
            return false;
        };
        if self.warp == Some(Warp::Checks) && bytes.first() == Some(&0x80) {
            self.warp = None;
            client.takes(&BINDING_REQUEST, from);
        }
        let is_answer = bytes.first() == Some(&1);
        (is_answer && self.warp == Some(Warp::NoAnswers)) || client.takes(bytes, from)
    }

    /// Takes a packet that came to the port for RTP.
    fn hears_packet(&mut self, bytes: &[u8], from: SocketAddr) {
        // Both share a port where that is agreed (RFC 5761 §4).
        match is_rtcp(bytes) {
            _ if self.takes_check(bytes, from) => {}
            true => self.take_report(bytes),
            false => self.take(bytes),
        }
    }

    /// The network has lost a packet that was sent to us: what it explains must not be counted against
    /// who has sent it.
    fn misses(&mut self, bytes: &[u8]) {
        match is_rtcp(bytes) {
            true => {
                self.heard.lost_reports += 1;
                self.report_was_due();
            }
            false if bytes.first().is_some_and(|first| first >> 6 == 2) => self.heard.lost += 1,
            false => {}
        }
    }

    /// A report was sent just now, and the next is due.
    fn report_was_due(&mut self) {
        if let Some(since) = self.reported.replace(Instant::now()) {
            let gap = since.elapsed();
            self.heard.longest_without_report = self.heard.longest_without_report.max(gap);
        }
    }

    /// The next packets of ours: one, where it is not copied, and where it goes.
    fn next(&mut self) -> (Vec<Vec<u8>>, SocketAddr) {
        let Some((bytes, to)) = self.next_packet() else {
            return (Vec::new(), NOWHERE);
        };
        let is_copied = self.copied.is_some_and(|of| self.stream.sequence % of == 0);
        let mut packets = vec![bytes.clone()];
        if is_copied {
            packets.push(bytes.clone());
            packets.extend(self.past.front().cloned());
        }
        self.past.push_back(bytes);
        if self.past.len() > PAST {
            self.past.pop_front();
        }
        (packets, to)
    }

    fn next_packet(&mut self) -> Option<(Vec<u8>, SocketAddr)> {
        let samples = usize::try_from(self.ptime.as_millis() * 8).unwrap_or_default();
        let link = self.link.as_mut()?;
        let packet = match (self.dialled.pop_front(), link.events) {
            (Some((_, payload, is_first)), Some(events)) => {
                self.stream.event(events, &payload, is_first)
            }
            _ => match (&mut self.plays, &mut self.pause) {
                (Some(tone), _) => self.stream.packet(&tone.take(self.codec, samples)),
                (None, Some(pause)) => {
                    *pause += 1;
                    if *pause % NOISE_EVERY != 1 {
                        return None;
                    }
                    self.stream.noise(NOISE_EVERY * samples as u32)
                }
                (None, None) => return None,
            },
        };
        let mut bytes = match &mut link.secure {
            Some(secure) => secure.protect(&packet).ok()?,
            None => packet,
        };
        let is_spoilt = self.spoilt.is_some_and(|of| self.stream.sequence % of < 2);
        if let Some(last) = bytes.last_mut().filter(|_| is_spoilt) {
            *last ^= 1;
        }
        Some((bytes, link.rtp))
    }

    /// A packet of ours left, and the network loses it or not.
    fn is_sent(&mut self, bytes: &[u8], arrives: bool) {
        match (arrives, &mut self.gone, bytes) {
            (true, gone, _) => drop(gone.get_or_insert_default()),
            (false, Some(gone), [_, _, high, low, ..]) => {
                gone.push(u16::from_be_bytes([*high, *low]));
            }
            (false, _, _) => {}
        }
    }

    fn report(&mut self) -> Option<(Vec<u8>, SocketAddr)> {
        let link = self.link.as_mut()?;
        let report = self.stream.report();
        let bytes = match &mut link.secure {
            Some(secure) => secure.protect_rtcp(&report).ok()?,
            None => report,
        };
        Some((bytes, link.rtcp))
    }

    fn take(&mut self, bytes: &[u8]) {
        let secure = self.link.as_mut().and_then(|link| link.secure.as_mut());
        let opened = match (secure, self.is_secured) {
            (Some(secure), _) => match self.warp {
                Some(Warp::WrongKey) => None,
                _ => secure.open(bytes).ok(),
            },
            // Keys are not known yet.
            (None, true) => return,
            (None, false) => match self.warp {
                Some(Warp::WrongKey) => None,
                _ => Some(bytes.to_vec()),
            },
        };
        match self.warp {
            Some(Warp::Silence) => return,
            Some(Warp::Plain) => {
                self.heard.plain += u64::from(opened.is_some());
                return;
            }
            _ => {}
        }
        let Some(opened) = opened else {
            // With a tag of ten octets a packet has not the length of one in the clear.
            match bytes.len() == 12 + 160 && Packet::read(bytes).is_some() && self.is_secured {
                true => self.heard.plain += 1,
                false => self.heard.forged += 1,
            }
            return;
        };
        let Some(packet) = Packet::read(&opened) else {
            return;
        };
        if !self.heard.payload_types.contains(&packet.payload_type) {
            self.heard.payload_types.push(packet.payload_type);
        }
        if packet.payload_type == NOISE {
            self.heard.noise += u64::from(self.warp != Some(Warp::NoNoise));
            return;
        }
        let is_event = packet.payload.len() == 4;
        if is_event {
            if self.warp == Some(Warp::NoEvents) {
                return;
            }
            self.heard.events += 1;
            if self.events.insert(packet.timestamp) {
                let digit = packet.payload.first().map(|event| usize::from(*event));
                let digit = digit.and_then(|event| "0123456789*#ABCD".chars().nth(event));
                self.heard.digits.extend(digit);
            }
            return;
        }
        let now = Instant::now();
        let is_new = self.numbers.insert((packet.source, packet.sequence));
        self.heard.repeated += u64::from(!is_new || self.warp == Some(Warp::Replays));
        if !is_new {
            return;
        }
        if !self.heard.lengths.contains(&packet.payload.len()) {
            self.heard.lengths.push(packet.payload.len());
        }
        self.heard.audio += 1;
        if let Some(last) = self.last_audio.replace(now) {
            self.heard.longest_gap = self.heard.longest_gap.max(now - last);
        }
        self.kept.push_back(Kept {
            came: now,
            timestamp: packet.timestamp,
            payload: packet.payload.to_vec(),
        });
        while self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    fn take_report(&mut self, bytes: &[u8]) {
        if self.warp == Some(Warp::NoRtcp) {
            return;
        }
        let secure = self.link.as_mut().and_then(|link| link.secure.as_mut());
        let opened = match secure {
            Some(_) if self.warp == Some(Warp::WrongKey) => None,
            Some(secure) => secure.open_rtcp(bytes).ok(),
            None => is_rtcp(bytes).then(|| bytes.to_vec()),
        };
        let Some(opened) = opened else {
            return;
        };
        if let Some((lost, highest, jitter)) = block(&opened, self.stream.ssrc) {
            let gone = self.gone.iter().flatten();
            let was_before = |number: &&u16| highest.wrapping_sub(**number) < 0x8000;
            self.heard.told = Some(Told {
                lost,
                lost_indeed: gone.filter(was_before).count() as u32,
                jitter,
            });
        }
        self.heard.reports += 1;
        self.report_was_due();
    }
}

/// What reports say of a source: packets lost, the highest number, and the jitter (RFC 3550 §6.4.1).
fn block(compound: &[u8], source: [u8; 4]) -> Option<(u32, u16, u32)> {
    let mut rest = compound;
    while let [first, kind, high, low, ..] = *rest {
        let length = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        let (packet, next) = rest.split_at_checked(length)?;
        let begin = match kind {
            200 => 28,
            201 => 8,
            _ => length,
        };
        let blocks = packet.get(begin..).unwrap_or_default().chunks_exact(24);
        for block in blocks.take(usize::from(first & 0x1F)) {
            let word = |at: usize| {
                u32::from_be_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
            };
            if block[..4] == source {
                return Some((word(4) & 0x00FF_FFFF, word(8) as u16, word(12)));
            }
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sdp;
    use std::net::{IpAddr, Ipv4Addr};

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
}
