//! One end of an audio stream: two sockets, a tone to play, an ear.

use super::figures::{Figures, Ledger, Meter};
use super::ice::Client;
use super::secure::Secure;
use super::tone::{Codec, SAMPLES, Tone};
use crate::lock::lock;
use crate::random;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

/// Time between two packets.
const PTIME: Duration = Duration::from_millis(20);
/// How long a peer listens for what is still on its way.
const LINGER: Duration = Duration::from_secs(2);
/// Longest packet that is read.
const LONGEST: usize = 1_500;

/// Payload type of comfort noise (RFC 3551 §6), and how loud ours is: -60 dBov.
pub(crate) const NOISE: u8 = 13;
const LEVEL: u8 = 60;

/// Sockets for RTP and RTCP that nobody uses yet.
#[derive(Debug)]
pub struct Sockets {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    /// What has been sent so far: who talks again goes on.
    stream: Mutex<Option<Stream>>,
}

/// What to play and what to expect.
pub struct Session {
    /// Where RTP goes.
    pub remote: SocketAddr,
    /// Where RTCP goes.
    pub remote_rtcp: SocketAddr,
    /// Codec of both directions.
    pub codec: Codec,
    /// Payload type that we send, and the one that we expect.
    pub payload_types: (u8, u8),
    /// SRTP, if the stream is secured.
    pub secure: Option<Secure>,
    /// Tone that we play.
    pub plays: f64,
    /// Tone that we expect.
    pub expects: f64,
    /// Where we note what we send.
    pub sent: Ledger,
    /// Where the other peer notes what it sends.
    pub heard: Ledger,
    /// Whoever goes on checking meanwhile.
    pub ice: Option<Client>,
}

