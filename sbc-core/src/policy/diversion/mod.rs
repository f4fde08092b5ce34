//! Earlier targets of a call, as one trail: read from History-Info or Diversion, continued by our
//! own redirections, told in either (RFC 7044, RFC 5806, RFC 7544, RFC 4458).
//!
//! | cause | reason        | | reason                                                | cause |
//! |-------|---------------|-|-------------------------------------------------------|-------|
//! | 302   | unconditional | | unconditional                                         | 302   |
//! | 486   | user-busy     | | user-busy                                             | 486   |
//! | 408   | no-answer     | | no-answer                                             | 408   |
//! | 480   | deflection    | | deflection                                            | 480   |
//! | 487   | deflection    | | unavailable                                           | 503   |
//! | 503   | unavailable   | | unknown, time-of-day, do-not-disturb, follow-me,      | 404   |
//! | 404   | unknown       | | out-of-service, away, and every other                 |       |

mod back;
mod merged;
pub(in crate::policy) mod told;

pub use back::{Been, carried as told_back, is_asked as is_told_back, told_by};

use crate::policy::number::Number;
use crate::sip::header::{Diversion, HistoryInfo};
use crate::sip::{Host, SipUri, TelUri, Uri};
use bytes::Bytes;

/// Who was called before, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trail {
    /// The targets, at most [`MOST_STEPS`].
    pub steps: Vec<Step>,
    /// Header in which we were told.
    pub source: Told,
    /// The diversions as they came, latest first, if that header was Diversion.
    pub diversion: Vec<Diversion>,
    /// The target that the call came with: the Request-URI.
    pub called: Option<Box<Uri>>,
    /// How many of the targets came with the call; the others are redirections that we followed.
    pub read: usize,
    /// How many of the last ones are ways to one target, each tried after the other.
    pub ways: usize,
}

/// Where a trail comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Told {
    /// Nobody told of earlier targets.
    #[default]
    Nowhere,
    /// History-Info.
    HistoryInfo,
    /// Diversion.
    Diversion,
}

/// One target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Who was called.
    pub uri: Uri,
    /// Place in the tree of targets.
    pub index: Vec<u32>,
    /// Why the call went on to this target: the `cause` parameter of its URI (SIP-903).
    pub cause: Option<u16>,
    /// How the target differs from an earlier one.
    pub change: Option<Change>,
    /// Status with which the target was left again.
    pub left: Option<u16>,
    /// Whether the target is not to be shown outside the trust domain.
    pub is_private: bool,
}

/// How a target came to be (RFC 7044 §5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Which kind.
    pub kind: ChangeKind,
    /// Index of the target that it came from.
    pub from: Vec<u32>,
}

/// Kinds of change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChangeKind {
    /// `rc`: another contact of the same user.
    Contact,
    /// `mp`: another user.
    User,
    /// `np`: the same target, forwarded.
    None,
}

impl ChangeKind {
    const ALL: [Self; 3] = [Self::Contact, Self::User, Self::None];

    /// Name of the parameter.
    pub const fn param(self) -> &'static str {
        match self {
            Self::Contact => "rc",
            Self::User => "mp",
            Self::None => "np",
        }
    }
}

/// One diversion, as Diversion tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diverted {
    /// Who diverted the call.
    pub uri: Uri,
    /// Why, as a cause of RFC 4458.
    pub cause: u16,
    /// Whether the diverting party is not to be shown outside the trust domain.
    pub is_private: bool,
}

/// Most targets that are kept of a trail: a counter or a list of a peer is no measure of ours.
pub const MOST_STEPS: usize = 20;

/// Most diversions of one call; beyond it runs in circles (SIP-405).
pub const MOST_DIVERSIONS: usize = 5;

