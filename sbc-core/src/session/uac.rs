//! The set-up of a leg that we call: targets in order, early dialogs, CANCEL, the winning answer.

mod bound;
mod early;
mod left;
mod ringing;
mod targets;
mod unwanted;

use super::challenge::lengthens;
use super::offering::Offering;
use super::reliable::{self, Early};
use super::{
    Confirmed, Phase, Rejection, Said, Session, SessionEvent, Timer, description, link::Wanted,
};
use crate::auth::{Credentials, Tries};
use crate::cause::{Because, Decision};
use crate::config::{Preset, Rel100, TargetAddress, Trunk};
use crate::event::TargetFault;
use crate::few::Few;
use crate::id::{QueryId, TransactionId};
use crate::mint::MAGIC_COOKIE;
use crate::plane::Cx;
use crate::policy::circle::Reach;
use crate::policy::emergency;
use crate::policy::identity::{self, Caller, Rewrites, Signed, Towards};
use crate::policy::number::{self, Number};
use crate::policy::relayed_auth;
use crate::policy::response::answered_elsewhere;
use crate::query::ResolveFault;
use crate::report::name_in_contact;
use crate::session::{LegStyle, orphan};
use crate::sip::header::{CSeq, CallId, From, Header, OptionTag, Reason, Route, To};
use crate::sip::{
    Address, Class, HeaderName, Message, Method, NameAddr, RequestBuilder, Status, Token,
    WrittenUri,
};
use crate::stir::Vouched;
use crate::time::Timestamp;
use crate::transport::{FlowFault, Hop, TlsSuite};
use crate::trouble::Trouble;
use crate::trunk::{Binding, Place};
use bytes::Bytes;
use early::{differs, established};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Most early dialogs kept of one INVITE; Teams alone may ring 32 endpoints (TDR-SIP-016).
const MAX_EARLY_DIALOGS: usize = 64;

/// Most addresses of one name of Teams that are tried before its next name (TDR-DNS-002).
const TRIES_PER_NAME: u32 = 2;

/// Most addresses of the only name of Teams that are waited for in vain: a caller hears within 15 s that nobody is
/// there.
const MOST_SILENT: u32 = 3;

/// Most addresses that one leg tries (SIP-1704).
const MAX_TRIES: u32 = 6;
/// The same for a call for help, which should find every one that there is (TDR-EMG-006).
const MAX_TRIES_FOR_HELP: u32 = 64;

/// What a new leg says in its INVITE; how it is written depends on the target.
#[derive(Clone, PartialEq, Debug)]
pub struct Outset {
    /// The caller as the A leg presents it.
    pub caller: Arc<Caller>,
    /// The called number after all transforms.
    pub called: Number,
    /// Trunk that the call came from.
    pub from: Arc<Trunk>,
    /// Headers that policy lets through unchanged.
    pub passed: Vec<(HeaderName, Bytes)>,
    /// How far it may go, this hop already taken (SIP-403, SIP-404).
    pub reach: Reach,
    /// Our offer; nothing where the called party is to make one.
    pub offer: Option<Bytes>,
    /// The same without keys, for a peer that refuses them.
    pub keyless: Option<Bytes>,
    /// Whether somebody calls for help.
    pub is_emergency: bool,
    /// Whether it goes before other calls where a peer can take some only.
    pub is_urgent: bool,
    /// Whether no other trunk is left. A call for help then waits as long as anybody may answer, and tries what
    /// something speaks against; before, it leaves that for later.
    pub is_last: bool,
    /// Addresses of the trunk that a call for help has left for later: nothing else is tried.
    pub untried: Vec<(TargetAddress, SocketAddr)>,
    /// Whether the caller is told of the end of each early dialog.
    pub hears_ends: bool,
    /// The URI to call, octet by octet, instead of the number at the target.
    pub verbatim: Option<WrittenUri>,
    /// What the caller's signatures say.
    pub vouched: Option<Arc<Vouched>>,
    /// Parts of the A leg's body that pass unchanged beside our offer.
    pub parts: emergency::Parts,
    /// What the caller shows to the peer, which has asked for it; nothing where no caller waits who could be asked.
    pub credentials: Option<Credentials>,
}

