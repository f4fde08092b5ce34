//! A call over sockets whose caller has DTLS-SRTP and whose callee has plain RTP: a real handshake in either role, voice
//! both ways, and the end of a call whose caller has another certificate than it says (MED-130, MED-133).

use crate::daemon::{Node, Phone, exit_to, request, within};
use media_api::{CryptoKey, DtlsRole, DtlsTerms, Fingerprint};
use media_relay::Timestamp;
use media_relay::dtls::{Association, Identity, Outcome};
use media_relay::srtp::{MAX_TRAILER_BYTES, Receiver, Sender};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// Longest wait for keys, or for one packet.
const PATIENCE: Duration = Duration::from_secs(10);

fn with_dtls(text: &str) -> String {
    let carrier = "name = \"carrier\"\n";
    assert!(text.contains(carrier));
    text.replace(carrier, &format!("{carrier}srtp = \"dtls\"\n"))
}

/// The caller's media: a socket, and what it makes of a handshake.
struct Media {
    socket: UdpSocket,
    ours: SocketAddr,
    epoch: Instant,
    association: Association,
}

impl Media {
    fn now(&self) -> Timestamp {
        Timestamp(0) + self.epoch.elapsed()
    }

    /// Shakes hands until there are keys.
    async fn keys(&mut self) -> (CryptoKey, CryptoKey) {
        let mut buffer = [0; 2_048];
        let end = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < end, "no keys");
            let now = self.now();
            let due = self.association.deadline().map(|due| due.since(now));
            let wait = due.unwrap_or(Duration::from_millis(100));
            let mut out: Vec<Vec<u8>> = Vec::new();
            let send = |packet: &[u8]| out.push(packet.to_vec());
            let outcome = match tokio::time::timeout(wait, self.socket.recv_from(&mut buffer)).await
            {
                Ok(got) => {
                    let (length, from) = got.unwrap();
                    assert_eq!(from, self.ours);
                    let is_part = (20..64).contains(&buffer[0]);
                    assert!(is_part, "nothing comes before the keys (MED-136)");
                    let now = self.now();
                    self.association.packet(&buffer[..length], now, send)
                }
                Err(_) => {
                    let now = self.now();
                    self.association.tick(now, send)
                }
            };
            for packet in out {
                self.socket.send_to(&packet, self.ours).await.unwrap();
            }
            match outcome {
                None => {}
                Some(Outcome::Keys { local, remote }) => return (local, remote),
                Some(Outcome::Failed(fault)) => panic!("{fault}"),
            }
        }
    }
}

fn value<'t>(description: &'t str, name: &str) -> &'t str {
    let mut lines = description.lines();
    let found = lines.find_map(|line| line.strip_prefix(name));
    found.unwrap_or_else(|| panic!("{name} in {description}"))
}

/// Where a description wants its media.
fn place(description: &str) -> SocketAddr {
    let port = value(description, "m=audio ").split(' ').next().unwrap();
    let ip = value(description, "c=IN IP4 ");
    format!("{ip}:{port}").parse().unwrap()
}

fn voice(index: u16, what: &[u8; 160]) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(index.to_be_bytes());
    packet.extend((u32::from(index) * 160).to_be_bytes());
    packet.extend([0, 0, 0x22, 0x22]);
    packet.extend(what);
    packet
}

