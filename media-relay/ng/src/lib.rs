//! The ng control protocol: a SIP proxy asks for media ports, and its SDP comes back rewritten.
//!
//! Kamailio's and OpenSIPS' `rtpengine` modules speak it over UDP or TCP. A message is a cookie, a
//! blank, and a dictionary in bencode or JSON; the answer carries the same cookie and the same form.
//! Here is everything but the sockets: [`Server`] takes messages and events of the relay, and gives
//! answers and commands. Nothing in it waits, reads a clock or draws random numbers.
//!
//! What is not done is refused by name and never half done: DTLS, an ICE agent of ours, transcoding and
//! recording. ICE that a party offers is taken out, so that both sides go on without it.
#![forbid(unsafe_code)]

mod bencode;
mod call;
mod cookies;
mod facts;
mod formats;
mod json;
mod message;
mod reply;
mod request;
mod rewrite;
mod server;
mod value;

pub use message::{Frame, Message, Unreadable, first_message};
pub use server::{Input, Now, Origin, Output, Server, Settings, Side};