impl Sockets {
    /// An even port for RTP, and the next for RTCP.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn open(ip: IpAddr) -> io::Result<Self> {
        let mut fault = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..100 {
            let rtp = UdpSocket::bind((ip, 0)).await?;
            let port = rtp.local_addr()?.port();
            if port % 2 != 0 || port == u16::MAX - 1 {
                continue;
            }
            match UdpSocket::bind((ip, port + 1)).await {
                Ok(rtcp) => {
                    let stream = Mutex::default();
                    return Ok(Self { rtp, rtcp, stream });
                }
                Err(why) => fault = why,
            }
        }
        Err(fault)
    }

    /// This even port for RTP, and the next for RTCP.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn open_at(at: SocketAddr) -> io::Result<Self> {
        let rtp = UdpSocket::bind(at).await?;
        let rtcp = UdpSocket::bind((at.ip(), at.port().saturating_add(1))).await?;
        let stream = Mutex::default();
        Ok(Self { rtp, rtcp, stream })
    }

    /// A port for RTP, and one for RTCP that is not the next.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn open_apart(ip: IpAddr) -> io::Result<Self> {
        // A pair of which nobody uses the first, so that both ports stay apart.
        let (one, other) = (Self::open(ip).await?, Self::open(ip).await?);
        let (rtp, rtcp, stream) = (one.rtp, other.rtcp, one.stream);
        Ok(Self { rtp, rtcp, stream })
    }

    /// Where RTP is received.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.rtp.local_addr()
    }

    /// Whether anything has come to the RTP port that nobody has read.
    pub fn has_heard(&self) -> bool {
        self.rtp.try_recv_from(&mut [0; LONGEST]).is_ok()
    }

    /// Lets an agent check until it has nominated a pair, or for so long.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn nominate(&self, client: &mut Client, patience: Duration) -> io::Result<bool> {
        let end = Instant::now() + patience;
        let mut buffer = [0; LONGEST];
        while !client.is_nominated() && Instant::now() < end {
            self.check(client).await?;
            tokio::select! {
                got = self.rtp.recv_from(&mut buffer) => {
                    let (length, source) = got?;
                    client.takes(&buffer[..length], source);
                }
                () = sleep_until(client.due().into()) => client.ticks(),
            }
        }
        // The other side may have to hear of the nomination still.
        self.check(client).await?;
        Ok(client.is_nominated())
    }

    async fn check(&self, client: &mut Client) -> io::Result<()> {
        while let Some((bytes, to)) = client.sends() {
            self.rtp.send_to(&bytes, to).await?;
        }
        Ok(())
    }

    /// Plays `packets` packets of the tone and measures what arrives, until as many have arrived
    /// or nothing comes any more.
    ///
    /// # Errors
    /// What the operating system or `rtc-srtp` says.
    pub async fn talk(&self, session: Session, packets: u64) -> io::Result<Figures> {
        let mut stream = lock(&self.stream)
            .take()
            .unwrap_or_else(|| Stream::new(0, 0));
        (stream.payload_type, stream.left) = (session.payload_types.0, packets);
        let mut secure = session.secure;
        let mut ice = session.ice;
        let mut tone = Tone::new(session.plays);
        let mut meter = Meter::new(session.heard, session.codec, session.expects);
        let mut ticks = interval(PTIME);
        // A delayed packet leaves at once, and the next at its own time.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut buffer, mut control) = ([0; LONGEST], [0; LONGEST]);
        // Until our last packet has left there is no end.
        let mut end = Instant::now() + PTIME * u32::try_from(packets).unwrap_or(u32::MAX) + LINGER;
        loop {
            let is_done = stream.left == 0 && meter.received() >= packets;
            if is_done {
                break;
            }
            let due = match &mut ice {
                Some(client) => {
                    self.check(client).await?;
                    client.due().into()
                }
                None => end,
            };
            tokio::select! {
                _ = ticks.tick(), if stream.left > 0 => {
                    let payload = tone.next(session.codec);
                    let packet = stream.packet(&payload);
                    let bytes = match &mut secure {
                        Some(secure) => secure.protect(&packet).map_err(io::Error::other)?,
                        None => packet,
                    };
                    session.sent.sent(&payload, Instant::now());
                    // A refused port shows as loss at the other side.
                    let _ = self.rtp.send_to(&bytes, session.remote).await;
                    if stream.left == 0 {
                        end = Instant::now() + LINGER;
                        let report = stream.report();
                        let bytes = match &mut secure {
                            Some(secure) => secure.protect_rtcp(&report).map_err(io::Error::other)?,
                            None => report,
                        };
                        // With ICE both share the port that was checked.
                        let _ = match ice {
                            Some(_) => self.rtp.send_to(&bytes, session.remote).await,
                            None => self.rtcp.send_to(&bytes, session.remote_rtcp).await,
                        };
                    }
                }
                got = self.rtp.recv_from(&mut buffer) => {
                    let at = Instant::now();
                    let Ok((length, source)) = got else { continue };
                    if let Some(client) = &mut ice
                        && client.takes(&buffer[..length], source)
                    {
                        continue;
                    }
                    if ice.is_some() && is_rtcp(&buffer[..length]) {
                        let is_good = secure.as_mut().is_some_and(|secure| secure.open_rtcp(&buffer[..length]).is_ok());
                        match is_good {
                            true => meter.rtcp(),
                            false => meter.refuse(),
                        }
                        continue;
                    }
                    let opened = match &mut secure {
                        Some(secure) => secure.open(&buffer[..length]).ok(),
                        None => Some(buffer[..length].to_vec()),
                    };
                    let packet = opened.as_deref().and_then(Packet::read);
                    match packet {
                        Some(p) if source == session.remote && p.payload_type == session.payload_types.1 => {
                            meter.packet(p.sequence, p.timestamp, p.payload, at);
                        }
                        Some(_) | None => meter.refuse(),
                    }
                }
                got = self.rtcp.recv_from(&mut control) => {
                    let Ok((length, _)) = got else { continue };
                    let is_good = match &mut secure {
                        Some(secure) => secure.open_rtcp(&control[..length]).is_ok(),
                        None => is_rtcp(&control[..length]),
                    };
                    match is_good {
                        true => meter.rtcp(),
                        false => meter.refuse(),
                    }
                }
                () = sleep_until(due), if ice.is_some() => {
                    if let Some(client) = &mut ice {
                        client.ticks();
                    }
                }
                () = sleep_until(end) => break,
            }
        }
        *lock(&self.stream) = Some(stream);
        Ok(meter.finish(packets))
    }

    /// Sends every packet back where it came from until nothing comes for `silence`: how an echo
    /// user sounds. Gives the number of packets.
    pub async fn echo(self, mut secure: Option<Secure>, silence: Duration) -> u64 {
        let mut buffer = [0; LONGEST];
        let mut count = 0;
        while let Ok(Ok((length, source))) = timeout(silence, self.rtp.recv_from(&mut buffer)).await
        {
            let packet = match &mut secure {
                Some(secure) => match secure.open(&buffer[..length]) {
                    Ok(packet) => secure.protect(&packet).ok(),
                    Err(_) => None,
                },
                None => Some(buffer[..length].to_vec()),
            };
            if let Some(packet) = packet {
                count += 1;
                let _ = self.rtp.send_to(&packet, source).await;
            }
        }
        count
    }
}

