//! Which shard a message belongs to: a pure function that the I/O threads use.
//!
//! 1. A response: the shard in our branch.
//! 2. A request whose To tag is ours (in-dialog requests, every ACK): the shard in the tag.
//! 3. A request whose Replaces names one of our tags: the shard in that tag. Its CANCEL names none, so
//!    the shard that gets the CANCEL is told where the INVITE is.
//! 4. A REFER whose Target-Dialog names one of our tags: the shard in that tag.
//! 5. REGISTER: shard 0, which keeps what is registered and tells the others.
//! 5. Everything else: a hash of Call-ID, so that an INVITE, its repetitions and its CANCEL meet.
//!
//! A tag or branch that names no shard of ours falls through to the hash; the shard that gets the
//! message will not know it either, and says so.

use crate::id::ShardId;
use crate::mint::{MAGIC_COOKIE, shard_of};
use crate::sip::header::{Replaces, TargetDialog};
use crate::sip::{HeaderName, Message, Method};
use crate::transaction::own_key;
use bytes::Bytes;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The shard that handles `message` when there are `shards` of them (at least 1).
pub fn shard_of_message(message: &Message, shards: u8) -> ShardId {
    if shards <= 1 {
        return ShardId(0);
    }
    named_shard(message)
        .filter(|shard| shard.0 < shards)
        .unwrap_or_else(|| by_call_id(message, shards))
}

/// The shard that has sent a request, of which this is the start.
pub fn shard_of_own(start: &Bytes) -> Option<ShardId> {
    let (branch, _) = own_key(start)?;
    shard_of(branch.strip_prefix(MAGIC_COOKIE.as_bytes())?)
}

fn named_shard(message: &Message) -> Option<ShardId> {
    if message.is_request() {
        if let Some(tag) = message.to_tag() {
            return shard_of(tag);
        }
        if *message.method() == Method::Register {
            return Some(ShardId(0));
        }
        if *message.method() == Method::Refer && message.has(HeaderName::TargetDialog) {
            let target = message.get::<TargetDialog>().ok().flatten()?;
            return shard_of(target.remote_tag.as_bytes());
        }
        let named = message.has(HeaderName::Replaces);
        let replaces = named.then(|| message.get::<Replaces>().ok().flatten());
        return shard_of(replaces??.to_tag.as_bytes());
    }
    let via = message.top_via().ok()?;
    shard_of(via.branch()?.strip_prefix(MAGIC_COOKIE.as_bytes())?)
}

/// The shard that gets what names none, the CANCEL of an INVITE with Replaces among it.
pub(crate) fn shard_of_call_id(message: &Message, shards: u8) -> ShardId {
    by_call_id(message, shards.max(1))
}

/// The hash is fixed: it only spreads load, and tables do not depend on it.
fn by_call_id(message: &Message, shards: u8) -> ShardId {
    let mut hasher = DefaultHasher::new();
    message
        .raw(HeaderName::CallId)
        .unwrap_or_default()
        .hash(&mut hasher);
    let shard = hasher.finish() % u64::from(shards);
    ShardId(u8::try_from(shard).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mint::Mint;
    use crate::sip::Limits;
    use bytes::Bytes;

    fn message(start: &str, branch: &str, to_tag: &str, call_id: &str) -> Message {
        let text = format!(
            "{start}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch={branch}\r\nFrom: <sip:a@example.com>;tag=x\r\n\
             To: <sip:b@example.com>{to_tag}\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\
             Content-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text), &Limits::default()).expect("test message")
    }

    #[test]
    fn responses_and_dialogs_find_the_shard_that_made_their_identifiers() {
        let mut mint = Mint::new(ShardId(2), [1; 32]);
        let response = message("SIP/2.0 200 OK", &mint.branch(), "", "1");
        assert_eq!(shard_of_message(&response, 4), ShardId(2));
        let tag = format!(";tag={}", mint.tag());
        let request = message("INVITE sip:b@example.com SIP/2.0", "z9hG4bK1", &tag, "1");
        assert_eq!(shard_of_message(&request, 4), ShardId(2));
    }

    #[test]
    fn requests_of_one_call_id_meet_and_calls_spread() {
        let start = "INVITE sip:b@example.com SIP/2.0";
        let shard = |call_id: &str, branch: &str| {
            shard_of_message(&message(start, branch, "", call_id), 4).0
        };
        assert_eq!(shard("abc", "z9hG4bK1"), shard("abc", "z9hG4bK2"));
        let used: std::collections::BTreeSet<u8> = (0..100)
            .map(|n| shard(&format!("call-{n}"), "z9hG4bK1"))
            .collect();
        assert_eq!(used.len(), 4);
    }

    #[test]
    fn an_identifier_of_a_shard_that_does_not_exist_is_hashed() {
        let tag = format!(";tag={}", Mint::new(ShardId(9), [1; 32]).tag());
        let request = message("INVITE sip:b@example.com SIP/2.0", "z9hG4bK1", &tag, "1");
        assert!(shard_of_message(&request, 4).0 < 4);
    }
}
