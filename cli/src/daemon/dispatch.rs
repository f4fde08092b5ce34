//! Effects of one shard to the outside, in order, without ever waiting: first what peers and the relay wait for, then
//! what is told of it.

use crate::daemon::inbox::{Inbox, Inboxes};
use crate::daemon::media::Plane;
use crate::daemon::net::{Net, Order};
use crate::daemon::resolver::Resolver;
use crate::daemon::stir::Signers;
use crate::sink::Sinks;
use bytes::Bytes;
use sbc_core::effect::{Effect, Effects, KeepAlive};
use sbc_core::event::{Event, Happened};
use sbc_core::id::{CallId, CommandId, LegId, QueryId, ShardId};
use sbc_core::input::{Answered, Command, Input};
use sbc_core::letter::Letter;
use sbc_core::query::{Outcome, Query};
use sbc_core::transport::Hop;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Carries out the effects of one shard.
pub struct Dispatch {
    /// The shard's own inbox, for answers.
    pub inbox: Arc<Inbox>,
    /// Those of all shards, for what concerns them all.
    pub inboxes: Inboxes,
    /// Where questions are worked on.
    pub runtime: Handle,
    /// Sockets.
    pub net: Net,
    /// Which of its messages have to wait for others.
    pub order: Order,
    /// Names.
    pub resolver: Resolver,
    /// Signatures.
    pub signers: Signers,
    /// Media.
    pub relay: Arc<Plane>,
    /// Records, log, ladders, metrics.
    pub sinks: Sinks,
    /// Operators who wait for an answer.
    pub replies: Arc<Replies>,
    /// What is to be told once all is done.
    pub told: Vec<Told>,
}

/// What somebody is told behind everything that has to be done.
pub enum Told {
    /// A message has left.
    Sent {
        /// Call and leg that it belongs to.
        call: Option<(CallId, LegId)>,
        /// Where to.
        hop: Hop,
        /// The message.
        bytes: Bytes,
    },
    /// Something has happened.
    Event(Event),
    /// An operator's command has been carried out: what it led to is seen by whoever has the answer.
    Answer(CommandId, Answered),
}

impl Dispatch {
    /// Empties the buffer.
    pub fn run(&mut self, effects: &mut Effects) {
        self.carry_out(effects);
        for told in self.told.drain(..) {
            match told {
                Told::Sent { call, hop, bytes } => self.sinks.sent(call, &hop, &bytes),
                Told::Event(event) => self.sinks.event(&event),
                Told::Answer(id, answer) => self.replies.answer(id, answer),
            }
        }
    }

    fn carry_out(&mut self, effects: &mut Effects) {
        for effect in effects.drain() {
            match effect {
                Effect::Send {
                    hop,
                    bytes,
                    transaction,
                    call,
                } => {
                    let from = (self.inbox.shard(), call);
                    self.net
                        .send_in_order(&mut self.order, from, &hop, bytes.clone(), transaction);
                    self.told.push(Told::Sent { call, hop, bytes });
                }
                Effect::Withdraw { hop, transaction } => {
                    self.net.withdraw(self.inbox.shard(), &hop, transaction);
                }
                Effect::RetireFlow(flow) => self.net.retire_flow(flow),
                Effect::KeepAlive(KeepAlive::Datagram { hop, bytes }) => {
                    self.net.datagram(&hop, bytes);
                }
                Effect::KeepAlive(KeepAlive::Pings {
                    flow,
                    between,
                    is_answered,
                }) => self.net.ping(flow, between, is_answered),
                Effect::Alias {
                    flow,
                    listener,
                    remote,
                    identity,
                } => self.net.alias(flow, listener, remote, &identity),
                Effect::Query(id, query) => self.ask(id, query),
                Effect::Media(command) => self.relay.command(command),
                Effect::Letter(to, letter) => self.deliver(to, letter),
                Effect::Keep(session, kept) => self.relay.keep(session, kept.as_ref()),
                Effect::Reply(id, answer) => self.told.push(Told::Answer(id, answer)),
                Effect::Emit(event) => {
                    self.share(&event.what);
                    self.told.push(Told::Event(event));
                }
            }
        }
    }

    /// Tells all other shards what one has found out for the whole node.
    fn share(&self, what: &Happened) {
        let news = match what {
            Happened::TargetHealth { target, state, .. } => Input::TargetHealth {
                target: target.clone(),
                state: *state,
            },
            Happened::Registration { standing, .. } => {
                self.net.registration(standing);
                Input::Registration(Arc::clone(standing))
            }
            Happened::Bindings { bound, .. } => Input::Bindings(Arc::clone(bound)),
            _ => return,
        };
        for other in self.inboxes.all() {
            if other.shard() != self.inbox.shard() {
                // Reports of our own side are always taken.
                let _ = other.push(news.clone());
            }
        }
    }

    /// Gives a letter to another shard. Nothing is lost: letters are bounded by the transfers that
    /// are under way and the calls that are let in, and reports of our own side are always taken.
    fn deliver(&self, to: ShardId, letter: Letter) {
        if let Some(inbox) = self.inboxes.of(to) {
            let _ = inbox.push(Input::Letter(letter));
        }
    }

    fn ask(&self, id: QueryId, query: Query) {
        let inbox = Arc::clone(&self.inbox);
        let resolver = self.resolver.clone();
        let net = self.net.clone();
        let signers = self.signers.clone();
        self.runtime.spawn(async move {
            let outcome = match &query {
                Query::Resolve(spec) => resolver.foreign().resolve(spec).await,
                Query::Locate(spec) => resolver.locate(spec).await,
                Query::Verify(spec) => signers.verify(spec).await,
                Query::Race(hops) => Outcome::Won(net.race(hops).await),
            };
            // Reports of our own side are always taken.
            let _ = inbox.push(Input::Outcome(id, outcome));
        });
    }
}

/// Commands that wait for their answer.
#[derive(Default)]
pub struct Replies {
    next: AtomicU64,
    waiting: Mutex<HashMap<CommandId, oneshot::Sender<Answered>>>,
}

impl Replies {
    /// Gives a command to a shard and waits for the answer; `None` if it does not come in time.
    pub async fn ask(&self, inbox: &Inbox, command: Command, limit: Duration) -> Option<Answered> {
        // Ordering: only uniqueness matters.
        let id = CommandId(self.next.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        self.lock().insert(id, answer);
        let _ = inbox.push(Input::Command(id, command));
        let result = tokio::time::timeout(limit, answered).await;
        self.lock().remove(&id);
        result.ok()?.ok()
    }

    fn answer(&self, id: CommandId, answer: Answered) {
        if let Some(waiting) = self.lock().remove(&id) {
            // The operator may have given up.
            let _ = waiting.send(answer);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<CommandId, oneshot::Sender<Answered>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
