//! A trail as a peer is told of it: in our name, and without what is not for its eyes (SIP-420,
//! SIP-902).

use super::{MOST_STEPS, Step, Trail, index_text, reason_of_cause};
use crate::policy::identity::{Wishes, Writer, anonymous};
use crate::policy::number::{Number, is_withheld};
use crate::sip::header::{Diversion, HistoryInfo};
use crate::sip::{Address, Host, PlainValue, TelUri, Token, Uri, Value};
use bytes::Bytes;

/// How one peer is told.
pub(in crate::policy) struct Teller<'a> {
    /// What the caller wants hidden.
    pub(in crate::policy) privacy: Wishes,
    /// Whether the call leaves the trust domain here.
    pub(in crate::policy) leaves_trust: bool,
    /// Whether the peer itself is trusted with private diversions.
    pub(in crate::policy) is_trusted: bool,
    /// Writes URIs for the peer.
    pub(in crate::policy) writer: &'a Writer<'a>,
}

impl Teller<'_> {
    /// The trail as History-Info.
    pub(in crate::policy) fn history(&self, trail: &Trail) -> Vec<HistoryInfo> {
        trail
            .steps
            .iter()
            .filter_map(|step| self.entry(step))
            .collect()
    }

    fn entry(&self, step: &Step) -> Option<HistoryInfo> {
        // `none` is the caller's word about itself, and opens nobody else's entry.
        let hides = self.hides_all() || (self.leaves_trust && step.is_private);
        let uri = match hides {
            true => anonymous().ok()?.uri,
            false => self.with_facts(step)?,
        };
        let mut value = HistoryInfo::from(uri);
        let index = PlainValue::parse(index_text(&step.index)).ok()?;
        value.params.set(token("index")?, Some(Value::Plain(index)));
        if let Some(change) = &step.change {
            let from = PlainValue::parse(index_text(&change.from)).ok()?;
            let name = token(change.kind.param())?;
            value.params.set(name, Some(Value::Plain(from)));
        }
        Some(value)
    }

    /// The target's URI with why it was called, and as escaped headers whether it is private and
    /// how it was left.
    fn with_facts(&self, step: &Step) -> Option<Uri> {
        let mut uri = self.target(&step.uri)?;
        let mut headers = Vec::new();
        if step.is_private {
            headers.push("Privacy=history".to_owned());
        }
        if let Some(left) = step.left {
            headers.push(format!("Reason=SIP%3Bcause%3D{left:03}"));
        }
        if step.cause.is_some() || !headers.is_empty() {
            uri = as_sip(uri)?;
        }
        if let (Uri::Sip(sip), Some(cause)) = (&mut uri, step.cause) {
            sip.params
                .set("cause", Some(Bytes::from(cause.to_string())))
                .ok()?;
        }
        match headers.is_empty() {
            true => Some(uri),
            // Written anew: Teams leaves reasons partly unescaped, and their texts name machines.
            false => Uri::parse(format!("{uri}?{}", headers.join("&"))).ok(),
        }
    }

    /// The trail as Diversion, latest first. What came in that header passes entry by entry,
    /// because it may have reasons that nothing else can say.
    pub(in crate::policy) fn diversion(&self, trail: &Trail) -> Vec<Diversion> {
        let own = trail.diversions_after(match trail.diversion.is_empty() {
            true => 0,
            false => trail.read,
        });
        let made = own.iter().rev().filter_map(|diverted| {
            let is_private = diverted.is_private && !self.is_trusted;
            let uri = match is_private || self.hides_all() {
                true => anonymous().ok()?.uri,
                false => self.target(&diverted.uri)?,
            };
            let mut value = Diversion(Address::new(uri));
            let is_hidden = diverted.is_private || self.wants_all_hidden();
            let privacy = if is_hidden { "full" } else { "off" };
            for (name, text) in [
                (
                    "reason",
                    reason_of_cause(diverted.cause).unwrap_or("unknown"),
                ),
                ("counter", "1"),
                ("privacy", privacy),
            ] {
                let text = PlainValue::parse(Bytes::from_static(text.as_bytes())).ok()?;
                value.params.set(token(name)?, Some(Value::Plain(text)));
            }
            Some(value)
        });
        let kept = trail.diversion.iter().filter_map(|entry| self.kept(entry));
        made.chain(kept).take(MOST_STEPS).collect()
    }

    /// Whether the caller wants all earlier targets hidden here, in whatever form they are told (RFC 7044 §10.1,
    /// RFC 7544 §6). `user` is about the caller alone, who is none of them.
    fn hides_all(&self) -> bool {
        self.leaves_trust && self.wants_all_hidden()
    }

    /// The same anywhere: within the trust domain whoever is told must know of it.
    fn wants_all_hidden(&self) -> bool {
        let is_asked = self.privacy.history || self.privacy.header;
        is_asked && !self.privacy.none
    }

    fn kept(&self, entry: &Diversion) -> Option<Diversion> {
        let wants_privacy = super::wants_privacy(entry);
        let hides = (wants_privacy && !self.is_trusted) || self.hides_all();
        let uri = match hides {
            true => anonymous().ok()?.uri,
            false => self.target(entry.uri())?,
        };
        let mut value = Diversion(Address::new(uri));
        for kind in ["reason", "counter", "limit", "privacy", "screen"] {
            if kind == "privacy" && self.wants_all_hidden() {
                let full = PlainValue::parse(Bytes::from_static(b"full")).ok()?;
                value.params.set(token(kind)?, Some(Value::Plain(full)));
            } else if let Some(text) = entry.params.get(kind) {
                value.params.set(token(kind)?, Some(plain(text)?));
            }
        }
        Some(value)
    }

    /// The same number at our name and nothing else; `tel` URIs name no host and lose only their
    /// parameters (SIP-906).
    fn target(&self, uri: &Uri) -> Option<Uri> {
        let number = Number::of(uri);
        let is_at = |name: &str| uri.host().is_some_and(|host| host.is_name(name));
        // RFC 7544 writes numbers of `tel` URIs at this host when they need parameters.
        let is_known = is_at("unknown.invalid")
            && number
                .as_ref()
                .is_some_and(|number| number.number.bytes().any(|octet| octet.is_ascii_digit()));
        if is_at("unknown.invalid") && !is_known {
            return Uri::parse(Bytes::from_static(b"sip:unknown@unknown.invalid")).ok();
        }
        if !is_known && is_withheld(uri) {
            return Some(anonymous().ok()?.uri);
        }
        let number = number?;
        if matches!(uri, Uri::Tel(_)) {
            let text = (self.writer.rewrites.redirecting)(&number.number);
            return TelUri::new(text).ok().map(Uri::Tel);
        }
        Some(self.writer.earlier(&number).ok()?.into())
    }
}

/// A `tel` URI that needs parameters of a `sip` URI (RFC 7544 §5).
fn as_sip(uri: Uri) -> Option<Uri> {
    let Uri::Tel(tel) = &uri else {
        return Some(uri);
    };
    let host = Host::parse(Bytes::from_static(b"unknown.invalid")).ok()?;
    let mut sip = crate::sip::SipUri::new(host);
    sip.set_user_text(tel.number()).ok()?;
    sip.params
        .set("user", Some(Bytes::from_static(b"phone")))
        .ok()?;
    Some(sip.into())
}

fn token(text: &'static str) -> Option<Token> {
    Token::parse(Bytes::from_static(text.as_bytes())).ok()
}

/// Parameter values cross legs only as short words: no quoted text of the peer.
fn plain(value: &Value) -> Option<Value> {
    let content = value.content();
    match content.len() <= 32 {
        true => PlainValue::parse(content.clone()).ok().map(Value::Plain),
        false => None,
    }
}
