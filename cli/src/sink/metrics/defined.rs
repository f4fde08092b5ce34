//! What key figures mean: the one text that help and reference show, because operators argue about them.

use std::fmt::Write as _;

/// A figure by which a trunk is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyFigure {
    /// As it is called.
    pub name: &'static str,
    /// How it is worked out.
    pub is: &'static str,
    /// The metric, or the recorded rule of `causeway monitoring alerts`, that has it.
    pub shown: &'static str,
}

/// All of them.
pub const KEY_FIGURES: [KeyFigure; 11] = [
    KeyFigure {
        name: "ASR",
        is: "answer-seizure ratio (ITU-T E.425): answered of all calls of the trunk and direction, in percent; to the trunk \
             each attempt is one",
        shown: "sbc_asr_percent",
    },
    KeyFigure {
        name: "NER",
        is: "network effectiveness ratio (ITU-T E.425): answered, busy, unanswered and declined of all, with carriers also \
             wrongly dialled, in percent; calls that their callers gave up belong to all",
        shown: "sbc_ner_percent",
    },
    KeyFigure {
        name: "ACD",
        is: "average call duration (also ALOC): time from answer to end, of answered calls",
        shown: "sbc_acd_seconds",
    },
    KeyFigure {
        name: "PDD",
        is: "post-dial delay (SRD of RFC 6076 section 4.3): from the INVITE to the first response from 101 to 199, or to the \
             answer",
        shown: "sbc_pdd_seconds",
    },
    KeyFigure {
        name: "SDD",
        is: "session disconnect delay (RFC 6076 section 4.4): from our BYE to its 2xx; a BYE that is refused or not answered \
             has none",
        shown: "sbc_sip_disconnect_seconds",
    },
    KeyFigure {
        name: "SER",
        is: "session establishment ratio (RFC 6076 section 4.6): INVITEs of ours answered by 200, of all with a final response \
             but 3xx; 401 and 407 are no final response here",
        shown: "trunk:session_establishment_ratio:rate1h",
    },
    KeyFigure {
        name: "SEER",
        is: "session establishment effectiveness ratio (RFC 6076 section 4.7): as SER, with 480, 486, 600 and 603 beside 200",
        shown: "trunk:session_establishment_effectiveness_ratio:rate1h",
    },
    KeyFigure {
        name: "ISA",
        is: "ineffective session attempts (RFC 6076 section 4.8): 408, 500, 503, 504 and no answer at all, of all INVITEs of \
             ours",
        shown: "trunk:ineffective_session_attempts_ratio:rate1h",
    },
    KeyFigure {
        name: "short calls",
        is: "calls of 10 s and less, of those that were answered: many of them are a sign of fraud or spam",
        shown: "tenant:short_calls_ratio:rate1h",
    },
    KeyFigure {
        name: "poor streams",
        is: "legs with an opinion score, as a conversation, of 3.6 or less, of all that were rated",
        shown: "trunk:poor_streams_ratio:rate1h",
    },
    KeyFigure {
        name: "lossy streams",
        is: "minutes of legs in which more than 1 % was lost, of all",
        shown: "trunk:lossy_streams_ratio:rate1h",
    },
];

/// All of them, for a person.
pub fn key_figures() -> String {
    let mut text = "Key figures:\n".to_owned();
    for KeyFigure { name, is, shown } in KEY_FIGURES {
        let _ = writeln!(text, "  {name}: {is} [{shown}]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::metrics::catalogue;

    #[test]
    fn every_key_figure_is_a_metric_or_a_recorded_rule() {
        let metrics = catalogue().unwrap();
        let rules = include_str!("../../monitoring/alerts.yml");
        for KeyFigure { name, shown, .. } in KEY_FIGURES {
            let is_metric = metrics.iter().any(|metric| metric.name == shown);
            let is_rule = rules.contains(&format!("- record: {shown}\n"));
            assert!(is_metric || is_rule, "{name}: {shown}");
        }
        let recorded = rules
            .lines()
            .filter(|line| line.contains("- record: trunk:"));
        let (missing, _): (Vec<&str>, Vec<&str>) =
            recorded.partition(|line| !KEY_FIGURES.iter().any(|own| line.ends_with(own.shown)));
        // One is what others are parts of.
        assert_eq!(missing.len(), 1, "{missing:?}");
    }
}