/// An INVITE of ours on its way.
#[derive(Debug)]
pub(crate) struct Outgoing {
    outset: Outset,
    call_id: CallId,
    cseq: u32,
    targets: VecDeque<TargetAddress>,
    /// Addresses of the present target that are still to be tried.
    addresses: VecDeque<(TargetAddress, SocketAddr)>,
    /// Addresses that are down, for when nothing else is left.
    doubtful: VecDeque<(TargetAddress, SocketAddr)>,
    attempts: u32,
    /// As many as were made before the present target.
    attempts_before: u32,
    /// Addresses of names of Teams that wait until all names have had their turn.
    later: VecDeque<(TargetAddress, SocketAddr)>,
    /// Hops that the registrar prescribes (RFC 3608).
    service_route: Vec<Route>,
    /// Identities that the registrar has for us, where they count (RFC 3455).
    identities: Vec<String>,
    /// What the peer has registered with us.
    bindings: Vec<Arc<Binding>>,
    asking: Option<(QueryId, TargetAddress)>,
    /// Addresses of one server in both families.
    rivals: Vec<(SocketAddr, SocketAddr)>,
    /// Connections to an address and to its rival are on their way.
    racing: Option<(QueryId, SocketAddr)>,
    /// The address that lets this call pass, which may be its only one (SIP-1710).
    admitted: Option<SocketAddr>,
    current: Option<Try>,
    pub(super) early: Few<Bytes, Early>,
    /// Tags of early dialogs that the caller has left.
    left: BTreeSet<Bytes>,
    best: Option<Rejection>,
    started: Timestamp,
    /// Address that does not take over TCP what is too large for UDP.
    no_stream: Option<SocketAddr>,
    /// What the INVITE to the present address has been through.
    pub(super) tries: Tries,
    /// The next address is one that is tried again, with credentials.
    is_again: bool,
    /// The peer refused to be required to send reliable provisionals (SIP-523).
    is_lenient: bool,
    /// Whether our offer goes without the keys that the peer has refused.
    is_keyless: bool,
    /// What is left out of it.
    diet: Diet,
    /// Whether somebody wants to know why it is written as it is.
    explains: bool,
}

/// What is to be said about an INVITE of ours.
#[derive(Debug)]
struct Notes {
    because: Because,
    /// The signatures of the caller stay behind, because they would say something else.
    loses_signature: bool,
}

/// What is left out of an INVITE that is too large for a datagram (SIP-110).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
enum Diet {
    /// Nothing.
    None,
    /// Our product token.
    Agent,
    /// That, and all earlier targets but the first and the last.
    History,
}

/// One INVITE transaction to one address.
#[derive(Clone, Debug)]
pub(super) struct Try {
    id: TransactionId,
    target: TargetAddress,
    hop: Hop,
    cseq: u32,
    from: Address,
    is_heard: bool,
    /// Somebody was reached through it.
    has_progress: bool,
    /// What was said last of how it goes.
    said: Option<Status>,
    shown: Credentials,
}

impl Try {
    /// What it says about its address is known under this name.
    fn place(&self, trunk: &Trunk) -> Place {
        Place::of(trunk, self.target.protocol, self.hop.remote)
    }

    /// Where the INVITE went.
    pub(super) fn remote(&self) -> SocketAddr {
        self.hop.remote
    }

    /// Whether it went over TCP only because of its size, and nobody has shown to have got it.
    fn is_unheard_detour(&self) -> bool {
        self.hop.protocol != self.target.protocol && !self.is_heard
    }
}

