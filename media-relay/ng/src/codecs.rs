//! Codecs that a proxy takes out of a description, puts in front, or has put in: `codec` and flags that begin with it.
//!
//! Wishes are applied in the order that rtpengine has: `strip`, `consume` and `mask` take out, but for what `except` names;
//! `offer` puts back, in its order; `transcode` puts back or adds. If nothing is left all are as they came.

use crate::formats::{Common, Encoding, Formats, Payload};
use crate::request::{Reason, flags};
use crate::value::Value;
use sbc_core::media::Codec;

/// What is wanted of the codecs of a description on its way.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct CodecWishes {
    strip: Vec<Named>,
    /// Taken out of an offer: those of `consume`, too.
    mask: Vec<Named>,
    except: Vec<Named>,
    offer: Vec<Named>,
    transcode: Vec<Named>,
    /// What who sends it is not believed to have.
    ignore: Vec<Named>,
}

/// A codec as a wish names it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Named {
    /// Whatever there is.
    All,
    /// One payload type.
    Number(u8),
    Codec {
        name: String,
        /// Clock and channels, if they are told; one channel if a clock is told alone.
        form: Option<(u32, u8)>,
    },
}

/// Payload types as they go out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Outgoing {
    pub(crate) payloads: Vec<Payload>,
    /// Those of them that its author has not, with what they are.
    pub(crate) added: Vec<(u8, Codec)>,
}

/// Payload types of an `m=` line that was offered on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Codecs {
    /// Those that its author wrote.
    pub(crate) written: Vec<Payload>,
    /// Those of them that it is believed to have; those that were taken out for good come last.
    pub(crate) believed: Vec<Payload>,
    /// Those that went on.
    pub(crate) sent: Vec<Payload>,
    /// Whether those are others than its author wrote, so that an answer may name none beside them.
    pub(crate) is_listed: bool,
}

/// What `m=` and the attributes of its formats say in place of what their author wrote.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Listed {
    /// Numbers in `m=`.
    pub(crate) numbers: Vec<u8>,
    /// Those whose attributes stay as they were.
    pub(crate) kept: Vec<u8>,
    /// Attributes of the others.
    pub(crate) lines: String,
}

impl Named {
    /// Options behind name, clock and channels are of encoders that are not ours.
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('/');
        let name = parts.next().filter(|name| !name.is_empty())?;
        if let Ok(number) = name.parse() {
            return Some(Self::Number(number));
        }
        if name == "all" || name == "full" {
            return Some(Self::All);
        }
        let clock_hz = parts.next().and_then(|clock| clock.parse().ok());
        let channels = parts.next().and_then(|channels| channels.parse().ok());
        Some(Self::Codec {
            name: name.to_ascii_uppercase(),
            form: clock_hz.map(|clock_hz| (clock_hz, channels.unwrap_or(1))),
        })
    }

    fn is(&self, payload: &Payload) -> bool {
        match self {
            Self::All => true,
            Self::Number(number) => payload.number == *number,
            Self::Codec { name, form } => payload.encoding.as_ref().is_some_and(|own| {
                own.name == *name && form.is_none_or(|form| form == (own.clock_hz, own.channels))
            }),
        }
    }

    /// The codec to add, if it is one that the relay can decode and encode.
    fn made(&self) -> Option<Codec> {
        let Self::Codec { name, form } = self else {
            return None;
        };
        let codec = Codec::known(name)?;
        let is_it = form.is_none_or(|form| form == (codec.clock_hz, codec.channels));
        (is_it && codec.is_made()).then(|| described(codec))
    }

    fn shown(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Codec { name, .. } => name.chars().take(40).collect(),
        }
    }
}