/// Our own packets.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) payload_type: u8,
    pub(crate) ssrc: [u8; 4],
    pub(crate) sequence: u16,
    timestamp: u32,
    pub(crate) count: u32,
    octets: u32,
    left: u64,
    born: Instant,
}

impl Stream {
    pub(crate) fn new(payload_type: u8, packets: u64) -> Self {
        let [a, b, c, d, e, f] = random::bytes();
        Self {
            payload_type,
            ssrc: random::bytes(),
            sequence: u16::from_be_bytes([a, b]),
            timestamp: u32::from_be_bytes([c, d, e, f]),
            count: 0,
            octets: 0,
            left: packets,
            born: Instant::now(),
        }
    }

    /// The time as reports tell it, in units of 1/65536 s (RFC 3550 §4). It begins with 1 s, since 0 says
    /// nothing, and has nothing to do with that on the wall.
    pub(crate) fn clock(&self) -> u32 {
        let since = self.born.elapsed() + Duration::from_secs(1);
        ((since.as_micros() << 16) / 1_000_000) as u32
    }

    /// The next RTP packet (RFC 3550 §5.1); the first carries the marker.
    pub(crate) fn packet(&mut self, payload: &[u8]) -> Vec<u8> {
        let marker = if self.count == 0 { 0x80 } else { 0 };
        let mut packet = vec![0x80, marker | self.payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(self.ssrc);
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(payload.len() as u32);
        self.count += 1;
        self.octets += payload.len() as u32;
        self.left = self.left.saturating_sub(1);
        packet
    }

    /// A packet of comfort noise, which stands for so many samples (RFC 3389 §3).
    pub(crate) fn noise(&mut self, samples: u32) -> Vec<u8> {
        let audio = std::mem::replace(&mut self.payload_type, NOISE);
        let packet = self.packet(&[LEVEL]);
        self.payload_type = audio;
        self.timestamp = self.timestamp.wrapping_add(samples.saturating_sub(1));
        packet
    }

    /// A packet of an event (RFC 4733 §2.3): all of one event carry the time of its beginning.
    pub(crate) fn event(&mut self, payload_type: u8, payload: &[u8], is_first: bool) -> Vec<u8> {
        let marker = if is_first { 0x80 } else { 0 };
        if is_first {
            self.timestamp = self.timestamp.wrapping_add(8 * SAMPLES as u32);
        }
        let mut packet = vec![0x80, marker | payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(self.ssrc);
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }

    /// A sender report with a CNAME (RFC 3550 §6.4.1, §6.5.1).
    pub(crate) fn report(&self) -> Vec<u8> {
        let mut report = vec![0x80, 200, 0, 6];
        report.extend(self.ssrc);
        report.extend((u64::from(self.clock()) << 16).to_be_bytes());
        report.extend(self.timestamp.to_be_bytes());
        report.extend(self.count.to_be_bytes());
        report.extend(self.octets.to_be_bytes());
        report.extend([0x81, 202, 0, 3]);
        report.extend(self.ssrc);
        report.extend(*b"\x01\x04peer\0\0");
        report
    }
}

/// What the ear looks at in an RTP packet.
pub(crate) struct Packet<'p> {
    pub(crate) payload_type: u8,
    pub(crate) source: [u8; 4],
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) payload: &'p [u8],
}

