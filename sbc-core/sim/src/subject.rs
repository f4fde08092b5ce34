//! What is tested: N shards of the core, behind the few verbs that the world needs.

use sbc_core::config::Config;
use sbc_core::core::{Core, Together};
use sbc_core::demux::shard_of_message;
use sbc_core::effect::Effects;
use sbc_core::id::ShardId;
use sbc_core::input::Input;
use sbc_core::mint::Mint;
use sbc_core::sip::Message;
use sbc_core::time::{Now, Timestamp};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::dice::Dice;
use crate::scenario::Setting;
use crate::topology;

/// Something that turns inputs into effects. The product is one; the checkers' own tests bring
/// others, which break rules on purpose.
pub trait Subject {
    /// How many shards there are.
    fn shards(&self) -> u8;

    /// Which shard gets a message.
    fn shard_of(&self, message: &Message) -> ShardId;

    /// Applies an input; `Err` is the text of a panic.
    fn apply(
        &mut self,
        shard: ShardId,
        now: Now,
        input: Input,
        out: &mut Effects,
    ) -> Result<(), String>;

    /// When a shard wants its next tick.
    fn deadline(&self, shard: ShardId) -> Option<Timestamp>;

    /// What is left in the tables.
    fn residue(&self) -> Residue;
}

/// Counts of what must be empty when everything is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Residue {
    /// Calls.
    pub calls: usize,
    /// Dialogs, ended ones that are remembered included.
    pub dialogs: usize,
    /// Transactions.
    pub transactions: usize,
    /// Questions without answer.
    pub queries: usize,
    /// ACKs kept for repeated answers.
    pub acks: usize,
    /// Media sessions that calls own.
    pub media_sessions: usize,
    /// Places that calls take of limits.
    pub places: usize,
}

impl Residue {
    /// Whether nothing is left.
    pub fn is_empty(self) -> bool {
        self.total() == 0
    }

    /// Everything that is left.
    pub fn total(self) -> usize {
        self.calls
            + self.dialogs
            + self.transactions
            + self.queries
            + self.acks
            + self.media_sessions
            + self.places
    }
}

/// The product.
pub struct Shards(Vec<Core>);

impl Shards {
    /// So many shards with the configuration of the topology.
    pub fn new(seed: u64, shards: u8, setting: Setting) -> Self {
        Self::configured(seed, shards, topology::config(1, setting))
    }

    /// The same with another configuration.
    pub fn configured(seed: u64, shards: u8, config: Config) -> Self {
        let config = Arc::new(config);
        let together = Together::default();
        let cores = (0..shards).map(|shard| {
            let shard = ShardId(shard);
            let seed = Dice::new(seed, &format!("shard {}", shard.0)).bytes32();
            let core = Core::new(shard, Arc::clone(&config), Mint::new(shard, seed));
            core.among(shards).counting(&together)
        });
        Self(cores.collect())
    }
}

impl Subject for Shards {
    fn shards(&self) -> u8 {
        self.0.len() as u8
    }

    fn shard_of(&self, message: &Message) -> ShardId {
        shard_of_message(message, self.shards())
    }

    fn apply(
        &mut self,
        shard: ShardId,
        now: Now,
        input: Input,
        out: &mut Effects,
    ) -> Result<(), String> {
        let core = &mut self.0[usize::from(shard.0)];
        catch_unwind(AssertUnwindSafe(|| core.apply(now, input, out))).map_err(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            text.or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "panic without text".to_owned())
        })
    }

    fn deadline(&self, shard: ShardId) -> Option<Timestamp> {
        self.0[usize::from(shard.0)].deadline()
    }

    fn residue(&self) -> Residue {
        self.0.iter().fold(Residue::default(), |sum, core| {
            let census = core.census();
            Residue {
                calls: sum.calls + census.calls,
                dialogs: sum.dialogs + census.dialogs,
                transactions: sum.transactions + census.transactions,
                queries: sum.queries + census.queries,
                acks: sum.acks + census.acks,
                media_sessions: sum.media_sessions + census.media_sessions,
                places: sum.places + census.places,
            }
        })
    }
}
