//! One call: two parties, what each has said, and what the relay is told of it.

use crate::agent::Agent;
use crate::codecs::{Agreed, Codecs, Outgoing, agree};
use crate::facts::{Kind, Line, Protection, SUITES, Unused, transport_of};
use crate::formats::{Common, Formats};
use crate::heard::{Ears, Picked};
use crate::request::{Exchange, IceWish, Reason, RtcpMux, Transport, Wishes};
use crate::rewrite::{Placed, Stream, rewrite};
use crate::running::Held;
use crate::server::{Now, Settings, Side};
use bytes::Bytes;
use media_api::{
    AddressRanges, BridgePlan, Command, Content, CryptoKey, Direction, EndpointId, EndpointSpec,
    Family, ForkId, Format, FormatKind, LocalEndpoint, LocalStream, Negotiated, NegotiatedStream,
    PayloadBinding, ProtectionWanted, SessionId, SourcePolicy, Stage, StreamKind, StreamSpec,
};
use sbc_core::media::Codec;
use sbc_core::sdp::{Description, Limits, Media, base64_encode};
use std::net::IpAddr;

/// Streams of a call at most; further `m=` lines are refused.
const STREAMS: usize = 4;
/// Longest name of a line in octets; those of browsers have one or two, or are a word.
const LONGEST_MID: usize = 64;
/// Branches of one offer that are told apart.
const BRANCHES: usize = 32;

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) session: SessionId,
    pub(crate) created: Now,
    /// When a message last spoke of it.
    pub(crate) last_signal: Now,
    /// The one that made the first offer, and the other.
    pub(crate) parties: [Party; 2],
    /// Which stream an `m=` line has, by its position.
    slots: Vec<Option<usize>>,
    streams: usize,
    formats: Formats,
    branches: Vec<String>,
    /// The branch that the newest answer was of, if it said.
    answered_by: Option<String>,
    /// An offer that was not answered yet, or whose answer may still change.
    offer: Option<Offer>,
    pub(crate) is_answered: bool,
    /// Streams that are transcoded.
    pub(crate) transcoded: usize,
    /// Where media of either may come from besides.
    media_from: AddressRanges,
    /// What the parties hear beside what they have agreed on.
    pub(crate) ears: Ears,
}

/// One party of a call.
#[derive(Debug)]
pub(crate) struct Party {
    pub(crate) tag: Option<String>,
    side: Side,
    family: Family,
    /// Our addresses and keys towards it, by stream; none until the relay has told them.
    pub(crate) local: Vec<LocalStream>,
    /// Our agents towards it, by stream.
    agents: Vec<Agent>,
    /// What it said last: kind and transport of each line with a stream.
    pub(crate) medias: Vec<Described>,
    /// What it calls each line, or was told that it is called.
    mids: Vec<Option<String>>,
    /// Numbers of codecs that were offered to it by us alone, by stream.
    numbers: Vec<(usize, Codec, u8)>,
}

/// A line of a party as statistics name it.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) stream: usize,
    pub(crate) kind: String,
    pub(crate) transport: String,
}

#[derive(Debug)]
struct Offer {
    /// Which party made it.
    by: usize,
    lines: Vec<Offered>,
    source: SourcePolicy,
    /// Packet times that a proxy wants: towards who gets the offer, and towards who has made it.
    ptimes_ms: (Option<u8>, Option<u8>),
}

/// One `m=` line of an offer.
#[derive(Debug)]
struct Offered {
    /// What it says, if it has a stream.
    line: Option<Line>,
    codecs: Codecs,
    transport: String,
    /// Where keys were offered to come from.
    kind: Kind,
    /// Whether an agent of ours was offered on.
    is_checked: bool,
    /// The tags that keys were offered under.
    tags: Vec<u32>,
    /// Whether one port was offered on.
    is_mux_offered: bool,
    has_rtcp_line: bool,
}

