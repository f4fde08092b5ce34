//! Overload control in Via (RFC 7339): a neighbour asks with `oc`, and the answer says what share of
//! new requests it should keep to itself (SIP-1723).

use crate::sip::header::Via;
use crate::sip::{PlainValue, QuotedText, Token, Value};
use bytes::Bytes;
use std::time::Duration;

/// What a server says of its load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Feedback {
    /// Percent of new requests that should not be sent.
    pub loss: u8,
    /// For how long that holds; zero ends all control.
    pub validity: Duration,
    /// Orders what is said: seconds and a fraction of five digits at most.
    pub sequence: (u64, u32),
}

/// How long feedback holds that does not say it (RFC 7339 §4.3).
const USUAL_VALIDITY: Duration = Duration::from_millis(500);

/// Longest time that is believed.
const LONGEST_VALIDITY: Duration = Duration::from_secs(60);

/// The only algorithm that everybody has.
const LOSS: &[u8] = b"loss";

/// Says in a request of ours that we obey.
pub fn ask(via: &mut Via) {
    set(via, "oc", None);
    set(via, "oc-algo", quoted(LOSS));
}

/// Whether the sender of a request obeys, by the only algorithm that we have.
pub fn is_asked(via: &Via) -> bool {
    via.params.has("oc")
        && via.params.value("oc").is_none()
        && via.params.get("oc-algo").is_some_and(|value| {
            let mut names = value.content().split(|octet| *octet == b',');
            names.any(|name| name.trim_ascii().eq_ignore_ascii_case(LOSS))
        })
}

/// Says in the Via of a request how loaded we are: every response to it repeats that.
pub fn tell(via: &mut Via, feedback: &Feedback) {
    let (seconds, fraction) = feedback.sequence;
    set(via, "oc", plain(feedback.loss.to_string()));
    set(via, "oc-algo", quoted(LOSS));
    let validity = feedback.validity.as_millis();
    set(via, "oc-validity", plain(validity.to_string()));
    set(via, "oc-seq", plain(format!("{seconds}.{fraction:05}")));
}

/// What the sender of a response says of its load. `via` is our own.
pub fn read(via: &Via) -> Option<Feedback> {
    let number = |name: &str| -> Option<u64> {
        std::str::from_utf8(via.params.value(name)?)
            .ok()?
            .parse()
            .ok()
    };
    let algorithm = via.params.get("oc-algo")?;
    if !algorithm.content().trim_ascii().eq_ignore_ascii_case(LOSS) {
        return None;
    }
    let loss = u8::try_from(number("oc")?)
        .ok()
        .filter(|loss| *loss <= 100)?;
    let validity = match via.params.has("oc-validity") {
        true => Duration::from_millis(number("oc-validity")?),
        false => USUAL_VALIDITY,
    };
    let sequence = std::str::from_utf8(via.params.value("oc-seq")?).ok()?;
    let (seconds, fraction) = sequence.split_once('.').unwrap_or((sequence, ""));
    if fraction.len() > 5 {
        return None;
    }
    Some(Feedback {
        loss,
        validity: validity.min(LONGEST_VALIDITY),
        sequence: (
            seconds.parse().ok()?,
            format!("{fraction:0<5}").parse().ok()?,
        ),
    })
}

fn set(via: &mut Via, name: &'static str, value: Option<Value>) {
    if let Ok(name) = Token::parse(Bytes::from_static(name.as_bytes())) {
        via.params.set(name, value);
    }
}

fn plain(text: String) -> Option<Value> {
    PlainValue::parse(Bytes::from(text)).ok().map(Value::Plain)
}

fn quoted(text: &'static [u8]) -> Option<Value> {
    let text = QuotedText::new(Bytes::from_static(text)).ok()?;
    Some(Value::Quoted(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::header::Header;

    fn via(params: &str) -> Via {
        let text = format!("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1{params}");
        Via::parse(&Bytes::from(text)).expect("a Via")
    }

    #[test]
    fn feedback_is_read_as_it_is_written() {
        let mut own = via("");
        assert!(!is_asked(&own));
        ask(&mut own);
        assert!(is_asked(&own));
        assert_eq!(read(&own), None);
        let feedback = Feedback {
            loss: 20,
            validity: Duration::from_millis(500),
            sequence: (1_282_321_615, 78_200),
        };
        tell(&mut own, &feedback);
        assert_eq!(read(&own), Some(feedback));
        let text = String::from_utf8_lossy(&own.to_bytes()).into_owned();
        let said = "oc=20;oc-algo=\"loss\";oc-validity=500;oc-seq=1282321615.78200";
        assert!(text.ends_with(said), "{text}");
    }

    #[test]
    fn what_others_write_is_read_and_nonsense_is_not() {
        let said = read(&via(";oc=5;oc-algo=\"loss\";oc-seq=7.5")).expect("feedback");
        assert_eq!(said.validity, USUAL_VALIDITY);
        assert_eq!(said.sequence, (7, 50_000));
        for nonsense in [
            ";oc=101;oc-algo=\"loss\";oc-seq=7.5",
            ";oc=5;oc-algo=\"rate\";oc-seq=7.5",
            ";oc=5;oc-algo=\"loss\"",
            ";oc=5;oc-seq=7.5",
            ";oc=-1;oc-algo=\"loss\";oc-seq=7.5",
            ";oc=5;oc-algo=\"loss\";oc-seq=7.123456",
            ";oc=5;oc-algo=\"loss\";oc-seq=7.5;oc-validity=soon",
        ] {
            assert_eq!(read(&via(nonsense)), None, "{nonsense}");
        }
        assert!(is_asked(&via(";oc;oc-algo=\"rate, LOSS\"")));
        assert!(!is_asked(&via(";oc;oc-algo=\"rate\"")));
        assert!(!is_asked(&via(";oc=5;oc-algo=\"loss\"")));
    }
}
