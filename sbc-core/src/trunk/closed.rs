//! Trunks that an operator keeps new calls away from, over all shards (OPS-090).
//!
//! Both kinds leave calls in progress alone, with all that belongs to them. A trunk that drains takes transfers of such
//! calls, and Teams may call on it until it prefers other SBCs, as while a node drains (TDR-OPT-010); a disabled one
//! takes nothing new from this moment. What is closed stays so over reloads, whatever they change.

use crate::config::{Preset, Trunk};
use crate::core::FADING;
use crate::id::TrunkName;
use crate::time::Timestamp;
use crate::trouble::Trouble;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// How an operator keeps new calls away from a trunk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    /// No new calls in either direction, from this moment.
    Disabled,
    /// No new calls either, so that it is empty some time.
    Draining,
}

impl From<Closing> for Trouble {
    fn from(closing: Closing) -> Self {
        match closing {
            Closing::Disabled => Self::TrunkDisabled,
            Closing::Draining => Self::TrunkDrains,
        }
    }
}

impl Closing {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Draining => "draining",
        }
    }
}

/// Those that are closed, as all shards of a node see them.
#[derive(Clone, Default, Debug)]
pub struct Closed(Arc<Shared>);

/// Nearly always none is, and then nobody waits for the table.
#[derive(Default, Debug)]
struct Shared {
    entries: AtomicUsize,
    table: RwLock<BTreeMap<TrunkName, Entry>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    closing: Closing,
    /// Until then Teams may call.
    fades_until: Timestamp,
}

impl Closed {
    /// All of them, by name.
    pub fn all(&self) -> BTreeMap<TrunkName, Closing> {
        let table = self.look();
        let all = table.iter().flat_map(|table| table.iter());
        all.map(|(name, entry)| (name.clone(), entry.closing))
            .collect()
    }

    /// Takes over what was closed before a restart. Teams has had its time then.
    pub fn restore(&self, all: BTreeMap<TrunkName, Closing>) {
        self.change(|table| {
            let entry = |closing| Entry {
                closing,
                fades_until: Timestamp::ZERO,
            };
            table.extend(all.into_iter().map(|(name, own)| (name, entry(own))));
        });
    }

    /// How a trunk is closed, or the one whose share it is.
    pub fn of(&self, trunk: &Trunk) -> Option<Closing> {
        let table = self.look()?;
        entry(&table, trunk).map(|entry| entry.closing)
    }

    /// Closes a trunk, or opens it. Who drains already gets no more time.
    pub(crate) fn set(&self, now: Timestamp, name: &TrunkName, closing: Option<Closing>) {
        self.change(|table| {
            let Some(closing) = closing else {
                table.remove(name);
                return;
            };
            let before = table.get(name);
            let before = before.filter(|before| before.closing == Closing::Draining);
            let fades_until = match (closing, before) {
                (Closing::Disabled, _) => now,
                (Closing::Draining, Some(before)) => before.fades_until,
                (Closing::Draining, None) => now + FADING,
            };
            let entry = Entry {
                closing,
                fades_until,
            };
            table.insert(name.clone(), entry);
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<TrunkName, Entry>)) {
        // A table is whole between any two statements.
        let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut table);
        self.0.entries.store(table.len(), Ordering::Relaxed);
    }

    /// Why a new call from a trunk's peer is not taken now.
    pub(crate) fn refuses(&self, now: Timestamp, trunk: &Trunk) -> Option<Closing> {
        let table = self.look()?;
        let entry = entry(&table, trunk)?;
        // Who is never asked does not notice that we ask no more.
        let will_notice =
            trunk.preset == Preset::Teams && trunk.options.is_some() && trunk.carrier.is_none();
        let fades = will_notice && now < entry.fades_until;
        (!fades).then_some(entry.closing)
    }

    /// The table, if anything is in it.
    fn look(&self) -> Option<RwLockReadGuard<'_, BTreeMap<TrunkName, Entry>>> {
        // Ordering: what is closed at this moment may be known a moment later.
        let is_empty = self.0.entries.load(Ordering::Relaxed) == 0;
        let table = || self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        (!is_empty).then(table)
    }
}

/// What holds for a trunk: its own entry, or that of the one whose share it is.
fn entry<'t>(table: &'t BTreeMap<TrunkName, Entry>, trunk: &Trunk) -> Option<&'t Entry> {
    let of_carrier = || trunk.carrier.as_ref().and_then(|name| table.get(name));
    table.get(&trunk.name).or_else(of_carrier)
}