impl Call {
    /// A call that begins with this offer, and what the relay has to reserve for it.
    pub(crate) fn begin(
        session: SessionId,
        exchange: &Exchange<'_>,
        settings: &Settings,
        now: Now,
    ) -> Result<(Self, Command), Reason> {
        let sides = &settings.sides;
        let description = described(exchange.sdp)?;
        let wishes = &exchange.wishes;
        let (from, to) = match &wishes.sides {
            None => (side_named(sides, None)?, side_named(sides, None)?),
            Some((from, to)) => (side_named(sides, Some(from))?, side_named(sides, Some(to))?),
        };
        let family = family_of(&description);
        let local = from.address(family)?;
        let other = wishes.family.unwrap_or(family);
        to.address(other)?;
        let mut call = Self {
            session,
            created: now,
            last_signal: now,
            parties: [
                Party::new(Some(exchange.offerer.to_owned()), from.clone(), family),
                Party::new(None, to.clone(), other),
            ],
            slots: Vec::new(),
            streams: 0,
            formats: Formats::default(),
            branches: Vec::new(),
            answered_by: None,
            offer: None,
            is_answered: false,
            transcoded: 0,
            media_from: settings.media_from.clone(),
            ears: Ears::default(),
        };
        let mut why = None;
        for media in description.media() {
            let is_usable = match Line::read(&media, description.ice_lite(), local, wishes) {
                Ok(_) => call.streams < STREAMS,
                Err(unused) => {
                    why.get_or_insert((media.index(), unused));
                    false
                }
            };
            call.slots.push(is_usable.then_some(call.streams));
            call.streams += usize::from(is_usable);
        }
        if call.streams == 0 {
            return Err(match why {
                None => "the description has no m= line".into(),
                Some((index, unused)) => {
                    format!(
                        "no m= line can be relayed: number {} {}",
                        index + 1,
                        unused.text()
                    )
                }
            });
        }
        for (at, party) in (0..).zip(&mut call.parties) {
            let agent = |stream| Agent::new(settings.secret, session, (at, stream));
            let agents: Option<_> = (0..call.streams).map(agent).collect();
            party.agents = agents.ok_or("no agent could be named")?;
        }
        let spec = |party: usize| EndpointSpec {
            endpoint: endpoint(party),
            realm: call.parties[party].side.realm,
            family: call.parties[party].family,
            streams: call.parties[party]
                .agents
                .iter()
                .map(|agent| StreamSpec {
                    kind: StreamKind::Audio,
                    // Whether a party protects its media, and how, may change with every offer.
                    protection: ProtectionWanted::Either(SUITES.to_vec()),
                    ice: Some(agent.credentials().clone()),
                })
                .collect(),
            takes_last: false,
        };
        let command = Command::Allocate {
            session,
            endpoints: vec![spec(0), spec(1)],
        };
        Ok((call, command))
    }

    /// What the relay has reserved.
    pub(crate) fn allocated(&mut self, endpoints: Vec<LocalEndpoint>) {
        for local in endpoints {
            if let Some(party) = self.parties.get_mut(usize::from(local.endpoint.0)) {
                party.local = local.streams;
            }
        }
    }

    /// Remembers one more branch of an offer.
    pub(crate) fn add_branch(&mut self, branch: Option<&str>) {
        let is_known = |branch: &str| self.branches.iter().any(|known| known == branch);
        match branch {
            Some(branch) if !is_known(branch) && self.branches.len() < BRANCHES => {
                self.branches.push(branch.to_owned());
            }
            _ => {}
        }
    }

    /// Whether the call goes on without this branch, as others of its offer are under way: an answer may have
    /// been of early media alone.
    pub(crate) fn goes_on_without(&mut self, branch: Option<&str>) -> bool {
        let Some(branch) = branch else {
            return false;
        };
        let is_known = self.branches.iter().any(|known| known == branch);
        self.branches.retain(|known| known != branch);
        if self.branches.is_empty() || (self.is_answered && !is_known) {
            return false;
        }
        // What is left has its time to answer, too.
        if self.answered_by.as_deref() == Some(branch) {
            self.answered_by = None;
            self.is_answered = false;
        }
        true
    }

    /// Whether anything was ever offered in it.
    pub(crate) const fn is_offered(&self) -> bool {
        self.offer.is_some()
    }

    /// Lines that it has streams for.
    pub(crate) const fn streams(&self) -> usize {
        self.streams
    }

    /// Whether a party has this tag.
    pub(crate) fn has(&self, tag: &str) -> bool {
        let of = |party: &Party| party.tag.as_deref() == Some(tag);
        self.parties.iter().any(of)
    }

