//! Lines of the log about calls of a proxy: faults of their media, and one at the end of each.

use crate::sink::log::{Level, Log};
use media_ng::{Note, Noted};

/// The same as keys, for each party: they are told apart by who made the first offer.
const PARTIES: [[&str; 8]; 2] = [
    [
        "offerer_packets",
        "offerer_lost",
        "offerer_dropped",
        "offerer_repeated",
        "offerer_reordered",
        "offerer_jitter_ms",
        "offerer_mos",
        "offerer_round_trip_ms",
    ],
    [
        "answerer_packets",
        "answerer_lost",
        "answerer_dropped",
        "answerer_repeated",
        "answerer_reordered",
        "answerer_jitter_ms",
        "answerer_mos",
        "answerer_round_trip_ms",
    ],
];

/// Writes one.
pub(super) fn write(log: &Log, note: &Note) {
    let (level, code) = match &note.what {
        Noted::Ended(_) => (Level::Info, "call"),
        what if what.is_fault() => (Level::Warn, "media"),
        _ => (Level::Info, "media"),
    };
    let mut line = log.line(level, code, &note.what).with("call", &note.call);
    for (key, tag) in ["offerer", "answerer"].into_iter().zip(&note.tags) {
        if let Some(tag) = tag {
            line = line.with(key, tag);
        }
    }
    if let Some(party) = note.what.party() {
        line = line.with("party", if party == 0 { "offerer" } else { "answerer" });
    }
    line = match &note.what {
        Noted::OneWay { kind, refused, .. } => {
            let line = line.with("kind", kind.as_str());
            match refused {
                Some(from) => line.with("source", from),
                None => line,
            }
        }
        Noted::OneWayOver {
            kind, lasted_ms, ..
        } => line
            .with("kind", kind.as_str())
            .with("lasted_ms", lasted_ms),
        Noted::Unheard { silent_ms, .. } => line.with("silent_ms", silent_ms),
        Noted::HandshakeFailed { why, .. } => line.with("kind", why.as_str()),
        Noted::Ended(ended) => {
            line = line
                .with("why", ended.why.as_str())
                .with("lasted_ms", ended.lasted_ms)
                .with("faults", ended.faults);
            for (keys, own) in PARTIES.iter().zip(&ended.parties) {
                let [
                    packets,
                    lost,
                    dropped,
                    repeated,
                    reordered,
                    jitter,
                    mos,
                    round_trip,
                ] = *keys;
                line = line
                    .with(packets, own.packets)
                    .with(lost, own.lost)
                    .with(dropped, own.dropped)
                    .with(repeated, own.repeated)
                    .with(reordered, own.reordered)
                    .with(jitter, own.jitter_us / 1_000);
                if let Some((mean, least)) = own.mos {
                    line = line.with(mos, format_args!("{mean:.2} least {least:.2}"));
                }
                if let Some(us) = own.round_trip_us {
                    line = line.with(round_trip, us / 1_000);
                }
            }
            line
        }
    };
    line.send();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::log::Form;
    use media_api::OneWayKind;
    use media_ng::{Ended, Ending, Heard};
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(notes: &[Note]) -> Vec<serde_json::Value> {
        let kept = Kept::default();
        let (log, writer) = Log::start(Level::Info, Form::Json, kept.clone()).unwrap();
        notes.iter().for_each(|note| write(&log, note));
        drop(log);
        writer.finish();
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn a_fault_names_the_call_the_party_and_where_refused_packets_come_from() {
        let note = Note {
            call: "1@example.net\r\nforged".to_owned(),
            tags: [Some("a".to_owned()), None],
            what: Noted::OneWay {
                party: 1,
                kind: OneWayKind::WrongSource,
                refused: Some("203.0.113.9:4000".parse().unwrap()),
            },
        };
        let [line] = &written(&[note])[..] else {
            panic!("one line")
        };
        assert_eq!(line["level"], "warn");
        assert_eq!(line["code"], "media");
        assert_eq!(line["party"], "answerer");
        assert_eq!(line["offerer"], "a");
        assert_eq!(line["source"], "203.0.113.9:4000");
        assert_eq!(line["kind"], "wrong_source");
        let text = line["message"].as_str().unwrap();
        assert!(text.contains("--media-from"), "{text}");
    }

    #[test]
    fn the_end_of_a_call_has_what_came_of_each_party() {
        let heard = Heard {
            packets: 500,
            lost: 3,
            dropped: 2,
            repeated: 1,
            reordered: 4,
            jitter_us: 4_900,
            mos: Some((4.38, 3.9)),
            round_trip_us: Some(21_000),
        };
        let note = Note {
            call: "1".to_owned(),
            tags: [Some("a".to_owned()), Some("b".to_owned())],
            what: Noted::Ended(Ended {
                why: Ending::Deleted,
                lasted_ms: 10_000,
                faults: 1,
                parties: [heard, Heard::default()],
            }),
        };
        let [line] = &written(&[note])[..] else {
            panic!("one line")
        };
        assert_eq!(
            (&line["level"], &line["code"]),
            (&"info".into(), &"call".into())
        );
        let text = line.to_string();
        for part in [
            "4.38 least 3.90",
            "deleted",
            "answerer_packets",
            "\"offerer_reordered\":\"4\"",
            "\"b\"",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("answerer_mos"), "{text}");
    }
}
