//! Causeway's media relay: RTP, SRTP and RTCP between the legs of a call.