    /// Their tags.
    pub(crate) fn tags(&self) -> [Option<&str>; 2] {
        let [one, other] = &self.parties;
        [one.tag.as_deref(), other.tag.as_deref()]
    }

    /// What a description says beside its media.
    fn describe(&mut self, by: usize, exchange: &Exchange<'_>, lines: &[Option<(usize, Line)>]) {
        let addresses = lines.iter().flatten().map(|(_, line)| line.rtp.ip());
        self.ears.describe(by, exchange.label, addresses);
        if exchange.wishes.blocks_digits {
            self.ears.hold(Picked::Party(by), Held::Digits, true);
        }
        if let Some(is_dropped) = exchange.wishes.drops {
            self.ears.hold(Picked::Call, Held::Media, is_dropped);
        }
    }

    /// The offer as it goes to the other party.
    pub(crate) fn offer(&mut self, exchange: &Exchange<'_>, now: Now) -> Result<Vec<u8>, Reason> {
        let by = self.offerer(exchange)?;
        let description = described(exchange.sdp)?;
        let wishes = &exchange.wishes;
        let lines = self.lines(&description, by, wishes)?;
        self.describe(by, exchange, &lines);
        self.parties[1 - by].call_lines(&names_of(&description));
        let to = &self.parties[1 - by];
        let (mut offered, mut placed, mut begun) = (Vec::new(), Vec::new(), Vec::new());
        let mut numbers = Vec::new();
        for (at, (media, line)) in description.media().zip(lines).enumerate() {
            let transport = String::from_utf8_lossy(media.transport_text()).into_owned();
            let Some((slot, mut line)) = line else {
                placed.push(Placed::Refused(None));
                offered.push(Offered {
                    line: None,
                    codecs: Codecs::default(),
                    transport,
                    kind: Kind::Plain,
                    is_checked: false,
                    tags: Vec::new(),
                    is_mux_offered: false,
                    has_rtcp_line: false,
                });
                continue;
            };
            let local = to.stream(slot)?;
            let goes_out = wishes.transport.or(transport_of(&media));
            // A fax has its own transport, which nothing can be asked of.
            let goes_out = goes_out.filter(|_| transport_of(&media).is_some());
            // What is refused to one party may be offered on.
            let was_muxed = line.is_muxed;
            line.is_muxed &= !wishes.rejects_mux;
            let is_mux_offered = goes_out.is_some()
                && match wishes.rtcp_mux {
                    RtcpMux::AsOffered => was_muxed,
                    RtcpMux::Offer => true,
                    RtcpMux::Demux => false,
                };
            let kind = kind_of(goes_out, wishes)?;
            // Tags are places among all keys, as an answer is read by them.
            let all = local.keys.iter().zip(1..).filter(|_| kind == Kind::Sdes);
            let keys: Vec<_> = all
                .filter(|(key, _)| wishes.suites.admit(key.suite()))
                .collect();
            if kind == Kind::Sdes && keys.is_empty() {
                return Err("\"SDES\" leaves no suite that SRTP could be offered with".into());
            }
            let is_checked = goes_out.is_some()
                && match wishes.ice {
                    IceWish::AsCame => line.ice.is_some(),
                    IceWish::Remove => false,
                    IceWish::Force => true,
                };
            let agent = to.agent(slot)?;
            let mut agents = String::new();
            if is_checked {
                agents += &agent.checks(local, false);
            }
            if kind == Kind::Dtls {
                agents += &agent.certificate_of_offer(local)?;
            }
            let wishes_of_codecs = (line.content == Content::Rtp).then_some(&wishes.codecs);
            let out = match wishes_of_codecs {
                Some(wishes) => {
                    wishes.outgoing(&line.payloads, |codec, taken| to.number(slot, codec, taken))?
                }
                None => None,
            };
            let listed = out.as_ref().map(Outgoing::listed);
            let is_listed = out.is_some();
            let sent = match out {
                Some(out) => {
                    let added = out.added.into_iter();
                    numbers.extend(added.map(|(number, codec)| (slot, codec, number)));
                    out.payloads
                }
                None => line.payloads.clone(),
            };
            let believed = match wishes_of_codecs {
                Some(wishes) => wishes.believed(&line.payloads, &sent),
                None => line.payloads.clone(),
            };
            let codecs = Codecs {
                written: line.payloads.clone(),
                believed,
                sent,
                is_listed,
            };
            begun.push((slot, line.clone()));
            placed.push(Placed::Stream(Stream {
                rtp: local.rtp,
                rtcp_port: (goes_out.is_some() && !wishes.has_no_rtcp_line)
                    .then_some(local.rtcp.port()),
                is_muxed: is_mux_offered,
                transport: goes_out.map(|transport| transport.name().to_owned()),
                cryptos: keys.iter().map(|(key, tag)| crypto(*tag, key)).collect(),
                mid: to.mid(at),
                agents,
                is_checked,
                listed,
                ptime_ms: wishes.ptime_ms.filter(|_| wishes_of_codecs.is_some()),
            }));
            offered.push(Offered {
                line: Some(line),
                codecs,
                transport,
                kind,
                is_checked,
                tags: keys.iter().map(|(_, tag)| *tag).collect(),
                is_mux_offered,
                has_rtcp_line: media.rtcp().is_some(),
            });
        }
        let address = to.address()?;
        let out = rewrite(&description, address, wishes.replaces_origin, &placed);
        for (slot, line) in begun {
            for (at, line) in [(by, Some(&line)), (1 - by, None)] {
                if let Some(agent) = self.parties[at].agents.get_mut(slot) {
                    agent.offered(line);
                }
            }
        }
        self.parties[1 - by].keep_numbers(numbers);
        self.parties[by].tag = Some(exchange.offerer.to_owned());
        self.parties[by].describe(&description, &self.slots);
        self.offer = Some(Offer {
            by,
            lines: offered,
            source: Line::source(wishes, &self.media_from),
            ptimes_ms: (wishes.ptime_ms, wishes.ptime_back_ms),
        });
        // What is offered within a dialog has no other branch beside it.
        if exchange.answerer.is_none() {
            self.add_branch(exchange.which.branch);
        }
        self.last_signal = now;
        Ok(out)
    }

