//! What is answered, as values.

use crate::call::Call;
use crate::figures::{Asked, Figures};
use crate::note::Ending;
use crate::quality;
use crate::server::Now;
use crate::value::Value;
use media_api::{AllocateError, DropReason, SessionStats, StreamStats};
use std::borrow::Cow;
use std::net::SocketAddr;

pub(crate) fn error(reason: impl Into<Cow<'static, str>>) -> Value<'static> {
    Value::map([
        ("result", Value::text("error")),
        ("error-reason", Value::text(reason)),
    ])
}

pub(crate) fn refused(why: AllocateError) -> Value<'static> {
    error(match why {
        AllocateError::PortsExhausted => "no free media ports: give --ports a wider range",
        AllocateError::NoAddress => "this side has no address of the wanted family",
        AllocateError::Socket => {
            "the operating system gave no socket: its limit of open files is too low"
        }
        AllocateError::Conflict => "the call has media already",
        AllocateError::Unavailable => "the relay takes no calls now",
    })
}

pub(crate) fn sdp(octets: Vec<u8>) -> Value<'static> {
    Value::map([
        ("result", Value::text("ok")),
        ("sdp", Value::Text(Cow::Owned(octets))),
    ])
}

pub(crate) fn pong() -> Value<'static> {
    Value::map([("result", Value::text("pong"))])
}

pub(crate) fn ok() -> Value<'static> {
    Value::map([("result", Value::text("ok"))])
}

/// What is heard is so long.
pub(crate) fn playing(length_ms: u32) -> Value<'static> {
    Value::map([
        ("result", Value::text("ok")),
        ("duration", Value::count(length_ms.into())),
    ])
}

/// There is no room, for who asks another relay then.
pub(crate) fn load_limit(why: &'static str) -> Value<'static> {
    Value::map([
        ("result", Value::text("load limit")),
        ("message", Value::text(why)),
    ])
}

pub(crate) fn unknown_call() -> Value<'static> {
    Value::map([
        (
            "warning",
            Value::text("Call-ID not found or tags didn't match"),
        ),
        ("result", Value::text("ok")),
    ])
}

pub(crate) fn list(calls: impl Iterator<Item = String>) -> Value<'static> {
    Value::map([
        ("result", Value::text("ok")),
        ("calls", Value::List(calls.map(Value::text).collect())),
    ])
}

/// What has become of a call: its figures as `query` and `delete` tell them.
pub(crate) fn figures(call: &Call, stats: &SessionStats) -> Value<'static> {
    let mut totals = [Sums::default(); 2];
    let mut tags = Vec::new();
    let mut sources: Vec<(Cow<'static, [u8]>, Value<'static>)> = Vec::new();
    let both = [(0, 1), (1, 0)];
    for (party, other) in both.map(|(at, other)| (at, &call.parties[other])) {
        let own = &call.parties[party];
        let Some(tag) = &own.tag else { continue };
        let streams = stats
            .endpoints
            .iter()
            .find(|endpoint| usize::from(endpoint.endpoint.0) == party)
            .map(|endpoint| endpoint.streams.as_slice())
            .unwrap_or_default();
        for stream in streams {
            totals[0].add(Sums::rtp(stream));
            totals[1].add(Sums::rtcp(stream));
            if let Some((name, source)) = quality::of(stream)
                // Two parties of one number are told of once: no key is there twice.
                && sources.iter().all(|(known, _)| **known != *name.as_bytes())
            {
                sources.push((Cow::Owned(name.into_bytes()), source));
            }
        }
        let medias = own.medias.iter().zip(1..).map(|(media, index)| {
            let figures = streams.get(media.stream).cloned().unwrap_or_default();
            let ports = own.local.get(media.stream);
            let rtp = stream(
                ports.map(|own| own.rtp),
                Some(&figures),
                Sums::rtp(&figures),
            );
            let rtcp = stream(ports.map(|own| own.rtcp), None, Sums::rtcp(&figures));
            Value::map([
                ("index", Value::Integer(index)),
                ("type", Value::text(media.kind.clone())),
                ("protocol", Value::text(media.transport.clone())),
                ("streams", Value::List(vec![rtp, rtcp])),
            ])
        });
        let mut entries = vec![
            ("tag", Value::text(tag.clone())),
            ("created", Value::count(call.created.unix_ms / 1_000)),
        ];
        if let Some(label) = call.ears.label(party) {
            entries.push(("label", Value::text(label.to_owned())));
        }
        if let Some(other) = &other.tag {
            entries.push(("in dialogue with", Value::text(other.clone())));
        }
        entries.push(("medias", Value::List(medias.collect())));
        let entries = entries.into_iter();
        let entries = entries.map(|(key, value)| (Cow::Borrowed(key.as_bytes()), value));
        tags.push((
            Cow::Owned(tag.clone().into_bytes()),
            Value::Map(entries.collect()),
        ));
    }
    // A party that calls itself has one entry.
    tags.dedup_by(|later, first| later.0 == first.0);
    Value::map([
        ("result", Value::text("ok")),
        ("created", Value::count(call.created.unix_ms / 1_000)),
        (
            "created_us",
            Value::count(call.created.unix_ms % 1_000 * 1_000),
        ),
        (
            "last signal",
            Value::count(call.last_signal.unix_ms / 1_000),
        ),
        ("SSRC", Value::Map(sources)),
        ("tags", Value::Map(tags)),
        (
            "totals",
            Value::map([("RTP", totals[0].value()), ("RTCP", totals[1].value())]),
        ),
    ])
}

