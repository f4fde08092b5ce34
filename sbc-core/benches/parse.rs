//! What reading and writing one INVITE costs, beside rsip in the same run.
//!
//! `cargo bench -p sbc-core --bench parse` prints nanoseconds. Under `cargo test` it runs once, to keep
//! it working.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark takes the time and reads its command line"
)]

#[path = "common/invite.rs"]
mod invite;

use bytes::Bytes;
use invite::{Parts, TARGET, invite};
use sbc_core::sip::{HeaderName, Limits, Message, Method, RequestBuilder, Uri};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The one of the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let (rounds, per_round) = if is_measured { (101, 2_000) } else { (1, 1) };
    let bytes = invite();
    assert_eq!(bytes.len(), TARGET);
    let limits = Limits::default();

    let index = measure(rounds, per_round, || {
        black_box(Message::parse(black_box(bytes.clone()), &limits).unwrap());
    });
    let rsip_parse = measure(rounds, per_round, || {
        black_box(rsip::SipMessage::try_from(black_box(&bytes[..])).unwrap());
    });

    let message = Message::parse(bytes.clone(), &limits).unwrap();
    let parts = Parts::of(&message);
    let serialise = measure(rounds, per_round, || {
        black_box(parts.serialise());
    });
    let copy = measure(rounds, per_round, || {
        black_box(copy_through(&message, &parts.uri));
    });
    let theirs = rsip::SipMessage::try_from(&bytes[..]).unwrap();
    let rsip_serialise = measure(rounds, per_round, || {
        black_box(Bytes::from(black_box(&theirs).clone()));
    });
    let validate = measure(rounds, per_round, || {
        message.validate().unwrap();
    });

    println!(
        "INVITE of {} octets, fastest tenth of {rounds} rounds of {per_round}",
        bytes.len()
    );
    println!(
        "index             {index:>7.0} ns   rsip parse     {rsip_parse:>7.0} ns   ratio {:.1}",
        rsip_parse / index
    );
    println!(
        "serialise, typed  {serialise:>7.0} ns   rsip serialise {rsip_serialise:>7.0} ns   ratio {:.1}",
        rsip_serialise / serialise
    );
    println!(
        "serialise, raw    {copy:>7.0} ns   rsip serialise {rsip_serialise:>7.0} ns   ratio {:.1}",
        rsip_serialise / copy
    );
    println!("validate          {validate:>7.0} ns");
}

/// The same message written from its raw values, as a B2BUA passes headers on.
fn copy_through(message: &Message, uri: &Uri) -> Bytes {
    let names = [
        HeaderName::Via,
        HeaderName::RecordRoute,
        HeaderName::MaxForwards,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
        HeaderName::Contact,
        HeaderName::Allow,
        HeaderName::Supported,
        HeaderName::MinSe,
        HeaderName::SessionExpires,
        HeaderName::UserAgent,
        HeaderName::ContentType,
    ];
    names
        .iter()
        .fold(RequestBuilder::new(Method::Invite, uri), |builder, name| {
            builder.copy(message, name)
        })
        .raw_body(message.body())
        .build()
}

/// Nanoseconds of one call in the fastest tenth of the rounds, which a busy machine disturbs least.
fn measure(rounds: usize, per_round: u32, mut work: impl FnMut()) -> f64 {
    let mut spent: Vec<Duration> = (0..rounds)
        .map(|_| {
            let begin = Instant::now();
            for _ in 0..per_round {
                work();
            }
            begin.elapsed() / per_round
        })
        .collect();
    spent.sort();
    spent[spent.len() / 10].as_nanos() as f64
}