    /// What the relay is told of an offer within a call that was answered: the other party may use what its answer says
    /// before that is here.
    pub(crate) fn expected(&self) -> Option<Command> {
        let offer = self.offer.as_ref().filter(|_| self.is_answered)?;
        Some(Command::Expect {
            session: self.session,
            endpoint: endpoint(1 - offer.by),
        })
    }

    /// The answer as it goes to the party that made the offer, and what the relay is told.
    pub(crate) fn answer(
        &mut self,
        exchange: &Exchange<'_>,
        silence_ms: u32,
        now: Now,
    ) -> Result<(Vec<u8>, Vec<Command>), Reason> {
        let description = described(exchange.sdp)?;
        let by = self.offer.as_ref().map(|offer| offer.by);
        let by = by.ok_or("there is no offer that this could answer")?;
        if self.parties[by].tag.as_deref() != Some(exchange.offerer) {
            return Err("the last offer was made by another party than \"from-tag\"".into());
        }
        let wishes = &exchange.wishes;
        let answers = self.lines(&description, 1 - by, wishes)?;
        self.describe(1 - by, exchange, &answers);
        let (offerer, answerer) = (&self.parties[by], &self.parties[1 - by]);
        let Some(offer) = &self.offer else {
            return Err("there is no offer that this could answer".into());
        };
        if answers.len() != offer.lines.len() {
            return Err(format!(
                "the answer has {} m= lines, the offer had {}",
                answers.len(),
                offer.lines.len()
            ));
        }
        let mut placed = Vec::new();
        let mut towards_offerer = vec![None; self.streams];
        let mut towards_answerer = vec![None; self.streams];
        let mut settled = Vec::new();
        let of_answer = wishes.codecs.of_answer();
        let mut transcoded = 0;
        for (at, (offered, answer)) in offer.lines.iter().zip(answers).enumerate() {
            let agreed = match (&offered.line, answer) {
                (Some(line), Some((slot, answer))) if line.content == answer.content => {
                    Some((line, slot, answer))
                }
                _ => None,
            };
            let Some((line, slot, answer)) = agreed else {
                // With the transport that was offered (RFC 3264 §6).
                placed.push(Placed::Refused(Some(offered.transport.clone())));
                continue;
            };
            // Whoever wants SRTP must not end up without (MED-100).
            match (offered.kind, answer.protection.kind()) {
                (offered, answered) if offered == answered => {}
                (Kind::Plain, _) => return Err("the answer is SRTP, which was not offered".into()),
                (_, Kind::Plain) => {
                    return Err("the answer is without SRTP, which was offered".into());
                }
                _ => return Err("the answer has keys of another kind than was offered".into()),
            }
            let own = offerer.stream(slot)?;
            let agent = offerer.agent(slot)?;
            let mut agents = String::new();
            let (protection, cryptos) = match &line.protection {
                Protection::Plain => (media_api::Protection::None, Vec::new()),
                Protection::Dtls(peer) => {
                    let role = agent.role(peer, wishes.dtls);
                    agents += &agent.certificate_of_answer(own, role, peer)?;
                    (peer.terms(role), Vec::new())
                }
                Protection::Sdes(keys) => {
                    let chosen = keys.iter().find_map(|(tag, remote)| {
                        let local = own.keys.iter().find(|own| own.suite() == remote.suite())?;
                        Some((*tag, local, remote))
                    });
                    let (tag, local, remote) = chosen.ok_or("no common SRTP suite")?;
                    let protection = sdes(local, remote);
                    (protection, vec![crypto(tag, local)])
                }
            };
            let Agreed {
                to_offerer,
                to_answerer,
                listed,
                is_transcoded,
            } = match line.content {
                Content::Rtp => {
                    // What is wished for is of the description that goes out: whoever answers is told nothing of it, and
                    // sends what it has answered (RFC 3264 §6.1).
                    let out = of_answer.outgoing(&answer.payloads, |_, _| None)?;
                    let wished: Option<Vec<u8>> =
                        out.map(|out| out.payloads.iter().map(|own| own.number).collect());
                    agree(
                        &offered.codecs,
                        &answer.payloads,
                        wished.as_deref(),
                        &mut self.formats,
                    )?
                }
                Content::Udptl => Agreed::default(),
            };
            transcoded += usize::from(is_transcoded);
            let is_muxed = line.is_muxed && wishes.rtcp_mux != RtcpMux::Demux;
            let checks = line.ice.as_ref().filter(|_| wishes.ice != IceWish::Remove);
            if checks.is_some() {
                agents = agent.checks(own, is_muxed) + &agents;
            } else if line.is_mismatched && wishes.ice != IceWish::Remove {
                agents += "a=ice-mismatch\r\n";
            }
            let ice = checks.and_then(|peer| agent.terms(peer));
            placed.push(Placed::Stream(Stream {
                rtp: own.rtp,
                rtcp_port: (!is_muxed && offered.has_rtcp_line && !wishes.has_no_rtcp_line)
                    .then_some(own.rtcp.port()),
                is_muxed,
                transport: Some(offered.transport.clone()),
                cryptos,
                mid: offerer.mid(at),
                agents,
                is_checked: checks.is_some(),
                listed,
                ptime_ms: offer.ptimes_ms.1.filter(|_| line.content == Content::Rtp),
            }));
            settled.push((by, slot, line.ice.clone(), protection.clone()));
            towards_offerer[slot] = Some(NegotiatedStream {
                protection,
                ice,
                ..agreed_with(
                    (line, offer.ptimes_ms.1),
                    &answer,
                    is_muxed,
                    offer.source.clone(),
                    &to_offerer,
                    false,
                )
            });
            let is_muxed = offered.is_mux_offered && answer.is_muxed;
            let source = Line::source(wishes, &self.media_from);
            let agent = answerer.agent(slot)?;
            let checks = answer.ice.as_ref().filter(|_| offered.is_checked);
            let ice = checks.and_then(|peer| agent.terms(peer));
            let protection = answerer.protection(slot, &answer, &offered.tags)?;
            settled.push((1 - by, slot, checks.cloned(), protection.clone()));
            towards_answerer[slot] = Some(NegotiatedStream {
                protection,
                ice,
                ..agreed_with(
                    (&answer, offer.ptimes_ms.0),
                    line,
                    is_muxed,
                    source,
                    &to_answerer,
                    true,
                )
            });
        }
        let out = rewrite(
            &description,
            offerer.address()?,
            wishes.replaces_origin,
            &placed,
        );
        for (party, slot, peer, protection) in settled {
            if let Some(agent) = self.parties[party].agents.get_mut(slot) {
                agent.settle(peer.as_ref(), &protection);
            }
        }
        self.ears.agree(by, &towards_offerer);
        self.ears.agree(1 - by, &towards_answerer);
        let told = |party: usize, streams| Command::Answer {
            session: self.session,
            endpoint: endpoint(party),
            fork: ForkId(0),
            negotiated: Negotiated { streams },
            stage: Stage::Final,
        };
        let mut commands = vec![
            told(by, towards_offerer),
            told(1 - by, towards_answerer),
            Command::Update {
                session: self.session,
                plan: BridgePlan {
                    joined: Some((endpoint(0), endpoint(1))),
                    silence_ms,
                },
            },
        ];
        commands.extend(self.ears.due(self.session));
        self.parties[1 - by].tag = exchange.answerer.map(str::to_owned);
        self.parties[1 - by].describe(&description, &self.slots);
        self.is_answered = true;
        self.transcoded = transcoded;
        self.answered_by = exchange.which.branch.map(str::to_owned);
        self.last_signal = now;
        Ok((out, commands))
    }

