//! Causeway's media relay: RTP, SRTP and RTCP between the legs of a call.
//!
//! ```text
//! command ─► control ─► worker inbox ─► MediaSession::command
//! datagrams ─► io batch ─► socket's session ─► MediaSession::packet ─► io batch
//! deadlines ─► MediaSession::tick ─► reports, packets of sounds
//! payloads of another codec ─► transcode: threads of their own ─► MediaSession::recoded
//! ```
//!
//! [`Relay`] runs worker threads, each the only owner of its sessions and their sockets. A
//! [`session::MediaSession`] is a value without sockets, clock or threads, and can be simulated.
//! Packets are changed in the buffer they were received in; handling one takes no lock, allocates
//! nothing and makes no system call but batched I/O; only what a party sends that has changed to another
//! session is copied, because that one may be another thread's.
#![deny(unsafe_code)]

pub mod codec;
mod control;
pub mod dtls;
mod e_model;
mod entropy;
pub mod g711;
mod io;
mod noise;
pub mod packet;
mod remote;
pub mod session;
mod sound;
pub mod srtp;
mod time;
pub mod transcode;
mod worker;

pub use control::realm::{EXPEDITED_FORWARDING, LocalAddress, Realm};
pub use control::totals::{DELAY_US, RealmTotals, RelayTotals};
pub use control::{EventSink, Relay, RelayConfig, StartError};
pub use entropy::{Entropy, NoEntropy};
pub use io::{AddressReport, Backend, BackendReport, Runs};
#[doc(hidden)]
pub use remote::Said;
pub use remote::{
    FormFault, Host, HostHandle, HostOptions, Kept, Met, Remote, RemoteFault, goes_on,
};
pub use sound::{Recordings, RecordingsFault};
pub use time::{Timestamp, WallOffset};
