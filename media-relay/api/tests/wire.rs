//! Every command and event survives the way over the socket, and nothing else is taken for one.

use media_api::wire::{Reader, Wire, WireFault, Writer};
use media_api::*;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::SocketAddr;

fn octets(value: &impl Wire) -> Vec<u8> {
    let mut out = Writer::default();
    value.put(&mut out);
    out.octets().to_vec()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn key(suite: Suite, first: u8) -> CryptoKey {
    let length = u8::try_from(suite.key_and_salt_bytes()).unwrap();
    CryptoKey::new(suite, (first..first + length).collect()).unwrap()
}

fn credentials() -> IceCredentials {
    IceCredentials::new("8hhY".into(), "asd88fgpdd777uzjYhagZg".into()).unwrap()
}

fn stream() -> NegotiatedStream {
    NegotiatedStream {
        content: Content::Rtp,
        remote_rtp: address("192.0.2.1:4000"),
        remote_rtcp: address("[2001:db8::1]:4001"),
        rtcp_mux: true,
        direction: Direction::Receive,
        protection: Protection::Sdes {
            local: key(Suite::AeadAes256Gcm, 1),
            remote: key(Suite::AesCm128HmacSha1_32, 9).with_identifier(vec![1, 2, 3]),
        },
        payloads: vec![
            PayloadBinding {
                receive: 101,
                send: 96,
                id: FormatId(3),
                format: Format {
                    name: Cow::Borrowed("telephone-event"),
                    clock_hz: 8_000,
                    kind: FormatKind::Event,
                },
            },
            PayloadBinding {
                receive: 111,
                send: 109,
                id: FormatId(4),
                format: Format {
                    name: Cow::Borrowed("opus"),
                    clock_hz: 48_000,
                    kind: FormatKind::Opus(OpusWishes {
                        max_kbps: 20,
                        is_narrow: true,
                        packets: OpusPackets::Fec,
                    }),
                },
            },
        ],
        source: SourcePolicy::Restricted(Nearby {
            ranges: AddressRanges::of([(
                "192.0.2.0".parse().unwrap(),
                "192.0.2.15".parse().unwrap(),
            )]),
            signalling: Some("203.0.113.9".parse().unwrap()),
        }),
        ice: Some(Box::new(IceTerms {
            local: credentials(),
            remote_fragment: "peer".into(),
            candidates: vec![IceCandidate {
                component: IceComponent::Rtcp,
                address: address("198.51.100.7:9"),
                priority: u32::MAX,
            }],
            is_sent_early: true,
        })),
        ptime_ms: 20,
        reports: None,
        voip_metrics: true,
    }
}

fn commands() -> Vec<Command> {
    let (session, endpoint) = (SessionId::new(31, 7), EndpointId(2));
    let spec = |protection, ice| EndpointSpec {
        endpoint,
        realm: RealmId(300),
        family: Family::V6,
        streams: vec![StreamSpec {
            kind: StreamKind::Audio,
            protection,
            ice,
        }],
        takes_last: true,
    };
    let playing = |sound, times, beside| Command::Play {
        session,
        endpoint,
        playing: Some(Playing {
            sound,
            times,
            beside,
        }),
    };
    let tone = Tone {
        phases: vec![TonePhase {
            hz: [425, 0],
            ms: 1_000,
        }],
    };
    let mut all = vec![
        Command::Allocate {
            session,
            endpoints: vec![
                spec(ProtectionWanted::None, None),
                spec(ProtectionWanted::Either(vec![Suite::AeadAes128Gcm]), None),
                spec(
                    ProtectionWanted::Sdes(Suite::ALL.to_vec()),
                    Some(credentials()),
                ),
            ],
        },
        Command::Answer {
            session,
            endpoint,
            fork: ForkId(1),
            negotiated: Negotiated {
                streams: vec![None, Some(stream())],
            },
            stage: Stage::Preview,
        },
        Command::Rollback { session, endpoint },
        Command::Expect { session, endpoint },
        Command::Update {
            session,
            plan: BridgePlan {
                joined: Some((endpoint, EndpointId(0))),
                silence_ms: 9,
            },
        },
        playing(Sound::Tone(tone), Some(3), Beside::Muted),
        playing(
            Sound::Recording(SoundId(7)),
            None,
            Beside::First { quiet_ms: 200 },
        ),
        playing(Sound::Noise, None, Beside::Muted),
        Command::Play {
            session,
            endpoint,
            playing: None,
        },
        Command::Release {
            session,
            endpoint: Some(endpoint),
            drain_ms: 500,
        },
        Command::HandOver {
            session,
            endpoint,
            to: SessionId(1),
        },
        Command::Tap {
            session,
            tap: Some(Tap::Headers),
        },
        Command::Tap {
            session,
            tap: Some(Tap::Whole),
        },
        Command::Follow {
            session,
            endpoint,
            of: (SessionId(1), EndpointId(9)),
        },
        Command::Stats { session },
    ];
    for intake in [Intake::Pass, Intake::Watch, Intake::Events, Intake::Tones] {
        all.push(Command::Take {
            session,
            endpoint,
            intake,
        });
    }
    for is_blocked in [false, true] {
        all.push(Command::Block {
            session,
            endpoint,
            is_blocked,
        });
    }
    for signal in [Signal::Event, Signal::Tone] {
        let digit = Digit::from_char('#').unwrap();
        let dialled = Dialled {
            digit,
            duration_ms: 160,
            signal,
        };
        all.push(Command::Dial {
            session,
            endpoint,
            dialled,
        });
    }
    all
}

fn stats() -> SessionStats {
    let score = Score { r: 93.2, mos: 4.4 };
    let rating = Rating {
        mean: score,
        least: Score { r: 50.0, mos: 2.6 },
    };
    let quality = QualityStats {
        loss_15s_percent: 1.5,
        scale: Some(Scale::Wideband),
        listening: Some(rating),
        worst: Some(RatedInterval {
            unix_ms: u64::MAX,
            score,
            ..RatedInterval::default()
        }),
        best: Some(RatedInterval {
            round_trip_us: Some(7),
            ..RatedInterval::default()
        }),
        intervals: 12,
        round_trip_us: Some((1, 2)),
        reported: Some(ReportedStats {
            lost: -3,
            listening: Some(rating),
            ..ReportedStats::default()
        }),
        extended: Some(VoipMetrics {
            signal_level: -18,
            ..VoipMetrics::default()
        }),
        ..QualityStats::default()
    };
    let mut dropped = [0; DropReason::ALL.len()];
    dropped[DropReason::Replay as usize] = 4;
    let stream = StreamStats {
        received_packets: 1 << 40,
        lost_packets: -1,
        dropped,
        ssrc: Some(u32::MAX),
        heard_unix_ms: Some(9),
        source: Some(address("192.0.2.1:5")),
        codec: Some(Cow::Borrowed("opus")),
        suite: Some(Suite::AeadAes128Gcm),
        quality,
        ..StreamStats::default()
    };
    SessionStats {
        endpoints: vec![EndpointStats {
            endpoint: EndpointId(1),
            streams: vec![stream, StreamStats::default()],
        }],
    }
}

fn events() -> Vec<Event> {
    let (session, endpoint) = (SessionId::new(1, 99), EndpointId(1));
    let digit = Digit::from_char('D').unwrap();
    let mut all = vec![
        Event::Allocated {
            session,
            endpoints: vec![LocalEndpoint {
                endpoint,
                streams: vec![LocalStream {
                    rtp: address("192.0.2.1:2"),
                    rtcp: address("192.0.2.1:3"),
                    keys: Suite::ALL.map(|suite| key(suite, 0)).to_vec(),
                    fingerprint: Fingerprint::new(HashFunction::Sha256, vec![9; 32]),
                }],
            }],
        },
        Event::FirstMedia {
            session,
            endpoint,
            stream: StreamIndex(1),
        },
        Event::SourcePinned {
            session,
            endpoint,
            stream: StreamIndex(0),
            source: address("[::1]:9"),
        },
        Event::Silent {
            session,
            endpoint,
            silent_ms: 3,
        },
        Event::KeyWorn {
            session,
            endpoint,
            stream: StreamIndex(1),
            fresh: key(Suite::AesCm128HmacSha1_80, 3),
        },
        Event::DigitBegun {
            session,
            endpoint,
            digit,
        },
        Event::Digit {
            session,
            endpoint,
            digit,
            duration_ms: 100,
        },
        Event::Played {
            session,
            endpoint,
            heard: true,
        },
        Event::Stats {
            session,
            stats: stats(),
        },
        Event::Reported {
            session,
            endpoint,
            stream: StreamIndex(0),
            report: RtcpReport {
                teller: Teller::Us,
                local: address("192.0.2.1:3"),
                remote: address("[2001:db8::1]:5"),
                ssrc: 1 << 31,
                sender: None,
                reception: None,
                extended: None,
            },
        },
        Event::Reported {
            session,
            endpoint,
            stream: StreamIndex(0),
            report: RtcpReport {
                teller: Teller::Peer,
                local: address("192.0.2.1:3"),
                remote: address("198.51.100.1:5"),
                ssrc: 7,
                sender: Some(SenderFigures {
                    ntp: 1 << 63,
                    rtp_timestamp: 2,
                    packets: 3,
                    octets: 4,
                }),
                reception: Some(ReceptionFigures {
                    ssrc: 5,
                    fraction_lost: 255,
                    lost: -6,
                    highest_sequence: 7,
                    jitter: 8,
                    last_sr: 9,
                    delay_since_last_sr: 10,
                }),
                extended: Some(VoipMetrics::default()),
            },
        },
        Event::Released {
            session,
            stats: SessionStats::default(),
        },
        Event::Lost { session },
        Event::Tapped {
            session,
            endpoint,
            packet: TappedPacket {
                teller: Teller::Peer,
                local: address("192.0.2.1:2"),
                remote: address("198.51.100.1:4"),
                length: 172,
                octets: vec![0x80; 12],
            },
        },
    ];
    for why in [
        AllocateError::PortsExhausted,
        AllocateError::NoAddress,
        AllocateError::Socket,
        AllocateError::Conflict,
        AllocateError::Unavailable,
    ] {
        all.push(Event::Refused {
            session,
            endpoints: vec![endpoint],
            why,
        });
    }
    for why in [
        HandshakeFault::Fingerprint,
        HandshakeFault::Timeout,
        HandshakeFault::Handshake,
        HandshakeFault::Closed,
    ] {
        all.push(Event::HandshakeFailed {
            session,
            endpoint,
            stream: StreamIndex(0),
            why,
        });
    }
    for kind in [
        OneWayKind::NoPackets,
        OneWayKind::WrongSource,
        OneWayKind::DecryptFailures,
        OneWayKind::WrongPayloadType,
        OneWayKind::NoChecks,
        OneWayKind::RefusedChecks,
        OneWayKind::Silence,
        OneWayKind::NotReceived,
        OneWayKind::NoHandshake,
        OneWayKind::KeyReused,
    ] {
        all.push(Event::OneWay {
            session,
            endpoint,
            kind,
            refused: Some(address("203.0.113.9:4000")),
        });
        all.push(Event::Unheard {
            session,
            endpoint,
            silent_ms: 2_500,
        });
        all.push(Event::OneWayOver {
            session,
            endpoint,
            kind,
            lasted_ms: 7,
        });
    }
    all
}

/// The numbers of the variants that are among `all`, which must be those that can be read.
fn are_all_variants<T: Wire>(all: &[T]) {
    let seen: BTreeSet<u8> = all.iter().map(|one| octets(one)[0]).collect();
    let is_known = |number: &u8| {
        // What follows is missing, the variant is not.
        !matches!(
            Reader::whole::<T>(&[*number]),
            Err(WireFault::Variant { .. })
        )
    };
    let known: BTreeSet<u8> = (0..=u8::MAX).filter(is_known).collect();
    assert_eq!(seen, known, "a variant has no sample here");
}

#[test]
fn every_command_and_every_event_is_what_it_was() {
    let (commands, events) = (commands(), events());
    are_all_variants(&commands);
    are_all_variants(&events);
    for command in &commands {
        assert_eq!(Reader::whole(&octets(command)).as_ref(), Ok(command));
    }
    for event in &events {
        assert_eq!(Reader::whole(&octets(event)).as_ref(), Ok(event));
    }
    // Keys are the same whatever lifetime they have, so that comparing them says nothing of it.
    let short = key(Suite::AesCm128HmacSha1_80, 0).with_lifetime(1 << 20);
    let read = Reader::whole::<CryptoKey>(&octets(&short)).unwrap();
    assert_eq!(read.lifetime(), 1 << 20);
    let terms = DtlsTerms {
        role: DtlsRole::Passive,
        fingerprints: vec![Fingerprint::new(HashFunction::Sha384, vec![7; 48]).unwrap()],
        tls_id: "abc".into(),
    };
    assert_eq!(Reader::whole(&octets(&terms)), Ok(terms));
}

/// Octets have one meaning, and a meaning has one form: what can be read is what would be written.
fn is_canonical<T: Wire>(octets_of: &[u8]) -> bool {
    match Reader::whole::<T>(octets_of) {
        Ok(value) => {
            assert_eq!(octets(&value), octets_of);
            true
        }
        Err(_) => false,
    }
}

#[test]
fn changed_octets_are_refused_or_mean_something_else_in_the_one_form_of_it() {
    let mut all: Vec<(bool, Vec<u8>)> = Vec::new();
    all.extend(commands().iter().map(|one| (true, octets(one))));
    all.extend(events().iter().map(|one| (false, octets(one))));
    let check = |is_command: bool, octets: &[u8]| match is_command {
        true => is_canonical::<Command>(octets),
        false => is_canonical::<Event>(octets),
    };
    let (mut taken, mut refused) = (0, 0);
    for (is_command, own) in &all {
        for end in 0..own.len() {
            assert!(!check(*is_command, &own[..end]), "cut at {end}");
        }
        let mut more = own.clone();
        more.push(0);
        assert!(!check(*is_command, &more), "something behind the end");
        for at in 0..own.len() {
            for change in [1, 0x80, 0xff] {
                let mut changed = own.clone();
                changed[at] ^= change;
                match check(*is_command, &changed) {
                    true => taken += 1,
                    false => refused += 1,
                }
            }
        }
    }
    assert!(taken > 1_000 && refused > 1_000, "{taken} {refused}");
}

#[test]
fn a_length_is_believed_only_as_far_as_octets_have_come() {
    let huge = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(Reader::whole::<Command>(&huge), Err(WireFault::Short));
    let mut key = octets(&key(Suite::AesCm128HmacSha1_80, 0).with_identifier(vec![0; 128]));
    assert!(is_canonical::<CryptoKey>(&key));
    let at = key.len() - 132;
    key[at] = 129;
    key.push(0);
    assert_eq!(
        Reader::whole::<CryptoKey>(&key),
        Err(WireFault::Value("key identifier"))
    );
}

#[test]
fn neither_writers_nor_readers_show_what_they_hold() {
    let mut out = Writer::default();
    key(Suite::AesCm128HmacSha1_80, 65).put(&mut out);
    assert_eq!(format!("{out:?}"), "Writer(43 octets)");
    let reader = Reader::new(out.octets());
    assert_eq!(format!("{reader:?}"), "Reader(43 octets left)");
}