    /// Which party makes this offer.
    fn offerer(&self, exchange: &Exchange<'_>) -> Result<usize, Reason> {
        let of = |tag: &str| {
            let has = |party: &Party| party.tag.as_deref() == Some(tag);
            self.parties.iter().position(has)
        };
        if let Some(known) = of(exchange.offerer) {
            return Ok(known);
        }
        // One whose answer we have never seen.
        match exchange.answerer.and_then(of) {
            Some(other) => Ok(1 - other),
            None => Err("neither \"from-tag\" nor \"to-tag\" is of a party of this call".into()),
        }
    }

    /// What the lines of a party say, and which stream each has; `None` for those that are refused.
    fn lines(
        &mut self,
        description: &Description,
        of: usize,
        wishes: &Wishes,
    ) -> Result<Vec<Option<(usize, Line)>>, Reason> {
        let local = self.parties[of].address()?;
        let read: Vec<Option<Line>> = description
            .media()
            .map(|media| Line::read(&media, description.ice_lite(), local, wishes).ok())
            .collect();
        self.slots.resize(self.slots.len().max(read.len()), None);
        // A line that comes in place of another, such as a fax, gets the stream of the one it replaces.
        for at in 0..read.len() {
            if read[at].is_none() || self.slots[at].is_some() {
                continue;
            }
            let is_idle = |other: &usize| read.get(*other).is_none_or(Option::is_none);
            let idle = (0..self.slots.len())
                .filter(is_idle)
                .find(|other| self.slots[*other].is_some());
            if let Some(idle) = idle {
                self.slots[at] = self.slots[idle].take();
            }
        }
        let lines = read.into_iter().zip(&self.slots);
        Ok(lines.map(|(line, slot)| Some(((*slot)?, line?))).collect())
    }
}

