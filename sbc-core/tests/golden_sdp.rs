//! Golden pairs: offers and answers carried between two legs, as files a human can read.
//!
//! A file is a transcript. Lines that start with `#` are comments; `legs` names the profiles;
//! blocks that start with `>` are what peers send or what the call decides; blocks that start with
//! `<` are what we answer. The test plays the `>` blocks and compares the whole transcript with
//! the file. To accept a change, run with `CAUSEWAY_BLESS=1` and review the difference.

#![allow(clippy::disallowed_methods, reason = "tests read files")]

use crate::legs;

use bytes::Bytes;
use media_api::{CryptoKey, Family, Negotiated, OpusWishes, Protection, RealmId, Suite};
use sbc_core::media::{
    Codec, Facts, Formats, HoldForm, Ice, Incompatible, MediaImage, Profile, RtpProfile, Srtp,
    Transcode, interwork, read,
};
use sbc_core::sdp::{Description, Limits};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

struct Stage {
    formats: Formats,
    x: MediaImage,
    y: MediaImage,
    out: String,
}

fn profile(words: &str) -> Profile {
    let mut words = words.split_whitespace();
    let mut profile = match words.next() {
        Some("teams") => Profile::teams(RealmId(0), Family::V4),
        Some("carrier") => Profile::carrier(RealmId(1), Family::V4),
        Some("carrier6") => Profile::carrier(RealmId(2), Family::V6),
        other => panic!("unknown profile {other:?}"),
    };
    for word in words {
        match word {
            "hold=sendonly" => profile.hold = HoldForm::SendOnly,
            "hold=inactive" => profile.hold = HoldForm::Inactive,
            "hold=zero" => profile.hold = HoldForm::Zero,
            "hold=hidden" => profile.hold = HoldForm::Hidden,
            "srtp" => profile.srtp = Srtp::Required,
            "dtls" => profile.srtp = Srtp::Dtls,
            "bypass" => profile.ice = Ice::Bypass,
            "ice" => profile.ice = Ice::Lite,
            "mux" => profile.rtcp_mux = true,
            "avpf" => profile.rtp = RtpProfile::Avpf,
            "suites=80,32" => {
                profile.suites = vec![Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32];
            }
            "suites=gcm,256,80" => {
                profile.suites = vec![
                    Suite::AeadAes256Gcm,
                    Suite::AesCm256HmacSha1_80,
                    Suite::AesCm128HmacSha1_80,
                ];
            }
            "transcode=never" => profile.transcode = Transcode::Never,
            other => {
                let named = |names: &str| -> Vec<Codec> {
                    let names = names.split(',');
                    names
                        .map(|name| Codec::known(name).expect("a codec"))
                        .collect()
                };
                match other.split_once('=') {
                    Some(("codecs", names)) => {
                        let names = named(names);
                        let is_named = |own: &Codec| names.iter().any(|name| name.joins(own));
                        profile.codecs.retain(is_named);
                        let known = profile.codecs.clone();
                        let is_new = |own: &Codec| !known.iter().any(|known| known.joins(own));
                        profile.codecs.extend(names.into_iter().filter(is_new));
                    }
                    Some(("transcode", names)) => {
                        profile.transcode = Transcode::Offered(named(names));
                    }
                    _ => panic!("unknown setting {other}"),
                }
            }
        }
    }
    profile
}

impl Stage {
    fn says(&mut self, what: &str, body: &[u8]) {
        let text = std::str::from_utf8(body).unwrap();
        assert!(text.ends_with("\r\n"), "every line ends with CRLF");
        Description::parse(Bytes::copy_from_slice(body), &Limits::default())
            .expect("our own descriptions are well-formed");
        // A reader that we did not write finds the same in it.
        let oracle = rtc_sdp::SessionDescription::unmarshal(&mut std::io::Cursor::new(body))
            .expect("the oracle reads our descriptions");
        assert_eq!(oracle.marshal(), text);
        let _ = writeln!(
            self.out,
            "< {what}\n{}\n",
            text.trim_end().replace("\r\n", "\n")
        );
    }

