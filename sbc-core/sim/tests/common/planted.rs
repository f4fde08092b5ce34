//! The product with a fault planted into its effects.

use sbc_core::effect::{Effect, Effects};
use sbc_core::id::ShardId;
use sbc_core::input::Input;
use sbc_core::sip::Message;
use sbc_core::time::{Now, Timestamp};
use sbc_sim::scenario::{Scenario, Setting};
use sbc_sim::subject::{Residue, Shards, Subject};
use sbc_sim::world::World;

/// The product with something wrong in its output.
pub(crate) struct Tampered<F> {
    pub(crate) inner: Shards,
    pub(crate) tamper: F,
    pub(crate) residue: Residue,
    pub(crate) never_sleeps: bool,
    pub(crate) misroutes: bool,
}

impl<F: FnMut(Effect) -> Vec<Effect>> Subject for Tampered<F> {
    fn shards(&self) -> u8 {
        self.inner.shards()
    }

    fn shard_of(&self, message: &Message) -> ShardId {
        match self.misroutes {
            true => ShardId(self.inner.shards()),
            false => self.inner.shard_of(message),
        }
    }

    fn apply(
        &mut self,
        shard: ShardId,
        now: Now,
        input: Input,
        out: &mut Effects,
    ) -> Result<(), String> {
        self.inner.apply(shard, now, input, out)?;
        let honest: Vec<Effect> = out.drain().collect();
        for effect in honest.into_iter().flat_map(&mut self.tamper) {
            out.push(effect);
        }
        Ok(())
    }

    fn deadline(&self, shard: ShardId) -> Option<Timestamp> {
        if self.never_sleeps {
            return Some(Timestamp::ZERO);
        }
        self.inner.deadline(shard)
    }

    fn residue(&self) -> Residue {
        let inner = self.inner.residue();
        Residue {
            calls: inner.calls + self.residue.calls,
            places: inner.places + self.residue.places,
            ..inner
        }
    }
}

pub(crate) fn tampered<F: FnMut(Effect) -> Vec<Effect>>(tamper: F) -> Tampered<F> {
    tampered_under(Setting::default(), tamper)
}

/// The same where the operator has configured something otherwise than usual.
pub(crate) fn tampered_under<F: FnMut(Effect) -> Vec<Effect>>(
    setting: Setting,
    tamper: F,
) -> Tampered<F> {
    Tampered {
        inner: Shards::new(1, 1, setting),
        tamper,
        residue: Residue::default(),
        never_sleeps: false,
        misroutes: false,
    }
}

pub(crate) fn rules(scenario: &Scenario, subject: impl Subject + 'static) -> Vec<&'static str> {
    let run = World::new(scenario, Box::new(subject), false).run();
    run.violations
        .iter()
        .map(|violation| violation.rule)
        .collect()
}

#[track_caller]
pub(crate) fn finds(
    rule: &str,
    scenario: &Scenario,
    tamper: impl FnMut(Effect) -> Vec<Effect> + 'static,
) {
    let found = rules(scenario, tampered_under(scenario.setting, tamper));
    assert!(found.contains(&rule), "wanted {rule}, found {found:?}");
}

/// Sends another message behind every one that it makes one of.
pub(crate) fn following(
    mut make: impl FnMut(&str) -> Option<String>,
) -> impl FnMut(Effect) -> Vec<Effect> {
    move |effect| {
        let second = match &effect {
            Effect::Send { hop, bytes, .. } => {
                make(&String::from_utf8_lossy(bytes)).map(|text| Effect::Send {
                    hop: hop.clone(),
                    bytes: text.into_bytes().into(),
                    transaction: None,
                    call: None,
                })
            }
            _ => None,
        };
        std::iter::once(effect).chain(second).collect()
    }
}

/// Changes the text of messages; `None` drops one.
pub(crate) fn editing(
    mut edit: impl FnMut(String) -> Option<String>,
) -> impl FnMut(Effect) -> Vec<Effect> {
    move |effect| match effect {
        Effect::Send {
            hop,
            bytes,
            transaction,
            call,
        } => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            edit(text)
                .map(|text| Effect::Send {
                    hop,
                    bytes: text.into_bytes().into(),
                    transaction,
                    call,
                })
                .into_iter()
                .collect()
        }
        other => vec![other],
    }
}
