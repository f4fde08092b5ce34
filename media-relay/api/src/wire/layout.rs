//! The parts of everything that goes over the socket, in their order. The digest of this file is compared when two
//! processes meet, so what is added here needs no number raised by hand.

use crate::wire_layout;
use crate::*;

wire_layout! {
    struct SessionId(number);
    struct EndpointId(number);
    struct StreamIndex(number);
    struct ForkId(number);
    struct RealmId(number);
    struct FormatId(number);
    struct SoundId(number);

    enum Command {
        0: Allocate { session, endpoints },
        1: Answer { session, endpoint, fork, negotiated, stage },
        2: Rollback { session, endpoint },
        3: Update { session, plan },
        4: Take { session, endpoint, intake },
        5: Dial { session, endpoint, dialled },
        6: Play { session, endpoint, playing },
        7: Release { session, endpoint, drain_ms },
        8: HandOver { session, endpoint, to },
        9: Follow { session, endpoint, of },
        10: Stats { session },
        11: Block { session, endpoint, is_blocked },
        12: Tap { session, tap },
        13: Expect { session, endpoint },
    }

    enum Stage {
        0: Preview,
        1: Final,
    }

    struct BridgePlan { joined, silence_ms }

    enum Event {
        0: Allocated { session, endpoints },
        1: Refused { session, endpoints, why },
        2: FirstMedia { session, endpoint, stream },
        3: SourcePinned { session, endpoint, stream, source },
        4: Silent { session, endpoint, silent_ms },
        5: OneWay { session, endpoint, kind, refused },
        6: OneWayOver { session, endpoint, kind, lasted_ms },
        7: DigitBegun { session, endpoint, digit },
        8: Digit { session, endpoint, digit, duration_ms },
        9: Played { session, endpoint, heard },
        10: Stats { session, stats },
        11: Released { session, stats },
        12: Lost { session },
        13: KeyWorn { session, endpoint, stream, fresh },
        14: HandshakeFailed { session, endpoint, stream, why },
        15: Reported { session, endpoint, stream, report },
        16: Tapped { session, endpoint, packet },
        17: Unheard { session, endpoint, silent_ms },
    }

    enum AllocateError {
        0: PortsExhausted,
        1: NoAddress,
        2: Socket,
        3: Conflict,
        4: Unavailable,
    }

    enum OneWayKind {
        0: NoPackets,
        1: WrongSource,
        2: DecryptFailures,
        3: WrongPayloadType,
        4: NoChecks,
        5: RefusedChecks,
        6: Silence,
        7: NotReceived,
        8: NoHandshake,
        9: KeyReused,
    }

    enum Family {
        0: V4,
        1: V6,
    }

    enum StreamKind {
        0: Audio,
    }

    struct EndpointSpec { endpoint, realm, family, streams, takes_last }
    struct StreamSpec { kind, protection, ice }

    enum ProtectionWanted {
        0: None,
        1: Sdes(suites),
        2: Dtls,
        3: Either(suites),
    }

    struct LocalEndpoint { endpoint, streams }
    struct LocalStream { rtp, rtcp, keys, fingerprint }
    struct Negotiated { streams }

    struct NegotiatedStream {
        content, remote_rtp, remote_rtcp, rtcp_mux, direction, protection, payloads, source, ice, ptime_ms,
        reports, voip_metrics,
    }

    struct ReportBandwidth { senders, receivers }

    enum Content {
        0: Rtp,
        1: Udptl,
    }

    enum Direction {
        0: SendReceive,
        1: Send,
        2: Receive,
        3: Inactive,
    }

    enum Protection {
        0: None,
        1: Sdes { local, remote },
        2: Dtls(terms),
    }

    struct Format { name, clock_hz, kind }

    enum FormatKind {
        0: Audio,
        1: Event,
        2: Opus(wishes),
    }

    struct OpusWishes { max_kbps, is_narrow, packets }

    enum OpusPackets {
        0: Plain,
        1: Fec,
        2: Cbr,
        3: FecCbr,
    }

    struct PayloadBinding { receive, send, id, format }

    enum SourcePolicy {
        0: Signalled,
        1: Restricted(nearby),
        2: Open(nearby),
    }

    struct Nearby { ranges, signalling }

    enum Suite {
        0: AesCm128HmacSha1_80,
        1: AesCm128HmacSha1_32,
        2: AesCm192HmacSha1_80,
        3: AesCm192HmacSha1_32,
        4: AesCm256HmacSha1_80,
        5: AesCm256HmacSha1_32,
        6: AeadAes128Gcm,
        7: AeadAes256Gcm,
    }

    struct Dialled { digit, duration_ms, signal }

    enum Signal {
        0: Event,
        1: Tone,
    }

    enum Intake {
        0: Pass,
        1: Watch,
        2: Events,
        3: Tones,
        4: Listen,
    }

    struct IceTerms { local, remote_fragment, candidates, is_sent_early }
    struct IceCandidate { component, address, priority }

    enum IceComponent {
        0: Rtp,
        1: Rtcp,
    }

    enum HashFunction {
        0: Sha1,
        1: Sha256,
        2: Sha384,
        3: Sha512,
    }

    enum DtlsRole {
        0: Active,
        1: Passive,
    }

    enum HandshakeFault {
        0: Fingerprint,
        1: Timeout,
        2: Handshake,
        3: Closed,
    }

    struct DtlsTerms { role, fingerprints, tls_id }

    struct Playing { sound, times, beside }

    enum Sound {
        0: Tone(tone),
        1: Recording(name),
        2: Noise,
    }

    struct Tone { phases }
    struct TonePhase { hz, ms }

    enum Beside {
        0: Muted,
        1: First { quiet_ms },
    }

    enum Tap {
        0: Headers,
        1: Whole,
    }

    struct TappedPacket { teller, local, remote, length, octets }

    struct SessionStats { endpoints }
    struct EndpointStats { endpoint, streams }

    struct StreamStats {
        received_packets, received_bytes, sent_packets, sent_bytes, generated_packets, received_rtcp, sent_rtcp,
        lost_packets, reordered_packets, repeated_packets, jitter_us, max_jitter_us, resynchronised, round_trip_us, answered_checks, dropped, ssrc,
        heard_unix_ms, source, codec, suite, quality,
    }

    struct QualityStats {
        mean_jitter_us, longest_gap_us, late_packets, ssrc_changes, codec_switches, bursts, scale, listening,
        conversational, worst, best, intervals, loss_15s_percent, loss_200ms_percent, round_trip_us, reported, extended,
    }

    struct BurstStats { bursts, burst_lost, burst_packets, gap_lost, gap_packets }

    enum Scale {
        0: Narrowband,
        1: Wideband,
        2: Fullband,
    }

    struct Score { r, mos }
    struct Rating { mean, least }

    struct RatedInterval {
        unix_ms, length_ms, expected, lost, late, max_jitter_us, longest_gap_us, round_trip_us, score,
    }

    struct RtcpReport { teller, local, remote, ssrc, sender, reception, extended }

    enum Teller {
        0: Peer,
        1: Us,
    }

    struct SenderFigures { ntp, rtp_timestamp, packets, octets }

    struct ReceptionFigures {
        ssrc, fraction_lost, lost, highest_sequence, jitter, last_sr, delay_since_last_sr,
    }

    struct ReportedStats { reports, lost, worst_loss_percent, jitter_us, max_jitter_us, listening }

    struct VoipMetrics {
        loss_rate, discard_rate, burst_density, gap_density, burst_ms, gap_ms, round_trip_ms, end_system_ms,
        signal_level, noise_level, echo_return_loss, gmin, r, external_r, mos_lq_10, mos_cq_10, buffer_ms,
        buffer_max_ms, buffer_limit_ms,
    }
}