/// Reasons of RFC 5806 and their causes in RFC 4458, as RFC 7544 pairs them.
pub fn cause_of_reason(reason: &str) -> u16 {
    match reason.to_ascii_lowercase().as_str() {
        "unconditional" => 302,
        "user-busy" => 486,
        "no-answer" => 408,
        "deflection" => 480,
        "unavailable" => 503,
        _ => UNKNOWN,
    }
}

/// The reason for a cause; nothing for what is no diversion, such as 380 (RFC 8119).
pub const fn reason_of_cause(cause: u16) -> Option<&'static str> {
    Some(match cause {
        302 => "unconditional",
        486 => "user-busy",
        408 => "no-answer",
        480 | 487 => "deflection",
        503 => "unavailable",
        404 => "unknown",
        _ => return None,
    })
}

const UNKNOWN: u16 = 404;

/// Cause of a call that its own party sends on (RFC 4458).
const DEFLECTION: u16 = 480;

/// Cause of a call whose service number was translated (RFC 8119).
const SERVICE: u16 = 380;

impl Trail {
    /// Reads the trail of an INVITE. Both headers tell the same story, so only one is believed:
    /// History-Info if it says why the call was diverted (SIP-905).
    pub fn of(history: &[HistoryInfo], mut diversion: Vec<Diversion>, called: &Uri) -> Self {
        diversion.truncate(MOST_STEPS);
        let from_history = Self::of_history(history);
        let says_why = from_history.steps.iter().any(|step| step.cause.is_some());
        let trail = match (history.is_empty(), diversion.is_empty()) {
            (true, true) => Self::default(),
            (false, _) if says_why || diversion.is_empty() => from_history,
            _ => Self::of_diversions(diversion, called),
        };
        Self {
            // It lasts as long as the call, the INVITE does not.
            called: Some(Box::new(bare(called).detached())),
            ..trail
        }
    }