impl CodecWishes {
    /// Reads `codec` and flags. A wish that nobody knows is refused.
    pub(crate) fn read(body: &Value<'_>) -> Result<Self, Reason> {
        let mut wishes = Self::default();
        if let Some(Value::Map(entries)) = body.get("codec") {
            for (key, value) in entries {
                let key = String::from_utf8_lossy(key);
                value.words().try_for_each(|word| wishes.wish(&key, word))?;
            }
        } else if body
            .get("codec")
            .is_some_and(|own| own.words().next().is_some())
        {
            return Err(
                "\"codec\" is a dictionary of lists: strip, offer, transcode and the like".into(),
            );
        }
        for flag in flags(body) {
            let (key, name) = split(&flag);
            if let Some(key) = key {
                wishes.wish(key, name)?;
            }
        }
        // Of a text of flags that had an equals sign there.
        let Value::Map(entries) = body else {
            return Ok(wishes);
        };
        for (key, value) in entries {
            let key = String::from_utf8_lossy(key).replace(['_', ' '], "-");
            if let (Some(key), _) = split(&format!("{key}-")) {
                value.words().try_for_each(|word| wishes.wish(key, word))?;
            }
        }
        Ok(wishes)
    }

    fn wish(&mut self, key: &str, word: &str) -> Result<(), Reason> {
        let list = match key {
            "strip" => &mut self.strip,
            "mask" | "consume" => &mut self.mask,
            "except" => &mut self.except,
            "offer" => &mut self.offer,
            "transcode" => &mut self.transcode,
            "ignore" => &mut self.ignore,
            // What is accepted is whatever can be transcoded, and encoders have one form.
            "accept" | "set" => return Ok(()),
            other => {
                let shown: String = other.chars().take(40).collect();
                return Err(format!(
                    "codec-{}: strip, offer, except, mask, consume, accept, ignore, transcode and set are known",
                    shown.escape_debug()
                ));
            }
        };
        let named = Named::read(word).ok_or_else(|| format!("codec-{key} names no codec"))?;
        list.push(named);
        Ok(())
    }

    /// Those that count in an answer as well.
    pub(crate) fn of_answer(&self) -> Self {
        Self {
            mask: Vec::new(),
            transcode: Vec::new(),
            ignore: Vec::new(),
            ..self.clone()
        }
    }

    fn is_none(&self) -> bool {
        let lists = [&self.strip, &self.mask, &self.offer, &self.transcode];
        lists.into_iter().all(Vec::is_empty)
    }

    /// What its author is believed to have, where these of it went on. What was stripped comes last: it is no more than
    /// what is left if nothing else will do.
    pub(crate) fn believed(&self, payloads: &[Payload], sent: &[Payload]) -> Vec<Payload> {
        let is_ignored = |own: &&Payload| named(&self.ignore, own) && !named(&self.except, own);
        let all = payloads.iter().filter(|own| !is_ignored(own));
        let mut all: Vec<Payload> = all.cloned().collect();
        if all.is_empty() {
            all = payloads.to_vec();
        }
        all.sort_by_key(|own| self.strips(own) && !has(sent, own.number));
        all
    }

    fn strips(&self, payload: &Payload) -> bool {
        self.takes_out(&self.strip, payload)
    }

    /// Whether one of these wishes takes it out. What is named is taken out whatever is excepted.
    fn takes_out(&self, wishes: &[Named], payload: &Payload) -> bool {
        wishes.iter().any(|wish| match wish {
            Named::All => !named(&self.except, payload),
            wish => wish.is(payload),
        })
    }

    /// The payload types that go out in place of these; `None` if nothing is wished for. `number` has a number for what is
    /// added, beside those that are taken.
    pub(crate) fn outgoing(
        &self,
        payloads: &[Payload],
        mut number: impl FnMut(&Codec, &[u8]) -> Option<u8>,
    ) -> Result<Option<Outgoing>, Reason> {
        if self.is_none() {
            return Ok(None);
        }
        let stays = |own: &&Payload| !self.strips(own) && !self.takes_out(&self.mask, own);
        let mut list: Vec<Payload> = payloads.iter().filter(stays).cloned().collect();
        let mut added: Vec<(u8, Codec)> = Vec::new();
        let mut lacking = Vec::new();
        let mut is_had = false;
        for (wish, is_made) in (self.offer.iter().map(|wish| (wish, false)))
            .chain(self.transcode.iter().map(|wish| (wish, true)))
        {
            let back = payloads
                .iter()
                .filter(|own| *wish != Named::All && wish.is(own));
            let back: Vec<&Payload> = back.collect();
            is_had |= is_made && !back.is_empty();
            for own in &back {
                if !has(&list, own.number) {
                    put(&mut list, (*own).clone(), &added);
                }
            }
            if !is_made || !back.is_empty() {
                continue;
            }
            let Some(codec) = wish.made() else {
                lacking.push(wish.shown());
                continue;
            };
            is_had = true;
            if !added.iter().any(|(_, own)| *own == codec) {
                add(codec, payloads, (&mut list, &mut added), &mut number)?;
            }
        }
        if let Some(name) = lacking.first().filter(|_| !is_had) {
            return Err(format!(
                "codec-transcode-{}: PCMA, PCMU, G722 and opus can be transcoded",
                name.escape_debug()
            ));
        }
        fit_events(payloads, (&mut list, &mut added), &mut number)?;
        if list.is_empty() {
            return Ok(None);
        }
        Ok(Some(Outgoing {
            payloads: list,
            added,
        }))
    }
}