impl Party {
    fn new(tag: Option<String>, side: Side, family: Family) -> Self {
        Self {
            tag,
            side,
            family,
            local: Vec::new(),
            agents: Vec::new(),
            medias: Vec::new(),
            mids: Vec::new(),
            numbers: Vec::new(),
        }
    }

    /// A payload type under which it can be offered a codec of ours: the one that it had before, if it had one (RFC 3264
    /// §8.3.2).
    fn number(&self, slot: usize, codec: &Codec, taken: &[u8]) -> Option<u8> {
        let is_free = |number: &u8| !taken.contains(number);
        let known = |own: &&(usize, Codec, u8)| own.0 == slot;
        let before = self.numbers.iter().filter(known);
        let own = before.clone().find(|own| own.1 == *codec);
        let is_new = |number: &u8| is_free(number) && !before.clone().any(|own| own.2 == *number);
        let own = own.map(|own| own.2).or(codec.static_number());
        own.filter(is_free).or_else(|| (96..=127).find(is_new))
    }

    /// Codecs of ours that it has been offered; their number is that of what the relay can make.
    fn keep_numbers(&mut self, numbers: Vec<(usize, Codec, u8)>) {
        for (slot, codec, number) in numbers {
            self.numbers.retain(|own| own.0 != slot || own.1 != codec);
            self.numbers.push((slot, codec, number));
        }
    }

