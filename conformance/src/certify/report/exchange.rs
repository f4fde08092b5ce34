//! Descriptions of a case side by side: what was answered to each offer, and what the subject made of what came.

use super::ladder::Step;

/// Most comparisons of a case; a long one repeats itself.
const MOST: usize = 24;
/// Most lines of a description that are shown.
const LINES: usize = 120;

/// Two descriptions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Exchange {
    /// What they are to each other.
    pub(super) title: String,
    /// Lines of the first.
    pub(super) before: Vec<String>,
    /// Lines of the second.
    pub(super) after: Vec<String>,
}

/// All offers with their answers, of the first INVITE and of what comes later in the call, and after each description of
/// the subject what of the other side's it is made of: each pair once. Also how many more there are than are shown.
pub(super) fn exchanges(steps: &[Step]) -> (Vec<Exchange>, usize) {
    let mut all: Vec<Exchange> = Vec::new();
    let mut add = |title: String, before: &Step, after: &Step| {
        let [before, after] = [before, after].map(lines);
        let is_known = |known: &Exchange| known.before == before && known.after == after;
        if !all.iter().any(is_known) {
            all.push(Exchange {
                title,
                before,
                after,
            });
        }
    };
    let described: Vec<&Step> = steps.iter().filter(|step| body(step).is_some()).collect();
    for (index, step) in described.iter().enumerate() {
        let earlier = described[..index].iter().rev();
        if step.is_from_subject {
            let came = |one: &&&Step| !one.is_from_subject && one.is_carrier != step.is_carrier;
            if let Some(came) = earlier.clone().find(came) {
                let title = format!(
                    "made of {} at {}: {}",
                    named(came),
                    seconds(came),
                    named(step)
                );
                add(title, came, step);
            }
        }
        // An answer has the number of its offer, whether it is in a response or, to an offer of that, in ACK.
        let is_offer = |one: &&&Step| {
            one.is_from_subject != step.is_from_subject
                && one.is_carrier == step.is_carrier
                && one.peer == step.peer
                && call(one) == call(step)
        };
        if let Some(offer) = earlier.clone().find(is_offer) {
            let title = format!(
                "offer of {} at {} and its answer: {}",
                named(offer),
                seconds(offer),
                named(step)
            );
            add(title, offer, step);
        }
    }
    let more = all.len().saturating_sub(MOST);
    all.truncate(MOST);
    (all, more)
}

/// Who says what.
fn named(step: &Step) -> String {
    let who = match step.is_from_subject {
        true => "the SBC to ",
        false => "",
    };
    format!("{who}{}, {}", step.peer, step.title)
}

fn seconds(step: &Step) -> String {
    format!("{:.3} s", step.at_ms as f64 / 1000.0)
}

/// Its description, if it has one.
fn body(step: &Step) -> Option<&str> {
    let (_, body) = step.text.split_once("\r\n\r\n")?;
    let at = body.find("v=0\r\n").filter(|_| body.contains("m=audio"))?;
    Some(&body[at..])
}

fn lines(step: &Step) -> Vec<String> {
    let body = body(step).unwrap_or_default();
    // Behind it there may be other parts.
    let own = body.lines().take_while(|line| line.get(1..2) == Some("="));
    own.take(LINES).map(str::to_owned).collect()
}