/// A call that is answered: its phones, the caller's media, the callee's, and where ours are for the callee. The
/// caller says of itself what `print` makes of its fingerprint.
async fn answered(
    setup: &str,
    print: impl Fn(&Fingerprint) -> String,
) -> (Node, [Phone; 2], Media, UdpSocket, SocketAddr) {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let node = Node::start_with(|text| with_dtls(&text) + &exit_to(callee.address)).await;
    let identity = Identity::generate().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let description = caller
        .description()
        .replace("40000 RTP/AVP", &format!("{port} UDP/TLS/RTP/SAVP"))
        + &format!(
            "a=setup:{setup}\r\na=fingerprint:{}\r\na=rtcp-mux\r\n",
            print(identity.fingerprint())
        );
    let ours = node.udp();
    let uri = format!("sip:+15550100@{ours}");
    let invite = request("INVITE", &uri, caller.address, &description);
    caller.send(&invite, ours).await;
    let (asked, from) = callee.hears("INVITE ").await;
    assert!(asked.contains(" RTP/AVP ") && !asked.contains("fingerprint"));
    let plain = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    let port = plain.local_addr().unwrap().port();
    let answer = callee.description().replace("40000", &port.to_string());
    callee.answers("200 OK", &asked, from, &answer).await;
    let (ok, _) = caller.hears("SIP/2.0 200").await;
    let ack = within(&ok, "ACK", 1, caller.address);
    caller.send(&ack, ours).await;
    let role = match value(&ok, "a=setup:") {
        "active" => DtlsRole::Passive,
        "passive" => DtlsRole::Active,
        other => panic!("{other}"),
    };
    let (function, digest) = value(&ok, "a=fingerprint:").split_once(' ').unwrap();
    let terms = DtlsTerms {
        role,
        fingerprints: Vec::from_iter(Fingerprint::parse(function.as_bytes(), digest.as_bytes())),
        tls_id: String::new(),
    };
    let epoch = Instant::now();
    let media = Media {
        association: Association::new(&identity, terms, Timestamp(0)),
        socket,
        ours: place(&ok),
        epoch,
    };
    (node, [caller, callee], media, plain, place(&asked))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voice_goes_both_ways_under_the_keys_of_a_handshake_in_either_role() {
    for setup in ["actpass", "active"] {
        let (_node, _phones, mut media, plain, for_plain) =
            answered(setup, |own| own.to_string()).await;
        let (local, remote) = media.keys().await;
        let (sender, mut receiver) = (Sender::new(&local), Receiver::new(&remote));
        let mut buffer = [0; 2_048];
        let mut heard = (0, 0);
        let end = Instant::now() + PATIENCE;
        let mut index = 1;
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        while heard.0 < 10 || heard.1 < 10 {
            assert!(Instant::now() < end, "{setup}: {heard:?}");
            let mut other = [0; 2_048];
            tokio::select! {
                _ = beat.tick() => {
                    let mut packet = voice(index, &[0x5a; 160]);
                    let length = packet.len();
                    packet.resize(length + MAX_TRAILER_BYTES, 0);
                    let length = sender.protect_rtp(&mut packet, length, u64::from(index)).unwrap();
                    media.socket.send_to(&packet[..length], media.ours).await.unwrap();
                    plain.send_to(&voice(index, &[0xa5; 160]), for_plain).await.unwrap();
                    index += 1;
                }
                got = plain.recv_from(&mut buffer) => {
                    let (length, _) = got.unwrap();
                    heard.0 += u32::from(buffer[..length].ends_with(&[0x5a; 160]));
                }
                got = media.socket.recv_from(&mut other) => {
                    let (length, _) = got.unwrap();
                    assert!(!other[..length].ends_with(&[0xa5; 160]), "in the clear");
                    let now = Timestamp(0) + media.epoch.elapsed();
                    let is_rtp = other[0] >= 128 && other[1] & 0x7f == 8;
                    let plain = is_rtp.then(|| receiver.unprotect_rtp(&mut other[..length], now));
                    if let Some(Ok(length)) = plain {
                        heard.1 += u32::from(other[..length].ends_with(&[0xa5; 160]));
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_with_another_certificate_than_it_says_is_hung_up_on() {
    let other = |_: &Fingerprint| format!("sha-256 {}", ["07"; 32].join(":"));
    let (node, [caller, callee], mut media, ..) = answered("actpass", other).await;
    let shaking = tokio::spawn(async move { media.keys().await });
    // Sooner than a peer that is only silent would be given up.
    let soon = Duration::from_secs(5);
    caller.hears_within("BYE ", soon).await;
    callee.hears_within("BYE ", soon).await;
    shaking.abort();
    let why = "the certificate is not the one whose fingerprint the description has";
    // Whoever writes the log may be slower than the BYE.
    let end = Instant::now() + PATIENCE;
    while !node.lines.text().contains(why) {
        assert!(Instant::now() < end, "{}", node.lines.text());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