    /// As RFC 7044 tells it, and RFC 4244 before it. An entry without a readable index gets the
    /// place after its forerunner.
    fn of_history(entries: &[HistoryInfo]) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        // The oldest stand first, and tell least.
        let beyond = entries.len().saturating_sub(MOST_STEPS);
        for entry in entries.iter().skip(beyond) {
            let index = entry.index().filter(|index| index.len() <= MOST_STEPS);
            let index = index.unwrap_or_else(|| next_index(steps.last()));
            let change = ChangeKind::ALL.into_iter().find_map(|kind| {
                let from = index_of(entry.params.value(kind.param())?)?;
                Some(Change { kind, from })
            });
            let cause = entry
                .uri()
                .params()
                .and_then(|params| params.value("cause"))
                .and_then(|text| three_digits(text))
                .filter(|cause| (300..700).contains(cause));
            steps.push(Step {
                uri: bare(entry.uri()),
                index,
                cause,
                change,
                left: header_of(entry.uri(), "Reason").and_then(|text| cause_in(&text)),
                is_private: header_of(entry.uri(), "Privacy")
                    .is_some_and(|text| text.to_ascii_lowercase().contains("history")),
            });
        }
        Self {
            read: steps.len(),
            steps,
            source: Told::HistoryInfo,
            ..Self::default()
        }
    }

    /// RFC 7544 §5: the list is walked from its end, and every diversion is the reason of the
    /// target after it. A counter stands for parties that nobody names.
    fn of_diversions(entries: Vec<Diversion>, called: &Uri) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        let mut cause = None;
        let push = |steps: &mut Vec<Step>, uri: Uri, cause: Option<u16>, is_private: bool| {
            if steps.len() >= MOST_STEPS {
                return;
            }
            let change = steps.last().map(|last| Change {
                kind: ChangeKind::User,
                from: last.index.clone(),
            });
            steps.push(Step {
                uri,
                index: next_index(steps.last()),
                cause: cause.filter(|_| change.is_some()),
                change,
                left: None,
                is_private,
            });
        };
        for entry in entries.iter().rev() {
            for _ in 1..entry.counter().min(MOST_STEPS as u32) {
                if let Some(uri) = nobody() {
                    push(&mut steps, uri, Some(UNKNOWN), false);
                }
            }
            let known = cause.or(Some(UNKNOWN));
            push(&mut steps, bare(entry.uri()), known, wants_privacy(entry));
            let reason = entry.reason().map(|text| String::from_utf8_lossy(text));
            cause = Some(cause_of_reason(&reason.unwrap_or_default()));
        }
        push(&mut steps, bare(called), cause, false);
        Self {
            read: steps.len(),
            steps,
            source: Told::Diversion,
            diversion: entries,
            called: None,
            ways: 0,
        }
    }

    /// The diversions of the trail, oldest first (RFC 7544 §6).
    ///
    /// A target whose URI has a cause was diverted to by the target that its `mp` names, else by
    /// the one before it. Peers from before RFC 4458 leave a Reason at the diverting target
    /// instead, and so does Teams (TDR-FWD-001).
    pub fn diversions(&self) -> Vec<Diverted> {
        self.diversions_after(0)
    }

    /// Those to a target at this position of the trail or after it.
    pub(in crate::policy) fn diversions_after(&self, first: usize) -> Vec<Diverted> {
        let mut found = Vec::new();
        for (at, step) in self.steps.iter().enumerate().skip(first) {
            // How it was reached comes before how it was left.
            let cause = step.cause.filter(|cause| reason_of_cause(*cause).is_some());
            let named = step
                .change
                .as_ref()
                .filter(|change| change.kind == ChangeKind::User)
                .and_then(|change| self.steps.iter().find(|own| own.index == change.from));
            let before = at.checked_sub(1).and_then(|before| self.steps.get(before));
            if let Some((by, cause)) = named.or(before).zip(cause) {
                found.push(Diverted {
                    uri: by.uri.clone(),
                    cause,
                    is_private: by.is_private,
                });
            }
            let next = self.steps.get(at + 1);
            let by_reason = step.left.filter(|_| {
                let is_told_by_next = next.is_some_and(|next| next.cause.is_some());
                let stays_with_user =
                    next.and_then(|next| next.change.as_ref())
                        .is_some_and(|change| {
                            matches!(change.kind, ChangeKind::Contact | ChangeKind::None)
                        });
                !is_told_by_next && !stays_with_user
            });
            if let Some(left) = by_reason {
                found.push(Diverted {
                    uri: step.uri.clone(),
                    cause: reason_of_cause(left).map_or(UNKNOWN, |_| left),
                    is_private: step.is_private,
                });
            }
        }
        found
    }

    /// Who diverted the call last.
    pub fn diverting(&self) -> Option<Number> {
        Number::of(&self.last_diversion()?.uri)
    }

    /// The diversion that came last.
    pub fn last_diversion(&self) -> Option<Diverted> {
        self.diversions().pop()
    }

    /// The same trail of a peer whose last entry is who forwarded the call, unless that is the party called.
    #[must_use]
    pub fn left_by_its_last(mut self) -> Self {
        let number = |uri: &Uri| Number::of(uri).map(|number| number.number);
        let called = self.called.as_deref().and_then(number);
        if self.source == Told::HistoryInfo
            && let Some(last) = self.steps.last_mut()
            && last.cause.is_none()
            && number(&last.uri) != called
        {
            last.left.get_or_insert(UNKNOWN);
        }
        self
    }

    /// Sees to it that the trail ends with the target that we were asked for. A last target that is
    /// another one means that somebody in between told nothing: a gap, which is an index of 0
    /// (RFC 7044 §10.3).
    fn reach(&mut self) {
        let Some(called) = self.called.clone() else {
            return;
        };
        let is_last = |step: &Step| {
            let number = Number::of(&step.uri).map(|number| number.number);
            number.is_some() && number == Number::of(&called).map(|number| number.number)
        };
        // What we have added ourselves leads on from there.
        let has_own = self.steps.len() > self.read;
        if has_own || self.steps.last().is_some_and(is_last) || self.steps.len() >= MOST_STEPS {
            return;
        }
        let index = match self.steps.last() {
            Some(last) => [last.index.as_slice(), &[0]].concat(),
            None => vec![1],
        };
        self.steps.push(Step {
            uri: *called,
            index,
            cause: None,
            change: None,
            left: None,
            is_private: false,
        });
    }

    /// Whether it is a list as it came, which whoever keeps such lists has to continue.
    pub fn is_to_be_continued(&self) -> bool {
        self.source == Told::HistoryInfo && self.steps.len() == self.read
    }

    /// We send the call on to where it was meant to go.
    pub fn forward(&mut self, to: &Uri) {
        self.reach();
        self.extend(to, ChangeKind::None, None, |last| {
            [last.as_slice(), &[1]].concat()
        });
    }

    /// The service number that was called stands for this one.
    pub fn translate(&mut self, number: &str) {
        self.reach();
        let Some(to) = self.called.as_deref().map(|called| at(number, called)) else {
            return;
        };
        self.extend(&to, ChangeKind::User, Some(SERVICE), |last| {
            [last.as_slice(), &[1]].concat()
        });
        self.called = Some(Box::new(to));
    }

    /// Whether the target is what we have translated a service number to.
    pub fn is_translated(&self) -> bool {
        let last = self.steps.last();
        self.steps.len() > self.read && last.is_some_and(|last| last.cause == Some(SERVICE))
    }

    /// Other ways to the same target have failed with these statuses, and one more is tried: each is a
    /// branch of the target that we were asked for (RFC 7044 §10.4).
    pub fn hunt(&mut self, failures: &[u16]) {
        let Some((first, others)) = failures.split_first() else {
            return;
        };
        let tried = match self.ways {
            0 => {
                self.reach();
                None
            }
            ways => self.steps.len().checked_sub(ways + 1),
        };
        let root = match tried {
            Some(root) => self.steps.get(root).cloned(),
            None => self.steps.last().cloned(),
        };
        let Some(root) = root else { return };
        let mut lefts = others.iter().map(|left| Some(*left)).chain([None]);
        match (tried, self.steps.last_mut()) {
            // The last way has failed now.
            (Some(_), Some(last)) => last.left = Some(*first),
            _ => self.way(&root, Some(*first)),
        }
        for left in &mut lefts {
            self.way(&root, left);
        }
    }

    /// One more way to a target.
    fn way(&mut self, root: &Step, left: Option<u16>) {
        if self.steps.len() >= MOST_STEPS {
            return;
        }
        self.ways += 1;
        let number = u32::try_from(self.ways).unwrap_or(u32::MAX);
        self.steps.push(Step {
            uri: root.uri.clone(),
            index: [root.index.as_slice(), &[number]].concat(),
            cause: None,
            change: Some(Change {
                kind: ChangeKind::None,
                from: root.index.clone(),
            }),
            left,
            is_private: root.is_private,
        });
    }

    /// The last target sent us to another one: with this status, for this cause.
    pub fn redirect(&mut self, to: &Uri, left: u16, cause: u16) {
        self.reach();
        if let Some(last) = self.steps.last_mut() {
            last.left = Some(left);
        }
        self.extend(to, ChangeKind::User, Some(cause), |last| {
            let mut index = last.clone();
            match index.len() {
                // The root of the tree has no siblings.
                0 | 1 => index.push(1),
                _ => {
                    if let Some(number) = index.last_mut() {
                        *number = number.saturating_add(1);
                    }
                }
            }
            index
        });
    }

    /// A transfer: who asked for it deflects the call to another one. What the call went through before
    /// is none of the new party's business.
    pub fn of_transfer(by: Uri, to: &Uri) -> Self {
        let mut trail = Self {
            called: Some(Box::new(by)),
            ..Self::default()
        };
        trail.reach();
        trail.extend(to, ChangeKind::User, Some(DEFLECTION), |last| {
            [last.as_slice(), &[1]].concat()
        });
        trail
    }

    fn extend(
        &mut self,
        to: &Uri,
        kind: ChangeKind,
        cause: Option<u16>,
        index: impl FnOnce(&Vec<u32>) -> Vec<u32>,
    ) {
        let Some(last) = self.steps.last().filter(|_| self.steps.len() < MOST_STEPS) else {
            return;
        };
        let step = Step {
            uri: bare(to),
            index: index(&last.index),
            cause,
            change: Some(Change {
                kind,
                from: last.index.clone(),
            }),
            left: None,
            is_private: false,
        };
        self.ways = 0;
        self.steps.push(step);
    }
}

