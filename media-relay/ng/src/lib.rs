//! The ng control protocol: a SIP proxy asks for media ports, and its SDP comes back rewritten.
//!
//! Kamailio's and OpenSIPS' `rtpengine` modules speak it over UDP or TCP. A message is a cookie, a
//! blank, and a dictionary in bencode or JSON; the answer carries the same cookie and the same form.
//! Here is everything but the sockets: [`Server`] takes messages and events of the relay, and gives
//! answers and commands. Nothing in it waits, reads a clock or draws random numbers.
//!
//! What is not done is refused by name and never half done, such as recording. Which commands, keys and
//! flags of the protocol count is below.
//!
#![doc = include_str!("../FLAGS.md")]
#![forbid(unsafe_code)]

mod agent;
mod bencode;
mod call;
mod codecs;
mod cookies;
mod facts;
mod figures;
mod formats;
mod heard;
mod json;
mod message;
mod note;
mod quality;
mod reply;
mod request;
mod rewrite;
mod running;
mod server;
mod spoken;
mod value;

pub use figures::{Asked, Counters, ONE_WAY, Refusal};
pub use message::{Frame, Message, Unreadable, first_message};
pub use note::{Ended, Ending, Heard, Note, Noted};
pub use server::{Found, Input, Now, Origin, Output, Recording, Server, Settings, Side};