impl Outgoing {
    pub(super) fn new(cx: &mut Cx<'_>, style: &LegStyle, outset: Outset) -> Self {
        let (trunk, targets) = (&style.trunk.name, &style.trunk.targets);
        let mut targets: VecDeque<_> = targets.iter().cloned().collect();
        let mut addresses = VecDeque::new();
        let mut best = None;
        let mut service_route = Vec::new();
        let mut identities = Vec::new();
        // Who was redirected to another server of the peer does not go back to the registrar.
        let configured = style.config.trunks.get(trunk);
        let is_redirected = configured.is_some_and(|own| own.targets != style.trunk.targets);
        let register = style.trunk.register.as_ref();
        if let Some(register) = register.filter(|_| !is_redirected) {
            let standing = cx.plane.standings.get(trunk);
            let standing = standing.filter(|standing| standing.is_registered());
            // Some take calls for help from anybody.
            if register.is_required && !outset.is_emergency {
                // Some providers know us only where we are registered (SIP-1626).
                targets.clear();
                let fault = TargetFault::NotRegistered;
                best = standing.is_none().then(|| Rejection::local(fault));
            }
            if let Some(standing) = standing {
                addresses.extend(standing.server.clone());
                targets.retain(|target| addresses.iter().all(|(own, _)| own != target));
                service_route.clone_from(&standing.service_route);
                if register.holds_identities {
                    identities.clone_from(&standing.identities);
                }
            }
        }
        let mut bindings = Vec::new();
        if style.trunk.registrar.is_some() && !is_redirected {
            // Calls go where the peer registered from, and nowhere else.
            targets.clear();
            bindings = cx.plane.bindings.of(cx.now.mono, trunk);
            let found = bindings.iter().map(|one| (one.target(), one.remote()));
            addresses.extend(found);
            let fault = TargetFault::NoBinding;
            best = bindings.is_empty().then(|| Rejection::local(fault));
        }
        if !outset.untried.is_empty() {
            targets.clear();
            addresses = outset.untried.iter().cloned().collect();
        }
        Self {
            outset,
            call_id: CallId::from_minted(cx.plane.mint.call_id()),
            cseq: 1,
            targets,
            addresses,
            doubtful: VecDeque::new(),
            attempts: 0,
            attempts_before: 0,
            later: VecDeque::new(),
            service_route,
            identities,
            bindings,
            asking: None,
            rivals: Vec::new(),
            racing: None,
            admitted: None,
            current: None,
            early: Few::default(),
            left: BTreeSet::new(),
            best,
            started: cx.now.mono,
            no_stream: None,
            tries: Tries::default(),
            is_again: false,
            is_lenient: false,
            is_keyless: false,
            diet: Diet::None,
            explains: cx.plane.explains,
        }
    }

    /// What is known before any target was tried.
    pub(super) fn first_facts(&self, style: &LegStyle) -> super::PeerFacts {
        let first = self.addresses.front().map(|(target, _)| target);
        let first = first.or(self.targets.front());
        // One that may not be tried is what the record names all the same.
        let first = first.or(style.trunk.targets.first());
        super::PeerFacts {
            host: first.map(|target| target.host.clone()).unwrap_or_default(),
            call_id: self.call_id.as_str().to_owned(),
            protocol: first.map_or(crate::transport::Protocol::Udp, |target| target.protocol),
            remote: None,
            tls: None,
            first_response_ms: None,
            first_progress_ms: None,
            user_agent: None,
            teams_call: None,
            given_up: Vec::new(),
            changes_from: false,
            ways: Vec::new(),
        }
    }

