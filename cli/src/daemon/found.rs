//! Calls of the process before this one: what is found of them, and who goes on with it.

use super::inbox::Inboxes;
use super::media::Plane;
use crate::sink::Sinks;
use media_api::Command;
use sbc_core::id::{CallId, ShardId};
use sbc_core::input::Input;
use sbc_core::kept::Found;
use std::collections::HashSet;

/// Gives each call that was left to its shard, before the shard can hear of it. What nobody can go on with is given back
/// to the relay, and has its record from the journal; what had ended and was still kept only ends. Returns the calls that go on.
pub fn take_up(relay: &Plane, inboxes: &Inboxes, sinks: &Sinks) -> HashSet<CallId> {
    let mut all = HashSet::new();
    let (mut lost, mut ended) = (0_u64, 0_u64);
    // Whoever is killed may have told the journal, and not yet the relay.
    let over = sinks
        .cdr
        .get()
        .as_ref()
        .map(|cdr| cdr.over())
        .unwrap_or_default();
    for kept in relay.take_up() {
        let session = kept.session;
        let shard = ShardId(u8::try_from(session.shard()).unwrap_or(u8::MAX));
        let found = Found::read(&kept.octets, kept.is_live).map_err(|why| why.to_string());
        // Whose shard would drop it without a word.
        let found = found.and_then(|found| match found.session() == session {
            true if all.contains(&found.call()) => {
                Err("another session has the same call".to_owned())
            }
            true => Ok(found),
            false => Err("it was kept of another session".to_owned()),
        });
        let inbox = inboxes.of(shard);
        let inbox = inbox.ok_or_else(|| format!("there is no shard {} any more", shard.0));
        let taken = found.and_then(|found| {
            let call = found.call();
            let is_over = over.contains(&call);
            let found = if is_over { found.over() } else { found };
            let pushed = inbox?.push(Input::Found(Box::new(found)));
            let pushed = pushed.map_err(|_| "its shard has ended".to_owned());
            pushed.map(|()| (call, is_over))
        });
        match taken {
            Ok((_, true)) => ended += 1,
            Ok((call, false)) => drop(all.insert(call)),
            Err(why) => {
                lost += 1;
                relay.command(Command::Release {
                    session,
                    endpoint: None,
                    drain_ms: 0,
                });
                relay.keep(session, None);
                let text = "a call of the process before this one cannot go on";
                let line = sinks.log.warn("call_unreadable", text);
                line.with("session", format!("{:x}", session.0))
                    .with("because", why)
                    .send();
            }
        }
    }
    relay.taken_up();
    if !all.is_empty() || lost > 0 || ended > 0 {
        let text = "calls of the process before this one go on";
        let line = sinks.log.info("calls_restored", text);
        line.with("calls", all.len())
            .with("lost", lost)
            .with("ended", ended)
            .send();
    }
    all
}
