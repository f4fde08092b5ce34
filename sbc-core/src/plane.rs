//! What the sessions of a shard share: transactions, dialog index, identifiers, open questions.

use crate::auth::{Guard, Nonces};
use crate::config::{Config, Trunk};
use crate::dialog::{Aliases, DialogTable};
use crate::effect::{Effect, Effects};
use crate::expiring::Expiring;
use crate::hashed::Secret;
use crate::id::{CallId, LegId, QueryId, ShardId, TransactionId, TrunkName};
use crate::letter::{Content, Letter};
use crate::locate::LocateSpec;
use crate::mint::{Mint, shard_of};
use crate::policy::admission::Admission;
use crate::policy::circle::Circles;
use crate::policy::elin::Elins;
use crate::policy::left::LeftBehind;
use crate::policy::preempt::Preemptions;
use crate::policy::presence::{Presences, Talking};
use crate::policy::spend::Spending;
use crate::policy::unusual::Watch;
use crate::query::{Query, ResolveSpec};
use crate::session::AckStore;
use crate::sip::{Message, Method};
use crate::stir::VerifySpec;
use crate::tally::{Direction, OwnTally};
use crate::time::{Now, Timestamp};
use crate::transaction::{Indication, Manners, Owner, Table, TimerSet};
use crate::transport::{Flow, Hop};
use crate::trunk::asked::Asked;
use crate::trunk::{Bindings, Closed, Health, Quarantine, Relief, Standings};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How long a CANCEL finds an INVITE that another shard has: whoever replaces is answered at once.
const AWAY: Duration = Duration::from_secs(64);

/// Most such INVITEs at a time.
const MOST_AWAY: usize = 4_096;

/// Everything of a shard except its calls.
pub(crate) struct Plane {
    pub(crate) shard: ShardId,
    pub(crate) config: Arc<Config>,
    pub(crate) mint: Mint,
    pub(crate) transactions: Table,
    /// Of this shard, for digests of what peers wrote.
    pub(crate) secret: Secret,
    pub(crate) dialogs: DialogTable,
    pub(crate) aliases: Aliases,
    /// INVITEs that another shard has, because their Replaces names a dialog there.
    pub(crate) away: Expiring<ShardId>,
    /// Calls of trunks that dial on, as long as they are set up.
    pub(crate) dialling: BTreeSet<CallId>,
    pub(crate) acks: AckStore,
    pub(crate) queries: Queries,
    pub(crate) admission: Admission,
    pub(crate) spending: Spending,
    pub(crate) circles: Circles,
    pub(crate) preemptions: Preemptions,
    pub(crate) elins: Elins,
    /// When Teams was asked.
    pub(crate) asked: Asked,
    pub(crate) watch: Watch,
    /// Which unknown headers were told to stay behind.
    pub(crate) left: LeftBehind,
    /// What is sent, received and missed by trunk.
    pub(crate) tally: OwnTally,
    pub(crate) quarantine: Quarantine,
    /// Trunks that an operator keeps new calls away from.
    pub(crate) closed: Closed,
    pub(crate) relief: Relief,
    pub(crate) health: Health,
    pub(crate) nonces: Nonces,
    /// The shortest session intervals, in seconds, that peers take with proofs of callers, where they have said so: a proof
    /// that counts once must not be spent on a shorter one. And until when that is believed.
    pub(crate) intervals: BTreeMap<TrunkName, (u32, Timestamp)>,
    pub(crate) standings: Standings,
    pub(crate) bindings: Bindings,
    /// What was heard of users.
    pub(crate) presences: Presences,
    /// Who talks over our trunks.
    pub(crate) talking: Talking,
    pub(crate) guard: Guard,
    /// Whether every decision is explained: of no use, and a cost, where calls are served.
    pub(crate) explains: bool,
    /// Whether somebody keeps the records of calls that go on.
    pub(crate) keeps_journal: bool,
    /// Whether somebody keeps calls for the process after this one.
    pub(crate) keeps_calls: bool,
    /// How many shards there are.
    pub(crate) shards: u8,
    /// Letters that this input has caused.
    pub(crate) letters: VecDeque<(ShardId, Letter)>,
    next_media_session: u64,
}

impl Plane {
    pub(crate) fn new(shard: ShardId, config: Arc<Config>, mut mint: Mint) -> Self {
        let secret = mint.secret();
        Self {
            shard,
            config,
            mint,
            transactions: Table::under(secret),
            secret,
            dialogs: DialogTable::default(),
            aliases: Aliases::default(),
            away: Expiring::new(AWAY, MOST_AWAY),
            dialling: BTreeSet::new(),
            acks: AckStore::default(),
            queries: Queries::default(),
            admission: Admission::default(),
            spending: Spending::default(),
            circles: Circles::default(),
            preemptions: Preemptions::default(),
            elins: Elins::default(),
            asked: Asked::default(),
            watch: Watch::default(),
            left: LeftBehind::default(),
            tally: OwnTally::default(),
            quarantine: Quarantine::default(),
            closed: Closed::default(),
            relief: Relief::default(),
            health: Health::default(),
            nonces: Nonces::default(),
            intervals: BTreeMap::new(),
            standings: Standings::default(),
            bindings: Bindings::default(),
            presences: Presences::default(),
            talking: Talking::default(),
            guard: Guard::default(),
            explains: false,
            keeps_journal: false,
            keeps_calls: false,
            shards: 1,
            letters: VecDeque::new(),
            next_media_session: 0,
        }
    }

