//! Letters: what one shard asks of another. The shell carries each once, in order, and reads none.
//!
//! A transfer may join two calls of different shards. Then the party that is to be kept is handed
//! over: the shard of its old call writes down its dialog, the other one takes it up, and requests
//! that still come to the old shard, because its name is in our tag, are passed on.

use crate::call::{Bill, Wanted};
use crate::dialog::Alias;
use crate::id::{CallId, ShardId, TenantName, TransactionId, TrunkName};
use crate::media::MediaImage;
use crate::policy::identity::Caller;
use crate::policy::ingress::Ingress;
use crate::session::Parcel;
use crate::sip::header::Replaces;
use crate::sip::{Message, Status};
use crate::transport::Flow;
use bytes::Bytes;
use media_api::{EndpointId, SessionId};
use std::fmt;
use std::sync::Arc;

/// One letter. Cheap to copy.
#[derive(Clone)]
pub struct Letter(Arc<Content>);

/// What it says.
#[derive(Debug)]
pub(crate) enum Content {
    /// Hand over the party that talks to the one with this dialog.
    Fetch(Fetch),
    /// The answer to that.
    Fetched {
        /// Who asked.
        call: CallId,
        /// For which of its questions.
        ticket: u64,
        /// The party, or why not.
        outcome: Result<Box<Party>, Status>,
    },
    /// Name a dialog for somebody else.
    Name(Naming),
    /// The answer to that.
    Named {
        /// Who asked.
        call: CallId,
        /// The REFER that waits for it.
        refer: TransactionId,
        /// The name; nothing if there is no such dialog.
        name: Option<Replaces>,
    },
    /// A request within a dialog that was handed over, or about it.
    Request {
        /// What it arrived on.
        flow: Flow,
        /// The request.
        message: Message,
        /// The name by which it knows the dialog, if that was given by the shard that sends the letter.
        named: Option<Alias>,
    },
    /// An INVITE that a CANCEL would not find: where it is.
    Away {
        /// Call-ID and branch.
        key: Bytes,
        /// Who has it.
        shard: ShardId,
    },
    /// An INVITE that may be the same call again as one that was left by its caller.
    Again(Box<Again>),
    /// Make room for a call for help.
    Room(Wanted),
    /// A dialog that was handed over has ended.
    Over {
        /// Our tag.
        tag: Bytes,
        /// Digest of its other names, if they are known.
        names: Option<u64>,
    },
}

/// An INVITE on its way round the shards, and all that is known of it.
#[derive(Debug)]
pub(crate) struct Again {
    /// The shard that it fell to, which goes on with it.
    pub(crate) from: ShardId,
    /// What it arrived on.
    pub(crate) flow: Flow,
    /// The INVITE.
    pub(crate) invite: Message,
    /// Whose it is.
    pub(crate) ingress: Ingress,
}

/// Says of a party that it had not answered yet: it rings no longer, and can be called anew.
pub(crate) const CALLED_ANEW: Status = Status::MOVED_TEMPORARILY;

/// Which party is wanted, and for whom.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    /// Where the answer goes.
    pub(crate) from: ShardId,
    /// The call that wants it.
    pub(crate) call: CallId,
    /// Which of its questions this is: an answer that comes late must not be taken for another one.
    pub(crate) ticket: u64,
    /// The dialog of the transferor, as it names it: either side may stand first.
    pub(crate) replaces: Replaces,
    /// Its trunk.
    pub(crate) trunk: TrunkName,
    /// Customer of the call that wants it.
    pub(crate) tenant: Option<TenantName>,
    /// Its media session: there goes what the party still sends to the ports that it leaves.
    pub(crate) media: SessionId,
}

/// Which dialog is to be named, and for whom.
#[derive(Clone, Debug)]
pub(crate) struct Naming {
    /// Where the answer goes.
    pub(crate) from: ShardId,
    /// The call that asks.
    pub(crate) call: CallId,
    /// The REFER that waits for it.
    pub(crate) refer: TransactionId,
    /// The dialog, as its peer names it: either side may stand first.
    pub(crate) replaces: Replaces,
    /// Its trunk.
    pub(crate) trunk: TrunkName,
    /// Customer of the call that asks.
    pub(crate) tenant: Option<TenantName>,
    /// The trunk that may use the name.
    pub(crate) user: TrunkName,
}

/// A party on its way to another call.
#[derive(Debug)]
pub(crate) struct Party {
    /// Its dialog.
    pub(crate) parcel: Parcel,
    /// What was described to it and by it.
    pub(crate) image: MediaImage,
    /// Who it is.
    pub(crate) caller: Arc<Caller>,
    /// The call that it leaves.
    pub(crate) from: CallId,
    /// What its media were called there.
    pub(crate) media: (SessionId, EndpointId),
    /// What it costs.
    pub(crate) bill: Option<Bill>,
    /// Its part in the call for help that it leaves, if that is one.
    pub(crate) help: Option<Help>,
}

/// What a party of a call for help is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Help {
    /// It has called for help.
    Seeks,
    /// It has been called.
    Gives,
}

impl Letter {
    pub(crate) fn new(content: Content) -> Self {
        Self(Arc::new(content))
    }

    pub(crate) fn content(&self) -> &Content {
        &self.0
    }
}

/// What it is about, without the words.
impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.content() {
            Content::Fetch(fetch) => write!(f, "fetch for {:?}", fetch.call),
            Content::Fetched { call, outcome, .. } => {
                let refused = outcome.as_ref().err();
                write!(f, "fetched for {call:?}: {refused:?}")
            }
            Content::Name(naming) => write!(f, "name for {:?}", naming.call),
            Content::Named { call, name, .. } => {
                write!(f, "named for {call:?}: {}", name.is_some())
            }
            Content::Request { message, .. } => write!(f, "{:?}", message.method()),
            Content::Away { shard, .. } => write!(f, "INVITE at shard {}", shard.0),
            Content::Again(again) => write!(f, "called again by {}", again.ingress.trunk.name),
            Content::Room(wanted) => write!(f, "room for {:?}", wanted.by),
            Content::Over { .. } => f.write_str("over"),
        }
    }
}

/// The same letter.
impl PartialEq for Letter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