    /// Whether this is the INVITE transaction that is running.
    pub(super) fn owns(&self, id: TransactionId) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| current.id == id)
    }

    /// The running try, to be given up.
    pub(super) fn take_current(&mut self) -> Option<Try> {
        self.current.take()
    }

    fn rank(&mut self, rejection: Rejection) {
        // What a peer says counts more than what we think (SIP-314), and that it rang for too long
        // more than that nobody said anything when we gave up.
        let is_better = match &self.best {
            Some(best) => rejection.is_from_peer || !(best.is_from_peer || best.was_heard),
            None => true,
        };
        if is_better {
            self.best = Some(rejection);
        }
    }

    /// The address of this try is next again, over UDP as configured.
    fn without_detour(&mut self, failed: Try) {
        self.no_stream = Some(failed.hop.remote);
        self.addresses
            .push_front((failed.target, failed.hop.remote));
    }

    /// The address of this try is next again, with what it asked for: credentials, or a longer
    /// session interval. That is another request, so it has another number (RFC 3261 §22.2).
    pub(super) fn again(&mut self, answered: &Try) {
        self.is_again = true;
        self.cseq += 1;
        self.addresses
            .push_front((answered.target.clone(), answered.hop.remote));
    }

    /// As [`Self::again`], where the request says something else: challenges to its predecessor are not its own
    /// (SIP-1610).
    fn again_otherwise(&mut self, answered: &Try) {
        self.tries = Tries::default();
        self.again(answered);
    }

    /// Whether our offer goes without the keys that the peer has refused.
    pub(super) fn is_keyless(&self) -> bool {
        self.is_keyless
    }

    /// Whether the present name of Teams has had its turn while other names have not: a data centre that is
    /// gone has many addresses, and a caller little patience.
    fn has_had_its_turn(&self, trunk: &Trunk) -> bool {
        let is_of_teams = trunk.preset == Preset::Teams
            && !self.targets.is_empty()
            && self.attempts.saturating_sub(self.attempts_before) >= TRIES_PER_NAME;
        // Who calls for help waits no longer for one trunk while others have not been asked (SIP-1404).
        let is_of_help = self.defers() && self.attempts >= TRIES_PER_NAME;
        !self.is_again && (is_of_teams || is_of_help)
    }

    fn left(&self) -> usize {
        match self.may_try_more() {
            true => {
                self.targets.len() + self.addresses.len() + self.later.len() + self.doubtful.len()
            }
            false => 0,
        }
    }

    /// Whether it has not been to as many addresses as it may.
    fn may_try_more(&self) -> bool {
        let most = match self.outset.is_emergency {
            true => MAX_TRIES_FOR_HELP,
            false => MAX_TRIES,
        };
        self.attempts < most
    }

    /// Whether what speaks against an address is left for when no other trunk is left either: somebody calls
    /// for help, whom anybody may help, those first who can be reached for all we know (TDR-EMG-006).
    fn defers(&self) -> bool {
        self.outset.is_emergency && !self.outset.is_last && self.outset.untried.is_empty()
    }

    /// Whether the present target is all that is left to somebody who calls for help.
    fn is_last_hope(&self) -> bool {
        self.outset.is_emergency && self.outset.is_last && self.left() == 0
    }

    /// The INVITE for one target, and the From of its dialog.
    fn request(
        &self,
        style: &mut LegStyle,
        target: &TargetAddress,
        hop: &Hop,
        tag: &Token,
        branch: &str,
        lines: &[(HeaderName, Bytes)],
    ) -> Result<(RequestBuilder, Address, Notes), TargetFault> {
        let config = Arc::clone(&style.config);
        let no_listener = || TargetFault::Flow(FlowFault::NoListener);
        let listener = config
            .listeners
            .get(&hop.listener)
            .ok_or_else(no_listener)?;
        let outset = &self.outset;
        let trunk = Arc::clone(&style.trunk);
        // Calls for help go as they are dialled (TDR-NUM-003), and what Teams transfers to as it is written.
        let is_free = outset.verbatim.is_some() || outset.is_emergency;
        if !is_free && !trunk.identity.number_form.admits(&outset.called.number) {
            return Err(TargetFault::NumberForm);
        }
        let towards = Towards {
            from: &outset.from,
            to: &trunk,
            target,
            listener,
            is_emergency: outset.is_emergency && !trunk.identity.hides_in_need,
        };
        let (from, to) = (&outset.from.name, &trunk.name);
        let calling = |number: &str| number::transform_calling_through(&config, from, to, number);
        let redirecting =
            |number: &str| number::transform_redirecting_through(&config, from, to, number);
        let rewrites = Rewrites {
            calling: &calling,
            redirecting: &redirecting,
        };
        let written = identity::outgoing(&outset.caller, &outset.called, towards, rewrites);
        let Decision {
            value: mut written,
            mut because,
        } = written.map_err(|_| TargetFault::Unwritable)?;
        if !outset.is_emergency {
            identity::hold(&mut written, &self.identities, &mut because);
        }
        let signed = match &outset.vouched {
            Some(vouched) => identity::vouch(vouched, &outset.caller, &mut written, &trunk),
            None => Signed::No,
        };
        if self.explains {
            let told = identity::told(&outset.caller, &towards, &written);
            because.0.extend(told.0);
        }
        if self.diet == Diet::History && written.history.len() > 2 {
            let last = written.history.len() - 1;
            written.history.drain(1..last);
        }
        if trunk.register.is_none() {
            style.contact_user = written.contact_user;
        }
        let from = From(Address {
            addr: written.from,
            params: Default::default(),
        });
        let from = from.with_tag(tag.clone()).0;
        let binding = self.binding_of(target);
        let contact = self.contact(&trunk, target, &written.request_uri);
        let route = binding.map_or(&self.service_route, |binding| &binding.path);
        let (to, request) = match &outset.verbatim {
            None if binding.is_some() => (
                written.to,
                RequestBuilder::new(Method::Invite, &contact.ok_or(TargetFault::NoBinding)?),
            ),
            Some(uri) => (
                NameAddr::new(uri.uri().clone()),
                RequestBuilder::written(Method::Invite, uri),
            ),
            None => (
                written.to,
                RequestBuilder::new(Method::Invite, &written.request_uri),
            ),
        };
        let to = Address {
            addr: to,
            params: Default::default(),
        };
        let mut request = request
            .header(&style.via(listener, branch).ok_or_else(no_listener)?)
            .headers(route)
            .header(&outset.reach.hops)
            .header(&outset.reach.breadth)
            .header(&From(from.clone()))
            .header(&To(to))
            .header(&self.call_id)
            .header(&CSeq {
                number: self.cseq,
                method: Method::Invite,
            })
            .header(&style.contact(listener))
            .raw_if_valid(HeaderName::Allow, style.allow())
            .headers(&written.asserted)
            .headers(&written.preferred)
            .headers(&written.remote_party)
            .headers(&written.privacy)
            .headers(&written.history)
            .headers(&written.diversion);
        request = match (trunk.progress.rel100, self.is_lenient) {
            (Rel100::Never, _) => request,
            (Rel100::Required, false) => {
                request.raw_if_valid(HeaderName::Require, OptionTag::REL100)
            }
            (Rel100::Required, true) | (Rel100::Auto, _) => {
                request.raw_if_valid(HeaderName::Supported, OptionTag::REL100)
            }
        };
        if outset.hears_ends {
            request = request.raw_if_valid(HeaderName::Supported, OptionTag::EARLY_END);
        }
        if trunk.progress.p_early_media {
            request = request.raw_if_valid(HeaderName::PEarlyMedia, "supported");
        }
        if let Some(route) = style.record_route(listener) {
            request = request.header(&route);
        }
        for (name, value) in lines.iter().chain(&outset.passed) {
            request = request.raw_if_valid(name, value);
        }
        for value in signed.lines() {
            request = request.raw_if_valid(HeaderName::Identity, value);
        }
        let request = match self.diet {
            Diet::None => style.sign_request(request),
            Diet::Agent | Diet::History => style.sign_briefly(request),
        };
        let notes = Notes {
            because,
            loses_signature: signed == Signed::Lost,
        };
        // A branch is random and no word of any body.
        let boundary = branch.trim_start_matches(MAGIC_COOKIE);
        let request = match outset.parts.with(outset.offer.clone(), boundary) {
            Some(body) => request
                .lines_if_valid(&body.lines)
                .body(&body.kind, body.octets),
            None => request,
        };
        Ok((request, from, notes))
    }
}

