//! A call through a running daemon whose two sides have no codec in common: A-law in the clear on one side,
//! G.722 over SRTP on the other. A tone arrives as that tone, and records and metrics say what was done.

use crate::daemon::{Node, Phone, request, within};
use crate::support::{Authority, accept_tls, listener, write};
use media_api::{CryptoKey, Suite};
use media_relay::Timestamp;
use media_relay::codec::{Coding, Decoder, Encoder, MAX_PAYLOAD_BYTES};
use media_relay::g711::Law;
use media_relay::srtp::{MAX_TRAILER_BYTES, Receiver, Sender};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::server::TlsStream;

const SUITE: Suite = Suite::AesCm128HmacSha1_80;
/// The called side's key, and how it is written.
const KEY: &[u8; 30] = b"123456789012345678901234567890";
const WRITTEN_KEY: &str = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw";
const PATIENCE: Duration = Duration::from_secs(20);
const AMPLITUDE: f64 = 8_000.0;

/// The called side, behind TLS.
struct Secured {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

impl Secured {
    /// The next request with this method; others are left alone.
    async fn hears(&mut self, method: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if let Some((head, rest)) = text.split_once("\r\n\r\n") {
                let mut lines = head.lines();
                let length = lines.find_map(|own| own.strip_prefix("Content-Length: "));
                let length: usize = length.unwrap().trim().parse().unwrap();
                if rest.len() >= length {
                    let all = head.len() + 4 + length;
                    self.read.drain(..all);
                    if text.starts_with(method) {
                        return text[..all].to_owned();
                    }
                    continue;
                }
            }
            let got = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
            let length = got.unwrap_or_else(|_| panic!("no {method}")).unwrap();
            assert!(length > 0, "it hangs up before {method}");
        }
    }

    /// Accepts a request, with a description or none.
    async fn accepts(&mut self, request: &str, description: &str) {
        let is_kept = |line: &&str| {
            let name = line.split(':').next().unwrap_or_default();
            matches!(name, "Via" | "From" | "Call-ID" | "CSeq" | "To")
        };
        let head = request.split("\r\n\r\n").next().unwrap_or_default();
        let kept = head.lines().filter(is_kept).map(|line| {
            let is_bare = line.starts_with("To:") && !line.contains(";tag=");
            format!("{line}{}\r\n", if is_bare { ";tag=callee" } else { "" })
        });
        let kept: String = kept.collect();
        let kind = match description {
            "" => "",
            _ => "Content-Type: application/sdp\r\n",
        };
        let answer = format!(
            "SIP/2.0 200 OK\r\n{kept}Contact: <sip:sip.peer.example:5061;transport=tls>\r\n{kind}\
             Content-Length: {}\r\n\r\n{description}",
            description.len()
        );
        self.stream.write_all(answer.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }
}

fn decoded(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |letter: u8| LETTERS.iter().position(|own| *own == letter).unwrap() as u32;
    let quads = text.as_bytes().chunks_exact(4);
    let octets = quads.flat_map(|quad| {
        let bits = quad
            .iter()
            .fold(0, |bits, letter| bits << 6 | value(*letter));
        let [_, octets @ ..] = bits.to_be_bytes();
        octets
    });
    octets.collect()
}

/// The port of the audio, and the key if there is one.
fn read(description: &str) -> (u16, Option<CryptoKey>) {
    let line = |begin: &str| description.lines().find_map(|own| own.strip_prefix(begin));
    let port = line("m=audio ").unwrap().split(' ').next().unwrap();
    let key = line("a=crypto:").map(|line| {
        let (_, key) = line.split_once("inline:").unwrap();
        CryptoKey::new(SUITE, decoded(&key[..40])).unwrap()
    });
    (port.parse().unwrap(), key)
}

/// One side's audio.
struct Talker {
    socket: UdpSocket,
    to: SocketAddr,
    payload_type: u8,
    hz: f64,
    rate: u32,
    encoder: Encoder,
    decoder: Decoder,
    keys: Option<(Sender, Receiver)>,
    sent: u16,
    heard: Vec<i16>,
}

impl Talker {
    fn new(socket: UdpSocket, to: SocketAddr, coding: Coding, hz: f64) -> Self {
        let rate = coding.joint_rate(coding);
        Self {
            socket,
            to,
            payload_type: if coding == Coding::G722 { 9 } else { 8 },
            hz,
            rate,
            encoder: Encoder::new(coding, rate),
            decoder: Decoder::new(coding, rate),
            keys: None,
            sent: 0,
            heard: Vec::new(),
        }
    }

