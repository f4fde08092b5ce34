//! Certification runs and the lab: Causeway's peers over real sockets.