/// Whether a diverting party wants to be hidden.
fn wants_privacy(entry: &Diversion) -> bool {
    entry
        .privacy()
        .is_some_and(|value| !value.eq_ignore_ascii_case(b"off"))
}

/// An index as it is written.
pub fn index_text(index: &[u32]) -> String {
    let numbers: Vec<String> = index.iter().map(u32::to_string).collect();
    numbers.join(".")
}

fn next_index(last: Option<&Step>) -> Vec<u32> {
    match last {
        Some(last) => [last.index.as_slice(), &[1]].concat(),
        None => vec![1],
    }
}

fn index_of(text: &[u8]) -> Option<Vec<u32>> {
    let text = std::str::from_utf8(text).ok()?;
    let index: Option<Vec<u32>> = text.split('.').map(|number| number.parse().ok()).collect();
    index.filter(|index| index.len() <= MOST_STEPS)
}

/// A number at the host of a URI; whoever is told of it gets it at our name.
pub fn at(number: &str, uri: &Uri) -> Uri {
    let own = match uri.host() {
        Some(host) => {
            let mut own = SipUri::new(host.clone());
            own.set_user_text(number.as_bytes()).map(|()| own.into())
        }
        None => TelUri::new(number.to_owned()).map(Uri::Tel),
    };
    own.unwrap_or_else(|_| uri.clone())
}

