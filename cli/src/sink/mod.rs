//! Where observable facts go: log, call records, ladders, metrics.
//!
//! Every sink has a bounded queue or a bounded store and never makes its caller wait (OPS-001).

pub mod log;
pub mod metrics;