impl<'p> Packet<'p> {
    pub(crate) fn read(bytes: &'p [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<12>()?;
        let [first, second, s0, s1, t0, t1, t2, t3, source @ ..] = *head;
        let is_plain = first >> 6 == 2 && first & 0x30 == 0;
        let sources = usize::from(first & 0x0F) * 4;
        is_plain.then_some(Self {
            payload_type: second & 0x7F,
            source,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            payload: rest.get(sources..)?,
        })
    }
}

pub(crate) fn is_rtcp(bytes: &[u8]) -> bool {
    bytes.len() >= 8 && bytes[0] >> 6 == 2 && (192..=223).contains(&bytes[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::secure::Key;

    async fn pair(secured: bool) -> (Figures, Figures) {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let (near, far) = (
            Sockets::open(ip).await.unwrap(),
            Sockets::open(ip).await.unwrap(),
        );
        let (here, there) = (near.address().unwrap(), far.address().unwrap());
        let (a, b) = (Key::random(), Key::random());
        let (ledger_a, ledger_b) = (Ledger::default(), Ledger::default());
        let session = |remote: SocketAddr, ours: &Key, theirs: &Key, plays, expects| Session {
            remote,
            remote_rtcp: SocketAddr::new(remote.ip(), remote.port() + 1),
            codec: Codec::Pcma,
            payload_types: (8, 8),
            secure: secured.then(|| Secure::new(ours, theirs).unwrap()),
            plays,
            expects,
            sent: Ledger::default(),
            heard: Ledger::default(),
            ice: None,
        };
        let mut one = session(there, &a, &b, 437.3, 611.7);
        (one.sent, one.heard) = (ledger_a.clone(), ledger_b.clone());
        let mut two = session(here, &b, &a, 611.7, 437.3);
        (two.sent, two.heard) = (ledger_b, ledger_a);
        let (one, two) = tokio::join!(near.talk(one, 20), far.talk(two, 20));
        (one.unwrap(), two.unwrap())
    }

    #[tokio::test]
    async fn two_ends_hear_each_other_plain_and_secured() {
        for secured in [false, true] {
            let (one, two) = pair(secured).await;
            assert!(one.is_perfect() && two.is_perfect(), "{one:?} {two:?}");
        }
    }

    #[tokio::test]
    async fn an_echo_comes_back() {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let (near, far) = (
            Sockets::open(ip).await.unwrap(),
            Sockets::open(ip).await.unwrap(),
        );
        let there = far.address().unwrap();
        let (ours, theirs) = (Key::random(), Key::random());
        let echo = Secure::new(&theirs, &ours).unwrap();
        let task = tokio::spawn(far.echo(Some(echo), Duration::from_millis(200)));
        let mut secure = Secure::new(&ours, &theirs).unwrap();
        let packet = [&[0x80, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9][..], &[0x55; 160]].concat();
        let bytes = secure.protect(&packet).unwrap();
        near.rtp.send_to(&bytes, there).await.unwrap();
        let mut buffer = [0; LONGEST];
        let length = near.rtp.recv(&mut buffer).await.unwrap();
        assert_eq!(secure.open(&buffer[..length]).unwrap(), packet);
        assert_eq!(task.await.unwrap(), 1);
    }
}