/// What a flag wishes, and of which codec: `codec-strip-PCMU`, `codec-strip=PCMU`, `transcode-PCMU`.
fn split(flag: &str) -> (Option<&str>, &str) {
    let wish = flag.strip_prefix("codec-");
    let wish = wish.or_else(|| flag.starts_with("transcode").then_some(flag));
    let (key, name) = wish
        .and_then(|wish| wish.split_once(['-', '=']))
        .unwrap_or((wish.unwrap_or_default(), ""));
    (wish.map(|_| key), name)
}

fn named(wishes: &[Named], payload: &Payload) -> bool {
    wishes.iter().any(|wish| wish.is(payload))
}

fn has(list: &[Payload], number: u8) -> bool {
    list.iter().any(|own| own.number == number)
}

/// Audio comes before what goes along with it, and before what was added: whoever answers sends what comes first in the
/// offer (RFC 3264 §6.1), and what both have is to pass.
fn put(list: &mut Vec<Payload>, payload: Payload, added: &[(u8, Codec)]) {
    let is_added = |own: &Payload| added.iter().any(|(number, _)| *number == own.number);
    let is_behind = |own: &Payload| !own.is_audio() || is_added(own);
    let at = match payload.is_audio() {
        true => list.iter().position(is_behind),
        false => None,
    };
    list.insert(at.unwrap_or(list.len()), payload);
}

fn add(
    codec: Codec,
    payloads: &[Payload],
    (list, added): (&mut Vec<Payload>, &mut Vec<(u8, Codec)>),
    number: &mut impl FnMut(&Codec, &[u8]) -> Option<u8>,
) -> Result<(), Reason> {
    let taken = payloads.iter().map(|own| own.number);
    let taken: Vec<u8> = taken.chain(added.iter().map(|(own, _)| *own)).collect();
    let number = number(&codec, &taken).ok_or("no payload type is free for another codec")?;
    let encoding = Some(Encoding::of_codec(&codec));
    // Behind those that were added before.
    let payload = Payload {
        number,
        encoding,
        wishes: None,
    };
    put(list, payload, &[]);
    added.push((number, codec));
    Ok(())
}

/// Where codecs were added there are events of their clock, if there are any (RFC 4733 §2.1); and where audio was taken out,
/// events of no clock that is left go with it, if others are there.
fn fit_events(
    payloads: &[Payload],
    (list, added): (&mut Vec<Payload>, &mut Vec<(u8, Codec)>),
    number: &mut impl FnMut(&Codec, &[u8]) -> Option<u8>,
) -> Result<(), Reason> {
    if !list.iter().any(Payload::is_event) {
        return Ok(());
    }
    let clocks: Vec<u32> = added.iter().map(|(_, own)| own.clock_hz).collect();
    for clock_hz in clocks {
        let has = |own: &Payload| own.is_event() && own.clock_hz() == Some(clock_hz);
        if list.iter().any(has) {
            continue;
        }
        match payloads.iter().find(|own| has(own)) {
            Some(own) => put(list, own.clone(), &[]),
            None => add(
                events(clock_hz),
                payloads,
                (&mut *list, &mut *added),
                number,
            )?,
        }
    }
    let audio: Vec<Option<u32>> = list
        .iter()
        .filter(|own| own.is_audio())
        .map(Payload::clock_hz)
        .collect();
    let fits = |own: &Payload| !own.is_event() || audio.contains(&own.clock_hz());
    if list.iter().any(|own| own.is_event() && fits(own)) {
        list.retain(fits);
    }
    Ok(())
}

