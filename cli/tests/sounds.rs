//! Sounds of a running daemon: files become what a caller hears, and files that cannot be played are
//! refused with the reason.

use crate::daemon::{Node, Phone, exit_to, request};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::UdpSocket;

/// Longest wait for one packet.
const PATIENCE: Duration = Duration::from_secs(10);

/// An A-law octet that no tone and no silence consists of alone.
const OCTET: u8 = 0x9a;

/// Writes a WAV file of A-law: so many samples of one value.
fn write_wav(path: &Path, channels: u16, samples: usize) {
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x06\0".to_vec();
    file.extend(channels.to_le_bytes());
    file.extend(8_000u32.to_le_bytes());
    file.extend((8_000 * u32::from(channels)).to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(8u16.to_le_bytes());
    file.extend(b"data");
    file.extend((samples as u32).to_le_bytes());
    file.extend(std::iter::repeat_n(OCTET, samples));
    std::fs::write(path, file).unwrap();
}

/// A folder with a recording of 400 ms.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_wav(&folder.path().join("sorry.wav"), 1, 3_200);
    folder
}

/// The carrier's callers hear ringing, and why a number cannot be reached.
fn with_sounds(text: &str, folder: &TempDir) -> String {
    let carrier = "name = \"carrier\"\n";
    assert!(text.contains(carrier) && text.contains("[node]\n"));
    let keys = "ringback = \"local\"\nannounce = { \"404\" = \"sorry\" }\n";
    let text = text
        .replace(
            "[node]\n",
            &format!("[node]\nsounds = \"{}\"\n", folder.path().display()),
        )
        .replace(carrier, &format!("{carrier}{keys}"));
    text + "\n[[sound]]\nname = \"sorry\"\nfile = \"sorry.wav\"\n"
}

/// The payload of the next packet of audio.
async fn audio(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2_048];
    loop {
        let got = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await;
        let length = got.expect("no audio").unwrap();
        // RTP of payload type 8, without and with the marker.
        if matches!(buffer[1] & 0x7f, 8) && length > 12 {
            return buffer[12..length].to_vec();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_hears_ringing_and_then_why_it_is_refused() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let folder = folder();
    let node =
        Node::start_with(|text| with_sounds(&text, &folder) + &exit_to(callee.address)).await;
    let ours = node.udp();
    let ear = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = ear.local_addr().unwrap().port();
    let description = caller.description().replace("40000", &port.to_string());
    let uri = format!("sip:+15550100@{ours}");
    let invite = request("INVITE", &uri, caller.address, &description);
    caller.send(&invite, ours).await;
    let (asked, from) = tokio::select! {
        asked = callee.hears("INVITE ") => asked,
        (refusal, _) = caller.hears("SIP/2.0 5") => {
            panic!("{refusal}; log:\n{}", node.lines.text())
        }
    };
    callee.answers("180 Ringing", &asked, from, "").await;
    caller.hears("SIP/2.0 180").await;
    let (ours_early, _) = caller.hears("SIP/2.0 183").await;
    assert!(ours_early.contains("m=audio "), "{ours_early}");
    // A tone is a wave, and one packet after the other has it.
    for _ in 0..10 {
        let heard = audio(&ear).await;
        assert_eq!(heard.len(), 160);
        assert!(heard.iter().any(|octet| *octet != heard[0]), "silence");
    }
    callee.answers("404 Not Found", &asked, from, "").await;
    callee.hears("ACK ").await;
    let mut packets = 0;
    while packets < 15 {
        let heard = audio(&ear).await;
        packets += usize::from(heard.iter().all(|octet| *octet == OCTET));
    }
    caller.hears("SIP/2.0 404").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_what_can_be_played_and_refuses_the_rest() {
    let folder = folder();
    let node = Node::start_with(|text| with_sounds(&text, &folder)).await;
    write_wav(&folder.path().join("sorry.wav"), 2, 3_200);
    let refused = node.ask("POST", "/reload").await;
    assert_ne!(refused.status, 200, "{}", refused.body);
    let text = &refused.body;
    assert!(
        text.contains("E0048") && text.contains("2 channels"),
        "{text}"
    );
    write_wav(&folder.path().join("sorry.wav"), 1, 8_000);
    let done = node.ask("POST", "/reload").await;
    assert_eq!(done.status, 200, "{}", done.body);
    std::fs::remove_file(folder.path().join("sorry.wav")).unwrap();
    let refused = node.ask("POST", "/reload").await;
    let text = &refused.body;
    assert!(
        text.contains("E0040") && text.contains("sorry.wav"),
        "{text}"
    );
}