/// Call-ID and number of the transaction; its method may be INVITE or ACK.
fn call(step: &Step) -> Option<(&str, &str)> {
    let head = step.text.split("\r\n\r\n").next()?;
    let line = |names: [&str; 2]| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_it = names
                .iter()
                .any(|own| own.eq_ignore_ascii_case(name.trim()));
            is_it.then(|| value.trim())
        })
    };
    let number = line(["CSeq", "CSeq"])?.split_whitespace().next()?;
    Some((line(["Call-ID", "i"])?, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message: when, whether the subject sent it, whether to or from the carrier, its start, number and description.
    fn step(at_ms: u128, says: (bool, bool), start: &str, cseq: &str, port: u16) -> Step {
        let (is_from_subject, is_carrier) = says;
        let peer = if is_carrier { "carrier" } else { "sip" };
        Step {
            at_ms,
            peer: peer.to_owned(),
            is_carrier,
            is_from_subject,
            title: format!("{start} + SDP"),
            text: format!(
                "{start}\r\nCall-ID: {peer}\r\nCSeq: {cseq}\r\n\r\nv=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n\
                 m=audio {port} RTP/AVP 8\r\n--end\r\nX: y\r\n"
            ),
        }
    }

    const FROM_CARRIER: (bool, bool) = (false, true);
    const TO_CARRIER: (bool, bool) = (true, true);
    const FROM_TEAMS: (bool, bool) = (false, false);
    const TO_TEAMS: (bool, bool) = (true, false);

    #[test]
    fn every_offer_has_its_answer_and_what_was_made_of_it() {
        let steps = [
            step(0, FROM_CARRIER, "INVITE", "1 INVITE", 1),
            step(1, TO_TEAMS, "INVITE", "1 INVITE", 2),
            step(2, FROM_TEAMS, "SIP/2.0 200", "1 INVITE", 3),
            step(3, TO_CARRIER, "SIP/2.0 200", "1 INVITE", 4),
            // A change that Teams asks for, and the answer comes twice.
            step(4, FROM_TEAMS, "INVITE", "7 INVITE", 5),
            step(5, TO_TEAMS, "SIP/2.0 200", "7 INVITE", 6),
            step(6, TO_TEAMS, "SIP/2.0 200", "7 INVITE", 6),
            // The offer is in the response, the answer in ACK.
            step(7, TO_CARRIER, "SIP/2.0 200", "9 INVITE", 7),
            step(8, FROM_CARRIER, "ACK", "9 ACK", 8),
        ];
        let (found, more) = exchanges(&steps);
        let port = |lines: &[String]| lines[2].clone();
        let found: Vec<(String, String, String)> = found
            .iter()
            .map(|one| (one.title.clone(), port(&one.before), port(&one.after)))
            .collect();
        let pair = |title: &str, before: u16, after: u16| {
            let line = |port| format!("m=audio {port} RTP/AVP 8");
            (title.to_owned(), line(before), line(after))
        };
        assert_eq!(
            found,
            [
                pair(
                    "made of carrier, INVITE + SDP at 0.000 s: the SBC to sip, INVITE + SDP",
                    1,
                    2
                ),
                pair(
                    "offer of the SBC to sip, INVITE + SDP at 0.001 s and its answer: sip, SIP/2.0 200 + SDP",
                    2,
                    3
                ),
                pair(
                    "made of sip, SIP/2.0 200 + SDP at 0.002 s: the SBC to carrier, SIP/2.0 200 + SDP",
                    3,
                    4
                ),
                pair(
                    "offer of carrier, INVITE + SDP at 0.000 s and its answer: the SBC to carrier, SIP/2.0 200 + SDP",
                    1,
                    4
                ),
                pair(
                    "made of carrier, INVITE + SDP at 0.000 s: the SBC to sip, SIP/2.0 200 + SDP",
                    1,
                    6
                ),
                pair(
                    "offer of sip, INVITE + SDP at 0.004 s and its answer: the SBC to sip, SIP/2.0 200 + SDP",
                    5,
                    6
                ),
                pair(
                    "made of sip, INVITE + SDP at 0.004 s: the SBC to carrier, SIP/2.0 200 + SDP",
                    5,
                    7
                ),
                pair(
                    "offer of the SBC to carrier, SIP/2.0 200 + SDP at 0.007 s and its answer: carrier, ACK + SDP",
                    7,
                    8
                ),
            ]
        );
        assert_eq!(more, 0);
    }

    #[test]
    fn a_long_case_does_not_fill_the_page() {
        let steps: Vec<Step> = (0..200)
            .flat_map(|index| {
                let cseq = format!("{index} INVITE");
                [
                    step(index.into(), FROM_TEAMS, "INVITE", &cseq, 2 * index),
                    step(index.into(), TO_TEAMS, "SIP/2.0 200", &cseq, 2 * index + 1),
                ]
            })
            .collect();
        let (found, more) = exchanges(&steps);
        assert_eq!((found.len(), more), (MOST, 200 - MOST));
        let mut long = step(0, FROM_TEAMS, "INVITE", "1 INVITE", 1);
        long.text = long.text.replace("--end", &"a=x\r\n".repeat(10_000));
        assert_eq!(lines(&long).len(), LINES);
    }
}