    /// Gives a message to the transaction layer.
    pub(crate) fn receive(
        &mut self,
        now: Timestamp,
        flow: &Flow,
        message: Message,
        manners: &Manners,
        out: &mut Effects,
        up: &mut Vec<Indication>,
    ) {
        let (table, mint) = (&mut self.transactions, &mut self.mint);
        table.received_under(now, flow, message, manners, mint, out, up);
    }

    /// Sends a request (not ACK) to the peer of a trunk, in a new transaction. `bytes` carries our Via with `branch`
    /// on top.
    #[allow(clippy::too_many_arguments, reason = "the values have no common type")]
    pub(crate) fn request(
        &mut self,
        now: Timestamp,
        trunk: &Trunk,
        method: &Method,
        branch: &str,
        bytes: Bytes,
        hop: Hop,
        owner: Owner,
        out: &mut Effects,
    ) -> TransactionId {
        let tally = self.tally.of(&trunk.name);
        tally.request(Direction::Out, method.into(), hop.protocol);
        let (table, timers) = (&mut self.transactions, TimerSet::from(&trunk.timers));
        let id = table.request(now, method, branch, bytes, hop, timers, owner, out);
        table.count_with(id, tally);
        id
    }

    /// User part of our Contact on a trunk that is registered: what the registrar knows us by.
    pub(crate) fn contact_user(&self, trunk: &Trunk) -> Option<Bytes> {
        let standing = self.standings.get(&trunk.name)?;
        standing.contact_user.clone().map(Bytes::from)
    }

    /// A dialog has ended, with a digest of its other names, where it had a peer. Where it was handed over from, they
    /// are told.
    pub(crate) fn dialog_ended(&mut self, now: Timestamp, tag: &Bytes, names: Option<u64>) {
        self.dialogs.end(now, tag, names);
        let home = shard_of(tag).filter(|home| *home != self.shard && home.0 < self.shards);
        if let Some(home) = home {
            let letter = Letter::new(Content::Over {
                tag: tag.clone(),
                names,
            });
            self.letters.push_back((home, letter));
        }
    }

    /// A media session of the process before this one goes on: no new one gets its name.
    pub(crate) fn goes_on(&mut self, session: media_api::SessionId) {
        let media_api::SessionId(number) = session;
        let number = number & 0xffff_ffff_ffff;
        self.next_media_session = self.next_media_session.max(number);
    }

    /// Names a new media session of this shard.
    pub(crate) fn media_session(&mut self) -> media_api::SessionId {
        self.next_media_session += 1;
        media_api::SessionId::new(u16::from(self.shard.0), self.next_media_session)
    }
}

/// The surroundings of one step: time, the shard's tables, and where effects go.
pub(crate) struct Cx<'a> {
    pub(crate) now: Now,
    pub(crate) plane: &'a mut Plane,
    pub(crate) out: &'a mut Effects,
}

impl Cx<'_> {
    /// Asks for the servers of a target.
    pub(crate) fn locate(&mut self, asker: Asker, spec: LocateSpec) -> QueryId {
        let id = self.plane.queries.open(asker);
        self.out.push(Effect::Query(id, Query::Locate(spec)));
        id
    }

    /// Asks which of two connections comes about first.
    pub(crate) fn race(&mut self, asker: Asker, hops: [Hop; 2]) -> QueryId {
        let id = self.plane.queries.open(asker);
        self.out
            .push(Effect::Query(id, Query::Race(Box::new(hops))));
        id
    }

    /// Asks whether the signatures of a call are good.
    pub(crate) fn verify(&mut self, call: CallId, spec: VerifySpec) -> QueryId {
        let id = self.plane.queries.open(Asker::Call(call));
        self.out
            .push(Effect::Query(id, Query::Verify(Box::new(spec))));
        id
    }

    /// Asks for the addresses of a host.
    pub(crate) fn resolve(&mut self, asker: Asker, spec: ResolveSpec) -> QueryId {
        let id = self.plane.queries.open(asker);
        self.out.push(Effect::Query(id, Query::Resolve(spec)));
        id
    }
}

/// Who asked a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asker {
    /// A leg of a call.
    Leg(CallId, LegId),
    /// A call on its way.
    Call(CallId),
    /// A health probe.
    Probe(u32),
    /// A registration.
    Registration(u32),
    /// A response that found no way back.
    Response(TransactionId),
}

/// Questions to the outside that wait for their outcome.
#[derive(Default)]
pub(crate) struct Queries {
    next: u64,
    open: BTreeMap<QueryId, Asker>,
}

impl Queries {
    fn open(&mut self, asker: Asker) -> QueryId {
        self.next += 1;
        let id = QueryId(self.next);
        self.open.insert(id, asker);
        id
    }

    /// Who asked; the question is then closed.
    pub(crate) fn close(&mut self, id: QueryId) -> Option<Asker> {
        self.open.remove(&id)
    }

    /// Closes the questions of calls that are gone; says how many there were.
    pub(crate) fn forget(&mut self, is_there: impl Fn(CallId) -> bool) -> usize {
        let before = self.open.len();
        self.open.retain(|_, asker| match asker {
            Asker::Leg(call, _) | Asker::Call(call) => is_there(*call),
            Asker::Probe(_) | Asker::Registration(_) | Asker::Response(_) => true,
        });
        before - self.open.len()
    }

    /// Open questions.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}