    /// Sends 20 ms of its tone.
    fn speaks(&mut self) {
        let frame = self.rate as usize / 50;
        let sample = |at: usize| {
            let at = usize::from(self.sent) * frame + at;
            let phase = std::f64::consts::TAU * self.hz * at as f64 / f64::from(self.rate);
            (AMPLITUDE * phase.sin()) as i16
        };
        let samples: Vec<i16> = (0..frame).map(sample).collect();
        let mut packet = vec![0x80, self.payload_type];
        packet.extend(self.sent.to_be_bytes());
        packet.extend((u32::from(self.sent) * 160).to_be_bytes());
        packet.extend([0, 0, 0, self.payload_type]);
        let mut payload = [0; MAX_PAYLOAD_BYTES];
        let length = self.encoder.encode(&samples, &mut payload);
        packet.extend(&payload[..length]);
        if let Some((sender, _)) = &self.keys {
            let length = packet.len();
            packet.resize(length + MAX_TRAILER_BYTES, 0);
            let index = u64::from(self.sent);
            let length = sender.protect_rtp(&mut packet, length, index).unwrap();
            packet.truncate(length);
        }
        self.sent += 1;
        // The socket of a test has room.
        let _ = self.socket.try_send_to(&packet, self.to);
    }

    fn listens(&mut self) {
        let now = Timestamp(u64::from(self.sent) * 20_000);
        let mut buffer = [0; 2_048];
        while let Ok(length) = self.socket.try_recv(&mut buffer) {
            // Whatever else comes is no audio.
            if buffer[1] & 0x7f != self.payload_type {
                continue;
            }
            let packet = &mut buffer[..length];
            let length = match &mut self.keys {
                None => length,
                Some((_, receiver)) => receiver.unprotect_rtp(packet, now).unwrap(),
            };
            assert!(self.decoder.decode(&packet[12..length], &mut self.heard));
        }
    }