/// The URI without its headers part, which says what happened and not who was called.
fn bare(uri: &Uri) -> Uri {
    let mut uri = uri.clone();
    if let Uri::Sip(sip) = &mut uri {
        sip.clear_headers();
    }
    uri
}

/// A header in the headers part of a URI, escapes resolved. Teams leaves some of them out, so that
/// `;` and `=` stand there as they are (TDR-FWD-001).
fn header_of(uri: &Uri, name: &str) -> Option<String> {
    let (_, value) = uri
        .as_sip()?
        .headers()
        .iter()
        .find(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes()))?;
    let text = String::from_utf8_lossy(value);
    let unescaped = ["%3B", "%3b", "%3D", "%3d", "%20", "%22"]
        .into_iter()
        .zip([";", ";", "=", "=", " ", "\""])
        .fold(text.into_owned(), |text, (escape, plain)| {
            text.replace(escape, plain)
        });
    Some(unescaped)
}

/// The number behind `cause=`, whatever it means: an entry with one was left again (TDR-FWD-001).
fn cause_in(text: &str) -> Option<u16> {
    let lower = text.to_ascii_lowercase();
    three_digits(lower.split_once("cause=")?.1.get(..3)?.as_bytes())
}

fn three_digits(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    let is_code = text.len() == 3 && text.bytes().all(|octet| octet.is_ascii_digit());
    text.parse().ok().filter(|_| is_code)
}

/// The party that a counter speaks of.
fn nobody() -> Option<Uri> {
    let mut uri = SipUri::new(Host::parse(Bytes::from_static(b"unknown.invalid")).ok()?);
    uri.set_user(Some(Bytes::from_static(b"unknown"))).ok()?;
    Some(uri.into())
}
