//! Trunks: what is known about peers apart from any call. Lives on shard 0 only.

mod probe;

pub(crate) use probe::Probes;
