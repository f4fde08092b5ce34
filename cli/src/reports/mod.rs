//! Microsoft's record of a call beside ours (TDG-CDR-004).
//!
//! [`own`] reads ours from the spool, [`pairing`] finds which belong together, [`words`] says what each side
//! makes of the end of a call.

pub mod number;
pub mod own;
pub mod pairing;
pub mod words;