    /// What it calls a line.
    fn mid(&self, at: usize) -> Option<String> {
        self.mids.get(at).cloned().flatten()
    }

    /// A description to it calls lines so that have had no name.
    fn call_lines(&mut self, names: &[Option<String>]) {
        self.mids.resize(self.mids.len().max(names.len()), None);
        for (own, name) in self.mids.iter_mut().zip(names) {
            if own.is_none() {
                own.clone_from(name);
            }
        }
    }

    /// Our address towards it.
    fn address(&self) -> Result<IpAddr, Reason> {
        match self.local.first() {
            Some(local) => Ok(local.rtp.ip()),
            None => self.side.address(self.family),
        }
    }

    fn stream(&self, slot: usize) -> Result<&LocalStream, Reason> {
        let stream = self.local.get(slot);
        stream.ok_or_else(|| "the relay has reserved nothing for this line".into())
    }

    fn agent(&self, slot: usize) -> Result<&Agent, Reason> {
        let agent = self.agents.get(slot);
        agent.ok_or_else(|| "this line has no agent".into())
    }

    fn protection(
        &self,
        slot: usize,
        answer: &Line,
        offered: &[u32],
    ) -> Result<media_api::Protection, Reason> {
        let keys = match &answer.protection {
            Protection::Plain => return Ok(media_api::Protection::None),
            Protection::Dtls(peer) => {
                let role = peer.chosen();
                let role = role.map_err(|_| "the answer has an a=setup that chooses nothing")?;
                return Ok(peer.terms(role));
            }
            Protection::Sdes(keys) => keys,
        };
        let own = self.stream(slot)?;
        let mut taken = keys.iter().filter(|(tag, _)| offered.contains(tag));
        let both = taken.find_map(|(tag, remote)| {
            // The tag says which of our keys it has taken.
            let at = usize::try_from(*tag).ok()?.checked_sub(1)?;
            let local = own.keys.get(at)?;
            (local.suite() == remote.suite()).then(|| sdes(local, remote))
        });
        both.ok_or_else(|| {
            "the answer has a=crypto with a tag or suite that was not offered".into()
        })
    }

    fn describe(&mut self, description: &Description, slots: &[Option<usize>]) {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let described = |(media, slot): (Media<'_>, &Option<usize>)| {
            Some(Described {
                stream: (*slot)?,
                kind: text(media.kind_text()),
                transport: text(media.transport_text()),
            })
        };
        let lines = description.media().zip(slots);
        self.medias = lines.filter_map(described).collect();
        for (at, name) in names_of(description).into_iter().enumerate() {
            if let Some(name) = name {
                self.mids.resize(self.mids.len().max(at + 1), None);
                self.mids[at] = Some(name);
            }
        }
    }
}

impl Unused {
    const fn text(self) -> &'static str {
        match self {
            Self::Off => "has port 0",
            Self::Kind => "is neither audio nor a fax",
            Self::Limit => "is one too many",
            Self::Transport => "has a transport that is not spoken",
            Self::Address => "has no address of the right family that media may be sent to",
            Self::Keys => "is SRTP without an a=crypto or a=fingerprint that can be used",
        }
    }
}