    fn tells_relay(&mut self, leg: &str, negotiated: &Negotiated) {
        let stream = negotiated.streams[0].as_ref().unwrap();
        let _ = write!(
            self.out,
            "< relay {leg}: {:?} {} rtcp {}{} {}ms",
            stream.direction,
            stream.remote_rtp,
            stream.remote_rtcp,
            if stream.rtcp_mux { " mux" } else { "" },
            stream.ptime_ms,
        );
        match &stream.protection {
            Protection::None => self.out.push_str(" plain"),
            Protection::Dtls(terms) => {
                let _ = write!(self.out, " dtls {:?}", terms.role);
                for own in &terms.fingerprints {
                    let name = own.function().name();
                    let _ = write!(self.out, " {name} {:02x}", own.digest()[0]);
                }
                if !terms.tls_id.is_empty() {
                    let _ = write!(self.out, " {}", terms.tls_id);
                }
            }
            Protection::Sdes { local, remote } => {
                let mark = |key: &CryptoKey| key.expose_key_and_salt()[0];
                let _ = write!(
                    self.out,
                    " {} send {:02x} receive {:02x}",
                    local.suite().name(),
                    mark(local),
                    mark(remote)
                );
                if !remote.identifier().is_empty() {
                    let _ = write!(self.out, " identifier {:02x?}", remote.identifier());
                }
            }
        }
        if let Some(ice) = &stream.ice {
            let _ = write!(
                self.out,
                " ice {}:{}",
                ice.local.fragment(),
                ice.remote_fragment
            );
            if !ice.is_sent_early {
                self.out.push_str(" nominated");
            }
            for candidate in &ice.candidates {
                let _ = write!(self.out, " {:?} {}", candidate.component, candidate.address);
            }
        }
        for binding in &stream.payloads {
            let _ = write!(
                self.out,
                " [{} {}/{} in {} out {}]",
                binding.id.0,
                binding.format.name,
                binding.format.clock_hz,
                binding.receive,
                binding.send
            );
            if let Some(wishes) = binding.format.opus_wishes()
                && wishes != OpusWishes::default()
            {
                self.out.pop();
                let _ = write!(self.out, " wants {wishes:?}]");
            }
        }
        self.out.push('\n');
    }

    fn refuses(&mut self, why: Incompatible) {
        let _ = writeln!(
            self.out,
            "< refused {} warning {} because {}\n",
            why.status, why.warning.code, why.because
        );
    }