/// What of a stream is added up.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sums {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) errors: u64,
}

impl Sums {
    pub(crate) fn rtp(stream: &StreamStats) -> Self {
        Self {
            packets: stream.received_packets,
            bytes: stream.received_bytes,
            // A tone of ours in place of a party is no fault.
            errors: stream.dropped_total() - stream.dropped(DropReason::Muted),
        }
    }

    /// Reports are counted, their octets are not.
    fn rtcp(stream: &StreamStats) -> Self {
        Self {
            packets: stream.received_rtcp,
            ..Self::default()
        }
    }

    fn add(&mut self, more: Self) {
        self.packets += more.packets;
        self.bytes += more.bytes;
        self.errors += more.errors;
    }

    fn value(self) -> Value<'static> {
        Value::map([
            ("packets", Value::count(self.packets)),
            ("bytes", Value::count(self.bytes)),
            ("errors", Value::count(self.errors)),
        ])
    }
}

fn stream(local: Option<SocketAddr>, heard: Option<&StreamStats>, sums: Sums) -> Value<'static> {
    let mut entries = Vec::new();
    if let Some(local) = local {
        entries.push(("local port", Value::Integer(local.port().into())));
        entries.push(("local address", Value::text(local.ip().to_string())));
        entries.push(("family", Value::text(family(local))));
    }
    if let Some(source) = heard.and_then(|heard| heard.source) {
        entries.push((
            "endpoint",
            Value::map([
                ("family", Value::text(family(source))),
                ("address", Value::text(source.ip().to_string())),
                ("port", Value::Integer(source.port().into())),
            ]),
        ));
    }
    if let Some(ssrc) = heard.and_then(|heard| heard.ssrc) {
        entries.push(("SSRC", Value::Integer(ssrc.into())));
    }
    if let Some(last_ms) = heard.and_then(|heard| heard.heard_unix_ms) {
        entries.push(("last packet", Value::count(last_ms / 1_000)));
    }
    entries.push(("stats", sums.value()));
    let entries = entries.into_iter();
    Value::Map(
        entries
            .map(|(key, value)| (Cow::Borrowed(key.as_bytes()), value))
            .collect(),
    )
}

const fn family(address: SocketAddr) -> &'static str {
    match address {
        SocketAddr::V4(_) => "IPv4",
        SocketAddr::V6(_) => "IPv6",
    }
}

/// What the whole server has done.
pub(crate) fn statistics(
    figures: &Figures,
    (calls, transcoded): (usize, usize),
    started: Now,
    now: Now,
) -> Value<'static> {
    let uptime = now.monotonic_ms.saturating_sub(started.monotonic_ms) / 1_000;
    let ended = figures.closed.max(1);
    let count = Value::count;
    Value::map([
        ("result", Value::text("ok")),
        (
            "statistics",
            Value::map([
                (
                    "currentstatistics",
                    Value::map([
                        ("sessionsown", count(calls as u64)),
                        ("sessionsforeign", count(0)),
                        ("sessionstotal", count(calls as u64)),
                        ("transcodedmedia", count(transcoded as u64)),
                    ]),
                ),
                (
                    "totalstatistics",
                    Value::map([
                        ("uptime", Value::text(uptime.to_string())),
                        ("managedsessions", count(figures.counters().begun)),
                        ("rejectedsessions", count(figures.counters().turned_away)),
                        ("timeoutsessions", count(figures.ended(Ending::Unanswered))),
                        (
                            "silenttimeoutsessions",
                            count(figures.ended(Ending::Silent)),
                        ),
                        (
                            "regularterminatedsessions",
                            count(figures.ended(Ending::Deleted)),
                        ),
                        ("relayedpackets", count(figures.packets)),
                        ("relayedbytes", count(figures.bytes)),
                        ("relayedpacketerrors", count(figures.errors)),
                        (
                            "avgcallduration",
                            Value::text(format!(
                                "{:.3}",
                                figures.lasted_ms as f64 / 1e3 / ended as f64
                            )),
                        ),
                    ]),
                ),
                (
                    "controlstatistics",
                    Value::map([
                        ("pingcount", count(figures.asked(Asked::Ping))),
                        ("offercount", count(figures.asked(Asked::Offer))),
                        ("answercount", count(figures.asked(Asked::Answer))),
                        ("deletecount", count(figures.asked(Asked::Delete))),
                        ("querycount", count(figures.asked(Asked::Query))),
                        ("listcount", count(figures.asked(Asked::List))),
                        ("ordercount", count(figures.asked(Asked::Order))),
                        ("errorcount", count(figures.faults())),
                        ("unreadable", count(figures.unreadable())),
                    ]),
                ),
            ]),
        ),
    ])
}