impl Outgoing {
    /// A peer has got the INVITE. What Teams wants to be called octet by octet names things that are
    /// there once: another data centre would look for them in vain (TDR-XFR-017).
    fn tries_no_other(&mut self) {
        if self.outset.verbatim.is_some() {
            self.targets.clear();
            self.addresses.clear();
            self.later.clear();
            self.doubtful.clear();
        }
    }
}

impl Session {
    /// What the handshake agreed on of the connection that a response to our INVITE came on, for the record.
    pub(crate) fn heard_over(&mut self, id: TransactionId, tls: Option<TlsSuite>) {
        if matches!(&self.phase, Phase::Outgoing(outgoing) if outgoing.owns(id)) {
            self.facts.tls = tls;
        }
    }

    /// No response at all within the trunk's limit: the next target gets its chance, and what this
    /// one may still answer is ended when it comes.
    pub(super) fn response_timeout(&mut self, cx: &mut Cx<'_>, up: &mut Vec<SessionEvent>) {
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return;
        };
        let is_last_hope = outgoing.is_last_hope();
        let is_given_up = |current: &mut Try| !is_last_hope || current.is_unheard_detour();
        // The end of its transaction is time enough where nobody else is left to help.
        let Some(current) = outgoing.current.take_if(is_given_up) else {
            return;
        };
        if current.is_unheard_detour() {
            // A firewall that swallows TCP says nothing about UDP.
            outgoing.without_detour(current.clone());
            self.abandon(cx, current, None);
            return self.next_target(cx, None, up);
        }
        outgoing.rank(Rejection::local(TargetFault::Timeout));
        outgoing.tries_no_other();
        let place = current.place(&self.style.trunk);
        cx.plane.health.failed(cx.now.mono, place);
        let target = current.target.clone();
        if self.style.trunk.preset == Preset::Teams && !outgoing.outset.is_emergency {
            // A data centre that is silent at one address is not looked for at its others (TDR-DNS-002).
            let is_other = |(other, _): &(TargetAddress, SocketAddr)| *other != target;
            if self.style.trunk.targets.len() > 1 {
                outgoing.addresses.retain(is_other);
                outgoing.later.retain(is_other);
                outgoing.doubtful.retain(is_other);
            } else {
                // Where there is one name only, its addresses are all there is: as many as there are data centres.
                let mut left = MOST_SILENT.saturating_sub(outgoing.attempts) as usize;
                let outgoing = &mut **outgoing;
                for untried in [
                    &mut outgoing.addresses,
                    &mut outgoing.later,
                    &mut outgoing.doubtful,
                ] {
                    untried.truncate(left);
                    left -= untried.len();
                }
            }
        }
        // The same user is called by another way now: Teams is not to note a missed call beside that
        // (TDR-SIP-022).
        let goes_on = outgoing.left() > 0 && self.style.trunk.preset == Preset::Teams;
        let reason = goes_on.then(|| answered_elsewhere().to_bytes());
        self.abandon(cx, current, reason);
        self.next_target(cx, Some((target, TargetFault::Timeout)), up);
    }

    /// The INVITE waits for its connection, which may take so long; nothing when it has been written now.
    /// Connecting, shaking hands and answering have a time each (TDR-DNS-002).
    pub(crate) fn invite_leaves(&mut self, cx: &Cx<'_>, id: TransactionId, within: Duration) {
        let Phase::Outgoing(outgoing) = &self.phase else {
            return;
        };
        let current = outgoing.current.as_ref();
        if current.is_some_and(|current| current.id == id && !current.is_heard) {
            let limit = cx.now.mono + within + self.style.trunk.timers.response_timeout;
            self.timers.set(Timer::Response as usize, limit);
        }
    }

    /// Cancels a try and remembers it until its transaction has its end: it may still be answered.
    pub(super) fn abandon(&mut self, cx: &mut Cx<'_>, given_up: Try, reason: Option<Bytes>) {
        let now = cx.now.mono;
        cx.plane
            .transactions
            .cancel(now, given_up.id, reason.as_deref(), cx.out);
        self.unfinished.insert(given_up.id, given_up);
    }

    /// A response to an INVITE of ours.
    pub(super) fn invite_response(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let Some(status) = message.status() else {
            return;
        };
        let current = match &self.phase {
            Phase::Outgoing(outgoing) => outgoing.current.as_ref(),
            Phase::Incoming(_) | Phase::Confirmed(_) | Phase::Closing(_) | Phase::Over => None,
        };
        let asked = current.filter(|current| current.id == id);
        if let Some(asked) = asked.or(self.unfinished.get(&id)) {
            let (trunk, hop) = (&self.style.trunk.name, &asked.hop);
            let quarantine = &cx.plane.quarantine;
            quarantine.note(
                cx.now.mono,
                trunk,
                asked.target.protocol,
                hop.remote,
                message,
            );
            if self.style.trunk.habits.overload_control {
                let relief = &mut cx.plane.relief;
                relief.note(cx.now.mono, trunk, hop.remote, message);
            }
            let place = asked.place(&self.style.trunk);
            match status {
                Status::SERVICE_UNAVAILABLE => cx.plane.health.failed(cx.now.mono, place),
                // Proxies answer so in the name of somebody who does not.
                Status::TRYING | Status::REQUEST_TIMEOUT => {}
                _ => cx.plane.health.heard(cx.now.mono, &place),
            }
        }
        let is_named = self.facts.teams_call.is_some() || status == Status::TRYING;
        if self.style.trunk.preset == Preset::Teams && !is_named {
            self.facts.teams_call = name_in_contact(message);
        }
        // What lies in between answers for itself with 100.
        if self.facts.user_agent.is_none() && status != Status::TRYING {
            self.facts.user_agent = crate::call::user_agent(message);
        }
        if status.is_success() {
            return self.invite_answered(cx, id, message, up);
        }
        if self.unfinished.contains_key(&id) {
            if status.is_final() {
                self.unfinished.remove(&id);
            }
            return;
        }
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return;
        };
        let Some(current) = outgoing.current.as_mut().filter(|current| current.id == id) else {
            return;
        };
        if !current.is_heard {
            current.is_heard = true;
            let waited = cx.now.mono.since(outgoing.started).as_millis();
            let first = &mut self.facts.first_response_ms;
            *first = first.or(u64::try_from(waited).ok());
            self.timers.stop(Timer::Response as usize);
            let limit = cx.now.mono + self.style.trunk.timers.ring_timeout;
            self.timers.set(Timer::Ring as usize, limit);
        }
        match status.class() {
            Class::Provisional if status == Status::TRYING => {}
            Class::Provisional => {
                let waited = cx.now.mono.since(outgoing.started).as_millis();
                let first = &mut self.facts.first_progress_ms;
                *first = first.or(u64::try_from(waited).ok());
                self.rings(cx, status);
                self.invite_progress(cx, status, message, up);
            }
            Class::Success | Class::Failure => self.invite_refused(cx, status, message, up),
        }
    }

    fn invite_refused(
        &mut self,
        cx: &mut Cx<'_>,
        status: Status,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return;
        };
        let Some(current) = outgoing.current.take() else {
            return;
        };
        self.timers.clear();
        outgoing.early.clear();
        outgoing.left.clear();
        let is_ring_limit = status == Status::REQUEST_TERMINATED
            && matches!(&outgoing.best, Some(best) if !best.is_from_peer);
        let mut rejection = Rejection::from_peer(status, message);
        // After our CANCEL nobody wants the call any more.
        let is_cancelled =
            matches!(&outgoing.best, Some(best) if best.was_heard && !best.is_from_peer);
        // What the caller shows proves one request: what is wanted otherwise is for the caller to say.
        let shows = outgoing.outset.credentials.as_ref();
        let is_final = is_cancelled || shows.is_some_and(|shown| !shown.is_empty());
        let is_too_small = status == Status::SESSION_INTERVAL_TOO_SMALL && !is_cancelled;
        if is_too_small && lengthens(cx, &self.style.trunk, &mut self.timer, message) {
            // The same request to the same address, with the interval that is wanted (SIP-706).
            outgoing.again_otherwise(&current);
            return self.next_target(cx, None, up);
        }
        if status == Status::BAD_EXTENSION
            && !is_final
            && !outgoing.is_lenient
            && self.style.trunk.progress.rel100 == Rel100::Required
            && reliable::is_refused(message)
        {
            // What we require it cannot do; the caller can be served all the same (SIP-523).
            outgoing.is_lenient = true;
            outgoing.again_otherwise(&current);
            return self.next_target(cx, None, up);
        }
        if refuses_media(status)
            && !is_final
            && let Some(keyless) = outgoing.outset.keyless.take()
        {
            // It may lack SRTP and nothing else (MED-021).
            outgoing.outset.offer = Some(keyless);
            outgoing.is_keyless = true;
            outgoing.again_otherwise(&current);
            return self.next_target(cx, None, up);
        }
        let (from, to) = (&outgoing.outset.from, &self.style.trunk);
        let is_callers = outgoing.outset.credentials.is_some()
            && !relayed_auth::challenges(message, from, to).is_empty();
        if status.is_challenge() && !is_cancelled && !is_callers {
            match outgoing.answer_challenge(cx, &self.style, &current, message) {
                Ok(()) => return self.next_target(cx, None, up),
                Err(why) => {
                    rejection.text = Some(why.to_string());
                    rejection.told = Some(Trouble::from(&why));
                }
            }
        }
        if !is_ring_limit {
            outgoing.rank(rejection);
        }
        // 503 means this server, not the number: the peer's next server may do better
        // (RFC 3263 §4.3, TDR-DNS-003). Every other status is the peer's answer.
        outgoing.tries_no_other();
        let may_go_on = may_go_on(&self.style, outgoing.outset.is_emergency, &current);
        let is_servers = status == Status::SERVICE_UNAVAILABLE
            // Whatever one says of a call for help, another may help.
            || outgoing.outset.is_emergency
            // The proxy before a contact has lost its flow; another contact may have one (RFC 5626 §5.3).
            || status == Status::FLOW_FAILED && outgoing.binding_of(&current.target).is_some();
        if is_servers && outgoing.left() > 0 && may_go_on {
            if status == Status::SERVICE_UNAVAILABLE {
                outgoing.leaves_name(self.style.trunk.preset);
            }
            let fault = TargetFault::Status(status.code());
            return self.next_target(cx, Some((current.target, fault)), up);
        }
        let left = match is_ring_limit {
            true => Status::REQUEST_TIMEOUT,
            false => status,
        };
        self.facts.ways.push(left.code());
        self.give_up(cx, up);
    }

    /// A 2xx: the first on a living leg wins, every other one is ended at once.
    fn invite_answered(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let tag = to_tag(message);
        if cx.plane.acks.repeat(id, &tag, cx.out) {
            return;
        }
        // Repeated because our ACK still waits for a name to be resolved: not a second answer.
        let current = match &self.phase {
            Phase::Confirmed(confirmed) | Phase::Closing(confirmed) => Some(&confirmed.link),
            Phase::Incoming(_) | Phase::Outgoing(_) | Phase::Over => None,
        };
        let mut links = current.into_iter().chain(&self.strays);
        if links.any(|link| link.owes_ack(id, &tag)) {
            return;
        }
        if let Some(given_up) = self.unfinished.remove(&id) {
            // 200 that crossed our CANCEL, or came after we went on to the next target: the called
            // party is off hook and must be told (SIP-220).
            let why = Reason::sip(487, None);
            let (from, hop, shown) = (given_up.from, given_up.hop, given_up.shown);
            return self.end_answer(cx, id, message, from, hop, shown, why);
        }
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            // A second fork of an INVITE that has been answered already (SIP-221).
            let (Phase::Confirmed(winner) | Phase::Closing(winner)) = &self.phase else {
                return orphan::end(cx, id, message);
            };
            let (Some(from), hop) = winner.link.local_party() else {
                return orphan::end(cx, id, message);
            };
            let shown = winner.link.proofs.shown(id);
            let why = Reason::sip(200, None);
            return self.end_answer(cx, id, message, from, hop, shown, why);
        };
        let Some(current) = outgoing.current.as_ref().filter(|current| current.id == id) else {
            return orphan::end(cx, id, message);
        };
        if outgoing.left.contains(&tag) {
            return self.answered_by_who_was_left(cx, id, message, up);
        }
        let relax = self.style.trunk.progress.sdp_relax;
        let known = outgoing.early.remove(&tag);
        let before = known.as_ref().and_then(Early::described);
        let (call_id, proxy) = (&outgoing.call_id, self.style.trunk.proxy());
        let Some(mut link) = established(known, (call_id, current), self.owner, message, proxy)
        else {
            // Without Contact it is nothing that we can keep, but it has to be told.
            let (from, hop) = (current.from.clone(), current.hop.clone());
            let (invite, ours) = ((id, current.cseq), (call_id.clone(), from));
            let refusal = self.refusal_of(cx, &hop, message);
            let (style, owner) = (&self.style, self.owner);
            orphan::end_nameless(cx, style, owner, invite, (ours, hop), message, refusal);
            let fault = TargetFault::Status(Status::BAD_GATEWAY.code());
            return self.target_failed(cx, id, fault, up);
        };
        let cseq = current.cseq;
        // What was said reliably before is not said again (SIP-501).
        let description = description(message).filter(|later| match &before {
            Some(before) => differs(cx, &self.style, self.owner, before, later, relax),
            None => true,
        });
        cx.authenticated(&self.style.trunk, current.hop.remote, message);
        if self.leaves_offer && description.is_some() {
            let hop = current.hop.clone();
            let refusal = orphan::refusal_of(cx, &self.style, &hop, message);
            link.hold_ack(cseq, id, refusal);
        } else {
            let ack = Wanted::Ack {
                cseq,
                invite: id,
                answer: None,
            };
            link.send(cx, &self.style, ack);
        }
        self.timers.clear();
        self.phase = Phase::Confirmed(Box::new(Confirmed::new(link, Offering::of_owner())));
        self.timer.answered(message);
        self.facts.note_support(&self.style.trunk, message);
        self.restart_session_timer(cx);
        up.push(SessionEvent::Answered {
            early: tag,
            description,
            said: Said::new(message),
        });
    }

    fn give_up(&mut self, cx: &mut Cx<'_>, up: &mut Vec<SessionEvent>) {
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return;
        };
        self.timers.clear();
        let mut untried = std::mem::take(&mut outgoing.later);
        untried.append(&mut outgoing.doubtful);
        let fault = match untried.is_empty() {
            true => TargetFault::Resolve(ResolveFault::NotFound),
            false => TargetFault::Down,
        };
        let best = outgoing.best.take();
        let rejection = Rejection {
            untried: untried.into(),
            ..best.unwrap_or_else(|| Rejection::local(fault))
        };
        self.finish(cx);
        up.push(SessionEvent::Rejected(rejection));
    }
}

/// Whether a status says that a description cannot be used; 415 comes from peers that know no SRTP at all.
fn refuses_media(status: Status) -> bool {
    matches!(status.code(), 415 | 488 | 606)
}

/// Whether a failure of this try leads to another address: once somebody was reached through it,
/// only where the trunk says so (SIP-1703), and for whoever calls for help.
fn may_go_on(style: &LegStyle, is_emergency: bool, current: &Try) -> bool {
    !current.has_progress
        || is_emergency
        || style
            .trunk
            .reroute_on
            .contains(&Status::SERVICE_UNAVAILABLE.code())
}

/// The To tag of a response; empty for a peer without tags.
fn to_tag(message: &Message) -> Bytes {
    message.to_tag().cloned().unwrap_or_default()
}