    fn play(&mut self, command: &str, body: &str) {
        let _ = writeln!(self.out, "> {command}");
        if !body.is_empty() {
            let _ = writeln!(self.out, "{body}");
        }
        self.out.push('\n');
        let wire = Bytes::from(body.replace('\n', "\r\n") + "\r\n");
        let facts = |leg: &MediaImage| -> Facts {
            let description = Description::parse(wire.clone(), &Limits::default()).unwrap();
            read(&description, leg.profile())
        };
        match command {
            "X offers" | "Y offers" => {
                let (x, y, name) = if command == "X offers" {
                    (&mut self.x, &mut self.y, "Y")
                } else {
                    (&mut self.y, &mut self.x, "X")
                };
                let offer = facts(x);
                match interwork::needs(&offer, x, y).and_then(|_| interwork::offer(offer, x, y)) {
                    Ok(body) => self.says(&format!("{name} is offered"), &body),
                    Err(why) => self.refuses(why),
                }
            }
            "Y answers" | "X answers" => {
                let y_answers = command == "Y answers";
                let (x, y) = if y_answers {
                    (&mut self.x, &mut self.y)
                } else {
                    (&mut self.y, &mut self.x)
                };
                let answer = facts(y);
                match interwork::answer(&answer, y, x, &mut self.formats) {
                    Ok(done) => {
                        let (from, to) = if y_answers { ("Y", "X") } else { ("X", "Y") };
                        self.says(&format!("{to} is answered"), &done.body);
                        self.tells_relay(to, &done.x);
                        self.tells_relay(from, &done.y);
                        self.out.push('\n');
                    }
                    Err(why) => self.refuses(why),
                }
            }
            "X offers again" => {
                let offer = facts(&self.x);
                assert!(
                    interwork::keeps_codec(&offer, &self.x, &self.y),
                    "an offer that can be answered without Y"
                );
                match interwork::answer_alone(offer, &mut self.x, &self.y, &mut self.formats) {
                    Ok(done) => {
                        self.says("X is answered", &done.body);
                        self.tells_relay("X", &done.x);
                        self.out.push('\n');
                    }
                    Err(why) => self.refuses(why),
                }
            }
            "X offers nothing" => match interwork::open(&mut self.y, self.x.profile()) {
                Ok(body) => self.says("Y is offered", &body),
                Err(why) => self.refuses(why),
            },
            "Y settles" | "X settles" => {
                let (leg, name) = if command == "X settles" {
                    (&mut self.x, "X")
                } else {
                    (&mut self.y, "Y")
                };
                let answer = facts(leg);
                match interwork::settle(&answer, leg, &mut self.formats) {
                    Ok(negotiated) => {
                        self.tells_relay(name, &negotiated);
                        self.out.push('\n');
                    }
                    Err(why) => self.refuses(why),
                }
            }
            "join X" => match interwork::join(&mut self.x, &self.y) {
                Ok(body) => self.says("X is offered", &body),
                Err(why) => self.refuses(why),
            },
            "repeat X" => {
                let body = interwork::repeat(&mut self.x).expect("something is in force");
                self.says("X is offered", &body);
            }
            "commit" => {
                assert!(self.x.commit().is_some() & self.y.commit().is_some());
            }
            "commit X" => assert!(self.x.commit().is_some()),
            "rollback" => {
                self.x.rollback();
                self.y.rollback();
            }
            other => panic!("unknown command {other}"),
        }
    }
}

/// Plays the `>` blocks of a transcript and returns the whole transcript anew.
fn replay(text: &str) -> String {
    let mut stage: Option<Stage> = None;
    let mut head = String::new();
    let mut lines = text.lines().peekable();
    let mut settings: Vec<String> = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            let _ = writeln!(
                stage.as_mut().map_or(&mut head, |stage| &mut stage.out),
                "{line}"
            );
        } else if let Some(words) = line.strip_prefix("leg ") {
            let _ = writeln!(head, "{line}");
            settings.push(words.to_owned());
            if settings.len() == 2 {
                let words = |name: &str| {
                    settings
                        .iter()
                        .find_map(|leg| leg.strip_prefix(name))
                        .expect("both legs")
                };
                stage = Some(Stage {
                    formats: Formats::default(),
                    x: legs::leg(profile(words("X ")), 1),
                    y: legs::leg(profile(words("Y ")), 2),
                    out: std::mem::take(&mut head) + "\n",
                });
            }
        } else if let Some(command) = line.strip_prefix("> ") {
            let mut body = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.is_empty()) {
                body.push(line);
            }
            stage
                .as_mut()
                .expect("legs come first")
                .play(command, &body.join("\n"));
        }
    }
    stage.expect("a transcript").out.trim_end().to_owned() + "\n"
}

fn transcripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .collect();
    files.sort();
    files
}

#[test]
fn golden_transcripts_are_unchanged() {
    let files = transcripts();
    assert!(!files.is_empty());
    let mut differing = Vec::new();
    for file in files {
        let expected = std::fs::read_to_string(&file).unwrap();
        let seen = replay(&expected);
        if seen != expected {
            if std::env::var_os("CAUSEWAY_BLESS").is_some() {
                std::fs::write(&file, &seen).unwrap();
            } else {
                differing.push(format!("{}\n{seen}", file.display()));
            }
        }
    }
    assert!(differing.is_empty(), "differs: {}", differing.join("\n"));
}