/// What was agreed with `party`, whose bridge leads to `other`; a packet time comes before that of its description.
fn agreed_with(
    (party, ptime_ms): (&Line, Option<u8>),
    other: &Line,
    is_muxed: bool,
    source: SourcePolicy,
    common: &[Common],
    is_answerer: bool,
) -> NegotiatedStream {
    let ours = party.ours();
    let direction = Direction::from_parts(
        ours.sends() && other.direction.sends(),
        ours.receives() && other.direction.receives(),
    );
    let is_without_reports = party.rtcp.port() == 0;
    NegotiatedStream {
        content: party.content,
        remote_rtp: party.rtp,
        remote_rtcp: match is_muxed && !is_without_reports {
            true => party.rtp,
            false => party.rtcp,
        },
        rtcp_mux: is_muxed,
        direction,
        protection: media_api::Protection::None,
        payloads: common
            .iter()
            .map(|one| {
                // The other party's numbers are what our description to this one has.
                let (receive, send) = match is_answerer {
                    true => (one.offered, one.answered),
                    false => (one.answered, one.offered),
                };
                let mut theirs = party.payloads.iter();
                let wishes = theirs
                    .find(|own| own.number == send)
                    .and_then(|own| own.wishes);
                let kind = wishes.map_or(one.format.kind, FormatKind::Opus);
                let format = Format {
                    kind,
                    ..one.format.clone()
                };
                PayloadBinding {
                    receive,
                    send,
                    id: one.id,
                    format,
                }
            })
            .collect(),
        source,
        ice: None,
        ptime_ms: match party.content {
            Content::Rtp => ptime_ms.unwrap_or(party.ptime_ms),
            // Datagrams of a fax have no packet time: that of the highest rate (MED-331).
            Content::Udptl => 10,
        },
        reports: party.reports,
        voip_metrics: party.voip_metrics,
    }
}

fn sdes(local: &CryptoKey, remote: &CryptoKey) -> media_api::Protection {
    media_api::Protection::Sdes {
        local: local.clone(),
        remote: remote.clone(),
    }
}

fn crypto(tag: u32, key: &CryptoKey) -> String {
    let inline = base64_encode(key.expose_key_and_salt());
    format!("{tag} {} inline:{inline}", key.suite().name())
}

/// What a description calls its lines.
fn names_of(description: &Description) -> Vec<Option<String>> {
    let name = |media: Media<'_>| {
        let name = media.mid()?;
        let is_sound = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
        let name = is_sound.then(|| String::from_utf8_lossy(name).into_owned());
        name.filter(|name| name.len() <= LONGEST_MID)
    };
    description.media().map(name).collect()
}

const fn endpoint(party: usize) -> EndpointId {
    EndpointId(if party == 0 { 0 } else { 1 })
}

fn described(sdp: &[u8]) -> Result<Description, Reason> {
    let read = Description::parse(Bytes::copy_from_slice(sdp), &Limits::default());
    read.map_err(|fault| format!("the description cannot be read: {fault}"))
}

/// The family that the party's own addresses have.
fn family_of(description: &Description) -> Family {
    let mut addresses = description.media().filter_map(|media| media.connection());
    let is_v6 = addresses.any(|own| own.address.ip().is_some_and(|ip| ip.is_ipv6()));
    match is_v6 {
        true => Family::V6,
        false => Family::V4,
    }
}

fn side_named<'s>(sides: &'s [Side], name: Option<&str>) -> Result<&'s Side, Reason> {
    let found = match name {
        None => sides.first(),
        Some(name) => sides.iter().find(|side| side.name == name),
    };
    found.ok_or_else(|| {
        let known: Vec<&str> = sides.iter().map(|side| side.name.as_str()).collect();
        let name: String = name.unwrap_or_default().chars().take(40).collect();
        format!(
            "direction {}: there is no such side; known: {}",
            name.escape_debug(),
            known.join(", ")
        )
    })
}

/// Where the keys of what goes out come from.
fn kind_of(transport: Option<Transport>, wishes: &Wishes) -> Result<Kind, Reason> {
    match transport {
        None | Some(Transport::Avp | Transport::Avpf) => Ok(Kind::Plain),
        Some(Transport::DtlsSavp | Transport::DtlsSavpf) if wishes.dtls.is_off => {
            Err("\"DTLS\" is off, and the description would go out with it".into())
        }
        Some(Transport::DtlsSavp | Transport::DtlsSavpf) => Ok(Kind::Dtls),
        // Whoever wants no keys there means a handshake.
        Some(Transport::Savp | Transport::Savpf) if wishes.suites.are_off() => {
            match wishes.dtls.is_off {
                true => Err(
                    "\"SDES\" and \"DTLS\" leave nothing that SRTP could be offered with".into(),
                ),
                false => Ok(Kind::Dtls),
            }
        }
        Some(Transport::Savp | Transport::Savpf) => Ok(Kind::Sdes),
    }
}