    /// The amplitude of a tone in the middle of what was heard, and its share of the power: in the usual tenth of a
    /// second, as a machine that is busy makes gaps.
    fn amplitude_of(&self, hz: f64) -> (f64, f64) {
        let all = self.heard.len();
        let middle = &self.heard[all / 4..all * 3 / 4];
        let tenth = usize::try_from(self.rate / 10).unwrap();
        let tenths = middle.chunks_exact(tenth);
        let mut all: Vec<_> = tenths.map(|own| self.amplitude_within(own, hz)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all[all.len() / 2]
    }

    /// The same of all of these (Goertzel).
    fn amplitude_within(&self, samples: &[i16], hz: f64) -> (f64, f64) {
        let step = std::f64::consts::TAU * hz / f64::from(self.rate);
        let (mut before, mut last, mut power) = (0.0, 0.0, 0.0);
        for sample in samples {
            let next = f64::from(*sample) + 2.0 * step.cos() * last - before;
            (before, last) = (last, next);
            power += f64::from(*sample).powi(2);
        }
        let square = before * before + last * last - 2.0 * step.cos() * before * last;
        let count = samples.len() as f64;
        (2.0 * square.sqrt() / count, 2.0 * square / count / power)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tone_crosses_from_a_law_to_g722_over_srtp_and_back() {
    let caller = Phone::new("127.0.0.1").await;
    let authority = Authority::new();
    let leaf = authority.leaf(&["sip.peer.example"]);
    let folder = tempfile::tempdir().unwrap();
    let roots = write(folder.path(), "roots.pem", &authority.pem());
    let (door, address) = listener().await;
    let node = Node::start_with(|text| {
        let plain = "targets = [\"sip.peer.example:5061;tls\"]\n";
        let secured = format!(
            "codecs = [\"G722\"]\nsrtp = \"required\"\noptions = false\n\
             targets = [{{ address = \"sip.peer.example:5061;tls\", connect_to = [\"{address}\"] }}]\n"
        );
        assert!(text.contains(plain));
        let ours = |line: &str| match line.starts_with("client_ca = ") {
            true => format!("client_ca = \"{}\"\n", roots.display()),
            false => format!("{line}\n"),
        };
        let text: String = text.lines().map(ours).collect();
        let route = "\n[[route]]\nname = \"out\"\nmatch = { from_trunk = \"carrier\" }\n\
                     to = [{ trunk = \"teams-contoso\" }]\n";
        text.replacen(plain, &secured, 1) + route
    })
    .await;
    let ours = node.udp();
    let (mouth, ear) = (
        UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        UdpSocket::bind("127.0.0.2:0").await.unwrap(),
    );
    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port().to_string();
    let description = caller.description().replace("40000", &port(&mouth));
    let uri = format!("sip:+15550100@{ours}");
    let invite = request("INVITE", &uri, caller.address, &description);
    caller.send(&invite, ours).await;
    let stream = tokio::time::timeout(PATIENCE, accept_tls(&door, &leaf)).await;
    let mut callee = Secured {
        stream: stream.unwrap_or_else(|_| panic!("no connection; log:\n{}", node.lines.text())),
        read: Vec::new(),
    };
    let asked = callee.hears("INVITE ").await;
    let (to_callee, our_key) = read(&asked);
    assert!(asked.contains("RTP/SAVP 9"), "{asked}");
    let answer = caller
        .description()
        .replace("127.0.0.1", "127.0.0.2")
        .replace("40000 RTP/AVP 8", &format!("{} RTP/SAVP 9", port(&ear)));
    let answer = format!(
        "{answer}a=crypto:1 {} inline:{WRITTEN_KEY}\r\n",
        SUITE.name()
    );
    callee.accepts(&asked, &answer).await;
    let (ok, _) = caller.hears("SIP/2.0 200").await;
    assert!(ok.contains("RTP/AVP 8"), "{ok}");
    caller
        .send(&within(&ok, "ACK", 1, caller.address), ours)
        .await;
    let (to_caller, _) = read(&ok);
    let host = |description: &str| -> std::net::IpAddr {
        let line = description
            .lines()
            .find_map(|own| own.strip_prefix("c=IN IP4 "));
        line.unwrap().trim().parse().unwrap()
    };
    let mut plain = Talker::new(
        mouth,
        (host(&ok), to_caller).into(),
        Coding::G711(Law::A),
        1_000.0,
    );
    let mut wide = Talker::new(ear, (host(&asked), to_callee).into(), Coding::G722, 700.0);
    let theirs = CryptoKey::new(SUITE, KEY.to_vec()).unwrap();
    wide.keys = Some((Sender::new(&theirs), Receiver::new(&our_key.unwrap())));
    // Speech has a pace, and goes on until both have heard two seconds.
    let (begun, mut metrics) = (Instant::now(), String::new());
    for at in 0.. {
        assert!(
            begun.elapsed() < PATIENCE,
            "{} and {} samples",
            plain.heard.len(),
            wide.heard.len()
        );
        let due = begun + Duration::from_millis(20) * at;
        tokio::time::sleep_until(due.into()).await;
        for talker in [&mut plain, &mut wide] {
            talker.speaks();
            talker.listens();
        }
        if at == 50 {
            metrics = node.ask("GET", "/metrics").await.body;
        }
        if plain.heard.len() > 16_000 && wide.heard.len() > 32_000 {
            break;
        }
    }
    for (talker, hz) in [(&plain, 700.0), (&wide, 1_000.0)] {
        let (amplitude, share) = talker.amplitude_of(hz);
        let level_db = 20.0 * (amplitude / AMPLITUDE).log10();
        assert!(level_db.abs() < 2.0, "{hz} Hz at {level_db:.1} dB");
        assert!(share > 0.7, "{hz} Hz: {share:.2} of what is heard");
        let (other, _) = talker.amplitude_of(hz + 333.0);
        assert!(other < amplitude / 10.0);
    }
    for pair in [r#"from="PCMA",to="G722""#, r#"from="G722",to="PCMA""#] {
        let line = format!("sbc_transcodes_active{{{pair}}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }
    caller
        .send(&within(&ok, "BYE", 2, caller.address), ours)
        .await;
    caller.hears("SIP/2.0 200").await;
    let bye = callee.hears("BYE ").await;
    callee.accepts(&bye, "").await;
    let spool = node.directory.path().join("cdr/current.jsonl");
    let ended = Instant::now();
    let record = loop {
        let text = std::fs::read_to_string(&spool).unwrap_or_default();
        if let Some(line) = text.lines().next() {
            break serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        assert!(ended.elapsed() < PATIENCE, "no record");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let told = record["transcoded"].as_array().unwrap();
    let word = |own: &serde_json::Value, key: &str| own[key].as_str().unwrap().to_owned();
    let pairs = told
        .iter()
        .map(|own| word(own, "from") + " " + &word(own, "to"));
    let pairs: Vec<String> = pairs.collect();
    assert_eq!(pairs, ["PCMA G722", "G722 PCMA"]);
    assert_ne!(told[0]["leg"], told[1]["leg"]);
    assert_eq!(told[0]["leg"], told[1]["heard_by"]);
}