/// Keys 0 to D, which everybody has.
fn events(clock_hz: u32) -> Codec {
    Codec::named("telephone-event", clock_hz).with_fmtp("0-15")
}

/// A codec with what we say of it.
fn described(codec: Codec) -> Codec {
    // What was lost is taken from the next packet, where that repeats it (RFC 7587 §6.1).
    match codec.name.eq_ignore_ascii_case("opus") {
        true => codec.with_fmtp("useinbandfec=1"),
        false => codec,
    }
}

/// What an offer and its answer come to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Agreed {
    pub(crate) to_offerer: Vec<Common>,
    pub(crate) to_answerer: Vec<Common>,
    /// What the answer says in place of what its author wrote.
    pub(crate) listed: Option<Listed>,
    pub(crate) is_transcoded: bool,
}

/// Joins what the offerer has with what was answered of what went on to the other party; `wished` are the numbers of the
/// answer that are to go on in it, if not all.
///
/// | what was answered of audio                            | what comes of it                                  |
/// |-------------------------------------------------------|---------------------------------------------------|
/// | first what we have added, and the offerer has such    | all is transcoded: who answers sends what is first |
/// | something that the offerer is believed to have        | that passes, and nothing is transcoded beside it  |
/// | else something that we make, and the offerer has such | all is transcoded                                 |
/// | else something that the offerer wrote                 | that passes: it is believed again                 |
/// | else                                                  | an error                                          |
pub(crate) fn agree(
    offer: &Codecs,
    answered: &[Payload],
    wished: Option<&[u8]>,
    formats: &mut Formats,
) -> Result<Agreed, Reason> {
    let mut common = formats.common(&offer.sent, answered);
    if common.is_empty() || answered.iter().any(Payload::is_audio) && !has_audio(&common) {
        return Err("the answer has no codec that was offered".into());
    }
    // What goes on in the answer comes first, in its order there: what we send of our own is that.
    common.sort_by_key(|one| {
        let place = wished.and_then(|wished| wished.iter().position(|own| *own == one.answered));
        place.unwrap_or(usize::MAX)
    });
    let is_shared = |one: &Common| one.is_audio() && has(&offer.believed, one.offered);
    // A common format has no channels: whether it can be made is told by what went on.
    let is_made = |one: &Common| {
        let mut sent = offer.sent.iter();
        sent.any(|own| own.number == one.offered && own.made().is_some())
    };
    let first = answered.iter().find(|own| own.is_audio());
    let first = first.and_then(|own| common.iter().find(|one| one.answered == own.number));
    let is_first_added = first.is_some_and(|one| is_made(one) && !has(&offer.written, one.offered));
    let target = offer
        .believed
        .iter()
        .find_map(|own| Some((own, own.made()?)));
    match target {
        Some(target)
            if is_first_added || !common.iter().any(is_shared) && common.iter().any(is_made) =>
        {
            common.retain(|one| one.is_event() || is_made(one));
            transcoded(offer, target, common, wished, formats)
        }
        _ => passed(offer, common, wished),
    }
}

fn has_audio(list: &[Common]) -> bool {
    list.iter().any(Common::is_audio)
}

/// What both have passes, and is taken of either. What a wish keeps out of the answer passes as well, as its author may
/// send what it has answered, and the offerer has offered it.
fn passed(offer: &Codecs, common: Vec<Common>, wished: Option<&[u8]>) -> Result<Agreed, Reason> {
    let (all, needs_audio) = (common.len(), has_audio(&common));
    let mut both = common;
    both.retain(|one| has(&offer.written, one.offered));
    if both.is_empty() || needs_audio && !has_audio(&both) {
        return Err("the offer has no codec that what was answered can be transcoded into".into());
    }
    let is_believed = |one: &Common| has(&offer.believed, one.offered);
    let is_wished = |one: &Common| wished.is_none_or(|wished| wished.contains(&one.answered));
    // If no audio were left everything stays.
    let is_any_believed = both.iter().any(|one| one.is_audio() && is_believed(one));
    let may_be_told = |one: &Common| is_believed(one) || one.is_audio() && !is_any_believed;
    let is_any_wished = both
        .iter()
        .any(|one| one.is_audio() && may_be_told(one) && is_wished(one));
    let is_told =
        |one: &Common| may_be_told(one) && (is_wished(one) || one.is_audio() && !is_any_wished);
    if !is_any_wished {
        // Events that are wished for have come before audio that stays all the same.
        both.sort_by_key(|one| !one.is_audio());
    }
    let told = both.iter().filter(|one| is_told(one));
    let mut numbers: Vec<u8> = told.map(|one| one.answered).collect();
    if numbers.is_empty() {
        numbers = both.iter().map(|one| one.answered).collect();
    }
    both.sort_by_key(|one| !numbers.contains(&one.answered));
    let is_listed = offer.is_listed || wished.is_some() || numbers.len() < all;
    let listed = is_listed.then(|| Listed {
        kept: numbers.clone(),
        numbers,
        lines: String::new(),
    });
    Ok(Agreed {
        to_offerer: both.clone(),
        to_answerer: both,
        listed,
        is_transcoded: false,
    })
}

/// All audio is brought into `target` for the offerer, and the answer goes on with that; `common` is what we make of the
/// answer, and events.
fn transcoded(
    offer: &Codecs,
    target: (&Payload, Codec),
    common: Vec<Common>,
    wished: Option<&[u8]>,
    formats: &mut Formats,
) -> Result<Agreed, Reason> {
    let is_wished = |one: &&Common| wished.is_none_or(|wished| wished.contains(&one.answered));
    let answers_events = common.iter().any(Common::is_event);
    let tells_events = common.iter().filter(is_wished).any(Common::is_event);
    let mut all = offer
        .believed
        .iter()
        .filter(|own| own.is_event() && answers_events);
    let fitting = |own: &&Payload| own.clock_hz() == Some(target.1.clock_hz);
    let event = all.clone().find(fitting).or_else(|| all.next());
    let event = event.and_then(|own| Some((own, events(own.clock_hz()?))));
    let mut listed = Listed::default();
    let mut to_offerer = Vec::new();
    for (own, codec) in [Some(target), event].into_iter().flatten() {
        let (Some(encoding), number) = (&own.encoding, own.number) else {
            continue;
        };
        let Some(one) = formats.of_one(encoding, number) else {
            continue;
        };
        if tells_events || !one.is_event() {
            listed.lines += &attributes(number, &codec);
            listed.numbers.push(number);
        }
        to_offerer.push(one);
    }
    if !has_audio(&to_offerer) {
        return Err("the call has had too many formats".into());
    }
    Ok(Agreed {
        to_offerer,
        to_answerer: common,
        listed: Some(listed),
        is_transcoded: true,
    })
}

impl Outgoing {
    /// As it is written.
    pub(crate) fn listed(&self) -> Listed {
        let numbers = self.payloads.iter().map(|own| own.number).collect();
        let is_added = |own: &&Payload| self.added.iter().any(|(number, _)| *number == own.number);
        let kept = self.payloads.iter().filter(|own| !is_added(own));
        Listed {
            numbers,
            kept: kept.map(|own| own.number).collect(),
            lines: self
                .added
                .iter()
                .map(|(number, codec)| attributes(*number, codec))
                .collect(),
        }
    }
}

/// What a payload type means, in lines of a description.
pub(crate) fn attributes(number: u8, codec: &Codec) -> String {
    let channels = match codec.channels {
        0 | 1 => String::new(),
        several => format!("/{several}"),
    };
    let mut lines = format!(
        "a=rtpmap:{number} {}/{}{channels}\r\n",
        codec.name, codec.clock_hz
    );
    if let Some(fmtp) = &codec.fmtp {
        lines += &format!("a=fmtp:{number} {fmtp}\r\n");
    }
    lines
}
